# SPDX-License-Identifier: GPL-2.0-only
"""The one exception of the lab: a line for the user and the exit status that goes with it."""

FAILED = 1
USAGE = 2
HOST_LACKS = 77


class LabError(Exception):
    """Something the user has to know, in one line.

    `status` is what the process exits with; `console` is what the emulated host had printed.
    """

    def __init__(self, message: str, status: int = FAILED, console: str = ""):
        super().__init__(message)
        self.status = status
        self.console = console
