# SPDX-License-Identifier: GPL-2.0-only
"""Exits of L2 are told from those of L1: for a guest that runs a guest of its own by SVM.

The kernel's own count of kvm_nested_vmexit, which has every exit of L2, is held against exittop's
exits of level 2; what its count of kvm_exit has beyond that, against those of level 1. In three
modes: nested paging in both, in the host alone, in neither.
"""

import json
import sys
from collections import Counter

import harness
from counts import Mismatch, guest_threads, lost

import kernel_counts
import workloads
from emulated_host import Job, Result

_ROUNDS = 300
_MODES = ("both", "host", "none")

_SCRIPT = r"""
nested() {
    step "nested paging: $1"
    cat >/tmp/nested.sh <<END
. /lab/job.env
. /lab/shell.sh
kernel_counts_start
kernel_counts_start kvm_nested_vmexit
nested_vm --rounds $ROUNDS $2 >/out/$1.guests
status=\$?
kernel_counts_stop /out/$1.counts
kernel_counts_stop /out/$1.nested kvm_nested_vmexit
exit \$status
END
    exittop dump --format json -- /bin/busybox sh /tmp/nested.sh >/out/$1.json 2>/out/$1.err
}
load_kvm 1 nested=1 && nested both --nested-paging && nested host && reload_kvm 0 nested=1 &&
    nested none
"""

# (level, code) of what nested_vm executes, so often; page faults and interrupts are not in it.
_CPUID, _HLT, _IO, _MSR, _VMRUN, _VMMCALL = 0x72, 0x78, 0x7b, 0x7c, 0x80, 0x81
_EXPECTED = {
    (1, _CPUID): _ROUNDS + 1, (1, _VMRUN): _ROUNDS + 1, (1, _MSR): 3, (1, _IO): 1, (1, _HLT): 1,
    (2, _CPUID): 2 * _ROUNDS, (2, _IO): _ROUNDS, (2, _MSR): _ROUNDS, (2, _VMMCALL): _ROUNDS,
    (2, _HLT): 1,
}
# What is there besides: interrupts, and the page faults of the mode.
_INTERRUPTS = {0x60, 0x61, 0x62}
_PAGE_FAULT = {"both": 0x400, "host": 0x400, "none": 0x4e}


def exittop_levels(run: dict, tid: int) -> Counter:
    """exittop's counts by (level, code) of the only vCPU."""
    vcpus = [vcpu for vm in run["vms"] for vcpu in vm["vcpus"]]
    if [vcpu["tid"] for vcpu in vcpus] != [tid]:
        raise Mismatch(f"one vCPU ran, on thread {tid}; exittop has {vcpus}")
    result: Counter = Counter()
    for stats in vcpus[0]["exits"]:
        result[stats["level"], stats["code"]] += stats["count"]
    return result


def kernel_levels(all_exits: str, nested_exits: str, tid: int) -> Counter:
    """The kernel's counts by (level, code): an exit that is none of L2 is one of L1."""
    result: Counter = Counter()
    for text, signs in ((all_exits, ((1, 1),)), (nested_exits, ((1, -1), (2, 1)))):
        for key, count in kernel_counts.parse(text).items():
            if key.tid != tid:
                raise Mismatch(f"the kernel saw exits of thread {key.tid}, not only of {tid}")
            for level, sign in signs:
                result[level, key.reason] += sign * count
    return +result


def check_mode(result: Result, mode: str) -> None:
    run = json.loads(result.text(f"{mode}.json"))
    (tid,) = guest_threads(result.text(f"{mode}.guests"))
    ours = exittop_levels(run, tid)
    theirs = kernel_levels(result.text(f"{mode}.counts"), result.text(f"{mode}.nested"), tid)
    for level, code in sorted(set(ours) | set(theirs)):
        if ours[level, code] != theirs[level, code]:
            raise Mismatch(f"{mode}: level {level} code {code:#x}: kernel {theirs[level, code]}, "
                           f"exittop {ours[level, code]}")
    wrong = {key: ours[key] for key, count in _EXPECTED.items() if ours[key] != count}
    if wrong:
        raise Mismatch(f"{mode}: {wrong} by (level, code), not what the guests executed")
    others = {code for _, code in set(ours) - set(_EXPECTED)} - _INTERRUPTS
    if others != {_PAGE_FAULT[mode]} or not ours[2, _PAGE_FAULT[mode]]:
        raise Mismatch(f"{mode}: unexpected codes {others}, or no page faults of L2")
    # Since 7.0 a task may be preempted within a tracepoint; that costs the split of time alone.
    if losses := lost(run, {"split_missed"}):
        raise Mismatch(f"{mode}: lost {losses}")
    sums = {level: sum(ours[key] for key in ours if key[0] == level) for level in (1, 2)}
    print(f"  nested paging {mode}: {sums[1]} exits of L1 and {sums[2]} of L2, "
          f"{len(ours)} counts equal")


def check(result: Result) -> None:
    for mode in _MODES:
        check_mode(result, mode)


def main() -> int:
    options = harness.options()
    programs = workloads.guest_programs(options.guests, "nested_vm", "trace_counts")
    job = Job(kernel=options.kernel, vendor="amd", timeout_s=300,
              script=f"ROUNDS={_ROUNDS}\n{_SCRIPT}",
              programs={"/bin/exittop": options.exittop, **programs})
    return harness.run(job, check)


if __name__ == "__main__":
    sys.exit(main())
