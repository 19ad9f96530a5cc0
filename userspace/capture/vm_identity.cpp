// SPDX-License-Identifier: GPL-2.0-only
// One reader per VMM: what it calls the option that names a VM, and how its values are written.
#include "capture/vm_identity.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include <fmt/format.h>

#include "base/number.h"
#include "base/text.h"

namespace exittop {

namespace {

using Arguments = std::span<const std::string>;

constexpr std::size_t uuid_longest = 36;

std::string_view base_name(std::string_view path) {
    const std::size_t slash = path.rfind('/');
    return slash == path.npos ? path : path.substr(slash + 1);
}

// The value of "--name VALUE" or "--name=VALUE"; the last one if there are several, as in VMMs.
std::string_view option_value(Arguments argv, std::string_view option) {
    std::string_view value;
    for (std::size_t i = 1; i < argv.size(); ++i) {
        const std::string_view argument = argv[i];
        if (argument == option && i + 1 < argv.size()) value = argv[++i];
        if (argument.starts_with(option) && argument.substr(option.size()).starts_with('=')) {
            value = argument.substr(option.size() + 1);
        }
    }
    return value;
}

// QEMU takes one dash or two.
std::string_view qemu_option(Arguments argv, const std::string& option) {
    const std::string_view value = option_value(argv, "-" + option);
    return value.empty() ? option_value(argv, "--" + option) : value;
}

// The value of `key` in "key=value,other=value", where ",," stands for a comma. The first part may
// have no key; it is then the value of `implied`.
std::string keyed_value(std::string_view list, std::string_view key, std::string_view implied) {
    std::vector<std::string> parts(1);
    for (std::size_t i = 0; i < list.size(); ++i) {
        const bool comma = list[i] == ',';
        if (comma && i + 1 < list.size() && list[i + 1] == ',') {
            ++i;
        } else if (comma) {
            parts.emplace_back();
            continue;
        }
        parts.back() += list[i];
    }
    for (const std::string& part : parts) {
        const std::size_t equals = part.find('=');
        if (equals != part.npos && std::string_view(part).substr(0, equals) == key) {
            return part.substr(equals + 1);
        }
    }
    return parts.front().find('=') == std::string::npos && key == implied ? parts.front() : "";
}

std::string checked_uuid(std::string_view text) {
    const auto allowed = [](char c) {
        return std::string_view("0123456789abcdefABCDEF-").contains(c);
    };
    const bool good = text.size() <= uuid_longest && std::ranges::all_of(text, allowed);
    return good ? std::string(text) : std::string{};
}

// A number of `unit` bytes with a suffix as VMMs take it ("2048", "2G", "512M"); 0 for other text.
std::uint64_t memory_size(std::string_view text, std::uint64_t unit) {
    std::string_view suffix = text;
    const auto number = take_number<std::uint64_t>(suffix);
    if (suffix.ends_with('B') || suffix.ends_with('b')) suffix.remove_suffix(1);
    if (suffix.ends_with('i')) suffix.remove_suffix(1);
    if (!number || suffix.size() > 1) return 0;
    if (!suffix.empty()) {
        const std::size_t power = std::string_view("KkMmGgTt").find(suffix.front());
        if (power == suffix.npos) return 0;
        unit = std::uint64_t{1} << (10 * (power / 2 + 1));
    }
    return *number <= UINT64_MAX / unit ? *number * unit : 0;
}

constexpr std::uint64_t mebibyte = 1U << 20;

// The VM that a control socket is for: "/run/libvirt/ch/web-socket", "/srv/web.sock". If all
// sockets have the same name ("/run/vc/vm/ID/clh-api.sock"), the folder is named after the VM.
std::string socket_name(std::string_view path) {
    static constexpr std::array endings = {".sock", ".socket", "-socket", "-api", "_api"};
    static constexpr std::array common = {"api", "clh",     "ch",     "cloud-hypervisor", "vm",
                                          "vmm", "control", "crosvm", "crosvm_control",   ""};
    std::string_view name = base_name(path);
    const std::string_view folder =
        base_name(path.substr(0, path.size() - std::min(path.size(), name.size() + 1)));
    for (const std::string_view ending : endings) {
        if (name.ends_with(ending)) name.remove_suffix(ending.size());
    }
    return std::string(std::ranges::find(common, name) == common.end() ? name : folder);
}

VmIdentity read_qemu(Arguments argv) {
    std::string_view uuid = qemu_option(argv, "uuid");
    // Proxmox passes it only as SMBIOS data.
    const std::string smbios = keyed_value(qemu_option(argv, "smbios"), "uuid", "");
    if (uuid.empty()) uuid = smbios;
    const std::string memory = keyed_value(qemu_option(argv, "m"), "size", "size");
    return {keyed_value(qemu_option(argv, "name"), "guest", "guest"), checked_uuid(uuid), "qemu",
            memory_size(memory, mebibyte)};
}

VmIdentity read_firecracker(Arguments argv) {
    return {std::string(option_value(argv, "--id")), "", "firecracker", {}};
}

VmIdentity read_cloud_hypervisor(Arguments argv) {
    const std::string socket = keyed_value(option_value(argv, "--api-socket"), "path", "path");
    const std::string uuid = keyed_value(option_value(argv, "--platform"), "uuid", "");
    const std::string memory = keyed_value(option_value(argv, "--memory"), "size", "");
    return {socket_name(socket), checked_uuid(uuid), "cloud-hypervisor", memory_size(memory, 1)};
}

VmIdentity read_crosvm(Arguments argv) {
    std::string_view given = option_value(argv, "--mem");
    if (given.empty()) given = option_value(argv, "-m");
    const std::uint64_t memory = memory_size(keyed_value(given, "size", "size"), mebibyte);
    const std::string_view name = option_value(argv, "--name");
    if (!name.empty()) return {std::string(name), "", "crosvm", memory};
    const std::string_view socket = option_value(argv, "--socket");
    return {socket_name(socket.empty() ? option_value(argv, "-s") : socket), "", "crosvm", memory};
}

VmIdentity read_kvmtool(Arguments argv) {
    std::string_view memory = option_value(argv, "--mem");
    if (memory.empty()) memory = option_value(argv, "-m");
    return {std::string(option_value(argv, "--name")), "", "kvmtool",
            memory_size(memory, mebibyte)};
}

// ---- What cgroups tell

std::vector<std::string_view> split(std::string_view text, char separator) {
    std::vector<std::string_view> parts;
    while (true) {
        const std::size_t end = text.find(separator);
        parts.push_back(text.substr(0, end));
        if (end == text.npos) return parts;
        text.remove_prefix(end + 1);
    }
}

// The folders of "0::/machine.slice/x.scope". A host with cgroups v1 has several lines: of the
// first one that has folders.
std::vector<std::string_view> cgroup_folders(std::string_view cgroup) {
    for (const std::string_view line : split(cgroup, '\n')) {
        const std::size_t path = line.find(":/");
        if (path != line.npos && path + 2 < line.size()) return split(line.substr(path + 2), '/');
    }
    return {};
}

// The uid in the name of a pod's folder: "pod8d2f...", or as systemd's slices are named,
// "kubepods-burstable-pod8d2f6f1e_0c5a_....slice".
std::string pod_uid(std::string_view folder) {
    if (folder.ends_with(".slice")) folder.remove_suffix(6);
    const std::size_t pod = folder.rfind("pod");
    if (pod == folder.npos) return {};
    std::string uid(folder.substr(pod + 3));
    std::ranges::replace(uid, '_', '-');
    const bool whole = uid.size() == uuid_longest || uid.size() == uuid_longest - 4;
    return whole ? checked_uuid(uid) : std::string{};
}

// systemd escapes characters that it does not allow in names as "\x2d".
std::string without_escapes(std::string_view name) {
    std::string out;
    for (std::size_t i = 0; i < name.size(); ++i) {
        const std::string_view escape = name.substr(i, 4);
        const bool is_escape = escape.size() == 4 && escape.starts_with("\\x");
        const auto code = is_escape ? parse_number<unsigned>(escape.substr(2), 16) : std::nullopt;
        if (code) {
            out += static_cast<char>(*code);
            i += 3;
        } else {
            out += name[i];
        }
    }
    return out;
}

// libvirt calls a machine "qemu-NUMBER-NAME", with another number each time the VM starts.
std::string_view machine_name(std::string_view machine) {
    if (!machine.starts_with("qemu-")) return machine;
    const std::size_t name = machine.find_first_not_of("0123456789", 5);
    const bool has_number = name != machine.npos && name > 5 && machine[name] == '-';
    return has_number ? machine.substr(name + 1) : machine;
}

// The name in a VM's cgroup: as a machine ("machine-qemu\x2d3\x2dweb.scope" of libvirt), as a
// service of its own, or as the id that Firecracker's jailer was given.
std::string cgroup_name(const std::vector<std::string_view>& folders) {
    for (const std::string_view folder : folders) {
        if (!folder.starts_with("machine-") || !folder.ends_with(".scope")) continue;
        return std::string(machine_name(without_escapes(folder.substr(8, folder.size() - 14))));
    }
    if (folders.size() < 2) return {};
    const std::string_view last = folders.back();
    if (folders.front() == "system.slice" && last.ends_with(".service")) {
        return without_escapes(last.substr(0, last.size() - 8));
    }
    return folders[folders.size() - 2] == "firecracker" ? std::string(last) : std::string{};
}

// KubeVirt names a guest NAMESPACE_NAME; neither may hold a "_".
Pod find_pod(const std::vector<std::string_view>& folders, const VmIdentity& identity) {
    Pod pod;
    for (const std::string_view folder : folders) {
        if (pod.uid.empty()) pod.uid = pod_uid(folder);
    }
    const std::size_t end = identity.name.find('_');
    if (!pod.uid.empty() && identity.vmm == "qemu" && end != std::string::npos) {
        pod.name_space = identity.name.substr(0, end);
    }
    return pod;
}

// The reader for a program, by its file's name: distributions and wrappers add to it
// ("qemu-system-x86_64", ".qemu-system-x86_64-wrapped", "firecracker-v1.7.0").
using Reader = VmIdentity (*)(Arguments);
Reader find_reader(std::string_view program) {
    if (program.contains("qemu-system-") || program.contains("qemu-kvm") || program == "kvm" ||
        program == "qemu") {
        return read_qemu;
    }
    if (program.starts_with("firecracker")) return read_firecracker;
    if (program.starts_with("cloud-hyperviso")) return read_cloud_hypervisor;  // 15 bytes of comm
    if (program.starts_with("crosvm")) return read_crosvm;
    if (program.starts_with("lkvm") || program == "kvmtool") return read_kvmtool;
    return nullptr;
}

}  // namespace

VmIdentity identify(const VmProcess& process) {
    const auto& [argv, command, pid, cgroup] = process;
    Reader reader = argv.empty() ? nullptr : find_reader(base_name(argv[0]));
    if (reader == nullptr) reader = find_reader(command);

    const std::vector<std::string_view> folders = cgroup_folders(cgroup);
    VmIdentity identity;
    if (reader != nullptr) identity = reader(argv);
    if (identity.vmm.empty()) identity.vmm = command;
    identity.pod = find_pod(folders, identity);
    if (identity.name.empty()) identity.name = cgroup_name(folders);
    identity.name = cut_bytes(identity.name, name_bytes);
    identity.named = !argv.empty() || !identity.name.empty();
    if (identity.name.empty()) {
        identity.name = fmt::format("{}-{}", command.empty() ? "vm" : command, pid);
    }
    return identity;
}

}  // namespace exittop
