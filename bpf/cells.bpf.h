/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a slot holds: a cell per guest level and exit code, found by cell_by_code, and its histogram.
 */
#ifndef EXITTOP_CELLS_BPF_H
#define EXITTOP_CELLS_BPF_H

/* From a time shifted to eight bits to the offset of its count in a level. The loader fills it. */
const volatile u8 bucket_table[256];
#define COUNT_SIZE sizeof(u32) /* of one of short_counts */

/* Whether all vCPUs are counted by target from the start, in areas behind the slots. */
const volatile bool targets_from_start = false;

/* The kind of a reason's targets (enum exittop_target_kind), by its place in cell_by_code. */
const volatile u8 target_kinds[EXITTOP_INDEX_CODES];
/* The kind of all codes that have no place in there. */
const volatile u8 other_target_kind = EXITTOP_TARGET_NONE;

/* Prepares a new slot, whose cells are all zero. */
static __always_inline void cells_begin(struct vcpu_slot *slot)
{
	slot->header.cells_used = EXITTOP_OVERFLOW_CELL + 1;
	slot->header.short_end = EXITTOP_SHORT_BEGIN;
	slot->header.long_block_begin = EXITTOP_LONG_END;
	slot->cells[EXITTOP_OVERFLOW_CELL].short_at = EXITTOP_LOST_COUNTS_AT;
}

/* Takes room for the short buckets of a cell. Their offset in the slot; lost_counts: none is left. */
static __always_inline u32 short_counts_create(struct vcpu_header *header)
{
	u32 short_at = header->short_end;

	if (short_at + sizeof(struct short_counts) > header->long_block_begin * sizeof(struct long_counts))
		return EXITTOP_LOST_COUNTS_AT;
	header->short_end = short_at + sizeof(struct short_counts);
	return short_at;
}

/* Takes room for the long buckets of a cell. Its long_block, or 0 if none is left. */
static __always_inline u32 long_counts_create(struct vcpu_header *header)
{
	u32 long_block = header->long_block_begin - 1;

	if (long_block * sizeof(struct long_counts) < header->short_end)
		return 0;
	header->long_block_begin = long_block;
	return long_block;
}

/* Entry in cell_by_code. */
static __always_inline u8 *index_entry(struct vcpu_slot *slot, u32 index, bool in_l2)
{
	if (in_l2)
		index += EXITTOP_INDEX_CODES;
	/* Else clang masks a copy: refused, with clang 14 and 19. */
	hide32(index);
	/* The offset of cell_by_code in the slot then is part of the load: no addition. */
	slot = ptr_add(slot, index & (2 * EXITTOP_INDEX_CODES - 1));
	return slot->cell_by_code;
}

/* Position of a code in cell_by_code of a guest level, or EXITTOP_INDEX_CODES if it has none. */
static __always_inline u32 index_of_code(u32 code)
{
	if (code < EXITTOP_DIRECT_CODES)
		return code;
	if (code - EXITTOP_NPF_CODE < EXITTOP_NPF_CODES)
		return EXITTOP_DIRECT_CODES + (code - EXITTOP_NPF_CODE);
	return EXITTOP_INDEX_CODES;
}

/* The cell at an offset in `cells`; as in index_entry(), where they begin is part of the load. */
static __always_inline struct exit_cell *cell_at(struct vcpu_slot *slot, u64 offset)
{
	slot = ptr_add(slot, offset);
	return slot->cells;
}

static __always_inline u32 target_kind_of(u32 code)
{
	u32 index = index_of_code(code);

	if (index >= EXITTOP_INDEX_CODES)
		return other_target_kind;
	hide32(index); /* Else clang takes the mask out, as it knows the range. */
	return target_kinds[index & (EXITTOP_INDEX_CODES - 1)];
}

/* Whether the parts of the time are told apart. Else the verifier takes all of that out. */
const volatile bool parts_on = false;

/* APM vol. 2, appendix C; SDM vol. 3, appendix C. */
#define SVM_EXIT_HLT 0x78
#define VMX_EXIT_HLT 12

static __always_inline bool is_halt(struct vcpu_slot *slot, u32 code)
{
	return code == (slot->header.isa == KVM_ISA_SVM ? SVM_EXIT_HLT : VMX_EXIT_HLT);
}

/* The exit being handled is to be looked at when it ends, however short it is. */
static __always_inline void look_at_end(struct vcpu_slot *slot)
{
	/* User space may set the other bit meanwhile. */
	if (!(slot->header.vcpu & EXITTOP_LOOK))
		__sync_fetch_and_add(&slot->header.vcpu, EXITTOP_LOOK);
}

/* Makes the cell of a code. Its number, or that of the overflow cell if all are in use. */
static __noinline u32 cell_create(struct vcpu_slot *slot, u32 code, bool in_l2)
{
	struct vcpu_header *header = &slot->header;
	u32 index = index_of_code(code);
	u32 number = header->cells_used;
	struct exit_cell *cell;

	if (number >= EXITTOP_CELLS)
		return EXITTOP_OVERFLOW_CELL;
	cell = cell_at(slot, (u64)number * sizeof(*cell));
	cell->code = code;
	cell->flags = in_l2 ? EXITTOP_CELL_L2 : 0;
	if (targets_from_start)
		cell->flags |= target_kind_of(code) << EXITTOP_CELL_KIND_SHIFT;
	cell->short_at = short_counts_create(header);
	/* Whoever sees `cells` grow finds the cell written. */
	barrier();
	header->cells_used = number + 1;
	if (parts_on && is_halt(slot, code))
		index = EXITTOP_HALT_INDEX;
	if (index < EXITTOP_INDEX_CODES)
		*index_entry(slot, index, in_l2) = number;
	return number;
}

/* Finds or makes the cell of a code that cell_by_code does not have: HLT, and rare ones. Its number. */
static __noinline u32 cell_search(struct vcpu_slot *slot, u32 code, bool in_l2)
{
	if (parts_on && is_halt(slot, code)) {
		u32 number = *index_entry(slot, EXITTOP_HALT_INDEX, in_l2);

		look_at_end(slot);
		if (number)
			return number;
	}
	for (u32 number = 1; number < EXITTOP_CELLS; number++) {
		struct exit_cell *cell = &slot->cells[number];

		if (number >= slot->header.cells_used)
			break;
		if (cell->code == code && !(cell->flags & EXITTOP_CELL_L2) == !in_l2)
			return number;
	}
	return cell_create(slot, code, in_l2);
}

/* Number of the cell of a code, which is made if need be. */
static __always_inline u32 cell_of(struct vcpu_slot *slot, u32 code, const bool in_l2)
{
	u32 index = index_of_code(code);
	u32 number = 0;

	if (likely(index < EXITTOP_INDEX_CODES))
		number = *index_entry(slot, index, in_l2);
	if (unlikely(!number)) {
		number = cell_search(slot, code, in_l2) & 255;
		/* Keeps the mask on the rare path: the verifier has to see a byte here too. For cost. */
		hide32(number);
	}
	return number;
}

/* The cell of the exit being handled. */
static __always_inline struct exit_cell *current_cell(struct vcpu_slot *slot)
{
	return cell_at(slot, slot->header.current_cell);
}

/* The parts of its time. */
static __always_inline struct exit_parts *current_parts(struct vcpu_slot *slot)
{
	u64 number = slot->header.current_cell / sizeof(struct exit_cell) & 255;

	slot = ptr_add(slot, number * sizeof(struct exit_parts));
	return slot->parts;
}

/* Adds one to a long bucket, if there is room for them. */
static __always_inline void long_add(struct vcpu_slot *slot, struct exit_cell *cell, u32 bucket)
{
	struct long_counts *counts;

	if (bucket >= EXITTOP_LONG_BUCKETS)
		bucket = EXITTOP_LONG_BUCKETS - 1;
	if (cell->short_at == EXITTOP_LOST_COUNTS_AT) {
		/* It has no histogram: which bucket is lost does not matter. */
		slot->lost_counts.count[0]++;
		return;
	}
	if (!cell->long_block)
		cell->long_block = long_counts_create(&slot->header);
	if (!cell->long_block) {
		slot->header.histogram_full++;
		return;
	}
	counts = ptr_add(slot, (u64)cell->long_block * sizeof(*counts));
	counts->count[bucket]++;
}

/* Bucket of a time of at least 2^19 ns. */
static __always_inline u32 long_bucket(u64 ns)
{
	u64 shifted = ns >> EXITTOP_LEVEL_SHIFT >> EXITTOP_LEVEL_OCTAVES;

	for (u32 level = 2; level < EXITTOP_LEVELS; level++) {
		shifted >>= EXITTOP_LEVEL_OCTAVES;
		if (shifted < 256) {
			hide(shifted); /* Else refused, with clang 19. */
			return bucket_table[shifted & 255] / COUNT_SIZE +
			       level * EXITTOP_LEVEL_BUCKETS;
		}
	}
	return EXITTOP_BUCKETS - 1;
}

/* Out of line, so that the entry keeps no registers while the bucket is searched for. */
static __noinline int histogram_add_long(struct vcpu_slot *slot, u64 ns)
{
	long_add(slot, current_cell(slot), long_bucket(ns) - EXITTOP_SHORT_BUCKETS);
	return 0;
}

static __always_inline void histogram_add(struct vcpu_slot *slot, struct exit_cell *cell, u64 ns)
{
	struct short_counts *counts;
	u64 offset;

	if (likely(ns < EXITTOP_SHORT_TIME)) {
		offset = bucket_table[ns >> EXITTOP_LEVEL_SHIFT];
	} else if (ns < 1 << 19) {
		offset = bucket_table[ns >> (EXITTOP_LEVEL_SHIFT + EXITTOP_LEVEL_OCTAVES)] +
			 EXITTOP_LEVEL_BUCKETS * COUNT_SIZE;
	} else {
		histogram_add_long(slot, ns);
		return;
	}
	counts = ptr_add(ptr_add(slot, cell->short_at), offset);
	counts->count[0]++;
}

#endif
