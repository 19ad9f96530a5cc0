#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Holds every field of vmlinux/x86/vmlinux.h against the BTF of each kernel of the lab.

For each record and field of the header it says on which kernels it exists, and compares that with
what is stated below: a field that vanished, came back, moved to another module or changed its size
fails with a line that names it. So do the other facts the BPF program and its loader rely on.

What BTF cannot tell: struct trace_kvm_exit, the record of the classic tracepoint. Its offsets are
those of events/kvm/kvm_exit/format, which only a running kernel shows.

Usage: check_btf.py [VERSION...], from the lab's list; without versions: all of them.
"""

import re
import struct
import sys
from dataclasses import dataclass, field
from pathlib import Path

_HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(_HERE.parent / "lab"))

# pylint: disable=wrong-import-position
import kernels  # noqa: E402
from lab_error import LabError  # noqa: E402

_HEADER = _HERE / "x86" / "vmlinux.h"
_MODULES = ("kvm", "kvm_amd", "kvm_intel")

# ----- What is expected, as data. ---------------------------------------------------------------
# Kernels are "V+" (from V on), "-V" (up to V), "V-W" or "" (all).

# Where each record's BTF is. bpf_rdonly_cast() takes types of vmlinux alone.
_RECORDS = {
    "list_head": ("vmlinux", ""),
    "hlist_node": ("vmlinux", ""),
    "hlist_head": ("vmlinux", ""),
    "preempt_notifier": ("vmlinux", ""),
    "task_struct": ("vmlinux", ""),
    "mm_struct": ("vmlinux", ""),
    "fpu_guest": ("vmlinux", "6.1+"),
    "kvm_vcpu_arch": ("vmlinux", ""),
    "kvm_vcpu": ("vmlinux", ""),
    "kvm_vcpu_stat": ("vmlinux", ""),
    "pt_regs": ("vmlinux", ""),
    "vmcb_control_area": ("kvm_amd", "6.1+"),
    "vmcb": ("kvm_amd", "6.1+"),
    "kvm_vmcb_info": ("kvm_amd", "6.1+"),
    "vcpu_svm": ("kvm_amd", "6.1+"),
    "vmx_exit_reason": ("kvm_intel", "6.1+"),
    "vcpu_vmx": ("kvm_intel", "6.1+"),
    "vcpu_vt": ("kvm_intel", "7.2+"),
    "vcpu_vmx___vt": ("kvm_intel", "6.1+"),
    "kvm_x86_ops": ("vmlinux", "6.1+"),
}

# Fields that only some of the kernels with the record have.
_FIELDS = {
    "vcpu_vmx.exit_reason": "6.1-6.12",
    "vcpu_vmx___vt.vt": "7.2+",
    "kvm_x86_ops.is_vnmi_pending": "6.12+",
}

# Sizes in bytes where they are not the header's: the program reads the low half.
_SIZES = {"vmcb_control_area.exit_code": {"-6.12": 4, "7.2+": 8}}

# Offsets the program takes for granted: a struct kvm_vcpu is at the start of its vendor's struct,
# the word that load_u64() reads is the first of a list_head, and the high half of the exit code
# lies behind the low one.
_OFFSETS = [
    ("kvm_amd", "vcpu_svm.vcpu", "6.1+", 0),
    ("kvm_intel", "vcpu_vmx.vcpu", "6.1+", 0),
    ("vmlinux", "list_head.next", "", 0),
    ("kvm_amd", "vmcb_control_area.exit_code_hi", "6.1-6.12", "vmcb_control_area.exit_code + 4"),
    ("kvm_intel", "vmx_exit_reason.full", "6.1+", 0),
]

# Arguments of the tracepoints: what chooses between the programs of kvm_exit, and what they read.
_TRACEPOINTS = [
    ("kvm_exit", "6.1+", 2),
    ("kvm_entry", "6.1+", 2),
    ("kvm_fpu", "6.1+", 1),
    ("kvm_vcpu_wakeup", "6.1+", 3),
]

# Fields that are a pointer to something else on kernels where nothing reads them.
_POINTERS_BEFORE = {"kvm_vcpu_arch.guest_fpu": ("-5.10", "fpu")}

# Functions: those by which the loader knows something else, and those that are traced.
_FUNCTIONS = [
    ("vmlinux", "bpf_rdonly_cast", "6.12+", None),
    ("vmlinux", "fpu_alloc_guest_fpstate", "6.1+", "fpu_guest"),
    ("vmlinux", "fpu_free_guest_fpstate", "6.1+", "fpu_guest"),
    ("kvm", "kvm_arch_vcpu_create", "6.1+", "kvm_vcpu"),
    ("kvm", "kvm_arch_vcpu_destroy", "6.1+", "kvm_vcpu"),
]


def _number(series: str) -> tuple[int, ...]:
    return tuple(int(part) for part in series.split("."))


def _applies(kernel_range: str, series: str) -> bool:
    if kernel_range.endswith("+"):
        return _number(series) >= _number(kernel_range[:-1])
    low, _, high = kernel_range.partition("-")
    return ((not low or _number(series) >= _number(low)) and
            (not high or _number(series) <= _number(high)))


# ----- BTF, as described in the kernel's Documentation/bpf/btf.rst. -------------------------------
_INT, _PTR, _ARRAY, _STRUCT, _UNION, _ENUM, _FWD, _TYPEDEF = range(1, 9)
_VOLATILE, _CONST, _RESTRICT, _FUNC, _FUNC_PROTO = range(9, 14)
_FLOAT, _TYPE_TAG, _ENUM64 = 16, 18, 19
_MODIFIERS = (_TYPEDEF, _VOLATILE, _CONST, _RESTRICT, _TYPE_TAG)
_HAS_SIZE = (_INT, _STRUCT, _UNION, _ENUM, _FLOAT, _ENUM64)
# Bytes behind the three words of a type: always, and for each of its vlen elements.
_MORE = {_INT: (4, 0), _ARRAY: (12, 0), _STRUCT: (0, 12), _UNION: (0, 12), _ENUM: (0, 8),
         _FUNC_PROTO: (0, 8), 14: (4, 0), 15: (0, 12), 17: (4, 0), _ENUM64: (0, 12)}
_KIND_NAMES = {_INT: "integer", _PTR: "pointer", _ARRAY: "array", _STRUCT: "struct",
               _UNION: "union", _ENUM: "enum"}


@dataclass(frozen=True)
class Type:
    """A type as it is in the blob; `elements` are at `data` there."""
    name: str
    kind: int
    vlen: int
    bits: bool  # member offsets carry a bit-field size in their upper byte
    size_or_type: int
    data: int


@dataclass(frozen=True)
class Member:
    """A field: its offset in bytes within the record asked for, its type without modifiers."""
    offset: int
    kind: int
    size: int | None
    points_to: str = ""
    type_name: str = ""


class Btf:
    """The types of vmlinux, or those of a module on top of it (split BTF)."""

    def __init__(self, blob: bytes, base: "Btf | None" = None):
        magic, _, _, header = struct.unpack_from("<HBBI", blob)
        if magic != 0xEB9F:
            raise ValueError("no BTF, or of another byte order")
        types, types_size, strings, strings_size = struct.unpack_from("<IIII", blob, 8)
        self._base = base
        self._blob = blob
        self._strings = blob[header + strings:header + strings + strings_size]
        self._strings_start = base.strings_end if base else 0
        self.strings_end = self._strings_start + strings_size
        self._first_id = base.ids_end if base else 1
        self._types: list[Type] = []
        self._by_name: dict[tuple[int, str], int] = {}
        self._read(header + types, header + types + types_size)
        self.ids_end = self._first_id + len(self._types)

    def _read(self, at: int, end: int) -> None:
        while at < end:
            name_at, info, size_or_type = struct.unpack_from("<III", self._blob, at)
            kind, vlen = info >> 24 & 0x1F, info & 0xFFFF
            fixed, each = _MORE.get(kind, (0, 0))
            found = Type(self._string(name_at), kind, vlen, bool(info >> 31), size_or_type, at + 12)
            # The first of a name is the one that CO-RE would take as well.
            self._by_name.setdefault((kind, found.name), self._first_id + len(self._types))
            self._types.append(found)
            at += 12 + fixed + each * vlen

    def _string(self, at: int) -> str:
        if at < self._strings_start:
            return self._base._string(at)
        at -= self._strings_start
        return self._strings[at:self._strings.index(b"\0", at)].decode()

    def _type(self, number: int) -> tuple["Btf", Type]:
        if number < self._first_id:
            return self._base._type(number) if self._base else (self, Type("void", 0, 0, False,
                                                                            0, 0))
        return self, self._types[number - self._first_id]

    def _plain(self, number: int) -> tuple["Btf", Type]:
        home, found = self._type(number)
        while found.kind in _MODIFIERS:
            home, found = self._type(found.size_or_type)
        return home, found

    def named(self, kind: int, name: str) -> Type | None:
        """A type of this blob alone, not of its base."""
        number = self._by_name.get((kind, name))
        return number and self._types[number - self._first_id]

    def record(self, name: str) -> Type | None:
        return self.named(_STRUCT, name) or self.named(_UNION, name)

    def member(self, record: Type, name: str, start: int = 0) -> Member | None:
        """A field of a record of this blob, also of records without a name within it."""
        for i in range(record.vlen):
            name_at, type_id, offset = struct.unpack_from("<III", self._blob, record.data + 12 * i)
            offset = start + (offset & 0xFFFFFF if record.bits else offset) // 8
            home, found = self._plain(type_id)
            if not name_at:
                inner = home.member(found, name, offset)
                if inner:
                    return inner
            elif self._string(name_at) == name:
                target = home._plain(found.size_or_type)[1].name if found.kind == _PTR else ""
                size = (8 if found.kind == _PTR else
                        found.size_or_type if found.kind in _HAS_SIZE else None)
                return Member(offset, found.kind, size, target, found.name)
        return None

    def tracepoint_arguments(self, name: str) -> int | None:
        """Of a function that takes a context before them: typedef, pointer, function."""
        typedef = self.named(_TYPEDEF, f"btf_trace_{name}")
        if not typedef:
            return None
        home, pointer = self._plain(typedef.size_or_type)
        return home._plain(pointer.size_or_type)[1].vlen - 1

    def first_parameter(self, function: Type) -> str:
        """What a function's first argument points to."""
        home, proto = self._type(function.size_or_type)
        if not proto.vlen:
            return ""
        home, pointer = home._plain(struct.unpack_from("<II", home._blob, proto.data)[1])
        return home._plain(pointer.size_or_type)[1].name if pointer.kind == _PTR else ""


# ----- The header. --------------------------------------------------------------------------------
@dataclass(frozen=True)
class HeaderField:
    record: str
    name: str
    type: str  # "u32", "struct kvm *"

    @property
    def path(self) -> str:
        return f"{self.record}.{self.name}"


_SCALARS = {"u8": 1, "u16": 2, "u32": 4, "s32": 4, "int": 4, "u64": 8, "s64": 8,
            "unsigned long": 8}


def header_records(text: str) -> dict[str, tuple[str, list[HeaderField]]]:
    """The records between the pragmas, by name: "struct" or "union", and their fields."""
    body = text[text.index("clang attribute push"):text.index("clang attribute pop")]
    body = re.sub(r"/\*.*?\*/", "", body, flags=re.DOTALL)
    records = {}
    for kind, name, fields in re.findall(r"\b(struct|union)\s+(\w+)\s*\{(.*?)\}\s*;", body,
                                         re.DOTALL):
        records[name] = (kind, [
            HeaderField(name, found[1], re.sub(r"\s+", " ", found[0]).strip())
            for found in re.findall(r"([\w\s]+?[\s*]+)(\w+)\s*;", fields)])
        if len(records[name][1]) != fields.count(";"):
            raise ValueError(f"cannot read the fields of {kind} {name} in {_HEADER.name}")
    return records


def _without_flavour(name: str) -> str:
    return name.split("___")[0]


# ----- The comparison. ----------------------------------------------------------------------------
@dataclass
class KernelBtf:
    """The BTF of one kernel: vmlinux, and the modules that have any."""
    version: str
    series: str
    release: str
    parts: dict[str, Btf] = field(default_factory=dict)

    def record(self, name: str) -> tuple[str, Btf, Type] | None:
        """Where a record is: vmlinux goes before the modules, as for CO-RE."""
        for part, btf in self.parts.items():
            found = btf.record(name)
            if found:
                return part, btf, found
        return None

    def member(self, part: str, path: str) -> Member | None:
        record, name = path.split(".")
        btf = self.parts.get(part)
        found = btf and btf.record(_without_flavour(record))
        return btf.member(found, name) if found else None


def load(version: str) -> KernelBtf:
    kernel = kernels.kernel(version)
    result = KernelBtf(version, kernel.series, kernel.release)
    base = Btf(kernels.btf(kernel, "vmlinux").read_bytes())
    result.parts["vmlinux"] = base
    if kernel.module_btf:
        for module in _MODULES:
            result.parts[module] = Btf(kernels.btf(kernel, module).read_bytes(), base)
    return result


class Check:
    """Collects what exists where, and what is not as stated."""

    def __init__(self, all_kernels: list[KernelBtf]):
        self._kernels = all_kernels
        self.facts = 0
        self.mismatches: list[str] = []

    def _hold(self, what: str, kernel: KernelBtf, is_there: object, wanted: object) -> None:
        self.facts += 1
        if is_there != wanted:
            self.mismatches.append(
                f"{kernel.version} ({kernel.release}): {what}: expected {_words(wanted)}, "
                f"found {_words(is_there)}")

    def data(self, records: dict[str, tuple[str, list[HeaderField]]]) -> None:
        """The expectations speak of the header's records, of all of them and of no others."""
        paths = {f.path for _, fields in records.values() for f in fields}
        for stated, known, where in ((_RECORDS.keys(), records.keys(), "_RECORDS"),
                                     (_FIELDS.keys(), paths, "_FIELDS"),
                                     (_SIZES.keys(), paths, "_SIZES"),
                                     (_POINTERS_BEFORE.keys(), paths, "_POINTERS_BEFORE")):
            for name in stated - known:
                self.mismatches.append(f"{where} names {name}, which {_HEADER.name} does not have")
        for name in records.keys() - _RECORDS.keys():
            self.mismatches.append(f"{_HEADER.name} has {name}: state in _RECORDS where it exists")

    def header_record(self, name: str, kind: str, fields: list[HeaderField]) -> None:
        part, kernel_range = _RECORDS[name]
        real = _without_flavour(name)
        homes = {}
        for kernel in self._kernels:
            found = kernel.record(real)
            wanted = f"in {part}" if _applies(kernel_range, kernel.series) else "nothing"
            self._hold(f"{kind} {name}", kernel, f"in {found[0]}" if found else "nothing", wanted)
            if found:
                homes[kernel.version] = found[0]
                self._hold(f"{name} is a", kernel, _KIND_NAMES[found[2].kind], kind)
        self._show(f"{kind} {name}", sorted(set(homes.values())), homes)
        for one in fields:
            self._header_field(one, part, kernel_range)

    def _header_field(self, one: HeaderField, part: str, kernel_range: str) -> None:
        kernel_range = _FIELDS.get(one.path, kernel_range)
        seen = {}
        for kernel in self._kernels:
            member = kernel.member(part, one.path)
            self._hold(one.path, kernel, member is not None,
                       _applies(kernel_range, kernel.series))
            if member:
                seen[kernel.version] = self._hold_type(one, kernel, member)
        self._show(f"  .{one.name}", sorted(set(seen.values())), seen)

    def _hold_type(self, one: HeaderField, kernel: KernelBtf, member: Member) -> str:
        text = _KIND_NAMES.get(member.kind, f"kind {member.kind}")
        before, other = _POINTERS_BEFORE.get(one.path, ("", ""))
        is_other = bool(before) and _applies(before, kernel.series)
        if is_other or one.type.endswith("*"):
            target = other if is_other else one.type.rstrip("* ").split()[-1]
            if target == "void":    # what has no name: a function, too
                target = ""
            self._hold(f"{one.path} is a", kernel, (text, member.points_to), ("pointer", target))
            return f"-> {member.points_to}"
        if one.type in _SCALARS:
            size = next((size for kernel_range, size in _SIZES.get(one.path, {}).items()
                         if _applies(kernel_range, kernel.series)), _SCALARS[one.type])
            self._hold(f"{one.path} is a", kernel, (text, member.size), ("integer", size))
            return f"{text} of {member.size}"
        self._hold(f"{one.path} is a", kernel, f"{text} {member.type_name}", one.type)
        return f"{text} {member.type_name}"

    def _show(self, what: str, details: list[str], versions: dict[str, str]) -> None:
        marks = " ".join(k.version if k.version in versions else "-" * len(k.version)
                         for k in self._kernels)
        print(f"{what:<34} {marks}  {', '.join(details)}")

    def offsets(self) -> None:
        for part, path, kernel_range, wanted in _OFFSETS:
            for kernel in self._kernels:
                member = kernel.member(part, path)
                applies = _applies(kernel_range, kernel.series)
                value = wanted
                if applies and isinstance(wanted, str):
                    before, behind = wanted.split(" + ")
                    value = kernel.member(part, before).offset + int(behind)
                self._hold(f"offset of {path}", kernel, member.offset if member else None,
                           value if applies else None)
            print(f"{path:<34} offset {wanted}, kernels {kernel_range or 'all'}")

    def functions(self) -> None:
        for name, kernel_range, wanted in _TRACEPOINTS:
            for kernel in self._kernels:
                btf = kernel.parts.get("kvm")
                self._hold(f"arguments of the tracepoint {name}", kernel,
                           btf and btf.tracepoint_arguments(name),
                           wanted if _applies(kernel_range, kernel.series) else None)
            print(f"{'tracepoint ' + name:<34} {wanted} arguments, kernels {kernel_range}")
        for part, name, kernel_range, wanted in _FUNCTIONS:
            for kernel in self._kernels:
                btf = kernel.parts.get(part)
                found = btf and btf.named(_FUNC, name)
                self._hold(f"function {name} in {part}", kernel, bool(found),
                           _applies(kernel_range, kernel.series))
                if found and wanted:
                    self._hold(f"first argument of {name}", kernel, btf.first_parameter(found),
                               wanted)
            print(f"{'function ' + name:<34} in {part}, kernels {kernel_range}")


def _words(value: object) -> str:
    if isinstance(value, tuple):
        return " ".join(_words(part) for part in value)
    if value is None or value is False:
        return "nothing"
    return "it" if value is True else str(value)


def main() -> int:
    try:
        loaded = [load(version) for version in sys.argv[1:] or kernels.versions()]
    except LabError as error:
        print(f"exittop: {error}", file=sys.stderr)
        return error.status
    records = header_records(_HEADER.read_text(encoding="utf-8"))
    check = Check(loaded)
    check.data(records)
    for name, (kind, fields) in records.items():
        if name in _RECORDS:
            check.header_record(name, kind, fields)
    check.offsets()
    check.functions()
    for line in check.mismatches:
        print(f"MISMATCH {line}", file=sys.stderr)
    print(f"{check.facts} facts on {len(loaded)} kernels, {len(check.mismatches)} not as stated; "
          "struct trace_kvm_exit is not in BTF and not checked here")
    return 1 if check.mismatches else 0


if __name__ == "__main__":
    sys.exit(main())
