// SPDX-License-Identifier: GPL-2.0-only
// Sets a count in a running exittop, for tests of counts too large to be reached by counting:
// preset_count EXITTOP_PID VM_PID CODE COUNT. Sets the exits with that code of the first vCPU of
// that process; ends with status 0 if there are some.
//
// Writes through /proc/PID/mem into the memory that exittop shares with its BPF program, where it
// finds the slot by what its header says.
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exittop_abi.h"

enum { STEP = 64 }; // slots begin at whole cache lines

static bool preset(int memory, uint64_t at, const uint8_t *bytes, uint32_t code, uint64_t count)
{
    const struct vcpu_slot *slot = (const void *)bytes;

    for (uint32_t i = 1; i < slot->header.cells_used && i < EXITTOP_CELLS; i++) {
        uint64_t offset = offsetof(struct vcpu_slot, cells) + i * sizeof(struct exit_cell);

        if (slot->cells[i].code != code)
            continue;
        offset += offsetof(struct exit_cell, count);
        if (pwrite(memory, &count, sizeof(count), (off_t)(at + offset)) != sizeof(count))
            err(1, "writing the count");
        return true;
    }
    return false;
}

int main(int argc, char **argv)
{
    char path[64], line[512];
    uint32_t pid, code;
    uint64_t count;
    FILE *maps;
    int memory;

    if (argc != 5)
        errx(2, "usage: preset_count EXITTOP_PID VM_PID CODE COUNT");
    pid = (uint32_t)strtoul(argv[2], NULL, 0);
    code = (uint32_t)strtoul(argv[3], NULL, 0);
    count = strtoull(argv[4], NULL, 0);
    snprintf(path, sizeof(path), "/proc/%s/mem", argv[1]);
    memory = open(path, O_RDWR);
    snprintf(path, sizeof(path), "/proc/%s/maps", argv[1]);
    maps = fopen(path, "r");
    if (memory < 0 || !maps)
        err(1, "%s", path);
    while (fgets(line, sizeof(line), maps)) {
        unsigned long long begin, end;
        uint8_t *bytes;

        if (!strstr(line, "bpf-map") || sscanf(line, "%llx-%llx rw", &begin, &end) != 2)
            continue;
        bytes = malloc(end - begin);
        if (!bytes || pread(memory, bytes, end - begin, (off_t)begin) != (ssize_t)(end - begin))
            err(1, "reading exittop's memory");
        for (uint64_t at = 0; at + EXITTOP_SLOT_SIZE <= end - begin; at += STEP) {
            const struct vcpu_header *header = (const void *)(bytes + at);

            if (header->vcpu && header->who.pid == pid &&
                preset(memory, begin + at, bytes + at, code, count))
                return 0;
        }
        free(bytes);
    }
    errx(1, "no vCPU of process %u has exits of code %#x", pid, code);
}
