# SPDX-License-Identifier: GPL-2.0-only
"""The six parts of the exits' time are what the scheduler and KVM say they are.

VMs whose vCPUs compete with a busy program for one CPU, that halt with halt polling and without,
and whose VMM sleeps and spins. For each vCPU, the times in which it wanted a CPU, and slept,
between an exit and the next entry are made from the kernel's own events of the same run.
"""

import json
import re
import sys
from collections import defaultdict
from dataclasses import dataclass

import harness
from counts import Mismatch, check_kvm_count, lost

import workloads
from emulated_host import Job, Result

_PARTS = ("vmm_ns", "polled_ns", "preempted_ns", "halted_ns", "blocked_ns")
_WAITS, _WAIT_US = 20, 3000
_BUSY_ROUNDS = 1500

# Each VM's name says what it does. A poll succeeds only if another CPU sends the NMI meanwhile.
_SCRIPT = rf"""
cat >/tmp/session.sh <<'END'
CPUS=$(grep -c ^processor /proc/cpuinfo)
T=/sys/kernel/tracing
echo mono >$T/trace_clock
echo 32768 >$T/buffer_size_kb
events="sched/sched_switch sched/sched_wakeup kvm/kvm_exit kvm/kvm_entry"
for event in $events; do echo 1 >$T/events/$event/enable; done
vm() {{
    name=$1
    shift
    $pinned micro_vm --rounds 20 "$@" -- qemu-system-x86_64 -name $name >>/out/guests.txt
}}
poll=/sys/module/kvm/parameters/halt_poll_ns
echo 0 >$poll
pinned='taskset 1'
vm sleeps --slow-outs {_WAITS} --slow-us {_WAIT_US}
vm spins --slow-outs {_WAITS} --slow-us {_WAIT_US} --spin
vm halts --halts {_WAITS} --halt-us {_WAIT_US}
echo 10000000 >$poll
pinned=
[ $CPUS = 1 ] || vm polls --halts {_WAITS} --halt-us 300
taskset 1 /bin/busybox sh -c 'while :; do :; done' &
hog=$!
taskset 1 micro_vm --rounds {_BUSY_ROUNDS} --vms 2 -- qemu-system-x86_64 -name crowded \
    >>/out/guests.txt
taskset 1 micro_vm --rounds 100 --vms 3 --vcpus 2 --slow-outs 5 --slow-us 2000 --halts 5 \
    --halt-us 2000 -- qemu-system-x86_64 -name all >>/out/guests.txt
kill $hog
for event in $events; do echo 0 >$T/events/$event/enable; done
cat $T/per_cpu/cpu*/stats >/out/stats
cat $T/trace >/out/trace
END
load_kvm 1 || exit 1
exittop dump --format json -- /bin/busybox sh /tmp/session.sh >/out/run.json 2>/out/run.err
"""

_LINE = re.compile(r"^.{16}-(\d+) +\[(\d+)\] \S+ +([\d.]+): (\w+): (.*)$")
_SWITCH = re.compile(r"prev_pid=(\d+) .*prev_state=(\S+) ==> .*next_pid=(\d+)")
_WOKEN = re.compile(r" pid=(\d+) ")


@dataclass
class Thread:
    """One that runs a vCPU: what became of its time, in microseconds."""
    since: float = 0.0      # it does what it does
    state: str = "runs"
    in_exit: bool = False
    waited: float = 0.0     # for a CPU, in the exit being handled
    slept: float = 0.0
    all_waited: float = 0.0     # in those that are completed
    all_slept: float = 0.0
    changes: int = 0

    def becomes(self, state: str, now: float) -> None:
        if self.state == "waits":
            self.waited += now - self.since
        elif self.state == "sleeps":
            self.slept += now - self.since
        self.changes += 1
        self.state, self.since = state, now

    def exits(self) -> None:
        self.in_exit, self.waited, self.slept = True, 0.0, 0.0

    def enters(self) -> None:
        if self.in_exit:
            self.all_waited += self.waited
            self.all_slept += self.slept
        self.in_exit = False


def threads(trace: str) -> dict[int, Thread]:
    """By thread, from the kernel's events."""
    found: defaultdict[int, Thread] = defaultdict(Thread)
    for line in trace.splitlines():
        match = _LINE.match(line)
        if not match:
            continue
        tid, now, event, text = int(match[1]), float(match[3]) * 1e6, match[4], match[5]
        if event == "kvm_exit":
            found[tid].exits()
        elif event == "kvm_entry":
            found[tid].enters()
        elif event == "sched_wakeup" and (woken := _WOKEN.search(text)):
            thread = found[int(woken[1])]
            if thread.state == "sleeps":
                thread.becomes("waits", now)
        elif event == "sched_switch" and (switch := _SWITCH.search(text)):
            waits = switch[2].startswith("R")
            found[int(switch[1])].becomes("waits" if waits else "sleeps", now)
            found[int(switch[3])].becomes("runs", now)
    return found


def near(what: str, ours_ns: int, theirs_us: float, events: int) -> None:
    """Equal to 2%, and to what may pass between a clock's reading and the event that tells it."""
    difference = abs(ours_ns / 1000 - theirs_us)
    if difference > 0.02 * theirs_us + 20 * (events + 1):
        raise Mismatch(f"{what}: {ours_ns / 1000:.0f} us, the kernel's events say {theirs_us:.0f}")


def check_vcpu(name: str, vcpu: dict, thread: Thread) -> dict[str, int]:
    """Holds a vCPU's parts against the events, and returns them."""
    sums = dict.fromkeys(_PARTS, 0)
    for stats in vcpu["exits"]:
        if sum(stats[part] for part in _PARTS) > stats["time_ns"]:
            raise Mismatch(f"{name} {stats['reason']}: parts exceed the time: {stats}")
        for part in _PARTS:
            sums[part] += stats[part]
    print(f"  {name}: " + ", ".join(f"{part[:-3]} {ns / 1e6:.1f} ms" for part, ns in sums.items()
                                    if ns) +
          f"; by events waited {thread.all_waited / 1e3:.1f}, asleep {thread.all_slept / 1e3:.1f}")
    near(f"{name}: preempted", sums["preempted_ns"], thread.all_waited, thread.changes)
    near(f"{name}: asleep", sums["halted_ns"] + sums["blocked_ns"], thread.all_slept,
         thread.changes)
    return sums


def check_kind(name: str, sums: dict[str, int]) -> None:
    """What a VM of that name does takes the time that it should take."""
    least = _WAITS * _WAIT_US * 750
    wanted = {"sleeps": "blocked_ns", "spins": "vmm_ns", "halts": "halted_ns"}.get(name)
    if wanted and sums[wanted] < least:
        raise Mismatch(f"{name}: {wanted} is less than {least}: {sums}")
    others = {part for part in ("vmm_ns", "halted_ns", "blocked_ns") if part != wanted}
    if wanted and any(sums[part] > sums[wanted] / 3 for part in others):
        raise Mismatch(f"{name}: not only {wanted}: {sums}")
    if (name == "polls") != bool(sums["polled_ns"]) and name != "all":
        raise Mismatch(f"{name}: it polled for {sums['polled_ns']} ns")
    if name == "crowded" and sums["preempted_ns"] < 1_000_000:
        raise Mismatch(f"{name}: nothing waited for a CPU: {sums}")


def check(result: Result, cpus: int) -> None:
    dropped = sum(int(number) for number in
                  re.findall(r"(?:overrun|dropped events): (\d+)", result.text("stats")))
    if dropped:
        raise Mismatch(f"the kernel dropped {dropped} events")
    run = json.loads(result.text("run.json"))
    by_thread = threads(result.text("trace"))
    seen: defaultdict[str, int] = defaultdict(int)
    for vm in run["vms"]:
        for vcpu in vm["vcpus"]:
            check_kind(vm["name"], check_vcpu(vm["name"], vcpu, by_thread[vcpu["tid"]]))
            seen[vm["name"]] += 1
    wanted = {"sleeps": 1, "spins": 1, "halts": 1, "crowded": 2, "all": 6}
    if cpus > 1:
        wanted["polls"] = 1
    if seen != wanted:
        raise Mismatch(f"vCPUs of each name: {dict(seen)}")
    if losses := lost(run):
        raise Mismatch(f"lost {losses}")
    print(f"  {check_kvm_count(run)}")


def main() -> int:
    options = harness.options()
    # Where it can be, time is counted in instructions: other work of the machine has no part in it.
    icount = options.vendor == "amd" and options.cpus == 1
    job = Job(kernel=options.kernel, vendor=options.vendor, cpus=options.cpus, icount=icount,
              timeout_s=120 if icount else 300,
              script=_SCRIPT, programs={"/bin/exittop": options.exittop,
                                        **workloads.guest_programs(options.guests, "micro_vm")})
    return harness.run(job, lambda result: check(result, options.cpus))


if __name__ == "__main__":
    sys.exit(main())
