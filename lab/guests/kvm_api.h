// SPDX-License-Identifier: GPL-2.0-only
// Shared by the guests without an operating system: KVM API calls that must not fail, and a vCPU
// that starts in long mode with memory mapped one to one.
//
// The includer defines PROGRAM_NAME, which opens every message, and _GNU_SOURCE.
#pragma once
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

// Where the guest's tables and code lie in its physical memory.
enum {
    GDT = 0x1000,
    IDT = 0x2000,
    PML4 = 0x3000,
    PDPT = 0x4000,
    PAGE_DIRECTORY = 0x5000,
    PAGE_TABLES = 0x10000,
    CODE = 0x80000,
    PAGE = 4096,
};

enum { NMI_VECTOR = 2 };
enum { CODE_SELECTOR = 0x08, DATA_SELECTOR = 0x10, GDT_LIMIT = 0x17, IDT_LIMIT = 0xfff };

// Control registers of long mode, the least that is needed.
enum { LONG_CR4 = 0x20, LONG_EFER = 0x500 }; // PAE; LMA, LME
#define LONG_CR0 0x80000033u                 // PG, NE, ET, MP, PE

__attribute__((format(printf, 1, 2), noreturn)) static inline void fail(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    fputs(PROGRAM_NAME ": ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

static inline int checked_ioctl(int fd, unsigned long request, const char *name, void *argument)
{
    int result = ioctl(fd, request, argument);

    if (result < 0)
        fail("%s: %s", name, strerror(errno));
    return result;
}
#define IOCTL(fd, request, argument) checked_ioctl(fd, request, #request, (void *)(argument))

static inline int open_kvm(void)
{
    int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

    if (fd < 0)
        fail("/dev/kvm: %s", strerror(errno));
    return fd;
}

static inline struct kvm_run *map_run(int vcpu_fd, int run_size)
{
    void *run = mmap(NULL, (size_t)run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu_fd, 0);

    if (run == MAP_FAILED)
        fail("mmap of a vCPU: %s", strerror(errno));
    return run;
}

static inline uint8_t *allocate_memory(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (memory == MAP_FAILED)
        fail("memory of a VM: %s", strerror(errno));
    // Small pages on every host, so that the number of faults is the same everywhere.
    madvise(memory, size, MADV_NOHUGEPAGE);
    return memory;
}

static inline void give_memory(int vm_fd, uint8_t *memory, size_t size)
{
    struct kvm_userspace_memory_region region = {.memory_size = size,
                                                 .userspace_addr = (uint64_t)(uintptr_t)memory};

    IOCTL(vm_fd, KVM_SET_USER_MEMORY_REGION, &region);
}

static inline void put64(uint8_t *memory, uint64_t address, uint64_t value)
{
    memcpy(memory + address, &value, sizeof(value));
}

static inline void write_page_tables(uint8_t *memory, size_t size)
{
    const uint64_t present_writable = 3;

    put64(memory, PML4, PDPT | present_writable);
    put64(memory, PDPT, PAGE_DIRECTORY | present_writable);
    for (uint64_t page = 0; page < size / PAGE; page++) {
        uint64_t table = PAGE_TABLES + page / 512 * PAGE;

        put64(memory, PAGE_DIRECTORY + page / 512 * 8, table | present_writable);
        put64(memory, table + page % 512 * 8, page * PAGE | present_writable);
    }
}

static inline void write_gdt(uint8_t *memory)
{
    put64(memory, GDT + CODE_SELECTOR, 0x00af9b000000ffff);
    put64(memory, GDT + DATA_SELECTOR, 0x00cf93000000ffff);
}

// The guest takes NMIs at `address`.
static inline void write_nmi_gate(uint8_t *memory, uint64_t address)
{
    put64(memory, IDT + NMI_VECTOR * 16,
          (address & 0xffff) | CODE_SELECTOR << 16 | 0x8e00ull << 32 |
              (address >> 16 & 0xffff) << 48);
}

static inline void set_long_mode(int vcpu_fd)
{
    struct kvm_segment code = {.limit = 0xffffffff, .selector = CODE_SELECTOR, .type = 11,
                               .present = 1, .s = 1, .l = 1, .g = 1};
    struct kvm_segment data = {.limit = 0xffffffff, .selector = DATA_SELECTOR, .type = 3,
                               .present = 1, .s = 1, .db = 1, .g = 1};
    struct kvm_sregs special;

    IOCTL(vcpu_fd, KVM_GET_SREGS, &special);
    special.cs = code;
    special.ds = special.es = special.fs = special.gs = special.ss = data;
    special.gdt = (struct kvm_dtable){.base = GDT, .limit = GDT_LIMIT};
    special.idt = (struct kvm_dtable){.base = IDT, .limit = IDT_LIMIT};
    special.cr0 = LONG_CR0;
    special.cr3 = PML4;
    special.cr4 = LONG_CR4;
    special.efer = LONG_EFER;
    IOCTL(vcpu_fd, KVM_SET_SREGS, &special);
}

// The vCPU gets all that KVM can give.
static inline void set_cpuid(int kvm_fd, int vcpu_fd)
{
    enum { MAX_LEAVES = 256 };
    struct kvm_cpuid2 *cpuid =
        calloc(1, sizeof(*cpuid) + MAX_LEAVES * sizeof(struct kvm_cpuid_entry2));

    if (!cpuid)
        fail("out of memory");
    cpuid->nent = MAX_LEAVES;
    IOCTL(kvm_fd, KVM_GET_SUPPORTED_CPUID, cpuid);
    IOCTL(vcpu_fd, KVM_SET_CPUID2, cpuid);
    free(cpuid);
}

// Writing back the local APIC's state makes KVM add the vCPU to its table of interrupt targets.
static inline void enable_interrupt_delivery(int vcpu_fd)
{
    struct kvm_mp_state runnable = {.mp_state = KVM_MP_STATE_RUNNABLE};
    struct kvm_lapic_state lapic;

    IOCTL(vcpu_fd, KVM_GET_LAPIC, &lapic);
    IOCTL(vcpu_fd, KVM_SET_LAPIC, &lapic);
    IOCTL(vcpu_fd, KVM_SET_MP_STATE, &runnable);
}

// Wakes a halted vCPU, whose guest need not set up its local APIC for it.
static inline void send_nmi(int vm_fd, unsigned int vcpu_id)
{
    struct kvm_msi nmi = {.address_lo = 0xfee00000 | vcpu_id << 12, .data = 4 << 8};

    IOCTL(vm_fd, KVM_SIGNAL_MSI, &nmi);
}
