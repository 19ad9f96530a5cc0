/* SPDX-License-Identifier: GPL-2.0-only */
/* The least that a pair of programs on kvm_exit and kvm_entry costs: they do nothing. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("raw_tp/kvm_exit")
int exit_empty(void *ctx __attribute__((unused)))
{
	return 0;
}

SEC("raw_tp/kvm_entry")
int entry_empty(void *ctx __attribute__((unused)))
{
	return 0;
}
