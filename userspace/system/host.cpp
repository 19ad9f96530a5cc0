// SPDX-License-Identifier: GPL-2.0-only
#include "system/host.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <sstream>
#include <string_view>
#include <system_error>

#include "system/files.h"

namespace exittop {
namespace {

namespace fs = std::filesystem;

/// Names in a folder, sorted; none if it cannot be read.
std::vector<std::string> names_in(const fs::path& folder) {
    std::vector<std::string> names;
    std::error_code ignored;
    // No range-for: it would throw if reading a folder fails half-way, as the folder of a process
    // does that ends.
    for (fs::directory_iterator entry(folder, ignored); entry != fs::directory_iterator();
         entry.increment(ignored)) {
        names.push_back(entry->path().filename());
    }
    std::ranges::sort(names);
    return names;
}

bool is_there(const fs::path& path) {
    std::error_code ignored;
    return fs::exists(path, ignored);
}

/// A module's boolean parameter: bools read "Y", ints "1" (kvm_amd.npt was an int before 5.13).
bool is_on(const std::map<std::string, std::string>& parameters, const std::string& name) {
    const auto found = parameters.find(name);
    return found != parameters.end() && (found->second == "Y" || found->second == "1");
}

}  // namespace

fs::path Host::module(const std::string& name) const { return root_ / "sys/module" / name; }

bool Host::has_kvm() const { return is_there(module("kvm")); }

std::optional<std::string> Host::vendor_module() const {
    for (const IsaFacts& isa : isas) {
        if (!is_there(module(isa.module))) continue;
        // A module that is still being loaded is "coming"; one that is built in has no state.
        const auto state = read_line(module(isa.module) / "initstate");
        if (!state || *state == "live") return isa.module;
    }
    return std::nullopt;
}

std::vector<std::string> Host::other_vendors() const {
    std::vector<std::string> names = names_in(root_ / "sys/module");
    std::erase_if(names, [](const std::string& name) {
        return !name.starts_with("kvm_") || find_isa_of_module(name) != nullptr;
    });
    return names;
}

std::optional<std::uint64_t> Host::module_users(const std::string& name) const {
    const auto line = read_line(module(name) / "refcnt");
    if (!line) return std::nullopt;
    return std::strtoull(line->c_str(), nullptr, 10);
}

bool Host::forbids_modules() const {
    return read_line(root_ / "proc/sys/kernel/modules_disabled") == "1";
}

ProcView Host::proc_view(std::uint64_t kernel_pid) const {
    const std::string first_namespace = "pid:[" + std::to_string(first_pid_namespace) + "]";
    const fs::path proc = root_ / "proc";
    std::error_code ignored;
    const std::string self = fs::read_symlink(proc / "self", ignored).string();
    const bool in_first = fs::read_symlink(proc / "self/ns/pid", ignored) == first_namespace;
    ProcView view;
    // In another PID namespace, a process may have the kernel's number by chance; not seen from
    // outside.
    const bool is_kernels = self == std::to_string(kernel_pid);
    const bool is_own = self == std::to_string(own_pid_);
    if (is_kernels && (in_first || !is_own)) {
        view.numbers = ProcView::Numbers::kernel;
    } else if (is_own) {
        view.numbers = ProcView::Numbers::own;
    }
    view.hides_others = !read_line(proc / "1/comm");
    std::error_code refused;
    const fs::directory_iterator open_files(proc / "1/fd", refused);
    view.hides_files = static_cast<bool>(refused);
    return view;
}

std::optional<std::uint64_t> Host::started_ns(std::uint32_t pid) const {
    // "12 (a name) S ...": the 22nd field, in ticks, of which a name in parentheses is the second.
    const auto stat = read_line(root_ / "proc" / std::to_string(pid) / "stat");
    const auto name_end = stat ? stat->rfind(')') : std::string::npos;
    if (name_end == std::string::npos) return std::nullopt;
    std::istringstream fields(stat->substr(name_end + 1));
    std::string field;
    for (int number = 3; number <= 22; ++number) fields >> field;
    if (!fields) return std::nullopt;
    constexpr std::uint64_t tick_ns = 10'000'000;  // USER_HZ is 100 on x86
    return std::strtoull(field.c_str(), nullptr, 10) * tick_ns;
}

std::vector<KvmProcess> Host::vm_processes(const std::set<std::uint32_t>& known) const {
    constexpr std::string_view vcpu_file = "anon_inode:kvm-vcpu:";  // and its vcpu_id
    std::vector<KvmProcess> processes;
    for (const std::string& pid : names_in(root_ / "proc")) {
        if (pid.find_first_not_of("0123456789") != std::string::npos) continue;
        KvmProcess process;
        process.pid = static_cast<std::uint32_t>(std::strtoul(pid.c_str(), nullptr, 10));
        if (known.contains(process.pid)) continue;
        bool has_vm = false;
        const fs::path folder = root_ / "proc" / pid / "fd";
        for (const std::string& descriptor : names_in(folder)) {
            std::error_code ignored;
            const std::string target = fs::read_symlink(folder / descriptor, ignored).string();
            has_vm = has_vm || target == "anon_inode:kvm-vm";
            if (!target.starts_with(vcpu_file)) continue;
            const char* id = target.c_str() + vcpu_file.size();
            process.vcpus.push_back(static_cast<std::uint32_t>(std::strtoul(id, nullptr, 10)));
        }
        if (!has_vm && process.vcpus.empty()) continue;
        process.command = read_line(root_ / "proc" / pid / "comm").value_or("");
        std::ranges::sort(process.vcpus);
        processes.push_back(std::move(process));
    }
    std::ranges::sort(processes, {}, &KvmProcess::pid);
    return processes;
}

bool Host::has_btf() const { return is_there(root_ / "sys/kernel/btf/vmlinux"); }

std::string Host::lockdown() const {
    // "none [integrity] confidentiality": the active one is in brackets.
    const std::string line = read_line(root_ / "sys/kernel/security/lockdown").value_or("");
    const auto begin = line.find('[');
    const auto end = line.find(']');
    if (begin == std::string::npos || end == std::string::npos || end < begin) return "";
    return line.substr(begin + 1, end - begin - 1);
}

HostFacts Host::facts() const {
    HostFacts facts;
    facts.name = read_line(root_ / "proc/sys/kernel/hostname").value_or("");
    facts.kernel = read_line(root_ / "proc/sys/kernel/osrelease").value_or("unknown");

    std::istringstream cpuinfo(read_file(root_ / "proc/cpuinfo").value_or(""));
    for (std::string line; std::getline(cpuinfo, line);) {
        const auto colon = line.find(": ");
        if (!line.starts_with("model name") || colon == std::string::npos) continue;
        facts.cpu = line.substr(colon + 2);
        break;
    }

    std::vector<std::string> modules = {"kvm"};
    for (const IsaFacts& isa : isas) modules.emplace_back(isa.module);
    for (const std::string& name : modules) {
        const fs::path folder = module(name) / "parameters";
        for (const std::string& parameter : names_in(folder)) {
            if (const auto value = read_line(folder / parameter)) {
                facts.parameters[name + "." + parameter] = *value;
            }
        }
    }

    const IsaFacts* isa = find_isa_of_module(vendor_module().value_or(""));
    if (isa == nullptr) return facts;
    facts.isa = isa->isa;
    const bool is_nested = is_on(facts.parameters, nested_paging_parameter(*isa));
    facts.paging = is_nested ? isa->nested_paging : Paging::shadow;
    return facts;
}

bool Host::has_process(std::uint32_t pid) const {
    return is_there(root_ / "proc" / std::to_string(pid));
}

std::vector<std::string> Host::arguments(std::uint32_t pid) const {
    const auto text = read_file(root_ / "proc" / std::to_string(pid) / "cmdline", 131072);
    std::vector<std::string> result;
    std::istringstream stream(text.value_or(""));
    for (std::string argument; std::getline(stream, argument, '\0');) result.push_back(argument);
    return result;
}

std::optional<std::uint32_t> Host::uid(std::uint32_t pid) const {
    // "Uid:\tREAL\tEFFECTIVE\tSAVED\tFILESYSTEM". A process cannot fake this line with its name, in
    // an earlier line, because the kernel escapes newlines there.
    const fs::path file = root_ / "proc" / std::to_string(pid) / "status";
    std::istringstream status(read_file(file).value_or(""));
    for (std::string line; std::getline(status, line);) {
        if (!line.starts_with("Uid:")) continue;
        std::istringstream numbers(line.substr(4));
        std::uint32_t real = 0, effective = 0;
        if (numbers >> real >> effective) return effective;
    }
    return std::nullopt;
}

std::string Host::executable(std::uint32_t pid) const {
    std::error_code ignored;
    return fs::read_symlink(root_ / "proc" / std::to_string(pid) / "exe", ignored).string();
}

std::string Host::cgroup(std::uint32_t pid) const {
    return read_file(root_ / "proc" / std::to_string(pid) / "cgroup").value_or("");
}

Pod Host::pod(const std::string& uid) const {
    Pod pod{{}, {}, uid};
    for (const std::string& folder : names_in(root_ / "var/log/pods")) {
        const auto first = folder.find('_');  // NAMESPACE_NAME_UID; none of them holds a "_".
        const auto second = folder.rfind('_');
        if (first == second || folder.substr(second + 1) != uid) continue;
        pod.name_space = folder.substr(0, first);
        pod.name = folder.substr(first + 1, second - first - 1);
    }
    return pod;
}

std::string utc_now() {
    return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)));
}

}  // namespace exittop
