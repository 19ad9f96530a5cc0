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
constexpr std::uint32_t most_reasons = 1000;  // More than any processor has.
constexpr std::uint32_t most_targets = 1000;  // More than are kept of a reason.
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
    CommandLine(const CommandText& text, Options& options) : app_(text.summary) {
        app_.formatter(std::make_shared<HelpFormat>(text.usage));
        app_.set_help_flag("-h,--help", "Print this help.");
        app_.footer(text.examples);
        app_.allow_extras();  // parse_subcommand() reports extra words.
        add_choice("--color", "auto: on terminals, unless NO_COLOR is set.", color_modes,
                   options.color);
        std::visit([&](auto& command) { add_command(command, options.debug); }, options.command);
    }

    CLI::App& app() { return app_; }

private:
    void add_command(LiveOptions& live, bool& debug) {
        add("-d,--delay", "TIME", "Time between refreshes, or of an interval (1s).",
            [&live](const std::string& typed) { live.delay = delay_value(typed); });
        add("-n,--iterations", "N", "Stop after N intervals.", [&live](const std::string& typed) {
            live.iterations = whole_number("--iterations", typed, UINT32_MAX);
        });
        app_.add_flag("-b,--batch", live.batch, "Print intervals, even on a terminal.");
        add_detail(live.counting.detail, "histogram");
        add_format(live.format);
        add_sort(live.sort);
        add_selection(live.vms);
        add_counting(live.counting, debug);
        add_targets(live.counting);
        add_target_memory(live.counting);  // The key Enter counts targets without --targets.
        add("--baseline", "RUN", "Show ratios to this recorded run.",
            [&live](const std::string& typed) {
                if (typed.empty()) throw UsageError{"--baseline needs the name of a run"};
                live.baseline = typed;
            });
        app_.add_flag("--ascii", live.ascii, "Draw with ASCII characters only.");
    }

    void add_command(DumpOptions& dump, bool& debug) {
        add_duration(dump.work.duration);
        add_detail(dump.counting.detail, "histogram");
        add_printing(dump);
        add_selection(dump.vms);
        add_counting(dump.counting, debug);
        CLI::Option* targets = add_targets(dump.counting);
        add_target_memory(dump.counting)->needs(targets);
    }

    void add_command(LeavesOptions& leaves, bool& debug) {
        add("--layout", "2020|2021|2022", "What each leaf means (2021).",
            [&leaves](const std::string& typed) { leaves.layout = choose_layout(typed); });
        add_duration(leaves.dump.work.duration);
        add_printing(leaves.dump);
        add_selection(leaves.dump.vms, "Which VMs may read, by name: 'web*'; '*' for all.");
        add_counting(leaves.dump.counting, debug);
    }

    void add_command(RecordOptions& record, bool& debug) {
        add_run_file(record.file);
        add_duration(record.work.duration);
        add_repeat(record.repeats);
        add_selection(record.vms);
        add_counting(record.counting, debug);
        CLI::Option* targets = add_targets(record.counting);
        add_target_memory(record.counting)->needs(targets);
    }

    void add_command(CompareOptions& compare, bool&) {
        add_comparison(compare.comparison);
        app_.add_flag("--targets", compare.comparison.targets,
                      "Add the targets of each reason, where runs have them.");
        app_.add_flag("--strict", compare.strict, "Fail if runs are hard to compare.");
    }

    void add_command(ImportOptions& import, bool&) {
        add_run_file(import.file);
        add_text("--column", "NAME", "The column to read, if there are several.", import.column);
        add_choice("--isa", "Whose reason numbers they are (vmx).", isa_choices, import.isa);
    }

    void add_command(ExperimentOptions& experiment, bool& debug) {
        app_.add_flag("-y,--yes", experiment.yes, "Do not ask before it starts.");
        add_repeat(experiment.repeats);
        add_text("--keep", "DIR", "Keep both runs as files in this folder.", experiment.keep);
        add_comparison(experiment.comparison);
        add_attach(experiment.counting, debug);
    }

    void add_command(ExportOptions& exported, bool& debug) {
        add("--textfile", "FILE.prom|-", "The file to write; -: print to stdout.",
            [&exported](const std::string& typed) { exported.textfile = textfile_value(typed); });
        add("--interval", "TIME", "Time between updates (15s).",
            [&exported](const std::string& typed) { exported.interval = interval_value(typed); });
        add_duration(exported.duration, "Count this long, write once, and end.");
        add("--top-reasons", "K", "Series per VM; the rest is in \"other\" (20).",
            [&exported](const std::string& typed) {
                exported.top_reasons = whole_number("--top-reasons", typed, most_reasons);
            });
        add_detail(exported.counting.detail, "time");
        app_.add_flag("--histograms", exported.histograms,
                      "Also the distributions of times: --detail histogram.");
        app_.add_flag("--per-vcpu", exported.per_vcpu, "Also by vCPU.");
        app_.add_flag("--measure", exported.measure, "Let the kernel measure the BPF programs.");
        add_selection(exported.vms);
        add_counting(exported.counting, debug);
        CLI::Option* targets = add_targets(exported.counting);
        add_target_memory(exported.counting)->needs(targets);
        add("--top-targets", "K", "Targets per VM and reason; the rest is \"other\" (10).",
            [&exported](const std::string& typed) {
                exported.top_targets = whole_number("--top-targets", typed, most_targets);
            })
            ->needs(targets);
    }

    void add_command(CheckOptions& check, bool& debug) {
        add_duration(check.duration);
        add_attach(check.counting, debug);
    }

    void add_command(ReasonsOptions& reasons, bool&) {
        add_text("NAME|NUMBER", "", "Its name or number (0x for hex); none: all.", reasons.reason);
        add("--targets", "REASON", "List what its exits can be about, where that has a name.",
            [&reasons](const std::string& typed) {
                if (typed.empty()) throw UsageError{"--targets needs the name of a reason"};
                reasons.targets_of = typed;
            });
        add("--isa", "vmx|svm", "Only Intel's or only AMD's reasons.",
            [&reasons](const std::string& typed) {
                reasons.isa = choose(isa_choices, "--isa", typed);
            });
        add_format(reasons.format);
    }

    void add_command(LabOptions&, bool&) {}

    // Options that several commands share.

    void add_duration(std::optional<std::chrono::nanoseconds>& duration,
                      const char* help = "How long to count: 500ms, 5s, 2m, 1h, or seconds.") {
        add("--duration", "TIME", help, [&duration](const std::string& typed) {
            duration = duration_value("--duration", typed);
        });
    }

    void add_repeat(std::uint32_t& repeats) {
        add("--repeat", "N", "Number of repetitions (1).", [&repeats](const std::string& typed) {
            repeats = whole_number("--repeat", typed, most_repeats);
        });
    }

    void add_run_file(RunFileOptions& file) {
        add_text("-o,--output", "RUN", "The run file to write.", file.path);
        app_.add_flag("--force", file.force, "Replace an existing file.");
        add_text("--label", "NAME", "Name of the run (the file's name).", file.label);
        add_text("--note", "TEXT", "A remark, stored with the run.", file.note);
    }

    void add_comparison(ComparisonOptions& comparison) {
        add_choice("--format", "Output format (table).", report_formats, comparison.format);
        add_choice("--normalize", "Compare rates or shares instead of counts.", bases,
                   comparison.normalize);
        app_.add_flag("--explain", comparison.explain, "Add the cause of each reason.");
        add("--html", "FILE", "Also write a page with charts.",
            [&comparison](const std::string& typed) {
                if (typed.empty()) throw UsageError{"--html needs the name of a file"};
                comparison.html = typed;
            });
        app_.add_flag("--force", comparison.force, "Replace an existing page.");
    }

    void add_printing(DumpOptions& dump) {
        app_.add_flag("--histogram", dump.histogram, "Also print distributions of times.");
        app_.add_flag("--per-vcpu", dump.per_vcpu, "Split by vCPU.");
        add_format(dump.format);
        add_sort(dump.sort);
    }

    void add_format(Format& format) {
        add_choice("--format", "Output format (table).", formats, format);
    }

    void add_sort(std::string& sort) {
        add("--sort", "FIELD", "count (default), time, mean, max, p99, name, ...",
            [&sort](const std::string& typed) { sort = choose_sort(typed); });
    }

    void add_detail(CountDetail& detail, std::string_view unless_told) {
        add("--detail", "count|time|histogram",
            fmt::format("What to count ({}); less adds less overhead.", unless_told).c_str(),
            [&detail](const std::string& typed) { detail = choose(details, "--detail", typed); });
    }

    void add_selection(Selection& vms,
                       const char* vm_help = "Only VMs whose name matches: 'web*'.") {
        add("-p,--pid", "PID", "Only VMs of this process.", [&vms](const std::string& typed) {
            constexpr std::uint32_t largest_pid = 1U << 22;  // PID_MAX_LIMIT
            vms.pid = whole_number("--pid", typed, largest_pid);
        });
        add("--uid", "UID", "Only VMs whose VMM runs as this user, by number.",
            [&vms](const std::string& typed) { vms.uid = uid_value(typed); });
        add("--vm", "GLOB", vm_help, [&vms](const std::string& typed) {
            if (typed.empty()) throw UsageError{"--vm needs a pattern; '*' matches all VMs"};
            vms.vm_glob = typed;
        });
    }

    void add_counting(CountingOptions& counting, bool& debug) {
        app_.add_flag("--no-wait", counting.no_wait,
                      "Fail without kvm_intel or kvm_amd; do not wait.");
        add_attach(counting, debug);
    }

    void add_attach(CountingOptions& counting, bool& debug) {
        add_choice("--attach", "Tracepoints; auto: by the kernel's BTF.", attach_choices,
                   counting.attach);
        add("--max-vcpus", "N", "vCPUs to reserve memory for, 9 KiB each (4096).",
            [&counting](const std::string& typed) {
                counting.max_vcpus = whole_number("--max-vcpus", typed, EXITTOP_MAX_SLOTS);
            });
        app_.add_flag("--debug", debug, "Print libbpf's and the verifier's log.");
    }

    CLI::Option* add_targets(CountingOptions& counting) {
        return add(
            "--targets", "all|rip|REASON[,REASON...]",
            "Also what exits were about: MSR, port, address, ...",
            [&counting](const std::string& typed) { counting.targets = targets_value(typed); });
    }

    CLI::Option* add_target_memory(CountingOptions& counting) {
        return add("--target-memory", "SIZE", "Most kernel memory for targets (64MiB).",
                   [&counting](const std::string& typed) {
                       counting.target_memory = size_value("--target-memory", typed);
                   });
    }

    // Kinds of options.

    template <typename Store>
    CLI::Option* add(const char* names, const char* value, const char* help, Store store) {
        return app_.add_option_function<std::string>(names, store, help)
            ->type_name(value)
            ->take_last()
            ->allow_extra_args(false);
    }

    void add_text(const char* names, const char* value, const char* help, std::string& text) {
        add(names, value, help, [&text](const std::string& typed) { text = typed; });
    }

    template <typename T, std::size_t size>
    void add_choice(const char* name, const char* help, const std::array<Choice<T>, size>& choices,
                    T& chosen) {
        std::vector<std::string_view> words;
        for (const Choice<T>& choice : choices) words.push_back(choice.word);
        add(name, fmt::format("{}", fmt::join(words, "|")).c_str(), help,
            [&chosen, &choices, name](const std::string& typed) {
                chosen = choose(choices, name, typed);
            });
    }

    CLI::App app_;
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
