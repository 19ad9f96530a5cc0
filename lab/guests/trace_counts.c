// SPDX-License-Identifier: GPL-2.0-only
// Adds up the events of one tracepoint of kvm, kvm_exit or one like it, for kernels without
// histograms: trace_counts [EVENT]. They are in the buffer of the tracing instance of that name.
//
// Reads the binary pages of every CPU (tracing must be off, so that they end) and prints one line
// per thread, vCPU, isa and reason in the form in which a histogram trigger prints its own, with
// the totals under them. "Dropped" holds what the buffer overran: it must be zero to be compared.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define INSTANCE "/sys/kernel/tracing/instances/%s"

enum {
    MAX_COUNTERS = 65536,
    PAGE = 4096,
    PAGE_HEADER = 16,           // time stamp, bytes committed
    COMMITTED_MASK = 0xfffff,   // above it: flags on lost events
    PADDING = 29,
    TIME_EXTEND = 30,
    TIME_STAMP = 31,
};

struct field {
    unsigned int offset, size;
};

struct format {
    unsigned int id;
    struct field pid, reason, isa, vcpu;
};

struct counter {
    int32_t pid;
    uint32_t vcpu, isa;
    uint64_t reason, count;
};

static struct counter counters[MAX_COUNTERS];
static unsigned int counters_used;
static uint64_t hits, dropped;

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static struct field field_of(const char *line)
{
    struct field field = {0};
    const char *offset = strstr(line, "offset:");

    if (!offset || sscanf(offset, "offset:%u; size:%u;", &field.offset, &field.size) != 2)
        fail("a field of the event");
    return field;
}

static struct format read_format(const char *event)
{
    struct format format = {0};
    char path[256], line[512];
    FILE *file;

    snprintf(path, sizeof(path), INSTANCE "/events/kvm/%s/format", event, event);
    file = fopen(path, "r");
    if (!file)
        fail(path);
    while (fgets(line, sizeof(line), file)) {
        sscanf(line, "ID: %u", &format.id);
        if (strstr(line, " common_pid;"))
            format.pid = field_of(line);
        else if (strstr(line, " exit_reason;"))
            format.reason = field_of(line);
        else if (strstr(line, " isa;"))
            format.isa = field_of(line);
        else if (strstr(line, " vcpu_id;"))
            format.vcpu = field_of(line);
    }
    fclose(file);
    return format;
}

static uint64_t value_of(const uint8_t *record, struct field field)
{
    uint64_t value = 0;

    memcpy(&value, record + field.offset, field.size < 8 ? field.size : 8);
    return value;
}

static void count(const struct format *format, const uint8_t *record)
{
    struct counter seen = {
        .pid = (int32_t)value_of(record, format->pid),
        .vcpu = (uint32_t)value_of(record, format->vcpu),
        .isa = (uint32_t)value_of(record, format->isa),
        .reason = value_of(record, format->reason),
    };
    uint16_t id;

    memcpy(&id, record, sizeof(id));
    if (id != format->id)
        return;
    hits++;
    for (unsigned int i = 0; i < counters_used; i++) {
        struct counter *c = &counters[i];

        if (c->pid == seen.pid && c->vcpu == seen.vcpu && c->isa == seen.isa &&
            c->reason == seen.reason) {
            c->count++;
            return;
        }
    }
    if (counters_used == MAX_COUNTERS) {
        dropped++;
        return;
    }
    seen.count = 1;
    counters[counters_used++] = seen;
}

static void count_page(const struct format *format, const uint8_t *page)
{
    uint64_t committed;
    const uint8_t *at = page + PAGE_HEADER, *end;

    memcpy(&committed, page + 8, sizeof(committed));
    end = at + (committed & COMMITTED_MASK);
    while (at + 4 <= end) {
        uint32_t header, length;

        memcpy(&header, at, sizeof(header));
        switch (header & 31) {
        case PADDING:
            if (!(header >> 5))
                return; // nothing but padding up to the end of the page
            memcpy(&length, at + 4, sizeof(length));
            at += 4 + length;
            break;
        case TIME_EXTEND:
        case TIME_STAMP:
            at += 8;
            break;
        case 0:
            memcpy(&length, at + 4, sizeof(length));
            count(format, at + 8);
            at += 4 + length;
            break;
        default:
            count(format, at + 4);
            at += 4 + 4 * (header & 31);
        }
    }
}

static void add_losses(const char *event, unsigned int cpu)
{
    char path[256], line[128];
    FILE *file;

    snprintf(path, sizeof(path), INSTANCE "/per_cpu/cpu%u/stats", event, cpu);
    file = fopen(path, "r");
    if (!file)
        fail(path);
    while (fgets(line, sizeof(line), file)) {
        unsigned long long number;

        if (sscanf(line, "overrun: %llu", &number) == 1 ||
            sscanf(line, "commit overrun: %llu", &number) == 1 ||
            sscanf(line, "dropped events: %llu", &number) == 1)
            dropped += number;
    }
    fclose(file);
}

int main(int argc, char **argv)
{
    static uint8_t page[PAGE];
    const char *event = argc > 1 ? argv[1] : "kvm_exit";
    struct format format = read_format(event);

    for (unsigned int cpu = 0; cpu < (unsigned int)sysconf(_SC_NPROCESSORS_CONF); cpu++) {
        char path[256];
        int fd;

        add_losses(event, cpu);
        snprintf(path, sizeof(path), INSTANCE "/per_cpu/cpu%u/trace_pipe_raw", event,
                 cpu);
        fd = open(path, O_RDONLY | O_NONBLOCK);
        if (fd < 0)
            fail(path);
        while (read(fd, page, sizeof(page)) > 0)
            count_page(&format, page);
        close(fd);
    }
    for (unsigned int i = 0; i < counters_used; i++)
        printf("{ common_pid: %d, vcpu_id: %u, isa: %u, exit_reason: %llu } hitcount: %llu\n",
               counters[i].pid, counters[i].vcpu, counters[i].isa,
               (unsigned long long)counters[i].reason, (unsigned long long)counters[i].count);
    printf("\nTotals:\n    Hits: %llu\n    Entries: %u\n    Dropped: %llu\n",
           (unsigned long long)hits, counters_used, (unsigned long long)dropped);
    return 0;
}
