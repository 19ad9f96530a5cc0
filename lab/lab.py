# SPDX-License-Identifier: GPL-2.0-only
"""`exittop lab`: exittop's tables from an emulated host, for users without a VM.

Boots an emulated AMD or Intel host, runs a guest in it with nested paging and again without, the
same exittop binary counting both, and prints each run and then both side by side.
"""

import argparse
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import file_place
import kernels
import run_job
import workloads
from emulated_host import Job, Result
from lab_error import FAILED, USAGE, LabError

_NESTED = {"amd": "npt", "intel": "ept"}
_MISNAMED = ("emulator: QEMU from 9.1 on names reads of CR2, CR3 and CR4 read_cr0, and with npt=1 "
             "lacks them")
_WELCOME = """
An emulated {vendor} host, kernel {release}. kvm is loaded, exittop is there:
    exittop check
    exittop dump -- guest         count while a guest runs ("guest" starts it)
    reload_kvm 0                  without nested paging; reload_kvm 1 with it
`exit` or `poweroff -f` ends it.

"""


class Progress:
    """One line on stderr: rewritten in place on a terminal, a line per step elsewhere."""

    def __init__(self):
        self._terminal = sys.stderr.isatty()
        self._began = time.monotonic()

    def step(self, text: str) -> None:
        line = f"exittop lab: {time.monotonic() - self._began:3.0f} s  {text}"
        if self._terminal:
            width = shutil.get_terminal_size().columns - 1
            sys.stderr.write(f"\r\033[K{line[:width]}")
        else:
            sys.stderr.write(line + "\n")
        sys.stderr.flush()

    def clear(self) -> None:
        if self._terminal:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()


def _counting_script(vendor: str) -> str:
    """The job: a guest with nested paging and one without, recorded as a run each."""
    nested = _NESTED[vendor]
    return "".join(f"""
step "{vendor}: guest with {nested}={value}"
{load} {value} || {{ echo "cannot load kvm with {nested}={value}" >/out/error; exit 1; }}
exittop record --targets all -o /out/{run}.json --label {nested}={value} -- guest \
    2>/out/error || exit 1
""" for load, value, run in (("load_kvm", 1, nested), ("reload_kvm", 0, "shadow")))


def _guest_command(workload: workloads.Workload) -> bytes:
    """/bin/guest: hides the guest's output among exittop's, but not its failure."""
    return f"#!/bin/sh\nexec {workload.command} >/tmp/guest.log\n".encode()


def _job(options: argparse.Namespace, vendor: str, progress: Progress) -> Job:
    run_job.require_emulator(vendor)
    kernel = kernels.kernel(options.kernel, progress=progress.step)
    workload = workloads.workload(options.workload, kernel, options.guests)
    files = {**workload.files, "/bin/guest": _guest_command(workload)}
    if options.shell:
        files["/lab/welcome"] = _WELCOME.format(vendor=vendor, release=kernel.release).encode()
    return Job(kernel=options.kernel, vendor=vendor, script=_counting_script(vendor),
               files=files, programs={"/bin/exittop": options.exittop, **workload.programs},
               interactive=options.shell, on_step=progress.step)


def _count(options: argparse.Namespace, vendor: str, folder: Path, progress: Progress) -> None:
    """Runs the job and prints its results; the runs and logs go to `folder`."""
    job = _job(options, vendor, progress)
    progress.step(f"{vendor}: booting kernel {options.kernel}")
    try:
        result = run_job.run(job)
    except LabError as error:
        _keep_console(folder, vendor, error.console)
        raise
    finally:
        progress.clear()
    _keep_console(folder, vendor, result.console + result.kernel_log)
    _check(result, vendor)
    runs = {name: json.loads(result.text(f"{name}.json")) for name in (_NESTED[vendor], "shadow")}
    fault = emulator_fault(runs["shadow"])
    paths = []
    for name, run in runs.items():
        if fault:
            run["note"] = fault
        paths.append(folder / f"{vendor}-{name}.json")
        file_place.write(paths[-1], f"{json.dumps(run)}\n".encode())
    for path in paths:
        _compare(options.exittop, [path])
    page = _page(options, vendor)
    _compare(options.exittop, ["--extra-targets", *paths, *(["--html", page] if page else [])])
    if page:
        print(f"exittop lab: wrote '{page}'", file=sys.stderr)
    if fault:
        print(f"{fault}\n", flush=True)


def emulator_fault(shadow: dict) -> str | None:
    """What the emulator names wrongly, told from the run with shadow paging; None: nothing.

    A guest cannot read CR0 and never CR3: where no exit is a read of CR3, QEMU called it read_cr0.
    """
    seen = {stats["reason"] for vm in shadow["vms"] for vcpu in vm["vcpus"]
            for stats in vcpu["exits"] if stats["count"]}
    return _MISNAMED if "read_cr0" in seen and "read_cr3" not in seen else None


def _keep_console(folder: Path, vendor: str, text: str) -> None:
    file_place.write(folder / f"{vendor}-console.log", text.encode())


def _check(result: Result, vendor: str) -> None:
    if result.status:
        said = result.out.get("error", b"").decode(errors="replace").strip().splitlines()
        # If the guest failed, it has printed why, and exittop that it still wrote the run.
        reasons = [line for line in said if not line.startswith("exittop: ")] or said
        raise LabError(f"counting in the emulated {vendor} host failed: "
                       + (reasons[-1] if reasons else f"status {result.status}"))
    if result.splats:
        raise LabError(f"the emulated {vendor} host's kernel complained: {result.splats[0]}")


def _page(options: argparse.Namespace, vendor: str) -> Path | None:
    """The page to write for a vendor's runs; with both vendors, each has its own page."""
    if options.html is None or options.vendor:
        return options.html
    return options.html.with_stem(f"{options.html.stem}-{vendor}")


def _require_pages(options: argparse.Namespace, vendors: list[str]) -> None:
    """Reported before the hosts boot rather than after."""
    for page in filter(None, (_page(options, vendor) for vendor in vendors)):
        if page.exists():
            raise LabError(f"cannot write '{page}': it exists; remove it or name another one")
        if not page.parent.is_dir():
            raise LabError(f"cannot write '{page}': there is no folder '{page.parent}'")
        file_place.check(page)


def _compare(exittop: Path, arguments: list) -> None:
    done = subprocess.run([exittop, "compare", *arguments], check=False)
    print(flush=True)
    if done.returncode:
        raise LabError(f"exittop compare ended with status {done.returncode}")


class _Parser(argparse.ArgumentParser):
    """Reports errors as exittop does: in one line."""

    def error(self, message: str):
        self.exit(USAGE, f"exittop: lab: {message}; see exittop lab --help\n")


def _options() -> argparse.Namespace:
    parser = _Parser(
        prog="exittop lab", description="Count a guest's exits in an emulated host, with nested "
        "paging and without, and print both side by side.")
    parser.add_argument("vendor", nargs="?", choices=tuple(_NESTED),
                        help="the host's processor (both, one after the other)")
    parser.add_argument("--kernel", choices=kernels.versions(),
                        default=kernels.default_version(), help="the host's (%(default)s)")
    parser.add_argument("--workload", choices=workloads.NAMES, default="linux",
                        help="a whole Linux, or a guest with no system inside (%(default)s)")
    parser.add_argument("--keep", type=Path, metavar="DIR",
                        help="keep the runs as JSON and the console's log there")
    parser.add_argument("--html", type=Path, metavar="FILE",
                        help="also write the comparison as a page with charts (of both hosts: "
                        "FILE-amd and FILE-intel)")
    parser.add_argument("--shell", action="store_true",
                        help="a shell in the emulated host (amd, if none is named)")
    parser.add_argument("--exittop", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--guests", type=Path, default=Path(__file__).parent / "guests",
                        help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.shell and options.html:
        parser.error("--html is for a comparison, and --shell makes none")
    return options


def _run(options: argparse.Namespace) -> None:
    progress = Progress()
    try:
        vendors = [options.vendor] if options.vendor else list(_NESTED)
        _require_pages(options, vendors)
        if options.shell:
            job = _job(options, options.vendor or "amd", progress)
            progress.clear()
            run_job.run(job)
            return
        with tempfile.TemporaryDirectory(prefix="exittop-lab-") as temporary:
            folder = options.keep or Path(temporary)
            file_place.make_folder(folder)
            for vendor in vendors:
                _count(options, vendor, folder, progress)
    finally:
        progress.clear()


def main() -> int:
    # As an exception, so that the emulator and the temporary files are removed too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    options = _options()
    try:
        _run(options)
    except LabError as error:
        print(f"exittop: {error}", file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except OSError as error:
        print(f"exittop: the lab failed on {error.filename or 'this host'}: {error.strerror}",
              file=sys.stderr)
        return FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main())
