# SPDX-License-Identifier: GPL-2.0-only
"""Shared by the tests on emulated hosts: options, running a job, and its verdict."""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from counts import Mismatch

import kernels
import run_job
from emulated_host import Job, Result
from lab_error import LabError


def options() -> argparse.Namespace:
    """--kernel, --vendor, --cpus, and where the programs under test are."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kernel", default=kernels.default_version(), choices=kernels.versions())
    parser.add_argument("--vendor", default="amd", choices=("amd", "intel"))
    parser.add_argument("--cpus", type=int, default=1)
    parser.add_argument("--exittop", type=Path, required=True)
    parser.add_argument("--guests", type=Path, required=True)
    parser.add_argument("--exitleaf", type=Path)
    parser.add_argument("--clang", action="append", default=[], metavar="VERSION=EXITTOP")
    return parser.parse_args()


def run(job: Job, check: Callable[[Result], None]) -> int:
    """Runs the job and checks its result; a kernel warning fails it as a mismatch does."""
    release = kernels.kernel(job.kernel).release
    try:
        result = run_job.run(job)
        print(f"{job.vendor}, {release}: {result.wall_s:.0f} s", flush=True)
        if folder := os.environ.get("EXITTOP_TEST_KEEP"):
            keep(result, Path(folder) / f"{job.vendor}-{job.kernel}")
        if result.status:
            print(result.console)
            for name in sorted(result.out):
                if name.endswith(".err"):
                    print(f"{name}: {result.text(name)}")
            raise Mismatch(f"the job ended with status {result.status}")
        if result.splats:
            raise Mismatch("the kernel complained: " + " | ".join(result.splats[:3]))
        check(result)
    except LabError as error:
        print(error.console)
        print(f"FAILED: {error}")
        return 1
    except Mismatch as mismatch:
        print(f"FAILED: {mismatch}")
        return 1
    return 0


def keep(result: Result, folder: Path) -> None:
    """Keeps all that came back in the folder EXITTOP_TEST_KEEP, to find the cause of a failure."""
    for name, content in result.out.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    (folder / "console.log").write_text(result.console + result.kernel_log)
    print(f"kept in {folder}", file=sys.stderr)
