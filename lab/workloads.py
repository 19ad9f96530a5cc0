# SPDX-License-Identifier: GPL-2.0-only
"""What can run as a guest in an emulated host, and the files it takes."""

from dataclasses import dataclass
from pathlib import Path

import inner_guest
import kernels
from lab_error import LabError

NAMES = ("linux", "micro")


@dataclass(frozen=True)
class Workload:
    """Files and programs for a Job, and the shell command that runs the guest to its end."""
    files: dict[str, Path | bytes]
    programs: dict[str, Path]
    command: str


def workload(name: str, kernel: kernels.Kernel, guests: Path) -> Workload:
    """The workload of that name; a Linux guest runs the kernel that its host runs."""
    if name == "micro":
        return Workload({}, guest_programs(guests, "micro_vm"), "micro_vm --vcpus 2")
    if name == "linux":
        guest_programs(guests, "linux_vm", "guest_init")
        return Workload(inner_guest.files(kernel, guests), {}, inner_guest.command())
    raise LabError(f"no workload {name!r}: choose one of {', '.join(NAMES)}", 2)


def guest_programs(guests: Path, *names: str) -> dict[str, Path]:
    """Guest programs by their paths in an emulated host, for Job.programs."""
    for name in names:
        if not (guests / name).is_file():
            raise LabError(f"the guest program {name} is not in {guests}: build exittop first")
    return {f"/guests/{name}": guests / name for name in names}
