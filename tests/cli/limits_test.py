# SPDX-License-Identifier: GPL-2.0-only
"""What exittop cannot go on without, memory or a place to work, it lacks in one line and ends."""

import resource
import tempfile
import unittest
from pathlib import Path

from command_line import (EXITTOP, FAILED, SOURCE, CommandLineTest, needs_root, run,
                          run_program)

RUN = SOURCE / "tests/golden/dump.json"
MIB = 1 << 20


def limited(mib: int):
    """For preexec_fn: so much address space, and no core."""
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (mib * MIB, mib * MIB))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    return limit


class LimitsTest(CommandLineTest):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="exittop-cli-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def test_out_of_memory(self):
        if run("--version", preexec_fn=limited(128)).returncode:
            self.skipTest("with sanitizers it takes more from the start")
        large = self.folder / "large"
        with large.open("wb") as file:
            file.truncate(200 * MIB)
        for arguments in (["import", "-o", self.folder / "run.json", large], ["compare", large]):
            with self.subTest(arguments[0]):
                self.assert_error(run(*arguments, preexec_fn=limited(128)), FAILED,
                                  "^exittop: out of memory$")
        self.assertEqual([path.name for path in self.folder.iterdir()], ["large"])

    def test_stderr_that_cannot_be_written(self):
        """Nobody hears it, but it is no reason to abort."""
        with open("/dev/full", "w", encoding="ascii") as full:
            for arguments in (["compare", self.folder / "absent"], ["nonsense"]):
                self.assertIn(run(*arguments, stderr=full).returncode, (1, 2))
            log = self.folder / "log"
            log.write_text("exit number 48 exits = 35708\n")
            done = run("import", "-o", self.folder / "run.json", log, stderr=full)
        self.assertEqual(done.returncode, 0)

    def run_in_a_removed_folder(self, *arguments):
        return run_program("sh", "-c", 'mkdir "$0" && cd "$0" && rmdir "$0" && exec "$@"',
                           self.folder / "removed", EXITTOP, *arguments)

    def test_a_working_folder_that_was_removed(self):
        log = self.folder / "log"
        log.write_text("exit number 48 exits = 35708\n")
        for arguments in (["import", "-o", "run.json", log], ["compare", "--html", "page", RUN],
                          ["compare", "absent"]):
            self.assert_error(self.run_in_a_removed_folder(*arguments), FAILED, "No such file")
        done = self.run_in_a_removed_folder("compare", RUN)
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    @needs_root
    def test_the_lab_without_proc(self):
        done = run_program("unshare", "--mount", "sh", "-c",
                           'mount -t tmpfs none /proc && exec "$@"', "sh", EXITTOP, "lab")
        self.assert_error(done, FAILED, "cannot read /proc/self/exe")


if __name__ == "__main__":
    unittest.main()
