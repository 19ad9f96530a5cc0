# SPDX-License-Identifier: GPL-2.0-only
"""QEMU itself as the guest's VMM inside an emulated host, for tests of names and uuids.

Slower to start than linux_vm and 30 MB heavier, so the lab's own workload does without it.
"""

import shutil
from pathlib import Path

import inner_guest
import kernels
from lab_error import HOST_LACKS, LabError

# Firmware of the machine type "microvm": qboot, the default in Debian 12. Debian 13's default is
# SeaBIOS, which waits forever in a VM that has neither PIT nor PIC.
_BIOS = "qboot.rom"
_FIRMWARE = (_BIOS, "linuxboot_dma.bin")
_FOLDERS = (Path("/usr/share/qemu"), Path("/usr/share/seabios"))
_MACHINE = "microvm,x-option-roms=off,rtc=on,acpi=on,pic=off,pit=off"


def programs() -> dict[str, Path]:
    """For Job.programs."""
    qemu = shutil.which("qemu-system-x86_64")
    if not qemu:
        raise LabError("QEMU is missing: install the package qemu-system-x86", HOST_LACKS)
    return {"/usr/bin/qemu-system-x86_64": Path(qemu)}


def files(kernel: kernels.Kernel, guests: Path) -> dict[str, Path | bytes]:
    """For Job.files: the small Linux as linux_vm runs it, and QEMU's firmware."""
    firmware = {f"/usr/share/qemu/{name}": _firmware(name) for name in _FIRMWARE}
    # QEMU takes a bzImage, not the unpacked kernel that linux_vm starts.
    return {**inner_guest.files(kernel, guests), "/guests/vmlinuz": kernel.vmlinuz, **firmware}


def command(name: str, uuid: str, load: inner_guest.Load = inner_guest.Load()) -> str:
    """The shell command that runs it, named as libvirt names a VM."""
    return (f"/usr/bin/qemu-system-x86_64 -name guest={name},debug-threads=on -uuid {uuid} "
            f"-M {_MACHINE} -bios {_BIOS} -enable-kvm -cpu host -m 128M -nodefaults "
            f"-no-user-config -display none -serial stdio -no-reboot -kernel /guests/vmlinuz "
            f"-initrd /guests/initrd -append '{inner_guest.arguments(load)}'")


def _firmware(name: str) -> Path:
    for folder in _FOLDERS:
        if (folder / name).is_file():
            return folder / name
    raise LabError(f"QEMU's {name} is missing: install the package qemu-system-x86", HOST_LACKS)
