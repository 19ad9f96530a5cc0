/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Asks the kernel for the address of tdp_enabled, kvm's own variable (see kvm_compat.bpf.h). An
 * object of its own: its answer is a constant of exittop.bpf.c, and a kernel before Linux 5.16
 * (commit d6aef08a872b), which does not know the helper, takes the rest as ever.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

/* 0 if it is hidden or not there. */
u64 tdp_enabled_address;

SEC("syscall")
int find_tdp_enabled(void *ctx __attribute__((unused)))
{
	/* The helper takes no string that could change meanwhile: a copy on the stack. */
	char name[] = "tdp_enabled";

	bpf_kallsyms_lookup_name(name, sizeof(name), 0, &tdp_enabled_address);
	return 0;
}
