// SPDX-License-Identifier: GPL-2.0-only
#include "commands/commands.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <expected>
#include <filesystem>
#include <string>
#include <variant>
#include <vector>

#include "analysis/extra_targets.h"
#include "capture/libbpf_log.h"
#include "capture/collector.h"
#include "commands/batch.h"
#include "commands/check.h"
#include "commands/dump.h"
#include "commands/experiment.h"
#include "commands/export.h"
#include "commands/live.h"
#include "commands/record.h"
#include "commands/selection.h"
#include "output/compare.h"
#include "output/csv.h"
#include "output/html/report_page.h"
#include "output/import.h"
#include "output/json.h"
#include "output/reason_targets.h"
#include "output/reasons_report.h"
#include "output/run_file.h"
#include "output/table.h"
#include "system/files.h"
#include "system/workload.h"

namespace exittop {
namespace {

using CommandResult = std::expected<int, Error>;

std::size_t terminal_width() {
    winsize size{};
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

Color color_of(ColorMode mode) {
    const char* no_color = std::getenv("NO_COLOR");
    return wants_color(mode, isatty(STDOUT_FILENO) == 1, no_color && *no_color) ? Color::on
                                                                                : Color::off;
}

TableOptions table_options(ColorMode mode, const std::string& sort = "count") {
    return {.sort = find_field(sort), .width = terminal_width(), .color = color_of(mode)};
}

std::string print(const Snapshot& snapshot, const DumpOptions& options, ColorMode mode) {
    TableOptions table = table_options(mode, options.sort);
    switch (options.format) {
        case Format::json: return to_json(snapshot);
        case Format::csv: return to_csv(snapshot, options.per_vcpu);
        case Format::table: break;
    }
    table.histogram = options.histogram;
    table.per_vcpu = options.per_vcpu;
    return dump_table(snapshot, table);
}

/// The status of a command whose result is a text.
CommandResult finish(const std::string& text, int status = 0) {
    if (auto written = write_stdout(text); !written) return std::unexpected(written.error());
    return status;
}

/// This host, if exittop can count on it as requested.
std::expected<Host, Error> host_to_count(const Selection& vms) {
    Host host;
    if (vms.pid && !host.has_process(*vms.pid)) {
        return failed("no process has the pid {}", *vms.pid);
    }
    if (auto able = require_host(host); !able) return std::unexpected(able.error());
    return host;
}

/// The live view on a terminal, else the batch.
CommandResult run_command(const LiveOptions& options, const Options& all) {
    const auto host = host_to_count(options.vms);
    if (!host) return std::unexpected(host.error());
    if (!options.batch && isatty(STDOUT_FILENO) == 1) {
        if (all.debug && isatty(STDERR_FILENO) == 1) {
            return std::unexpected(Error{ExitStatus::usage,
                                         "--debug would write into the live view: send its log "
                                         "elsewhere (2>FILE), or use --batch"});
        }
        return run_live(*host, options, color_of(all.color));
    }
    if (!options.baseline.empty()) {
        return std::unexpected(Error{
            ExitStatus::usage, "--baseline is for the live view, and stdout is not a terminal"});
    }
    return run_batch(*host, options, table_options(all.color, options.sort));
}

CommandResult run_command(const DumpOptions& options, const Options& all) {
    const auto host = host_to_count(options.vms);
    if (!host) return std::unexpected(host.error());
    auto counted = count_exits(*host, options.counting, options.work);
    if (!counted) return std::unexpected(counted.error());
    const auto kept = require_wanted(counted->snapshot, options.vms);
    if (!kept) return std::unexpected(kept.error());
    return finish(print(counted->snapshot, options, all.color), counted->workload_status);
}

CommandResult run_command(const LeavesOptions& options, const Options& all) {
    const DumpOptions& dump = options.dump;
    const auto host = host_to_count(dump.vms);
    if (!host) return std::unexpected(host.error());
    const auto may_read = [&dump](const VmInfo& vm) { return matches(vm, dump.vms); };
    auto counted =
        count_exits(*host, dump.counting, dump.work, LeafService{options.layout, may_read});
    if (!counted) return std::unexpected(counted.error());
    // It is not an error if no VM came that may read its counts.
    keep_wanted(counted->snapshot, dump.vms);
    return finish(print(counted->snapshot, dump, all.color), counted->workload_status);
}

CommandResult run_command(const ExportOptions& options, const Options&) {
    const auto host = host_to_count(options.vms);
    if (!host) return std::unexpected(host.error());
    return run_export(*host, options);
}

CommandResult run_command(const CheckOptions& options, const Options&) {
    const Host host;
    std::vector<CheckLine> lines = check_host(host);
    const bool able = require_host(host).has_value();
    if (able) std::ranges::move(check_counting(host, options), std::back_inserter(lines));
    const bool all = std::ranges::none_of(
        lines, [](const CheckLine& line) { return line.finding == Finding::missing; });
    return finish(check_text(lines), all ? 0 : static_cast<int>(ExitStatus::lacking));
}

std::string print_reasons(const ReasonRows& rows, Format format, ColorMode mode) {
    switch (format) {
        case Format::json: return to_json(rows);
        case Format::csv: return reasons_csv(rows);
        case Format::table: break;
    }
    return reasons_table(rows, terminal_width(), color_of(mode));
}

std::string print_targets(const ReasonRows& rows, Format format, ColorMode mode) {
    switch (format) {
        case Format::json: return targets_to_json(rows);
        case Format::csv: return reason_targets_csv(rows);
        case Format::table: break;
    }
    return reason_targets_table(rows, terminal_width(), color_of(mode));
}

CommandResult run_command(const ReasonsOptions& options, const Options& all) {
    ReasonQuery query;
    if (options.isa != Isa::unknown) query.isa = options.isa;
    const bool targets = !options.targets_of.empty();
    query.what = targets ? options.targets_of : options.reason;
    const auto rows = select_reasons(query);
    if (!rows) return std::unexpected(rows.error());
    return finish(targets ? print_targets(*rows, options.format, all.color)
                          : print_reasons(*rows, options.format, all.color));
}

/// The message to the user about a run that was written to a file.
std::string written_text(const std::string& path, const Run& run) {
    std::uint64_t exits = 0;
    std::size_t vms = 0;
    for (const Snapshot& snapshot : run.repeats) {
        vms = std::max(vms, snapshot.vms.size());
        for (const Vm& vm : snapshot.vms) {
            exits = saturating_add(exits, sum_of(exits_by_reason(vm)).count);
        }
    }
    const std::string repeats =
        run.repeats.size() > 1 ? fmt::format(" in {} repetitions", run.repeats.size()) : "";
    return fmt::format("{}: {} of {}{}", sanitise(path, name_columns),
                       print_number_of(exits, "exit"), print_number_of(vms, "VM"), repeats);
}

CommandResult write_run(const RunFileOptions& file, const Run& run, int status = 0) {
    const auto written = write_file(file.path, to_json(run), file.force);
    if (!written) return std::unexpected(written.error());
    report(written_text(file.path, run));
    return status;
}

CommandResult run_command(const RecordOptions& options, const Options&) {
    const auto able = check_writable(options.file.path, options.file.force);
    if (!able) return std::unexpected(able.error());
    const auto host = host_to_count(options.vms);
    if (!host) return std::unexpected(host.error());
    const auto recorded = record_run(*host, options);
    if (!recorded) return std::unexpected(recorded.error());
    return write_run(options.file, recorded->run, recorded->workload_status);
}

CommandResult run_command(const ImportOptions& options, const Options&) {
    const std::string& path = options.input;
    const auto able = check_writable(options.file.path, options.file.force);
    if (!able) return std::unexpected(able.error());
    const auto text = read_input(path);
    if (!text) return std::unexpected(text.error());
    auto run = import_counts(*text, {options.isa, options.column, options.file.label});
    if (!run) return failed("'{}': {}", sanitise(path, name_columns), run.error());
    run->note = options.file.note;
    return write_run(options.file, *run);
}

/// With the targets that were asked for. Programs get all of them rather than a part.
Comparison with_wanted_targets(Comparison comparison, const ComparisonOptions& how) {
    if (how.targets) return comparison;
    if (!how.extra_targets) return without_targets(std::move(comparison));
    if (how.format == ReportFormat::csv || how.format == ReportFormat::json) return comparison;
    return extra_targets(std::move(comparison));
}

std::string print(const Comparison& comparison, const ComparisonOptions& options, ColorMode mode) {
    switch (options.format) {
        case ReportFormat::markdown: return compare_markdown(comparison, options.explain);
        case ReportFormat::csv: return compare_csv(comparison, options.explain);
        case ReportFormat::json: return to_json(comparison);
        case ReportFormat::table: break;
    }
    return compare_table(comparison, options.explain, table_options(mode));
}

/// Warnings as an error; if there are several, the error has the first one.
std::unexpected<Error> not_comparable(const std::vector<Warning>& warnings) {
    const std::string more =
        warnings.size() > 1 ? fmt::format(" (and {} more)", warnings.size() - 1) : "";
    return failed("not comparable: {}: {}{}", warnings.front().name,
                  sanitise(warnings.front().text), more);
}

/// An error if the file of --html cannot be written, reported before the work.
std::expected<void, Error> check_html(const ComparisonOptions& options) {
    if (options.html.empty()) return {};
    return check_writable(options.html, options.force);
}

std::expected<void, Error> write_html(const Comparison& comparison,
                                      const ComparisonOptions& options) {
    if (options.html.empty()) return {};
    return write_file(options.html, report_page(comparison), options.force);
}

CommandResult run_command(const CompareOptions& options, const Options& all) {
    const ComparisonOptions& how = options.comparison;
    if (auto able = check_html(how); !able) return std::unexpected(able.error());
    std::vector<Run> runs;
    for (const std::string& path : options.runs) {
        auto run = read_run(path);
        if (!run) return std::unexpected(run.error());
        runs.push_back(std::move(*run));
    }
    Comparison comparison = compare_runs(runs, how.normalize);
    if (options.strict && !comparison.warnings.empty()) return not_comparable(comparison.warnings);
    if ((how.targets || how.extra_targets) && !has_targets(comparison)) {
        report("no run has targets: record them with --targets all");
    }
    if (auto done = write_html(comparison, how); !done) return std::unexpected(done.error());
    const bool is_one_snapshot = runs.size() == 1 && runs.front().repeats.size() == 1;
    if (is_one_snapshot && how.format == ReportFormat::table && !how.explain) {
        TableOptions table = table_options(all.color);
        table.targets = how.targets;
        return finish(dump_table(runs.front().repeats.front(), table));
    }
    return finish(print(with_wanted_targets(std::move(comparison), how), how, all.color));
}

/// Files of both runs in a folder, if one is given, which is created if it does not exist.
std::expected<void, Error> keep_runs(const std::filesystem::path& folder,
                                     const std::vector<Run>& runs) {
    if (folder.empty()) return {};
    if (auto made = make_folder(folder); !made) return made;
    for (const Run& run : runs) {
        constexpr bool overwrite = true;
        auto done = write_file(folder / (run.label + ".json"), to_json(run), overwrite);
        if (!done) return done;
    }
    return {};
}

CommandResult run_command(const ExperimentOptions& options, const Options& all) {
    const ComparisonOptions& how = options.comparison;
    if (auto able = check_html(how); !able) return std::unexpected(able.error());
    const Host host;
    const auto runs = run_experiment(host, options);
    if (!runs) return std::unexpected(runs.error());
    if (auto kept = keep_runs(options.keep, *runs); !kept) return std::unexpected(kept.error());
    Comparison comparison = compare_runs(*runs, how.normalize);
    if (auto done = write_html(comparison, how); !done) return std::unexpected(done.error());
    return finish(print(with_wanted_targets(std::move(comparison), how), how, all.color));
}

/// The lab is written in Python: this process executes it.
CommandResult run_command(const LabOptions& options, const Options&) {
    namespace fs = std::filesystem;
    std::error_code error;
    const fs::path self = fs::read_symlink("/proc/self/exe", error);
    if (error) {
        return failed("cannot read /proc/self/exe, by which the lab is found: {}", error.message());
    }
    // From its build folder, exittop uses the lab it was built with; otherwise the installed one,
    // relative to its own path.
    const bool built = self.parent_path() == fs::path(EXITTOP_BUILD_LAB).parent_path();
    const fs::path prefix = self.parent_path().parent_path();
    const fs::path lab = built ? fs::path(EXITTOP_SOURCE_LAB) : prefix / "share/exittop/lab";
    const fs::path guests =
        built ? fs::path(EXITTOP_BUILD_LAB) / "guests" : prefix / "libexec/exittop/guests";
    if (!fs::exists(lab / "lab.py", error)) {
        return lacking("the lab is not installed: no {}", (lab / "lab.py").string());
    }
    std::vector<std::string> arguments = {
        "python3", "-B",       lab / "lab.py", "--exittop",
        self,      "--guests", guests};  // -B: leaves no compiled files behind
    arguments.insert(arguments.end(), options.arguments.begin(), options.arguments.end());
    execvp("python3", argument_pointers(arguments).data());
    return lacking("cannot run python3, which the lab needs: {}", std::strerror(errno));
}

}  // namespace

int run(const Options& options) {
    if (options.debug) show_libbpf_log();
    const CommandResult done = std::visit(
        [&options](const auto& command) { return run_command(command, options); }, options.command);
    if (done) return *done;
    report(done.error().text);
    return static_cast<int>(done.error().status);
}

}  // namespace exittop
