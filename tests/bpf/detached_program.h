// SPDX-License-Identifier: GPL-2.0-only
// The BPF program without KVM: loaded, attached to nothing, fed with events one by one.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include <gtest/gtest.h>
#include <unistd.h>

#include "capture/bpf_program.h"
#include "capture/slot_reader.h"

namespace exittop::test {

/// Made-up addresses of vCPUs, in user space: when the program asks the kernel to read there, it
/// gets zeros.
constexpr std::uint64_t vcpu_a = 0x1000;
constexpr std::uint64_t vcpu_b = 0x2000;
constexpr std::uint32_t svm = 2;

class DetachedProgram : public testing::Test {
protected:
    /// Loads the program, or skips the test if the kernel does not allow it. Root may: for it a
    /// refusal is a failure.
    void load(std::uint32_t max_vcpus, const std::optional<TargetRequest>& targets = {}) {
        auto loaded = BpfProgram::load_detached(max_vcpus, targets);
        if (!loaded && loaded.error().status == ExitStatus::lacking && geteuid() != 0) {
            GTEST_SKIP() << loaded.error().text;
        }
        ASSERT_TRUE(loaded) << loaded.error().text;
        program_.emplace(std::move(*loaded));
    }
    void SetUp() override { load(16); }

    void exit(std::uint64_t vcpu, std::uint32_t code, std::uint32_t isa = svm) {
        const std::array<std::uint64_t, 3> arguments = {code, vcpu, isa};
        ASSERT_EQ(program_->test_run("exit_raw_reason", arguments), 0);
    }
    void entry(std::uint64_t vcpu) {
        const std::array<std::uint64_t, 1> arguments = {vcpu};
        ASSERT_EQ(program_->test_run("entry_raw", arguments), 0);
    }
    void exit_and_entry(std::uint64_t vcpu, std::uint32_t code) {
        exit(vcpu, code);
        entry(vcpu);
    }

    /// The slot of a vCPU; number 0, which is always empty, if it has none.
    std::uint32_t number_of(std::uint64_t vcpu) {
        const auto slots = program_->slots();
        for (std::uint32_t number = 1; number < slots.size(); ++number) {
            if (EXITTOP_VCPU_OF(slots[number].header.vcpu) == vcpu) return number;
        }
        return 0;
    }
    vcpu_slot& slot(std::uint64_t vcpu) { return program_->slots()[number_of(vcpu)]; }
    SlotContents read(std::uint64_t vcpu) { return read_slot(slot(vcpu)); }
    /// Exits of a vCPU by code; 0 if there is no such cell.
    std::uint64_t count(std::uint64_t vcpu, std::uint32_t code) {
        std::uint64_t sum = 0;
        for (const ExitStats& stats : read(vcpu).vcpu.exits) {
            if (stats.code == code) sum += stats.count;
        }
        return sum;
    }

    std::optional<BpfProgram> program_;
};

}  // namespace exittop::test
