# SPDX-License-Identifier: GPL-2.0-only
"""What exits of a guest's own guest (L2) were about is told apart from what those of L1 were.

A guest hypervisor and its guest, by SVM or VMX, execute what is known beforehand: each level has
exactly the targets of what it executed. Both together have those of the kernel's own histograms,
and on AMD L2's page faults those of its histogram of kvm_nested_vmexit. In three modes: nested
paging in both, in the host alone, in neither.
"""

import json
import sys
from collections import Counter
from dataclasses import dataclass

import harness
from counts import Mismatch, check_kvm_count, guest_threads, lost

import kernel_targets
import workloads
from emulated_host import Job, Result
from kernel_targets import CODES, leaf, port
from target_counts import check_kernel, check_vcpu, completed, known

_ROUNDS = 50    # so few that all pages that L2 touches have room as targets
_MODES = ("both", "host", "none")

_SCRIPT = r"""
nested() {
    step "nested paging: $1"
    cat >/tmp/nested.sh <<END
. /lab/job.env
. /lab/shell.sh
[ -e $KVM_EVENTS/kvm_exit/hist ] && kernel_histograms_start /lab/histograms &&
    kernel_histograms_start /lab/nested_histograms
nested_$ISA --rounds $ROUNDS $2 >/out/$1.guests || exit 1
[ -e $KVM_EVENTS/kvm_exit/hist ] || exit 0
kernel_histograms_stop /lab/histograms >/out/$1.kernel
kernel_histograms_stop /lab/nested_histograms >/out/$1.nested
END
    exittop dump --targets all --format json -- /bin/busybox sh /tmp/nested.sh \
        >/out/$1.json 2>/out/$1.err
}
load_kvm 1 nested=1 && nested both --nested-paging && nested host && reload_kvm 0 nested=1 &&
    nested none
"""
# Page faults of L2 on AMD; on Intel kvm_nested_vmexit does not tell where.
_NESTED_HISTOGRAMS = """\
kvm_nested_vmexit common_pid,exit_reason,info1
kvm_nested_vmexit common_pid,info1,info2 if exit_reason == 0x400
"""

# What only L2 touches.
_TOUCHED = range(0x200000, 0x300000)
# L2 has in RAX then what it read as the APIC's base; it is L1 that the call is for.
_HYPERCALL = f"hypercall l1 {0xfee00900}"

# Targets and how often, by level and code.
Targets = dict[tuple[int, int], Counter]


@dataclass(frozen=True)
class Mode:
    """One of the three runs."""
    name: str
    vendor: str
    has_btf: bool       # and histograms

    @property
    def is_nested(self) -> bool:
        return self.name != "none"

    @property
    def page_fault(self) -> int:
        """The code of L2's page faults."""
        if self.is_nested:
            return CODES[self.vendor]["memory"]
        return {"amd": 0x4e, "intel": 0}[self.vendor]


def executed(vendor: str) -> Targets:
    """What the two guests execute: see lab/guests/nested_*.c."""
    codes = CODES[vendor]
    # Of each round of L2 three exits are for L1 on Intel, one on AMD, and the last HLT; at each L1
    # executes a CPUID.
    returns = {"amd": 1, "intel": 3}[vendor] * _ROUNDS + 1
    targets = {(1, codes["cpuid"]): {leaf(0, 0): returns},
               (1, codes["io"]): {port(0x13, "out", 1): 1},
               (2, codes["cpuid"]): {leaf(0, 0): 2 * _ROUNDS},
               (2, codes["io"]): {port(0x10, "out", 1): _ROUNDS},
               (2, codes["hypercall"]): {_HYPERCALL: _ROUNDS},
               (2, codes.get("read", codes.get("msr"))): {"0x1b read": _ROUNDS}}
    if vendor == "amd":
        targets[1, codes["msr"]] = {"0xc0000080 read": 1, "0xc0000080 write": 1,
                                    "0xc0010117 write": 1}
    else:
        targets[1, codes["write"]] = {"0x3a write": 1}
        targets[1, codes["cr"]] = {"cr4 write": 1}
    return {key: Counter(counts) for key, counts in targets.items()}


def check_executed(mode: Mode, ours: dict[tuple[int, int], dict]) -> None:
    """Each level has the targets of what it executed, and no others."""
    codes = CODES[mode.vendor]
    for (level, code), want in executed(mode.vendor).items():
        stats = ours[level, code]
        what = f"{mode.name}: L{level} {stats['reason']}"
        if not mode.has_btf and code == codes["io"]:
            if stats["targets_unknown"]["count"] != completed(stats):
                raise Mismatch(f"{what}: this kernel does not tell ports: {stats}")
            continue
        if not mode.has_btf and code == codes["msr"]:  # nor whether an MSR is written
            untold: Counter = Counter()
            for target, count in want.items():
                untold[target.split()[0]] += count
            want = untold
        if known(stats) != want or stats["count"] != want.total():
            raise Mismatch(f"{what}: {stats['count']} exits, exittop {known(stats)}, executed "
                           f"{want}")


def check_touched(mode: Mode, ours: dict[tuple[int, int], dict]) -> int:
    """The pages that L2 touches are targets of L2's page faults and of no others. How many."""
    pages = {level: {int(target.split()[1], 0) for target in known(stats)} & set(_TOUCHED)
             for (level, code), stats in ours.items() if code == mode.page_fault}
    if pages.get(1) or not pages[2]:
        raise Mismatch(f"{mode.name}: pages that L2 touched, by level: {pages}")
    return len(pages[2])


def check_histograms(mode: Mode, result: Result, tid: int,
                     ours: dict[tuple[int, int], dict]) -> int:
    """Both levels together equal the kernel's histograms; L2's page faults equal their own."""
    codes = CODES[mode.vendor]
    both = kernel_targets.expected(result.text(f"{mode.name}.kernel"), mode.vendor, mode.is_nested)
    for_l1 = {(2, codes["hypercall"])}      # of these no event tells
    if mode.vendor == "intel":
        for_l1.add((2, codes["cpuid"]))
    equal = 0
    for code in {code for _, code in ours.keys() - for_l1}:
        whole: Counter = Counter()
        for level in (1, 2):
            if (level, code) in ours.keys() - for_l1:
                whole += known(ours[level, code])
        theirs = both.get((tid, code), Counter())
        if whole != theirs:
            raise Mismatch(f"{mode.name}: code {code:#x}: exittop {whole}, kernel {theirs}")
        equal += len(whole)
    if mode.vendor == "amd":
        text = result.text(f"{mode.name}.nested")
        theirs = kernel_targets.expected(text, mode.vendor, mode.is_nested)
        equal += check_kernel(f"{mode.name}: page faults of L2", ours[2, mode.page_fault],
                              theirs[tid, mode.page_fault])
    return equal


def check_mode(mode: Mode, result: Result) -> None:
    run = json.loads(result.text(f"{mode.name}.json"))
    (tid,) = guest_threads(result.text(f"{mode.name}.guests"))
    vcpus = [vcpu for vm in run["vms"] for vcpu in vm["vcpus"]]
    # Since 7.0 a task may be preempted within a tracepoint; that affects only the split of time.
    if [vcpu["tid"] for vcpu in vcpus] != [tid] or lost(run, {"split_missed"}):
        raise Mismatch(f"{mode.name}: not the vCPU of thread {tid} alone; or lost {lost(run)}")
    named, _ = check_vcpu(mode.name, vcpus[0])
    ours = {(stats["level"], stats["code"]): stats for stats in vcpus[0]["exits"]
            if "targets" in stats}
    check_executed(mode, ours)
    sums = {level: sum(known(stats).total() for key, stats in ours.items() if key[0] == level)
            for level in (1, 2)}
    said = f"{sums[1]} exits of L1 and {sums[2]} of L2 with a target"
    if mode.has_btf:
        if mode.is_nested:
            said += f", {check_touched(mode, ours)} of them pages that L2 touched"
        said += f"; {check_histograms(mode, result, tid, ours)} targets equal to the kernel's"
    if named != sum(sums.values()):
        raise Mismatch(f"{mode.name}: levels other than 1 and 2")
    print(f"  nested paging {mode.name}: {said}; {check_kvm_count(run)}")


def check(result: Result, vendor: str, has_btf: bool) -> None:
    for name in _MODES:
        check_mode(Mode(name, vendor, has_btf), result)


def main() -> int:
    options = harness.options()
    isa = {"amd": "svm", "intel": "vmx"}[options.vendor]
    programs = workloads.guest_programs(options.guests, f"nested_{isa}")
    nested_histograms = _NESTED_HISTOGRAMS if options.vendor == "amd" else ""
    job = Job(kernel=options.kernel, vendor=options.vendor, timeout_s=600,
              script=f"ROUNDS={_ROUNDS} ISA={isa}\n{_SCRIPT}",
              files={"/lab/histograms": kernel_targets.HISTOGRAMS[options.vendor].encode(),
                     "/lab/nested_histograms": nested_histograms.encode()},
              programs={"/bin/exittop": options.exittop, **programs})
    return harness.run(job, lambda result: check(result, options.vendor, options.kernel != "5.10"))


if __name__ == "__main__":
    sys.exit(main())
