/*
 * start.c - processes that start, use a little memory, and end.
 *
 *   start process [OBJECTS]    each allocates 50 objects
 *
 * The program starts itself with the argument "child".  An operation is a process; loading the
 * preloaded library and its relocation are in it.
 */
#define _GNU_SOURCE
#include "workload.h"

#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum {
    SLICE_PROCESSES = 20,
    OBJECTS_MAX = 10000,
    SIZE_MIN = 16,
    SIZE_RANGE = 496,
};

static char *self;

static int
live_as_child(const char *count_text)
{
    struct workload_random random = workload_seed(1);
    size_t count = strtoul(count_text, NULL, 10);
    for (size_t i = 0; i < count; i++)
        workload_allocate(SIZE_MIN + workload_below(&random, SIZE_RANGE));
    return 0;
}

static size_t
slice(struct workload_run *run)
{
    char count_text[32];
    char role[] = "child";
    char *arguments[] = {self, role, count_text, NULL};
    size_t processes = workload_scaled(run, SLICE_PROCESSES);

    snprintf(count_text, sizeof count_text, "%zu", run->parameter);
    for (size_t i = 0; i < processes; i++) {
        pid_t child;
        int status;
        int result = posix_spawn(&child, self, NULL, NULL, arguments, environ);
        workload_require(result == 0, "posix_spawn");
        workload_require(waitpid(child, &status, 0) == child && status == 0, "the child");
    }
    return processes;
}

static const struct workload_case cases[] = {
    {"process", 50, OBJECTS_MAX, 1, 11, NULL, slice, NULL},
};

int
main(int argument_count, char **arguments)
{
    self = arguments[0];
    if (argument_count == 3 && strcmp(arguments[1], "child") == 0)
        return live_as_child(arguments[2]);
    return workload_main(argument_count, arguments, cases, sizeof cases / sizeof cases[0]);
}
