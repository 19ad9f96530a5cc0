# SPDX-License-Identifier: GPL-2.0-only
"""Exits of L2 are told from those of L1: for a guest that runs a guest of its own by SVM or VMX.

The kernel's own count of kvm_nested_vmexit, which has every exit of L2, is held against exittop's
exits of level 2; what its count of kvm_exit has beyond that, against those of level 1. In three
modes: nested paging in both, in the host alone, in neither.
"""

import json
import sys
from collections import Counter
from dataclasses import dataclass

import harness
from counts import INTERRUPTS, Mismatch, check_kvm_count, guest_threads, lost

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
nested_$ISA --rounds $ROUNDS $2 >/out/$1.guests
status=\$?
kernel_counts_stop /out/$1.counts
kernel_counts_stop /out/$1.nested kvm_nested_vmexit
exit \$status
END
    exittop dump --format json -- /bin/busybox sh /tmp/nested.sh \
        >/out/$1.json 2>/out/$1.err
}
load_kvm 1 nested=1 && nested both --nested-paging && nested host && reload_kvm 0 nested=1 &&
    nested none
"""


@dataclass(frozen=True)
class Vendor:
    """What the guests of one vendor do, and how that shows."""
    isa: int
    name: str
    # How often what the guest program executes exits, by (level, code).
    expected: dict[tuple[int, int], int]
    # What is there besides: the code of page faults by mode, interrupts, and of some instructions
    # of the hypervisor those that the processor does not execute by itself.
    page_fault: dict[str, int]
    others: frozenset[int] = frozenset()


def svm() -> Vendor:
    cpuid, hlt, io, msr, vmrun, vmmcall = 0x72, 0x78, 0x7b, 0x7c, 0x80, 0x81
    return Vendor(isa=2, name="svm", expected={
        (1, cpuid): _ROUNDS + 1, (1, vmrun): _ROUNDS + 1, (1, msr): 3, (1, io): 1, (1, hlt): 1,
        (2, cpuid): 2 * _ROUNDS, (2, io): _ROUNDS, (2, msr): _ROUNDS, (2, vmmcall): _ROUNDS,
        (2, hlt): 1,
    }, page_fault={"both": 0x400, "host": 0x400, "none": 0x4e})


def vmx() -> Vendor:
    cpuid, hlt, vmcall, vmclear, vmlaunch, vmptrld, vmread = 10, 12, 18, 19, 20, 21, 23
    vmresume, vmwrite, vmxon, cr_access, io, msr_read, msr_write = 24, 25, 27, 28, 30, 31, 32
    # Three exits of each round of L2 are for L1, and the HLT; at each L1 executes a CPUID.
    return Vendor(isa=1, name="vmx", expected={
        (1, cr_access): 1, (1, msr_write): 1, (1, vmxon): 1, (1, vmclear): 1, (1, vmptrld): 1,
        (1, vmlaunch): 1, (1, vmresume): 3 * _ROUNDS, (1, cpuid): 3 * _ROUNDS + 1, (1, io): 1,
        (1, hlt): 1,
        (2, cpuid): 2 * _ROUNDS, (2, io): _ROUNDS, (2, msr_read): _ROUNDS, (2, vmcall): _ROUNDS,
        (2, hlt): 1,
    }, page_fault={"both": 48, "host": 48, "none": 0}, others=frozenset({vmread, vmwrite}))


_VENDORS = {"amd": svm, "intel": vmx}


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


def check_mode(result: Result, mode: str, vendor: Vendor) -> None:
    run = json.loads(result.text(f"{mode}.json"))
    (tid,) = guest_threads(result.text(f"{mode}.guests"))
    ours = exittop_levels(run, tid)
    theirs = kernel_levels(result.text(f"{mode}.counts"), result.text(f"{mode}.nested"), tid)
    for level, code in sorted(set(ours) | set(theirs)):
        if ours[level, code] != theirs[level, code]:
            raise Mismatch(f"{mode}: level {level} code {code:#x}: kernel {theirs[level, code]}, "
                           f"exittop {ours[level, code]}")
    wrong = {key: ours[key] for key, count in vendor.expected.items() if ours[key] != count}
    if wrong:
        raise Mismatch(f"{mode}: {wrong} by (level, code), not what the guests executed")
    others = {code for _, code in set(ours) - set(vendor.expected)}
    page_fault = vendor.page_fault[mode]
    if others - INTERRUPTS[vendor.isa] - vendor.others != {page_fault} or not ours[2, page_fault]:
        raise Mismatch(f"{mode}: unexpected codes {others}, or no page faults of L2")
    # Since 7.0 a task may be preempted within a tracepoint; that affects only the split of time.
    if losses := lost(run, {"split_missed"}):
        raise Mismatch(f"{mode}: lost {losses}")
    sums = {level: sum(ours[key] for key in ours if key[0] == level) for level in (1, 2)}
    print(f"  nested paging {mode}: {sums[1]} exits of L1 and {sums[2]} of L2, "
          f"{len(ours)} counts equal; {check_kvm_count(run)}")


def check(result: Result, vendor: Vendor) -> None:
    for mode in _MODES:
        check_mode(result, mode, vendor)


def main() -> int:
    options = harness.options()
    vendor = _VENDORS[options.vendor]()
    programs = workloads.guest_programs(options.guests, f"nested_{vendor.name}", "trace_counts")
    job = Job(kernel=options.kernel, vendor=options.vendor, timeout_s=900,
              script=f"ROUNDS={_ROUNDS} ISA={vendor.name}\n{_SCRIPT}",
              programs={"/bin/exittop": options.exittop, **programs})
    return harness.run(job, lambda result: check(result, vendor))


if __name__ == "__main__":
    sys.exit(main())
