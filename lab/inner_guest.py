# SPDX-License-Identifier: GPL-2.0-only
"""The small Linux that runs as a guest inside an emulated host: its files and its command line."""

from dataclasses import asdict, dataclass
from pathlib import Path

import kernel_image
import kernels
from initramfs import Initramfs

# Turned off, because the guest lives only for seconds. Its kernel is a distribution's, built for
# all hardware; in an emulator, setting up these parts takes longer than the whole workload.
_LEFT_OUT = (
    # The files of tracefs.
    "trace_eval_init", "tracer_init_tracefs",
    # Whatever reads the kernel's own BTF.
    "cubictcp_register", "kfunc_init", "bpf_key_sig_kfuncs_init", "bpf_prog_test_run_init",
    "bpf_tcp_ca_kfunc_init", "bpf_kfunc_init", "cpumask_kfunc_init", "bpf_fs_kfuncs_init",
    "bpf_rstat_kfunc_init", "bpf_dummy_struct_ops_init",
    # Seconds of measuring jitter; the rest is unused.
    "jent_mod_init", "slab_sysfs_init", "load_system_certificate_list",
)
# ACPI beyond the tables that name the APICs: only PCI devices need it.
_ACPI = "acpi_init"
# noxsave: QEMU's emulated SVM does not intercept XSETBV, so KVM tells such a guest a wrong size of
# its state, at which kernels of the 7 series fall over. pti=on, where the kernel heeds it beside
# mitigations=off (up to 6.1), makes the address space change twice in each system call: what
# shadow paging pays most for.
_ARGUMENTS = ("console=ttyS0 loglevel=1 panic=-1 reboot=t mitigations=off pti=on nokaslr noxsave "
              "tsc=reliable no_timer_check random.trust_cpu=on nowatchdog audit=0 "
              "cryptomgr.notests")


@dataclass(frozen=True)
class Load:
    """How much the guest does before it ends; see guests/guest_init.c."""
    forks: int = 100
    pings: int = 500
    touches: int = 100
    clocks: int = 0
    sleeps: int = 0
    prints: int = 0


def files(kernel: kernels.Kernel, guests: Path) -> dict[str, Path | bytes]:
    """What the host needs to run it, by the path it is to have there. `guests` holds the programs.

    The kernel goes in unpacked: linux_vm starts it as it is, and nobody has to wait for it to
    decompress itself.
    """
    initrd = Initramfs()
    initrd.add_file("/init", (guests / "guest_init").read_bytes(), executable=True)
    return {"/guests/linux_vm": guests / "linux_vm",
            "/guests/vmlinux": kernel_image.vmlinux(kernel.vmlinuz),
            "/guests/initrd": initrd.bytes()}


def arguments(load: Load = Load(), more: str = "", pci: bool = False) -> str:
    """The kernel's command line, with `more` words of it, and after "--" the arguments of its init.
    With `pci` it looks for devices, which takes seconds."""
    left_out = ",".join(_LEFT_OUT if pci else (*_LEFT_OUT, _ACPI))
    words = [_ARGUMENTS, *([] if pci else ["pci=off"]), f"initcall_blacklist={left_out}",
             *([more] if more else []), "--",
             *(f"{name}={number}" for name, number in asdict(load).items())]
    return " ".join(words)


def command(name: str = "linux", load: Load = Load(), more: str = "") -> str:
    """The shell command that runs it, under a name that exittop can show."""
    return (f"/guests/linux_vm -name guest={name} -kernel /guests/vmlinux -initrd /guests/initrd "
            f"-append '{arguments(load, more)}'")
