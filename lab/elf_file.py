# SPDX-License-Identifier: GPL-2.0-only
"""Reads sections of 64-bit little-endian ELF files: all the lab needs of a kernel or a module."""

import struct

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")


def section(elf: bytes, wanted: str) -> bytes | None:
    """The bytes of the section called `wanted`, or None where the file has no such section."""
    if elf[:4] != b"\x7fELF":
        raise ValueError("not an ELF file")
    header = _HEADER.unpack_from(elf)
    table, entry_size, count, names_index = header[6], header[11], header[12], header[13]
    sections = [_SECTION.unpack_from(elf, table + i * entry_size) for i in range(count)]
    names_offset = sections[names_index][4]
    for name, _, _, _, offset, size, *_ in sections:
        start = names_offset + name
        if elf[start:elf.index(b"\0", start)].decode() == wanted:
            return elf[offset:offset + size]
    return None
