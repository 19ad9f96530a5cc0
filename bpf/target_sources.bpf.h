/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where the target of an exit is: which MSR, port, address it was about. What the CPU saved is read
 * at the entry, since the exit's handler leaves it alone, or has cached it by then. The handler
 * overwrites what CPUID and hypercalls pass in registers: these are read at the exit.
 */
#ifndef EXITTOP_TARGET_SOURCES_BPF_H
#define EXITTOP_TARGET_SOURCES_BPF_H

/* AMD APM vol. 2, appendix C. */
#define SVM_EXIT_VMGEXIT 0x403

#define NO_TARGET(why) (EXITTOP_NO_TARGET | (why))

#define RAX 0
#define RCX 1

/*
 * Leaves of which ECX chooses a part (SDM vol. 2, CPUID; APM vol. 3, appendix E): 4, 7, 0xb, 0xd,
 * 0xf, 0x10, 0x12, 0x14, 0x17, 0x18, 0x1d to 0x20, 0x23, 0x24; AMD's 0x8000001d, 20, 26.
 */
static __always_inline bool has_subleaves(u32 leaf)
{
	if (leaf < 64)
		return 0x19e195a890ull >> leaf & 1;
	return leaf == 0x8000001d || leaf == 0x80000020 || leaf == 0x80000026;
}

static __always_inline u64 cpuid_target(u64 vcpu, const enum read_by by)
{
	u32 leaf = load_u64(register_address(vcpu, RAX), by);
	u32 subleaf;

	if (!has_subleaves(leaf))
		return leaf;
	subleaf = load_u64(register_address(vcpu, RCX), by);
	if (subleaf + 1ull >= 1ull << (EXITTOP_TARGET_BITS - 32))
		return NO_TARGET(EXITTOP_WHY_TOO_LARGE);
	return leaf | (subleaf + 1ull) << 32;
}

/* The call's number, and whose it is, in the order in which KVM asks. */
static __always_inline u64 hypercall_target(u64 vcpu, bool in_l2, const enum read_by by)
{
	struct kvm_vcpu *kvm_vcpu = (void *)vcpu;
	bool is_long = is_in_long_mode(kvm_vcpu);
	u64 number = load_u64(register_address(vcpu, RAX), by);
	u64 interface = EXITTOP_HYPERCALL_KVM;

	if (in_l2) {
		interface = EXITTOP_HYPERCALL_L1;
	} else if (has_xen_calls(kvm_vcpu)) {
		interface = EXITTOP_HYPERCALL_XEN;
	} else if (has_hyperv_calls(kvm_vcpu)) {
		/* The call code is the low half word of the input value (TLFS, 3.7). */
		interface = EXITTOP_HYPERCALL_HYPERV;
		if (is_long)
			number = load_u64(register_address(vcpu, RCX), by);
		number &= 0xffff;
	}
	if (!is_long)
		number = (u32)number;
	if (number >> EXITTOP_HYPERCALL_SHIFT)
		return NO_TARGET(EXITTOP_WHY_TOO_LARGE);
	return number | interface << EXITTOP_HYPERCALL_SHIFT;
}

#define PAGE_MASK (~0xfffull)

/* KVM marks MMIO by reserved bits. Of memory the page tells enough: KVM maps pages. */
static __always_inline u64 npf_target(u64 code_at, const enum read_by by)
{
	struct two_words info = load_two(code_at + VMCB_EXITINFO1, by);
	u64 error = info.first & EXITTOP_TARGET_ERROR, address = info.second;

	if (!(error & PF_RESERVED))
		address &= PAGE_MASK;
	hide(address); /* Else clang shifts it in both cases, with masks of 64 bits. */
	return EXITTOP_TARGET_VALUE(EXITTOP_TARGET_ADDRESS(address, error));
}

/* Bits of the exit qualification, if KVM has read it. */
static __always_inline u64 vmx_qualification(u64 vcpu, u64 mask, const enum read_by by)
{
	if (!(regs_avail(vcpu, by) >> exit_info_1_bit() & 1))
		return NO_TARGET(EXITTOP_WHY_NOT_KEPT);
	return load_u64(vcpu + vmx_qualification_offset(), by) & mask;
}

/* The vector of what interrupted the guest, if KVM has read it. */
static __always_inline u64 vmx_vector(u64 vcpu, const enum read_by by)
{
	if (!(regs_avail(vcpu, by) >> exit_info_2_bit() & 1))
		return NO_TARGET(EXITTOP_WHY_NOT_KEPT);
	return load_u64(vcpu + vmx_interrupt_offset(), by) & 0xff;
}

/* Where the guest was; on VMX only if KVM has asked for it and has not moved it on since. */
static __always_inline u64 vmx_rip(u64 vcpu, const enum read_by by)
{
	if (!(regs_avail(vcpu, by) >> REGS_RIP & 1) || regs_dirty(vcpu, by) >> REGS_RIP & 1)
		return NO_TARGET(EXITTOP_WHY_NOT_KEPT);
	return EXITTOP_TARGET_VALUE(load_u64(rip_address(vcpu), by));
}

static __always_inline u64 ghcb_target(u64 code_at, const enum read_by by)
{
	u32 code = load_u64(code_at, by);

	/* KVM puts what the GHCB says into the VMCB; a request by MSR has none (kvm/svm/sev.c). */
	return code == SVM_EXIT_VMGEXIT ? NO_TARGET(EXITTOP_WHY_NOT_KEPT) : code;
}

/* The number of an MSR. */
static __always_inline u64 msr_target(struct vcpu_slot *slot, u64 vcpu, const enum read_by by)
{
	if (unlikely(slot->header.registers_hidden))
		return NO_TARGET(EXITTOP_WHY_HIDDEN);
	return (u32)load_u64(register_address(vcpu, RCX), by);
}

/* Reads the target of an exit of a kind that is read at the exit. */
static __always_inline u64 target_read_at_exit(struct vcpu_slot *slot, u64 vcpu, u32 kind, bool in_l2,
					       const enum read_by by)
{
	if (unlikely(slot->header.registers_hidden))
		return NO_TARGET(EXITTOP_WHY_HIDDEN);
	return kind == EXITTOP_TARGET_CPUID ? cpuid_target(vcpu, by)
					    : hypercall_target(vcpu, in_l2, by);
}

/* Reads the target of an exit of a kind that is read at the entry. `code_at` is of its VMCB. */
static __always_inline u64 target_read(struct vcpu_slot *slot, u64 vcpu, u32 kind, u64 code_at,
				       const enum read_by by)
{
	/* The frequent ones first; unless it is hidden, clang makes them part of the switch again. */
	if (kind == EXITTOP_TARGET_NPF)
		return npf_target(code_at, by);
	hide32(kind);
	if (kind == EXITTOP_TARGET_MSR_SVM)
		return msr_target(slot, vcpu, by) |
		       (load_u64(code_at + VMCB_EXITINFO1, by) & 1) << 32;
	hide32(kind);
	if (kind == EXITTOP_TARGET_IO_SVM)
		return load_u64(code_at + VMCB_EXITINFO1, by) & 0xffff0071;
	hide32(kind);
	switch (kind) {
	case EXITTOP_TARGET_FIXED:
		return 0;
	case EXITTOP_TARGET_MSR:
		return msr_target(slot, vcpu, by);
	case EXITTOP_TARGET_PF_SVM:
		return load_u64(code_at + VMCB_EXITINFO1, by) & 0x1f;
	case EXITTOP_TARGET_AVIC:
		return load_u64(code_at + VMCB_EXITINFO1, by) & 0x100000ff0;
	case EXITTOP_TARGET_GHCB:
		return ghcb_target(code_at, by);
	case EXITTOP_TARGET_RIP_SVM:
		return slot->header.registers_hidden
			       ? NO_TARGET(EXITTOP_WHY_HIDDEN)
			       : EXITTOP_TARGET_VALUE(load_u64(code_at + VMCB_RIP, by));
	case EXITTOP_TARGET_RIP_VMX:
		return slot->header.registers_hidden ? NO_TARGET(EXITTOP_WHY_HIDDEN)
						     : vmx_rip(vcpu, by);
	case EXITTOP_TARGET_IO_VMX:
		return vmx_qualification(vcpu, 0xffff000f, by);
	case EXITTOP_TARGET_CR_VMX:
		return vmx_qualification(vcpu, 0x3f, by);
	case EXITTOP_TARGET_DR_VMX:
		return vmx_qualification(vcpu, 0x17, by);
	case EXITTOP_TARGET_APIC_VMX:
		return vmx_qualification(vcpu, 0xffff, by);
	case EXITTOP_TARGET_VECTOR_VMX:
		return vmx_vector(vcpu, by);
	case EXITTOP_TARGET_EXCEPTION_VMX:
		/* Of a page fault the error code is in an event. */
		return vmx_vector(vcpu, by);
	case EXITTOP_TARGET_EPT_VIOLATION:
	case EXITTOP_TARGET_EPT_MISCONFIG:
		return NO_TARGET(EXITTOP_WHY_NOT_TOLD);
	default:
		return NO_TARGET(EXITTOP_WHY_NO_BTF);
	}
}

#endif
