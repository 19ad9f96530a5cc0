# SPDX-License-Identifier: GPL-2.0-only
"""The one exception of the lab: a line for the user and the exit status that goes with it."""

import sys
from collections.abc import Callable

FAILED = 1
USAGE = 2
HOST_LACKS = 77


class LabError(Exception):
    """An error for the user, in one line.

    `status` is what the process exits with; `console` is what the emulated host had printed.
    """

    def __init__(self, message: str, status: int = FAILED, console: str = ""):
        super().__init__(message)
        self.status = status
        self.console = console


def exit_with(main: Callable[[], int]) -> None:
    """Ends the program with the status of `main`; a LabError prints its console and line."""
    try:
        sys.exit(main())
    except LabError as problem:
        sys.stdout.write(problem.console)
        print(f"exittop: {problem}", file=sys.stderr)
        sys.exit(problem.status)
