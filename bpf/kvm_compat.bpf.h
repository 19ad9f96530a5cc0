/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Fields and layouts that differ between kernels: one accessor per difference, with the change that
 * made it. The loader decides by BTF, never by version, and says what it found in the constants
 * below; the verifier then removes what does not apply.
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
 * How a program reads kernel memory; a constant of each shim.
 *
 * Linux 6.2 has bpf_rdonly_cast() (commit a35b9af4ec2c): any kernel address can be read with a
 * plain load that faults to 0, a tenth of what a call of bpf_probe_read_kernel() costs.
 */
enum read_by { READ_BY_CAST, READ_BY_HELPER };

/* Whether BTF says of a program's argument that it is a vCPU, which then is read as such. */
enum vcpu_type { UNTYPED, TYPED };
extern void *bpf_rdonly_cast(const void *object, u32 btf_id) __ksym __weak;

/*
 * Address of tdp_enabled, kvm.ko's own variable: TDP on or off, as the vendor module that is loaded
 * now decided. It has no BTF; the loader asks the kernel (kvm_symbol.bpf.c) or, before Linux 5.16,
 * reads /proc/kallsyms. (libbpf finds such symbols too, but spends four fifths of the start on it.)
 */
const volatile u64 tdp_enabled_address = 0;

/* Read where the exit code would be if it is not known where that is. */
const volatile u64 unreadable_code = EXITTOP_CODE_UNREADABLE;

/* The word at a kernel address; 0 if it cannot be read. */
static __always_inline u64 load_u64(u64 address, const enum read_by by)
{
	u64 value = 0;

	/*
	 * The cast takes type ids of vmlinux alone. A timespec64 begins with a number of this size; to
	 * the verifier a pointer would be no number.
	 */
	if (by == READ_BY_CAST) {
		struct timespec64 *word = bpf_rdonly_cast(
			(void *)address, bpf_core_type_id_kernel(struct timespec64));
		return word->tv_sec;
	}
	bpf_probe_read_kernel(&value, sizeof(value), (void *)address);
	return value;
}

/* Two words, the second right behind the first: they are loaded with one pointer, or one call. */
struct two_words {
	u64 first, second;
};

static __always_inline struct two_words load_two(u64 address, const enum read_by by)
{
	struct two_words words = {};

	if (by == READ_BY_CAST) {
		struct timespec64 *word = bpf_rdonly_cast(
			(void *)address, bpf_core_type_id_kernel(struct timespec64));
		words.first = word->tv_sec;
		words.second = word->tv_nsec;
		return words;
	}
	bpf_probe_read_kernel(&words, sizeof(words), (void *)address);
	return words;
}

/*
 * Whether HF_GUEST_MASK is set in vcpu->arch.hflags: bit 5, and bit 0 since Linux 6.4 (commit
 * 916b54a7688b moved its neighbours away). A macro, so BTF does not have it; a callback of the same
 * series tells.
 */
static __always_inline bool has_guest_bit(u64 hflags)
{
	struct kvm_x86_ops *ops = 0;

	if (bpf_core_field_exists(ops->is_vnmi_pending)) {
		/* Two branches, of which the verifier takes one out; clang would make a mask. For cost. */
		hide(hflags);
		return hflags & 1 << 0;
	}
	return hflags & 1 << 5;
}

/* Whether the CPU ran L2, rather than L1, when it left the guest. */
static __always_inline bool ran_l2(u64 vcpu, const enum read_by by, const enum vcpu_type type)
{
	struct kvm_vcpu *typed = (void *)vcpu;

	if (type == UNTYPED && by == READ_BY_HELPER)
		return has_guest_bit(BPF_CORE_READ(typed, arch.hflags));
	if (type == UNTYPED)
		typed = bpf_rdonly_cast(typed, bpf_core_type_id_kernel(struct kvm_vcpu));
	return has_guest_bit(typed->arch.hflags);
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

/*
 * Offset of the exit code in a VMCB. It was a u32 with its high half behind it and is a u64 now
 * (Linux 7.0): the low half is what names it either way.
 */
#define VMCB_EXIT_CODE bpf_core_field_offset(struct vmcb, control.exit_code)

/*
 * Address of the exit code of the VMCB that L1 runs on: allocated with the vCPU, never replaced. 0
 * without kvm_amd.
 */
static __always_inline u64 svm_l1_exit_code_address(u64 vcpu)
{
	u64 vmcb = 0;

	if (!bpf_core_type_exists(struct vcpu_svm))
		return 0;
	bpf_probe_read_kernel(&vmcb, sizeof(vmcb),
			      (void *)(vcpu + bpf_core_field_offset(struct vcpu_svm, vmcb01) +
				       bpf_core_field_offset(struct kvm_vmcb_info, ptr)));
	return vmcb ? vmcb + VMCB_EXIT_CODE : 0;
}

/* Address of the exit code in the present VMCB, which is another one while L2 runs. */
static __always_inline u64 svm_exit_code_address(u64 vcpu, const enum read_by by)
{
	if (!bpf_core_type_exists(struct vcpu_svm))
		return (u64)&unreadable_code;
	return load_u64(vcpu + bpf_core_field_offset(struct vcpu_svm, vmcb), by) + VMCB_EXIT_CODE;
}

/*
 * Where the full exit code of L1 (VMX: and L2) is, as long as the vCPU lives. Where that is not
 * known, what says so: an unread word would be 0, which is a reason of either ISA.
 */
static __always_inline u64 exit_code_address(u64 vcpu, u32 isa)
{
	u32 offset = vmx_exit_reason_offset();
	u64 address = 0;

	if (isa == KVM_ISA_SVM)
		address = svm_l1_exit_code_address(vcpu);
	else if (isa == KVM_ISA_VMX && offset)
		address = vcpu + offset;
	return address ? address : (u64)&unreadable_code;
}

/* Address of a general register of the guest as KVM has it, by its number (RAX 0, RCX 1, RDX 2). */
static __always_inline u64 register_address(u64 vcpu, u32 number)
{
	return vcpu + bpf_core_field_offset(struct kvm_vcpu, arch.regs) + number * sizeof(u64);
}

/*
 * Which registers KVM has in memory, and which of these it has changed since the exit, as bits: words
 * that became bitmaps in Linux 7.0.
 */
static __always_inline u64 regs_avail(u64 vcpu, const enum read_by by)
{
	struct kvm_vcpu___bitmap *bitmap = 0;

	if (bpf_core_field_exists(bitmap->arch.regs_avail))
		return load_u64(vcpu + bpf_core_field_offset(bitmap->arch.regs_avail), by);
	return (u32)load_u64(vcpu + bpf_core_field_offset(struct kvm_vcpu, arch.regs_avail), by);
}

static __always_inline u64 regs_dirty(u64 vcpu, const enum read_by by)
{
	struct kvm_vcpu___bitmap *bitmap = 0;

	if (bpf_core_field_exists(bitmap->arch.regs_dirty))
		return load_u64(vcpu + bpf_core_field_offset(bitmap->arch.regs_dirty), by);
	return (u32)load_u64(vcpu + bpf_core_field_offset(struct kvm_vcpu, arch.regs_dirty), by);
}

/* The guest's RIP as KVM has it, and its bit in the two words above. */
#define REGS_RIP 16
static __always_inline u64 rip_address(u64 vcpu)
{
	struct kvm_vcpu___bitmap *bitmap = 0;

	/* Since Linux 7.0 it is no element of regs. */
	if (bpf_core_field_exists(bitmap->arch.rip))
		return vcpu + bpf_core_field_offset(bitmap->arch.rip);
	return register_address(vcpu, REGS_RIP);
}

/* The bits of regs_avail that say that KVM has read exit_qualification and exit_intr_info. */
static __always_inline u32 exit_info_1_bit(void)
{
	if (bpf_core_enum_value_exists(enum kvm_reg, VCPU_EXREG_EXIT_INFO_1))
		return bpf_core_enum_value(enum kvm_reg, VCPU_EXREG_EXIT_INFO_1);
	return bpf_core_enum_value(enum kvm_reg___seven, VCPU_REG_EXIT_INFO_1);
}

static __always_inline u32 exit_info_2_bit(void)
{
	if (bpf_core_enum_value_exists(enum kvm_reg, VCPU_EXREG_EXIT_INFO_2))
		return bpf_core_enum_value(enum kvm_reg, VCPU_EXREG_EXIT_INFO_2);
	return bpf_core_enum_value(enum kvm_reg___seven, VCPU_REG_EXIT_INFO_2);
}

/* Offset of the exit qualification in struct vcpu_vmx; 0 if kvm_intel is not there. */
static __always_inline u32 vmx_qualification_offset(void)
{
	struct vcpu_vmx___vt *vt = 0;

	if (bpf_core_field_exists(vt->vt))
		return bpf_core_field_offset(vt->vt) +
		       bpf_core_field_offset(struct vcpu_vt, exit_qualification);
	if (bpf_core_field_exists(struct vcpu_vmx, exit_qualification))
		return bpf_core_field_offset(struct vcpu_vmx, exit_qualification);
	return 0;
}

/* The same of what interrupted the guest. */
static __always_inline u32 vmx_interrupt_offset(void)
{
	struct vcpu_vmx___vt *vt = 0;

	if (bpf_core_field_exists(vt->vt))
		return bpf_core_field_offset(vt->vt) +
		       bpf_core_field_offset(struct vcpu_vt, exit_intr_info);
	if (bpf_core_field_exists(struct vcpu_vmx, exit_intr_info))
		return bpf_core_field_offset(struct vcpu_vmx, exit_intr_info);
	return 0;
}

/* Distances from the exit code in a VMCB, whose layout is the hardware's (APM vol. 2, appendix B). */
#define VMCB_EXITINFO1 8 /* EXITINFO2 is right behind it */
#define VMCB_RIP 0x508

/* Whether KVM cannot see the guest's registers, which then are not what it has in memory. */
static __always_inline bool registers_are_hidden(struct kvm_vcpu *vcpu)
{
	if (!bpf_core_field_exists(vcpu->arch.guest_state_protected))
		return false; /* Before Linux 5.11 there is no such guest. */
	return BPF_CORE_READ(vcpu, arch.guest_state_protected);
}

/* Whether the guest has switched the hypercalls of Hyper-V on, as kvm_hv_hypercall_enabled() does. */
static __always_inline bool has_hyperv_calls(struct kvm_vcpu *vcpu)
{
	struct kvm *kvm = BPF_CORE_READ(vcpu, kvm);

	if (bpf_core_field_exists(vcpu->arch.hyperv_enabled) &&
	    !BPF_CORE_READ(vcpu, arch.hyperv_enabled))
		return false;
	if (!bpf_core_field_exists(kvm->arch.hyperv.hv_guest_os_id))
		return false;
	return BPF_CORE_READ(kvm, arch.hyperv.hv_guest_os_id) != 0;
}

/* Whether KVM takes its hypercalls for Xen's, as kvm_xen_hypercall_enabled() does. */
#define KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL 2 /* include/uapi/linux/kvm.h, since Linux 5.12 */
static __always_inline bool has_xen_calls(struct kvm_vcpu *vcpu)
{
	struct kvm *kvm = BPF_CORE_READ(vcpu, kvm);
	struct kvm___config *moved = (void *)kvm;
	u32 flags = 0;

	if (bpf_core_field_exists(moved->arch.xen.hvm_config.flags))
		flags = BPF_CORE_READ(moved, arch.xen.hvm_config.flags);
	else if (bpf_core_field_exists(kvm->arch.xen_hvm_config.flags))
		flags = BPF_CORE_READ(kvm, arch.xen_hvm_config.flags);
	return flags & KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL;
}

/* Whether the guest runs in long mode, where hypercalls take 64 bits. */
#define EFER_LMA (1 << 10)
static __always_inline bool is_in_long_mode(struct kvm_vcpu *vcpu)
{
	return BPF_CORE_READ(vcpu, arch.efer) & EFER_LMA;
}

/*
 * The vCPU that the current task has loaded: KVM registers a preemption notifier for it, the only
 * kind there is. For tracepoints that do not pass the vCPU. 0 if none is loaded.
 */
static __always_inline u64 vcpu_of_current(const bool typed)
{
	struct task_struct *task;
	u64 link;

	/* Since Linux 5.11 (commit 3ca1032ab7ab), a task that is read without a call. */
	if (typed) {
		link = (u64)bpf_get_current_task_btf()->preempt_notifiers.first;
	} else {
		task = (void *)bpf_get_current_task();
		link = (u64)BPF_CORE_READ(task, preempt_notifiers.first);
	}
	if (!link)
		return 0;
	return link - bpf_core_field_offset(struct kvm_vcpu, preempt_notifier) -
	       bpf_core_field_offset(struct preempt_notifier, link);
}

#endif
