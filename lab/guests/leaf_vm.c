// SPDX-License-Identifier: GPL-2.0-only
// Tiny virtual machines on the KVM API that ask CPUID leaves on demand, for tests of what a guest
// can read.
//
// Each line of the input is a query: VM LEAF INDEX, the last two in hexadecimal and up to 64 bits
// wide, or "work VM N": N exits of CPUID leaf 0. The vCPU executes that one CPUID, with all bits of
// RBX and RDX set and whatever is asked in RAX and RCX, and an OUT. Each is answered by a line: the
// four registers afterwards, in full. "time VM" is answered by the rate of the TSC in kHz, as KVM
// has it, and the cycles of it for which the VM's vCPUs were outside KVM, behind their OUTs, until
// their last queries. A VM has one vCPU, or as many as --vcpus says: then its queries go to one
// after the other. "-name NAME" is there for whoever reads the command line.
#define _GNU_SOURCE
#define PROGRAM_NAME "leaf_vm"
#include "kvm_api.h"

#include <unistd.h>
#include <x86intrin.h>

enum { MEMORY = 0x200000, MAX_VMS = 8, MAX_VCPUS = 8 };

struct vm {
    int vcpus[MAX_VCPUS];
    struct kvm_run *runs[MAX_VCPUS];
    uint64_t left[MAX_VCPUS]; // when it came out of KVM, or 0
    uint64_t outside;
    unsigned int next;
};

static unsigned int vcpu_count = 1;

// CPUID, OUT, and again.
static const uint8_t code[] = {0x0f, 0xa2, 0xe6, 0x10, 0xeb, 0xfa};

static void create_vm(int kvm_fd, int run_size, struct vm *vm)
{
    int vm_fd = IOCTL(kvm_fd, KVM_CREATE_VM, 0);
    uint8_t *memory = allocate_memory(MEMORY);

    IOCTL(vm_fd, KVM_SET_TSS_ADDR, 0xfffbd000);
    write_page_tables(memory, MEMORY);
    write_gdt(memory);
    memcpy(memory + CODE, code, sizeof(code));
    give_memory(vm_fd, memory, MEMORY);
    for (unsigned int id = 0; id < vcpu_count; id++) {
        vm->vcpus[id] = IOCTL(vm_fd, KVM_CREATE_VCPU, (unsigned long)id);
        vm->runs[id] = map_run(vm->vcpus[id], run_size);
        set_cpuid(kvm_fd, vm->vcpus[id]);
        set_long_mode(vm->vcpus[id]);
    }
}

static struct kvm_regs ask(struct vm *vm, uint64_t leaf, uint64_t index)
{
    unsigned int id = vm->next++ % vcpu_count;
    const struct kvm_run *run = vm->runs[id];
    int vcpu = vm->vcpus[id];
    struct kvm_regs registers = {.rip = CODE, .rflags = 2, .rax = leaf, .rcx = index,
                                 .rbx = ~0ull, .rdx = ~0ull};

    IOCTL(vcpu, KVM_SET_REGS, &registers);
    if (vm->left[id])
        vm->outside += __rdtsc() - vm->left[id];
    do {
        if (ioctl(vcpu, KVM_RUN, 0) < 0 && errno != EINTR)
            fail("KVM_RUN: %s", strerror(errno));
    } while (run->exit_reason == KVM_EXIT_INTR);
    vm->left[id] = __rdtsc();
    if (run->exit_reason != KVM_EXIT_IO)
        fail("exit to user space %u", run->exit_reason);
    IOCTL(vcpu, KVM_GET_REGS, &registers);
    return registers;
}

int main(int argc, char **argv)
{
    static struct vm vms[MAX_VMS];
    unsigned int vm_count = 1;
    int kvm_fd = open_kvm();
    int run_size = IOCTL(kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
    char line[256];

    for (int i = 1; i + 1 < argc && strcmp(argv[i], "-name"); i += 2) {
        if (!strcmp(argv[i], "--vms"))
            vm_count = (unsigned int)atoi(argv[i + 1]);
        else if (!strcmp(argv[i], "--vcpus"))
            vcpu_count = (unsigned int)atoi(argv[i + 1]);
    }
    if (vm_count < 1 || vm_count > MAX_VMS || vcpu_count < 1 || vcpu_count > MAX_VCPUS)
        fail("--vms and --vcpus take 1 to %d", MAX_VMS);
    for (unsigned int i = 0; i < vm_count; i++)
        create_vm(kvm_fd, run_size, &vms[i]);

    while (fgets(line, sizeof(line), stdin)) {
        unsigned long long leaf, index;
        unsigned int number, times = 1;
        struct kvm_regs got;

        if (sscanf(line, "time %u", &number) == 1 && number < vm_count) {
            printf("time %u: %d %llu\n", number, IOCTL(vms[number].vcpus[0], KVM_GET_TSC_KHZ, 0),
                   (unsigned long long)vms[number].outside);
            continue;
        }
        if (sscanf(line, "work %u %u", &number, &times) == 2)
            leaf = index = 0;
        else if (sscanf(line, "%u %llx %llx", &number, &leaf, &index) != 3)
            fail("no query: %s", line);
        if (number >= vm_count)
            fail("no VM %u", number);
        for (; times; times--)
            got = ask(&vms[number], leaf, index);
        printf("%u %llx %llx: %016llx %016llx %016llx %016llx\n", number, leaf, index,
               (unsigned long long)got.rax, (unsigned long long)got.rbx,
               (unsigned long long)got.rcx, (unsigned long long)got.rdx);
        fflush(stdout);
    }
    return 0;
}
