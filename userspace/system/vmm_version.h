// SPDX-License-Identifier: GPL-2.0-only
// Which version of its VMM a process runs, read from the program's file, without starting it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "base/file_descriptor.h"

namespace exittop {

/// Empty until the program's file was read, and if the file does not contain it.
using VmmVersion = std::shared_ptr<const std::string>;

/// Files are not read when a VM starts, because any process may start VMs, and this must not delay
/// exittop's other work. They are read later, all together.
class VmmVersions {
public:
    /// Number of programs that are remembered; the least recently used ones are dropped.
    static constexpr std::size_t most_programs = 64;
    /// How much of a program is read: QEMU's string is within the first 11 of 18 MB.
    static constexpr std::size_t most_of_program = std::size_t{64} << 20;

    explicit VmmVersions(std::filesystem::path root = "/") : root_(std::move(root)) {}

    /// The version of the program that a process runs. Opens no file for reading, and does not
    /// access files that may be on a network, so it never waits for a file system that does not
    /// answer.
    VmmVersion of(std::uint32_t pid);
    /// Continues to read the files of new programs, also if their process has ended. Reads at most
    /// that many bytes in total, however many programs there are.
    void read(std::size_t most);

    [[nodiscard]] std::size_t programs() const { return programs_.size(); }

private:
    /// What distinguishes a program from another one that replaces its file.
    struct Key {
        std::uint64_t device = 0, inode = 0, bytes = 0;
        std::int64_t modified_s = 0, changed_s = 0;
        std::uint32_t modified_ns = 0, changed_ns = 0;
        bool operator==(const Key&) const = default;
    };
    struct Program {
        Key key;
        std::shared_ptr<std::string> version;
        FileDescriptor unread;  ///< The file, until it is read,
        std::size_t done = 0;   ///< and how much of it was.
    };

    [[nodiscard]] bool is_elsewhere(std::uint32_t pid, std::uint64_t device) const;

    std::filesystem::path root_;
    std::list<Program> programs_;  ///< The one that was asked for last in front.
};

/// From the name of a program: "firecracker-v1.7.0-x86_64" -> "1.7.0"; else empty.
std::string version_in_name(std::string_view name);

}  // namespace exittop
