# SPDX-License-Identifier: GPL-2.0-only
"""What counting an exit costs, tool by tool: instructions per pair of exit and entry.

Runs a guest that does nothing but exit in an emulated host, under each tool, in two boots of each
kernel. The emulated processor's clock advances by one with each instruction, so the guest's own
time stamps count instructions; the smallest of many batches is one that no interrupt disturbed, and
the mean of all batches has in it what a tool does besides (its reader in user space).
"""

import argparse
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import measuring
from overhead_tools import OWN, RIVALS, SIZE, TARGET_RIVALS, TARGETS, Reading, Tool

import kernels
import run_job
from emulated_host import Job
from lab_error import LabError, exit_with

_BOOTS = 2
_PROGRAMS = {"/usr/bin/perf": Path("/usr/bin/perf"), "/usr/bin/bpftrace": Path("/usr/bin/bpftrace")}
_LOOP = f"""#!/bin/sh
exec /bin/exit_loop_vm $LOOP {SIZE} >/tmp/loop.txt
"""
_RESULT = re.compile(r"least=([\d.]+) mean=([\d.]+) exits=(\d+) kvm_exits=(\d+)")


@dataclass(frozen=True)
class Run:
    """One tool in one boot."""
    least: float        # instructions per exit, in the batch with the fewest
    mean: float         # in all batches
    exits: int          # that the guest made
    kvm_exits: int      # that KVM counted, interrupts and page faults among them
    reading: Reading


# By names of tool and loop.
Runs = dict[tuple[str, str], Run]


@dataclass(frozen=True)
class Boot:
    """What one boot of a host gave: the runs, and what a start of exittop takes."""
    runs: Runs
    start_s: float      # one instruction to a ns


def _named(tools: tuple[Tool, ...]) -> list[tuple[str, Tool, str]]:
    """Every tool with each of its loops, and a name for their files."""
    return [(f"{tool.name}-{loop}", tool, loop) for tool in tools for loop in tool.loops]


def _script(tools: tuple[Tool, ...]) -> str:
    parts = ["export PATH=/usr/bin:$PATH\nload_kvm 1 || exit 1\nsleep 10\n"
             "cat /proc/cpuinfo >/out/cpuinfo.txt\n"]
    for name, tool, loop in _named(tools):
        parts.append(f"step {name}\nOUT=/out/{name}.txt\nexport LOOP={loop}\n"
                     f"( {tool.script}\n ) 2>/out/{name}.err\n"
                     f"mv /tmp/loop.txt /out/{name}.loop || exit 1\n")
    parts.append("step start\ncat /proc/uptime >/out/start.txt\n"
                 "exittop dump -- cat /proc/uptime >>/out/start.txt 2>/dev/null\n")
    return "".join(parts)


def boot(version: str, vendor: str, tools: tuple[Tool, ...], programs: dict[str, Path],
         keep: Path | None) -> Boot:
    """Runs every tool once in a fresh host."""
    rivals = any(tool.rival for tool in tools)
    job = Job(kernel=version, vendor=vendor, script=_script(tools), icount=vendor == "amd",
              files={"/bin/loop": _LOOP.encode()},
              programs=programs | (_PROGRAMS if rivals else {}),
              memory_mib=2048 if rivals else None, timeout_s=1500,
              on_step=lambda text: print(f"{version} {vendor}: {text}", file=sys.stderr))
    result = run_job.run(job)
    if keep:
        for name, content in result.out.items():
            target = keep / f"{vendor}-{version}" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
    measuring.require_success(job, result)
    runs = {}
    for name, tool, loop in _named(tools):
        least, mean, exits, kvm_exits = _RESULT.search(_text(result.out, f"{name}.loop")).groups()
        runs[tool.name, loop] = Run(float(least), float(mean), int(exits), int(kvm_exits),
                                    tool.read(_text(result.out, f"{name}.txt")))
    before, at_command = (float(line.split()[0])
                          for line in _text(result.out, "start.txt").splitlines()[:2])
    return Boot(runs, at_command - before)


def _text(out: dict[str, bytes], name: str) -> str:
    return out.get(name, b"").decode(errors="replace")


def is_right(run: Run) -> str:
    """Whether a tool's count is that of the guest (of its loop), or KVM's own (of all exits)."""
    reading = run.reading
    if reading.uncounted is not None:
        return "none, as it says" if reading.uncounted >= run.exits else "no"
    if reading.of_loop is not None:
        if reading.of_loop == run.exits:
            return "yes"
        return f"no: {reading.of_loop:,} of {run.exits:,}"
    if reading.exits is not None:
        # KVM goes on counting until the guest's program has read its counter.
        near = abs(reading.exits - run.kvm_exits) <= 5
        return "yes" if near else f"no: {reading.exits:,} of {run.kvm_exits:,}"
    return "-"


def cost(runs: Runs, tool: Tool, loop: str = "cpuid") -> float:
    """Instructions that a tool adds to one turn of a loop: its run beside the one without it."""
    return runs[tool.name, loop].least - runs[tool.without, loop].least


def traced(tools: tuple[Tool, ...]) -> list[Tool]:
    """The tools that do trace."""
    return [tool for tool in tools if tool.without]


def _rows(tools: tuple[Tool, ...], boots: list[Runs]) -> list[tuple[str, ...]]:
    floor = cost(boots[0], next(tool for tool in tools if tool.name == "floor"))
    rows = [("tool", "instructions", "2nd boot", "x floor", "in all", "CPUID exit takes",
             "counts right?")]
    for tool in traced(tools):
        first, *others = (cost(boot, tool) for boot in boots)
        run = boots[0][tool.name, "cpuid"]
        in_all = run.mean - boots[0][tool.without, "cpuid"].mean
        rows.append((tool.title, f"{first:.0f}",
                     " ".join(f"{other - first:+.0f}" for other in others),
                     f"{first / floor:.2f}", f"{in_all:.0f}", run.reading.mean, is_right(run)))
    return rows


def _split_rows(boots: list[Runs]) -> list[tuple[str, ...]]:
    """What exits cost that are looked at when they end."""
    loops = {"long": "8 us and more", "out": "to the VMM", "halt": "halt"}
    rows = [("tool", *loops.values(), "2nd boot")]
    for tool in traced(OWN):
        first, *others = [[cost(boot, tool, loop) for loop in loops] for boot in boots]
        rows.append((tool.title, *(str(round(cost)) for cost in first),
                     "; ".join(", ".join(f"{round(there - here):+d}"
                                         for here, there in zip(first, other))
                               for other in others)))
    return rows


def _target_cell(tool: Tool, loop: str, boots: list[Runs]) -> str:
    """What it costs, in both boots where they differ, and what is wrong with its count."""
    costs = [round(cost(boot, tool, loop)) for boot in boots]
    right = is_right(boots[0][tool.name, loop]) if tool.rival else "yes"
    return " / ".join(map(str, sorted(set(costs)))) + ("" if right == "yes" else f" ({right})")


def _target_rows(tools: tuple[Tool, ...], boots: list[Runs]) -> list[tuple[str, ...]]:
    """What an exit of each kind costs where tools tell what it was about, and where not."""
    rows = [("tool", *TARGETS.values())]
    for title in dict.fromkeys(tool.title for tool in tools):
        by_loop = {loop: tool for tool in tools if tool.title == title for loop in tool.loops}
        rows.append((title, *(_target_cell(by_loop[loop], loop, boots) if loop in by_loop else "-"
                              for loop in TARGETS)))
    return rows


def _table(rows: list[tuple[str, ...]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |"
             for row in rows]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines) + "\n"


def measure(version: str, vendor: str, options: argparse.Namespace) -> str:
    """The tables of one kernel, as Markdown."""
    rivals, target_rivals = (RIVALS, TARGET_RIVALS) if not options.own and vendor == "amd" else \
        ((), ())
    programs = {f"/bin/{name}": options.build / name
                for name in ("exittop", "floor", "exit_loop_vm")}
    release = kernels.kernel(version).release
    with ThreadPoolExecutor(_BOOTS) as pool:    # their clocks count instructions, not time
        boots = list(pool.map(lambda number: boot(version, vendor, OWN + rivals + target_rivals,
                                                  programs, options.keep
                                                  and options.keep / f"boot-{number}"),
                              range(1, _BOOTS + 1)))
    runs = [boot.runs for boot in boots]
    by_target = tuple(tool for tool in OWN if "wbinvd" in tool.loops and tool.without)
    return (f"### Linux {release}, {measuring.VENDORS[vendor]}\n\n"
            + _table(_rows(OWN + rivals, runs)) + "\n" + _table(_split_rows(runs))
            + "\n" + _table(_target_rows(by_target + target_rivals, runs))
            + (f"\nStart: {boots[0].start_s * 1000:.0f} million instructions\n"
               if vendor == "amd" else ""))     # the Intel host's clock goes on while it waits


_ABOUT = """# What counting costs

`tests/bench/overhead --write docs/cost.md` writes this page. It needs root, installs the other
tools from Debian's packages, and takes a quarter of an hour on two CPUs. `tests/bench/overhead
--own --kernel 6.12` measures only exittop, in two minutes. `ctest -R lab.cost` fails if exittop's
cost on 6.1 exceeds a limit.

## Instructions per exit and entry

In the first table of each kernel, the guest does nothing but CPUID, in an emulated host
(`mitigations=off`, one CPU) whose clock advances by one per instruction. The columns:

- *instructions*: what a pair of exit and entry takes beyond no tracing. It is measured in batches
  of 200 exits; the figure is from the cheapest of 120 batches, which no interrupt disturbed.
- *2nd boot*: the difference measured in another boot.
- *in all*: the mean of all batches. It includes the tool's own process and timer interrupts, which
  vary by some dozens. In these 80 ms, exittop also reads once who the new VM is, and until its
  first look, a program learns when KVM counts an exit.
- *CPUID exit takes*: the mean time in ns that the tool reports, one ns per instruction. The excess
  over the smallest value in the column is the tool's own overhead.
- *counts right?*: whether the CPUID exits equal the guest's own number, or all exits equal KVM's.

Instructions are not cycles: on hardware, a clock read or a cache miss costs more. The emulated
Intel host also counts instructions, but its clock is coarser, as the differences between its boots
show.

These are costs of a vCPU whose slot is the first that is looked at. In the second, an exit and its
entry cost some 60 more; further behind, some 200. One vCPU in ten is not in its first slot where
800 share 4,096, nor is one whose VM was started again before the ended VM's counts were read.

Most of exittop's cost above the floor has known parts. Two clock reads (bpf_ktime_get_ns) take 98
instructions on 6.1 and 6.12. Reading the exit code takes 86 on 6.1 (bpf_probe_read_kernel) and 8
since 6.2 (bpf_rdonly_cast). The histogram takes 13. The rest is about 70 in both programs, by their
machine code: finding the slot 12 each, guest level and exit code 12, finding the reason's cell 8,
adding 23, and a few to save registers. The goal is twice the floor (340 on 6.12). Kernels up to 7.3
offer BPF programs no cheaper clock.

`perf kvm stat live` loses exits here because its reader is slow in an emulated host. Its counts
here say nothing about hardware.

Exits of less than 8 us that stay in the kernel take the fast path. Of all others, exittop also
looks where the time went when they end. The second table of each kernel shows what these cost:
exits of *8 us and more* on one CPU, here an OUT that wakes many watchers; exits *to the VMM*, an
OUT with two kvm_fpu events beyond its exit; and a *halt*, a HLT that waits in the kernel until an
NMI comes (two exits on AMD). On Linux 7 kvm_fpu is a classic tracepoint, as the kernel does not run
a program on a raw one each time.

The third table shows what it costs to know what an exit was about (`--targets`), by the kind of
exit. None of these exits goes to the VMM: the port of *I/O* and the address of *npf* signal an
eventfd. *another* is WBINVD, which has no target. The other tools are those that tell such targets,
one kind at a time and for all VMs together: hist triggers and bpftrace on the event that has it
(kvm_cpuid, kvm_msr, kvm_pio, kvm_page_fault), and `perf kvm stat report --event` (msr, ioport,
mmio). In brackets is what they miss; of *npf*, the first exit has another address, as KVM does not
know yet that it is a device's.

*Start* is the time from starting exittop until everything is attached and its command runs. At one
instruction per ns, which today's processors exceed, a million instructions is a millisecond.

"""


_GROWTH = """\
## Growth, counted

VMs of 8 vCPUs and 20 reasons, on Linux 6.12 in the emulated host. There, a millisecond (of CPU /
wall time) is a million instructions, and cache misses cost nothing: the work grows with the number
of vCPUs.

"""
_GROWTH_SCRIPT = """
load_kvm 1 || exit 1
sleep 5
cost_bench growth >/out/growth.txt || exit 1
"""


def growth(options: argparse.Namespace) -> str:
    """How snapshots, refreshes and exports grow with the VMs, in instructions, as Markdown."""
    job = Job(kernel="6.12", vendor="amd", script=_GROWTH_SCRIPT, icount=True, memory_mib=2048,
              programs={"/bin/cost_bench": options.build / "cost_bench"}, timeout_s=1500)
    result = run_job.run(job)
    measuring.require_success(job, result)
    return _GROWTH + result.text("growth.txt").partition("\n\n")[2]


_MEMORY = """\
*snapshot* reads everything, with all histograms, as `exittop dump` does once. *live refresh* reads
the sums that the screen shows, and draws them. *export* is one full update of the metrics,
including the file; its wall time depends on the disk. All three take longer per vCPU once slots and
values (some 5 KiB read or made per vCPU) no longer fit the processor's caches; the instruction
counts above do not show this.

Kernel memory is allocated at the start, for as many vCPUs as `--max-vcpus` says (default 4,096). It
is %.1f KiB per vCPU (its slot and entries in two hash maps) and %.0f KiB for everything else. In
the table, exittop has room for exactly as many vCPUs as are in use.
"""


def _memory(tables: str) -> str:
    """_MEMORY with the last column of a table of growth divided into both."""
    rows = [(int(vcpus), float(kib)) for vcpus, kib in
            re.findall(r"(?m)^\| \d+ \| (\d+) \| [^|]*/.* ([\d.]+) \|$", tables)]
    (few, kib_few), (many, kib_many) = rows[0], rows[-1]
    per_vcpu = (many * kib_many - few * kib_few) / (many - few)
    return _MEMORY % (per_vcpu, few * (kib_few - per_vcpu))


def _native(build: Path) -> str:
    """What this machine takes, as Markdown; needs root."""
    done = subprocess.run([build / "cost_bench"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"cost_bench ended with status {done.returncode}: {done.stderr.strip()}",
                       done.returncode)
    return f"## On the machine that wrote this\n\n{done.stdout}\n{_memory(done.stdout)}"


def document(sections: list[str], native: str) -> str:
    return _ABOUT + "\n".join(sections) + "\n" + native


def main() -> int:
    parser = measuring.parser(__doc__)
    parser.add_argument("--own", action="store_true", help="exittop and the floor alone")
    parser.add_argument("--growth", action="store_true", help="how it grows with the VMs, alone")
    parser.add_argument("--keep", type=Path, help="keep what the tools said in this folder")
    parser.add_argument("--write", type=Path, metavar="FILE",
                        help="write all tables, of this machine too, as a page")
    options = parser.parse_args()
    if options.growth:
        print(growth(options))
        return 0
    sections = []
    for version in options.kernel or ["6.1", "6.12", "7.3"]:
        sections.append(measure(version, options.vendor, options))
        print(sections[-1], flush=True)
    if options.write:
        sections += [measure("6.12", "intel", options), growth(options)]
        options.write.write_text(document(sections, _native(options.build)))
    return 0


if __name__ == "__main__":
    exit_with(main)
