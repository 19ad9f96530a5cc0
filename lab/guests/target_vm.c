// SPDX-License-Identifier: GPL-2.0-only
// A tiny virtual machine on the KVM API whose exits have targets that are known beforehand: MSRs,
// I/O ports, control registers, CPUID leaves, addresses, hypercalls.
//
// Its command line names operations. Each vCPU, in long mode with paging on, does one after the
// other: a routine of the table below, which does the same to each of NUMBER targets from the first
// one on, and all of that COUNT times. Behind each routine is an OUT to PORT_DONE, so that there is
// one such exit for each operation; the last one of a vCPU is never followed by an entry. For each
// operation a line is printed that says which thread did it for which vCPU, how often its
// instruction was executed, and how many exits with I/O and MMIO reached this program for it.
#define _GNU_SOURCE
#define PROGRAM_NAME "target_vm"
#include "command_line.h"
#include "kvm_api.h"

#include <cpuid.h>
#include <getopt.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <unistd.h>

// The guest's physical memory beyond its tables and code. What it touches should be behind BUFFER.
enum {
    DEVICE_DIRECTORY = 0x6000,
    BUFFER = 0x100000, // what string instructions read
    MEMORY_SIZE = 16 << 20,
    LARGE_PAGE = 2 << 20,
    MAX_VCPUS = 16,
};

// Addresses without memory: of devices, the local APIC included. Mapped one to one, as memory is.
#define DEVICES 0xc0000000ull

// Ports that the routines themselves use.
enum { PORT_DONE = 0xf1, PORT_BETWEEN = 0xf2 };

// A routine of the guest, in a section where nothing else is. In r8, r9, r10 and r12 it gets the
// arguments below; `instructions` find the target in r13 and leave r8 to r15 alone.
#define ROUTINE(name, step, instructions)                                                          \
    extern const uint8_t guest_##name[];                                                           \
    __asm__(".pushsection guest_code, \"a\"\n"                                                     \
            "guest_" #name ":\n"                                                                   \
            "    mov %r8, %r13\n"                                                                  \
            "    mov %r9, %r14\n"                                                                  \
            "1:\n" instructions                                                                    \
            "    add $" #step ", %r13\n"                                                           \
            "    dec %r14\n"                                                                       \
            "    jnz 1b\n"                                                                         \
            "    dec %r12\n"                                                                       \
            "    jnz guest_" #name "\n"                                                            \
            "    jmp guest_done\n"                                                                 \
            ".popsection\n")
extern const uint8_t __start_guest_code[], __stop_guest_code[]; // by the linker

// Where all of them go on; only if the vCPU were run on then it would come to the HLT.
__asm__(".pushsection guest_code, \"a\"\n"
        "guest_done:\n"
        "    out %al, $0xf1\n"
        "    hlt\n"
        ".popsection\n");

// CPUID takes the leaf in EAX, the subleaf in ECX, and overwrites EBX and EDX as well.
ROUTINE(cpuid, 1, "mov %r13d, %eax; mov %r10d, %ecx; cpuid\n");

// RDMSR and WRMSR take the MSR in ECX; the value is in EDX:EAX.
ROUTINE(rdmsr, 1, "mov %r13d, %ecx; rdmsr\n");
ROUTINE(wrmsr, 1, "mov %r13d, %ecx; mov %r10d, %eax; mov %r10, %rdx; shr $32, %rdx; wrmsr\n");

// IN and OUT take the port in DX, unless it is below 256; which of AL, AX, EAX tells the size.
ROUTINE(out1, 1, "mov %r13d, %edx; out %al, %dx\n");
ROUTINE(out2, 1, "mov %r13d, %edx; out %ax, %dx\n");
ROUTINE(out4, 1, "mov %r13d, %edx; out %eax, %dx\n");
ROUTINE(in1, 1, "mov %r13d, %edx; in %dx, %al\n");
ROUTINE(in2, 1, "mov %r13d, %edx; in %dx, %ax\n");
ROUTINE(in4, 1, "mov %r13d, %edx; in %dx, %eax\n");
// A string of ECX bytes from RSI on, which is BUFFER.
ROUTINE(outs, 1, "mov %r13d, %edx; mov %r10d, %ecx; mov $0x100000, %esi; rep outsb\n");

// Control registers: CR3 as it is, CR4 with MCE the other way round, which no host leaves to the
// guest.
ROUTINE(cr3, 1, "mov %cr3, %rax; mov %rax, %cr3\n");
ROUTINE(cr4, 1, "mov %cr4, %rax; xor $0x40, %rax; mov %rax, %cr4\n");
// DR7 as it is after a reset. From the first access on KVM lets the guest have its debug registers,
// until another exit: the OUT to PORT_BETWEEN.
ROUTINE(dr7, 1, "mov $0x400, %eax; mov %rax, %dr7; out %al, $0xf2\n");

// Memory and devices. A page that is touched is read and written by one instruction.
ROUTINE(mmio_write, 4, "mov %eax, (%r13)\n");
ROUTINE(mmio_read, 4, "mov (%r13), %eax\n");
ROUTINE(touch, 4096, "incb (%r13)\n");
ROUTINE(invlpg, 4096, "invlpg (%r13)\n");

// Hypercalls take their number in RAX, and up to four arguments; each vendor has its instruction.
ROUTINE(vmcall, 1, "mov %r13, %rax; xor %ebx, %ebx; xor %ecx, %ecx; xor %edx, %edx; vmcall\n");
ROUTINE(vmmcall, 1, "mov %r13, %rax; xor %ebx, %ebx; xor %ecx, %ecx; xor %edx, %edx; vmmcall\n");

enum argument { END, FIRST, NUMBER, VALUE, SIZE, COUNT, ARGUMENTS };

struct routine {
    const char *name;
    const char *usage; // of its arguments
    enum argument arguments[5];
    const uint8_t *by_size[4]; // of 1 to 4 bytes; those without SIZE are the first one
};

static const struct routine routines[] = {
    {"cpuid", "LEAF:SUBLEAF:COUNT", {FIRST, VALUE, COUNT}, {guest_cpuid}},
    {"rdmsr", "MSR:COUNT", {FIRST, COUNT}, {guest_rdmsr}},
    {"rdmsr-range", "FIRST:NUMBER:COUNT", {FIRST, NUMBER, COUNT}, {guest_rdmsr}},
    {"wrmsr", "MSR:VALUE:COUNT", {FIRST, VALUE, COUNT}, {guest_wrmsr}},
    {"out", "PORT:SIZE:COUNT", {FIRST, SIZE, COUNT}, {guest_out1, guest_out2, NULL, guest_out4}},
    {"out-range", "FIRST:NUMBER:SIZE:COUNT", {FIRST, NUMBER, SIZE, COUNT},
     {guest_out1, guest_out2, NULL, guest_out4}},
    {"in", "PORT:SIZE:COUNT", {FIRST, SIZE, COUNT}, {guest_in1, guest_in2, NULL, guest_in4}},
    {"outs", "PORT:CHARACTERS:COUNT", {FIRST, VALUE, COUNT}, {guest_outs}},
    {"cr3", "COUNT", {COUNT}, {guest_cr3}},
    {"cr4", "COUNT", {COUNT}, {guest_cr4}},
    {"dr7", "COUNT", {COUNT}, {guest_dr7}},
    {"mmio-write", "ADDRESS:COUNT", {FIRST, COUNT}, {guest_mmio_write}},
    {"mmio-read", "ADDRESS:COUNT", {FIRST, COUNT}, {guest_mmio_read}},
    {"touch", "ADDRESS:PAGES", {FIRST, NUMBER}, {guest_touch}},
    {"invlpg", "COUNT", {COUNT}, {guest_invlpg}},
    {"hypercall", "NUMBER:COUNT", {FIRST, COUNT}, {guest_vmmcall}},
};

struct operation {
    const char *text;
    const uint8_t *code;
    uint64_t arguments[ARGUMENTS];
};

struct vcpu {
    unsigned int id;
    int fd;
    struct kvm_run *run;
    pthread_t thread;
};

// Exits of one operation that reached this program.
struct seen {
    unsigned long io, mmio;
};

static struct operation operations[MAX_ARGUMENTS];
static unsigned int operation_count;
static unsigned int vcpu_count = 1;
static bool irqchip, x2apic;

static bool is_intel(void)
{
    unsigned int a, b, c, d;

    return __get_cpuid(0, &a, &b, &c, &d) && b == signature_INTEL_ebx;
}

static void fail_usage(void)
{
    fputs("usage: target_vm [OPTIONS] OPERATION... [-- ARGV...]\n"
          "  --irqchip          KVM's interrupt controllers\n"
          "  --x2apic           the local APIC by MSRs, with --irqchip\n"
          "  --vcpus N          vCPUs that each do all operations, a thread each (1)\n"
          "  -- ARGV...         look like this command line to other programs\n"
          "operations, with numbers as in C:\n",
          stderr);
    for (size_t i = 0; i < sizeof(routines) / sizeof(routines[0]); i++)
        fprintf(stderr, "  %s:%s\n", routines[i].name, routines[i].usage);
    exit(2);
}

static uint64_t number_of(const char *text)
{
    char *end;
    unsigned long long number = strtoull(text, &end, 0);

    if (*end || end == text)
        fail("%s is no number", text);
    return number;
}

static const struct routine *find_routine(const char *name)
{
    for (size_t i = 0; i < sizeof(routines) / sizeof(routines[0]); i++)
        if (!strcmp(routines[i].name, name))
            return &routines[i];
    fail("no operation %s", name);
}

static void add_operation(const char *text)
{
    struct operation *operation = &operations[operation_count++];
    const struct routine *routine;
    char words[256], *word;
    uint64_t size;

    *operation = (struct operation){.text = text, .arguments = {[NUMBER] = 1, [SIZE] = 1,
                                                                [COUNT] = 1}};
    snprintf(words, sizeof(words), "%s", text);
    routine = find_routine(strtok(words, ":"));
    for (const enum argument *argument = routine->arguments; *argument; argument++) {
        word = strtok(NULL, ":");
        if (!word)
            fail("%s takes %s", routine->name, routine->usage);
        operation->arguments[*argument] = number_of(word);
    }
    size = operation->arguments[SIZE];
    if (strtok(NULL, ":") || size < 1 || size > 4 || !routine->by_size[size - 1] ||
        !operation->arguments[NUMBER] || !operation->arguments[COUNT])
        fail("%s: %s takes %s", text, routine->name, routine->usage);
    operation->code = routine->by_size[size - 1];
    if (operation->code == guest_vmmcall && is_intel())
        operation->code = guest_vmcall;
}

static void map_devices(uint8_t *memory)
{
    const uint64_t present_writable = 0x3, large = 0x80;

    put64(memory, PDPT + (DEVICES >> 30) * 8, DEVICE_DIRECTORY | present_writable);
    for (uint64_t i = 0; i < 512; i++)
        put64(memory, DEVICE_DIRECTORY + i * 8,
              (DEVICES + i * LARGE_PAGE) | present_writable | large);
}

static void write_memory(uint8_t *memory)
{
    write_page_tables(memory, MEMORY_SIZE);
    map_devices(memory);
    write_gdt(memory);
    memcpy(memory + CODE, __start_guest_code, (size_t)(__stop_guest_code - __start_guest_code));
}

// The pages that will be touched, so that each costs the guest one fault, not one more for copying.
static void populate(uint8_t *memory)
{
    for (unsigned int i = 0; i < operation_count; i++) {
        uint64_t first = operations[i].arguments[FIRST], number = operations[i].arguments[NUMBER];

        if (operations[i].code != guest_touch)
            continue;
        if (first < BUFFER || first + number * PAGE > MEMORY_SIZE)
            fail("%s: not in the guest's memory", operations[i].text);
        for (uint64_t page = 0; page < number; page++)
            memory[first + page * PAGE] = 1;
    }
}

static void enable_x2apic(int vcpu_fd)
{
    const uint64_t x2apic_and_enabled = 3 << 10; // bits of IA32_APIC_BASE
    struct kvm_sregs special;

    IOCTL(vcpu_fd, KVM_GET_SREGS, &special);
    special.apic_base |= x2apic_and_enabled;
    IOCTL(vcpu_fd, KVM_SET_SREGS, &special);
}

static void create_vcpu(int kvm_fd, int vm_fd, struct vcpu *vcpu)
{
    vcpu->fd = IOCTL(vm_fd, KVM_CREATE_VCPU, (unsigned long)vcpu->id);
    vcpu->run = map_run(vcpu->fd, IOCTL(kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0));
    set_cpuid(kvm_fd, vcpu->fd);
    set_long_mode(vcpu->fd);
    if (x2apic)
        enable_x2apic(vcpu->fd);
    if (irqchip)
        enable_interrupt_delivery(vcpu->fd);
}

static void begin_operation(const struct vcpu *vcpu, const struct operation *operation)
{
    struct kvm_regs registers = {
        .rip = CODE + (uint64_t)(operation->code - __start_guest_code),
        .rflags = 2,
        .r8 = operation->arguments[FIRST],
        .r9 = operation->arguments[NUMBER],
        .r10 = operation->arguments[VALUE],
        .r12 = operation->arguments[COUNT],
    };

    IOCTL(vcpu->fd, KVM_SET_REGS, &registers);
}

__attribute__((noreturn)) static void fail_at(const struct vcpu *vcpu,
                                              const struct operation *operation)
{
    struct kvm_regs registers;

    IOCTL(vcpu->fd, KVM_GET_REGS, &registers);
    fail("vcpu=%u %s: exit to user space %u at RIP %#llx", vcpu->id, operation->text,
         vcpu->run->exit_reason, (unsigned long long)registers.rip);
}

static struct seen run_operation(const struct vcpu *vcpu, const struct operation *operation)
{
    struct seen seen = {0};

    begin_operation(vcpu, operation);
    for (;;) {
        if (ioctl(vcpu->fd, KVM_RUN, 0) < 0) {
            if (errno == EINTR || errno == EAGAIN)
                continue;
            fail("KVM_RUN: %s", strerror(errno));
        }
        switch (vcpu->run->exit_reason) {
        case KVM_EXIT_IO:
            if (vcpu->run->io.port == PORT_DONE)
                return seen;
            seen.io++;
            break;
        case KVM_EXIT_MMIO: seen.mmio++; break;
        case KVM_EXIT_INTR: break;
        default: fail_at(vcpu, operation);
        }
    }
}

static void *vcpu_thread(void *argument)
{
    const struct vcpu *vcpu = argument;

    for (unsigned int i = 0; i < operation_count; i++) {
        const struct operation *operation = &operations[i];
        struct seen seen = run_operation(vcpu, operation);

        printf("vm=0 vcpu=%u tid=%d pid=%d did=%s times=%llu io=%lu mmio=%lu\n", vcpu->id,
               gettid(), getpid(), operation->text,
               (unsigned long long)(operation->arguments[NUMBER] * operation->arguments[COUNT]),
               seen.io, seen.mmio);
    }
    return NULL;
}

static void run_vm(void)
{
    static struct vcpu vcpus[MAX_VCPUS];
    int kvm_fd = open_kvm();
    int vm_fd = IOCTL(kvm_fd, KVM_CREATE_VM, 0);
    uint8_t *memory = allocate_memory(MEMORY_SIZE);

    IOCTL(vm_fd, KVM_SET_TSS_ADDR, 0xfffbd000);
    if (irqchip)
        IOCTL(vm_fd, KVM_CREATE_IRQCHIP, 0);
    write_memory(memory);
    populate(memory);
    give_memory(vm_fd, memory, MEMORY_SIZE);
    for (unsigned int id = 0; id < vcpu_count; id++) {
        vcpus[id].id = id;
        create_vcpu(kvm_fd, vm_fd, &vcpus[id]);
    }
    for (unsigned int id = 0; id < vcpu_count; id++)
        if (pthread_create(&vcpus[id].thread, NULL, vcpu_thread, &vcpus[id]))
            fail("cannot start a thread");
    for (unsigned int id = 0; id < vcpu_count; id++)
        pthread_join(vcpus[id].thread, NULL);
}

static void parse_options(int argc, char **argv)
{
    static const struct option known[] = {
        {"irqchip", no_argument, NULL, 'i'},
        {"x2apic", no_argument, NULL, 'x'},
        {"vcpus", required_argument, NULL, 'c'},
        {NULL, 0, NULL, 0},
    };
    int option;

    while ((option = getopt_long(argc, argv, "+", known, NULL)) != -1) {
        switch (option) {
        case 'i': irqchip = true; break;
        case 'x': x2apic = true; break;
        case 'c': vcpu_count = (unsigned int)number_of(optarg); break;
        default: fail_usage();
        }
    }
    if (vcpu_count < 1 || vcpu_count > MAX_VCPUS)
        fail("--vcpus takes 1 to %d", MAX_VCPUS);
    if (x2apic && !irqchip)
        fail("--x2apic needs --irqchip");
}

int main(int argc, char **argv)
{
    int words_count;
    char **words = handed_over(&words_count, argv);

    if (words) {
        argc = words_count;
        argv = words;
    }
    parse_options(argc, argv);
    for (; optind < argc && strcmp(argv[optind], "--") && operation_count < MAX_ARGUMENTS; optind++)
        add_operation(argv[optind]);
    if (!operation_count)
        fail_usage();
    if (optind + 1 < argc)
        become(argc, argv, argv + optind + 1);
    run_vm();
    return 0;
}
