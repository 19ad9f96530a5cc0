// SPDX-License-Identifier: GPL-2.0-only
// The types of vmlinux and of one module as a single BTF.
//
// A module's BTF, as /sys/kernel/btf has it, goes on where that of vmlinux ends: with the next
// type's id, and with the next byte of the strings. libbpf finds the modules' BTF by asking the
// kernel for each BTF object there is, which takes CAP_SYS_ADMIN; the files may be read by all.
//
// A module that was built by other tools than the kernel may have types of its own that vmlinux
// has, too: of the same name, those of vmlinux are meant, and the module's lose their names.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace exittop {

/// Nothing if either is no BTF of this machine's byte order.
std::optional<std::string> join_btf(std::string_view vmlinux, std::string_view module);

}  // namespace exittop
