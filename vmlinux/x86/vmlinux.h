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
	BPF_MAP_TYPE_ARRAY_OF_MAPS = 12,
	BPF_MAP_TYPE_QUEUE = 22,
	BPF_MAP_TYPE_RINGBUF = 27,
};
enum {
	BPF_NOEXIST = 1,
	BPF_F_MMAPABLE = 1 << 10,
	BPF_F_INNER_MAP = 1 << 12,
	BPF_RB_NO_WAKEUP = 1,
};

#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
#endif

struct timespec64 {
	s64 tv_sec;
	s64 tv_nsec;
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

struct sched_info {
	u64 run_delay;
};

struct sched_entity {
	u64 exec_start;
	u64 sum_exec_runtime;
	u64 nr_migrations;
};

struct task_struct {
	int pid;
	struct sched_info sched_info;
	struct sched_entity se;
	unsigned long nvcsw;
	struct mm_struct *mm;
	struct task_struct *group_leader;
	u64 start_time;
	struct hlist_head preempt_notifiers;
};

struct kvm_hv {
	u64 hv_guest_os_id;
};

struct kvm_xen_hvm_config {
	u32 flags;
};

struct kvm_arch {
	struct kvm_hv hyperv;
	struct kvm_xen_hvm_config xen_hvm_config; /* up to 6.14 */
};

struct kvm {
	struct kvm_arch arch;
};

/* From 6.15 on. */
struct kvm_xen___config {
	struct kvm_xen_hvm_config hvm_config;
};
struct kvm_arch___config {
	struct kvm_xen___config xen;
};
struct kvm___config {
	struct kvm_arch___config arch;
};

struct fpu_guest {
	u64 xfeatures;
};

struct kvm_vcpu_arch {
	unsigned long regs[17];
	u32 regs_avail; /* up to 6.19 */
	u32 regs_dirty; /* up to 6.19 */
	u32 hflags;
	u64 efer;
	bool hyperv_enabled;        /* since 5.12 */
	bool guest_state_protected; /* since 5.11 */
	struct fpu_guest guest_fpu; /* since 5.16 */
};

/* From 7.0 on. */
struct kvm_vcpu_arch___bitmap {
	unsigned long regs_avail[1];
	unsigned long regs_dirty[1];
	unsigned long rip;
};
struct kvm_vcpu___bitmap {
	struct kvm_vcpu_arch___bitmap arch;
};

enum bpf_func_id {
	BPF_FUNC_get_current_task_btf = 158, /* since 5.11 */
};

enum kvm_reg {
	VCPU_EXREG_EXIT_INFO_1 = 0, /* up to 6.19 */
	VCPU_EXREG_EXIT_INFO_2 = 1, /* up to 6.19 */
};
enum kvm_reg___seven {
	VCPU_REG_EXIT_INFO_1 = 0, /* from 7.0 on */
	VCPU_REG_EXIT_INFO_2 = 1, /* from 7.0 on */
};

/* Since 5.14. */
struct kvm_vcpu_stat_generic {
	u64 halt_poll_success_ns;
	u64 halt_poll_fail_ns;
	u64 halt_wait_ns;
};

struct kvm_vcpu_stat {
	u64 exits;
	u64 fpu_reload;
	struct kvm_vcpu_stat_generic generic; /* since 5.14 */
	u64 halt_poll_success_ns;             /* up to 5.13 */
	u64 halt_poll_fail_ns;                /* up to 5.13 */
};

struct kvm_run {
	u32 exit_reason;
};

struct kvm_vcpu {
	struct kvm *kvm;
	struct kvm_run *run;
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
	unsigned long exit_qualification;
	u32 exit_intr_info;
};

/* kvm_intel, from 6.16 on: what VMX and TDX share. */
struct vcpu_vt {
	union vmx_exit_reason exit_reason;
	unsigned long exit_qualification;
	u32 exit_intr_info;
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
 * Records of classic tracepoints, behind the 8 bytes of their common fields. Not in BTF: the offsets
 * are those of events/kvm/.../format, the same from 5.10 to 7.3.
 */
struct trace_kvm_exit {
	u64 common;
	u32 exit_reason;
	u64 guest_rip;
	u32 isa;
};

struct trace_kvm_fpu {
	u64 common;
	u32 load;
};

#endif
