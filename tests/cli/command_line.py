# SPDX-License-Identifier: GPL-2.0-only
"""What the tests of the command line share: the program under test, and what a good error is."""

import os
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("EXITTOP_BUILD", SOURCE / "build/release"))
EXITTOP = BUILD / "exittop"
FAILED, USAGE, LACKING = 1, 2, 77
VENDOR_MODULES = [Path("/sys/module") / name for name in ("kvm_intel", "kvm_amd")]


def run(*arguments: str, **more) -> subprocess.CompletedProcess:
    """exittop with these arguments; what it printed, as text."""
    return run_program(EXITTOP, *arguments, **more)


def run_program(*command, **more) -> subprocess.CompletedProcess:
    settings = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE,
                "text": True, "timeout": 120, "check": False}
    return subprocess.run([str(word) for word in command], **(settings | more))


def has_vendor_module() -> bool:
    return any(module.exists() for module in VENDOR_MODULES)


# Leaves of /sys/module what there is of kvm itself.
_HIDE_MODULES = """
mount -t tmpfs none /mnt && mkdir /mnt/kvm && mount --bind /sys/module/kvm /mnt/kvm &&
    mount -t tmpfs none /sys/module && mkdir /sys/module/kvm &&
    mount --bind /mnt/kvm /sys/module/kvm && exec "$@"
"""


def without_vendor_module() -> list[str]:
    """What to put before a command that is to find no vendor module. It stays one process."""
    if not has_vendor_module():
        return []
    if os.geteuid() != 0:
        raise unittest.SkipTest("this host has its vendor module, which only root can hide")
    return ["unshare", "--mount", "sh", "-c", _HIDE_MODULES, "sh"]


def needs_root(test):
    return unittest.skipUnless(os.geteuid() == 0, "needs root")(test)


def public_folder() -> tempfile.TemporaryDirectory:
    """A temporary folder that other users may read."""
    folder = tempfile.TemporaryDirectory(prefix="exittop-cli-")
    os.chmod(folder.name, 0o755)
    return folder


def run_as_nobody(*arguments: str) -> subprocess.CompletedProcess:
    """exittop as a user with no rights, from a place that this user can read."""
    with public_folder() as folder:
        program = shutil.copy(EXITTOP, folder)
        return run_program("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                           "--inh-caps=-all", program, *arguments, cwd="/")


class CommandLineTest(unittest.TestCase):
    """Errors are one line on stderr that opens with the program's name, and stdout is empty."""

    def assert_error(self, done: subprocess.CompletedProcess, status: int, said: str) -> None:
        """`said` is a regular expression for what the line must hold."""
        self.assertEqual(done.returncode, status, done.stderr)
        lines = done.stderr.splitlines()
        self.assertEqual(len(lines), 1, done.stderr)
        self.assertTrue(lines[0].startswith("exittop: "), lines[0])
        self.assertTrue(re.search(said, lines[0]), f"{said!r} is not in {lines[0]!r}")
        self.assertFalse(re.search(r"[\x00-\x08\x0b-\x1f\x7f]", lines[0]), repr(lines[0]))
        self.assertFalse(done.stdout)
