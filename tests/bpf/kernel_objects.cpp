// SPDX-License-Identifier: GPL-2.0-only
#include "kernel_objects.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string_view>

namespace exittop::test {
namespace {

struct BtfDeleter {
    void operator()(btf* object) const { btf__free(object); }
};

/// Offset in bytes of a member of a struct.
std::optional<std::uint64_t> offset_of(const btf* types, const char* record,
                                       std::string_view name) {
    const int id = btf__find_by_name_kind(types, record, BTF_KIND_STRUCT);
    if (id < 0) return std::nullopt;
    const btf_type* type = btf__type_by_id(types, static_cast<std::uint32_t>(id));
    for (std::uint32_t i = 0; i < btf_vlen(type); ++i) {
        if (name == btf__name_by_offset(types, btf_members(type)[i].name_off)) {
            return btf_member_bit_offset(type, i) / 8;
        }
    }
    return std::nullopt;
}

bool is_map(int fd, std::string_view name) {
    bpf_map_info info{};
    std::uint32_t length = sizeof info;
    return bpf_obj_get_info_by_fd(fd, &info, &length) == 0 && name == info.name &&
           info.type == BPF_MAP_TYPE_HASH;
}

}  // namespace

bool forget_vcpu(std::uint64_t vcpu) {
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
        std::error_code ignored;
        const auto target = std::filesystem::read_symlink(entry.path(), ignored).string();
        const int fd = std::stoi(entry.path().filename());
        // Information on a program or link has another layout.
        if (target != "anon_inode:bpf-map" || !is_map(fd, "vcpu_slots")) continue;
        if (bpf_map_delete_elem(fd, &vcpu) == 0) return true;
    }
    return false;
}

std::optional<VcpuLayout> vcpu_layout() {
    const std::unique_ptr<btf, BtfDeleter> types(btf__load_vmlinux_btf());
    if (!types) return std::nullopt;
    const auto kvm = offset_of(types.get(), "kvm_vcpu", "kvm");
    const auto arch = offset_of(types.get(), "kvm_vcpu", "arch");
    const auto hflags = offset_of(types.get(), "kvm_vcpu_arch", "hflags");
    const auto stat = offset_of(types.get(), "kvm_vcpu", "stat");
    const auto exits = offset_of(types.get(), "kvm_vcpu_stat", "exits");
    if (!kvm || !arch || !hflags || !stat || !exits) return std::nullopt;
    const bool since_6_4 = offset_of(types.get(), "kvm_x86_ops", "is_vnmi_pending").has_value();
    return VcpuLayout{*kvm, *arch + *hflags, *stat + *exits, since_6_4 ? 1U << 0 : 1U << 5};
}

std::uint64_t kernel_function(const std::string& name) {
    std::ifstream symbols("/proc/kallsyms");
    for (std::string line; std::getline(symbols, line);) {
        std::istringstream words(line);
        std::uint64_t address = 0;
        std::string kind;
        std::string symbol;
        if (words >> std::hex >> address >> kind >> symbol && symbol == name) return address;
    }
    return 0;
}

}  // namespace exittop::test
