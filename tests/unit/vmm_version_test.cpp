// SPDX-License-Identifier: GPL-2.0-only
#include "vmm_version.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>

namespace exittop {
namespace {

namespace fs = std::filesystem;

TEST(VmmVersion, InName) {
    EXPECT_EQ(version_in_name("firecracker-v1.7.0-x86_64"), "1.7.0");
    for (const char* name : {"qemu-system-x86_64", "cloud-hypervisor", "x-v", "x-vm", "x-v7", ""}) {
        EXPECT_EQ(version_in_name(name), "") << name;
    }
}

class VmmVersionTest : public testing::Test {
protected:
    VmmVersionTest() : root_(testing::TempDir() + "exittop-vmm-" + std::to_string(getpid())) {
        fs::create_directories(root_ / "proc/7");
    }
    ~VmmVersionTest() override { fs::remove_all(root_); }

    std::string version_of(const std::string& name, const std::string& content) {
        std::ofstream(root_ / name, std::ios::binary) << content;
        fs::remove(root_ / "proc/7/exe");
        fs::create_symlink(root_ / name, root_ / "proc/7/exe");
        return VmmVersions(root_).of(7);
    }

    fs::path root_;
};

TEST_F(VmmVersionTest, OfQemuIsWhereverInItsFile) {
    const std::string words("QEMU emulator version 7.2.22 (Debian 1:7.2)\n\0more", 48);
    // Also where a piece that is read ends within the words.
    for (const std::size_t before : {0U, 100U, (1U << 20) - 10U, (1U << 20) - 24U, 3U << 20}) {
        const std::string content = std::string(before, 'x') + words + std::string(100, '\0');
        EXPECT_EQ(version_of("qemu", content), "7.2.22") << before;
    }
}

TEST_F(VmmVersionTest, IsEmptyWhereNothingTellsIt) {
    EXPECT_EQ(version_of("other", "a program"), "");
    EXPECT_EQ(version_of("short", "QEMU emulator version "), "");
    EXPECT_EQ(version_of("hostile", "QEMU emulator version \x1b[2J" + std::string(100, 'x')), "");
    EXPECT_EQ(version_of("firecracker-v1.7.0", "anything"), "1.7.0");
    EXPECT_EQ(VmmVersions(root_).of(8), "");
}

}  // namespace
}  // namespace exittop
