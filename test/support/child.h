/*
 * child.h - processes: run something in a child under a deadline, and look at our own process.
 *
 * A hang is the failure that the fork, limit and cancellation tests are looking for, so nothing
 * here waits for ever: a child which is late is killed with its whole process group, and the
 * result says so. What a child writes is caught, because the library reports through stderr.
 *
 * Inside a child no cmocka assertion may be used: it would jump into the parent's list of tests.
 * A child uses XA_CHILD_CHECK(), which names the place on stderr and ends the child.
 */
#ifndef XA_TEST_CHILD_H
#define XA_TEST_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    XA_CHILD_CAPTURE_BYTES = 256 * 1024, /* what is written beyond this is read and dropped */
    XA_CHILD_CHECK_FAILED = 99,          /* exit code of a child whose XA_CHILD_CHECK failed */
    XA_CHILD_CANNOT_RUN = 98             /* exit code of a child which could not exec */
};

struct xa_child_result {
    bool timed_out;
    int exit_code; /* -1 if a signal ended the child */
    int signal;    /* 0 if the child exited */
    char output[XA_CHILD_CAPTURE_BYTES];
    char errors[XA_CHILD_CAPTURE_BYTES];
};

struct xa_child_command {
    const char *const
        *arguments; /* argv, ends with NULL; argv[0] == NULL stands for this program */
    const char *const
        *environment;          /* "NAME=value" sets, "NAME" removes; ends with NULL; may be NULL */
    void (*before_exec)(void); /* runs in the child, for instance to set limits; may be NULL */
};

/*
 * Run function(argument) in a forked child and wait up to `seconds`.  The child's exit code is what
 * the function returns.
 */
void xa_child_call(
    struct xa_child_result *result, unsigned seconds, int (*function)(void *), void *argument);

/*
 * Run a program in a child and wait up to `seconds`.  Nothing is allocated between fork and exec.
 */
void xa_child_run(
    struct xa_child_result *result, unsigned seconds, const struct xa_child_command *command);

/*
 * Run this program again with `mode` as its argument and one change of the environment, as above;
 * NULL for none.
 */
void xa_child_run_mode(
    struct xa_child_result *result, unsigned seconds, const char *mode, const char *change);

/* Fail the current cmocka test, printing what the child wrote, unless the child exited with 0. */
void xa_child_assert_success(const struct xa_child_result *result);

/* Fork by the bare system call: libc knows nothing of it, and nobody's handlers run. */
pid_t xa_child_fork_bare(void);

/*
 * Wait up to `seconds` for a child of the calling process.  Returns its wait status, or -1 after
 * having killed it because it was late.  Safe to use where malloc is not.
 */
int xa_child_wait(pid_t pid, unsigned seconds);

/* End the calling process with a message unless `holds`; use it through XA_CHILD_CHECK. */
void xa_child_check(bool holds, const char *file, int line, const char *text);

#define XA_CHILD_CHECK(condition) xa_child_check((condition), __FILE__, __LINE__, #condition)

/* End this process with a message, as a failure, `seconds` from now. */
void xa_child_start_watchdog(unsigned seconds);

/*
 * Set the calling process' soft limit of a resource (RLIMIT_AS, …) to `bytes`; SIZE_MAX lifts it
 * as far as the hard limit allows.  The hard limit stays, so that a limit can be lifted again.
 */
bool xa_child_limit(int resource, size_t bytes);

/* The path of the running program, for starting it again. */
const char *xa_child_own_path(void);

/* Write one line on stdout that says which object's malloc is in use. */
void xa_child_print_allocator(void);

/*
 * cmocka group set-up: fail if XALLOC_LIBRARY names a library and malloc is neither that library's
 * nor linked into this program.  Without this check a lost preload would test the C library
 * instead.
 */
int xa_child_check_allocator(void **state);

/*
 * Whether a sanitizer or Valgrind has taken the place of malloc, or an emulator that of the kernel,
 * so that limits and sizes mean nothing.
 */
bool xa_child_is_instrumented(void);

/*
 * Whether the program runs in an emulator of its processor (bin/dev/check-arch).  That has system
 * calls of its own: it ignores advice and limits, and shows its own memory for the program's.
 */
bool xa_child_is_emulated(void);

/* Skip the current cmocka test there, printing why. */
void xa_child_skip_if_emulated(const char *reason);

/* The calling process' threads. */
unsigned xa_child_threads(void);

/* The calling process' resident and virtual bytes, read without allocating. */
size_t xa_child_resident_bytes(void);
size_t xa_child_virtual_bytes(void);

#ifdef __cplusplus
}
#endif

#endif
