# SPDX-License-Identifier: GPL-2.0-only
"""A guest that halts and cannot be woken ends at once, not by a time-out, with a message that says
where; one that may be woken goes on. Without this, a fault of an emulator looks like a hang."""

import struct
import sys

import harness
from counts import Mismatch

import workloads
from emulated_host import Job, Result

_LOAD_ADDRESS = 0x1000000
_CLI, _STI, _HLT, _JUMP_BACK = b"\xfa", b"\xfb", b"\xf4", b"\xeb\xfd"
_MODES = ("nested", "shadow")

_SCRIPT = r"""
# try NAME COMMAND...: its status and what it printed
try() {
    step "$mode: $1"
    name=$mode.$1
    shift
    timeout 30 "$@" >/out/$name 2>&1
    echo $? >/out/$name.status
}
halts() {
    mode=$1
    try linux linux_vm -kernel /guests/deaf -initrd /guests/initrd
    try woken timeout 4 linux_vm -kernel /guests/awake -initrd /guests/initrd
    try micro micro_vm --stuck
    try waiting micro_vm --stuck --halts 1
    # Each HLT lasts longer than the time after which a vCPU without progress counts as stuck.
    try long micro_vm --rounds 10 --halts 2 --halt-us 4000000
}
load_kvm 1 && halts nested && reload_kvm 0 && halts shadow
"""

# Name of a case: status, and what it said.
_STUCK = "the guest halted with interrupts off at RIP "
_CASES = {
    "linux": (1, f"linux_vm: {_STUCK}{_LOAD_ADDRESS + 2:#x}"),
    "woken": (143, None),       # ended by timeout: nothing was wrong with it
    "micro": (1, f"micro_vm: vm=0 vcpu=0: {_STUCK}"),
    "waiting": (1, f"micro_vm: vm=0 vcpu=0: {_STUCK}"),
    "long": (0, None),
}


def elf_image(code: bytes) -> bytes:
    """The least that linux_vm takes for a kernel: one segment, run from its first byte."""
    offset = 0x2000     # a kernel is larger than the page of its boot parameters
    header = struct.pack("<4s5B7xHHIQQQIHHHHHH", b"\x7fELF", 2, 1, 1, 0, 0, 2, 62, 1,
                         _LOAD_ADDRESS, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, offset, _LOAD_ADDRESS, _LOAD_ADDRESS, len(code),
                          len(code), 0x1000)
    return (header + segment).ljust(offset, b"\0") + code


def check(result: Result) -> None:
    for mode in _MODES:
        for name, (status, said) in _CASES.items():
            case = f"{mode}.{name}"
            text = result.text(case).strip()
            if int(result.text(f"{case}.status")) != status:
                raise Mismatch(f"{case}: status {result.text(f'{case}.status').strip()}: {text}")
            if said not in text if said else _STUCK in text:
                raise Mismatch(f"{case}: it said {text!r}, not {said!r}")
    print(f"  {len(_CASES)} guests in {len(_MODES)} modes; those that halted for good said so")


def main() -> int:
    options = harness.options()
    job = Job(kernel=options.kernel, vendor=options.vendor, script=_SCRIPT,
              files={"/guests/deaf": elf_image(_CLI + _HLT + _JUMP_BACK),
                     "/guests/awake": elf_image(_STI + _HLT + _JUMP_BACK),
                     "/guests/initrd": b"none"},
              programs=workloads.guest_programs(options.guests, "linux_vm", "micro_vm"))
    return harness.run(job, check)


if __name__ == "__main__":
    sys.exit(main())
