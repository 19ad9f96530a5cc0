// SPDX-License-Identifier: GPL-2.0-only
// What people call targets, against the manuals; and that odd texts have no names.
#include "model/target_name.h"

#include <cctype>
#include <set>
#include <string>
#include <string_view>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "model/exit_reason.h"
#include "model/target.h"
#include "model/target_tables.h"

namespace exittop {
namespace {

constexpr std::uint32_t vmx_exception = 0, vmx_external_interrupt = 1, vmx_cpuid = 10, vmx_hlt = 12;
constexpr std::uint32_t vmx_vmcall = 18, vmx_cr = 28, vmx_dr = 29, vmx_io = 30, vmx_msr_write = 32;
constexpr std::uint32_t vmx_ept_violation = 48, vmx_ept_misconfig = 49, vmx_apic_write = 56;
constexpr std::uint32_t svm_msr = 0x7c, svm_npf = 0x400, svm_vmgexit = 0x403;

std::string_view vmx_name(std::uint32_t code, std::string_view target) {
    return target_name(Isa::vmx, code, target);
}

std::string_view svm_name(std::uint32_t code, std::string_view target) {
    return target_name(Isa::svm, code, target);
}

TEST(TargetName, OfMsrs) {
    EXPECT_EQ(vmx_name(vmx_msr_write, "0x6e0 write"), "IA32_TSC_DEADLINE");
    EXPECT_EQ(svm_name(svm_msr, "0x6e0 read"), "IA32_TSC_DEADLINE");
    EXPECT_EQ(vmx_name(vmx_msr_write, "0x10"), "IA32_TIME_STAMP_COUNTER");
    EXPECT_EQ(vmx_name(vmx_msr_write, "0x830 write"), "IA32_X2APIC_ICR");
    EXPECT_EQ(vmx_name(vmx_msr_write, "0x80b write"), "IA32_X2APIC_EOI");
    EXPECT_EQ(vmx_name(vmx_msr_write, "0x817 read"), "IA32_X2APIC_ISR7");
    EXPECT_EQ(vmx_name(vmx_msr_write, "0x836 write"), "IA32_X2APIC_LVT_LINT1");
    EXPECT_EQ(vmx_name(vmx_msr_write, "0x40d write"), "IA32_MC3_STATUS");
    EXPECT_EQ(vmx_name(vmx_msr_write, "0x47f write"), "IA32_MC31_MISC");
    EXPECT_EQ(vmx_name(vmx_msr_write, "0x205 write"), "IA32_MTRR_PHYSMASK2");
    EXPECT_EQ(vmx_name(vmx_msr_write, "0xc8 read"), "IA32_PMC7");
    EXPECT_EQ(svm_name(svm_msr, "0xc0010015 read"), "HWCR");
    EXPECT_EQ(svm_name(svm_msr, "0xc001020b read"), "PERF_CTR5");
    EXPECT_EQ(svm_name(svm_msr, "0xc0002011 read"), "MCA_STATUS_1");
    EXPECT_EQ(svm_name(svm_msr, "0x40000070 write"), "HV_X64_MSR_EOI");
    EXPECT_EQ(svm_name(svm_msr, "0x400000b3 write"), "HV_X64_MSR_STIMER1_COUNT");
    EXPECT_EQ(svm_name(svm_msr, "0x4b564d03 write"), "MSR_KVM_STEAL_TIME");
    EXPECT_EQ(svm_name(svm_msr, "0x12345"), "");
}

TEST(TargetName, OfPorts) {
    EXPECT_EQ(vmx_name(vmx_io, "port 0x608 in 4"), "ACPI PM timer");
    EXPECT_EQ(vmx_name(vmx_io, "port 0xb008 in 4"), "ACPI PM timer");
    EXPECT_EQ(vmx_name(vmx_io, "port 0x3f8 out 1"), "serial");
    EXPECT_EQ(vmx_name(vmx_io, "port 0x3fd in 1"), "serial");
    EXPECT_EQ(svm_name(0x7b, "port 0xcf9 out 1"), "reset");
    EXPECT_EQ(svm_name(0x7b, "port 0xcfe in 2"), "PCI config data");
    EXPECT_EQ(svm_name(0x7b, "port 0x514 out 4"), "fw_cfg DMA");
    EXPECT_EQ(svm_name(0x7b, "port 0xcd8 in 4"), "ACPI CPU hotplug");
    EXPECT_EQ(svm_name(0x7b, "port 0x80"), "POST code");
    EXPECT_EQ(svm_name(0x7b, "port 0xc040 out 2"), "") << "a PCI device's, by who knows which";
}

TEST(TargetName, OfAddresses) {
    EXPECT_EQ(svm_name(svm_npf, "0xfee000b0 write"), "local APIC EOI");
    EXPECT_EQ(svm_name(svm_npf, "0xfee00380 write"), "local APIC timer initial count");
    EXPECT_EQ(svm_name(svm_npf, "0xfee00004 write"), "local APIC");
    EXPECT_EQ(svm_name(svm_npf, "0xfee01000 write"), "");
    EXPECT_EQ(vmx_name(vmx_ept_misconfig, "0xfec00000 write"), "IO-APIC select");
    EXPECT_EQ(vmx_name(vmx_ept_misconfig, "0xfed000f0 read"), "HPET main counter");
    EXPECT_EQ(vmx_name(vmx_ept_misconfig, "0xfed00128 write"), "HPET timer 1 comparator");
    EXPECT_EQ(vmx_name(vmx_ept_misconfig, "0xfed40018 read"), "TPM");
    EXPECT_EQ(vmx_name(vmx_ept_misconfig, "0xb8000 write"), "VGA memory");
    EXPECT_EQ(vmx_name(vmx_ept_misconfig, "0xb0008010"), "PCI Express configuration");
    EXPECT_EQ(vmx_name(vmx_ept_violation, "0xfffffff0 fetch"), "firmware flash");
    EXPECT_EQ(vmx_name(vmx_ept_violation, "0x100000000 write"), "");
    EXPECT_EQ(vmx_name(vmx_ept_violation, "page 0xfee00000 write"), "") << "it is memory";
}

TEST(TargetName, OfTheSameTextDependsOnTheReason) {
    EXPECT_EQ(vmx_name(vmx_msr_write, "0xfee000b0 write"), "");
    EXPECT_EQ(vmx_name(vmx_ept_misconfig, "0x6e0 write"), "");
    EXPECT_EQ(vmx_name(vmx_hlt, "0x6e0 write"), "");
    EXPECT_EQ(target_name(Isa::unknown, vmx_msr_write, "0x6e0 write"), "");
    constexpr std::uint32_t failed_entry = 1U << 31;
    EXPECT_EQ(vmx_name(vmx_msr_write | failed_entry, "0x6e0 write"), "IA32_TSC_DEADLINE");
    EXPECT_EQ(svm_name(svm_msr | failed_entry, "0x6e0 write"), "");
}

TEST(TargetName, OfTheCpu) {
    EXPECT_EQ(vmx_name(vmx_cr, "cr3 write"), "page table base");
    EXPECT_EQ(svm_name(0x13, "cr3 write"), "page table base");
    EXPECT_EQ(vmx_name(vmx_cr, "cr0 clts"), "operating mode");
    EXPECT_EQ(vmx_name(vmx_cr, "cr3 clts"), "");
    EXPECT_EQ(vmx_name(vmx_cr, "cr8 read"), "task priority");
    EXPECT_EQ(vmx_name(vmx_dr, "dr7 write"), "debug control");
    EXPECT_EQ(vmx_name(vmx_dr, "dr2 read"), "breakpoint 2 address");
    EXPECT_EQ(vmx_name(vmx_cr, "dr7 write"), "");
    EXPECT_EQ(vmx_name(vmx_exception, "#UD"), "invalid opcode");
    EXPECT_EQ(vmx_name(vmx_exception, "NMI"), "non-maskable interrupt");
    EXPECT_EQ(vmx_name(vmx_exception, "#PF"), "page fault");
    EXPECT_EQ(vmx_name(vmx_exception, "#PF write user"), "page fault");
    EXPECT_EQ(svm_name(0x4e, "#PF fetch kernel protection reserved"), "page fault");
    EXPECT_EQ(svm_name(0x5d, "#VC"), "VMM communication");
    EXPECT_EQ(vmx_name(vmx_cpuid, "leaf 0x40000000"), "hypervisor");
    EXPECT_EQ(vmx_name(vmx_cpuid, "leaf 0x4.2"), "cache parameters");
    EXPECT_EQ(svm_name(0x72, "leaf 0x8000001d.0"), "cache parameters");
    EXPECT_EQ(vmx_name(vmx_apic_write, "apic 0xb0 write"), "EOI");
    EXPECT_EQ(svm_name(0x401, "apic 0x300 write"), "ICR");
}

TEST(TargetName, OfVectorsIsTheGuestsToDecide) {
    EXPECT_EQ(vmx_name(vmx_external_interrupt, "vector 0xec"), "");
    EXPECT_EQ(vmx_name(vmx_external_interrupt, "vector 0x2"), "NMI");
}

TEST(TargetName, OfHypercalls) {
    EXPECT_EQ(vmx_name(vmx_vmcall, "hypercall kvm 5"), "KICK_CPU");
    EXPECT_EQ(svm_name(0x81, "hypercall hyperv 0x5c"), "HvCallPostMessage");
    EXPECT_EQ(svm_name(0x81, "hypercall xen 29"), "sched_op");
    EXPECT_EQ(svm_name(0x81, "hypercall l1 5"), "");
    EXPECT_EQ(svm_name(svm_vmgexit, "ghcb 0x80000001"), "MMIO read");
    EXPECT_EQ(svm_name(svm_vmgexit, "ghcb 0x7c"), "msr");
}

TEST(TargetName, IsNothingForOtherTexts) {
    for (const std::string_view text : {"",
                                        " ",
                                        "0x",
                                        "0x6e0 ",
                                        "0x6e0  write",
                                        "0x6e0 write ",
                                        "0x6e0 out",
                                        "0X6e0 write",
                                        "0x06e0 write",
                                        "0x6E0 write",
                                        "6e0 write",
                                        "-0x6e0",
                                        "0x6e0.1",
                                        "0x6e0 writewrite",
                                        "0x100000000000006e0 write",
                                        "rip 0xffffffff81073744",
                                        "page 0x6e0 write",
                                        "leaf 0x4.",
                                        "leaf 0x4.02",
                                        "leaf 0x4.0x2",
                                        "leaf 0x4.4294967296",
                                        "leaf 4",
                                        "port 0x3f8 out",
                                        "port 0x3f8 out 3",
                                        "port 0x103f8 out 1",
                                        "port 3f8 out 1",
                                        "#PF ",
                                        "#PF write",
                                        "#PF user write",
                                        "#pf",
                                        "#PF write user protection reserved ",
                                        "# ",
                                        "cr",
                                        "cr3write",
                                        "cr03 write",
                                        "cr3 fetch",
                                        "cr16 write",
                                        "crf write",
                                        "vector 2",
                                        "vector 0x102",
                                        "hypercall",
                                        "hypercall kvm",
                                        "hypercall kvm 0x5",
                                        "hypercall kvm 5 ",
                                        "hypercall hyperv 5",
                                        "hypercall xen 29a",
                                        "ghcb 0x180000001",
                                        "ghcb",
                                        "apic 0xb1 write",
                                        "\x1b[2J",
                                        "0x6e0\nwrite",
                                        "\xff\xfe"}) {
        for (const Isa isa : {Isa::vmx, Isa::svm}) {
            for (const ExitReason& reason : exit_reasons(isa)) {
                EXPECT_EQ(target_name(isa, reason.code, text), "") << reason.name << ": " << text;
            }
        }
    }
    const std::string_view with_nul("0x6e0\0 write", 12);
    EXPECT_EQ(vmx_name(vmx_msr_write, with_nul), "");
    EXPECT_EQ(vmx_name(vmx_msr_write, "0x" + std::string(100'000, 'f')), "");
}

RC_GTEST_PROP(TargetName, NeverCrashes, (const std::string& text, std::uint16_t code)) {
    const std::string hex = "0x" + text, leaf = "leaf 0x4." + text, port = "port 0x3f8" + text;
    for (const Isa isa : {Isa::vmx, Isa::svm}) {
        for (const std::string& target : {text, hex, leaf, port}) {
            static_cast<void>(target_name(isa, code & 0x4ff, target));
        }
    }
}

TEST(TargetName, EveryTableIsInOrder) {
    for (const auto& table :
         {intel_msrs(), synthetic_msrs(), amd_msrs(), ports(), apic_registers(), device_registers(),
          device_addresses(), control_registers(), debug_registers(), exceptions(), cpuid_leaves(),
          kvm_hypercalls(), hyperv_hypercalls(), xen_hypercalls(), ghcb_codes()}) {
        ASSERT_FALSE(table.empty());
        EXPECT_TRUE(is_in_order(table)) << table.front().name;
    }
    EXPECT_FALSE(is_in_order(std::array{NameRow{2, "b"}, NameRow{1, "a"}}));
    EXPECT_FALSE(is_in_order(std::array{NameRow{1, "a"}, NameRow{1, "b"}}));
    EXPECT_FALSE(is_in_order(std::array{NameRow{1, ""}}));
}

TEST(TargetName, EveryNameIsOfPrintableWords) {
    for (const Isa isa : {Isa::vmx, Isa::svm}) {
        for (const ExitReason& reason : exit_reasons(isa)) {
            for (const KnownTarget& known : known_targets(isa, reason.code)) {
                EXPECT_FALSE(known.name.empty()) << known.target;
                EXPECT_FALSE(known.name.contains("{}")) << known.name;
                EXPECT_FALSE(known.name.starts_with(' ') || known.name.ends_with(' '));
                for (const char c : known.name) {
                    EXPECT_TRUE(std::isprint(static_cast<unsigned char>(c)) != 0);
                }
            }
        }
    }
}

TEST(KnownTargets, HaveTheirNamesOneByOne) {
    for (const Isa isa : {Isa::vmx, Isa::svm}) {
        for (const ExitReason& reason : exit_reasons(isa)) {
            std::set<std::string> targets;
            for (const KnownTarget& known : known_targets(isa, reason.code)) {
                SCOPED_TRACE(known.target);
                EXPECT_TRUE(targets.insert(known.target).second);
                const std::size_t range = known.target.find('-');
                if (range == std::string::npos) {
                    EXPECT_EQ(target_name(isa, reason.code, known.target), known.name);
                    continue;
                }
                const std::size_t number = known.target.find("0x");
                const std::string last =
                    known.target.substr(0, number) + known.target.substr(range + 1);
                EXPECT_EQ(target_name(isa, reason.code, last), known.name);
            }
            EXPECT_EQ(targets.empty(), target_kind(isa, reason.code) == TargetKind::none)
                << reason.name;
        }
    }
}

std::vector<std::string> texts(const std::vector<KnownTarget>& targets) {
    std::vector<std::string> lines;
    for (const KnownTarget& known : targets) {
        lines.push_back(known.target + ": " + std::string(known.name));
    }
    return lines;
}

TEST(KnownTargets, AreThoseOfTheReason) {
    using testing::Contains;
    using testing::ElementsAre;
    using testing::IsEmpty;
    using testing::SizeIs;
    const auto msrs = known_targets(Isa::vmx, vmx_msr_write);
    EXPECT_THAT(texts(msrs), Contains("0x6e0: IA32_TSC_DEADLINE"));
    EXPECT_THAT(msrs, SizeIs(testing::Ge(200U)));
    EXPECT_EQ(texts(known_targets(Isa::svm, svm_msr)), texts(msrs));
    EXPECT_THAT(texts(known_targets(Isa::vmx, vmx_io)), Contains("port 0x3f8-0x3ff: serial"));
    EXPECT_THAT(texts(known_targets(Isa::svm, 0x13)), ElementsAre("cr3: page table base"));
    EXPECT_THAT(texts(known_targets(Isa::svm, 0x27)), ElementsAre("dr7: debug control"));
    EXPECT_THAT(texts(known_targets(Isa::svm, 0x4e)), ElementsAre("#PF: page fault"));
    EXPECT_THAT(texts(known_targets(Isa::svm, 0x401)), ElementsAre("apic 0x300: ICR"));
    EXPECT_THAT(texts(known_targets(Isa::vmx, vmx_hlt)), IsEmpty());
    EXPECT_THAT(known_targets(Isa::unknown, 1), IsEmpty());
    EXPECT_THAT(known_targets(Isa::svm, 0xffffffff), IsEmpty());
}

TEST(TargetKind, HasAKeyAndATitle) {
    EXPECT_EQ(target_kind_key(target_kind(Isa::svm, svm_msr)), "msr");
    EXPECT_EQ(target_kind_title(target_kind(Isa::vmx, vmx_io)), "I/O ports");
    EXPECT_EQ(target_kind_key(target_kind(Isa::vmx, vmx_hlt)), "rip");
    EXPECT_EQ(target_kind_title(TargetKind::none), "the guest's RIP, with --targets rip");
    EXPECT_EQ(target_kind(Isa::unknown, vmx_io), TargetKind::none);
}

}  // namespace
}  // namespace exittop
