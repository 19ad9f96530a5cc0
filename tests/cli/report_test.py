# SPDX-License-Identifier: GPL-2.0-only
"""The HTML page of a comparison, in headless Chromium: light and dark, narrow and wide, on paper,
without JavaScript, and with names that would like to be markup."""

import copy
import json
import os
import re
import tempfile
import unittest
from pathlib import Path

from browser import Browser
from command_line import FAILED, SOURCE, USAGE, CommandLineTest, run, run_program

RUN = SOURCE / "tests/golden/dump.json"
# A power of ten more of each: what a logarithmic scale turns into equal steps.
COUNTS = {"HLT": (10, 1), "CPUID": (100, 100), "INVLPG": (0, 1_000), "EPT_VIOLATION": (10_000, 0)}
CODES = {"CPUID": 10, "HLT": 12, "INVLPG": 14, "EPT_VIOLATION": 48}
HOSTILE = "</script></td><img src=x onerror=pwned=1><script>pwned=1</script>\"'`{runs}\u202e"


def exits(reason: str, count: int, text: str = "") -> dict:
    known, unknown = count - count // 4, count // 4
    return {"reason": reason, "code": CODES[reason], "level": 1, "count": count,
            "time_ns": 3_000 * count, "max_ns": 50_000, "vmm_ns": 700 * count, "halted_ns": 0,
            "polled_ns": 0, "preempted_ns": 600 * count, "blocked_ns": 0,
            "histogram": [[2_048, count // 2], [4_096, count - count // 2]],
            "targets": [{"target": f"0x6e0 {text}", "count": known, "time_ns": 3_000 * known}],
            "targets_unknown": {"count": unknown, "time_ns": 3_000 * unknown,
                                "why": text or "not read"}}


def run_file(folder: str, name: str, which: int, text: str = "") -> Path:
    """A run with the counts of one side; `text` is put wherever a file holds text."""
    snapshot = copy.deepcopy(json.loads(RUN.read_text()))
    snapshot["vms"] = snapshot["vms"][:1]
    [vm] = snapshot["vms"]
    vm["vcpus"] = [{"id": 0, "tid": 1, "exits": [exits(reason, both[which], text)
                                                 for reason, both in COUNTS.items()]}]
    if text:
        vm["name"] = vm["vmm"] = vm["uuid"] = text
        snapshot["taken_at"] = text
        snapshot["host"] |= {"kernel": text + name, "cpu": text, "parameters": {text: text}}
    path = Path(folder, f"{name}.json")
    path.write_text(json.dumps(snapshot))
    return path


class ReportTest(CommandLineTest):
    @classmethod
    def setUpClass(cls):
        cls.browser = cls.enterClassContext(Browser())
        folder = cls.enterClassContext(tempfile.TemporaryDirectory(prefix="exittop-report-"))
        cls.page = cls.make_page(folder, "ept=1", "ept=0")
        cls.hostile = cls.make_page(folder, "<b>'\"&amp;", "{title}<!--", HOSTILE)

    @staticmethod
    def make_page(folder: str, first: str, second: str, text: str = "") -> Path:
        runs = [run_file(folder, name, which, text) for which, name in enumerate((first, second))]
        page = Path(folder, f"page{len(text)}.html")
        done = run("compare", *map(str, runs), "--html", str(page))
        assert done.returncode == 0, done.stderr
        return page

    def open(self, page: Path, width: int = 1600, **how) -> None:
        """The page must not say anything, nor ask for anything but itself."""
        self.browser.open(page, width, **how)
        self.assertEqual(self.browser.complaints(), [])
        self.assertEqual(self.browser.requests(), [page.as_uri()])

    def rows(self) -> list[str]:
        return self.browser.value(
            "[...document.querySelectorAll('#reason-table tbody th')].map(c => c.textContent)")

    def test_fits_narrow_and_wide_light_and_dark(self):
        for page in (self.page, self.hostile):
            for width in (400, 1600):
                for dark in (False, True):
                    with self.subTest(page=page.name, width=width, dark=dark):
                        self.open(page, width, dark=dark)
                        self.assertLessEqual(
                            self.browser.value("document.documentElement.scrollWidth"), width)
                        self.assertEqual(self.browser.value("""
                            [...document.querySelectorAll('main svg')].filter(s =>
                              s.getBoundingClientRect().right > innerWidth).length"""), 0)

    def test_text_stands_out_in_light_and_dark(self):
        contrasts = """(() => {
            const rgb = (color) => color.match(/[\\d.]+/g).map(Number);
            const light = (color) => {
              const [r, g, b] = rgb(color).map(v => (v /= 255) <= 0.04045
                ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
              return 0.2126 * r + 0.7152 * g + 0.0722 * b;
            };
            const ground = (e) => {
              const color = getComputedStyle(e).backgroundColor;
              return e.parentElement && rgb(color)[3] === 0 ? ground(e.parentElement) : color;
            };
            const of = (e) => {
              const [a, b] = [light(getComputedStyle(e).color), light(ground(e))];
              return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
            };
            return Math.min(...[...document.querySelectorAll(
              'p, td, th, a, dd, dt, small, li, .letter, .part, figcaption span, summary'
            )].map(of));
        })()"""
        grounds = set()
        for dark in (False, True):
            self.open(self.page, dark=dark)
            self.assertGreaterEqual(self.browser.value(contrasts), 4.5, f"dark: {dark}")
            grounds.add(self.browser.value("getComputedStyle(document.body).backgroundColor"))
        self.assertEqual(len(grounds), 2)

    def test_bars_are_logarithmic(self):
        self.open(self.page)
        bars = self.browser.value("""Object.fromEntries(
            [...document.querySelectorAll('#bars-chart rect')].map(r =>
              [r.querySelector('title').textContent, r.getBoundingClientRect().width]))""")
        self.assertEqual(len(bars), 2 * len(COUNTS))
        lengths = [bars[f"{name}: {count}"] for name, count in (
            ("HLT, ept=1", "10"), ("CPUID, ept=0", "100"), ("INVLPG, ept=0", "1,000"),
            ("EPT_VIOLATION, ept=1", "10,000"))]
        steps = [longer - shorter for shorter, longer in zip(lengths, lengths[1:])]
        self.assertGreater(steps[0], 20)
        for step in steps:
            self.assertAlmostEqual(step, steps[0], delta=1)
        self.assertEqual(bars["INVLPG, ept=1: 0"], 0)
        self.assertGreater(bars["HLT, ept=0: 1"], 0)

    def test_bars_show_another_measure(self):
        self.open(self.page)
        self.browser.value("""measure.value = "time",
            measure.dispatchEvent(new Event("change")), 0""")
        texts = self.browser.value("""
            [...document.querySelectorAll('rect title')].map(t => t.textContent)""")
        self.assertIn("CPUID, ept=1: 300us", texts)

    def test_overlays_and_time(self):
        self.open(self.page)
        figures = self.browser.value("""
            [...document.querySelectorAll('figure')].map(f => f.innerText)""")
        self.assertEqual(len(figures), len(COUNTS))
        [cpuid] = [figure for figure in figures if figure.startswith("CPUID")]
        for line in ("A: 100 exits", "B: 100 exits"):
            self.assertIn(line, cpuid)
        [invlpg] = [figure for figure in figures if figure.startswith("INVLPG")]
        self.assertIn("A: no exits", invlpg)
        self.assertRegex(self.browser.value("document.querySelector('#time').innerText"),
                         r"kernel 17\.2ms 56\.7%")

    def test_time_by_reason_on_a_scale_for_both_runs(self):
        self.open(self.page)
        bars = self.browser.value("""Object.fromEntries(
            [...document.querySelectorAll('#split-chart rect')].map(r =>
              [r.querySelector('title').textContent, r.getBoundingClientRect().width]))""")
        self.assertEqual(len(bars), 3 * 6)      # Parts; two reasons are of one run only.
        widths = {(reason, run, part): bars[f"{reason}, {run}: {part} {figures}"]
                  for reason, run, part, figures in (
                      ("HLT", "ept=1", "kernel", "17.0us 56.7%"),
                      ("HLT", "ept=1", "VMM", "7.00us 23.3%"),
                      ("HLT", "ept=1", "preempted", "6.00us 20.0%"),
                      ("HLT", "ept=0", "kernel", "1.70us 56.7%"),
                      ("CPUID", "ept=0", "kernel", "170us 56.7%"),
                      ("CPUID", "ept=1", "kernel", "170us 56.7%"))}
        longest = widths["HLT", "ept=1", "kernel"]
        for key, part in ((("HLT", "ept=1", "VMM"), 7 / 17),
                          (("HLT", "ept=1", "preempted"), 6 / 17),
                          (("HLT", "ept=0", "kernel"), 1 / 10),
                          (("CPUID", "ept=0", "kernel"), 1), (("CPUID", "ept=1", "kernel"), 1)):
            self.assertAlmostEqual(widths[key], part * longest, delta=2, msg=key)
        self.assertFalse(self.browser.value("document.querySelector('#split-figures').open"))
        labels = self.browser.value("""
            [...document.querySelectorAll('#split-chart text')].map(t => t.textContent)""")
        self.assertIn("kernel 17.0us 56.7%", labels)
        legend = self.browser.value("document.querySelector('.parts').innerText")
        self.assertRegex(legend, r"W\s+preempted ready to run, but waited for a CPU")

    def test_parts_of_the_time_differ_in_lightness(self):
        lightness = """["guest", "kernel", "VMM", "polled", "preempted", "halted", "blocked"]
            .map(part => d3.lab(getComputedStyle(document.documentElement)
                                .getPropertyValue(`--${part}`).trim()).l)"""
        for dark in (False, True):
            self.open(self.page, dark=dark)
            values = sorted(self.browser.value(lightness))
            for darker, lighter in zip(values, values[1:]):
                self.assertGreater(lighter - darker, 6, f"dark: {dark}")

    def test_sorts_by_mouse_and_keyboard(self):
        self.open(self.page)
        self.assertEqual(self.rows(), ["EPT_VIOLATION", "INVLPG", "CPUID", "HLT"])
        heading = "document.querySelector('[data-column=\"{}\"]')"
        sort = """[...document.querySelectorAll('[aria-sort]')].map(h =>
            [h.dataset.column, h.ariaSort])"""
        self.browser.value(heading.format(0) + ".firstChild.click()")
        self.assertEqual(self.rows(), ["CPUID", "EPT_VIOLATION", "HLT", "INVLPG"])
        self.assertEqual(self.browser.value(sort), [["0", "ascending"]])

        self.browser.value(heading.format(0) + ".firstChild.focus()")
        self.browser.press("Tab")           # To the first run's counts.
        self.browser.press("Enter")
        self.assertEqual(self.rows(), ["EPT_VIOLATION", "CPUID", "HLT", "INVLPG"])
        self.assertEqual(self.browser.value(sort), [["1", "descending"]])
        self.browser.press("Space")
        self.assertEqual(self.rows(), ["INVLPG", "HLT", "CPUID", "EPT_VIOLATION"])
        self.assertEqual(self.browser.value(sort), [["1", "ascending"]])

        # Ratios: "new" is more than any, "gone" less; unknown times go last both ways.
        self.browser.value(heading.format(4) + ".firstChild.click()")
        self.assertEqual(self.rows(), ["INVLPG", "CPUID", "HLT", "EPT_VIOLATION"])
        for _ in range(2):
            self.browser.value("document.querySelector('[data-field=p50][data-run=\"1\"]')"
                               ".firstChild.click()")
            self.assertEqual(self.rows()[-1], "EPT_VIOLATION")

    def test_hostile_names_stay_text(self):
        self.open(self.hostile)
        self.assertEqual(self.browser.value("typeof pwned"), "undefined")
        self.assertEqual(self.browser.value(
            "document.querySelectorAll('img, iframe, b b, td b').length"), 0)
        self.assertEqual(self.browser.value("document.scripts.length"), 3)
        title = self.browser.value("document.querySelector('h1').textContent")
        self.assertEqual(title, "<b>'\"&amp; and {title}<!--")
        facts = self.browser.value("document.querySelector('#hosts').textContent")
        self.assertIn("</script></td><img src=x onerror=pwned=1>", facts)
        self.assertIn("<U+202E>", facts)
        self.assertEqual(self.browser.value("document.querySelector('rect title').textContent"),
                         "EPT_VIOLATION, <b>'\"&amp;: 10,000")

    def test_runs_no_other_code_and_asks_the_network_for_nothing(self):
        self.open(self.page)
        self.browser.value("""(() => {
            const script = document.createElement("script");
            script.textContent = "pwned = 1";
            document.body.append(script);
            document.body.insertAdjacentHTML("beforeend", "<img src='x' onerror='pwned = 1'>");
        })()""")
        refused = self.browser.value("""(async () => {
            try { await fetch(location.href); return false; } catch { return true; }
        })()""")
        self.assertTrue(refused)
        self.assertEqual(self.browser.value("typeof pwned"), "undefined")

    def test_without_javascript_it_is_a_plain_table(self):
        for page in (self.page, self.hostile):
            self.browser.open(page, 1600, script=False)
            text = self.visible_text()
            for words in ("The charts need JavaScript", "EPT_VIOLATION", "10,000", "gone", "new",
                          "preempted ready to run, but", "6.00us 20.0%",
                          "What was compared", "What the reasons mean"):
                self.assertIn(words, text)
            for words in ("Show", "On a logarithmic scale", "A heading sorts",
                          "on a scale of its own"):
                self.assertNotIn(words, text)

    def visible_text(self) -> str:
        """Of a page whose own scripts are off; the debugger's still run."""
        return self.browser.value("document.body.innerText")

    def test_prints_light_within_the_paper(self):
        self.open(self.page, dark=True)
        self.browser.call("Emulation.setEmulatedMedia", media="print")
        self.browser.call("Emulation.setDeviceMetricsOverride", width=700, height=990,
                          deviceScaleFactor=1, mobile=False)
        self.assertEqual(self.browser.value("getComputedStyle(document.body).backgroundColor"),
                         "rgb(255, 255, 255)")
        self.assertLessEqual(
            self.browser.value("document.querySelector('#reason-table').offsetWidth"), 700)
        pdf = self.browser.pdf()
        self.assertTrue(pdf.startswith(b"%PDF"))
        self.assertLessEqual(len(re.findall(rb"/Type\s*/Page\b", pdf)), 4)


class ReportFileTest(CommandLineTest):
    def test_mistakes_are_told_in_one_line(self):
        with tempfile.TemporaryDirectory() as folder:
            self.assert_error(run("compare", str(RUN), "--html"), USAGE, "--html needs a value")
            self.assert_error(run("compare", str(RUN), "--html", ""), USAGE, "name of a file")
            self.assert_error(run("compare", str(RUN), "--html", f"{folder}/no/page.html"), FAILED,
                              "no/page.html.*No such file")
            kept = run_file(folder, "kept", 0)
            self.assert_error(run("compare", str(RUN), "--html", str(kept)), FAILED,
                              "kept.json.*exists.*--force")
            self.assertTrue(kept.read_text().startswith("{"))
            done = run("compare", str(RUN), "--html", str(kept), "--force")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertTrue(kept.read_text().startswith("<!DOCTYPE html>"))
            self.assertEqual(os.listdir(folder), ["kept.json"])


class LibrariesTest(unittest.TestCase):
    def test_are_as_they_came(self):
        done = run_program("python3", "-B",
                           SOURCE / "userspace/output/html/page/vendor/vendor.py", "check")
        self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    unittest.main()
