# SPDX-License-Identifier: GPL-2.0-only
"""What the host lacks is told in one line with status 77; hosts are feigned by mounts that only the
program under test sees."""

import os
import re
import signal
import subprocess
import time
import unittest

from command_line import (EXITTOP, FAILED, LACKING, CommandLineTest, needs_root, run,
                          run_as_nobody, run_program, without_vendor_module)


# A host that has a vendor's module, but no tracepoints that can be found.
_NO_TRACEFS = ("mount -t tmpfs none /sys/module; mkdir /sys/module/kvm /sys/module/kvm_amd; "
               "mount -t tmpfs none /sys/kernel/tracing; mount -t tmpfs none /sys/kernel/debug")


def run_after_mounts(mounts: str, *arguments: str):
    """exittop with some folders of /sys replaced by what `mounts`, a shell script, puts there."""
    return run_program("unshare", "--mount", "sh", "-ec", f'{mounts}\nexec "$@"', "sh", EXITTOP,
                       *arguments)


@needs_root
class HostTest(CommandLineTest):
    def test_no_kvm(self):
        mounts = "mount -t tmpfs none /sys/module"
        self.assert_error(run_after_mounts(mounts, "dump", "--duration", "1"), LACKING,
                          "no kvm here.*exittop lab")
        self.assert_check(mounts, "KVM")

    def test_no_vendor_module(self):
        mounts = "mount -t tmpfs none /sys/module; mkdir /sys/module/kvm"
        self.assert_error(run_after_mounts(mounts, "dump", "--no-wait"), LACKING,
                          "neither kvm_intel nor kvm_amd is loaded")

    def test_no_btf(self):
        mounts = "mount -t tmpfs none /sys/kernel/btf"
        self.assert_error(run_after_mounts(mounts, "dump"), LACKING, "CONFIG_DEBUG_INFO_BTF")
        self.assert_check(mounts, "kernel BTF")

    def test_lockdown(self):
        mounts = ("mount -t tmpfs none /sys/kernel/security; "
                  "echo 'none integrity [confidentiality]' >/sys/kernel/security/lockdown")
        self.assert_error(run_after_mounts(mounts, "dump"), LACKING, "lockdown=integrity")
        self.assert_check(mounts, "lockdown")

    def test_no_way_to_attach(self):
        # Classic tracepoints are found through tracefs.
        done = run_after_mounts(_NO_TRACEFS, "dump", "--attach", "classic")
        self.assertIn(done.returncode, (FAILED, LACKING))
        self.assert_error(done, done.returncode, "cannot attach to kvm_exit: classic: cannot ")
        error = done.stderr.removeprefix("exittop: ")
        check = run_after_mounts(_NO_TRACEFS, "check", "--attach", "classic")
        self.assertEqual((check.returncode, check.stderr), (LACKING, ""))
        self.assertRegex(check.stdout, rf"(?m)^MISSING +attach +{re.escape(error)}")

    def test_debug_prints_the_log(self):
        done = run_after_mounts(_NO_TRACEFS, "dump", "--attach", "classic", "--debug")
        self.assertEqual(done.stdout, "")
        *log, error = done.stderr.splitlines()
        self.assertRegex(error, "^exittop: cannot attach to kvm_exit: classic: ")
        self.assertIn("exittop: trying classic", log)
        self.assertRegex("\n".join(log), r"(?m)^libbpf: prog 'exit_classic': -- BEGIN PROG LOAD "
                                         r"LOG --\n(?:.*\n)*?processed \d+ insns .*\n-- END ")

    def assert_check(self, mounts: str, subject: str) -> None:
        """`check` marks the same subject, and only the first column says so."""
        done = run_after_mounts(mounts, "check")
        self.assertEqual((done.returncode, done.stderr), (LACKING, ""))
        self.assertRegex(done.stdout, rf"(?m)^MISSING +{subject} ")

    def test_not_root(self):
        for command in (["dump", "--duration", "1"], ["dump", "--", "true"]):
            self.assert_error(run_as_nobody(*command), LACKING, "not root; run it with sudo")
        checked = run_as_nobody("check")
        self.assertEqual((checked.returncode, checked.stderr), (LACKING, ""))
        self.assertRegex(checked.stdout, r"(?m)^MISSING +privileges ")

    def test_not_root_is_enough_for_the_rest(self):
        for arguments in (["reasons", "HLT"], ["--help"], ["--version"]):
            done = run_as_nobody(*arguments)
            self.assertEqual((done.returncode, done.stderr), (0, ""))


class ProcessTest(CommandLineTest):
    def test_unknown_pid(self):
        self.assert_error(run("dump", "--pid", "4194304"), FAILED, "no process has the pid 4194304")

    @needs_root
    def test_command_that_does_not_exist(self):
        done = run_program(*without_vendor_module(), EXITTOP, "dump", "--",
                           "/nonexistent/command")
        self.assertEqual(done.returncode, FAILED)
        self.assertEqual(done.stderr.splitlines()[-1],
                         "exittop: cannot run '/nonexistent/command': No such file or directory")

    @needs_root
    def test_waits_and_says_so(self):
        with subprocess.Popen([*without_vendor_module(), EXITTOP, "dump"], text=True,
                              stderr=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            self.assertEqual(process.stderr.readline(),
                             "exittop: waiting for kvm_intel or kvm_amd\n")
            time.sleep(0.3)
            self.assertIsNone(process.poll())
            os.kill(process.pid, signal.SIGINT)
            said, error = process.communicate(timeout=10)
        self.assertEqual((process.returncode, said), (LACKING, ""))
        self.assertRegex(error, "^exittop: nothing was counted[^\n]*\n$")

    @needs_root
    def test_a_command_that_ignores_signals_is_killed(self):
        """Five seconds after the first signal, at once after a second."""
        for number, second, least, most in ((signal.SIGTERM, None, 4.5, 60),
                                            (signal.SIGINT, signal.SIGINT, 0.4, 4)):
            with (self.subTest(number),
                  subprocess.Popen([*without_vendor_module(), EXITTOP, "dump", "--", "sh", "-c",
                                    "trap '' INT TERM; echo begun; exec sleep 1000"],
                                   stderr=subprocess.PIPE, stdout=subprocess.PIPE,
                                   text=True) as process):
                self.assertEqual(process.stdout.readline(), "begun\n")
                begin = time.monotonic()
                process.send_signal(number)
                if second:
                    time.sleep(0.5)
                    process.send_signal(second)
                process.communicate(timeout=60)
                self.assertEqual(process.returncode, LACKING)   # nothing was counted
                self.assertGreater(time.monotonic() - begin, least)
                self.assertLess(time.monotonic() - begin, most)


if __name__ == "__main__":
    unittest.main()
