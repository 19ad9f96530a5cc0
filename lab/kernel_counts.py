# SPDX-License-Identifier: GPL-2.0-only
"""Reads the kernel's own count of VM exits, as kernel_counts.sh writes it in a job."""

import re
import sys
from collections import Counter
from typing import NamedTuple

from lab_error import LabError

_ROW = re.compile(r"\{\s*(.*?)\s*\}\s*hitcount:\s*(\d+)")
_WAIT_ROW = re.compile(r"\{\s*common_pid:\s*(\d+)\s*\}\s*hitcount:\s*\d+\s+ns:\s*(\d+)")
_ISA = re.compile(r"^isa: (\d)", re.MULTILINE)
_TOTAL = re.compile(r"^\s*(Hits|Entries|Dropped):\s*(\d+)", re.MULTILINE)


class ExitKey(NamedTuple):
    """Whose exit, and why: thread, vCPU number, 1 for VMX or 2 for SVM, the hardware's reason."""
    tid: int
    vcpu: int
    isa: int
    reason: int


def _hits(text: str) -> int:
    """All counts; LabError if the kernel itself lost some, because then nothing can be compared."""
    totals = {name: int(number) for name, number in _TOTAL.findall(text)}
    if "Hits" not in totals or "Dropped" not in totals:
        raise LabError("the kernel's own count is incomplete: it has no totals")
    if totals["Dropped"]:
        raise LabError(f"the kernel's own count lost {totals['Dropped']} events")
    return totals["Hits"]


def parse(text: str) -> dict[ExitKey, int]:
    """The counts of exits."""
    hits = _hits(text)
    host_isa = _ISA.search(text)
    counts: dict[ExitKey, int] = {}
    for keys, number in _ROW.findall(text):
        field = dict(re.findall(r"(\w+):\s*(-?\w+)", keys))
        key = ExitKey(int(field["common_pid"]), int(field["vcpu_id"]),
                      int(host_isa[1] if host_isa else field["isa"]),
                      int(field["exit_reason"], 0) & 0xffffffff)
        counts[key] = counts.get(key, 0) + int(number)
    if sum(counts.values()) != hits:
        raise LabError(f"the kernel counted {hits} exits but lists {sum(counts.values())}")
    return counts


def histograms(text: str) -> list[tuple[dict[str, int], int]]:
    """The rows of several histograms: a row's keys and their values, and how often it was hit."""
    totals = Counter()
    for name, number in _TOTAL.findall(text):
        totals[name] += int(number)
    if totals["Dropped"]:
        raise LabError(f"the kernel's own count lost {totals['Dropped']} events")
    rows = [({name: int(value, 0) for name, value in re.findall(r"(\w+):\s*(-?\w+)", keys)},
             int(number)) for keys, number in _ROW.findall(text)]
    if not rows or totals["Hits"] != sum(number for _, number in rows):
        raise LabError(f"the kernel counted {totals['Hits']} events but lists {len(rows)} rows")
    return rows


def parse_waits(text: str) -> dict[int, int]:
    """Nanoseconds that the vCPU of each thread waited in HLT."""
    waits = {int(tid): int(ns) for tid, ns in _WAIT_ROW.findall(text)}
    if _hits(text) and not waits:
        raise LabError("the kernel's own times of waits cannot be read")
    return waits


if __name__ == "__main__":
    try:
        for exit_key, count in sorted(parse(sys.stdin.read()).items()):
            print(*exit_key, count)
    except LabError as problem:
        sys.exit(f"exittop: {problem}")
