// SPDX-License-Identifier: GPL-2.0-only
// A virtual machine whose start KVM has to emulate: in real mode, with a code segment that
// virtual-8086 mode cannot have, on an Intel host without unrestricted guests (SDM volume 3,
// 26.3.1: VM entry with such a state is not valid). KVM counts each round of its emulator as an
// exit, but traces none of them.
//
//     emulated_vm [OUTS [native|emulated [MILLISECONDS]]]
//
// The guest writes OUTS times (5) to a port, which is one return to this program each; goes on with
// a valid code segment (native, the default), in which HLT is a real exit, or halts as it is; then
// waits so long. Prints "vm=0 vcpu=0 tid=T pid=P outs=N".
#define _GNU_SOURCE
#define PROGRAM_NAME "emulated_vm"
#include "kvm_api.h"

#include <time.h>
#include <unistd.h>

// Base of the code segment, and a selector that does not belong to it.
enum { CODE_BASE = 0x2000, OTHER_SELECTOR = 0x40, MEMORY = 1 << 20, PORT = 0x10 };
enum { TSS_ADDRESS = 0xfffbd000 };

extern const uint8_t guest_code[], guest_code_end[];
__asm__(".pushsection .rodata\n"
        ".code16\n"
        "guest_code:\n"
        "1:  out %al, $0x10\n"
        "    loop 1b\n"
        "    test %bx, %bx\n"
        "    jz 3f\n"
        "    ljmp $0x200, $(2f - guest_code)\n" // CODE_BASE / 16
        "2:  nop\n"
        "3:  hlt\n"
        "guest_code_end:\n"
        ".code64\n"
        ".popsection\n");

static void set_real_mode(int vcpu_fd, uint64_t outs, int native)
{
    struct kvm_regs registers = {.rcx = outs, .rbx = (uint64_t)native, .rflags = 2};
    struct kvm_sregs special;

    IOCTL(vcpu_fd, KVM_GET_SREGS, &special);
    special.cs.base = CODE_BASE;
    special.cs.selector = OTHER_SELECTOR;
    IOCTL(vcpu_fd, KVM_SET_SREGS, &special);
    IOCTL(vcpu_fd, KVM_SET_REGS, &registers);
}

int main(int argc, char **argv)
{
    unsigned long outs = argc > 1 ? strtoul(argv[1], NULL, 10) : 5;
    int native = argc < 3 || strcmp(argv[2], "emulated") != 0;
    long wait_ms = argc > 3 ? strtol(argv[3], NULL, 10) : 0;
    int kvm = open_kvm();
    int vm = IOCTL(kvm, KVM_CREATE_VM, 0);
    uint8_t *memory = allocate_memory(MEMORY);
    unsigned long seen = 0;
    struct kvm_run *run;
    int vcpu;

    // What KVM needs for real mode in virtual-8086 mode.
    IOCTL(vm, KVM_SET_TSS_ADDR, (uintptr_t)TSS_ADDRESS);
    memcpy(memory + CODE_BASE, guest_code, (size_t)(guest_code_end - guest_code));
    give_memory(vm, memory, MEMORY);
    vcpu = IOCTL(vm, KVM_CREATE_VCPU, 0);
    run = map_run(vcpu, IOCTL(kvm, KVM_GET_VCPU_MMAP_SIZE, 0));
    set_real_mode(vcpu, outs, native);
    do {
        IOCTL(vcpu, KVM_RUN, 0);
        if (run->exit_reason == KVM_EXIT_IO && run->io.port == PORT)
            seen++;
        else if (run->exit_reason != KVM_EXIT_HLT)
            fail("unexpected return of KVM_RUN: reason %u", run->exit_reason);
    } while (run->exit_reason != KVM_EXIT_HLT);
    if (seen != outs)
        fail("the guest wrote %lu times, not %lu", seen, outs);
    printf("vm=0 vcpu=0 tid=%d pid=%d outs=%lu\n", gettid(), getpid(), seen);
    fflush(stdout);
    nanosleep(&(struct timespec){wait_ms / 1000, wait_ms % 1000 * 1000000}, NULL);
    return 0;
}
