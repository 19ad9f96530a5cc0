// SPDX-License-Identifier: GPL-2.0-only
// guest_init: init of the small Linux guest, and the workload that shows what paging costs.
//
// usage (arguments come from the kernel's command line, after "--"):
//   guest_init [forks=N] [pings=N] [touches=N] [clocks=N] [sleeps=N] [prints=N]
//
//   forks    fork, exec and wait: new page tables, filled and thrown away
//   pings    a byte to another process and one back: two switches of address space
//   touches  write 16 pages and give them back by madvise: faults and INVLPG (munmap would free
//            page tables too, and the kernel then flushes everything instead)
//   clocks   ask for the time: a read of the kernel's clock source
//   sleeps   for a millisecond: a timer that is set, and its interrupt
//   prints   16 characters on the console: one request to its device, if it takes them at once
//
// No libc: the start of a static glibc program costs 55 CPUID exits, each exec again, and those
// would bury the exits that matter. Memory of its own is kept at a few pages for the same reason.
// Its verdict goes to a port that linux_vm watches; the reboot that follows is a triple fault.
#include <asm/unistd.h>
#include <linux/mman.h>
#include <linux/reboot.h>
#include <linux/time.h>
#include <stddef.h>

enum { STATUS_PORT = 0x501, STATUS_DONE = 0, STATUS_FAILED = 1 };
enum { TOUCHED_PAGES = 16, PAGE_SIZE = 4096, SIGCHLD = 17 };

// The only argument of another process of this program says what it does.
static const char exit_at_once[] = "exit";

struct workload {
    long forks;
    long pings;
    long touches;
    long clocks;
    long sleeps;
    long prints;
};

static long system_call(long number, long a, long b, long c, long d, long e, long f)
{
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}
#define SYSTEM_CALL_3(number, a, b, c) \
    system_call(__NR_##number, (long)(a), (long)(b), (long)(c), 0, 0, 0)

static void exit_process(long status)
{
    for (;;)
        SYSTEM_CALL_3(exit_group, status, 0, 0);
}

static void report(unsigned char status)
{
    SYSTEM_CALL_3(iopl, 3, 0, 0);
    __asm__ volatile("outb %0, %1" : : "a"(status), "Nd"((unsigned short)STATUS_PORT));
}

static void end_guest(unsigned char status)
{
    report(status);
    system_call(__NR_reboot, (long)LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2,
                LINUX_REBOOT_CMD_RESTART, 0, 0, 0);
    exit_process(status);
}

// Any failing system call ends the guest, so that half a workload is not taken for a whole one.
static long must(long result)
{
    if (result < 0)
        end_guest(STATUS_FAILED);
    return result;
}

static int same(const char *left, const char *right)
{
    while (*left && *left == *right)
        left++, right++;
    return *left == *right;
}

// The number after NAME= in the argument, or the unchanged value if the name is another.
static long number_of(const char *argument, const char *name, long value)
{
    while (*name && *argument == *name)
        argument++, name++;
    if (*name || *argument++ != '=')
        return value;
    for (value = 0; *argument >= '0' && *argument <= '9'; argument++)
        value = value * 10 + (*argument - '0');
    return value;
}

static long fork_process(void)
{
    return must(SYSTEM_CALL_3(fork, 0, 0, 0));
}

static void wait_for(long pid)
{
    int status = -1;
    must(system_call(__NR_wait4, pid, (long)&status, 0, 0, 0, 0));
    if (status != 0)
        end_guest(STATUS_FAILED);
}

static void fork_and_exec(long rounds)
{
    const char *const argv[] = {"/init", exit_at_once, NULL};
    const char *const envp[] = {NULL};
    while (rounds-- > 0) {
        long pid = fork_process();
        if (pid == 0) {
            SYSTEM_CALL_3(execve, argv[0], argv, envp);
            exit_process(1);
        }
        wait_for(pid);
    }
}

static void echo(int from, int to)
{
    char byte;
    while (SYSTEM_CALL_3(read, from, &byte, 1) == 1)
        SYSTEM_CALL_3(write, to, &byte, 1);
    exit_process(0);
}

static void play_ping_pong(long rounds)
{
    int there[2], back[2];
    must(SYSTEM_CALL_3(pipe, there, 0, 0));
    must(SYSTEM_CALL_3(pipe, back, 0, 0));
    long pid = fork_process();
    if (pid == 0) {
        SYSTEM_CALL_3(close, there[1], 0, 0);
        echo(there[0], back[1]);
    }
    char byte = 0;
    while (rounds-- > 0) {
        must(SYSTEM_CALL_3(write, there[1], &byte, 1));
        must(SYSTEM_CALL_3(read, back[0], &byte, 1) - 1);
    }
    SYSTEM_CALL_3(close, there[1], 0, 0);
    wait_for(pid);
}

static void touch_pages(long rounds)
{
    const long length = TOUCHED_PAGES * PAGE_SIZE;
    long at = must(system_call(__NR_mmap, 0, length, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    while (rounds-- > 0) {
        for (long offset = 0; offset < length; offset += PAGE_SIZE)
            *(volatile char *)(at + offset) = 1;
        must(SYSTEM_CALL_3(madvise, at, length, MADV_DONTNEED));
    }
}

static void read_clock(long rounds)
{
    struct timespec now;
    while (rounds-- > 0)
        must(SYSTEM_CALL_3(clock_gettime, CLOCK_MONOTONIC, &now, 0));
}

static void sleep_often(long rounds)
{
    const struct timespec millisecond = {.tv_nsec = 1000000};
    while (rounds-- > 0)
        must(SYSTEM_CALL_3(nanosleep, &millisecond, 0, 0));
}

static void print(long rounds)
{
    static const char text[] = "as much as fits ";
    enum { STDOUT = 1, LENGTH = sizeof(text) - 1 };
    while (rounds-- > 0)
        must(SYSTEM_CALL_3(write, STDOUT, text, LENGTH) - LENGTH);
}

static void run(long argc, const char *const *argv)
{
    if (argc == 2 && same(argv[1], exit_at_once))
        exit_process(0);
    struct workload workload = {.forks = 100, .pings = 500, .touches = 100};
    for (long i = 1; i < argc; i++) {
        workload.forks = number_of(argv[i], "forks", workload.forks);
        workload.pings = number_of(argv[i], "pings", workload.pings);
        workload.touches = number_of(argv[i], "touches", workload.touches);
        workload.clocks = number_of(argv[i], "clocks", workload.clocks);
        workload.sleeps = number_of(argv[i], "sleeps", workload.sleeps);
        workload.prints = number_of(argv[i], "prints", workload.prints);
    }
    fork_and_exec(workload.forks);
    play_ping_pong(workload.pings);
    touch_pages(workload.touches);
    read_clock(workload.clocks);
    sleep_often(workload.sleeps);
    print(workload.prints);
    end_guest(STATUS_DONE);
}

__attribute__((used)) static void start(const long *stack)
{
    run(stack[0], (const char *const *)(stack + 1));
}

__asm__(".globl _start\n"
        "_start:\n"
        "    xor %ebp, %ebp\n"
        "    mov %rsp, %rdi\n"
        "    and $-16, %rsp\n"
        "    call start\n"
        "    hlt\n");
