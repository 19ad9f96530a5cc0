// SPDX-License-Identifier: GPL-2.0-only
// The command line: what the user asked for, checked.
#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "analysis/comparison.h"
#include "capture/attach_variant.h"
#include "model/exit_reason.h"
#include "model/leaf_layout.h"
#include "output/batch_format.h"

namespace exittop {

enum class Subcommand {
    live, dump, record, compare, import, experiment, export_metrics, check, leaves, reasons, lab
};
enum class ReportFormat { table, markdown, csv, json };
enum class ColorMode { automatic, always, never };

struct Options {
    Subcommand command = Subcommand::live;
    /// dump, record, export, leaves: how long to count; nothing: until Ctrl-C, or while `workload`
    /// runs.
    std::optional<std::chrono::nanoseconds> duration;
    /// dump, record, experiment, leaves: the command to run and count for, with its arguments;
    /// empty: none.
    std::vector<std::string> workload;
    /// live: time from one refresh, or one interval of the batch, to the next.
    std::chrono::nanoseconds delay = std::chrono::seconds(1);
    /// live: end after so many of them; nothing: on a key or signal.
    std::optional<std::uint64_t> iterations;
    /// live: print intervals one after another, whether or not stdout is a terminal.
    bool batch = false;
    /// live: a run file whose values are shown beside the present ones; empty: none.
    std::string baseline;
    /// live: draw with ASCII characters alone.
    bool ascii = false;
    /// live, dump, leaves, reasons: how to print.
    Format format = Format::table;
    /// live, dump, leaves: the field to sort by, a key of fields().
    std::string sort = "count";
    /// dump, leaves: also print the distribution of times of each reason.
    bool histogram = false;
    /// live (as a batch), dump: how much to count.
    CountDetail detail = CountDetail::histogram;
    /// dump, export, leaves: split by vCPU.
    bool per_vcpu = false;
    /// export: the file to write, "-" for stdout.
    std::string textfile;
    /// export: time from one update of it to the next; nothing: the default, or once.
    std::optional<std::chrono::nanoseconds> interval;
    /// export: how many reasons of a VM have series of their own.
    std::uint32_t top_reasons = 20;
    bool histograms = false;  ///< export: asked for; `detail` is that of histograms then.
    /// export: ask the kernel to measure what the BPF programs cost.
    bool measure = false;
    /// live, dump, record, export, leaves: only VMs of this process.
    std::optional<std::uint32_t> pid;
    /// The same: only VMs whose VMM's process has this effective uid.
    std::optional<std::uint32_t> uid;
    /// live, dump, record, export: only VMs whose name matches this pattern; empty: all. leaves:
    /// those that may read their counts, never empty.
    std::string vm_glob;
    /// Whatever counts, check: vCPUs there is room for.
    std::uint32_t max_vcpus = 4096;
    /// live, dump, record, export, leaves: fail, not wait, where KVM's vendor module is not loaded.
    bool no_wait = false;
    /// Whatever counts, check: which tracepoints to use; automatic decides by the kernel's BTF.
    AttachChoice attach = AttachChoice::automatic;
    /// Whatever counts, check: print all that libbpf and the kernel's verifier say.
    bool debug = false;
    /// Where it prints: colour; automatic: on terminals, unless NO_COLOR is set.
    ColorMode color = ColorMode::automatic;
    /// leaves: what each leaf means; the layout named "2021".
    LeafMeanings layout = leaf_layouts[1].meanings;
    /// reasons: a name or number; empty: all.
    std::string reason;
    /// reasons: only of this ISA; nothing: of both.
    std::optional<Isa> isa;
    /// compare: run files, at least one; import: the file to read.
    std::vector<std::string> runs;
    /// record, import: the run file to write; experiment: the folder for both runs, or empty.
    std::string output;
    /// compare, experiment: also write the comparison to this file, as an HTML page; empty: do not.
    std::string html;
    /// record, import, and for `html`: replace a file that is there.
    bool force = false;
    /// record, import: what the run is called, and what there is to say of it.
    std::string label;
    std::string note;
    /// record, experiment: how many times to do the same.
    std::uint32_t repeats = 1;
    /// compare, experiment: how to print.
    ReportFormat report_format = ReportFormat::table;
    /// compare, experiment: what counts are divided by.
    Basis normalize = Basis::count;
    /// compare, experiment: say of each reason what causes it.
    bool explain = false;
    /// compare: fail where the runs are not comparable.
    bool strict = false;
    /// import: the column of counts to take, by its heading; empty: the only one.
    std::string column;
    /// import: whose reason numbers the text has.
    Isa import_isa = Isa::vmx;
    /// experiment: do not ask.
    bool yes = false;
    /// lab: everything after the word, untouched.
    std::vector<std::string> lab_arguments;
};

/// A command line that leads to a text and an end: help, version, or what is wrong with it.
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
