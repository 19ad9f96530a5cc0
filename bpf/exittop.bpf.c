/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Counts VM exits in the kernel: one worker per event, and for each a thin shim per way to attach,
 * of which the loader keeps one.
 *
 * The pair kvm_exit, kvm_entry is the hot path. It finds the vCPU's slot by a hash of the vCPU's
 * address, without a helper call, and adds; no atomics, as a vCPU runs on one CPU at a time. The
 * clock is read last in the exit and first in the entry, so that exittop's own work is not part of
 * the time it reports. Everything that happens once per vCPU, once per reason or by accident is in
 * functions of their own, kept out of line.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "exittop_abi.h"
#include "kvm_compat.bpf.h"

char LICENSE[] SEC("license") = "GPL";

/* Bucket within a level, by the time shifted to eight bits; filled by the loader. */
const volatile u8 bucket_table[256];

struct exittop_memory memory;

/* The slots. User space maps them. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct vcpu_slot);
} slots SEC(".maps");

/* Slot of each vCPU: what the cache in front of it is filled from. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, u64); /* address of struct kvm_vcpu */
	__type(value, u32);
} vcpu_slots SEC(".maps");

/* Slots to hand out. User space fills it, and puts back the slots whose counts it has taken. */
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 1);
	__uint(value_size, sizeof(u32));
} free_slots SEC(".maps");

/* Slot `number`, or NULL beyond the last; the verifier puts the look-up in line. */
static __always_inline struct vcpu_slot *slot_at(u32 number)
{
	return bpf_map_lookup_elem(&slots, &number);
}

/* A block of a slot; 0 is its header. */
static __always_inline void *block_at(struct vcpu_slot *slot, u32 number)
{
	/* Keeps the mask next to the access: on 6.1 clang moves it away, and the verifier loses it. */
	asm volatile("" : "+w"(number));
	return (u8 *)slot + (u64)(number & (EXITTOP_SLOT_BLOCKS - 1)) * EXITTOP_BLOCK_SIZE;
}

static __always_inline u32 cache_place(u32 low)
{
	return (low * 0x9e3779b1u) >> (32 - EXITTOP_CACHE_BITS);
}

/* Puts a vCPU into the cache, if need be in another's place: that one is looked up again. */
static __always_inline void cache_insert(u32 place, u32 number)
{
	u32 free = place;

	for (u32 way = 0; way < EXITTOP_CACHE_WAYS; way++) {
		if (!memory.cache[place + way]) {
			free = place + way;
			break;
		}
	}
	memory.cache[free] = number;
}

/* Claims a slot for a vCPU that has none and writes who it is. Its number, or 0. */
static __noinline u32 slot_create(u64 vcpu)
{
	struct kvm_vcpu *kvm_vcpu = (void *)vcpu;
	u64 pid_tgid = bpf_get_current_pid_tgid();
	struct vcpu_header *header;
	struct vcpu_slot *slot;
	bool tdp = false;
	u32 number;

	if (bpf_map_pop_elem(&free_slots, &number))
		return 0;
	slot = slot_at(number);
	if (!slot)
		return 0;
	if (bpf_map_update_elem(&vcpu_slots, &vcpu, &number, BPF_NOEXIST)) {
		bpf_map_push_elem(&free_slots, &number, 0);
		return 0;
	}

	header = &slot->header;
	header->kvm = (u64)BPF_CORE_READ(kvm_vcpu, kvm);
	header->vcpu_id = BPF_CORE_READ(kvm_vcpu, vcpu_id);
	header->pid = pid_tgid >> 32;
	header->tid = (u32)pid_tgid;
	header->vmcb01 = svm_vmcb01(vcpu);
	header->blocks = EXITTOP_HEADER_BLOCKS;
	if (tdp_enabled_address) {
		bpf_probe_read_kernel(&tdp, sizeof(tdp), (void *)tdp_enabled_address);
		header->paging = tdp ? EXITTOP_PAGING_TDP : EXITTOP_PAGING_SHADOW;
	}
	bpf_get_current_comm(header->command, sizeof(header->command));
	header->first_ns = bpf_ktime_get_ns();
	header->vcpu = vcpu;
	header->state = EXITTOP_SLOT_IN_USE;
	__sync_fetch_and_add(&memory.changes, 1);
	return number;
}

/*
 * The slot of a vCPU that the first place of the cache does not name: another place, the map, or
 * with `create` a new one. Number of the slot, or 0 if there is none.
 */
static __noinline u32 slot_search(u64 vcpu, bool create)
{
	u32 place = cache_place(low_half(vcpu));
	u32 *known, number;

	for (u32 way = 1; way < EXITTOP_CACHE_WAYS; way++) {
		struct vcpu_slot *slot;

		number = memory.cache[place + way];
		slot = slot_at(number);
		if (slot && slot->header.vcpu == vcpu)
			return number;
	}
	known = bpf_map_lookup_elem(&vcpu_slots, &vcpu);
	number = known ? *known : create ? slot_create(vcpu) : 0;
	if (number)
		cache_insert(place, number);
	return number;
}

/* The slot of a vCPU, or NULL if it has none (and `create` could not give it one). */
static __always_inline struct vcpu_slot *slot_of(u64 vcpu, bool create)
{
	struct vcpu_slot *slot = slot_at(memory.cache[cache_place(low_half(vcpu))]);
	u32 number;

	if (slot && slot->header.vcpu == vcpu)
		return slot;
	number = slot_search(vcpu, create);
	return number ? slot_at(number) : NULL;
}

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
	/* See block_at(). */
	asm volatile("" : "+w"(index));
	return &header->index[index & (2 * EXITTOP_INDEX_CODES - 1)];
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
static __noinline u32 cell_search(struct vcpu_slot *slot, u32 code, u32 isa, bool in_l2)
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
	header->isa = isa;
	header->cell_blocks[header->cells & 31] = number;
	header->cells++;
	if (index < EXITTOP_INDEX_CODES)
		*index_entry(header, index, in_l2) = number;
	return number;
}

/* The code of a vCPU's last exit, read from what KVM and the CPU keep of it. */
static __always_inline u32 exit_code(struct vcpu_slot *slot, u64 vcpu, u32 isa, bool in_l2,
				     const enum read_by by)
{
	if (isa == KVM_ISA_SVM)
		return svm_exit_code(vcpu, slot->header.vmcb01, in_l2, by);
	if (isa == KVM_ISA_VMX)
		return vmx_exit_code(vcpu, by);
	slot->header.unknown_isa++;
	return EXITTOP_CODE_UNREADABLE;
}

/* Worker of kvm_exit: counts, and notes the time last. */
static __always_inline void count_exit(struct vcpu_slot *slot, u32 code, u32 isa, bool in_l2)
{
	struct vcpu_header *header = &slot->header;
	u32 index = index_of_code(code);
	struct exit_cell *cell;
	u32 number = 0;

	if (header->exit_ns && header->exit_ns > memory.armed_ns)
		header->exit_without_entry++;
	if (index < EXITTOP_INDEX_CODES)
		number = *index_entry(header, index, in_l2);
	if (!number)
		number = cell_search(slot, code, isa, in_l2);
	cell = block_at(slot, number);
	cell->count++;
	header->cell = number;
	header->exit_ns = bpf_ktime_get_ns();
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
static __noinline int histogram_extra(struct vcpu_slot *slot, u32 number, u32 bucket)
{
	struct exit_cell *cell = block_at(slot, number);

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
static __noinline u32 far_bucket(u64 ns)
{
	u64 shifted = ns >> EXITTOP_LEVEL_SHIFT >> EXITTOP_LEVEL_OCTAVES;

	for (u32 level = 2; level < EXITTOP_LEVELS; level++) {
		shifted >>= EXITTOP_LEVEL_OCTAVES;
		if (shifted < 256) {
			asm volatile("" : "+r"(shifted));
			return bucket_table[shifted & 255] + level * EXITTOP_LEVEL_BUCKETS;
		}
	}
	return EXITTOP_BUCKETS - 1;
}

static __always_inline void histogram_add(struct vcpu_slot *slot, struct exit_cell *cell, u64 ns)
{
	u32 bucket, count;

	if (ns < 1 << 13)
		bucket = bucket_table[ns >> EXITTOP_LEVEL_SHIFT];
	else if (ns < 1 << 19)
		bucket = bucket_table[ns >> (EXITTOP_LEVEL_SHIFT + EXITTOP_LEVEL_OCTAVES)] +
			 EXITTOP_LEVEL_BUCKETS;
	else
		bucket = far_bucket(ns);
	if (bucket < EXITTOP_NEAR_BUCKETS) {
		count = cell->near[bucket] + 1;
		asm volatile("" : "+w"(count));
		cell->near[bucket] = count;
		if (count)
			return;
	}
	histogram_extra(slot, slot->header.cell, bucket);
}

/* Worker of kvm_entry: `now` was read before anything else. */
static __always_inline void time_exit(struct vcpu_slot *slot, u64 now)
{
	struct vcpu_header *header = &slot->header;
	u64 ns = now - header->exit_ns;
	struct exit_cell *cell;

	if (!header->exit_ns) {
		/* The first event of a slot is no loss: its exit came before exittop. */
		if (header->first_ns < now && memory.armed_ns < now)
			header->entry_without_exit++;
		return;
	}
	header->exit_ns = 0;
	cell = block_at(slot, header->cell);
	cell->time_ns += ns;
	if (ns > cell->max_ns)
		cell->max_ns = ns;
	histogram_add(slot, cell, ns);
}

static __always_inline int handle_entry(u64 vcpu)
{
	u64 now = bpf_ktime_get_ns();
	struct vcpu_slot *slot = slot_of(vcpu, true);

	if (slot)
		time_exit(slot, now);
	return 0;
}

static __always_inline int handle_exit(u64 vcpu, u32 code, u32 isa, bool in_l2)
{
	struct vcpu_slot *slot = slot_of(vcpu, true);

	if (!slot) {
		__sync_fetch_and_add(&memory.table_full, 1);
		return 0;
	}
	count_exit(slot, code, isa, in_l2);
	return 0;
}

/* kvm_exit since Linux 5.16 (commit 0a62a0319abb): the reason is to be read from the vCPU. */
static __always_inline int handle_exit_read(u64 vcpu, u32 isa, const enum read_by by)
{
	struct vcpu_slot *slot = slot_of(vcpu, true);
	bool in_l2;

	if (!slot) {
		__sync_fetch_and_add(&memory.table_full, 1);
		return 0;
	}
	in_l2 = ran_l2(vcpu, by);
	count_exit(slot, exit_code(slot, vcpu, isa, in_l2, by), isa, in_l2);
	return 0;
}

/* The part of the exit being handled that is already split off, made to speak of this exit. */
static __always_inline struct exit_cell *split_begin(struct vcpu_slot *slot)
{
	struct vcpu_header *header = &slot->header;

	if (!header->exit_ns)
		return NULL;
	if (header->split_exit_ns != header->exit_ns) {
		header->split_exit_ns = header->exit_ns;
		header->split_vmm_ns = 0;
		header->split_halted_ns = 0;
	}
	return block_at(slot, header->cell);
}

/* KVM_RUN loads the guest's FPU state first and puts it back last: between two runs is the VMM. */
static __always_inline int handle_fpu(bool load)
{
	u64 now = bpf_ktime_get_ns();
	u64 vcpu = vcpu_of_current();
	struct vcpu_slot *slot = vcpu ? slot_of(vcpu, false) : NULL;
	struct exit_cell *cell;
	u64 since;

	if (!slot)
		return 0;
	since = slot->header.vmm_since_ns;
	slot->header.vmm_since_ns = load ? 0 : now;
	cell = split_begin(slot);
	if (load && since && cell) {
		cell->vmm_ns += now - since;
		slot->header.split_vmm_ns += now - since;
	}
	return 0;
}

/* A vCPU that halted goes on: KVM says how long it waited. */
static __always_inline int handle_wakeup(u64 halted_ns)
{
	u64 vcpu = vcpu_of_current();
	struct vcpu_slot *slot = vcpu ? slot_of(vcpu, false) : NULL;
	struct exit_cell *cell = slot ? split_begin(slot) : NULL;

	if (cell) {
		cell->halted_ns += halted_ns;
		slot->header.split_halted_ns += halted_ns;
	}
	return 0;
}

/*
 * KVM frees the vCPU, which happens when its VM goes. Its address may be that of another vCPU soon,
 * so the slot is taken away from it now, and is handed out again after user space took the counts.
 */
static __always_inline int handle_destroy(u64 vcpu)
{
	u32 place = cache_place(low_half(vcpu));
	u32 *known = bpf_map_lookup_elem(&vcpu_slots, &vcpu);
	struct vcpu_slot *slot;
	u32 number;

	if (!known)
		return 0;
	number = *known;
	for (u32 way = 0; way < EXITTOP_CACHE_WAYS; way++) {
		if (memory.cache[place + way] == number)
			memory.cache[place + way] = 0;
	}
	bpf_map_delete_elem(&vcpu_slots, &vcpu);
	slot = slot_at(number);
	if (!slot)
		return 0;
	slot->header.vcpu = 0;
	slot->header.ended_ns = bpf_ktime_get_ns();
	__sync_fetch_and_add(&memory.changes, 1);
	/* From here on the slot is user space's. */
	slot->header.state = EXITTOP_SLOT_ENDED;
	return 0;
}

/* kvm_exit(vcpu, isa), with bpf_rdonly_cast(): Linux 6.2 and later. */
SEC("raw_tp/kvm_exit")
int exit_raw(u64 *ctx)
{
	return handle_exit_read(ctx[0], ctx[1], READ_BY_CAST);
}

/* kvm_exit(vcpu, isa) on 5.16 to 6.1: a typed vcpu saves a call of a helper. */
SEC("tp_btf/kvm_exit")
int exit_btf(u64 *ctx)
{
	return handle_exit_read(ctx[0], ctx[1], READ_BY_BTF);
}

/* The same for those who may not ask the kernel for kvm's BTF, which the typed one takes. */
SEC("raw_tp/kvm_exit")
int exit_raw_helper(u64 *ctx)
{
	return handle_exit_read(ctx[0], ctx[1], READ_BY_HELPER);
}

/* kvm_exit(reason, vcpu, isa) up to 5.15. */
SEC("raw_tp/kvm_exit")
int exit_raw_reason(u64 *ctx)
{
	u64 vcpu = ctx[1];

	return handle_exit(vcpu, ctx[0], ctx[2], ran_l2(vcpu, READ_BY_HELPER));
}

/* Where BTF does not tell where the reason is. L2 cannot be told from L1 here. */
SEC("tp/kvm/kvm_exit")
int exit_classic(struct trace_kvm_exit *ctx)
{
	u64 vcpu = vcpu_of_current();

	return vcpu ? handle_exit(vcpu, ctx->exit_reason, ctx->isa, false) : 0;
}

SEC("raw_tp/kvm_entry")
int entry_raw(u64 *ctx)
{
	return handle_entry(ctx[0]);
}

SEC("tp_btf/kvm_entry")
int entry_btf(u64 *ctx)
{
	return handle_entry(ctx[0]);
}

SEC("tp/kvm/kvm_entry")
int entry_classic(void *ctx __attribute__((unused)))
{
	u64 vcpu = vcpu_of_current();

	return vcpu ? handle_entry(vcpu) : 0;
}

SEC("raw_tp/kvm_fpu")
int fpu_raw(u64 *ctx)
{
	return handle_fpu((u32)ctx[0]);
}

SEC("raw_tp/kvm_vcpu_wakeup")
int wakeup_raw(u64 *ctx)
{
	return handle_wakeup(ctx[0]);
}

/*
 * There is no tracepoint where a vCPU goes. Since Linux 5.16 (commit d69c1382e1b7) KVM then hands its
 * FPU state back to the kernel, and nobody else does: a function of vmlinux, so its BTF is for all.
 */
SEC("fentry/fpu_free_guest_fpstate")
int destroy_fpu(u64 *ctx)
{
	return handle_destroy(ctx[0] - bpf_core_field_offset(struct kvm_vcpu, arch.guest_fpu));
}

/*
 * Before that. A kprobe is a perf event, which Debian's perf_event_paranoid=3 keeps for those with
 * CAP_SYS_ADMIN. Its first argument is the vCPU since Linux 5.7.
 */
SEC("kprobe/kvm_arch_vcpu_destroy")
int destroy(struct pt_regs *ctx)
{
	return handle_destroy(ctx->di);
}
