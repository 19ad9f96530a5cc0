# SPDX-License-Identifier: GPL-2.0-only
"""Thousands of VMs that come and go, on far fewer slots than VMs.

Some processes at once, each with one VM after another: alone, one would wait most of the time.
Held against what the guests did: each vCPU's thread says how many rounds its VM made, each of which
is one CPUID and one OUT, and then comes one HLT. The kernel's own histogram is no reference here:
its table is full before half of the VMs have come, and it drops what does not fit.
"""

import json
import sys
from collections import Counter

import harness
from counts import (INTERRUPTS, Mismatch, check_kvm_count, exittop_by_vcpu, guest_rounds,
                    guest_threads, lost)

import workloads
from emulated_host import Job, Result

_PROCESSES, _VMS, _SLOTS = 4, 1000, 64

_SCRIPT = r"""
load_kvm 1
cat >/tmp/churn.sh <<'END'
. /lab/job.env
. /lab/shell.sh
for process in $(seq $PROCESSES); do
    micro_vm --vms $VMS --sequential --rounds 1 --vary-rounds 7 >/out/guests.$process &
done
wait
END
exittop dump --max-vcpus $SLOTS --format json -- /bin/busybox sh /tmp/churn.sh \
    >/out/churn.json 2>/out/churn.err
"""

_CPUID, _HLT, _IO, _NPF = 0x72, 0x78, 0x7b, 0x400


def check(result: Result, kernel: str) -> None:
    run = json.loads(result.text("churn.json"))
    guests = "".join(result.text(f"guests.{number + 1}") for number in range(_PROCESSES))
    ours = exittop_by_vcpu(run, guest_threads(guests))
    rounds = {seen.vcpu: seen.rounds for seen in guest_rounds(guests)}
    if len(rounds) != _PROCESSES * _VMS or len(run["vms"]) != len(rounds):
        raise Mismatch(f"{_PROCESSES * _VMS} VMs should come and go: {len(rounds)} say that they "
                       f"did, exittop has {len(run['vms'])}")
    if len(set(rounds.values())) != 7:
        raise Mismatch(f"the VMs differ in nothing: {Counter(rounds.values())}")
    exits = 0
    for vcpu, made in rounds.items():
        want = Counter({_CPUID: made, _IO: made, _HLT: 1})
        counted = ours.get(vcpu, Counter())
        known = Counter({code: count for code, count in counted.items()
                         if code not in INTERRUPTS[2] and code != _NPF})
        if known != want or not counted[_NPF]:
            raise Mismatch(f"{vcpu} made {made} rounds, exittop counted {dict(counted)}")
        exits += counted.total()
    if not all(vm["ended"] for vm in run["vms"]):
        raise Mismatch("a VM that ended is not marked so")
    # A process may be gone before its last VM was looked at.
    may_lose = {"unnamed"} | ({"split_missed"} if kernel.startswith("7.") else set())
    if losses := lost(run, may_lose):
        raise Mismatch(f"lost {losses}")
    print(f"  {len(rounds)} VMs on {_SLOTS} slots, {exits} exits, as each guest made them; "
          f"{check_kvm_count(run)}")


def main() -> int:
    options = harness.options()
    programs = workloads.guest_programs(options.guests, "micro_vm")
    job = Job(kernel=options.kernel, vendor="amd", timeout_s=900,
              script=f"export PROCESSES={_PROCESSES} VMS={_VMS} SLOTS={_SLOTS}\n{_SCRIPT}",
              programs={"/bin/exittop": options.exittop, **programs})
    return harness.run(job, lambda result: check(result, options.kernel))


if __name__ == "__main__":
    sys.exit(main())
