# SPDX-License-Identifier: GPL-2.0-only
"""`exittop lab` as its users start it: what it prints and keeps has the signature of hardware.

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
# Per vendor: reasons that grow from (at most) to (at least), reasons that vanish, reasons that stay.
_GROWS = {"amd": {"write_cr3": (0, 5000), "PF excp": (0, 5000), "invlpg": (0, 500)},
          "intel": {"CR_ACCESS": (100, 5000), "EXCEPTION_NMI": (10, 5000), "INVLPG": (0, 500)}}
_VANISHES = {"amd": {"npf"}, "intel": {"EPT_VIOLATION", "EPT_MISCONFIG"}}
_STAYS = {"amd": {"cpuid", "io"}, "intel": {"CPUID", "IO_INSTRUCTION"}}


def totals(path: Path) -> dict[str, int]:
    """Exits by reason of all VMs of a run."""
    result: dict[str, int] = {}
    for vm in json.loads(path.read_text())["vms"]:
        for vcpu in vm["vcpus"]:
            for stats in vcpu["exits"]:
                result[stats["reason"]] = result.get(stats["reason"], 0) + stats["count"]
    return result


def check(vendor: str, kept: Path, printed: str) -> None:
    nested = totals(kept / f"{vendor}-{_NESTED[vendor]}.json")
    shadow = totals(kept / f"{vendor}-shadow.json")
    for reason, (most, least) in _GROWS[vendor].items():
        if nested.get(reason, 0) > most or shadow.get(reason, 0) < least:
            raise Mismatch(f"{reason}: {nested.get(reason, 0)} -> {shadow.get(reason, 0)}")
    for reason in _VANISHES[vendor]:
        if not nested.get(reason) or shadow.get(reason, 0):
            raise Mismatch(f"{reason}: {nested.get(reason, 0)} -> {shadow.get(reason, 0)}")
    for reason in _STAYS[vendor]:
        if nested.get(reason) != shadow.get(reason):
            raise Mismatch(f"{reason}: {nested.get(reason, 0)} -> {shadow.get(reason, 0)}")
    for reason in set(nested) | set(shadow):
        if reason not in printed:
            raise Mismatch(f"{reason} was counted but is not in the tables")
    for word in ("RATIO", "new", "gone", f"{vendor}-shadow", "lost: nothing"):
        if word not in printed:
            raise Mismatch(f"the tables lack '{word}'")
    print(f"  {vendor}: {sum(nested.values())} -> {sum(shadow.values())} exits")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--vendor", required=True, choices=_NESTED)
    parser.add_argument("--exittop", required=True)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([options.exittop, "lab", options.vendor, "--keep", folder],
                              stdout=subprocess.PIPE, text=True, check=False)
        print(done.stdout)
        try:
            if done.returncode:
                raise Mismatch(f"exittop lab ended with status {done.returncode}")
            check(options.vendor, Path(folder), done.stdout)
        except Mismatch as mismatch:
            print(f"FAILED: {mismatch}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
