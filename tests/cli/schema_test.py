# SPDX-License-Identifier: GPL-2.0-only
"""docs/exittop.schema.json: exittop's output is valid by it, and faults are noticed."""

import json
import unittest

import schema
from command_line import SOURCE

GOLDEN = SOURCE / "tests/golden"


class SchemaTest(unittest.TestCase):
    def test_the_goldens_are_as_described(self):
        files = sorted(GOLDEN.glob("*.json"))
        self.assertGreaterEqual(len(files), 2)
        for file in files:
            with self.subTest(file.name):
                self.assertEqual(schema.complaint(file.read_text()), "")

    def test_what_is_missing_is_noticed(self):
        dump = json.loads((GOLDEN / "dump.json").read_text())
        for path in (("schema",), ("host", "isa"), ("vms", "vcpus", "exits", "count")):
            with self.subTest(path):
                self.assertIn(path[-1], schema.complaint(json.dumps(schema.without(dump, *path))))

    def test_what_is_not_described_is_noticed(self):
        dump = json.loads((GOLDEN / "dump.json").read_text())
        dump["vms"][-1]["vcpus"][0]["exits"][0]["novel"] = 1  # The end of the text is kept.
        self.assertIn("novel", schema.complaint(json.dumps(dump)))


if __name__ == "__main__":
    unittest.main()
