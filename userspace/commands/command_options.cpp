// SPDX-License-Identifier: GPL-2.0-only
// The table of all options: which command has which, what the help says of it, and where its value
// goes. The only code that knows the library.
#include "commands/command_options.h"

#include <algorithm>
#include <array>
#include <memory>
#include <string_view>
#include <utility>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "base/text.h"
#include "commands/option_values.h"
#include "exittop_abi.h"

namespace exittop {

namespace {

constexpr std::uint32_t most_repeats = 1000;
constexpr std::uint32_t most_reasons = 1000;  // More than any processor has.
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
constexpr std::array reason_formats = {Choice{"table", Format::table}, Choice{"csv", Format::csv}};
constexpr std::array attach_choices = {Choice{"auto", AttachChoice::automatic},
                                       Choice{"raw", AttachChoice::raw},
                                       Choice{"classic", AttachChoice::classic}};
constexpr std::array details = {Choice{"count", CountDetail::count},
                                Choice{"time", CountDetail::time},
                                Choice{"histogram", CountDetail::histogram}};
constexpr std::array color_modes = {Choice{"auto", ColorMode::automatic},
                                    Choice{"always", ColorMode::always},
                                    Choice{"never", ColorMode::never}};
constexpr std::array isas = {Choice{"vmx", Isa::vmx}, Choice{"svm", Isa::svm}};

// Options whose values may begin with a dash ("--duration -1"): the library would take the value
// for an option, and its message would not be about the value.
std::string joined_with_value(std::string_view option, std::string_view value) {
    constexpr std::array options = {"--duration", "--delay",      "-d",       "--iterations",
                                    "-n",         "--max-vcpus",  "--pid",    "-p",
                                    "--uid",      "--repeat",     "--interval",
                                    "--top-reasons"};
    constexpr std::string_view number_starts = "0123456789.in";
    if (std::ranges::find(options, option) == options.end()) return {};
    if (value.size() < 2 || value[0] != '-' || !number_starts.contains(value[1])) return {};
    return fmt::format("{}{}{}", option, option.starts_with("--") ? "=" : "", value);
}

// The words in the order in which the library wants them: the last one first.
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

// The whole text of a subcommand's help: the library lays it out in another way in each version.
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
        : app_(text.summary), options_(options) {
        app_.formatter(std::make_shared<HelpFormat>(text.usage));
        app_.set_help_flag("-h,--help", "Print this help.");
        app_.footer(text.examples);
        app_.allow_extras();  // What is too much is reported by parse_subcommand().
        options_.command = text.command;
        add("--color", "auto|always|never", "auto: on terminals, unless NO_COLOR is set.",
            [this](const std::string& typed) {
                options_.color = choose(color_modes, "--color", typed);
            });
        switch (text.command) {
            case Subcommand::live: add_live(); break;
            case Subcommand::dump: add_dump(); break;
            case Subcommand::export_metrics: add_export(); break;
            case Subcommand::check:
                add_duration();
                add_attach();
                break;
            case Subcommand::leaves: add_leaves(); break;
            case Subcommand::reasons: add_reasons(); break;
            case Subcommand::record: add_record(); break;
            case Subcommand::compare: add_compare(); break;
            case Subcommand::import: add_import(); break;
            case Subcommand::experiment: add_experiment(); break;
            case Subcommand::lab: break;
        }
    }

    CLI::App& app() { return app_; }

private:
    template <typename Store>
    void add(const char* names, const char* value, const char* help, Store store) {
        app_.add_option_function<std::string>(names, store, help)
            ->type_name(value)
            ->take_last()
            ->allow_extra_args(false);
    }

    void add_attach() {
        add("--attach", "auto|raw|classic", "Tracepoints; auto: by the kernel's BTF.",
            [this](const std::string& typed) {
                options_.attach = choose(attach_choices, "--attach", typed);
            });
        add("--max-vcpus", "N", "vCPUs to make room for, 8 KiB each (4096).",
            [this](const std::string& typed) {
                options_.max_vcpus = whole_number("--max-vcpus", typed, EXITTOP_MAX_SLOTS);
            });
        app_.add_flag("--debug", options_.debug, "Print libbpf's and the verifier's log.");
    }

    void add_live() {
        add("-d,--delay", "TIME", "From one refresh or interval to the next (1s).",
            [this](const std::string& typed) { options_.delay = delay_value(typed); });
        add("-n,--iterations", "N", "End after so many.", [this](const std::string& typed) {
            options_.iterations = whole_number("--iterations", typed, UINT32_MAX);
        });
        app_.add_flag("-b,--batch", options_.batch, "Print, interval by interval.");
        add_detail("histogram");
        add_counting();
        add("--baseline", "RUN", "Show ratios to this recorded run.",
            [this](const std::string& typed) {
                if (typed.empty()) throw UsageError{"--baseline needs the name of a run"};
                options_.baseline = typed;
            });
        app_.add_flag("--ascii", options_.ascii, "Draw with ASCII characters alone.");
    }

    void add_duration() {
        add("--duration", "TIME", "How long to count: 500ms, 5s, 2m, 1h, or seconds.",
            [this](const std::string& typed) {
                options_.duration = duration_value("--duration", typed);
            });
    }

    void add_repeat() {
        add("--repeat", "N", "Do it so many times (1).", [this](const std::string& typed) {
            options_.repeats = whole_number("--repeat", typed, most_repeats);
        });
    }

    // What all commands that write a run file have.
    void add_run_file() {
        add("-o,--output", "RUN", "The run file to write.",
            [this](const std::string& typed) { options_.output = typed; });
        app_.add_flag("--force", options_.force, "Replace a file that is there.");
        add("--label", "NAME", "What the run is called (the file's name).",
            [this](const std::string& typed) { options_.label = typed; });
        add("--note", "TEXT", "What there is to say of it.",
            [this](const std::string& typed) { options_.note = typed; });
    }

    void add_record() {
        add_run_file();
        add_duration();
        add_repeat();
        add_selection();
    }

    // How a comparison is made and printed.
    void add_comparing() {
        add("--format", "table|markdown|csv|json", "How to print (table).",
            [this](const std::string& typed) {
                options_.report_format = choose(report_formats, "--format", typed);
            });
        add("--normalize", "none|time|count|guest-time",
            "Compare rates or shares instead of counts.",
            [this](const std::string& typed) {
                options_.normalize = choose(bases, "--normalize", typed);
            });
        app_.add_flag("--explain", options_.explain, "Say of each reason what causes it.");
        add("--html", "FILE", "Also write a page with charts.", [this](const std::string& typed) {
            if (typed.empty()) throw UsageError{"--html needs the name of a file"};
            options_.html = typed;
        });
        app_.add_flag("--force", options_.force, "Replace the page if it is there.");
    }

    void add_compare() {
        add_comparing();
        app_.add_flag("--strict", options_.strict, "Fail where runs are not comparable.");
    }

    void add_import() {
        add_run_file();
        add("--column", "NAME", "Of several columns of counts, the one to read.",
            [this](const std::string& typed) { options_.column = typed; });
        add("--isa", "vmx|svm", "Whose reason numbers they are (vmx).",
            [this](const std::string& typed) {
                options_.import_isa = choose(isas, "--isa", typed);
            });
    }

    void add_experiment() {
        app_.add_flag("-y,--yes", options_.yes, "Do not ask before it begins.");
        add_repeat();
        add("--keep", "DIR", "Keep both runs as files there.",
            [this](const std::string& typed) { options_.output = typed; });
        add_comparing();
        add_attach();
    }

    void add_dump() {
        add_duration();
        // Leaves have to tell times.
        if (options_.command != Subcommand::leaves) add_detail("histogram");
        app_.add_flag("--histogram", options_.histogram, "Also print distributions of times.");
        app_.add_flag("--per-vcpu", options_.per_vcpu, "Split by vCPU.");
        add_counting();
    }

    void add_export() {
        add("--textfile", "FILE.prom|-", "The file to write; -: print to stdout.",
            [this](const std::string& typed) { options_.textfile = textfile_value(typed); });
        add("--interval", "TIME", "From one update to the next (15s).",
            [this](const std::string& typed) { options_.interval = interval_value(typed); });
        add("--duration", "TIME", "Count so long, write once, and end.",
            [this](const std::string& typed) {
                options_.duration = duration_value("--duration", typed);
            });
        add("--top-reasons", "K", "Series per VM; the others sum up as \"other\" (20).",
            [this](const std::string& typed) {
                options_.top_reasons = whole_number("--top-reasons", typed, most_reasons);
            });
        options_.detail = CountDetail::time;
        add_detail("time");
        app_.add_flag("--histograms", options_.histograms,
                      "Also the distributions of times: --detail histogram.");
        app_.add_flag("--per-vcpu", options_.per_vcpu, "Also by vCPU.");
        app_.add_flag("--measure", options_.measure,
                      "Let the kernel measure the BPF programs.");
        add_selection();
    }

    void add_detail(std::string_view unless_told) {
        add("--detail", "count|time|histogram",
            fmt::format("How much to count ({}); less costs less.", unless_told).c_str(),
            [this](const std::string& typed) {
                options_.detail = choose(details, "--detail", typed);
            });
    }

    void add_leaves() {
        add("--layout", "2020|2021|2022", "What each leaf means (2021).",
            [this](const std::string& typed) { options_.layout = choose_layout(typed); });
        add_dump();
    }

    // What all commands that count and print have.
    void add_counting() {
        add("--format", "table|json|csv", "How to print (table).",
            [this](const std::string& typed) {
                options_.format = choose(formats, "--format", typed);
            });
        add("--sort", "FIELD", "count (default), time, mean, max, p99, name, ...",
            [this](const std::string& typed) { options_.sort = choose_sort(typed); });
        add_selection();
    }

    // Which VMs, and how they are counted.
    void add_selection() {
        add("-p,--pid", "PID", "Only VMs of this process.", [this](const std::string& typed) {
            constexpr std::uint32_t largest_pid = 1U << 22;  // PID_MAX_LIMIT
            options_.pid = whole_number("--pid", typed, largest_pid);
        });
        add("--uid", "UID", "Only VMs whose VMM runs as this user, by number.",
            [this](const std::string& typed) { options_.uid = uid_value(typed); });
        add("--vm", "GLOB",
            options_.command == Subcommand::leaves
                ? "Which VMs may read, by name: 'web*'; '*' for all."
                : "Only VMs whose name matches: 'web*'.",
            [this](const std::string& typed) {
                if (typed.empty()) throw UsageError{"--vm needs a pattern; '*' matches all VMs"};
                options_.vm_glob = typed;
            });
        app_.add_flag("--no-wait", options_.no_wait,
                      "Fail, not wait, without kvm_intel or kvm_amd.");
        add_attach();
    }

    void add_reasons() {
        add("NAME|NUMBER", "", "Its name or number (0x for hex); none: all.",
            [this](const std::string& typed) { options_.reason = typed; });
        add("--isa", "vmx|svm", "Only Intel's or only AMD's reasons.",
            [this](const std::string& typed) { options_.isa = choose(isas, "--isa", typed); });
        add("--format", "table|csv", "How to print (table).", [this](const std::string& typed) {
            options_.format = choose(reason_formats, "--format", typed);
        });
    }

    CLI::App app_;
    Options& options_;
};

// The library's "--duration: 1 required TIME missing" in plain words, others as they are.
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
        throw UsageError{fmt::format("{}: {}; {}", text.name, library_message(error),
                                     help_hint(text))};
    }
    return line.app().remaining();
}

}  // namespace exittop
