// SPDX-License-Identifier: GPL-2.0-only
// What the guest hypervisors of both vendors share: a tiny virtual machine (L1) that runs a tiny
// virtual machine of its own (L2), on the KVM API, with no system inside either.
//
// L2 executes, ROUNDS times: CPUID twice, OUT, RDMSR, a write to one of 256 pages, and a call of
// its hypervisor; then HLT. Everything is executed a different number of times in L1 and in L2, so
// a wrong level shows.
#pragma once
#include "kvm_api.h"

#include <stdbool.h>
#include <unistd.h>

enum { PORT_ROUND = 0x10, PORT_DONE = 0x13 };

// The guests' physical memory beyond tables and code; L2 sees that of L1 as it is. From VENDOR on
// are the pages of the vendor's own structures.
enum {
    NESTED_PML4 = 0x6000,
    NESTED_PDPT = 0x7000,
    NESTED_DIRECTORY = 0x8000,
    VENDOR = 0x9000,
    TOUCHED = 0x200000,
    MEMORY = 0x400000,
};

struct options {
    uint64_t rounds;
    bool nested_paging;
};

// L1 and L2, by their first instructions. r12: rounds left, r13: pages to touch, r14: offset in
// them; L1 leaves these alone. RDMSR reads the APIC's base.
extern const uint8_t guest_l1[], guest_l2[], guest_end[];
#define L2_CODE(hypercall)        \
    "guest_l2:\n"                 \
    "    test %r12, %r12\n"       \
    "    jz 2f\n"                 \
    "    xor %eax, %eax\n"        \
    "    xor %ecx, %ecx\n"        \
    "    cpuid\n"                 \
    "    xor %eax, %eax\n"        \
    "    xor %ecx, %ecx\n"        \
    "    cpuid\n"                 \
    "    out %al, $0x10\n"        \
    "    mov $0x1b, %ecx\n"       \
    "    rdmsr\n"                 \
    "    incb (%r13,%r14)\n"      \
    "    add $4096, %r14\n"       \
    "    and $0xfffff, %r14\n"    \
    "    dec %r12\n"              \
    "    " hypercall "\n"         \
    "    jmp guest_l2\n"          \
    "2:  hlt\n"                   \
    "guest_end:\n"

// Where L2 begins in the guests' memory.
static inline uint64_t l2_address(void)
{
    return CODE + (uint64_t)(guest_l2 - guest_l1);
}

static inline void put32(uint8_t *memory, uint64_t address, uint32_t value)
{
    memcpy(memory + address, &value, sizeof(value));
}

static inline uint64_t get64(const uint8_t *memory, uint64_t address)
{
    uint64_t value;

    memcpy(&value, memory + address, sizeof(value));
    return value;
}

// L2's physical memory, mapped one to one in large pages: `leaf` has the bits of their entries, of
// which the low three allow all access and are those of the upper tables too.
static inline void write_nested_tables(uint8_t *memory, uint64_t leaf)
{
    const uint64_t all_access = leaf & 7, large_size = 0x200000;

    put64(memory, NESTED_PML4, NESTED_PDPT | all_access);
    put64(memory, NESTED_PDPT, NESTED_DIRECTORY | all_access);
    for (uint64_t page = 0; page < MEMORY / large_size; page++)
        put64(memory, NESTED_DIRECTORY + page * 8, page * large_size | leaf);
}

// Memory with all that does not depend on the vendor.
static inline uint8_t *create_memory(int vm_fd)
{
    uint8_t *memory = allocate_memory(MEMORY);

    // Written here first, so that a page costs the guest one fault, not one more for copying.
    memset(memory + TOUCHED, 1, MEMORY - TOUCHED);
    write_page_tables(memory, MEMORY);
    write_gdt(memory);
    memcpy(memory + CODE, guest_l1, (size_t)(guest_end - guest_l1));
    give_memory(vm_fd, memory, MEMORY);
    return memory;
}

static inline int create_vcpu(int kvm_fd, int vm_fd)
{
    int vcpu_fd = IOCTL(vm_fd, KVM_CREATE_VCPU, 0);

    set_cpuid(kvm_fd, vcpu_fd);
    set_long_mode(vcpu_fd);
    return vcpu_fd;
}

// Runs until L1 halts; the OUTs that L2 made on the way.
static inline uint64_t run_to_end(int vcpu_fd, const struct kvm_run *run)
{
    uint64_t outs = 0;

    for (;;) {
        if (ioctl(vcpu_fd, KVM_RUN, 0) < 0) {
            if (errno != EINTR)
                fail("KVM_RUN: %s", strerror(errno));
        } else if (run->exit_reason == KVM_EXIT_HLT) {
            return outs;
        } else if (run->exit_reason == KVM_EXIT_IO) {
            outs += run->io.port == PORT_ROUND;
        } else {
            fail("exit to user space %u, detail 0x%llx", run->exit_reason,
                 (unsigned long long)run->internal.suberror);
        }
    }
}

// Runs L1 from `registers` on; fails unless L2 made its rounds and L1 saw it end in `halted`, which
// it finds in memory at `last_exit_at`.
static inline void run_guests(int kvm_fd, int vcpu_fd, const uint8_t *memory,
                              struct kvm_regs registers, const struct options *options,
                              uint64_t last_exit_at, uint64_t halted)
{
    struct kvm_run *run = map_run(vcpu_fd, IOCTL(kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0));
    uint64_t outs, last_exit;

    registers.rip = CODE;
    registers.rflags = 2;
    registers.r12 = options->rounds;
    registers.r13 = TOUCHED;
    IOCTL(vcpu_fd, KVM_SET_REGS, &registers);
    outs = run_to_end(vcpu_fd, run);
    last_exit = get64(memory, last_exit_at);
    if (outs != options->rounds || last_exit != halted)
        fail("L2 made %llu OUTs of %llu and ended with exit code 0x%llx", (unsigned long long)outs,
             (unsigned long long)options->rounds, (unsigned long long)last_exit);
    printf("vm=0 vcpu=0 tid=%d pid=%d\n", gettid(), getpid());
}

static inline struct options parse_options(int argc, char **argv)
{
    struct options options = {.rounds = 300};

    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--nested-paging"))
            options.nested_paging = true;
        else if (!strcmp(argv[i], "--rounds") && i + 1 < argc)
            options.rounds = strtoull(argv[++i], NULL, 10);
        else {
            fputs("usage: " PROGRAM_NAME " [--rounds N] [--nested-paging]\n", stderr);
            exit(2);
        }
    }
    return options;
}
