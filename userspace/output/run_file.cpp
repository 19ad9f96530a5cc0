// SPDX-License-Identifier: GPL-2.0-only
#include "output/run_file.h"

#include "base/text.h"
#include "output/json_input.h"
#include "system/files.h"

namespace exittop {

std::expected<Run, Error> read_run(const std::filesystem::path& path) {
    const auto text = read_input(path);
    if (!text) return std::unexpected(text.error());
    auto run = from_json(*text);
    if (!run) return failed("'{}': {}", sanitise(path.string(), 200), run.error());
    if (run->label.empty()) run->label = path.stem();
    return std::move(*run);
}

}  // namespace exittop
