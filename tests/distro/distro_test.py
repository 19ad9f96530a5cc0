# SPDX-License-Identifier: GPL-2.0-only
"""One Debian from bare to proven, all in there: README's first command, the units, the BPF tests,
its package.

usage: distro_test.py SUITE FOLDER [--only-warn]

What was found goes into FOLDER/SUITE.txt, for tests/run.sh to show, and the package into FOLDER,
for upgrade_test.py. With --only-warn a failure is one in that text alone.
"""

import argparse
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from debian_root import CHECKOUT, DebianRoot

# cmake/DebianPackage.cmake needs them.
_FOR_CPACK = ("dpkg-dev", "file")
_STEP_S = 1800
_TOTALS = re.compile(r"^total +([\d,]+) +([\d,]+) ", re.MULTILINE)


class Failure(Exception):
    """A step failed; says what."""


def succeed(root: DebianRoot, what: str, script: str) -> str:
    """Runs a script in the checkout there, and returns its output."""
    try:
        done = root.run("bash", "-c", f"cd {CHECKOUT} && {script}", timeout=_STEP_S)
    except subprocess.TimeoutExpired as late:
        print((late.stdout or b"")[-10000:].decode(errors="replace"))
        raise Failure(f"{what} did not end within {_STEP_S} s") from None
    if done.returncode:
        print(done.stdout[-10000:], done.stderr[-10000:], sep="\n")
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise Failure(f"{what} ended with status {done.returncode}: {''.join(last)}")
    return done.stdout


def require_counts(text: str, hosts: int) -> str:
    """Holds what `exittop lab` printed of so many hosts: with nested paging and without, exits of
    both and more without, none lost, as many as KVM counted itself."""
    totals = [tuple(int(number.replace(",", "")) for number in pair)
              for pair in _TOTALS.findall(text)]
    if len(totals) != hosts or not all(0 < nested < shadow for nested, shadow in totals):
        print(text)
        raise Failure(f"the lab's totals are {totals}, not those of {hosts} hosts that count")
    # A table of each run and one of both.
    losses = re.findall(r"^lost: (.*)$", text, re.MULTILINE)
    # On a busy machine most reasons have exits that take milliseconds. A slot's histograms have no
    # room for many of these: exittop reports that, and still counts the exits.
    causes = re.findall(r"^  ([a-z_]+) +([\d,]+)  [a-zA-Z]", text, re.MULTILINE)
    most = max(shadow for _, shadow in totals) / 1000
    told = all(name == "histogram_full" and int(events.replace(",", "")) <= most
               for name, events in causes)
    if not told or (not causes and losses != ["nothing"] * (3 * hosts)):
        print(text)
        raise Failure(f"in the tables of {hosts} hosts is lost: {losses}, {causes}")
    held = re.findall(r"^KVM counted .* itself: (.*)$", text, re.MULTILINE)
    if held != ["the same"] * (2 * hosts):
        print(text)
        raise Failure(f"held against KVM's own count the runs of {hosts} hosts are: {held}")
    return "; ".join(f"{nested:,} -> {shadow:,}" for nested, shadow in totals)


def readme(root: DebianRoot, _: Path) -> str:
    """README's first command, as root."""
    return require_counts(succeed(root, "exittop.sh lab", "./exittop.sh lab"), 2)


def units(root: DebianRoot, _: Path) -> str:
    done = root.install("libgtest-dev", "libgmock-dev", "librapidcheck-dev")
    if done.returncode:
        raise Failure(f"apt-get install: {done.stderr[-1000:]}")
    text = succeed(root, "the unit tests",
                   "bash cmake/build.sh release ON exittop_unit && ctest --test-dir "
                   "build/release -L unit --no-tests=error --output-on-failure")
    return next(line for line in text.splitlines() if "tests passed" in line)


def bpf(root: DebianRoot, _: Path) -> str:
    """The tests that load the BPF program with that suite's libbpf and clang, into this kernel."""
    succeed(root, "the build of the BPF tests", "bash cmake/build.sh release ON exittop_bpf_test")
    done = root.run("bash", "-c", f"{CHECKOUT}/build/release/exittop_bpf_test --gtest_brief=1",
                    own_pids=False)
    if done.returncode:
        print(done.stdout[-10000:], done.stderr[-10000:], sep="\n")
        raise Failure(f"the BPF tests ended with status {done.returncode}")
    return re.findall(r"\[  PASSED  \] (\d+ tests)", done.stdout)[-1]


def package(root: DebianRoot, folder: Path) -> str:
    """The package made from the build counts correctly in its own lab."""
    done = root.install(*_FOR_CPACK)
    if done.returncode:
        raise Failure(f"apt-get install: {done.stderr[-1000:]}")
    succeed(root, "cpack", "cd build/release && cpack -B /root/packages")
    (deb,) = (root.path / "root/packages").glob("*.deb")
    done = root.install(f"/root/packages/{deb.name}")
    if done.returncode:
        raise Failure(f"apt-get install of its own package: {done.stderr[-1000:]}")
    shutil.copyfile(deb, folder / f"{root.suite}.deb")
    shutil.rmtree(root.path / CHECKOUT.lstrip("/"))
    return installed_lab(root)


def installed_lab(root: DebianRoot) -> str:
    """Counts of the package in its own lab."""
    done = root.run("exittop", "lab", "amd", timeout=None)
    if done.returncode:
        raise Failure(f"exittop lab amd: {done.stderr[-1000:]}")
    return require_counts(done.stdout, 1)


def run(suite: str, folder: Path, say: Callable[[str], None]) -> None:
    with DebianRoot(suite) as root:
        root.add_checkout()
        for name, step in (("README's first command", readme), ("the units", units),
                           ("the BPF tests", bpf),
                           ("its package, installed, in the lab", package)):
            began = time.monotonic()
            said = step(root, folder)
            say(f"{name}: {said} ({time.monotonic() - began:.0f} s)")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("suite")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only-warn", action="store_true")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    with open(options.folder / f"{options.suite}.txt", "w", encoding="utf-8") as file:

        def say(text: str) -> None:
            for out in (sys.stdout, file):
                print(f"{options.suite}: {text}", file=out, flush=True)

        try:
            run(options.suite, options.folder, say)
        except (Failure, AssertionError) as error:
            say(f"{'WARNING' if options.only_warn else 'FAILED'}: {error}")
            return 0 if options.only_warn else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
