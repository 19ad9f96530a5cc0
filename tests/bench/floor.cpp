// SPDX-License-Identifier: GPL-2.0-only
// Runs a command while a pair of empty programs is attached to kvm_exit and kvm_entry.
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "floor.skel.h"

int main(int argc, char** argv) {
    if (argc < 2) {
        std::fputs("usage: floor COMMAND [ARGUMENT...]\n", stderr);
        return 2;
    }
    floor_bpf* skeleton = floor_bpf__open_and_load();
    if (skeleton == nullptr || floor_bpf__attach(skeleton) != 0) {
        std::fprintf(stderr, "floor: cannot attach: %s\n", std::strerror(errno));
        return 1;
    }
    const pid_t child = fork();
    if (child == 0) {
        execvp(argv[1], argv + 1);
        std::fprintf(stderr, "floor: %s: %s\n", argv[1], std::strerror(errno));
        _exit(127);
    }
    int status = 0;
    waitpid(child, &status, 0);
    floor_bpf__destroy(skeleton);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
