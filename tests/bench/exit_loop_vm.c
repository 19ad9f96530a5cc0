// SPDX-License-Identifier: GPL-2.0-only
// A virtual machine that does nothing but exit. It measures the cost of a pair of exit and entry
// with its own time stamp counter.
//
// The guest runs BATCHES times: rdtsc, EXITS times an instruction that exits, rdtsc. So there are
// only exits between the two stamps. If the emulator's clock ticks once per instruction, ticks are
// instructions, and the smallest batch is one without interrupts. Prints the loop, the ticks per exit of that
// batch and of all batches, how many exits the guest made and KVM counted, and the ticks of the
// smallest batch of the second half, for effects that begin late.
#define _GNU_SOURCE
#define PROGRAM_NAME "exit_loop_vm"
#include "kvm_api.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

enum { HALTED = 0x1f000, STACK_END = 0x1f000, RESULTS = 0x20000, MEMORY = 0x100000 };
enum { MAX_BATCHES = 1000, WATCHERS = 100 };
enum { PORT_EXIT = 0x10, PORT_DONE = 0x11, PORT_DOORBELL = 0x12, PORT_WATCHED = 0x13 };
enum { DOORBELL = MEMORY }; // no memory, so an address of a device

// rdi: HALTED, r12: exits of a batch, r13: batches, r14: where the next result goes, r15: exits
// left.
#define LOOP(name, eax, instructions)        \
    __asm__(".pushsection .rodata\n"         \
            #name ":\n"                      \
            "1:  mov %r12, %r15\n"           \
            "    rdtsc\n"                    \
            "    shl $32, %rdx\n"            \
            "    or %rdx, %rax\n"            \
            "    mov %rax, %r8\n"            \
            "2:  mov $" #eax ", %eax\n"      \
            "    xor %ecx, %ecx\n"           \
            "    " instructions "\n"         \
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
            "    out %al, $0x11\n"           \
            #name "_nmi:\n"                  \
            "    iretq\n"                    \
            #name "_end:\n"                  \
            ".popsection\n");                \
    extern const uint8_t name[], name##_nmi[], name##_end[]
LOOP(cpuid_loop, 0, "cpuid");          // handled in the kernel
LOOP(leaf_loop, 0x4fffffff, "cpuid");  // the same; a leaf of the patch in kernel/
LOOP(out_loop, 0, "out %al, $0x10");   // handled in this program
LOOP(msr_loop, 0, "mov $0x8b, %ecx\n rdmsr");
// Handled in the kernel, which signals an eventfd.
LOOP(port_loop, 0, "out %al, $0x12");
LOOP(doorbell_loop, 0, "mov %eax, 0x100000");
LOOP(long_loop, 0, "out %al, $0x13"); // the same, with so many watchers that it takes 8 us and more
LOOP(wbinvd_loop, 0, "wbinvd"); // without a target
// Waits in the kernel, until the waker's NMI comes.
LOOP(halt_loop, 0, "movl $1, (%rdi)\n hlt\n movl $0, (%rdi)");

struct loop {
    const char *name;
    const uint8_t *code, *nmi, *end;
    bool halts;
};
static const struct loop loops[] = {
    {"cpuid", cpuid_loop, cpuid_loop_nmi, cpuid_loop_end, false},
    {"leaf", leaf_loop, leaf_loop_nmi, leaf_loop_end, false},
    {"out", out_loop, out_loop_nmi, out_loop_end, false},
    {"msr", msr_loop, msr_loop_nmi, msr_loop_end, false},
    {"port", port_loop, port_loop_nmi, port_loop_end, false},
    {"doorbell", doorbell_loop, doorbell_loop_nmi, doorbell_loop_end, false},
    {"long", long_loop, long_loop_nmi, long_loop_end, false},
    {"wbinvd", wbinvd_loop, wbinvd_loop_nmi, wbinvd_loop_end, false},
    {"halt", halt_loop, halt_loop_nmi, halt_loop_end, true},
};

struct waker {
    pthread_t thread;
    int vm_fd;
    const atomic_uint *halted; // in the guest's memory
    atomic_bool done;
};

// On one CPU, runs only while the vCPU waits, and yields to it at once. So the CPU is never idle,
// and each halt takes the same instructions.
static void *wake(void *argument)
{
    const struct sched_param no_priority = {0};
    struct waker *waker = argument;

    if (sched_setscheduler(0, SCHED_IDLE, &no_priority))
        fail("SCHED_IDLE: %s", strerror(errno));
    while (!atomic_load(&waker->done))
        if (atomic_load(waker->halted))
            send_nmi(waker->vm_fd, 0);
    return NULL;
}

// What is written to the port or the address of the doorbell signals an eventfd that nobody reads.
static void add_doorbells(int vm_fd)
{
    const int event = eventfd(0, 0);
    struct kvm_ioeventfd port = {.addr = PORT_DOORBELL, .len = 1, .fd = event,
                                 .flags = KVM_IOEVENTFD_FLAG_PIO};
    struct kvm_ioeventfd address = {.addr = DOORBELL, .len = 0, .fd = event}; // of any length

    if (event < 0)
        fail("eventfd: %s", strerror(errno));
    IOCTL(vm_fd, KVM_IOEVENTFD, &port);
    IOCTL(vm_fd, KVM_IOEVENTFD, &address);
}

// Each of the watchers is told of each write.
static void add_watched_doorbell(int vm_fd)
{
    const int event = eventfd(0, 0);
    struct kvm_ioeventfd port = {.addr = PORT_WATCHED, .len = 1, .fd = event,
                                 .flags = KVM_IOEVENTFD_FLAG_PIO};
    struct epoll_event wanted = {.events = EPOLLIN};

    if (event < 0)
        fail("eventfd: %s", strerror(errno));
    for (int i = 0; i < WATCHERS; i++) {
        const int watcher = epoll_create1(0);

        if (watcher < 0 || epoll_ctl(watcher, EPOLL_CTL_ADD, event, &wanted))
            fail("epoll: %s", strerror(errno));
    }
    IOCTL(vm_fd, KVM_IOEVENTFD, &port);
}

static void run(int vcpu_fd, const struct kvm_run *state)
{
    for (;;) {
        if (ioctl(vcpu_fd, KVM_RUN, 0) < 0) {
            if (errno == EINTR || errno == EAGAIN)
                continue;
            fail("KVM_RUN: %s", strerror(errno));
        }
        if (state->exit_reason != KVM_EXIT_IO)
            fail("exit to user space %u", state->exit_reason);
        if (state->io.port == PORT_DONE)
            return;
        if (state->io.port != PORT_EXIT)
            fail("OUT to port 0x%x", state->io.port);
    }
}

static void run_and_wake(int vm_fd, int vcpu_fd, const struct kvm_run *state, uint8_t *memory)
{
    struct waker waker = {.vm_fd = vm_fd, .halted = (const atomic_uint *)(memory + HALTED)};

    enable_interrupt_delivery(vcpu_fd);
    if (pthread_create(&waker.thread, NULL, wake, &waker))
        fail("cannot start a thread");
    run(vcpu_fd, state);
    atomic_store(&waker.done, true);
    pthread_join(waker.thread, NULL);
}

// KVM's own count of the exits of all VMs (this is the only one); 0 if it is hidden.
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

static const struct loop *loop_of(const char *name)
{
    for (size_t i = 0; i < sizeof(loops) / sizeof(*loops); i++)
        if (!strcmp(name, loops[i].name))
            return &loops[i];
    return NULL;
}

int main(int argc, char **argv)
{
    const struct loop *loop = argc == 4 ? loop_of(argv[1]) : NULL;
    uint8_t *memory = allocate_memory(MEMORY);
    unsigned long exits, batches;
    uint64_t least = UINT64_MAX, late = UINT64_MAX, sum = 0;
    int kvm, vm, vcpu;
    const struct kvm_run *state;

    if (!loop)
        fail("usage: exit_loop_vm cpuid|leaf|out|msr|port|doorbell|long|wbinvd|halt EXITS BATCHES");
    exits = number_of(argv[2], 1000000);
    batches = number_of(argv[3], MAX_BATCHES);

    kvm = open_kvm();
    vm = IOCTL(kvm, KVM_CREATE_VM, 0);
    IOCTL(vm, KVM_SET_TSS_ADDR, 0xfffbd000);
    if (loop->halts)
        IOCTL(vm, KVM_CREATE_IRQCHIP, 0);
    add_doorbells(vm);
    add_watched_doorbell(vm);
    write_page_tables(memory, DOORBELL + PAGE);
    write_gdt(memory);
    write_nmi_gate(memory, CODE + (uint64_t)(loop->nmi - loop->code));
    memcpy(memory + CODE, loop->code, (size_t)(loop->end - loop->code));
    memset(memory + HALTED, 0, RESULTS - HALTED + MAX_BATCHES * sizeof(uint64_t));
    give_memory(vm, memory, MEMORY);
    vcpu = IOCTL(vm, KVM_CREATE_VCPU, 0);
    state = map_run(vcpu, IOCTL(kvm, KVM_GET_VCPU_MMAP_SIZE, 0));
    set_cpuid(kvm, vcpu);
    set_long_mode(vcpu);
    struct kvm_regs registers = {.rip = CODE, .rflags = 2, .rsp = STACK_END, .rdi = HALTED,
                                 .r12 = exits, .r13 = batches, .r14 = RESULTS};
    IOCTL(vcpu, KVM_SET_REGS, &registers);

    if (loop->halts)
        run_and_wake(vm, vcpu, state, memory);
    else
        run(vcpu, state);
    for (unsigned long i = 0; i < batches; i++) {
        uint64_t ticks;

        memcpy(&ticks, memory + RESULTS + i * sizeof(ticks), sizeof(ticks));
        sum += ticks;
        if (ticks < least)
            least = ticks;
        if (i >= batches / 2 && ticks < late)
            late = ticks;
    }
    printf("loop=%s least=%.2f mean=%.2f exits=%lu kvm_exits=%llu late=%.2f\n",
           loop->name, (double)least / (double)exits, (double)sum / (double)(exits * batches), exits * batches,
           kvm_exits(), (double)late / (double)exits);
    return 0;
}
