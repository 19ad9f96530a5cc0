# SPDX-License-Identifier: GPL-2.0-only
"""A bare Debian of any suite, to install, build and run in as on a fresh machine.

debootstrap makes it once, from the archive that apt has here; it is kept in the user's cache as a
tar, and so are the packages that were installed in it later. Each root is unpacked for one test.
Its mounts are in a namespace of their own and end with the command that runs in there; the folder
goes when the test ends, also one that is killed.

Started by itself it runs a command in a root, with this checkout: debian_root.py --help.
"""

import argparse
import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE / "lab"))

import debian_archive
import kernels

CHECKOUT = "/root/exittop"      # where a root has its copy of this checkout
_ARCHIVES = "var/cache/apt/archives"
# Sid changes daily; an old root of it would be upgraded only partly.
_SID_KEPT_S = 7 * 24 * 3600
# Arguments: the root, the cached kernels, the command. The root is its own mount, as programs that
# unshare mounts expect.
_ENTER = """
set -e
root=$1 kernels=$2
shift 2
mount --bind "$root" "$root"
mount --rbind /dev "$root/dev"
mount --rbind /sys "$root/sys"
mount -t proc proc "$root/proc"
mkdir -p "$kernels" "$root/root/.cache/exittop/kernels"
mount --bind "$kernels" "$root/root/.cache/exittop/kernels"
status=0
chroot "$root" "$@" || status=$?
exit $status
"""
# Twice, because what is killed along with the test may still write once.
_REMOVE = 'read -r _; rm -rf "$1" 2>/dev/null || { sleep 2; rm -rf "$1"; }'


def host_suite() -> str:
    """The suite that this machine runs."""
    with open("/etc/os-release", encoding="utf-8") as file:
        facts = dict(line.strip().split("=", 1) for line in file if "=" in line)
    return facts["VERSION_CODENAME"]


class DebianRoot:
    """One bare root; a context manager."""

    def __init__(self, suite: str):
        self.suite = suite
        self._cleanup = contextlib.ExitStack()

    def __enter__(self) -> "DebianRoot":
        tar = _bare_root(self.suite)
        self.path = self._cleanup.enter_context(_folder_that_goes(tar.parent))
        _run("tar", "-C", self.path, "-xf", tar)
        for name in ("resolv.conf", "hosts"):
            shutil.copyfile(f"/etc/{name}", self.path / "etc" / name)
        # A root that a power failure broke is made again.
        (self.path / "etc/dpkg/dpkg.cfg.d/unsafe-io").write_text("force-unsafe-io\n")
        self._lend_packages()
        return self

    def __exit__(self, *error) -> None:
        self._cleanup.close()

    def run(self, *command, timeout: float | None = 1200, own_pids: bool = True,
            **more) -> subprocess.CompletedProcess:
        """What a command does in there: its status, and stdout and stderr as text. All that it
        starts ends with it, unless it wants the machine's pids, which are those that BPF tells."""
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8",
                       "DEBIAN_FRONTEND": "noninteractive", "TERM": "dumb"}
        proxies = {name: value for name, value in os.environ.items() if name.endswith("_proxy")}
        pids = ("--pid", "--fork", "--kill-child") if own_pids else ()
        enter = ("setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private",
                 *pids, "bash", "-c", _ENTER, "bash")
        settings = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE,
                    "stderr": subprocess.PIPE, "text": True, "check": False}
        try:
            return subprocess.run(
                [str(word) for word in (*enter, self.path, kernels.cache_folder(), *command)],
                env=proxies | environment, timeout=timeout, **(settings | more))
        finally:
            self._keep_packages()

    def install(self, *packages: str) -> subprocess.CompletedProcess:
        """apt-get install without recommended packages."""
        return self.run("sh", "-c", 'apt-get -q update && exec apt-get -q -y '
                        '--no-install-recommends install "$@"', "sh", *packages)

    def add_checkout(self) -> None:
        """A clean clone, as far as building goes: this checkout as it is, without what it built."""
        copy_checkout(self.path / CHECKOUT.lstrip("/"))

    def _lend_packages(self) -> None:
        for package in _package_cache(self.suite).glob("*.deb"):
            with contextlib.suppress(FileNotFoundError):    # a sid that is made anew
                os.link(package, self.path / _ARCHIVES / package.name)

    def _keep_packages(self) -> None:
        """Keeps what was installed, so that it need not be downloaded again."""
        for package in (self.path / _ARCHIVES).glob("*.deb"):
            with contextlib.suppress(FileExistsError):
                os.link(package, _package_cache(self.suite) / package.name)


def copy_checkout(to: Path) -> None:
    """Copies all of this checkout but what it built and git's own."""
    unwanted = shutil.ignore_patterns("__pycache__")

    def ignore(folder: str, names: list[str]) -> set[str]:
        top = {"build", ".git"} if Path(folder) == SOURCE else set()
        return set(unwanted(folder, names)) | top

    shutil.copytree(SOURCE, to, ignore=ignore, symlinks=True)


def _roots_folder() -> Path:
    return kernels.cache_folder().parent / "roots"


def _package_cache(suite: str) -> Path:
    folder = _roots_folder() / f"{suite}-packages"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _bare_root(suite: str) -> Path:
    """The tar of a minimal Debian."""
    tar = _roots_folder() / f"{suite}.tar"

    def is_current() -> bool:
        return tar.exists() and (suite != "sid"
                                 or time.time() - tar.stat().st_mtime < _SID_KEPT_S)

    tar.parent.mkdir(parents=True, exist_ok=True)
    with open(tar.with_suffix(".lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_current():
            shutil.rmtree(_package_cache(suite))
            _make_root(suite, tar)
    return tar


def _make_root(suite: str, tar: Path) -> None:
    with _folder_that_goes(tar.parent) as folder:
        _run("debootstrap", "--variant=minbase", suite, folder, debian_archive.mirror("main"))
        for package in (folder / _ARCHIVES).glob("*.deb"):
            package.unlink()
        # A truncated tar would be kept forever.
        _run("tar", "-C", folder, "-cf", tar.with_suffix(".new"), ".")
    tar.with_suffix(".new").rename(tar)


@contextlib.contextmanager
def _folder_that_goes(beside: Path) -> Iterator[Path]:
    """A temporary folder that goes even if this process is killed: another one waits for that."""
    folder = Path(tempfile.mkdtemp(dir=beside, prefix=".root-"))
    folder.chmod(0o755)
    waiting = subprocess.Popen(["sh", "-c", _REMOVE, "sh", str(folder)],
                               stdin=subprocess.PIPE, start_new_session=True)
    try:
        yield folder
    finally:
        waiting.communicate()


def _run(*command) -> None:
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, text=True,
                          capture_output=True, check=False, timeout=1200)
    if done.returncode:
        raise AssertionError(f"{command[0]} failed: {done.stdout[-2000:]}{done.stderr[-2000:]}")


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Runs a command in a bare Debian, with this checkout.")
    parser.add_argument("suite", choices=("bookworm", "trixie", "sid"))
    parser.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    with DebianRoot(arguments.suite) as root:
        root.add_checkout()
        return root.run("sh", "-c", f'cd {CHECKOUT} && exec "$@"', "sh", *arguments.command,
                        timeout=None, own_pids=False, stdout=None, stderr=None).returncode


if __name__ == "__main__":
    sys.exit(main())
