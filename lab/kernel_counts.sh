# SPDX-License-Identifier: GPL-2.0-only
# Shell functions for jobs: the kernel's own count of VM exits, to compare with exittop's. Read by
# init.sh; lab/kernel_counts.py reads the files they write. EVENT is kvm_exit where none is named,
# or another tracepoint of kvm with the same fields: kvm_nested_vmexit.
#
# Where the kernel has them, a histogram on the tracepoint counts; where not (5.10), every event
# goes to a trace buffer of its own and the guest program trace_counts adds them up into the same
# lines.

KVM_EVENTS=/sys/kernel/tracing/events/kvm
# A histogram has at most three keys, so the isa, which is the same for the whole host, is added
# below.
KEYS='hist:keys=common_pid,vcpu_id,exit_reason:size=8192'

WAITS=$KVM_EVENTS/kvm_vcpu_wakeup
WAIT_KEYS='hist:keys=common_pid:vals=ns:size=8192'
WAITS_BUFFER=/sys/kernel/tracing/instances/waits

# Starts counting every exit: kernel_counts_start [EVENT]
kernel_counts_start() {
    event=${1:-kvm_exit}
    if [ -e "$KVM_EVENTS/$event/hist" ]; then
        echo "$KEYS" >"$KVM_EVENTS/$event/trigger"
    else
        buffer=/sys/kernel/tracing/instances/$event
        mkdir "$buffer"
        echo "${TRACE_BUFFER_KB:-65536}" >"$buffer/buffer_size_kb"
        echo 1 >"$buffer/events/kvm/$event/enable"
    fi
}

# Writes the counts of a histogram so far to FILE: kernel_counts_show FILE [EVENT]
kernel_counts_show() {
    cat "$KVM_EVENTS/${2:-kvm_exit}/hist" >"$1"
    [ "$LAB_VENDOR" = intel ] && echo "isa: 1" >>"$1" || echo "isa: 2" >>"$1"
}

# Writes the counts to FILE and stops counting, because kvm could not be removed otherwise:
#   kernel_counts_stop FILE [EVENT]
kernel_counts_stop() {
    event=${2:-kvm_exit}
    if [ -e "$KVM_EVENTS/$event/hist" ]; then
        kernel_counts_show "$1" "$event"
        echo "!$KEYS" >"$KVM_EVENTS/$event/trigger"
    else
        buffer=/sys/kernel/tracing/instances/$event
        echo 0 >"$buffer/tracing_on"
        echo 0 >"$buffer/events/kvm/$event/enable"
        /guests/trace_counts "$event" >"$1"
        rmdir "$buffer"
    fi
}

# How long the vCPU of each thread waited in HLT, until kernel_waits_stop FILE. Without histograms:
# the few events one by one, added up in the same form.
kernel_waits_start() {
    if [ -e "$WAITS/hist" ]; then
        echo "$WAIT_KEYS" >"$WAITS/trigger"
    else
        mkdir "$WAITS_BUFFER"
        echo 1 >"$WAITS_BUFFER/events/kvm/kvm_vcpu_wakeup/enable"
    fi
}

kernel_waits_stop() {
    if [ -e "$WAITS/hist" ]; then
        cat "$WAITS/hist" >"$1"
        echo "!$WAIT_KEYS" >"$WAITS/trigger"
        return
    fi
    echo 0 >"$WAITS_BUFFER/events/kvm/kvm_vcpu_wakeup/enable"
    sed -nE 's/^.*-([0-9]+) +\[.*kvm_vcpu_wakeup: .* time (-?[0-9]+) ns.*$/\1 \2/p' \
        "$WAITS_BUFFER/trace" | awk '
        { sum[$1] += $2; count[$1]++ }
        END {
            for (tid in sum) {
                printf "{ common_pid: %d } hitcount: %d  ns: %d\n", tid, count[tid], sum[tid]
            }
            printf "Hits: %d\n", NR
        }' >"$1"
    cat "$WAITS_BUFFER"/per_cpu/cpu*/stats | awk '
        /^(overrun|dropped events)/ { dropped += $NF }
        END { printf "Dropped: %d\n", dropped }' >>"$1"
    rmdir "$WAITS_BUFFER"
}

# Histograms of events of kvm by any keys, on kernels that have them. Each line of LIST names one:
#   EVENT KEY,KEY... [if FILTER]
# kernel_histograms_start LIST; kernel_histograms_stop LIST writes them all to standard output.
kernel_histograms_start() {
    while read -r event keys filter; do
        echo "hist:keys=$keys:size=8192 $filter" >>"$KVM_EVENTS/$event/trigger" || return 1
    done <"$1"
}

kernel_histograms_stop() {
    cut -d' ' -f1 "$1" | sort -u | while read -r event; do
        cat "$KVM_EVENTS/$event/hist"
    done
    while read -r event keys filter; do
        echo "!hist:keys=$keys:size=8192 $filter" >>"$KVM_EVENTS/$event/trigger"
    done <"$1"
}
