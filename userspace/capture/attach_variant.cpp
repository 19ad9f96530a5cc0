// SPDX-License-Identifier: GPL-2.0-only
#include "capture/attach_variant.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace exittop {

namespace {

struct Names {
    AttachVariant variant;
    std::string_view id;
    std::string_view name;
};

constexpr std::array all_names = {
    Names{AttachVariant::typed, "tp_btf", "BTF tracepoints, reason by CO-RE and plain loads"},
    Names{AttachVariant::raw, "raw_tp", "raw tracepoints, reason by CO-RE and plain loads"},
    Names{AttachVariant::btf, "tp_btf_helper", "BTF tracepoints, reason by CO-RE"},
    Names{AttachVariant::raw_helper, "raw_tp_helper",
          "raw tracepoints, reason by CO-RE and a helper"},
    Names{AttachVariant::raw_reason, "raw_tp_reason", "raw tracepoints, reason passed"},
    Names{AttachVariant::classic, "classic", "classic tracepoints"},
};

const Names& names_of(AttachVariant variant) {
    return *std::ranges::find(all_names, variant, &Names::variant);
}

bool is_lacking(const FailedAttach& attempt) { return attempt.error.status == ExitStatus::lacking; }

}  // namespace

std::string attach_variant_name(AttachVariant variant) {
    return std::string(names_of(variant).name);
}

std::string attach_variant_id(AttachVariant variant) { return std::string(names_of(variant).id); }

std::vector<AttachVariant> variants_to_try(const KernelFacts& facts, AttachChoice choice) {
    std::vector<AttachVariant> variants;
    if (choice != AttachChoice::classic) {
        if (!facts.kvm_btf || facts.reason_passed) {
            variants.push_back(AttachVariant::raw_reason);
        } else if (facts.vendor_btf) {
            if (facts.rdonly_cast) {
                variants.push_back(AttachVariant::typed);
                variants.push_back(AttachVariant::raw);
            } else {
                variants.push_back(AttachVariant::btf);
                variants.push_back(AttachVariant::raw_helper);
            }
        }
    }
    if (choice != AttachChoice::raw) variants.push_back(AttachVariant::classic);
    return variants;
}

Error attach_error(std::span<const FailedAttach> attempts) {
    if (attempts.empty()) {
        return {ExitStatus::failed, "cannot attach to kvm_exit: this kernel's BTF does not tell "
                                    "where the exit reason is; leave out --attach raw"};
    }
    std::string text = "cannot attach to kvm_exit";
    const char* separator = ": ";
    for (std::size_t i = 0; i < attempts.size(); ++i) {
        // Variants that failed for the same reason are listed together.
        const std::string& reason = attempts[i].error.text;
        std::string ways = attach_variant_id(attempts[i].variant);
        for (; i + 1 < attempts.size() && attempts[i + 1].error.text == reason; ++i) {
            ways += fmt::format(", {}", attach_variant_id(attempts[i + 1].variant));
        }
        text += fmt::format("{}{}: {}", std::exchange(separator, "; "), ways, reason);
    }
    const bool lacking = std::ranges::any_of(attempts, is_lacking);
    return {lacking ? ExitStatus::lacking : ExitStatus::failed, std::move(text)};
}

}  // namespace exittop
