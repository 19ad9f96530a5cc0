# SPDX-License-Identifier: GPL-2.0-only
"""Exits that KVM counts but does not trace: exittop reports their number, and VMs without any exit.

An Intel host without unrestricted guests, where KVM has to emulate a guest that begins in real mode
(emulated_vm): each return to its VMM is an exit in KVM's own count, and none in the tracing. Beside
it a guest of which everything is traced, and one of which nothing is.
"""

import json
import re
import sys

import harness
from counts import Mismatch

import workloads
from emulated_host import Job, Result

_OUTS = 40
_SCRIPT = rf"""
load_kvm 1 unrestricted_guest=0
step "emulated at first, then native; and one that is native at once"
cat >/tmp/both.sh <<'END'
emulated_vm {_OUTS} >/out/guests.txt
micro_vm --rounds 50 >>/out/guests.txt
END
exittop dump --format json -- /bin/busybox sh /tmp/both.sh >/out/both.json 2>/out/both.err || exit 1
exittop dump -- /bin/busybox sh /tmp/both.sh >/out/both.txt 2>>/out/both.err || exit 1

step "a guest of which nothing is traced"
emulated_vm 5 emulated 1000000 >/tmp/silent-guest.txt & guest=$!
while ! [ -s /tmp/silent-guest.txt ]; do sleep 0.1; done
exittop dump --duration 0.2 >/out/silent.txt 2>/out/silent.err || exit 1
exittop dump --duration 0.2 --format json >/out/silent.json 2>>/out/silent.err || exit 1
exittop check --duration 0.2 >/out/silent-check.txt
kill $guest

step "in the metrics"
exittop export --textfile - --duration 1 >/out/exported.prom 2>/out/export.err & export=$!
while ! grep -q counting /out/export.err; do sleep 0.1; done
emulated_vm {_OUTS} >/dev/null
wait $export
"""


def _exits(vcpu: dict) -> int:
    return sum(stats["count"] for stats in vcpu["exits"])


def check_both(result: Result) -> None:
    run = json.loads(result.text("both.json"))
    vcpus = {vm["vmm"]: vm["vcpus"][0] for vm in run["vms"]}
    emulated, native = vcpus["emulated_vm"], vcpus["micro_vm"]
    untraced = emulated["kvm_exits"] - _exits(emulated)
    if not _OUTS <= untraced <= 2 * _OUTS:
        raise Mismatch(f"{untraced} exits were not traced, the guest returned {_OUTS} times")
    if native["kvm_exits"] != _exits(native):
        raise Mismatch(f"KVM counted {native['kvm_exits']}, exittop {_exits(native)}")
    if {cause: n for cause, n in run["lost"].items() if n} != {"untraced": untraced}:
        raise Mismatch(f"{untraced} exits were not traced, but lost is {run['lost']}")
    last = result.text("both.txt").splitlines()[-1]
    if not re.fullmatch(r"KVM counted [\d,]+ exits itself: \d+ more, which it did not trace: .*",
                        last):
        raise Mismatch(f"the table ends with {last!r}")
    print(f"  {untraced} of {emulated['kvm_exits']} exits were not traced, and said to be so")


def check_silent(result: Result) -> None:
    vms = json.loads(result.text("silent.json"))["vms"]
    if [(vm.get("silent"), [v["id"] for v in vm["vcpus"]]) for vm in vms] != [(True, [0])]:
        raise Mismatch(f"a VM of which nothing is traced is shown as {vms}")
    text = result.text("silent.txt")
    if "VM emulated_vm-" not in text or "no exit was seen" not in text or "No exit of a VM" in text:
        raise Mismatch(f"the table does not tell of the VM that runs:\n{text}")
    if "no exit seen" not in result.text("silent-check.txt"):
        raise Mismatch(f"nor does check:\n{result.text('silent-check.txt')}")


def check_metrics(result: Result) -> None:
    exported = dict(re.findall(r'^exittop_vm_untraced_exits_total\{vm="(\w+?)-\d+"\} (\d+)$',
                               result.text("exported.prom"), re.MULTILINE))
    if not int(exported.get("emulated_vm", 0)) >= _OUTS:
        raise Mismatch(f"exittop_vm_untraced_exits_total: {exported}")


def check(result: Result) -> None:
    check_both(result)
    check_silent(result)
    check_metrics(result)


def main() -> int:
    options = harness.options()
    programs = workloads.guest_programs(options.guests, "micro_vm", "emulated_vm")
    job = Job(kernel=options.kernel, vendor="intel", script=_SCRIPT, timeout_s=600,
              programs={"/bin/exittop": options.exittop, **programs})
    return harness.run(job, check)


if __name__ == "__main__":
    sys.exit(main())
