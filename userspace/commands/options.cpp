// SPDX-License-Identifier: GPL-2.0-only
// Reads the command line: which command it is, its options, what stands after "--", and whether all
// that goes together. Every mistake is told in one line of the same kind.
#include "commands/options.h"

#include <algorithm>
#include <iterator>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "commands/command_options.h"
#include "commands/command_texts.h"
#include "commands/option_values.h"
#include "model/fields.h"

namespace exittop {

namespace {

constexpr int usage_status = 2;
constexpr std::size_t longest_typo = 60;  // Letters of a wrong command that are looked at.

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
            if (options.histograms && options.detail < CountDetail::time) {
                fail("--histograms needs more than --detail count");
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
        throw UsageError{"--detail is for dump, export and --batch: the live view shows all"};
    }
    if (options.batch && !options.baseline.empty()) {
        throw UsageError{"--baseline is for the live view, not for --batch or --format"};
    }
}

Options parse_subcommand(const CommandText& text, std::span<const char* const> arguments) {
    Options options;
    const auto is_separator = [](const char* word) { return std::string_view(word) == "--"; };
    const auto separator = std::ranges::find_if(arguments, is_separator);

    for (std::string& word : read_options(text, {arguments.begin(), separator}, options)) {
        // As a positional of the library's, a file named "[a,b]" would become two.
        const bool is_run = takes_files(text.command) && !word.starts_with('-');
        if (!is_run) fail_unexpected(text, word);
        options.runs.push_back(std::move(word));
    }
    if (separator != arguments.end()) {
        take_rest(text, {std::next(separator), arguments.end()}, options);
    }
    if (text.command == Subcommand::live && options.format != Format::table) options.batch = true;
    check_together(text, options);
    if (options.histograms) options.detail = CountDetail::histogram;
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
    const std::string typed(word.substr(0, longest_typo));
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