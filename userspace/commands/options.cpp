// SPDX-License-Identifier: GPL-2.0-only
// Reads the command line: the command, its options, what follows "--", and whether these go
// together. Every mistake gives one line of the same form.
#include "commands/options.h"

#include <algorithm>
#include <iterator>
#include <ranges>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <fmt/format.h>

#include "commands/command_options.h"
#include "commands/command_texts.h"
#include "commands/option_values.h"
#include "model/fields.h"

namespace exittop {

namespace {

constexpr int usage_status = 2;
constexpr std::size_t longest_typo = 60;  // Letters of a wrong command that are compared.

// Where the command line after "--" is stored; nullptr if the command takes none.
std::vector<std::string>* work_of(CommandOptions& options) {
    if (auto* dump = std::get_if<DumpOptions>(&options)) return &dump->work.command;
    if (auto* leaves = std::get_if<LeavesOptions>(&options)) return &leaves->dump.work.command;
    if (auto* record = std::get_if<RecordOptions>(&options)) return &record->work.command;
    if (auto* experiment = std::get_if<ExperimentOptions>(&options)) return &experiment->command;
    return nullptr;
}

bool takes_files(const CommandOptions& options) {
    return std::holds_alternative<CompareOptions>(options) ||
           std::holds_alternative<ImportOptions>(options);
}

// A target has a count and a time.
void time_targets(CountingOptions& counting) {
    if (counting.targets) counting.detail = std::max(counting.detail, CountDetail::time);
}

// Throws if options of one command contradict each other.
class Checker {
public:
    explicit Checker(const CommandText& text) : text_(text) {}

    void operator()(LiveOptions& live) const {
        if (live.format != Format::table) live.batch = true;
        // Before --targets raises it: the live view shows all in any case.
        if (!live.batch && live.counting.detail < CountDetail::histogram) {
            throw UsageError{"--detail is for dump, export and --batch: the live view shows all"};
        }
        time_targets(live.counting);
        require_sort(live.sort, live.counting.detail);
        if (live.batch && !live.baseline.empty()) {
            throw UsageError{"--baseline is for the live view, not for --batch or --format"};
        }
    }

    void operator()(DumpOptions& dump) const {
        require(dump.work);
        time_targets(dump.counting);
        require_sort(dump.sort, dump.counting.detail);
        if (dump.histogram && dump.counting.detail < CountDetail::histogram) {
            throw UsageError{fmt::format("--histogram needs more than --detail {}",
                                         detail_name(dump.counting.detail))};
        }
    }

    void operator()(LeavesOptions& leaves) const {
        if (leaves.dump.vms.vm_glob.empty()) {
            throw UsageError{
                "leaves: --vm has to say which VMs may read their counts; '*' for all"};
        }
        (*this)(leaves.dump);
    }

    void operator()(RecordOptions& record) const {
        require(record.work);
        time_targets(record.counting);
        require(record.file);
        if (record.repeats > 1 && record.work.command.empty() && !record.work.duration) {
            fail("--repeat needs --duration or a command");
        }
    }

    void operator()(CompareOptions& compare) const {
        if (compare.runs.empty()) fail("no run given");
    }

    void operator()(ImportOptions& import) const { require(import.file); }

    void operator()(ExperimentOptions& experiment) const {
        if (experiment.command.empty()) fail("no command given (-- COMMAND)");
        experiment.counting.targets = experiment.targets.choice;
        experiment.counting.targets_if_able = !experiment.targets.is_told;
    }

    void operator()(ExportOptions& exported) const {
        if (exported.textfile.empty()) fail("no --textfile FILE.prom (or -) given");
        if (exported.duration && exported.interval) {
            fail("either --duration (once) or --interval, not both");
        }
        time_targets(exported.counting);
        if (!exported.histograms) return;
        if (exported.counting.detail < CountDetail::time) {
            fail("--histograms needs more than --detail count");
        }
        exported.counting.detail = CountDetail::histogram;
    }

    void operator()(CheckOptions&) const {}
    void operator()(ReasonsOptions& reasons) const {
        if (!reasons.reason.empty() && !reasons.targets_of.empty()) {
            fail("either a reason or --targets REASON, not both");
        }
    }
    void operator()(LabOptions&) const {}

    [[noreturn]] void fail(std::string_view what) const {
        throw UsageError{fmt::format("{}: {}; {}", text_.name, what, help_hint(text_))};
    }

private:
    void require(const Work& work) const {
        if (work.command.empty() || !work.duration) return;
        throw UsageError{
            fmt::format("{}: either --duration or a command after '--', not both", text_.name)};
    }

    void require(const RunFileOptions& file) const {
        if (file.path.empty()) fail("no file to write given (-o RUN)");
    }

    static void require_sort(const std::string& sort, CountDetail detail) {
        if (find_field(sort)->needs <= detail) return;
        throw UsageError{
            fmt::format("--sort {} needs more than --detail {}", sort, detail_name(detail))};
    }

    const CommandText& text_;
};

[[noreturn]] void fail_unexpected(const CommandText& text, CommandOptions& options,
                                  const std::string& word) {
    if (work_of(options) != nullptr && !word.starts_with('-')) {
        throw UsageError{fmt::format("{0}: unexpected {1}; to count while a command runs: "
                                     "exittop {0} -- COMMAND",
                                     text.name, in_quotes(word))};
    }
    Checker(text).fail(fmt::format("unexpected {}", in_quotes(word)));
}

void take_files(const CommandText& text, CommandOptions& options, std::vector<std::string> files) {
    if (auto* import = std::get_if<ImportOptions>(&options)) {
        if (files.size() != 1) Checker(text).fail("one file to read must be given");
        import->input = std::move(files.front());
    } else if (auto* compare = std::get_if<CompareOptions>(&options)) {
        compare->runs = std::move(files);
    }
}

// What follows "--" is never an option of exittop, whatever it looks like.
Options parse_subcommand(const CommandText& text, std::span<const char* const> arguments) {
    Options options{.command = text.options()};
    CommandOptions& command = options.command;
    const auto is_separator = [](const char* word) { return std::string_view(word) == "--"; };
    const auto separator = std::ranges::find_if(arguments, is_separator);

    std::vector<std::string> files;
    for (std::string& word : read_options(text, {arguments.begin(), separator}, options)) {
        // If the library read it as a positional, a file named "[a,b]" would become two.
        const bool is_file = takes_files(command) && !word.starts_with('-');
        if (!is_file) fail_unexpected(text, command, word);
        files.push_back(std::move(word));
    }
    if (separator != arguments.end()) {
        const auto rest = std::ranges::subrange(std::next(separator), arguments.end());
        if (auto* work = work_of(command)) {
            if (rest.empty()) Checker(text).fail("no command after '--'");
            work->assign(rest.begin(), rest.end());
        } else if (takes_files(command)) {
            files.insert(files.end(), rest.begin(), rest.end());
        } else {
            fail_unexpected(text, command, "--");
        }
    }
    take_files(text, command, std::move(files));
    std::visit(Checker(text), command);
    return options;
}

// How many letters one word has that the other lacks: 0 for swapped letters, 1 for a missing one.
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
    return out + "\n"
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
    const auto text =
        std::ranges::find(command_texts(), is_bare ? "live" : first, &CommandText::name);
    if (text == command_texts().end()) fail_unknown(first);

    const std::span<const char* const> arguments = words.subspan(is_bare ? 0 : 1);
    if (std::string_view(text->name) != "lab") return parse_subcommand(*text, arguments);
    return {.command = LabOptions{{arguments.begin(), arguments.end()}}};
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
