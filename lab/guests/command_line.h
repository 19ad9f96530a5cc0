// SPDX-License-Identifier: GPL-2.0-only
// A guest program that looks like another one: `-- ARGV...` at the end of its command line becomes
// its command line, by starting it again; its own arguments are then in the environment.
//
// The includer defines PROGRAM_NAME and _GNU_SOURCE.
#pragma once
#include "kvm_api.h"

#include <sys/prctl.h>
#include <unistd.h>

#define ARGUMENTS_VARIABLE "EXITTOP_GUEST_ARGUMENTS"
enum { MAX_ARGUMENTS = 256 };

// Starts this program again under the command line `other`, with its own arguments up to "--".
__attribute__((noreturn)) static inline void become(int argc, char **argv, char **other)
{
    char text[4096] = "";

    for (int i = 1; i < argc && strcmp(argv[i], "--"); i++) {
        strncat(text, argv[i], sizeof(text) - strlen(text) - 2);
        strcat(text, " ");
    }
    setenv(ARGUMENTS_VARIABLE, text, 1);
    execv("/proc/self/exe", other);
    fail("exec: %s", strerror(errno));
}

// The arguments of a program started by become(), as an argument vector; NULL for any other.
static inline char **handed_over(int *argc, char **argv)
{
    static char *words[MAX_ARGUMENTS + 1] = {PROGRAM_NAME};
    char *text = getenv(ARGUMENTS_VARIABLE);
    const char *slash = strrchr(argv[0], '/');

    if (!text)
        return NULL;
    prctl(PR_SET_NAME, slash ? slash + 1 : argv[0]); // exec named it after /proc/self/exe
    *argc = 1;
    for (char *word = strtok(text, " "); word && *argc < MAX_ARGUMENTS; word = strtok(NULL, " "))
        words[(*argc)++] = word;
    return words;
}
