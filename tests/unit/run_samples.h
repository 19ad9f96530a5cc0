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

inline Run make_shadow_run() {
    return make_run("ept=0", Paging::shadow,
                    {make_exits(0, {{1'000, 120'665}}), make_exits(10, {{1'000, 424}}),
                     make_exits(12, {{2'000, 253}})});
}

}  // namespace exittop::test
