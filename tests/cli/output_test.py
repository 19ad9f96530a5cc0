# SPDX-License-Identifier: GPL-2.0-only
"""Where output cannot be written, exittop says so and does not claim success."""

import json
import os
import signal
import tempfile
import unittest
from pathlib import Path

import schema
from command_line import EXITTOP, FAILED, CommandLineTest, run, run_program

RUN = Path(__file__).parents[1] / "golden/dump.json"
# A command of each kind that prints a lot on any host.
PRINTING = (["--help"], ["--version"], ["dump", "--help"], ["check"], ["reasons"],
            ["compare", str(RUN)])


class OutputTest(CommandLineTest):
    def test_closed_stdout(self):
        for arguments in PRINTING:
            with self.subTest(arguments=arguments):
                done = run_program("sh", "-c", 'exec "$@" >&-', "sh", EXITTOP, *arguments)
                self.assert_error(done, FAILED, "stdout is closed")

    def test_full_disk(self):
        for arguments in PRINTING:
            with self.subTest(arguments=arguments), open("/dev/full", "w") as full:
                done = run(*arguments, stdout=full)
                self.assert_error(done, FAILED, "cannot write to stdout: No space left")

    def test_reader_that_went_away(self):
        for arguments in PRINTING:
            with self.subTest(arguments=arguments):
                reader, writer = os.pipe()
                os.close(reader)
                try:
                    done = run(*arguments, stdout=writer, restore_signals=True)
                finally:
                    os.close(writer)
                if done.returncode == -signal.SIGPIPE:
                    self.assertEqual(done.stderr, "")
                else:
                    self.assert_error(done, FAILED, "Broken pipe")

    def test_closed_stderr_and_stdin_do_no_harm(self):
        done = run_program("sh", "-c", 'exec "$@" <&- 2>&-', "sh", EXITTOP, "reasons", "48",
                           "--isa", "vmx")
        self.assertEqual(done.returncode, 0)
        self.assertIn("EPT_VIOLATION", done.stdout)

    def test_color_only_where_wanted(self):
        for arguments, environment, colored in ((["--color", "auto"], {}, False),
                                                (["--color", "never"], {}, False),
                                                (["--color", "always"], {"NO_COLOR": "1"}, True)):
            done = run("reasons", *arguments, env=os.environ | environment)
            self.assertEqual("\x1b[" in done.stdout, colored, arguments)


class ReasonsTest(CommandLineTest):
    def test_targets_have_names_in_every_format(self):
        for form, line in (("table", "0x6e0       IA32_TSC_DEADLINE"),
                           ("csv", "vmx,32,MSR_WRITE,0x6e0,IA32_TSC_DEADLINE")):
            done = run("reasons", "--targets", "MSR_WRITE", "--format", form)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertIn(line, done.stdout.splitlines())
        done = run("reasons", "--targets", "msr_write", "--format", "json")
        self.assertEqual(schema.complaint(done.stdout), "")
        reason, = json.loads(done.stdout)["reasons"]
        self.assertIn({"target": "0x6e0", "name": "IA32_TSC_DEADLINE"}, reason["targets"])

    def test_a_number_is_a_reason_of_each_isa(self):
        done = run("reasons", "--targets", "48", "--format", "json")
        self.assertEqual([(reason["reason"], reason["kind"])
                          for reason in json.loads(done.stdout)["reasons"]],
                         [("EPT_VIOLATION", "address"), ("write_dr0", "dr")])

    def test_a_reason_without_targets_says_where_they_are(self):
        done = run("reasons", "--targets", "HLT", "--isa", "vmx")
        self.assertEqual(done.returncode, 0)
        self.assertIn("the guest's RIP, with --targets rip", done.stdout)

    def test_all_as_json(self):
        done = run("reasons", "--format", "json")
        self.assertEqual((done.returncode, schema.complaint(done.stdout)), (0, ""))
        self.assertGreater(len(json.loads(done.stdout)["reasons"]), 150)


class RunFileTest(CommandLineTest):
    def test_runs_that_are_none(self):
        with tempfile.TemporaryDirectory() as folder:
            broken = {"empty": b"", "text": b"hello\n", "cut": RUN.read_bytes()[:200],
                      "other": json.dumps({"schema": "exittop/999"}).encode(),
                      "binary": bytes(range(256))}
            for name, content in broken.items():
                path = Path(folder) / name
                path.write_bytes(content)
                with self.subTest(name):
                    self.assert_error(run("compare", str(path)), FAILED, name)
            self.assert_error(run("compare", f"{folder}/absent"), FAILED, "No such file")

    def test_a_run_from_a_pipe(self):
        done = run_program("sh", "-c", 'cat "$1" | "$2" compare /dev/stdin', "sh", RUN, EXITTOP)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("web01", done.stdout)


if __name__ == "__main__":
    unittest.main()
