// SPDX-License-Identifier: GPL-2.0-only
#include "files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <utility>

#include "text.h"

namespace exittop {
namespace {

namespace fs = std::filesystem;

std::unexpected<Error> stdout_error(int code) {
    return std::unexpected(
        Error{ExitStatus::failed, fmt::format("cannot write to stdout: {}", std::strerror(code))});
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
    explicit TemporaryFile(fs::path path) : path_(std::move(path)) {
        unlink(path_.c_str());  // Left by a process that was killed.
        descriptor_ = open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    }
    TemporaryFile(const TemporaryFile&) = delete;
    TemporaryFile& operator=(const TemporaryFile&) = delete;
    ~TemporaryFile() {
        if (descriptor_ < 0) return;
        close(descriptor_);
        if (!placed_) unlink(path_.c_str());
    }

    /// 0, or what errno says of it.
    int fill(std::string_view text) const {
        return descriptor_ < 0 ? errno : write_all(descriptor_, text);
    }
    /// Whatever the umask: 0, or what errno says of it.
    [[nodiscard]] int allow_reading() const {
        return descriptor_ < 0 || fchmod(descriptor_, 0644) == 0 ? 0 : errno;
    }
    int place(const fs::path& target, bool overwrite) {
        if (overwrite) {
            placed_ = rename(path_.c_str(), target.c_str()) == 0;
        } else {
            // A rename would replace a file that came meanwhile; the second name goes at the end.
            if (link(path_.c_str(), target.c_str()) == 0) return 0;
            if (errno != EPERM && errno != EOPNOTSUPP) return errno;
            // A file system without hard links.
            placed_ = renameat2(AT_FDCWD, path_.c_str(), AT_FDCWD, target.c_str(),
                                RENAME_NOREPLACE) == 0;
        }
        return placed_ ? 0 : errno;
    }

private:
    fs::path path_;
    int descriptor_ = -1;
    bool placed_ = false;
};

/// What a path leads to; a link to a file that is not there yet may stand for it, too.
fs::path behind_links(const fs::path& path) {
    std::error_code error;
    if (!fs::is_symlink(path, error)) return path;
    const fs::path there = fs::canonical(path, error);
    return error ? path.parent_path() / fs::read_symlink(path, error) : there;
}

/// Why a file must not be put there: 0, or what errno says of it.
int obstacle(const fs::path& target, bool overwrite) {
    std::error_code ignored;
    const fs::file_status status = fs::status(target, ignored);
    if (!fs::exists(status)) return 0;
    if (!overwrite) return EEXIST;
    if (fs::is_directory(status)) return EISDIR;
    return fs::is_regular_file(status) ? 0 : EINVAL;
}

std::expected<void, Error> write_result(const fs::path& path, int code) {
    if (code == 0) return {};
    const std::string_view why = code == EINVAL ? "it is no regular file" : std::strerror(code);
    return std::unexpected(
        Error{ExitStatus::failed,
              fmt::format("cannot write '{}': {}", sanitise(path.string(), 200), why)});
}

/// 0, or what errno says of it. The temporary name is short: it fits wherever the other does.
int replace_file(const fs::path& target, std::string_view text, bool overwrite) {
    if (const int code = obstacle(target, overwrite)) return code;
    TemporaryFile file(target.parent_path() / fmt::format(".exittop-{}.tmp", getpid()));
    if (const int code = file.fill(text)) return code;
    return file.place(target, overwrite);
}

/// 0, or what errno says of it.
int republish_file(const fs::path& target, std::string_view text) {
    if (const int code = obstacle(target, true)) return code;
    TemporaryFile file(fs::path(target) += ".tmp");
    if (const int code = file.fill(text)) return code;
    if (const int code = file.allow_reading()) return code;
    return file.place(target, true);
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
    const auto failure = [&path](std::string_view why) {
        return std::unexpected(
            Error{ExitStatus::failed,
                  fmt::format("cannot read '{}': {}", sanitise(path.string(), 200), why)});
    };
    errno = 0;
    std::ifstream file(path, std::ios::binary);
    std::string text;
    while (file && text.size() <= most) {  // It may be a pipe, whose size nobody knows.
        const std::size_t had = text.size();
        text.resize(had + piece);
        file.read(text.data() + had, piece);
        text.resize(had + static_cast<std::size_t>(file.gcount()));
    }
    if (!file.eof() && text.size() <= most) return failure(std::strerror(errno ? errno : EIO));
    if (text.size() > most) return failure("it is larger than 256 MiB");
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

std::expected<void, Error> write_file(const fs::path& path, std::string_view text,
                                      bool overwrite) {
    return write_result(path, replace_file(behind_links(path), text, overwrite));
}

std::expected<void, Error> check_writable(const fs::path& path, bool overwrite) {
    const fs::path target = behind_links(path);
    int code = obstacle(target, overwrite);
    const fs::path folder = target.has_parent_path() ? target.parent_path() : ".";
    if (code == 0 && access(folder.c_str(), W_OK) != 0) code = errno;
    auto result = write_result(path, code);
    if (code == EEXIST) result.error().text += "; --force replaces it";
    return result;
}

std::expected<void, Error> publish_file(const fs::path& path, std::string_view text) {
    return write_result(path, republish_file(behind_links(path), text));
}

void withdraw_file(const fs::path& path) { unlink(behind_links(path).c_str()); }

void report(std::string_view text) { fmt::print(stderr, "exittop: {}\n", text); }

}  // namespace exittop
