# SPDX-License-Identifier: GPL-2.0-only
"""exitleaf where nobody answers it, which this machine is: bare metal, or a VM like any other."""

import re
import shutil
import unittest
from pathlib import Path

from command_line import BUILD, LACKING, SOURCE, USAGE, run_program

EXITLEAF = BUILD / "exitleaf"
MANUAL = SOURCE / "deploy/exitleaf.1"


def nobody_answers() -> str:
    """How the message begins on this machine."""
    processors = Path("/proc/cpuinfo").read_text(encoding="ascii")
    in_vm = re.search(r"(?m)^flags\s.*\bhypervisor\b", processors)
    return "the host answers no exit counts" if in_vm else "this is no virtual machine"


class ExitleafTest(unittest.TestCase):
    def assert_error(self, done, status: int, said: str) -> None:
        self.assertEqual((done.returncode, done.stdout), (status, ""), done.stderr)
        self.assertRegex(done.stderr, rf"\Aexitleaf: [^\n]*(?:{said})[^\n]*\n\Z")

    def test_says_that_nobody_answers(self):
        for arguments in ((), ("--json",), ("--watch", "1"), ("--watch", "500ms"),
                          ("--json", "--watch", "24h")):
            with self.subTest(arguments=arguments):
                self.assert_error(run_program(EXITLEAF, *arguments), LACKING, nobody_answers())

    def test_raw_prints_what_comes_and_then_says_that_nobody_answers(self):
        done = run_program(EXITLEAF, "--raw", "0x3ff")
        self.assertEqual(done.returncode, LACKING)
        self.assertRegex(done.stderr, rf"\Aexitleaf: {nobody_answers()}[^\n]*\n\Z")
        lines = [rf"4ffffff{leaf} 000003ff:(?: [0-9a-f]{{8}}){{4}}\n" for leaf in "cdef"]
        self.assertRegex(done.stdout, rf"\A{''.join(lines)}\Z")

    def test_mistakes_are_named(self):
        for arguments, said in ((["--nonsense"], "unknown option"), (["web1"], "no arguments"),
                                (["--watch"], "missing value"), (["--watch", "0"], "--watch takes"),
                                (["--watch", "nan"], "--watch takes"),
                                (["--watch", "1x"], "from 100ms to 24h"),
                                (["--watch", "99ms"], "--watch takes"),
                                (["--watch", "25h"], "--watch takes"),
                                (["--watch", ""], "--watch takes"),
                                (["--raw", "-1"], "32 bits"), (["--raw", ""], "32 bits"),
                                (["--raw", "0x100000000"], "32 bits"),
                                (["--raw", "1", "--json"], "nothing else")):
            with self.subTest(arguments=arguments):
                self.assert_error(run_program(EXITLEAF, *arguments), USAGE, said)

    @unittest.skipUnless(shutil.which("readelf"), "readelf is not installed")
    def test_needs_no_library(self):
        headers = run_program("readelf", "--wide", "--program-headers", EXITLEAF).stdout
        self.assertIn("LOAD", headers)
        self.assertNotIn("INTERP", headers)

    def test_manual_has_every_option_and_status(self):
        manual = MANUAL.read_text().replace("\\-", "-")
        done = run_program(EXITLEAF, "--help")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        options = re.findall(r"(?m)^  (--\w+)", done.stdout)
        self.assertEqual(options, ["--json", "--watch", "--raw"])
        for option in options:
            self.assertRegex(manual, rf"(?m)^\.TP\n\.BR? {option}\b")
        for status in re.findall(r"(?:status: |; )(\d+) ", done.stdout):
            self.assertIn(f".TP\n.B {status}\n", manual)


if __name__ == "__main__":
    unittest.main()
