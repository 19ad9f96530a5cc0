// SPDX-License-Identifier: GPL-2.0-only
// VMs of which vCPUs have no slot, for a while or all the time.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "capture/vm_table.h"
#include "fake_slots.h"

namespace exittop::test {
namespace {

constexpr std::uint32_t hlt = 0x78;
constexpr std::uint64_t kvm_a = 0x1000, kvm_b = 0x2000;

class WaitingVcpus : public testing::Test {
protected:
    void update() {
        table_.update(slots_.all(), slots_.states(), [this](auto slot) { slots_.clear(slot); });
        table_.update_waiting(slots_.waiting(), slots_.all(), [this](auto place) {
            slots_.waiting()[place] = {};
            released_.push_back(place);
        });
    }
    void end_waiting(std::uint32_t place, std::uint64_t ended_ns) {
        slots_.waiting()[place].vcpu = 0;
        slots_.waiting()[place].who.ended_ns = ended_ns;
        slots_.waiting()[place].state = EXITTOP_SLOT_ENDED;
    }
    void evict(std::uint32_t slot, std::uint32_t place, const MadeVcpu& vcpu) {
        slots_.at(slot).end(vcpu.first_ns + 1000);
        slots_.all()[slot].header.evicted = 1;
        slots_.wait(place, vcpu, 0);
    }
    VmTable::Contents contents() { return table_.contents(slots_.all(), 0, slots_.waiting()); }
    /// What an overview says must be what the whole says.
    Vm only_vm() {
        auto [vms, lost] = contents();
        EXPECT_EQ(vms.size(), 1U);
        const auto overview = table_.overview(slots_.all(), 0, "", slots_.waiting());
        EXPECT_EQ(overview.lost, lost);
        EXPECT_EQ(overview.vms.size(), 1U);
        EXPECT_EQ(uncounted_exits(overview.vms.at(0)), uncounted_exits(vms.at(0)));
        EXPECT_EQ(overview.vms.at(0).vcpus.size(), vms.at(0).vcpus.size());
        EXPECT_EQ(sum_of_counts(overview.vms.at(0)), sum_of_counts(vms.at(0)));
        return vms.at(0);
    }
    static std::uint64_t sum_of_counts(const auto& vm) {
        std::uint64_t sum = 0;
        for (const ExitStats& stats : exits_by_reason(vm)) sum += stats.count;
        return sum;
    }

    FakeSlots slots_{8};
    std::vector<std::uint32_t> released_;
    VmTable table_{
        [](const VmTable::Process& process) { return VmIdentity{process.command, "", ""}; }};
};

TEST_F(WaitingVcpus, AreTheirVmsAndNamed) {
    slots_.begin(1, {.kvm = kvm_a, .id = 0, .command = "web"}).exits(hlt, 100, 5);
    slots_.wait(2, {.kvm = kvm_a, .first_ns = 200, .id = 1, .tid = 1002}, 41);
    update();
    const Vm vm = only_vm();
    ASSERT_EQ(vm.vcpus.size(), 2U);
    EXPECT_EQ(vm.vcpus[0].uncounted, 0U);
    EXPECT_EQ(vm.vcpus[1].uncounted, 41U);
    EXPECT_EQ(vm.vcpus[1].tid, 1002U);
    EXPECT_EQ(contents().lost.table_full, 41U);
    EXPECT_FALSE(is_uncounted(vm));
    slots_.waiting()[2].exits = 50;
    EXPECT_EQ(uncounted_exits(only_vm()), 50U);
}

TEST_F(WaitingVcpus, MakeAVmOfTheirOwn) {
    slots_.wait(0, {.kvm = kvm_b, .pid = 7, .command = "db"}, 3);
    update();
    const Vm vm = only_vm();
    EXPECT_EQ(vm.name, "db");
    EXPECT_EQ(vm.id, "7.1");
    EXPECT_TRUE(is_uncounted(vm));
    EXPECT_FALSE(vm.ended);
    end_waiting(0, 900);
    update();
    EXPECT_TRUE(only_vm().ended);
    EXPECT_EQ(uncounted_exits(only_vm()), 3U);
    EXPECT_EQ(contents().lost.table_full, 3U);
    EXPECT_EQ(released_, std::vector<std::uint32_t>{0});
}

TEST_F(WaitingVcpus, ThatGetASlotAreThere) {
    const MadeVcpu vcpu{.kvm = kvm_a, .first_ns = 100, .id = 3};
    slots_.wait(0, vcpu, 10);
    update();
    end_waiting(0, 0);
    slots_.begin(1, {.kvm = kvm_a, .first_ns = 500, .id = 3}).exits(hlt, 100, 4);
    update();
    const Vm vm = only_vm();
    EXPECT_FALSE(vm.ended);
    ASSERT_EQ(vm.vcpus.size(), 1U);
    EXPECT_EQ(vm.vcpus[0].uncounted, 10U);
    EXPECT_EQ(vm.vcpus[0].exits.at(0).count, 4U);
    // The next at that address is another.
    slots_.at(1).end(600);
    update();
    EXPECT_TRUE(only_vm().ended);
    slots_.begin(2, {.kvm = kvm_a, .first_ns = 700, .id = 3});
    update();
    EXPECT_EQ(contents().vms.size(), 2U);
}

TEST_F(WaitingVcpus, ThatLostTheirSlotAreOneWithWhatWasCounted) {
    const MadeVcpu vcpu{.kvm = kvm_a, .first_ns = 100, .id = 0};
    slots_.begin(1, vcpu).exits(hlt, 100, 7);
    update();
    evict(1, 5, vcpu);
    update();
    EXPECT_FALSE(only_vm().ended);
    slots_.waiting()[5].exits = 20;
    ASSERT_EQ(only_vm().vcpus.size(), 1U);
    EXPECT_EQ(only_vm().vcpus[0].uncounted, 20U);
    EXPECT_EQ(only_vm().vcpus[0].exits.at(0).count, 7U);

    // It gets one again, and loses that again.
    end_waiting(5, 0);
    const MadeVcpu again{.kvm = kvm_a, .first_ns = 2000, .id = 0};
    slots_.begin(2, again).exits(hlt, 100, 2);
    update();
    EXPECT_EQ(only_vm().vcpus.at(0).exits.at(0).count, 9U);
    evict(2, 4, again);
    update();
    slots_.waiting()[4].exits = 1;
    ASSERT_EQ(only_vm().vcpus.size(), 1U);
    EXPECT_EQ(only_vm().vcpus[0].exits.at(0).count, 9U);
    EXPECT_EQ(only_vm().vcpus[0].uncounted, 21U);
    EXPECT_FALSE(only_vm().vcpus[0].kvm_exits);
    end_waiting(4, 3000);
    update();
    EXPECT_TRUE(only_vm().ended);
    table_.forget_ended(4000);
    EXPECT_TRUE(contents().vms.empty());
    EXPECT_EQ(contents().lost.table_full, 21U) << "what was lost stays lost";
}

TEST_F(WaitingVcpus, OfAVmAfterAnotherAreOfAnother) {
    slots_.wait(6, {.kvm = kvm_a, .first_ns = 100, .id = 0}, 1);
    end_waiting(6, 200);
    slots_.wait(3, {.kvm = kvm_a, .first_ns = 300, .id = 0}, 2);
    update();
    const std::vector<Vm> vms = contents().vms;
    ASSERT_EQ(vms.size(), 2U);
    EXPECT_EQ(uncounted_exits(vms[0]), 1U);
    EXPECT_TRUE(vms[0].ended);
    EXPECT_EQ(uncounted_exits(vms[1]), 2U);
    EXPECT_FALSE(vms[1].ended);
}

}  // namespace
}  // namespace exittop::test
