// SPDX-License-Identifier: GPL-2.0-only
#include "capture/target_reader.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

#include "capture/shared_word.h"
#include "model/exit_reason.h"

namespace exittop {
namespace {

/// How often an area is read until no entry became another target's meanwhile.
constexpr unsigned read_tries = 100;

TargetAccess read_or_write(bool is_write) {
    return is_write ? TargetAccess::write : TargetAccess::read;
}

std::string address_text(std::uint64_t value) {
    const std::uint64_t address = value / EXITTOP_TARGET_ADDRESS(1, 0);
    const TargetAccess access =
        (value & PF_FETCH) != 0 ? TargetAccess::fetch : read_or_write((value & PF_WRITE) != 0);
    return (value & PF_RESERVED) != 0 ? mmio_target(address, access) : page_target(address, access);
}

/// Of reasons whose code says it all: APM vol. 2, appendix C.
std::string fixed_text(std::uint32_t code) {
    if (code < 0x40) {
        return register_target(code < 0x20 ? "cr" : "dr", code & 0xf,
                               (code & 0x10) != 0 ? "write" : "read");
    }
    if (code < 0x60) return exception_target(std::uint8_t(code - 0x40));
    if (code == 0x65) return register_target("cr", 0, "write");  // CR0_SEL_WRITE
    return apic_target(0x300, TargetAccess::write);              // AVIC_INCOMPLETE_IPI: the ICR
}

std::string exception_text(std::uint64_t value) {
    if ((value & EXITTOP_HAS_ERROR_CODE) != 0) {
        return page_fault_target(std::uint32_t(value >> EXITTOP_ERROR_CODE_SHIFT));
    }
    return exception_target(std::uint8_t(value));
}

/// SDM vol. 3, tables 27-3 (control registers), 27-4 (debug registers), 27-6 (APIC access).
std::string cr_text(std::uint64_t value) {
    constexpr std::array<std::string_view, 4> accesses = {"write", "read", "clts", "lmsw"};
    return register_target("cr", value & 0xf, accesses[value >> 4 & 3]);
}

std::string apic_text(std::uint32_t code, std::uint64_t value) {
    constexpr std::uint32_t eoi_induced = 45, apic_write = 56;
    if (code == eoi_induced) return vector_target(std::uint8_t(value));
    if (code == apic_write) return apic_target(value & 0xfff, TargetAccess::write);
    constexpr std::array accesses = {TargetAccess::read, TargetAccess::write, TargetAccess::fetch};
    const std::uint64_t access = value >> 12;  // 4 bits; others are not of instructions
    return apic_target(value & 0xfff,
                       access < accesses.size() ? accesses[access] : TargetAccess::unknown);
}

/// SDM vol. 3, table 27-5.
std::string vmx_port_text(std::uint64_t value) {
    return port_target(std::uint16_t(value >> 16), (value & 8) == 0, unsigned(value & 7) + 1);
}

/// APM vol. 2, 15.10.2: bits 4, 5 and 6 are set for 1, 2 and 4 bytes.
std::string svm_port_text(std::uint64_t value) {
    return port_target(std::uint16_t(value >> 16), (value & 1) == 0, unsigned(value >> 4 & 7));
}

std::string hypercall_text(std::uint64_t value) {
    constexpr std::array<std::string_view, 4> interfaces = {"kvm", "hyperv", "xen", "l1"};
    const std::uint64_t number = value & ((std::uint64_t{1} << EXITTOP_HYPERCALL_SHIFT) - 1);
    return hypercall_target(interfaces[value >> EXITTOP_HYPERCALL_SHIFT & 3], number);
}

std::string leaf_text(std::uint64_t value) {
    const auto leaf = std::uint32_t(value);
    const auto subleaf = std::uint32_t(value >> 32);
    return subleaf == 0 ? leaf_target(leaf) : leaf_target(leaf, subleaf - 1);
}

/// Addresses are canonical: the highest bit that is kept goes on to the top.
std::uint64_t canonical(std::uint64_t value) {
    constexpr unsigned dropped = 64 - EXITTOP_TARGET_BITS;
    return static_cast<std::uint64_t>(static_cast<std::int64_t>(value << dropped) >> dropped);
}

/// Of MSR exits whose direction is that of their reason, on VMX.
TargetAccess msr_access(Isa isa, std::uint32_t code) {
    constexpr std::uint32_t msr_write = 32;
    return isa == Isa::vmx ? read_or_write(code == msr_write) : TargetAccess::unknown;
}

std::string why_unknown(std::uint16_t why) {
    switch (why) {
        case EXITTOP_WHY_NO_BTF: return "this kernel's BTF does not tell where it is";
        case EXITTOP_WHY_NOT_KEPT: return "KVM had not read it by the entry";
        case EXITTOP_WHY_NOT_TOLD: return "KVM traced no address";
        case EXITTOP_WHY_HIDDEN: return "the guest's registers are encrypted";
        case EXITTOP_WHY_TOO_LARGE: return "its number is too large";
        default: return {};
    }
}

struct RawTarget {
    std::uint64_t key = 0;
    TargetSum sum;
};

/// The entries of a reason and what goes with them, as they are now.
Targets read_once(const target_area& area, std::uint32_t entries, unsigned cell,
                  std::vector<RawTarget>& raw) {
    const reason_targets& reason = area.reasons[cell];
    Targets targets;
    raw.clear();
    std::uint32_t place = load(reason.first);
    for (std::uint32_t step = 0; place != 0 && place < entries && step < entries; ++step) {
        const target_entry& entry = area.entries[place];
        raw.push_back({load(entry.key), {load(entry.count), load(entry.time_ns)}});
        place = load(entry.next_of_reason);
    }
    targets.other = {load(reason.other), load(reason.other_ns)};
    targets.unknown = {load(reason.unknown), load(reason.unknown_ns)};
    if (targets.unknown.count > 0) targets.why = why_unknown(load(reason.why));
    return targets;
}

}  // namespace

std::string target_text(Isa isa, std::uint32_t code, std::uint8_t kind, std::uint64_t value) {
    switch (kind) {
        case EXITTOP_TARGET_FIXED: return fixed_text(code);
        case EXITTOP_TARGET_MSR:
            return msr_target(std::uint32_t(value), msr_access(isa, basic_exit_code(isa, code)));
        case EXITTOP_TARGET_MSR_SVM:
            return msr_target(std::uint32_t(value), read_or_write((value >> 32 & 1) != 0));
        case EXITTOP_TARGET_IO_SVM: return svm_port_text(value);
        case EXITTOP_TARGET_IO_VMX: return vmx_port_text(value);
        case EXITTOP_TARGET_NPF:
        case EXITTOP_TARGET_EPT_VIOLATION:
        case EXITTOP_TARGET_EPT_MISCONFIG: return address_text(value);
        case EXITTOP_TARGET_PF_SVM: return page_fault_target(std::uint32_t(value));
        case EXITTOP_TARGET_AVIC:
            return apic_target(value & 0xff0, read_or_write((value >> 32 & 1) != 0));
        case EXITTOP_TARGET_GHCB: return ghcb_target(std::uint32_t(value));
        case EXITTOP_TARGET_RIP_SVM:
        case EXITTOP_TARGET_RIP_VMX: return rip_target(canonical(value));
        case EXITTOP_TARGET_CR_VMX: return cr_text(value);
        case EXITTOP_TARGET_DR_VMX:
            return register_target("dr", value & 7, (value & 0x10) != 0 ? "read" : "write");
        case EXITTOP_TARGET_APIC_VMX: return apic_text(code, value);
        case EXITTOP_TARGET_VECTOR_VMX: return vector_target(std::uint8_t(value));
        case EXITTOP_TARGET_EXCEPTION_VMX: return exception_text(value);
        case EXITTOP_TARGET_CPUID: return leaf_text(value);
        case EXITTOP_TARGET_HYPERCALL: return hypercall_text(value);
        default: return {};
    }
}

Targets read_targets(const TargetSource& source, Isa isa, unsigned cell, std::uint32_t code) {
    std::vector<RawTarget> raw;
    Targets targets;
    for (unsigned tries = 0; tries < read_tries; ++tries) {
        const std::uint32_t before = load(source.area->replaced);
        targets = read_once(*source.area, source.entries, cell, raw);
        if (before % 2 == 0 && load(source.area->replaced) == before) break;
    }
    const std::uint8_t kind = source.kinds->of(code);
    for (const RawTarget& each : raw) {
        targets.add(target_text(isa, code, kind, EXITTOP_TARGET_VALUE(each.key)), each.sum);
    }
    return targets;
}

}  // namespace exittop
