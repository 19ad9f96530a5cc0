# SPDX-License-Identifier: GPL-2.0-only
"""The commands that help, README and manual page show as examples."""

import re

from command_line import SOURCE, run

COMMANDS = ("live", "dump", "record", "compare", "import", "experiment", "export", "check",
            "leaves", "reasons", "lab")
README = SOURCE / "README.md"
MANUAL = SOURCE / "deploy/exittop.8"


def help_text(*command: str) -> str:
    return run(*command, "--help").stdout


def of_help() -> list[str]:
    """Indented commands, each up to two spaces, after which its description may stand."""
    return [example for command in COMMANDS
            for example in re.findall(r"(?m)^  (exittop .*?)(?:  .*)?$", help_text(command))]


def of_readme() -> list[str]:
    blocks = re.findall(r"(?ms)^```sh\n(.*?)^```$", README.read_text())
    return [line for block in blocks for line in block.splitlines()]


def of_manual() -> list[str]:
    blocks = re.findall(r"(?ms)^\.EX\n(.*?)^\.EE$", MANUAL.read_text())
    return [line.replace("\\-", "-") for block in blocks for line in block.splitlines()]
