# SPDX-License-Identifier: GPL-2.0-only
"""The tools whose cost per exit is compared: how each runs around a guest, and what it counted.

A tool's script runs in the emulated host, once for each of its loops, with /bin/loop as the guest;
it leaves in $OUT what the tool says at the end. `read` takes that text and gives how many exits it
counted, and what it says of the mean time of a CPUID exit.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass

_CPUID = 0x72   # SVM_EXIT_CPUID; VMX has 10
_CPUID_OF_ISA = {"svm": _CPUID, "vmx": 10}


# What the guest does.
LOOPS = ("cpuid", "long", "out", "halt", "msr", "port", "doorbell", "wbinvd")
# Exits of a batch, and batches: longer than the 20 ms until exittop has detached the program that
# learns, from a host's first exits, when KVM counts an exit.
SIZE = "200 120"
_SPLIT = ("cpuid", "long", "out", "halt")
# Reasons whose exits have targets, and one without. No exit goes to the VMM.
TARGETS = {"cpuid": "CPUID", "msr": "MSR", "port": "I/O", "doorbell": "npf, EPT_MISCONFIG",
           "wbinvd": "another"}


@dataclass(frozen=True)
class Reading:
    """What a tool said: exits in all or of the loop alone, and the mean time of these as text."""
    exits: int | None = None
    of_loop: int | None = None
    mean: str = "-"
    uncounted: int | None = None    # exits that it says it did not count


@dataclass(frozen=True)
class Tool:
    """How a tool is run and understood."""
    name: str           # of its files
    title: str          # in the table
    script: str
    read: Callable[[str], Reading] = lambda text: Reading()
    rival: bool = True
    amd_only: bool = False
    without: str | None = "none"    # the tool whose run is the same but for the tracing
    loops: tuple[str, ...] = ("cpuid",)


def _read_exittop(text: str) -> Reading:
    if not text:
        return Reading(0, 0)
    run = json.loads(text)
    exits = [stats for vm in run["vms"] for vcpu in vm["vcpus"] for stats in vcpu["exits"]]
    cpuid = [stats for stats in exits if stats["code"] == _CPUID_OF_ISA[run["host"]["isa"]]]
    count = sum(stats["count"] for stats in cpuid)
    time = sum(stats.get("time_ns", 0) for stats in cpuid)
    return Reading(sum(stats["count"] for stats in exits), count,
                   f"{time / count:.0f}" if count and time else "-")


def _read_uncounted(text: str) -> Reading:
    run = json.loads(text)
    return Reading(uncounted=sum(vcpu.get("uncounted", 0)
                                 for vm in run["vms"] for vcpu in vm["vcpus"]))


def _read_perf_stat(text: str) -> Reading:
    counted = re.search(r"^(\d+),[^,]*,kvm:kvm_exit,", text, re.MULTILINE)
    return Reading(exits=int(counted[1]) if counted else 0)


def _read_perf_kvm(text: str) -> Reading:
    """The last table's row of cpuid: samples, shares, least, most, and mean time."""
    rows = re.findall(r"^\s*(?:cpuid|CPUID)\s+(\d+)\s.*?([\d.]+)us \( \+-", text, re.MULTILINE)
    if not rows:
        return Reading(of_loop=0)
    return Reading(of_loop=sum(int(count) for count, _ in rows),
                   mean=f"{float(rows[-1][1]) * 1000:.0f}")


def _read_bpftrace(text: str) -> Reading:
    """The histogram of the CPUID exits: the sum of its rows, and the row that holds most."""
    part = re.search(rf"^@ns\[(?:{_CPUID}|10)\]:\s*\n((?:[\[(].*\n?)+)", text, re.MULTILINE)
    rows = re.findall(r"^\[([^,]+), ([^)]+)\)\s+(\d+)", part[1], re.MULTILINE) if part else []
    if not rows:
        return Reading(of_loop=0)
    low, high, _ = max(rows, key=lambda row: int(row[2]))
    return Reading(of_loop=sum(int(count) for _, _, count in rows), mean=f"{low} to {high}")


def _read_hist(text: str) -> Reading:
    cpuid = re.search(r"\{ exit_reason:\s*(\d+) \} hitcount:\s*(\d+)", text)
    rows = re.findall(r"\{ exit_reason:\s*(\d+) \} hitcount:\s*(\d+)", text)
    counts = {int(reason): int(count) for reason, count in rows}
    return Reading(sum(counts.values()), counts.get(_CPUID, counts.get(10, 0)) if cpuid else 0)


def _exittop(name: str, title: str, arguments: str, loops: tuple[str, ...]) -> Tool:
    return Tool(f"exittop-{name}", title,
                f"exittop dump {arguments} --format json -- /bin/loop >$OUT",
                _read_exittop, rival=False, loops=loops)


# Beside a stopped guest, which alone makes a halt 98 instructions longer.
_BESIDE = """
cat >/tmp/beside.sh <<'END'
exit_loop_vm cpuid 1000000 60 >/dev/null &
sleep 0.2
kill -STOP $!
/bin/loop
kill -KILL $!
END
"""
# That guest has the only slot.
_FULL = _BESIDE + "exittop dump --max-vcpus 1 --format json -- sh /tmp/beside.sh >$OUT\n"


def _perf_stat(name: str, title: str, events: str) -> Tool:
    return Tool(name, title, f"perf stat -a -x, -e '{events}' -o $OUT -- /bin/loop",
                _read_perf_stat)


_BPFTRACE = """
tracepoint:kvm:kvm_exit { @start[tid] = nsecs; @reason[tid] = args->exit_reason; }
tracepoint:kvm:kvm_entry /@start[tid]/ {
    @ns[@reason[tid]] = hist(nsecs - @start[tid]);
    delete(@start[tid]);
    delete(@reason[tid]);
}
END { clear(@start); clear(@reason); }
"""

# It reads its keys from stdin, and loops if stdin is at its end.
_PERF_LIVE = """
mkfifo /tmp/keys
perf kvm stat live -a </tmp/keys >$OUT 2>&1 &
exec 9>/tmp/keys
sleep 5
/bin/loop
sleep 3
echo q >&9
exec 9>&-
wait
rm /tmp/keys
"""

_HIST = """
trigger=/sys/kernel/tracing/events/kvm/kvm_exit/trigger
echo 'hist:keys=exit_reason' >$trigger
/bin/loop
cat ${trigger%trigger}hist >$OUT
echo '!hist:keys=exit_reason' >$trigger
"""

OWN = (
    Tool("none", "no tracing", "/bin/loop", rival=False, without=None, loops=LOOPS),
    Tool("none-beside", "no tracing, beside a guest that stands still",
         _BESIDE + "sh /tmp/beside.sh\n", rival=False, without=None, loops=_SPLIT),
    Tool("floor", "floor: an empty pair of raw tracepoint programs", "floor /bin/loop",
         rival=False, loops=_SPLIT),
    _exittop("count", "exittop --detail count", "--detail count", _SPLIT),
    _exittop("time", "exittop --detail time", "--detail time", _SPLIT),
    _exittop("histogram", "exittop, as shipped (--detail histogram)", "", LOOPS),
    _exittop("targets", "exittop --targets all", "--targets all", LOOPS),
    Tool("exittop-full", "exittop, of a vCPU beyond --max-vcpus", _FULL, _read_uncounted,
         rival=False, without="none-beside", loops=_SPLIT),
)


@dataclass(frozen=True)
class _Event:
    """Which of the kernel's events tells the target of a loop's exits."""
    loop: str
    name: str           # of the event
    keys: str           # its fields
    key: str            # the same as one number that is not 0, for bpftrace
    perf: str           # what `perf kvm stat report --event` calls it


_EVENTS = (
    _Event("cpuid", "kvm_cpuid", "function,index", "(args->function << 32 | args->index) + 1", ""),
    _Event("msr", "kvm_msr", "ecx,write", "args->ecx << 1 | args->write", "msr"),
    _Event("port", "kvm_pio", "port,rw,size", "args->port << 16 | args->rw << 8 | args->size",
           "ioport"),
    _Event("doorbell", "kvm_page_fault", "fault_address,error_code", "args->fault_address", "mmio"),
)
_TARGET_HIST = """
trigger=/sys/kernel/tracing/events/kvm/{event.name}/trigger
echo 'hist:keys={event.keys}' >$trigger
/bin/loop
cat ${{trigger%trigger}}hist >$OUT
echo '!hist:keys={event.keys}' >$trigger
"""
_TARGET_BPFTRACE = """
tracepoint:kvm:kvm_exit {{ @start[tid] = nsecs; }}
tracepoint:kvm:{event.name} {{ @target[tid] = {event.key}; }}
tracepoint:kvm:kvm_entry /@target[tid]/ {{
    @ns[@target[tid]] = stats(nsecs - @start[tid]);
    delete(@target[tid]);
}}
END {{ clear(@start); clear(@target); }}
"""


def _read_largest(pattern: str) -> Callable[[str], Reading]:
    """The target with the most exits is the loop's."""
    return lambda text: Reading(of_loop=max(map(int, re.findall(pattern, text)), default=0))


def _bpftrace(name: str, title: str, loop: str, program: str,
              read: Callable[[str], Reading]) -> Tool:
    # It does not run scripts, and its output is mixed with the guest's.
    return Tool(name, title,
                f"bpftrace -c \"/bin/exit_loop_vm {loop} {SIZE}\" -e '{program}' >$OUT\n"
                "grep ^loop= $OUT >/tmp/loop.txt", read, loops=(loop,))


def _perf_record(name: str, title: str, loop: str, event: str,
                 read: Callable[[str], Reading]) -> Tool:
    return Tool(name, title,
                "perf kvm stat record -a -o /tmp/perf.data -- /bin/loop >/dev/null 2>&1\n"
                f"perf kvm -i /tmp/perf.data stat report --event={event} >$OUT 2>&1\n"
                "rm /tmp/perf.data", read, loops=(loop,))


def _of_targets(event: _Event) -> list[Tool]:
    """Rivals that tell the target of a loop's exits; the same titles for each loop."""
    tools = [
        Tool(f"hist-{event.loop}", "hist trigger (counts alone)",
             _TARGET_HIST.format(event=event), _read_largest(r"hitcount:\s*(\d+)"),
             loops=(event.loop,)),
        _bpftrace(f"bpftrace-{event.loop}", "bpftrace, count and mean time", event.loop,
                  _TARGET_BPFTRACE.format(event=event), _read_largest(r"@ns\[.*count (\d+)")),
    ]
    if event.perf:
        tools.append(_perf_record(f"perf-{event.loop}", "perf kvm stat record, report --event",
                                  event.loop, event.perf,
                                  _read_largest(r"(?m)^\s*0x\S+\s+(\d+)\s")))
    return tools


TARGET_RIVALS = tuple(tool for event in _EVENTS for tool in _of_targets(event))
RIVALS = (
    _perf_stat("perf-exit", "perf stat -e kvm:kvm_exit", "kvm:kvm_exit"),
    _perf_stat("perf-pair", "perf stat -e kvm:kvm_exit,kvm:kvm_entry",
               "kvm:kvm_exit,kvm:kvm_entry"),
    _perf_stat("perf-all", "perf stat -e 'kvm:*' (what kvm_stat -t opens)", "kvm:*"),
    Tool("hist", "hist trigger on kvm_exit, by reason", _HIST, _read_hist),
    _bpftrace("bpftrace", "bpftrace, a histogram per reason", "cpuid", _BPFTRACE, _read_bpftrace),
    _perf_record("perf-record", "perf kvm stat record", "cpuid", "vmexit", _read_perf_kvm),
    Tool("perf-live", "perf kvm stat live", _PERF_LIVE, _read_perf_kvm),
)
