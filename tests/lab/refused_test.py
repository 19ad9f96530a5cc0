# SPDX-License-Identifier: GPL-2.0-only
"""Optional programs may fail to attach: exits are still counted, and exittop reports it.

refuse_attach.c makes the kernel seem to refuse single programs.
"""

import json
import sys

import harness
from counts import Mismatch, lost

import workloads
from emulated_host import Job, Result

_ROUNDS = 200
# Per test (6.1, as root): what is refused, what the result lacks, and the message.
_CASES = {
    "fentry": ("destroy_fpu", set(), ""),
    "create": ("create_fpu", set(), ""),
    "kprobes": ("destroy create", set(), ""),
    "fpu": ("fpu_helper", {"split_missed"}, "the parts of the exits' time are not known: "
            "cannot attach raw_tp/kvm_fpu: No such file"),
    "both": ("destroy_fpu fpu_helper", {"split_missed"}, "the parts of the exits' time"),
    "order": ("learn_order", set(), ""),
}

_RUN = """
REFUSE='{refused}' LD_PRELOAD=/lab/refuse_attach.so exittop dump --format json -- \
    micro_vm --quiet --vms 3 --sequential --rounds {rounds} \
    >/out/{name}.json 2>/out/{name}.err || exit 1
"""


def check(result: Result) -> None:
    for name, (_, missing, said) in _CASES.items():
        run = json.loads(result.text(f"{name}.json"))
        told = result.text(f"{name}.err")
        if len(run["vms"]) != 3 or not all(vm["ended"] for vm in run["vms"]):
            raise Mismatch(f"{name}: three VMs came and went: {run['vms']}")
        total = 0
        for vm in run["vms"]:
            exits = {each["reason"]: each["count"] for each in vm["vcpus"][0]["exits"]}
            if (exits["cpuid"], exits["io"]) != (_ROUNDS, _ROUNDS):
                raise Mismatch(f"{name}: a VM made {_ROUNDS} rounds, exittop counted {exits}")
            total += sum(exits.values())
        losses = lost(run, missing)
        if losses or (missing and run["lost"]["split_missed"] != total):
            raise Mismatch(f"{name}: {total} exits, lost {run['lost']}")
        if said not in told or (not said and "cannot" in told):
            raise Mismatch(f"{name}: it says {told}")
        parts = {each[part] is None for vm in run["vms"] for each in vm["vcpus"][0]["exits"]
                 for part in ("vmm_ns", "polled_ns", "preempted_ns", "halted_ns", "blocked_ns")}
        if parts != {bool(missing)}:
            raise Mismatch(f"{name}: the parts of the time should "
                           f"{'not ' if missing else ''}be known: {run['vms'][0]}")
        known = all(vm["vcpus"][0]["kvm_exits"] is not None for vm in run["vms"])
        if known == (name == "order"):
            raise Mismatch(f"{name}: KVM's own count is {'' if known else 'not '}known")
    print(f"  {len(_CASES)} times something refused: 3 VMs, and all exits of each")


def main() -> int:
    options = harness.options()
    programs = workloads.guest_programs(options.guests, "micro_vm")
    runs = "".join(_RUN.format(name=name, refused=refused, rounds=_ROUNDS)
                   for name, (refused, _, _) in _CASES.items())
    refuse = options.exittop.parent / "tests/lab/refuse_attach.so"
    job = Job(kernel="6.1", vendor="amd", script=f"load_kvm 1 || exit 1\n{runs}", timeout_s=300,
              programs={"/bin/exittop": options.exittop, **programs},
              files={"/lab/refuse_attach.so": refuse})
    return harness.run(job, check)


if __name__ == "__main__":
    sys.exit(main())
