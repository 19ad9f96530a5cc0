// SPDX-License-Identifier: GPL-2.0-only
// The table of exit reasons against the names that kernels print, and its look-ups.
#include "model/exit_reason.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "kernel_exit_names.h"

namespace exittop {
namespace {

constexpr std::array both_isas{Isa::vmx, Isa::svm};

bool is_printable(unsigned char c) { return std::isprint(c) != 0; }

struct KernelName {
    Isa isa;
    std::uint32_t code;
    std::string name;
};

/// "48", "0x040 + 14" or "-1".
std::uint32_t sum_of_terms(const std::string& text) {
    const std::size_t plus = text.find(" + ");
    const long long first = std::stoll(text, nullptr, 0);
    const long long second = plus == std::string::npos ? 0 : std::stoll(text.substr(plus + 3));
    return static_cast<std::uint32_t>(first + second);
}

/// The __print_symbolic tables in the format file of the tracepoint kvm_exit: first VMX, then SVM,
/// told apart by the row that opens the second. A row is `{ 48, "EPT_VIOLATION" }`.
std::vector<KernelName> kernel_names(const std::string& format) {
    std::vector<KernelName> names;
    Isa isa = Isa::vmx;
    std::size_t at = 0;
    while ((at = format.find("{ ", at)) != std::string::npos) {
        const std::size_t code = at + 2;
        const std::size_t name = format.find(", \"", code);
        at = format.find("\" }", name);
        if (name == std::string::npos || at == std::string::npos) break;
        const std::string text = format.substr(name + 3, at - name - 3);
        if (text == "read_cr0") isa = Isa::svm;
        if (text == "FAILED_VMENTRY") continue;
        names.push_back({isa, sum_of_terms(format.substr(code, name - code)), text});
    }
    return names;
}

void expect_names_known(const std::vector<KernelName>& names) {
    EXPECT_GT(names.size(), 150U);
    for (const KernelName& expected : names) {
        const ExitReason* found = find_exit_reason(expected.isa, expected.code);
        ASSERT_NE(found, nullptr) << expected.name;
        EXPECT_EQ(found->name, expected.name);
    }
}

TEST(ExitReason, NamesAreThoseOfTheNewestKernel) {
    expect_names_known(kernel_names(std::string(kernel_exit_names)));
}

TEST(ExitReason, NamesAreThoseOfTheRunningKernel) {
    const std::filesystem::path format = "/sys/kernel/tracing/events/kvm/kvm_exit/format";
    std::ifstream file(format);
    if (!file) GTEST_SKIP() << "kvm is not loaded, or its tracepoints hidden: no " << format;
    std::stringstream text;
    text << file.rdbuf();
    expect_names_known(kernel_names(text.str()));
}

TEST(ExitReason, CodesAreThoseOfTheManuals) {
    const auto name = [](Isa isa, std::uint32_t code) { return exit_reason_name(isa, code); };
    EXPECT_EQ(name(Isa::vmx, 0), "EXCEPTION_NMI");
    EXPECT_EQ(name(Isa::vmx, 7), "INTERRUPT_WINDOW");
    EXPECT_EQ(name(Isa::vmx, 10), "CPUID");
    EXPECT_EQ(name(Isa::vmx, 48), "EPT_VIOLATION");
    EXPECT_EQ(name(Isa::vmx, 49), "EPT_MISCONFIG");
    EXPECT_EQ(name(Isa::vmx, 77), "TDCALL");
    EXPECT_EQ(name(Isa::vmx, 84), "MSR_READ_IMM");
    EXPECT_EQ(name(Isa::vmx, 85), "MSR_WRITE_IMM");
    EXPECT_EQ(name(Isa::svm, 0x4e), "PF excp");
    EXPECT_EQ(name(Isa::svm, 0x81), "hypercall");
    EXPECT_EQ(name(Isa::svm, 0xa6), "idle-halt");
    EXPECT_EQ(name(Isa::svm, 0x400), "npf");
    EXPECT_EQ(name(Isa::svm, 0x80000010), "vmgexit_page_state_change");
    EXPECT_EQ(name(Isa::svm, 0xffffffff), "invalid_guest_state");
}

TEST(ExitReason, VmxHasEveryAssignedReasonUpTo85) {
    const std::set<std::uint32_t> unassigned{35, 38, 42, 71, 82, 83};
    for (std::uint32_t code = 0; code <= 85; ++code) {
        const bool known = find_exit_reason(Isa::vmx, code) != nullptr;
        EXPECT_EQ(known, !unassigned.contains(code)) << code;
    }
    EXPECT_EQ(exit_reasons(Isa::vmx).back().code, 85U);
}

TEST(ExitReason, EveryRowIsComplete) {
    for (const Isa isa : both_isas) {
        std::set<std::string_view> names;
        for (const ExitReason& reason : exit_reasons(isa)) {
            SCOPED_TRACE(reason.name);
            EXPECT_EQ(reason.isa, isa);
            EXPECT_TRUE(names.insert(reason.name).second) << "name used twice";
            for (const std::string_view text : {reason.meaning, reason.advice}) {
                if (text.empty()) continue;
                EXPECT_TRUE(text.ends_with('.'));
                EXPECT_EQ(text.find("  "), std::string_view::npos);
                EXPECT_TRUE(std::ranges::all_of(text, is_printable));
            }
            EXPECT_GT(reason.meaning.size(), 20U);
        }
    }
}

TEST(ExitReason, EveryNameLeadsBackToItsCode) {
    for (const Isa isa : both_isas) {
        for (const ExitReason& reason : exit_reasons(isa)) {
            EXPECT_EQ(exit_code_by_name(isa, reason.name), reason.code) << reason.name;
            EXPECT_EQ(find_exit_reason(isa, reason.code), &reason) << reason.name;
        }
    }
}

TEST(ExitReason, FlagsAreNamedAfterTheReason) {
    EXPECT_EQ(exit_reason_name(Isa::vmx, 0x80000021), "INVALID_STATE|FAILED_VMENTRY");
    EXPECT_EQ(exit_reason_name(Isa::vmx, 0x04000030), "EPT_VIOLATION|BUS_LOCKED");
    EXPECT_EQ(exit_reason_name(Isa::vmx, 0x8001000a), "CPUID|FAILED_VMENTRY|0x10000");
    EXPECT_EQ(basic_exit_code(Isa::vmx, 0x80000021), 33U);
    EXPECT_EQ(basic_exit_code(Isa::svm, 0x80000001), 0x80000001U);
    EXPECT_EQ(find_exit_reason(Isa::vmx, 0x80000021)->name, "INVALID_STATE");
    for (const std::uint32_t code : {0x80000021U, 0x04000030U, 0x8001000aU, 0xffff000cU, 0x5fU}) {
        EXPECT_EQ(exit_code_by_name(Isa::vmx, exit_reason_name(Isa::vmx, code)), code);
    }
}

TEST(ExitReason, UnknownCodesKeepTheirNumber) {
    EXPECT_EQ(exit_reason_name(Isa::vmx, 95), "0x5f");
    EXPECT_EQ(exit_reason_name(Isa::vmx, 0xffffffff), "0xffffffff");
    EXPECT_EQ(exit_reason_name(Isa::svm, 0x500), "0x500");
    EXPECT_EQ(exit_reason_name(Isa::unknown, 10), "0xa");
    EXPECT_EQ(exit_reason_name(Isa{7}, 10), "0xa");
    EXPECT_EQ(find_exit_reason(Isa::vmx, 95), nullptr);
    EXPECT_EQ(find_exit_reason(Isa{7}, 10), nullptr);
    EXPECT_TRUE(exit_reasons(Isa::unknown).empty());
}

TEST(ExitReason, NamesAndNumbersAreReadInManyForms) {
    EXPECT_EQ(exit_code_by_name(Isa::vmx, "ept_violation"), 48U);
    EXPECT_EQ(exit_code_by_name(Isa::svm, "NPF"), 0x400U);
    EXPECT_EQ(exit_code_by_name(Isa::svm, "pf_excp"), 0x4eU);
    EXPECT_EQ(exit_code_by_name(Isa::svm, "idle_halt"), 0xa6U);
    EXPECT_EQ(exit_code_by_name(Isa::svm, "0x400"), 0x400U);
    EXPECT_EQ(exit_code_by_name(Isa::svm, "0X4E"), 0x4eU);
    EXPECT_EQ(exit_code_by_name(Isa::svm, "1024"), 0x400U);
    EXPECT_EQ(exit_code_by_name(Isa::svm, "4294967295"), 0xffffffffU);
    EXPECT_EQ(exit_code_by_name(Isa::unknown, "0x12345"), 0x12345U);
}

TEST(ExitReason, OtherTextIsNoReason) {
    for (const std::string_view text :
         {"", "0x", "-1", "+1", " 1", "1 ", "4294967296", "0x100000000", "npf", "CPUID|", "|CPUID",
          "CPUID|NOSUCH", "CPUID|1", "CPUID|FAILED_VMENTRY|", "HLTX", "HL", "\x1b[31m"}) {
        EXPECT_EQ(exit_code_by_name(Isa::vmx, text), std::nullopt) << text;
    }
    EXPECT_EQ(exit_code_by_name(Isa::svm, "hlt|FAILED_VMENTRY"), std::nullopt);
    EXPECT_EQ(exit_code_by_name(Isa::unknown, "CPUID"), std::nullopt);
}

TEST(ExitReason, IsaHasANameOrItsNumber) {
    EXPECT_EQ(isa_name(Isa::vmx), "vmx");
    EXPECT_EQ(isa_name(Isa::svm), "svm");
    EXPECT_EQ(isa_name(Isa::unknown), "0");
    EXPECT_EQ(isa_name(Isa{9}), "9");
}

}  // namespace
}  // namespace exittop
