// SPDX-License-Identifier: GPL-2.0-only
// The table of all options: which commands have it, its help, and where its value goes. The only
// code that uses CLI11 (the library).
#include "commands/command_options.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/text.h"
#include "commands/option_values.h"
#include "exittop_abi.h"

namespace exittop {

namespace {

constexpr std::uint32_t most_repeats = 1000;
constexpr std::uint32_t most_reasons = 1000;     // More than any processor has.
constexpr std::uint32_t most_targets = 1000;     // More than are kept of a reason.
constexpr std::uint32_t largest_pid = 1U << 22;  // PID_MAX_LIMIT
constexpr std::uint32_t largest_uid =
    UINT32_MAX - 1;  // The kernel's "no user" is above; 0 is root.
constexpr std::chrono::milliseconds shortest_delay{100};
constexpr std::chrono::seconds shortest_interval{1};
constexpr std::size_t option_columns = 60;    // Of an option's name, in messages.
constexpr std::size_t message_columns = 100;  // Of the library's own messages.

constexpr std::array formats = {Choice{"table", Format::table}, Choice{"json", Format::json},
                                Choice{"csv", Format::csv}};
constexpr std::array report_formats = {
    Choice{"table", ReportFormat::table}, Choice{"markdown", ReportFormat::markdown},
    Choice{"csv", ReportFormat::csv}, Choice{"json", ReportFormat::json}};
constexpr std::array bases = {Choice{"none", Basis::count}, Choice{"time", Basis::time},
                              Choice{"count", Basis::share},
                              Choice{"guest-time", Basis::guest_time}};
constexpr std::array attach_choices = {Choice{"auto", AttachChoice::automatic},
                                       Choice{"raw", AttachChoice::raw},
                                       Choice{"classic", AttachChoice::classic}};
constexpr std::array details = {Choice{"count", CountDetail::count},
                                Choice{"time", CountDetail::time},
                                Choice{"histogram", CountDetail::histogram}};
constexpr std::array color_modes = {Choice{"auto", ColorMode::automatic},
                                    Choice{"always", ColorMode::always},
                                    Choice{"never", ColorMode::never}};
constexpr std::array isa_choices = {Choice{isas[0].name, isas[0].isa},
                                    Choice{isas[1].name, isas[1].isa}};
constexpr std::array layouts = {Choice{leaf_layouts[0].name, leaf_layouts[0].meanings},
                                Choice{leaf_layouts[1].name, leaf_layouts[1].meanings},
                                Choice{leaf_layouts[2].name, leaf_layouts[2].meanings}};

// Options whose values may begin with a dash ("--duration -1"). The library would take the value
// for an option, and its message would not name the value.
std::string joined_with_value(std::string_view option, std::string_view value) {
    constexpr std::array options = {"--duration",
                                    "--delay",
                                    "-d",
                                    "--iterations",
                                    "-n",
                                    "--max-vcpus",
                                    "--pid",
                                    "-p",
                                    "--uid",
                                    "--repeat",
                                    "--interval",
                                    "--top-reasons",
                                    "--top-targets",
                                    "--target-memory"};
    constexpr std::string_view number_starts = "0123456789.in";
    if (std::ranges::find(options, option) == options.end()) return {};
    if (value.size() < 2 || value[0] != '-' || !number_starts.contains(value[1])) return {};
    return fmt::format("{}{}{}", option, option.starts_with("--") ? "=" : "", value);
}

// The words in the library's order: the last one first.
std::vector<std::string> words_for_library(std::span<const char* const> arguments) {
    std::vector<std::string> words;
    for (const char* argument : arguments) {
        const std::string joined =
            words.empty() ? std::string{} : joined_with_value(words.back(), argument);
        if (joined.empty()) {
            words.emplace_back(argument);
        } else {
            words.back() = joined;
        }
    }
    std::ranges::reverse(words);
    return words;
}

// The whole text of a subcommand's help, because the library's layout differs between versions.
class HelpFormat : public CLI::Formatter {
public:
    explicit HelpFormat(std::string usage) : usage_(std::move(usage)) {}

    std::string make_help(const CLI::App* app, std::string, CLI::AppFormatMode) const override {
        std::string text = fmt::format("{}\nUsage: {}\n", app->get_description(), usage_);
        text += section("Positionals", app->get_options([](const CLI::Option* option) {
            return option->get_positional();
        }));
        text += section("Options", app->get_options([](const CLI::Option* option) {
            return !option->get_positional();
        }));
        const std::string footer = app->get_footer();
        return footer.empty() ? text : fmt::format("{}\n{}\n", text, footer);
    }

private:
    static std::string section(const char* heading,
                               const std::vector<const CLI::Option*>& options) {
        constexpr std::size_t description_column = 29;
        if (options.empty()) return {};
        std::string text = fmt::format("\n{}:\n", heading);
        for (const CLI::Option* option : options) {
            const std::string names = option->get_name(option->get_positional(), true);
            const std::string type = option->get_type_name();
            std::string line = fmt::format("  {}{}{}", names, type.empty() ? "" : " ", type);
            if (line.size() >= description_column) line += '\n';
            const std::size_t start = line.ends_with('\n') ? 0 : line.size();
            line.append(description_column - start, ' ');
            text += line + option->get_description() + '\n';
        }
        return text;
    }

    std::string usage_;
};

// One subcommand's command line: the options it has, and where their values go.
class CommandLine {
public:
    CommandLine(const CommandText& text, Options& options)
        : app_(text.summary), debug_(options.debug) {
        app_.formatter(std::make_shared<HelpFormat>(text.usage));
        app_.set_help_flag("-h,--help", "Print this help.");
        app_.footer(text.examples);
        app_.allow_extras();  // parse_subcommand() reports extra words.
        add_choice("--color", "auto: on terminals, unless NO_COLOR is set.", color_modes,
                   options.color);
        std::visit([&](auto& command) { add_command(command); }, options.command);
    }

    CLI::App& app() { return app_; }

private:
    void add_command(LiveOptions& live) {
        add("-d,--delay", "TIME", "Time between refreshes, or of an interval (1s).", live.delay,
            at_least(shortest_delay));
        add("-n,--iterations", "N", "Stop after N intervals.", live.iterations,
            number_to(UINT32_MAX));
        add_flag("-b,--batch", "Print intervals, even on a terminal.", live.batch);
        add_detail(live.counting.detail, "histogram");
        add_format(live.format);
        add_sort(live.sort);
        add_selection(live.vms);
        add_counting(live.counting);
        add_targets(live.counting);
        add_target_memory(live.counting);  // The key Enter counts targets without --targets.
        add("--baseline", "RUN", "Show ratios to this recorded run.", live.baseline,
            not_empty("needs the name of a run"));
        add_flag("--ascii", "Draw with ASCII characters only.", live.ascii);
    }

    void add_command(DumpOptions& dump) {
        add_duration(dump.work.duration);
        add_detail(dump.counting.detail, "histogram");
        add_printing(dump);
        add_selection(dump.vms);
        add_counting(dump.counting);
        CLI::Option* targets = add_targets(dump.counting);
        add_target_memory(dump.counting)->needs(targets);
    }

    void add_command(LeavesOptions& leaves) {
        add_choice("--layout", "What each leaf means (2021).", layouts, leaves.layout);
        add_duration(leaves.dump.work.duration);
        add_printing(leaves.dump);
        add_selection(leaves.dump.vms, "Which VMs may read, by name: 'web*'; '*' for all.");
        add_counting(leaves.dump.counting);
    }

    void add_command(RecordOptions& record) {
        add_run_file(record.file);
        add_duration(record.work.duration);
        add_repeat(record.repeats);
        add_selection(record.vms);
        add_counting(record.counting);
        CLI::Option* targets = add_targets(record.counting);
        add_target_memory(record.counting)->needs(targets);
    }

    void add_command(CompareOptions& compare) {
        add_comparison(compare.comparison);
        add_flag("--targets", "Add the targets of each reason, where runs have them.",
                 compare.comparison.targets);
        add_flag("--extra-targets", "Add only those of the exits that a run has more of.",
                 compare.comparison.extra_targets);
        add_flag("--strict", "Fail if runs are hard to compare.", compare.strict);
    }

    void add_command(ImportOptions& import) {
        add_run_file(import.file);
        add("--column", "NAME", "The column to read, if there are several.", import.column);
        add_choice("--isa", "Whose reason numbers they are (vmx).", isa_choices, import.isa);
    }

    void add_command(ExperimentOptions& experiment) {
        add_flag("-y,--yes", "Do not ask before it starts.", experiment.yes);
        add_repeat(experiment.repeats);
        add("--keep", "DIR", "Keep both runs as files in this folder.", experiment.keep);
        add_comparison(experiment.comparison);
        add_attach(experiment.counting);
        add("--targets", "all|rip|none|REASON[,REASON...]",
            "What exits were about: MSR, kind of page fault, ... (all).", experiment.targets,
            target_wish_value);
        add_target_memory(experiment.counting);
    }

    void add_command(ExportOptions& exported) {
        add("--textfile", "FILE.prom|-", "The file to write; -: print to stdout.",
            exported.textfile, textfile_value);
        add("--interval", "TIME", "Time between updates (15s).", exported.interval,
            at_least(shortest_interval));
        add_duration(exported.duration, "Count this long, write once, and end.");
        add("--top-reasons", "K", "Series per VM; the rest is in \"other\" (20).",
            exported.top_reasons, number_to(most_reasons));
        add_detail(exported.counting.detail, "time");
        add_flag("--histograms", "Also the distributions of times: --detail histogram.",
                 exported.histograms);
        add_flag("--per-vcpu", "Also by vCPU.", exported.per_vcpu);
        add_flag("--measure", "Let the kernel measure the BPF programs.", exported.measure);
        add_selection(exported.vms);
        add_counting(exported.counting);
        CLI::Option* targets = add_targets(exported.counting);
        add_target_memory(exported.counting)->needs(targets);
        add("--top-targets", "K", "Targets per VM and reason; the rest is \"other\" (10).",
            exported.top_targets, number_to(most_targets))
            ->needs(targets);
    }

    void add_command(CheckOptions& check) {
        add_duration(check.duration);
        add_attach(check.counting);
    }

    void add_command(ReasonsOptions& reasons) {
        add("NAME|NUMBER", "", "Its name or number (0x for hex); none: all.", reasons.reason);
        add("--targets", "REASON", "List what its exits can be about, where that has a name.",
            reasons.targets_of, not_empty("needs the name of a reason"));
        add_choice("--isa", "Only Intel's or only AMD's reasons.", isa_choices, reasons.isa);
        add_format(reasons.format);
    }

    void add_command(LabOptions&) {}

    // Options that several commands share.

    void add_duration(std::optional<std::chrono::nanoseconds>& duration,
                      const char* help = "How long to count: 500ms, 5s, 2m, 1h, or seconds.") {
        add("--duration", "TIME", help, duration, duration_value);
    }

    void add_repeat(std::uint32_t& repeats) {
        add("--repeat", "N", "Number of repetitions (1).", repeats, number_to(most_repeats));
    }

    void add_run_file(RunFileOptions& file) {
        add("-o,--output", "RUN", "The run file to write.", file.path);
        add_flag("--force", "Replace an existing file.", file.force);
        add("--label", "NAME", "Name of the run (the file's name).", file.label);
        add("--note", "TEXT", "A remark, stored with the run.", file.note);
    }

    void add_comparison(ComparisonOptions& comparison) {
        add_choice("--format", "Output format (table).", report_formats, comparison.format);
        add_choice("--normalize", "Compare rates or shares instead of counts.", bases,
                   comparison.normalize);
        add_flag("--explain", "Add the cause of each reason.", comparison.explain);
        add("--html", "FILE", "Also write a page with charts.", comparison.html,
            not_empty("needs the name of a file"));
        add_flag("--force", "Replace an existing page.", comparison.force);
    }

    void add_printing(DumpOptions& dump) {
        add_flag("--histogram", "Also print distributions of times.", dump.histogram);
        add_flag("--per-vcpu", "Split by vCPU.", dump.per_vcpu);
        add_format(dump.format);
        add_sort(dump.sort);
    }

    void add_format(Format& format) {
        add_choice("--format", "Output format (table).", formats, format);
    }

    void add_sort(std::string& sort) {
        add("--sort", "FIELD", "count (default), time, mean, max, p99, name, ...", sort,
            sort_value);
    }

    void add_detail(CountDetail& detail, std::string_view unless_told) {
        add_choice("--detail",
                   fmt::format("What to count ({}); less adds less overhead.", unless_told),
                   details, detail);
    }

    void add_selection(Selection& vms,
                       const char* vm_help = "Only VMs whose name matches: 'web*'.") {
        add("-p,--pid", "PID", "Only VMs of this process.", vms.pid, number_to(largest_pid));
        add("--uid", "UID", "Only VMs whose VMM runs as this user, by number.", vms.uid,
            number_to(largest_uid, 0));
        add("--vm", "GLOB", vm_help, vms.vm_glob,
            not_empty("needs a pattern; '*' matches all VMs"));
    }

    void add_counting(CountingOptions& counting) {
        add_flag("--no-wait", "Fail without kvm_intel or kvm_amd; do not wait.", counting.no_wait);
        add_attach(counting);
    }

    void add_attach(CountingOptions& counting) {
        add_choice("--attach", "Tracepoints; auto: by the kernel's BTF.", attach_choices,
                   counting.attach);
        add("--max-vcpus", "N", "vCPUs to reserve memory for, 9 KiB each (4096).",
            counting.max_vcpus, number_to(EXITTOP_MAX_SLOTS));
        add_flag("--debug", "Print libbpf's and the verifier's log.", debug_);
    }

    CLI::Option* add_targets(CountingOptions& counting) {
        return add("--targets", "all|rip|REASON[,REASON...]",
                   "Also what exits were about: MSR, port, address, ...", counting.targets,
                   targets_value);
    }

    CLI::Option* add_target_memory(CountingOptions& counting) {
        return add("--target-memory", "SIZE", "Most kernel memory for targets (64MiB).",
                   counting.target_memory, size_value);
    }

    // Kinds of options.

    void add_flag(const char* names, const char* help, bool& flag) {
        app_.add_flag(names, flag, help);
    }

    // Stores what `read` makes of the typed value; it may throw a UsageError that names the option.
    template <typename T, typename Read = decltype(&text_value)>
    CLI::Option* add(const std::string& names, const std::string& value, const std::string& help,
                     T& target, const Read& read = text_value) {
        const std::size_t dashes = names.find("--");
        const std::string option = names.substr(dashes == names.npos ? 0 : dashes);
        const auto store = [=, &target](const std::string& typed) { target = read(option, typed); };
        return app_.add_option_function<std::string>(names, store, help)
            ->type_name(value)
            ->take_last()
            ->allow_extra_args(false);
    }

    template <typename T, std::size_t size>
    void add_choice(const char* name, const std::string& help,
                    const std::array<Choice<T>, size>& choices, auto& chosen) {
        add(name, fmt::format("{}", fmt::join(words_of(choices), "|")), help, chosen,
            [&choices](std::string_view option, std::string_view typed) {
                return choose(choices, option, typed);
            });
    }

    CLI::App app_;
    bool& debug_;
};

// The library's "--duration: 1 required TIME missing" in plain words; other messages unchanged.
std::string library_message(const CLI::ParseError& error) {
    const std::string message = error.what();
    const std::size_t colon = message.find(": ");
    if (error.get_name() == "ArgumentMismatch" && colon != std::string::npos) {
        return sanitise(message.substr(0, colon), option_columns) + " needs a value";
    }
    return sanitise(message, message_columns);
}

}  // namespace

std::vector<std::string> read_options(const CommandText& text,
                                      std::span<const char* const> arguments, Options& options) {
    CommandLine line(text, options);
    try {
        line.app().parse(words_for_library(arguments));
    } catch (const CLI::CallForHelp&) {
        throw ParseExit{line.app().help(), 0, false};
    } catch (const CLI::ParseError& error) {
        throw UsageError{
            fmt::format("{}: {}; {}", text.name, library_message(error), help_hint(text))};
    }
    return line.app().remaining();
}

}  // namespace exittop
