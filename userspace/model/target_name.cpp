// SPDX-License-Identifier: GPL-2.0-only
// One table says how the text of each kind of target is made up, for finding names and for listing
// them. The tables of names are read into ranges at their first use.
#include "model/target_name.h"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <iterator>
#include <optional>
#include <span>
#include <tuple>

#include <fmt/format.h>

#include "base/number.h"
#include "model/exit_reason.h"
#include "model/target.h"
#include "model/target_tables.h"

namespace exittop {
namespace {

struct KindRow {
    Isa isa;
    std::uint32_t first;
    std::uint32_t last;
    TargetKind kind;
};

// SDM vol. 3, appendix C; APM vol. 2, appendix C. INVLPG's addresses say nothing; what interrupted
// the guest is not told by SVM.
constexpr auto kinds = std::to_array<KindRow>({
    {Isa::vmx, 0, 0, TargetKind::exception},               // EXCEPTION_NMI
    {Isa::vmx, 1, 1, TargetKind::vector},                  // EXTERNAL_INTERRUPT
    {Isa::vmx, 10, 10, TargetKind::leaf},                  // CPUID
    {Isa::vmx, 18, 18, TargetKind::hypercall},             // VMCALL
    {Isa::vmx, 28, 28, TargetKind::control_register},      // CR_ACCESS
    {Isa::vmx, 29, 29, TargetKind::debug_register},        // DR_ACCESS
    {Isa::vmx, 30, 30, TargetKind::port},                  // IO_INSTRUCTION
    {Isa::vmx, 31, 32, TargetKind::msr},                   // MSR_READ, MSR_WRITE
    {Isa::vmx, 44, 44, TargetKind::apic_register},         // APIC_ACCESS
    {Isa::vmx, 45, 45, TargetKind::vector},                // EOI_INDUCED
    {Isa::vmx, 48, 49, TargetKind::address},               // EPT_VIOLATION, EPT_MISCONFIG
    {Isa::vmx, 56, 56, TargetKind::apic_register},         // APIC_WRITE
    {Isa::svm, 0x0, 0x1f, TargetKind::control_register},   // read_cr0 to write_cr8
    {Isa::svm, 0x20, 0x3f, TargetKind::debug_register},    // read_dr0 to write_dr7
    {Isa::svm, 0x40, 0x5f, TargetKind::exception},         // DE excp to SX excp
    {Isa::svm, 0x65, 0x65, TargetKind::control_register},  // cr0_sel_write
    {Isa::svm, 0x72, 0x72, TargetKind::leaf},              // cpuid
    {Isa::svm, 0x7b, 0x7b, TargetKind::port},              // io
    {Isa::svm, 0x7c, 0x7c, TargetKind::msr},               // msr
    {Isa::svm, 0x81, 0x81, TargetKind::hypercall},         // hypercall
    {Isa::svm, 0x400, 0x400, TargetKind::address},         // npf
    {Isa::svm, 0x401, 0x402, TargetKind::apic_register},   // avic_*
    {Isa::svm, 0x403, 0x403, TargetKind::ghcb_code},       // vmgexit
});

struct KindText {
    TargetKind kind;
    std::string_view key;
    std::string_view title;
};

constexpr auto kind_texts = std::to_array<KindText>({
    {TargetKind::none, "rip", "the guest's RIP, with --targets rip"},
    {TargetKind::msr, "msr", "MSRs"},
    {TargetKind::port, "port", "I/O ports"},
    {TargetKind::address, "address", "guest-physical addresses"},
    {TargetKind::control_register, "cr", "control registers"},
    {TargetKind::debug_register, "dr", "debug registers"},
    {TargetKind::exception, "exception", "exceptions"},
    {TargetKind::vector, "vector", "interrupt vectors"},
    {TargetKind::leaf, "leaf", "CPUID leaves"},
    {TargetKind::hypercall, "hypercall", "hypercalls"},
    {TargetKind::apic_register, "apic", "APIC registers"},
    {TargetKind::ghcb_code, "ghcb", "GHCB exit codes"},
});

const KindText& text_of(TargetKind kind) {
    return *std::ranges::find(kind_texts, kind, &KindText::kind);
}

/// The only number that the target of a reason can have, where the reason says which.
std::optional<std::uint64_t> only_number(Isa isa, std::uint32_t code) {
    constexpr std::uint32_t debug_registers_end = 0x40, exceptions_end = 0x60;
    constexpr std::uint32_t cr0_sel_write = 0x65, avic_incomplete_ipi = 0x401, icr = 0x300;
    if (isa != Isa::svm) return std::nullopt;
    if (code < debug_registers_end) return code & 0xf;
    if (code < exceptions_end) return code - debug_registers_end;
    if (code == cr0_sel_write) return 0;
    if (code == avic_incomplete_ipi) return icr;
    return std::nullopt;
}

struct NamedRange {
    std::uint64_t first;
    std::uint64_t last;
    std::string name;
};

/// Ascending; no number is in two of them.
using Names = std::vector<NamedRange>;

void expand(const NameRow& row, Names& names) {
    constexpr std::string_view index = "{}";
    const std::size_t place = row.name.find(index);
    if (place == std::string_view::npos) {
        names.push_back({row.first, row.first + row.count - 1, std::string(row.name)});
        return;
    }
    for (std::uint64_t i = 0; i < row.count; ++i) {
        const std::uint64_t number = row.first + i * row.step;
        std::string name(row.name);
        name.replace(place, index.size(), fmt::to_string(i));
        names.push_back({number, number, std::move(name)});
    }
}

Names sorted(Names names) {
    std::ranges::sort(names, {}, &NamedRange::first);
    return names;
}

Names names_of(std::initializer_list<std::span<const NameRow>> tables) {
    Names names;
    for (const auto& table : tables) {
        for (const NameRow& row : table) expand(row, names);
    }
    return sorted(std::move(names));
}

std::string_view name_in(const Names& names, std::uint64_t number) {
    const auto after = std::ranges::upper_bound(names, number, {}, &NamedRange::first);
    if (after == names.begin()) return {};
    const NamedRange& range = *std::prev(after);
    return number <= range.last ? std::string_view(range.name) : std::string_view();
}

const Names& msr_names() {
    static const Names names = names_of({intel_msrs(), synthetic_msrs(), amd_msrs()});
    return names;
}

const Names& port_names() {
    static const Names names = names_of({ports()});
    return names;
}

const Names& apic_names() {
    static const Names names = names_of({apic_registers()});
    return names;
}

const Names& device_register_names() {
    static const Names names = [] {
        constexpr std::uint64_t apic_page = 0xfee00000;
        Names all = names_of({device_registers()});
        for (const NamedRange& range : apic_names()) {
            all.push_back(
                {apic_page + range.first, apic_page + range.last, "local APIC " + range.name});
        }
        return sorted(std::move(all));
    }();
    return names;
}

const Names& device_names() {
    static const Names names = names_of({device_addresses()});
    return names;
}

const Names& control_register_names() {
    static const Names names = names_of({control_registers()});
    return names;
}

const Names& debug_register_names() {
    static const Names names = names_of({debug_registers()});
    return names;
}

const Names& exception_names() {
    static const Names names = names_of({exceptions()});
    return names;
}

/// What the others are for, the guest's OS decides.
const Names& vector_names() {
    static const Names names = {{2, 2, "NMI"}};
    return names;
}

const Names& leaf_names() {
    static const Names names = names_of({cpuid_leaves()});
    return names;
}

const Names& kvm_hypercall_names() {
    static const Names names = names_of({kvm_hypercalls()});
    return names;
}

const Names& hyperv_hypercall_names() {
    static const Names names = names_of({hyperv_hypercalls()});
    return names;
}

const Names& xen_hypercall_names() {
    static const Names names = names_of({xen_hypercalls()});
    return names;
}

const Names& ghcb_names() {
    static const Names names = [] {
        constexpr std::uint32_t first_of_ghcb = 0x80000000;
        Names all = names_of({ghcb_codes()});
        for (const ExitReason& reason : exit_reasons(Isa::svm)) {
            if (reason.code >= first_of_ghcb) break;
            all.push_back({reason.code, reason.code, std::string(reason.name)});
        }
        return sorted(std::move(all));
    }();
    return names;
}

// What may follow the number in the text of a target. Nothing may, too: a list has no accesses.

bool is_one_of(std::string_view text, std::initializer_list<std::string_view> words) {
    return text.empty() || std::ranges::find(words, text) != words.end();
}

bool is_nothing(std::uint64_t, std::string_view rest) { return rest.empty(); }

bool is_access(std::uint64_t, std::string_view rest) {
    return is_one_of(rest, {" read", " write", " fetch"});
}

bool is_port_access(std::uint64_t, std::string_view rest) {
    return is_one_of(rest, {" in 1", " in 2", " in 4", " out 1", " out 2", " out 4"});
}

bool is_register_access(std::uint64_t, std::string_view rest) {
    return is_one_of(rest, {" read", " write"});
}

bool is_control_access(std::uint64_t number, std::string_view rest) {
    return is_register_access(number, rest) || (number == 0 && is_one_of(rest, {" clts", " lmsw"}));
}

/// A number as it is written: no zeros before it, small letters.
std::optional<std::uint64_t> take_digits(std::string_view& text, int base) {
    const std::size_t end = text.find_first_not_of("0123456789abcdef");
    std::string_view digits = text.substr(0, end);
    if (digits.size() > 1 && digits[0] == '0') return std::nullopt;
    const auto number = parse_number<std::uint64_t>(digits, base);
    if (number) text.remove_prefix(digits.size());
    return number;
}

bool is_subleaf(std::uint64_t, std::string_view rest) {
    if (rest.empty()) return true;
    if (!rest.starts_with('.')) return false;
    rest.remove_prefix(1);
    const auto subleaf = take_digits(rest, 10);
    return subleaf && *subleaf <= UINT32_MAX && rest.empty();
}

/// How a target is written, but for exceptions.
struct TargetForm {
    TargetKind kind;
    std::string_view prefix;
    int base;  ///< Of the number; 16 with "0x".
    const Names& (*names)();
    bool (*may_follow)(std::uint64_t number, std::string_view rest);
};

constexpr auto forms = std::to_array<TargetForm>({
    {TargetKind::msr, "", 16, msr_names, is_access},
    {TargetKind::address, "", 16, device_register_names, is_access},
    {TargetKind::address, "", 16, device_names, is_access},
    {TargetKind::port, "port ", 16, port_names, is_port_access},
    {TargetKind::control_register, "cr", 10, control_register_names, is_control_access},
    {TargetKind::debug_register, "dr", 10, debug_register_names, is_register_access},
    {TargetKind::vector, "vector ", 16, vector_names, is_nothing},
    {TargetKind::leaf, "leaf ", 16, leaf_names, is_subleaf},
    {TargetKind::hypercall, "hypercall kvm ", 10, kvm_hypercall_names, is_nothing},
    {TargetKind::hypercall, "hypercall hyperv ", 16, hyperv_hypercall_names, is_nothing},
    {TargetKind::hypercall, "hypercall xen ", 10, xen_hypercall_names, is_nothing},
    {TargetKind::apic_register, "apic ", 16, apic_names, is_access},
    {TargetKind::ghcb_code, "ghcb ", 16, ghcb_names, is_nothing},
});

std::string_view name_by_form(const TargetForm& form, std::string_view target) {
    constexpr std::string_view hex = "0x";
    if (!target.starts_with(form.prefix)) return {};
    target.remove_prefix(form.prefix.size());
    if (form.base == 16) {
        if (!target.starts_with(hex)) return {};
        target.remove_prefix(hex.size());
    }
    const auto number = take_digits(target, form.base);
    if (!number || !form.may_follow(*number, target)) return {};
    return name_in(form.names(), *number);
}

/// " write user protection": what page_fault_target() adds.
bool is_page_fault(std::string_view rest) {
    constexpr std::uint32_t error_codes = 32;
    for (std::uint32_t error_code = 0; error_code < error_codes; ++error_code) {
        if (page_fault_target(error_code) == rest) return true;
    }
    return false;
}

std::string_view exception_name(std::string_view target) {
    for (const NamedRange& exception : exception_names()) {
        const std::string text = exception_target(static_cast<std::uint8_t>(exception.first));
        if (target == text) return exception.name;
        constexpr std::string_view page_fault = "#PF";
        if (text == page_fault && target.starts_with(text) && is_page_fault(target)) {
            return exception.name;
        }
    }
    return {};
}

std::string number_text(std::uint64_t number, int base) {
    return base == 16 ? fmt::format("{:#x}", number) : fmt::to_string(number);
}

std::string target_text(const TargetForm& form, const NamedRange& range) {
    std::string text = std::string(form.prefix) + number_text(range.first, form.base);
    if (range.last > range.first) text += "-" + number_text(range.last, form.base);
    return text;
}

bool is_wanted(const NamedRange& range, std::optional<std::uint64_t> only) {
    return !only || (range.first <= *only && *only <= range.last);
}

std::vector<KnownTarget> known_exceptions(std::optional<std::uint64_t> only) {
    std::vector<KnownTarget> known;
    for (const NamedRange& range : exception_names()) {
        if (!is_wanted(range, only)) continue;
        known.push_back({exception_target(static_cast<std::uint8_t>(range.first)), range.name});
    }
    return known;
}

/// Areas, each before the registers in it.
std::vector<KnownTarget> known_addresses() {
    struct Place {
        const TargetForm* form;
        const NamedRange* range;
    };
    std::vector<Place> places;
    for (const TargetForm& form : forms) {
        if (form.kind != TargetKind::address) continue;
        for (const NamedRange& range : form.names()) places.push_back({&form, &range});
    }
    std::ranges::sort(places, {}, [](const Place& place) {
        return std::tuple(place.range->first, UINT64_MAX - place.range->last);
    });
    std::vector<KnownTarget> known;
    for (const Place& place : places) {
        known.push_back({target_text(*place.form, *place.range), place.range->name});
    }
    return known;
}

}  // namespace

TargetKind target_kind(Isa isa, std::uint32_t exit_code) {
    const std::uint32_t code = basic_exit_code(isa, exit_code);
    const auto row = std::ranges::find_if(kinds, [&](const KindRow& each) {
        return each.isa == isa && each.first <= code && code <= each.last;
    });
    return row != kinds.end() ? row->kind : TargetKind::none;
}

std::string_view target_kind_title(TargetKind kind) { return text_of(kind).title; }

std::string_view target_kind_key(TargetKind kind) { return text_of(kind).key; }

std::string_view target_name(Isa isa, std::uint32_t exit_code, std::string_view target) {
    const TargetKind kind = target_kind(isa, exit_code);
    if (kind == TargetKind::exception) return exception_name(target);
    for (const TargetForm& form : forms) {
        if (form.kind != kind) continue;
        const std::string_view name = name_by_form(form, target);
        if (!name.empty()) return name;
    }
    return {};
}

std::vector<KnownTarget> known_targets(Isa isa, std::uint32_t exit_code) {
    const TargetKind kind = target_kind(isa, exit_code);
    const auto only = only_number(isa, exit_code);
    if (kind == TargetKind::exception) return known_exceptions(only);
    if (kind == TargetKind::address) return known_addresses();
    std::vector<KnownTarget> known;
    for (const TargetForm& form : forms) {
        if (form.kind != kind) continue;
        for (const NamedRange& range : form.names()) {
            if (is_wanted(range, only)) known.push_back({target_text(form, range), range.name});
        }
    }
    return known;
}

}  // namespace exittop
