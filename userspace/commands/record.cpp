// SPDX-License-Identifier: GPL-2.0-only
#include "commands/record.h"

#include <fmt/format.h>

#include <utility>

#include "commands/dump.h"
#include "commands/selection.h"
#include "system/files.h"

namespace exittop {
namespace {

/// Why a repetition cannot be used with the others; empty if it can.
std::string flaw_of(const Counted& counted) {
    if (counted.interrupted) return "was interrupted";
    if (counted.workload_status == 0) return {};
    return fmt::format("failed: the command ended with status {}", counted.workload_status);
}

}  // namespace

std::expected<Recorded, Error> record_run(const Host& host, const RecordOptions& options) {
    Recorded recorded;
    Run& run = recorded.run;
    run.label = options.file.label;
    run.note = options.file.note;
    run.command = options.work.command;
    run.version = EXITTOP_VERSION;
    run.started_at = utc_now();
    for (std::uint32_t number = 1; number <= options.repeats; ++number) {
        if (options.repeats > 1) {
            report(fmt::format("repetition {} of {}", number, options.repeats));
        }
        auto counted = count_exits(host, options.counting, options.work);
        if (!counted) return std::unexpected(counted.error());
        const std::string flaw = options.repeats > 1 ? flaw_of(*counted) : "";
        if (!flaw.empty()) {
            return failed("repetition {} of {} {}; nothing was written", number, options.repeats,
                          flaw);
        }
        const auto kept = require_wanted(counted->snapshot, options.vms);
        if (!kept) return std::unexpected(kept.error());
        run.repeats.push_back(std::move(counted->snapshot));
        recorded.workload_status = counted->workload_status;
        recorded.interrupted = counted->interrupted;
    }
    return recorded;
}

}  // namespace exittop
