// SPDX-License-Identifier: GPL-2.0-only
// The examples are run by tests/cli/examples_test.py.
#include "commands/command_texts.h"

#include <array>

#include <fmt/format.h>

namespace exittop {

namespace {

template <typename T>
CommandOptions unless_told() {
    return T{};
}

constexpr std::array texts = {
    CommandText{unless_told<LiveOptions>, "live",
                "Show all VMs and refresh every second (default).", "exittop [live] [OPTIONS]",
                "If stdout is not a terminal, or with -b or --format json or csv, it prints each\n"
                "interval instead: a table, a line of JSON, or lines of CSV.\n"
                "\n"
                "Examples:\n"
                "  exittop live --vm 'web*' --delay 2s      some VMs, every two seconds\n"
                "  exittop -b -n 2 -d 500ms                 two tables of half a second each\n"
                "  exittop -n 3 --format json > run.jsonl   three lines of JSON\n"},
    CommandText{unless_told<DumpOptions>, "dump", "Attach, count, print once, detach.",
                "exittop dump [OPTIONS] [-- COMMAND [ARGS...]]",
                "Counts for --duration, or while COMMAND runs (and exits with its status), or\n"
                "until Ctrl-C. Ctrl-C sends COMMAND SIGTERM; after 5 s, or at the second Ctrl-C,\n"
                "SIGKILL.\n"
                "\n"
                "Examples:\n"
                "  exittop dump --duration 10s              all VMs, for ten seconds\n"
                "  exittop dump --vm 'web*' --histogram     some VMs, until Ctrl-C\n"
                "  exittop dump --format json -- sleep 5    as JSON, while a command runs\n"
                "  exittop dump --targets all --duration 5  which MSRs, ports, addresses, ...\n"},
    CommandText{unless_told<RecordOptions>, "record", "Count, and write a run to a file.",
                "exittop record [OPTIONS] -o RUN [-- COMMAND [ARGS...]]",
                "Counts as dump does. An existing file is kept unless --force is given. With\n"
                "--repeat the file has all repetitions, and compare tells differences from noise.\n"
                "\n"
                "Examples:\n"
                "  exittop record -o before.json --duration 10s\n"
                "  exittop record -o after.json --label tuned --duration 10s\n"
                "  exittop record -o sleep.json --repeat 5 -- sleep 1\n"},
    CommandText{unless_told<CompareOptions>, "compare", "Print runs side by side.",
                "exittop compare [OPTIONS] RUN...",
                "A RUN is a file that `exittop record` or `dump --format json` wrote. Deltas and\n"
                "ratios are to the first one.\n"
                "\n"
                "Examples:\n"
                "  exittop compare before.json after.json\n"
                "  exittop compare --normalize time --explain before.json after.json\n"
                "  exittop compare --format markdown before.json after.json > report.md\n"
                "  exittop compare --html report.html before.json after.json\n"},
    CommandText{unless_told<ImportOptions>, "import", "Import counts from another tool.",
                "exittop import [OPTIONS] -o RUN FILE",
                "FILE is a log with lines like \"exit number 48 exits = 35708\", or CSV with the\n"
                "reason's number first and a column of counts for each run, or CSV of exittop's\n"
                "own (dump or live --format csv).\n"},
    CommandText{unless_told<ExperimentOptions>, "experiment",
                "Compare a command with nested paging and without.",
                "exittop experiment [OPTIONS] -- COMMAND [ARGS...]",
                "Runs COMMAND, which must start a VM; reloads kvm_intel or kvm_amd with the\n"
                "other paging mode, runs it again, and loads the module as it was. Refuses\n"
                "while a VM runs; asks before it starts. Also counts what exits were about, and\n"
                "prints that of the reasons that grew most.\n"},
    CommandText{unless_told<ExportOptions>, "export",
                "Write metrics for Prometheus (node_exporter).",
                "exittop export --textfile FILE [OPTIONS]",
                "Writes FILE every --interval until a signal, then removes it; or once, after\n"
                "--duration, and leaves it. Replaces it atomically.\n"
                "\n"
                "Examples:\n"
                "  exittop export --textfile /var/lib/prometheus/node-exporter/exittop.prom\n"
                "  exittop export --textfile - --duration 5s --top-reasons 5   print, once\n"},
    CommandText{unless_told<CheckOptions>, "check",
                "Report what this host offers and what is missing.", "exittop check [OPTIONS]", ""},
    CommandText{
        unless_told<LeavesOptions>, "leaves", "Let guests read their own counts through CPUID.",
        "exittop leaves --vm GLOB [OPTIONS] [-- COMMAND [ARGS...]]",
        "Counts as dump does, and answers the CPUID leaves 0x4ffffffc to 0x4fffffff of the\n"
        "VMs that match, with their own counts. In a guest, exitleaf reads them. Needs KVM's\n"
        "modules with the patch in kernel/, loaded with kvm.cpuid_answer=1.\n"
        "\n"
        "Example:\n"
        "  exittop leaves --vm 'web*'               until Ctrl-C\n"},
    CommandText{unless_told<ReasonsOptions>, "reasons", "Explain exit reasons: cause and remedy.",
                "exittop reasons [OPTIONS] [NAME|NUMBER]",
                "Examples:\n"
                "  exittop reasons EPT_MISCONFIG\n"
                "  exittop reasons 48 --isa vmx\n"
                "  exittop reasons --targets EPT_MISCONFIG   the devices behind addresses\n"},
    CommandText{unless_told<LabOptions>, "lab", "Count in an emulated host; needs no VM.",
                "exittop lab [amd|intel] [OPTIONS]", ""},
};

}  // namespace

std::span<const CommandText> command_texts() { return texts; }

std::string help_hint(const CommandText& text) {
    return fmt::format("see 'exittop {} --help'", text.name);
}

}  // namespace exittop
