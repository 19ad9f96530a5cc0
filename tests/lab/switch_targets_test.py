# SPDX-License-Identifier: GPL-2.0-only
"""Counting by target is switched on and off a hundred times (20 in Bochs) while VMs run, by opening
and closing the live view's screen for it: no exit is missed or counted twice, nothing is lost, and
each time exittop holds the BPF maps, programs and links again that it held before.

The guests stand still while exittop comes, and again at the end, when the live view writes what it
has counted: that equals the kernel's own count since before exittop came, and KVM's. Then they run
once more while the screen is open: the exits by target are those of that time, one by one.
"""

import json
import sys
from collections import Counter

import harness
from counts import Mismatch, check_kvm_count, compare, lost

import live_terminal
import paused_guests
import workloads
from emulated_host import Job, Result
from target_counts import completed

_ROUNDS = {"amd": 100, "intel": 20}
_ISA = {"intel": 1, "amd": 2}
_REASON = {"amd": "cpuid", "intel": "CPUID"}
_WORK = 4000000000      # more rounds of a guest than it makes

_SCRIPT = live_terminal.SHELL + "\n" + paused_guests.SHELL + r"""now() { cut -d. -f1 /proc/uptime; }
# What exittop holds of BPF.
held() {
    ls -l /proc/$exittop/fd | awk '
        match($0, /bpf-map|bpf-prog|bpf_link|perf_event/) { held[substr($0, RSTART, RLENGTH)]++ }
        END { printf "%d maps, %d programs, %d links, %d perf events\n", held["bpf-map"],
                     held["bpf-prog"], held["bpf_link"], held["perf_event"] }'
}
# Waits until exittop holds as much as it did when closed, or something else.
holds() {
    for i in $(seq 200); do
        case $1 in
            closed) [ "$(held)" = "$closed" ] && return 0;;
            more) [ "$(held)" != "$closed" ] && return 0;;
        esac
        sleep 0.02
    done
    screen round$round.$1
    fail "round $round, $1: exittop holds $(held); when closed it holds $closed"
    return 1
}
write_run() {
    keys w
    for i in $(seq 50); do
        ls exittop-*.json >/dev/null 2>&1 && break
        sleep 0.1
    done
    sleep 0.5
    mv exittop-*.json $1.json
}

load_kvm 1
# They leave the terminal the time that it needs on the host's only CPU.
nice='renice -n 10 -p $$ >/dev/null; exec "$@"'
sh -c "$nice" sh micro_vm --rounds $WORK --vcpus 2 -- qemu-system-x86_64 -name guest=busy \
    >/out/busy.txt & guests=$!
sh -c "$nice" sh micro_vm --rounds 10 --halts $WORK --halt-us 3000 -- crosvm run --name halting \
    >/out/halting.txt & guests="$guests $!"
sleep 1
pause
kernel_counts_start
# Little memory, which is zeroed anew each time.
live "--delay 100ms --sort name --max-vcpus 64"
see before_vms "no exit seen"
exittop=$(live_pid)
resume
see vms busy
keys Enter
see reasons "$REASON"
keys -l "/$REASON"
keys Enter
sleep 0.5
closed=$(held)
echo "$closed" >/out/closed
step "on and off"
began=$(now)
round=0
while [ $round -lt $ROUNDS ]; do
    round=$((round + 1))
    keys Enter
    holds more || break
    held >>/out/opened
    [ $((round % 20)) = 1 ] && see_that targets$round grep -q 'leaf 0x0'
    keys Escape
    holds closed || break
done
echo $round $(($(now) - began)) >/out/rounds
step "the counts"
pause
sleep 0.5
kernel_counts_stop /out/kernel.counts
write_run before
keys Enter
holds more
resume
see_that targets_last grep -q 'leaf 0x0'
sleep 1
pause
sleep 0.5
write_run by_target
keys Escape
holds closed
keys q
see quit "status=0"
resume
kill -TERM $guests
for pid in $guests; do wait $pid || fail "guest $pid"; done
tmux kill-server
grep -ls ^prog_type /proc/[0-9]*/fdinfo/* && fail "BPF programs are left"
[ ! -e /out/failed ]
"""


def check_window(before: dict, after: dict) -> str:
    """The exits by target are those between the two, of each vCPU of the VM that was opened; but
    for the exit in which the vCPU was when counting began."""
    def opened(run: dict) -> dict[int, dict]:
        return {vcpu["tid"]: {stats["code"]: stats for stats in vcpu["exits"]}
                for vm in run["vms"] if vm["name"] == "busy" for vcpu in vm["vcpus"]}
    was = opened(before)
    exits, apart = 0, Counter()
    for tid, reasons in opened(after).items():
        for code, stats in reasons.items():
            if "targets" not in stats:
                continue
            new = completed(stats) - (completed(was[tid][code]) if code in was[tid] else 0)
            counted = sum(part["count"] for part in [*stats["targets"], stats["targets_other"]])
            before_that = stats["targets_unknown"]
            if counted + before_that["count"] != completed(stats) or (
                    before_that["count"] and before_that["why"] != "before they were counted"):
                raise Mismatch(f"{stats['reason']}: {counted} of {completed(stats)} exits by "
                               f"target, unknown {before_that}")
            exits += counted
            apart[tid] += abs(new - counted)
    if not exits or max(apart.values()) > 1:
        raise Mismatch(f"{exits} exits by target; by thread so many apart from those in the time: "
                       f"{apart}")
    return (f"{exits} exits by target while the screen was open, and {apart.total()} that began "
            "before")


def check(result: Result, kernel: str, vendor: str) -> None:
    guests = result.text("busy.txt") + result.text("halting.txt")
    before, after = (json.loads(result.text(f"{name}.json")) for name in ("before", "by_target"))
    said = compare(before, result.text("kernel.counts"), guests, _ISA[vendor])
    may_lose = {"split_missed"} if kernel.startswith("7.") else set()
    for run in (before, after):
        if losses := lost(run, may_lose):
            raise Mismatch(f"lost {losses}")
        check_kvm_count(run)
    rounds, seconds = map(int, result.text("rounds").split())
    if rounds != _ROUNDS[vendor]:
        raise Mismatch(f"only {rounds} rounds in {seconds} s")
    for run, want in ((before, set()), (after, {"busy"})):
        by_target = {vm["name"] for vm in run["vms"] for vcpu in vm["vcpus"]
                     for stats in vcpu["exits"] if "targets" in stats}
        if by_target != want:
            raise Mismatch(f"exits by target are written of {by_target}, not of {want}")
    opened = set(result.text("opened").splitlines())
    print(f"  on and off {rounds} times in {seconds} s: {said}; {check_kvm_count(after)}")
    print(f"  held when closed: {result.text('closed').strip()}; when open: {' or '.join(opened)}")
    print(f"  {check_window(before, after)}")


def main() -> int:
    options = harness.options()
    programs = workloads.guest_programs(options.guests, "micro_vm", "trace_counts")
    job = Job(kernel=options.kernel, vendor=options.vendor, timeout_s=500,
              script=f"ROUNDS={_ROUNDS[options.vendor]} WORK={_WORK} "
                     f"REASON={_REASON[options.vendor]}\n{_SCRIPT}",
              files=live_terminal.files(),
              programs={"/bin/exittop": options.exittop, **live_terminal.programs(), **programs})
    return harness.run(job, lambda result: check(result, options.kernel, options.vendor))


if __name__ == "__main__":
    sys.exit(main())
