// SPDX-License-Identifier: GPL-2.0-only
#include "capture/target_kinds.h"

#include <algorithm>
#include <optional>
#include <string>

#include <fmt/format.h>

#include "model/exit_reason.h"

namespace exittop {
namespace {

/// A range of codes with one kind of target.
struct KindOfCodes {
    std::uint32_t first;
    std::uint32_t last;
    exittop_target_kind kind;
    exittop_target_kind without_btf = EXITTOP_TARGET_UNKNOWN;
};

// APM vol. 2, appendix C. INVLPG's addresses say nothing; the vector of an interrupt is not there.
constexpr std::array svm_kinds = {
    KindOfCodes{0x00, 0x3f, EXITTOP_TARGET_FIXED, EXITTOP_TARGET_FIXED},          // CR, DR
    KindOfCodes{0x40, 0x5f, EXITTOP_TARGET_FIXED, EXITTOP_TARGET_FIXED},          // exceptions
    KindOfCodes{0x4e, 0x4e, EXITTOP_TARGET_PF_SVM, EXITTOP_TARGET_FIXED},         // page fault
    KindOfCodes{0x65, 0x65, EXITTOP_TARGET_FIXED, EXITTOP_TARGET_FIXED},          // CR0_SEL_WRITE
    KindOfCodes{0x72, 0x72, EXITTOP_TARGET_CPUID, EXITTOP_TARGET_CPUID},          // CPUID
    KindOfCodes{0x7b, 0x7b, EXITTOP_TARGET_IO_SVM},                               // IOIO
    KindOfCodes{0x7c, 0x7c, EXITTOP_TARGET_MSR_SVM, EXITTOP_TARGET_MSR},          // MSR
    KindOfCodes{0x81, 0x81, EXITTOP_TARGET_HYPERCALL, EXITTOP_TARGET_HYPERCALL},  // VMMCALL
    KindOfCodes{0x400, 0x400, EXITTOP_TARGET_NPF},                                // NPF
    KindOfCodes{0x401, 0x401, EXITTOP_TARGET_FIXED, EXITTOP_TARGET_FIXED},  // AVIC_INCOMPLETE_IPI
    KindOfCodes{0x402, 0x402, EXITTOP_TARGET_AVIC},  // AVIC_UNACCELERATED_ACCESS
    KindOfCodes{0x403, 0x403, EXITTOP_TARGET_GHCB},  // VMGEXIT
};

// SDM vol. 3, appendix C.
constexpr std::array vmx_kinds = {
    KindOfCodes{0, 0, EXITTOP_TARGET_EXCEPTION_VMX},                          // EXCEPTION_NMI
    KindOfCodes{1, 1, EXITTOP_TARGET_VECTOR_VMX},                             // EXTERNAL_INTERRUPT
    KindOfCodes{10, 10, EXITTOP_TARGET_CPUID, EXITTOP_TARGET_CPUID},          // CPUID
    KindOfCodes{18, 18, EXITTOP_TARGET_HYPERCALL, EXITTOP_TARGET_HYPERCALL},  // VMCALL
    KindOfCodes{28, 28, EXITTOP_TARGET_CR_VMX},                               // CR_ACCESS
    KindOfCodes{29, 29, EXITTOP_TARGET_DR_VMX},                               // DR_ACCESS
    KindOfCodes{30, 30, EXITTOP_TARGET_IO_VMX},                               // IO_INSTRUCTION
    KindOfCodes{31, 32, EXITTOP_TARGET_MSR, EXITTOP_TARGET_MSR},              // MSR_READ, MSR_WRITE
    KindOfCodes{44, 45, EXITTOP_TARGET_APIC_VMX},       // APIC_ACCESS, EOI_INDUCED
    KindOfCodes{48, 48, EXITTOP_TARGET_EPT_VIOLATION},  // EPT_VIOLATION
    KindOfCodes{49, 49, EXITTOP_TARGET_EPT_MISCONFIG},  // EPT_MISCONFIG
    KindOfCodes{56, 56, EXITTOP_TARGET_APIC_VMX},       // APIC_WRITE
};

/// The kind of a code of its own accord; the last range that has it counts.
std::uint8_t own_kind(Isa isa, std::uint32_t code, bool vendor_btf) {
    std::uint8_t kind = EXITTOP_TARGET_NONE;
    const auto look = [&](const auto& kinds) {
        for (const KindOfCodes& each : kinds) {
            if (code < each.first || code > each.last) continue;
            kind = std::uint8_t(vendor_btf ? each.kind : each.without_btf);
        }
    };
    if (isa == Isa::svm) look(svm_kinds);
    if (isa == Isa::vmx) look(vmx_kinds);
    return kind;
}

std::uint8_t rip_kind(Isa isa, bool vendor_btf) {
    if (!vendor_btf) return EXITTOP_TARGET_UNKNOWN;
    return isa == Isa::svm ? EXITTOP_TARGET_RIP_SVM : EXITTOP_TARGET_RIP_VMX;
}

std::optional<std::uint32_t> index_of(std::uint32_t code) {
    if (code < EXITTOP_DIRECT_CODES) return code;
    if (code >= EXITTOP_NPF_CODE && code - EXITTOP_NPF_CODE < EXITTOP_NPF_CODES) {
        return EXITTOP_DIRECT_CODES + (code - EXITTOP_NPF_CODE);
    }
    return std::nullopt;
}

}  // namespace

std::uint8_t TargetKinds::of(std::uint32_t code) const {
    const auto index = index_of(code);
    return index ? by_index[*index] : other;
}

std::expected<TargetKinds, Error> target_kinds(const TargetRequest& request, bool vendor_btf) {
    TargetKinds kinds;
    const Isa isa = request.isa;
    // Without it no reason would have a target, which nobody would notice.
    if (find_isa(isa) == nullptr) {
        return failed("cannot count targets: it is not known whether this host has VMX or SVM");
    }
    const std::uint8_t rip = rip_kind(isa, vendor_btf);
    const auto add = [&](std::uint32_t code, bool by_rip) {
        std::uint8_t kind = own_kind(isa, code, vendor_btf);
        if (kind == EXITTOP_TARGET_NONE && by_rip) kind = rip;
        if (const auto index = index_of(code)) kinds.by_index[*index] = kind;
    };
    if (request.choice.reasons.empty()) {
        for (std::uint32_t code = 0; code < EXITTOP_DIRECT_CODES; ++code) {
            add(code, request.choice.rip);
        }
        for (std::uint32_t code = 0; code < EXITTOP_NPF_CODES; ++code) {
            add(EXITTOP_NPF_CODE + code, request.choice.rip);
        }
        if (request.choice.rip) kinds.other = rip;
        return kinds;
    }
    for (const std::string& reason : request.choice.reasons) {
        const auto code = exit_code_by_name(isa, reason);
        if (!code || !index_of(*code)) {
            return failed("--targets {}: not a reason of this host, which has {}", reason,
                          find_isa(isa)->title);
        }
        add(*code, true);
    }
    return kinds;
}

std::expected<TargetRoom, Error> target_room(std::uint32_t max_vcpus, std::uint64_t memory) {
    const std::uint64_t slots = EXITTOP_SLOTS_OF(max_vcpus);
    const std::uint64_t area = memory / slots;
    const std::uint64_t least = EXITTOP_AREA_SIZE(EXITTOP_LEAST_TARGETS + 2);  // One is none.
    if (area < least) {
        constexpr std::uint64_t mib = 1U << 20;
        return failed("targets of {} vCPUs take at least {} MiB of kernel memory: set "
                      "--target-memory to that, or lower --max-vcpus",
                      max_vcpus, (least * slots + mib - 1) / mib);
    }
    TargetRoom room;
    room.entries = std::uint32_t(std::min<std::uint64_t>(
        (area - EXITTOP_AREA_SIZE(0)) / sizeof(target_entry), EXITTOP_MOST_TARGETS));
    room.entries -= room.entries % 2;  // vCPUs share no cache line.
    room.reason_entries = std::max<std::uint32_t>(EXITTOP_LEAST_TARGETS, room.entries / 4);
    room.bytes = EXITTOP_AREA_SIZE(room.entries) * slots;
    return room;
}

}  // namespace exittop
