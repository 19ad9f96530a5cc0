/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory that the BPF program writes and user space maps: the only header both sides include.
 *
 * One slot per vCPU. Its counts have one writer, the CPU that the vCPU runs on, so no atomics; it is
 * a whole number of cache lines, so none is shared between vCPUs. A slot has a cell per exit reason
 * that occurs. The cells, which a refresh reads for all vCPUs, are contiguous; the parts of the time
 * and the histograms are apart from them.
 */
#ifndef EXITTOP_ABI_H
#define EXITTOP_ABI_H

#ifndef __bpf__
#include <stdint.h>
typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int64_t s64;
#endif

#ifdef __cplusplus
#define EXITTOP_ASSERT(condition, text) static_assert(condition, text)
#else
#define EXITTOP_ASSERT(condition, text) _Static_assert(condition, text)
#endif

/*
 * Histogram buckets: four linear steps to each power of two from 128 ns to 2^35 ns (34 s), steps of
 * 32 ns below. A bucket is found through a table of 256 entries, entered with the time shifted
 * right by 5, 11, 17, 23 or 29 bits: six powers of two (24 buckets) to each such level, and four
 * more buckets below 128 ns.
 */
#define EXITTOP_LEVELS 5
#define EXITTOP_SHORT_TIME (1 << 13) /* ns; below it, an exit takes the fast path: level 0 */
#define EXITTOP_LEVEL_SHIFT 5  /* of level 0; each further level shifts by LEVEL_OCTAVES more */
#define EXITTOP_LEVEL_OCTAVES 6
#define EXITTOP_LEVEL_BUCKETS 24
#define EXITTOP_SHORT_BUCKETS 52 /* levels 0 and 1: below 2^19 ns = 524 us */
#define EXITTOP_LONG_BUCKETS 64  /* from there to 2^35 ns; few reasons need them */
#define EXITTOP_BUCKETS (EXITTOP_SHORT_BUCKETS + EXITTOP_LONG_BUCKETS)

/*
 * Counts of buckets have 32 bits: user space looks often enough to notice that one wrapped.
 */
struct short_counts {
	u32 count[EXITTOP_SHORT_BUCKETS];
};
struct long_counts {
	u32 count[EXITTOP_LONG_BUCKETS];
};

#define EXITTOP_SLOT_SIZE 9216
#define EXITTOP_CACHE_LINE 64

/* Cells of a slot. The first one counts the exits of reasons that found no cell of their own. */
#define EXITTOP_CELLS 28
#define EXITTOP_OVERFLOW_CELL 0

enum exit_cell_flags {
	EXITTOP_CELL_L2 = 1,    /* its exits are of L2, not of L1 */
	EXITTOP_CELL_PARTS = 2, /* some of its parts are not 0 */
};
/* Above them, where targets are counted from the start: its enum exittop_target_kind. */
#define EXITTOP_CELL_KIND_SHIFT 3

/* One exit reason of one vCPU, at one guest level. */
struct exit_cell {
	u64 count;
	u64 time_ns; /* kvm_exit to kvm_entry, completed exits */
	u64 max_ns;
	u32 code;       /* full exit code, flags included */
	u16 short_at;   /* offset in the slot of its short buckets; of lost_counts if it has none */
	u8 long_block;  /* where its long buckets are, in units of their size; 0: none yet */
	u8 flags;       /* enum exit_cell_flags, and a kind of target */
};
EXITTOP_ASSERT(sizeof(struct exit_cell) == 32, "two cells fill a cache line");

/* Parts of time_ns, disjoint: what is left is the kernel's own work; see parts.bpf.h. */
struct exit_parts {
	u64 vmm_ns;       /* outside KVM_RUN, on a CPU */
	u64 halted_ns;    /* asleep in HLT */
	u64 polled_ns;    /* in HLT, on a CPU: KVM polled for an event */
	u64 preempted_ns; /* runnable, waiting for a CPU */
	u64 blocked_ns;   /* asleep elsewhere, in the kernel or the VMM */
};

/* Where the clocks were that tell how long a thread had no CPU. */
struct cpu_mark {
	u64 off_cpu_ns;
	u64 ran_ns;
	u64 moves;
	u64 at_ns;
};

/* What was seen when a vCPU's exits were last looked at, to tell what came since; see parts.bpf.h. */
struct vcpu_times {
	struct cpu_mark last;
	struct cpu_mark vmm; /* when KVM_RUN returned in the exit being handled; at_ns 0: it has not */
	u64 run_delay_ns;
	u64 sleeps;
	u64 polled_ns;
	u64 waited_ns;
	u64 vmm_ns;       /* the VMM's time in the exit being handled */
	u64 returns;      /* KVM's count of these */
	u64 vmm_missed;   /* those that no event told */
	u64 tid;          /* of the thread */
};

/* Why KVM_RUN returned, by KVM_EXIT_* (include/uapi/linux/kvm.h); the last: others. */
#define EXITTOP_RETURN_REASONS 48

/*
 * Codes that have an entry in cell_by_code, so that their cell is found without a search: those
 * below DIRECT (all of VMX, SVM up to 0xbf), and 16 from SVM_EXIT_NPF on. Others are searched for.
 */
#define EXITTOP_DIRECT_CODES 192
#define EXITTOP_NPF_CODE 0x400
#define EXITTOP_NPF_CODES 16
#define EXITTOP_INDEX_CODES 256 /* entries per guest level; the rest is never used, but for: */
#define EXITTOP_HALT_INDEX 255  /* that of HLT, which is to be searched for: all of them are looked at */

/*
 * A byte for each slot, all of them together behind the slots: whoever looks for vCPUs that came or
 * went need not touch each slot. Written when the slot says the same.
 */
enum exittop_slot_state {
	EXITTOP_SLOT_FREE,  /* all zero but no_room */
	EXITTOP_SLOT_IN_USE,
	EXITTOP_SLOT_ENDED, /* the vCPU is gone; user space takes the counts and frees the slot */
};

#define EXITTOP_KVM_EXITS_UNKNOWN (~0ull)
#define EXITTOP_MORE_UNKNOWN (-2)

/* Whether KVM counts an exit before it traces it; not known before a vCPU was seen to enter. */
enum exittop_count_order {
	EXITTOP_ORDER_UNKNOWN,
	EXITTOP_COUNTED_FIRST,
	EXITTOP_TRACED_FIRST,
};

enum exittop_paging { EXITTOP_PAGING_UNKNOWN, EXITTOP_PAGING_TDP, EXITTOP_PAGING_SHADOW };

/* Stands for a code that could not be read: BTF does not tell where it is on this ISA. */
#define EXITTOP_CODE_UNREADABLE 0xfffffffeu

/* Who a vCPU is, and when it was there. */
struct vcpu_identity {
	u64 kvm;      /* address of struct kvm */
	u64 first_ns; /* of its first event */
	u64 ended_ns; /* 0: not yet */
	u32 vcpu_id;
	u32 pid;      /* of the process that runs it */
	u32 tid;
	u32 reader_pid; /* `pid` as user space's PID namespace has it; 0: it is not in there */
	u32 uid;        /* of the process, as the kernel's first user namespace has it */
	u32 reserved;
	char command[16];
};

struct vcpu_header {
	/* Written at each exit and entry: one cache line. */
	u64 exit_ns; /* clock at the exit being handled; 0 = in the guest, or none seen yet */
	u64 vcpu;    /* address of struct kvm_vcpu; 0 = free or ended; may have EXITTOP_BY_TARGET */
	u64 code_at; /* address of its exit code, or of EXITTOP_CODE_UNREADABLE if it is not known */
	u32 isa;
	u16 current_cell; /* offset in `cells` of the cell of the exit being handled */
	u16 is_new;       /* KVM has counted its exits for no longer than we have; bpf/kvm_count.bpf.h */
	u64 no_room; /* given_back + 1 at the last search from this position that found no free
			slot; belongs to the position, not to the vCPU in the slot */
	u32 area;    /* where its targets are: offset from the slots, or place in a map; area_of() */
	/* What the line has room for. */
	u32 vm_vcpu_index; /* of its VM's vCPUs, in the order of their first events */
	u32 readable; /* its VM may read its counts through CPUID leaves; user space decides */
	u32 target_kind;  /* of the exit being handled: enum exittop_target_kind, and TARGET_NOTED */
	u64 target_noted; /* its target, where that was to be noted before the entry */

	/* Written when the vCPU is first seen, and when it goes. */
	struct vcpu_identity who;
	u32 paging;           /* enum exittop_paging */
	u32 cells_used;       /* the overflow cell included */
	u32 short_end;        /* offset in the slot at which the next short buckets begin */
	u32 long_block_begin; /* where the last long buckets begin, in units of their size */

	u64 reserved[7];

	/* Rare: losses of this vCPU. */
	u64 histogram_full;
	u64 exit_without_entry;
	u64 entry_without_exit;

	/* KVM's own count beside ours; bpf/kvm_count.bpf.h. */
	u64 kvm_exits_first; /* KVM's count when the slot was made, or EXITTOP_KVM_EXITS_UNKNOWN */
	s64 kvm_exits_more;  /* exits it counted since and we did not, at the last look; < 0: unknown */
	s64 kvm_exits_more_at_end; /* the same when the vCPU went */
	u32 registers_hidden;      /* the guest's registers are encrypted: SEV-ES, SEV-SNP, TDX */
	u32 evicted; /* the slot ended as another user is to have it: its vCPU is still there */
};
EXITTOP_ASSERT(sizeof(struct vcpu_header) == 256, "the header fills whole cache lines");

struct vcpu_slot {
	struct vcpu_header header;
	/* Number of the cell of a code, by guest level (L1, L2); 0 = none yet. */
	u8 cell_by_code[2 * EXITTOP_INDEX_CODES];
	struct exit_cell cells[EXITTOP_CELLS];
	struct exit_parts parts[EXITTOP_CELLS];
	struct vcpu_times times;
	u64 returns[EXITTOP_RETURN_REASONS];
	/* Short buckets of all cells that found no room for their own: so an entry need not check. */
	struct short_counts lost_counts;
	/* Handed out as needed: short buckets from the beginning, long buckets from the end. */
	u8 histograms[5712];
};
EXITTOP_ASSERT(sizeof(struct vcpu_slot) == EXITTOP_SLOT_SIZE, "a slot has no gaps");
EXITTOP_ASSERT(EXITTOP_SLOT_SIZE % EXITTOP_CACHE_LINE == 0, "vCPUs share no cache line");
EXITTOP_ASSERT(EXITTOP_SLOT_SIZE % sizeof(struct long_counts) == 0,
	       "the end of a slot is where long buckets may end");
#define EXITTOP_LOST_COUNTS_AT __builtin_offsetof(struct vcpu_slot, lost_counts)
#define EXITTOP_SHORT_BEGIN __builtin_offsetof(struct vcpu_slot, histograms)
#define EXITTOP_LONG_END (EXITTOP_SLOT_SIZE / sizeof(struct long_counts))

/*
 * Targets: what exits were about (which MSR, port, address). Their counts are in areas apart from
 * the slots, one per slot, which exist only while targets are counted.
 *
 * A bit in the vCPU's address in its slot says that its exits are counted by target. The fast path
 * then does not know the vCPU, and its slow path looks for the bit: so targets cost nothing where
 * they are off.
 */
#define EXITTOP_BY_TARGET 1ull
/* Another one: the end of the exit being handled is to be looked at, however short it was. */
#define EXITTOP_LOOK 2ull
#define EXITTOP_VCPU_OF(word) ((word) & ~(EXITTOP_BY_TARGET | EXITTOP_LOOK))

/* Where the target of a reason's exits is. Which reason has which kind is the loader's to say. */
enum exittop_target_kind {
	EXITTOP_TARGET_NONE,
	/* Read at the entry: */
	EXITTOP_TARGET_FIXED,     /* the exit code says all; the value is 0 */
	EXITTOP_TARGET_UNKNOWN,   /* not on this kernel */
	EXITTOP_TARGET_MSR,       /* ECX */
	EXITTOP_TARGET_MSR_SVM,   /* and from bit 32 on whether it is written */
	EXITTOP_TARGET_IO_SVM,    /* EXITINFO1: port, size, direction */
	EXITTOP_TARGET_NPF,       /* EXITTOP_TARGET_ADDRESS() */
	EXITTOP_TARGET_PF_SVM,    /* the error code */
	EXITTOP_TARGET_AVIC,      /* EXITINFO1: register, direction */
	EXITTOP_TARGET_GHCB,      /* the GHCB's exit code */
	EXITTOP_TARGET_RIP_SVM,
	EXITTOP_TARGET_RIP_VMX,
	EXITTOP_TARGET_IO_VMX,    /* of the exit qualification: port, size, direction */
	EXITTOP_TARGET_CR_VMX,    /* number, access */
	EXITTOP_TARGET_DR_VMX,    /* number, access */
	EXITTOP_TARGET_APIC_VMX,  /* offset, access; of EOI_INDUCED the vector */
	EXITTOP_TARGET_VECTOR_VMX,
	/* Told by an event before the entry: */
	EXITTOP_TARGET_EVENT_FIRST,
	EXITTOP_TARGET_EXCEPTION_VMX = EXITTOP_TARGET_EVENT_FIRST, /* vector, and of a page fault from
								      bit 8 on: 1, the error code */
	EXITTOP_TARGET_EPT_VIOLATION, /* EXITTOP_TARGET_ADDRESS() */
	EXITTOP_TARGET_EPT_MISCONFIG, /* EXITTOP_TARGET_ADDRESS() */
	/* Noted at the exit, as KVM overwrites it: */
	EXITTOP_TARGET_EXIT_FIRST,
	EXITTOP_TARGET_CPUID = EXITTOP_TARGET_EXIT_FIRST, /* leaf, and from bit 32 on subleaf + 1, or 0 */
	EXITTOP_TARGET_HYPERCALL, /* the number; from EXITTOP_HYPERCALL_SHIFT on whose it is */
};
#define PF_VECTOR 14
#define EXITTOP_HAS_ERROR_CODE 0x100
#define EXITTOP_ERROR_CODE_SHIFT 9
#define EXITTOP_TARGET_NOTED 0x100 /* in target_kind: target_noted holds the target */
#define EXITTOP_TARGET_OF_L2 0x200 /* beside a kind, as an argument */
EXITTOP_ASSERT(EXITTOP_TARGET_HYPERCALL < 256 >> EXITTOP_CELL_KIND_SHIFT, "a cell has room for a kind");

#define EXITTOP_HYPERCALL_SHIFT 56
enum exittop_hypercall { EXITTOP_HYPERCALL_KVM, EXITTOP_HYPERCALL_HYPERV, EXITTOP_HYPERCALL_XEN,
			 EXITTOP_HYPERCALL_L1 }; /* L1: the call is the guest hypervisor's */

/*
 * A guest-physical address, whole for MMIO and of the page for memory, and how it was accessed: bits
 * of a page fault's error code, of which the reserved one says MMIO.
 */
#define EXITTOP_TARGET_ADDRESS(address, error) ((u64)(address) << 5 | (error))
#define EXITTOP_TARGET_ERROR (PF_WRITE | PF_RESERVED | PF_FETCH)
/* SDM vol. 3, 4.7; of nested faults APM vol. 2, 15.25.6. */
#define PF_WRITE (1 << 1)
#define PF_RESERVED (1 << 3)
#define PF_FETCH (1 << 4)

/* A target's value has 59 bits; the cell of its reason is in the others. */
#define EXITTOP_TARGET_BITS 59
#define EXITTOP_TARGET_VALUE(key) ((key) & ((1ull << EXITTOP_TARGET_BITS) - 1))

/* Instead of a value: the target is not known. Its low bits say why. */
#define EXITTOP_NO_TARGET (1ull << 63)
enum exittop_no_target {
	EXITTOP_WHY_NO_BTF = 1, /* BTF does not tell where it is */
	EXITTOP_WHY_NOT_KEPT,   /* KVM did not keep it until the entry */
	EXITTOP_WHY_NOT_TOLD,   /* no event told it */
	EXITTOP_WHY_HIDDEN,     /* the guest's registers are encrypted */
	EXITTOP_WHY_TOO_LARGE,  /* for EXITTOP_TARGET_BITS */
};

/* One target. Its place in `entries` is its number; 0 is none. */
struct target_entry {
	u64 key;
	u64 count;
	u64 time_ns;
	u16 next;           /* with the same hash */
	u16 next_of_reason; /* of the same reason */
	u32 debt;           /* how often another target was in want of its place */
};
struct reason_targets {
	u64 other; /* exits of targets that have no entry, or gave it up */
	u64 other_ns;
	u64 unknown;
	u64 unknown_ns;
	u16 first; /* entry of this reason */
	u16 kept;  /* how many it has */
	u16 hand;  /* the entry that is next to be asked for its place */
	u16 why;   /* enum exittop_no_target, of the last unknown one */
};
#define EXITTOP_TARGET_HEADS 256
#define EXITTOP_LEAST_TARGETS 64  /* that a reason of a vCPU has entries for, if any are left */
#define EXITTOP_MOST_TARGETS 1024 /* entries of an area */
struct target_area {
	u32 used;     /* entries, the first one included, which is none; 0 is 1 */
	u32 replaced; /* odd while an entry becomes another target's */
	u64 reserved[7];
	struct reason_targets reasons[32]; /* by cell */
	u16 heads[EXITTOP_TARGET_HEADS];   /* by hash */
	struct target_entry entries[EXITTOP_MOST_TARGETS]; /* only as many as the loader chose */
};
#define EXITTOP_AREA_SIZE(count)                   \
	(__builtin_offsetof(struct target_area, entries) + \
	 (u64)(count) * sizeof(struct target_entry))

/*
 * Where a vCPU's slot is. The hash slots come first: a hash of the vCPU's address gives the index of
 * one, and linear probing goes on from there; a slot's header says whose it is. The overflow slots
 * behind them take the vCPUs that found none free within INSERT_PROBES; a hash map finds these. Slot
 * 0 is a hash slot that is never handed out: index 0 means none.
 */
#define EXITTOP_FIND_PROBES 8    /* slots looked at before the map is asked */
#define EXITTOP_INSERT_PROBES 64 /* slots tried for a new vCPU before an overflow slot is taken */
#define EXITTOP_OVERFLOW_SLOTS(hash_slots) ((hash_slots) / 32)
/* Of the low half of a vCPU's address: the high half is the same for all. */
#define EXITTOP_HASH_OF(low_half) ((u32)(low_half) * 0x9e3779b1u)
#define EXITTOP_HASH_SLOT_OF(low_half, hash_slots) \
	((u64)EXITTOP_HASH_OF(low_half) * (hash_slots) >> 32)

/* vCPUs that can be asked for (--max-vcpus): 297 MiB. */
#define EXITTOP_MAX_SLOTS 32768
#define EXITTOP_SLOTS_OF(hash_slots) (1 + (hash_slots) + EXITTOP_OVERFLOW_SLOTS(hash_slots))

/*
 * The command line of a new VM's process, as the program read it when the VM's first vCPU got its
 * slot: when user space looks, the process may be gone. A record of a ring buffer.
 */
#define EXITTOP_COMMAND_LINE_SIZE 2048
#define EXITTOP_COMMAND_LINES (256 * 1024) /* bytes of the ring buffer */
struct exittop_command_line {
	u32 slot;
	u32 size; /* of the text, which may be cut */
	char text[EXITTOP_COMMAND_LINE_SIZE];
};

/*
 * What a guest can read through CPUID: for each of four leaves from EXITTOP_LEAF_BASE on a
 * combination of these; 0: nothing, KVM's own answer stands.
 */
#define EXITTOP_LEAF_BASE 0x4ffffffcu
#define EXITTOP_LEAVES 4
#define EXITTOP_LEAF_COUNT 1  /* exits: EAX the low half; EBX:ECX all of it, if there is no time */
#define EXITTOP_LEAF_TIME 2   /* their cycles: EBX:ECX */
#define EXITTOP_LEAF_REASON 4 /* of the reason that the guest put into ECX; without it, of all */

/*
 * A vCPU without a slot: who it is, and how many exits it made, which are not counted by reason. It
 * is found by the same hash, in one of WAITING_PROBES places.
 */
#define EXITTOP_WAITING_BITS 9
#define EXITTOP_WAITING (1 << EXITTOP_WAITING_BITS)
#define EXITTOP_WAITING_PROBES 4
struct waiting_vcpu {
	u64 vcpu;       /* address of struct kvm_vcpu; 0: it is gone, or has a slot now */
	u64 exits;
	u64 given_back; /* when it was refused: nothing is tried for it until that changes */
	u64 state;      /* enum exittop_slot_state */
	struct vcpu_identity who;
	u64 reserved[4];
};
EXITTOP_ASSERT(sizeof(struct waiting_vcpu) == 2 * EXITTOP_CACHE_LINE, "vCPUs share no cache line");

/* The program's .bss is this and the slots, as many as are asked for. User space maps it. */
struct exittop_memory {
	u64 armed_ns;   /* when the last program was attached: only since then is an event without its
			   other half a loss; beyond any clock before that and while detached */
	u64 changes;    /* vCPUs that came or went */
	u64 table_full; /* exits of vCPUs without a slot that found no place in `waiting` either */
	u64 proof;      /* what prove_memory() says, and user space checks at the start */
	u64 count_order; /* enum exittop_count_order */
	u64 reader_pid;  /* of user space's process, as the kernel has it */
	u64 given_back;  /* how often a slot became free; counted atomically */
	u64 limits;      /* how many users are in the map limited_users */
	u64 waits;       /* how many vCPUs are in `waiting`; counted atomically */
	u64 by_target;   /* EXITTOP_BY_TARGET or 0: what new slots begin with */
	u64 reserved[6];
	struct waiting_vcpu waiting[EXITTOP_WAITING];
};
EXITTOP_ASSERT(sizeof(struct exittop_memory) % EXITTOP_CACHE_LINE == 0, "slots begin with a line");
/*
 * Size of the memory in bytes. No offset or number in a slot leads out of it, but all the verifier
 * knows of one is that it is a byte or has 16 bits: guard slots behind the last one cover all that
 * can be reached so, so that the program need not check. The slots' states are kept there.
 */
#define EXITTOP_GUARD_SLOTS 8
EXITTOP_ASSERT(65535 + EXITTOP_SHORT_BEGIN <= EXITTOP_GUARD_SLOTS * EXITTOP_SLOT_SIZE,
	       "no offset leads out of the memory");
EXITTOP_ASSERT(EXITTOP_SLOTS_OF(EXITTOP_MAX_SLOTS) <= EXITTOP_GUARD_SLOTS * EXITTOP_SLOT_SIZE,
	       "the slots' states fit behind them");
#define EXITTOP_MEMORY_SIZE(hash_slots)  \
	(sizeof(struct exittop_memory) + \
	 (EXITTOP_SLOTS_OF(hash_slots) + EXITTOP_GUARD_SLOTS) * (u64)EXITTOP_SLOT_SIZE)

#endif
