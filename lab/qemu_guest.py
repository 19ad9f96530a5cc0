# SPDX-License-Identifier: GPL-2.0-only
"""QEMU itself as the guest's VMM inside an emulated host, for tests of names and uuids.

Slower to start than linux_vm and 30 MB heavier, so the lab's own workload does without it.
"""

import shutil
from pathlib import Path

import inner_guest
import kernels
from lab_error import HOST_LACKS, LabError

# Firmware of both machine types: qboot. It is the default of "microvm" in Debian 12. Debian 13's is
# SeaBIOS, which waits forever in a VM that has neither PIT nor PIC.
_BIOS = "qboot.rom"
_FIRMWARE = (_BIOS, "linuxboot_dma.bin")
_FOLDERS = (Path("/usr/share/qemu"), Path("/usr/share/seabios"))
_FAST = "microvm,x-option-roms=off,rtc=on,acpi=on,pic=off,pit=off"
_COMMON = (f"/usr/bin/qemu-system-x86_64 -bios {_BIOS} -enable-kvm -m 128M -nodefaults "
           "-no-user-config -display none -no-reboot -kernel /guests/vmlinuz "
           "-initrd /guests/initrd")


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
    return (f"{_COMMON} -name guest={name},debug-threads=on -uuid {uuid} -M {_FAST} -cpu host "
            f"-serial stdio -append '{inner_guest.arguments(load)}'")


def pc_command(name: str, options: str, arguments: str) -> str:
    """The same on a PC, with its timers and PCI; `arguments` are the kernel's. Its exit
    status is 1 if the guest did all its work, 3 if it failed."""
    return (f"{_COMMON} -name guest={name} -M q35 -device isa-debug-exit,iobase=0x501 {options} "
            f"-append '{arguments}'")


def _firmware(name: str) -> Path:
    for folder in _FOLDERS:
        if (folder / name).is_file():
            return folder / name
    raise LabError(f"QEMU's {name} is missing: install the package qemu-system-x86", HOST_LACKS)
