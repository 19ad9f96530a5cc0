/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a slot holds: a cell per guest level and exit code, found by the slot's index, and its
 * histogram.
 */
#ifndef EXITTOP_CELLS_BPF_H
#define EXITTOP_CELLS_BPF_H

/*
 * Bucket within a level, by the time shifted to eight bits, as the offset of its count; filled by
 * the loader.
 */
const volatile u8 bucket_table[256];
#define COUNT_SIZE sizeof(u32) /* of one of exit_cell's short_counts */

/* Takes a free block of a slot. Its index, or 0 if none is free. */
static __always_inline u32 block_create(struct vcpu_header *header)
{
	u32 block_index = header->blocks;

	if (block_index >= EXITTOP_OVERFLOW_CELL)
		return 0;
	header->blocks = block_index + 1;
	return block_index;
}

/*
 * Around a change of which user space must not see one half: it reads again until layout_seq is even
 * and the same before and after. Never on the path of an exit that needs no new block.
 */
static __always_inline void layout_begin(struct vcpu_header *header)
{
	header->layout_seq++;
	barrier();
}

static __always_inline void layout_end(struct vcpu_header *header)
{
	barrier();
	header->layout_seq++;
}

/* Block index of the newest cell with long buckets that can be taken away; 0: there is none. */
static __noinline u32 long_owner(struct vcpu_slot *slot)
{
	struct vcpu_header *header = &slot->header;

	for (u32 i = 0; i < EXITTOP_CELLS; i++) {
		u32 block_index = header->cell_blocks[EXITTOP_CELLS - 1 - i];
		struct exit_cell *cell = block_at(slot, block_index);

		if (cell->extra[EXITTOP_LONG] && !cell->extra[EXITTOP_LONG_HIGH])
			return block_index;
	}
	return 0;
}

/*
 * Takes the long buckets away from the newest reason that has some, most often the rarest, and adds
 * their counts to histogram_full: a reason's count comes before another's histogram. The block's
 * index, or 0.
 */
static __noinline u32 long_block_take(struct vcpu_slot *slot)
{
	u32 from = long_owner(slot) & 255;
	struct exit_cell *cell = block_at(slot, from);
	u32 block_index = from ? cell->extra[EXITTOP_LONG] : 0;
	struct exit_words *words = block_at(slot, block_index);
	u64 lost = 0;

	if (!block_index)
		return 0;
	cell->extra[EXITTOP_LONG] = 0;
	for (u32 i = 0; i < EXITTOP_LONG_BUCKETS; i++) {
		lost += words->word[i];
		words->word[i] = 0;
	}
	slot->header.histogram_full += lost;
	return block_index;
}

/* Entry of a slot's index, of both guest levels. */
static __always_inline u8 *index_entry(struct vcpu_header *header, u32 index, bool in_l2)
{
	if (in_l2)
		index += EXITTOP_INDEX_CODES;
	/* Else clang masks a copy (seen on 6.1). */
	hide32(index);
	/* The offset of `index` within the header then is part of the load: no addition. */
	header = ptr_add(header, index & (2 * EXITTOP_INDEX_CODES - 1));
	return header->index;
}

/* Position of a code in the index of a guest level, or EXITTOP_INDEX_CODES if it has none. */
static __always_inline u32 index_of_code(u32 code)
{
	if (code < EXITTOP_DIRECT_CODES)
		return code;
	if (code - EXITTOP_NPF_CODE < EXITTOP_NPF_CODES)
		return EXITTOP_DIRECT_CODES + (code - EXITTOP_NPF_CODE);
	return EXITTOP_INDEX_CODES;
}

/* Searches all cells for a code. Block index, or 0. */
static __noinline u32 cell_find(struct vcpu_slot *slot, u32 code, u32 level)
{
	struct vcpu_header *header = &slot->header;

	for (u32 i = 0; i < EXITTOP_CELLS; i++) {
		u32 block_index = header->cell_blocks[i];
		struct exit_cell *cell = block_at(slot, block_index);

		if (i >= header->cells)
			break;
		if (cell->code == code && cell->level == level)
			return block_index;
	}
	return 0;
}

/* Makes the cell of a code. Block index, or that of the overflow cell if the slot is full. */
static __noinline u32 cell_create(struct vcpu_slot *slot, u32 code, u32 level)
{
	struct vcpu_header *header = &slot->header;
	u32 index = index_of_code(code);
	struct exit_cell *cell;
	u32 block_index;

	layout_begin(header);
	block_index = block_create(header);
	if (!block_index)
		block_index = long_block_take(slot) & 255;
	if (block_index) {
		cell = block_at(slot, block_index);
		cell->code = code;
		cell->level = level;
		header->cell_blocks[header->cells & 31] = block_index;
		/* Whoever sees `cells` grow finds the cell written. */
		barrier();
		header->cells++;
		if (index < EXITTOP_INDEX_CODES)
			*index_entry(header, index, level == 2) = block_index;
	}
	layout_end(header);
	return block_index ? block_index : EXITTOP_OVERFLOW_CELL;
}

/* Finds or makes the cell of a code that is not in the index. Block index. */
static __noinline u32 cell_search(struct vcpu_slot *slot, u32 code, bool in_l2)
{
	u32 level = in_l2 ? 2 : 1;
	u32 block_index = cell_find(slot, code, level) & 255;

	return block_index ? block_index : cell_create(slot, code, level);
}

/* Block index of the cell of a code, which is made if need be. */
static __always_inline u32 cell_of(struct vcpu_slot *slot, u32 code, const bool in_l2)
{
	u32 index = index_of_code(code);
	u32 block_index = 0;

	if (likely(index < EXITTOP_INDEX_CODES))
		block_index = *index_entry(&slot->header, index, in_l2);
	if (unlikely(!block_index)) {
		block_index = cell_search(slot, code, in_l2) & 255;
		/* Keeps the mask on the rare path: the verifier has to see a byte here too. */
		hide32(block_index);
	}
	return block_index;
}

/* The cell of the exit being handled. */
static __always_inline struct exit_cell *current_cell(struct vcpu_slot *slot)
{
	return ptr_add(slot, slot->header.cell);
}

/* A further block of a cell, made if need be; NULL if none is free. */
static __always_inline struct exit_words *extra_block(struct vcpu_slot *slot,
						      struct exit_cell *cell,
						      enum exittop_extra_block kind)
{
	if (!cell->extra[kind])
		cell->extra[kind] = block_create(&slot->header);
	return cell->extra[kind] ? block_at(slot, cell->extra[kind]) : NULL;
}

/*
 * Adds one to a bucket's count whose low half is full: that becomes zero, and the high half, in a
 * block of its own, one more. Without a free block it stays, and histogram_full counts the loss.
 */
static __always_inline void carry(struct vcpu_slot *slot, struct exit_cell *cell, u32 *low,
				  enum exittop_extra_block kind, u32 bucket)
{
	struct exit_words *high = extra_block(slot, cell, kind);

	if (!high) {
		slot->header.histogram_full++;
		return;
	}
	layout_begin(&slot->header);
	*low = 0;
	high->word[bucket]++;
	layout_end(&slot->header);
}

/* The same for a short bucket. */
static __noinline int short_carry(struct vcpu_slot *slot, u32 bucket)
{
	struct exit_cell *cell = current_cell(slot);

	if (bucket < EXITTOP_SHORT_BUCKETS)
		carry(slot, cell, &cell->short_counts[bucket], EXITTOP_SHORT_HIGH, bucket);
	return 0;
}

/* Adds one to a long bucket, if there is a block for them. */
static __always_inline void long_add(struct vcpu_slot *slot, struct exit_cell *cell, u32 bucket)
{
	struct exit_words *words = extra_block(slot, cell, EXITTOP_LONG);

	if (bucket >= EXITTOP_LONG_BUCKETS)
		bucket = EXITTOP_LONG_BUCKETS - 1;
	if (!words)
		slot->header.histogram_full++;
	else if (words->word[bucket] == ~0u)
		carry(slot, cell, &words->word[bucket], EXITTOP_LONG_HIGH, bucket);
	else
		words->word[bucket]++;
}

/* Bucket of a time of at least 2^19 ns. */
static __always_inline u32 long_bucket(u64 ns)
{
	u64 shifted = ns >> EXITTOP_LEVEL_SHIFT >> EXITTOP_LEVEL_OCTAVES;

	for (u32 level = 2; level < EXITTOP_LEVELS; level++) {
		shifted >>= EXITTOP_LEVEL_OCTAVES;
		if (shifted < 256) {
			hide(shifted);
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
	u64 offset;
	u32 count;

	if (likely(ns < 1 << 13)) {
		offset = bucket_table[ns >> EXITTOP_LEVEL_SHIFT];
	} else if (ns < 1 << 19) {
		offset = bucket_table[ns >> (EXITTOP_LEVEL_SHIFT + EXITTOP_LEVEL_OCTAVES)] +
			 EXITTOP_LEVEL_BUCKETS * COUNT_SIZE;
	} else {
		histogram_add_long(slot, ns);
		return;
	}
	/* As in index_entry(): the offset of short_counts is part of the load. */
	cell = ptr_add(cell, offset);
	count = cell->short_counts[0] + 1;
	hide32(count);
	if (unlikely(!count))
		short_carry(slot, offset / COUNT_SIZE);
	else
		cell->short_counts[0] = count;
}

#endif
