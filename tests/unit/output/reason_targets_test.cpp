// SPDX-License-Identifier: GPL-2.0-only
// `exittop reasons --targets` and `--format json`.
#include "output/reason_targets.h"

#include <algorithm>
#include <optional>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "golden.h"
#include "output/json.h"

namespace exittop {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

ReasonRows reasons(const std::string& what, std::optional<Isa> isa = std::nullopt) {
    return select_reasons({isa, what}).value();
}

std::string table(const ReasonRows& rows) { return reason_targets_table(rows, 80, Color::off); }

TEST(ReasonTargets, AreATable) {
    test::expect_golden("reason_targets_address.txt", table(reasons("EPT_MISCONFIG")));
    test::expect_golden("reason_targets_port.txt", table(reasons("io", Isa::svm)));
    EXPECT_THAT(table(reasons("MSR_WRITE")),
                HasSubstr("\n0x6e0       IA32_TSC_DEADLINE\n0x6e1       IA32_PKRS\n"));
    EXPECT_EQ(table(reasons("write_cr3")),
              "SVM (AMD): write_cr3\n"
              "Its targets are control registers. Those that have a name:\n"
              "TARGET  NAME\n"
              "cr3     page table base\n");
}

TEST(ReasonTargets, OfAReasonWithoutAnyAreThePlaceInTheGuest) {
    EXPECT_EQ(table(reasons("hlt")),
              "VMX (Intel): HLT\n"
              "It has no targets of its own. Its target is the guest's RIP, with --targets rip.\n"
              "\n"
              "SVM (AMD): hlt\n"
              "It has no targets of its own. Its target is the guest's RIP, with --targets rip.\n");
    EXPECT_EQ(reason_targets_csv(reasons("hlt")), "isa,code,reason,target,name\n");
}

TEST(ReasonTargets, AreCsv) {
    EXPECT_EQ(reason_targets_csv(reasons("EXTERNAL_INTERRUPT")),
              "isa,code,reason,target,name\n"
              "vmx,1,EXTERNAL_INTERRUPT,vector 0x2,NMI\n");
    EXPECT_THAT(reason_targets_csv(reasons("cpuid")),
                HasSubstr("\nsvm,114,cpuid,leaf 0x1f,\"topology, version 2\"\n"));
}

TEST(ReasonTargets, AreJson) {
    test::expect_golden("reason_targets.json", targets_to_json(reasons("vmgexit")));
    EXPECT_EQ(targets_to_json(reasons("hlt", Isa::vmx)),
              "{\"schema\":\"exittop-reasons/1\",\"reasons\":[{\"isa\":\"vmx\",\"code\":12,"
              "\"reason\":\"HLT\",\"kind\":\"rip\",\"targets\":[]}]}\n");
}

TEST(ReasonTargets, ColourAddsOnlyEscapeSequences) {
    EXPECT_THAT(reason_targets_table(reasons("io"), 80, Color::on), HasSubstr("\x1b["));
    EXPECT_THAT(table(reasons("io")), Not(HasSubstr("\x1b[")));
    EXPECT_THAT(table({}), testing::IsEmpty());
}

TEST(ReasonsReport, IsJson) {
    test::expect_golden("reasons.json", to_json(reasons("EPT_MISCONFIG")));
    EXPECT_THAT(to_json(reasons("")),
                StartsWith("{\"schema\":\"exittop-reasons/1\",\"reasons\":["));
}

}  // namespace
}  // namespace exittop
