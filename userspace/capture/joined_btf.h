// SPDX-License-Identifier: GPL-2.0-only
// The types of vmlinux and of one module as a single BTF.
//
// A module's BTF in /sys/kernel/btf continues that of vmlinux: with the next type's id and the next
// byte of the strings. libbpf finds the modules' BTF by asking the kernel for each BTF object,
// which needs CAP_SYS_ADMIN; the files are readable by everyone.
//
// A module that was built with other tools than the kernel may contain types that vmlinux also has.
// Of two types with the same name, vmlinux's is used, and the module's loses its name.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace exittop {

/// Nothing if either is no BTF of this machine's byte order.
std::optional<std::string> join_btf(std::string_view vmlinux, std::string_view module);

}  // namespace exittop
