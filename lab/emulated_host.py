# SPDX-License-Identifier: GPL-2.0-only
"""What the emulated hosts have in common: the job that goes in and the result that comes out.

A job is a shell script and the files it needs. It runs as /job.sh under lab/init.sh, which is
process 1 of the emulated host. What the script leaves in /out comes back over the second serial
port as a compressed tar (its checksum tells a damaged transfer from a good one); the first serial
port is the console. Lines "exittop-lab: step TEXT" on the console report progress.
"""

import contextlib
import ctypes
import io
import os
import re
import shlex
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import kernels
import patched_kvm
from initramfs import Initramfs
from lab_error import LabError

UP_MARK = "exittop-lab: up"
DONE_MARK = "exittop-lab: done"
_STEP = re.compile(r"exittop-lab: step (.*)")
_STATUS = re.compile(r"exittop-lab: status (\d+)")
_SPLAT = re.compile(r"WARNING: |BUG: |\bOops\b|Call Trace:|Kernel panic|general protection fault|"
                    r"unable to handle|rcu.*(?:stall|starved)|blocked for more than|UBSAN|KASAN")
# It goes on after its reason: who it is, when it ended.
_BOCHS_REASON = re.compile(r"Bochs is exiting with the following message:\s*\n(.*)")
_LAB_FOLDER = Path(__file__).parent


@dataclass
class Job:
    """What to run in which emulated host."""
    kernel: str                                     # a version of kernels.json
    vendor: str                                     # "amd" or "intel"
    script: str                                     # runs as /job.sh; see lab/init.sh
    files: dict[str, Path | bytes] = field(default_factory=dict)     # path inside -> file
    programs: dict[str, Path] = field(default_factory=dict)          # path inside -> program
    modules: list[str] = field(default_factory=list)                 # beyond the vendor's own
    patched_kvm: bool = False                       # KVM's modules with the patches of kernel/
    cpus: int = 1
    memory_mib: int | None = None                   # None: what the emulator needs at least
    icount: bool = False                            # virtual time counts instructions (amd)
    kernel_arguments: str = ""
    timeout_s: float = 600                          # on a busy machine a boot takes minutes
    interactive: bool = False                       # a shell on this terminal instead of the script
    on_step: Callable[[str], None] | None = None    # told each step's text


@dataclass
class Result:
    """What a job left behind."""
    out: dict[str, bytes]       # files of /out by their path below it
    status: int                 # exit status of the script
    console: str                # all that the console printed
    kernel_log: str             # dmesg at the end
    wall_s: float
    splats: list[str]           # warnings and worse that the kernel printed

    def text(self, name: str) -> str:
        if name not in self.out:
            raise LabError(f"the job left no file {name} in /out")
        return self.out[name].decode(errors="replace")


def vendor_module(vendor: str) -> str:
    return {"amd": "kvm_amd", "intel": "kvm_intel"}[vendor]


def build_initramfs(job: Job) -> bytes:
    """The whole system a job runs in."""
    find = patched_kvm.kernel if job.patched_kvm else kernels.kernel
    kernel = find(job.kernel)
    image = Initramfs()
    image.add_busybox()
    for path, program in job.programs.items():
        image.add_program(path, program)
    for path, content in job.files.items():
        data = content if isinstance(content, bytes) else content.read_bytes()
        executable = (data.startswith(b"#!") if isinstance(content, bytes)
                      else os.access(content, os.X_OK))
        image.add_file(path, data, executable=executable)
    image.add_file("/lab/shell.sh", b"".join((_LAB_FOLDER / name).read_bytes()
                                             for name in ("kvm_modules.sh", "kernel_counts.sh")))
    image.add_file("/init", (_LAB_FOLDER / "init.sh").read_bytes(), executable=True)
    image.add_file("/lab/job.env", _environment(job).encode())
    if not job.interactive:  # without a script, init starts a shell
        image.add_file("/job.sh", job.script.encode(), executable=True)
    image.add_modules(kernel, [vendor_module(job.vendor), *job.modules])
    for folder in ("dev", "proc", "sys", "tmp", "out", "run", "root"):
        image.add_folder(folder)
    return image.bytes()


def _environment(job: Job) -> str:
    facts = {"LAB_VENDOR": job.vendor, "LAB_VENDOR_MODULE": vendor_module(job.vendor),
             "LAB_PAGING_PARAMETER": {"amd": "npt", "intel": "ept"}[job.vendor],
             "LAB_KERNEL": job.kernel}
    if job.interactive:
        size = shutil.get_terminal_size()
        facts |= {"LAB_ROWS": size.lines, "LAB_COLUMNS": size.columns,
                  "TERM": shlex.quote(os.environ.get("TERM", "linux"))}
    return "".join(f"export {name}={value}\n" for name, value in facts.items())


def run_emulator(command: list[str], job: Job, console_file: Path | None = None,
                 stdin: bytes | None = None) -> tuple[str, float]:
    """Runs an emulator to its end and gives the console's text and the seconds it took.

    The console is the emulator's stdout, or `console_file` if the emulator writes one.
    """
    began = time.monotonic()
    follow = _Follower(job.on_step)
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=said if console_file else subprocess.PIPE, stderr=said, start_new_session=True,
            preexec_fn=_die_with_parent)
        try:
            if stdin:
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.write(stdin)
                    process.stdin.flush()
            _watch(process, console_file, follow, began + job.timeout_s)
            if process.poll() is None:
                raise LabError(f"the emulated host did not finish in {job.timeout_s:.0f} s; it "
                               f"last said: {_last_line(follow.text)}", console=follow.text)
        finally:
            _end(process)
        if not follow.text:
            said.seek(0)
            raise did_not_start(process, said.read())
    return follow.text, time.monotonic() - began


def did_not_start(process: subprocess.Popen, said: bytes) -> LabError:
    """The error of an emulator that ended before its host had printed anything."""
    text = said.decode(errors="replace")
    reason = _BOCHS_REASON.search(text)
    return LabError(f"the emulator did not start the emulated host: status {process.returncode}, "
                    f"it said: {reason[1].strip() if reason else _last_line(text)}")


def _die_with_parent() -> None:
    """Ends the emulator with the lab: otherwise it would keep a core busy if the lab is killed."""
    set_parent_death_signal = 1
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


class _Follower:
    """Collects the console's text and reports each step once its line is complete."""

    def __init__(self, on_step: Callable[[str], None] | None):
        self.text = ""
        self._seen = 0
        self._on_step = on_step

    def take(self, data: bytes) -> None:
        self.text += data.decode(errors="replace").replace("\r", "")
        complete = self.text.rfind("\n") + 1
        for line in self.text[self._seen:complete].splitlines():
            step = _STEP.search(line)
            if step and self._on_step:
                self._on_step(step[1].strip())
        self._seen = complete


def _watch(process: subprocess.Popen, console_file: Path | None, follow: _Follower,
           deadline: float) -> None:
    """Reads the console until the emulator ends or its time is over."""
    source = process.stdout
    if source:
        os.set_blocking(source.fileno(), False)
    position = 0
    while time.monotonic() < deadline:
        # Asked before the last read, so that what was written just before the end is read too.
        ended = process.poll() is not None
        data = None
        if source:
            data = source.read()
        elif console_file.exists():
            with console_file.open("rb") as file:
                file.seek(position)
                data = file.read()
            position += len(data)
        if data:
            follow.take(data)
        if ended:
            return
        time.sleep(0.05)


def _end(process: subprocess.Popen) -> None:
    """Ends the emulator, if it still runs, and all its children."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe:
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


def read_result(console: str, transfer: bytes, wall_s: float) -> Result:
    """The result from what came over the two serial ports."""
    if DONE_MARK not in console:
        raise LabError("the emulated host ended before its job was done; it last said: "
                       + _last_line(console), console=console)
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(transfer), mode="r:gz") as archive:
            for member in archive:
                if member.isfile():
                    files[member.name.removeprefix("./")] = archive.extractfile(member).read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise LabError(f"the emulated host's files came back damaged: {error}",
                       console=console) from None
    kernel_log = files.pop(".dmesg", b"").decode(errors="replace")
    status = _STATUS.search(console)
    return Result(out=files, status=int(status[1]) if status else 1, console=console,
                  kernel_log=kernel_log, wall_s=wall_s, splats=splats(console, kernel_log))


def splats(console: str, kernel_log: str) -> list[str]:
    """The lines in which the kernel reports a fault in itself."""
    lines = dict.fromkeys(line.strip() for line in (console + "\n" + kernel_log).splitlines())
    return [line for line in lines if _SPLAT.search(line)]


def _last_line(console: str) -> str:
    lines = [line for line in console.splitlines() if line.strip()]
    return lines[-1].strip()[:200] if lines else "nothing"
