# SPDX-License-Identifier: GPL-2.0-only
# Shell functions for jobs: the kernel's own count of VM exits, to hold exittop's against. Read by
# init.sh; lab/kernel_counts.py reads the files they write.
#
# Where the kernel has them, a histogram on the tracepoint counts; where not (5.10), every event
# goes to the trace buffer and the guest program trace_counts adds them up into the same lines.

KVM_EXIT=/sys/kernel/tracing/events/kvm/kvm_exit
# A histogram has three keys at most: the isa, which is one for the whole host, is added below.
KEYS='hist:keys=common_pid,vcpu_id,exit_reason:size=8192'

# From here on every exit counts.
kernel_counts_start() {
    if [ -e "$KVM_EXIT/hist" ]; then
        echo "$KEYS" >"$KVM_EXIT/trigger"
    else
        echo 0 >/sys/kernel/tracing/tracing_on
        echo "${TRACE_BUFFER_KB:-65536}" >/sys/kernel/tracing/buffer_size_kb
        echo >/sys/kernel/tracing/trace
        echo 1 >"$KVM_EXIT/enable"
        echo 1 >/sys/kernel/tracing/tracing_on
    fi
}

# Writes the counts to the file named and stops counting: else kvm could not be removed.
kernel_counts_stop() {
    if [ -e "$KVM_EXIT/hist" ]; then
        cat "$KVM_EXIT/hist" >"$1"
        [ "$LAB_VENDOR" = intel ] && echo "isa: 1" >>"$1" || echo "isa: 2" >>"$1"
        echo "!$KEYS" >"$KVM_EXIT/trigger"
    else
        echo 0 >/sys/kernel/tracing/tracing_on
        echo 0 >"$KVM_EXIT/enable"
        /guests/trace_counts >"$1"
        echo 4 >/sys/kernel/tracing/buffer_size_kb
    fi
}
