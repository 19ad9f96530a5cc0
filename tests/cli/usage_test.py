# SPDX-License-Identifier: GPL-2.0-only
"""Mistakes on the command line: status 2 and one line that says which."""

import unittest

from command_line import USAGE, CommandLineTest, run


class UsageTest(CommandLineTest):
    def test_mistakes_are_named(self):
        for arguments, said in (
                (["dupm"], "did you mean 'exittop dump'"),
                (["--nonsense"], "live: unexpected '--nonsense'"),
                (["dump", "--nonsense"], "--nonsense"),
                (["--delay", "0.01"], "too short: 100ms at least"),
                (["live", "-n", "0"], "--iterations '0' is not a whole number"),
                (["-b", "--baseline", "run.json"], "--baseline is for the live view"),
                (["dump", "\x1b[2J\nx"], r"\\x1b\[2J"),
                (["dump", "sleep", "1"], "exittop dump -- COMMAND"),
                (["dump", "--"], "no command after '--'"),
                (["dump", "--duration", "1", "--", "true"], "not both"),
                (["dump", "--duration"], "--duration needs a value"),
                (["dump", "--format", "xml"], "table, json, csv"),
                (["dump", "--sort", "colour"], "none of .*count"),
                (["dump", "--max-vcpus", "0"], "whole number from 1 to"),
                (["dump", "--max-vcpus", "99999999999"], "whole number from 1 to"),
                (["dump", "--pid", "me"], "--pid 'me'"),
                (["dump", "--pid", "0"], "--pid '0'"),
                (["dump", "--vm", ""], "--vm needs a pattern"),
                (["leaves"], "--vm has to say"),
                (["leaves", "--vm", "*", "--layout", "2019"], "none of 2020, 2021, 2022"),
                (["leaves", "--vm", "*", "--detail", "count"], "unexpected '--detail'"),
                (["check", "now"], "unexpected 'now'"),
                (["reasons", "--isa", "arm"], "vmx, svm"),
                (["reasons", "--format", "xml"], "table, json, csv"),
                (["reasons", "HLT", "--targets", "HLT"], "not both"),
                (["reasons", "--targets", "MSR_WRIT"], "like it: MSR_WRITE"),
                (["reasons", "--targets"], "--targets needs a value"),
                (["compare"], "no run given"),
                (["export"], "export: no --textfile FILE.prom"),
                (["export", "--textfile", "metrics.txt"], "does not end in .prom"),
                (["export", "--textfile", "-", "--interval", "0"], "--interval '0' is too short"),
                (["export", "--textfile", "-", "--interval", "1", "--duration", "1"], "not both"),
                (["dump", "--targets", "nonsense"], "'nonsense' is no exit reason: all, rip, or"),
                (["--targets", "all,npf"], "--targets 'all' is no exit reason"),
                (["dump", "--target-memory", "64MiB"], "--target-memory requires --targets"),
                (["export", "--textfile", "-", "--top-targets", "3"], "requires --targets"),
                (["live", "--target-memory", "lots"], "'lots' is not a size: 64MiB, 128M"),
                (["live", "web1"], "unexpected 'web1'"),
                (["lab", "sparc"], "lab: .*sparc"),
                (["lab", "--kernel", "2.4"], "lab: .*2.4"),
                (["lab", "--shell", "--html", "x"], "lab: .*--html")):
            with self.subTest(arguments=arguments):
                self.assert_error(run(*arguments), USAGE, said)

    def test_durations_that_are_none(self):
        right = "not a duration: 500ms, 5s, 2m, 1h, or a number of seconds"
        for typed, said in (("ten", right), ("", right), ("5x", right), ("5 s", right),
                            ("nan", right), ("inf", right), ("s", right),
                            ("-1", "negative"), ("-1s", "negative"), ("0", "too short"),
                            ("0h", "too short"), ("1e-12", "too short"), ("1e99", "ten years"),
                            ("87841h", "ten years"), ("1e999", "out of range")):
            with self.subTest(typed=typed):
                self.assert_error(run("dump", "--duration", typed), USAGE, said)

    def test_very_long_words_are_cut(self):
        for arguments in (["x" * 100_000], ["dump", "--vm=a", "x" * 100_000]):
            done = run(*arguments)
            self.assert_error(done, USAGE, "xxx")
            self.assertLess(len(done.stderr), 400)

    def test_help_and_version_are_data(self):
        for arguments in (["--help"], ["-h"], ["--version"], ["live", "--help"], ["dump", "--help"],
                          ["check", "--help"], ["reasons", "-h"], ["compare", "--help"],
                          ["lab", "--help"]):
            with self.subTest(arguments=arguments):
                done = run(*arguments)
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                self.assertTrue(done.stdout.endswith("\n"))


if __name__ == "__main__":
    unittest.main()
