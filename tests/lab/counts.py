# SPDX-License-Identifier: GPL-2.0-only
"""Compares a run of exittop with the kernel's own count of the same exits."""

import re
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "lab"))

import kernel_counts

# Physical interrupts: they come at any time, also while the two counts begin and end.
INTERRUPTS = {1: {1}, 2: {0x60, 0x61, 0x62}}


class Mismatch(AssertionError):
    """exittop's counts are not the kernel's."""


@dataclass(frozen=True)
class GuestVcpu:
    """A vCPU as the guest program announced it: its VM, and a thread that ran it."""
    pid: int
    vm: int
    vcpu: int


def guest_threads(text: str) -> dict[int, GuestVcpu]:
    """By thread, from the lines "vm=0 vcpu=1 tid=102 pid=100" that guests print."""
    threads = {}
    for line in text.splitlines():
        words = dict(word.split("=", 1) for word in line.split() if "=" in word)
        if {"vm", "vcpu", "tid", "pid"} <= words.keys():
            threads[int(words["tid"])] = GuestVcpu(int(words["pid"]), int(words["vm"]),
                                                   int(words["vcpu"]))
    return threads


@dataclass(frozen=True)
class GuestRounds:
    """What a vCPU's thread of micro_vm printed at its end."""
    vcpu: GuestVcpu
    rounds: int     # of the vCPU's work: a CPUID and an OUT each
    moves: int      # how often it was on another CPU than in the round before


def guest_rounds(text: str) -> list[GuestRounds]:
    """From the lines of guest_threads, which micro_vm ends with "rounds=200 moves=3"."""
    found = re.findall(r"vm=(\d+) vcpu=(\d+) tid=\d+ pid=(\d+) rounds=(\d+) moves=(\d+)", text)
    return [GuestRounds(GuestVcpu(pid, vm, vcpu), rounds, moves)
            for vm, vcpu, pid, rounds, moves in (map(int, row) for row in found)]


def kernel_by_vcpu(counts: dict[kernel_counts.ExitKey, int],
                   threads: dict[int, GuestVcpu]) -> dict[GuestVcpu, Counter]:
    """The kernel's counts by vCPU and exit code; a vCPU may have had several threads."""
    result: dict[GuestVcpu, Counter] = {}
    for key, count in counts.items():
        if key.tid not in threads:
            raise Mismatch(f"the kernel saw exits of thread {key.tid}, which no guest announced")
        result.setdefault(threads[key.tid], Counter())[key.reason] += count
    return result


def exittop_by_vcpu(run: dict, threads: dict[int, GuestVcpu]) -> dict[GuestVcpu, Counter]:
    """exittop's counts by vCPU and exit code, its vCPUs told by the thread it names for them."""
    result: dict[GuestVcpu, Counter] = {}
    vm_of: dict[tuple[int, int], str] = {}
    for vm in run["vms"]:
        for vcpu in vm["vcpus"]:
            guest = threads.get(vcpu["tid"])
            if not guest:
                raise Mismatch(f"exittop names thread {vcpu['tid']}, which no guest announced")
            if guest in result:
                raise Mismatch(f"exittop has {guest} twice")
            if vcpu["id"] != guest.vcpu or vm["pid"] != guest.pid:
                raise Mismatch(f"exittop takes {guest} for vCPU {vcpu['id']} of pid {vm['pid']}")
            if vm_of.setdefault((guest.pid, guest.vm), vm["id"]) != vm["id"]:
                raise Mismatch(f"exittop splits VM {guest.vm} of pid {guest.pid}")
            result[guest] = Counter()
            for stats in vcpu["exits"]:
                result[guest][stats["code"]] += stats["count"]
    if len(set(vm_of.values())) != len(vm_of):
        raise Mismatch("exittop puts vCPUs of different VMs together")
    return result


def compare(run: dict, kernel_text: str, guests_text: str, isa: int) -> str:
    """Raises Mismatch unless every count but interrupts is equal; says how much was compared."""
    threads = guest_threads(guests_text)
    theirs = kernel_by_vcpu(kernel_counts.parse(kernel_text), threads)
    ours = exittop_by_vcpu(run, threads)
    if set(ours) != set(theirs):
        raise Mismatch(f"vCPUs differ: exittop alone {sorted(map(str, set(ours) - set(theirs)))}, "
                       f"kernel alone {sorted(map(str, set(theirs) - set(ours)))}")
    exits = cells = 0
    wrong = []
    for guest, counter in theirs.items():
        for code in set(counter) | set(ours[guest]):
            if code in INTERRUPTS[isa]:
                continue
            cells += 1
            exits += counter[code]
            if counter[code] != ours[guest][code]:
                wrong.append(f"{guest} code {code:#x}: kernel {counter[code]}, "
                             f"exittop {ours[guest][code]}")
    if wrong:
        raise Mismatch("; ".join(wrong[:5]) + (" ..." if len(wrong) > 5 else ""))
    if not exits:
        raise Mismatch("nothing was compared: no exits")
    vms = len({(guest.pid, guest.vm) for guest in theirs})
    return f"{exits} exits of {cells} reasons, {len(theirs)} vCPUs, {vms} VMs equal"


def add_up(intervals: list[dict]) -> dict:
    """One run from its intervals: exits of the same VM, vCPU and reason added."""
    vms: dict[str, dict] = {}
    losses: Counter = Counter()
    for interval in intervals:
        losses.update(interval["lost"])
        for vm in interval["vms"]:
            whole = vms.setdefault(vm["id"], {"id": vm["id"], "pid": vm["pid"],
                                              "name": vm["name"], "exits": {}})
            for vcpu in vm["vcpus"]:
                exits = whole["exits"].setdefault((vcpu["id"], vcpu["tid"]), Counter())
                for stats in vcpu["exits"]:
                    exits[stats["code"]] += stats["count"]
    for vm in vms.values():
        vm["vcpus"] = [{"id": number, "tid": tid,
                        "exits": [{"code": code, "count": count}
                                  for code, count in exits.items()]}
                       for (number, tid), exits in vm.pop("exits").items()]
    return {"vms": list(vms.values()), "lost": losses}


def lost(run: dict, but: set[str] = frozenset()) -> dict[str, int]:
    """The causes of loss that a run names, those in `but` left out."""
    return {cause: count for cause, count in run["lost"].items() if count and cause not in but}


def check_kvm_count(run: dict) -> str:
    """KVM's own count of each vCPU's exits is known, and is the sum of its counts by reason. For
    vCPUs that have ended or stand still; one that runs may be between the two counts of an exit."""
    vcpus = [(vm["name"], vcpu) for vm in run["vms"] for vcpu in vm["vcpus"]]
    for name, vcpu in vcpus:
        counted = sum(stats["count"] for stats in vcpu["exits"])
        if vcpu["kvm_exits"] != counted:
            raise Mismatch(f"VM {name}, vCPU {vcpu['id']}: KVM itself counted "
                           f"{vcpu['kvm_exits']} exits, exittop {counted}")
    return f"KVM's own count the same for {len(vcpus)} vCPUs"
