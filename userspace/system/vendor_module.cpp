// SPDX-License-Identifier: GPL-2.0-only
// Modules are removed with the system call, so that kvm itself, on which others may depend, stays
// loaded. They are loaded with modprobe, which knows the file, its compression, and the
// administrator's settings in modprobe.d.
#include "system/vendor_module.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <exception>
#include <thread>
#include <utility>
#include <vector>

#include "model/snapshot.h"
#include "system/files.h"
#include "system/workload.h"

namespace exittop {
namespace {

using namespace std::chrono_literals;

/// The kernel destroys a VM only after its process is gone.
constexpr auto longest_teardown = 10s;

/// Runs modprobe to its end. Signals stay blocked in it as they are here: interrupting it half-way
/// would leave the host without the module.
int run_modprobe(const std::vector<std::string>& arguments) {
    std::vector<std::string> words = {"modprobe"};
    words.insert(words.end(), arguments.begin(), arguments.end());
    const std::vector<char*> pointers = argument_pointers(words);
    // modprobe is not in every user's PATH, and has several names.
    for (const char* program : {"/sbin/modprobe", "/usr/sbin/modprobe", "/bin/modprobe"}) {
        if (access(program, X_OK) != 0) continue;
        pid_t pid = -1;
        if (posix_spawn(&pid, program, nullptr, nullptr, pointers.data(), environ) != 0) continue;
        int status = 0;
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    return 127;
}

/// The processes that have a VM: " (process 12, 34)"; empty if none is found.
std::string users_text(const Host& host) {
    std::vector<std::uint32_t> pids;
    for (const KvmProcess& process : host.vm_processes()) pids.push_back(process.pid);
    if (pids.empty()) return {};
    return fmt::format(" (process {})", fmt::join(pids, ", "));
}

}  // namespace

ModuleTools system_module_tools() {
    return {.remove =
                [](const std::string& module) {
                    return syscall(SYS_delete_module, module.c_str(), O_NONBLOCK) == 0 ? 0 : errno;
                },
            .modprobe = run_modprobe};
}

std::expected<VendorModule, Error> VendorModule::find(const Host& host, ModuleTools tools) {
    const auto name = host.vendor_module();
    if (!name) {
        return lacking("neither kvm_intel nor kvm_amd is loaded: nothing to experiment with; "
                       "'exittop lab' shows the same in an emulated host");
    }
    const auto users = host.module_users(*name);
    if (!users) return lacking("{} is built into this kernel and cannot be reloaded", *name);
    if (host.forbids_modules()) {
        return lacking("this kernel loads no modules any more (kernel.modules_disabled is 1)");
    }
    if (*users > 0) {
        return failed("{} is in use, a VM runs{}: stop all VMs first", *name, users_text(host));
    }
    VendorModule module(host, *name, std::move(tools));
    if (!module.found_.contains(module.paging_)) {
        return lacking("{} does not say what its parameter {} is", *name, module.paging_);
    }
    return module;
}

VendorModule::VendorModule(const Host& host, std::string name, ModuleTools tools)
    : host_(&host), tools_(std::move(tools)), name_(std::move(name)),
      paging_(paging_name(find_isa_of_module(name_)->nested_paging)) {
    found_ = parameters();
    by_hand_ = fmt::format("{} has to be loaded as it was by hand: rmmod {}; {}", name_, name_,
                           command_line());
}

VendorModule::VendorModule(VendorModule&& other) noexcept
    : host_(other.host_), tools_(std::move(other.tools_)), name_(std::move(other.name_)),
      paging_(std::move(other.paging_)), found_(std::move(other.found_)),
      by_hand_(std::move(other.by_hand_)), changed_(std::exchange(other.changed_, false)) {}

VendorModule::~VendorModule() {
    try {
        if (const auto restored = restore(); !restored) report(restored.error().text);
    } catch (const std::exception&) {
        report(by_hand_);
    }
}

bool VendorModule::had_nested_paging() const {
    const auto found = found_.find(paging_);
    return found != found_.end() && (found->second == "Y" || found->second == "1");
}

std::string VendorModule::command_line() const {
    return fmt::format("modprobe {} {}={}", name_, paging_, had_nested_paging() ? 1 : 0);
}

VendorModule::Parameters VendorModule::parameters() const {
    Parameters own;
    const std::string prefix = name_ + ".";
    for (const auto& [name, value] : host_->facts().parameters) {
        if (name.starts_with(prefix)) own[name.substr(prefix.size())] = value;
    }
    return own;
}

std::expected<void, Error> VendorModule::unload() {
    const auto deadline = std::chrono::steady_clock::now() + longest_teardown;
    while (const int code = tools_.remove(name_)) {
        if (code == ENOENT) return {};
        const bool busy = code == EWOULDBLOCK || code == EBUSY;
        if (!busy || std::chrono::steady_clock::now() > deadline) {
            return failed("cannot unload {}: {}", name_,
                          busy ? "a VM runs" + users_text(*host_) : std::strerror(code));
        }
        std::this_thread::sleep_for(50ms);
    }
    changed_ = true;
    return {};
}

std::expected<void, Error> VendorModule::load(const Parameters& wanted) const {
    std::vector<std::string> arguments = {name_};
    for (const auto& [parameter, value] : wanted) {
        arguments.push_back(fmt::format("{}={}", parameter, value));
    }
    if (const int status = tools_.modprobe(arguments); status != 0) {
        return failed("cannot load {} again: 'modprobe {}' ended with status {}", name_,
                      fmt::join(arguments, " "), status);
    }
    return {};
}

/// modprobe.d and the module's defaults set most parameters; those that then still differ are set
/// by name. Not all are set by name at once, because some parameters show values that they do not
/// accept.
std::expected<void, Error> VendorModule::load_like(const Parameters& wanted) {
    Parameters asked = {{paging_, wanted.at(paging_)}};
    Parameters different;
    for (int attempt = 0; attempt < 2; ++attempt) {
        if (auto done = unload(); !done) return done;
        if (auto done = load(asked); !done) return done;
        different.clear();
        const Parameters now = parameters();
        for (const auto& [parameter, value] : wanted) {
            const auto found = now.find(parameter);
            if (found == now.end() || found->second != value) different[parameter] = value;
        }
        if (different.empty()) return {};
        asked.insert(different.begin(), different.end());
    }
    std::vector<std::string> texts;
    for (const auto& [parameter, value] : different) {
        texts.push_back(fmt::format("{}={}", parameter, value));
    }
    return failed("{} was loaded but did not take {}", name_, fmt::join(texts, ", "));
}

std::expected<void, Error> VendorModule::reload(bool nested_paging) {
    Parameters wanted = found_;
    std::erase_if(wanted, [this](const auto& entry) {
        return entry.first != paging_ && follows_paging(name_ + "." + entry.first);
    });
    // As the kernel prints it: bools as "Y" and "N", ints (kvm_amd before 5.13) as numbers.
    const bool is_bool = wanted[paging_] == "Y" || wanted[paging_] == "N";
    wanted[paging_] = is_bool ? (nested_paging ? "Y" : "N") : (nested_paging ? "1" : "0");
    return load_like(wanted);
}

std::expected<void, Error> VendorModule::restore() {
    if (!changed_) return {};
    auto done = load_like(found_);
    changed_ = false;  // A failure is reported once; there is no other way to restore it.
    if (!done) done.error().text += "; " + by_hand_;
    return done;
}

}  // namespace exittop
