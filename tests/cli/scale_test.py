# SPDX-License-Identifier: GPL-2.0-only
"""The file of a host with 1,000 VMs of 20 reasons is read by node_exporter and Prometheus."""

import tempfile
import unittest
from pathlib import Path

import prometheus
from command_line import BUILD, run_program

_VMS, _REASONS = 1000, 20


class ScaleTest(unittest.TestCase):
    def test_a_large_host_is_scraped_without_an_error(self):
        with tempfile.TemporaryDirectory(prefix="exittop-scale-") as temporary:
            work = Path(temporary)
            textfiles = work / "textfiles"
            textfiles.mkdir()
            done = run_program(BUILD / "export_bench", textfiles / "exittop.prom")
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            with (prometheus.node_exporter(textfiles, work) as exporter,
                  prometheus.prometheus(work, [exporter.target], interval="5s") as server):
                self.assertFalse(exporter.scrape_error())
                prometheus.until("the first scrape", lambda: server.query("exittop_vm_exits_total"))
                self.assertEqual(server.value("count(exittop_vm_exits_total)"), _VMS * _REASONS)
                self.assertEqual(server.value("count(exittop_vm_exit_seconds_total)"),
                                 _VMS * _REASONS)
                self.assertEqual(server.value("count(exittop_vm_info)"), _VMS)
                self.assertEqual(server.value("node_textfile_scrape_error"), 0)
                self.assertEqual(server.value("min(min_over_time(up[1m]))"), 1)


if __name__ == "__main__":
    unittest.main()
