# SPDX-License-Identifier: GPL-2.0-only
"""The manual page: well-formed, and complete by what the help says."""

import re
import unittest

import documented
from command_line import run, run_program


class ManualTest(unittest.TestCase):
    def setUp(self):
        self.manual = documented.MANUAL.read_text()

    def test_is_well_formed(self):
        done = run_program("groff", "-man", "-Tutf8", "-ww", "-z", documented.MANUAL)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))

    def test_has_every_command_and_option(self):
        plain = re.sub(r"\\f.|\\|\"", "", self.manual)
        listed = re.findall(r"(?m)^  (\w+) {2,}\S", documented.help_text())
        self.assertEqual(tuple(listed), documented.COMMANDS)
        for command in documented.COMMANDS:
            with self.subTest(command):
                self.assertIn(f".B {command}\n", self.manual)
                options = re.findall(r"(?m)^ {2}(?:-\w, ?)?(--[\w-]+)|^ {2}-\w,(--[\w-]+)",
                                     documented.help_text(command))
                self.assertTrue(options or command == "lab")
                for option in filter(None, sum(options, ())):
                    self.assertIn(option, plain)

    def test_has_every_exit_status(self):
        statuses = re.findall(r"(?:status: |; )(\d+) ", documented.help_text())
        self.assertEqual(statuses, ["0", "1", "2", "77"])
        for status in statuses:
            self.assertIn(f".TP\n.B {status}\n", self.manual)

    def test_names_the_version(self):
        version = run("--version").stdout.strip()
        self.assertIn(f'"{version}"', self.manual)


if __name__ == "__main__":
    unittest.main()
