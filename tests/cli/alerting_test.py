# SPDX-License-Identifier: GPL-2.0-only
"""What deploy/ has for Prometheus and Grafana: rules by promtool, and by a real Prometheus that
scrapes a real node_exporter: each query of the dashboard has data, each alert fires and resolves.

The file is a golden sample of what `exittop export` writes, its counters moved on once a second, so
that rules and dashboard are held to the names and labels that it really has. Minutes in the rules
are made seconds for it.
"""

import json
import re
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

import prometheus
from command_line import SOURCE

sys.path.insert(0, str(SOURCE / "deploy/grafana"))
import make_dashboard

RULES = SOURCE / "deploy/prometheus/exittop.rules.yml"
RULES_TEST = RULES.with_name("exittop.rules.test.yml")
SAMPLE = SOURCE / "tests/golden/export_histograms.prom"
VM = "web01"
STORM = 3_000_000       # exits a second, on its two vCPUs
_LINE = re.compile(r"(?m)^(?P<name>\w+)(?P<labels>\{.*\})? (?P<value>\S+)$")


def alert_names() -> set[str]:
    return set(re.findall(r"(?m)^ +- alert: (\w+)$", RULES.read_text()))


def in_a_hurry(rules: str) -> str:
    """The rules with seconds for minutes; names keep theirs, for the dashboard knows them."""
    return re.sub(r"(?<![\w:])(\d+)m\b", r"\1s", re.sub(r"\[1h\]", "[60s]", rules))


class Exporter:
    """Writes the file as the service does: by rename, behind the link that its unit makes."""

    def __init__(self, folder: Path):
        self._file = folder / "run.prom"
        self._link = folder / "textfiles/exittop.prom"
        self._link.parent.mkdir()
        self._link.symlink_to(self._file)
        self._began = time.time()
        self._stormed = 0.0
        self.ill = False        # all else that alerts are for
        self.gone = False       # the file's end

    def write(self) -> None:
        if self.gone:
            self._link.unlink(missing_ok=True)
            return
        if not self._link.is_symlink():
            self._link.symlink_to(self._file)
        self._stormed += STORM if self.ill else 0
        new = self._file.with_suffix(".tmp")
        new.write_text(_LINE.sub(self._moved_on, SAMPLE.read_text()))
        new.rename(self._file)

    def _moved_on(self, line: re.Match) -> str:
        name, labels, value = line["name"], line["labels"] or "", float(line["value"])
        if name == "exittop_last_update_timestamp_seconds":
            value = time.time() - (1000 if self.ill else 0)
        elif name == "exittop_lost_total":
            value += self._stormed
        elif name.endswith(("_total", "_bucket", "_count", "_sum")):
            value *= 1 + (time.time() - self._began) / 100
        if name == "exittop_vm_exits_total" and 'reason="CPUID"' in labels:
            value += self._stormed
        if name in ("exittop_vm_preempted_seconds_total", "exittop_vm_exit_seconds_total"):
            # Of its two vCPUs, one waits for a CPU.
            waits = f'vm="{VM}"' in labels and ("reason" not in labels or '"HLT"' in labels)
            value += waits * self._stormed / STORM
        if name == "exittop_vm_info" and not self.ill:
            labels = labels.replace('paging="shadow"', 'paging="ept"')
        return f"{name}{labels} {value!r}"


class RulesTest(unittest.TestCase):
    def promtool(self, *arguments) -> None:
        done = subprocess.run([prometheus.program("promtool"), *arguments], cwd=RULES.parent,
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_are_well_formed(self):
        self.promtool("check", "rules", RULES)

    def test_do_what_their_unit_tests_say(self):
        self.promtool("test", "rules", RULES_TEST)

    def test_each_alert_has_a_unit_test(self):
        tested = set(re.findall(r"alertname: (\w+)", RULES_TEST.read_text()))
        self.assertEqual(alert_names(), tested)
        self.assertGreaterEqual(len(tested), 5)


class DashboardTest(unittest.TestCase):
    def test_is_what_its_maker_makes(self):
        self.assertEqual(make_dashboard.OUTPUT.read_text(), make_dashboard.text())

    def test_panels_lie_side_by_side(self):
        cells = [(x, y) for panel in make_dashboard.dashboard()["panels"]
                 for place in [panel["gridPos"]]
                 for x in range(place["x"], place["x"] + place["w"])
                 for y in range(place["y"], place["y"] + place["h"])]
        self.assertEqual(len(cells), len(set(cells)))
        self.assertLess(max(x for x, _ in cells), 24)


class ScaleTest(unittest.TestCase):
    """deploy/README.md's figures follow from its formula, and the formula from what is written."""
    HOSTS, VMS, INTERVAL = 5000, 100, 15

    @staticmethod
    def series_of_a_vm(reasons: int, histograms: bool = False, vcpus: int = 0) -> int:
        return 2 * reasons + 10 + histograms * 20 * reasons + vcpus * (2 * reasons + 1)

    def test_formula_is_that_of_the_file(self):
        for sample, histograms in (("export", False), ("export_histograms", True)):
            text = (SOURCE / f"tests/golden/{sample}.prom").read_text()
            lines = re.findall(rf'(?m)^exittop_v\w+\{{vm="{VM}".*', text)
            reasons = len([line for line in lines if line.startswith("exittop_vm_exits_total")])
            self.assertEqual(len(lines), self.series_of_a_vm(reasons, histograms), sample)
        of_host = [line for line in text.splitlines() if not line.startswith(("#", "exittop_v"))]
        self.assertLessEqual(len(of_host), 25)

    def test_table(self):
        text = (SOURCE / "deploy/README.md").read_text()
        rows = re.findall(r"(?m)^\| (.*--.*) \| (\d+) \| ([\d.]+) M \| [\d.]+ MB "
                          r"\| ([\d.]+) M \|", text)
        self.assertEqual(len(rows), 5)
        for options, of_vm, fleet, samples in rows:
            with self.subTest(options):
                top = re.search(r"--top-reasons (\d+)", options)
                want = self.series_of_a_vm((int(top[1]) if top else 20) + 1,
                                           "--histograms" in options, 4 * ("vcpu" in options))
                self.assertEqual(int(of_vm), want)
                series = self.HOSTS * (self.VMS * want + 25)
                self.assertAlmostEqual(float(fleet), series / 1e6, delta=0.06)
                self.assertAlmostEqual(float(samples), series / self.INTERVAL / 1e6, delta=0.006)


class LiveTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="exittop-alerting-")
        cls.addClassCleanup(folder.cleanup)
        work = Path(folder.name)
        cls.exporter = Exporter(work)
        cls.exporter.write()
        cls.stop = threading.Event()
        writer = threading.Thread(target=cls.keep_writing)
        writer.start()
        cls.addClassCleanup(writer.join)
        cls.addClassCleanup(cls.stop.set)
        cls.node = cls.enterClassContext(prometheus.node_exporter(work / "textfiles", work))
        rules = work / "rules.yml"
        rules.write_text(in_a_hurry(RULES.read_text()))
        cls.server = cls.enterClassContext(
            prometheus.prometheus(work, [cls.node.target], rules=(rules,)))

    @classmethod
    def keep_writing(cls):
        while not cls.stop.wait(1):
            cls.exporter.write()

    def filled_in(self, expression: str) -> str:
        return (expression.replace("$instance", self.node.target).replace("$vm", VM)
                .replace("$__rate_interval", "10s"))

    def test_each_query_of_the_dashboard_has_data(self):
        dashboard = json.loads(make_dashboard.OUTPUT.read_text())
        queries = [target["expr"] for panel in dashboard["panels"]
                   for target in panel.get("targets", [])]
        self.assertGreaterEqual(len(queries), 25)
        for query in queries:
            with self.subTest(query):
                prometheus.until(f"data of {query}", lambda: self.server.query(
                    self.filled_in(query)))
        for variable in dashboard["templating"]["list"][1:]:
            with self.subTest(variable["name"]):
                series, label = re.fullmatch(r"label_values\((.*), (\w+)\)",
                                             variable["definition"]).groups()
                values = self.server.api(f"label/{label}/values",
                                         **{"match[]": self.filled_in(series)})
                self.assertIn({"instance": self.node.target, "vm": VM}[label], values)

    def test_alerts_fire_and_resolve(self):
        self.assertFalse(self.node.scrape_error())
        self.until_firing(set())
        self.exporter.ill = True
        self.until_firing(alert_names() - {"ExittopGone"})
        self.exporter.ill = False
        self.until_firing(set())
        self.exporter.gone = True
        self.until_firing({"ExittopGone"})
        self.assertFalse(self.node.scrape_error())
        self.exporter.gone = False
        self.until_firing(set())

    def until_firing(self, wanted: set[str]) -> None:
        prometheus.until(f"the alerts {sorted(wanted)}; there are {self.server.alerts()}",
                         lambda: {name for name, state in self.server.alerts().items()
                                  if state == "firing"} == wanted)


if __name__ == "__main__":
    unittest.main()
