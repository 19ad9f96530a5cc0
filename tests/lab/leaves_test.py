# SPDX-License-Identifier: GPL-2.0-only
"""Guests read their own counts through CPUID, on KVM's modules with the patches of kernel/.

Tiny VMs ask leaves on demand, register by register (lab/guests/leaf_vm.c):
  - the parameter off, then on without a program: what the guest sees is what it sees unpatched;
  - each VM reads its own counts, equal to exittop's and to what the guest is known to have done,
    and exittop's to the kernel's own; a VM that may not sees what it would see without exittop;
  - cycles are exittop's times at the rate of the host's TSC, to the last digit where nothing more
    comes, and agree with stamps of that TSC;
  - each layout; undefined reasons; indices out of range; leaves around the four; no register holds
    what nobody put there;
  - exittop ends, or is killed, while a guest polls;
  - a VM that reads its counts keeps its slots when another user wants some of a full table;
  - a Linux guest runs exitleaf, once and as a watch: it reads no less than the kernel had counted
    before, and no more than exittop has in the end;
  - without the patch, and with the parameter off, `exittop leaves` says so and ends with status 77.
"""

import json
import re
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import harness
from counts import INTERRUPTS, Mismatch, lost

import inner_guest
import kernel_counts
import kernel_image
import kernels
import workloads
from emulated_host import Job, Result
from initramfs import Initramfs

_ALL_ONES = (1 << 32) - 1
_UNDEFINED = 0x3ff
_ISA = {"intel": 1, "amd": 2}
_CPUID = {"amd": 0x72, "intel": 10}
_IO = {"amd": 0x7b, "intel": 30}
# Faults of guest memory, which are over when a tiny VM is asked.
_FAULT = {"amd": 0x400, "intel": 48}
# Of the codes above, those of the other vendor that are none of this one's.
_FOREIGN = {"amd": {10, 30}, "intel": {0x72, 0x7b, 0x400}}
# By layout and leaf: what it tells, and whether of the reason in ECX.
_LAYOUTS = {
    "2020": {0x4ffffffe: ("count", True), 0x4fffffff: ("both", False)},
    "2021": {0x4ffffffc: ("cycles", True), 0x4ffffffd: ("count", True),
             0x4ffffffe: ("cycles", False), 0x4fffffff: ("count", False)},
    "2022": {0x4ffffffc: ("count", False), 0x4ffffffd: ("cycles", False),
             0x4ffffffe: ("count", True), 0x4fffffff: ("cycles", True)},
}
_LEAVES = range(0x4ffffffc, 0x50000000)
# Leaves that exittop does not answer: before and after the four, with bits above the low 32, other
# ranges.
_AROUND = [0x4ffffff8, 0x4ffffffb, 0x50000000, 0x50000003, 0xcffffffd, 0x0ffffffd, 0x40000010]
_INDICES = [_UNDEFINED, 0x80000000, 0xffffffff, 0x8000000a, 0x10000, 0xbeefcafe0000,
            0xfeedbeefcafe03ff]

_SCRIPT = r"""
said() { while ! grep -q "$1" "$2"; do sleep 0.05; done; }
# exittop takes a VM's name from the command line of a VMM that it knows.
mkdir /tmp/tiny /tmp/linux
ln -s /guests/leaf_vm /tmp/tiny/qemu-system-x86_64
ln -s /guests/linux_vm /tmp/linux/qemu-system-x86_64
VM=/tmp/tiny/qemu-system-x86_64

step "without the patch"
KVM_PARAMETERS=
mv /modules/kvm.ko /modules/kvm.patched; mv /modules/$LAB_VENDOR_MODULE.ko /modules/vendor.patched
cp /stock/kvm.ko /modules/kvm.ko; cp /stock/vendor.ko /modules/$LAB_VENDOR_MODULE.ko
load_kvm 1 || exit 1
leaf_vm </lab/queries >/out/unpatched.txt 2>&1
exittop leaves --vm '*' -- true >/out/unpatched.out 2>/out/unpatched.err
echo $? >/out/unpatched.status
unload_kvm || exit 1
mv /modules/kvm.patched /modules/kvm.ko; mv /modules/vendor.patched /modules/$LAB_VENDOR_MODULE.ko

step "with the patch, off"
load_kvm 1 || exit 1
leaf_vm </lab/queries >/out/off.txt 2>&1
exittop leaves --vm '*' -- true >/out/off.out 2>/out/off.err; echo $? >/out/off.status
unload_kvm || exit 1

step "on, without a program"
KVM_PARAMETERS=cpuid_answer=1
load_kvm 1 || exit 1
leaf_vm </lab/queries >/out/idle.txt 2>&1

for layout in 2020 2021 2022; do
    step "layout $layout: two VMs in a process, two vCPUs each, and one that may not"
    cat >/tmp/session.sh <<END
. /lab/job.env
. /lab/shell.sh
kernel_counts_start
mkfifo /tmp/yes.$layout
$VM --vms 2 --vcpus 2 -name guest=yes </tmp/yes.$layout >/out/yes.$layout & vm=\$!
exec 5>/tmp/yes.$layout
# Before anything is asked, all vCPUs have exited, and exittop has seen them.
printf 'work 0 40\nwork 1 6\n' >&5
sleep 1
cat /lab/queries >&5
sed 's/^0/1/; s/^time 0/time 1/' /lab/queries >&5
exec 5>&-
wait \$vm
(echo work 0 5; sleep 1; cat /lab/queries) | $VM -name guest=no >/out/no.$layout
kernel_counts_stop /out/$layout.counts
END
    exittop leaves --vm 'y*' --layout $layout --format json -- /bin/busybox sh /tmp/session.sh \
        >/out/$layout.json 2>/out/$layout.err || exit 1
done

step "exittop ends, or is killed, while a guest polls"
for signal in TERM KILL; do
    mkfifo /tmp/poll.$signal
    $VM -name guest=poll </tmp/poll.$signal >/out/poll.$signal & vm=$!
    exec 6>/tmp/poll.$signal
    (while echo "0 4ffffffd 3ff" && sleep 0.01; do :; done) >&6 & poll=$!
    exittop leaves --vm poll >/dev/null 2>/out/poll.err & service=$!
    said counting /out/poll.err
    sleep 1.5
    kill -$signal $service; wait $service
    sleep 1
    kill $poll; wait $poll
    exec 6>&-
    wait $vm || exit 1
done

step "counts around 32 bits"
mkfifo /tmp/wide
$VM -name guest=wide </tmp/wide >/out/wide & vm=$!
exec 6>/tmp/wide
exittop leaves --vm wide >/out/wide.table 2>/out/wide.err 6>&- & service=$!
said counting /out/wide.err
echo "work 0 10" >&6
sleep 1
preset_count $service $vm $LAB_CPUID 0xfffffffd 2>>/out/wide.err || exit 1
for i in 1 2 3 4; do printf "0 4ffffffd $LAB_CPUID\n0 4fffffff 0\n" >&6; done
exec 6>&-
wait $vm || exit 1
kill -TERM $service; wait $service || exit 1

step "another user wants slots of a full table"
chmod 666 /dev/kvm
mkfifo /tmp/keeps
$VM --vcpus 6 -name guest=keeps </tmp/keeps >/out/keeps & vm=$!
exec 6>/tmp/keeps
exittop leaves --vm keeps --max-vcpus 8 --format json >/out/keeps.json 2>/out/keeps.err 6>&- &
service=$!
said counting /out/keeps.err
echo "work 0 60" >&6
sleep 1
echo "0 4ffffffd $LAB_CPUID" >&6
(echo "work 0 600"; sleep 1; echo "work 0 600") |
    /lab/setpriv --reuid=1234 --clear-groups leaf_vm --vcpus 6 >/dev/null 6>&- || exit 1
echo "0 4ffffffd $LAB_CPUID" >&6
exec 6>&-
wait $vm || exit 1
kill -TERM $service; wait $service || exit 1

step "a Linux guest runs exitleaf"
cat >/tmp/session.sh <<END
. /lab/job.env
. /lab/shell.sh
kernel_counts_start
/bin/guest &
# The last counts that are certainly from before the guest asked; it is stopped while they are read.
until [ -s /out/linux.log ] && vmm=\$(pidof qemu-system-x86_64); do sleep 0.1; done
while :; do
    kill -STOP \$vmm
    sleep 0.1
    kernel_counts_show /tmp/counts
    grep -q "about to ask" /out/linux.log && break
    mv /tmp/counts /out/before.counts
    kill -CONT \$vmm
    sleep 0.3
done
kill -CONT \$vmm
wait
kernel_counts_stop /out/linux.counts
END
exittop leaves --vm linux --format json -- /bin/busybox sh /tmp/session.sh \
    >/out/linux.json 2>/out/linux.err || exit 1
exittop leaves --vm other --format json -- /bin/guest-refused \
    >/out/refused.json 2>/out/refused.err || exit 1
"""

_GUEST_INIT = b"""#!/bin/sh
/bin/busybox mount -t devtmpfs dev /dev 2>/dev/null
/bin/busybox mount -t proc proc /proc
# linux_vm's serial port is one for the kernel's console alone, so through that, in pieces.
echo on >/proc/sys/kernel/printk_devkmsg
echo "<0>about to ask" >/dev/kmsg
/bin/busybox sleep 1
{
    echo "BEGIN table"; /exitleaf; echo "END $?"
    echo "BEGIN json"; /exitleaf --json; echo "END $?"
    echo "BEGIN raw"; /exitleaf --raw 0x3ff; echo "END $?"
    echo "BEGIN watch"
    /exitleaf --watch 0.2 >/tmp/watch & watch=$!
    tries=0
    while [ $(/bin/busybox grep -c REASON /tmp/watch) -lt 3 ] && [ $((tries += 1)) -lt 50 ]; do
        /bin/busybox sleep 0.1
    done
    kill -TERM $watch; wait $watch; status=$?
    /bin/busybox cat /tmp/watch
    echo "END $status"
    echo "BEGIN rare"
    /exitleaf --watch 4295 >/tmp/rare & rare=$!     # in microseconds more than 32 bits hold
    /bin/busybox sleep 1
    kill -TERM $rare; wait $rare; status=$?
    /bin/busybox cat /tmp/rare
    echo "END $status"
} 2>&1 | /bin/busybox fold -w 500 | while IFS= read -r line; do echo "<0>$line" >/dev/kmsg; done
/pass forks=0 pings=0 touches=0
"""


def queries() -> list[tuple[int, int]]:
    """What every VM is asked."""
    found = [(leaf, 0) for leaf in _LEAVES] + [(leaf, 0) for leaf in _AROUND]
    found += [(leaf, index) for leaf in _LEAVES for index in _INDICES]
    # The high halves of RAX and RCX are ignored.
    found += [(0xdeadbeef00000000 | leaf, 0x1234567800000000 | _UNDEFINED) for leaf in _LEAVES]
    # The whole, between its parts.
    parts = [(leaf, code) for leaf in _LEAVES
             for codes in (_CPUID, _IO, _FAULT) for code in codes.values()]
    return found + parts + [(leaf, 0) for leaf in _LEAVES] + parts


def query_lines(vendor: str) -> str:
    """For leaf_vm: with the time outside KVM for each answer that may hold just that time."""
    return "".join(f"0 {leaf:x} {index:x}\n" + ("time 0\n" if index == _IO[vendor] else "")
                   for leaf, index in queries())


def answers(text: str, vm: int = 0) -> Iterator[tuple[int, int, list[int]]]:
    """Leaf, index and the four registers of each query of a VM, all 64 bits of each."""
    for line in text.splitlines():
        if line.startswith("time "):
            continue
        found = re.fullmatch(r"(\d) (\w+) (\w+): (\w+) (\w+) (\w+) (\w+)", line)
        if not found:
            raise Mismatch(f"leaf_vm said: {line}")
        number, leaf, index, *registers = (int(word, 16) for word in found.groups())
        if number == vm and leaf:
            yield leaf, index, registers


def check_untouched(result: Result, name: str, vm: int = 0) -> None:
    """The same answers as without the patch."""
    before = list(answers(result.text("unpatched.txt")))
    after = list(answers(result.text(name), vm))
    if len(before) != len(queries()):
        raise Mismatch(f"{len(before)} answers to {len(queries())} queries")
    for want, got in zip(before, after, strict=True):
        if want != got:
            raise Mismatch(f"{name}: {got}, without the patch {want}")


def undefined(vendor: str) -> set[int]:
    """Of what is asked, the reasons that the vendor's manual does not define."""
    found = {index & _ALL_ONES for index in _INDICES} | _FOREIGN[vendor]
    # SVM's -1 is a failed VMRUN.
    return found - {_ALL_ONES} if vendor == "amd" else found


class Expectation:
    """What a VM's counts are when it asks: each query is an exit of CPUID and one of IO."""

    def __init__(self, vendor: str, worked: int):
        self.counts = {_CPUID[vendor]: worked, _IO[vendor]: worked}
        self._vendor = vendor

    def ask(self) -> None:
        self.counts[_CPUID[self._vendor]] += 1

    def answered(self) -> None:
        self.counts[_IO[self._vendor]] += 1


def check_vm(result: Result, layout: str, vendor: str, number: int, vm: dict) -> None:
    """Every answer that one VM got, beside exittop's numbers in the end."""
    meanings, last, readings = _LAYOUTS[layout], 0, []
    exits = exits_of(vm)
    unpatched = list(answers(result.text("unpatched.txt")))
    state = Expectation(vendor, (40, 6)[number])
    got = list(answers(result.text(f"yes.{layout}"), number))
    for (leaf, index, registers), (_, _, plain) in zip(got, unpatched, strict=True):
        state.ask()
        leaf, index = leaf & _ALL_ONES, index & _ALL_ONES
        what = f"layout {layout}, VM {number}, leaf {leaf:#x}, index {index:#x}: {registers}"
        if any(register > _ALL_ONES for register in registers):
            raise Mismatch(f"{what}: bits above 32")
        eax, ebx, ecx, edx = registers
        kind, of_reason = meanings.get(leaf, ("", False))
        if not kind:
            if registers != plain:
                raise Mismatch(f"{what}: not KVM's own answer {plain}")
        elif of_reason and index in undefined(vendor):
            if registers != [0, 0, 0, _ALL_ONES]:
                raise Mismatch(f"{what}: not refused")
        elif edx:
            raise Mismatch(f"{what}: EDX")
        elif kind == "count" and (ecx != eax or ebx):
            raise Mismatch(f"{what}: EAX is not the low half of EBX:ECX")
        elif kind == "cycles" and eax:
            raise Mismatch(f"{what}: EAX is not unused")
        elif kind == "count" and of_reason:
            known = state.counts.get(index, exits.get(index, 0))
            if eax != known:
                raise Mismatch(f"{what}: not {known}")
        elif kind in ("count", "both"):
            # Interrupts come beside what the guest does.
            interrupts = sum(exits.get(code, 0) for code in INTERRUPTS[_ISA[vendor]])
            most = sum((exits | state.counts).values())
            if not max(last, most - interrupts) <= eax <= most:
                raise Mismatch(f"{what}: not {most} less up to {interrupts} interrupts")
            last = eax
        if kind in ("cycles", "both") and not edx:
            readings.append((index if of_reason else None, ebx << 32 | ecx))
        state.answered()
    for code, count in state.counts.items():
        if exits[code] != count:
            raise Mismatch(f"layout {layout}, VM {number}: exittop has {exits[code]} exits of "
                           f"{code:#x}, the guest made {count}")
    khz = clocks_of(result, layout, number)[0][0]
    check_cycles(readings, cycles_of(vm, khz), vendor, f"layout {layout}, VM {number}")


def check_cycles(readings: list[tuple[int | None, int]], final: dict[int, int], vendor: str,
                 what: str) -> None:
    """Readings of a reason's cycles, or of all (None): what exittop has in the end, where nothing
    more comes; else between what was read around them."""
    going_on = {_CPUID[vendor], _IO[vendor]}
    others = sum(final[code] for code in final.keys() - going_on)
    interrupts = sum(final.get(code, 0) for code in INTERRUPTS[_ISA[vendor]])
    for place, (index, value) in enumerate(readings):
        before, after = dict.fromkeys((*going_on, None), 0), dict(final)
        before.update(readings[:place])
        after.update(r for r in reversed(readings[place + 1:]) if r[0] in going_on)
        if index is None:
            least = max(before[None], sum(before[code] for code in going_on) + others - interrupts)
            # Each part was rounded down.
            most = sum(after[code] for code in going_on) + others + len(final)
        elif index in going_on:
            least, most = before[index] or 1, after[index]
        else:
            least = most = final.get(index, 0)
        if not least <= value <= most:
            raise Mismatch(f"{what}: {value} cycles of {index}, not {least} to {most}")


def check_clock(result: Result, layout: str, vendor: str, number: int) -> None:
    """IO's cycles are those for which the vCPUs were outside KVM, by the TSC, and little more."""
    asked = [(leaf & _ALL_ONES, (r[1] << 32) | r[2])
             for leaf, index, r in answers(result.text(f"yes.{layout}"), number)
             if index == _IO[vendor]]
    for (leaf, value), (_, outside) in zip(asked, clocks_of(result, layout, number), strict=True):
        # The clock's rate may be off by 500 ppm. Each VM has slept for two seconds.
        if _LAYOUTS[layout].get(leaf) == ("cycles", True) and not (
                outside * 0.999 <= value <= outside * 1.1):
            raise Mismatch(f"layout {layout}, VM {number}: {value} cycles of IO, of which the "
                           f"vCPUs were outside KVM for {outside}")


def clocks_of(result: Result, layout: str, number: int) -> list[tuple[int, int]]:
    """For each query of IO: the TSC's rate in kHz, and cycles outside KVM until then."""
    return [(int(khz), int(outside)) for khz, outside in re.findall(
        rf"(?m)^time {number}: (\d+) (\d+)$", result.text(f"yes.{layout}"))]


def exits_of(vm: dict, field: str = "count") -> dict[int, int]:
    """By code, of all vCPUs; or their times, `time_ns`."""
    sums: dict[int, int] = {}
    for vcpu in vm["vcpus"]:
        for stats in vcpu["exits"]:
            sums[stats["code"]] = sums.get(stats["code"], 0) + stats[field]
    return sums


def cycles_of(vm: dict, khz: int) -> dict[int, int]:
    return {code: ns * khz // 1_000_000 for code, ns in exits_of(vm, "time_ns").items()}


def kernel_exits(counts: str, thread: int) -> Counter:
    """By reason, what the kernel counted of that thread."""
    found = Counter()
    for key, count in kernel_counts.parse(counts).items():
        if key.tid == thread:
            found[key.reason] += count
    return found


def check_kernel(run: dict, counts: str, vendor: str) -> None:
    """Both VMs together, which one thread runs, have the kernel's own counts."""
    thread, = {vm["pid"] for vm in run["vms"]}
    ours, theirs = Counter(), kernel_exits(counts, thread)
    for vm in run["vms"]:
        ours.update(exits_of(vm))
    if not theirs:
        raise Mismatch("the kernel counted nothing")
    for code in (ours.keys() | theirs.keys()) - INTERRUPTS[_ISA[vendor]]:
        if ours[code] != theirs[code]:
            raise Mismatch(f"exits of {code:#x}: exittop {ours[code]}, kernel {theirs[code]}")


def check_layout(result: Result, layout: str, vendor: str) -> None:
    run = json.loads(result.text(f"{layout}.json"))
    if losses := lost(run, {"split_missed"}):
        raise Mismatch(f"layout {layout}: lost {losses}")
    vms = run["vms"]
    if len(vms) != 2 or {len(vm["vcpus"]) for vm in vms} != {2}:
        raise Mismatch(f"layout {layout}: not two VMs of two vCPUs: {vms}")
    # The VM with more work was created first.
    vms.sort(key=lambda vm: -exits_of(vm)[_CPUID[vendor]])
    for number, vm in enumerate(vms):
        check_vm(result, layout, vendor, number, vm)
        check_clock(result, layout, vendor, number)
    check_kernel(run, result.text(f"{layout}.counts"), vendor)
    check_untouched(result, f"no.{layout}")
    print(f"  layout {layout}: two VMs read each its own, a third nothing")


def check_polling(result: Result) -> None:
    """Answered while exittop ran, KVM's own answer before and after, nothing else ever."""
    plain = next(r for leaf, index, r in answers(result.text("unpatched.txt"))
                 if (leaf, index) == (0x4ffffffd, _UNDEFINED))
    for name in ("TERM", "KILL"):
        seen = [r for _, _, r in answers(result.text(f"poll.{name}"))]
        shape = re.sub(r"(.)\1+", r"\1", "".join(
            "a" if r == [0, 0, 0, _ALL_ONES] else "p" if r == plain else "?" for r in seen))
        if shape not in ("pap", "ap"):
            raise Mismatch(f"a guest that polled while exittop got {name} saw {shape}")
        print(f"  {name}: {len(seen)} polls, {seen.count(plain)} of them KVM's own answer")


def check_wide(result: Result) -> None:
    """A count that crosses 32 bits: EAX goes round, EBX:ECX goes on."""
    got = [(leaf, r) for leaf, index, r in answers(result.text("wide"))]
    counts = [r for leaf, r in got if leaf == 0x4ffffffd]
    want = [0xfffffffd + n for n in (1, 3, 5, 7)]     # each round asks twice
    if [(r[1] << 32) | r[2] for r in counts] != want or \
            [r[0] for r in counts] != [n & _ALL_ONES for n in want]:
        raise Mismatch(f"counts around 32 bits: {counts}, not {want}")
    totals = [(r[1] << 32) | r[2] for leaf, r in got if leaf == 0x4fffffff]
    if any(total <= count for total, count in zip(totals, want, strict=True)):
        raise Mismatch(f"totals {totals} of counts {want}")
    if f"{want[-1] + 1:,}" not in result.text("wide.table"):
        raise Mismatch(f"exittop does not show {want[-1] + 1:,}:\n{result.text('wide.table')}")
    print(f"  counts around 32 bits: {', '.join(map(hex, want))} in EBX:ECX")


def check_full_table(result: Result) -> None:
    """A VM that reads its counts keeps its slots, though its user has more than its share."""
    counts = [r[0] for leaf, _, r in answers(result.text("keeps")) if leaf == 0x4ffffffd]
    run = json.loads(result.text("keeps.json"))
    if not run["lost"]["table_full"]:
        raise Mismatch(f"nobody waited for a slot: {run['lost']}")
    if counts != [61, 62]:      # each query is one more
        raise Mismatch(f"a VM of 6 vCPUs read {counts} exits of CPUID, not 61 and then 62")
    print(f"  a full table: {run['lost']['table_full']} exits waited, the guest read {counts}")


def check_messages(result: Result) -> None:
    for name, text in (("unpatched", "cannot answer CPUID leaves"), ("off", "cpuid_answer=1")):
        status, said = result.text(f"{name}.status").strip(), result.text(f"{name}.err")
        if status != "77" or text not in said or said.count("\n") != 1 or result.text(
                f"{name}.out"):
            raise Mismatch(f"{name}: status {status}, said {said!r}")


def sections(log: str) -> dict[str, tuple[str, int]]:
    plain = re.sub(r"(?m)^\[ *[\d.]+\] ?", "", log.replace("\r", ""))
    found = re.findall(r"BEGIN (\w+)\n(.*?)END (\d+)", plain, re.DOTALL)
    return {name: (text, int(status)) for name, text, status in found}


def check_linux(result: Result, vendor: str) -> None:
    """exitleaf in a Linux guest: its numbers are of that VM, at least what the kernel had counted
    before, at most what exittop had in the end."""
    got = sections(result.text("linux.log"))
    terminated = 128 + signal.SIGTERM
    if {name: status for name, (_, status) in got.items()} != {
            "table": 0, "json": 0, "raw": 0, "watch": terminated, "rare": terminated}:
        raise Mismatch(f"exitleaf in a guest: {got or result.text('linux.log')[-500:]}")
    reading = json.loads(got["json"][0].replace("\n", ""))
    run = json.loads(result.text("linux.json"))
    check_kernel(run, result.text("linux.counts"), vendor)
    vm, = run["vms"]
    exits, names = exits_of(vm), {s["code"]: s["reason"] for c in vm["vcpus"] for s in c["exits"]}
    before = kernel_exits(result.text("before.counts"), vm["pid"])
    if reading["layout"] != "2021":
        raise Mismatch(f"exitleaf found the layout {reading['layout']}")
    rows = {row["code"]: row for row in reading["reasons"]}
    final = cycles_of(vm, clocks_of(result, "2021", 0)[0][0])
    for code in exits.keys() | before.keys() | rows.keys():
        row = rows.get(code, {"exits": 0, "cycles": 0, "reason": names.get(code)})
        if not before[code] <= row["exits"] <= exits.get(code, 0):
            raise Mismatch(f"exitleaf read {row}, the kernel had {before[code]} before, exittop "
                           f"{exits.get(code)} in the end")
        if names.get(code) != row["reason"] or not (
                bool(row["exits"]) <= row["cycles"] <= final[code]):
            raise Mismatch(f"exitleaf read {row}, exittop had {names.get(code)}, {final[code]}")
    if not {_CPUID[vendor], _IO[vendor]} <= before.keys() or not (
            before.total() < reading["exits"] < sum(exits.values())):
        raise Mismatch(f"exitleaf read {reading}, between {before} and {exits}")
    over = [code for code, count in exits.items() if count == before[code]]
    check_watch(got["watch"][0])
    if got["rare"][0].count("REASON ") != 1:
        raise Mismatch(f"exitleaf read again before its time: {got['rare']}")
    refused = sections(result.text("refused.log"))
    if [refused[name][1] for name in ("table", "json", "raw", "watch", "rare")] != [77] * 5:
        raise Mismatch(f"exitleaf in a guest that may not read: {refused}")
    print(f"  exitleaf: {reading['exits']} exits of {len(rows)} reasons; {before.total()} before, "
          f"{sum(exits.values())} in the end, for {len(over)} reasons the same\n" + got["table"][0])


def check_watch(text: str) -> None:
    """Tables, each but the first with what came since the one before."""
    # The shell may say first that it was terminated.
    tables = [table.splitlines() for table in re.split(r"(?m)^(?=REASON )", text)[1:]]
    if len(tables) < 3 or any(len(table) < 3 or not table[-1].startswith("total")
                              for table in tables):
        raise Mismatch(f"exitleaf --watch printed {text!r}")
    earlier: dict[str, int] = {}
    for number, (header, *lines) in enumerate(tables):
        titles = "REASON EXITS HOST CYCLES" + (" NEW EXITS" if number else "")
        if header.split() != titles.split():
            raise Mismatch(f"exitleaf --watch, table {number}: {header}")
        for line in lines:
            name, count, _, *new = line.split()
            want = [str(int(count) - earlier.get(name, 0))] if number else []
            if new != want or int(count) < earlier.get(name, 0) + (name == "total"):
                raise Mismatch(f"exitleaf --watch, table {number}: {line}, before {earlier}")
            earlier[name] = int(count)
    print(f"  exitleaf --watch: {len(tables)} tables")


def check(result: Result, vendor: str) -> None:
    check_messages(result)
    check_untouched(result, "off.txt")
    check_untouched(result, "idle.txt")
    print(f"  off, and on without a program: {len(queries())} answers as without the patch")
    for layout in _LAYOUTS:
        check_layout(result, layout, vendor)
    check_polling(result)
    check_wide(result)
    check_full_table(result)
    check_linux(result, vendor)


def guest_script(name: str, log: str) -> bytes:
    command = inner_guest.command(name).replace("/guests/linux_vm",
                                                "/tmp/linux/qemu-system-x86_64", 1)
    return f"#!/bin/sh\n{command} >/out/{log} 2>&1\nexit 0\n".encode()


def main() -> int:
    options = harness.options()
    stock = kernels.kernel(options.kernel)
    vendor_module = {"amd": "kvm_amd", "intel": "kvm_intel"}[options.vendor]
    initrd = Initramfs()
    initrd.add_busybox()
    initrd.add_file("/init", _GUEST_INIT, executable=True)
    initrd.add_file("/exitleaf", options.exitleaf.read_bytes(), executable=True)
    initrd.add_file("/pass", (options.guests / "guest_init").read_bytes(), executable=True)
    initrd.add_folder("/dev")
    initrd.add_folder("/proc")
    initrd.add_folder("/tmp")
    files = {"/lab/queries": query_lines(options.vendor).encode(),
             "/stock/kvm.ko": kernels.module_bytes(stock, "kvm"),
             "/stock/vendor.ko": kernels.module_bytes(stock, vendor_module),
             "/guests/linux_vm": options.guests / "linux_vm",
             "/guests/vmlinux": kernel_image.vmlinux(stock.vmlinuz),
             "/guests/initrd": initrd.bytes(),
             "/bin/guest": guest_script("linux", "linux.log"),
             "/bin/guest-refused": guest_script("linux", "refused.log")}
    script = _SCRIPT.replace("$LAB_CPUID", f"{_CPUID[options.vendor]:#x}")
    job = Job(kernel=options.kernel, vendor=options.vendor, script=script, timeout_s=900,
              patched_kvm=True, files=files,
              on_step=lambda text: print(f"  {text}", flush=True),
              programs={"/bin/exittop": options.exittop, "/lab/setpriv": Path("/usr/bin/setpriv"),
                        **workloads.guest_programs(options.guests, "leaf_vm", "preset_count")})
    return harness.run(job, lambda result: check(result, options.vendor))


if __name__ == "__main__":
    sys.exit(main())
