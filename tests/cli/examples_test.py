# SPDX-License-Identifier: GPL-2.0-only
"""Every example of help, README and manual page is run: those that count or print in an emulated
host with a VM, those of the lab here."""

import re
import shlex
import unittest

import documented
import emulated
from command_line import EXITTOP, run_program

# What cannot be run by a test of itself, and where it is run instead.
ELSEWHERE = {
    "tests/run.sh": "what runs this test",
    "exittop lab": "tests/distro/distro_test.py, as README's first command",
    "exittop leaves --vm 'web*'": "tests/lab/leaves_test.py: it needs patched modules",
    "cmake --preset release -DBUILD_TESTING=OFF": "cmake/build.sh, by start_test.py",
    "cmake --build --preset release": "cmake/build.sh, by start_test.py",
    "cmake --install build/release": "install_test.py",
}


def examples() -> list[str]:
    """All of them, in their order, without sudo and doubles."""
    lines = documented.of_help() + documented.of_readme() + documented.of_manual()
    plain = (re.sub(r"^sudo ", "", line).replace("./exittop.sh ", "exittop ") for line in lines)
    return list(dict.fromkeys(plain))


def is_lab(example: str) -> bool:
    return example.startswith("exittop lab")


def seconds(example: str) -> int:
    """After how long it gets a Ctrl-C: soon, if it ends by nothing else."""
    ends = re.search(r"--duration|--iterations| -n | -- |exittop (check|reasons|compare)", example)
    return 100 if ends else 25


def needs_others(example: str) -> bool:
    """Whether it reads what other examples write."""
    return example.startswith("exittop compare")


class ExamplesTest(unittest.TestCase):
    def test_there_are_some_of_each_source(self):
        self.assertGreaterEqual(len(documented.of_help()), 5)
        self.assertGreaterEqual(len(documented.of_readme()), 8)
        self.assertGreaterEqual(len(documented.of_manual()), 5)

    def test_counting_and_printing(self):
        lines = [line for line in examples() if line not in ELSEWHERE and not is_lab(line)]
        self.assertEqual([line for line in lines if line.split()[0] != "exittop"], [])
        lines.sort(key=needs_others)
        # Most of them wait most of the time.
        done = emulated.run_lines([(f"exec {line}", seconds(line)) for line in lines], at_once=4)
        for line, result in zip(lines, done, strict=True):
            with self.subTest(line):
                self.assertEqual(result.status, 0, result.stderr)
                if ">" in shlex.split(line) or re.search("--textfile /|exittop record", line):
                    self.assertEqual(result.stdout, "")
                elif line.startswith("exittop reasons"):
                    self.assertIn("EPT_", result.stdout)
                else:
                    # Runs side by side are of all VMs; everything else names them.
                    self.assertRegex(result.stdout, "web1|RATIO")
                    self.assertNotIn("\x1b", result.stdout)

    def test_lab(self):
        for line in (line for line in examples() if is_lab(line) and line not in ELSEWHERE):
            with self.subTest(line):
                done = run_program(EXITTOP, *shlex.split(line)[1:], timeout=1200)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertEqual(done.stderr.count("exittop: "), 0, done.stderr)
                for column in ("REASON", "RATIO"):
                    self.assertIn(column, done.stdout)


if __name__ == "__main__":
    unittest.main()
