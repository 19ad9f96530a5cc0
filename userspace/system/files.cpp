// SPDX-License-Identifier: GPL-2.0-only
#include "system/files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <utility>

#include "base/file_descriptor.h"
#include "base/text.h"
#include "system/file_place.h"

namespace exittop {
namespace {

namespace fs = std::filesystem;

std::unexpected<Error> stdout_error(int code) {
    return failed("cannot write to stdout: {}", std::strerror(code));
}

/// 0, or what errno says of it.
int write_all(int descriptor, std::string_view text) {
    while (!text.empty()) {
        const ssize_t written = write(descriptor, text.data(), text.size());
        if (written < 0 && errno != EINTR) return errno;
        if (written > 0) text.remove_prefix(static_cast<std::size_t>(written));
    }
    return fsync(descriptor) == 0 ? 0 : errno;
}

/// A file beside another one, removed unless it was put in its place.
class TemporaryFile {
public:
    TemporaryFile(const FilePlace& target, std::string name)
        : folder_(target.folder.number()), target_(target.name), name_(std::move(name)) {
        unlinkat(folder_, name_.c_str(), 0);  // Left by a process that was killed.
        file_ = FileDescriptor(openat(folder_, name_.c_str(),
                                      O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644));
    }
    TemporaryFile(const TemporaryFile&) = delete;
    TemporaryFile& operator=(const TemporaryFile&) = delete;
    ~TemporaryFile() {
        if (file_ && !placed_) unlinkat(folder_, name_.c_str(), 0);
    }

    /// 0, or what errno says of it.
    int fill(std::string_view text) const {
        return file_ ? write_all(file_.number(), text) : errno;
    }
    /// Whatever the umask: 0, or what errno says of it.
    [[nodiscard]] int allow_reading() const {
        return !file_ || fchmod(file_.number(), 0644) == 0 ? 0 : errno;
    }
    int place(bool overwrite) {
        if (overwrite) {
            placed_ = renameat(folder_, name_.c_str(), folder_, target_.c_str()) == 0;
        } else {
            // A rename would replace a file that was created meanwhile. The second name is removed
            // at the end.
            if (linkat(folder_, name_.c_str(), folder_, target_.c_str(), 0) == 0) return 0;
            if (errno != EPERM && errno != EOPNOTSUPP) return errno;
            // The file system has no hard links.
            placed_ =
                renameat2(folder_, name_.c_str(), folder_, target_.c_str(), RENAME_NOREPLACE) == 0;
        }
        return placed_ ? 0 : errno;
    }

private:
    int folder_;
    std::string target_;
    std::string name_;
    FileDescriptor file_;
    bool placed_ = false;
};

/// 0, or the errno that says why a file must not be put there.
int obstacle(const FilePlace& target, bool overwrite) {
    struct stat status{};
    const int folder = target.folder.number();
    if (fstatat(folder, target.name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
        // A link in /proc/PID/fd to something that is not a file, such as a pipe.
        struct statfs system{};
        return fstatfs(folder, &system) == 0 && system.f_type == PROC_SUPER_MAGIC ? EINVAL : 0;
    }
    if (!overwrite) return EEXIST;
    if (S_ISDIR(status.st_mode)) return EISDIR;
    return S_ISREG(status.st_mode) ? 0 : EINVAL;
}

std::unexpected<Error> failed_to(std::string_view what, const fs::path& path,
                                 std::string_view why) {
    return failed("cannot {} '{}': {}", what, sanitise(path.string(), 200), why);
}

std::expected<void, Error> write_result(const fs::path& path, int code) {
    if (code == 0) return {};
    return failed_to("write", path,
                     code == EINVAL ? "it is not a regular file" : std::strerror(code));
}

std::expected<FilePlace, Error> place_to_write(const fs::path& path) {
    auto place = find_place(path);
    if (!place) return failed_to("write", path, place.error());
    return std::move(*place);
}

/// How a file is put in its place: never over another one, over it, or that and for everyone to
/// read.
enum class Put { create, replace, publish };

std::expected<void, Error> put_file(const fs::path& path, std::string_view text, Put how) {
    const auto place = place_to_write(path);
    if (!place) return std::unexpected(place.error());
    const bool overwrite = how != Put::create;
    if (const int code = obstacle(*place, overwrite)) return write_result(path, code);
    // Most temporary names are short, so that they fit wherever the other one does.
    TemporaryFile file(*place, how == Put::publish ? place->name + ".tmp"
                                                   : fmt::format(".exittop-{}.tmp", getpid()));
    int code = file.fill(text);
    if (code == 0 && how == Put::publish) code = file.allow_reading();
    return write_result(path, code == 0 ? file.place(overwrite) : code);
}

}  // namespace

std::optional<std::string> read_file(const std::filesystem::path& path, std::size_t limit) {
    std::ifstream file(path, std::ios::binary);
    if (!file) return std::nullopt;
    std::string text(limit, '\0');
    file.read(text.data(), static_cast<std::streamsize>(limit));
    if (file.bad()) return std::nullopt;
    text.resize(static_cast<std::size_t>(file.gcount()));
    return text;
}

std::expected<std::string, Error> read_input(const fs::path& path) {
    constexpr std::size_t most = 256U << 20;
    constexpr std::size_t piece = 1U << 16;
    errno = 0;
    std::ifstream file(path, std::ios::binary);
    std::string text;
    while (file && text.size() <= most) {  // It may be a pipe, whose size is unknown.
        const std::size_t had = text.size();
        text.resize(had + piece);
        file.read(text.data() + had, piece);
        text.resize(had + static_cast<std::size_t>(file.gcount()));
    }
    if (!file.eof() && text.size() <= most) {
        return failed_to("read", path, std::strerror(errno ? errno : EIO));
    }
    if (text.size() > most) return failed_to("read", path, "it is larger than 256 MiB");
    return text;
}

std::optional<std::string> read_line(const std::filesystem::path& path) {
    auto text = read_file(path, 4096);
    if (text) text->resize(std::min(text->size(), text->find('\n')));
    return text;
}

std::expected<void, Error> write_stdout(std::string_view text) {
    errno = 0;
    if (std::fwrite(text.data(), 1, text.size(), stdout) == text.size() &&
        std::fflush(stdout) == 0) {
        return {};
    }
    return stdout_error(errno);
}

std::expected<void, Error> check_stdout() {
    pollfd stdout_only{STDOUT_FILENO, 0, 0};
    if (::poll(&stdout_only, 1, 0) == 1 && (stdout_only.revents & POLLERR) != 0) {
        return stdout_error(EPIPE);
    }
    return {};
}

std::expected<void, Error> write_file(const fs::path& path, std::string_view text, bool overwrite) {
    return put_file(path, text, overwrite ? Put::replace : Put::create);
}

std::expected<void, Error> check_writable(const fs::path& path, bool overwrite) {
    const auto place = place_to_write(path);
    if (!place) return std::unexpected(place.error());
    int code = obstacle(*place, overwrite);
    if (code == 0 && faccessat(place->folder.number(), ".", W_OK, 0) != 0) code = errno;
    auto result = write_result(path, code);
    if (code == EEXIST) result.error().text += "; --force replaces it";
    return result;
}

std::expected<void, Error> publish_file(const fs::path& path, std::string_view text) {
    return put_file(path, text, Put::publish);
}

void withdraw_file(const fs::path& path) {
    const auto place = find_place(path);
    if (place) unlinkat(place->folder.number(), place->name.c_str(), 0);
}

std::expected<void, Error> make_folder(const fs::path& path) {
    const auto made = make_folders(path);
    if (!made) return failed_to("make the folder", path, made.error());
    return {};
}

void report(std::string_view text) noexcept {
    // Allocates no memory, and ignores errors of stderr.
    std::fprintf(stderr, "exittop: %.*s\n", static_cast<int>(text.size()), text.data());
}

}  // namespace exittop
