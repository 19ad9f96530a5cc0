/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vCPUs that wait for a slot, because the table is full or their user has its share of it. Their
 * exits are counted without their reasons, and it is known whose they are.
 */
#ifndef EXITTOP_WAITING_BPF_H
#define EXITTOP_WAITING_BPF_H

/*
 * Free places: whoever deletes an index from the map owns that place. User space fills it, and puts
 * back the places whose counts it has taken.
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

/* Index of a place that a probe for a vCPU looks at. */
static __always_inline u32 waiting_place(u64 vcpu, u32 probe)
{
	u32 first = EXITTOP_HASH_OF(low_half(vcpu)) >> (32 - EXITTOP_WAITING_BITS);

	return (first + probe) & (EXITTOP_WAITING - 1);
}

static __always_inline struct waiting_vcpu *waiting_at(u64 place)
{
	return &memory.waiting[place & (EXITTOP_WAITING - 1)];
}

/* The place of a vCPU that waits, or NULL. */
static __always_inline struct waiting_vcpu *waiting_of(u64 vcpu)
{
	if (likely(!memory.waits))
		return NULL;
	for (u32 probe = 0; probe < EXITTOP_WAITING_PROBES; probe++) {
		struct waiting_vcpu *waiting = waiting_at(waiting_place(vcpu, probe));

		if (waiting->vcpu == vcpu)
			return waiting;
	}
	return NULL;
}

/* Takes a place for a vCPU, for waiting_begin(); NULL: none is free. */
static __always_inline struct waiting_vcpu *waiting_take(u64 vcpu)
{
	for (u32 probe = 0; probe < EXITTOP_WAITING_PROBES; probe++) {
		u32 place = waiting_place(vcpu, probe);

		if (!bpf_map_delete_elem(&free_waiting, &place))
			return waiting_at(place);
	}
	return NULL;
}

/* Publishes a place: everything else in it is written before. */
static __always_inline void waiting_begin(struct waiting_vcpu *waiting, u64 vcpu, u64 given_back)
{
	waiting->given_back = given_back;
	waiting->vcpu = vcpu;
	__sync_fetch_and_add(&memory.waits, 1);
	waiting->state = EXITTOP_SLOT_IN_USE;
	__sync_fetch_and_add(&memory.changes, 1);
}

/* The vCPU waits no longer: it is gone, or (ended_ns 0) has a slot. */
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
