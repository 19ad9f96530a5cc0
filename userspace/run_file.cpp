// SPDX-License-Identifier: GPL-2.0-only
#include "run_file.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>

#include "files.h"
#include "json.h"

namespace exittop {

std::expected<Snapshot, Error> read_run(const std::filesystem::path& path) {
    constexpr std::size_t largest_run = 256u << 20;
    errno = 0;
    const auto text = read_file(path, largest_run);
    if (!text) {
        return std::unexpected(Error{ExitStatus::failed,
                                     fmt::format("cannot read '{}': {}", path.string(),
                                                 std::strerror(errno != 0 ? errno : EIO))});
    }
    auto snapshot = from_json(*text);
    if (!snapshot) {
        return std::unexpected(
            Error{ExitStatus::failed, fmt::format("'{}': {}", path.string(), snapshot.error())});
    }
    return std::move(*snapshot);
}

}  // namespace exittop
