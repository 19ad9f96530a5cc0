# SPDX-License-Identifier: GPL-2.0-only
"""exittop attaches to running VMs, and detaches while they go on.

The guests are stopped (SIGSTOP) while the kernel's own count begins and exittop attaches, run for a
while, and are stopped again before both end: so the two count the very same exits. Every vCPU is in
an exit when exittop comes and when it goes: its first event is an entry without an exit, its last
one an exit without an entry. Neither is a loss. Twice on the same guests: as exittop attaches by
itself, and by the classic tracepoints. Others count the same exits by perf events meanwhile, one
from before exittop came and one that came after it: exittop takes nothing away from them.
"""

import json
import sys
from collections import Counter

import harness
from counts import (Mismatch, check_kvm_count, compare, exittop_by_vcpu, guest_rounds,
                    guest_threads, lost)

import paused_guests
import workloads
from emulated_host import Job, Result

_SCRIPT = r"""
cat >/tmp/guests.sh <<'END'
. /lab/job.env
. /lab/shell.sh
""" + paused_guests.SHELL + r"""count_events() {
    /guests/event_count kvm_exit >$1 &
    counter=$!
    while ! grep -q counting $1; do sleep 0.02; done
}
END
cat >/tmp/window.sh <<'END'
. /tmp/guests.sh
kernel_counts_start
count_events /out/$1.after
resume
sleep $SECONDS_COUNTED
pause
kill -TERM $counter
wait $counter
kernel_counts_stop /out/$1.counts
END
. /tmp/guests.sh
load_kvm 1
micro_vm --rounds $ROUNDS -- qemu-system-x86_64 -name busy >/out/busy.txt & guests=$!
micro_vm --vms 2 --vcpus 2 --rounds $ROUNDS -- firecracker --id twins \
    >/out/twins.txt & guests="$guests $!"
micro_vm --rounds 10 --halts $ROUNDS --halt-us 20000 -- crosvm run --name halting \
    >/out/halting.txt & guests="$guests $!"
micro_vm --rounds 10 --slow-outs $ROUNDS --slow-us 20000 -- qemu-system-x86_64 -name slow \
    >/out/slow.txt & guests="$guests $!"
export guests
sleep 1
for way in auto classic; do
    step "counting a while: $way"
    pause
    [ $way = auto ] && attach= || attach="--attach $way"
    count_events /out/$way.before
    exittop dump $attach --format json -- /bin/busybox sh /tmp/window.sh $way \
        >/out/$way.json 2>/out/$way.err || exit 1
    kill -TERM $counter
    wait $counter
    resume
    sleep 0.3
done
exittop check --duration 500ms >/out/check.txt
kill -TERM $guests
for pid in $guests; do wait $pid || exit 1; done
"""

_ROUNDS, _SECONDS = 4000000000, 2    # more than they make: they work until told to end
_GUESTS = ("busy", "twins", "halting", "slow")
_ISA = {"intel": 1, "amd": 2}
_CPUID = {"intel": 10, "amd": 0x72}


def check_ends(run: dict) -> None:
    """All exits except a vCPU's last have a duration, also the first."""
    for vm in run["vms"]:
        if vm["ended"]:
            raise Mismatch(f"VM {vm['name']} runs on and is said to have ended")
        for vcpu in vm["vcpus"]:
            count = sum(stats["count"] for stats in vcpu["exits"])
            timed = sum(number for stats in vcpu["exits"] for _, number in stats["histogram"])
            if timed != count - 1:
                raise Mismatch(f"VM {vm['name']}, vCPU {vcpu['id']}: {timed} durations of {count} "
                               "exits, all but the last should have one")


def check_others(result: Result, way: str, exits: int) -> None:
    """What perf events beside exittop counted."""
    for who in ("before", "after"):
        said = result.text(f"{way}.{who}").split()
        if said != ["counting", "kvm_exit", str(exits)]:
            raise Mismatch(f"{way}: a perf event from {who} exittop came should have counted "
                           f"{exits} exits: {said}")


def check(result: Result, kernel: str, vendor: str) -> None:
    guests = "".join(result.text(f"{name}.txt") for name in _GUESTS)
    may_lose = {"split_missed"} if kernel.startswith("7.") else set()
    cpuids: Counter = Counter()
    for way in ("auto", "classic"):
        run = json.loads(result.text(f"{way}.json"))
        said = compare(run, result.text(f"{way}.counts"), guests, _ISA[vendor])
        if losses := lost(run, may_lose):
            raise Mismatch(f"{way}: lost {losses}")
        check_ends(run)
        ours = exittop_by_vcpu(run, guest_threads(guests))
        if len(ours) != 7:
            raise Mismatch(f"{way}: {len(ours)} vCPUs, not 7")
        check_others(result, way, sum(counter.total() for counter in ours.values()))
        for vcpu, counter in ours.items():
            cpuids[vcpu] += counter[_CPUID[vendor]]
        print(f"  {way}: {said}; {check_kvm_count(run)}")
    if "counted = KVM's count for 7 vCPUs" not in result.text("check.txt"):
        raise Mismatch(f"check while they run says:\n{result.text('check.txt')}")
    # The last line of a vCPU says what it did in all; the windows are in the midst of that.
    whole = {seen.vcpu: seen.rounds for seen in guest_rounds(guests)}
    outside = {vcpu: rounds - cpuids[vcpu] for vcpu, rounds in whole.items()}
    if min(outside.values()) <= 0:
        raise Mismatch(f"a vCPU did all its work while exittop counted: {outside}")
    print(f"  {sum(cpuids.values())} of {sum(whole.values())} rounds counted")


def main() -> int:
    options = harness.options()
    programs = workloads.guest_programs(options.guests, "micro_vm", "trace_counts",
                                        "event_count")
    job = Job(kernel=options.kernel, vendor=options.vendor, timeout_s=400,
              script=f"export ROUNDS={_ROUNDS} SECONDS_COUNTED={_SECONDS}\n" + _SCRIPT,
              programs={"/bin/exittop": options.exittop, **programs})
    return harness.run(job, lambda result: check(result, options.kernel, options.vendor))


if __name__ == "__main__":
    sys.exit(main())
