#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The libraries that draw the report's charts: files of npm packages, byte for byte.

    vendor.py check                  the files are those that packages.json names; no network
    vendor.py verify                 they are what npm has; npm checks the packages' integrity
    vendor.py update PACKAGE@VERSION take another version, and write down what it is
"""

import base64
import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
LIST = FOLDER / "packages.json"


def digest(content: bytes) -> str:
    """In the form of npm's integrity."""
    return "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode()


def fetch(package: str) -> tuple[str, str, dict[str, bytes]]:
    """Version, integrity and files of a package as npm has it: "d3" or "d3@7.9.2"."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(["npm", "pack", "--json", "--silent", package], cwd=folder,
                              stdout=subprocess.PIPE, check=True)
        packed = json.loads(done.stdout)
        # One object in a list; npm 12 and later: by package.
        made = packed[0] if isinstance(packed, list) else next(iter(packed.values()))
        [archive] = Path(folder).glob("*.tgz")
        content = archive.read_bytes()
        if digest(content) != made["integrity"]:
            sys.exit(f"{package}: the archive's checksum is not npm's")
        with tarfile.open(archive) as tar:
            files = {member.name.removeprefix("package/"): tar.extractfile(member).read()
                     for member in tar if member.isfile()}
        return made["version"], made["integrity"], files


def check(packages: dict) -> list[str]:
    """The files that differ from what the list says of them."""
    return [name for package in packages.values() for name, file in package["files"].items()
            if digest((FOLDER / name).read_bytes()) != file["sha512"]]


def verify(packages: dict) -> list[str]:
    """The packages and files that differ from npm's."""
    wrong = check(packages)
    for name, package in packages.items():
        _, integrity, files = fetch(f"{name}@{package['version']}")
        if integrity != package["integrity"]:
            wrong.append(name)
        wrong += [ours for ours, file in package["files"].items()
                  if (FOLDER / ours).read_bytes() != files[file["from"]]]
    return wrong


def update(packages: dict, wanted: str) -> None:
    name = wanted if "@" not in wanted[1:] else wanted[:wanted.rindex("@")]
    if name not in packages:
        sys.exit(f"'{name}' is none of the packages in {LIST.name}: {', '.join(packages)}")
    package = packages[name]
    package["version"], package["integrity"], files = fetch(wanted)
    for ours, file in package["files"].items():
        content = files[file["from"]]
        (FOLDER / ours).write_bytes(content)
        file["sha512"] = digest(content)
    LIST.write_text(json.dumps(packages, indent=2) + "\n")


def main(arguments: list[str]) -> None:
    packages = json.loads(LIST.read_text())
    match arguments:
        case ["check"]:
            wrong = check(packages)
        case ["verify"]:
            wrong = verify(packages)
        case ["update", wanted]:
            update(packages, wanted)
            wrong = []
        case _:
            sys.exit(__doc__)
    if wrong:
        sys.exit(f"not as npm has it: {', '.join(sorted(set(wrong)))}")


if __name__ == "__main__":
    main(sys.argv[1:])
