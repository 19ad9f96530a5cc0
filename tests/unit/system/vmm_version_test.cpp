// SPDX-License-Identifier: GPL-2.0-only
#include "system/vmm_version.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <unistd.h>

#include <chrono>
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

    void write(const std::string& name, const std::string& content) {
        std::ofstream(root_ / name, std::ios::binary) << content;
    }
    /// Makes a process run a program.
    void run(std::uint32_t pid, const std::string& name) {
        const fs::path folder = root_ / "proc" / std::to_string(pid);
        fs::create_directories(folder);
        fs::remove(folder / "exe");
        fs::create_symlink(root_ / name, folder / "exe");
    }
    std::string version_of(const std::string& name, const std::string& content) {
        write(name, content);
        run(7, name);
        VmmVersions versions(root_);
        const VmmVersion version = versions.of(7);
        versions.read(all);
        return version ? *version : "none";
    }
    static std::string qemu(const std::string& version, std::size_t before = 0) {
        return std::string(before, 'x') + "QEMU emulator version " + version + " (Debian 1)\n" +
               std::string(100, '\0');
    }

    static constexpr std::size_t all = std::size_t{256} << 20;
    fs::path root_;
};

TEST_F(VmmVersionTest, OfQemuIsWhereverInItsFile) {
    constexpr std::size_t piece = 1U << 18;
    // Also where a piece that is read ends within the words.
    for (const std::size_t before : {std::size_t{0}, std::size_t{100}, piece - 10, piece - 24,
                                     piece - 1, piece, piece + 40, piece + 60, 12 * piece}) {
        EXPECT_EQ(version_of("qemu", qemu("7.2.22", before)), "7.2.22") << before;
    }
}

TEST_F(VmmVersionTest, IsEmptyWhereNothingTellsIt) {
    EXPECT_EQ(version_of("other", "a program"), "");
    EXPECT_EQ(version_of("short", "QEMU emulator version "), "");
    EXPECT_EQ(version_of("hostile", "QEMU emulator version \x1b[2J" + std::string(100, 'x')), "");
    EXPECT_EQ(version_of("firecracker-v1.7.0", "anything"), "1.7.0");
    EXPECT_EQ(VmmVersions(root_).of(8), nullptr);
}

TEST_F(VmmVersionTest, IsReadLaterAndInParts) {
    write("qemu", qemu("9.1.0", 3 << 20));
    run(7, "qemu");
    VmmVersions versions(root_);
    const VmmVersion version = versions.of(7);
    ASSERT_TRUE(version);
    EXPECT_EQ(*version, "");
    fs::remove_all(root_ / "proc/7");  // It ended,
    fs::remove(root_ / "qemu");        // and its file is gone.
    versions.read(2 << 20);
    EXPECT_EQ(*version, "");
    versions.read(2 << 20);
    EXPECT_EQ(*version, "9.1.0");
}

TEST_F(VmmVersionTest, OfAnotherProgramInTheSamePlaceIsAnother) {
    VmmVersions versions(root_);
    const auto version = [&](const std::string& content) {
        std::ofstream(root_ / "qemu",
                      std::ios::binary | std::ios::in | std::ios::out | std::ios::trunc)
            << content;  // The same inode.
        run(7, "qemu");
        const VmmVersion found = versions.of(7);
        versions.read(all);
        return *found;
    };
    write("qemu", "");
    struct stat before{}, after{};
    stat((root_ / "qemu").c_str(), &before);
    EXPECT_EQ(version(qemu("7.2.1")), "7.2.1");
    EXPECT_EQ(version(qemu("7.2.22")), "7.2.22");
    // Of the same size, and with the time of the one before: only its change gives it away.
    const timeval times[2] = {{1'000'000, 0}, {1'000'000, 0}};
    utimes((root_ / "qemu").c_str(), times);
    EXPECT_EQ(version(qemu("8.0.11")), "8.0.11");
    utimes((root_ / "qemu").c_str(), times);
    EXPECT_EQ(*versions.of(7), "");  // Read anew.
    stat((root_ / "qemu").c_str(), &after);
    EXPECT_EQ(before.st_ino, after.st_ino);
}

TEST_F(VmmVersionTest, ProgramsAreRememberedWithinABound) {
    VmmVersions versions(root_);
    for (std::uint32_t pid = 100; pid < 100 + 3 * VmmVersions::most_programs; ++pid) {
        const std::string name = "qemu" + std::to_string(pid);
        write(name, qemu("7.0." + std::to_string(pid)));
        run(pid, name);
        run(7, "qemu100");
        const VmmVersion version = versions.of(pid);
        const VmmVersion first = versions.of(7);  // What is in use stays.
        versions.read(all);
        EXPECT_EQ(*version, "7.0." + std::to_string(pid));
        EXPECT_EQ(*first, "7.0.100");
        EXPECT_EQ(versions.of(7), first);
        EXPECT_LE(versions.programs(), VmmVersions::most_programs);
    }
}

TEST_F(VmmVersionTest, OnlyRegularFilesAreReadAndOnlyTheirBeginnings) {
    VmmVersions versions(root_);
    ASSERT_EQ(mkfifo((root_ / "pipe").c_str(), 0600), 0);
    run(7, "pipe");
    EXPECT_EQ(versions.of(7), nullptr);  // And does not wait for a writer.
    run(7, "proc");
    EXPECT_EQ(versions.of(7), nullptr);
    fs::remove(root_ / "proc/7/exe");
    fs::create_symlink("/dev/zero", root_ / "proc/7/exe");
    EXPECT_EQ(versions.of(7), nullptr);

    write("huge", "");
    fs::resize_file(root_ / "huge", std::uint64_t{1} << 40);
    run(7, "huge");
    const VmmVersion version = versions.of(7);
    const auto begin = std::chrono::steady_clock::now();
    versions.read(SIZE_MAX);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20));
    EXPECT_EQ(*version, "");
}

TEST_F(VmmVersionTest, WhatIsOnAnotherMachineIsNotRead) {
    const fs::path memory = "/dev/shm/exittop-vmm-" + std::to_string(getpid());
    for (const fs::path& program : {root_ / "qemu", memory}) {
        std::ofstream(program, std::ios::binary) << qemu("7.2.22");
        struct stat facts{};
        if (stat(program.c_str(), &facts) != 0) continue;
        fs::remove(root_ / "proc/7/exe");
        fs::create_symlink(program, root_ / "proc/7/exe");
        const bool has_blocks = gnu_dev_major(facts.st_dev) != 0;
        for (const std::string kind : {"tmpfs", "nfs4", "fuse.sshfs", "nfs"}) {
            write("proc/7/mountinfo", "36 35 0:" + std::to_string(gnu_dev_minor(facts.st_dev)) +
                                          " / /mnt rw,noatime shared:1 master:2 - " + kind +
                                          " server:/x rw\n");
            VmmVersions versions(root_);
            const VmmVersion version = versions.of(7);
            versions.read(all);
            ASSERT_TRUE(version);
            // A file on a device of blocks is here, whatever the process's table says.
            EXPECT_EQ(*version, has_blocks || kind == "tmpfs" ? "7.2.22" : "") << program << kind;
        }
    }
    fs::remove(memory);
}

}  // namespace
}  // namespace exittop
