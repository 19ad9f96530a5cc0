/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Counts VM exits in the kernel. One worker function per event holds the logic; a thin program per
 * way to attach calls it, and the loader keeps one per event.
 *
 * The pair kvm_exit, kvm_entry is the hot path. It finds the vCPU's slot by a hash of the vCPU's
 * address, without a helper call, and adds; no atomics, as a vCPU runs on one CPU at a time. The
 * clock is read last in the exit and first in the entry, so that exittop's own work is not part of
 * the time it reports. What happens once per vCPU, once per reason or rarely is out of line.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "exittop_abi.h"
#include "verifier.bpf.h"
#include "kvm_compat.bpf.h"
#include "slots.bpf.h"
#include "waiting.bpf.h"
#include "leaves.bpf.h"
#include "cells.bpf.h"
#include "parts.bpf.h"
#include "target_sources.bpf.h"
#include "targets.bpf.h"
#include "kvm_count.bpf.h"
#include "command_line.bpf.h"

char LICENSE[] SEC("license") = "GPL";

#define ENOENT 2

/* PID namespace of user space: device and inode of its file; 0: the initial one. */
const volatile u64 pid_ns_device = 0;
const volatile u64 pid_ns_inode = 0;

/* `pid`, the current process, in user space's PID namespace; 0: it is not in there. */
static __always_inline u32 reader_pid(u32 pid)
{
	struct bpf_pidns_info here = {};

	if (!pid_ns_inode)
		return pid;
	return bpf_get_ns_current_pid_tgid(pid_ns_device, pid_ns_inode, &here, sizeof(here))
		       ? 0
		       : here.tgid;
}

/* Writes who the vCPU is that exits. */
static __always_inline void identify(struct vcpu_identity *who, u64 vcpu)
{
	struct kvm_vcpu *kvm_vcpu = (void *)vcpu;
	u64 pid_tgid = bpf_get_current_pid_tgid();

	who->kvm = (u64)BPF_CORE_READ(kvm_vcpu, kvm);
	who->vcpu_id = BPF_CORE_READ(kvm_vcpu, vcpu_id);
	who->pid = pid_tgid >> 32;
	who->tid = (u32)pid_tgid;
	who->reader_pid = reader_pid(who->pid);
	who->uid = (u32)bpf_get_current_uid_gid();
	who->first_ns = bpf_ktime_get_ns();
	bpf_get_current_comm(who->command, sizeof(who->command));
}

/* Claims a slot for a vCPU that has none. Its index, or 0. */
static __always_inline u32 slot_claim(u64 vcpu)
{
	u64 given_back = memory.given_back;
	u32 slot_index;

	if (user_is_limited((u32)bpf_get_current_uid_gid()))
		return 0;
	slot_index = slot_take(vcpu);
	if (!slot_index || !bpf_map_update_elem(&vcpu_slots, &vcpu, &slot_index, BPF_NOEXIST))
		return slot_index;
	/* The map is full first: with the overflow slots there are more slots than --max-vcpus. */
	slot_put_back(slot_index);
	note_no_slot_near(hash_slot_index(vcpu), given_back);
	return 0;
}

/* Gives a vCPU a slot and fills its header. The slot's index, or 0. */
static __noinline u32 slot_create(u64 vcpu, u32 isa)
{
	struct vcpu_header *header;
	bool tdp = false;
	u32 slot_index = slot_claim(vcpu);
	struct vcpu_slot *slot = slot_at(slot_index);

	if (!slot)
		return 0;
	header = &slot->header;
	identify(&header->who, vcpu);
	header->isa = isa;
	header->code_at = exit_code_address(vcpu, isa);
	cells_begin(slot);
	header->is_new = vcpu_is_new(vcpu);
	header->kvm_exits_first = kvm_exits_of(vcpu);
	header->kvm_exits_more = EXITTOP_MORE_UNKNOWN;
	if (tdp_enabled_address) {
		bpf_probe_read_kernel(&tdp, sizeof(tdp), (void *)tdp_enabled_address);
		header->paging = tdp ? EXITTOP_PAGING_TDP : EXITTOP_PAGING_SHADOW;
	}
	if (targets_possible) {
		header->registers_hidden = registers_are_hidden((void *)vcpu);
		area_begin(slot, slot_index);
	}
	if (parts_on)
		parts_begin(slot, vcpu, header->who.first_ns);
	header->vcpu = vcpu;
	barrier(); /* The verifier does not let a number be added to a typed pointer. */
	header->vcpu += memory.by_target;
	if (!header->who.vcpu_id)
		command_line_tell(slot_index);
	if (leaves_on)
		leaves_add(slot, slot_index);
	slot_set_state(slot_index, EXITTOP_SLOT_IN_USE);
	__sync_fetch_and_add(&memory.changes, 1);
	return slot_index;
}

/* Counts an exit of a vCPU that got no slot; `given_back` as it was before one was looked for. */
static __noinline int wait_for_slot(u64 vcpu, u64 given_back)
{
	struct waiting_vcpu *waiting = waiting_of(vcpu);

	if (waiting) {
		waiting->given_back = given_back;
		waiting->exits++;
		return 0;
	}
	waiting = waiting_take(vcpu);
	if (!waiting) {
		__sync_fetch_and_add(&memory.table_full, 1);
		return 0;
	}
	identify(&waiting->who, vcpu);
	waiting->exits = 1;
	waiting_begin(waiting, vcpu, given_back);
	return 0;
}

/* Searches the hash slots after a vCPU's first one, then the map. Slot index, or 0. */
static __noinline u32 slot_search(u64 vcpu)
{
	u32 first = hash_slot_index(vcpu);
	u32 *known;

	for (u32 probe = 1; probe < EXITTOP_FIND_PROBES; probe++) {
		u32 slot_index = probed_slot(first, probe);
		struct vcpu_slot *slot = slot_at(slot_index);

		if (slot && EXITTOP_VCPU_OF(slot->header.vcpu) == vcpu)
			return slot_index;
	}
	known = bpf_map_lookup_elem(&vcpu_slots, &vcpu);
	return known ? *known : 0;
}

/* Whether a slot is the vCPU's, and its exits are counted by target. */
static __always_inline bool is_by_target(struct vcpu_slot *slot, u64 vcpu)
{
	/* The verifier does not let a bit be set in a typed pointer. */
	return slot->header.vcpu - EXITTOP_BY_TARGET == vcpu;
}

/*
 * Whether the vCPU has the slot after its first one. That is frequent: with 800 vCPUs in 4,096 slots,
 * one in ten; and where a VM is started again its vCPUs get the addresses of those that ended, whose
 * slots wait for user space.
 */
static __always_inline bool is_in_second(struct vcpu_slot *first, u64 vcpu)
{
	return EXITTOP_VCPU_OF(first[1].header.vcpu) == vcpu;
}

/* The slot of a vCPU, or NULL if it has none. */
static __always_inline struct vcpu_slot *slot_find(u64 vcpu)
{
	struct vcpu_slot *first = hash_slot(vcpu);

	if (EXITTOP_VCPU_OF(first->header.vcpu) == vcpu)
		return first;
	if (is_in_second(first, vcpu))
		return first + 1;
	return slot_at(waiting_of(vcpu) ? 0 : slot_search(vcpu));
}

static __noinline struct vcpu_slot *slot_of_slow_path(u64 vcpu)
{
	return slot_find(vcpu);
}

/* The same where it is in its first hash slot, most likely. */
static __always_inline struct vcpu_slot *slot_of(u64 vcpu)
{
	struct vcpu_slot *first = hash_slot(vcpu);

	return EXITTOP_VCPU_OF(first->header.vcpu) == vcpu ? first : slot_of_slow_path(vcpu);
}

/* Counts an exit in the cell of that number, which it returns. */
static __always_inline struct exit_cell *cell_count(struct vcpu_slot *slot, u32 number)
{
	struct exit_cell *cell = cell_at(slot, (u64)number * sizeof(struct exit_cell));

	cell->count++;
	return cell;
}

/* The same where it is timed, too: user space finds the exit under way in its cell. */
static __always_inline struct exit_cell *cell_begin(struct vcpu_slot *slot, u32 number)
{
	struct vcpu_header *header = &slot->header;

	header->current_cell = (u64)number * sizeof(struct exit_cell);
	if (unlikely(header->exit_ns)) {
		if (header->exit_ns > memory.armed_ns)
			header->exit_without_entry++;
		/* What it noted is past. */
		if (targets_possible)
			header->target_kind = EXITTOP_TARGET_NONE;
		slot->times.vmm.at_ns = slot->times.vmm_ns = 0;
	}
	return cell_count(slot, number);
}

/* The last thing that is done. */
static __always_inline int time_begin(struct vcpu_slot *slot)
{
	slot->header.exit_ns = bpf_ktime_get_ns();
	return 0;
}

/* Worker of kvm_exit. */
static __always_inline int count_exit(struct vcpu_slot *slot, u32 number, const bool timed)
{
	if (!timed) {
		cell_count(slot, number);
		return 0;
	}
	cell_begin(slot, number);
	return time_begin(slot);
}

/* Adds the time of a completed exit. */
static __always_inline void time_add(struct vcpu_slot *slot, u64 ns, bool histogram)
{
	struct exit_cell *cell = current_cell(slot);

	slot->header.exit_ns = 0;
	if (unlikely(ns > cell->max_ns))
		cell->max_ns = ns;
	cell->time_ns += ns;
	if (histogram)
		histogram_add(slot, cell, ns);
}

/*
 * Worker of kvm_entry for all but short exits: `now` was read before anything else. Returns the time
 * of the exit. Out of line, so that the fast path saves no registers.
 */
static __always_inline u64 time_end(struct vcpu_slot *slot, u64 now, bool histogram,
				    const enum read_by by)
{
	struct vcpu_header *header = &slot->header;
	u64 ns = now - header->exit_ns;

	if (unlikely(!header->exit_ns)) {
		/* No loss if it is the slot's first event: the exit came before exittop. */
		if (header->who.first_ns < now && memory.armed_ns < now)
			header->entry_without_exit++;
		return 0;
	}
	/* The clocks of two CPUs may differ a little: a negative time counts as 0. */
	if ((s64)ns < 0)
		ns = 0;
	time_add(slot, ns, histogram);
	if (parts_on) {
		if (header->vcpu & EXITTOP_LOOK)
			__sync_fetch_and_add(&header->vcpu, -EXITTOP_LOOK);
		/* User space reads them before the time. */
		barrier();
		parts_end(slot, ns, now, by);
	}
	return ns;
}

static __noinline u64 time_end_by_cast(struct vcpu_slot *slot, u64 now, bool histogram)
{
	return time_end(slot, now, histogram, READ_BY_CAST);
}

static __noinline u64 time_end_by_helper(struct vcpu_slot *slot, u64 now, bool histogram)
{
	return time_end(slot, now, histogram, READ_BY_HELPER);
}

/* Time since the exit being handled. If there is none, the host's age: more than a short time. */
static __always_inline u64 time_since_exit(struct vcpu_slot *slot, u64 now)
{
	return now - slot->header.exit_ns;
}

/* Worker of kvm_entry. `look`: the end of the exit is looked at, however short it was. */
static __always_inline int time_exit(struct vcpu_slot *slot, u64 now, bool histogram, bool look,
				     const enum read_by by)
{
	u64 ns = time_since_exit(slot, now);

	if (likely(ns < EXITTOP_SHORT_TIME) && !look)
		time_add(slot, ns, histogram);
	else if (by == READ_BY_CAST)
		time_end_by_cast(slot, now, histogram);
	else
		time_end_by_helper(slot, now, histogram);
	return 0;
}

/* Counts a completed exit by its target. */
static __always_inline int target_end(struct vcpu_slot *slot, u64 ns, const bool with_slots,
				      const enum read_by by)
{
	struct vcpu_header *header = &slot->header;
	u64 target = target_of_exit(slot, EXITTOP_VCPU_OF(header->vcpu), header->target_kind, by);

	header->target_kind = EXITTOP_TARGET_NONE;
	return target_add(slot, ns, target, with_slots);
}

/* Out of line, so that the entries of other exits save no registers for it. */
#define TARGET_END(name, with_slots, by)                           \
	static __noinline int name(struct vcpu_slot *slot, u64 ns) \
	{                                                          \
		return target_end(slot, ns, with_slots, by);       \
	}
TARGET_END(target_end_by_cast, true, READ_BY_CAST)
TARGET_END(target_end_by_helper, true, READ_BY_HELPER)
TARGET_END(target_end_later_by_cast, false, READ_BY_CAST)
TARGET_END(target_end_later_by_helper, false, READ_BY_HELPER)

static __always_inline int target_count(struct vcpu_slot *slot, u64 ns, const bool with_slots,
					const enum read_by by)
{
	/* None if it was no exit, or one that came before targets were switched on. */
	if (!slot->header.target_kind)
		return 0;
	if (with_slots)
		return by == READ_BY_CAST ? target_end_by_cast(slot, ns)
					  : target_end_by_helper(slot, ns);
	return by == READ_BY_CAST ? target_end_later_by_cast(slot, ns)
				  : target_end_later_by_helper(slot, ns);
}

/* The same where it was no short exit, or not known to be one. */
#define ENTRY_BY_TARGET(name, with_slots, by)                                               \
	static __noinline int name(struct vcpu_slot *slot, u64 now, bool histogram)         \
	{                                                                                   \
		u64 ns = by == READ_BY_CAST ? time_end_by_cast(slot, now, histogram)        \
					    : time_end_by_helper(slot, now, histogram);     \
		return target_count(slot, ns, with_slots, by);                              \
	}
ENTRY_BY_TARGET(entry_by_target_cast, true, READ_BY_CAST)
ENTRY_BY_TARGET(entry_by_target_helper, true, READ_BY_HELPER)
ENTRY_BY_TARGET(entry_by_target_later_cast, false, READ_BY_CAST)
ENTRY_BY_TARGET(entry_by_target_later_helper, false, READ_BY_HELPER)

/* The entry of a vCPU whose exits are counted by target, off the fast path. */
static __always_inline int entry_by_target(struct vcpu_slot *slot, u64 now, bool histogram,
					   const enum read_by by)
{
	if (targets_from_start)
		return by == READ_BY_CAST ? entry_by_target_cast(slot, now, histogram)
					  : entry_by_target_helper(slot, now, histogram);
	return by == READ_BY_CAST ? entry_by_target_later_cast(slot, now, histogram)
				  : entry_by_target_later_helper(slot, now, histogram);
}

/*
 * The same for a vCPU that is not in its first hash slot, or has a bit in its address, or is new. Out
 * of line, so that the fast path saves no registers.
 */
static __always_inline int entry_any(u64 vcpu, u64 now, bool histogram, const enum read_by by)
{
	struct vcpu_slot *slot = slot_find(vcpu);
	u64 word;

	if (!slot)
		return 0;
	word = slot->header.vcpu;
	if (targets_possible && word & EXITTOP_BY_TARGET)
		return entry_by_target(slot, now, histogram, by);
	return time_exit(slot, now, histogram, word & EXITTOP_LOOK, by);
}

static __noinline int entry_slow_path(u64 vcpu, u64 now, bool histogram)
{
	return entry_any(vcpu, now, histogram, READ_BY_CAST);
}

static __noinline int entry_slow_path_helper(u64 vcpu, u64 now, bool histogram)
{
	return entry_any(vcpu, now, histogram, READ_BY_HELPER);
}

static __always_inline int handle_entry(u64 vcpu, const enum read_by by, const bool histogram)
{
	u64 now = bpf_ktime_get_ns();
	struct vcpu_slot *slot = hash_slot(vcpu);

	if (unlikely(slot->header.vcpu != vcpu)) {
		if (parts_on && slot->header.vcpu - EXITTOP_LOOK == vcpu)
			return time_exit(slot, now, histogram, true, by);
		return by == READ_BY_CAST ? entry_slow_path(vcpu, now, histogram)
					  : entry_slow_path_helper(vcpu, now, histogram);
	}
	return time_exit(slot, now, histogram, false, by);
}

/* The same where all vCPUs are counted by target: that is the fast path then. */
static __always_inline int handle_entry_by_target(u64 vcpu, const enum read_by by,
						  const bool histogram)
{
	u64 now = bpf_ktime_get_ns();
	struct vcpu_slot *slot = hash_slot(vcpu);
	u64 ns;

	if (unlikely(!is_by_target(slot, vcpu)))
		return by == READ_BY_CAST ? entry_slow_path(vcpu, now, histogram)
					  : entry_slow_path_helper(vcpu, now, histogram);
	ns = time_since_exit(slot, now);
	if (unlikely(ns >= EXITTOP_SHORT_TIME))
		return by == READ_BY_CAST ? entry_by_target_cast(slot, now, histogram)
					  : entry_by_target_helper(slot, now, histogram);
	time_add(slot, ns, histogram);
	return target_count(slot, ns, true, by);
}

/*
 * The slot of a vCPU that exits and is not in its first hash slot, or is counted by target, or is
 * new. NULL if it gets none: the exit is counted as one of a vCPU that waits.
 */
static __always_inline struct vcpu_slot *exit_slot_slow_path(struct vcpu_slot *first, u64 vcpu,
							       u32 isa)
{
	/* Read before a slot is looked for, so that one which becomes free meanwhile is tried for. */
	u64 given_back = memory.given_back;
	struct waiting_vcpu *waiting;
	u32 slot_index;

	if (EXITTOP_VCPU_OF(first->header.vcpu) == vcpu)
		return first;
	if (is_in_second(first, vcpu))
		return first + 1;
	waiting = waiting_of(vcpu);
	if (waiting && waiting->given_back == given_back) {
		waiting->exits++;
		return NULL;
	}
	slot_index = slot_search(vcpu);
	if (!slot_index)
		slot_index = slot_create(vcpu, isa);
	if (!slot_index)
		wait_for_slot(vcpu, given_back);
	else if (waiting)
		waiting_end(waiting, 0);
	return slot_at(slot_index);
}

/* The same of a vCPU whose exits are counted by target. */
static __always_inline int count_exit_by_target(struct vcpu_slot *slot, u32 number, u32 code,
						bool in_l2, const bool with_slots,
						const enum read_by by)
{
	struct exit_cell *cell = cell_begin(slot, number);
	u32 kind = with_slots ? cell->flags >> EXITTOP_CELL_KIND_SHIFT : target_kind_of(code);

	if (kind)
		target_begin(slot, kind, in_l2, by);
	return time_begin(slot);
}

/* kvm_exit where the reason is passed. */
static __always_inline int handle_exit(u64 vcpu, u32 code, u32 isa, bool in_l2, const bool timed)
{
	struct vcpu_slot *slot = hash_slot(vcpu);
	u32 number;

	if (unlikely(slot->header.vcpu != vcpu))
		slot = exit_slot_slow_path(slot, vcpu, isa);
	if (!slot)
		return 0;
	number = in_l2 ? cell_of(slot, code, true) : cell_of(slot, code, false);
	if (targets_possible && slot->header.vcpu & EXITTOP_BY_TARGET)
		return targets_from_start
			       ? count_exit_by_target(slot, number, code, in_l2, true, READ_BY_HELPER)
			       : count_exit_by_target(slot, number, code, in_l2, false, READ_BY_HELPER);
	return count_exit(slot, number, timed);
}

/* kvm_exit since Linux 5.16 (commit 0a62a0319abb): the reason is to be read from the vCPU. */
static __always_inline int exit_read_at(struct vcpu_slot *slot, u64 vcpu, const enum read_by by,
					const enum vcpu_type type, const bool timed)
{
	u64 code_at = slot->header.code_at;

	if (unlikely(ran_l2(vcpu, by, type))) {
		if (slot->header.isa == KVM_ISA_SVM)
			code_at = svm_exit_code_address(vcpu, by);
		return count_exit(slot, cell_of(slot, load_u64(code_at, by), true), timed);
	}
	return count_exit(slot, cell_of(slot, load_u64(code_at, by), false), timed);
}

/* The same where it also has to be known what the exit is about. */
static __always_inline int exit_l2_by_target(struct vcpu_slot *slot, u64 vcpu, const bool with_slots,
					     const enum read_by by)
{
	u64 code_at = slot->header.isa == KVM_ISA_SVM ? svm_exit_code_address(vcpu, by)
						      : slot->header.code_at;
	u32 code = load_u64(code_at, by);

	return count_exit_by_target(slot, cell_of(slot, code, true), code, true, with_slots, by);
}

static __noinline int exit_l2_by_target_cast(struct vcpu_slot *slot)
{
	u64 vcpu = EXITTOP_VCPU_OF(slot->header.vcpu);

	return targets_from_start ? exit_l2_by_target(slot, vcpu, true, READ_BY_CAST)
				  : exit_l2_by_target(slot, vcpu, false, READ_BY_CAST);
}

static __noinline int exit_l2_by_target_helper(struct vcpu_slot *slot)
{
	u64 vcpu = EXITTOP_VCPU_OF(slot->header.vcpu);

	return targets_from_start ? exit_l2_by_target(slot, vcpu, true, READ_BY_HELPER)
				  : exit_l2_by_target(slot, vcpu, false, READ_BY_HELPER);
}

static __always_inline int exit_by_target(struct vcpu_slot *slot, u64 vcpu, const bool with_slots,
					  const enum read_by by, const enum vcpu_type type)
{
	u32 code;

	if (unlikely(ran_l2(vcpu, by, type)))
		return by == READ_BY_CAST ? exit_l2_by_target_cast(slot)
					  : exit_l2_by_target_helper(slot);
	code = load_u64(slot->header.code_at, by);
	return count_exit_by_target(slot, cell_of(slot, code, false), code, false, with_slots, by);
}

#define EXIT_READ_SLOW_PATH(name, by, type)                                                         \
	static __noinline int name(struct vcpu_slot *first, u64 vcpu, u32 isa, bool timed)         \
	{                                                                                          \
		struct vcpu_slot *slot = exit_slot_slow_path(first, vcpu, isa);                    \
                                                                                                   \
		if (!slot)                                                                         \
			return 0;                                                                  \
		if (targets_possible && slot->header.vcpu & EXITTOP_BY_TARGET)                     \
			return targets_from_start ? exit_by_target(slot, vcpu, true, by, type)     \
						  : exit_by_target(slot, vcpu, false, by, type);   \
		return timed ? exit_read_at(slot, vcpu, by, type, true)                            \
			     : exit_read_at(slot, vcpu, by, type, false);                          \
	}
EXIT_READ_SLOW_PATH(exit_slow_path_typed, READ_BY_CAST, TYPED)
EXIT_READ_SLOW_PATH(exit_slow_path_btf, READ_BY_HELPER, TYPED)
EXIT_READ_SLOW_PATH(exit_slow_path_raw, READ_BY_CAST, UNTYPED)
EXIT_READ_SLOW_PATH(exit_slow_path_raw_helper, READ_BY_HELPER, UNTYPED)

static __always_inline int handle_exit_read(u64 *ctx, const enum read_by by,
					    const enum vcpu_type type, const bool timed)
{
	u64 vcpu = ctx[0];
	struct vcpu_slot *slot = hash_slot(vcpu);

	/* Never 0, but the verifier of some kernels assumes that it may be. */
	if (!vcpu)
		return 0;
	if (likely(slot->header.vcpu == vcpu))
		return exit_read_at(slot, vcpu, by, type, timed);
	if (type == TYPED)
		return by == READ_BY_CAST ? exit_slow_path_typed(slot, vcpu, ctx[1], timed)
					  : exit_slow_path_btf(slot, vcpu, ctx[1], timed);
	return by == READ_BY_CAST ? exit_slow_path_raw(slot, vcpu, ctx[1], timed)
				  : exit_slow_path_raw_helper(slot, vcpu, ctx[1], timed);
}

/* The same where all vCPUs are counted by target: that is the fast path then. */
static __always_inline int handle_exit_read_by_target(u64 *ctx, const enum read_by by,
						      const enum vcpu_type type)
{
	u64 vcpu = ctx[0];
	struct vcpu_slot *slot = hash_slot(vcpu);

	if (!vcpu)
		return 0;
	if (unlikely(!is_by_target(slot, vcpu)))
		return handle_exit_read(ctx, by, type, true);
	return exit_by_target(slot, vcpu, true, by, type);
}

/*
 * Return value of a program on a classic tracepoint: with 0 the kernel drops the event for everyone
 * else, perf and ftrace among them (perf_trace_run_bpf_submit()).
 */
#define FOR_OTHERS_TOO 1

/* Classic tracepoints do not pass the vCPU. */
static __always_inline int handle_exit_classic(struct trace_kvm_exit *ctx, const bool timed)
{
	u64 vcpu = vcpu_of_current(false);

	if (vcpu)
		handle_exit(vcpu, ctx->exit_reason, ctx->isa, false, timed);
	return FOR_OTHERS_TOO;
}

static __always_inline int handle_entry_classic(const bool histogram)
{
	u64 vcpu = vcpu_of_current(false);

	if (vcpu)
		handle_entry(vcpu, READ_BY_HELPER, histogram);
	return FOR_OTHERS_TOO;
}

/* KVM_RUN first loads the guest's FPU state and last puts it back: between two runs, the VMM runs. */
static __always_inline int handle_fpu(bool load, const enum read_by by)
{
	u64 now = bpf_ktime_get_ns();
	u64 vcpu = vcpu_of_current(has_task_btf(by));
	struct vcpu_slot *slot = vcpu ? slot_of(vcpu) : NULL;

	if (!slot || !slot->header.exit_ns)
		return 0;
	if (load)
		vmm_end(slot, now, by);
	else
		vmm_begin(slot, vcpu, now, by);
	return 0;
}

/*
 * Ends the slot of the vCPU at that address, which may soon be another vCPU's; user space takes the
 * counts and frees the slot. KVM's count can be read only while the vCPU is still there. Returns
 * whether it had a slot.
 */
static __always_inline bool slot_end(u64 vcpu, const bool is_there)
{
	u32 *known = bpf_map_lookup_elem(&vcpu_slots, &vcpu);
	u32 slot_index = known ? *known : 0;
	struct vcpu_slot *slot = slot_at(slot_index);

	/* Whoever deletes the entry ends the slot: the vCPU may go while user space evicts it. */
	if (!slot || bpf_map_delete_elem(&vcpu_slots, &vcpu) == -ENOENT)
		return false;
	if (leaves_on)
		leaves_remove(slot);
	slot->header.vcpu = 0;
	slot->header.who.ended_ns = bpf_ktime_get_ns();
	slot->header.kvm_exits_more_at_end = is_there ? kvm_exits_more(slot, vcpu)
						      : EXITTOP_MORE_UNKNOWN;
	/* From here on the slot is user space's. */
	slot_set_state(slot_index, EXITTOP_SLOT_ENDED);
	__sync_fetch_and_add(&memory.changes, 1);
	return true;
}

/* The vCPU at that address is being destroyed, or was already. */
static __always_inline int end_vcpu(u64 vcpu, const bool is_there)
{
	struct waiting_vcpu *waiting = waiting_of(vcpu);

	if (waiting)
		waiting_end(waiting, bpf_ktime_get_ns());
	slot_end(vcpu, is_there);
	return 0;
}

/*
 * The programs. Each one on kvm_exit exists twice: NAME times, NAME_count only counts and needs none
 * of the programs on kvm_entry. Each one on kvm_entry too: NAME fills histograms, NAME_time does not.
 * NAME_targets is for vCPUs that are counted by target from the start; the others do that as well,
 * out of line.
 */
#define EXIT_PROGRAM(section, name, call)                                                     \
	SEC(section) int name(u64 *ctx) { const bool timed = true; return call; }             \
	SEC(section) int name##_count(u64 *ctx) { const bool timed = false; return call; }
#define ENTRY_PROGRAM(section, name, call)                                                    \
	SEC(section) int name(u64 *ctx) { const bool histogram = true; (void)ctx; return call; } \
	SEC(section) int name##_time(u64 *ctx) { const bool histogram = false; (void)ctx; return call; }

/* kvm_exit(vcpu, isa), typed: the vCPU is read without a helper call. Linux 6.2 and later. */
EXIT_PROGRAM("tp_btf/kvm_exit", exit_typed, handle_exit_read(ctx, READ_BY_CAST, TYPED, timed))

SEC("tp_btf/kvm_exit") int exit_typed_targets(u64 *ctx)
{
	return handle_exit_read_by_target(ctx, READ_BY_CAST, TYPED);
}

/* The same from 5.16 to 6.1, without bpf_rdonly_cast(). */
EXIT_PROGRAM("tp_btf/kvm_exit", exit_btf, handle_exit_read(ctx, READ_BY_HELPER, TYPED, timed))

SEC("tp_btf/kvm_exit") int exit_btf_targets(u64 *ctx)
{
	return handle_exit_read_by_target(ctx, READ_BY_HELPER, TYPED);
}

/* Both without kvm's BTF, which the typed ones need and not everyone may read. */
EXIT_PROGRAM("raw_tp/kvm_exit", exit_raw, handle_exit_read(ctx, READ_BY_CAST, UNTYPED, timed))
EXIT_PROGRAM("raw_tp/kvm_exit", exit_raw_helper,
	     handle_exit_read(ctx, READ_BY_HELPER, UNTYPED, timed))

/* kvm_exit(reason, vcpu, isa) up to 5.15. */
EXIT_PROGRAM("raw_tp/kvm_exit", exit_raw_reason,
	     handle_exit(ctx[1], ctx[0], ctx[2], ran_l2(ctx[1], READ_BY_HELPER, UNTYPED), timed))

/* Where BTF does not tell where the reason is. L2 counts as L1 here. */
EXIT_PROGRAM("tp/kvm/kvm_exit", exit_classic, handle_exit_classic((void *)ctx, timed))

/* Without bpf_rdonly_cast(), and with it, which only targets need. */
ENTRY_PROGRAM("raw_tp/kvm_entry", entry_raw, handle_entry(ctx[0], READ_BY_HELPER, histogram))
ENTRY_PROGRAM("tp_btf/kvm_entry", entry_btf, handle_entry(ctx[0], READ_BY_HELPER, histogram))
ENTRY_PROGRAM("raw_tp/kvm_entry", entry_cast, handle_entry(ctx[0], READ_BY_CAST, histogram))

ENTRY_PROGRAM("raw_tp/kvm_entry", entry_cast_targets,
	      handle_entry_by_target(ctx[0], READ_BY_CAST, histogram))
ENTRY_PROGRAM("tp_btf/kvm_entry", entry_btf_targets,
	      handle_entry_by_target(ctx[0], READ_BY_HELPER, histogram))
ENTRY_PROGRAM("tp/kvm/kvm_entry", entry_classic, handle_entry_classic(histogram))

/*
 * Attached to nothing: user space runs it once to prove that it and the programs share one memory.
 * User space writes a word at the end, in the last slot; the program writes its complement at the
 * beginning, and which pid user space has here.
 */
SEC("raw_tp")
int prove_memory(void *ctx)
{
	struct vcpu_slot *last = slot_at(last_slot);

	(void)ctx;
	memory.reader_pid = bpf_get_current_pid_tgid() >> 32;
	if (last)
		memory.proof = ~last->header.who.first_ns;
	return 0;
}

/* Run by user space for a slot index: compares KVM's own count with the slot's. */
SEC("raw_tp")
int look_at_slot(u64 *ctx)
{
	struct vcpu_slot *slot = slot_at(ctx[0]);

	return slot ? look_at_kvm_count(slot) : 0;
}

/* Detached as soon as it has learned the order; runs beside the programs that time. */
SEC("raw_tp/kvm_entry")
int learn_order(u64 *ctx)
{
	u64 vcpu = vcpu_of_current(false);
	struct vcpu_slot *slot = vcpu ? slot_of(vcpu) : NULL;

	(void)ctx;
	return slot && !memory.count_order ? learn_count_order(slot, vcpu) : 0;
}

SEC("raw_tp/kvm_fpu")
int fpu_cast(u64 *ctx)
{
	return handle_fpu((u32)ctx[0], READ_BY_CAST);
}

SEC("raw_tp/kvm_fpu")
int fpu_helper(u64 *ctx)
{
	return handle_fpu((u32)ctx[0], READ_BY_HELPER);
}

/*
 * Linux 7 preempts tasks within a raw tracepoint's program, and skips that program for others on the
 * CPU meanwhile; a classic one costs more, but there no task is preempted.
 */
SEC("tp/kvm/kvm_fpu")
int fpu_classic(struct trace_kvm_fpu *ctx)
{
	handle_fpu(ctx->load, READ_BY_CAST);
	return FOR_OTHERS_TOO;
}

/*
 * What tells the target of an exit that is in no register by the entry. Attached while targets are
 * counted on VMX.
 */
static __always_inline struct vcpu_slot *slot_told(void)
{
	u64 vcpu = vcpu_of_current(true);

	return vcpu ? slot_of(vcpu) : NULL;
}

/* kvm_page_fault(vcpu, address, qualification or error code), of EPT and of shadow paging. */
SEC("raw_tp/kvm_page_fault")
int tell_page_fault(u64 *ctx)
{
	struct vcpu_slot *slot = slot_told();
	u64 address = ctx[1] & PAGE_MASK, told = ctx[2];
	u64 access = told & 4 ? PF_FETCH : told & 2 ? PF_WRITE : 0;

	if (!slot)
		return 0;
	if (slot->header.target_kind == EXITTOP_TARGET_EXCEPTION_VMX)
		return target_told(slot, EXITTOP_TARGET_EXCEPTION_VMX,
				   PF_VECTOR | EXITTOP_HAS_ERROR_CODE | (told & 0x1f) << EXITTOP_ERROR_CODE_SHIFT);
	/* Bits of the qualification: read, write, fetch (SDM vol. 3, table 27-7). */
	return target_told(slot, EXITTOP_TARGET_EPT_VIOLATION,
			   EXITTOP_TARGET_VALUE(EXITTOP_TARGET_ADDRESS(address, access)));
}

static __always_inline int mmio_told(struct vcpu_slot *slot, u64 address, u64 access)
{
	return target_told(slot, EXITTOP_TARGET_EPT_MISCONFIG,
			   EXITTOP_TARGET_VALUE(EXITTOP_TARGET_ADDRESS(address, PF_RESERVED | access)));
}

/* kvm_fast_mmio(address): a write that an ioeventfd takes. */
SEC("raw_tp/kvm_fast_mmio")
int tell_fast_mmio(u64 *ctx)
{
	struct vcpu_slot *slot = slot_told();

	return slot ? mmio_told(slot, ctx[0], PF_WRITE) : 0;
}

/* kvm_mmio(type, length, address, value); of a read there may be two. */
#define KVM_TRACE_MMIO_WRITE 2 /* arch/x86/kvm, include/trace/events/kvm.h */
SEC("raw_tp/kvm_mmio")
int tell_mmio(u64 *ctx)
{
	struct vcpu_slot *slot = slot_told();
	u64 access = (u32)ctx[0] == KVM_TRACE_MMIO_WRITE ? PF_WRITE : 0;

	return slot ? mmio_told(slot, ctx[2], access) : 0;
}

/*
 * No tracepoint tells when a vCPU is destroyed. Since Linux 5.16 (commit d69c1382e1b7) KVM then frees
 * its FPU state through a function of vmlinux that nobody else calls and whose BTF anyone may read.
 */
#define VCPU_OF_FPU(fpu) ((fpu) - bpf_core_field_offset(struct kvm_vcpu, arch.guest_fpu))
SEC("fentry/fpu_free_guest_fpstate")
int destroy_fpu(u64 *ctx)
{
	return end_vcpu(VCPU_OF_FPU(ctx[0]), true);
}

/*
 * KVM allocates it when a vCPU is created: if the address still has a slot, the end of the vCPU that
 * was there before was missed. Linux 7 preempts tasks within such a program, and skips the program
 * for others on that CPU meanwhile.
 */
SEC("fentry/fpu_alloc_guest_fpstate")
int create_fpu(u64 *ctx)
{
	return end_vcpu(VCPU_OF_FPU(ctx[0]), false);
}

/*
 * The same by kprobe: on older kernels, where fentry is refused, and beside it, as no task is
 * preempted within a kprobe. A kprobe is a perf event, which Debian's perf_event_paranoid=3 reserves
 * for CAP_SYS_ADMIN. The first argument is the vCPU since Linux 5.7.
 */
SEC("kprobe/kvm_arch_vcpu_destroy")
int destroy(struct pt_regs *ctx)
{
	return end_vcpu(ctx->di, true);
}

SEC("kprobe/kvm_arch_vcpu_create")
int create(struct pt_regs *ctx)
{
	return end_vcpu(ctx->di, false);
}

/*
 * Run by user space for a slot index and the vCPU that it found there: the process of that vCPU is
 * gone, so the vCPU is too.
 */
SEC("raw_tp")
int end_slot(u64 *ctx)
{
	struct vcpu_slot *slot = slot_at(ctx[0]);
	u64 vcpu = ctx[1];

	return slot && vcpu && EXITTOP_VCPU_OF(slot->header.vcpu) == vcpu ? end_vcpu(vcpu, false) : 0;
}

/*
 * Run by user space for a slot index and the vCPU that it found there, whose slot another user's vCPU
 * is to get: from now on it waits. Its exit under way is not timed.
 */
SEC("raw_tp")
int evict_slot(u64 *ctx)
{
	struct vcpu_slot *slot = slot_at(ctx[0]);
	struct waiting_vcpu *waiting;
	u64 vcpu = ctx[1];

	if (!slot || !vcpu || EXITTOP_VCPU_OF(slot->header.vcpu) != vcpu)
		return 0;
	waiting = waiting_take(vcpu);
	if (!waiting)
		return 0;
	waiting->who = slot->header.who;
	/* It waits before its slot ends, so that its own end, if it comes now, is noticed. */
	waiting_begin(waiting, vcpu, memory.given_back);
	slot->header.evicted = 1;
	if (slot->header.exit_ns)
		slot->header.exit_without_entry++;
	if (!slot_end(vcpu, false) && waiting->vcpu == vcpu)
		waiting_end(waiting, bpf_ktime_get_ns());
	return 0;
}

/* Run by user space for the place of a vCPU that waits, whose process is gone. */
SEC("raw_tp")
int end_waiting(u64 *ctx)
{
	struct waiting_vcpu *waiting = waiting_at(ctx[0]);

	if (ctx[1] && waiting->vcpu == ctx[1])
		waiting_end(waiting, bpf_ktime_get_ns());
	return 0;
}

/* A guest executes CPUID with one of the four leaves. Needs a KVM with the patch of kernel/. */
SEC("raw_tracepoint.w/kvm_cpuid_answer_tp")
int answer_cpuid(u64 *ctx)
{
	struct vcpu_slot *slot = slot_of(ctx[1]);

	return slot ? leaves_answer(slot, (struct cpuid_answer *)ctx[0]) : 0;
}
