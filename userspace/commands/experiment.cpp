// SPDX-License-Identifier: GPL-2.0-only
#include "commands/experiment.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <csignal>
#include <cstdio>
#include <iostream>
#include <utility>

#include "base/text.h"
#include "commands/check.h"
#include "commands/record.h"
#include "system/vendor_module.h"
#include "system/workload.h"

namespace exittop {
namespace {

using namespace std::chrono_literals;

std::string plan(const VendorModule& module, const ExperimentOptions& options) {
    const std::string command = sanitise(fmt::format("{}", fmt::join(options.command, " ")), 200);
    const std::string times =
        options.repeats > 1 ? fmt::format(", {} times", options.repeats) : std::string{};
    const int now = module.had_nested_paging() ? 1 : 0;
    return fmt::format("exittop experiment, on this host:\n"
                       "  1. run and count{0}: {1}\n"
                       "  2. unload {2}, load it with {3}={4} (now {3}={5})\n"
                       "  3. run and count the same again{0}\n"
                       "  4. unload {2}, load it as it is now\n"
                       "No VM can run meanwhile but those of the command.\n",
                       times, command, module.name(), module.paging_parameter(), 1 - now, now);
}

bool agrees() {
    std::fputs("Continue? [y/N] ", stderr);
    std::string answer;
    std::getline(std::cin, answer);
    return answer == "y" || answer == "Y" || answer == "yes";
}

/// A run in the module's current mode; valid only if nothing failed in it.
std::expected<Run, Error> record_mode(const Host& host, const VendorModule& module, bool nested,
                                      const ExperimentOptions& options, Signals& signals) {
    const std::string label = fmt::format("{}={}", module.paging_parameter(), nested ? 1 : 0);
    while (const auto number = signals.wait(0ms)) {
        if (*number != SIGCHLD) return failed("interrupted");
    }
    RecordOptions wanted;
    wanted.file.label = label;
    wanted.work.command = options.command;
    wanted.repeats = options.repeats;
    wanted.counting = options.counting;
    auto recorded = record_run(host, wanted);
    if (!recorded) return std::unexpected(recorded.error());
    std::string flaw;
    if (recorded->workload_status != 0) {
        flaw = fmt::format("the command ended with status {}", recorded->workload_status);
    } else if (recorded->run.repeats.front().vms.empty()) {
        flaw = "the command started no VM";
    }
    if (recorded->interrupted) flaw = "interrupted";
    if (flaw.empty()) return std::move(recorded->run);
    return failed("the run with {}: {}", label, flaw);
}

}  // namespace

std::expected<std::vector<Run>, Error> run_experiment(const Host& host,
                                                      const ExperimentOptions& options) {
    if (auto able = require_host(host); !able) return std::unexpected(able.error());
    auto module = VendorModule::find(host);
    if (!module) return std::unexpected(module.error());
    std::fputs(plan(*module, options).c_str(), stderr);
    if (!options.yes && !agrees()) {
        return failed("not started: you did not agree (--yes does not ask)");
    }

    Signals signals;  // From here on, no signal ends exittop half-way.
    std::signal(SIGQUIT, SIG_IGN);
    const bool nested = module->had_nested_paging();
    std::vector<Run> runs;
    for (const bool mode : {nested, !nested}) {
        if (mode != nested) {
            if (auto done = module->reload(mode); !done) return std::unexpected(done.error());
        }
        auto run = record_mode(host, *module, mode, options, signals);
        if (!run) return std::unexpected(run.error());
        runs.push_back(std::move(*run));
    }
    if (auto done = module->restore(); !done) return std::unexpected(done.error());
    return runs;
}

}  // namespace exittop
