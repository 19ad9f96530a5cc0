# SPDX-License-Identifier: GPL-2.0-only
"""The batch on a real kernel: the sum of its intervals equals the kernel's own count.

It starts before the vendor's module, as JSON and as CSV, and runs until a signal; VMs start and end
meanwhile. Beside it: a table without -b in a file, a number of intervals, a reader that goes away.
"""

import csv
import json
import sys
from collections import Counter

import harness
from counts import INTERRUPTS, Mismatch, add_up, compare, lost

import workloads
from emulated_host import Job, Result

_SCRIPT = r"""
said() { while ! grep -q "$1" "$2"; do sleep 0.1; done; }
load_kvm_core
exittop -b -d 500ms --format json >/out/intervals.jsonl 2>/out/json.err & json=$!
exittop live --delay 1 --format csv >/out/intervals.csv 2>/out/csv.err & csv=$!
said waiting /out/json.err
sleep 0.5
load_kvm 1
said counting /out/json.err
said counting /out/csv.err
kernel_counts_start
exittop -n 3 -d 1 --sort time >/out/table.txt 2>/out/table.err & table=$!
said counting /out/table.err
step "VMs that start and end between the intervals"
{
    micro_vm --rounds 300 --end-ms 1500 -- qemu-system-x86_64 -name guest=one
    micro_vm --vms 2 --vcpus 2 --rounds 200 --end-ms 300 -- firecracker --id two
    for i in 1 2 3; do
        micro_vm --rounds 20 --halts 3 --halt-us 20000 -- crosvm run --name short
    done
} >/out/guests.txt
wait $table; echo $? >/out/table.status
kernel_counts_stop /out/kernel.counts
sleep 1.2
kill -TERM $json; wait $json; echo $? >/out/json.status
kill -TERM $csv; wait $csv; echo $? >/out/csv.status

step "a reader that goes away, a filter, an interval without VMs"
(exittop -b -d 0.5 --format json 2>/out/gone.err; echo $? >/out/gone.status) |
    head -n 1 >/out/gone.out
exittop -b -n 2 -d 0.2 --format csv --vm 'no*' >/out/none.csv 2>/out/none.err
exittop -b -n 1 -d 0.2 >/out/none.txt 2>>/out/none.err
exittop -b -d 60 </dev/null 2>/out/stopped.err & stopped=$!
said counting /out/stopped.err
kill -TERM $stopped; wait $stopped; echo $? >/out/stopped.status
"""


def check_intervals(intervals: list[dict], seconds: float) -> None:
    """Intervals are regular: the next one makes up for a late one, and none is early. A VM that
    ended is shown once as ended, and then no more."""
    if len(intervals) < 4:
        raise Mismatch(f"only {len(intervals)} intervals")
    ended = set()
    elapsed = 0.0
    for number, interval in enumerate(intervals, start=1):
        if interval["schema"] != "exittop/1":
            raise Mismatch(f"an interval's schema is {interval['schema']}")
        elapsed += interval["duration_s"]
        if elapsed < 0.99 * number * seconds or interval["duration_s"] > 4 * seconds:
            raise Mismatch(f"interval {number} took {interval['duration_s']} s and ended after "
                           f"{elapsed} s, with {seconds} s for each")
        for vm in interval["vms"]:
            if vm["id"] in ended:
                raise Mismatch(f"VM {vm['name']} is shown after its end")
            if vm["ended"]:
                ended.add(vm["id"])
    if len(ended) != 6:
        raise Mismatch(f"{len(ended)} VMs ended, not 6")


def counts_by_name(run: dict, isa: int) -> Counter:
    """Exits by VM name and code, without interrupts."""
    result: Counter = Counter()
    for vm in run["vms"]:
        for vcpu in vm["vcpus"]:
            for stats in vcpu["exits"]:
                if stats["code"] not in INTERRUPTS[isa]:
                    result[vm["name"], stats["code"]] += stats["count"]
    return result


def check_csv(text: str, run: dict, isa: int) -> None:
    """One heading, and the sums of the JSON."""
    if text.count("taken_at") != 1:
        raise Mismatch("the CSV has not one heading but " + str(text.count("taken_at")))
    sums: Counter = Counter()
    for row in csv.DictReader(text.splitlines()):
        if int(row["code"]) not in INTERRUPTS[isa]:
            sums[row["vm"], int(row["code"])] += int(row["count"])
    want = counts_by_name(run, isa)
    if sums != want:
        raise Mismatch(f"CSV and JSON differ: {sums - want} {want - sums}")


def check_statuses(result: Result) -> None:
    for name, want in (("table", "0"), ("json", "0"), ("csv", "0"), ("stopped", "0"),
                       ("gone", "1")):
        status = result.text(f"{name}.status").strip()
        if status != want:
            raise Mismatch(f"{name} ended with status {status}: {result.text(name + '.err')}")
    for name, times in (("json", 1), ("csv", 1), ("table", 0)):
        if result.text(f"{name}.err").count("waiting for kvm_intel or kvm_amd") != times:
            raise Mismatch(f"{name} said of its waiting: {result.text(name + '.err')}")
    errors = [line for line in result.text("gone.err").splitlines() if "counting" not in line]
    if errors != ["exittop: cannot write to stdout: Broken pipe"]:
        raise Mismatch(f"without a reader it said {errors}")


def check(result: Result, isa: int) -> None:
    check_statuses(result)
    intervals = [json.loads(line) for line in result.text("intervals.jsonl").splitlines()]
    check_intervals(intervals, 0.5)
    run = add_up(intervals)
    said = compare(run, result.text("kernel.counts"), result.text("guests.txt"), isa)
    if losses := lost(run):
        raise Mismatch(f"lost {losses}")
    check_csv(result.text("intervals.csv"), run, isa)
    table = result.text("table.txt")
    if table.count(" counted for ") != 3 or "\nVM " not in table:
        raise Mismatch(f"these are not three tables:\n{table}")
    if json.loads(result.text("gone.out"))["vms"]:
        raise Mismatch("there are VMs after the last one ended")
    if result.text("none.csv").count("\n") != 1 or "No exit of a VM" not in result.text("none.txt"):
        raise Mismatch("an interval without VMs is shown as " + result.text("none.csv") +
                       result.text("none.txt"))
    print(f"  {len(intervals)} intervals: {said}")


def main() -> int:
    options = harness.options()
    programs = workloads.guest_programs(options.guests, "micro_vm", "trace_counts")
    job = Job(kernel=options.kernel, vendor=options.vendor, script=_SCRIPT, timeout_s=400,
              programs={"/bin/exittop": options.exittop, **programs})
    isa = {"intel": 1, "amd": 2}[options.vendor]
    return harness.run(job, lambda result: check(result, isa))


if __name__ == "__main__":
    sys.exit(main())
