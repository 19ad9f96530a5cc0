// SPDX-License-Identifier: GPL-2.0-only
// Any order in which VMs live and die, and in which the table looks at them, gives the VMs of a
// model that knows who is who.
#include <algorithm>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "capture/vm_table.h"
#include "fake_slots.h"

namespace exittop {
namespace {

constexpr std::uint32_t slot_count = 6;
constexpr std::uint32_t address_count = 3;
constexpr std::uint32_t pid_count = 2;

/// What the model knows of a vCPU and of a VM.
struct ModelVcpu {
    std::uint32_t id = 0;
    std::uint32_t slot = 0;
    std::map<std::pair<GuestLevel, std::uint32_t>, std::uint64_t> counts;
    bool ended = false;
};
struct ModelVm {
    std::string name;
    std::uint64_t kvm = 0;
    std::uint32_t pid = 0;
    std::vector<ModelVcpu> vcpus;
    std::uint32_t next_id = 0;
    bool forgotten = false;
    bool dying = false;  // one of its vCPUs ended: no further ones come
};

/// A host whose VMs do what a list of numbers says.
class ModelHost {
public:
    void step(std::uint32_t choice) {
        const std::uint32_t detail = choice / 16;
        switch (choice % 16) {
            case 0:
            case 1: new_vm(detail); break;
            case 2:
            case 3: new_vcpu(detail); break;
            case 4: end_vm(detail); break;
            case 5: end_vcpu(detail); break;
            case 6:
            case 7:
                update();
                compare();
                break;
            case 8:
                update();
                forget();
                compare();
                break;
            default: exit(detail); break;
        }
    }

    void update() {
        table_.update(slots_.all(), slots_.states(), [this](std::uint32_t number) {
            RC_ASSERT(slots_.states()[number] == std::uint8_t{EXITTOP_SLOT_ENDED});
            slots_.clear(number);
            free_.push_back(number);
        });
    }

    /// The table, just updated, holds what the model does.
    void compare() {
        const std::vector<Vm> found = table_.contents(slots_.all()).vms;
        std::map<std::string, const Vm*> by_name;
        for (const Vm& vm : found) RC_ASSERT(by_name.emplace(vm.name, &vm).second);
        std::size_t expected = 0;
        std::map<std::string, int> ids;
        for (const ModelVm& vm : vms_) {
            if (vm.vcpus.empty() || vm.forgotten) continue;
            ++expected;
            RC_ASSERT(by_name.contains(vm.name));
            compare(vm, *by_name[vm.name]);
            RC_ASSERT(++ids[by_name[vm.name]->id] == 1);
        }
        RC_ASSERT(found.size() == expected);
        const auto live = std::ranges::count(slots_.states(), std::uint8_t{EXITTOP_SLOT_IN_USE});
        RC_ASSERT(free_.size() + static_cast<std::size_t>(live) == slot_count);
    }

    /// As an exporter does that has shown those that ended once.
    void forget() {
        table_.forget_ended(UINT64_MAX);
        for (ModelVm& vm : vms_) {
            const bool seen = !vm.vcpus.empty();
            vm.forgotten =
                vm.forgotten || (seen && std::ranges::all_of(vm.vcpus, &ModelVcpu::ended));
        }
    }

private:
    static void compare(const ModelVm& model, const Vm& vm) {
        RC_ASSERT(vm.pid == model.pid);
        RC_ASSERT(vm.ended == std::ranges::all_of(model.vcpus, &ModelVcpu::ended));
        RC_ASSERT(vm.vcpus.size() == model.vcpus.size());
        for (std::size_t i = 0; i < vm.vcpus.size(); ++i) {
            // Both ascend by id: the model gives ids in the order of the vCPUs' first exits.
            RC_ASSERT(vm.vcpus[i].id == model.vcpus[i].id);
            std::map<std::pair<GuestLevel, std::uint32_t>, std::uint64_t> counts;
            for (const ExitStats& stats : vm.vcpus[i].exits) {
                RC_ASSERT(stats.histogram.total() == stats.count);
                counts[{stats.level, stats.code}] = stats.count;
            }
            RC_ASSERT(counts == model.vcpus[i].counts);
        }
    }

    ModelVm* pick(std::uint32_t detail) {
        std::vector<ModelVm*> live;
        for (ModelVm& vm : vms_) {
            const bool gone = vm.dying && std::ranges::all_of(vm.vcpus, &ModelVcpu::ended);
            if (!gone) live.push_back(&vm);
        }
        return live.empty() ? nullptr : live[detail % live.size()];
    }

    void new_vm(std::uint32_t detail) {
        const std::uint64_t kvm = 0x1000 * (1 + detail % address_count);
        const bool used = std::ranges::any_of(vms_, [&](const ModelVm& vm) {
            const bool gone = vm.dying && std::ranges::all_of(vm.vcpus, &ModelVcpu::ended);
            return vm.kvm == kvm && !gone;
        });
        if (used) return;
        ModelVm vm;
        vm.name = "vm" + std::to_string(vms_.size());
        vm.kvm = kvm;
        vm.pid = 100 + detail / address_count % pid_count;
        vms_.push_back(vm);
    }

    void new_vcpu(std::uint32_t detail) {
        ModelVm* vm = pick(detail);
        if (!vm || vm->dying || free_.empty()) return;
        ModelVcpu vcpu;
        vcpu.id = vm->next_id++;
        vcpu.slot = free_.front();
        free_.pop_front();
        slots_.begin(vcpu.slot, {.kvm = vm->kvm,
                                 .first_ns = ++now_,
                                 .id = vcpu.id,
                                 .pid = vm->pid,
                                 .command = vm->name});
        vm->vcpus.push_back(vcpu);
    }

    void exit(std::uint32_t detail) {
        ModelVm* vm = pick(detail);
        if (!vm || vm->vcpus.empty()) return;
        ModelVcpu& vcpu = vm->vcpus[detail / 7 % vm->vcpus.size()];
        if (vcpu.ended) return;
        const std::uint32_t code = 0x70 + detail % 4;
        const auto level = detail % 5 == 0 ? GuestLevel::l2 : GuestLevel::l1;
        slots_.at(vcpu.slot).exits(code, detail % 10'000, 1, static_cast<std::uint8_t>(level));
        ++vcpu.counts[{level, code}];
    }

    void end(ModelVcpu& vcpu) {
        if (vcpu.ended) return;
        slots_.at(vcpu.slot).end(++now_);
        vcpu.ended = true;
    }

    void end_vm(std::uint32_t detail) {
        ModelVm* vm = pick(detail);
        if (!vm) return;
        vm->dying = true;
        for (ModelVcpu& vcpu : vm->vcpus) end(vcpu);
    }

    void end_vcpu(std::uint32_t detail) {
        ModelVm* vm = pick(detail);
        if (!vm || vm->vcpus.empty()) return;
        vm->dying = true;
        end(vm->vcpus[detail / 7 % vm->vcpus.size()]);
    }

    test::FakeSlots slots_{slot_count};
    std::deque<std::uint32_t> free_ = {1, 2, 3, 4, 5, 6};
    std::deque<ModelVm> vms_;
    std::uint64_t now_ = 1;
    VmTable table_{
        [](const VmTable::Process& process) { return VmIdentity{process.command, "", ""}; }};
};

TEST(VmLives, AreToldApartAsInTheModel) {
    EXPECT_TRUE(rc::check("the table's VMs are the model's", [] {
        const auto choice_of_all =
            rc::gen::resize(rc::kNominalSize, rc::gen::inRange<std::uint32_t>(0, 1'000'000));
        const auto steps =
            *rc::gen::scale(3.0, rc::gen::container<std::vector<std::uint32_t>>(choice_of_all));
        ModelHost host;
        for (const std::uint32_t choice : steps) host.step(choice);
        host.update();
        host.compare();
    }));
}

}  // namespace
}  // namespace exittop
