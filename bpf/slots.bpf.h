/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where a vCPU's slot is: the memory that user space maps, and how a slot in it is found, handed
 * out and taken back.
 */
#ifndef EXITTOP_SLOTS_BPF_H
#define EXITTOP_SLOTS_BPF_H

/* libbpf has them too, since 1.6. */
#ifndef likely
#define likely(condition) __builtin_expect(!!(condition), 1)
#define unlikely(condition) __builtin_expect(!!(condition), 0)
#endif

/* Slots that are homes: numbers 0 to homes - 1. And the last slot of all. */
const volatile u32 homes = 2;
const volatile u32 last_slot = 2;

struct exittop_memory memory;
/* The loader makes it as long as is asked for, never longer. */
struct vcpu_slot slots[EXITTOP_SLOTS_OF(EXITTOP_MAX_SLOTS) + EXITTOP_ROOM_BEHIND]
	__attribute__((aligned(64)));

/* Slot of each vCPU, wherever it is. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, u64); /* address of struct kvm_vcpu */
	__type(value, u32);
} vcpu_slots SEC(".maps");

/*
 * Homes to hand out: whoever deletes a number has that slot. User space fills it, and puts back the
 * slots whose counts it has taken.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u8);
} free_homes SEC(".maps");

/* The same for the slots behind the homes. */
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 1);
	__uint(value_size, sizeof(u32));
} free_last SEC(".maps");

/* Slot `number`, or NULL for 0 and beyond the last. */
static __always_inline struct vcpu_slot *slot_at(u32 number)
{
	struct vcpu_slot *slot = NULL;
	u64 before = number - 1;

	if (before < last_slot) {
		/* Keeps the address behind the check, */
		asm volatile("" : "+r"(before));
		slot = &slots[1 + before];
	}
	/* and the question for NULL one for the pointer. Else the verifier cannot follow. */
	asm volatile("" : "+r"(slot));
	return slot;
}

/* Tells user space of a slot that all else in it is written. */
static __always_inline void slot_set_state(u32 number, enum exittop_slot_state state)
{
	u8 *states = (u8 *)&slots[last_slot + 1];
	u64 place = number;

	if (place > last_slot)
		return;
	asm volatile("" : "+r"(place) : : "memory");
	states[place] = state;
}

/* What is so many bytes behind an address. Added to the offset: clang would copy the address. */
static __always_inline void *behind(void *address, u64 offset)
{
	asm volatile("%0 += %1" : "+r"(offset) : "r"(address));
	return (void *)offset;
}

/* A block of a slot; 0 is its header. The number is below 256: see EXITTOP_MEMORY_SIZE. */
static __always_inline void *block_at(struct vcpu_slot *slot, u32 number)
{
	return behind(slot, (u64)number * EXITTOP_BLOCK_SIZE);
}

/* Number of the slot that is a vCPU's home. */
static __always_inline u64 home_of(u64 vcpu)
{
	return EXITTOP_HOME_OF(low_half(vcpu), homes);
}

/* The slot that is a vCPU's home, whether or not it is there. */
static __always_inline struct vcpu_slot *home_slot(u64 vcpu)
{
	return behind(slots, home_of(vcpu) * sizeof(struct vcpu_slot));
}

/* The slot so many places behind a home; behind the last home comes the first. */
static __always_inline u32 slot_behind(u32 home, u32 way)
{
	u32 number = home + way;

	return number < homes ? number : number - homes;
}

/* Of the slot that is a home, whosever it is: it also says whether there is room near it. */
static __always_inline struct vcpu_header *home_header(u32 home)
{
	struct vcpu_slot *slot = behind(slots, (u64)home * sizeof(struct vcpu_slot));

	return &slot->header;
}

/*
 * Whether no slot was free near a home when one was looked for last, and none has been given back
 * since. Whoever finds none notes it: a full table is to cost no more than a slot.
 */
static __always_inline bool slot_is_none_near(u32 home)
{
	return home_header(home)->no_room == memory.given_back + 1;
}

static __always_inline void slot_note_none_near(u32 home, u64 given_back)
{
	home_header(home)->no_room = given_back + 1;
}

/* Takes a free slot, as near to a vCPU's home as can be. Its number, or 0. */
static __always_inline u32 slot_take(u64 vcpu)
{
	u64 given_back = memory.given_back;
	u32 home = home_of(vcpu);
	u32 number;

	if (slot_is_none_near(home))
		return 0;
	for (u32 way = 0; way < EXITTOP_CREATE_WAYS; way++) {
		number = slot_behind(home, way);
		if (!bpf_map_delete_elem(&free_homes, &number))
			return number;
		if (way + 1 >= homes)
			break;
	}
	if (!bpf_map_pop_elem(&free_last, &number))
		return number;
	slot_note_none_near(home, given_back);
	return 0;
}

/* Puts a slot back that was just taken: for those who wait, nothing has changed. */
static __always_inline void slot_put_back(u32 number)
{
	u8 unused = 0;

	if (number >= homes)
		bpf_map_push_elem(&free_last, &number, 0);
	else
		bpf_map_update_elem(&free_homes, &number, &unused, BPF_NOEXIST);
}

#endif
