/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * All of KVM's history that the BPF program has to know: one accessor per quirk, with the change
 * that made it. The loader decides by BTF, never by version, and says what it found in the
 * constants below; the verifier then removes what does not apply.
 */
#ifndef EXITTOP_KVM_COMPAT_BPF_H
#define EXITTOP_KVM_COMPAT_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

/* arch/x86/kvm/trace.h */
#define KVM_ISA_VMX 1
#define KVM_ISA_SVM 2

/*
 * How a program reads kernel memory, by the way it is attached; a constant of each shim.
 *
 * Linux 6.2 has bpf_rdonly_cast() (commit a35b9af4ec2c): any kernel address can be read with a plain
 * load that faults to 0, a fifth of what a call of bpf_probe_read_kernel() costs. Before that, a
 * tracepoint with BTF gives at least a vCPU that can be read as such.
 */
enum read_by { READ_BY_CAST, READ_BY_BTF, READ_BY_HELPER };
extern void *bpf_rdonly_cast(void *object, u32 btf_id) __ksym __weak;

/*
 * HF_GUEST_MASK in vcpu->arch.hflags: bit 5, and bit 0 since Linux 6.4 (commit 916b54a7688b moved its
 * neighbours away). A macro, so BTF does not have it; the loader looks for a function of the same
 * series, kvm_get_nr_pending_nmis().
 */
const volatile u32 hf_guest_mask = 1 << 5;

/*
 * Address of tdp_enabled, kvm.ko's own variable: TDP on or off, as the vendor module that is loaded
 * now decided. It has no BTF; the loader takes it from /proc/kallsyms, where all kernels from 5.10 to
 * 7.3 have it. (libbpf finds such symbols too, but spends four fifths of the start on it.)
 */
const volatile u64 tdp_enabled_address = 0;

/* Low half of a word. The verifier lets a typed pointer be cut to 32 bits, but not be shifted. */
static __always_inline u32 low_half(u64 word)
{
	u32 low;

	asm volatile("%0 = %1" : "=w"(low) : "w"((u32)word));
	return low;
}

/* The word at a kernel address; 0 if it cannot be read. */
static __always_inline u64 load_u64(u64 address, const enum read_by by)
{
	u64 value = 0;

	/* The cast takes type ids of vmlinux alone; a list_head begins with a word of this size. */
	if (by == READ_BY_CAST) {
		struct list_head *word = bpf_rdonly_cast((void *)address,
							 bpf_core_type_id_kernel(struct list_head));
		return (u64)word->next;
	}
	bpf_probe_read_kernel(&value, sizeof(value), (void *)address);
	return value;
}

/* Whether the CPU ran L2, rather than L1, when it left the guest. */
static __always_inline bool ran_l2(u64 vcpu, const enum read_by by)
{
	struct kvm_vcpu *typed = (void *)vcpu;

	if (by == READ_BY_HELPER)
		return BPF_CORE_READ(typed, arch.hflags) & hf_guest_mask;
	if (by == READ_BY_CAST)
		typed = bpf_rdonly_cast(typed, bpf_core_type_id_kernel(struct kvm_vcpu));
	return typed->arch.hflags & hf_guest_mask;
}

/*
 * Offset of the VMX exit reason in struct vcpu_vmx; struct vcpu_vt took it in Linux 6.16 (commit
 * 7172c753c26a). 0 if kvm_intel is not there.
 */
static __always_inline u32 vmx_exit_reason_offset(void)
{
	struct vcpu_vmx___vt *vt = 0;

	if (bpf_core_field_exists(vt->vt))
		return bpf_core_field_offset(vt->vt) +
		       bpf_core_field_offset(struct vcpu_vt, exit_reason);
	if (bpf_core_field_exists(struct vcpu_vmx, exit_reason))
		return bpf_core_field_offset(struct vcpu_vmx, exit_reason);
	return 0;
}

/* The full exit reason of the last exit, flags included. */
static __always_inline u32 vmx_exit_code(u64 vcpu, const enum read_by by)
{
	return low_half(load_u64(vcpu + vmx_exit_reason_offset(), by));
}

/* Address of the VMCB that L1 runs on: allocated with the vCPU, never replaced. 0 without kvm_amd. */
static __always_inline u64 svm_vmcb01(u64 vcpu)
{
	u64 value = 0;

	if (!bpf_core_type_exists(struct vcpu_svm))
		return 0;
	bpf_probe_read_kernel(&value, sizeof(value),
			      (void *)(vcpu + bpf_core_field_offset(struct vcpu_svm, vmcb01) +
				       bpf_core_field_offset(struct kvm_vmcb_info, ptr)));
	return value;
}

/*
 * The exit code in the current VMCB. It was a u32 with its high half behind it and is a u64 now
 * (Linux 7.0): the low half is what names it either way.
 */
static __always_inline u32 svm_exit_code(u64 vcpu, u64 vmcb01, bool in_l2,
					 const enum read_by by)
{
	u64 vmcb = vmcb01;

	if (!bpf_core_type_exists(struct vcpu_svm))
		return 0;
	if (in_l2)
		vmcb = load_u64(vcpu + bpf_core_field_offset(struct vcpu_svm, vmcb), by);
	return low_half(load_u64(vmcb + bpf_core_field_offset(struct vmcb, control) +
				 bpf_core_field_offset(struct vmcb_control_area, exit_code),
				 by));
}

/*
 * The vCPU that the current task has loaded: KVM registers a preemption notifier for it, the only
 * kind there is. For tracepoints that do not pass the vCPU. 0 if none is loaded.
 */
static __always_inline u64 vcpu_of_current(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	u64 link = (u64)BPF_CORE_READ(task, preempt_notifiers.first);

	if (!link)
		return 0;
	return link - bpf_core_field_offset(struct kvm_vcpu, preempt_notifier) -
	       bpf_core_field_offset(struct preempt_notifier, link);
}

#endif
