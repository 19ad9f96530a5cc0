// SPDX-License-Identifier: GPL-2.0-only
// Preloaded into exittop: the kernel seems to refuse the BPF programs that REFUSE names, in words.
#define _GNU_SOURCE
#include <bpf/libbpf.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int is_refused(const char* program) {
    const char* list = getenv("REFUSE");
    const size_t length = strlen(program);
    for (const char* at = list; at && (at = strstr(at, program)) != NULL; at += length) {
        const int begins = at == list || at[-1] == ' ';
        if (begins && (at[length] == ' ' || at[length] == '\0')) return 1;
    }
    return 0;
}

struct bpf_link* bpf_program__attach(const struct bpf_program* program) {
    struct bpf_link* (*attach)(const struct bpf_program*) =
        (struct bpf_link * (*)(const struct bpf_program*)) dlsym(RTLD_NEXT, "bpf_program__attach");
    if (attach && !is_refused(bpf_program__name(program))) return attach(program);
    errno = ENOENT;
    return NULL;
}
