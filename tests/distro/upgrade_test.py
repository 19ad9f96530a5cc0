# SPDX-License-Identifier: GPL-2.0-only
"""The package of Debian 12 on Debian 13: apt refuses it for a library that 13 has not; where that
is there still, as on a host that was upgraded, what was built on 12 counts right with 13's others.

usage: upgrade_test.py FOLDER, with the package that distro_test.py left in there
"""

import sys
import tempfile
from pathlib import Path

from debian_root import DebianRoot
from distro_test import Failure, installed_lab

from debian_archive import Archive

_OLD, _NEW = "bookworm", "trixie"
_LIBRARY = "libfmt9"
# What the package suggests for the lab.
_FOR_LAB = ("python3", "busybox-static", "zstd", "lz4", "qemu-system-x86")


def old_library(folder: Path) -> Path:
    archive = Archive({"suite": _OLD, "archive": "main"}, folder)
    (facts,) = archive.show(_LIBRARY)
    (package,) = archive.download({_LIBRARY: facts["Version"]}, folder / "packages")
    return package


def put(root: DebianRoot, package: Path) -> str:
    """Path of a copy of the package in there."""
    (root.path / "root" / package.name).write_bytes(package.read_bytes())
    return f"/root/{package.name}"


def run(package: Path, library: Path) -> None:
    with DebianRoot(_NEW) as root:
        ours = put(root, package)
        done = root.install(ours)
        if done.returncode == 0 or _LIBRARY not in done.stdout + done.stderr:
            raise Failure(f"apt of {_NEW} did not refuse it for {_LIBRARY}: {done.stdout[-2000:]}"
                          f"{done.stderr[-1000:]}")
        print("refused:", next(line.strip() for line in (done.stdout + done.stderr).splitlines()
                               if _LIBRARY in line))
        done = root.install(put(root, library), ours, *_FOR_LAB)
        if done.returncode:
            raise Failure(f"apt-get install beside {_LIBRARY}: {done.stderr[-1000:]}")
        print(f"with {library.name}: {installed_lab(root)}")


def main() -> int:
    package = Path(sys.argv[1]) / f"{_OLD}.deb"
    try:
        with tempfile.TemporaryDirectory(prefix="exittop-upgrade-") as folder:
            run(package, old_library(Path(folder)))
    except (Failure, AssertionError) as error:
        print(f"FAILED: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
