# SPDX-License-Identifier: GPL-2.0-only
"""The BPF program as clang 14 and clang 19 compile it: both load and count right on one kernel, and
the verifier's figures of both are printed side by side."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import harness
from counts import Mismatch, compare, lost

import workloads
from emulated_host import Job, Result

_VERSIONS = ("14", "19")
_SVM = 2

_SCRIPT = r"""
load_kvm 1
for clang in {clangs}; do
    step "the program of clang $clang"
    exittop-$clang check >/out/$clang.check 2>&1
    cat >/tmp/session.sh <<END
. /lab/job.env
. /lab/shell.sh
kernel_counts_start
micro_vm --vms 2 --vcpus 2 --rounds 200 >/out/$clang.guests
kernel_counts_stop /out/$clang.counts
END
    exittop-$clang dump --format json -- /bin/busybox sh /tmp/session.sh >/out/$clang.json \
        2>/out/$clang.err || exit 1
done
"""


def of_debian_here(version: str) -> bool:
    """Whether this machine's archive has that clang."""
    done = subprocess.run(["apt-cache", "policy", f"clang-{version}"], capture_output=True,
                          text=True, check=False)
    return bool(re.search(r"Candidate: [^(]", done.stdout))


def require_all(built: dict[str, str]) -> None:
    """Every clang that is available must be tested."""
    for version in _VERSIONS:
        if version in built:
            continue
        if shutil.which(f"clang-{version}"):
            raise Mismatch(f"clang-{version} came after this build was configured: make it anew")
        if of_debian_here(version):
            raise Mismatch(f"not built with clang {version}: install the package clang-{version}")
        print(f"  clang {version}: not tried, apt has no package clang-{version} here")


def figures(check_text: str) -> dict[str, str]:
    """What `exittop check` says of each program that the kernel took, by the program's name."""
    found = re.findall(r"^ok +program +(\S+): (\d+) instructions verified, (\d+) bytes", check_text,
                       re.MULTILINE)
    return {program: f"{verified:>6} {size:>6}" for program, verified, size in found}


def check(result: Result, versions: list[str], kernel: str) -> None:
    # Since 7.0 a task may be preempted within a tracepoint; that affects only the split of time.
    may_lose = {"split_missed"} if kernel.startswith("7.") else set()
    of_program: dict[str, dict[str, str]] = {}
    for version in versions:
        run = json.loads(result.text(f"{version}.json"))
        said = compare(run, result.text(f"{version}.counts"), result.text(f"{version}.guests"),
                       _SVM)
        if losses := lost(run, may_lose):
            raise Mismatch(f"clang {version}: lost {losses}")
        print(f"  clang {version}: {said}")
        found = figures(result.text(f"{version}.check"))
        if not found:
            raise Mismatch(f"clang {version}: exittop check has no figures of the verifier:\n"
                           + result.text(f"{version}.check"))
        for program, text in found.items():
            of_program.setdefault(program, {})[version] = text
    print(f"  {'instructions verified, bytes':<28}"
          + "".join(f"   clang {version:<7}" for version in versions))
    for program, texts in of_program.items():
        cells = (texts.get(version, "not loaded") for version in versions)
        print(f"  {program:<28}" + "".join(f"   {cell:<13}" for cell in cells))
        if len(texts) != len(versions):
            raise Mismatch(f"{program}: not loaded as each clang compiles it")


def main() -> int:
    options = harness.options()
    built = dict(word.split("=", 1) for word in options.clang)
    try:
        require_all(built)
    except Mismatch as mismatch:
        print(f"FAILED: {mismatch}")
        return 1
    programs = {f"/bin/exittop-{version}": Path(path) for version, path in built.items()}
    job = Job(kernel=options.kernel, vendor="amd", timeout_s=300,
              script=_SCRIPT.replace("{clangs}", " ".join(built)),
              programs=programs | workloads.guest_programs(options.guests, "micro_vm",
                                                           "trace_counts"))
    return harness.run(job, lambda result: check(result, list(built), options.kernel))


if __name__ == "__main__":
    sys.exit(main())
