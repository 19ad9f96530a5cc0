// SPDX-License-Identifier: GPL-2.0-only
#include "system/file_place.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <utility>

#include "base/text.h"

namespace exittop {
namespace {

namespace fs = std::filesystem;

using Outcome = std::expected<void, std::string>;

constexpr int most_links = 40;  // The kernel's limit.

std::unexpected<std::string> system_error(int code) {
    return std::unexpected(std::string(std::strerror(code)));
}

bool may_follow(const struct stat& link, const struct stat& folder) {
    constexpr mode_t shared = S_ISVTX | S_IWOTH;
    return (folder.st_mode & shared) != shared || link.st_uid == geteuid() ||
           link.st_uid == folder.st_uid;
}

/// Goes along a path from folder to folder.
class Walk {
public:
    explicit Walk(const fs::path& path) : path_(path), rest_(path.string()) { go_to_start(); }

    /// The next part is in part() now; false at the end of the path.
    bool next() {
        rest_.erase(0, rest_.find_first_not_of('/'));
        const std::size_t end = std::min(rest_.find('/'), rest_.size());
        part_ = rest_.substr(0, end);
        rest_.erase(0, end);
        return !part_.empty();
    }
    [[nodiscard]] const std::string& part() const { return part_; }
    /// A slash after the last part makes it a folder on the way.
    [[nodiscard]] bool is_last() const { return rest_.empty(); }
    [[nodiscard]] int folder() const { return folder_.number(); }
    [[nodiscard]] FileDescriptor take_folder() { return std::move(folder_); }

    /// Enters the folder of that part, or follows its link.
    Outcome enter() {
        FileDescriptor inner(
            openat(folder(), part_.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
        if (!inner) {
            const int code = errno;
            if (code != ENOTDIR && code != ELOOP) return system_error(code);
            const auto followed = follow_link();
            if (!followed) return std::unexpected(followed.error());
            return *followed ? Outcome{} : system_error(ENOTDIR);
        }
        folder_ = std::move(inner);
        shown_ /= part_;
        return {};
    }

    /// If that part is a link, its target comes next; false if it is not a link.
    std::expected<bool, std::string> follow_link() {
        const FileDescriptor link(openat(folder(), part_.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
        if (!link && errno == ENOENT) return false;
        struct stat of_link{};
        struct stat of_folder{};
        if (!link || fstat(link.number(), &of_link) != 0 || fstat(folder(), &of_folder) != 0) {
            return system_error(errno);
        }
        if (!S_ISLNK(of_link.st_mode)) return false;
        if (++links_ > most_links) return system_error(ELOOP);
        if (!may_follow(of_link, of_folder)) return std::unexpected(refusal(of_link.st_uid));

        std::array<char, PATH_MAX> target{};
        const ssize_t size = readlinkat(link.number(), "", target.data(), target.size());
        if (size < 0) return system_error(errno);
        rest_.insert(0, target.data(), static_cast<std::size_t>(size));
        go_to_start();
        return true;
    }

private:
    /// Goes to the root if the rest of the path is absolute; otherwise stays in the current folder,
    /// at first the working folder.
    void go_to_start() {
        const bool is_absolute = rest_.starts_with('/');
        if (folder_ && !is_absolute) return;
        folder_ = FileDescriptor(open(is_absolute ? "/" : ".", O_PATH | O_DIRECTORY | O_CLOEXEC));
        shown_ = is_absolute ? "/" : "";
    }

    [[nodiscard]] std::string refusal(uid_t owner) const {
        const fs::path link = shown_ / part_;
        const std::string it =
            link == path_ ? "it" : fmt::format("'{}'", sanitise(link.string(), 200));
        return fmt::format("{} is a link of user {} in a folder that everyone can write to; remove "
                           "it or name the file itself",
                           it, owner);
    }

    fs::path path_;
    std::string rest_;  ///< What of the path is still to go, with its slash in front.
    std::string part_;
    FileDescriptor folder_;
    fs::path shown_;  ///< Where folder_ is, for messages.
    int links_ = 0;
};

}  // namespace

std::expected<FilePlace, std::string> find_place(const fs::path& path) {
    if (path.empty()) return system_error(ENOENT);
    Walk walk(path);
    while (walk.next()) {
        if (!walk.is_last()) {
            if (auto entered = walk.enter(); !entered) return std::unexpected(entered.error());
            continue;
        }
        const auto followed = walk.follow_link();
        if (!followed) return std::unexpected(followed.error());
        if (!*followed) return FilePlace{walk.take_folder(), walk.part()};
    }
    return system_error(EISDIR);
}

std::expected<void, std::string> make_folders(const fs::path& path) {
    if (path.empty()) return system_error(ENOENT);
    Walk walk(path);
    while (walk.next()) {
        if (mkdirat(walk.folder(), walk.part().c_str(), 0777) != 0 && errno != EEXIST) {
            const int code = errno;
            // The path may lead through existing folders in which nothing can be created.
            if (auto entered = walk.enter(); !entered) return system_error(code);
            continue;
        }
        if (auto entered = walk.enter(); !entered) return entered;
    }
    return {};
}

}  // namespace exittop
