# SPDX-License-Identifier: GPL-2.0-only
"""Runs one job in the emulated host of its vendor; as a program, for tests and by hand:

    run_job.py --kernel 6.1 --vendor amd --script FILE [--add INSIDE=FILE ...]
               [--program INSIDE=FILE ...] [--module NAME ...] [--out FOLDER]
"""

import argparse
import importlib
import sys
from pathlib import Path

import file_place
import kernels
from emulated_host import UP_MARK, Job, Result
from lab_error import LabError, exit_with


def run(job: Job) -> Result | None:
    """The job's result; None after an interactive session."""
    host = _host(job.vendor)
    try:
        return host.run(job)
    except LabError as problem:
        # An emulator sometimes fails to boot a kernel, so booting is retried once. A job that has
        # started is never repeated.
        if not problem.console or UP_MARK in problem.console:
            raise
        return host.run(job)


def require_emulator(vendor: str) -> None:
    """LabError that names the package if this machine lacks the vendor's emulator."""
    _host(vendor).require()


def _host(vendor: str):
    """The module of that vendor; only the requested emulator is searched for."""
    if vendor not in ("amd", "intel"):
        raise LabError(f"no emulated host of vendor {vendor!r}: amd or intel", 2)
    return importlib.import_module(f"{vendor}_host")


def _pairs(given: list[str]) -> dict[str, Path]:
    return {inside: Path(file) for inside, file in (pair.split("=", 1) for pair in given)}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run a script in an emulated KVM host.")
    parser.add_argument("--kernel", default=kernels.default_version())
    parser.add_argument("--vendor", default="amd")
    parser.add_argument("--script", type=Path, required=True)
    parser.add_argument("--add", action="append", default=[], metavar="INSIDE=FILE")
    parser.add_argument("--program", action="append", default=[], metavar="INSIDE=FILE")
    parser.add_argument("--module", action="append", default=[])
    parser.add_argument("--cpus", type=int, default=1)
    parser.add_argument("--memory", type=int, default=None, metavar="MIB")
    parser.add_argument("--icount", action="store_true")
    parser.add_argument("--timeout", type=float, default=Job.timeout_s)
    parser.add_argument("--out", type=Path, help="folder for the files the job left in /out")
    return parser.parse_args()


def main() -> int:
    options = _options()
    job = Job(kernel=options.kernel, vendor=options.vendor, script=options.script.read_text(),
              files=_pairs(options.add), programs=_pairs(options.program),
              modules=options.module, cpus=options.cpus, memory_mib=options.memory,
              icount=options.icount, timeout_s=options.timeout,
              on_step=lambda text: print(f"exittop lab: {text}", file=sys.stderr))
    result = run(job)
    sys.stdout.write(result.console)
    for name, content in result.out.items() if options.out else ():
        target = options.out / name
        file_place.make_folder(target.parent)
        file_place.write(target, content)
    for line in result.splats:
        print(f"exittop lab: the kernel said: {line}", file=sys.stderr)
    print(f"exittop lab: status {result.status}, {result.wall_s:.1f} s", file=sys.stderr)
    return 1 if result.splats else result.status


if __name__ == "__main__":
    exit_with(main)
