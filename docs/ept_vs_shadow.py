# SPDX-License-Identifier: GPL-2.0-only
"""Fills the tables of docs/ept-vs-shadow.md with figures from runs:

    exittop lab --keep RUNS && python3 docs/ept_vs_shadow.py --exittop EXITTOP RUNS

RUNS is the folder that the lab wrote; the published figures are those in docs/published-runs. Every
number goes through `exittop import` and `exittop compare`.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

DOCS = Path(__file__).resolve().parent
PAGE = DOCS / "ept-vs-shadow.md"


class Exittop:
    def __init__(self, program: Path):
        self._program = program

    def _run(self, *arguments) -> str:
        return subprocess.run([self._program, *map(str, arguments)], check=True,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout

    def published(self, table: str, columns: list[str], folder: Path) -> list[Path]:
        runs = [folder / f"{column}.json" for column in columns]
        for column, run in zip(columns, runs):
            self._run("import", "--force", "-o", run, "--column", column,
                      DOCS / "published-runs" / table)
        return runs

    def compare(self, runs: list[Path]) -> dict:
        return json.loads(self._run("compare", "--targets", "--format", "json", *runs))


def rows(comparison: dict) -> dict[str, list[dict]]:
    """Cells by reason, the total last."""
    return ({row["reason"]: row["runs"] for row in comparison["reasons"]}
            | {"total": comparison["total"]})


def ratio(cells: list[dict]) -> str:
    first, second = cells
    if "change" in second:
        return second["change"]
    if "ratio" not in second:
        return ""
    value = second["ratio"]
    return f"x {value:,.0f}" if value >= 10 else f"x {value:.2f}"


def count(cells: list[dict], run: int) -> str:
    return f"{cells[run]['count']:,.0f}" if cells else ""


def table(headings: list[str], sources: list[dict[str, list[dict]]], least: int,
          what: str = "reason") -> str:
    """A row per reason, for each source its two counts and their ratio; rare reasons left out."""
    lines = ["| " + " | ".join([what, *headings]) + " |",
             "|" + " :--- |" + " ---: |" * len(headings)]
    reasons = sorted({reason for source in sources for reason in source} - {"total"},
                     key=lambda reason: -max(cell["count"] for source in sources
                                             for cell in source.get(reason, [])))
    totals = ["total"] if any("total" in source for source in sources) else []
    for reason in [*reasons, *totals]:
        found = [source.get(reason, []) for source in sources]
        if max(cell["count"] for cells in found for cell in cells) < least:
            continue
        values = [value for cells in found for value in
                  (count(cells, 0), count(cells, 1), ratio(cells) if cells else "")]
        lines.append("| " + " | ".join([reason, *values]) + " |")
    return "\n".join(lines) + "\n"


# Reasons of Intel and AMD whose targets say what the extra exits are.
REASONS = ({"CR_ACCESS", "EXCEPTION_NMI", "MSR_WRITE"},
           {"write_cr3", "read_cr3", "PF excp", "msr"})


def targets(comparison: dict, reasons: set[str]) -> dict[str, list[dict]]:
    """Cells by target. MSRs have names that say more than those of page faults and of CR3."""
    found = {}
    for row in comparison["reasons"]:
        for target in row.get("targets", []) if row["reason"] in reasons else []:
            name = f" ({target['name']})" if target["target"].startswith("0x") else ""
            found[target["target"] + name] = target["runs"]
    return found


def conditions(comparison: dict) -> str:
    facts = comparison["runs"][0]["facts"]
    return f"{facts['CPU']} (emulated), Linux {facts['kernel']}, {facts['vCPUs']} vCPU"


def wrapped(text: str, before: str = "", indent: str = "") -> str:
    """In lines as long as those of the page, where `before` is already in the first one."""
    lines = textwrap.fill(before + text, width=100, subsequent_indent=indent,
                          break_on_hyphens=False, break_long_words=False)
    return lines.removeprefix(before) + "\n"


def warnings(comparison: dict) -> str:
    return "".join(wrapped(f"- `{warning['name']}`: {warning['text']}", indent="  ")
                   for warning in comparison["warnings"])


def fill(page: str, name: str, text: str) -> str:
    """Puts a text between "<!-- NAME -->" and the "<!-- end -->" that follows it."""
    pattern = re.compile(rf"(<!-- {name} -->\s).*?(<!-- end -->)", re.DOTALL)
    if not pattern.search(page):
        raise SystemExit(f"{PAGE.name} has no place for {name}")
    return pattern.sub(lambda match: match[1] + text + match[2], page)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--exittop", type=Path, required=True)
    parser.add_argument("runs", type=Path, help="the folder that exittop lab --keep wrote")
    options = parser.parse_args()
    exittop = Exittop(options.exittop)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clean = exittop.compare(exittop.published("clean-pair.csv", ["ept", "shadow"], folder))
        seed = exittop.compare(exittop.published("seed.csv", ["nested", "shadow_printed"], folder))
    lab = {vendor: exittop.compare([options.runs / f"{vendor}-{run}.json"
                                    for run in (nested, "shadow")])
           for vendor, nested in (("intel", "ept"), ("amd", "npt"))}
    page = PAGE.read_text()
    for place, text in (
            ("intel", table(["lab, ept=1", "ept=0", "", "published, ept=1", "ept=0", ""],
                            [rows(lab["intel"]), rows(clean)], least=100)),
            ("amd", table(["lab, npt=1", "npt=0", ""], [rows(lab["amd"])], least=100)),
            ("targets", table(["Intel, ept=1", "ept=0", "", "AMD, npt=1", "npt=0", ""],
                              [targets(lab[vendor], reasons)
                               for vendor, reasons in zip(("intel", "amd"), REASONS)],
                              least=100, what="target")),
            ("conditions",
             wrapped(f"Intel: {conditions(lab['intel'])}. AMD: {conditions(lab['amd'])}.",
                     before="The lab's hosts: <!-- conditions --> ")),
            ("cumulative", warnings(seed))):
        page = fill(page, place, text)
    PAGE.write_text(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
