# SPDX-License-Identifier: GPL-2.0-only
"""Holds the instructions that counting an exit takes under recorded ceilings.

On one kernel, in an emulated host that counts instructions: they repeat exactly, so each ceiling is
three above what was measured, clang 14's or 19's. The figures are those of docs/cost.md; whoever
makes it cheaper lowers them.
"""

import argparse
import math
from pathlib import Path

import overhead
from overhead_tools import OWN, Tool

from lab_error import exit_with

_KERNEL = "6.1"
# By tool and what the exit is about: a port and a doorbell in the kernel, an exit without a target.
_CEILINGS = {
    "exittop-count": {"cpuid": 201},
    "exittop-time": {"cpuid": 397},
    "exittop-histogram": {"cpuid": 409, "msr": 409, "port": 409, "doorbell": 415, "wbinvd": 409},
    "exittop-targets": {"cpuid": 631, "msr": 685, "port": 589, "doorbell": 609, "wbinvd": 417},
}


def _too_dear(runs: overhead.Runs, tool: Tool) -> list[str]:
    """Loops with which a tool costs more than it may, or nothing."""
    ceilings = _CEILINGS.get(tool.name, {"cpuid": math.inf})
    costs = {loop: overhead.cost(runs, tool, loop) for loop in ceilings}
    print(f"{tool.title}: " + ", ".join(f"{loop} {cost:.0f}" for loop, cost in costs.items()))
    return [f"{tool.title}: {loop} takes {cost:.0f} instructions, not up to {ceilings[loop]}"
            for loop, cost in costs.items() if not 0 < cost <= ceilings[loop]]


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


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", type=Path, required=True)
    options = parser.parse_args()
    programs = {f"/bin/{name}": options.build / name
                for name in ("exittop", "floor", "exit_loop_vm")}
    runs = overhead.boot(_KERNEL, "amd", OWN, programs, None).runs
    wrong = []
    for tool in overhead.traced(OWN):
        wrong += _too_dear(runs, tool)
        right = overhead.is_right(runs[tool.name, "cpuid"])
        if right not in ("yes", "-", "none, as it says"):
            wrong.append(f"{tool.title} counted wrong: {right}")
    wrong += _dearer_without_slot(runs)
    for problem in wrong:
        print(f"FAILED: {problem}")
    return 1 if wrong else 0


if __name__ == "__main__":
    exit_with(main)
