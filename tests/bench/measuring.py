# SPDX-License-Identifier: GPL-2.0-only
"""What the programs share that measure in emulated hosts: options, a job that succeeds."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "lab"))

from emulated_host import Job, Result
from lab_error import LabError

VENDORS = {"amd": "AMD", "intel": "Intel"}


def parser(about: str) -> argparse.ArgumentParser:
    """With the options that all have."""
    made = argparse.ArgumentParser(description=about.splitlines()[0])
    made.add_argument("--build", type=Path, required=True, help="the folder of the programs")
    made.add_argument("--kernel", action="append", help="of the lab (6.1, 6.12, 7.3)")
    made.add_argument("--vendor", choices=VENDORS, default="amd")
    return made


def require_success(job: Job, result: Result) -> None:
    """A figure from a job that failed, or from a kernel that complained, is none."""
    if result.status or result.splats:
        raise LabError(f"the job on {job.kernel} failed: "
                       f"{(result.splats or ['see the console'])[0]}", console=result.console)
