#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-only
# Process 1 of an emulated host: mounts what a host has, runs /job.sh (or a shell where there is
# none), sends the files of /out back over the second serial port, and powers off.

export PATH=/bin:/guests HOME=/root

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev 2>/dev/null
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /run
mount -t tracefs tracefs /sys/kernel/tracing
mount -t debugfs debugfs /sys/kernel/debug
mount -t bpf bpf /sys/fs/bpf
ip link set lo up 2>/dev/null
hostname exittop-lab
mkdir -p /out
# As on a real host; the kernel turns it off by itself if there is little memory.
echo always >/sys/kernel/mm/transparent_hugepage/enabled
# Otherwise a VM's end or a module's removal would mostly wait for grace periods.
echo 1 >/sys/kernel/rcu_expedited

. /lab/job.env
. /lab/shell.sh

# Reports the job's progress to the machine outside.
step() {
    echo "exittop-lab: step $*"
}

# The tar is compressed, so that a damaged byte on the line shows as a wrong checksum.
send_back() {
    dmesg >/out/.dmesg 2>/dev/null
    stty -F /dev/ttyS1 raw -echo 2>/dev/null
    tar -C /out -cf - . | gzip -1 >/dev/ttyS1
}

echo "exittop-lab: up"
if [ -f /job.sh ]; then
    # In its own shell, so that the host goes on and reports whatever the job does.
    ( set +e; . /job.sh )
    echo "exittop-lab: status $?"
    send_back
    echo "exittop-lab: done"
else
    load_kvm 1
    [ -f /lab/welcome ] && cat /lab/welcome
    stty rows "$LAB_ROWS" cols "$LAB_COLUMNS"
    # Every shell has the functions of the lab.
    ENV=/lab/shell.sh setsid cttyhack sh
fi
poweroff -f
