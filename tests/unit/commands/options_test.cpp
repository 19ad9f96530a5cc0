// SPDX-License-Identifier: GPL-2.0-only
#include "commands/options.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "golden.h"

namespace exittop {
namespace {

using namespace std::chrono_literals;
using Words = std::vector<const char*>;

std::expected<Options, ParseExit> parse_words(Words words) {
    words.insert(words.begin(), "exittop");
    return parse(words);
}

Options parsed(const Words& words) {
    const auto options = parse_words(words);
    EXPECT_TRUE(options) << options.error().text;
    return options.value_or(Options{});
}

/// The options of one command; as they are unless told, where the words are not of that command.
template <typename Command>
Command parsed_as(const Words& words) {
    const Options options = parsed(words);
    const auto* command = std::get_if<Command>(&options.command);
    EXPECT_NE(command, nullptr) << "another command";
    return command != nullptr ? *command : Command{};
}

TEST(Options, UidIsANumberOfWhateverCounts) {
    EXPECT_EQ(parsed_as<LiveOptions>({"--uid", "0"}).vms.uid, 0U);
    EXPECT_EQ(parsed_as<DumpOptions>({"dump", "--uid", "0"}).vms.uid, 0U);
    EXPECT_EQ(parsed_as<RecordOptions>({"record", "-o", "a", "--uid", "0"}).vms.uid, 0U);
    EXPECT_EQ(parsed_as<ExportOptions>({"export", "--textfile", "-", "--uid", "0"}).vms.uid, 0U);
    EXPECT_EQ(parsed_as<LeavesOptions>({"leaves", "--vm", "*", "--uid", "0"}).dump.vms.uid, 0U);
    EXPECT_EQ(parsed_as<DumpOptions>({"dump", "--uid", "4294967294"}).vms.uid, 4'294'967'294U);
    EXPECT_FALSE(parsed_as<DumpOptions>({"dump"}).vms.uid);
}

TEST(Options, LiveIsWhatABareCommandMeans) {
    for (const Words& words : {Words{}, {"live"}}) {
        const auto live = parsed_as<LiveOptions>(words);
        EXPECT_EQ(live.delay, 1s);
        EXPECT_FALSE(live.iterations);
        EXPECT_FALSE(live.batch || live.ascii);
        EXPECT_TRUE(live.baseline.empty());
    }
    EXPECT_TRUE(parse({}));
}

TEST(Options, LiveAll) {
    const Words words = {"-d",       "2.5s",    "-n3",           "--sort",      "time",
                         "-p",       "12",      "--vm",          "a*",          "--baseline",
                         "run.json", "--ascii", "--color=never", "--max-vcpus", "64",
                         "--attach", "raw",     "--no-wait"};
    const auto live = parsed_as<LiveOptions>(words);
    EXPECT_EQ(live.delay, 2500ms);
    EXPECT_EQ(live.iterations, 3U);
    EXPECT_EQ(live.sort, "time");
    EXPECT_EQ(live.vms.pid, 12U);
    EXPECT_EQ(live.vms.vm_glob, "a*");
    EXPECT_EQ(live.baseline, "run.json");
    EXPECT_TRUE(live.ascii && live.counting.no_wait);
    EXPECT_FALSE(live.batch);
    EXPECT_EQ(live.counting.max_vcpus, 64U);
    EXPECT_EQ(live.counting.attach, AttachChoice::raw);
    EXPECT_EQ(parsed(words).color, ColorMode::never);
}

TEST(Options, Leaves) {
    const auto leaves = parsed_as<LeavesOptions>(
        {"leaves", "--vm", "web*", "--layout", "2022", "--duration", "2s"});
    EXPECT_EQ(leaves.dump.vms.vm_glob, "web*");
    EXPECT_EQ(leaves.dump.work.duration, 2s);
    EXPECT_EQ(leaves.layout, leaf_layouts[2].meanings);
    const auto all = parsed_as<LeavesOptions>({"leaves", "--vm", "*", "--", "true"});
    EXPECT_EQ(all.layout, leaf_layouts[1].meanings);
    EXPECT_EQ(all.dump.work.command.size(), 1U);
}

TEST(Options, LeavesNeedsToBeToldWhomToAnswer) {
    const auto none = parse_words({"leaves"});
    ASSERT_FALSE(none);
    EXPECT_EQ(none.error().status, 2);
    EXPECT_EQ(none.error().text,
              "exittop: leaves: --vm has to say which VMs may read their counts; '*' for all\n");
    const auto layout = parse_words({"leaves", "--vm", "*", "--layout", "2019"});
    ASSERT_FALSE(layout);
    EXPECT_EQ(layout.error().text, "exittop: --layout '2019' is none of 2020, 2021, 2022\n");
}

TEST(Options, LiveAsBatch) {
    EXPECT_TRUE(parsed_as<LiveOptions>({"-b"}).batch);
    EXPECT_TRUE(parsed_as<LiveOptions>({"live", "--batch"}).batch);
    EXPECT_TRUE(parsed_as<LiveOptions>({"--format", "json"}).batch);
    EXPECT_TRUE(parsed_as<LiveOptions>({"live", "--format=csv"}).batch);
    EXPECT_FALSE(parsed_as<LiveOptions>({"--format", "table"}).batch);
}

TEST(Options, DumpDefaults) {
    const auto dump = parsed_as<DumpOptions>({"dump"});
    EXPECT_FALSE(dump.work.duration);
    EXPECT_TRUE(dump.work.command.empty());
    EXPECT_EQ(dump.format, Format::table);
    EXPECT_EQ(dump.sort, "count");
    EXPECT_EQ(dump.counting.max_vcpus, 4096U);
    EXPECT_FALSE(dump.vms.pid);
    EXPECT_FALSE(dump.histogram || dump.per_vcpu || dump.counting.no_wait);
}

TEST(Options, DumpAll) {
    const Words words = {"dump",        "--duration", "2.5",         "--format=json",
                         "--sort",      "p99",        "--histogram", "--per-vcpu",
                         "-p",          "12",         "--vm",        "[ab]",
                         "--max-vcpus", "32768",      "--no-wait",   "--attach",
                         "classic",     "--color",    "never"};
    const auto dump = parsed_as<DumpOptions>(words);
    EXPECT_EQ(dump.work.duration, 2500ms);
    EXPECT_EQ(dump.format, Format::json);
    EXPECT_EQ(dump.sort, "p99");
    EXPECT_TRUE(dump.histogram && dump.per_vcpu && dump.counting.no_wait);
    EXPECT_EQ(dump.vms.pid, 12U);
    EXPECT_EQ(dump.vms.vm_glob, "[ab]");
    EXPECT_EQ(dump.counting.max_vcpus, 32768U);
    EXPECT_EQ(dump.counting.attach, AttachChoice::classic);
    EXPECT_EQ(parsed(words).color, ColorMode::never);
}

TEST(Options, Export) {
    const auto defaults = parsed_as<ExportOptions>({"export", "--textfile", "a.prom"});
    EXPECT_EQ(defaults.textfile, "a.prom");
    EXPECT_FALSE(defaults.interval || defaults.duration);
    EXPECT_EQ(defaults.top_reasons, 20U);
    EXPECT_FALSE(defaults.per_vcpu || defaults.measure);
    EXPECT_EQ(defaults.counting.detail, CountDetail::time) << "distributions that nobody asked for";
    const auto all = parsed_as<ExportOptions>(
        {"export", "--textfile", "-", "--interval", "2m", "--top-reasons=5", "--histograms",
         "--per-vcpu", "--measure", "--vm", "web*", "--no-wait", "--max-vcpus", "16"});
    EXPECT_EQ(all.textfile, "-");
    EXPECT_EQ(all.interval, 2min);
    EXPECT_EQ(all.top_reasons, 5U);
    EXPECT_TRUE(all.per_vcpu && all.measure && all.counting.no_wait);
    EXPECT_EQ(all.counting.detail, CountDetail::histogram);
    EXPECT_EQ(all.vms.vm_glob, "web*");
    EXPECT_EQ(all.counting.max_vcpus, 16U);
    const auto count = parsed_as<ExportOptions>({"export", "--textfile", "-", "--detail", "count"});
    EXPECT_EQ(count.counting.detail, CountDetail::count);
}

/// Of each command that counts targets.
std::vector<CountingOptions> counting_with(Words words) {
    const auto of = [&words](Words command) {
        command.insert(command.end(), words.begin(), words.end());
        return command;
    };
    return {parsed_as<LiveOptions>(of({"live"})).counting,
            parsed_as<LiveOptions>(of({"live", "-b"})).counting,
            parsed_as<DumpOptions>(of({"dump"})).counting,
            parsed_as<RecordOptions>(of({"record", "-o", "a"})).counting,
            parsed_as<ExportOptions>(of({"export", "--textfile", "-"})).counting};
}

TEST(Options, TargetsAreAllOrRipOrReasons) {
    for (const CountingOptions& counting : counting_with({})) {
        EXPECT_FALSE(counting.targets);
        EXPECT_EQ(counting.target_memory, default_target_memory);
    }
    for (const CountingOptions& counting : counting_with({"--targets", "all"})) {
        EXPECT_EQ(counting.targets, TargetChoice{});
    }
    for (const CountingOptions& counting : counting_with({"--targets=rip"})) {
        EXPECT_EQ(counting.targets, TargetChoice{.rip = true});
    }
    for (const CountingOptions& counting :
         counting_with({"--targets", "MSR_WRITE,npf,0x30,PF excp,123456"})) {
        const TargetChoice choice{.reasons = {"MSR_WRITE", "npf", "0x30", "PF excp", "123456"}};
        EXPECT_EQ(counting.targets, choice);
    }
    for (const CountingOptions& counting :
         counting_with({"--targets", "all", "--target-memory", "128M"})) {
        EXPECT_EQ(counting.target_memory, 128U << 20);
    }
    // The live view's key Enter counts them without the option.
    EXPECT_EQ(parsed_as<LiveOptions>({"--target-memory", "1GiB"}).counting.target_memory, 1U << 30);
}

TEST(Options, TargetsHaveTimes) {
    const auto detail = [](Words words) {
        words.insert(words.begin(), {"dump", "--detail"});
        return parsed_as<DumpOptions>(words).counting.detail;
    };
    EXPECT_EQ(detail({"count"}), CountDetail::count);
    EXPECT_EQ(detail({"count", "--targets", "all", "--sort", "time"}), CountDetail::time);
    EXPECT_EQ(detail({"time", "--targets", "all"}), CountDetail::time);
    EXPECT_EQ(detail({"histogram", "--targets", "all"}), CountDetail::histogram);
    EXPECT_EQ(
        parsed_as<LiveOptions>({"-b", "--detail", "count", "--targets", "all"}).counting.detail,
        CountDetail::time);
    const auto exported = parsed_as<ExportOptions>(
        {"export", "--textfile", "-", "--detail", "count", "--targets", "all"});
    EXPECT_EQ(exported.counting.detail, CountDetail::time);
    EXPECT_EQ(exported.top_targets, 10U);
    EXPECT_EQ(parsed_as<ExportOptions>(
                  {"export", "--textfile", "-", "--targets", "all", "--top-targets", "3"})
                  .top_targets,
              3U);
}

TEST(Options, WorkloadIsLeftAlone) {
    const auto dump = parsed_as<DumpOptions>(
        {"dump", "--sort", "time", "--", "sh", "-c", "x", "--sort", "no such", "--help", "--", ""});
    EXPECT_EQ(dump.sort, "time");
    EXPECT_EQ(dump.work.command,
              (std::vector<std::string>{"sh", "-c", "x", "--sort", "no such", "--help", "--", ""}));
}

TEST(Options, LabArgumentsAreLeftAlone) {
    EXPECT_EQ(
        parsed_as<LabOptions>({"lab", "amd", "--kernel", "6.1", "--help", "--", "-x"}).arguments,
        (std::vector<std::string>{"amd", "--kernel", "6.1", "--help", "--", "-x"}));
    EXPECT_TRUE(parsed_as<LabOptions>({"lab"}).arguments.empty());
}

TEST(Options, OtherCommands) {
    const auto check = parsed_as<CheckOptions>({"check", "--attach", "raw", "--duration", "5s"});
    EXPECT_EQ(check.counting.attach, AttachChoice::raw);
    EXPECT_EQ(check.duration, 5s);
    EXPECT_FALSE(parsed({"check"}).debug);
    for (const Words& words : {Words{"check"},
                               {"-b"},
                               {"dump"},
                               {"record", "-o", "a"},
                               {"export", "--textfile", "-"},
                               {"leaves", "--vm", "*"}}) {
        Words with_debug = words;
        with_debug.push_back("--debug");
        EXPECT_TRUE(parsed(with_debug).debug) << words.front();
    }
    EXPECT_FALSE(parsed_as<ReasonsOptions>({"reasons"}).isa);
    const auto reasons =
        parsed_as<ReasonsOptions>({"reasons", "0x30", "--isa", "vmx", "--format", "csv"});
    EXPECT_EQ(reasons.reason, "0x30");
    EXPECT_EQ(reasons.isa, Isa::vmx);
    EXPECT_EQ(reasons.format, Format::csv);
    EXPECT_EQ(reasons.targets_of, "");
    const auto targets =
        parsed_as<ReasonsOptions>({"reasons", "--targets", "MSR_WRITE", "--format=json"});
    EXPECT_EQ(targets.targets_of, "MSR_WRITE");
    EXPECT_EQ(targets.format, Format::json);
    EXPECT_EQ(parsed_as<CompareOptions>({"compare", "a", "[b]", "--", "-c"}).runs,
              (std::vector<std::string>{"a", "[b]", "-c"}));
}

TEST(Options, RecordAll) {
    const auto record = parsed_as<RecordOptions>({"record", "-o", "run.json", "--label", "x y",
                                                  "--note", "", "--repeat", "7", "--force", "--vm",
                                                  "a*", "--no-wait", "--", "true"});
    EXPECT_EQ(record.file.path, "run.json");
    EXPECT_EQ(record.file.label, "x y");
    EXPECT_EQ(record.repeats, 7U);
    EXPECT_TRUE(record.file.force && record.counting.no_wait);
    EXPECT_EQ(record.vms.vm_glob, "a*");
    EXPECT_EQ(record.work.command, std::vector<std::string>{"true"});
    EXPECT_EQ(parsed_as<RecordOptions>({"record", "--output=a"}).repeats, 1U);
}

TEST(Options, CompareImportAndExperiment) {
    const auto compare =
        parsed_as<CompareOptions>({"compare", "--normalize", "guest-time", "--format", "markdown",
                                   "--explain", "--strict", "a", "b"});
    EXPECT_EQ(compare.comparison.normalize, Basis::guest_time);
    EXPECT_EQ(compare.comparison.format, ReportFormat::markdown);
    EXPECT_FALSE(compare.comparison.targets);
    EXPECT_TRUE(parsed_as<CompareOptions>({"compare", "a", "--targets"}).comparison.targets);
    EXPECT_TRUE(compare.comparison.explain && compare.strict);
    const auto import = parsed_as<ImportOptions>(
        {"import", "--isa", "svm", "--column", "b", "-o", "x", "--", "-log"});
    EXPECT_EQ(import.isa, Isa::svm);
    EXPECT_EQ(import.column, "b");
    EXPECT_EQ(import.input, "-log");
    const auto experiment =
        parsed_as<ExperimentOptions>({"experiment", "-y", "--repeat=4", "--keep", "d", "--", "vm"});
    EXPECT_TRUE(experiment.yes);
    EXPECT_EQ(experiment.repeats, 4U);
    EXPECT_EQ(experiment.keep, "d");
    EXPECT_EQ(experiment.command, std::vector<std::string>{"vm"});
    EXPECT_FALSE(parsed_as<ExperimentOptions>({"experiment", "--", "vm"}).yes);
    EXPECT_TRUE(experiment.comparison.extra_targets);
    EXPECT_FALSE(compare.comparison.extra_targets);
    EXPECT_TRUE(
        parsed_as<CompareOptions>({"compare", "a", "--extra-targets"}).comparison.extra_targets);
}

TEST(Options, AnExperimentCountsTargetsUnlessToldOtherwise) {
    const auto counting = [](const Words& more) {
        Words words = {"experiment"};
        words.insert(words.end(), more.begin(), more.end());
        words.insert(words.end(), {"--", "vm"});
        return parsed_as<ExperimentOptions>(words).counting;
    };
    EXPECT_EQ(counting({}).targets, TargetChoice{});
    EXPECT_TRUE(counting({}).targets_if_able);
    EXPECT_TRUE(counting({"--target-memory", "1MiB"}).targets_if_able);
    EXPECT_EQ(counting({"--targets", "none"}).targets, std::nullopt);
    EXPECT_EQ(counting({"--targets", "all"}).targets, TargetChoice{});
    EXPECT_FALSE(counting({"--targets", "all"}).targets_if_able) << "it fails without them";
    EXPECT_EQ(counting({"--targets", "npf"}).targets, TargetChoice{.reasons = {"npf"}});
    EXPECT_FALSE(parsed_as<RecordOptions>({"record", "-o", "x"}).counting.targets_if_able);
}

TEST(Options, MistakesAreOneLine) {
    struct Case {
        Words words;
        const char* text;
    };
    const std::vector<Case> cases = {
        {{"dmup"}, "did you mean 'exittop dump'?"},
        {{"chekc"}, "did you mean 'exittop check'?"},
        {{"reason"}, "did you mean 'exittop reasons'?"},
        {{"frobnicate"}, "unknown command 'frobnicate'; see 'exittop --help'"},
        {{""}, "unknown command ''"},
        {{"\x1b[2J\n"}, "unknown command '\\x1b[2J\\x0a'"},
        {{"--frob"}, "live: unexpected '--frob'; see 'exittop live --help'"},
        {{"-b", "dump"}, "live: unexpected 'dump'"},
        {{"live", "--"}, "live: unexpected '--'"},
        {{"live", "--duration", "1"}, "live: unexpected '--duration'"},
        {{"-d", "0.09"}, "--delay '0.09' is too short: 100ms at least"},
        {{"-d", "99ms"}, "--delay '99ms' is too short: 100ms at least"},
        {{"-d", "-1"}, "--delay '-1' is negative"},
        {{"--delay", "fast"}, "--delay 'fast' is not a duration: 500ms, 5s, 2m, 1h, or a number"},
        {{"-n", "0"}, "--iterations '0' is not a whole number"},
        {{"-n", "-3"}, "--iterations '-3' is not a whole number"},
        {{"--iterations", "1.5"}, "--iterations '1.5' is not a whole number"},
        {{"-n"}, "needs a value"},
        {{"--baseline", ""}, "--baseline needs the name of a run"},
        {{"-b", "--baseline", "a.json"}, "--baseline is for the live view"},
        {{"--format", "csv", "--baseline", "a.json"}, "--baseline is for the live view"},
        {{"dump", "--frob"}, "unexpected '--frob'; see 'exittop dump --help'"},
        {{"dump", "ls"}, "exittop dump -- COMMAND"},
        {{"dump", "--"}, "no command after '--'"},
        {{"dump", "--duration", "1", "--", "ls"}, "not both"},
        {{"dump", "--duration"}, "--duration needs a value"},
        {{"dump", "--duration="}, "--duration needs a value"},
        {{"dump", "--duration", "ten"}, "--duration 'ten' is not a duration"},
        {{"dump", "--duration", "5x"}, "--duration '5x' is not a duration"},
        {{"dump", "--duration", "\x1b[2J"}, "--duration '\\x1b[2J' is not a duration"},
        {{"dump", "--duration", "-1"}, "--duration '-1' is negative: a duration is more than 0"},
        {{"dump", "--duration", "-1s"}, "--duration '-1s' is negative"},
        {{"dump", "--duration", "-inf"}, "--duration '-inf' is not a duration"},
        {{"dump", "--duration", "nan"}, "--duration 'nan' is not a duration"},
        {{"dump", "--duration", "0"}, "--duration '0' is too short"},
        {{"dump", "--duration", "1e9"}, "--duration '1e9' is too long: ten years"},
        {{"dump", "--format", "xml"}, "--format 'xml' is none of table, json, csv"},
        {{"--detail", "time"}, "--detail is for dump, export and --batch"},
        {{"dump", "--detail", "all"}, "--detail 'all' is none of count, time, histogram"},
        {{"dump", "--detail", "count", "--sort", "time"}, "--sort time needs more than --detail"},
        {{"dump", "--detail", "time", "--histogram"}, "--histogram needs more than --detail time"},
        {{"dump", "--sort", "size"}, "--sort 'size' is none of name, code, count"},
        {{"dump", "--pid", "x"}, "--pid 'x' is not a whole number"},
        {{"dump", "-p", "-5"}, "--pid '-5' is not a whole number"},
        {{"export", "--uid", "root"}, "--uid 'root' is not a whole number from 0 to 4294967294"},
        {{"dump", "--uid", "-1"}, "--uid '-1' is not a whole number"},
        {{"dump", "--uid", "4294967295"}, "--uid '4294967295' is not a whole number"},
        {{"check", "--uid", "0"}, "unexpected '--uid'"},
        {{"dump", "-p", "0"}, "--pid '0' is not a whole number"},
        {{"dump", "--pid", "4294967297"}, "--pid '4294967297' is not a whole number"},
        {{"dump", "--max-vcpus", "32769"}, "from 1 to 32768"},
        {{"dump", "--max-vcpus", "0"}, "from 1 to 32768"},
        {{"dump", "--vm", ""}, "--vm needs a pattern"},
        {{"dump", "--attach", "kprobe"}, "is none of auto, raw, classic"},
        {{"dump", "--color", "red"}, "is none of auto, always, never"},
        {{"export"}, "export: no --textfile FILE.prom (or -) given; see 'exittop export --help'"},
        {{"export", "--textfile", "x"}, "'x' does not end in .prom"},
        {{"export", "--textfile", "-", "--interval", "0.5"},
         "--interval '0.5' is too short: 1s at"},
        {{"export", "--textfile", "-", "--interval", "-1"}, "--interval '-1' is negative"},
        {{"export", "--textfile", "-", "--interval", "5", "--duration", "1"}, "not both"},
        {{"export", "--textfile", "-", "--top-reasons", "0"}, "from 1 to 1000"},
        {{"export", "--textfile", "-", "--top-reasons", "-2"}, "--top-reasons '-2' is not a whole"},
        {{"export", "--textfile", "-", "x"}, "export: unexpected 'x'"},
        {{"export", "--textfile", "-", "--histograms", "--detail", "count"},
         "export: --histograms needs more than --detail count"},
        {{"dump", "--targets"}, "--targets needs a value"},
        {{"dump", "--targets", ""}, "--targets '' is no exit reason: all, rip, or reasons that"},
        {{"dump", "--targets", "npf,"}, "--targets '' is no exit reason"},
        {{"-b", "--targets", "msr_write,x\x1b[2J"}, "--targets 'x\\x1b[2J' is no exit reason"},
        {{"dump", "--targets", "all,rip"}, "--targets 'all' is no exit reason"},
        {{"dump", "--targets", "0x"}, "--targets '0x' is no exit reason"},
        {{"record", "-o", "a", "--targets", "99999999999"}, "is no exit reason"},
        {{"check", "--targets", "all"}, "check: unexpected '--targets'"},
        {{"leaves", "--vm", "*", "--targets", "all"}, "leaves: unexpected '--targets'"},
        {{"dump", "--target-memory", "1G"}, "dump: --target-memory requires --targets; see"},
        {{"record", "-o", "a", "--target-memory", "1G"}, "--target-memory requires --targets"},
        {{"export", "--textfile", "-", "--target-memory", "1G"}, "requires --targets"},
        {{"export", "--textfile", "-", "--top-targets", "5"}, "--top-targets requires --targets"},
        {{"--target-memory", "64MB"}, "--target-memory '64MB' is not a size: 64MiB, 128M, 1G"},
        {{"--target-memory", "-1M"}, "--target-memory '-1M' is negative"},
        {{"--target-memory", "2000G"}, "--target-memory '2000G' is too large: 1024GiB"},
        {{"export", "--textfile", "-", "--targets", "all", "--top-targets", "-1"},
         "--top-targets '-1' is not a whole number from 1 to 1000"},
        {{"check", "x"}, "check: unexpected 'x'"},
        {{"reasons", "--debug"}, "reasons: unexpected '--debug'"},
        {{"check", "--"}, "check: unexpected '--'"},
        {{"reasons", "a", "b"}, "reasons: unexpected 'b'"},
        {{"reasons", "a", "--targets", "b"}, "either a reason or --targets REASON, not both"},
        {{"reasons", "--targets", ""}, "--targets needs the name of a reason"},
        {{"reasons", "--isa", "arm"}, "--isa 'arm' is none of vmx, svm"},
        {{"reasons", "--format", "xml"}, "is none of table, json, csv"},
        {{"compare"}, "compare: no run given"},
        {{"compare", "a", "--normalize", "x"}, "none of none, time, count, guest-time"},
        {{"compare", "a", "--format", "html"}, "none of table, markdown, csv, json"},
        {{"record", "--", "true"}, "record: no file to write given (-o RUN)"},
        {{"record", "-o", "a", "--repeat", "0"}, "--repeat '0' is not a whole number"},
        {{"record", "-o", "a", "--repeat", "-3"}, "--repeat '-3' is not a whole number"},
        {{"record", "-o", "a", "--repeat", "2"}, "--repeat needs --duration or a command"},
        {{"record", "-o", "a", "sleep", "1"}, "exittop record -- COMMAND"},
        {{"record", "-o", "a", "--duration", "1", "--", "x"}, "record: either --duration or"},
        {{"import", "-o", "a"}, "import: one file to read must be given"},
        {{"import", "-o", "a", "b", "c"}, "import: one file to read must be given"},
        {{"import", "a"}, "import: no file to write given"},
        {{"experiment"}, "experiment: no command given"},
        {{"experiment", "--"}, "experiment: no command after '--'"},
    };
    for (const Case& c : cases) {
        const auto options = parse_words(c.words);
        ASSERT_FALSE(options) << c.text;
        const ParseExit& exit = options.error();
        EXPECT_EQ(exit.status, 2);
        EXPECT_TRUE(exit.to_stderr);
        EXPECT_TRUE(exit.text.starts_with("exittop: ")) << exit.text;
        EXPECT_EQ(std::ranges::count(exit.text, '\n'), 1) << exit.text;
        EXPECT_TRUE(exit.text.ends_with('\n'));
        EXPECT_NE(exit.text.find(c.text), std::string::npos) << exit.text;
    }
}

TEST(Options, HelpAndVersion) {
    std::string all;
    for (const Words& words : {Words{"--help"},
                               {"live", "--help"},
                               {"dump", "--help"},
                               {"export", "--help"},
                               {"check", "-h"},
                               {"leaves", "--help"},
                               {"reasons", "--help"},
                               {"record", "--help"},
                               {"compare", "--help"},
                               {"import", "--help"},
                               {"experiment", "--help"}}) {
        const auto options = parse_words(words);
        ASSERT_FALSE(options);
        EXPECT_EQ(options.error().status, 0);
        EXPECT_FALSE(options.error().to_stderr);
        all += options.error().text;
    }
    test::expect_golden("help.txt", all);
    const auto version = parse_words({"--version"});
    ASSERT_FALSE(version);
    EXPECT_EQ(version.error().status, 0);
    EXPECT_TRUE(version.error().text.starts_with("exittop "));
}

// What --help gives as examples must work: words up to a comment or a redirection.
TEST(Options, ExamplesInHelpAreTrue) {
    int examples = 0;
    for (const char* command : {"live", "dump", "export", "reasons", "record", "compare"}) {
        std::istringstream help(parse_words({command, "--help"}).error().text);
        for (std::string line; std::getline(help, line);) {
            if (!line.starts_with("  exittop ")) continue;
            line = line.substr(0, std::min(line.find("  ", 2), line.find(" >")));
            std::istringstream stream(line);
            std::vector<std::string> words;
            for (std::string word; stream >> word;) words.push_back(word);
            Words argv;
            for (const std::string& word : words) argv.push_back(word.c_str());
            const auto options = parse(argv);
            EXPECT_TRUE(options) << line << ": " << options.error().text;
            ++examples;
        }
    }
    EXPECT_EQ(examples, 19);
}

TEST(Options, Color) {
    EXPECT_TRUE(wants_color(ColorMode::automatic, true, false));
    EXPECT_FALSE(wants_color(ColorMode::automatic, true, true));
    EXPECT_FALSE(wants_color(ColorMode::automatic, false, false));
    EXPECT_TRUE(wants_color(ColorMode::always, false, true));
    EXPECT_FALSE(wants_color(ColorMode::never, true, false));
}

}  // namespace
}  // namespace exittop
