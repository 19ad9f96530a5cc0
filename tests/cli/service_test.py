# SPDX-License-Identifier: GPL-2.0-only
"""The service's unit, as systemd judges it; tests/lab/service_test.py runs it."""

import re
import unittest

from command_line import SOURCE, run_program

UNIT = SOURCE / "deploy/exittop.service"


def exposure() -> float:
    """0 to 10; 10 is a service that may do all that root may."""
    done = run_program("systemd-analyze", "security", "--offline=true", "--no-pager", UNIT)
    return float(re.search(r"Overall exposure level for exittop.service: ([\d.]+)", done.stdout)[1])


class ServiceTest(unittest.TestCase):
    def test_exposure_is_the_stated_one(self):
        text = (SOURCE / "deploy/README.md").read_text()
        stated = re.search(r"gives the unit ([\d.]+) ", text)[1]
        self.assertAlmostEqual(exposure(), float(stated))
        self.assertLess(exposure(), 1.5)

    def test_has_no_mistake(self):
        done = run_program("systemd-analyze", "verify", "--man=no", UNIT)
        # It finds the program only if it is installed.
        said = [line for line in done.stderr.splitlines()
                if "exittop.service" in line and "exittop is not executable" not in line
                and "Command exittop" not in line]
        self.assertEqual(said, [])


if __name__ == "__main__":
    unittest.main()
