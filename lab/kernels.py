# SPDX-License-Identifier: GPL-2.0-only
"""Gets the kernels of kernels.json from Debian's archive into the user's cache.

The packages are unpacked, never installed (debian_archive.py). What is cached is used without
asking the network again.
"""

import contextlib
import fcntl
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import file_place
import kernel_image
from debian_archive import Archive, newer, run
from elf_file import section
from lab_error import HOST_LACKS, USAGE, LabError

_LIST = json.loads((Path(__file__).parent / "kernels.json").read_text())


@dataclass(frozen=True)
class Kernel:
    """An unpacked kernel. `modules` is its lib/modules/RELEASE folder."""
    version: str        # the name in kernels.json: series, and flavour if not the default
    series: str
    release: str
    suite: str
    vmlinuz: Path
    modules: Path
    module_btf: bool
    vendors: tuple[str, ...]
    package_version: str
    wants_constant_tsc: bool        # else its KVM does not load
    replaced: dict[str, Path] = field(default_factory=dict)     # modules that stand in for its own


def versions() -> list[str]:
    return list(_LIST["kernels"])


def default_version() -> str:
    return _LIST["default"]


def cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "exittop" / "kernels"


def archive(suite: str) -> Archive:
    """The archive of a suite that kernels.json names."""
    source = next(s for entry in _LIST["kernels"].values() for s in entry["sources"]
                  if s["suite"] == suite)
    return Archive(source, cache_folder() / "apt")


def say(text: str) -> None:
    """Progress messages for a user at a terminal."""
    print(f"exittop lab: {text}", file=sys.stderr)


def kernel(version: str, refresh: bool = False,
           progress: Callable[[str], None] = say) -> Kernel:
    """The kernel of that version, from the cache or else from the archive."""
    entry = _LIST["kernels"].get(version)
    if entry is None:
        raise LabError(f"no kernel {version!r} in the lab: choose one of {', '.join(versions())}",
                       USAGE)
    folder = cache_folder() / version
    with locked(version):
        if refresh or not (folder / "kernel.json").exists():
            _fetch(version, entry, folder, progress)
    return _describe(version, entry, folder)


def btf(of: Kernel, name: str) -> Path:
    """Path of the raw BTF of "vmlinux" or of a module; LabError if the kernel has none."""
    target = of.vmlinuz.parent / f"{name}.btf"
    if not target.exists():
        elf = kernel_image.vmlinux(of.vmlinuz) if name == "vmlinux" else module_bytes(of, name)
        blob = section(elf, ".BTF")
        if blob is None:
            raise LabError(f"kernel {of.release}: {name} has no BTF")
        file_place.write(target, blob)
    return target


def module_bytes(of: Kernel, name: str) -> bytes:
    """A module as the kernel loads it: decompressed, without the signature."""
    plain = name.replace("-", "_")
    if plain in of.replaced:
        return of.replaced[plain].read_bytes()
    for path in sorted(of.modules.rglob("*.ko*")):
        if path.name.split(".ko")[0].replace("-", "_") == plain:
            return kernel_image.unsigned_module(path)
    raise LabError(f"kernel {of.release} has no module {name}")


def _describe(version: str, entry: dict, folder: Path) -> Kernel:
    facts = json.loads((folder / "kernel.json").read_text())
    return Kernel(version=version, series=_packages(version, entry).series,
                  release=facts["release"], suite=facts["suite"],
                  vmlinuz=folder / "vmlinuz", modules=folder / "modules" / facts["release"],
                  module_btf=entry["module_btf"], vendors=tuple(entry["vendors"]),
                  # "linux-image-RELEASE_VERSION_amd64.deb"
                  package_version=facts["packages"][-1].split("_")[1],
                  wants_constant_tsc=entry.get("wants_constant_tsc", False))


def _fetch(version: str, entry: dict, folder: Path, progress: Callable[[str], None]) -> None:
    """Downloads and unpacks into a temporary folder, then puts it in place in one step."""
    problem = None
    for source in entry["sources"]:
        with tempfile.TemporaryDirectory(dir=cache_folder(), prefix=f".{version}-") as temporary:
            progress(f"getting kernel {version} from {source['suite']}")
            try:
                apt = archive(source["suite"])
                parts = apt.download(_parts(apt, _packages(version, entry)),
                                     Path(temporary) / "debs")
                fresh = _unpack(parts, source, Path(temporary))
            except LabError as error:
                problem = problem or error
                continue
            if folder.exists():
                folder.rename(Path(temporary) / "old")
            fresh.rename(folder)
            return
    raise problem


def _unpack(debs: list[Path], source: dict, temporary: Path) -> Path:
    root, fresh = temporary / "root", temporary / "kernel"
    for deb in debs:
        run(["dpkg", "-x", str(deb), str(root)])
    # The places of image and modules changed over the years: /boot or beside the modules, merged
    # /usr.
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


@dataclass(frozen=True)
class _Packages:
    """How Debian names the packages of a series ("6.12") and flavour ("cloud-amd64", "amd64")."""
    series: str
    flavour: str

    def image(self) -> re.Pattern:
        return re.compile(rf"linux-image-{re.escape(self.series)}\.{self._rest()}")

    def part(self) -> re.Pattern:
        """The packages of a kernel: since 6.19, image, binary and modules are separate packages."""
        return re.compile(rf"linux-(?:image|binary|modules)-\d+\.{self._rest()}")

    def newest(self) -> str:
        """The package that depends on the suite's newest image."""
        return f"linux-image-{self.flavour}"

    def _rest(self) -> str:
        """The release after its first number: 1.0-50-amd64, 12.48+deb13-amd64."""
        return rf"\d[^-]*(?:-\d+)?-{re.escape(self.flavour)}"


def _packages(version: str, entry: dict) -> _Packages:
    return _Packages(entry.get("series", version), entry.get("flavour", _LIST["flavour"]))


def _parts(apt: Archive, packages: _Packages) -> dict[str, str]:
    """Names and versions of the packages that the newest kernel is made of."""
    newest = _newest(apt, packages)
    found, queue = {}, [newest]
    while queue:
        facts = apt.show(queue.pop())
        for package in facts:
            found[package["Package"]] = package["Version"]
            # The first of several alternatives is the signed one; the others are not needed.
            wanted = (d.split("|")[0].split()[0]
                      for d in package.get("Depends", "").split(","))
            queue += [d for d in wanted if packages.part().fullmatch(d) and d not in found]
    return found


def _newest(apt: Archive, packages: _Packages) -> str:
    """The image of that series with the highest package version, else the suite's newest.

    A suite's kernel changes over time (above all in sid); then the newest one is tested.
    """
    names = apt.run(["apt-cache", "pkgnames", "linux-image-"]).split()
    best = None
    for package in apt.show(*(n for n in names if packages.image().fullmatch(n))):
        if best is None or newer(package["Version"], best["Version"]):
            best = package
    if best:
        return best["Package"]
    for meta in apt.show(packages.newest()):
        for word in re.split(r"[\s,|]+", meta.get("Depends", "")):
            if packages.part().fullmatch(word):
                return word
    raise LabError(f"the suite {apt.suite} has no kernel {packages.series} of flavour "
                   f"{packages.flavour}", HOST_LACKS)


@contextlib.contextmanager
def locked(name: str):
    """Only one process at a time works on `name`; the others wait, and then find it done."""
    folder = cache_folder()
    try:
        file_place.make_folder(folder)
        lock = open(folder / f".{name}.lock", "w", encoding="ascii")
    except OSError as error:
        raise LabError(f"cannot use the cache folder {folder}: {error.strerror}") from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main() -> int:
    """Prints the folder of each version given (default: all); downloads what is missing."""
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
