// SPDX-License-Identifier: GPL-2.0-only
// The cheap reading of all VMs says the same as the full one, and time in the guest adds up.
#include <gtest/gtest.h>

#include "capture/vm_table.h"
#include "fake_slots.h"

namespace exittop::test {
namespace {

class VmOverviews : public testing::Test {
protected:
    VmOverviews() {
        for (std::uint32_t number = 1; number <= 4; ++number) {
            SlotWriter writer = slots.begin(number, {.kvm = number <= 2 ? 0x1000U : 0x2000U,
                                                     .first_ns = 1'000,
                                                     .id = (number - 1) % 2,
                                                     .pid = number <= 2 ? 10U : 20U,
                                                     .tid = 100 + number});
            // Reasons in another order on each vCPU; one without a name.
            writer.exits(number % 2 ? 0x72 : 0x400, 700, number);
            writer.exits(number % 2 ? 0x400 : 0x72, 90'000'000, 2);
            writer.exits(0x7777, 300, number);
        }
    }

    void update() {
        table.update(slots.all(), slots.states(), [](std::uint32_t) {});
    }

    FakeSlots slots{4};
    VmTable table{[](const VmTable::Process& process) {
        return VmIdentity{"vm" + std::to_string(process.pid), "", "qemu"};
    }};
};

TEST_F(VmOverviews, has_the_sums_of_the_full_reading) {
    slots.all()[1].header.kvm_exits_more = 6;
    slots.at(2).end(5'000, 0);
    update();
    const auto full = table.contents(slots.all(), 1'000'000'000);
    const auto overview = table.overview(slots.all(), 1'000'000'000, "20.1");
    ASSERT_EQ(overview.vms.size(), 2U);
    EXPECT_EQ(overview.vms[0], overview_of(full.vms[0]));
    EXPECT_EQ(overview.vms[0].vcpus.size(), 2U);
    EXPECT_EQ(overview.vms[1], overview_of(full.vms[1]));
    EXPECT_EQ(overview.in_full, full.vms[1]);
    EXPECT_EQ(overview.lost, full.lost);
    EXPECT_EQ(overview.lost.untraced, 6U);
    EXPECT_EQ(kvm_count(full.vms).known, 2U);
    EXPECT_EQ(overview.lost.unknown_code, 1U + 2 + 3 + 4);
}

TEST_F(VmOverviews, has_the_vcpus_in_order) {
    slots.at(1).end(5'000);
    update();
    const auto overview = table.overview(slots.all(), 1'000'000'000, "");
    EXPECT_FALSE(overview.in_full);
    for (const VmOverview& vm : overview.vms) {
        EXPECT_TRUE(std::ranges::is_sorted(vm.vcpus, {}, &VcpuInfo::id)) << vm.id;
    }
}

TEST_F(VmOverviews, time_in_the_guest_is_what_exits_leave) {
    update();
    const std::uint64_t exits_ns = 700 + 2 * 90'000'000 + 300;
    const auto guest_ns = [this](std::uint64_t now) {
        const auto full = table.contents(slots.all(), now).vms[0].vcpus[0].guest_ns;
        EXPECT_EQ(table.overview(slots.all(), now, "").vms[0].vcpus[0].guest_ns, full);
        return full;
    };
    EXPECT_EQ(guest_ns(1'000'000'000), 1'000'000'000 - 1'000 - exits_ns);
    slots.all()[1].header.exit_ns = 900'000'000;  // An exit is being handled since then.
    EXPECT_EQ(guest_ns(1'000'000'000), 900'000'000 - 1'000 - exits_ns);
    EXPECT_EQ(guest_ns(0), 0U);
}

TEST_F(VmOverviews, forgets_vms_that_ended_long_ago) {
    slots.at(1).end(5'000);
    slots.at(2).end(6'000);
    update();
    table.forget_ended(5'000);
    EXPECT_EQ(table.contents(slots.all()).vms.size(), 2U);
    table.forget_ended(7'000);
    ASSERT_EQ(table.contents(slots.all()).vms.size(), 1U);
    EXPECT_EQ(table.overview(slots.all(), 9'000, "").vms.at(0).id, "20.1");
}

}  // namespace
}  // namespace exittop::test
