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

namespace exittop {

/// Empty until the program's file was read, and where it does not tell.
using VmmVersion = std::shared_ptr<const std::string>;

/// Files are not read when a VM comes, which may be any process's doing and must not keep exittop
/// from its slots, but later, all together.
class VmmVersions {
public:
    /// Programs that are remembered; of more, those that were asked for longest ago are not.
    static constexpr std::size_t most_programs = 64;
    /// Of a program that is read: QEMU's words are within the first 11 of 18 MB.
    static constexpr std::size_t most_of_program = std::size_t{64} << 20;

    explicit VmmVersions(std::filesystem::path root = "/") : root_(std::move(root)) {}

    /// Of the program that a process runs. Opens no file for reading, nor asks one that may be
    /// elsewhere for anything: that a file system over a network does not answer is not waited for.
    VmmVersion of(std::uint32_t pid);
    /// Reads on in the files of new programs, also where their process has ended since; all in all
    /// at most so many bytes, whoever has made how many programs.
    void read(std::size_t most);

    [[nodiscard]] std::size_t programs() const { return programs_.size(); }

private:
    /// What tells a program from another that takes its place in the file system.
    struct Key {
        std::uint64_t device = 0, inode = 0, bytes = 0;
        std::int64_t modified_s = 0, changed_s = 0;
        std::uint32_t modified_ns = 0, changed_ns = 0;
        bool operator==(const Key&) const = default;
    };
    struct Program {
        Key key;
        std::shared_ptr<std::string> version;
        std::shared_ptr<const int> unread;  ///< Descriptor of the file, until it is read,
        std::size_t done = 0;               ///< and how much of it was.
    };

    [[nodiscard]] bool is_elsewhere(std::uint32_t pid, std::uint64_t device) const;

    std::filesystem::path root_;
    std::list<Program> programs_;  ///< The one that was asked for last in front.
};

/// From the name of a program: "firecracker-v1.7.0-x86_64" -> "1.7.0"; else empty.
std::string version_in_name(std::string_view name);

}  // namespace exittop
