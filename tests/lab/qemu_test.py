# SPDX-License-Identifier: GPL-2.0-only
"""A real QEMU boots Linux as a guest: its name, uuid and counts are right."""

import json
import sys

import harness
from counts import Mismatch, lost

import kernel_counts
import kernels
import qemu_guest
import workloads
from emulated_host import Job, Result

_NAME = "web-01"
_UUID = "3f6c1f0e-8a55-4a52-9d0b-5b1f2f8d7c11"

_SCRIPT = """
cat >/tmp/session.sh <<'END'
. /lab/job.env
. /lab/shell.sh
kernel_counts_start
{command} >/out/guest.log 2>&1
kernel_counts_stop /out/session.counts
END
load_kvm 1
exittop dump --format json -- /bin/busybox sh /tmp/session.sh >/out/session.json 2>/out/session.err
"""


def check(result: Result) -> None:
    run = json.loads(result.text("session.json"))
    if len(run["vms"]) != 1:
        raise Mismatch(f"one VM ran, exittop has {[vm['name'] for vm in run['vms']]}")
    vm = run["vms"][0]
    shown = {key: vm[key] for key in ("name", "uuid", "vmm", "isa", "paging", "ended")}
    want = {"name": _NAME, "uuid": _UUID, "vmm": "qemu", "isa": "svm", "paging": "npt",
            "ended": True}
    if shown != want:
        raise Mismatch(f"the VM is shown as {shown}, not {want}")
    ours = {stats["code"]: stats["count"] for stats in vm["vcpus"][0]["exits"]}
    theirs: dict[int, int] = {}
    for key, count in kernel_counts.parse(result.text("session.counts")).items():
        theirs[key.reason] = theirs.get(key.reason, 0) + count
    if ours != theirs:
        raise Mismatch(f"exittop counts {ours}, the kernel {theirs}")
    if losses := lost(run):
        raise Mismatch(f"lost {losses}")
    print(f"  {vm['name']} {vm['uuid']}: {sum(ours.values())} exits of {len(ours)} reasons equal")


def main() -> int:
    options = harness.options()
    kernel = kernels.kernel(options.kernel)
    script = _SCRIPT.replace("{command}", qemu_guest.command(_NAME, _UUID))
    job = Job(kernel=options.kernel, vendor="amd", script=script, timeout_s=300,
              files=qemu_guest.files(kernel, options.guests),
              programs={"/bin/exittop": options.exittop, **qemu_guest.programs(),
                        **workloads.guest_programs(options.guests, "trace_counts")})
    return harness.run(job, check)


if __name__ == "__main__":
    sys.exit(main())
