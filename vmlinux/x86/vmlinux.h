/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernel types that the BPF program uses, and of each only the fields it uses.
 *
 * Origin: the BTF of Debian's kernels 5.10 to 7.3 (vmlinux, kvm, kvm_amd, kvm_intel). Order and
 * offsets mean nothing here: preserve_access_index makes the loader find each field in the running
 * kernel. tests/bpf/kernel_types_test.py holds every field against the BTF of each kernel of the
 * lab; a field that only some kernels have is named with a flavour suffix (___) and a comment that
 * says which.
 */
#ifndef EXITTOP_VMLINUX_H
#define EXITTOP_VMLINUX_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef signed int s32;
typedef signed long long s64;

/* Names that libbpf's own headers expect. */
typedef u8 __u8;
typedef u16 __u16;
typedef u32 __u32;
typedef u64 __u64;
typedef s32 __s32;
typedef s64 __s64;
typedef u16 __be16;
typedef u32 __be32;
typedef u32 __wsum;
typedef _Bool bool;

enum { false = 0, true = 1 };

/* include/uapi/linux/bpf.h: stable numbers. */
enum bpf_map_type {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_QUEUE = 22,
	BPF_MAP_TYPE_RINGBUF = 27,
};
enum { BPF_NOEXIST = 1, BPF_F_MMAPABLE = 1 << 10, BPF_RB_NO_WAKEUP = 1 };

#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
#endif

struct list_head {
	struct list_head *next;
};

struct hlist_node {
	struct hlist_node *next;
};

struct hlist_head {
	struct hlist_node *first;
};

struct preempt_notifier {
	struct hlist_node link;
};

struct mm_struct {
	unsigned long arg_start;
	unsigned long arg_end;
};

struct task_struct {
	struct mm_struct *mm;
	struct task_struct *group_leader;
	u64 start_time;
	struct hlist_head preempt_notifiers;
};

struct kvm;

struct fpu_guest {
	u64 xfeatures;
};

struct kvm_vcpu_arch {
	u32 hflags;
	struct fpu_guest guest_fpu; /* since 5.16 */
};

struct kvm_vcpu_stat {
	u64 exits;
};

struct kvm_vcpu {
	struct kvm *kvm;
	struct preempt_notifier preempt_notifier;
	int vcpu_id;
	struct kvm_vcpu_arch arch;
	struct kvm_vcpu_stat stat;
};

struct vmcb_control_area {
	u64 exit_code; /* u32 and exit_code_hi behind it before 7.0 */
};

struct vmcb {
	struct vmcb_control_area control;
};

/* kvm_amd, from 5.12 on. */
struct kvm_vmcb_info {
	struct vmcb *ptr;
};

struct vcpu_svm {
	struct vmcb *vmcb;
	struct kvm_vmcb_info vmcb01;
};

/* kvm_intel, up to 6.15. */
union vmx_exit_reason {
	u32 full;
};

struct vcpu_vmx {
	union vmx_exit_reason exit_reason;
};

/* kvm_intel, from 6.16 on: what VMX and TDX share. */
struct vcpu_vt {
	union vmx_exit_reason exit_reason;
};

struct vcpu_vmx___vt {
	struct vcpu_vt vt;
};

struct kvm_x86_ops {
	void *is_vnmi_pending;
};

struct pt_regs {
	unsigned long di;
};

#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute pop
#endif

/* Of the UAPI (include/uapi/linux/bpf.h), so never relocated. */
struct bpf_pidns_info {
	u32 pid;
	u32 tgid;
};

/*
 * Record of the classic tracepoint, behind the 8 bytes of its common fields. Not in BTF: its offsets
 * are those of events/kvm/kvm_exit/format, the same from 5.10 to 7.3.
 */
struct trace_kvm_exit {
	u64 common;
	u32 exit_reason;
	u64 guest_rip;
	u32 isa;
};

#endif
