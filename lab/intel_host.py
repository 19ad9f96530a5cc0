# SPDX-License-Identifier: GPL-2.0-only
"""Runs a job in an emulated Intel host: Bochs has VMX with EPT.

Known limits of that emulator: one CPU, a clock that is not wall time, and no EXTERNAL_INTERRUPT
exit while the guest has interrupts off.
"""

import contextlib
import os
import select
import shutil
import subprocess
import sys
import tempfile
import termios
import tty
from collections.abc import Iterator
from pathlib import Path

import bochs_boot
import kernel_image
import kernels
from emulated_host import Job, Result, build_initramfs, read_result, run_emulator
from lab_error import HOST_LACKS, USAGE, LabError

# From 512 MiB on the kernel uses large pages by itself, as a real host would.
_MEMORY_MIB = 640
_ARGUMENTS = ("console=ttyS0,115200 quiet panic=-1 mitigations=off nokaslr nopti tsc=reliable "
              "no_timer_check random.trust_cpu=on nowatchdog audit=0 cryptomgr.notests "
              # Hyper-threading: Bochs reports eight threads in one leaf and one in another, and
              # kernels from 6.9 on warn about it.
              "clearcpuid=28 "
              # Seconds of measuring jitter, and of writing names for numbers into the formats of
              # trace events, which nobody reads here.
              "initcall_blacklist=jent_mod_init,trace_eval_init")
_BIOS = ("/usr/share/bochs/BIOS-bochs-latest", "/usr/share/bochs/BIOS-bochs-legacy")
_START = b"c\n"     # Debian builds Bochs with its debugger, which waits for the word to continue


def require() -> tuple[str, str]:
    """The paths of the emulator and its BIOS; LabError where one is missing."""
    emulator = shutil.which("bochs-bin") or shutil.which("bochs")
    bios = next((path for path in _BIOS if Path(path).exists()), None)
    if not emulator or not bios:
        raise LabError("the emulator is missing: install the packages bochs and bochsbios",
                       HOST_LACKS)
    return emulator, bios


def run(job: Job) -> Result | None:
    """The job's result; None after an interactive session."""
    if job.cpus != 1:
        raise LabError("the emulated Intel host has one CPU: Bochs emulates no more", USAGE)
    if job.icount:
        raise LabError("only the emulated AMD host can count instructions as time", USAGE)
    with tempfile.TemporaryDirectory(prefix="exittop-lab-") as name:
        folder = Path(name)
        if job.interactive:
            _attend(job, folder)
            return None
        console, transfer = folder / "console", folder / "transfer"
        command = _command(job, folder, f"mode=file, dev={console}", f"mode=file, dev={transfer}")
        # Its exit status is 1 even when the host powered off as it should: the console tells.
        text, wall_s = run_emulator(command, job, console_file=console, stdin=_START)
        return read_result(text, transfer.read_bytes() if transfer.exists() else b"", wall_s)


def _command(job: Job, folder: Path, *ports: str) -> list[str]:
    """Writes the emulator's files into `folder`; gives the command that runs it.

    `ports` say where the serial ports lead.
    """
    emulator, bios = require()
    memory_mib = job.memory_mib or _MEMORY_MIB
    kernel = kernels.kernel(job.kernel)
    images = bochs_boot.images(kernel_image.vmlinux(kernel.vmlinuz), build_initramfs(job),
                               f"{_ARGUMENTS} {job.kernel_arguments}".strip(), memory_mib)
    (folder / "rom").write_bytes(images.rom)
    (folder / "memory").write_bytes(images.memory)
    settings = [
        "cpu: model=corei7_haswell_4770, count=1, ips=50000000, reset_on_triple_fault=0",
        f"memory: guest={memory_mib}, host={memory_mib}",
        f"romimage: file={bios}",
        f"optromimage1: file={folder}/rom, address={bochs_boot.ROM_AT:#x}",
        f"optramimage1: file={folder}/memory, address={bochs_boot.MEMORY_AT:#x}",
        *(f"com{number}: enabled=1, {port}" for number, port in enumerate(ports, start=1)),
        "clock: sync=none",
        # Bochs cannot do without a display (nobody need look at it) and a sound card.
        'display_library: rfb, options="timeout=0"',
        "sound: waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy",
        "panic: action=fatal", "error: action=ignore", "info: action=ignore",
    ]
    (folder / "bochsrc").write_text("".join(f"{line}\n" for line in settings))
    return [*_without_network(), emulator, "-q", "-f", str(folder / "bochsrc")]


def _without_network() -> list[str]:
    """The display is a VNC server open to all; without a network nobody can reach it, and two
    emulators do not contend for its port."""
    wrapper = ["unshare", "--map-root-user", "--net"]
    with contextlib.suppress(OSError):
        if subprocess.run([*wrapper, "true"], stderr=subprocess.DEVNULL, check=False,
                          stdin=subprocess.DEVNULL).returncode == 0:
            return wrapper
    return []


def _attend(job: Job, folder: Path) -> None:
    """The emulated host's console on this terminal, until the host powers off."""
    host_side, emulator_side = os.openpty()
    try:
        command = _command(job, folder, f"mode=term, dev={os.ttyname(emulator_side)}")
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, start_new_session=True) as process:
            try:
                process.stdin.write(_START)
                process.stdin.flush()
                with _raw_terminal():
                    printed = _connect(process, host_side)
            finally:
                process.kill()
    finally:
        os.close(host_side)
        os.close(emulator_side)
    if not printed:
        raise LabError(f"{command[-4]} did not start the emulated host")


@contextlib.contextmanager
def _raw_terminal() -> Iterator[None]:
    """Keys go to the emulated host one by one, Ctrl-C too; afterwards all is as it was."""
    if not sys.stdin.isatty():
        yield
        return
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    try:
        tty.setraw(terminal)
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _connect(process: subprocess.Popen, host_side: int) -> bool:
    """Copies what is typed to the emulated host and what it prints to here, until it is gone.

    True if it printed anything.
    """
    keyboard, screen = sys.stdin.fileno(), sys.stdout.fileno()
    sources, printed = [host_side, keyboard], False
    while True:
        ended = process.poll() is not None
        ready, _, _ = select.select(sources, [], [], 0 if ended else 0.2)
        if host_side in ready:
            os.write(screen, os.read(host_side, 4096))
            printed = True
        elif ended:     # asked before the last look, so that nothing is left behind
            return printed
        if keyboard in ready:
            typed = os.read(keyboard, 256)
            if typed:
                os.write(host_side, typed)
            else:
                sources.remove(keyboard)    # a script was typing; the host goes on
