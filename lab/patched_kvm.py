# SPDX-License-Identifier: GPL-2.0-only
"""Builds KVM's modules with the patches of kernel/, for a kernel of the lab; as a program:

    patched_kvm.py [VERSION...]     prints where the modules are, after building what is missing

Debian's source of just that kernel is patched and built against its headers, both unpacked into the
user's cache and not installed. What was built is kept by kernel and by checksum of the patches. A
patch that applies with fuzz, that checkpatch.pl objects to or that makes the compiler warn is an
error here, so that whoever has modules has them from a clean series.
"""

import dataclasses
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import file_place
import kernels
from debian_archive import run
from lab_error import HOST_LACKS, USAGE, LabError

MODULES = ("kvm", "kvm_amd", "kvm_intel")
# The lab lies beside kernel/ in the sources and where it is installed.
PATCHES = Path(__file__).resolve().parent.parent / "kernel"
# To be increased when the way of building changes, so that older results are not reused.
_RECIPE = b"1"
# The parts of the kernel's source that are built, patched, or used to check patches.
_NEEDED = ("arch/x86/kvm", "virt/kvm", "Documentation/admin-guide/kernel-parameters.txt",
           "scripts/checkpatch.pl", "scripts/spelling.txt", "scripts/const_structs.checkpatch")
# Warnings about a compiler or pahole other than the distribution's are ignored.
_COMPLAINT = re.compile(r"(?i)^(?!warning: .* differs from the one used).*(?:warning|error): "
                        r"|\*\*\*")


def versions() -> list[str]:
    """The kernels for which there is a series."""
    return [version for version in kernels.versions() if (PATCHES / version).is_dir()]


def kernel(version: str, progress: Callable[[str], None] = kernels.say,
           patched: bool = True) -> kernels.Kernel:
    """The kernel of that version with patched modules in place of its own.

    Unpatched ones, to hold them against, are built alike: Debian's own may be another compiler's.
    """
    if version not in versions():
        raise LabError(f"no patches of KVM for kernel {version!r}: there are some for "
                       + ", ".join(versions()), USAGE)
    stock = kernels.kernel(version, progress=progress)
    series = patches(version) if patched else []
    with kernels.locked(f"{version}-patched"):
        try:
            folder = _built(stock, series, progress)
        except LabError as error:
            if error.status != HOST_LACKS:
                raise
            # A suite keeps only the headers and source of its newest kernel.
            stock = kernels.kernel(version, refresh=True, progress=progress)
            folder = _built(stock, series, progress)
    return dataclasses.replace(stock, replaced={name: folder / f"{name}.ko" for name in MODULES})


def patches(version: str) -> list[Path]:
    """The series in its order, without the cover letter."""
    return sorted(p for p in (PATCHES / version).glob("*.patch") if not p.name.startswith("0000-"))


def _built(stock: kernels.Kernel, series: list[Path], progress: Callable[[str], None]) -> Path:
    digest = hashlib.sha256(_RECIPE)
    for patch in series:
        digest.update(patch.read_bytes())
    folder = (kernels.cache_folder().parent / "patched" /
              f"{stock.release}_{stock.package_version}_{digest.hexdigest()[:12]}")
    if folder.exists():
        return folder
    file_place.make_folder(folder.parent)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{stock.version}-") as temporary:
        root, fresh = Path(temporary), Path(temporary) / "modules"
        fresh.mkdir()
        progress(f"getting the source and headers of kernel {stock.release}")
        source, headers, common = _unpack(stock, root)
        for patch in series:
            _apply(patch, source)
        progress(f"building {'patched ' if series else ''}kvm modules for kernel {stock.release}")
        for built in _make(source, headers, common):
            name = built.stem.replace("-", "_")
            if name in MODULES:
                _finish(built, fresh / f"{name}.ko", kernels.btf(stock, "vmlinux"))
        fresh.rename(folder)
    return folder


def _unpack(stock: kernels.Kernel, root: Path) -> tuple[Path, Path, Path]:
    """The folders of the source, of the flavour's headers and of those common to all flavours."""
    apt = kernels.archive(stock.suite)
    headers, source = f"linux-headers-{stock.release}", f"linux-source-{stock.version}"
    depends = next((p.get("Depends", "") for p in apt.show(headers)), "")
    names = [headers, source, *re.findall(r"linux-(?:headers-\S+-common|kbuild-\S+)",
                                          depends.replace(",", " "))]
    for deb in apt.download(dict.fromkeys(names, stock.package_version), root / "debs"):
        run(["dpkg", "-x", str(deb), str(root)])
    packages = root / "usr/src"
    run(["tar", "-C", str(packages), "-xf", str(packages / f"{source}.tar.xz"),
         *(f"{source}/{path}" for path in _NEEDED)])
    headers_folder = packages / headers
    common = next(packages.glob("linux-headers-*-common"))
    makefile = headers_folder / "Makefile"
    makefile.write_text(makefile.read_text().replace("/usr/src/", f"{packages}/"))
    # If a vmlinux exists, the build requires more tools to make BTF than Debian packages. _finish()
    # makes the BTF instead.
    (headers_folder / "vmlinux").unlink(missing_ok=True)
    if stock.suite.startswith("trixie"):
        _make_tools_run(root)
    for part in ("arch/x86/kvm", "virt"):
        (common / part).symlink_to(packages / source / part)
    return packages / source, headers_folder, common


def _make_tools_run(root: Path) -> None:
    """The build's own tools are programs of the kernel's release: they get its C library."""
    libraries = root / "libraries"
    apt = kernels.archive("trixie")
    wanted = {p["Package"]: p["Version"] for p in apt.show("libc6", "libelf1t64", "zlib1g",
                                                           "libzstd1")}
    for deb in apt.download(wanted, root / "library-debs"):
        run(["dpkg", "-x", str(deb), str(libraries)])
    folder = libraries / "usr/lib/x86_64-linux-gnu"
    for path in [p for p in (root / "usr/lib").glob("linux-kbuild-*/**/*") if p.is_file()]:
        if path.is_symlink() or not path.read_bytes().startswith(b"\x7fELF"):
            continue
        program = path.with_name(path.name + ".program")
        path.rename(program)
        path.write_text(f'#!/bin/sh\nexec {folder}/ld-linux-x86-64.so.2 --library-path {folder} '
                        f'--argv0 "$0" {program} "$@"\n')
        path.chmod(0o755)


def _apply(patch: Path, source: Path) -> None:
    checked = _run(["perl", "scripts/checkpatch.pl", "--strict", "--no-tree", "--quiet",
                    str(patch)], source)
    if checked.returncode or checked.stdout.strip():
        raise LabError(f"checkpatch.pl objects to {patch.name}: {checked.stdout.strip()}")
    done = _run(["patch", "--strip=1", "--fuzz=0", "--force", f"--input={patch}"], source)
    if done.returncode:
        raise LabError(f"{patch.name} does not apply: {done.stdout.strip()}")


def _make(source: Path, headers: Path, common: Path) -> list[Path]:
    """Builds the modules; gives their files."""
    folder = common / "arch/x86/kvm"
    command = ["make", "-C", str(headers), f"M={folder}", f"-j{min(os.cpu_count() or 1, 2)}",
               "modules"]
    variables = (headers / ".kernelvariables").read_text()
    wanted = re.search(r"gcc-\d+", variables)
    if wanted and not shutil.which(wanted[0]):
        # A kernel of a later release. The machine's own compiler works too, except for an option
        # that GCC has only since 14; functions are then aligned with an older option.
        command += ["CC=gcc", "CONFIG_CC_HAS_MIN_FUNCTION_ALIGNMENT="]
    done = _run(command, source)
    said = [line for line in (done.stdout + done.stderr).splitlines() if _COMPLAINT.search(line)]
    if done.returncode or said:
        raise LabError("building kvm's modules: " + " | ".join(
            said[:3] or done.stderr.splitlines()[:3] or [f"status {done.returncode}"]))
    return sorted((source / "arch/x86/kvm").glob("*.ko"))


def _finish(built: Path, target: Path, vmlinux_btf: Path) -> None:
    """Adds the module's BTF, as a kernel's own build does, and strips debug information."""
    if not shutil.which("pahole"):
        raise LabError("pahole is missing: install the package dwarves", HOST_LACKS)
    for command in (["pahole", "-J", "--btf_base", str(vmlinux_btf), str(built)],
                    ["objcopy", "--strip-debug", str(built), str(target)]):
        done = _run(command, built.parent)
        if done.returncode:
            raise LabError(f"{command[0]} failed on {built.name}: {done.stderr.strip()[:200]}")


def _run(command: list[str], cwd: Path) -> subprocess.CompletedProcess:
    try:
        return subprocess.run(command, cwd=cwd, env=dict(os.environ, LC_ALL="C"), text=True,
                              check=False, stdin=subprocess.DEVNULL, capture_output=True)
    except FileNotFoundError:
        raise LabError(f"{command[0]} is missing on this host: see kernel/README.md for what "
                       "building modules needs", HOST_LACKS) from None


def main() -> int:
    for version in sys.argv[1:] or versions():
        try:
            got = kernel(version)
        except LabError as error:
            print(f"exittop: {error}", file=sys.stderr)
            return error.status
        print(version, got.release, *got.replaced.values())
    return 0


if __name__ == "__main__":
    sys.exit(main())
