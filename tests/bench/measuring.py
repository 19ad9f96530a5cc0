# SPDX-License-Identifier: GPL-2.0-only
"""Shared by the programs that measure in emulated hosts: options, and the check of a job."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "lab"))

from emulated_host import Job, Result
from lab_error import LabError

VENDORS = {"amd": "AMD", "intel": "Intel"}


def parser(about: str) -> argparse.ArgumentParser:
    """A parser with the options that all programs have."""
    made = argparse.ArgumentParser(description=about.splitlines()[0])
    made.add_argument("--build", type=Path, required=True, help="the folder of the programs")
    made.add_argument("--kernel", action="append", help="of the lab (6.1, 6.12, 7.3)")
    made.add_argument("--vendor", choices=VENDORS, default="amd")
    return made


def require_success(job: Job, result: Result) -> None:
    """Figures from a failed job, or from a kernel that complained, are not valid."""
    if result.status or result.splats:
        raise LabError(f"the job on {job.kernel} failed: "
                       f"{(result.splats or ['see the console'])[0]}", console=result.console)
