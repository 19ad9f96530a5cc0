// SPDX-License-Identifier: GPL-2.0-only
// Reads the command line. The library splits options from values and writes the help; what values
// mean is decided here, so that every mistake is told in one line of the same kind.
#include "options.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <iterator>
#include <ranges>
#include <utility>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "command_texts.h"
#include "exittop_abi.h"
#include "fields.h"
#include "text.h"

namespace exittop {

namespace {

constexpr int usage_status = 2;
constexpr std::size_t shown_columns = 60;  // Of what the user typed, in messages.
constexpr double longest_seconds = 10.0 * 366 * 86400;
constexpr std::chrono::milliseconds shortest_delay{100};
constexpr std::uint32_t most_repeats = 1000;
constexpr std::chrono::seconds shortest_interval{1};
constexpr std::uint32_t most_reasons = 1000;  // More than any processor has.

template <typename T>
struct Choice {
    const char* word;
    T value;
};
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
constexpr std::array details = {Choice{"count", CountDetail::count}, Choice{"time", CountDetail::time},
                                Choice{"histogram", CountDetail::histogram}};
constexpr std::array color_modes = {Choice{"auto", ColorMode::automatic},
                                    Choice{"always", ColorMode::always},
                                    Choice{"never", ColorMode::never}};
constexpr std::array isas = {Choice{"vmx", Isa::vmx}, Choice{"svm", Isa::svm}};

// What is wrong with the command line; thrown through the library, caught in parse().
struct UsageError {
    std::string what;
};

std::string in_quotes(std::string_view typed) {
    return fmt::format("'{}'", sanitise(typed, shown_columns));
}

std::string comma_list(auto&& words) { return fmt::format("{}", fmt::join(words, ", ")); }

template <typename T, std::size_t size>
T choose(const std::array<Choice<T>, size>& choices, std::string_view option,
         std::string_view typed) {
    const auto found = std::ranges::find(choices, typed, &Choice<T>::word);
    if (found != choices.end()) return found->value;
    std::vector<std::string_view> words;
    for (const Choice<T>& choice : choices) words.emplace_back(choice.word);
    throw UsageError{
        fmt::format("{} {} is none of {}", option, in_quotes(typed), comma_list(words))};
}

std::string choose_sort(std::string_view typed) {
    if (find_field(typed) != nullptr) return std::string(typed);
    std::vector<std::string_view> keys;
    for (const Field& field : fields()) keys.push_back(field.key);
    throw UsageError{fmt::format("--sort {} is none of {}", in_quotes(typed), comma_list(keys))};
}

LeafMeanings choose_layout(std::string_view typed) {
    const auto found = std::ranges::find(leaf_layouts, typed, &LeafLayout::name);
    if (found != leaf_layouts.end()) return found->meanings;
    throw UsageError{
        fmt::format("--layout {} is none of {}", in_quotes(typed),
                    comma_list(leaf_layouts | std::views::transform(&LeafLayout::name)))};
}

std::uint32_t whole_number(std::string_view option, std::string_view typed, std::uint32_t most) {
    std::uint32_t number = 0;
    const auto [end, error] = std::from_chars(typed.data(), typed.data() + typed.size(), number);
    if (error == std::errc{} && end == typed.data() + typed.size() && number >= 1 &&
        number <= most) {
        return number;
    }
    throw UsageError{
        fmt::format("{} {} is no whole number from 1 to {}", option, in_quotes(typed), most)};
}

std::chrono::nanoseconds duration_value(std::string_view option, std::string_view typed) {
    const auto duration = parse_duration(typed);
    if (!duration) throw UsageError{fmt::format("{} {}", option, duration.error())};
    return *duration;
}

std::chrono::nanoseconds delay_value(std::string_view typed) {
    const auto delay = duration_value("--delay", typed);
    if (delay >= shortest_delay) return delay;
    throw UsageError{fmt::format("--delay {} is too short: 0.1 at least", in_quotes(typed))};
}

std::chrono::nanoseconds interval_value(std::string_view typed) {
    const auto interval = duration_value("--interval", typed);
    if (interval >= shortest_interval) return interval;
    throw UsageError{fmt::format("--interval {} is too short: 1 at least", in_quotes(typed))};
}

std::string textfile_value(std::string_view typed) {
    if (typed == "-" || typed.ends_with(".prom")) return std::string(typed);
    throw UsageError{fmt::format("--textfile {} does not end in .prom: node_exporter would not "
                                 "read it",
                                 in_quotes(typed))};
}

// Options whose values may begin with a dash ("--duration -1"): the library would take the value
// for an option, and its message would not be about the value.
std::string joined_with_value(std::string_view option, std::string_view value) {
    constexpr std::array options = {"--duration", "--delay",      "-d",       "--iterations",
                                    "-n",         "--max-vcpus",  "--pid",    "-p",
                                    "--repeat",   "--interval",   "--top-reasons"};
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

class HelpFormat : public CLI::Formatter {
public:
    explicit HelpFormat(std::string usage) : usage_(std::move(usage)) { column_width(29); }

    std::string make_usage(const CLI::App*, std::string) const override {
        return "Usage: " + usage_ + "\n";
    }

private:
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
            case Subcommand::check: add_attach(); break;
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
    }

    void add_live() {
        add("-d,--delay", "SECONDS", "From one refresh or interval to the next (1).",
            [this](const std::string& typed) { options_.delay = delay_value(typed); });
        add("-n,--iterations", "N", "End after so many.", [this](const std::string& typed) {
            options_.iterations = whole_number("--iterations", typed, UINT32_MAX);
        });
        app_.add_flag("-b,--batch", options_.batch, "Print, interval by interval.");
        add_detail();
        add_counting();
        add("--baseline", "RUN", "Show ratios to this recorded run.",
            [this](const std::string& typed) {
                if (typed.empty()) throw UsageError{"--baseline needs the name of a run"};
                options_.baseline = typed;
            });
        app_.add_flag("--ascii", options_.ascii, "Draw with ASCII characters alone.");
    }

    void add_duration() {
        add("--duration", "SECONDS", "How long to count; decimals are allowed.",
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
        if (options_.command != Subcommand::leaves) add_detail();  // Those have to tell times.
        app_.add_flag("--histogram", options_.histogram, "Also print distributions of times.");
        app_.add_flag("--per-vcpu", options_.per_vcpu, "Split by vCPU.");
        add_counting();
    }

    void add_export() {
        add("--textfile", "FILE.prom|-", "The file to write; -: print to stdout.",
            [this](const std::string& typed) { options_.textfile = textfile_value(typed); });
        add("--interval", "SECONDS", "From one update to the next (15).",
            [this](const std::string& typed) { options_.interval = interval_value(typed); });
        add("--duration", "SECONDS", "Count so long, write once, and end.",
            [this](const std::string& typed) {
                options_.duration = duration_value("--duration", typed);
            });
        add("--top-reasons", "K", "Series per VM; the others sum up as \"other\" (20).",
            [this](const std::string& typed) {
                options_.top_reasons = whole_number("--top-reasons", typed, most_reasons);
            });
        app_.add_flag("--histograms", options_.histograms, "Also the distributions of times.");
        app_.add_flag("--per-vcpu", options_.per_vcpu, "Also by vCPU.");
        app_.add_flag("--measure", options_.measure,
                      "Let the kernel measure the BPF programs.");
        add_selection();
    }

    void add_detail() {
        add("--detail", "count|time|histogram", "How much to count (histogram); less costs less.",
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

// The library's "--duration: 1 required SECONDS missing" in plain words, others as they are.
std::string library_message(const CLI::ParseError& error) {
    const std::string message = error.what();
    const std::size_t colon = message.find(": ");
    if (error.get_name() == "ArgumentMismatch" && colon != std::string::npos) {
        return sanitise(message.substr(0, colon), shown_columns) + " needs a value";
    }
    return sanitise(message, 100);
}

std::string help_hint(const CommandText& text) {
    return fmt::format("see 'exittop {} --help'", text.name);
}

bool takes_workload(Subcommand command) {
    return command == Subcommand::dump || command == Subcommand::record ||
           command == Subcommand::experiment || command == Subcommand::leaves;
}

bool takes_files(Subcommand command) {
    return command == Subcommand::compare || command == Subcommand::import;
}

[[noreturn]] void fail_unexpected(const CommandText& text, const std::string& word) {
    if (takes_workload(text.command) && !word.starts_with('-')) {
        throw UsageError{fmt::format("{0}: unexpected {1}; to count while a command runs: "
                                     "exittop {0} -- COMMAND",
                                     text.name, in_quotes(word))};
    }
    throw UsageError{
        fmt::format("{}: unexpected {}; {}", text.name, in_quotes(word), help_hint(text))};
}

// What stands after "--": never an option of ours, whatever it looks like.
void take_rest(const CommandText& text, std::span<const char* const> rest, Options& options) {
    if (takes_workload(text.command)) {
        if (rest.empty()) {
            throw UsageError{
                fmt::format("{}: no command after '--'; {}", text.name, help_hint(text))};
        }
        options.workload.assign(rest.begin(), rest.end());
    } else if (takes_files(text.command)) {
        options.runs.insert(options.runs.end(), rest.begin(), rest.end());
    } else {
        fail_unexpected(text, "--");
    }
}

void check_together(const CommandText& text, const Options& options) {
    const auto fail = [&text](std::string_view what) {
        throw UsageError{fmt::format("{}: {}; {}", text.name, what, help_hint(text))};
    };
    if (!options.workload.empty() && options.duration) {
        throw UsageError{
            fmt::format("{}: either --duration or a command after '--', not both", text.name)};
    }
    if (text.command == Subcommand::leaves && options.vm_glob.empty()) {
        throw UsageError{"leaves: --vm has to say which VMs may read their counts; '*' for all"};
    }
    switch (text.command) {
        case Subcommand::compare:
            if (options.runs.empty()) fail("no run given");
            break;
        case Subcommand::import:
            if (options.runs.size() != 1) fail("one file to read must be given");
            if (options.output.empty()) fail("no file to write given (-o RUN)");
            break;
        case Subcommand::record:
            if (options.output.empty()) fail("no file to write given (-o RUN)");
            if (options.repeats > 1 && options.workload.empty() && !options.duration) {
                fail("--repeat needs --duration or a command");
            }
            break;
        case Subcommand::export_metrics:
            if (options.textfile.empty()) fail("no --textfile FILE.prom (or -) given");
            if (options.duration && options.interval) {
                fail("either --duration (once) or --interval, not both");
            }
            break;
        case Subcommand::experiment:
            if (options.workload.empty()) fail("no command given (-- COMMAND)");
            break;
        default: break;
    }
    if (find_field(options.sort)->needs > options.detail) {
        throw UsageError{fmt::format("--sort {} needs more than --detail {}", options.sort,
                                     detail_name(options.detail))};
    }
    if (options.histogram && options.detail < CountDetail::histogram) {
        throw UsageError{fmt::format("--histogram needs more than --detail {}",
                                     detail_name(options.detail))};
    }
    if (options.command == Subcommand::live && !options.batch &&
        options.detail < CountDetail::histogram) {
        throw UsageError{"--detail is for dump and for --batch: the live view shows all"};
    }
    if (options.batch && !options.baseline.empty()) {
        throw UsageError{"--baseline is for the live view, not for --batch or --format"};
    }
}

Options parse_subcommand(const CommandText& text, std::span<const char* const> arguments) {
    Options options;
    const auto is_separator = [](const char* word) { return std::string_view(word) == "--"; };
    const auto separator = std::ranges::find_if(arguments, is_separator);

    CommandLine line(text, options);
    try {
        line.app().parse(words_for_library({arguments.begin(), separator}));
    } catch (const CLI::CallForHelp&) {
        throw ParseExit{line.app().help(), 0, false};
    } catch (const CLI::ParseError& error) {
        throw UsageError{fmt::format("{}: {}; {}", text.name, library_message(error),
                                     help_hint(text))};
    }
    for (const std::string& word : line.app().remaining()) {
        // As a positional of the library's, a file named "[a,b]" would become two.
        const bool is_run = takes_files(text.command) && !word.starts_with('-');
        if (!is_run) fail_unexpected(text, word);
        options.runs.push_back(word);
    }
    if (separator != arguments.end()) {
        take_rest(text, {std::next(separator), arguments.end()}, options);
    }
    if (text.command == Subcommand::live && options.format != Format::table) options.batch = true;
    check_together(text, options);
    return options;
}

// How many letters one word has that the other has not: 0 for swapped ones, 1 for a missing one.
std::size_t letters_apart(std::string a, std::string b) {
    std::ranges::sort(a);
    std::ranges::sort(b);
    std::string apart;
    std::ranges::set_symmetric_difference(a, b, std::back_inserter(apart));
    return apart.size();
}

[[noreturn]] void fail_unknown(std::string_view word) {
    std::string hint = "see 'exittop --help'";
    std::size_t least = 3;
    const std::string typed(word.substr(0, shown_columns));
    for (const CommandText& text : command_texts()) {
        const std::size_t apart = letters_apart(typed, text.name);
        if (apart >= least) continue;
        least = apart;
        hint = fmt::format("did you mean 'exittop {}'?", text.name);
    }
    const char* kind = word.starts_with('-') ? "option" : "command";
    throw UsageError{fmt::format("unknown {} {}; {}", kind, in_quotes(word), hint)};
}

std::string main_help() {
    std::string out = "Why virtual machines leave guest mode: how often, why, and what it costs.\n"
                      "Usage: exittop [COMMAND] [OPTIONS]\n\nCommands:\n";
    for (const CommandText& text : command_texts()) {
        out += fmt::format("  {:<12}{}\n", text.name, text.summary);
    }
    return out +
           "\n"
           "Try: exittop check, then exittop; without a VM: exittop lab.\n"
           "`exittop COMMAND --help` tells more.\n"
           "\n"
           "Exit status: 0 done; 1 failed; 2 usage; 77 the host lacks something.\n";
}

Options parse_words(std::span<const char* const> words) {
    const std::string_view first = words.empty() ? "live" : words[0];
    if (first == "-h" || first == "--help") throw ParseExit{main_help(), 0, false};
    if (first == "--version") throw ParseExit{"exittop " EXITTOP_VERSION "\n", 0, false};
    // Options without a command are those of the live view.
    const bool is_bare = words.empty() || first.starts_with('-');
    const auto text = std::ranges::find(command_texts(), is_bare ? "live" : first,
                                        &CommandText::name);
    if (text == command_texts().end()) fail_unknown(first);

    const std::span<const char* const> arguments = words.subspan(is_bare ? 0 : 1);
    if (text->command != Subcommand::lab) return parse_subcommand(*text, arguments);
    Options options;
    options.command = Subcommand::lab;
    options.lab_arguments.assign(arguments.begin(), arguments.end());
    return options;
}

}  // namespace

std::expected<std::chrono::nanoseconds, std::string> parse_duration(std::string_view text) {
    const auto wrong = [text](std::string_view what) {
        return std::unexpected(fmt::format("{} {}", in_quotes(text), what));
    };
    double seconds = 0.0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
    if (error == std::errc::result_out_of_range) return wrong("is out of range");
    if (error != std::errc{} || end != text.data() + text.size() || !std::isfinite(seconds)) {
        return wrong("is no number of seconds");
    }
    if (seconds < 0.0) return wrong("is negative");
    if (seconds < 1e-9) return wrong("is too short: nothing can be counted in no time");
    if (seconds > longest_seconds) return wrong("is more than ten years");
    return std::chrono::nanoseconds(std::llround(seconds * 1e9));
}

bool wants_color(ColorMode mode, bool is_terminal, bool no_color) {
    if (mode == ColorMode::automatic) return is_terminal && !no_color;
    return mode == ColorMode::always;
}

std::expected<Options, ParseExit> parse(std::span<const char* const> argv) {
    try {
        return parse_words(argv.empty() ? argv : argv.subspan(1));
    } catch (const UsageError& error) {
        return std::unexpected(ParseExit{"exittop: " + error.what + "\n", usage_status, true});
    } catch (const ParseExit& help) {
        return std::unexpected(help);
    }
}

}  // namespace exittop
