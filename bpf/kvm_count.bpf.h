/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * KVM's own count of a vCPU's exits, kvm_vcpu.stat.exits, beside exittop's: read when the vCPU is
 * first seen, when it goes, and when user space asks. None of this is on the path of an exit.
 */
#ifndef EXITTOP_KVM_COUNT_BPF_H
#define EXITTOP_KVM_COUNT_BPF_H

/* How often a running vCPU is looked at until its two counts stand still together. */
#define COUNT_LOOKS 4

/* KVM's own count of a vCPU's exits so far; EXITTOP_KVM_EXITS_UNKNOWN where it cannot be read. */
static __always_inline u64 kvm_exits_of(u64 vcpu)
{
	u64 exits;

	if (!bpf_core_field_exists(struct kvm_vcpu, stat.exits) ||
	    bpf_probe_read_kernel(&exits, sizeof(exits),
				  (void *)(vcpu + bpf_core_field_offset(struct kvm_vcpu,
									stat.exits))))
		return EXITTOP_KVM_EXITS_UNKNOWN;
	return exits;
}

/* All exits counted in a slot, those without a cell of their own included. */
static __always_inline u64 exits_counted(struct vcpu_slot *slot)
{
	u64 sum = 0;

	for (u32 number = 0; number < EXITTOP_CELLS; number++) {
		if (number >= slot->header.cells_used)
			break;
		sum += slot->cells[number].count;
	}
	return sum;
}

/*
 * Whether the vCPU that exits is no older than exittop's counting, to judge by its process: then
 * KVM's count from its beginning is of the same exits, those before the first that was traced
 * included. Where exits went uncounted for want of a slot, some may have been this vCPU's.
 */
static __always_inline bool vcpu_is_new(u64 vcpu)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	return !memory.table_full && !waiting_of(vcpu) &&
	       BPF_CORE_READ(task, group_leader, start_time) > memory.armed_ns;
}

/*
 * How many more exits KVM counted than exittop since the slot was made, or the vCPU. Negative: not
 * known. Where KVM counts first, the exit that made the slot was in its count already.
 */
static __always_inline s64 kvm_exits_more(struct vcpu_slot *slot, u64 vcpu)
{
	u64 first = slot->header.kvm_exits_first;
	u64 now = kvm_exits_of(vcpu);
	u64 before = slot->header.is_new ? 0 : first - (memory.count_order == EXITTOP_COUNTED_FIRST);

	if (!memory.count_order || first == EXITTOP_KVM_EXITS_UNKNOWN ||
	    now == EXITTOP_KVM_EXITS_UNKNOWN)
		return EXITTOP_MORE_UNKNOWN;
	return now - before - exits_counted(slot);
}

/*
 * Learns, from the first entry of any vCPU after its slot was made, whether KVM counts an exit
 * before it traces it: by then it has counted one since, or none. It differs by vendor and version
 * (kvm_amd counted first until Linux 6.10 traced in svm_vcpu_run()).
 */
static __noinline int learn_count_order(struct vcpu_slot *slot, u64 vcpu)
{
	u64 first = slot->header.kvm_exits_first;
	u64 now = kvm_exits_of(vcpu);

	if (first == EXITTOP_KVM_EXITS_UNKNOWN || exits_counted(slot) != 1)
		return 0;
	if (now == first)
		memory.count_order = EXITTOP_COUNTED_FIRST;
	else if (now == first + 1)
		memory.count_order = EXITTOP_TRACED_FIRST;
	return 0;
}

/*
 * Notes in a slot how many more exits KVM counted than exittop. A vCPU that runs may be between the
 * two counts of one exit, which then are one apart: of several looks, that one counts in which they
 * were not, and a difference of just that exit is none.
 */
static __noinline int look_at_kvm_count(struct vcpu_slot *slot)
{
	bool counted_first = memory.count_order == EXITTOP_COUNTED_FIRST;
	u64 vcpu = EXITTOP_VCPU_OF(slot->header.vcpu);
	s64 more, best = 0;

	for (u32 look = 0; look < COUNT_LOOKS; look++) {
		more = kvm_exits_more(slot, vcpu);
		if (!look || (counted_first ? more < best : more > best))
			best = more;
	}
	if (best == (counted_first ? 1 : -1))
		best = 0;
	/* A vCPU that went meanwhile was not what was read, and has said its last already. */
	if (vcpu && EXITTOP_VCPU_OF(slot->header.vcpu) == vcpu)
		slot->header.kvm_exits_more = best;
	return 0;
}

#endif
