# SPDX-License-Identifier: GPL-2.0-only
"""Boots a Linux kernel under Bochs in the fastest way: directly from memory.

Bochs can fill memory from a file before its processor starts. One such file has the unpacked ELF
image of the kernel, the initramfs, and what a boot loader would pass. The BIOS calls an option ROM
once it has made the ACPI tables; the ROM only switches to 64-bit mode and jumps. A boot loader that
reads from a CD, and a compressed kernel, would keep the emulated processor busy for longer than the
rest of the boot.

Bochs (all versions up to 3.0) has a quirk: it allocates memory in blocks in the order in which they
are first touched, but reads a file as if the blocks were in the order of their addresses. Each
block that the BIOS touches before the ROM runs shifts the file by one block. So the file begins
with padding, and the ROM reads until it finds the padding's last piece, wherever that is. From
there on it touches block after block, and each gets its right place.
"""

import struct
from dataclasses import dataclass

from lab_error import LabError

_MIB = 1 << 20
_STEP = 128 << 10           # the smallest block that any version hands out
_PADDING = 8 * _MIB
_LAST_PADDING = b"LAST"
_IMAGE_AT = 15 * _MIB       # the kernel is linked to run at 16 MiB; before it, by offset:
_PAGE_TABLES = 0x0000       # six pages,
_BOOT_PARAMS = 0x6000       # one page,
_COMMAND_LINE = 0x7000      # and a string
_STACK_TOP = 0x80000
_LOW_RAM_END = 0x9fc00
_BIOS_TABLES = 0x10000      # the BIOS keeps its ACPI tables at the top of memory
_LONGEST_ARGUMENTS = 2047

ROM_AT = 0xd0000
MEMORY_AT = _IMAGE_AT - _PADDING
_ROM_SIZE = 512
_GDT_AT = ROM_AT + 256
_CODE_32, _CODE_64, _DATA = 0x08, 0x10, 0x18
_GDT = struct.pack("<4Q", 0, 0x00cf9b000000ffff, 0x00af9b000000ffff, 0x00cf93000000ffff)


@dataclass(frozen=True)
class BootImages:
    """What Bochs loads: an option ROM to ROM_AT, memory to MEMORY_AT."""
    rom: bytes
    memory: bytes


def images(vmlinux: bytes, initramfs: bytes, arguments: str, memory_mib: int) -> BootImages:
    """The images that boot this kernel in a host with that much memory."""
    if len(arguments.encode()) > _LONGEST_ARGUMENTS:
        raise LabError("the arguments for the emulated host's kernel are too long", 2)
    entry, = struct.unpack_from("<Q", vmlinux, 24)
    segments = _segments(vmlinux)
    initramfs_at = _aligned(max(address + size for address, _, size in segments), _MIB)
    ram_end = memory_mib * _MIB - _BIOS_TABLES
    if initramfs_at + 2 * len(initramfs) + 64 * _MIB > ram_end:
        raise LabError(f"the job's files ({len(initramfs) // _MIB} MiB) do not fit into the "
                       f"emulated host's {memory_mib} MiB")
    memory = bytearray(_aligned(initramfs_at + len(initramfs) - MEMORY_AT, _STEP))
    pieces = [(_IMAGE_AT - _STEP, _LAST_PADDING),
              (_IMAGE_AT + _PAGE_TABLES, _page_tables()),
              (_IMAGE_AT + _BOOT_PARAMS, _boot_params(initramfs_at, len(initramfs), ram_end)),
              (_IMAGE_AT + _COMMAND_LINE, arguments.encode()),
              *((address, data) for address, data, _ in segments),
              (initramfs_at, initramfs)]
    for address, data in pieces:
        memory[address - MEMORY_AT:address - MEMORY_AT + len(data)] = data
    steps = (len(memory) - _PADDING) // _STEP
    return BootImages(rom=_rom(entry, steps), memory=bytes(memory))


def _aligned(value: int, unit: int) -> int:
    return -(-value // unit) * unit


def _segments(elf: bytes) -> list[tuple[int, bytes, int]]:
    """Physical address, bytes, and size in memory of each part of the kernel that is loaded."""
    if elf[:4] != b"\x7fELF":
        raise LabError("the kernel is no ELF image")
    table, = struct.unpack_from("<Q", elf, 32)
    entry_size, count = struct.unpack_from("<HH", elf, 54)
    found = []
    for at in range(table, table + count * entry_size, entry_size):
        kind, _, offset, _, address, size, in_memory = struct.unpack_from("<IIQQQQQ", elf, at)
        if kind == 1:
            found.append((address, elf[offset:offset + size], in_memory))
    return found


def _page_tables() -> bytes:
    """Four GiB mapped one to one by large pages."""
    present, writable, large = 1, 2, 0x80

    def entry(address: int, flags: int = 0) -> bytes:
        return struct.pack("<Q", address | present | writable | flags)

    top = entry(_IMAGE_AT + 0x1000).ljust(0x1000, b"\0")
    middle = b"".join(entry(_IMAGE_AT + 0x2000 + n * 0x1000) for n in range(4))
    return (top + middle.ljust(0x1000, b"\0")
            + b"".join(entry(n << 21, large) for n in range(4 * 512)))


def _boot_params(initramfs_at: int, initramfs_size: int, ram_end: int) -> bytes:
    """The page that the x86 boot protocol hands to a kernel started at its 64-bit entry."""
    ram, acpi = 1, 3
    regions = [(0, _LOW_RAM_END, ram), (_MIB, ram_end, ram),
               (ram_end, ram_end + _BIOS_TABLES, acpi)]
    page = bytearray(0x1000)
    page[0x1e8] = len(regions)
    for number, (start, end, kind) in enumerate(regions):
        struct.pack_into("<QQI", page, 0x2d0 + number * 20, start, end - start, kind)
    struct.pack_into("<H", page, 0x1fe, 0xaa55)                         # boot_flag
    struct.pack_into("<4sH", page, 0x202, b"HdrS", 0x020f)              # header, version
    page[0x210] = 0xff                                                  # type_of_loader
    struct.pack_into("<II", page, 0x218, initramfs_at, initramfs_size)
    struct.pack_into("<I", page, 0x228, _IMAGE_AT + _COMMAND_LINE)
    struct.pack_into("<I", page, 0x230, 0x200000)                       # kernel_alignment
    struct.pack_into("<I", page, 0x238, _LONGEST_ARGUMENTS)
    return bytes(page)


def _rom(entry: int, steps: int) -> bytes:
    """The option ROM: the BIOS calls its fourth byte, in real mode."""
    def word(value: int) -> bytes:
        return struct.pack("<I", value)

    pointer = struct.pack("<HI", len(_GDT) - 1, _GDT_AT)
    code = b"\x55\xaa" + bytes([_ROM_SIZE // 512]) + b"".join((
        b"\xfa\xe4\x92\x0c\x02\xe6\x92",                # cli; port 0x92, bit 1: A20 on
        b"\x2e\x0f\x01\x16" + struct.pack("<H", _GDT_AT + len(_GDT) - ROM_AT),  # lgdt cs:
        b"\x0f\x20\xc0\x0c\x01\x0f\x22\xc0",            # cr0 |= PE
    ))
    code += b"\x66\xea" + word(ROM_AT + len(code) + 8) + struct.pack("<H", _CODE_32)
    code += b"".join((                                  # 32-bit mode from here
        b"\xb8" + word(_DATA),                          # eax = selector
        b"\x8e\xd8\x8e\xd0",                            # ds = ss = ax
        b"\xbb" + word(MEMORY_AT),                      # ebx = address
        b"\x8b\x03\x81\xc3" + word(_STEP),              # find: eax = [ebx]; ebx += step
        b"\x3d" + _LAST_PADDING + b"\x75\xf1",          # until it is the last padding
        b"\xbb" + word(_IMAGE_AT) + b"\xb9" + word(steps),
        b"\x8b\x03\x81\xc3" + word(_STEP),              # touch: eax = [ebx]; ebx += step
        b"\x49\x75\xf5",                                # until ecx is 0
        b"\xb8" + word(_IMAGE_AT + _PAGE_TABLES) + b"\x0f\x22\xd8",     # cr3 = page tables
        b"\x0f\x20\xe0\x0c\x20\x0f\x22\xe0",            # cr4 |= PAE
        b"\xb9\x80\x00\x00\xc0\x0f\x32\x0f\xba\xe8\x08\x0f\x30",        # EFER |= LME
        b"\x0f\x20\xc0\x0f\xba\xe8\x1f\x0f\x22\xc0",    # cr0 |= PG
    ))
    code += b"\xea" + word(ROM_AT + len(code) + 7) + struct.pack("<H", _CODE_64)
    code += b"".join((                                  # 64-bit mode from here
        b"\xbc" + word(_STACK_TOP),                     # rsp
        b"\xbe" + word(_IMAGE_AT + _BOOT_PARAMS),       # rsi = boot_params
        b"\xb8" + word(entry) + b"\xff\xe0",            # jump into the kernel
    ))
    assert len(code) <= _GDT_AT - ROM_AT
    rom = bytearray(code.ljust(_GDT_AT - ROM_AT, b"\0") + _GDT + pointer)
    rom = rom.ljust(_ROM_SIZE, b"\0")
    rom[-1] = -sum(rom) & 0xff                          # the BIOS wants a sum of 0
    return bytes(rom)
