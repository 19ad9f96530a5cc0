# SPDX-License-Identifier: GPL-2.0-only
"""Runs a job in an emulated AMD host: QEMU's own emulation has SVM with nested paging."""

import shutil
import subprocess
import sys
import tempfile
import termios
from pathlib import Path

import kernels
from emulated_host import Job, Result, build_initramfs, read_result, run_emulator
from lab_error import HOST_LACKS, LabError

# Without cmpxchg16b: QEMU 7.2 emulates it with wrong flags where the flags were not yet computed,
# and an interrupt right after it then brings the emulated kernel down, about once in ten boots.
_PROCESSOR = "EPYC,-cx16"
# For kernels whose KVM does not load without it. QEMU's emulation has the feature but does not
# report it. The option that makes QEMU report it also forces on all other features of an EPYC;
# these are the ones that the emulation lacks.
_CONSTANT_TSC = (",+invtsc,x-force-features=on,-rdseed,-sha-ni,-fxsr-opt,-misalignsse,"
                 "-3dnowprefetch,-osvw,-topoext,-nrip-save,-xsavec")
_ARGUMENTS = "console=ttyS0 quiet panic=-1 mitigations=off tsc=reliable cryptomgr.notests"


def require() -> str:
    """The emulator's path; LabError if it is missing."""
    qemu = shutil.which("qemu-system-x86_64")
    if not qemu:
        raise LabError("the emulator is missing: install the package qemu-system-x86", HOST_LACKS)
    return qemu


def run(job: Job) -> Result | None:
    """The job's result; None after an interactive session."""
    qemu = require()
    kernel = kernels.kernel(job.kernel)
    with tempfile.TemporaryDirectory(prefix="exittop-lab-") as folder:
        initramfs, transfer = Path(folder) / "initramfs", Path(folder) / "transfer"
        initramfs.write_bytes(build_initramfs(job))
        command = [qemu, *_machine(job, kernel), "-kernel", str(kernel.vmlinuz),
                   "-initrd", str(initramfs),
                   "-append", f"{_ARGUMENTS} {job.kernel_arguments}".strip()]
        if job.interactive:
            _attend(command + ["-chardev", "stdio,id=console,signal=off",
                               "-serial", "chardev:console"])
            return None
        console, wall_s = run_emulator(
            command + ["-serial", "stdio", "-serial", f"file:{transfer}"], job)
        return read_result(console, transfer.read_bytes() if transfer.exists() else b"", wall_s)


def _machine(job: Job, kernel: kernels.Kernel) -> list[str]:
    processor = _PROCESSOR + (_CONSTANT_TSC if kernel.wants_constant_tsc else "")
    # One thread for all emulated CPUs: with a thread each, some boots with two CPUs hang.
    options = ["-accel", "tcg,thread=single,tb-size=512", "-machine", "q35", "-cpu", processor,
               "-smp", str(job.cpus), "-m", f"{job.memory_mib or 1024}M", "-nodefaults",
               "-no-user-config", "-display", "none", "-monitor", "none", "-no-reboot"]
    if job.icount:
        options += ["-icount", "shift=0,sleep=off"]
    return options


def _attend(command: list[str]) -> None:
    """The emulator on this terminal, which is restored afterwards."""
    terminal = sys.stdin.fileno() if sys.stdin.isatty() else None
    before = termios.tcgetattr(terminal) if terminal is not None else None
    try:
        # Its messages about features that it does not emulate are of no use on the screen.
        done = subprocess.run(command, stderr=subprocess.PIPE, check=False)
    finally:
        if before:
            termios.tcsetattr(terminal, termios.TCSADRAIN, before)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise LabError(f"the emulated host ended with status {done.returncode}: {said[-1]}")
