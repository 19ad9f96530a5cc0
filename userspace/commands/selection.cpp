// SPDX-License-Identifier: GPL-2.0-only
#include "commands/selection.h"

#include <fmt/format.h>
#include <fnmatch.h>

#include <string>

namespace exittop {

bool matches(const VmInfo& vm, const Selection& wanted) {
    if (wanted.pid && vm.pid != *wanted.pid) return false;
    if (wanted.uid && vm.uid != wanted.uid) return false;
    const std::string& glob = wanted.vm_glob;
    return glob.empty() || fnmatch(glob.c_str(), vm.name.c_str(), 0) == 0;
}

void keep_wanted(Snapshot& snapshot, const Selection& wanted) {
    std::erase_if(snapshot.vms, [&](const Vm& vm) { return !matches(vm, wanted); });
}

void keep_wanted(Overview& overview, const Selection& wanted) {
    const auto is_other = [&](const VmInfo& vm) { return !matches(vm, wanted); };
    std::erase_if(overview.vms, is_other);
    if (overview.in_full && is_other(*overview.in_full)) overview.in_full.reset();
}

std::expected<void, Error> require_wanted(Snapshot& snapshot, const Selection& wanted) {
    keep_wanted(snapshot, wanted);
    const bool filtered = wanted.pid || wanted.uid || !wanted.vm_glob.empty();
    if (!filtered || !snapshot.vms.empty()) return {};
    const std::string whose = wanted.uid ? fmt::format(" of user {}", *wanted.uid) : "";
    std::string text = fmt::format("no VM{} matches '{}'", whose, wanted.vm_glob);
    if (wanted.vm_glob.empty()) text = fmt::format("no VM{} was seen", whose);
    if (wanted.pid) text = fmt::format("no VM of process {}{} was seen", *wanted.pid, whose);
    return failed("{}", text);
}

}  // namespace exittop
