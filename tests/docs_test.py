# SPDX-License-Identifier: GPL-2.0-only
"""Files that the documentation links to or names are there, and so are the functions."""

import re
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
PAGES = sorted([*TOP.glob("*.md"), *(TOP / "docs").glob("*.md"), TOP / "deploy/README.md",
                TOP / "kernel/README.md"])
# Folders that a name may be relative to, beside the page's own and the top.
FOLDERS = ("userspace", "bpf", "deploy", "lab", "tests")
FILE = re.compile(r"^[\w./-]+/$|^[\w./-]+\.(?:cpp|h|c|py|sh|md|json|yml|patch)$")
MADE = re.compile(r"^(?:build|/)|\*")    # what is not in a checkout


def is_there(page: Path, name: str) -> bool:
    places = (page.parent, TOP, *(TOP / folder for folder in FOLDERS))
    return any((place / name).exists() for place in places)


def missing(page: Path) -> list[str]:
    text = page.read_text()
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", text)
             if "://" not in link]
    named = [word for word in re.findall(r"`([^`\n]+)`", text)
             if FILE.match(word) and not MADE.search(word) and "/" in word.rstrip("/")]
    functions = re.findall(r"`(?:\w+::)*(\w+)\(\)`", text)
    found = subprocess.run(["grep", "-rhoE", r"\b\w+\(", "bpf", "userspace", "lab", "tests",
                            "kernel", "guest"], cwd=TOP, capture_output=True, text=True,
                           check=True).stdout
    known = {call[:-1] for call in found.splitlines()}
    return ([name for name in links + named if name and not is_there(page, name)]
            + [f"{name}()" for name in functions if name not in known])


wrong = [f"{page.relative_to(TOP)} names {name}" for page in PAGES for name in missing(page)]
print("\n".join(wrong) or f"all that {len(PAGES)} pages name is there")
sys.exit(bool(wrong) or len(PAGES) < 6)
