// SPDX-License-Identifier: GPL-2.0-only
#include "capture/kernel_facts.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <optional>
#include <string_view>

#include "capture/joined_btf.h"
#include "exittop_abi.h"  // its u64, which the skeleton uses
#include "kvm_symbol.skel.h"
#include "model/isa.h"
#include "system/files.h"

namespace exittop {
namespace {

struct BtfDeleter {
    void operator()(btf* object) const { btf__free(object); }
};
using BtfPointer = std::unique_ptr<btf, BtfDeleter>;

struct SymbolSkeletonDeleter {
    void operator()(kvm_symbol_bpf* skeleton) const { kvm_symbol_bpf__destroy(skeleton); }
};
using SymbolSkeleton = std::unique_ptr<kvm_symbol_bpf, SymbolSkeletonDeleter>;

BtfPointer module_btf(const char* name, btf* vmlinux) {
    if (access(fmt::format("/sys/kernel/btf/{}", name).c_str(), R_OK) != 0) return nullptr;
    return BtfPointer(btf__load_module_btf(name, vmlinux));
}

bool has(const btf* object, const char* name, std::uint32_t kind) {
    return object && btf__find_by_name_kind(object, name, kind) > 0;
}

/// Number of arguments of a tracepoint, or 0 if BTF does not tell: btf_trace_NAME is a typedef of a
/// pointer to a function that takes a context before them.
unsigned tracepoint_arguments(const btf* object, const char* name) {
    const int id =
        btf__find_by_name_kind(object, fmt::format("btf_trace_{}", name).c_str(), BTF_KIND_TYPEDEF);
    if (id <= 0) return 0;
    const btf_type* pointer = btf__type_by_id(object, btf__type_by_id(object, unsigned(id))->type);
    const btf_type* function = btf__type_by_id(object, pointer->type);
    return btf_is_func_proto(function) ? btf_vlen(function) - 1u : 0;
}

/// Address of tdp_enabled of kvm, or 0. Asks the kernel if possible (5.16 and later), because
/// reading all its symbols takes half of the start.
std::uint64_t tdp_enabled_address(const btf* vmlinux) {
    const bool askable = has(vmlinux, "bpf_kallsyms_lookup_name", BTF_KIND_FUNC);
    const SymbolSkeleton asking(askable ? kvm_symbol_bpf__open_and_load() : nullptr);
    if (!asking) return kernel_symbol("tdp_enabled");
    LIBBPF_OPTS(bpf_test_run_opts, options);
    bpf_prog_test_run_opts(bpf_program__fd(asking->progs.find_tdp_enabled), &options);
    return asking->bss->tdp_enabled_address;
}

/// Joins the vendor module's types to those of vmlinux, so that CO-RE finds them in one place.
void join_vendor_types(KernelFacts& facts, const std::string& module) {
    constexpr std::size_t enough = std::size_t(64) << 20;
    const auto vmlinux = read_file(facts.types, enough);
    const auto more = read_file("/sys/kernel/btf/" + module, enough);
    const auto joined = vmlinux && more ? join_btf(*vmlinux, *more) : std::nullopt;
    FileDescriptor file(joined ? memfd_create("btf", MFD_CLOEXEC) : -1);
    if (!file || write(file.number(), joined->data(), joined->size()) != ssize_t(joined->size())) {
        return;
    }
    facts.types = fmt::format("/proc/self/fd/{}", file.number());
    facts.joined_types = std::move(file);
}

}  // namespace

std::uint64_t kernel_symbol(std::string_view name) {
    // "ffffffffc0a1b2c3 b NAME\t[kvm]"; addresses are 0 for those who may not see them.
    std::ifstream symbols("/proc/kallsyms");
    for (std::string line; std::getline(symbols, line);) {
        std::string_view rest(line);
        rest.remove_prefix(std::min<std::size_t>(rest.size(), rest.find(' ') + 3));
        if (!rest.starts_with(name)) continue;
        rest.remove_prefix(name.size());
        if (rest.empty() || rest == "\t[kvm]") return std::strtoull(line.c_str(), nullptr, 16);
    }
    return 0;
}

std::expected<KernelFacts, Error> read_kernel_facts() {
    const BtfPointer types(btf__load_vmlinux_btf());
    if (!types) {
        return lacking("this kernel has no BTF (/sys/kernel/btf/vmlinux): use one "
                       "built with CONFIG_DEBUG_INFO_BTF");
    }
    btf* const vmlinux = types.get();
    KernelFacts facts;
    facts.tdp_enabled_address = tdp_enabled_address(vmlinux);
    facts.rdonly_cast = has(vmlinux, "bpf_rdonly_cast", BTF_KIND_FUNC);
    // It came with SRCU around tracepoints, and the end of how their old lists were freed before.
    facts.preempts_raw_tracepoints =
        facts.rdonly_cast && !has(vmlinux, "srcu_free_old_probes", BTF_KIND_FUNC);
    facts.guest_fpu_freed = has(vmlinux, "fpu_free_guest_fpstate", BTF_KIND_FUNC);
    // A KVM that is built in has its types in vmlinux.
    const BtfPointer module = module_btf("kvm", vmlinux);
    const btf* kvm = module ? module.get() : vmlinux;
    if (const unsigned arguments = tracepoint_arguments(kvm, "kvm_exit")) {
        facts.kvm_btf = true;
        facts.reason_passed = arguments == 3;
    }
    facts.vendor_btf = std::ranges::any_of(isas, [vmlinux](const IsaFacts& isa) {
        return has(vmlinux, isa.vcpu_type, BTF_KIND_STRUCT);
    });
    for (const IsaFacts& isa : isas) {
        if (facts.vendor_btf) break;
        if (!has(module_btf(isa.module, vmlinux).get(), isa.vcpu_type, BTF_KIND_STRUCT)) continue;
        facts.vendor_btf = true;
        join_vendor_types(facts, isa.module);
    }
    return facts;
}

}  // namespace exittop
