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
#define COUNT_SIZE sizeof(u32) /* of one of exit_cell's near */

/* Hands out a block of a slot; 0 if all are taken. */
static __always_inline u32 block_create(struct vcpu_header *header)
{
	u32 number = header->blocks;

	if (number >= EXITTOP_REST_CELL)
		return 0;
	header->blocks = number + 1;
	return number;
}

/* Entry of a slot's index, of both guest levels. */
static __always_inline u8 *index_entry(struct vcpu_header *header, u32 index, bool in_l2)
{
	if (in_l2)
		index += EXITTOP_INDEX_CODES;
	/* Keeps the mask next to the access: on 6.1 clang moves it away, and the verifier loses it. */
	asm volatile("" : "+w"(index));
	/* As the first entry of a header so much later: its place in the header costs no addition. */
	header = behind(header, index & (2 * EXITTOP_INDEX_CODES - 1));
	return header->index;
}

/* Place of a code in the index of a guest level, or EXITTOP_INDEX_CODES if it has none. */
static __always_inline u32 index_of_code(u32 code)
{
	if (code < EXITTOP_DIRECT_CODES)
		return code;
	if (code - EXITTOP_NPF_CODE < EXITTOP_NPF_CODES)
		return EXITTOP_DIRECT_CODES + (code - EXITTOP_NPF_CODE);
	return EXITTOP_INDEX_CODES;
}

/*
 * Block number of the cell of a code that the index does not name: searched for among the cells, as
 * codes outside the index are, or made. The cell for the rest if the slot is full.
 */
static __noinline u32 cell_search(struct vcpu_slot *slot, u32 code, bool in_l2)
{
	struct vcpu_header *header = &slot->header;
	u8 level = in_l2 ? 2 : 1;
	u32 index = index_of_code(code);
	struct exit_cell *cell;
	u32 number;

	for (u32 i = 0; i < EXITTOP_CELLS; i++) {
		if (i >= header->cells)
			break;
		number = header->cell_blocks[i];
		cell = block_at(slot, number);
		if (cell->code == code && cell->level == level)
			return number;
	}

	number = block_create(header);
	if (!number)
		return EXITTOP_REST_CELL;
	cell = block_at(slot, number);
	cell->code = code;
	cell->level = level;
	header->cell_blocks[header->cells & 31] = number;
	header->cells++;
	if (index < EXITTOP_INDEX_CODES)
		*index_entry(header, index, in_l2) = number;
	return number;
}

/* Block number of the cell of a code, which is made if need be. */
static __always_inline u32 cell_of(struct vcpu_slot *slot, u32 code, const bool in_l2)
{
	u32 index = index_of_code(code);
	u32 number = 0;

	if (likely(index < EXITTOP_INDEX_CODES))
		number = *index_entry(&slot->header, index, in_l2);
	if (unlikely(!number)) {
		number = cell_search(slot, code, in_l2) & 255;
		/* Tells the verifier here, where it is rare, that this is a byte too. */
		asm volatile("" : "+w"(number));
	}
	return number;
}

/* The cell of the exit being handled. */
static __always_inline struct exit_cell *current_cell(struct vcpu_slot *slot)
{
	return behind(slot, slot->header.cell);
}

/* Adds one to a word of a further block of a cell, which is made if need be. True: it wrapped. */
static __always_inline bool extra_add(struct vcpu_slot *slot, struct exit_cell *cell,
				      enum exittop_extra_block kind, u32 word)
{
	struct exit_words *words;

	if (!cell->extra[kind]) {
		cell->extra[kind] = block_create(&slot->header);
		if (!cell->extra[kind]) {
			slot->header.histogram_full++;
			return false;
		}
	}
	words = block_at(slot, cell->extra[kind]);
	word &= EXITTOP_FAR_BUCKETS - 1;
	return ++words->word[word] == 0;
}

/* The parts of a histogram that are not in the cell itself: far buckets, and high halves. */
static __noinline int histogram_extra(struct vcpu_slot *slot, u32 bucket)
{
	struct exit_cell *cell = current_cell(slot);

	if (bucket < EXITTOP_NEAR_BUCKETS) {
		extra_add(slot, cell, EXITTOP_NEAR_CARRY, bucket);
		return 0;
	}
	bucket -= EXITTOP_NEAR_BUCKETS;
	if (bucket >= EXITTOP_FAR_BUCKETS)
		bucket = EXITTOP_FAR_BUCKETS - 1;
	if (extra_add(slot, cell, EXITTOP_FAR, bucket))
		extra_add(slot, cell, EXITTOP_FAR_CARRY, bucket);
	return 0;
}

/* Bucket of a time of at least 2^19 ns: the levels behind the near ones. */
static __always_inline u32 far_bucket(u64 ns)
{
	u64 shifted = ns >> EXITTOP_LEVEL_SHIFT >> EXITTOP_LEVEL_OCTAVES;

	for (u32 level = 2; level < EXITTOP_LEVELS; level++) {
		shifted >>= EXITTOP_LEVEL_OCTAVES;
		if (shifted < 256) {
			asm volatile("" : "+r"(shifted));
			return bucket_table[shifted & 255] / COUNT_SIZE +
			       level * EXITTOP_LEVEL_BUCKETS;
		}
	}
	return EXITTOP_BUCKETS - 1;
}

/* Apart, so that the entry has nothing to keep while the bucket is looked for. */
static __noinline int histogram_far(struct vcpu_slot *slot, u64 ns)
{
	return histogram_extra(slot, far_bucket(ns));
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
		histogram_far(slot, ns);
		return;
	}
	/* As the first count of a cell so much later, as above. */
	cell = behind(cell, offset);
	count = cell->near[0] + 1;
	asm volatile("" : "+w"(count));
	cell->near[0] = count;
	if (unlikely(!count))
		histogram_extra(slot, offset / COUNT_SIZE);
}

#endif
