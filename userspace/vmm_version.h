// SPDX-License-Identifier: GPL-2.0-only
// Which version of its VMM a process runs, read from the program's file, without starting it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <utility>

namespace exittop {

class VmmVersions {
public:
    explicit VmmVersions(std::filesystem::path root = "/") : root_(std::move(root)) {}

    /// Of the program that a process runs; empty if it does not tell. A program is read once.
    std::string of(std::uint32_t pid);

private:
    std::filesystem::path root_;
    std::map<std::pair<std::uint64_t, std::uint64_t>, std::string> known_;  // By device and inode.
};

/// From the name of a program: "firecracker-v1.7.0-x86_64" -> "1.7.0"; else empty.
std::string version_in_name(std::string_view name);

}  // namespace exittop
