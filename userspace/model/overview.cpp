// SPDX-License-Identifier: GPL-2.0-only
#include "model/overview.h"

#include <algorithm>

namespace exittop {

VmOverview overview_of(const Vm& vm) {
    VmOverview overview{vm, {vm.vcpus.begin(), vm.vcpus.end()}, {}};
    for (const Vcpu& vcpu : vm.vcpus) {
        for (const ExitStats& stats : vcpu.exits) {
            entry_of(overview.exits, key_of(stats)).add_numbers(stats);
        }
    }
    return overview;
}

bool is_uncounted(const VmOverview& vm) {
    const auto waits = [](const VcpuInfo& vcpu) { return vcpu.uncounted > 0; };
    return !vm.vcpus.empty() && vm.exits.empty() && std::ranges::all_of(vm.vcpus, waits);
}

}  // namespace exittop
