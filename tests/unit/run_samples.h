// SPDX-License-Identifier: GPL-2.0-only
// Made-up runs that tests of comparisons share.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "model/run.h"
#include "samples.h"

namespace exittop::test {

/// One VM with one vCPU under that paging mode, and these exits.
inline Snapshot make_repeat(Paging paging, std::vector<ExitStats> exits) {
    Snapshot snapshot = make_snapshot();
    snapshot.host.paging = paging;
    snapshot.host.parameters["kvm_intel.ept"] = paging == Paging::ept ? "Y" : "N";
    snapshot.vms.resize(1);
    snapshot.vms[0].paging = paging;
    snapshot.vms[0].vcpus = {{{0, 1, 4'000'000'000}, std::move(exits)}};
    return snapshot;
}

inline Run make_run(std::string label, Paging paging, std::vector<ExitStats> exits) {
    Run run;
    run.label = std::move(label);
    run.version = "0.1.0";
    run.repeats.push_back(make_repeat(paging, std::move(exits)));
    return run;
}

inline Run make_ept_run() {
    return make_run("ept=1", Paging::ept,
                    {make_exits(10, {{1'000, 424}}), make_exits(12, {{2'000, 10}}),
                     make_exits(48, {{2'000, 49}})});
}

/// The same two runs counted by target: what shadow paging's exits are about.
inline Run make_ept_run_with_targets() {
    Run run = make_ept_run();
    std::vector<ExitStats>& exits = run.repeats[0].vms[0].vcpus[0].exits;
    add_targets(exits[0], {{"leaf 0x1", 300}, {"leaf 0x4.0", 100}}, 24);
    add_targets(exits[1], {}, 0, 10, "it has none");
    add_targets(exits[2], {{"page 0x1000 write", 40}, {"page 0x7f3a1000 read", 9}});
    return run;
}

inline Run make_shadow_run_with_targets() {
    Run run = make_run("ept=0", Paging::shadow,
                       {make_exits(0, {{1'000, 90'665}}), make_exits(10, {{1'000, 424}}),
                        make_exits(12, {{2'000, 253}}), make_exits(28, {{3'000, 30'000}})});
    std::vector<ExitStats>& exits = run.repeats[0].vms[0].vcpus[0].exits;
    add_targets(exits[0], {{"#PF write user", 50'000},
                           {"#PF read user", 20'000},
                           {"#PF read kernel", 11'000},
                           {"#PF write kernel protection", 5'000},
                           {"#PF fetch user", 2'000},
                           {"#PF write user protection", 1'000},
                           {"#PF write kernel", 900},
                           {"#PF read user protection", 500},
                           {"#PF fetch user protection", 150},
                           {"#UD", 100},
                           {"#NM", 10},
                           {"#DB", 5}});
    add_targets(exits[1], {{"leaf 0x1", 310}, {"leaf 0xd.1", 114}});
    add_targets(exits[2], {}, 0, 253, "it has none");
    add_targets(exits[3], {{"cr0 write", 600}, {"cr3 write", 29'000}, {"cr4 write", 400}});
    return run;
}

inline Run make_shadow_run() {
    return make_run("ept=0", Paging::shadow,
                    {make_exits(0, {{1'000, 120'665}}), make_exits(10, {{1'000, 424}}),
                     make_exits(12, {{2'000, 253}})});
}

}  // namespace exittop::test
