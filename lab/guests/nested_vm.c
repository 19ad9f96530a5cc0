// SPDX-License-Identifier: GPL-2.0-only
// A tiny virtual machine (L1) that runs a tiny virtual machine of its own (L2) by AMD's SVM, on the
// KVM API, with no system inside either.
//
// L1 executes, until L2 halts: CPUID, VMRUN. L2 executes, ROUNDS times: CPUID twice, OUT, RDMSR, a
// write to one of 256 pages, and VMMCALL; then HLT. L1 intercepts only VMMCALL and HLT (and VMRUN,
// as it must): those exits of L2 KVM hands on to L1. The others KVM handles itself and resumes L2.
// Everything is executed a different number of times in L1 and in L2, so a wrong level shows.
#define _GNU_SOURCE
#define PROGRAM_NAME "nested_vm"
#include "kvm_api.h"

#include <stdbool.h>
#include <unistd.h>

enum { PORT_ROUND = 0x10, PORT_DONE = 0x13 };

// The guests' physical memory beyond tables and code; L2 sees that of L1 as it is.
enum {
    NESTED_PML4 = 0x6000,
    NESTED_PDPT = 0x7000,
    NESTED_DIRECTORY = 0x8000,
    VMCB = 0xa000,
    HOST_SAVE = 0xb000,
    TOUCHED = 0x200000,
    MEMORY = 0x400000,
};

// Offsets in the VMCB (AMD64 Architecture Programmer's Manual, volume 2, appendix B).
enum {
    INTERCEPTS_3 = 0x0c,
    INTERCEPTS_4 = 0x10,
    ASID = 0x58,
    EXIT_CODE = 0x70,
    NESTED_PAGING = 0x90,
    NESTED_CR3 = 0xb0,
    SAVE_ES = 0x400,
    SAVE_CS = 0x410,
    SAVE_SS = 0x420,
    SAVE_DS = 0x430,
    SAVE_GDTR = 0x460,
    SAVE_IDTR = 0x480,
    SAVE_EFER = 0x4d0,
    SAVE_CR4 = 0x548,
    SAVE_CR3 = 0x550,
    SAVE_CR0 = 0x558,
    SAVE_DR7 = 0x560,
    SAVE_DR6 = 0x568,
    SAVE_RFLAGS = 0x570,
    SAVE_RIP = 0x578,
    SAVE_PAT = 0x668,
};

enum { INTERCEPT_HLT = 1 << 24, INTERCEPT_VMRUN = 1 << 0, INTERCEPT_VMMCALL = 1 << 1 };
enum { EFER_SVME = 0x1000 };

struct options {
    uint64_t rounds;
    bool nested_paging;
};

// r12: rounds left, r13: pages to touch, r14: offset in them, r15: VMCB. L1 and L2 share all
// registers but rax and rsp. RDMSR reads the APIC's base.
extern const uint8_t guest_l1[], guest_l2[], guest_end[];
__asm__(".pushsection .rodata\n"
        "guest_l1:\n"
        "    mov $0xc0000080, %ecx\n" // EFER
        "    rdmsr\n"
        "    or $0x1000, %eax\n"      // SVME
        "    wrmsr\n"
        "    mov $0xc0010117, %ecx\n" // VM_HSAVE_PA
        "    mov $0xb000, %eax\n"
        "    xor %edx, %edx\n"
        "    wrmsr\n"
        "1:  xor %eax, %eax\n"
        "    xor %ecx, %ecx\n"
        "    cpuid\n"
        "    mov %r15, %rax\n"
        "    vmrun\n"
        "    cmpl $0x81, 0x70(%r15)\n" // VMMCALL: go on behind it
        "    jne 2f\n"
        "    addq $3, 0x578(%r15)\n"
        "    jmp 1b\n"
        "2:  out %al, $0x13\n"
        "3:  hlt\n"
        "    jmp 3b\n"
        "guest_l2:\n"
        "    test %r12, %r12\n"
        "    jz 2f\n"
        "    xor %eax, %eax\n"
        "    xor %ecx, %ecx\n"
        "    cpuid\n"
        "    xor %eax, %eax\n"
        "    xor %ecx, %ecx\n"
        "    cpuid\n"
        "    out %al, $0x10\n"
        "    mov $0x1b, %ecx\n"
        "    rdmsr\n"
        "    incb (%r13,%r14)\n"
        "    add $4096, %r14\n"
        "    and $0xfffff, %r14\n"
        "    dec %r12\n"
        "    vmmcall\n"
        "    jmp guest_l2\n"
        "2:  hlt\n"
        "guest_end:\n"
        ".popsection\n");

static void put32(uint8_t *memory, uint64_t address, uint32_t value)
{
    memcpy(memory + address, &value, sizeof(value));
}

static void put_segment(uint8_t *memory, uint64_t at, uint16_t selector, uint16_t attributes)
{
    put32(memory, at, selector | (uint32_t)attributes << 16);
    put32(memory, at + 4, 0xffffffff);
}

static void put_table(uint8_t *memory, uint64_t at, uint64_t base, uint32_t limit)
{
    put32(memory, at + 4, limit);
    put64(memory, at + 8, base);
}

static void write_l2_state(uint8_t *vmcb)
{
    enum { CODE_ATTRIBUTES = 0xa9b, DATA_ATTRIBUTES = 0xc93 };

    put_segment(vmcb, SAVE_ES, DATA_SELECTOR, DATA_ATTRIBUTES);
    put_segment(vmcb, SAVE_CS, CODE_SELECTOR, CODE_ATTRIBUTES);
    put_segment(vmcb, SAVE_SS, DATA_SELECTOR, DATA_ATTRIBUTES);
    put_segment(vmcb, SAVE_DS, DATA_SELECTOR, DATA_ATTRIBUTES);
    put_table(vmcb, SAVE_GDTR, GDT, GDT_LIMIT);
    put_table(vmcb, SAVE_IDTR, IDT, IDT_LIMIT);
    put64(vmcb, SAVE_EFER, LONG_EFER | EFER_SVME);
    put64(vmcb, SAVE_CR0, LONG_CR0);
    put64(vmcb, SAVE_CR3, PML4);
    put64(vmcb, SAVE_CR4, LONG_CR4);
    put64(vmcb, SAVE_DR6, 0xffff0ff0);
    put64(vmcb, SAVE_DR7, 0x400);
    put64(vmcb, SAVE_RFLAGS, 2);
    put64(vmcb, SAVE_RIP, CODE + (uint64_t)(guest_l2 - guest_l1));
    put64(vmcb, SAVE_PAT, 0x0007040600070406);
}

static void write_vmcb(uint8_t *memory, bool nested_paging)
{
    uint8_t *vmcb = memory + VMCB;

    put32(vmcb, INTERCEPTS_3, INTERCEPT_HLT);
    put32(vmcb, INTERCEPTS_4, INTERCEPT_VMRUN | INTERCEPT_VMMCALL);
    put32(vmcb, ASID, 1);
    if (nested_paging) {
        put64(vmcb, NESTED_PAGING, 1);
        put64(vmcb, NESTED_CR3, NESTED_PML4);
    }
    write_l2_state(vmcb);
}

// L2's physical memory, mapped one to one in large pages. Nested tables are walked as by a user.
static void write_nested_tables(uint8_t *memory)
{
    const uint64_t present_writable_user = 7, large = 0x80, large_size = 0x200000;

    put64(memory, NESTED_PML4, NESTED_PDPT | present_writable_user);
    put64(memory, NESTED_PDPT, NESTED_DIRECTORY | present_writable_user);
    for (uint64_t page = 0; page < MEMORY / large_size; page++)
        put64(memory, NESTED_DIRECTORY + page * 8,
              page * large_size | present_writable_user | large);
}

static uint8_t *create_memory(int vm_fd, bool nested_paging)
{
    uint8_t *memory = allocate_memory(MEMORY);

    // Written here first, so that a page costs the guest one fault, not one more for copying.
    memset(memory + TOUCHED, 1, MEMORY - TOUCHED);
    write_page_tables(memory, MEMORY);
    write_gdt(memory);
    write_nested_tables(memory);
    write_vmcb(memory, nested_paging);
    memcpy(memory + CODE, guest_l1, (size_t)(guest_end - guest_l1));
    give_memory(vm_fd, memory, MEMORY);
    return memory;
}

static int create_vcpu(int kvm_fd, int vm_fd, uint64_t rounds)
{
    struct kvm_regs registers = {.rip = CODE, .rflags = 2, .r12 = rounds, .r13 = TOUCHED,
                                 .r15 = VMCB};
    int vcpu_fd = IOCTL(vm_fd, KVM_CREATE_VCPU, 0);

    set_cpuid(kvm_fd, vcpu_fd);
    set_long_mode(vcpu_fd);
    IOCTL(vcpu_fd, KVM_SET_REGS, &registers);
    return vcpu_fd;
}

// Runs until L1 halts; the OUTs that L2 made on the way.
static uint64_t run_to_end(int vcpu_fd, const struct kvm_run *run)
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

static struct options parse_options(int argc, char **argv)
{
    struct options options = {.rounds = 300};

    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--nested-paging"))
            options.nested_paging = true;
        else if (!strcmp(argv[i], "--rounds") && i + 1 < argc)
            options.rounds = strtoull(argv[++i], NULL, 10);
        else {
            fputs("usage: nested_vm [--rounds N] [--nested-paging]\n", stderr);
            exit(2);
        }
    }
    return options;
}

int main(int argc, char **argv)
{
    struct options options = parse_options(argc, argv);
    int kvm_fd = open_kvm();
    int vm_fd = IOCTL(kvm_fd, KVM_CREATE_VM, 0);
    uint8_t *memory = create_memory(vm_fd, options.nested_paging);
    int vcpu_fd = create_vcpu(kvm_fd, vm_fd, options.rounds);
    struct kvm_run *run = map_run(vcpu_fd, IOCTL(kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0));
    uint64_t outs = run_to_end(vcpu_fd, run);
    uint64_t last_exit;

    memcpy(&last_exit, memory + VMCB + EXIT_CODE, sizeof(last_exit));
    if (outs != options.rounds || last_exit != 0x78)
        fail("L2 made %llu OUTs of %llu and ended with exit code 0x%llx", (unsigned long long)outs,
             (unsigned long long)options.rounds, (unsigned long long)last_exit);
    printf("vm=0 vcpu=0 tid=%d pid=%d\n", gettid(), getpid());
    return 0;
}
