# SPDX-License-Identifier: GPL-2.0-only
"""The Debian package: what lintian says of it, what it brings to a clean Debian and takes away.

The clean root is made once by debootstrap, from the archive that apt has here, and kept in the
user's cache as an archive, with systemd and what else the package asks for in it.
"""

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from command_line import BUILD, needs_root, run, run_program

SUITE = "bookworm"
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


def archive() -> str:
    """Where this machine has its packages of the suite from."""
    done = run_program("apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME)",
                       "Created-By: Packages")
    for line in done.stdout.splitlines():
        address, _, name = line.partition(" ")
        if name == SUITE:
            return address
    raise AssertionError(f"apt has no archive of {SUITE} here")


def cached_root(depends: list[str]) -> Path:
    """A tar of a minimal Debian in which nothing is missing but the package."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    kept = Path(base) / "exittop/debian" / f"{SUITE}.tar"
    wanted = "\n".join(sorted({*WITH, *depends}))
    note = kept.with_suffix(".packages")

    def is_current() -> bool:
        return kept.exists() and note.exists() and note.read_text() == wanted

    kept.parent.mkdir(parents=True, exist_ok=True)
    with open(kept.with_suffix(".lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_current():
            _make_root(kept, wanted)
            note.write_text(wanted)
    return kept


def _make_root(kept: Path, wanted: str) -> None:
    with tempfile.TemporaryDirectory(prefix="exittop-debian-") as folder:
        done = run_program("debootstrap", "--variant=minbase",
                           f"--include={','.join(wanted.split())}", SUITE, folder, archive(),
                           timeout=600)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr
        os.chmod(folder, 0o755)
        done = run_program("tar", "-C", folder, "--exclude=./var/cache/apt/archives/*.deb", "-cf",
                           kept.with_suffix(".new"), ".")
        assert done.returncode == 0, done.stderr    # A tar that is cut would be kept for ever.
    kept.with_suffix(".new").rename(kept)


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
        root = self.folder / "root"
        root.mkdir()
        subprocess.run(["tar", "-C", root, "-xf", cached_root(depends_of(self.deb))], check=True)
        before = self.files(root)
        shutil.copy(self.deb, root / "tmp/exittop.deb")
        self.inside(root, "dpkg", "--install", "/tmp/exittop.deb")
        brought = self.files(root) - before
        self.assertLessEqual(BROUGHT, brought)
        strays = {name for name in brought
                  if not re.search("exittop|exitleaf", name) and not (root / name).is_dir()}
        self.assertEqual(strays, set())
        self.assert_works(root)
        self.inside(root, "systemctl", "enable", "exittop.service")
        self.inside(root, "exittop", "lab", "--help", missing_ok=True)   # no Python there: says so
        self.inside(root, "dpkg", "--remove", "exittop")
        self.assertEqual(self.files(root) - before, set())
        self.assertEqual(before - self.files(root), set())
        self.inside(root, "dpkg", "--purge", "exittop")
        self.assertEqual(list((root / "var/lib/dpkg/info").glob("exittop.*")), [])

    def assert_works(self, root: Path) -> None:
        self.assertIn("exittop 0.", self.inside(root, "exittop", "--version"))
        self.assertIn("HLT", self.inside(root, "exittop", "reasons", "HLT"))
        state = self.inside(root, "systemctl", "is-enabled", "exittop.service", missing_ok=True)
        self.assertEqual(state.strip(), "disabled")
        page = run_program("man", "--local-file", root / "usr/share/man/man8/exittop.8.gz")
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

    def inside(self, root: Path, *command: str, missing_ok: bool = False) -> str:
        """What a command prints in the clean root, in which no service is ever started."""
        done = run_program("chroot", root, *command,
                           env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8",
                                "DEBIAN_FRONTEND": "noninteractive"})
        if not missing_ok:
            self.assertEqual(done.returncode, 0, f"{command}: {done.stdout}{done.stderr}")
        return done.stdout


if __name__ == "__main__":
    unittest.main()
