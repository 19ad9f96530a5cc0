# SPDX-License-Identifier: GPL-2.0-only
"""What exits were about, as the kernel's own histograms say, in the words of exittop's targets."""

from collections import Counter
from collections.abc import Iterator

import kernel_counts

# Leaves of CPUID whose parts are chosen by ECX.
_SUBLEAVES = {4, 7, 0xb, 0xd, 0xf, 0x10, 0x12, 0x14, 0x17, 0x18, 0x1d, 0x1e, 0x1f, 0x20, 0x23, 0x24,
              0x8000001d, 0x80000020, 0x80000026}
_PF = 14
_CR0_SELECTIVE_WRITE = 0x65
_EXCEPTIONS = {1: "#DB", 2: "NMI", 3: "#BP", 6: "#UD", 7: "#NM", 13: "#GP", 17: "#AC", 18: "#MC"}

# The exit codes that are compared, by what they are.
CODES = {"amd": {"cpuid": 0x72, "io": 0x7b, "msr": 0x7c, "hypercall": 0x81, "memory": 0x400},
         "intel": {"cpuid": 10, "hypercall": 18, "cr": 28, "dr": 29, "io": 30, "read": 31,
                   "write": 32, "apic": 44, "memory": 48, "mmio": 49}}

_COMMON = """\
kvm_exit common_pid,exit_reason,info1
kvm_msr common_pid,ecx,write
kvm_cpuid common_pid,function,index
kvm_hypercall common_pid,nr
"""
# For kernel_histograms_start() of lab/kernel_counts.sh.
HISTOGRAMS = {"amd": _COMMON + "kvm_exit common_pid,info1,info2 if exit_reason == 0x400\n",
              "intel": _COMMON + "kvm_exit common_pid,exit_reason,intr_info\n"
                                 "kvm_page_fault common_pid,fault_address,error_code\n"}

# Exits by thread and exit code; of each, how many had which target.
Expected = dict[tuple[int, int], Counter]


def leaf(number: int, subleaf: int) -> str:
    return f"leaf {number:#x}.{subleaf}" if number in _SUBLEAVES else f"leaf {number:#x}"


def port(number: int, access: str, size: int) -> str:
    return f"port {number:#x} {access} {size}"


def _access(error: int) -> str:
    """Of a page fault's error code, also of a nested one."""
    return "fetch" if error & 0x10 else "write" if error & 2 else "read"


def _page_fault(error: int) -> str:
    words = ["#PF", _access(error), "user" if error & 4 else "kernel"]
    return " ".join(words + ["protection"] * (error & 1) + ["reserved"] * (error >> 3 & 1))


def _nested_fault(info1: int, info2: int) -> str:
    reserved = info1 & 8    # how KVM marks MMIO
    address = f"{info2:#x}" if reserved else f"page {info2 & ~0xfff:#x}"
    return f"{address} {_access(info1)}"


def _svm_exit(code: int, info1: int) -> str | None:
    """The target of an exit whose code and EXITINFO1 say it (APM vol. 2, 15.7 to 15.12)."""
    if code < 0x40:
        bank = "cr" if code < 0x20 else "dr"
        return f"{bank}{code & 0xf} {'write' if code & 0x10 else 'read'}"
    if code == 0x40 + _PF:
        return _page_fault(info1)
    if code < 0x60:
        return _EXCEPTIONS[code - 0x40]
    if code == _CR0_SELECTIVE_WRITE:
        return "cr0 write"
    if code == CODES["amd"]["io"]:
        return port(info1 >> 16 & 0xffff, "in" if info1 & 1 else "out", info1 >> 4 & 7)
    return None


def _vmx_exit(code: int, info1: int) -> str | None:
    """The target of an exit whose qualification says it (SDM vol. 3, 28.2.1)."""
    codes = CODES["intel"]
    if code == codes["cr"]:
        return f"cr{info1 & 0xf} {('write', 'read', 'clts', 'lmsw')[info1 >> 4 & 3]}"
    if code == codes["dr"]:
        return f"dr{info1 & 7} {'read' if info1 & 0x10 else 'write'}"
    if code == codes["io"]:
        return port(info1 >> 16 & 0xffff, "in" if info1 & 8 else "out", (info1 & 7) + 1)
    if code == codes["apic"]:
        return f"apic {info1 & 0xfff:#x} {('read', 'write', 'fetch')[info1 >> 12 & 3]}"
    return None


def _vmx_interrupt(code: int, intr_info: int) -> str | None:
    """Exceptions other than page faults, and interrupts."""
    vector = intr_info & 0xff
    if code == 0 and vector != _PF:
        return _EXCEPTIONS[vector]
    return f"vector {vector:#x}" if code == 1 else None


def _vmx_fault(address: int, told: int, nested: bool) -> tuple[int, str]:
    """Exit code and target; `told` is the qualification of EPT, or a page fault's error code."""
    if not nested:
        return 0, _page_fault(told)
    access = "fetch" if told & 4 else "write" if told & 2 else "read"
    return CODES["intel"]["memory"], f"page {address & ~0xfff:#x} {access}"


def _target(key: dict[str, int], vendor: str, nested: bool) -> tuple[int, str | None]:
    """Exit code and target of one row; no target where another histogram has it."""
    codes = CODES[vendor]
    code = key.get("exit_reason", 0) & 0xffffffff
    match key:
        case {"ecx": msr, "write": write}:
            access = "write" if write else "read"
            return codes.get(access) or codes["msr"], f"{msr:#x} {access}"
        case {"function": number, "index": subleaf}:
            return codes["cpuid"], leaf(number & 0xffffffff, subleaf)
        case {"nr": number}:
            return codes["hypercall"], f"hypercall kvm {number}"
        case {"fault_address": address, "error_code": told}:
            return _vmx_fault(address, told, nested)
        case {"exit_reason": _, "intr_info": intr_info}:
            return code, _vmx_interrupt(code, intr_info)
        case {"exit_reason": _, "info1": info1}:
            return code, (_svm_exit if vendor == "amd" else _vmx_exit)(code, info1)
        case {"info1": info1, "info2": info2}:
            return codes["memory"], _nested_fault(info1, info2)
    raise ValueError(f"a row of an unknown histogram: {key}")


def _rows(text: str, vendor: str, nested: bool) -> Iterator[tuple[int, int, str, int]]:
    for key, count in kernel_counts.histograms(text):
        code, target = _target(key, vendor, nested)
        if target:
            yield key["common_pid"], code, target, count


def expected(text: str, vendor: str, nested: bool) -> Expected:
    """From the histograms of HISTOGRAMS; `nested`: paging is."""
    result: Expected = {}
    for tid, code, target, count in _rows(text, vendor, nested):
        result.setdefault((tid, code), Counter())[target] += count
    return result
