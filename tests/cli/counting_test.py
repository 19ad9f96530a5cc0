# SPDX-License-Identifier: GPL-2.0-only
"""What the command line promises where there is something to count, in an emulated host."""

import json
import re
import unittest

import emulated
import schema

SECONDS = 180  # only against one that hangs: a busy machine makes them slow
LINES = {
    "status": "exittop dump -- sh -c 'exit 7'",
    "killed": "exittop dump -- sh -c 'kill -9 $$'",
    "absent": "exittop dump -- /nonexistent/command",
    "no match": "exittop dump --vm 'mail*' --duration 0.3",
    "other pid": "exittop dump --pid 1 --duration 0.3",
    "full": "exittop dump --duration 0.3 >/dev/full",
    "no reader":
        "(exittop dump --duration 1; echo $? >/tmp/status) | true; exit $(cat /tmp/status)",
    "closed": "exittop dump --duration 0.3 >&-",
    "its output": "exittop dump --format json -- echo from the command >/dev/null",
    "json": "exittop dump --format json --duration 0.5 --per-vcpu",
    "csv": "exittop dump --format csv --duration 0.5",
    "intervals": "exittop --batch --format json --iterations 2 --delay 300ms",
    "less": "exittop dump --detail count --format json --duration 0.3",
    "no wait": "exittop dump --no-wait --duration 0.3",
    "classic": "exittop dump --attach classic --duration 500ms",
    "metrics": "exittop export --textfile - --duration 300ms --attach classic",
    "check": "exittop check",
    "debug": "exittop check --debug",
    # Without BTF of the modules there are two ways: one is for older kernels, the other is hidden.
    "no way": "mkdir /tmp/btf && cp /sys/kernel/btf/vmlinux /tmp/btf && "
              "mount --bind /tmp/btf /sys/kernel/btf && "
              "for dir in tracing debug; do mount -t tmpfs none /sys/kernel/$dir; done; "
              "exittop dump; status=$?; umount /sys/kernel/btf /sys/kernel/tracing "
              "/sys/kernel/debug; exit $status",
    "record": "exittop record -o /out/run.json --label mine --note 'a note' -- sleep 0.5",
    "record again": "exittop record -o /out/run.json --duration 0.3",
    "record over": "exittop record -o /tmp/new.json --duration 0.2 && exittop record --force "
                   "-o /tmp/new.json --repeat 4 --duration 0.2 && exittop compare /tmp/new.json "
                   "/out/run.json --format json --normalize time",
    "record status": "exittop record -o /out/failed.json -- sh -c 'sleep 0.2; exit 7'",
    "record failing": "exittop record -o /tmp/no.json --repeat 3 -- false; status=$?; "
                      "[ -e /tmp/no.json ] && exit 9; exit $status",
    "record of none": "exittop record -o /tmp/no.json --vm 'mail*' --duration 0.2",
    "record interrupted": "(sleep 1; kill -TERM $$) & exec exittop record -o /tmp/int.json "
                          "--repeat 2 --duration 20",
    "stubborn": "(until [ -e /tmp/trapped ]; do sleep 0.1; done; kill -TERM $$) & "
                "exec exittop dump --format csv -- "
                "sh -c 'trap \"\" TERM; touch /tmp/trapped; exec sleep 1000'",
    "few": "exittop dump --max-vcpus 1 --duration 0.5",
}


class CountingTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        done, cls.files = emulated.run_lines_and_keep([(line, SECONDS) for line in LINES.values()])
        cls.done = dict(zip(LINES, done, strict=True))

    def assert_fails(self, name: str, status: int, said: str) -> None:
        done = self.done[name]
        self.assertEqual(done.status, status, done)
        last = done.stderr.splitlines()[-1]
        self.assertRegex(last, f"^exittop: .*{said}", name)
        self.assertEqual(done.stdout, "")

    def test_status_is_that_of_the_command(self):
        self.assertEqual(self.done["status"].status, 7)
        self.assertEqual(self.done["killed"].status, 128 + 9)

    def test_counts_of_a_command_that_had_to_be_killed(self):
        done = self.done["stubborn"]
        self.assertEqual(done.status, 128 + 9)
        self.assertIn("exittop: the command does not end; killing it", done.stderr.splitlines())
        self.assertRegex(done.stdout, "^vm,pid,")

    def test_failures(self):
        self.assert_fails("absent", 1, "cannot run '/nonexistent/command': No such file")
        self.assert_fails("no match", 1, r"no VM matches 'mail\*'")
        self.assert_fails("other pid", 1, "no VM of process 1")
        self.assert_fails("full", 1, "cannot write to stdout: No space left")
        self.assert_fails("no reader", 1, "cannot write to stdout: Broken pipe")
        self.assert_fails("closed", 1, "stdout is closed")

    def test_json_names_what_it_counted(self):
        run = json.loads(self.done["json"].stdout)
        self.assertEqual((run["schema"], run["attach"]), ("exittop/1", "tp_btf_helper"))
        (vm,) = run["vms"]
        self.assertEqual((vm["name"], vm["isa"], vm["paging"]), ("web1", "svm", "npt"))
        self.assertEqual(len(vm["vcpus"]), 2)
        for vcpu in vm["vcpus"]:
            self.assertIn("cpuid", {exits["reason"] for exits in vcpu["exits"]})

    def test_json_is_as_the_schema_says(self):
        texts = [self.done["json"].stdout, self.done["less"].stdout,
                 *self.done["intervals"].stdout.splitlines(), self.done["record over"].stdout,
                 self.files["run.json"].decode(), self.files["failed.json"].decode()]
        self.assertEqual(len(texts), 7)
        for text in texts:
            with self.subTest(text[:100]):
                self.assertEqual(schema.complaint(text), "")

    def test_a_recorded_run_says_under_which_conditions(self):
        done = self.done["record"]
        self.assertEqual((done.status, done.stdout), (0, ""), done.stderr)
        self.assertRegex(done.stderr, r"exittop: /out/run.json: [\d,]+ exits of 1 VM\n$")
        run = json.loads(self.files["run.json"])
        self.assertEqual((run["label"], run["note"], run["command"]),
                         ("mine", "a note", ["sleep", "0.5"]))
        for text in (run["started_at"], run["taken_at"], run["version"], run["host"]["name"],
                     run["host"]["kernel"], run["host"]["cpu"]):
            self.assertTrue(text)
        self.assertEqual(run["host"]["parameters"]["kvm_amd.npt"], "Y")
        self.assertGreater(run["duration_s"], 0.4)
        (vm,) = run["vms"]
        self.assertEqual((vm["vmm"], vm["paging"], len(vm["vcpus"])), ("qemu", "npt", 2))

    def test_an_existing_run_is_kept(self):
        self.assert_fails("record again", 1, "run.json': File exists; --force replaces it")
        self.assertEqual(json.loads(self.files["run.json"])["label"], "mine")

    def test_repetitions_are_recorded_and_compared(self):
        done = self.done["record over"]
        self.assertEqual(done.status, 0, done.stderr)
        comparison = json.loads(done.stdout)
        self.assertEqual([run["repeats"] for run in comparison["runs"]], [4, 1])
        self.assertEqual(len(comparison["total"][0]["values"]), 4)
        self.assertIn("spread", comparison["total"][0])

    def test_recording_a_command_that_fails(self):
        self.assertEqual(self.done["record status"].status, 7)
        self.assertEqual(json.loads(self.files["failed.json"])["schema"], "exittop/1")
        self.assert_fails("record failing", 1, "repetition 1 of 3 failed: the command ended with "
                                               "status 1; nothing was written")

    def test_recording_that_comes_to_nothing(self):
        self.assert_fails("record of none", 1, r"no VM matches 'mail\*'")
        self.assert_fails("record interrupted", 1, "repetition 1 of 2 was interrupted")

    def test_csv_is_a_table(self):
        lines = self.done["csv"].stdout.splitlines()
        self.assertGreater(len(lines), 2)
        self.assertEqual({line.count(",") for line in lines}, {lines[0].count(",")})

    def test_either_tracepoint_and_no_wait(self):
        for name in ("no wait", "classic"):
            self.assertEqual(self.done[name].status, 0, self.done[name].stderr)
            self.assertIn("VM web1", self.done[name].stdout)
            self.assertIn("lost: nothing", self.done[name].stdout)

    def test_metrics_tell_the_way_that_was_taken(self):
        done = self.done["metrics"]
        self.assertEqual(done.status, 0, done.stderr)
        self.assertIn('\nexittop_attach_info{attach="classic"} 1\n', done.stdout)

    def test_all_ways_that_failed_are_told(self):
        self.assert_fails("no way", 1,
                          "cannot attach to kvm_exit: raw_tp_reason: cannot attach "
                          "raw_tp/kvm_exit: Invalid argument[^;]*; "
                          "classic: cannot attach tp/kvm/kvm_entry: No such")
        self.assertEqual(self.done["no way"].stderr.count("\n"), 1)

    def test_debug_shows_the_verifiers_log(self):
        done = self.done["debug"]
        self.assertEqual(done.status, 0, done.stdout)
        programs = re.findall(r"program +(\w+): (\d+) instructions verified", done.stdout)
        self.assertGreater(len(programs), 4)
        self.assertIn("exittop: trying tp_btf_helper\n", done.stderr)
        for name, instructions in programs:
            log = done.stderr.split(f"prog '{name}': -- BEGIN PROG LOAD LOG --\n")[1]
            log = log.split("-- END PROG LOAD LOG --\n")[0]
            self.assertRegex(log, rf"(?m)^processed {instructions} insns ")
        self.assertNotIn("libbpf: ", self.done["check"].stderr)

    def test_a_full_table_is_told(self):
        done = self.done["few"]
        self.assertEqual(done.status, 0)
        self.assertRegex(done.stdout, r"(?m)^LOST: .*\n.*\n +table_full +[1-9]")

    def test_check_finds_all(self):
        done = self.done["check"]
        self.assertEqual(done.status, 0, done.stdout)
        for said in ("kvm_amd", "kvm_amd.npt = ", "instructions verified", "web1", "npt",
                     "kvm cannot be unloaded while exittop counts"):
            self.assertIn(said, done.stdout)


if __name__ == "__main__":
    unittest.main()
