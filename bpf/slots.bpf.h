/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where a vCPU's slot is: the memory that user space maps, and how a slot in it is found, handed
 * out and taken back.
 */
#ifndef EXITTOP_SLOTS_BPF_H
#define EXITTOP_SLOTS_BPF_H

/* Hash slots have the indices 0 to hash_slots - 1; overflow slots go on to last_slot. */
const volatile u32 hash_slots = 2;
const volatile u32 last_slot = 2;

struct exittop_memory memory;
/* Sized by the loader, never longer than this. */
struct vcpu_slot slots[EXITTOP_SLOTS_OF(EXITTOP_MAX_SLOTS) + EXITTOP_GUARD_SLOTS]
	__attribute__((aligned(64)));

/* Slot index of each vCPU. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, u64); /* address of struct kvm_vcpu */
	__type(value, u32);
} vcpu_slots SEC(".maps");

/*
 * Free hash slots: whoever deletes an index from the map owns that slot. User space fills it, and
 * puts back the slots whose counts it has taken.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u8);
} free_hash_slots SEC(".maps");

/* Free overflow slots. */
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 1);
	__uint(value_size, sizeof(u32));
} free_overflow_slots SEC(".maps");

/* The slot of an index, or NULL for 0 and beyond the last. */
static __always_inline struct vcpu_slot *slot_at(u32 slot_index)
{
	struct vcpu_slot *slot = NULL;
	u64 before = slot_index - 1;

	if (before < last_slot) {
		hide(before); /* Else refused, with clang 14 and 19. */
		slot = &slots[1 + before];
	}
	/* A check for NULL then is one of the pointer. For size: else clang copies what follows. */
	hide(slot);
	return slot;
}

/* Publishes a slot to user space: everything else in it is written before. */
static __always_inline void slot_set_state(u32 slot_index, enum exittop_slot_state state)
{
	u8 *states = (u8 *)&slots[last_slot + 1];
	u64 place = slot_index;

	if (place > last_slot)
		return;
	barrier();
	states[place] = state;
}

/* Index of the hash slot at which the search for a vCPU's slot begins. */
static __always_inline u64 hash_slot_index(u64 vcpu)
{
	return EXITTOP_HASH_SLOT_OF(low_half(vcpu), hash_slots);
}

/* The hash slot of an index. */
static __always_inline struct vcpu_slot *hash_slot_at(u64 slot_index)
{
	return ptr_add(slots, slot_index * sizeof(struct vcpu_slot));
}

/* The slot at which the search begins, whosever it is. */
static __always_inline struct vcpu_slot *hash_slot(u64 vcpu)
{
	return hash_slot_at(hash_slot_index(vcpu));
}

/* Index of the hash slot that a probe looks at; the first one follows the last. */
static __always_inline u32 probed_slot(u32 first, u32 probe)
{
	u32 slot_index = first + probe;

	return slot_index < hash_slots ? slot_index : slot_index - hash_slots;
}

/* Header of a hash slot, whosever it is: it also says whether a slot is free near it. */
static __always_inline struct vcpu_header *hash_slot_header(u32 slot_index)
{
	struct vcpu_slot *slot = ptr_add(slots, (u64)slot_index * sizeof(struct vcpu_slot));

	return &slot->header;
}

/*
 * Whether the last search from a hash slot on found no free slot, and none became free since. Whoever
 * finds none notes it, so that a full table costs no more than a slot.
 */
static __always_inline bool no_slot_near(u32 slot_index)
{
	return hash_slot_header(slot_index)->no_room == memory.given_back + 1;
}

static __always_inline void note_no_slot_near(u32 slot_index, u64 given_back)
{
	hash_slot_header(slot_index)->no_room = given_back + 1;
}

/* Takes the free slot that a search for the vCPU finds first. Its index, or 0. */
static __always_inline u32 slot_take(u64 vcpu)
{
	u64 given_back = memory.given_back;
	u32 first = hash_slot_index(vcpu);
	u32 slot_index;

	if (no_slot_near(first))
		return 0;
	for (u32 probe = 0; probe < EXITTOP_INSERT_PROBES; probe++) {
		slot_index = probed_slot(first, probe);
		if (!bpf_map_delete_elem(&free_hash_slots, &slot_index))
			return slot_index;
		if (probe + 1 >= hash_slots)
			break;
	}
	if (!bpf_map_pop_elem(&free_overflow_slots, &slot_index))
		return slot_index;
	note_no_slot_near(first, given_back);
	return 0;
}

/* Puts back a slot that was just taken; for vCPUs that wait, nothing has changed. */
static __always_inline void slot_put_back(u32 slot_index)
{
	u8 unused = 0;

	if (slot_index >= hash_slots)
		bpf_map_push_elem(&free_overflow_slots, &slot_index, 0);
	else
		bpf_map_update_elem(&free_hash_slots, &slot_index, &unused, BPF_NOEXIST);
}

#endif
