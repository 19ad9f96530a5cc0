// SPDX-License-Identifier: GPL-2.0-only
// `exittop reasons`: which rows are picked, how they are laid out, what an unknown name is told.
#include "output/reasons_report.h"

#include <algorithm>
#include <sstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace exittop {
namespace {

using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

std::vector<std::string> names(const ReasonQuery& query) {
    const auto rows = select_reasons(query).value();
    std::vector<std::string> result;
    for (const ExitReason* row : rows) {
        result.push_back(isa_name(row->isa) + " " + std::string(row->name));
    }
    return result;
}

std::string complaint(const ReasonQuery& query) {
    const auto rows = select_reasons(query);
    if (rows) return "no complaint";
    EXPECT_EQ(rows.error().status, ExitStatus::usage);
    return rows.error().text;
}

std::size_t longest_line(const std::string& text) {
    std::istringstream lines(text);
    std::size_t longest = 0;
    for (std::string line; std::getline(lines, line);) longest = std::max(longest, line.size());
    return longest;
}

TEST(ReasonsReport, SelectsAllOrOneIsaOrOneReason) {
    const auto all = select_reasons({}).value();
    EXPECT_EQ(all.size(), exit_reasons(Isa::vmx).size() + exit_reasons(Isa::svm).size());
    EXPECT_EQ(select_reasons({Isa::svm, ""}).value().size(), exit_reasons(Isa::svm).size());
    EXPECT_THAT(names({std::nullopt, "hlt"}), ElementsAre("vmx HLT", "svm hlt"));
    EXPECT_THAT(names({Isa::svm, "HLT"}), ElementsAre("svm hlt"));
    EXPECT_THAT(names({std::nullopt, "0x400"}), ElementsAre("svm npf"));
    EXPECT_THAT(names({std::nullopt, "49"}), ElementsAre("vmx EPT_MISCONFIG", "svm write_dr1"));
    EXPECT_THAT(names({Isa::vmx, "0x80000021"}), ElementsAre("vmx INVALID_STATE"));
    EXPECT_THAT(names({std::nullopt, "pf excp"}), ElementsAre("svm PF excp"));
}

TEST(ReasonsReport, OffersNamesLikeAnUnknownOne) {
    EXPECT_EQ(complaint({std::nullopt, "PF"}),
              "no exit reason has the name 'PF'; like it: PF excp, npf, popf, MONITOR_TRAP_FLAG");
    EXPECT_THAT(complaint({std::nullopt, "EPT_VIOLATON"}), EndsWith("; like it: EPT_VIOLATION"));
    EXPECT_THAT(complaint({Isa::vmx, "EXIT_REASON_HLT"}), HasSubstr("HLT"));
    EXPECT_THAT(complaint({Isa::svm, "EPT_MISCONFIG"}), StartsWith("no svm exit reason"));
    EXPECT_EQ(complaint({std::nullopt, "qqqqqqqq"}),
              "no exit reason has the name 'qqqqqqqq'; 'exittop reasons' lists them all");
    EXPECT_EQ(complaint({Isa::vmx, "4095"}),
              "no vmx exit reason has the number '4095'; 'exittop reasons' lists them all");
}

TEST(ReasonsReport, UnknownNamesAreMadeHarmless) {
    const std::string text = complaint({std::nullopt, "\x1b[2J\n" + std::string(100'000, 'x')});
    EXPECT_LT(text.size(), 300U);
    EXPECT_THAT(text, Not(HasSubstr("\x1b")));
    EXPECT_THAT(text, Not(HasSubstr("\n")));
}

TEST(ReasonsReport, WideTableHasTextBesideTheName) {
    const auto rows = select_reasons({Isa::vmx, "EPT_MISCONFIG"}).value();
    EXPECT_EQ(reasons_table(rows, 80, Color::off),
              "VMX (Intel): 1 exit reason\n"
              "  49  EPT_MISCONFIG  The guest touched device memory, which KVM marks by an EPT\n"
              "                     entry that is invalid on purpose: a virtio doorbell, HPET,\n"
              "                     IOAPIC, PCI configuration or registers of an emulated card.\n"
              "                     -> Take the doorbell out of the VMM with ioeventfd and\n"
              "                        vhost (or vhost-user, vDPA, VFIO); batching and event\n"
              "                        suppression in virtio save doorbells; use kvm-clock\n"
              "                        instead of HPET.\n");
}

TEST(ReasonsReport, NarrowTableHasTextBelowTheName) {
    const auto rows = select_reasons({std::nullopt, "invd"}).value();
    EXPECT_EQ(reasons_table(rows, 50, Color::off),
              "VMX (Intel): 1 exit reason\n"
              "  13  INVD\n"
              "    The guest threw away caches with INVD, which\n"
              "    always exits; firmware does it at start, and\n"
              "    KVM ignores it.\n"
              "\n"
              "SVM (AMD): 1 exit reason\n"
              "0x076  invd\n"
              "    The guest threw away caches with INVD;\n"
              "    firmware does it at start, and KVM ignores it.\n");
}

TEST(ReasonsReport, NoLineIsWiderThanTheTerminal) {
    const auto rows = select_reasons({}).value();
    for (const std::size_t width : {40U, 60U, 80U, 100U, 132U, 200U}) {
        EXPECT_LE(longest_line(reasons_table(rows, width, Color::off)), width);
    }
    EXPECT_LE(longest_line(reasons_table(rows, 0, Color::off)), 40U);
    EXPECT_THAT(reasons_table(rows, 80, Color::off), Not(HasSubstr(" \n")));
    EXPECT_THAT(reasons_table({}, 80, Color::off), IsEmpty());
}

TEST(ReasonsReport, ColourAddsOnlyEscapeSequences) {
    const auto rows = select_reasons({Isa::svm, "npf"}).value();
    EXPECT_THAT(reasons_table(rows, 80, Color::on), HasSubstr("\x1b["));
    EXPECT_THAT(reasons_table(rows, 80, Color::off), Not(HasSubstr("\x1b[")));
}

TEST(ReasonsReport, CsvHasALinePerReason) {
    const auto rows = select_reasons({std::nullopt, "invd"}).value();
    EXPECT_EQ(reasons_csv(rows),
              "isa,code,name,meaning,advice\n"
              "vmx,13,INVD,\"The guest threw away caches with INVD, which always exits; "
              "firmware does it at start, and KVM ignores it.\",\n"
              "svm,118,invd,\"The guest threw away caches with INVD; firmware does it at "
              "start, and KVM ignores it.\",\n");
    const auto all = reasons_csv(select_reasons({}).value());
    const auto lines = std::ranges::count(all, '\n');
    EXPECT_EQ(static_cast<std::size_t>(lines), select_reasons({}).value().size() + 1);
}

}  // namespace
}  // namespace exittop
