# SPDX-License-Identifier: GPL-2.0-only
"""VMs are identified also if exittop sees other processes, or other pids, than the kernel.

In a PID namespace of its own: VMs of that namespace are found by their numbers there, and those
outside have their own name, above all not that of a process that happens to have the same number
inside.
With /proc of the kernel in such a namespace, and with hidepid, for a user who may count. And where
exittop is stopped while VMs come and go, so that their processes are gone when it looks.
"""

import json
import sys
from pathlib import Path

import harness
from counts import Mismatch, lost
from user_test import settings

import workloads
from emulated_host import Job, Result

_GONE = 40

_SCRIPT = r"""
load_kvm 1 || exit 1
exittop dump --format json >/out/stopped.json 2>/out/stopped.err & stopped=$!
while ! grep -q counting /out/stopped.err; do sleep 0.1; done
kill -STOP $stopped
for i in $(seq $GONE); do micro_vm --rounds 3 --quiet -- qemu-system-x86_64 -name gone$i; done
kill -CONT $stopped
sleep 0.5
kill -TERM $stopped
wait $stopped || exit 1
micro_vm --rounds 100000000 --quiet -- qemu-system-x86_64 -name guest=outside & outside=$!
echo $outside >/out/outside
cat >/tmp/inner.sh <<'END'
. /lab/job.env
. /lab/shell.sh
# A process of this namespace with the number that the VM outside has in the kernel.
while :; do
    /bin/busybox true & [ $! -ge $(($1 - 1)) ] && break
done
wait
micro_vm --start-ms 100000 -- qemu-system-x86_64 -name guest=innocent >/dev/null & innocent=$!
micro_vm --rounds 100000000 --quiet -- qemu-system-x86_64 -name guest=inside & inside=$!
echo $innocent $inside >/out/inner
sleep 0.5
exittop dump --duration 1 --format json >/out/own.json 2>/out/own.err || exit 1
exittop dump --duration 0.5 --pid $inside >/out/pid.txt 2>&1 || exit 1
exittop dump --duration 0.5 --vm innocent >/out/innocent.txt 2>&1
exittop check --duration 0.5 >/out/own-check.txt 2>&1
kill $innocent $inside
END
unshare -p -f --mount-proc /bin/busybox sh /tmp/inner.sh $outside || exit 1
unshare -p -f exittop dump --duration 0.5 --format json >/out/outer.json 2>/out/outer.err || exit 1
mount -o remount,hidepid=2 /proc || exit 1
/lab/setpriv --reuid=61184 --regid=61184 --clear-groups --no-new-privs \
    --bounding-set=-all$UNIT_CAPABILITIES --inh-caps=-all$UNIT_CAPABILITIES \
    --ambient-caps=-all$UNIT_CAPABILITIES \
    exittop dump --duration 0.5 --format json >/out/hidden.json 2>/out/hidden.err || exit 1
exittop dump --duration 0.5 --format json >/out/root.json 2>/out/root.err || exit 1
kill $outside
"""


def _vms(result: Result, name: str, may_lose: set[str]) -> dict[str, dict]:
    run = json.loads(result.text(f"{name}.json"))
    if losses := lost(run, may_lose):
        raise Mismatch(f"{name}: lost {losses}")
    # For a VM without counts, exittop reports only that.
    return {vm["name"]: vm for vm in run["vms"] if not vm.get("silent")}


def _expect(condition: bool, what: str, found: object) -> None:
    if not condition:
        raise Mismatch(f"{what}: {found}")


def check(result: Result) -> None:
    outside = int(result.text("outside"))
    innocent, inside = map(int, result.text("inner").split())
    _expect(innocent == outside, "no process inside has the number of the VM outside",
            (innocent, outside))

    vms = _vms(result, "stopped", set())
    _expect(vms.keys() == {f"gone{i + 1}" for i in range(_GONE)}, "names of what is gone",
            list(vms))
    vms = _vms(result, "own", set())
    _expect(vms.keys() == {"inside", "outside"}, "names in a namespace", list(vms))
    _expect(vms["inside"]["pid"] == inside, "not the number inside", vms["inside"]["pid"])
    _expect(vms["outside"]["pid"] == 0, "a number that is none here", vms["outside"])
    _expect("PID namespace of its own" in result.text("own.err"), "not told",
            result.text("own.err"))
    _expect("PID namespace of its own" in result.text("own-check.txt"), "nor by check",
            result.text("own-check.txt"))
    _expect("inside" in result.text("pid.txt"), "--pid finds nothing", result.text("pid.txt"))
    _expect("no exit was seen" in result.text("innocent.txt"), "a stranger's exits",
            result.text("innocent.txt"))

    vms = _vms(result, "outer", set())
    _expect(vms.keys() == {"outside"} and vms["outside"]["pid"] == outside,
            "with the kernel's /proc in a namespace", vms)
    vms = _vms(result, "hidden", set())
    _expect(vms.keys() == {"outside"}, "with hidepid", list(vms))
    _expect("hidepid" in result.text("hidden.err"), "not told", result.text("hidden.err"))
    _expect("without an exit are not told" not in result.text("root.err"), "root sees all",
            result.text("root.err"))
    vms = _vms(result, "root", set())
    _expect(vms.keys() == {"outside"}, "hidepid is not for root", list(vms))
    print("  inside and outside a namespace, and with hidepid: each by its own name")


def main() -> int:
    options = harness.options()
    programs = workloads.guest_programs(options.guests, "micro_vm")
    job = Job(kernel=options.kernel, vendor=options.vendor,
              script=f"GONE={_GONE}\n{settings()}{_SCRIPT}", timeout_s=300,
              programs={"/bin/exittop": options.exittop, "/lab/setpriv": Path("/usr/bin/setpriv"),
                        **programs})
    return harness.run(job, check)


if __name__ == "__main__":
    sys.exit(main())
