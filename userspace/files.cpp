// SPDX-License-Identifier: GPL-2.0-only
#include "files.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>

namespace exittop {

std::optional<std::string> read_file(const std::filesystem::path& path, std::size_t limit) {
    std::ifstream file(path, std::ios::binary);
    if (!file) return std::nullopt;
    std::string text(limit, '\0');
    file.read(text.data(), static_cast<std::streamsize>(limit));
    if (file.bad()) return std::nullopt;
    text.resize(static_cast<std::size_t>(file.gcount()));
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
    return std::unexpected(
        Error{ExitStatus::failed, fmt::format("cannot write to stdout: {}", std::strerror(errno))});
}

void report(std::string_view text) { fmt::print(stderr, "exittop: {}\n", text); }

}  // namespace exittop
