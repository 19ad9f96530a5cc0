// SPDX-License-Identifier: GPL-2.0-only
// exittop sees at its start whether it reads what the BPF program writes.
#include "capture/bpf_program.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "detached_program.h"

namespace {

/// While it is set, whoever maps a file to share it gets memory of its own instead: what libbpf 1.5
/// did to those who looked through a skeleton at a map that they had put there.
bool private_copies = false;

}  // namespace

// In the place of libc's, for all of this program.
extern "C" void* mmap(void* address, std::size_t length, int protection, int flags, int file,
                      off_t offset) noexcept {
    if (private_copies && (flags & MAP_SHARED) != 0 && file >= 0) {
        flags = (flags & ~MAP_SHARED) | MAP_PRIVATE | MAP_ANONYMOUS;
        file = -1;
    }
    // NOLINTNEXTLINE(performance-no-int-to-ptr): an address is what this call returns.
    return reinterpret_cast<void*>(
        syscall(SYS_mmap, address, length, protection, flags, file, offset));
}

namespace exittop::test {
namespace {

class SharedMemory : public DetachedProgram {};

TEST_F(SharedMemory, TheProgramAnswersFromItsFarEnd) {
    u64& far = program_->slots().back().header.who.first_ns;
    EXPECT_EQ(far, 0U) << "the check at the start left something behind";
    EXPECT_EQ(program_->memory().proof, 0U);
    for (const std::uint64_t question : {std::uint64_t{1}, std::uint64_t{0xfeed'0000'0000'beef}}) {
        far = question;
        EXPECT_EQ(program_->test_run("prove_memory", {}), 0);
        EXPECT_EQ(program_->memory().proof, ~question);
    }
}

TEST_F(SharedMemory, ACopyIsAnErrorAndNotAHostWithoutExits) {
    private_copies = true;
    const auto loaded = BpfProgram::load_detached(16);
    private_copies = false;
    ASSERT_FALSE(loaded);
    EXPECT_EQ(loaded.error().status, ExitStatus::failed);
    EXPECT_THAT(loaded.error().text, testing::HasSubstr("is not what exittop reads"));
}

}  // namespace
}  // namespace exittop::test
