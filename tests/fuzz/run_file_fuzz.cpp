// SPDX-License-Identifier: GPL-2.0-only
// A file that a user hands to exittop may hold anything. Whatever it is, it is refused in one line,
// or it is a run that is written as it was read and that every output can print.
//
// To look for more (clang++-19, libclang-rt-19-dev):
//     cmake --preset fuzz && cmake --build --preset fuzz
//     build/fuzz/run_file_fuzz -max_total_time=300 /tmp/found tests/fuzz/corpus
#include "run_file_fuzz.h"

#include <cstdlib>
#include <string>
#include <string_view>

#include "output/compare.h"
#include "output/import.h"
#include "output/json.h"
#include "output/json_input.h"
#include "output/table.h"

namespace {

void require(bool right) {
    if (!right) std::abort();
}

bool is_one_clean_line(std::string_view text) {
    for (const char c : text) {
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return false;
    }
    return !text.empty();
}

void print_all(const exittop::Run& run) {
    using namespace exittop;
    const std::vector<Run> runs = {run, run};
    for (const Basis basis : {Basis::count, Basis::time, Basis::share, Basis::guest_time}) {
        const Comparison comparison = compare_runs(runs, basis);
        for (const std::string& text :
             {compare_table(comparison, true, {}), compare_markdown(comparison, true),
              compare_csv(comparison, true), to_json(comparison)}) {
            require(text.find('\x1b') == std::string::npos);
        }
    }
    for (const Snapshot& snapshot : run.repeats) {
        require(dump_table(snapshot, {.histogram = true}).find('\x1b') == std::string::npos);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const auto run = exittop::from_json(text);
    if (run) {
        const std::string written = exittop::to_json(*run);
        const auto again = exittop::from_json(written);
        require(again.has_value());
        require(exittop::to_json(*again) == written);
        print_all(*run);
        return 0;
    }
    require(is_one_clean_line(run.error()));
    const auto imported = exittop::import_counts(text, {});
    if (imported) {
        require(exittop::from_json(exittop::to_json(*imported)).has_value());
        print_all(*imported);
    } else {
        require(is_one_clean_line(imported.error()));
    }
    return 0;
}
