// SPDX-License-Identifier: GPL-2.0-only
// One or more tiny virtual machines on the KVM API, in one process, with no system inside.
//
// Each vCPU runs, in long mode with paging on, ROUNDS times: CPUID, OUT, INVLPG, a write of CR3,
// and a write to one of 1024 pages; then HLT. So the number of exits is known: one CPUID, OUT (and
// without nested paging INVLPG and CR3 write) per round, one HLT, one page fault per page first
// touched. Every vCPU has a thread of its own; for each thread that ran one a line is printed
// that says which, to be joined with what the kernel counted per thread; how many rounds the vCPU
// has made; and how often it was met on another CPU than the round before. SIGTERM ends the work
// earlier.
#define _GNU_SOURCE
#define PROGRAM_NAME "micro_vm"
#include "command_line.h"
#include "halted.h"
#include "kvm_api.h"

#include <getopt.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

// Ports the guest writes to; each is one exit to this program.
enum { PORT_ROUND = 0x10, PORT_SLOW = 0x11, PORT_HALTING = 0x12, PORT_DONE = 0x13 };

// The guest's physical memory beyond its tables and code. The pages touched start at TOUCHED, 4 MiB
// for each vCPU, so that no vCPU's faults depend on another's.
enum {
    FLUSHED = 0x8f000, // the page INVLPG names, which nothing touches
    STACKS = 0x90000,
    TOUCHED = 0x200000,
    TOUCHED_SIZE = 0x400000,
    MAX_VCPUS = 32,
};

struct options {
    unsigned int vms, vcpus, slow_outs, slow_us, halts, halt_us, move_us, start_ms, end_ms;
    unsigned int vary_rounds;
    uint64_t rounds;
    bool one_after_another, switch_thread, stuck, quiet, spin;
};

struct vm;

struct vcpu {
    struct vm *vm;
    unsigned int id;
    int fd;
    struct kvm_run *run;
    pthread_t thread;
    atomic_int tid; // of the thread that runs it now
    uint64_t rounds_seen;
    int cpu; // of the last round
    unsigned int moves_seen;
    atomic_uint halts_seen;     // odd: halted or about to be
    unsigned int halts_checked; // halts_seen when a signal last interrupted it
    atomic_bool done;
};

struct vm {
    unsigned int number;
    int fd;
    uint8_t *memory;
    size_t memory_size;
    pthread_t mover;
    struct vcpu vcpus[MAX_VCPUS];
};

static struct options options = {.vms = 1, .vcpus = 1, .rounds = 2000, .slow_us = 1000,
                                 .halt_us = 1000};
static int kvm_fd;
static int run_size;
static volatile sig_atomic_t ending; // vCPUs are done at their next exit to this program

// r12: rounds, r13: the vCPU's pages, r14: offset in them, r15: CR3, r8: page to flush,
// r9: slow OUTs, r10: halts, r11: 1 where HLT waits in the kernel and the end must be said.
// CPUID writes to rax, rbx, rcx, rdx; INVLPG and the CR3 write are real work only for a shadow MMU.
extern const uint8_t guest_code[], guest_halted[], guest_stuck[], guest_nmi[], guest_code_end[];
__asm__(".pushsection .rodata\n"
        "guest_code:\n"
        "    test %r12, %r12\n"
        "    jz 2f\n"
        "1:  xor %eax, %eax\n"
        "    xor %ecx, %ecx\n"
        "    cpuid\n"
        "    out %al, $0x10\n"
        "    invlpg (%r8)\n"
        "    mov %r15, %cr3\n"
        "    incb (%r13,%r14)\n"
        "    add $4096, %r14\n"
        "    and $0x3fffff, %r14\n"
        "    dec %r12\n"
        "    jnz 1b\n"
        "2:  test %r9, %r9\n"
        "    jz 3f\n"
        "    out %al, $0x11\n"
        "    dec %r9\n"
        "    jmp 2b\n"
        "3:  test %r10, %r10\n"
        "    jz 4f\n"
        "    out %al, $0x12\n"
        "    hlt\n"
        "    out %al, $0x12\n"
        "    dec %r10\n"
        "    jmp 3b\n"
        "4:  test %r11, %r11\n"
        "    jz 5f\n"
        "    out %al, $0x13\n"
        "5:  hlt\n"
        "guest_halted:\n"
        "    jmp 5b\n"
        "guest_stuck:\n"
        "    hlt\n"
        "    jmp guest_stuck\n"
        "guest_nmi:\n"
        "    iretq\n"
        "guest_code_end:\n"
        ".popsection\n");

static void sleep_us(uint64_t microseconds)
{
    struct timespec time = {.tv_sec = (time_t)(microseconds / 1000000),
                            .tv_nsec = (long)(microseconds % 1000000) * 1000};

    while (!ending && nanosleep(&time, &time) && errno == EINTR)
        ;
}

/* Takes a CPU for that long. */
static void spin_us(uint64_t microseconds)
{
    struct timespec start, now;

    clock_gettime(CLOCK_MONOTONIC, &start);
    do
        clock_gettime(CLOCK_MONOTONIC, &now);
    while ((now.tv_sec - start.tv_sec) * 1000000 + (now.tv_nsec - start.tv_nsec) / 1000 <
           (long)microseconds);
}

static uint64_t code_address(const uint8_t *label)
{
    return CODE + (uint64_t)(label - guest_code);
}

static void write_descriptors(uint8_t *memory)
{
    write_gdt(memory);
    write_nmi_gate(memory, code_address(guest_nmi));
}

static void write_memory(struct vm *vm)
{
    write_page_tables(vm->memory, vm->memory_size);
    write_descriptors(vm->memory);
    memcpy(vm->memory + CODE, guest_code, (size_t)(guest_code_end - guest_code));
}

static uint64_t rounds_of(const struct vm *vm)
{
    return options.rounds + (options.vary_rounds ? vm->number % options.vary_rounds : 0);
}

// The pages that will be touched, so that each costs the guest one fault, not one more for copying.
static void populate(const struct vm *vm)
{
    uint64_t rounds = rounds_of(vm);
    uint64_t used = rounds * PAGE < TOUCHED_SIZE ? rounds * PAGE : TOUCHED_SIZE;

    for (unsigned int id = 0; id < options.vcpus; id++)
        for (uint64_t offset = 0; offset < used; offset += PAGE)
            vm->memory[TOUCHED + (uint64_t)id * TOUCHED_SIZE + offset] = 1;
}

static void set_registers(const struct vcpu *vcpu)
{
    struct kvm_regs registers = {
        .rip = code_address(options.stuck ? guest_stuck : guest_code),
        .rflags = 2,
        .rsp = STACKS + (vcpu->id + 1) * PAGE,
        .r8 = FLUSHED,
        .r9 = options.slow_outs,
        .r10 = options.halts,
        .r11 = options.halts != 0,
        .r12 = rounds_of(vcpu->vm),
        .r13 = TOUCHED + (uint64_t)vcpu->id * TOUCHED_SIZE,
        .r15 = PML4,
    };

    set_long_mode(vcpu->fd);
    IOCTL(vcpu->fd, KVM_SET_REGS, &registers);
}

static void create_vcpu(struct vm *vm, unsigned int id)
{
    struct vcpu *vcpu = &vm->vcpus[id];

    *vcpu = (struct vcpu){.vm = vm, .id = id, .cpu = -1, .halts_checked = UINT32_MAX};
    vcpu->fd = IOCTL(vm->fd, KVM_CREATE_VCPU, (unsigned long)id);
    vcpu->run = map_run(vcpu->fd, run_size);
    set_cpuid(kvm_fd, vcpu->fd);
    set_registers(vcpu);
    if (options.halts)
        enable_interrupt_delivery(vcpu->fd);
}

static struct vm *create_vm(unsigned int number)
{
    struct vm *vm = calloc(1, sizeof(*vm));

    if (!vm)
        fail("out of memory");
    vm->number = number;
    vm->memory_size = TOUCHED + (size_t)options.vcpus * TOUCHED_SIZE;
    vm->fd = IOCTL(kvm_fd, KVM_CREATE_VM, 0);
    IOCTL(vm->fd, KVM_SET_TSS_ADDR, 0xfffbd000);
    if (options.halts)
        IOCTL(vm->fd, KVM_CREATE_IRQCHIP, 0);
    vm->memory = allocate_memory(vm->memory_size);
    write_memory(vm);
    populate(vm);
    give_memory(vm->fd, vm->memory, vm->memory_size);
    for (unsigned int id = 0; id < options.vcpus; id++)
        create_vcpu(vm, id);
    return vm;
}

static void destroy_vm(struct vm *vm)
{
    for (unsigned int id = 0; id < options.vcpus; id++) {
        munmap(vm->vcpus[id].run, (size_t)run_size);
        close(vm->vcpus[id].fd);
    }
    close(vm->fd);
    munmap(vm->memory, vm->memory_size);
    free(vm);
}

static void see_round(struct vcpu *vcpu)
{
    int cpu = sched_getcpu();

    vcpu->rounds_seen++;
    vcpu->moves_seen += vcpu->cpu >= 0 && vcpu->cpu != cpu;
    vcpu->cpu = cpu;
}

static void handle_out(struct vcpu *vcpu)
{
    switch (vcpu->run->io.port) {
    case PORT_ROUND:
        see_round(vcpu);
        break;
    case PORT_SLOW:
        options.spin ? spin_us(options.slow_us) : sleep_us(options.slow_us);
        break;
    case PORT_HALTING:
        atomic_fetch_add(&vcpu->halts_seen, 1);
        break;
    case PORT_DONE:
        vcpu->done = true;
        break;
    default:
        fail("vm=%u vcpu=%u: OUT to port 0x%x", vcpu->vm->number, vcpu->id, vcpu->run->io.port);
    }
}

__attribute__((noreturn)) static void fail_halted(const struct vcpu *vcpu, uint64_t rip)
{
    fail("vm=%u vcpu=%u: the guest halted with interrupts off at RIP %#llx", vcpu->vm->number,
         vcpu->id, (unsigned long long)rip);
}

// If the interrupt controller is not KVM's, HLT exits to this program; the guest's last HLT ends
// the work.
static void handle_halt(struct vcpu *vcpu)
{
    struct kvm_regs registers;

    IOCTL(vcpu->fd, KVM_GET_REGS, &registers);
    if (registers.rip != code_address(guest_halted))
        fail_halted(vcpu, registers.rip);
    vcpu->done = true;
}

// After a signal: if it is still in the same HLT as at the previous signal, no NMI has reached it.
static void require_progress(struct vcpu *vcpu)
{
    unsigned int halts = atomic_load(&vcpu->halts_seen);
    uint64_t rip;

    if (halts == vcpu->halts_checked && halted_with_interrupts_off(vcpu->fd, &rip))
        fail_halted(vcpu, rip);
    vcpu->halts_checked = halts;
}

// Runs the vCPU until it is done or has seen that many rounds.
static void run_until(struct vcpu *vcpu, uint64_t rounds)
{
    atomic_store(&vcpu->tid, gettid());
    while (!vcpu->done && vcpu->rounds_seen < rounds) {
        if (ending) {
            vcpu->done = true;
            break;
        }
        if (ioctl(vcpu->fd, KVM_RUN, 0) < 0) {
            if (errno != EINTR && errno != EAGAIN)
                fail("KVM_RUN: %s", strerror(errno));
            require_progress(vcpu);
            continue;
        }
        switch (vcpu->run->exit_reason) {
        case KVM_EXIT_IO:
            handle_out(vcpu);
            break;
        case KVM_EXIT_HLT:
            handle_halt(vcpu);
            break;
        case KVM_EXIT_INTR:
            break;
        default:
            fail("vm=%u vcpu=%u: exit to user space %u, detail 0x%llx", vcpu->vm->number,
                 vcpu->id, vcpu->run->exit_reason,
                 (unsigned long long)vcpu->run->internal.suberror);
        }
    }
    if (!options.quiet)
        printf("vm=%u vcpu=%u tid=%d pid=%d rounds=%llu moves=%u\n", vcpu->vm->number, vcpu->id,
               atomic_load(&vcpu->tid), getpid(), (unsigned long long)vcpu->rounds_seen,
               vcpu->moves_seen);
}

static void *second_half(void *argument)
{
    run_until(argument, UINT64_MAX);
    return NULL;
}

static void *vcpu_thread(void *argument)
{
    struct vcpu *vcpu = argument;
    pthread_t other;

    run_until(vcpu, options.switch_thread ? rounds_of(vcpu->vm) / 2 : UINT64_MAX);
    if (vcpu->done)
        return NULL;
    if (pthread_create(&other, NULL, second_half, vcpu))
        fail("cannot start a thread");
    pthread_join(other, NULL);
    return NULL;
}

static bool all_done(const struct vm *vm)
{
    for (unsigned int id = 0; id < options.vcpus; id++)
        if (!vm->vcpus[id].done)
            return false;
    return true;
}

static void ignore_signal(int number)
{
    (void)number;
}

static void end_work(int number)
{
    (void)number;
    ending = 1;
}

// Makes the vCPUs' threads check for a HLT that does not end, from which KVM_RUN does not return.
static void interrupt_vcpus(struct vm *vm)
{
    for (unsigned int id = 0; id < options.vcpus; id++)
        if (!vm->vcpus[id].done)
            syscall(SYS_tgkill, getpid(), atomic_load(&vm->vcpus[id].tid), SIGUSR1);
}

// Wakes halted vCPUs by NMI, again and again: one that comes too early is lost on the vCPU.
static void *waker_thread(void *argument)
{
    const uint64_t interrupt_us = 3 * 1000000 + 2 * (uint64_t)options.halt_us;
    struct vm *vm = argument;

    for (uint64_t waited_us = 0; !all_done(vm); waited_us += options.halt_us) {
        sleep_us(options.halt_us);
        for (unsigned int id = 0; id < options.vcpus; id++)
            if (atomic_load(&vm->vcpus[id].halts_seen) & 1)
                send_nmi(vm->fd, id);
        if (waited_us >= interrupt_us) {
            interrupt_vcpus(vm);
            waited_us = 0;
        }
    }
    return NULL;
}

// Moves the vCPUs' threads from CPU to CPU at any time.
static void *mover_thread(void *argument)
{
    struct vm *vm = argument;
    unsigned int cpus = (unsigned int)sysconf(_SC_NPROCESSORS_ONLN);

    for (unsigned int turn = vm->number; !all_done(vm); turn++) {
        for (unsigned int id = 0; id < options.vcpus; id++) {
            cpu_set_t only;
            pid_t tid;

            CPU_ZERO(&only);
            CPU_SET((turn + id) % cpus, &only);
            // A thread that has not begun or has ended cannot be moved.
            tid = atomic_load(&vm->vcpus[id].tid);
            if (tid && !vm->vcpus[id].done)
                sched_setaffinity(tid, sizeof(only), &only);
        }
        sleep_us(options.move_us);
    }
    return NULL;
}

static void start(struct vm *vm)
{
    for (unsigned int id = 0; id < options.vcpus; id++)
        if (pthread_create(&vm->vcpus[id].thread, NULL, vcpu_thread, &vm->vcpus[id]))
            fail("cannot start a thread");
    if (options.move_us && pthread_create(&vm->mover, NULL, mover_thread, vm))
        fail("cannot start a thread");
}

static void finish(struct vm *vm)
{
    pthread_t waker;

    if (options.halts && pthread_create(&waker, NULL, waker_thread, vm))
        fail("cannot start a thread");
    for (unsigned int id = 0; id < options.vcpus; id++)
        pthread_join(vm->vcpus[id].thread, NULL);
    if (options.halts)
        pthread_join(waker, NULL);
    if (options.move_us)
        pthread_join(vm->mover, NULL);
}

static void run_one_after_another(void)
{
    for (unsigned int number = 0; number < options.vms; number++) {
        struct vm *vm = create_vm(number);

        start(vm);
        finish(vm);
        destroy_vm(vm);
    }
}

static void run_at_once(void)
{
    struct vm **vms = calloc(options.vms, sizeof(*vms));

    if (!vms)
        fail("out of memory");
    for (unsigned int number = 0; number < options.vms; number++)
        vms[number] = create_vm(number);
    sleep_us(options.start_ms * 1000ull);
    for (unsigned int number = 0; number < options.vms; number++)
        start(vms[number]);
    for (unsigned int number = 0; number < options.vms; number++)
        finish(vms[number]);
    fflush(stdout);
    sleep_us(options.end_ms * 1000ull);
    for (unsigned int number = 0; number < options.vms; number++)
        destroy_vm(vms[number]);
    free(vms);
}

static void usage(FILE *to)
{
    fputs("usage: micro_vm [OPTIONS] [-- ARGV...]\n"
          "  --vms N            VMs in this process (1)\n"
          "  --vcpus N          vCPUs of each, a thread each (1)\n"
          "  --rounds N         rounds of work of each vCPU (2000)\n"
          "  --vary-rounds N    VM number K makes K modulo N rounds more (0: none)\n"
          "  --sequential       one VM after another instead of all at once\n"
          "  --switch-thread    each vCPU moves to another thread half-way\n"
          "  --move-us N        microseconds until a vCPU is moved to the next CPU (0: never)\n"
          "  --slow-outs N      OUTs that sleep here, after the rounds (0)\n"
          "  --slow-us N        microseconds of each such sleep (1000)\n"
          "  --spin             spin in them instead of sleeping\n"
          "  --halts N          HLTs that wait in the kernel until an NMI comes (0)\n"
          "  --halt-us N        microseconds until it comes (1000)\n"
          "  --start-ms N       wait before the vCPUs start (0)\n"
          "  --end-ms N         keep the VMs that long after their work (0)\n"
          "  --stuck            halt where nothing wakes the vCPU, instead of all work\n"
          "  --quiet            no lines about threads\n"
          "  -- ARGV...         look like this command line to other programs\n",
          to);
}

static uint64_t number_of(const char *text)
{
    char *end;
    unsigned long long number = strtoull(text, &end, 10);

    if (*end || end == text || number > UINT32_MAX)
        fail("%s is no number", text);
    return number;
}

static void parse_options(int argc, char **argv)
{
    static const struct option known[] = {
        {"vms", required_argument, NULL, 'v'},       {"vcpus", required_argument, NULL, 'c'},
        {"rounds", required_argument, NULL, 'r'},    {"sequential", no_argument, NULL, 'q'},
        {"switch-thread", no_argument, NULL, 't'},   {"slow-outs", required_argument, NULL, 's'},
        {"slow-us", required_argument, NULL, 'u'},   {"halts", required_argument, NULL, 'h'},
        {"halt-us", required_argument, NULL, 'w'},   {"start-ms", required_argument, NULL, 'b'},
        {"end-ms", required_argument, NULL, 'e'},    {"stuck", no_argument, NULL, 'k'},
        {"quiet", no_argument, NULL, 'n'},           {"help", no_argument, NULL, '?'},
        {"move-us", required_argument, NULL, 'm'},   {"vary-rounds", required_argument, NULL, 'y'},
        {"spin", no_argument, NULL, 'p'},            {NULL, 0, NULL, 0},
    };
    unsigned int unused, *target;
    int option;

    while ((option = getopt_long(argc, argv, "+", known, NULL)) != -1) {
        target = &unused;
        switch (option) {
        case 'v': target = &options.vms; break;
        case 'c': target = &options.vcpus; break;
        case 's': target = &options.slow_outs; break;
        case 'u': target = &options.slow_us; break;
        case 'h': target = &options.halts; break;
        case 'w': target = &options.halt_us; break;
        case 'b': target = &options.start_ms; break;
        case 'e': target = &options.end_ms; break;
        case 'm': target = &options.move_us; break;
        case 'y': target = &options.vary_rounds; break;
        case 'r': options.rounds = number_of(optarg); break;
        case 'q': options.one_after_another = true; break;
        case 't': options.switch_thread = true; break;
        case 'k': options.stuck = true; break;
        case 'n': options.quiet = true; break;
        case 'p': options.spin = true; break;
        default:
            usage(stderr);
            exit(2);
        }
        if (target != &unused)
            *target = (unsigned int)number_of(optarg);
    }
    if (options.vcpus < 1 || options.vcpus > MAX_VCPUS)
        fail("--vcpus takes 1 to %d", MAX_VCPUS);
}

int main(int argc, char **argv)
{
    int words_count;
    char **words = handed_over(&words_count, argv);

    if (words) {
        parse_options(words_count, words);
    } else {
        parse_options(argc, argv);
        if (optind < argc)
            become(argc, argv, argv + optind);
    }
    sigaction(SIGUSR1, &(struct sigaction){.sa_handler = ignore_signal, .sa_flags = SA_RESTART},
              NULL);
    sigaction(SIGTERM, &(struct sigaction){.sa_handler = end_work, .sa_flags = SA_RESTART}, NULL);
    kvm_fd = open_kvm();
    run_size = IOCTL(kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (options.one_after_another)
        run_one_after_another();
    else
        run_at_once();
    return 0;
}
