// SPDX-License-Identifier: GPL-2.0-only
// Counts a tracepoint of kvm on all CPUs by perf events, as `perf stat -a -e kvm:EVENT` does:
// event_count EVENT. Prints when it starts to count and, on SIGTERM, the count.
#define _GNU_SOURCE
#include <linux/perf_event.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MAX_CPUS = 64 };

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static uint64_t id_of(const char *event)
{
    char path[256];
    unsigned long long id = 0;
    FILE *file;

    snprintf(path, sizeof(path), "/sys/kernel/tracing/events/kvm/%s/id", event);
    file = fopen(path, "r");
    if (!file || fscanf(file, "%llu", &id) != 1)
        fail(path);
    fclose(file);
    return id;
}

int main(int argc, char **argv)
{
    struct perf_event_attr attr = {.type = PERF_TYPE_TRACEPOINT, .size = sizeof(attr)};
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    int counters[MAX_CPUS];
    uint64_t sum = 0, count;
    sigset_t end;
    int signal;

    if (argc != 2 || cpus > MAX_CPUS)
        return 2;
    attr.config = id_of(argv[1]);
    sigemptyset(&end);
    sigaddset(&end, SIGTERM);
    sigprocmask(SIG_BLOCK, &end, NULL);
    for (long cpu = 0; cpu < cpus; cpu++) {
        counters[cpu] = (int)syscall(SYS_perf_event_open, &attr, -1, (int)cpu, -1, 0);
        if (counters[cpu] < 0)
            fail("perf_event_open");
    }
    puts("counting");
    fflush(stdout);
    sigwait(&end, &signal);
    for (long cpu = 0; cpu < cpus; cpu++) {
        if (read(counters[cpu], &count, sizeof(count)) != sizeof(count))
            fail("read");
        sum += count;
    }
    printf("%s %llu\n", argv[1], (unsigned long long)sum);
    return 0;
}
