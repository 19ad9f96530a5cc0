# SPDX-License-Identifier: GPL-2.0-only
"""Runs from outside: imported, compared in every format, refused where they are not comparable."""

import csv
import io
import json
import tempfile
import unittest
from pathlib import Path

from command_line import (EXITTOP, FAILED, LACKING, SOURCE, USAGE, CommandLineTest, run,
                          run_program, without_vendor_module)

PUBLISHED = SOURCE / "docs/published-runs"
GOLDEN_RUN = SOURCE / "tests/golden/dump.json"
RUN_WITH_TARGETS = SOURCE / "tests/golden/dump_targets.json"
FORMATS = ("table", "markdown", "csv", "json")


class RunsTest(CommandLineTest):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def imported(self, table: str, column: str) -> Path:
        path = self.folder / f"{column}.json"
        done = run("import", "-o", path, "--column", column, PUBLISHED / table)
        self.assertEqual((done.returncode, done.stdout), (0, ""), done.stderr)
        return path

    def edited(self, name: str, **members) -> Path:
        """The golden run with some members put in another way."""
        path = self.folder / f"{name}.json"
        path.write_text(json.dumps(json.loads(GOLDEN_RUN.read_text()) | members))
        return path

    def test_the_seeds_cumulative_table_is_found_out(self):
        runs = [self.imported("seed.csv", name) for name in ("nested", "shadow_printed")]
        done = run("compare", *runs)
        self.assertEqual(done.returncode, 0)
        self.assertRegex(done.stdout, "WARNING cumulative-counters: .*'shadow_printed'.*'nested'.*"
                                      "WBINVD")
        self.assertRegex(done.stdout, "WARNING paging-not-effective: .*286,134 EPT_VIOLATION")
        self.assert_error(run("compare", "--strict", *runs), FAILED, "not comparable: ")

    def test_the_clean_pair_is_clean(self):
        runs = [self.imported("clean-pair.csv", name) for name in ("ept", "shadow")]
        done = run("compare", "--strict", "--format", "csv", *runs)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        table = csv.DictReader(io.StringIO(done.stdout))
        rows = {(row["reason"], row["run"]): row for row in table}
        self.assertEqual(rows["CR_ACCESS", "shadow"]["count"], "8618699")
        self.assertAlmostEqual(float(rows["CR_ACCESS", "shadow"]["ratio"]), 8618699 / 18175)
        self.assertEqual(rows["EPT_VIOLATION", "shadow"]["change"], "gone")
        self.assertEqual(rows["INVLPG", "shadow"]["change"], "new")
        self.assertEqual(rows["total", "ept"]["count"], "449531")

    def test_a_log_from_a_pipe(self):
        done = run("import", "-o", self.folder / "log.json", "--label", "mine", "/dev/stdin",
                   stdin=None, input="[1.5] exit number 48 exits = 35708\n")
        self.assertEqual(done.returncode, 0, done.stderr)
        done = run("compare", self.folder / "log.json")
        self.assertRegex(done.stdout, "EPT_VIOLATION +35,708")

    def test_exittops_own_csv(self):
        """With a VM whose name is as hostile as names may be."""
        out = self.folder / "own.json"
        done = run("import", "-o", out, GOLDEN_RUN.with_suffix(".csv"))
        self.assertEqual(done.returncode, 0, done.stderr)
        done = run("compare", "--format", "json", out, GOLDEN_RUN)
        compared = json.loads(done.stdout)
        self.assertEqual([run["ratio"] for run in compared["total"][1:]], [1.0])
        self.assertEqual({run["ratio"] for reason in compared["reasons"]
                          for run in reason["runs"][1:]}, {1.0})
        names = [vm["name"] for vm in json.loads(out.read_text())["vms"]]
        self.assertEqual(names, ["web01", 'evil\\x1b[2J\\x0a\ufffd<U+202E>,"=中文'])

    def test_import_says_what_is_wrong(self):
        log = self.folder / "log"
        log.write_text("hello\n")
        out = self.folder / "out.json"
        self.assert_error(run("import", "-o", out, log), FAILED, "no line has the form")
        self.assert_error(run("import", "-o", out, PUBLISHED / "seed.csv"), FAILED,
                          "choose one of nested, shadow_printed with --column")
        self.assert_error(run("import", "-o", out, self.folder / "absent"), FAILED, "No such file")
        self.assertFalse(out.exists())

    def test_an_existing_file_is_kept(self):
        out = self.folder / "out.json"
        out.write_text("mine")
        arguments = ["import", "-o", out, "--column", "ept", PUBLISHED / "clean-pair.csv"]
        self.assert_error(run(*arguments), FAILED, "File exists; --force replaces it")
        self.assert_error(run("record", "-o", out, "--", "true"), FAILED, "File exists")
        self.assertEqual(out.read_text(), "mine")
        self.assertEqual(run(*arguments, "--force").returncode, 0)
        self.assertIn("exittop/1", out.read_text())
        self.assertEqual([path.name for path in self.folder.iterdir()], ["out.json"])

    def test_all_formats_of_any_number_of_runs(self):
        runs = [GOLDEN_RUN, self.edited("second"), self.edited("third", label="a|b\x1b[2J")]
        for number in (1, 2, 3):
            for form in FORMATS:
                with self.subTest(number=number, form=form):
                    done = run("compare", "--explain", "--format", form, *runs[:number])
                    self.assertEqual((done.returncode, done.stderr), (0, ""))
                    self.assertIn("CPUID", done.stdout)
                    self.assertNotIn("\x1b", done.stdout)

    def test_normalized(self):
        runs = [GOLDEN_RUN, self.edited("slow", duration_s=20.0)]
        self.assertIn("WARNING other-length", run("compare", *runs).stdout)
        done = run("compare", "--strict", "--normalize", "time", "--format", "json", *runs)
        self.assertEqual([run["ratio"] for run in json.loads(done.stdout)["total"][1:]], [0.5])
        self.assertEqual(json.loads(done.stdout)["basis"], "exits/s")

    def test_differences_have_names(self):
        host = json.loads(GOLDEN_RUN.read_text())["host"]
        other = self.edited("other", host=host | {"kernel": "5.10.0"})
        done = run("compare", GOLDEN_RUN, other)
        self.assertRegex(done.stdout, "WARNING other-kernel: .*6.1.0-18.*5.10.0")
        self.assert_error(run("compare", "--strict", GOLDEN_RUN, other), FAILED, "other-kernel")

    def test_targets_are_compared_where_they_are_asked_for(self):
        plain, counted = self.folder / "plain", self.folder / "counted"
        for folder, golden in ((plain, GOLDEN_RUN), (counted, RUN_WITH_TARGETS)):
            folder.mkdir()
            (folder / "run.json").write_text(golden.read_text())
        for form in FORMATS:
            for number in (1, 2):
                with self.subTest(form=form, number=number):
                    known, unknown = ([folder / "run.json"] * number for folder in (counted, plain))
                    arguments = ("compare", "--format", form)
                    self.assertEqual(run(*arguments, *known).stdout,
                                     run(*arguments, *unknown).stdout)
                    done = run(*arguments, "--targets", *known)
                    self.assertEqual((done.returncode, done.stderr), (0, ""))
                    self.assertRegex(done.stdout, "port 0x608 .*in 4")
                    done = run(*arguments, "--targets", *unknown)
                    self.assertEqual((done.returncode, done.stdout),
                                     (0, run(*arguments, *unknown).stdout))
                    self.assertRegex(done.stderr, "^exittop: no run has targets: [^\n]*\n$")

    def test_targets_of_extra_exits(self):
        more = self.folder / "more.json"
        run_file = json.loads(RUN_WITH_TARGETS.read_text())
        exits = run_file["vms"][0]["vcpus"][0]["exits"]
        grown = next(stats for stats in exits if len(stats.get("targets", [])) > 1)
        grown["count"] += 1_000_000
        grown["targets"][0]["count"] += 1_000_000
        more.write_text(json.dumps(run_file))
        for form in FORMATS:
            with self.subTest(form=form):
                done = run("compare", "--format", form, "--extra-targets", RUN_WITH_TARGETS, more)
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                all_targets = run("compare", "--format", form, "--targets", RUN_WITH_TARGETS, more)
                if form in ("csv", "json"):
                    self.assertEqual(done.stdout, all_targets.stdout)
                else:
                    self.assertLess(len(done.stdout), len(all_targets.stdout))
                    self.assertRegex(done.stdout, grown["targets"][0]["target"].split()[0])
                    self.assertRegex(done.stdout, r"others \(\d+")

    def test_targets_of_csv_are_not_imported_twice(self):
        done = run("import", "-o", self.folder / "out.json", RUN_WITH_TARGETS.with_suffix(".csv"))
        self.assertEqual(done.returncode, 0, done.stderr)
        vms = json.loads((self.folder / "out.json").read_text())["vms"]
        counts = {exits["reason"]: exits["count"] for exits in vms[0]["vcpus"][0]["exits"]}
        self.assertEqual(counts["IO_INSTRUCTION"], 132_003)
        self.assertIn("port 0x608 in 4", (self.folder / "out.json").read_text())

    def test_bad_runs_are_refused_in_one_line(self):
        good = GOLDEN_RUN.read_text()
        for name, text, said in (
                ("truncated", good[:1000], "not JSON"),
                ("foreign", '{"traceEvents": []}', 'has no "schema"'),
                ("newer", good.replace("exittop/1", "exittop/2"), "of another version of exittop"),
                ("negative", good.replace('"count":25000', '"count":-1'), "whole number from 0"),
                ("overflow", good.replace('"count":25000', '"count":99999999999999999999'),
                 "whole number from 0"),
                ("twice", good.replace('"pid":4242', '"pid":4242,"pid":1'), "comes twice"),
                ("deep", "[" * 10_000_000, "nested deeper than")):
            path = self.folder / name
            path.write_text(text)
            with self.subTest(name):
                self.assert_error(run("compare", path, GOLDEN_RUN), FAILED, said)

    def test_a_gigabyte_is_refused(self):
        path = self.folder / "large"
        with path.open("wb") as file:
            file.truncate(1 << 30)
        self.assert_error(run("compare", path), FAILED, "larger than 256 MiB")

    def test_places_that_cannot_be_written(self):
        for path, said in ((self.folder, "File exists"),
                           (self.folder / "no/run.json", "No such file")):
            self.assert_error(run("record", "-o", path, "--", "true"), FAILED, said)
        self.assert_error(run("record", "--force", "-o", "/dev/full", "--", "true"), FAILED,
                          "not a regular file")

    def test_experiment_wants_a_command(self):
        self.assert_error(run("experiment"), USAGE, "no command given")

    def test_experiment_without_the_module(self):
        done = run_program(*without_vendor_module(), EXITTOP, "experiment", "--yes", "--", "true")
        self.assert_error(done, LACKING, "kvm")


if __name__ == "__main__":
    unittest.main()
