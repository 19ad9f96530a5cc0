# SPDX-License-Identifier: GPL-2.0-only
"""Targets are the same in each way to attach: one run of the same guest by the kernel's BTF, by raw
tracepoints and by classic ones. In each all completed exits are counted by target, and the targets
are those of what the guest did."""

import json
import sys
from collections import Counter

import harness
from counts import INTERRUPTS, Mismatch, check_kvm_count, lost
from targets_test import Mode, check_guest, guests_by_thread

import workloads
from emulated_host import Job, Result
from target_counts import check_vcpu, known

_WAYS = ("auto", "raw", "classic")
_ISA = {"intel": 1, "amd": 2}

_SCRIPT = r"""
cat >/tmp/guest.sh <<'END'
exec target_vm cpuid:0:0:21 cpuid:4:1:5 cpuid:1:7:2 rdmsr:0x1a0:11 \
    wrmsr:0x277:0x7040600070406:9 rdmsr:0x277:2 out:0x80:1:13 out:0x70:2:4 in:0x71:1:4 cr4:5 \
    mmio-read:0xe0001234:4 mmio-write:0xe0001238:1 touch:0x400000:10 hypercall:1:6 hypercall:99:2 \
    >/out/$1.guests
END
load_kvm 1
for way in $WAYS; do
    step "attach: $way"
    exittop dump --attach $way --targets all --format json -- /bin/busybox sh /tmp/guest.sh $way \
        >/out/$way.json 2>/out/$way.err || exit 1
done
"""


def targets_of(vcpu: dict, isa: int) -> dict[int, Counter]:
    """By exit code; interrupts come when they like."""
    return {stats["code"]: known(stats) + Counter(unknown=stats["targets_unknown"]["count"])
            for stats in vcpu["exits"]
            if "targets" in stats and stats["code"] not in INTERRUPTS[isa]}


def check(result: Result, kernel: str, vendor: str) -> None:
    may_lose = {"split_missed"} if kernel.startswith("7.") else set()
    expected = None if kernel == "5.10" else {}     # no BTF of the vendor's module
    first = None
    for way in _WAYS:
        run = json.loads(result.text(f"{way}.json"))
        guests = guests_by_thread(result.text(f"{way}.guests"))
        vcpus = [vcpu for vm in run["vms"] for vcpu in vm["vcpus"]]
        if [vcpu["tid"] for vcpu in vcpus] != list(guests) or lost(run, may_lose):
            raise Mismatch(f"{way}: not the guest's vCPU alone; or lost {lost(run)}")
        (vcpu,) = vcpus
        named, might = check_vcpu(way, vcpu)
        check_guest(way, guests[vcpu["tid"]], vcpu, Mode(vendor, True, expected, guests))
        ours = targets_of(vcpu, _ISA[vendor])
        first = first or ours
        if ours != first:
            raise Mismatch(f"{way}: {ours}, by {_WAYS[0]} {first}")
        print(f"  --attach {way} ({run['attach']}): {named} of {might} exits with a target; "
              f"{check_kvm_count(run)}")


def main() -> int:
    options = harness.options()
    job = Job(kernel=options.kernel, vendor=options.vendor, timeout_s=500,
              script=f"WAYS='{' '.join(_WAYS)}'\n{_SCRIPT}",
              programs={"/bin/exittop": options.exittop,
                        **workloads.guest_programs(options.guests, "target_vm")})
    return harness.run(job, lambda result: check(result, options.kernel, options.vendor))


if __name__ == "__main__":
    sys.exit(main())
