# SPDX-License-Identifier: GPL-2.0-only
"""exittop.sh installs, builds and runs; tested on a copy of the checkout, with a fake apt."""

import os
import pwd
import shutil
import sys
import unittest
from pathlib import Path

from command_line import EXITTOP, LACKING, SOURCE, CommandLineTest, public_folder, run_program

sys.path.insert(0, str(SOURCE / "tests/distro"))

from debian_root import copy_checkout

# An apt that knows all packages but two, and says what it was asked to do.
FEIGNED = {
    "dpkg-query": "exit 0",
    "apt-get": 'echo "apt-get $*" >&2; [ "${APT_FAILS-}" != yes ]',
    "apt-cache": 'case $2 in bpftool|lost-dev) ;; *) echo "  Candidate: 1.0" ;; esac',
}

# Of exittop itself it compiles nothing: the program is the one under test. The tests of each Debian
# release compile it.
QUICK_COMPILER = """#!/bin/sh
for word; do
    case $previous in
    -o) output=$word ;;
    -MF) depends=$word ;;
    esac
    previous=$word
done
case $output in
userspace/*.o)
    echo "$output:" >"$depends"
    exec c++ -x c++ -c /dev/null -o "$output" ;;
exittop) exec cp '{program}' "$output" ;;
esac
exec c++ "$@"
"""


class StartTest(CommandLineTest):
    """All tests use one copy, which is built once as the user nobody, by root if possible."""

    @classmethod
    def setUpClass(cls):
        cls.folder = public_folder()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.copy = Path(cls.folder.name) / "a checkout"
        copy_checkout(cls.copy)
        cls.script = cls.copy / "exittop.sh"
        if os.geteuid() == 0:
            run_program("chown", "-R", "nobody", cls.copy)
        compiler = Path(cls.folder.name) / "quick-c++"
        compiler.write_text(QUICK_COMPILER.format(program=EXITTOP))
        compiler.chmod(0o755)
        cls.first = run_program(cls.script, "--no-install", "--version", timeout=1200,
                                env=os.environ | {"CXX": str(compiler)})

    def test_first_start_builds_and_runs(self):
        self.assertEqual(self.first.returncode, 0, self.first.stderr)
        self.assertRegex(self.first.stdout, r"^exittop \d+\.\d+\.\d+\n$")

    def built_files(self) -> dict[Path, int]:
        """When each file was written, but for ninja's own and one of build.sh, which is empty."""
        return {path: path.stat().st_mtime_ns for path in (self.copy / "build").rglob("[!.]*")
                if path.is_file() and path.stat().st_size}

    def test_second_start_builds_nothing(self):
        before = self.built_files()
        self.assertGreater(len(before), 100)
        done = run_program(self.script, "--version")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        after = self.built_files()
        self.assertEqual({path for path in after if before.get(path) != after[path]}, set())

    @unittest.skipUnless(os.geteuid() == 0, "needs root")
    def test_the_checkouts_owner_owns_what_root_built(self):
        nobody = pwd.getpwnam("nobody").pw_uid
        owners = {path.lstat().st_uid for path in (self.copy / "build").rglob("*")}
        self.assertEqual(owners, {nobody})

    @unittest.skipUnless(os.geteuid() == 0, "needs root")
    def test_another_user_runs_what_is_there(self):
        done = run_program("setpriv", "--reuid=12345", "--regid=12345", "--clear-groups",
                           self.script, "--version", cwd="/")
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_arguments_and_status_pass_through(self):
        self.assert_error(run_program(self.script, "dump", "--duration", "-1"), 2, "negative")
        self.assert_error(run_program(self.script, "dump", "--no-install"), 2, "--no-install")

    def test_a_link_to_it_works(self):
        link = Path(self.folder.name) / "link"
        link.symlink_to(self.script)
        done = run_program(link, "--version", cwd="/")
        self.assertEqual((done.returncode, done.stdout), (0, self.first.stdout))


class PackagesTest(CommandLineTest):
    """With a fake apt and no tool in PATH, all packages are missing."""

    @classmethod
    def setUpClass(cls):
        cls.folder = public_folder()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.path = Path(cls.folder.name)
        for name, script in FEIGNED.items():
            program = cls.path / name
            program.write_text(f"#!/bin/bash\n{script}\n")
            program.chmod(0o755)

    def ensure(self, install: str, *entries: str, **environment: str):
        """ensure_packages alone, with the fake programs first in PATH."""
        return run_program("bash", "-c", 'source "$0"; ensure_packages "$@"',
                           SOURCE / "cmake/packages.sh", install, *entries,
                           env=os.environ | {"PATH": f"{self.path}:{os.environ['PATH']}"}
                           | environment)

    def test_only_checks(self):
        self.assert_error(self.ensure("no", "some-dev", "sh=sh", "tool=no-such-tool"), LACKING,
                          "apt-get install some-dev tool$")

    def test_nothing_is_missing(self):
        done = self.ensure("yes", "sh=sh", "bash=bash")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))

    @unittest.skipUnless(os.geteuid() == 0, "needs root")
    def test_says_what_it_installs(self):
        done = self.ensure("yes", "some-dev", "lost-dev")
        self.assertEqual((done.returncode, done.stdout), (0, ""))
        said = done.stderr.splitlines()
        self.assertEqual(said[0], "exittop: installing with apt-get: some-dev lost-dev")
        self.assertIn("exittop: apt knows no package lost-dev here; going on without it", said)
        self.assertRegex(said[-1], "^apt-get .*install some-dev$")

    @unittest.skipUnless(os.geteuid() == 0, "needs root")
    def test_failing_apt(self):
        done = self.ensure("yes", "some-dev", APT_FAILS="yes")
        self.assertEqual(done.returncode, LACKING)
        self.assertEqual(done.stderr.splitlines()[-1],
                         "exittop: apt-get could not install: some-dev")

    @unittest.skipUnless(os.geteuid() == 0, "needs root")
    def test_bpftool_where_ubuntu_has_it(self):
        (self.path / "bpftool").write_text("#!/bin/sh\nexit 2\n")
        (self.path / "bpftool").chmod(0o755)
        done = self.ensure("yes", "bpftool=bpftool")
        (self.path / "bpftool").unlink()
        self.assertRegex(done.stderr, r"install linux-tools-common linux-tools-generic\n$")

    @unittest.skipUnless(os.geteuid() == 0, "needs root")
    def test_without_root_it_is_told_how(self):
        done = run_program("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "bash",
                           "-c", f"{self.in_public_place()} ensure_packages yes some-dev",
                           env=os.environ | {"PATH": f"{self.path}:{os.environ['PATH']}"}, cwd="/")
        self.assert_error(done, LACKING, "which root can install: apt-get install some-dev")

    def in_public_place(self) -> str:
        """The command that reads the functions from where any user may."""
        copy = shutil.copy(SOURCE / "cmake/packages.sh", self.path)
        return f"source '{copy}';"


if __name__ == "__main__":
    unittest.main()
