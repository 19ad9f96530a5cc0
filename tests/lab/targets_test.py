# SPDX-License-Identifier: GPL-2.0-only
"""What exits were about, on one real kernel: exittop's targets equal the kernel's and the guests'.

One emulated host, in which KVM runs with nested paging and then without; in each mode a run of
`exittop dump --targets all` around guests that do operations of known targets:
  - kinds: all of them in one VM, MMIO with and without a local APIC of KVM;
  - left, right: two VMs of two vCPUs each, at once;
  - x2apic: MSRs of the local APIC, on kernels where KVM handles them ahead of all others;
  - few, many: as many targets of a reason as have room, and more.
At the same time the kernel itself counts by the same keys, where it has histograms and BTF of the
vendor's module. On 5.10, which has neither, the guests' own counts are compared.
"""

import json
import re
import sys
from collections import Counter
from dataclasses import dataclass, field

import harness
from counts import Mismatch, check_kvm_count, guest_threads, lost

import kernel_targets
import workloads
from emulated_host import Job, Result
from kernel_targets import CODES, Expected, leaf, port
from target_counts import check_kernel, check_sums, completed, known

# Targets of a reason: so few have room, so many have not; any reason has room for _ROOM.
_FEW, _MANY, _ROOM = 60, 300, 64
_FREQUENT = 2000    # reads of one MSR, behind 3 of each of the many
_VMS = ("kinds", "apic", "left", "right", "x2apic", "few", "many")
_NO_BTF = "this kernel's BTF does not tell where it is"

# MSRs that KVM intercepts: of 0x1000 and the following there are none, so it must ignore them.
_GUESTS = rf"""
vm() {{
    name=$1
    shift
    target_vm "$@" -- qemu-system-x86_64 -name "$name" >"/tmp/$name.guest" || echo "failed: $name"
    cat "/tmp/$name.guest"
}}
guests() {{
    vm kinds cpuid:0:0:21 cpuid:4:1:5 cpuid:4:2:3 cpuid:1:7:2 rdmsr:0x1a0:11 rdmsr:0x8b:7 \
        wrmsr:0x10:5:3 wrmsr:0x277:0x7040600070406:9 rdmsr:0x277:2 out:0x80:1:13 out:0x70:2:4 \
        out:0xcf8:4:2 in:0x71:1:4 in:0x60:2:3 outs:0x90:16:3 cr3:4 cr4:5 dr7:3 \
        mmio-write:0xfee000b0:6 mmio-read:0xe0001234:4 mmio-write:0xe0001238:1 \
        touch:0x400000:10 hypercall:1:6 hypercall:99:2 invlpg:3
    vm apic --irqchip mmio-write:0xfee000b0:6 mmio-read:0xfee00030:4
    vm left --vcpus 2 rdmsr:0x1a0:300 cpuid:0:0:300 touch:0x500000:20 out:0x80:1:50 &
    vm right --vcpus 2 rdmsr:0x8b:200 cpuid:1:0:200 touch:0x600000:20 out:0x84:1:70
    wait $!
    vm x2apic --irqchip --x2apic --vcpus 2 wrmsr:0x830:0x500000000000:20 wrmsr:0x6e0:0:7 \
        rdmsr:0x802:5 wrmsr:0x838:0:3
    vm few rdmsr-range:0x1000:{_FEW}:3 out-range:0x1000:{_FEW - 1}:1:3
    vm many rdmsr-range:0x1000:{_MANY}:3 out-range:0x1000:{_MANY}:1:3 rdmsr:0x1a0:{_FREQUENT}
}}
"""

_SCRIPT = r"""
KVM_PARAMETERS="ignore_msrs=1 report_ignored_msrs=0"
run() {
    step "targets, nested paging: $1"
    [ -e $KVM_EVENTS/kvm_exit/hist ] && kernel_histograms_start /lab/histograms
    exittop dump --targets all --format json -- /bin/busybox sh /lab/session.sh \
        >/out/$1.json 2>/out/$1.err || exit 1
    mv /tmp/guests /out/$1.guests
    [ -e $KVM_EVENTS/kvm_exit/hist ] && kernel_histograms_stop /lab/histograms >/out/$1.kernel
}
load_kvm 1
run 1
exittop dump --format json -- /bin/busybox sh -c 'target_vm rdmsr:0x1a0:9 out:0x80:1:9 >/dev/null' \
    >/out/without.json 2>/out/without.err || exit 1
reload_kvm 0
run 0
true
"""
_SESSION = ". /lab/guest_set.sh\nguests >/tmp/guests\n"


@dataclass
class Guest:
    """What a vCPU of target_vm printed at its end: what it did, by thread."""
    operations: int = 0
    msrs: Counter = field(default_factory=Counter)      # "0x10 write"
    others: Counter = field(default_factory=Counter)    # of CPUID, hypercalls
    ports: Counter = field(default_factory=Counter)
    devices: Counter = field(default_factory=Counter)   # (address, access)
    pages: set = field(default_factory=set)

    def add(self, name: str, words: list[int]) -> None:
        self.operations += 1
        match name, words:
            case "cpuid", [number, subleaf, count]:
                self.others[leaf(number, subleaf)] += count
            case "hypercall", [number, count]:
                self.others[f"hypercall kvm {number}"] += count
            case "rdmsr", [msr, count]:
                self.msrs[f"{msr:#x} read"] += count
            case "rdmsr-range", [first, number, count]:
                self.msrs.update({f"{first + i:#x} read": count for i in range(number)})
            case "wrmsr", [msr, _, count]:
                self.msrs[f"{msr:#x} write"] += count
            case ("in" | "out"), [number, size, count]:
                self.ports[port(number, name, size)] += count
            case "out-range", [first, number, size, count]:
                self.ports.update({port(first + i, "out", size): count for i in range(number)})
            case ("mmio-read" | "mmio-write"), [address, count]:
                self.devices[address, name.removeprefix("mmio-")] += count
            case "touch", [first, number]:
                self.pages |= {f"page {first + i * 4096:#x}" for i in range(number)}


def guests_by_thread(text: str) -> dict[int, Guest]:
    guests: dict[int, Guest] = {}
    for tid, name, words in re.findall(r"tid=(\d+) pid=\d+ did=([\w-]+)((?::\w+)+)", text):
        numbers = [int(word, 0) for word in words[1:].split(":")]
        guests.setdefault(int(tid), Guest()).add(name, numbers)
    return guests


@dataclass(frozen=True)
class Mode:
    """One of the two runs, and what it is compared with."""
    vendor: str
    nested: bool
    kernel: Expected | None     # None: it has no histograms
    guests: dict[int, Guest]

    @property
    def what(self) -> str:
        return f"nested paging {'on' if self.nested else 'off'}"


def check_last(what: str, stats: dict, vendor: str) -> None:
    """A vCPU's last exit is its OUT to PORT_DONE, which no entry follows."""
    last = stats["code"] == CODES[vendor]["io"]
    if completed(stats) != stats["count"] - last:
        raise Mismatch(f"{what}: {completed(stats)} exits in the histogram, {stats['count']} in "
                       "all")


def check_with_kernel(what: str, stats: dict, tid: int, mode: Mode) -> int:
    """The number of targets that are equal to the kernel's."""
    if stats["code"] == CODES[mode.vendor].get("mmio"):     # no event has it once per exit
        return 0
    theirs = Counter(mode.kernel.get((tid, stats["code"])))
    if stats["code"] == CODES[mode.vendor]["io"]:
        theirs[port(0xf1, "out", 1)] -= 1
    return check_kernel(what, stats, theirs)


def check_devices(what: str, devices: Counter, targets: Counter) -> None:
    """MMIO by its whole address, except the first access to a page, of which KVM does not know yet
    that it is none of memory's."""
    for (address, access), count in devices.items():
        exact = targets[f"{address:#x} {access}"]
        first = targets[f"page {address & ~0xfff:#x} {access}"]
        if exact + first != count or first > 1:
            raise Mismatch(f"{what}: {count} accesses ({access}) to {address:#x}, exittop {exact} "
                           f"and {first} to its page")


def check_guest(what: str, guest: Guest, vcpu: dict, mode: Mode) -> None:
    """Equal to what the guest did, whatever the kernel says."""
    targets: Counter = Counter()
    for stats in vcpu["exits"]:
        targets += known(stats) if "targets" in stats else Counter()
    want = Counter(guest.others)
    if mode.kernel is not None:
        want += guest.msrs + guest.ports
    else:   # neither ports nor whether an MSR is written
        for msr, count in guest.msrs.items():
            want[msr.split()[0]] += count
    for target, count in want.items():
        if targets[target] != count:
            raise Mismatch(f"{what}: {target} {targets[target]} times, the guest did it {count}")
    if mode.nested and mode.kernel is not None:
        pages = {" ".join(target.split()[:2]) for target in targets}
        if what.startswith("kinds") and not guest.pages <= pages:
            raise Mismatch(f"{what}: pages {sorted(guest.pages - pages)} are missing")


def check_room(what: str, vm: str, stats: dict) -> None:
    """More targets than have room; and fewer."""
    other = stats["targets_other"]["count"]
    if vm != "many" and other:
        raise Mismatch(f"{what}: {other} exits of others, {len(stats['targets'])} targets")
    if vm == "many" and len(stats["targets"]) > _FEW:
        if not other or not _ROOM <= len(stats["targets"]) < _MANY:
            raise Mismatch(f"{what}: {len(stats['targets'])} targets and {other} others")


def check_frequent(what: str, vcpu: dict, mode: Mode) -> None:
    """Targets that are frequent are kept, though there are more than have room."""
    codes = CODES[mode.vendor]
    (msrs,) = [known(stats) for stats in vcpu["exits"]
               if stats["code"] == codes.get("read", codes.get("msr"))]
    frequent = "0x1a0 read" if mode.kernel is not None or mode.vendor == "intel" else "0x1a0"
    if not _FREQUENT / 2 < msrs[frequent] <= _FREQUENT:
        raise Mismatch(f"{what}: {frequent} {msrs[frequent]} times, not {_FREQUENT}")


def check_unknown(what: str, stats: dict, mode: Mode) -> None:
    """Not known only where BTF is missing; and it is said why."""
    unknown = stats["targets_unknown"]
    codes = CODES[mode.vendor]
    is_missing = mode.kernel is None and stats["code"] in (codes["io"], codes["memory"])
    if is_missing:
        if unknown["count"] != completed(stats) or unknown.get("why") != _NO_BTF:
            raise Mismatch(f"{what}: {unknown}")
    elif unknown["count"]:
        raise Mismatch(f"{what}: {unknown}")


def check_shadow(run: dict, mode: Mode) -> None:
    """Without nested paging KVM sees page faults and CR3 writes. Of reserved bits, which mark MMIO,
    QEMU does not say that the page is present."""
    (kinds,) = [vm for vm in run["vms"] if vm["name"] == "kinds"]
    targets = {one["target"].replace(" protection", "") for stats in kinds["vcpus"][0]["exits"]
               for one in stats.get("targets", [])}
    want = {"cr3 write", "cr3 read", "cr4 write"}
    if mode.kernel is None:
        want |= {"#PF"}
    else:
        want |= {"#PF write kernel", "#PF write kernel reserved", "#PF read kernel reserved"}
    if not want <= targets:
        raise Mismatch(f"kinds, {mode.what}: {sorted(want - targets)} are missing of {targets}")


def check_vcpu(vm: str, vcpu: dict, mode: Mode) -> int:
    """All of one vCPU; how many targets were equal to the kernel's."""
    equal = 0
    guest = mode.guests[vcpu["tid"]]
    for stats in vcpu["exits"]:
        what = f"{vm} vCPU {vcpu['id']}, {mode.what}: {stats['reason']}"
        if "targets" not in stats:
            if mode.kernel and mode.kernel.get((vcpu["tid"], stats["code"])):
                raise Mismatch(f"{what} has no targets")
            continue
        check_last(what, stats, mode.vendor)
        check_sums(what, stats)
        check_unknown(what, stats, mode)
        check_room(what, vm, stats)
        if mode.kernel is not None:
            equal += check_with_kernel(what, stats, vcpu["tid"], mode)
    what = f"{vm} vCPU {vcpu['id']}, {mode.what}"
    if vm == "many":
        check_frequent(what, vcpu, mode)
    else:
        check_guest(what, guest, vcpu, mode)
    if vm == "kinds" and mode.nested and mode.kernel is not None:
        targets = sum((known(stats) for stats in vcpu["exits"] if "targets" in stats), Counter())
        check_devices(what, guest.devices, targets)
    return equal


def check_run(run: dict, mode: Mode, text: str) -> None:
    threads = guest_threads(text)
    names = Counter(vm["name"] for vm in run["vms"])
    if "failed:" in text or names != Counter(_VMS):
        raise Mismatch(f"VMs {names}: {text}")
    vcpus = [(vm["name"], vcpu) for vm in run["vms"] for vcpu in vm["vcpus"]]
    if {vcpu["tid"] for _, vcpu in vcpus} != set(threads):
        raise Mismatch(f"{mode.what}: not the vCPUs that the guests announced")
    equal = sum(check_vcpu(name, vcpu, mode) for name, vcpu in vcpus)
    if mode.kernel is not None and not equal:
        raise Mismatch(f"{mode.what}: nothing was compared")
    if not mode.nested:
        check_shadow(run, mode)
    said = f"{equal} targets equal to the kernel's" if mode.kernel else "equal to the guests' own"
    print(f"  {mode.what}: {len(vcpus)} vCPUs, {said}; {check_kvm_count(run)}")


def check_without(run: dict) -> None:
    """Nobody asked for targets."""
    members = {name for vm in run["vms"] for vcpu in vm["vcpus"] for stats in vcpu["exits"]
               for name in stats}
    if "count" not in members or any(name.startswith("targets") for name in members):
        raise Mismatch(f"without --targets there are {sorted(members)}")


def check(result: Result, kernel: str, vendor: str) -> None:
    may_lose = {"split_missed"} if kernel.startswith("7.") else set()
    for name in ("1", "0"):
        run = json.loads(result.text(f"{name}.json"))
        guests = result.text(f"{name}.guests")
        nested = name == "1"
        histograms = None
        if kernel != "5.10":
            histograms = kernel_targets.expected(result.text(f"{name}.kernel"), vendor, nested)
        if losses := lost(run, may_lose):
            raise Mismatch(f"{name}: lost {losses}")
        check_run(run, Mode(vendor, nested, histograms, guests_by_thread(guests)), guests)
    check_without(json.loads(result.text("without.json")))


def main() -> int:
    options = harness.options()
    programs = workloads.guest_programs(options.guests, "target_vm")
    job = Job(kernel=options.kernel, vendor=options.vendor, script=_SCRIPT, timeout_s=600,
              files={"/lab/guest_set.sh": _GUESTS.encode(), "/lab/session.sh": _SESSION.encode(),
                     "/lab/histograms": kernel_targets.HISTOGRAMS[options.vendor].encode()},
              programs={"/bin/exittop": options.exittop, **programs})
    return harness.run(job, lambda result: check(result, options.kernel, options.vendor))


if __name__ == "__main__":
    sys.exit(main())
