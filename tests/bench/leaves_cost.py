# SPDX-License-Identifier: GPL-2.0-only
"""What the patch in kernel/ costs: instructions per CPUID exit, unpatched and in each state.

In two boots of an emulated host whose clock advances by one with each instruction, a guest does
nothing but CPUID: leaf 0, and 0x4fffffff, which exittop answers. Figures are those of the batch
with the fewest instructions, of the second half, when exittop has long taken the VM up. The
unpatched modules are built by the same compiler as the patched ones.
"""

import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import measuring

import kernels
import patched_kvm
import run_job
from emulated_host import Job, Result, vendor_module
from lab_error import LabError, exit_with

_EXITTOP_LEAVES = "exittop leaves --vm '*' --"
# State: how KVM is loaded, and what runs around the guest.
_STATES = {
    "unpatched": ("unpatched", "", ""),
    "patched, off": ("patched", "cpuid_answer=0", ""),
    "on, no program": ("patched", "cpuid_answer=1", ""),
    "on, exittop dump": ("patched", "cpuid_answer=1", "exittop dump --"),
    "on, exittop leaves": ("patched", "cpuid_answer=1", _EXITTOP_LEAVES),
    "on, exittop leaves ended": ("patched", "cpuid_answer=1",
                                 f"{_EXITTOP_LEAVES} true >/dev/null &&"),
}
_LOOPS = {"cpuid": "leaf 0", "leaf": "leaf 0x4fffffff"}
_EXITS, _BATCHES, _BOOTS = 200, 500, 2
_LATE = re.compile(r"late=([\d.]+)")


def _script() -> str:
    parts = ["mkdir /patched\nmv /modules/kvm.ko /modules/$LAB_VENDOR_MODULE.ko /patched\n"]
    for number, (modules, parameters, around) in enumerate(_STATES.values()):
        parts.append(f"step {number}\ncp /{modules}/kvm.ko /{modules}/$LAB_VENDOR_MODULE.ko "
                     f"/modules/\nKVM_PARAMETERS={parameters}\nload_kvm 1 || exit 1\nsleep 3\n")
        parts += [f"{around} /bin/exit_loop_vm {loop} {_EXITS} {_BATCHES} "
                  f">/out/{number}.{loop} 2>/out/{number}.err || exit 1\n" for loop in _LOOPS]
        parts.append("unload_kvm || exit 1\n")
    return "".join(parts)


def _boot(version: str, vendor: str, build: Path) -> list[list[float]]:
    """By state and loop, what one boot of a host gave."""
    unpatched = patched_kvm.kernel(version, patched=False)
    job = Job(kernel=version, vendor=vendor, script=_script(), icount=vendor == "amd",
              patched_kvm=True, timeout_s=1500,
              files={f"/unpatched/{name}.ko": kernels.module_bytes(unpatched, name)
                     for name in ("kvm", vendor_module(vendor))},
              programs={f"/bin/{name}": build / name for name in ("exittop", "exit_loop_vm")},
              on_step=lambda text: print(f"{version} {vendor}: {text}", file=sys.stderr))
    result = run_job.run(job)
    measuring.require_success(job, result)
    return [[_figure(result, f"{number}.{loop}") for loop in _LOOPS]
            for number in range(len(_STATES))]


def _figure(result: Result, name: str) -> float:
    found = _LATE.search(result.text(name))
    if not found:
        raise LabError(f"no figure in {name}: {result.text(name) or 'empty'}",
                       console=result.console)
    return float(found[1])


def measure(version: str, vendor: str, build: Path) -> str:
    """A table as Markdown; in brackets by how much another boot differed."""
    with ThreadPoolExecutor(_BOOTS) as pool:    # their clocks count instructions, not time
        first, second = pool.map(lambda _: _boot(version, vendor, build), range(_BOOTS))
    title = f"Linux {kernels.kernel(version).release}, {measuring.VENDORS[vendor]}"
    lines = [f"| {title} | {' | '.join(_LOOPS.values())} |", "|---" * 3 + "|"]
    for state, figures, others in zip(_STATES, first, second, strict=True):
        lines.append(f"| {state} | " + " | ".join(
            f"{figure:.0f} ({other - figure:+.0f})"
            for figure, other in zip(figures, others, strict=True)) + " |")
    return "\n".join(lines)


def main() -> int:
    options = measuring.parser(__doc__).parse_args()
    for version in options.kernel or ["6.1"]:
        print(measure(version, options.vendor, options.build), flush=True)
    return 0


if __name__ == "__main__":
    exit_with(main)
