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
from dataclasses import dataclass
from pathlib import Path

import bochs_boot
import kernel_image
import kernels
from emulated_host import (Job, Result, build_initramfs, did_not_start, read_result,
                           run_emulator)
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
# The path in the package vgabios; Bochs's default path does not exist on Debian 13.
_VGA_BIOS = ("/usr/share/vgabios/vgabios.bin", "/usr/share/bochs/VGABIOS-lgpl-latest")
_START = b"c\n"     # Debian builds Bochs with its debugger, which waits for the word to continue


@dataclass(frozen=True)
class _Emulator:
    """Paths of the program and of the images that it starts from."""
    program: str
    bios: str
    vga_bios: str


def require() -> _Emulator:
    """The emulator; LabError if a part of it is missing."""
    program = shutil.which("bochs-bin") or shutil.which("bochs")
    bios, vga_bios = (next((path for path in paths if Path(path).exists()), None)
                      for paths in (_BIOS, _VGA_BIOS))
    if not program or not bios or not vga_bios:
        raise LabError("the emulator is missing: install the packages bochs, bochsbios and "
                       "vgabios", HOST_LACKS)
    return _Emulator(program, bios, vga_bios)


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
        # Its exit status is 1 even after a regular power-off, so the console decides.
        text, wall_s = run_emulator(command, job, console_file=console, stdin=_START)
        return read_result(text, transfer.read_bytes() if transfer.exists() else b"", wall_s)


def _command(job: Job, folder: Path, *ports: str) -> list[str]:
    """Writes the emulator's files into `folder`; gives the command that runs it.

    `ports` say where the serial ports lead.
    """
    emulator = require()
    memory_mib = job.memory_mib or _MEMORY_MIB
    kernel = kernels.kernel(job.kernel)
    images = bochs_boot.images(kernel_image.vmlinux(kernel.vmlinuz), build_initramfs(job),
                               f"{_ARGUMENTS} {job.kernel_arguments}".strip(), memory_mib)
    (folder / "rom").write_bytes(images.rom)
    (folder / "memory").write_bytes(images.memory)
    settings = [
        "cpu: model=corei7_haswell_4770, count=1, ips=50000000, reset_on_triple_fault=0",
        f"memory: guest={memory_mib}, host={memory_mib}",
        f"romimage: file={emulator.bios}",
        f"vgaromimage: file={emulator.vga_bios}",
        f"optromimage1: file={folder}/rom, address={bochs_boot.ROM_AT:#x}",
        f"optramimage1: file={folder}/memory, address={bochs_boot.MEMORY_AT:#x}",
        *(f"com{number}: enabled=1, {port}" for number, port in enumerate(ports, start=1)),
        "clock: sync=none",
        # Bochs requires a display (which nobody needs to look at) and a sound card.
        'display_library: rfb, options="timeout=0"',
        "sound: waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy",
        "panic: action=fatal", "error: action=ignore", "info: action=ignore",
    ]
    (folder / "bochsrc").write_text("".join(f"{line}\n" for line in settings))
    return [*_without_network(), emulator.program, "-q", "-f", str(folder / "bochsrc")]


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
        said = folder / "said"
        with (said.open("wb") as log,
              subprocess.Popen(command, bufsize=0, stdin=subprocess.PIPE, stdout=log, stderr=log,
                               start_new_session=True) as process):
            try:
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.write(_START)
                with _raw_terminal():
                    printed = _connect(process, host_side)
            finally:
                process.kill()
    finally:
        os.close(host_side)
        os.close(emulator_side)
    if not printed:
        raise did_not_start(process, said.read_bytes())


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
        elif ended:     # checked before the last read, so that nothing is lost
            return printed
        if keyboard in ready:
            typed = os.read(keyboard, 256)
            if typed:
                os.write(host_side, typed)
            else:
                sources.remove(keyboard)    # a script was typing; the host goes on
