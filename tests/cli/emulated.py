# SPDX-License-Identifier: GPL-2.0-only
"""Runs command lines in an emulated AMD host in which a VM called web1 is busy, unless
something else is: else it would have half of the time."""

import sys
from dataclasses import dataclass

from command_line import BUILD, EXITTOP, SOURCE

sys.path.insert(0, str(SOURCE / "lab"))

import run_job
from emulated_host import Job

_SUDO = b'#!/bin/sh\nexec "$@"\n'
_PROLOGUE = """
load_kvm 1 || exit 1
sh -c 'renice -n 19 $$ && exec "$@"' sh micro_vm --vcpus 2 --rounds 4000000000 --quiet -- \\
    qemu-system-x86_64 -name guest=web1 &
vm=$!
mkdir -p /var/lib/prometheus/node-exporter
cd /tmp
"""
_EPILOGUE = "kill $vm\n"


@dataclass(frozen=True)
class Done:
    line: str
    status: int
    stdout: str
    stderr: str


def run_lines(lines: list[tuple[str, int]], at_once: int = 1) -> list[Done]:
    """What each shell command did, of which so many run at once. After its seconds one gets a
    Ctrl-C, or where several run SIGTERM, as a shell's commands in the background ignore the other.
    """
    return run_lines_and_keep(lines, at_once)[0]


def run_lines_and_keep(lines: list[tuple[str, int]],
                       at_once: int = 1) -> tuple[list[Done], dict[str, bytes]]:
    """The same, and the files that they left in /out."""
    script = _PROLOGUE
    files = {"/bin/sudo": _SUDO}
    signal = "INT" if at_once == 1 else "TERM"
    for number, (line, seconds) in enumerate(lines):
        files[f"/lines/{number}"] = f"#!/bin/sh\n{line}\n".encode()
        script += (f"step line {number}\n"
                   f"(timeout -s {signal} {seconds} /lines/{number} >/out/{number}.out "
                   f"2>/out/{number}.err; echo $? >/out/{number}.status)")
        if at_once == 1:
            script += "\n"
            continue
        script += " &\nothers=\"$others $!\"\n"
        if number % at_once == at_once - 1 or number == len(lines) - 1:
            # Named, as a bare wait would wait for the VM too.
            script += "wait $others\nothers=\n"
    job = Job(kernel="6.1", vendor="amd", script=script + _EPILOGUE, files=files,
              programs={"/bin/exittop": EXITTOP, "/bin/micro_vm": BUILD / "lab/guests/micro_vm"},
              timeout_s=1500)
    result = run_job.run(job)
    if result.splats:
        raise AssertionError(f"the emulated host's kernel complained: {result.splats[0]}")
    done = [Done(line, int(result.text(f"{number}.status")), result.text(f"{number}.out"),
                 result.text(f"{number}.err")) for number, (line, _) in enumerate(lines)]
    return done, result.out
