// SPDX-License-Identifier: GPL-2.0-only
#include "model/overview.h"

#include <gtest/gtest.h>

#include "samples.h"

namespace exittop {
namespace {

TEST(Overview, OfAVmIsTheVmWithoutHistogramsAndExitsByVcpu) {
    const Vm vm = test::make_web_vm();
    const VmOverview overview = overview_of(vm);
    EXPECT_EQ(static_cast<const VmInfo&>(overview), vm);
    EXPECT_EQ(overview.vcpus, std::vector<VcpuInfo>(vm.vcpus.begin(), vm.vcpus.end()));
    std::vector<ExitStats> exits = exits_by_reason(vm);
    for (ExitStats& stats : exits) stats.histogram = {};
    EXPECT_EQ(exits_by_reason(overview), exits);
}

TEST(Overview, TellsWhetherAnythingWasCounted) {
    Vm vm = test::make_ended_vm();
    for (const bool waits : {false, true}) {
        vm.vcpus[0].uncounted = waits ? 3 : 0;
        for (const bool counted : {true, false}) {
            Vm each = vm;
            if (!counted) each.vcpus[0].exits.clear();
            EXPECT_EQ(is_uncounted(each), waits && !counted);
            EXPECT_EQ(is_uncounted(overview_of(each)), waits && !counted);
        }
    }
    vm.vcpus.clear();
    EXPECT_FALSE(is_uncounted(overview_of(vm)));
}

}  // namespace
}  // namespace exittop
