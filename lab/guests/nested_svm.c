// SPDX-License-Identifier: GPL-2.0-only
// A guest hypervisor by AMD's SVM, and its guest: see nested_vm.h.
//
// L1 executes, until L2 halts: CPUID, VMRUN. It intercepts only VMMCALL and HLT (and VMRUN, as it
// must): those exits of L2 KVM hands on to L1. The others KVM handles itself and resumes L2.
#define _GNU_SOURCE
#define PROGRAM_NAME "nested_svm"
#include "nested_vm.h"

enum { VMCB = VENDOR, HOST_SAVE = VENDOR + PAGE };

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
enum { EFER_SVME = 0x1000, EXIT_HLT = 0x78 };

// r15: VMCB. L1 and L2 share all registers but rax and rsp.
__asm__(".pushsection .rodata\n"
        "guest_l1:\n"
        "    mov $0xc0000080, %ecx\n" // EFER
        "    rdmsr\n"
        "    or $0x1000, %eax\n"      // SVME
        "    wrmsr\n"
        "    mov $0xc0010117, %ecx\n" // VM_HSAVE_PA
        "    mov $0xa000, %eax\n"      // HOST_SAVE
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
        L2_CODE("vmmcall")
        ".popsection\n");

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
    put64(vmcb, SAVE_RIP, l2_address());
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

int main(int argc, char **argv)
{
    const uint64_t present_writable_user = 7, large = 0x80; // nested tables are walked as by a user
    struct options options = parse_options(argc, argv);
    int kvm_fd = open_kvm();
    int vm_fd = IOCTL(kvm_fd, KVM_CREATE_VM, 0);
    uint8_t *memory = create_memory(vm_fd);
    int vcpu_fd = create_vcpu(kvm_fd, vm_fd);

    write_nested_tables(memory, present_writable_user | large);
    write_vmcb(memory, options.nested_paging);
    run_guests(kvm_fd, vcpu_fd, memory, (struct kvm_regs){.r15 = VMCB}, &options,
               VMCB + EXIT_CODE, EXIT_HLT);
    return 0;
}
