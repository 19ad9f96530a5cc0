# SPDX-License-Identifier: GPL-2.0-only
"""The Debian package: what lintian says of it, what it brings to a clean Debian and takes away.

The clean Debian is a bare root of this machine's suite, with all that the package depends on.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from command_line import BUILD, SOURCE, needs_root, run, run_program

sys.path.insert(0, str(SOURCE / "tests/distro"))

from debian_root import DebianRoot, host_suite

# For a unit that can be enabled; the rest is what the package itself depends on.
WITH = ("systemd", "bash-completion")
# What any installation changes: the package manager's own records, caches and logs.
NOT_OURS = re.compile(r"(var/lib/dpkg|var/lib/apt|var/cache|var/log|etc/ld\.so\.cache$|proc|sys|"
                      r"dev|run|tmp)(/|$)")
LAB = "usr/share/exittop/lab/"
BROUGHT = {"usr/sbin/exittop", "usr/share/man/man8/exittop.8.gz",
           "usr/bin/exitleaf", "usr/share/man/man1/exitleaf.1.gz",
           "usr/lib/systemd/system/exittop.service",
           "usr/share/bash-completion/completions/exittop",
           "usr/share/zsh/vendor-completions/_exittop",
           "usr/share/fish/vendor_completions.d/exittop.fish",
           f"{LAB}lab.py", "usr/libexec/exittop/guests/micro_vm"}


def make_package(folder: Path) -> Path:
    """The package of the build, made in that folder."""
    done = run_program("cpack", "-B", folder, cwd=BUILD)
    assert done.returncode == 0, done.stdout + done.stderr
    (package,) = folder.glob("*.deb")
    return package


def control_field(package: Path, name: str) -> str:
    return run_program("dpkg-deb", "-f", package, name).stdout.strip()


def depends_of(package: Path) -> list[str]:
    """The names of the packages it depends on."""
    return [word.split()[0] for word in control_field(package, "Depends").split(",")]


class PackageTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="exittop-package-")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = Path(folder.name)
        cls.deb = make_package(cls.folder)

    def test_lintian_has_nothing_to_say(self):
        done = run_program("lintian", "--fail-on", "error,warning", "--allow-root", self.deb)
        self.assertEqual((done.returncode, done.stdout), (0, ""), done.stderr)

    def test_depends_on_the_packages_of_its_libraries(self):
        linked = subprocess.run(["ldd", BUILD / "exittop"], capture_output=True, text=True,
                                check=True).stdout
        depends = depends_of(self.deb)
        for library, package in (("libbpf.so.1", "libbpf1"), ("libncursesw.so.6", "libncursesw6"),
                                 ("libstdc++.so.6", "libstdc++6"), ("libc.so.6", "libc6")):
            self.assertIn(library, linked)
            self.assertIn(package, depends)
        self.assertIn(control_field(self.deb, "Version"), run("--version").stdout)

    @needs_root
    def test_comes_and_goes_in_a_clean_debian(self):
        with DebianRoot(host_suite()) as root:
            done = root.install(*WITH, *depends_of(self.deb))
            self.assertEqual(done.returncode, 0, done.stderr)
            before = self.files(root.path)
            shutil.copy(self.deb, root.path / "tmp/exittop.deb")
            self.inside(root, "dpkg", "--install", "/tmp/exittop.deb")
            brought = self.files(root.path) - before
            self.assertLessEqual(BROUGHT, brought)
            strays = {name for name in brought if not re.search("exittop|exitleaf", name)
                      and not (root.path / name).is_dir()}
            self.assertEqual(strays, set())
            self.assert_works(root)
            self.inside(root, "systemctl", "enable", "exittop.service")
            # There is no Python: it says so.
            self.inside(root, "exittop", "lab", "--help", missing_ok=True)
            self.inside(root, "dpkg", "--remove", "exittop")
            self.assertEqual(self.files(root.path) - before, set())
            self.assertEqual(before - self.files(root.path), set())
            self.inside(root, "dpkg", "--purge", "exittop")
            self.assertEqual(list((root.path / "var/lib/dpkg/info").glob("exittop.*")), [])

    def assert_works(self, root: DebianRoot) -> None:
        self.assertIn("exittop 0.", self.inside(root, "exittop", "--version"))
        self.assertIn("HLT", self.inside(root, "exittop", "reasons", "HLT"))
        state = self.inside(root, "systemctl", "is-enabled", "exittop.service", missing_ok=True)
        self.assertEqual(state.strip(), "disabled")
        page = run_program("man", "--local-file",
                           root.path / "usr/share/man/man8/exittop.8.gz")
        self.assertIn("EXITTOP(8)", page.stdout)
        offered = self.inside(root, "bash", "-ic", ". /usr/share/bash-completion/bash_completion; "
                              "_completion_loader exittop; complete -p exittop")
        self.assertIn("_exittop", offered)

    @staticmethod
    def files(root: Path) -> set[str]:
        names = set()
        for folder, folders, files in os.walk(root):
            inside = Path(folder).relative_to(root)
            folders[:] = [name for name in folders if not NOT_OURS.match(str(inside / name))]
            names |= {str(inside / name) for name in (*folders, *files)
                      if not NOT_OURS.match(str(inside / name))}
        return names

    def inside(self, root: DebianRoot, *command: str, missing_ok: bool = False) -> str:
        """What a command prints in the clean root, in which no service is ever started."""
        done = root.run(*command, timeout=120)
        if not missing_ok:
            self.assertEqual(done.returncode, 0, f"{command}: {done.stdout}{done.stderr}")
        return done.stdout


if __name__ == "__main__":
    unittest.main()
