// SPDX-License-Identifier: GPL-2.0-only
#include "commands.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <expected>
#include <filesystem>

#include "batch.h"
#include "check.h"
#include "collector.h"
#include "compare.h"
#include "csv.h"
#include "dump.h"
#include "files.h"
#include "json.h"
#include "live.h"
#include "reasons_report.h"
#include "run_file.h"
#include "table.h"

namespace exittop {
namespace {

using Done = std::expected<int, Error>;

std::size_t terminal_width() {
    winsize size{};
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

Color color_of(const Options& options) {
    const char* no_color = std::getenv("NO_COLOR");
    return wants_color(options.color, isatty(STDOUT_FILENO) == 1, no_color && *no_color)
               ? Color::on
               : Color::off;
}

TableOptions table_options(const Options& options) {
    return {.sort = find_field(options.sort),
            .histogram = options.histogram,
            .per_vcpu = options.per_vcpu,
            .width = terminal_width(),
            .color = color_of(options)};
}

std::string print(const Snapshot& snapshot, const Options& options) {
    switch (options.format) {
        case Format::json: return to_json(snapshot);
        case Format::csv: return to_csv(snapshot, options.per_vcpu);
        case Format::table: break;
    }
    return dump_table(snapshot, table_options(options));
}

/// The status of a command whose result is a text.
Done finish(const std::string& text, int status = 0) {
    if (auto written = write_stdout(text); !written) return std::unexpected(written.error());
    return status;
}

/// Whether this host lets exittop count what is asked for.
std::expected<void, Error> require_counting(const Host& host, const Options& options) {
    if (options.pid && !host.has_process(*options.pid)) {
        return std::unexpected(
            Error{ExitStatus::failed, fmt::format("no process has the pid {}", *options.pid)});
    }
    return require_host(host);
}

/// The live view on a terminal, else the batch.
Done run_live_or_batch(const Options& options) {
    const Host host;
    if (auto able = require_counting(host, options); !able) return std::unexpected(able.error());
    if (!options.batch && isatty(STDOUT_FILENO) == 1) return run_live(host, options);
    if (!options.baseline.empty()) {
        return std::unexpected(Error{ExitStatus::usage,
                                     "--baseline is for the live view, and stdout is no terminal"});
    }
    return run_batch(host, options, table_options(options));
}

Done run_dump(const Options& options) {
    const Host host;
    if (auto able = require_counting(host, options); !able) return std::unexpected(able.error());

    auto counted = count_exits(host, options);
    if (!counted) return std::unexpected(counted.error());
    const bool filtered = options.pid || !options.vm_glob.empty();
    keep_wanted(counted->snapshot, options);
    if (filtered && counted->snapshot.vms.empty()) {
        return std::unexpected(Error{
            ExitStatus::failed, options.pid ? fmt::format("no VM of process {} was seen", *options.pid)
                                            : fmt::format("no VM matches '{}'", options.vm_glob)});
    }
    return finish(print(counted->snapshot, options), counted->workload_status);
}

Done run_check(const Options& options) {
    const Host host;
    std::vector<CheckLine> lines = check_host(host);
    const bool able = require_host(host).has_value();
    if (able) std::ranges::move(check_counting(host, options), std::back_inserter(lines));
    const bool all = std::ranges::none_of(
        lines, [](const CheckLine& line) { return line.finding == Finding::missing; });
    return finish(check_text(lines), all ? 0 : static_cast<int>(ExitStatus::lacking));
}

Done run_reasons(const Options& options) {
    ReasonQuery query;
    if (options.isa != Isa::unknown) query.isa = options.isa;
    query.what = options.reason;
    const auto rows = select_reasons(query);
    if (!rows) return std::unexpected(rows.error());
    return finish(options.format == Format::csv
                      ? reasons_csv(*rows)
                      : reasons_table(*rows, terminal_width(), color_of(options)));
}

Done run_compare(const Options& options) {
    std::vector<NamedRun> runs;
    for (const std::string& path : options.runs) {
        auto snapshot = read_run(path);
        if (!snapshot) return std::unexpected(snapshot.error());
        runs.push_back({std::filesystem::path(path).stem(), std::move(*snapshot)});
    }
    return finish(compare_table(runs, table_options(options)));
}

/// The emulated hosts are Python: the process becomes that of the lab.
Done run_lab(const Options& options) {
    namespace fs = std::filesystem;
    const fs::path self = fs::read_symlink("/proc/self/exe");
    // Run from its build folder, exittop uses the lab it was built with, else the installed one.
    const bool built = self.parent_path() == fs::path(EXITTOP_BUILD_LAB).parent_path();
    const fs::path lab = built ? EXITTOP_SOURCE_LAB : EXITTOP_INSTALLED_LAB;
    const fs::path guests = fs::path(built ? EXITTOP_BUILD_LAB : EXITTOP_INSTALLED_LAB) / "guests";
    if (!fs::exists(lab / "lab.py")) {
        return std::unexpected(
            Error{ExitStatus::lacking,
                  fmt::format("the lab is not installed: no {}", (lab / "lab.py").string())});
    }
    std::vector<std::string> arguments = {"python3", lab / "lab.py", "--exittop",
                                          self,      "--guests",     guests};
    arguments.insert(arguments.end(), options.lab_arguments.begin(), options.lab_arguments.end());
    std::vector<char*> pointers;
    for (std::string& argument : arguments) pointers.push_back(argument.data());
    pointers.push_back(nullptr);
    execvp("python3", pointers.data());
    return std::unexpected(Error{ExitStatus::lacking,
                                 fmt::format("cannot run python3, which the lab needs: {}",
                                             std::strerror(errno))});
}

Done run_command(const Options& options) {
    switch (options.command) {
        case Subcommand::live: return run_live_or_batch(options);
        case Subcommand::dump: return run_dump(options);
        case Subcommand::check: return run_check(options);
        case Subcommand::reasons: return run_reasons(options);
        case Subcommand::compare: return run_compare(options);
        case Subcommand::lab: return run_lab(options);
    }
    return static_cast<int>(ExitStatus::usage);
}

}  // namespace

int run(const Options& options) {
    const Done done = run_command(options);
    if (done) return *done;
    report(done.error().text);
    return static_cast<int>(done.error().status);
}

}  // namespace exittop
