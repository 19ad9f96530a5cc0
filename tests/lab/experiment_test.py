# SPDX-License-Identifier: GPL-2.0-only
"""`exittop experiment` whole, in an emulated host: both runs are what they say, and the module is
afterwards as it was, also after failures and signals; where it must refuse, nothing is touched.
The runs say by target what the exits without nested paging are.

On the emulated Intel host, which is slow, only that all goes well.
"""

import json
import sys

import harness
from counts import Mismatch, lost

import workloads
from emulated_host import Job, Result

# As on an installed host: modprobe finds the modules. What /out/NAME.* gets, is checked below.
_SETUP = r"""
folder=/lib/modules/$(uname -r)
mkdir -p "$folder" && cp /modules/*.ko "$folder" && depmod
# /sbin is where modprobe lies on such a host.
mkdir -p /sbin && ln -s /bin/busybox /sbin/modprobe
parameters() { grep -H . "/sys/module/$LAB_VENDOR_MODULE/parameters/"* 2>/dev/null; }

# try NAME COMMAND...: its status and output, and the module's parameters before and after it.
try() {
    name=$1
    shift
    step "$name"
    parameters >/out/$name.before
    "$@" >/out/$name.out 2>/out/$name.err
    echo $? >/out/$name.status
    parameters >/out/$name.after
}

cat >/bin/guest <<'END'
#!/bin/sh
exec micro_vm --rounds 200 --quiet
END
chmod +x /bin/guest
load_kvm_core
"""
_WHOLE = """
modprobe $LAB_VENDOR_MODULE nested=0
try whole exittop experiment --yes --keep /out/keep --format json -- guest
"""
_TARGETS = """
try table exittop experiment --yes -- guest
try without exittop experiment --yes --targets none --format json -- guest
try little exittop experiment --yes --target-memory 1K --format json -- guest
try too_little exittop experiment --yes --target-memory 1K --targets all -- guest
"""
_FAILURES = r"""
# Fails, or is interrupted, only where the paging mode is not $1.
cat >/bin/in_other_mode <<'END'
#!/bin/sh
case $(cat /sys/module/kvm_amd/parameters/npt) in Y|1) now=1 ;; *) now=0 ;; esac
[ "$now" = "$1" ] && exec guest
case $2 in
    fail) guest; exit 3 ;;
    INT) kill -INT $PPID; exit 130 ;;
    TERM) kill -TERM $PPID; sleep 60; exit 0 ;;
    leave) guest; micro_vm --rounds 4000000000 --quiet >/dev/null 2>&1 & exit 0 ;;
esac
END
chmod +x /bin/in_other_mode

micro_vm --rounds 4000000000 --quiet >/dev/null 2>&1 & busy=$!
sleep 0.5
try busy exittop experiment --yes -- guest
kill $busy; wait $busy
echo n | try declined exittop experiment -- guest
try unanswered exittop experiment -- guest </dev/null
try no_vm exittop experiment --yes -- true
try failed exittop experiment --yes -- in_other_mode 1 fail
rmmod kvm_amd
try core_only exittop experiment --yes -- guest
modprobe kvm_amd npt=0 nested=0
try term exittop experiment --yes -- in_other_mode 0 TERM
echo y | try int exittop experiment --repeat 2 -- in_other_mode 0 INT
try left exittop experiment --yes -- in_other_mode 0 leave
killall micro_vm
"""

# Name of a case: status, what stderr's last line says, whether the module is as before.
_CASES = {
    "whole": (0, None, True),
    "table": (0, None, True),
    "without": (0, None, True),
    "little": (0, "\nexittop: without targets: targets of 4096 vCPUs take at least", True),
    "too_little": (1, "\nexittop: targets of 4096 vCPUs take at least", True),
    "busy": (1, "a VM runs (process ", True),
    "declined": (1, "did not agree", True),
    "unanswered": (1, "did not agree", True),
    "no_vm": (1, "the run with npt=1: the command started no VM", True),
    "failed": (1, "the run with npt=0: the command ended with status 3", True),
    "core_only": (77, "neither kvm_intel nor kvm_amd is loaded", True),
    "term": (1, "the run with npt=1: interrupted", True),
    "int": (1, "interrupted", True),
    "left": (1, "by hand: rmmod kvm_amd; modprobe kvm_amd npt=0", False),
}


def parameters(text: str) -> dict[str, str]:
    return dict(line.rsplit("/", 1)[1].split(":", 1) for line in text.splitlines())


def check_case(result: Result, name: str) -> None:
    status, said, same = _CASES[name]
    stderr = result.text(f"{name}.err")
    if int(result.text(f"{name}.status")) != status:
        raise Mismatch(f"{name}: status {result.text(f'{name}.status').strip()}: {stderr}")
    if said and said not in stderr.splitlines()[-1] and said not in stderr:
        raise Mismatch(f"{name}: it said {stderr!r}, not {said!r}")
    if status and result.text(f"{name}.out"):
        raise Mismatch(f"{name}: it failed and printed {result.text(f'{name}.out')!r}")
    before, after = (result.text(f"{name}.{when}") for when in ("before", "after"))
    if (before == after) != same:
        raise Mismatch(f"{name}: the module's parameters were {before}, are {after}")


# What only the second run has, what only the first has, and what both have.
_NESTED = {"amd": "npt", "intel": "ept"}
_SIGNATURE = {
    "amd": {"npf": "gone", "write_cr3": "new", "invlpg": "new", "PF excp": "new", "cpuid": None},
    "intel": {"EPT_VIOLATION": "gone", "CR_ACCESS": "new", "INVLPG": "new",
              "EXCEPTION_NMI": "new", "CPUID": None},
}


def check_whole(result: Result, vendor: str) -> None:
    """The comparison and the kept runs agree, and have the signature of the two modes."""
    nested = _NESTED[vendor]
    before = parameters(result.text("whole.before"))
    if before["nested"] not in ("0", "N"):
        raise Mismatch(f"the test itself is wrong: nested is {before['nested']}")
    for step in (f"load it with {nested}=0 (now {nested}=1)", "run and count: guest"):
        if step not in result.text("whole.err"):
            raise Mismatch(f"it did not say beforehand: {step}")
    comparison = json.loads(result.text("whole.out"))
    if [run["label"] for run in comparison["runs"]] != [f"{nested}=1", f"{nested}=0"]:
        raise Mismatch(f"it compares {comparison['runs']}")
    if comparison["warnings"]:
        raise Mismatch(f"it warns of {comparison['warnings']}")
    changes = {row["reason"]: row["runs"][1].get("change") for row in comparison["reasons"]}
    want = _SIGNATURE[vendor]
    if {reason: changes.get(reason, "not there") for reason in want} != want:
        raise Mismatch(f"the reasons changed like this: {changes}")
    for label, paging in ((f"{nested}=1", nested), (f"{nested}=0", "shadow")):
        run = json.loads(result.text(f"keep/{label}.json"))
        found = (run["host"]["paging"], [vm["paging"] for vm in run["vms"]], run["command"])
        if found != (paging, [paging], ["guest"]) or lost(run):
            raise Mismatch(f"{label}: kept as {found}, lost {lost(run)}")
        if run["host"]["parameters"][f"kvm_{vendor}.nested"] != before["nested"]:
            raise Mismatch(f"{label}: nested became {run['host']['parameters']}")


# With shadow paging: the exits of a reason, and the beginnings of all targets that it can have.
_SHADOW_TARGETS = {
    "amd": {"write_cr3": ["cr3 write"], "PF excp": ["#PF "]},
    "intel": {"CR_ACCESS": ["cr0 ", "cr3 ", "cr4 "], "EXCEPTION_NMI": ["#PF "]},
}


# The guest adds to a number in each page: a single write to Bochs; QEMU reads first, and the write
# then meets a page that KVM keeps read-only until it is dirty.
_FAULTS = {"amd": ("#PF read kernel", "#PF write kernel protection"),
           "intel": ("#PF write kernel",)}


def exits_by_reason(run: dict) -> dict[str, dict]:
    (vcpu,) = [vcpu for vm in run["vms"] for vcpu in vm["vcpus"]]
    return {stats["reason"]: stats for stats in vcpu["exits"]}


def check_sums(label: str, exits: dict[str, dict]) -> None:
    """Targets, other and unknown ones are all exits of their reason. (The vCPU's last exit, which
    was not completed, is of a reason without targets.)"""
    counted = {reason: stats for reason, stats in exits.items() if "targets" in stats}
    for reason, stats in counted.items():
        parts = [*stats["targets"], stats["targets_other"], stats["targets_unknown"]]
        if sum(part["count"] for part in parts) != stats["count"]:
            raise Mismatch(f"{label}, {reason}: {parts} are not {stats['count']}")
    if "cpuid" not in map(str.lower, counted):
        raise Mismatch(f"{label} has targets of {list(counted)} only")


def check_targets(result: Result, vendor: str) -> None:
    """Both runs have targets; those of the shadow run say what its exits are, each of them."""
    for label in (f"{_NESTED[vendor]}=1", f"{_NESTED[vendor]}=0"):
        exits = exits_by_reason(json.loads(result.text(f"keep/{label}.json")))
        check_sums(label, exits)
    # Those of the second run:
    for reason, starts in _SHADOW_TARGETS[vendor].items():
        stats = exits[reason]
        targets = {target["target"]: target["count"] for target in stats["targets"]}
        if sum(targets.values()) != stats["count"]:
            raise Mismatch(f"{reason}: {targets} are not {stats['count']}")
        strange = [target for target in targets if not target.startswith(tuple(starts))]
        if strange:
            raise Mismatch(f"{reason} has the targets {strange}")
    changes = {target["target"]: target["runs"][1].get("change")
               for row in json.loads(result.text("whole.out"))["reasons"]
               for target in row.get("targets", [])}
    for target in ("cr3 write", *_FAULTS[vendor]):
        if changes.get(target) != "new":
            raise Mismatch(f"{target} is {changes.get(target, 'not there')} without nested paging")


def check_choice(result: Result) -> None:
    """What is printed of targets, and that they can be left out."""
    table = result.text("table.out")
    for target in ("#PF write kernel protection", "#PF is a page fault: "):
        if target not in table:
            raise Mismatch(f"the table lacks '{target}': {table}")
    if "leaf 0x" in table:
        raise Mismatch(f"the table has targets of exits that did not become more: {table}")
    for name in ("without", "little"):
        if '"targets"' in result.text(f"{name}.out"):
            raise Mismatch(f"{name}: it counted targets")


def check(result: Result, vendor: str) -> None:
    check_whole(result, vendor)
    check_targets(result, vendor)
    if vendor == "amd":
        check_choice(result)
    names = list(_CASES) if vendor == "amd" else ["whole"]
    for name in names:
        check_case(result, name)
    if vendor == "amd" and parameters(result.text("term.before"))["npt"] not in ("0", "N"):
        raise Mismatch("the test itself is wrong: npt is on before the signals")
    print(f"  {len(names)} cases; the module is as it was after each that could give it back")


def main() -> int:
    options = harness.options()
    script = _SETUP + _WHOLE + (_TARGETS + _FAILURES if options.vendor == "amd" else "")
    job = Job(kernel=options.kernel, vendor=options.vendor, script=script, timeout_s=400,
              programs={"/bin/exittop": options.exittop,
                        **workloads.guest_programs(options.guests, "micro_vm")})
    return harness.run(job, lambda result: check(result, options.vendor))


if __name__ == "__main__":
    sys.exit(main())
