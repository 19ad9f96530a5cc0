# SPDX-License-Identifier: GPL-2.0-only
"""A file in userspace/ includes from its own folder, and from those that its folder's target links,
as userspace/CMakeLists.txt says."""

import re
import sys
from pathlib import Path

USERSPACE = Path(__file__).resolve().parent.parent / "userspace"

below: dict[str, set[str]] = {}
for name, links in re.findall(r"^layer\((\w+) ([^)]*)\)",
                              (USERSPACE / "CMakeLists.txt").read_text(), re.MULTILINE):
    below[name] = {name}.union(*(below[link] for link in re.findall(r"exittop_(\w+)", links)))

wrong = []
for file in sorted([*USERSPACE.rglob("*.h"), *USERSPACE.rglob("*.cpp")]):
    layer = file.relative_to(USERSPACE).parts[0]
    for folder in re.findall(r'^#include "(\w+)/', file.read_text(), re.MULTILINE):
        if layer != "main.cpp" and folder not in below[layer]:
            wrong.append(f"{file.relative_to(USERSPACE)} includes from {folder}/, which is not "
                         f"below {layer}/")
print("\n".join(wrong) or f"{len(below)} layers, each includes from below alone")
sys.exit(bool(wrong) or len(below) < 2)
