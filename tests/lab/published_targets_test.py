# SPDX-License-Identifier: GPL-2.0-only
"""What others found about exits of real guests, found again: a real Linux that does the same shows
the same targets, by their names and in the same proportions.

On AMD, in a real QEMU, as oxidecomputer/propolis#859 and reports of idle Windows guests have it:
  - clock: the guest reads the time from the ACPI PM timer, one port that takes nearly all I/O;
    and its local APIC is a page of MMIO, of which a timer's tick writes two registers;
  - doorbell: a device that QEMU itself serves, without ioeventfd: one address that takes nearly
    all nested page faults, as in cloud-hypervisor#3237, where it is the table of MSI-X.
On Intel a Linux whose EPT_MISCONFIG exits are all those of one device, the IO-APIC.

What is counted is held against the kernel's own histograms.
"""

import json
import re
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import harness
from counts import Mismatch, check_kvm_count, lost

import inner_guest
import kernel_targets
import kernels
import qemu_guest
import workloads
from emulated_host import Job, Result
from kernel_targets import CODES, port
from target_counts import check_kernel, check_vcpu, completed

_CLOCKS, _SLEEPS, _PRINTS = 6000, 1000, 5000

_SCRIPT = r"""
cat >/tmp/session.sh <<'END'
. /lab/job.env
. /lab/shell.sh
kernel_histograms_start /lab/histograms
/bin/busybox sh /lab/$1 </dev/null >/out/$1.log 2>&1
echo $? >/out/$1.status
kernel_histograms_stop /lab/histograms >/out/$1.kernel
END
load_kvm 1
for guest in $GUESTS; do
    step "guest: $guest"
    exittop dump --targets all --format json -- /bin/busybox sh /tmp/session.sh $guest \
        >/out/$guest.json 2>/out/$guest.err || exit 1
done
"""


@dataclass(frozen=True)
class Target:
    """One of those that a finding is about."""
    text: str       # as scripts see it, a regular expression
    name: str
    share: float    # of its reason's exits, at least
    count: int = 0  # at least


@dataclass(frozen=True)
class Finding:
    """Which targets come first among those of a reason."""
    reason: str
    targets: tuple[Target, ...]
    share: float            # of all of them together, at least
    alike: bool = False     # none is more than twice as frequent as another


@dataclass(frozen=True)
class Guest:
    name: str
    command: str
    status: int                 # of a guest that did all its work
    findings: list[Finding]
    # An exit that the guest ends with, by code and target, if that has one: no entry follows it.
    last: dict[int, str] = field(default_factory=dict)


_NONE = {"forks": 0, "pings": 0, "touches": 0}


def clock() -> Guest:
    """No paravirtualised clock, no x2APIC, no deadline timer, and each interrupt's end is told."""
    load = inner_guest.Load(**_NONE, clocks=_CLOCKS, sleeps=_SLEEPS)
    command = qemu_guest.pc_command(
        "clock", "-cpu host,-x2apic,-tsc-deadline,-kvm-pv-eoi -serial stdio",
        inner_guest.arguments(load, "clocksource=acpi_pm"))
    ticks = (Target("0xfee000b0 write", "local APIC EOI", 0.25, _SLEEPS),
             Target("0xfee00380 write", "local APIC timer initial count", 0.25, _SLEEPS))
    pm_timer = Target("port 0x608 in 4", "ACPI PM timer", 0.85, _CLOCKS)
    return Guest("clock", command, 1, [Finding("io", (pm_timer,), 0.85),
                                       Finding("npf", ticks, 0.65, alike=True)],
                 {CODES["amd"]["io"]: port(0x501, "out", 1)})


def doorbell() -> Guest:
    """A console by virtio, whose notifications are in the fourth page of its BAR, four bytes for
    each queue; it sends by queue 1. The first of them are counted with the others, until the many
    addresses of the boot make room."""
    load = inner_guest.Load(**_NONE, prints=_PRINTS)
    command = qemu_guest.pc_command(
        "doorbell", "-cpu host -device virtio-serial-pci,disable-legacy=on,max_ports=1,ioeventfd="
        "off -chardev stdio,id=console -device virtconsole,chardev=console",
        inner_guest.arguments(load, "console=hvc0", pci=True))
    bell = Target(r"0x[0-9a-f]+3004 write", "", 0.75, _PRINTS * 9 // 10)
    return Guest("doorbell", command, 1, [Finding("npf", (bell,), 0.75)],
                 {CODES["amd"]["io"]: port(0x501, "out", 1)})


def io_apic() -> Guest:
    targets = (Target("0xfec00000 write", "IO-APIC select", 0.4),
               Target("0xfec00010 read", "IO-APIC data", 0.25),
               Target("0xfec00010 write", "IO-APIC data", 0.1))
    load = inner_guest.Load(forks=10, pings=10, touches=10)
    return Guest("io-apic", inner_guest.command("io-apic", load), 0,
                 [Finding("EPT_MISCONFIG", targets, 0.99)])


_GUESTS: dict[str, tuple[Callable[[], Guest], ...]] = {"amd": (clock, doorbell),
                                                       "intel": (io_apic,)}


def check_finding(what: str, finding: Finding, stats: dict) -> str:
    """The most frequent targets of the reason are those of the finding."""
    exits = completed(stats)
    first = sorted(stats["targets"], key=lambda one: -one["count"])[:len(finding.targets)]
    by_text = {one["target"]: one for one in first}
    counts = []
    for target in finding.targets:
        found = [one for text, one in by_text.items() if re.fullmatch(target.text, text)]
        if len(found) != 1 or found[0]["name"] != target.name:
            raise Mismatch(f"{what}: {target.text} ({target.name}) is not among the first: {first}")
        count = found[0]["count"]
        if count < max(target.count, target.share * exits):
            raise Mismatch(f"{what}: {target.text} has {count} of {exits} exits, of which should "
                           f"be {target.share:.0%}, and {target.count} at least")
        counts.append(count)
    if sum(counts) < finding.share * exits:
        raise Mismatch(f"{what}: {counts} of {exits} exits, not {finding.share:.0%}")
    if finding.alike and max(counts) > 2 * min(counts):
        raise Mismatch(f"{what}: {counts} are not of the same order")
    shown = ", ".join(f"{text} {by_text[text]['name'] or '(no name)'} {by_text[text]['count']:,} "
                      f"({by_text[text]['count'] / exits:.1%})" for text in by_text)
    return f"{shown} of {exits:,} {stats['reason']}"


def check_guest(result: Result, vendor: str, guest: Guest) -> None:
    run = json.loads(result.text(f"{guest.name}.json"))
    status = int(result.text(f"{guest.name}.status"))
    if status != guest.status:
        raise Mismatch(f"{guest.name} ended with status {status}: "
                       + result.text(f"{guest.name}.log")[-2000:])
    vcpus = [vcpu for vm in run["vms"] for vcpu in vm["vcpus"]]
    if len(vcpus) != 1 or lost(run):
        raise Mismatch(f"{guest.name}: {len(vcpus)} vCPUs, not 1; or lost {lost(run)}")
    (vcpu,) = vcpus
    named, might = check_vcpu(guest.name, vcpu)
    theirs = kernel_targets.expected(result.text(f"{guest.name}.kernel"), vendor, nested=True)
    equal = 0
    for stats in vcpu["exits"]:
        code = stats["code"]
        # No event has MMIO once per exit on Intel.
        if "targets" in stats and code != CODES[vendor].get("mmio"):
            expected = Counter(theirs.get((vcpu["tid"], code)))
            if code in guest.last:
                expected[guest.last[code]] -= 1
            equal += check_kernel(f"{guest.name}: {stats['reason']}", stats, expected)
    for finding in guest.findings:
        (stats,) = [stats for stats in vcpu["exits"] if stats["reason"] == finding.reason]
        print(f"  {guest.name}: {check_finding(guest.name, finding, stats)}")
    print(f"  {guest.name}: {named:,} of {might:,} exits with a target of their own, {equal} "
          f"targets compared with the kernel's; {check_kvm_count(run)}")


def main() -> int:
    options = harness.options()
    kernel = kernels.kernel(options.kernel)
    guests = [make() for make in _GUESTS[options.vendor]]
    is_qemu = options.vendor == "amd"
    files = (qemu_guest if is_qemu else inner_guest).files(kernel, options.guests)
    files |= {f"/lab/{guest.name}": f"{guest.command}\n".encode() for guest in guests}
    workloads.guest_programs(options.guests, "linux_vm", "guest_init")
    job = Job(kernel=options.kernel, vendor=options.vendor, timeout_s=300,
              script=f"GUESTS='{' '.join(guest.name for guest in guests)}'\n{_SCRIPT}",
              files={**files,
                     "/lab/histograms": kernel_targets.HISTOGRAMS[options.vendor].encode()},
              programs={"/bin/exittop": options.exittop,
                        **(qemu_guest.programs() if is_qemu else {})})
    return harness.run(job, lambda result: [check_guest(result, options.vendor, guest)
                                            for guest in guests])


if __name__ == "__main__":
    sys.exit(main())
