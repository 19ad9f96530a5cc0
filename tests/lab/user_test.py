# SPDX-License-Identifier: GPL-2.0-only
"""exittop as the service runs it: as a user of its own with the capabilities of exittop.service and
no others, under Debian's settings and with a root that is read-only, counts what the kernel counts,
also by target, and tells the paging mode."""

import json
import re
import sys
from collections import Counter
from pathlib import Path

import harness
from counts import Mismatch, check_kvm_count, compare, guest_rounds, guest_threads, lost

import workloads
from emulated_host import Job, Result
from kernel_targets import leaf, port
from target_counts import check_vcpu, known

_UNIT = Path(__file__).resolve().parents[2] / "deploy/exittop.service"
_ISA = {"intel": 1, "amd": 2}

# As strict as Debian: kernel addresses are hidden; perf events and BPF need privileges.
_SCRIPT = r"""
as_user() {
    capabilities=$1
    shift
    chroot /ro /lab/setpriv --reuid=61184 --regid=61184 --clear-groups --no-new-privs \
        --bounding-set=-all$capabilities --inh-caps=-all$capabilities \
        --ambient-caps=-all$capabilities "$@"
}
echo 1 >/proc/sys/kernel/kptr_restrict
echo 3 >/proc/sys/kernel/perf_event_paranoid
echo 2 >/proc/sys/kernel/unprivileged_bpf_disabled
load_kvm 1 || exit 1
mkdir /ro
mount --bind / /ro
mount -o remount,ro,bind /ro
for folder in proc sys dev; do mount --rbind /$folder /ro/$folder; done
touch /ro/written 2>/dev/null && exit 1
as_user "$UNIT_CAPABILITIES" exittop check >/out/check.txt 2>&1
for less in $UNIT_LESS; do
    as_user "$less" exittop dump --duration 0.1 >/out/less 2>&1
    echo "$less $? $(cat /out/less)" >>/out/less.txt
done
# Without BTF of the modules there are two ways: one for older kernels, one that needs a privilege.
mkdir /tmp/btf
cp /sys/kernel/btf/vmlinux /tmp/btf
mount --bind /tmp/btf /ro/sys/kernel/btf
as_user "$UNIT_CAPABILITIES" exittop dump --duration 100ms >/out/no-way.txt 2>&1
echo $? >>/out/no-way.txt
umount /ro/sys/kernel/btf
guests() {
    micro_vm --rounds 300 --end-ms 500 -- qemu-system-x86_64 -name "$1"
    micro_vm --vms 2 --vcpus 2 --rounds 200 --end-ms 500 -- qemu-system-x86_64 -name "$1"
}
echo "#!/bin/sh
while [ ! -e /done ]; do sleep 0.1; done" >/wait.sh
chmod +x /wait.sh
# count NAME [OPTION...]
count() {
    name=$1
    shift
    rm -f /done
    as_user "$UNIT_CAPABILITIES" exittop dump --format json "$@" -- /wait.sh \
        >/out/$name.json 2>/out/$name.err & counting=$!
    while ! grep -q . /out/$name.err; do sleep 0.1; done
}
counted() {
    touch /done
    wait $counting
}
count run
kernel_counts_start
guests nested >/out/guests.txt
reload_kvm 0 || exit 1
guests shadow >>/out/guests.txt
kernel_counts_stop /out/kernel.counts
counted || exit 1
count targets --targets all
guests shadow >/out/targets.txt
reload_kvm 1 || exit 1
guests nested >>/out/targets.txt
counted
"""


def capabilities() -> list[str]:
    """Those of the unit, as setpriv names them."""
    (ambient,) = re.findall(r"(?m)^AmbientCapabilities=(.*)$", _UNIT.read_text())
    return [name.removeprefix("CAP_").lower() for name in ambient.split()]


def settings() -> str:
    """Shell variables: the unit's capabilities, and each list that lacks one of them."""
    names = capabilities()
    lists = [",".join(f"+{other}" for other in names if other != name) for name in names]
    return (f"UNIT_CAPABILITIES=,{','.join(f'+{name}' for name in names)}\n"
            f"UNIT_LESS='{' '.join(',' + each for each in lists)}'\n")


def check(result: Result, kernel: str, vendor: str) -> None:
    run = json.loads(result.text("run.json"))
    said = compare(run, result.text("kernel.counts"), result.text("guests.txt"), _ISA[vendor])
    # Tasks may be preempted within tracepoints since 7.0; that affects only the split of the time.
    if losses := lost(run, {"split_missed"} if kernel.startswith("7.") else frozenset()):
        raise Mismatch(f"lost {losses}")
    no_way = result.text("no-way.txt")
    if not re.fullmatch(r"exittop: cannot attach to kvm_exit: raw_tp_reason: cannot attach "
                        r"raw_tp/kvm_exit: [^;\n]*; classic: cannot attach [^\n]*: not permitted; "
                        r"[^\n]*\n77\n", no_way):
        raise Mismatch(f"where no way works exittop says: {no_way}")
    want = "raw_tp_helper" if kernel == "6.1" else "raw_tp"
    if run["attach"] != want:
        raise Mismatch(f"attached by {run['attach']}, not by {want}")
    # exittop says what it may not look for, both in advance and where it is missing.
    told = "VMs of other users without an exit are not told"
    for name in ("run.err", "check.txt"):
        if told not in result.text(name):
            raise Mismatch(f"{name} does not say what it cannot see: {result.text(name)}")
    nested = {"intel": "ept", "amd": "npt"}[vendor]
    for vm in run["vms"]:
        want = nested if vm["name"] == "nested" else "shadow"
        if vm["paging"] != want:
            raise Mismatch(f"VM {vm['name']}: paging {vm['paging']}, not {want}")
    check_targets(result)
    if "MISSING" in result.text("check.txt"):
        raise Mismatch(f"exittop check as this user:\n{result.text('check.txt')}")
    less = result.text("less.txt").splitlines()
    if len(less) != len(capabilities()) or any(" 77 exittop: " not in line for line in less):
        raise Mismatch("with a capability less it is to end with status 77: " + "; ".join(less))
    print(f"  with {', '.join(capabilities())} alone, on a read-only root: {said}")


def check_targets(result: Result) -> None:
    """All completed exits are counted by target; a round of the guests is a CPUID and an OUT."""
    run = json.loads(result.text("targets.json"))
    if losses := lost(run, {"split_missed"}):
        raise Mismatch(f"with targets: lost {losses}")
    rounds = {seen.vcpu: seen.rounds for seen in guest_rounds(result.text("targets.txt"))}
    threads = guest_threads(result.text("targets.txt"))
    exits = 0
    vcpus = [vcpu for vm in run["vms"] for vcpu in vm["vcpus"]]
    for vcpu in vcpus:
        what = f"thread {vcpu['tid']}"
        exits += check_vcpu(what, vcpu)[0]
        targets = sum((known(stats) for stats in vcpu["exits"] if "targets" in stats), Counter())
        ours = [targets[leaf(0, 0)], targets[port(0x10, "out", 1)]]
        if ours != [rounds[threads[vcpu["tid"]]]] * 2:
            raise Mismatch(f"{what}: CPUIDs and OUTs by target {ours}, rounds "
                           f"{rounds[threads[vcpu['tid']]]}")
    if len(vcpus) != len(rounds):
        raise Mismatch(f"{len(vcpus)} vCPUs with targets, not {len(rounds)}")
    print(f"  {exits} exits of {len(vcpus)} vCPUs with a target, as the guests made them; "
          f"{check_kvm_count(run)}")


def main() -> int:
    options = harness.options()
    programs = workloads.guest_programs(options.guests, "micro_vm", "trace_counts")
    job = Job(kernel=options.kernel, vendor=options.vendor, script=settings() + _SCRIPT,
              timeout_s=400, programs={"/bin/exittop": options.exittop,
                                       "/lab/setpriv": Path("/usr/bin/setpriv"), **programs})
    return harness.run(job, lambda result: check(result, options.kernel, options.vendor))


if __name__ == "__main__":
    sys.exit(main())
