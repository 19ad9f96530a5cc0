// SPDX-License-Identifier: GPL-2.0-only
// QEMU's file contains the output of --version as one string; other VMMs may have the version in
// the file's name.
#include "system/vmm_version.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>
#include <sstream>

#include "system/files.h"

namespace exittop {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view qemu_words = "QEMU emulator version ";
constexpr std::size_t longest_version = 32;
constexpr std::size_t piece_bytes = 1 << 18;
constexpr std::string_view version_letters =
    "0123456789.-+abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

std::string leading(std::string_view text, std::string_view letters) {
    const std::size_t end = std::min(text.find_first_not_of(letters), longest_version);
    return std::string(text.substr(0, std::min(end, text.size())));
}

/// What was found in a piece of a file, and where the next piece begins; none at the file's end.
struct Piece {
    std::string version;
    std::optional<std::size_t> next;
};

/// Pieces overlap, so that the string is not cut in two.
Piece search_piece(int file, std::size_t begin) {
    constexpr std::size_t overlap = qemu_words.size() + longest_version;
    std::string text(piece_bytes + overlap, '\0');
    const ssize_t got = pread(file, text.data(), text.size(), static_cast<off_t>(begin));
    text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    const std::size_t found = text.find(qemu_words);
    if (found < piece_bytes && text.size() - found >= overlap) {
        return {leading(std::string_view(text).substr(found + qemu_words.size()), version_letters),
                std::nullopt};
    }
    if (text.size() <= overlap) return {};
    return {{}, begin + text.size() - overlap};
}

/// Whether files of such a file system may be on another machine, or be served by another process.
bool may_block(std::string_view file_system) {
    constexpr std::array kinds = {"nfs",  "cifs",     "smb",     "fuse",    "9p",
                                  "ceph", "afs",      "gluster", "lustre",  "ocfs",
                                  "gfs",  "orangefs", "coda",    "virtiofs"};
    return std::ranges::any_of(
        kinds, [file_system](const char* kind) { return file_system.starts_with(kind); });
}

}  // namespace

std::string version_in_name(std::string_view name) {
    const std::size_t dash = name.find("-v");
    if (dash == name.npos) return {};
    std::string version = leading(name.substr(dash + 2), "0123456789.");
    return version.contains('.') ? version : std::string{};
}

bool VmmVersions::is_elsewhere(std::uint32_t pid, std::uint64_t device) const {
    constexpr std::size_t longest = 1 << 20;  // Of tables with thousands of lines.
    if (major(device) != 0) return false;     // A block device.
    const fs::path table = root_ / "proc" / std::to_string(pid) / "mountinfo";
    std::istringstream mounts(read_file(table, longest).value_or(""));
    const std::string wanted = fmt::format("{}:{}", major(device), minor(device));
    // "36 35 0:52 / /mnt rw,noatime shared:1 - nfs4 server:/x rw": the number of words before the
    // dash varies.
    for (std::string line; std::getline(mounts, line);) {
        std::istringstream words(line);
        std::string id, parent, number;
        words >> id >> parent >> number;
        const std::size_t dash = line.find(" - ");
        if (number == wanted && dash != line.npos && may_block(line.substr(dash + 3))) return true;
    }
    return false;
}

VmmVersion VmmVersions::of(std::uint32_t pid) {
    const fs::path link = root_ / "proc" / std::to_string(pid) / "exe";
    // With O_PATH, so that opening a pipe or a device has no effect.
    FileDescriptor file(open(link.c_str(), O_PATH | O_CLOEXEC));
    struct statx facts{};
    if (!file ||
        statx(file.number(), "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_BASIC_STATS, &facts) !=
            0 ||
        !S_ISREG(facts.stx_mode)) {
        return nullptr;
    }
    const std::uint64_t device = makedev(facts.stx_dev_major, facts.stx_dev_minor);
    const Key key{device,
                  facts.stx_ino,
                  facts.stx_size,
                  facts.stx_mtime.tv_sec,
                  facts.stx_ctime.tv_sec,
                  facts.stx_mtime.tv_nsec,
                  facts.stx_ctime.tv_nsec};
    const auto known = std::ranges::find(programs_, key, &Program::key);
    if (known != programs_.end()) {
        programs_.splice(programs_.begin(), programs_, known);
        return known->version;
    }
    std::error_code ignored;
    auto version = std::make_shared<std::string>(
        version_in_name(fs::read_symlink(link, ignored).filename().string()));
    if (!version->empty() || is_elsewhere(pid, device)) file = {};
    programs_.push_front({key, version, std::move(file)});
    if (programs_.size() > most_programs) programs_.pop_back();
    return version;
}

void VmmVersions::read(std::size_t most) {
    for (Program& program : programs_) {
        if (!program.unread || most < piece_bytes) continue;
        // For a regular file, O_NONBLOCK has no effect on most file systems, and does no harm on
        // others.
        const std::string path = fmt::format("/proc/self/fd/{}", program.unread.number());
        const FileDescriptor file(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
        std::optional<std::size_t> next = program.done;
        while (file && next && *next < most_of_program && most >= piece_bytes) {
            Piece piece = search_piece(file.number(), *next);
            *program.version = std::move(piece.version);
            next = piece.next;
            most -= piece_bytes;
        }
        const bool over = !file || !next || *next >= most_of_program;
        if (over) program.unread = {};
        program.done = next.value_or(0);
    }
}

}  // namespace exittop
