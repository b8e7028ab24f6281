/*
 * launch.c - run a program under an allocator and tell what it took, from outside.
 *
 *   launch LIBRARY COMMAND [ARGUMENT ...]    LIBRARY is preloaded; "-" is none
 *
 * A line of TSV goes to file descriptor 3: nanoseconds; processor nanoseconds; minor page faults;
 * peak resident KiB of the largest process; exit status.  All are of the program with the processes
 * that it started and waited for.
 *
 * It is so small because the kernel counts the parent's size before exec into the child's peak: a
 * program started by Python would never seem to need less than Python.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    REPORT_FILE = 3,
    CANNOT_START = 127,
};

static double
now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static double
timeval_ns(struct timeval time)
{
    return (double)time.tv_sec * 1e9 + (double)time.tv_usec * 1e3;
}

static void
become(const char *library, char **command)
{
    if (strcmp(library, "-") != 0)
        setenv("LD_PRELOAD", library, 1);
    close(REPORT_FILE);
    execvp(command[0], command);
    perror(command[0]);
    _exit(CANNOT_START);
}

int
main(int argument_count, char **arguments)
{
    struct rusage usage;
    int status;

    if (argument_count < 3) {
        fputs("usage: launch LIBRARY COMMAND [ARGUMENT ...]\n", stderr);
        return 2;
    }
    double start_ns = now_ns();
    pid_t child = fork();
    if (child == 0)
        become(arguments[1], arguments + 2);
    if (child < 0 || wait4(child, &status, 0, &usage) != child) {
        perror("launch");
        return 2;
    }
    double ns = now_ns() - start_ns;
    double cpu_ns = timeval_ns(usage.ru_utime) + timeval_ns(usage.ru_stime);
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    dprintf(REPORT_FILE, "%.0f\t%.0f\t%ld\t%ld\t%d\n", ns, cpu_ns, usage.ru_minflt, usage.ru_maxrss,
        code);
    return 0;
}
