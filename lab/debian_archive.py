# SPDX-License-Identifier: GPL-2.0-only
"""Packages from Debian's archive, which are unpacked and never installed.

apt runs with a configuration, lists and caches of its own, and learns the mirror's address from the
machine's own sources, so the system's packages stay as they are.
"""

import fcntl
import os
import re
import subprocess
from pathlib import Path

import file_place
from lab_error import HOST_LACKS, LabError

_KEYRINGS = ("/usr/share/keyrings/debian-archive-keyring.pgp",
             "/usr/share/keyrings/debian-archive-keyring.gpg")


class Archive:
    """apt with its own lists, cache and sources, for one suite; does not touch the system."""

    def __init__(self, source: dict, state_folder: Path):
        self.suite = source["suite"]
        state = state_folder / self.suite
        for needed in ("lists/partial", "cache/archives/partial"):
            file_place.make_folder(state / needed)
        signed_by = next((f" signed-by={k}" for k in _KEYRINGS if Path(k).exists()), "")
        line = f"deb [arch=amd64{signed_by}] {mirror(source['archive'])} {self.suite} main\n"
        file_place.write(state / "sources.list", line.encode())
        settings = {"Dir::Etc::SourceList": state / "sources.list",
                    "Dir::Etc::SourceParts": "/dev/null", "Dir::State::Lists": state / "lists",
                    "Dir::State::Status": "/dev/null", "Dir::Cache": state / "cache",
                    "Acquire::Languages": "none", "APT::Architecture": "amd64",
                    "Acquire::Retries": "2", "Acquire::http::Timeout": "30",
                    "APT::Update::Error-Mode": "any", "APT::Sandbox::User": "root"}
        self._lock = state / "lock"
        self._options = [word for key, value in settings.items()
                         for word in ("-o", f"{key}={value}")]
        self.run(["apt-get", "-q", "update"])

    def run(self, command: list[str], cwd: Path | None = None) -> str:
        with self._lock.open("w") as lock:      # apt fails if another one is running
            fcntl.flock(lock, fcntl.LOCK_EX)
            return run([command[0], *self._options, *command[1:]], cwd)

    def show(self, *names: str) -> list[dict[str, str]]:
        """The fields of the newest version of each package that exists."""
        if not names:
            return []
        try:
            text = self.run(["apt-cache", "show", "--no-all-versions", *names])
        except LabError:
            return []
        records = [dict(re.findall(r"^(\w[\w-]*): (.*)$", record, re.MULTILINE))
                   for record in text.split("\n\n")]
        return [r for r in records if "Package" in r and "Version" in r]

    def download(self, packages: dict[str, str], into: Path) -> list[Path]:
        """The .deb files of these versions of these packages."""
        file_place.make_folder(into)
        for name, version in sorted(packages.items()):
            self.run(["apt-get", "download", f"{name}={version}"], cwd=into)
        return sorted(into.glob("*.deb"))


def newer(a: str, b: str) -> bool:
    return subprocess.run(["dpkg", "--compare-versions", a, "gt", b], check=False).returncode == 0


def _system_sources() -> list[tuple[str, str]]:
    """Address and suite of each Debian source of this machine."""
    known = run(["apt-get", "indextargets", "--format",
                 "$(ORIGIN) $(COMPONENT) $(REPO_URI) $(RELEASE)", "Created-By: Packages"])
    found = re.findall(r"^Debian main (\S+) (\S+)$", known, re.MULTILINE)
    # A machine that never updated its lists knows its sources' addresses, but not their origins.
    return found or re.findall(r"^'(\S+/debian(?:-security)?/)dists/(\S+)/InRelease'",
                               run(["apt-get", "update", "--print-uris"]), re.MULTILINE)


def mirror(archive: str) -> str:
    """The address of Debian's archive that this machine uses itself."""
    named = os.environ.get(f"EXITTOP_DEBIAN_{archive.upper()}")
    if named:
        return named
    found = {"main": None, "security": None}
    for uri, release in _system_sources():
        kind = "security" if release.endswith("-security") else "main"
        found[kind] = found[kind] or uri
    if found["main"] and not found["security"]:
        found["security"] = re.sub(r"/debian/?$", "/debian-security/", found["main"])
    if not found[archive]:
        raise LabError("apt's sources on this machine name no Debian archive to take a kernel "
                       f"from: set EXITTOP_DEBIAN_{archive.upper()} to one", HOST_LACKS)
    return found[archive]


def run(command: list[str], cwd: Path | None = None) -> str:
    environment = dict(os.environ, LC_ALL="C", DEBIAN_FRONTEND="noninteractive")
    try:
        done = subprocess.run(command, cwd=cwd, env=environment, text=True, check=False,
                              stdin=subprocess.DEVNULL, capture_output=True)
    except FileNotFoundError:
        raise LabError(f"{command[0]} is missing on this host: the lab needs a Debian-like system "
                       "to get its kernels", HOST_LACKS) from None
    if done.returncode != 0:
        said = [line for line in done.stderr.splitlines() if line.startswith(("E:", "dpkg"))]
        reason = (said or done.stderr.splitlines() or ["no reason given"])[0]
        raise LabError(f"cannot get it from Debian: {command[0]} {command[-1]}: {reason}",
                       HOST_LACKS)
    return done.stdout
