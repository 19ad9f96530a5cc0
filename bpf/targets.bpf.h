/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Counts a vCPU's exits by target, in an area apart from its slot. The vCPU is the only writer, as it
 * is of its slot. Every completed exit of a reason that has targets is counted once: with a target
 * that has an entry, with the others of its reason, or as unknown.
 */
#ifndef EXITTOP_TARGETS_BPF_H
#define EXITTOP_TARGETS_BPF_H

/* Whether targets may be switched on. Otherwise the verifier takes all of this out. */
const volatile bool targets_possible = false;

/* Entries of an area, the one that is none included, and how many of them one reason may take. */
const volatile u32 target_entries = EXITTOP_LEAST_TARGETS;
const volatile u32 reason_entries = EXITTOP_LEAST_TARGETS;

/* Entries with one hash that are looked at: a guest chooses its targets, perhaps with malice. */
#define TARGET_PROBES 32

/* Where the last slot's area is, if all of them are behind the slots; see area_of(). */
const volatile u32 last_area = 0;
/* Where the first one is, and how large each. */
const volatile u32 first_area = 0;
const volatile u32 area_size = 0;

/* The areas by slot where they are switched on later: a map that user space puts in here meanwhile. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(u32));
	__array(
		values, struct {
			__uint(type, BPF_MAP_TYPE_ARRAY);
			__uint(max_entries, 1);
			__uint(map_flags, BPF_F_INNER_MAP | BPF_F_MMAPABLE);
			__uint(key_size, sizeof(u32));
			__uint(value_size, EXITTOP_AREA_SIZE(EXITTOP_MOST_TARGETS));
		});
} later_areas SEC(".maps");

/* Notes where a new slot's area is. */
static __always_inline void area_begin(struct vcpu_slot *slot, u32 slot_index)
{
	slot->header.area = targets_from_start ? first_area + slot_index * area_size : slot_index;
}

/*
 * The area of a slot: behind the slots, found without a call, or in the map. libbpf lets no program
 * load the address of a map that was not created: hidden, it stays in its branch, which the verifier
 * takes out.
 */
static __always_inline struct target_area *area_of(struct vcpu_slot *slot, const bool with_slots)
{
	u64 area = slot->header.area;
	u32 only = 0, slot_index;
	void *areas;

	if (with_slots) {
		if (area > last_area)
			return NULL;
		hide(area);
		areas = ptr_add(slots, area);
		if (!areas)
			__builtin_unreachable();
		return areas;
	}
	slot_index = area;
	areas = &later_areas;
	hide(areas);
	areas = bpf_map_lookup_elem(areas, &only);
	return areas ? bpf_map_lookup_elem(areas, &slot_index) : NULL;
}

/* An entry by its place, or NULL for 0 and beyond the last. */
static __always_inline struct target_entry *target_at(struct target_area *area, u32 place)
{
	u64 before = place - 1;

	if (before >= target_entries - 1)
		return NULL;
	hide(before); /* Else the check may be of another copy. */
	area = ptr_add(area, (before + 1) * sizeof(struct target_entry));
	return area->entries;
}

static __always_inline u16 *target_head(struct target_area *area, u64 key)
{
	u32 hash = (u32)(key ^ key >> 32) * 0x9e3779b1u >> 24;

	return &area->heads[hash & (EXITTOP_TARGET_HEADS - 1)];
}

/* Takes an entry out of the list of its hash; false: it was not found there. */
static __always_inline bool target_unlink(struct target_area *area, u32 place)
{
	struct target_entry *entry = target_at(area, place);
	u16 *link;

	if (!entry)
		return false;
	link = target_head(area, entry->key);
	for (u32 probe = 0; probe < TARGET_PROBES; probe++) {
		struct target_entry *each;

		if (*link == place) {
			*link = entry->next;
			return true;
		}
		each = target_at(area, *link);
		if (!each)
			return false;
		link = &each->next;
	}
	return false;
}

/*
 * The entry whose turn it is to make room for another target: NULL if it has been counted more often
 * than it was asked. So targets that are frequent stay, and one that becomes frequent finds a place
 * soon.
 */
static __always_inline struct target_entry *target_give_up(struct target_area *area,
							   struct reason_targets *reason)
{
	u32 place = reason->hand ? reason->hand : reason->first;
	struct target_entry *entry = target_at(area, place);

	if (!entry)
		return NULL;
	reason->hand = entry->next_of_reason;
	if (++entry->debt <= entry->count || !target_unlink(area, place))
		return NULL;
	area->replaced++;
	barrier();
	reason->other += entry->count;
	reason->other_ns += entry->time_ns;
	entry->next = place; /* For who links it again. */
	return entry;
}

/* Counts an exit of a target that has no entry. */
static __noinline int target_insert(struct target_area *area, u32 number, u64 key, u64 ns)
{
	struct reason_targets *reason = &area->reasons[number & 31];
	u16 *head = target_head(area, key);
	u32 place = area->used ? area->used : 1;
	bool is_free = reason->kept < reason_entries && place < target_entries;
	struct target_entry *entry;

	entry = is_free ? target_at(area, place) : target_give_up(area, reason);
	if (!entry) {
		reason->other++;
		reason->other_ns += ns;
		return 0;
	}
	if (!is_free)
		place = entry->next;
	entry->key = key;
	entry->count = 1;
	entry->time_ns = ns;
	entry->debt = 0;
	entry->next = *head;
	*head = place;
	barrier();
	if (!is_free) {
		area->replaced++;
		return 0;
	}
	/* From here on user space sees it. */
	entry->next_of_reason = reason->first;
	area->used = place + 1;
	barrier();
	reason->first = place;
	reason->kept++;
	return 0;
}

/* Counts a completed exit of the present cell by its target. */
static __always_inline int target_add(struct vcpu_slot *slot, u64 ns, u64 value,
				      const bool with_slots)
{
	u64 number = slot->header.current_cell / sizeof(struct exit_cell) & 31;
	u64 key = value | number << EXITTOP_TARGET_BITS;
	struct target_area *area = area_of(slot, with_slots);
	u32 place;

	if (!area)
		return 0;
	if (unlikely(value & EXITTOP_NO_TARGET)) {
		struct reason_targets *reason = &area->reasons[number];

		reason->unknown++;
		reason->unknown_ns += ns;
		reason->why = value;
		return 0;
	}
	place = *target_head(area, key);
	for (u32 probe = 0; probe < TARGET_PROBES; probe++) {
		struct target_entry *entry = target_at(area, place);

		if (!entry)
			break;
		if (entry->key == key) {
			entry->count++;
			entry->time_ns += ns;
			return 0;
		}
		place = entry->next;
	}
	return target_insert(area, number, key, ns);
}

/*
 * Notes the target of an exit where it has to be read now. Out of line, as few have to: so the others
 * save no registers. `kind` may have EXITTOP_TARGET_OF_L2.
 */
static __always_inline int target_note(struct vcpu_slot *slot, u64 vcpu, u32 kind,
				       const enum read_by by)
{
	struct vcpu_header *header = &slot->header;
	bool in_l2 = kind & EXITTOP_TARGET_OF_L2;

	kind &= ~EXITTOP_TARGET_OF_L2;
	header->target_noted =
		kind >= EXITTOP_TARGET_EXIT_FIRST
			? target_read_at_exit(slot, vcpu, kind, in_l2, by)
			: target_read(slot, vcpu, kind, svm_exit_code_address(vcpu, by), by);
	header->target_kind = kind | EXITTOP_TARGET_NOTED;
	return 0;
}

static __noinline int target_note_by_cast(struct vcpu_slot *slot, u32 kind)
{
	return target_note(slot, EXITTOP_VCPU_OF(slot->header.vcpu), kind, READ_BY_CAST);
}

static __noinline int target_note_by_helper(struct vcpu_slot *slot, u32 kind)
{
	return target_note(slot, EXITTOP_VCPU_OF(slot->header.vcpu), kind, READ_BY_HELPER);
}

/* Notes of which kind the target of an exit is, and the target if it has to be read now. */
static __always_inline void target_begin(struct vcpu_slot *slot, u32 kind, bool in_l2,
					 const enum read_by by)
{
	slot->header.target_kind = kind;
	/* Of L2 the entry may find another VMCB. */
	if (likely(kind < EXITTOP_TARGET_EXIT_FIRST) &&
	    likely(!in_l2 || slot->header.isa != KVM_ISA_SVM))
		return;
	if (in_l2)
		kind |= EXITTOP_TARGET_OF_L2;
	if (by == READ_BY_CAST)
		target_note_by_cast(slot, kind);
	else
		target_note_by_helper(slot, kind);
}

/* The target of the exit being handled, at its entry; `kind` is what target_note() noted. */
static __always_inline u64 target_of_exit(struct vcpu_slot *slot, u64 vcpu, u32 kind,
					  const enum read_by by)
{
	if (kind & EXITTOP_TARGET_NOTED)
		return slot->header.target_noted;
	return target_read(slot, vcpu, kind, slot->header.code_at, by);
}

/* An event tells the target of the exit being handled, if it is of that kind: the first one does. */
static __always_inline int target_told(struct vcpu_slot *slot, u32 kind, u64 value)
{
	if (slot->header.target_kind != kind)
		return 0;
	slot->header.target_noted = value;
	slot->header.target_kind = kind | EXITTOP_TARGET_NOTED;
	return 0;
}

#endif
