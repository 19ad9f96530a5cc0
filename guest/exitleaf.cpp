// SPDX-License-Identifier: GPL-2.0-only
// exitleaf: in a guest, shows why this VM exits. `exittop leaves` on the host answers through
// CPUID.
//
// Static, and made of the standard libraries and the table of exit reasons alone, so that it runs
// wherever the guest's kernel runs programs at all; no privilege is needed. It finds the layout by
// asking for a reason that no manual defines: only leaves that take a reason refuse it, and each
// layout has such leaves in different places.
#include <cpuid.h>
#include <getopt.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "base/duration.h"
#include "model/exit_reason.h"
#include "model/leaf_layout.h"
#include "model/reason_tables.h"

namespace {

using namespace exittop;
using namespace std::chrono_literals;

constexpr int host_lacks = 77;

struct Registers {
    std::uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;

    [[nodiscard]] std::uint64_t wide() const { return std::uint64_t(ebx) << 32 | ecx; }
    /// The answer to a reason that is not defined.
    [[nodiscard]] bool refused() const {
        return eax == 0 && ebx == 0 && ecx == 0 && edx == undefined_answer;
    }
};

Registers read_leaf(unsigned leaf, std::uint32_t index = 0) {
    Registers got;
    __cpuid_count(EXITTOP_LEAF_BASE + leaf, index, got.eax, got.ebx, got.ecx, got.edx);
    return got;
}

bool in_vm() {
    Registers got;
    __cpuid(1, got.eax, got.ebx, got.ecx, got.edx);
    return (got.ecx >> 31 & 1) != 0;
}

const LeafLayout* find_layout() {
    const auto fits = [](const LeafLayout& layout) {
        for (unsigned leaf = 0; leaf < EXITTOP_LEAVES; ++leaf) {
            const bool takes_reason = (layout.meanings[leaf] & of_reason) != 0;
            if (read_leaf(leaf, undefined_reason).refused() != takes_reason) return false;
        }
        return true;
    };
    const auto found = std::ranges::find_if(leaf_layouts, fits);
    return found != leaf_layouts.end() ? &*found : nullptr;
}

/// Reads values by meaning, whichever leaf has them.
class Leaves {
public:
    explicit Leaves(const LeafLayout& layout) : meanings_(layout.meanings) {}

    [[nodiscard]] std::uint64_t exits(std::optional<std::uint32_t> reason = {}) const {
        const auto leaf = find(count_leaf, reason.has_value());
        const Registers got = read_leaf(leaf.value(), reason.value_or(0));
        return (meanings_[*leaf] & time_leaf) != 0 ? got.eax : got.wide();
    }
    /// Empty if the layout has no leaf for it.
    [[nodiscard]] std::optional<std::uint64_t> cycles(
        std::optional<std::uint32_t> reason = {}) const {
        const auto leaf = find(time_leaf, reason.has_value());
        if (!leaf) return std::nullopt;
        return read_leaf(*leaf, reason.value_or(0)).wide();
    }
    [[nodiscard]] bool defines(std::uint32_t reason) const {
        return !read_leaf(*find(count_leaf, true), reason).refused();
    }

private:
    [[nodiscard]] std::optional<unsigned> find(std::uint32_t kind, bool with_reason) const {
        for (unsigned leaf = 0; leaf < EXITTOP_LEAVES; ++leaf) {
            const bool takes_reason = (meanings_[leaf] & of_reason) != 0;
            if ((meanings_[leaf] & kind) != 0 && takes_reason == with_reason) return leaf;
        }
        return std::nullopt;
    }
    LeafMeanings meanings_;
};

/// The host's ISA, found with a reason of SVM that VMX does not define; the guest's own CPU model
/// may differ.
std::span<const ExitReason> reasons_of_host(const Leaves& leaves) {
    constexpr std::uint32_t read_dr3 = 0x23;
    return leaves.defines(read_dr3) ? svm_reasons() : vmx_reasons();
}

struct Row {
    const ExitReason* reason;
    std::uint64_t exits;
    std::optional<std::uint64_t> cycles;
};

/// The total is read first, so that it has no exits that are missing in its parts, except those of
/// reading.
struct Reading {
    std::uint64_t exits;
    std::optional<std::uint64_t> cycles;
    std::vector<Row> rows;
};

Reading read_all(const Leaves& leaves) {
    Reading reading{leaves.exits(), leaves.cycles(), {}};
    for (const ExitReason& reason : reasons_of_host(leaves)) {
        const std::uint64_t exits = leaves.exits(reason.code);
        if (exits != 0) reading.rows.push_back({&reason, exits, leaves.cycles(reason.code)});
    }
    std::ranges::stable_sort(reading.rows, std::greater{}, &Row::exits);
    return reading;
}

void print_number(std::optional<std::uint64_t> number) {
    if (number) {
        std::printf("  %20llu", static_cast<unsigned long long>(*number));
    } else {
        std::printf("  %20s", "-");
    }
}

/// With the previous reading, also prints the difference.
void print_table(const Reading& now, const Reading* before) {
    std::printf("%-28s  %20s  %20s", "REASON", "EXITS", "HOST CYCLES");
    std::printf(before ? "  %20s\n" : "\n", "NEW EXITS");
    const auto line = [&](const char* name, std::uint64_t exits,
                          std::optional<std::uint64_t> cycles, std::uint64_t earlier) {
        std::printf("%-28s", name);
        print_number(exits);
        print_number(cycles);
        if (before) print_number(exits - earlier);
        std::printf("\n");
    };
    for (const Row& row : now.rows) {
        std::uint64_t earlier = 0;
        for (const Row& old : before ? before->rows : std::vector<Row>{}) {
            if (old.reason == row.reason) earlier = old.exits;
        }
        line(row.reason->name.data(), row.exits, row.cycles, earlier);
    }
    line("total", now.exits, now.cycles, before ? before->exits : 0);
}

void print_json(const Reading& now, const LeafLayout& layout) {
    const auto fields = [](std::uint64_t exits, std::optional<std::uint64_t> cycles) {
        std::printf("\"exits\":%llu", static_cast<unsigned long long>(exits));
        if (cycles) std::printf(",\"cycles\":%llu", static_cast<unsigned long long>(*cycles));
    };
    std::printf("{\"schema\":\"exitleaf/1\",\"layout\":\"%s\",", layout.name.data());
    fields(now.exits, now.cycles);
    std::printf(",\"reasons\":[");
    for (const Row& row : now.rows) {
        std::printf("%s{\"reason\":\"%s\",\"code\":%u,", &row == now.rows.data() ? "" : ",",
                    row.reason->name.data(), row.reason->code);
        fields(row.exits, row.cycles);
        std::printf("}");
    }
    std::printf("]}\n");
}

/// All four leaves as read, whether or not the host answers them.
void print_raw(std::uint32_t index) {
    for (unsigned leaf = 0; leaf < EXITTOP_LEAVES; ++leaf) {
        const Registers got = read_leaf(leaf, index);
        std::printf("%08x %08x: %08x %08x %08x %08x\n", EXITTOP_LEAF_BASE + leaf, index, got.eax,
                    got.ebx, got.ecx, got.edx);
    }
}

struct Options {
    bool json = false;
    std::optional<std::chrono::nanoseconds> watch;
    std::optional<std::uint32_t> raw;
};

[[noreturn]] void fail(int status, const char* text) {
    std::fprintf(stderr, "exitleaf: %s\n", text);
    std::exit(status);
}

constexpr const char* help =
    "Why this VM exits, as its host tells through CPUID.\n"
    "Usage: exitleaf [--json] [--watch TIME] [--raw ECX]\n"
    "\n"
    "  --json        one JSON object a reading\n"
    "  --watch TIME  read again and again until Ctrl-C, and show what is new: every 500ms, 5s,\n"
    "                2m, or so many seconds\n"
    "  --raw ECX     the registers of the four leaves, for this ECX (0x for hex)\n"
    "\n"
    "Cycles are those of the host's TSC from each exit to the entry after it, all work of the\n"
    "host in between included. Reading causes exits itself: one for each number.\n"
    "Exit status: 0 done; 1 failed; 2 usage; 77 nobody answers.\n";

std::chrono::nanoseconds watch_value(const char* typed) {
    const auto duration = parse_duration(typed);
    if (duration && *duration >= 100ms && *duration <= 24h) return *duration;
    fail(2, "--watch takes a duration from 100ms to 24h, such as 500ms, 5s, 2m, or 5 (seconds)");
}

Options parse(int argc, char** argv) {
    static const option known[] = {{"json", no_argument, nullptr, 'j'},
                                   {"watch", required_argument, nullptr, 'w'},
                                   {"raw", required_argument, nullptr, 'r'},
                                   {"help", no_argument, nullptr, 'h'},
                                   {nullptr, 0, nullptr, 0}};
    Options options;
    char* end = nullptr;
    opterr = 0;
    for (int found = 0; (found = getopt_long(argc, argv, "h", known, nullptr)) != -1;) {
        switch (found) {
            case 'j': options.json = true; break;
            case 'w':
                options.watch = watch_value(optarg);
                break;
            case 'r': {
                const unsigned long long index = std::strtoull(optarg, &end, 0);
                if (end == optarg || *end != '\0' || *optarg == '-' || index > UINT32_MAX) {
                    fail(2, "--raw takes a number of 32 bits");
                }
                options.raw = static_cast<std::uint32_t>(index);
                break;
            }
            case 'h': std::fputs(help, stdout); std::exit(0);
            default: fail(2, "unknown option or missing value; see exitleaf --help");
        }
    }
    if (optind < argc) fail(2, "it takes no arguments; see exitleaf --help");
    if (options.raw && (options.json || options.watch)) fail(2, "--raw goes with nothing else");
    return options;
}

/// The layout in which the host answers; ends the program if the host does not answer.
const LeafLayout& require_layout() {
    if (!in_vm()) fail(host_lacks, "this is no virtual machine: run it in a guest");
    const LeafLayout* layout = find_layout();
    if (layout == nullptr) {
        fail(host_lacks, "the host answers no exit counts: it has to run exittop leaves, on a KVM "
                         "with exittop's patch, for this VM");
    }
    return *layout;
}

void flush() {
    if (std::fflush(stdout) != 0) fail(1, "cannot write to stdout");
}

int run(const Options& options) {
    if (options.raw) {
        print_raw(*options.raw);
        flush();
        require_layout();
        return 0;
    }
    std::optional<Reading> before;
    for (;;) {
        // Checked each time: the host may have stopped answering, or may now use another layout.
        const LeafLayout& layout = require_layout();
        Reading now = read_all(Leaves(layout));
        if (options.json) {
            print_json(now, layout);
        } else {
            if (options.watch && isatty(STDOUT_FILENO) == 1) std::fputs("\033[H\033[2J", stdout);
            print_table(now, before ? &*before : nullptr);
        }
        flush();
        if (!options.watch) return 0;
        std::this_thread::sleep_for(*options.watch);
        before = std::move(now);
    }
}

}  // namespace

int main(int argc, char** argv) { return run(parse(argc, argv)); }
