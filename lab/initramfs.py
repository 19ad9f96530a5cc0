# SPDX-License-Identifier: GPL-2.0-only
"""Builds an initramfs in memory: a cpio archive ("newc") of files, links and folders.

`Initramfs` takes files by content or by path, programs with the shared libraries they need, and
kernel modules with the modules they depend on. It is left uncompressed: the emulated processor
would spend more time on unpacking than the emulator saves by reading less.
"""

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import kernels
from elf_file import section
from lab_error import HOST_LACKS, LabError


class Initramfs:
    """The files of an initramfs; `bytes()` gives the archive."""

    def __init__(self):
        self._entries: dict[str, tuple[int, bytes]] = {}

    def add_file(self, path: str, content: bytes, executable: bool = False) -> None:
        self._add(path, stat.S_IFREG | (0o755 if executable else 0o644), content)

    def add_link(self, path: str, target: str) -> None:
        self._add(path, stat.S_IFLNK | 0o777, target.encode())

    def add_folder(self, path: str) -> None:
        self._add(path, stat.S_IFDIR | 0o755, b"")

    def add_program(self, path: str, program: Path) -> None:
        """A program of this machine and the shared libraries it needs, at their own paths."""
        if not program.is_file():
            raise LabError(f"the lab needs {program}, which is not there")
        self.add_file(path, program.read_bytes(), executable=True)
        for library in _shared_libraries(program):
            self.add_file(str(library), library.read_bytes(), executable=True)

    def add_busybox(self) -> None:
        """The static busybox and a link per applet: it is the shell and all tools in there."""
        busybox = shutil.which("busybox")
        if not busybox:
            raise LabError("busybox is missing: install the package busybox-static", HOST_LACKS)
        if _shared_libraries(Path(busybox)):
            raise LabError("busybox is not static: install the package busybox-static", HOST_LACKS)
        self.add_file("/bin/busybox", Path(busybox).read_bytes(), executable=True)
        listed = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True)
        for applet in set(listed.stdout.split()) - {"busybox"}:
            self.add_link(f"/bin/{applet}", "busybox")

    def add_modules(self, kernel: kernels.Kernel, names: list[str]) -> None:
        """Modules as /modules/NAME.ko, and in /modules/NAME.order what to insert and when."""
        for name in names:
            order = _load_order(kernel, name.replace("-", "_"))
            self.add_file(f"/modules/{name.replace('-', '_')}.order",
                          "".join(f"{n}\n" for n in order).encode())
            for needed in order:
                if f"modules/{needed}.ko" not in self._entries:
                    self.add_file(f"/modules/{needed}.ko", kernels.module_bytes(kernel, needed))

    def bytes(self) -> bytes:
        """The archive, folders before what lies in them."""
        parts = [_record(number, path, *self._entries[path])
                 for number, path in enumerate(sorted(self._entries), start=1)]
        return b"".join(parts) + _record(0, "TRAILER!!!", 0, b"")

    def _add(self, path: str, mode: int, content: bytes) -> None:
        path = path.lstrip("/")
        parent = os.path.dirname(path)
        if parent and parent not in self._entries:
            self.add_folder(parent)
        self._entries[path] = (mode, content)


def _record(number: int, path: str, mode: int, content: bytes) -> bytes:
    name = path.encode() + b"\0"
    links = 2 if stat.S_ISDIR(mode) else 1
    fields = (number, mode, 0, 0, links, 0, len(content), 0, 0, 0, 0, len(name), 0)
    header = b"070701" + b"".join(b"%08x" % field for field in fields)
    return _padded(header + name) + _padded(content)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)


def _shared_libraries(program: Path) -> list[Path]:
    """What ldd resolves for a program: nothing for a static one."""
    done = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=False)
    missing = re.search(r"^\s*(\S+) => not found", done.stdout, re.MULTILINE)
    if missing:
        raise LabError(f"{program} needs {missing[1]}, which this machine lacks")
    return [Path(p) for p in re.findall(r"(/\S+) \(0x[0-9a-f]+\)", done.stdout)]


def _load_order(kernel: kernels.Kernel, name: str) -> list[str]:
    """The module and all it depends on, dependencies first."""
    order: list[str] = []

    def visit(module: str) -> None:
        if module in order:
            return
        facts = section(kernels.module_bytes(kernel, module), ".modinfo") or b""
        for line in facts.split(b"\0"):
            if line.startswith(b"depends="):
                for needed in filter(None, line[8:].decode().split(",")):
                    visit(needed.replace("-", "_"))
        order.append(module)

    visit(name)
    return order
