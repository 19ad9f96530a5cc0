# SPDX-License-Identifier: GPL-2.0-only
"""The package of Debian 12 on Debian 13: apt refuses it for libraries that 13 has not; where these
are there still, as on a host that was upgraded, what was built on 12 counts right with 13's others.

usage: upgrade_test.py FOLDER, with the package that distro_test.py left in there
"""

import sys
import tempfile
from pathlib import Path

from debian_root import DebianRoot
from distro_test import Failure, installed_lab

from debian_archive import Archive

_OLD, _NEW = "bookworm", "trixie"
_LIBRARIES = ("libfmt9", "libutf8proc2")
# What the package suggests for the lab.
_FOR_LAB = ("python3", "busybox-static", "zstd", "lz4", "qemu-system-x86")


def old_libraries(folder: Path) -> list[Path]:
    archive = Archive({"suite": _OLD, "archive": "main"}, folder)
    versions = {}
    for name in _LIBRARIES:
        (facts,) = archive.show(name)
        versions[name] = facts["Version"]
    return archive.download(versions, folder / "packages")


def put(root: DebianRoot, package: Path) -> str:
    """Path of a copy of the package in there."""
    (root.path / "root" / package.name).write_bytes(package.read_bytes())
    return f"/root/{package.name}"


def run(package: Path, libraries: list[Path]) -> None:
    with DebianRoot(_NEW) as root:
        ours = put(root, package)
        done = root.install(ours)
        said = done.stdout + done.stderr
        for name in _LIBRARIES:
            if done.returncode == 0 or name not in said:
                raise Failure(f"apt of {_NEW} did not refuse it for {name}: {said[-3000:]}")
            print("refused:", next(line.strip() for line in said.splitlines() if name in line))
        done = root.install(*(put(root, library) for library in libraries), ours, *_FOR_LAB)
        if done.returncode:
            raise Failure(f"apt-get install beside {_LIBRARIES}: {done.stderr[-1000:]}")
        print(f"beside them: {installed_lab(root)}")


def main() -> int:
    package = Path(sys.argv[1]) / f"{_OLD}.deb"
    try:
        with tempfile.TemporaryDirectory(prefix="exittop-upgrade-") as folder:
            run(package, old_libraries(Path(folder)))
    except (Failure, AssertionError) as error:
        print(f"FAILED: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
