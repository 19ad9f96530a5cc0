# SPDX-License-Identifier: GPL-2.0-only
"""Gets the kernels of kernels.json from Debian's archive into the user's cache.

The packages are downloaded by name and unpacked, never installed: apt runs with a configuration,
lists and caches of its own, and learns the mirror's address from the machine's own sources, so the
system's packages stay as they are. What is cached is used without asking the network again.
"""

import contextlib
import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import kernel_image
from elf_file import section
from lab_error import HOST_LACKS, USAGE, LabError

_LIST = json.loads((Path(__file__).parent / "kernels.json").read_text())
_KEYRINGS = ("/usr/share/keyrings/debian-archive-keyring.pgp",
             "/usr/share/keyrings/debian-archive-keyring.gpg")
# The parts a kernel comes in; since 6.19 image, binary and modules are packages of their own.
_PART = re.compile(r"linux-(?:image|binary|modules)-\d\S*" + re.escape(_LIST["flavour"]))


@dataclass(frozen=True)
class Kernel:
    """An unpacked kernel. `modules` is its lib/modules/RELEASE folder."""
    version: str
    release: str
    suite: str
    vmlinuz: Path
    modules: Path
    module_btf: bool
    hist_trigger: bool
    vendors: tuple[str, ...]


def versions() -> list[str]:
    return list(_LIST["kernels"])


def default_version() -> str:
    return _LIST["default"]


def cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "exittop" / "kernels"


def _say(text: str) -> None:
    print(f"exittop lab: {text}", file=sys.stderr)


def kernel(version: str, refresh: bool = False,
           progress: Callable[[str], None] = _say) -> Kernel:
    """The kernel of that version, from the cache or else from the archive."""
    entry = _LIST["kernels"].get(version)
    if entry is None:
        raise LabError(f"no kernel {version!r} in the lab: choose one of {', '.join(versions())}",
                       USAGE)
    folder = cache_folder() / version
    with _locked(version):
        if refresh or not (folder / "kernel.json").exists():
            _fetch(version, entry, folder, progress)
    return _describe(version, entry, folder)


def btf(of: Kernel, name: str) -> Path:
    """Path of the raw BTF of "vmlinux" or of a module; LabError where the kernel has none."""
    target = of.vmlinuz.parent / f"{name}.btf"
    if not target.exists():
        elf = kernel_image.vmlinux(of.vmlinuz) if name == "vmlinux" else module_bytes(of, name)
        blob = section(elf, ".BTF")
        if blob is None:
            raise LabError(f"kernel {of.release}: {name} has no BTF")
        _write_whole(target, blob)
    return target


def module_bytes(of: Kernel, name: str) -> bytes:
    """A module as the kernel loads it: decompressed, without the signature."""
    plain = name.replace("-", "_")
    for path in sorted(of.modules.rglob("*.ko*")):
        if path.name.split(".ko")[0].replace("-", "_") == plain:
            return kernel_image.unsigned_module(path)
    raise LabError(f"kernel {of.release} has no module {name}")


def _describe(version: str, entry: dict, folder: Path) -> Kernel:
    facts = json.loads((folder / "kernel.json").read_text())
    return Kernel(version=version, release=facts["release"], suite=facts["suite"],
                  vmlinuz=folder / "vmlinuz", modules=folder / "modules" / facts["release"],
                  module_btf=entry["module_btf"], hist_trigger=entry["hist_trigger"],
                  vendors=tuple(entry["vendors"]))


def _fetch(version: str, entry: dict, folder: Path, progress: Callable[[str], None]) -> None:
    """Downloads and unpacks into a temporary folder, then puts it in place in one step."""
    problem = None
    for source in entry["sources"]:
        with tempfile.TemporaryDirectory(dir=cache_folder(), prefix=f".{version}-") as temporary:
            progress(f"getting kernel {version} from {source['suite']}")
            try:
                parts = _download(version, source, Path(temporary) / "debs")
                fresh = _unpack(parts, source, Path(temporary))
            except LabError as error:
                problem = problem or error
                continue
            if folder.exists():
                folder.rename(Path(temporary) / "old")
            fresh.rename(folder)
            return
    raise problem


def _download(version: str, source: dict, into: Path) -> list[Path]:
    into.mkdir()
    apt = _PrivateApt(source)
    for name, package_version in apt.parts(version):
        apt.run(["apt-get", "download", f"{name}={package_version}"], cwd=into)
    return sorted(into.glob("*.deb"))


def _unpack(debs: list[Path], source: dict, temporary: Path) -> Path:
    root, fresh = temporary / "root", temporary / "kernel"
    for deb in debs:
        _run(["dpkg", "-x", str(deb), str(root)])
    # Where image and modules lie changed over the years: /boot or beside the modules, merged /usr.
    images = [*root.glob("boot/vmlinuz-*"), *root.glob("usr/lib/modules/*/vmlinuz")]
    if len(images) != 1:
        raise LabError(f"no kernel image in the packages {', '.join(d.name for d in debs)}")
    release = (images[0].parent.name if images[0].name == "vmlinuz"
               else images[0].name.removeprefix("vmlinuz-"))
    (fresh / "modules").mkdir(parents=True)
    images[0].rename(fresh / "vmlinuz")
    for modules in (root / "lib/modules" / release, root / "usr/lib/modules" / release):
        if modules.is_dir():
            shutil.copytree(modules, fresh / "modules" / release, symlinks=True,
                            dirs_exist_ok=True)
    facts = {"release": release, "suite": source["suite"], "packages": [d.name for d in debs]}
    (fresh / "kernel.json").write_text(json.dumps(facts, indent=2) + "\n")
    return fresh


class _PrivateApt:
    """apt with lists, cache and sources of its own: one suite, nothing of the system touched."""

    def __init__(self, source: dict):
        self._suite = source["suite"]
        state = cache_folder() / "apt" / self._suite
        for needed in ("lists/partial", "cache/archives/partial"):
            (state / needed).mkdir(parents=True, exist_ok=True)
        signed_by = next((f" signed-by={k}" for k in _KEYRINGS if Path(k).exists()), "")
        (state / "sources.list").write_text(
            f"deb [arch=amd64{signed_by}] {_mirror(source['archive'])} {self._suite} main\n")
        settings = {"Dir::Etc::SourceList": state / "sources.list",
                    "Dir::Etc::SourceParts": "/dev/null", "Dir::State::Lists": state / "lists",
                    "Dir::State::Status": "/dev/null", "Dir::Cache": state / "cache",
                    "Acquire::Languages": "none", "APT::Architecture": "amd64",
                    "Acquire::Retries": "2", "Acquire::http::Timeout": "30",
                    "APT::Update::Error-Mode": "any", "APT::Sandbox::User": "root"}
        self._options = [word for key, value in settings.items()
                         for word in ("-o", f"{key}={value}")]
        self.run(["apt-get", "-q", "update"])

    def run(self, command: list[str], cwd: Path | None = None) -> str:
        return _run([command[0], *self._options, *command[1:]], cwd)

    def parts(self, version: str) -> list[tuple[str, str]]:
        """Names and versions of the packages that the newest kernel of `version` is made of."""
        newest = self._newest(version)
        found, queue = {}, [newest]
        while queue:
            facts = self._show(queue.pop())
            for package in facts:
                found[package["Package"]] = package["Version"]
                # The first of several alternatives is the signed one; the others are not needed.
                wanted = (d.split("|")[0].split()[0]
                          for d in package.get("Depends", "").split(","))
                queue += [d for d in wanted if _PART.fullmatch(d) and d not in found]
        return sorted(found.items())

    def _newest(self, version: str) -> str:
        """The image of that version with the highest package version, else the suite's newest.

        A suite's kernel moves on (sid above all): then the newest it has is what we test.
        """
        pattern = rf"^linux-image-{re.escape(version)}\.[0-9].*{re.escape(_LIST['flavour'])}$"
        names = self.run(["apt-cache", "pkgnames", "linux-image-"]).split()
        best = None
        for package in self._show(*(n for n in names if re.match(pattern, n))):
            if best is None or _newer(package["Version"], best["Version"]):
                best = package
        if best:
            return best["Package"]
        for meta in self._show(_LIST["package"]):
            for word in re.split(r"[\s,|]+", meta.get("Depends", "")):
                if _PART.fullmatch(word):
                    return word
        raise LabError(f"the suite {self._suite} has no kernel {version}", HOST_LACKS)

    def _show(self, *names: str) -> list[dict[str, str]]:
        """The fields of the newest version of each package; nothing for one that there is not."""
        if not names:
            return []
        try:
            text = self.run(["apt-cache", "show", "--no-all-versions", *names])
        except LabError:
            return []
        records = [dict(re.findall(r"^(\w[\w-]*): (.*)$", record, re.MULTILINE))
                   for record in text.split("\n\n")]
        return [r for r in records if "Package" in r and "Version" in r]


def _newer(a: str, b: str) -> bool:
    return subprocess.run(["dpkg", "--compare-versions", a, "gt", b], check=False).returncode == 0


def _system_sources() -> list[tuple[str, str]]:
    """Address and suite of each Debian source of this machine."""
    known = _run(["apt-get", "indextargets", "--format",
                  "$(ORIGIN) $(COMPONENT) $(REPO_URI) $(RELEASE)", "Created-By: Packages"])
    found = re.findall(r"^Debian main (\S+) (\S+)$", known, re.MULTILINE)
    # A machine that never updated its lists knows its sources' addresses, but not whose they are.
    return found or re.findall(r"^'(\S+/debian(?:-security)?/)dists/(\S+)/InRelease'",
                               _run(["apt-get", "update", "--print-uris"]), re.MULTILINE)


def _mirror(archive: str) -> str:
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


def _run(command: list[str], cwd: Path | None = None) -> str:
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
        raise LabError(f"cannot get the kernel: {' '.join((command[0], command[-1]))}: {reason}",
                       HOST_LACKS)
    return done.stdout


def _write_whole(path: Path, data: bytes) -> None:
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as temporary:
        temporary.write(data)
    os.replace(temporary.name, path)


@contextlib.contextmanager
def _locked(version: str):
    """One process at a time works on a version; the others wait and then find it done."""
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = open(folder / f".{version}.lock", "w", encoding="ascii")
    except OSError as error:
        raise LabError(f"cannot use the cache folder {folder}: {error.strerror}") from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main() -> int:
    """Prints where each version named (without names: each) is, after getting what is missing."""
    arguments = sys.argv[1:]
    refresh = "--refresh" in arguments
    for version in [a for a in arguments if a != "--refresh"] or versions():
        try:
            got = kernel(version, refresh)
        except LabError as error:
            print(f"exittop: {error}", file=sys.stderr)
            return error.status
        print(got.version, got.release, got.suite, got.vmlinuz, got.modules)
    return 0


if __name__ == "__main__":
    sys.exit(main())
