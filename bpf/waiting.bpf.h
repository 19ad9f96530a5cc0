/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vCPUs that wait for a slot, as the table is full or their user has its share of it: their exits
 * are counted together, and it is known whose they are.
 */
#ifndef EXITTOP_WAITING_BPF_H
#define EXITTOP_WAITING_BPF_H

/*
 * Places to hand out: whoever deletes a number has that place. User space fills it, and puts back
 * the places whose counts it has taken.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, EXITTOP_WAITING);
	__type(key, u32);
	__type(value, u8);
} free_waiting SEC(".maps");

/* Users who have their share of the slots while others want some. User space fills it. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, EXITTOP_WAITING);
	__type(key, u32);
	__type(value, u8);
} limited_users SEC(".maps");

static __always_inline bool user_is_limited(u32 uid)
{
	return memory.limits && bpf_map_lookup_elem(&limited_users, &uid);
}

/* The n-th place in which a vCPU that waits may be noted. */
static __always_inline u32 waiting_place(u64 vcpu, u32 way)
{
	u32 first = EXITTOP_HASH_OF(low_half(vcpu)) >> (32 - EXITTOP_WAITING_BITS);

	return (first + way) & (EXITTOP_WAITING - 1);
}

static __always_inline struct waiting_vcpu *waiting_at(u64 place)
{
	/* Keeps the mask next to the access, for the verifier. */
	asm volatile("" : "+r"(place));
	return &memory.waiting[place & (EXITTOP_WAITING - 1)];
}

/* Where a vCPU is noted as one that waits; NULL: nowhere. */
static __always_inline struct waiting_vcpu *waiting_of(u64 vcpu)
{
	if (likely(!memory.waits))
		return NULL;
	for (u32 way = 0; way < EXITTOP_WAITING_WAYS; way++) {
		struct waiting_vcpu *waiting = waiting_at(waiting_place(vcpu, way));

		if (waiting->vcpu == vcpu)
			return waiting;
	}
	return NULL;
}

/* Takes a place for a vCPU, which is to be told of by waiting_begin(); NULL: there is none. */
static __always_inline struct waiting_vcpu *waiting_take(u64 vcpu)
{
	for (u32 way = 0; way < EXITTOP_WAITING_WAYS; way++) {
		u32 place = waiting_place(vcpu, way);

		if (!bpf_map_delete_elem(&free_waiting, &place))
			return waiting_at(place);
	}
	return NULL;
}

/* Tells of a vCPU that all else in its place is written. */
static __always_inline void waiting_begin(struct waiting_vcpu *waiting, u64 vcpu, u64 given_back)
{
	waiting->given_back = given_back;
	waiting->vcpu = vcpu;
	__sync_fetch_and_add(&memory.waits, 1);
	waiting->state = EXITTOP_SLOT_IN_USE;
	__sync_fetch_and_add(&memory.changes, 1);
}

/* A vCPU waits no longer: it is gone, or (ended_ns 0) has a slot. */
static __always_inline void waiting_end(struct waiting_vcpu *waiting, u64 ended_ns)
{
	waiting->vcpu = 0;
	waiting->who.ended_ns = ended_ns;
	__sync_fetch_and_add(&memory.waits, -1);
	/* From here on the place is user space's. */
	waiting->state = EXITTOP_SLOT_ENDED;
	__sync_fetch_and_add(&memory.changes, 1);
}

#endif
