# SPDX-License-Identifier: GPL-2.0-only
"""More vCPUs than slots: what is not counted is told, and whose it is, and no user can keep the
others out.

A greedy user runs VMs that take all slots, and more; then another's come. They get their share, at
the cost of the newest of the greedy one's. For each vCPU the exits that were counted and those that
were not are, together, all that the kernel traced.
"""

import json
import re
import sys
from collections import Counter
from pathlib import Path

import harness
import kernel_counts
from counts import Mismatch, guest_threads, kernel_by_vcpu, lost

import workloads
from emulated_host import Job, Result

_SLOTS, _GREEDY, _MODEST = 8, 12, 2
_GREEDY_UID, _MODEST_UID = 1001, 1002

_SCRIPT = r"""
said() { while ! grep -q "$1" "$2"; do sleep 0.1; done; }
load_kvm 1
chmod 666 /dev/kvm
exittop dump --max-vcpus $SLOTS --format json >/out/full.json 2>/out/full.err & json=$!
exittop dump --max-vcpus $SLOTS >/out/full.txt 2>/out/table.err & table=$!
exittop export --max-vcpus $SLOTS --textfile - --interval 1 \
    >/out/full.prom 2>/out/prom.err & prom=$!
for name in full table prom; do said counting /out/$name.err; done
kernel_counts_start
/lab/setpriv --reuid=$GREEDY_UID --clear-groups micro_vm --vms $GREEDY --rounds 3000 -- \
    qemu-system-x86_64 -name greedy >/out/greedy.guests & greedy=$!
sleep 3
/lab/setpriv --reuid=$MODEST_UID --clear-groups micro_vm --vms $MODEST --rounds 500 -- \
    qemu-system-x86_64 -name modest >/out/modest.guests
wait $greedy
kernel_counts_stop /out/kernel.counts
sleep 1.5
for pid in $json $table $prom; do
    kill -TERM $pid
    wait $pid || exit 1
done
"""


def check(result: Result, kernel: str) -> None:
    run = json.loads(result.text("full.json"))
    threads = guest_threads(result.text("greedy.guests") + result.text("modest.guests"))
    theirs = kernel_by_vcpu(kernel_counts.parse(result.text("kernel.counts")), threads)
    if Counter(vm["name"] for vm in run["vms"]) != {"greedy": _GREEDY, "modest": _MODEST}:
        raise Mismatch(f"VMs are missing: {[vm['name'] for vm in run['vms']]}")
    shares: Counter = Counter()
    for vm in run["vms"]:
        (vcpu,) = vm["vcpus"]
        if vm["uid"] != {"greedy": _GREEDY_UID, "modest": _MODEST_UID}[vm["name"]]:
            raise Mismatch(f"{vm['name']} is said to be of uid {vm['uid']}")
        if not vm["ended"]:
            raise Mismatch(f"VM {vm['id']} has ended, which exittop did not notice")
        counted = sum(stats["count"] for stats in vcpu["exits"])
        uncounted = vcpu.get("uncounted", 0)
        traced = theirs[threads[vcpu["tid"]]].total()
        if counted + uncounted != traced:
            raise Mismatch(f"VM {vm['id']} of {vm['name']}: {counted} exits were counted, "
                           f"{uncounted} not, but the kernel traced {traced}")
        shares[vm["name"], "counted"] += counted
        shares[vm["name"], "not"] += uncounted
        shares[vm["name"], "VMs without a slot"] += not counted
        shares[vm["name"], "VMs that lost theirs"] += bool(counted and uncounted)
    split = {"split_missed"} if kernel.startswith("7.") else set()
    losses = lost(run, {"table_full", "exit_without_entry"} | split)
    not_counted = shares["greedy", "not"] + shares["modest", "not"]
    if losses or run["lost"]["table_full"] != not_counted:
        raise Mismatch(f"{not_counted} exits were not counted; lost: {run['lost']}")
    if run["lost"]["exit_without_entry"] > _MODEST:
        raise Mismatch(f"{run['lost']['exit_without_entry']} exits are not timed, of {_MODEST} "
                       "vCPUs that lost their slot")
    # The last vCPUs of the greedy user never got a slot. Those of the others waited for a moment.
    if shares["greedy", "VMs without a slot"] > _GREEDY - _SLOTS:
        raise Mismatch(f"{shares}")
    if shares["modest", "VMs without a slot"] or \
            shares["modest", "not"] > shares["modest", "counted"] / 4:
        raise Mismatch(f"the modest user's VMs are kept out: {shares}")
    if not shares["greedy", "VMs that lost theirs"]:
        raise Mismatch(f"the greedy user lost no slot: {shares}")
    table = result.text("full.txt")
    told = re.findall(r"^  ([\d,]+) exits not counted: no room for vCPU 0 \(--max-vcpus\)$", table,
                      re.MULTILINE)
    if len(told) < _GREEDY - _SLOTS or "exits unknown" not in table:
        raise Mismatch(f"the table does not say whose exits were not counted:\n{table}")
    series = re.findall(r'^exittop_vm_uncounted_exits_total\{vm="([a-z]+)[^"]*"\} (\d+)$',
                        result.text("full.prom"), re.MULTILINE)
    if not any(name == "greedy" and int(value) for name, value in series):
        raise Mismatch(f"no series says whose exits were not counted: {series}")
    print(f"  {_GREEDY + _MODEST} VMs on {_SLOTS} slots: {dict(shares)}")


def main() -> int:
    options = harness.options()
    programs = workloads.guest_programs(options.guests, "micro_vm")
    facts = {"SLOTS": _SLOTS, "GREEDY": _GREEDY, "MODEST": _MODEST, "GREEDY_UID": _GREEDY_UID,
             "MODEST_UID": _MODEST_UID}
    exports = " ".join(f"{name}={value}" for name, value in facts.items())
    job = Job(kernel=options.kernel, vendor="amd", script=f"export {exports}\n{_SCRIPT}",
              timeout_s=120, programs={"/bin/exittop": options.exittop,
                                       "/lab/setpriv": Path("/usr/bin/setpriv"), **programs})
    return harness.run(job, lambda result: check(result, options.kernel))


if __name__ == "__main__":
    sys.exit(main())
