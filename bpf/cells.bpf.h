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

/*
 * Around a change that user space must not see half of; its reads begin anew until the number is
 * even and stays. Never on the path of an exit that needs no new block.
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

/* Block number of a cell that has far buckets to give away; 0: none has. */
static __noinline u32 far_owner(struct vcpu_slot *slot)
{
	struct vcpu_header *header = &slot->header;

	for (u32 i = 0; i < EXITTOP_CELLS; i++) {
		u32 number = header->cell_blocks[EXITTOP_CELLS - 1 - i];
		struct exit_cell *cell = block_at(slot, number);

		if (cell->extra[EXITTOP_FAR] && !cell->extra[EXITTOP_FAR_CARRY])
			return number;
	}
	return 0;
}

/*
 * Takes the far buckets away from the reason that came last of those that have some, mostly the
 * rarest, and tells that their counts are missing. Counts come before distributions. Block number,
 * or 0.
 */
static __noinline u32 far_block_take(struct vcpu_slot *slot)
{
	u32 from = far_owner(slot) & 255;
	struct exit_cell *cell = block_at(slot, from);
	u32 number = from ? cell->extra[EXITTOP_FAR] : 0;
	struct exit_words *words = block_at(slot, number);
	u64 lost = 0;

	if (!number)
		return 0;
	cell->extra[EXITTOP_FAR] = 0;
	for (u32 i = 0; i < EXITTOP_FAR_BUCKETS; i++) {
		lost += words->word[i];
		words->word[i] = 0;
	}
	slot->header.histogram_full += lost;
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

/* Block number of the cell of a code that is searched for among all cells; 0: it has none. */
static __noinline u32 cell_find(struct vcpu_slot *slot, u32 code, u32 level)
{
	struct vcpu_header *header = &slot->header;

	for (u32 i = 0; i < EXITTOP_CELLS; i++) {
		u32 number = header->cell_blocks[i];
		struct exit_cell *cell = block_at(slot, number);

		if (i >= header->cells)
			break;
		if (cell->code == code && cell->level == level)
			return number;
	}
	return 0;
}

/* Makes the cell of a code. Block number, or that of the cell for the rest if the slot is full. */
static __noinline u32 cell_create(struct vcpu_slot *slot, u32 code, u32 level)
{
	struct vcpu_header *header = &slot->header;
	u32 index = index_of_code(code);
	struct exit_cell *cell;
	u32 number;

	layout_begin(header);
	number = block_create(header);
	if (!number)
		number = far_block_take(slot) & 255;
	if (number) {
		cell = block_at(slot, number);
		cell->code = code;
		cell->level = level;
		header->cell_blocks[header->cells & 31] = number;
		/* Who sees one more cell finds it written. */
		barrier();
		header->cells++;
		if (index < EXITTOP_INDEX_CODES)
			*index_entry(header, index, level == 2) = number;
	}
	layout_end(header);
	return number ? number : EXITTOP_REST_CELL;
}

/*
 * Block number of the cell of a code that the index does not name: codes outside the index are
 * searched for, and what is new is made.
 */
static __noinline u32 cell_search(struct vcpu_slot *slot, u32 code, bool in_l2)
{
	u32 level = in_l2 ? 2 : 1;
	u32 number = cell_find(slot, code, level) & 255;

	return number ? number : cell_create(slot, code, level);
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

/* A block of a cell for what it seldom has, made if one is free; NULL if none is. */
static __always_inline struct exit_words *extra_block(struct vcpu_slot *slot,
						      struct exit_cell *cell,
						      enum exittop_extra_block kind)
{
	if (!cell->extra[kind])
		cell->extra[kind] = block_create(&slot->header);
	return cell->extra[kind] ? block_at(slot, cell->extra[kind]) : NULL;
}

/*
 * One more for a bucket's count whose low half is as high as it can be: it becomes zero, and the
 * high half, in a block of its own, one more. Without a block it stays, and the loss is told.
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

/* The same for a near bucket. */
static __noinline int near_carry(struct vcpu_slot *slot, u32 bucket)
{
	struct exit_cell *cell = current_cell(slot);

	if (bucket < EXITTOP_NEAR_BUCKETS)
		carry(slot, cell, &cell->near[bucket], EXITTOP_NEAR_CARRY, bucket);
	return 0;
}

/* Adds one to a far bucket, if there is a block for them. */
static __always_inline void far_add(struct vcpu_slot *slot, struct exit_cell *cell, u32 bucket)
{
	struct exit_words *words = extra_block(slot, cell, EXITTOP_FAR);

	if (bucket >= EXITTOP_FAR_BUCKETS)
		bucket = EXITTOP_FAR_BUCKETS - 1;
	if (!words)
		slot->header.histogram_full++;
	else if (words->word[bucket] == ~0u)
		carry(slot, cell, &words->word[bucket], EXITTOP_FAR_CARRY, bucket);
	else
		words->word[bucket]++;
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
	far_add(slot, current_cell(slot), far_bucket(ns) - EXITTOP_NEAR_BUCKETS);
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
		histogram_far(slot, ns);
		return;
	}
	/* As the first count of a cell so much later, as above. */
	cell = behind(cell, offset);
	count = cell->near[0] + 1;
	asm volatile("" : "+w"(count));
	if (unlikely(!count))
		near_carry(slot, offset / COUNT_SIZE);
	else
		cell->near[0] = count;
}

#endif
