# SPDX-License-Identifier: GPL-2.0-only
"""Holds the instructions that counting an exit takes under recorded ceilings.

On one kernel, in an emulated host that counts instructions: they repeat exactly, so a ceiling a
quarter above what was measured shows a regression of a third and nothing else. The figures are
those of docs/cost.md; whoever makes it cheaper lowers them.
"""

import argparse
from pathlib import Path

import overhead
from overhead_tools import OWN

from lab_error import exit_with

_KERNEL = "6.1"
_CEILING = {"exittop-count": 248, "exittop-time": 491, "exittop-histogram": 508}
# With targets, by what the exit is about.
_TARGET_CEILING = {"cpuid": 774, "msr": 871, "port": 754, "doorbell": 884, "wbinvd": 551}


def _dearer_without_slot(runs: overhead.Runs) -> list[str]:
    """Loops that cost more without a slot: a user that fills the table would slow all others."""
    without, with_slot = (next(tool for tool in OWN if tool.name == name)
                          for name in ("exittop-full", "exittop-histogram"))
    wrong = []
    for loop in without.loops:
        costs = [overhead.cost(runs, tool, loop) for tool in (without, with_slot)]
        print(f"{loop}: {costs[0]:.0f} without a slot, {costs[1]:.0f} with one")
        if costs[0] > costs[1]:
            wrong.append(f"{loop} costs a vCPU without a slot more")
    return wrong


def _too_dear_by_target(runs: overhead.Runs) -> list[str]:
    """Kinds of exits that cost too much where targets are counted; and all of them where not."""
    wrong = []
    for name, ceilings in (("exittop-targets", _TARGET_CEILING),
                           ("exittop-histogram",
                            dict.fromkeys(_TARGET_CEILING, _CEILING["exittop-histogram"]))):
        tool = next(tool for tool in OWN if tool.name == name)
        costs = {loop: overhead.cost(runs, tool, loop) for loop in ceilings}
        print(f"{tool.title}: " + ", ".join(f"{loop} {cost:.0f}" for loop, cost in costs.items()))
        wrong += [f"{tool.title}: {loop} takes {cost:.0f}, more than {ceilings[loop]}"
                  for loop, cost in costs.items() if not 0 < cost <= ceilings[loop]]
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", type=Path, required=True)
    options = parser.parse_args()
    programs = {f"/bin/{name}": options.build / name
                for name in ("exittop", "floor", "exit_loop_vm")}
    runs = overhead.boot(_KERNEL, "amd", OWN, programs, None).runs
    wrong = []
    for tool in overhead.traced(OWN):
        cost = overhead.cost(runs, tool)
        print(f"{tool.title}: {cost:.0f} instructions per exit and entry")
        if cost > _CEILING.get(tool.name, cost):
            wrong.append(f"{tool.title} takes {cost:.0f}, more than {_CEILING[tool.name]}")
        if cost <= 0:
            wrong.append(f"{tool.title} was not measured")
        right = overhead.is_right(runs[tool.name, "cpuid"])
        if right not in ("yes", "-", "none, as it says"):
            wrong.append(f"{tool.title} counted wrong: {right}")
    wrong += _dearer_without_slot(runs)
    wrong += _too_dear_by_target(runs)
    for problem in wrong:
        print(f"FAILED: {problem}")
    return 1 if wrong else 0


if __name__ == "__main__":
    exit_with(main)
