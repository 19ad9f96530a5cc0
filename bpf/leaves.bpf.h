/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Answers four CPUID leaves with the counts of the VM that asks, from the slots it is counted in.
 *
 * A VM has a slot per vCPU. Which ones is kept in a map: a VM's vCPUs are numbered in the order of
 * their first events. KVM frees a VM's vCPUs together and before the VM, and a VM that may ask keeps
 * its slots, so an index is never reused while a higher one is in use.
 *
 * Nothing of this is on the path of an exit: the map is written when a vCPU comes or goes, and read
 * when a guest asks. Where it is not wanted, the verifier takes it out.
 */
#ifndef EXITTOP_LEAVES_BPF_H
#define EXITTOP_LEAVES_BPF_H

/* Whether guests are to be answered, and what each leaf means: EXITTOP_LEAF_*. */
const volatile bool leaves_on = false;
const volatile u32 leaves[EXITTOP_LEAVES];

/* Address of the kernel's tsc_khz. */
const volatile u64 tsc_khz_address = 0;

/* Number of slots. */
const volatile u32 leaf_slots = 0;

struct vm_vcpu {
	u64 kvm;
	u64 vm_vcpu_index; /* or LEAVES_TOTAL: there the value is how many have joined */
};
#define LEAVES_TOTAL (~0ull)
/* vCPUs of one VM that may join at the same time. */
#define LEAVES_TRIES 64

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct vm_vcpu);
	__type(value, u32); /* slot */
} vm_slots SEC(".maps");

/* Reasons that the manuals define. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, u64); /* isa in the high half, code in the low one */
	__type(value, u8);
} known_reasons SEC(".maps");

/* What KVM's tracepoint passes: not the kernel's to move, so without CO-RE. */
struct cpuid_answer {
	u32 function;
	u32 index;
	u32 eax;
	u32 ebx;
	u32 ecx;
	u32 edx;
};

/* Adds a new slot to those of its VM. */
static __always_inline void leaves_add(struct vcpu_slot *slot, u32 slot_index)
{
	struct vm_vcpu total = {slot->header.who.kvm, LEAVES_TOTAL};
	struct vm_vcpu key = {slot->header.who.kvm, 0};
	u32 none = 0, *joined;

	bpf_map_update_elem(&vm_slots, &total, &none, BPF_NOEXIST);
	joined = bpf_map_lookup_elem(&vm_slots, &total);
	if (!joined)
		return;
	key.vm_vcpu_index = *joined;
	for (u32 tries = 0; tries < LEAVES_TRIES; tries++) {
		if (!bpf_map_update_elem(&vm_slots, &key, &slot_index, BPF_NOEXIST)) {
			slot->header.vm_vcpu_index = key.vm_vcpu_index;
			__sync_fetch_and_add(joined, 1);
			return;
		}
		key.vm_vcpu_index++;
	}
}

/* Removes it. The VM is about to go, or may not ask: who may keeps its slots. */
static __always_inline void leaves_remove(struct vcpu_slot *slot)
{
	struct vm_vcpu total = {slot->header.who.kvm, LEAVES_TOTAL};
	struct vm_vcpu key = {slot->header.who.kvm, slot->header.vm_vcpu_index};

	bpf_map_delete_elem(&vm_slots, &key);
	bpf_map_delete_elem(&vm_slots, &total);
}

/* Of one VM: of all reasons, or of one. */
struct leaves_sum {
	u64 kvm;
	u64 count;
	u64 time_ns;
	u32 isa;
	u32 code;
	bool all;
};

/* Flags above a basic VMX reason do not make another reason of it. */
static __always_inline u32 leaves_basic_code(u32 isa, u32 code)
{
	return isa == KVM_ISA_VMX ? code & 0xffff : code;
}

/* Adds the counts of one vCPU of the VM; not 0: there is none with that index. */
static long leaves_add_vcpu(u32 vm_vcpu_index, struct leaves_sum *sum)
{
	struct vm_vcpu key = {sum->kvm, vm_vcpu_index};
	u32 *slot_index = bpf_map_lookup_elem(&vm_slots, &key);
	struct vcpu_slot *slot = slot_index ? slot_at(*slot_index) : NULL;

	if (!slot)
		return 1;
	for (u32 number = 0; number < EXITTOP_CELLS; number++) {
		struct exit_cell *cell = &slot->cells[number];

		if (number >= slot->header.cells_used)
			break;
		if (!sum->all && (number == EXITTOP_OVERFLOW_CELL ||
				  leaves_basic_code(sum->isa, cell->code) != sum->code))
			continue;
		sum->count += cell->count;
		sum->time_ns += cell->time_ns;
	}
	return 0;
}

/* Nanoseconds in cycles of the host's TSC. */
static __always_inline u64 leaves_cycles(u64 ns)
{
	u32 khz = 0;

	bpf_probe_read_kernel(&khz, sizeof(khz), (void *)tsc_khz_address);
	/* ns times khz would not fit. */
	return ns / 1000000 * khz + ns % 1000000 * khz / 1000000;
}

static __always_inline int leaves_answer(struct vcpu_slot *slot, struct cpuid_answer *answer)
{
	u32 leaf = leaves[(answer->function - EXITTOP_LEAF_BASE) & (EXITTOP_LEAVES - 1)];
	struct leaves_sum sum = {
		.kvm = slot->header.who.kvm,
		.isa = slot->header.isa,
		.code = answer->index,
		.all = !(leaf & EXITTOP_LEAF_REASON),
	};
	u64 reason = (u64)sum.isa << 32 | sum.code;
	u64 wide;

	/* Should the patch ever pass other leaves, they are none of ours. */
	if (answer->function < EXITTOP_LEAF_BASE ||
	    answer->function - EXITTOP_LEAF_BASE >= EXITTOP_LEAVES)
		return 0;
	if (!leaf || !slot->header.readable)
		return 0;
	answer->eax = 0;
	answer->ebx = 0;
	answer->ecx = 0;
	answer->edx = 0;
	if (!sum.all && !bpf_map_lookup_elem(&known_reasons, &reason)) {
		answer->edx = ~0u;
		return 0;
	}
	bpf_loop(leaf_slots, leaves_add_vcpu, &sum, 0);
	if (leaf & EXITTOP_LEAF_COUNT)
		answer->eax = (u32)sum.count;
	wide = leaf & EXITTOP_LEAF_TIME ? leaves_cycles(sum.time_ns) : sum.count;
	answer->ebx = wide >> 32;
	answer->ecx = (u32)wide;
	return 0;
}

#endif
