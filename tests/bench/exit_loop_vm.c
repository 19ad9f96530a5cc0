// SPDX-License-Identifier: GPL-2.0-only
// A virtual machine that does nothing but exit: what a pair of exit and entry costs, by its own
// time stamp counter.
//
// The guest runs BATCHES times: rdtsc, EXITS times the instruction that exits, rdtsc; so nothing but
// exits lies between the two stamps. Where the emulator counts an instruction as a tick, ticks are
// instructions, and the smallest batch is one in which no interrupt came. Prints the ticks per exit of
// that and of all batches, and how many exits the guest made and KVM counted.
#define _GNU_SOURCE
#define PROGRAM_NAME "exit_loop_vm"
#include "kvm_api.h"

enum { RESULTS = 0x20000, MEMORY = 0x100000, MAX_BATCHES = 1000 };
enum { PORT = 0x10 };

// r12: exits of a batch, r13: batches, r14: where the next result goes, r15: exits left.
extern const uint8_t cpuid_loop[], cpuid_loop_end[], out_loop[], out_loop_end[];
#define LOOP(name, instruction)              \
    __asm__(".pushsection .rodata\n"         \
            #name ":\n"                      \
            "1:  mov %r12, %r15\n"           \
            "    rdtsc\n"                    \
            "    shl $32, %rdx\n"            \
            "    or %rdx, %rax\n"            \
            "    mov %rax, %r8\n"            \
            "2:  xor %eax, %eax\n"           \
            "    xor %ecx, %ecx\n"           \
            "    " instruction "\n"          \
            "    dec %r15\n"                 \
            "    jnz 2b\n"                   \
            "    rdtsc\n"                    \
            "    shl $32, %rdx\n"            \
            "    or %rdx, %rax\n"            \
            "    sub %r8, %rax\n"            \
            "    mov %rax, (%r14)\n"         \
            "    add $8, %r14\n"             \
            "    dec %r13\n"                 \
            "    jnz 1b\n"                   \
            "    hlt\n"                      \
            #name "_end:\n"                  \
            ".popsection\n")
LOOP(cpuid_loop, "cpuid");         // handled in the kernel
LOOP(out_loop, "out %al, $0x10");  // handled here

static void run(int vcpu_fd, const struct kvm_run *state)
{
    for (;;) {
        if (ioctl(vcpu_fd, KVM_RUN, 0) < 0) {
            if (errno == EINTR || errno == EAGAIN)
                continue;
            fail("KVM_RUN: %s", strerror(errno));
        }
        if (state->exit_reason == KVM_EXIT_HLT)
            return;
        if (state->exit_reason != KVM_EXIT_IO || state->io.port != PORT)
            fail("exit to user space %u", state->exit_reason);
    }
}

// KVM's own count of the exits of all VMs, of which there is this one alone; 0 where it is hidden.
static unsigned long long kvm_exits(void)
{
    FILE *file = fopen("/sys/kernel/debug/kvm/exits", "r");
    unsigned long long exits = 0;

    if (file) {
        if (fscanf(file, "%llu", &exits) != 1)
            exits = 0;
        fclose(file);
    }
    return exits;
}

static unsigned long number_of(const char *text, unsigned long most)
{
    char *end;
    unsigned long number = strtoul(text, &end, 10);

    if (*end || end == text || !number || number > most)
        fail("%s is no number from 1 to %lu", text, most);
    return number;
}

int main(int argc, char **argv)
{
    uint8_t *memory = allocate_memory(MEMORY);
    const uint8_t *code = cpuid_loop, *code_end = cpuid_loop_end;
    unsigned long exits, batches;
    uint64_t least = UINT64_MAX, sum = 0;
    int kvm, vm, vcpu;
    const struct kvm_run *state;

    if (argc != 4 || (strcmp(argv[1], "cpuid") && strcmp(argv[1], "out")))
        fail("usage: exit_loop_vm cpuid|out EXITS BATCHES");
    exits = number_of(argv[2], 1000000);
    batches = number_of(argv[3], MAX_BATCHES);
    if (!strcmp(argv[1], "out")) {
        code = out_loop;
        code_end = out_loop_end;
    }

    kvm = open_kvm();
    vm = IOCTL(kvm, KVM_CREATE_VM, 0);
    IOCTL(vm, KVM_SET_TSS_ADDR, 0xfffbd000);
    write_page_tables(memory, MEMORY);
    write_gdt(memory);
    memcpy(memory + CODE, code, (size_t)(code_end - code));
    memset(memory + RESULTS, 0, MAX_BATCHES * sizeof(uint64_t));
    give_memory(vm, memory, MEMORY);
    vcpu = IOCTL(vm, KVM_CREATE_VCPU, 0);
    state = map_run(vcpu, IOCTL(kvm, KVM_GET_VCPU_MMAP_SIZE, 0));
    set_cpuid(kvm, vcpu);
    set_long_mode(vcpu);
    struct kvm_regs registers = {
        .rip = CODE, .rflags = 2, .r12 = exits, .r13 = batches, .r14 = RESULTS};
    IOCTL(vcpu, KVM_SET_REGS, &registers);

    run(vcpu, state);
    for (unsigned long i = 0; i < batches; i++) {
        uint64_t ticks;

        memcpy(&ticks, memory + RESULTS + i * sizeof(ticks), sizeof(ticks));
        sum += ticks;
        if (ticks < least)
            least = ticks;
    }
    printf("least=%.2f mean=%.2f exits=%lu kvm_exits=%llu\n", (double)least / (double)exits,
           (double)sum / (double)(exits * batches), exits * batches, kvm_exits());
    return 0;
}
