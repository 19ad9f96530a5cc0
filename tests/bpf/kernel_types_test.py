#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Holds every field of vmlinux/x86/vmlinux.h against the BTF of each kernel of the lab.

For each record and field of the header it says on which kernels it exists, and compares that with
what is stated below: a field that vanished, came back, moved to another module or changed its size
fails with a line that names it. So do the other facts the BPF program and its loader rely on.

What BTF cannot tell: struct trace_kvm_exit, the record of the classic tracepoint. Its offsets are
those of events/kvm/kvm_exit/format, which only a running kernel shows.

Usage: kernel_types_test.py [VERSION...], from the lab's list; without versions: all of them.
"""

import json
import os
import re
import subprocess
import sys
from collections import ChainMap
from dataclasses import dataclass, field
from pathlib import Path

_SOURCE = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(_SOURCE / "lab"))

import kernels
from lab_error import LabError

_HEADER = _SOURCE / "vmlinux/x86/vmlinux.h"
_MODULES = ("kvm", "kvm_amd", "kvm_intel")

# ----- What is expected, as data. ---------------------------------------------------------------
# Kernels are "V+" (from V on), "-V" (up to V), "V-W" or "" (all).

# Where each record's BTF is. bpf_rdonly_cast() takes types of vmlinux alone.
_RECORDS = {
    "timespec64": ("vmlinux", ""),
    "hlist_node": ("vmlinux", ""),
    "hlist_head": ("vmlinux", ""),
    "preempt_notifier": ("vmlinux", ""),
    "task_struct": ("vmlinux", ""),
    "sched_info": ("vmlinux", ""),
    "sched_entity": ("vmlinux", ""),
    "mm_struct": ("vmlinux", ""),
    "fpu_guest": ("vmlinux", "6.1+"),
    "kvm_vcpu_arch": ("vmlinux", ""),
    "kvm_vcpu": ("vmlinux", ""),
    "kvm_vcpu_stat": ("vmlinux", ""),
    "kvm_vcpu_stat_generic": ("vmlinux", "6.1+"),
    "kvm_run": ("vmlinux", ""),
    "kvm_vcpu_arch___bitmap": ("vmlinux", ""),
    "kvm_vcpu___bitmap": ("vmlinux", ""),
    "kvm": ("vmlinux", ""),
    "kvm___config": ("vmlinux", ""),
    "kvm_arch": ("vmlinux", ""),
    "kvm_arch___config": ("vmlinux", ""),
    "kvm_hv": ("vmlinux", ""),
    "kvm_xen___config": ("vmlinux", "6.1+"),
    "kvm_xen_hvm_config": ("vmlinux", ""),
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
    "vcpu_vmx.exit_qualification": "6.1-6.12",
    "vcpu_vmx.exit_intr_info": "6.1-6.12",
    "kvm_vcpu_stat.generic": "6.1+",
    "kvm_vcpu_stat.halt_poll_success_ns": "-5.10",
    "kvm_vcpu_stat.halt_poll_fail_ns": "-5.10",
    "kvm_vcpu_arch.regs_avail": "-6.12",
    "kvm_vcpu_arch.regs_dirty": "-6.12",
    "kvm_vcpu_arch.hyperv_enabled": "6.1+",
    "kvm_vcpu_arch.guest_state_protected": "6.1+",
    "kvm_vcpu_arch___bitmap.regs_avail": "7.2+",
    "kvm_vcpu_arch___bitmap.regs_dirty": "7.2+",
    "kvm_vcpu_arch___bitmap.rip": "7.2+",
    "kvm_arch.xen_hvm_config": "-6.12",
    "kvm_arch___config.xen": "6.1+",
    "kvm_xen___config.hvm_config": "7.2+",
    "vcpu_vmx___vt.vt": "7.2+",
    "kvm_x86_ops.is_vnmi_pending": "6.12+",
}

# Sizes in bytes where they are not the header's: the program reads the low half.
_SIZES = {"vmcb_control_area.exit_code": {"-6.12": 4, "7.2+": 8}}

# Offsets the program takes for granted: a struct kvm_vcpu is at the start of its vendor's struct,
# the words that load_u64() and load_two() read are those of a timespec64, and the high half of the
# exit code lies behind the low one.
_OFFSETS = [
    ("kvm_amd", "vcpu_svm.vcpu", "6.1+", 0),
    ("kvm_intel", "vcpu_vmx.vcpu", "6.1+", 0),
    ("vmlinux", "timespec64.tv_sec", "", 0),
    ("vmlinux", "timespec64.tv_nsec", "", 8),
    ("kvm_amd", "vmcb_control_area.exit_code_hi", "6.1-6.12", "vmcb_control_area.exit_code + 4"),
    ("kvm_amd", "vmcb_control_area.exit_info_1", "6.1+", "vmcb_control_area.exit_code + 8"),
    ("kvm_amd", "vmcb_control_area.exit_info_2", "6.1+", "vmcb_control_area.exit_code + 16"),
    ("kvm_intel", "vmx_exit_reason.full", "6.1+", 0),
]

# Arguments of the tracepoints: what chooses between the programs of kvm_exit, and what they read.
_TRACEPOINTS = [
    ("kvm_exit", "6.1+", 2),
    ("kvm_entry", "6.1+", 2),
    ("kvm_fpu", "6.1+", 1),
    ("kvm_page_fault", "6.1+", 3),
    ("kvm_fast_mmio", "6.1+", 1),
    ("kvm_mmio", "6.1+", 4),
]

# Fields that are a pointer to something else on kernels where nothing reads them.
_POINTERS_BEFORE = {"kvm_vcpu_arch.guest_fpu": ("-5.10", "fpu")}

# Functions: those by which the loader knows something else, and those that are traced.
_FUNCTIONS = [
    ("vmlinux", "bpf_rdonly_cast", "6.12+", None),
    ("vmlinux", "srcu_free_old_probes", "-6.12", None),
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


# ----- BTF, as bpftool prints it. -----------------------------------------------------------------
_MODIFIERS = ("TYPEDEF", "VOLATILE", "CONST", "RESTRICT", "TYPE_TAG")
_KIND_NAMES = {"INT": "integer", "PTR": "pointer", "ARRAY": "array", "STRUCT": "struct",
               "UNION": "union", "ENUM": "enum"}
_VOID = {"kind": "VOID", "name": "void"}


@dataclass(frozen=True)
class Member:
    """A field: its offset in bytes within the record asked for, its type without modifiers."""
    offset: int
    kind: str
    size: int | None
    points_to: str
    type_name: str


class Btf:
    """The types of vmlinux, or those of a module on top of it (split BTF)."""

    def __init__(self, file: Path, base: "Btf | None" = None):
        on_base = ("--base-btf", base.file) if base else ()
        done = subprocess.run(["bpftool", "--json", *on_base, "btf", "dump", "file", file],
                              check=True, stdout=subprocess.PIPE,
                              env=os.environ | {"PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"})
        self.file = file
        own = {found["id"]: found for found in json.loads(done.stdout)["types"]}
        self._types = ChainMap(own, base._types) if base else own
        # Of this file alone, and the first of a name, as CO-RE has it.
        self._named: dict[tuple[str, str], dict] = {}
        for found in own.values():
            self._named.setdefault((found["kind"], found["name"]), found)

    def _plain(self, number: int) -> dict:
        found = self._types.get(number, _VOID)
        while found["kind"] in _MODIFIERS:
            found = self._types.get(found["type_id"], _VOID)
        return found

    def _target(self, pointer: dict) -> str:
        """Name of what a pointer points to; empty: it has none, or this is no pointer."""
        if pointer["kind"] != "PTR":
            return ""
        name = self._plain(pointer["type_id"])["name"]
        return "" if name == "(anon)" else name

    def record(self, name: str) -> dict | None:
        return self._named.get(("STRUCT", name)) or self._named.get(("UNION", name))

    def has_function(self, name: str) -> bool:
        return ("FUNC", name) in self._named

    def member(self, record: dict, name: str, start: int = 0) -> Member | None:
        """A field of a record, also of records without a name within it."""
        for field_ in record["members"]:
            offset = start + field_["bits_offset"] // 8
            found = self._plain(field_["type_id"])
            if field_["name"] == name:
                size = 8 if found["kind"] == "PTR" else found.get("size")
                return Member(offset, found["kind"], size, self._target(found), found["name"])
            if field_["name"] == "(anon)" and "members" in found:
                if inner := self.member(found, name, offset):
                    return inner
        return None

    def tracepoint_arguments(self, name: str) -> int | None:
        """Of a function that takes a context before them: typedef, pointer, function."""
        typedef = self._named.get(("TYPEDEF", f"btf_trace_{name}"))
        if not typedef:
            return None
        pointer = self._plain(typedef["type_id"])
        return self._plain(pointer["type_id"])["vlen"] - 1

    def first_parameter(self, function: str) -> str:
        """What a function's first argument points to."""
        parameters = self._types[self._named["FUNC", function]["type_id"]]["params"]
        return self._target(self._plain(parameters[0]["type_id"])) if parameters else ""


# ----- The header. --------------------------------------------------------------------------------
@dataclass(frozen=True)
class HeaderField:
    record: str
    name: str
    type: str  # "u32", "struct kvm *", "unsigned long[17]"

    @property
    def path(self) -> str:
        return f"{self.record}.{self.name}"


_SCALARS = {"u8": 1, "u16": 2, "u32": 4, "s32": 4, "int": 4, "u64": 8, "s64": 8,
            "unsigned long": 8, "bool": 1}


def header_records(text: str) -> dict[str, tuple[str, list[HeaderField]]]:
    """The records between the pragmas, by name: "struct" or "union", and their fields."""
    body = text[text.index("clang attribute push"):text.index("clang attribute pop")]
    body = re.sub(r"/\*.*?\*/", "", body, flags=re.DOTALL)
    records = {}
    for kind, name, fields in re.findall(r"\b(struct|union)\s+(\w+)\s*\{(.*?)\}\s*;", body,
                                         re.DOTALL):
        records[name] = (kind, [
            HeaderField(name, found[1], re.sub(r"\s+", " ", found[0]).strip() + found[2])
            for found in re.findall(r"([\w\s]+?[\s*]+)(\w+)\s*(\[\d+\])?;", fields)])
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

    def record(self, name: str) -> tuple[str, dict] | None:
        """Where a record is: vmlinux goes before the modules, as for CO-RE."""
        for part, btf in self.parts.items():
            found = btf.record(name)
            if found:
                return part, found
        return None

    def member(self, part: str, path: str) -> Member | None:
        record, name = path.split(".")
        btf = self.parts.get(part)
        found = btf and btf.record(_without_flavour(record))
        return btf.member(found, name) if found else None


def load(version: str) -> KernelBtf:
    kernel = kernels.kernel(version)
    result = KernelBtf(version, kernel.series, kernel.release)
    base = Btf(kernels.btf(kernel, "vmlinux"))
    result.parts["vmlinux"] = base
    if kernel.module_btf:
        for module in _MODULES:
            result.parts[module] = Btf(kernels.btf(kernel, module), base)
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
                self._hold(f"{name} is a", kernel, _KIND_NAMES[found[1]["kind"]], kind)
        self._show(f"{kind} {name}", sorted(set(homes.values())), homes)
        for one in fields:
            self._header_field(one, part, kernel_range)

    def _header_field(self, one: HeaderField, part: str, kernel_range: str) -> None:
        kernel_range = _FIELDS.get(one.path, kernel_range)
        seen = {}
        for kernel in self._kernels:
            member = kernel.member(part, one.path)
            # To CO-RE an array where a number is expected is no such field, and the reverse.
            if member and (member.kind == "ARRAY") != one.type.endswith("]"):
                member = None
            self._hold(one.path, kernel, member is not None,
                       _applies(kernel_range, kernel.series))
            if member:
                seen[kernel.version] = self._hold_type(one, kernel, member)
        self._show(f"  .{one.name}", sorted(set(seen.values())), seen)

    def _hold_type(self, one: HeaderField, kernel: KernelBtf, member: Member) -> str:
        text = _KIND_NAMES.get(member.kind, member.kind)
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
        if one.type.endswith("]"):
            self._hold(f"{one.path} is a", kernel, text, "array")
            return text
        self._hold(f"{one.path} is a", kernel, f"{text} {member.type_name}",
                   _without_flavour(one.type))
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
                found = btf is not None and btf.has_function(name)
                self._hold(f"function {name} in {part}", kernel, found,
                           _applies(kernel_range, kernel.series))
                if found and wanted:
                    self._hold(f"first argument of {name}", kernel, btf.first_parameter(name),
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
