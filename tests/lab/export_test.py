# SPDX-License-Identifier: GPL-2.0-only
"""exittop exports while VMs run on a real kernel; node_exporter and Prometheus, real ones, read it.

In the emulated host two exporters write their files every second, from before KVM's vendor module
is there until they are ended, while VMs come, go and come back; a third one's folder is missing,
then read-only, then full. Every state of the files is kept. Here they are put one after another, at
the pace at which they were written, where node_exporter looks for them and Prometheus scrapes it:
sums in PromQL are held against the kernel's own count of the same exits.
"""

import re
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "cli"))

import harness
import prometheus
from counts import Mismatch, guest_threads

import kernel_counts
import workloads
from emulated_host import Job, Result

_HOSTILE = 'ev"il\\\\ {} =\n#x'
_SCRIPT = r"""
said() { while ! grep -q "$1" "$2"; do sleep 0.1; done; }
# Keeps each state of a file: /out/NAME/0001, ... until the file /tmp/done is there.
keep() {
    mkdir -p /out/$1
    number=1000
    while [ ! -e /tmp/done ]; do
        if [ -e $2 ] && ! cmp -s $2 /tmp/last.$1; then
            cat $2 >/tmp/last.$1
            number=$((number + 1))
            cp /tmp/last.$1 /out/$1/$number
        fi
        sleep 0.1
    done
}
load_kvm_core
mkdir -p /tmp/full /tmp/top /tmp/count
umask 077
exittop export --textfile /tmp/full/exittop.prom --interval 1 --histograms --per-vcpu --measure \
    2>/out/full.err & full=$!
exittop export --textfile /tmp/top/exittop.prom --interval 1s --top-reasons 2 \
    2>/out/top.err & top=$!
exittop export --textfile /tmp/count/exittop.prom --interval 1 --detail count 2>/out/count.err &
count=$!
umask 022
keep full /tmp/full/exittop.prom & keep top /tmp/top/exittop.prom &
keep count /tmp/count/exittop.prom &
said waiting /out/full.err
sleep 1.5
load_kvm 1
said counting /out/full.err
said counting /out/top.err
said counting /out/count.err
kernel_counts_start
step "VMs that come, go, and come back"
{
    micro_vm --vcpus 2 --rounds 15000 --halts 40 --halt-us 20000 --end-ms 2500 -- \
        qemu-system-x86_64 -name guest=web,debug-threads=on \
        -uuid 8a6f4c0e-5f0b-4d3c-9a53-3b1f0d9f6c11 &
    micro_vm --rounds 2000 --slow-outs 20 --slow-us 5000 --end-ms 2500 -- firecracker --id back
    micro_vm --rounds 500 --end-ms 2500 -- firecracker --id back
    micro_vm --rounds 300 --end-ms 2500 -- qemu-system-x86_64 -name "guest=$(cat /hostile)"
    wait $!
} >/out/guests.txt
sleep 2.5
kernel_counts_stop /out/kernel.counts
touch /tmp/done
ls -l /tmp/full >/out/modes
kill -TERM $full $top $count
wait $full; echo $? >/out/full.status
wait $top; echo $? >/out/top.status
wait $count; echo $? >/out/count.status
ls -A /tmp/full /tmp/top /tmp/count >/out/left

step "a folder that is missing, read-only, full"
exittop export --textfile /mnt/a/exittop.prom --interval 1 2>/out/faults.err & faulty=$!
said trying /out/faults.err
sleep 2
mkdir -p /mnt/a
mount -t tmpfs -o size=64k none /mnt/a
said "writes '/mnt/a" /out/faults.err
cp /mnt/a/exittop.prom /out/faults.1
mount -o remount,ro /mnt/a
said Read-only /out/faults.err
sleep 2
cp /mnt/a/exittop.prom /out/faults.2
mount -o remount,rw /mnt/a
while [ $(grep -c "writes '/mnt/a" /out/faults.err) -lt 2 ]; do sleep 0.1; done
dd if=/dev/zero of=/mnt/a/filler bs=1k 2>/dev/null
said "No space" /out/faults.err
sleep 2
cp /mnt/a/exittop.prom /out/faults.3
rm /mnt/a/filler
while [ $(grep -c "writes '/mnt/a" /out/faults.err) -lt 3 ]; do sleep 0.1; done
cp /mnt/a/exittop.prom /out/faults.4

step "killed"
kill -KILL $faulty
wait $faulty
cp /mnt/a/exittop.prom /out/killed.prom
exittop export --textfile /mnt/a/exittop.prom --duration 0.5 2>/out/once.err
echo $? >/out/once.status
cp /mnt/a/exittop.prom /out/once.prom
ls -A /mnt/a >/out/once.left
"""

Samples = dict[str, float]


def read(text: str) -> Samples:
    """Values by series, as they are written."""
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
            for line in text.splitlines() if not line.startswith("#")}


def label(series: str, name: str) -> str:
    """A label's value, unescaped."""
    found = re.search(rf'[{{,]{name}="((?:[^"\\]|\\.)*)"', series)
    return re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], found[1]) if found else ""


def states(result: Result, name: str) -> list[str]:
    """The states of a file, in their order."""
    return [result.text(path) for path in sorted(result.out) if path.startswith(f"{name}/")]


def kernel_by_pid(result: Result) -> Counter:
    threads = guest_threads(result.text("guests.txt"))
    counts: Counter = Counter()
    for key, count in kernel_counts.parse(result.text("kernel.counts")).items():
        counts[threads[key.tid].pid] += count
    return counts


def exported_by_pid(files: list[str], family: str) -> Counter:
    """The last value of each VM's series, summed, by the pid that the VM has beside it."""
    last: dict[tuple[int, str], float] = {}
    for text in files:
        samples = read(text)
        pid_of = {label(series, "vm"): int(label(series, "pid")) for series in samples
                  if series.startswith("exittop_vm_info{")}
        for series, value in samples.items():
            if series.startswith(family + "{"):
                last[pid_of[label(series, "vm")], series] = value
    counts: Counter = Counter()
    for (pid, _), value in last.items():
        counts[pid] += round(value)
    return counts


def want(what: str, found, expected) -> None:
    if found != expected:
        raise Mismatch(f"{what}: {found}, not {expected}")


def check_files(result: Result) -> None:
    """What the files alone must show."""
    kernel = kernel_by_pid(result)
    full, top, count = (states(result, name) for name in ("full", "top", "count"))
    want("VMs that ran", len(kernel), 4)
    want("exits by reason", exported_by_pid(full, "exittop_vm_exits_total"), kernel)
    want("exits by vCPU", exported_by_pid(full, "exittop_vcpu_exits_total"), kernel)
    # The last exit of a vCPU has no entry after it, and so no duration.
    vcpus = Counter(guest.pid for guest in set(guest_threads(result.text("guests.txt")).values()))
    want("exits with a duration",
         exported_by_pid(full, "exittop_vm_exit_duration_seconds_count"), kernel - vcpus)
    want("exits of the top reasons and others",
         exported_by_pid(top, "exittop_vm_exits_total"), kernel)
    want("exits where they alone are counted",
         exported_by_pid(count, "exittop_vm_exits_total"), kernel)
    want("times where exits alone are counted",
         [series for text in count for series in read(text)
          if re.match(r"exittop_v.*(seconds|ratio)", series)], [])
    for text in full + top + count:
        if said := prometheus.check_metrics(text.encode()):
            raise Mismatch(f"promtool says of what was written: {said}")
        lost = {series: value for series, value in read(text).items()
                if series.startswith("exittop_lost_total") and value}
        want("losses", lost, {})
    for text in top:
        reasons = Counter(label(series, "vm") for series in read(text)
                          if series.startswith("exittop_vm_exits_total"))
        if any(number > 3 for number in reasons.values()):
            raise Mismatch(f"more than two reasons and the others: {reasons}")
    want("counting at first", read(full[0])["exittop_counting"], 0)
    want("counting at last", read(full[-1])["exittop_counting"], 1)
    if any("exittop_vm_" in series for series in read(full[-1])):
        raise Mismatch("VMs are exported two intervals after the last one ended")
    if not (read(full[-1])["exittop_bpf_runs_total"] > 0
            and read(full[-1])["exittop_slots_limit"] == 4096):
        raise Mismatch("exittop's own cost is missing")
    for name in ("full", "top"):
        want(f"status of {name}", result.text(f"{name}.status").strip(), "0")
    if "-rw-r--r--" not in result.text("modes"):
        raise Mismatch("the file's mode: " + result.text("modes"))
    want("what is left", [line for line in result.text("left").split() if "prom" in line], [])


def check_faults(result: Result) -> None:
    said = result.text("faults.err").splitlines()
    expected = ["counting", "cannot write.*No such file.*; trying again", "writes .* again",
                "cannot write.*Read-only", "writes .* again", "cannot write.*No space",
                "writes .* again"]
    want("lines said of faults", len(said), len(expected))
    for line, pattern in zip(said, expected, strict=True):
        if not re.search(pattern, line):
            raise Mismatch(f"it said {line!r}, not {pattern!r}")
    errors = []
    for number in (1, 2, 3, 4):
        text = result.text(f"faults.{number}")
        if prometheus.check_metrics(text.encode()) or "exittop_build_info" not in text:
            raise Mismatch(f"the file is broken in the state {number}")
        errors.append(read(text)["exittop_write_errors_total"])
    # For two seconds each, the folder was missing, read-only and full; the count never decreases.
    if not (2 <= errors[0] == errors[1] < errors[2] < errors[3]):
        raise Mismatch(f"errors counted: {errors}")
    if "exittop_build_info" not in result.text("killed.prom"):
        raise Mismatch("killed, it left a broken file")
    want("status of the single export", result.text("once.status").strip(), "0")
    want("what a single export leaves", result.text("once.left").split(), ["exittop.prom"])


def replay(files: list[str], folder: Path) -> None:
    """Puts one state after another, a second apart, where the collector reads them."""
    for text in files:
        (folder / "next").write_text(text)
        (folder / "next").rename(folder / "exittop.prom")
        time.sleep(1)
    (folder / "exittop.prom").unlink()


def check_prometheus(result: Result, files: list[str]) -> str:
    kernel = kernel_by_pid(result)
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        textfiles = work / "textfiles"
        textfiles.mkdir()
        with (prometheus.node_exporter(textfiles, work) as exporter,
              prometheus.prometheus(work, [exporter.target], interval="250ms") as server):
            replay(files, textfiles)
            time.sleep(1)
            if exporter.scrape_error():
                raise Mismatch("node_exporter could not read a file")
            return check_queries(server, kernel)


def check_queries(server: prometheus.Prometheus, kernel: Counter) -> str:
    pids = {(labels["vm"], int(labels["pid"])): labels
            for labels, _ in server.query("last_over_time(exittop_vm_info[10m])")}
    vms = {vm for vm, _ in pids}
    hostile = {vm for vm in vms if "ev" in vm}
    want("names", vms - hostile, {"web", "back"})
    web = next(labels for (vm, _), labels in pids.items() if vm == "web")
    want("uuid of web", web["uuid"], "8a6f4c0e-5f0b-4d3c-9a53-3b1f0d9f6c11")
    sums = {labels["vm"]: round(value) for labels, value in
            server.query("sum by (vm) (max_over_time(exittop_vm_exits_total[10m]))")}
    for (vm, pid) in pids:
        if vm != "back":
            want(f"PromQL's sum over the reasons of {vm!r}", sums[vm], kernel[pid])
    # The VM that came back is a counter that began anew: the larger life is its maximum.
    want("resets of the VM that came back",
         server.value('max(resets(exittop_vm_exits_total{vm="back",reason="cpuid"}[10m]))'), 1)
    rate = server.value('max_over_time(sum(rate(exittop_vm_exits_total{vm="web"}[3s]))[10m:500ms])')
    if not (rate and sums["web"] / 100 < rate < sums["web"]):
        raise Mismatch(f"web's highest rate is {rate}")
    for quantile in (0.5, 0.99):
        seconds = server.value(f"max_over_time(histogram_quantile({quantile}, sum by (le) (rate("
                               "exittop_vm_exit_duration_seconds_bucket[3s])))[10m:500ms])")
        if not (seconds and 1e-7 < seconds <= 1.1):
            raise Mismatch(f"the quantile {quantile} is {seconds}")
    slept = server.value('max_over_time(exittop_vm_blocked_seconds_total{vm="back"}[10m])')
    halted = server.value('max_over_time(exittop_vm_halted_seconds_total{vm="web"}[10m])')
    if not (slept and slept > 0.09 and halted and halted > 0.5):
        raise Mismatch(f"seconds in which the VMM slept {slept}, halted {halted}")
    if server.query("exittop_last_update_timestamp_seconds"):
        raise Mismatch("the metrics of an exporter that ended are still there")
    return f"{sum(kernel.values())} exits of {len(kernel)} VMs equal, up to {rate:.0f} exits/s"


def check(result: Result) -> None:
    check_files(result)
    check_faults(result)
    print("  Prometheus:", check_prometheus(result, states(result, "full")))


def main() -> int:
    options = harness.options()
    programs = workloads.guest_programs(options.guests, "micro_vm", "trace_counts")
    job = Job(kernel=options.kernel, vendor=options.vendor, script=_SCRIPT, timeout_s=400,
              files={"/hostile": _HOSTILE.encode()},
              programs={"/bin/exittop": options.exittop, **programs})
    return harness.run(job, check)


if __name__ == "__main__":
    sys.exit(main())
