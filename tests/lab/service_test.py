# SPDX-License-Identifier: GPL-2.0-only
"""The Debian package's service under a real systemd, with all of its sandbox, on a real kernel.

A minimal Debian with the package installed, the one of tests/cli/package_test.py, runs as a
container of the emulated host: systemd starts the unit, exittop counts a VM of the host as the
unit's own user and says that it is ready, the link for node_exporter comes and goes with the
service.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

for folder in ("cli", "distro"):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / folder))

import harness
from counts import Mismatch
from debian_root import DebianRoot, host_suite
from package_test import WITH, control_field, depends_of, make_package

import workloads
from emulated_host import Job, Result

_LEFT_OUT = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/zoneinfo",
             "var/lib/apt", "var/cache", "usr/lib/x86_64-linux-gnu/gconv", "usr/lib/udev/hwdb.d",
             "usr/lib/x86_64-linux-gnu/perl-base")

_SCRIPT = r"""
load_kvm 1 || exit 1
echo 1 >/proc/sys/kernel/kptr_restrict
echo 3 >/proc/sys/kernel/perf_event_paranoid
micro_vm --rounds 4000000000 --quiet -- qemu-system-x86_64 -name guest=served &
mkdir /debian
mount -t tmpfs -o size=1g none /debian
tar -C /debian -xf /debian.tar && rm /debian.tar
cp /lab/check.sh /debian/usr/local/sbin/check
cat >/debian/etc/systemd/system/check.service <<'END'
[Unit]
After=basic.target
[Service]
Type=oneshot
ExecStart=/usr/local/sbin/check
ExecStopPost=/bin/systemctl --no-block poweroff
END
mount -t cgroup2 none /sys/fs/cgroup
for folder in sys dev; do mount --rbind /$folder /debian/$folder; done
mount --bind /out /debian/mnt
step "systemd"
unshare -p -f -m sh -c 'mount -t proc proc /debian/proc
    exec env container=lxc chroot /debian /lib/systemd/systemd --unit=check.service' \
    >/out/systemd.log 2>&1 </dev/null
[ -e /out/done ]
"""

_CHECK = r"""#!/bin/sh
cd /mnt
link=/var/lib/prometheus/node-exporter/exittop.prom
mkdir -p /var/lib/prometheus/node-exporter
systemctl is-enabled exittop >enabled
systemctl start exittop; echo $? >started
systemctl show -p ActiveState,StatusText,NotifyAccess,User,NRestarts exittop >shown
pid=$(systemctl show -p MainPID --value exittop)
grep -E '^(Uid|Cap(Eff|Bnd)|NoNewPrivs|Seccomp):' /proc/$pid/status >status
sleep 4
cat $link >metrics.prom
ls -l $link /run/exittop >files
systemctl stop exittop; echo $? >stopped
ls -d $link /run/exittop/* >left 2>/dev/null
journalctl --no-pager -u exittop >journal 2>&1
touch done
"""


def debian_with(package: Path, folder: Path) -> Path:
    """A tar of the minimal Debian in which the package is installed, without what nobody reads."""
    tar = folder / "debian.tar"
    with DebianRoot(host_suite()) as root:
        root.install(*WITH, *depends_of(package)).check_returncode()
        (root.path / "tmp/exittop.deb").write_bytes(package.read_bytes())
        root.run("dpkg", "--install", "/tmp/exittop.deb").check_returncode()
        drop_in = root.path / "etc/systemd/system/exittop.service.d/test.conf"
        drop_in.parent.mkdir(parents=True)
        drop_in.write_text('[Service]\nEnvironment="EXITTOP_OPTIONS=--interval 1"\n')
        subprocess.run(["tar", "-C", root.path, *(f"--exclude=./{name}" for name in _LEFT_OUT),
                        "-cf", tar, "."], check=True)
    return tar


def check(result: Result) -> None:
    wanted = {"enabled": "disabled", "started": "0", "stopped": "0", "left": ""}
    found = {name: result.text(name).strip() for name in wanted}
    if found != wanted:
        raise Mismatch(f"{found}, not {wanted}: {result.text('journal')}")
    shown = dict(line.split("=", 1) for line in result.text("shown").splitlines())
    if (shown["ActiveState"], shown["User"], shown["NRestarts"]) != ("active", "exittop", "0"):
        raise Mismatch(f"the service is {shown}")
    status = {line.split(":")[0]: line.split()[1] for line in result.text("status").splitlines()}
    both = f"{1 << 38 | 1 << 39:016x}"      # CAP_PERFMON, CAP_BPF
    if (status["CapEff"], status["CapBnd"]) != (both, both) or status["Uid"] == "0":
        raise Mismatch(f"it runs with {status}")
    if (status["NoNewPrivs"], status["Seccomp"]) != ("1", "2"):
        raise Mismatch(f"its sandbox is {status}")
    metrics = result.text("metrics.prom")
    # Its name by the kernel's help: in the /proc of the container there is no process of the VM.
    exits = re.search(r'^exittop_vm_exits_total\{vm="served",reason="cpuid"\} (\d+)$', metrics,
                      re.MULTILINE)
    if not exits or int(exits[1]) < 100:
        raise Mismatch(f"the metrics of the VM:\n{metrics}")
    if 'paging="npt"' not in metrics:
        raise Mismatch("the VM's paging is not told")
    print(f"  user {status['Uid']}, capabilities {status['CapEff']}: {exits[1]} cpuid exits")


def main() -> int:
    options = harness.options()
    programs = workloads.guest_programs(options.guests, "micro_vm")
    with tempfile.TemporaryDirectory(prefix="exittop-service-") as name:
        folder = Path(name)
        package = make_package(folder)
        tar = debian_with(package, folder)
        version, mib = control_field(package, "Version"), tar.stat().st_size >> 20
        print(f"  {package.name} {version}, {mib} MiB")
        job = Job(kernel=options.kernel, vendor="amd", script=_SCRIPT, timeout_s=500,
                  memory_mib=2048, files={"/debian.tar": tar, "/lab/check.sh": _CHECK.encode()},
                  programs=programs)
        return harness.run(job, check)


if __name__ == "__main__":
    sys.exit(main() if os.geteuid() == 0 else 77)
