# SPDX-License-Identifier: GPL-2.0-only
"""What `cmake --install` puts where, and that it works from there."""

import os
import tempfile
import unittest
from pathlib import Path

from command_line import BUILD, SOURCE, run_program


class InstallTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="exittop-install-")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.root = Path(cls.folder.name)
        done = run_program("cmake", "--install", BUILD, "--prefix", "/usr",
                           env=os.environ | {"DESTDIR": cls.folder.name})
        assert done.returncode == 0, done.stderr
        cls.files = {str(path.relative_to(cls.root)) for path in cls.root.rglob("*")
                     if path.is_file()}

    def test_everything_has_its_place(self):
        lab = "usr/share/exittop/lab"
        expected = {"usr/sbin/exittop", "usr/bin/exitleaf",
                    "usr/share/man/man8/exittop.8", "usr/share/man/man1/exitleaf.1",
                    "usr/lib/systemd/system/exittop.service",
                    "usr/share/exittop/prometheus/exittop.rules.yml",
                    "usr/share/exittop/grafana/exittop.json",
                    "usr/share/bash-completion/completions/exittop",
                    "usr/share/zsh/vendor-completions/_exittop",
                    "usr/share/fish/vendor_completions.d/exittop.fish"}
        kernel = "usr/share/exittop/kernel"
        expected |= {f"{kernel}/{path.relative_to(SOURCE / 'kernel')}"
                     for path in (SOURCE / "kernel").rglob("*") if path.is_file()}
        expected |= {f"{lab}/{path.name}" for pattern in ("*.py", "*.sh", "*.json")
                     for path in (SOURCE / "lab").glob(pattern)}
        expected |= {f"usr/libexec/exittop/guests/{path.stem}"
                     for path in (SOURCE / "lab/guests").glob("*.c")}
        self.assertEqual(self.files, expected)

    def test_programs_may_be_run(self):
        for name in self.files:
            mode = (self.root / name).stat().st_mode & 0o777
            is_program = "bin/" in name or "guests/" in name
            self.assertEqual(mode, 0o755 if is_program else 0o644, name)

    def test_installed_program_works(self):
        done = run_program(self.root / "usr/sbin/exittop", "--version")
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_installed_lab_works(self):
        done = run_program(self.root / "usr/sbin/exittop", "lab", "--help")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(list(self.root.rglob("__pycache__")), [])


if __name__ == "__main__":
    unittest.main()
