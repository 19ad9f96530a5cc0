// SPDX-License-Identifier: GPL-2.0-only
// How vCPUs that come and go are told apart as VMs.
#include "capture/vm_table.h"

#include <algorithm>
#include <deque>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "fake_slots.h"

namespace exittop {
namespace {

using test::FakeSlots;
using test::MadeVcpu;
using test::SlotWriter;

constexpr std::uint32_t svm_io = 0x7b;
constexpr std::uint32_t svm_hlt = 0x78;

/// A table over made-up slots that takes slots back as the collector does.
class Tables : public testing::Test {
protected:
    void update() {
        table_.update(slots_.all(), slots_.states(), [this](std::uint32_t number) {
            EXPECT_EQ(slots_.states()[number], EXITTOP_SLOT_ENDED);
            released_.push_back(number);
            slots_.clear(number);
            if (on_release_) on_release_();
        });
    }
    std::vector<Vm> vms() { return table_.contents(slots_.all()).vms; }
    Lost lost() { return table_.contents(slots_.all()).lost; }

    FakeSlots slots_{8};
    std::vector<std::uint32_t> released_;
    std::vector<std::uint32_t> identified_;
    std::function<void()> on_release_;
    VmTable table_{[this](const VmTable::Process& process) {
        identified_.push_back(process.pid);
        VmIdentity identity{process.command, "uuid-of-" + process.command,
                            "vmm-of-" + process.command};
        identity.paging = paging_;
        return identity;
    }};
    Paging paging_ = Paging::unknown;
};

constexpr std::uint64_t kvm_a = 0xffff'8880'0000'0000;
constexpr std::uint64_t kvm_b = 0xffff'8881'0000'0000;

TEST_F(Tables, AVmWhoseEndWasMissedIsNotJoinedWithTheNext) {
    struct Case {
        const char* what;
        MadeVcpu next;
    };
    const MadeVcpu first{.kvm = 0x1000, .first_ns = 100, .id = 0, .pid = 10};
    for (const Case& each :
         {Case{"of another process", {.kvm = 0x1000, .first_ns = 200, .id = 1, .pid = 11}},
          Case{"the same vCPU once more", {.kvm = 0x1000, .first_ns = 200, .id = 0, .pid = 10}}}) {
        SCOPED_TRACE(each.what);
        FakeSlots slots{2};
        VmTable table{[](const VmTable::Process&) { return VmIdentity{"vm", "", ""}; }};
        slots.begin(1, first);
        slots.begin(2, each.next);
        table.update(slots.all(), slots.states(), [](std::uint32_t) {});
        EXPECT_EQ(table.contents(slots.all()).vms.size(), 2U);
    }
}

TEST_F(Tables, AVmWhoseEndWasSeenTooLateIsNotJoinedWithTheNext) {
    for (const MadeVcpu& next : {MadeVcpu{.kvm = kvm_a, .first_ns = 200, .id = 1, .pid = 11},
                                 MadeVcpu{.kvm = kvm_a, .first_ns = 200, .id = 0, .pid = 10}}) {
        FakeSlots slots{2};
        VmTable table{[](const VmTable::Process&) { return VmIdentity{"vm", "", ""}; }};
        SlotWriter first = slots.begin(1, {.kvm = kvm_a, .first_ns = 100, .id = 0, .pid = 10});
        table.update(slots.all(), slots.states(), [](std::uint32_t) {});
        slots.begin(2, next);
        first.end(300);
        table.update(slots.all(), slots.states(), [](std::uint32_t) {});
        EXPECT_EQ(table.contents(slots.all()).vms.size(), 2U);
    }
}

TEST_F(Tables, AProcessThatCannotBeAskedHasTheKernelsNumber) {
    FakeSlots slots{2};
    std::vector<std::uint32_t> asked;
    VmTable table{[&asked](const VmTable::Process& process) {
                      asked.push_back(process.pid);
                      VmIdentity identity{process.command + "'s name", "", ""};
                      identity.named = process.pid != 0;
                      return identity;
                  },
                  [](const vcpu_identity& who) { return who.pid == 10 ? 0U : 7U; }};
    slots.begin(1, {.kvm = 0x1000, .pid = 10, .command = "outside"});
    slots.begin(2, {.kvm = 0x2000, .pid = 11, .command = "inside"});
    table.update(slots.all(), slots.states(), [](std::uint32_t) {});
    const auto contents = table.contents(slots.all());
    EXPECT_EQ(asked, (std::vector<std::uint32_t>{0, 7}));
    EXPECT_EQ(contents.vms.at(0).name, "inside's name");
    EXPECT_EQ(contents.vms.at(0).pid, 7U);
    EXPECT_TRUE(contents.vms.at(0).named);
    EXPECT_EQ(contents.vms.at(1).name, "outside-10");
    EXPECT_EQ(contents.vms.at(1).pid, 0U);
    EXPECT_FALSE(contents.vms.at(1).named);
    EXPECT_EQ(contents.lost.unnamed, 1U);
}

TEST_F(Tables, SlotsComeBackBeforeAnybodyIsAskedAndAProcessIsAskedOnce) {
    FakeSlots slots{5};
    std::vector<std::string> order;
    VmTable table{[&order](const VmTable::Process& process) {
                      order.push_back(process.command + process.line);
                      return VmIdentity{process.command + process.line, "", ""};
                  },
                  [](const vcpu_identity& who) { return who.pid; },
                  [](std::uint32_t slot) { return slot == 4 ? " x" : ""; }};
    for (std::uint32_t slot = 1; slot <= 4; ++slot) {
        slots.begin(slot, {.kvm = kvm_a + slot, .first_ns = slot, .pid = 7, .command = "web"})
            .end(9);
    }
    slots.begin(5, {.kvm = kvm_a, .first_ns = 5, .pid = 8, .command = "db"});
    table.update(slots.all(), slots.states(),
                 [&order](std::uint32_t slot) { order.push_back(std::to_string(slot)); });
    EXPECT_EQ(order, (std::vector<std::string>{"1", "2", "3", "4", "web", "web x", "db"}));
    std::vector<std::string> names;
    for (const Vm& vm : table.contents(slots.all()).vms) names.push_back(vm.id + " " + vm.name);
    EXPECT_EQ(names,
              (std::vector<std::string>{"8.1 db", "7.1 web", "7.2 web", "7.3 web", "7.4 web x"}));
}

TEST_F(Tables, AVmHasItsNameFromItsArgumentsWhicheverVcpuBroughtThem) {
    FakeSlots slots{2};
    VmTable table{[](const VmTable::Process& process) { return VmIdentity{process.line, "", ""}; },
                  [](const vcpu_identity&) { return 0U; },
                  [](std::uint32_t slot) { return slot == 1 ? "-name web" : ""; }};
    slots.begin(1, {.kvm = kvm_a, .first_ns = 20, .id = 0, .pid = 7}).end(30);
    slots.begin(2, {.kvm = kvm_a, .first_ns = 10, .id = 1, .pid = 7}).end(30);
    table.update(slots.all(), slots.states(), [](std::uint32_t) {});
    const auto contents = table.contents(slots.all());
    ASSERT_EQ(contents.vms.size(), 1U);
    EXPECT_EQ(contents.vms[0].name, "-name web");
    EXPECT_EQ(contents.vms[0].vcpus.size(), 2U);
}

TEST_F(Tables, StartEmpty) {
    update();
    EXPECT_TRUE(vms().empty());
    EXPECT_EQ(lost(), Lost{});
}

TEST_F(Tables, AVmHasItsIdentityAndItsVcpusInOrder) {
    slots_.begin(5, {.kvm = kvm_a, .first_ns = 10, .id = 1, .pid = 7, .tid = 71, .command = "web"})
        .exits(svm_io, 100);
    slots_.begin(2, {.kvm = kvm_a, .first_ns = 20, .id = 0, .pid = 7, .tid = 70, .command = "web"})
        .exits(svm_io, 100, 2);
    slots_.begin(7, {.kvm = kvm_a, .first_ns = 30, .id = 2, .pid = 7, .tid = 72, .command = "web"});
    update();
    ASSERT_EQ(vms().size(), 1U);
    const Vm vm = vms()[0];
    EXPECT_EQ(vm.id, "7.1");
    EXPECT_EQ(vm.pid, 7U);
    EXPECT_EQ(vm.name, "web");
    EXPECT_EQ(vm.uuid, "uuid-of-web");
    EXPECT_EQ(vm.vmm, "vmm-of-web");
    EXPECT_EQ(vm.isa, Isa::svm);
    EXPECT_EQ(vm.paging, Paging::npt);
    EXPECT_FALSE(vm.ended);
    ASSERT_EQ(vm.vcpus.size(), 3U);
    EXPECT_EQ(vm.vcpus[0].id, 0U);
    EXPECT_EQ(vm.vcpus[0].tid, 70U);
    EXPECT_EQ(vm.vcpus[0].exits.at(0).count, 2U);
    EXPECT_EQ(vm.vcpus[1].id, 1U);
    EXPECT_EQ(vm.vcpus[2].id, 2U);
    EXPECT_EQ(identified_, std::vector<std::uint32_t>{7}) << "asked once per VM";
    EXPECT_TRUE(released_.empty());
}

TEST_F(Tables, IdsStayUniqueThoughFewPidsAreRemembered) {
    std::set<std::string> ids;
    std::uint64_t now = 0;
    slots_.begin(1, {.kvm = kvm_b, .first_ns = ++now, .pid = 5});  // It lives all the time.
    for (std::uint32_t vm = 0; vm < 40'000; ++vm) {
        const std::uint32_t pid = 10 + vm % 13'000;  // Each is used again.
        slots_.begin(2, {.kvm = kvm_a, .first_ns = ++now, .pid = pid}).end(++now);
        update();
        const std::vector<Vm> both = vms();
        ASSERT_EQ(both.size(), 2U);
        const Vm& ended = both[0].ended ? both[0] : both[1];
        ASSERT_TRUE(ids.insert(ended.id).second) << ended.id;
        table_.forget_ended(UINT64_MAX);
    }
    EXPECT_LE(table_.remembered_pids(), 4'096U);
    // Where few have come, they are numbered from 1 on.
    EXPECT_TRUE(ids.contains("10.1"));
    EXPECT_TRUE(ids.contains("4000.1"));
    slots_.begin(2, {.kvm = kvm_a, .first_ns = ++now, .pid = 5});
    update();
    ids.clear();
    for (const Vm& vm : vms()) ids.insert(vm.id);
    EXPECT_EQ(ids, (std::set<std::string>{"5.1", "5.2"}));
}

TEST_F(Tables, AVersionThatIsFoundLaterIsThere) {
    const auto version = std::make_shared<std::string>();
    VmTable table([&](const VmTable::Process&) {
        VmIdentity identity{"web", "", "qemu"};
        identity.version = version;
        return identity;
    });
    slots_.begin(1, {});
    table.update(slots_.all(), slots_.states(), [](std::uint32_t) {});
    EXPECT_EQ(table.contents(slots_.all()).vms.at(0).vmm_version, "");
    *version = "7.2.22";
    EXPECT_EQ(table.contents(slots_.all()).vms.at(0).vmm_version, "7.2.22");
    EXPECT_EQ(table.overview(slots_.all(), 0, "").vms.at(0).vmm_version, "7.2.22");
}

TEST_F(Tables, CountsOfLiveVmsAreReadEachTime) {
    SlotWriter writer = slots_.begin(1, {});
    update();
    writer.exits(svm_io, 100);
    EXPECT_EQ(vms().at(0).vcpus.at(0).exits.at(0).count, 1U);
    writer.exits(svm_io, 100);
    EXPECT_EQ(vms().at(0).vcpus.at(0).exits.at(0).count, 2U);
}

TEST_F(Tables, IsaAndPagingOfAVcpuThatHasNotExitedComeLater) {
    slots_.begin(1, {.isa = 0});
    update();
    EXPECT_EQ(vms().at(0).isa, Isa::unknown);
    EXPECT_EQ(vms().at(0).paging, Paging::unknown);
    slots_.all()[1].header.isa = 1;
    EXPECT_EQ(vms().at(0).isa, Isa::vmx);
    EXPECT_EQ(vms().at(0).paging, Paging::ept);
    slots_.at(1).end(500);
    update();
    EXPECT_EQ(vms().at(0).isa, Isa::vmx);
    EXPECT_EQ(vms().at(0).paging, Paging::ept);
}

TEST_F(Tables, ShadowPagingIsKeptPerVm) {
    slots_.begin(1, {.kvm = kvm_a, .command = "a", .paging = EXITTOP_PAGING_SHADOW});
    slots_.begin(2, {.kvm = kvm_b, .command = "b", .paging = EXITTOP_PAGING_TDP});
    slots_.begin(3, {.kvm = kvm_b + 1, .command = "c", .paging = EXITTOP_PAGING_UNKNOWN});
    update();
    EXPECT_EQ(vms().at(0).paging, Paging::shadow);
    EXPECT_EQ(vms().at(1).paging, Paging::npt);
    EXPECT_EQ(vms().at(2).paging, Paging::unknown);
}

TEST_F(Tables, PagingThatTheKernelHidesIsThatOfTheModule) {
    paging_ = Paging::shadow;
    slots_.begin(1, {.kvm = kvm_a, .command = "a", .paging = EXITTOP_PAGING_UNKNOWN});
    slots_.begin(2, {.kvm = kvm_b, .command = "b", .paging = EXITTOP_PAGING_TDP});
    update();
    EXPECT_EQ(vms().at(0).paging, Paging::shadow);
    EXPECT_EQ(vms().at(1).paging, Paging::npt);
}

TEST_F(Tables, AnUnknownIsaKeepsItsNumber) {
    slots_.begin(1, {.isa = 9});
    update();
    EXPECT_EQ(isa_name(vms().at(0).isa), "9");
    EXPECT_EQ(vms().at(0).paging, Paging::unknown);
}

TEST_F(Tables, ACommandThatFillsItsFieldHasNoTerminator) {
    slots_.begin(1, {.command = "0123456789abcdef"});
    update();
    EXPECT_EQ(vms().at(0).name, "0123456789abcdef");
}

TEST_F(Tables, TwoVmsInOneProcessAreApart) {
    slots_.begin(1, {.kvm = kvm_a, .first_ns = 10, .pid = 7}).exits(svm_io, 100, 1);
    slots_.begin(2, {.kvm = kvm_b, .first_ns = 20, .pid = 7}).exits(svm_io, 100, 2);
    update();
    ASSERT_EQ(vms().size(), 2U);
    EXPECT_EQ(vms()[0].id, "7.1");
    EXPECT_EQ(vms()[0].vcpus.at(0).exits.at(0).count, 1U);
    EXPECT_EQ(vms()[1].id, "7.2");
    EXPECT_EQ(vms()[1].vcpus.at(0).exits.at(0).count, 2U);
}

TEST_F(Tables, AnEndedVmStaysAndItsSlotsComeBackOnce) {
    slots_.begin(1, {.id = 0}).exits(svm_io, 100, 5);
    slots_.begin(2, {.id = 1}).exits(svm_hlt, 100, 6);
    update();
    slots_.at(1).end(500);
    slots_.at(2).end(501);
    update();
    update();
    EXPECT_EQ(released_, (std::vector<std::uint32_t>{1, 2}));
    ASSERT_EQ(vms().size(), 1U);
    EXPECT_TRUE(vms()[0].ended);
    ASSERT_EQ(vms()[0].vcpus.size(), 2U);
    EXPECT_EQ(vms()[0].vcpus[0].exits.at(0).count, 5U);
    EXPECT_EQ(vms()[0].vcpus[1].exits.at(0).count, 6U);
}

TEST_F(Tables, AVmThatEndedBeforeItWasLookedAtIsThere) {
    slots_.begin(1, {}).exits(svm_io, 100, 5);
    slots_.at(1).end(500);
    update();
    ASSERT_EQ(vms().size(), 1U);
    EXPECT_TRUE(vms()[0].ended);
    EXPECT_EQ(vms()[0].vcpus.at(0).exits.at(0).count, 5U);
    EXPECT_EQ(released_, std::vector<std::uint32_t>{1});
}

TEST_F(Tables, AVmHasNotEndedWhileAVcpuLives) {
    slots_.begin(1, {.id = 0});
    slots_.begin(2, {.id = 1});
    update();
    slots_.at(1).end(500);
    update();
    EXPECT_FALSE(vms().at(0).ended);
    EXPECT_EQ(vms().at(0).vcpus.size(), 2U);
    slots_.at(2).end(510);
    update();
    EXPECT_TRUE(vms().at(0).ended);
}

TEST_F(Tables, AVmHasNotEndedThoughItsFirstVcpuWasNeverSeenAlive) {
    slots_.begin(1, {.first_ns = 10, .id = 0});
    slots_.at(1).end(500);
    slots_.begin(2, {.first_ns = 20, .id = 1});
    update();
    ASSERT_EQ(vms().size(), 1U);
    EXPECT_FALSE(vms()[0].ended);
}

TEST_F(Tables, AnAddressUsedAgainIsAnotherVm) {
    slots_.begin(1, {.kvm = kvm_a, .first_ns = 10, .pid = 7, .command = "a"});
    update();
    slots_.at(1).end(50);
    slots_.begin(2, {.kvm = kvm_a, .first_ns = 60, .pid = 8, .command = "b"});
    update();
    ASSERT_EQ(vms().size(), 2U);
    EXPECT_EQ(vms()[0].name, "a");
    EXPECT_TRUE(vms()[0].ended);
    EXPECT_EQ(vms()[1].name, "b");
    EXPECT_FALSE(vms()[1].ended);
}

TEST_F(Tables, AnAddressUsedManyTimesBetweenTwoLooks) {
    // Slots in another order than the VMs they hold.
    for (std::uint32_t i = 0; i < 8; ++i) {
        const std::uint32_t number = 8 - i;
        slots_.begin(number, {.kvm = kvm_a, .first_ns = 100 + 10 * i, .pid = 7})
            .exits(svm_io, 100, i + 1);
        if (i < 7) slots_.at(number).end(105 + 10 * i);
    }
    update();
    ASSERT_EQ(vms().size(), 8U);
    for (std::uint32_t i = 0; i < 8; ++i) {
        EXPECT_EQ(vms()[i].id, "7." + std::to_string(i + 1));
        EXPECT_EQ(vms()[i].vcpus.at(0).exits.at(0).count, i + 1);
        EXPECT_EQ(vms()[i].ended, i < 7);
    }
}

TEST_F(Tables, APidUsedAgainGivesANewId) {
    slots_.begin(1, {.kvm = kvm_a, .first_ns = 10, .pid = 7});
    slots_.at(1).end(50);
    update();
    slots_.begin(1, {.kvm = kvm_b, .first_ns = 60, .pid = 7});
    update();
    ASSERT_EQ(vms().size(), 2U);
    EXPECT_EQ(vms()[0].id, "7.1");
    EXPECT_EQ(vms()[1].id, "7.2");
}

// A program that counts while the table looks: the slots it passed may change behind it.
TEST_F(Tables, AVmThatEndsBehindTheLookLeavesItsAddressToAnother) {
    slots_.begin(1, {.kvm = kvm_a, .first_ns = 10, .pid = 7, .command = "a"}).exits(svm_io, 100);
    update();
    slots_.begin(2, {.kvm = kvm_b, .first_ns = 20, .pid = 9, .command = "other"});
    slots_.at(2).end(55);
    slots_.begin(3, {.kvm = kvm_a, .first_ns = 60, .pid = 8, .command = "b"}).exits(svm_io, 100);
    // Slot 1 was read as in use; the VM in it ended at 50, before slot 3 was read.
    on_release_ = [this] {
        if (slots_.states()[1] == EXITTOP_SLOT_IN_USE) slots_.at(1).end(50);
    };
    update();
    update();
    ASSERT_EQ(vms().size(), 3U);
    EXPECT_EQ(vms()[0].name, "a");
    EXPECT_TRUE(vms()[0].ended);
    EXPECT_EQ(vms()[0].vcpus.size(), 1U);
    EXPECT_EQ(vms()[1].name, "b");
    EXPECT_EQ(vms()[1].vcpus.size(), 1U);
}

TEST_F(Tables, LossesOfEndedAndLiveVcpusAddUp) {
    for (std::uint32_t number = 1; number <= 3; ++number) {
        slots_.begin(number, {.kvm = kvm_a + number, .pid = number}).exits(0x4ff, 100, number);
        slots_.all()[number].header.exit_without_entry = 10 * number;
        slots_.all()[number].cells[EXITTOP_OVERFLOW_CELL].count = 100 * number;
    }
    EXPECT_EQ(table_.slots_in_use(), 0U) << "none was taken up yet";
    slots_.at(2).end(500);
    update();
    EXPECT_EQ(table_.slots_in_use(), 2U);
    Lost expected;
    expected.unknown_code = 6;
    expected.exit_without_entry = 60;
    expected.reasons_full = 600;
    EXPECT_EQ(lost(), expected);
    slots_.at(1).end(600);
    slots_.at(3).end(700);
    update();
    EXPECT_EQ(lost(), expected);
}

TEST_F(Tables, CountsOfBucketsBeyond32BitsAreKeptWithTheirSlot) {
    constexpr std::uint64_t half = 1ULL << 31;
    SlotWriter writer = slots_.begin(1, {});
    exit_cell& cell = writer.cell(svm_io);
    update();
    for (int i = 0; i < 3; ++i) {
        cell.count += half;
        cell.max_ns = 400;
        writer.shorts(cell).count[bucket_of(300)] += static_cast<std::uint32_t>(half);
        table_.track_wraps(slots_.all());
    }
    const auto total = [this] { return vms().at(0).vcpus.at(0).exits.at(0).histogram.total(); };
    EXPECT_EQ(total(), 3 * half);
    writer.end(500);
    update();
    EXPECT_EQ(total(), 3 * half);

    slots_.begin(1, {.kvm = kvm_b, .pid = 20, .command = "a"}).exits(svm_io, 300, 5);
    update();
    EXPECT_EQ(total(), 5U) << "another vCPU in the same slot";
}

TEST_F(Tables, VmsAreSortedByNameThenId) {
    slots_.begin(1, {.kvm = kvm_a, .first_ns = 1, .pid = 30, .command = "b"});
    slots_.begin(2, {.kvm = kvm_b, .first_ns = 2, .pid = 20, .command = "b"});
    slots_.begin(3, {.kvm = kvm_b + 1, .first_ns = 3, .pid = 40, .command = "a"});
    update();
    std::vector<std::string> order;
    for (const Vm& vm : vms()) order.push_back(vm.name + " " + vm.id);
    EXPECT_EQ(order, (std::vector<std::string>{"a 40.1", "b 20.1", "b 30.1"}));
}

TEST_F(Tables, TenThousandVmsComeAndGoInEightSlots) {
    std::deque<std::uint32_t> free = {1, 2, 3, 4, 5, 6, 7, 8};
    std::uint64_t now = 1;
    for (std::uint32_t i = 0; i < 10'000; ++i) {
        const std::uint32_t number = free.front();
        free.pop_front();
        slots_.begin(number, {.kvm = kvm_a + 4096 * (i % 3), .first_ns = ++now, .pid = i % 50})
            .exits(svm_io, 100, i + 1);
        // The three addresses are each given up before they are used again.
        slots_.at(number).end(++now);
        if (free.empty() || i % 3 == 0) {
            update();
            for (const std::uint32_t released : released_) free.push_back(released);
            released_.clear();
        }
    }
    update();
    const std::vector<Vm> all = vms();
    ASSERT_EQ(all.size(), 10'000U);
    std::set<std::string> ids;
    std::uint64_t exits = 0;
    for (const Vm& vm : all) {
        ids.insert(vm.id);
        ASSERT_EQ(vm.vcpus.size(), 1U);
        exits += vm.vcpus[0].exits.at(0).count;
        EXPECT_TRUE(vm.ended);
    }
    EXPECT_EQ(ids.size(), 10'000U);
    EXPECT_EQ(exits, 10'000ULL * 10'001 / 2);
    EXPECT_EQ(free.size() + released_.size(), 8U);
    EXPECT_EQ(table_.slots_in_use(), 0U);
}

}  // namespace
}  // namespace exittop
