// SPDX-License-Identifier: GPL-2.0-only
// The checked command line. Each command has its own struct, made of parts that several commands
// share.
#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "analysis/comparison.h"
#include "capture/attach_variant.h"
#include "model/exit_reason.h"
#include "model/leaf_layout.h"
#include "model/snapshot.h"
#include "model/target.h"
#include "output/batch_format.h"

namespace exittop {

enum class ReportFormat { table, markdown, csv, json };
enum class ColorMode { automatic, always, never };

/// Which VMs; all by default.
struct Selection {
    std::optional<std::uint32_t> pid{};  ///< Of the VMM's process.
    std::optional<std::uint32_t> uid{};  ///< Effective uid of that process.
    std::string vm_glob{};               ///< Pattern of the VM's name; empty: any name.
};

/// How exits are counted.
struct CountingOptions {
    CountDetail detail = CountDetail::histogram;
    AttachChoice attach = AttachChoice::automatic;
    std::uint32_t max_vcpus = 4096;  ///< vCPUs to reserve memory for.
    bool no_wait = false;            ///< Fail, not wait, if KVM's vendor module is not loaded.
    /// Reasons that are counted by target; none: none. parse() then sets `detail` to time at least.
    std::optional<TargetChoice> targets{};
    bool targets_later = false;    ///< They may be switched on while exits are counted.
    bool targets_if_able = false;  ///< Count without them where they cannot be counted.
    std::uint64_t target_memory =
        default_target_memory;  ///< Most kernel memory for that, in bytes.
};

/// How long to count: for a time, while a command runs, or (neither) until a signal. Not both.
struct Work {
    std::optional<std::chrono::nanoseconds> duration;
    std::vector<std::string> command;  ///< With its arguments; empty: none.
};

/// The run file to write.
struct RunFileOptions {
    std::string path;
    bool force = false;  ///< Replace an existing file.
    std::string label;   ///< Name of the run; empty: that of the file.
    std::string note;
};

/// How runs are compared, and how that is printed.
struct ComparisonOptions {
    ReportFormat format = ReportFormat::table;
    Basis normalize = Basis::count;  ///< What counts are divided by.
    bool explain = false;            ///< Add the cause of each reason.
    bool targets = false;            ///< Add what exits of each reason were about.
    bool extra_targets = false;      ///< Else: only that of exits that a run has more of.
    std::string html{};              ///< Page to write; empty: none.
    bool force = false;              ///< Replace an existing page.
};

struct LiveOptions {
    std::chrono::nanoseconds delay = std::chrono::seconds(1);
    std::optional<std::uint64_t> iterations;  ///< Nothing: until a key or signal.
    bool batch = false;                       ///< Print intervals, even on a terminal.
    Format format = Format::table;
    std::string sort = "count";  ///< Key of fields().
    std::string baseline;        ///< Run file to show ratios to; empty: none.
    bool ascii = false;          ///< Draw with ASCII characters only.
    Selection vms;
    CountingOptions counting;
};

struct DumpOptions {
    Work work;
    bool histogram = false;  ///< Also print the distributions of times.
    bool per_vcpu = false;
    Format format = Format::table;
    std::string sort = "count";  ///< Key of fields().
    Selection vms;
    CountingOptions counting;
};

struct LeavesOptions {
    /// `dump.vms` are those that may read their counts; its pattern is not empty.
    DumpOptions dump;
    LeafMeanings layout = leaf_layouts[1].meanings;
};

struct RecordOptions {
    RunFileOptions file;
    Work work;
    std::uint32_t repeats = 1;
    Selection vms;
    CountingOptions counting;
};

struct CompareOptions {
    std::vector<std::string> runs;  ///< Files, at least one.
    ComparisonOptions comparison;
    bool strict = false;  ///< Fail if there are warnings.
};

struct ImportOptions {
    std::string input;
    RunFileOptions file;
    std::string column;  ///< Heading of the column of counts; empty: the only one.
    Isa isa = Isa::vmx;  ///< Whose reason numbers the text has.
};

/// Whether an experiment counts targets.
struct TargetWish {
    bool is_told = false;  ///< Not by default: it fails without them.
    std::optional<TargetChoice> choice = TargetChoice{};
};

struct ExperimentOptions {
    std::vector<std::string> command;  ///< Not empty.
    std::uint32_t repeats = 1;
    std::string keep;    ///< Folder for both runs; empty: none.
    bool yes = false;    ///< Do not ask.
    TargetWish targets;  ///< parse() then sets those of `counting`.
    ComparisonOptions comparison{.extra_targets = true};
    CountingOptions counting;
};

struct ExportOptions {
    std::string textfile;                              ///< "-" is stdout.
    std::optional<std::chrono::nanoseconds> interval;  ///< Nothing: the default, or once.
    std::optional<std::chrono::nanoseconds> duration;  ///< Write once, after this time.
    std::uint32_t top_reasons = 20;  ///< Reasons per VM that have series of their own.
    std::uint32_t top_targets = 10;  ///< Targets per VM and reason that have series of their own.
    bool histograms = false;         ///< Asked for; parse() then sets counting.detail.
    bool per_vcpu = false;
    bool measure = false;  ///< Let the kernel measure what the BPF programs cost.
    Selection vms;
    CountingOptions counting{.detail = CountDetail::time};
};

struct CheckOptions {
    std::optional<std::chrono::nanoseconds> duration;
    CountingOptions counting;
};

struct ReasonsOptions {
    std::string reason;      ///< Name or number; empty: all.
    std::string targets_of;  ///< The reason whose targets are listed instead; empty: none.
    std::optional<Isa> isa;  ///< Nothing: both.
    Format format = Format::table;
};

struct LabOptions {
    std::vector<std::string> arguments;  ///< Everything after the word, untouched.
};

using CommandOptions = std::variant<LiveOptions, DumpOptions, RecordOptions, CompareOptions,
                                    ImportOptions, ExperimentOptions, ExportOptions, CheckOptions,
                                    LeavesOptions, ReasonsOptions, LabOptions>;

struct Options {
    CommandOptions command{};
    ColorMode color = ColorMode::automatic;
    bool debug = false;  ///< Print what libbpf and the verifier say.
};

/// A command line that only prints a text: help, version, or an error.
struct ParseExit {
    std::string text;  ///< Ended by a newline.
    int status = 0;    ///< 0 for help and version, 2 for usage.
    bool to_stderr = false;
};

/// Reads a whole argv, the program's name included.
[[nodiscard]] std::expected<Options, ParseExit> parse(std::span<const char* const> argv);

/// Whether to write colour, given where it goes to and whether NO_COLOR is set and not empty.
bool wants_color(ColorMode mode, bool is_terminal, bool no_color);

}  // namespace exittop
