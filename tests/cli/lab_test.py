# SPDX-License-Identifier: GPL-2.0-only
"""What `exittop lab` says where it cannot count: it shows what the emulator, or the guest, said.

That it counts right is in tests/lab/signature_test.py.
"""

import os
import shutil
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from command_line import BUILD, FAILED, LACKING, SOURCE, CommandLineTest, run

sys.path.insert(0, str(SOURCE / "lab"))

import kernel_image
import lab
from lab_error import LabError


_SECONDS = 600      # the first gets the kernel; and the machine may be busy


def write_script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


class LabTest(CommandLineTest):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="exittop-cli-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def run_with(self, emulator: str, arguments: str, *words: str):
        """exittop lab where this emulator, whatever it is told, runs with these arguments."""
        write_script(self.folder / emulator, f"exec {shutil.which(emulator)} {arguments}")
        path = f"{self.folder}:{os.environ['PATH']}"
        done = run("lab", *words, env=dict(os.environ, PATH=path), timeout=_SECONDS)
        done.stderr = "".join(f"{line}\n" for line in done.stderr.splitlines()
                              if not line.startswith("exittop lab: "))     # its progress
        return done

    def test_broken_qemu(self):
        done = self.run_with("qemu-system-x86_64", "-display none -cpu nonsense", "amd")
        self.assert_error(done, FAILED, "status 1, it said: .*unable to find CPU model 'nonsense'")

    def test_broken_bochs(self):
        for words in (["intel"], ["intel", "--shell"]):
            done = self.run_with("bochs-bin", "-q -f /nonexistent", *words)
            self.assert_error(done, FAILED, "status 1, it said: .*reading from /nonexistent failed")

    def test_mute_emulator(self):
        """One that is killed says nothing, and that is told."""
        write_script(self.folder / "qemu-system-x86_64", "kill -9 $$")
        done = run("lab", "amd", env=dict(os.environ, PATH=f"{self.folder}:{os.environ['PATH']}"),
                   timeout=_SECONDS)
        self.assertIn("did not start the emulated host: status -9, it said: nothing", done.stderr)

    def test_failed_guest(self):
        guests = self.folder / "guests"
        shutil.copytree(BUILD / "lab/guests", guests)
        (guests / "linux_vm").unlink()
        write_script(guests / "linux_vm", "echo linux_vm: it broke at once >&2; exit 1")
        done = run("lab", "amd", "--guests", str(guests), timeout=_SECONDS)
        self.assertEqual(done.returncode, FAILED)
        self.assertEqual(done.stderr.splitlines()[-1], "exittop: counting in the emulated amd host "
                         "failed: linux_vm: it broke at once")

    def test_missing_tool(self):
        """Python alone cannot open every kernel."""
        for tool, magic in (("zstd", b"\x28\xb5\x2f\xfd"), ("lz4", b"\x02\x21\x4c\x18")):
            with (mock.patch.dict(os.environ, PATH=str(self.folder)),
                  self.assertRaises(LabError) as raised):
                kernel_image.unpacked(magic)
            self.assertEqual((str(raised.exception), raised.exception.status),
                             (f"the tool {tool} is missing: install the package {tool}", LACKING))

    def test_fault_of_qemu(self):
        """Told only from a run whose reads of CR3 are there by the wrong name."""
        for reasons, at_fault in ((["write_cr3", "read_cr0"], True),
                                  (["write_cr3", "read_cr0", "read_cr3"], False),
                                  (["write_cr3", "cpuid"], False),
                                  (["EPT_VIOLATION"], False)):
            exits = [{"reason": reason, "count": 7} for reason in reasons]
            found = lab.emulator_fault({"vms": [{"vcpus": [{"exits": exits}]}]})
            self.assertEqual(found is not None, at_fault, reasons)


if __name__ == "__main__":
    unittest.main()
