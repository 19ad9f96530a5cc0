// SPDX-License-Identifier: GPL-2.0-only
// The ways to attach to kvm_exit and kvm_entry, their names, and the error if none of them works.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "capture/kernel_facts.h"

namespace exittop {

/// Which of the ways below users ask for; automatic: the first that works.
enum class AttachChoice { automatic, raw, classic };

/// How the program is attached to kvm_exit and kvm_entry. In the order of preference.
enum class AttachVariant {
    typed,       ///< BTF-typed exit, reason by CO-RE, plain loads (6.2 and later; CAP_SYS_ADMIN).
    raw,         ///< Raw tracepoints, reason by CO-RE, plain loads (6.2 and later, for all others).
    btf,         ///< BTF-typed tracepoints, reason by CO-RE (5.16 to 6.1; takes CAP_SYS_ADMIN).
    raw_helper,  ///< Raw tracepoints, reason by CO-RE and a helper (5.16 to 6.1, for all others).
    raw_reason,  ///< Raw tracepoints that pass the reason (up to 5.15).
    classic,     ///< Classic tracepoints with their fixed records: where BTF does not help.
};

/// In words, for people: "raw tracepoints, reason passed".
std::string attach_variant_name(AttachVariant variant);
/// For JSON, metrics and messages, a contract with scripts: "raw_tp_reason". exittop(8) lists them.
std::string attach_variant_id(AttachVariant variant);

/// What to try, best first. Without BTF of kvm, only an attempt shows whether kvm_exit still has
/// three arguments: the kernel rejects a program that reads beyond them.
std::vector<AttachVariant> variants_to_try(const KernelFacts& facts, AttachChoice choice);

/// A way that failed, and why.
struct FailedAttach {
    AttachVariant variant;
    Error error;
};

/// The error if no way worked: all ways that were tried, each with its reason. Its status is that
/// of a host that lacks something if any way lacked a privilege, because that may be all it needs.
Error attach_error(std::span<const FailedAttach> attempts);

}  // namespace exittop
