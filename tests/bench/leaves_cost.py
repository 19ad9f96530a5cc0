# SPDX-License-Identifier: GPL-2.0-only
"""What the patch in kernel/ costs: instructions per CPUID exit, unpatched and in each state.

In an emulated AMD host whose clock advances by one with each instruction, a guest does nothing but
CPUID: leaf 0, and 0x4fffffff, which exittop answers. Figures are those of the batch with the fewest
instructions, of the second half, when exittop has long taken the VM up.
"""

import argparse
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "lab"))

import kernels  # noqa: E402
import run_job  # noqa: E402
from emulated_host import Job  # noqa: E402
from lab_error import LabError  # noqa: E402

# State: how KVM is loaded, and what runs around the guest.
_STATES = {
    "unpatched": ("stock", "", ""),
    "patched, off": ("patched", "cpuid_answer=0", ""),
    "on, no program": ("patched", "cpuid_answer=1", ""),
    "on, exittop dump": ("patched", "cpuid_answer=1", "exittop dump --"),
    "on, exittop leaves": ("patched", "cpuid_answer=1", "exittop leaves --vm '*' --"),
}
_LOOPS = {"cpuid": "leaf 0", "leaf": "leaf 0x4fffffff"}
_EXITS, _BATCHES = 200, 500
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


def measure(version: str, build: Path) -> str:
    """A table as Markdown."""
    stock = kernels.kernel(version)
    job = Job(kernel=version, vendor="amd", script=_script(), icount=True, patched_kvm=True,
              files={f"/stock/{name}.ko": kernels.module_bytes(stock, name)
                     for name in ("kvm", "kvm_amd")},
              programs={f"/bin/{name}": build / name for name in ("exittop", "exit_loop_vm")},
              timeout_s=900, on_step=lambda text: print(text, file=sys.stderr))
    result = run_job.run(job)
    if result.status or result.splats:
        raise LabError(f"the job on {version} failed: {(result.splats or ['see the console'])[0]}",
                       console=result.console)
    lines = [f"| {stock.release} | {' | '.join(_LOOPS.values())} |", "|---" * 3 + "|"]
    for number, state in enumerate(_STATES):
        figures = [float(_LATE.search(result.text(f"{number}.{loop}"))[1]) for loop in _LOOPS]
        lines.append(f"| {state} | " + " | ".join(f"{figure:.0f}" for figure in figures) + " |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=Path, required=True, help="the folder of the programs")
    parser.add_argument("--kernel", default="6.1", help="of the lab")
    options = parser.parse_args()
    print(measure(options.kernel, options.build))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LabError as problem:
        sys.stderr.write(problem.console)
        print(f"exittop: {problem}", file=sys.stderr)
        sys.exit(problem.status)
