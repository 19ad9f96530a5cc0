# SPDX-License-Identifier: GPL-2.0-only
"""Opens a kernel's files: the vmlinux inside a bzImage, and modules in loadable form."""

import lzma
import shutil
import struct
import subprocess
import zlib
from pathlib import Path

from lab_error import HOST_LACKS, LabError

_SIGNED = b"~Module signature appended~\n"
_MAGIC = {b"\xfd7zXZ\0": "xz", b"\x28\xb5\x2f\xfd": "zstd", b"\x1f\x8b": "gzip",
          b"\x02\x21\x4c\x18": "lz4", b"\x04\x22\x4d\x18": "lz4"}


def vmlinux(bzimage: Path) -> bytes:
    """The ELF image that a bzImage carries, found by the boot protocol's own fields."""
    image = bzimage.read_bytes()
    if image[0x202:0x206] != b"HdrS":
        raise LabError(f"{bzimage} is no Linux kernel image")
    setup = (image[0x1f1] + 1) * 512
    offset, length = struct.unpack_from("<II", image, 0x248)
    return unpacked(image[setup + offset:setup + offset + length])


def unsigned_module(path: Path) -> bytes:
    """A module's ELF file: decompressed where the package compresses it, its signature cut off.

    A signature would be verified at every load, which costs an emulated host seconds.
    """
    module = unpacked(path.read_bytes())
    if module.endswith(_SIGNED):
        length, = struct.unpack(">I", module[-len(_SIGNED) - 4:-len(_SIGNED)])
        module = module[:-len(_SIGNED) - 12 - length]
    return module


def unpacked(data: bytes) -> bytes:
    """`data` decompressed as its first bytes indicate; unchanged if they indicate nothing."""
    kind = next((kind for magic, kind in _MAGIC.items() if data.startswith(magic)), None)
    # The payload is followed by its length, so each reader must stop at the end of its stream.
    if kind == "xz":
        return lzma.LZMADecompressor(lzma.FORMAT_XZ).decompress(data)
    if kind == "gzip":
        return zlib.decompressobj(16 + zlib.MAX_WBITS).decompress(data)
    if kind:
        return _by_tool(kind, data)
    return data


def _by_tool(tool: str, data: bytes) -> bytes:
    """Python 3.11 has no zstd and no lz4, so their own tools are used."""
    if not shutil.which(tool):
        raise LabError(f"the tool {tool} is missing: install the package {tool}", HOST_LACKS)
    done = subprocess.run([tool, "-d", "-c", "-q"], input=data, capture_output=True, check=False)
    if not done.stdout:
        raise LabError(f"{tool} cannot decompress the kernel: {done.stderr.decode()[:200].strip()}")
    return done.stdout
