# SPDX-License-Identifier: GPL-2.0-only
"""`exittop lab` as users start it: its output and files show the same pattern as hardware.

Without nested paging the guest's page tables are KVM's business: loads of CR3, page faults and
INVLPG exit in great numbers, nested page faults are gone, CPUID stays as it was.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from counts import Mismatch

_NESTED = {"amd": "npt", "intel": "ept"}
# Per vendor: reasons that grow by orders of magnitude (new, or at least so many times as many), to
# at least so many exits; reasons that vanish; reasons that stay as they are.
_GROWS = {"amd": {"write_cr3": 5000, "PF excp": 5000, "invlpg": 500},
          "intel": {"CR_ACCESS": 5000, "EXCEPTION_NMI": 5000, "INVLPG": 500}}
_TIMES = 100
# QEMU from 9.1 on calls reads of CR3 read_cr0; the lab has to say so, and only there.
_READS = ("read_cr3", "read_cr0")
_LEAST_READS = 5000
_FAULT = "emulator: QEMU"
# What the extra exits are, as the table words it; the kinds of page faults are the same on both.
_FAULTS = ("#PF write kernel protection", "#PF read user", "#PF is a page fault: ")
_EXTRA = {"amd": _FAULTS, "intel": ("cr3 page table base write", *_FAULTS)}
_VANISHES = {"amd": {"npf"}, "intel": {"EPT_VIOLATION", "EPT_MISCONFIG"}}
_STAYS = {"amd": {"cpuid", "io"}, "intel": {"CPUID", "IO_INSTRUCTION"}}


def compare(exittop: str, runs: list[Path]) -> dict:
    """The comparison as JSON. Strictly: the two runs differ in nothing but their paging mode."""
    done = subprocess.run([exittop, "compare", "--strict", "--format", "json", *runs],
                          stdout=subprocess.PIPE, check=False)
    if done.returncode:
        raise Mismatch(f"exittop compare --strict ended with status {done.returncode}")
    return json.loads(done.stdout)


def check_signature(vendor: str, comparison: dict) -> None:
    rows = {row["reason"]: row["runs"] for row in comparison["reasons"]}

    def expect(reason: str, right: bool) -> None:
        if not right:
            raise Mismatch(f"{reason}: {[run['count'] for run in rows.get(reason, [])]}")

    for reason, least in _GROWS[vendor].items():
        nested, shadow = rows.get(reason, [{"count": 0}, {"count": 0}])
        grown = shadow.get("change") == "new" or shadow.get("ratio", 0) >= _TIMES
        expect(reason, grown and shadow["count"] >= least)
    for reason in _VANISHES[vendor]:
        expect(reason, reason in rows and rows[reason][1].get("change") == "gone")
    for reason in _STAYS[vendor]:
        expect(reason, reason in rows and rows[reason][1]["delta"] == 0)
    reads = sum(rows[reason][1]["count"] for reason in _READS if reason in rows)
    if vendor == "amd" and reads < _LEAST_READS:
        raise Mismatch(f"{' + '.join(_READS)}: {reads}")


def check_fault(vendor: str, comparison: dict, printed: str, page: str) -> None:
    """Tables and page say that QEMU misnames reads of CR3, if it does."""
    reasons = {row["reason"] for row in comparison["reasons"]}
    is_there = vendor == "amd" and "read_cr3" not in reasons
    for what, text in (("the table", printed), ("the page", page)):
        if (_FAULT in text) != is_there:
            raise Mismatch(f"{what} says {'nothing ' if is_there else ''}of {_FAULT}")


def check(vendor: str, exittop: str, kept: Path, printed: str) -> None:
    nested = _NESTED[vendor]
    comparison = compare(exittop, [kept / f"{vendor}-{nested}.json",
                                   kept / f"{vendor}-shadow.json"])
    check_signature(vendor, comparison)
    for run, paging in zip(comparison["runs"], (nested, "shadow"), strict=True):
        if run["facts"]["paging"] != paging:
            raise Mismatch(f"{run['label']} was measured to use {run['facts']['paging']}")
    for word in ("DELTA", "RATIO", "new", "gone", f"{nested}=1", f"{nested}=0", "lost: nothing",
                 *_EXTRA[vendor], *(row["reason"] for row in comparison["reasons"])):
        if word not in printed:
            raise Mismatch(f"the tables lack '{word}'")
    page = (kept / "page.html").read_text()
    for word in ("</html>", f"{nested}=0",
                 *(f">{row['reason']}<" for row in comparison["reasons"])):
        if word not in page:
            raise Mismatch(f"the page lacks '{word}'")
    check_fault(vendor, comparison, printed, page)
    counts = [run["count"] for run in comparison["total"]]
    print(f"  {vendor}: {counts[0]:.0f} -> {counts[1]:.0f} exits")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--vendor", required=True, choices=_NESTED)
    parser.add_argument("--exittop", required=True)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([options.exittop, "lab", options.vendor, "--keep", folder,
                               "--html", f"{folder}/page.html"],
                              stdout=subprocess.PIPE, text=True, check=False)
        print(done.stdout)
        try:
            if done.returncode:
                raise Mismatch(f"exittop lab ended with status {done.returncode}")
            check(options.vendor, options.exittop, Path(folder), done.stdout)
        except Mismatch as mismatch:
            print(f"FAILED: {mismatch}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
