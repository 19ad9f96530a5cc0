# SPDX-License-Identifier: GPL-2.0-only
"""Several CPUs: many VMs at once, vCPUs that move from CPU to CPU, snapshots all the time.

Three instances of exittop count the same exits in one emulated host. `dump` takes one snapshot at
the end. The batch view takes one after the other as fast as it can: it prints what came since the
last one and never less than nothing, so one that went back would be made up for by a sum beyond the
kernel's count. What `export` prints is cumulative, and no series of it goes back.

Of two CPUs one has no tick while a task is alone there (nohz_full), so that the kernel cannot be
asked by membarrier() to wait for what runs.
"""

import json
import re
import sys

import harness
from counts import Mismatch, add_up, check_kvm_count, compare, guest_rounds, lost

import workloads
from emulated_host import Job, Result

_VMS, _VCPUS, _ONE_AFTER_ANOTHER, _HALTING = 20, 4, 30, 10

_SCRIPT = r"""
said() { while ! grep -q "$1" "$2"; do sleep 0.1; done; }
load_kvm 1
nproc >/out/cpus
cat /sys/devices/system/cpu/nohz_full >/out/nohz_full
exittop dump --format json >/out/whole.json 2>/out/whole.err & whole=$!
exittop -b -d 0.2 --detail time --format json >/out/intervals.jsonl 2>/out/batch.err & batch=$!
exittop export --textfile - --interval 1 --per-vcpu --histograms >/out/states.prom \
    2>/out/export.err & export=$!
for name in whole batch export; do said counting /out/$name.err; done
kernel_counts_start
step "many VMs at once"
micro_vm --vms $VMS --vcpus $VCPUS --rounds 200 --move-us 4000 --end-ms 2500 -- \
    qemu-system-x86_64 -name many >/out/many.guests & many=$!
micro_vm --vms $ONE_AFTER_ANOTHER --sequential --rounds 60 --move-us 4000 -- \
    firecracker --id sequence >/out/sequence.guests & sequence=$!
for i in $(seq $HALTING); do
    micro_vm --rounds 50 --halts 3 --halt-us 20000 -- crosvm run --name halting$i
done >/out/halting.guests
wait $many $sequence
sleep 1.5
kernel_counts_stop /out/kernel.counts
for pid in $whole $batch $export; do
    kill -TERM $pid
    wait $pid || exit 1
done
"""


def check_moves(text: str, cpus: int) -> int:
    """Each vCPU of the many was met on another CPU than before; how often all were."""
    moves = [seen.moves for seen in guest_rounds(text)]
    if len(moves) != _VMS * _VCPUS or not all(moves):
        raise Mismatch(f"not every vCPU was moved between {cpus} CPUs: {sorted(moves)}")
    return sum(moves)


def states_of(text: str) -> list[dict[str, float]]:
    """What export printed, one update after another: counters by their series."""
    states: list[dict[str, float]] = [{}]
    for line in text.splitlines():
        series, _, value = line.rpartition(" ")
        if re.match(r"\w+_(total|bucket|sum|count)\b", line):
            states[-1][series] = float(value)
        if line.startswith("exittop_build_info"):   # the last of each update
            states.append({})
    return states[:-1]


def check_states(states: list[dict[str, float]]) -> int:
    """No counter of a remaining VM decreases; returns how often one increased."""
    steps = 0
    for earlier, later in zip(states, states[1:], strict=False):
        for series in earlier.keys() & later.keys():
            # Those that come and go in one process have each other's name.
            if later[series] < earlier[series] and 'vm="sequence' not in series:
                raise Mismatch(f"{series} went back from {earlier[series]} to {later[series]}")
            steps += later[series] > earlier[series]
    return steps


def exported(states: list[dict[str, float]]) -> int:
    """The last value of each reason of each of the many, of which all but one that may have come
    first are told apart by a #; summed."""
    last: dict[str, float] = {}
    for state in states:
        last |= {series: value for series, value in state.items()
                 if series.startswith(('exittop_vm_exits_total{vm="many#',
                                       'exittop_vm_exits_total{vm="many",'))}
    return round(sum(last.values()))


def check(result: Result, cpus: int, kernel: str) -> None:
    if int(result.text("cpus")) != cpus:
        raise Mismatch(f"the emulated host has {result.text('cpus').strip()} CPUs, not {cpus}")
    if cpus == 2 and result.text("nohz_full").strip() != "1":
        raise Mismatch(f"without a tick: {result.text('nohz_full')}")
    may_lose = {"split_missed"} if kernel.startswith("7.") else set()
    guests = "".join(result.text(f"{name}.guests") for name in ("many", "sequence", "halting"))
    intervals = [json.loads(line) for line in result.text("intervals.jsonl").splitlines()]
    whole = json.loads(result.text("whole.json"))
    for name, run in (("one snapshot", whole), ("batch", add_up(intervals))):
        said = compare(run, result.text("kernel.counts"), guests, 2)
        if losses := lost(run, may_lose):
            raise Mismatch(f"{name}: lost {losses}")
        if len(run["vms"]) != _VMS + _ONE_AFTER_ANOTHER + _HALTING:
            raise Mismatch(f"{name}: {len(run['vms'])} VMs")
        print(f"  {name}: {said}")
    print("  " + check_kvm_count(whole))
    busy = sum(bool(interval["vms"]) for interval in intervals)
    if busy < 10:
        raise Mismatch(f"only {busy} snapshots while VMs ran")
    states = states_of(result.text("states.prom"))
    steps = check_states(states)
    many = sum(stats["count"] for vm in whole["vms"] if vm["name"] == "many"
               for vcpu in vm["vcpus"] for stats in vcpu["exits"])
    if exported(states) != many:
        raise Mismatch(f"export says {exported(states)} exits of many, dump {many}")
    print(f"  {busy} intervals in which VMs ran; {len(states)} updates of the metrics, in which "
          f"counters went on {steps} times and never back")
    print(f"  {check_moves(result.text('many.guests'), cpus)} moves of {_VMS * _VCPUS} vCPUs "
          f"between {cpus} CPUs seen")


def main() -> int:
    options = harness.options()
    programs = workloads.guest_programs(options.guests, "micro_vm", "trace_counts")
    numbers = (f"VMS={_VMS} VCPUS={_VCPUS} ONE_AFTER_ANOTHER={_ONE_AFTER_ANOTHER} "
               f"HALTING={_HALTING}\n")
    job = Job(kernel=options.kernel, vendor="amd", script=numbers + _SCRIPT, timeout_s=400,
              cpus=options.cpus, kernel_arguments="nohz_full=1" if options.cpus == 2 else "",
              programs={"/bin/exittop": options.exittop, **programs})
    return harness.run(job, lambda result: check(result, options.cpus, options.kernel))


if __name__ == "__main__":
    sys.exit(main())
