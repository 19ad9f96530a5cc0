# SPDX-License-Identifier: GPL-2.0-only
"""Counts on one real kernel: exittop's equal the kernel's own, for every VM, vCPU and reason.

One emulated host, in which KVM runs with nested paging and then without:
  - exittop starts before the vendor's module is loaded, and counts by itself when it is;
  - the module is reloaded with nested paging off while exittop counts;
  - in each mode: one VM; two processes at once; two VMs in one process; two vCPUs; a VM that ends
    before another; a vCPU that changes its thread; HLT and slow exits, of one vCPU and of several
    at once; hostile names;
  - 200 VMs one after another, on fewer slots than VMs.
"""

import json
import sys

import harness
from counts import Mismatch, check_kvm_count, compare, lost

import kernel_counts
import workloads
from emulated_host import Job, Result

_ISA = {"intel": 1, "amd": 2}
_NESTED = {"intel": "ept", "amd": "npt"}
_WAIT_NS = 20_000_000       # of each HLT and of each slow exit
_SLACK_NS = 200_000         # of the event that tells a wait
_PARTS = ("vmm_ns", "polled_ns", "preempted_ns", "halted_ns", "blocked_ns")

# Each guest takes its VMs' names from its command line, as exittop sees it.
_GUESTS = r"""
guests() {
    micro_vm --rounds 500 -- qemu-system-x86_64 -name guest=one$1,debug-threads=on
    micro_vm --rounds 300 --end-ms 300 -- qemu-system-x86_64 -name guest=long$1 &
    micro_vm --rounds 200 -- firecracker --id short$1
    wait $!
    micro_vm --vms 2 --vcpus 2 --rounds 200 -- qemu-system-x86_64 -name twins$1
    micro_vm --rounds 400 --switch-thread -- crosvm run --name moved$1
    micro_vm --rounds 50 --halts 3 --halt-us 20000 --slow-outs 3 --slow-us 20000 -- \
        qemu-system-x86_64 -name slow$1
    micro_vm --vms 2 --vcpus 2 --rounds 50 --halts 3 --halt-us 20000 --slow-outs 3 \
        --slow-us 20000 -- qemu-system-x86_64 -name waits$1
    micro_vm --rounds 50 --end-ms 300 -- \
        qemu-system-x86_64 -name "$(printf 'evil\033[2J\n\377"\\%s' $1)"
}
"""

_SCRIPT = r"""
exittop check >/out/check.txt 2>&1
step "counting before the vendor's module"
load_kvm_core
cat >/tmp/session.sh <<'END'
. /lab/job.env
. /lab/shell.sh
. /lab/guest_set.sh
sleep 1
load_kvm 1
while ! grep -q counting /out/session.err; do sleep 0.1; done
kernel_counts_start
kernel_waits_start
guests 1 >>/out/guests.txt
step "reload without nested paging"
reload_kvm 0
guests 2 >>/out/guests.txt
kernel_counts_stop /out/session.counts
kernel_waits_stop /out/session.waits
END
exittop dump --format json -- /bin/busybox sh /tmp/session.sh \
    >/out/session.json 2>/out/session.err || exit 1
grep -v '^exittop: ' /out/session.err

step "200 VMs one after another"
cat >/tmp/many.sh <<'END'
. /lab/job.env
. /lab/shell.sh
kernel_counts_start
micro_vm --vms 150 --sequential --rounds 3 >/out/many-guests.txt
for i in $(seq 50); do micro_vm --rounds 3 >>/out/many-guests.txt; done
kernel_counts_stop /out/many.counts
END
exittop dump --max-vcpus 64 --format json -- /bin/busybox sh /tmp/many.sh >/out/many.json \
    2>/out/many.err || exit 1

step "the same by the classic tracepoints"
cat >/tmp/classic.sh <<'END'
. /lab/job.env
. /lab/shell.sh
kernel_counts_start
micro_vm --vms 2 --rounds 200 >/out/classic-guests.txt
kernel_counts_stop /out/classic.counts
END
exittop dump --attach classic --format json -- /bin/busybox sh /tmp/classic.sh \
    >/out/classic.json 2>/out/classic.err || exit 1
load_kvm 1
exittop check --debug >/out/check-loaded.txt 2>/tmp/check.log
grep '^processed ' /tmp/check.log >/out/verifier.txt
"""


def check_names(run: dict) -> None:
    """Names come from command lines, whole and harmless."""
    names = {vm["name"]: vm for vm in run["vms"]}
    for mode in ("1", "2"):
        for name, vmm in (("one", "qemu"), ("long", "qemu"), ("short", "firecracker"),
                          ("twins", "qemu"), ("moved", "crosvm"), ("slow", "qemu"),
                          ("waits", "qemu")):
            vm = names.get(name + mode)
            if not vm:
                raise Mismatch(f"no VM is named {name + mode}: {sorted(names)}")
            if vm["vmm"] != vmm:
                raise Mismatch(f"VM {name + mode} runs on {vmm}, not {vm['vmm']}")
        if not any("evil" in name and name.endswith("\\" + mode) for name in names):
            raise Mismatch(f"the VM with the hostile name is missing: {sorted(names)}")


def check_paging(run: dict, vendor: str) -> None:
    """Each VM's paging mode is that of its module; the host's is the last one."""
    for vm in run["vms"]:
        want = _NESTED[vendor] if vm["name"].endswith("1") else "shadow"
        if vm["paging"] != want:
            raise Mismatch(f"VM {vm['name']}: paging {vm['paging']}, not {want}")
        if not vm["ended"]:
            raise Mismatch(f"VM {vm['name']} ended but is not marked so")
    if run["host"]["paging"] != "shadow":
        raise Mismatch(f"the host's paging is shown as {run['host']['paging']} after the reload")


def check_times(run: dict) -> None:
    """Times add up: parts within the whole, histogram as many as were timed, max within bounds."""
    for vm in run["vms"]:
        for vcpu in vm["vcpus"]:
            for stats in vcpu["exits"]:
                what = f"{vm['name']} {stats['reason']}"
                timed = sum(count for _, count in stats["histogram"])
                if not stats["count"] - 1 <= timed <= stats["count"]:
                    raise Mismatch(f"{what}: {timed} of {stats['count']} exits in the histogram")
                if sum(stats[part] for part in _PARTS) > stats["time_ns"]:
                    raise Mismatch(f"{what}: parts of the time exceed the whole")
                if stats["max_ns"] > stats["time_ns"]:
                    raise Mismatch(f"{what}: maximum exceeds the sum")


def check_split(run: dict, waits: dict[int, int]) -> None:
    """Each vCPU waits 3 times in HLT, and 3 times the VMM sleeps. What the kernel's own event says
    of the waits includes the wait for a CPU after the wake-up, and the event's own work."""
    vcpus = 0
    for vm in run["vms"]:
        if vm["name"] not in ("slow1", "waits1", "slow2", "waits2"):
            continue
        for vcpu in vm["vcpus"]:
            vcpus += 1
            of_vcpu = {part: sum(stats[part] for stats in vcpu["exits"]) for part in _PARTS}
            halted = of_vcpu["halted_ns"] + of_vcpu["polled_ns"]
            kernel = waits.get(vcpu["tid"], 0)
            if not halted <= kernel <= halted + of_vcpu["preempted_ns"] + 3 * _SLACK_NS:
                raise Mismatch(f"{vm['name']}: the kernel says {kernel} ns halted: {of_vcpu}")
            if of_vcpu["blocked_ns"] < 3 * _WAIT_NS:
                raise Mismatch(f"{vm['name']}: the VMM slept {3 * _WAIT_NS} ns: {of_vcpu}")
    if vcpus != 10:
        raise Mismatch(f"{vcpus} vCPUs waited, not 10")
    print(f"  split of the time: the waits of {vcpus} vCPUs as the kernel says")


def check_attach(result: Result, kernel: str) -> None:
    """exittop attached in the right way for this kernel, and prints the verifier's statistics."""
    want, said = {"5.10": ("raw_tp_reason", "reason passed"),
                  "6.1": ("tp_btf_helper", "BTF tracepoints")}.get(kernel,
                                                                   ("tp_btf", "plain loads"))
    ways = {name: json.loads(result.text(f"{name}.json")).get("attach")
            for name in ("session", "many", "classic")}
    if ways != {"session": want, "many": want, "classic": "classic"}:
        raise Mismatch(f"attached by {ways}, not by {want}")
    text = result.text("check-loaded.txt")
    if said not in text:
        raise Mismatch(f"exittop check does not say '{said}':\n{text}")
    programs = [" ".join(line.split()[2:]) for line in text.splitlines()
                if "instructions verified" in line]
    log = result.text("verifier.txt").splitlines()
    if not programs or len(log) != len(programs):
        raise Mismatch(f"exittop check --debug shows the verifier's figures of {len(log)} "
                       f"programs, not of {len(programs)}")
    for line in programs:
        print("    " + line)


def check(result: Result, kernel: str, vendor: str) -> None:
    isa = _ISA[vendor]
    for name, guests in (("session", "guests.txt"), ("many", "many-guests.txt"),
                         ("classic", "classic-guests.txt")):
        run = json.loads(result.text(f"{name}.json"))
        said = compare(run, result.text(f"{name}.counts"), result.text(guests), isa)
        if losses := lost(run):
            raise Mismatch(f"{name}: lost {losses}")
        check_times(run)
        print(f"  {name}: {said}; {check_kvm_count(run)}")
    session = json.loads(result.text("session.json"))
    check_names(session)
    check_paging(session, vendor)
    check_split(session, kernel_counts.parse_waits(result.text("session.waits")))
    check_attach(result, kernel)
    if "waiting for kvm_intel or kvm_amd" not in result.text("session.err"):
        raise Mismatch("exittop did not say that it waited for the vendor's module")
    many = json.loads(result.text("many.json"))
    if len(many["vms"]) != 200:
        raise Mismatch(f"200 VMs came and went, exittop has {len(many['vms'])}")


def main() -> int:
    options = harness.options()
    programs = workloads.guest_programs(options.guests, "micro_vm", "trace_counts")
    job = Job(kernel=options.kernel, vendor=options.vendor, script=_SCRIPT, timeout_s=900,
              files={"/lab/guest_set.sh": _GUESTS.encode()},
              programs={"/bin/exittop": options.exittop, **programs})
    return harness.run(job, lambda result: check(result, options.kernel, options.vendor))


if __name__ == "__main__":
    sys.exit(main())
