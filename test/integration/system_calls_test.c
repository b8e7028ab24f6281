/*
 * system_calls_test.c - under a seccomp filter that ends the process for every call that
 * doc/SYSTEM_CALLS.md does not list; rows B1, B4 and B5.
 *
 * The list is read from that file, so that nothing can be used which it does not say, and every
 * name in it has to be one that libseccomp knows.  The program starts itself again, sets the
 * filter, and uses the allocator: all sizes, resizing, much memory that goes back, the report, a
 * second thread.  Under `strict_syscalls` it has one thread, which the filter would not let it
 * start either.
 *
 * libseccomp is loaded when the test runs, since the library alone is on most systems.
 */
#define _GNU_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../support/child.h"

#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    CHILD_SECONDS = 60,
    NAMES_MAX = 64,
    NAME_BYTES = 32,
    MIB = 1 << 20,
    EXIT_SKIPPED = 77,
    /* Of libseccomp's header. */
    ACTION_KILL = 0x80000000,
    ACTION_TRAP = 0x00030000,
    ACTION_ALLOW = 0x7fff0000,
    UNKNOWN_NAME = -1,
};

static struct {
    void *(*init)(uint32_t action);
    int (*add)(void *filter, uint32_t action, int number, unsigned count, ...);
    int (*load)(void *filter);
    int (*resolve)(const char *name);
} seccomp;

static struct xa_child_result child;
static char names[NAMES_MAX][NAME_BYTES];
static unsigned name_count;

static bool
load_seccomp(void)
{
    void *library = dlopen("libseccomp.so.2", RTLD_NOW);

    if (library == NULL)
        return false;
    *(void **)&seccomp.init = dlsym(library, "seccomp_init");
    *(void **)&seccomp.add = dlsym(library, "seccomp_rule_add");
    *(void **)&seccomp.load = dlsym(library, "seccomp_load");
    *(void **)&seccomp.resolve = dlsym(library, "seccomp_syscall_resolve_name");
    return seccomp.init != NULL && seccomp.add != NULL && seccomp.load != NULL &&
        seccomp.resolve != NULL;
}

/* The rows "| `name` | yes/no | ..." of the page; of the strict ones only, if so asked. */
static bool
read_names(bool is_strict)
{
    const char *top = getenv("top_srcdir");
    char path[4096], line[512], name[NAME_BYTES], strict[8];
    FILE *file;

    snprintf(path, sizeof(path), "%s/doc/SYSTEM_CALLS.md", top != NULL ? top : ".");
    file = fopen(path, "r");
    if (file == NULL)
        return false;
    name_count = 0;
    while (fgets(line, sizeof(line), file) != NULL) {
        if (sscanf(line, "| `%31[a-z0-9_]` | %7[a-z]", name, strict) == 2 &&
            (!is_strict || strcmp(strict, "yes") == 0) && name_count < NAMES_MAX)
            strcpy(names[name_count++], name);
    }
    fclose(file);
    return name_count > 0;
}

/* What the filter forbids is named, in the run that is for that. */
static void
tell_call(int number, siginfo_t *information, void *context)
{
    char text[] = "forbidden system call 0000\n";

    (void)number;
    (void)context;
    for (int i = 0, call = information->si_syscall; i < 4; i++, call /= 10)
        text[sizeof(text) - 3 - (size_t)i] = (char)('0' + call % 10);
    (void)!write(STDERR_FILENO, text, sizeof(text) - 1);
    _exit(99);
}

static bool
set_filter(uint32_t action)
{
    struct sigaction tell = {.sa_sigaction = tell_call, .sa_flags = SA_SIGINFO};
    void *filter = seccomp.init(action);
    bool is_set = filter != NULL;

    sigaction(SIGSYS, &tell, NULL);
    for (unsigned i = 0; is_set && i < name_count; i++) {
        int call = seccomp.resolve(names[i]);

        /* Negative numbers stand for calls that other processors have. */
        XA_CHILD_CHECK(call != UNKNOWN_NAME);
        is_set = call < 0 || seccomp.add(filter, ACTION_ALLOW, call, 0) == 0;
    }
    /* Of the program itself, and not of the library. */
    is_set = is_set && seccomp.add(filter, ACTION_ALLOW, seccomp.resolve("exit_group"), 0) == 0 &&
        seccomp.add(filter, ACTION_ALLOW, seccomp.resolve("rt_sigreturn"), 0) == 0;
    return is_set && seccomp.load(filter) == 0;
}

static void
use_sizes(void)
{
    enum { COUNT = 3000 };
    static unsigned char *blocks[COUNT];

    for (size_t size = 1; size < (size_t)64 * MIB; size = size * 2 + 1) {
        unsigned char *block = calloc(1, size);

        XA_CHILD_CHECK(block != NULL && block[size - 1] == 0);
        block[size - 1] = 1;
        block = realloc(block, size * 3 / 2 + 1);
        XA_CHILD_CHECK(block != NULL && block[size - 1] == 1);
        free(block);
        block = aligned_alloc(4096, size);
        XA_CHILD_CHECK(block != NULL);
        free(block);
    }
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < COUNT; i++) {
            blocks[i] = malloc((size_t)i * 11 + 1);
            XA_CHILD_CHECK(blocks[i] != NULL);
            memset(blocks[i], i, (size_t)i * 11 + 1);
        }
        for (int i = 0; i < COUNT; i++)
            free(blocks[i]);
    }
    malloc_trim(0);
}

static void
let_time_go_by(void)
{
    struct timespec start, now;

    /* Nothing that sleeps is allowed; a spare moment for the purging thread. */
    clock_gettime(CLOCK_MONOTONIC, &start);
    do {
        free(malloc(100));
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while (
        (now.tv_sec - start.tv_sec) * 1000000000L + (now.tv_nsec - start.tv_nsec) < 300000000L);
}

static void *
use_sizes_in_thread(void *argument)
{
    use_sizes();
    return argument;
}

static int
run_under_filter(const char *mode, uint32_t action)
{
    bool is_strict = strcmp(mode, "strict") == 0;
    pthread_t thread;

    if (!load_seccomp())
        return EXIT_SKIPPED;
    XA_CHILD_CHECK(read_names(is_strict));
    XA_CHILD_CHECK(set_filter(action));
    use_sizes();
    if (!is_strict) {
        XA_CHILD_CHECK(pthread_create(&thread, NULL, use_sizes_in_thread, NULL) == 0);
        XA_CHILD_CHECK(pthread_join(thread, NULL) == 0);
        malloc_stats();
        (void)mallinfo2();
    }
    let_time_go_by();
    use_sizes();
    /* In the end a call that no list has, which the filter must see. */
    if (strcmp(mode, "probe") == 0)
        (void)getppid();
    _exit(0);
}

static void
run(const char *mode, const char *action, const char *settings)
{
    const char *arguments[] = {NULL, mode, action, NULL};
    const char *environment[] = {settings, NULL};
    struct xa_child_command command = {.arguments = arguments, .environment = environment};

    if (xa_child_is_instrumented()) {
        print_message("skipped: a sanitizer, Valgrind or an emulator makes calls of its own\n");
        skip();
    }
    xa_child_run(&child, CHILD_SECONDS, &command);
    if (child.exit_code == EXIT_SKIPPED) {
        print_message("skipped: there is no libseccomp.so.2\n");
        skip();
    }
}

static void
expect_that_the_list_holds(const char *mode, const char *settings)
{
    run(mode, "kill", settings);
    if (child.signal == SIGSYS)
        run(mode, "trap", settings);
    xa_child_assert_success(&child);
}

static void
b05_the_filter_ends_a_process_that_makes_another_call(void **state)
{
    (void)state;
    run("probe", "kill", "XALLOC_CONF=");
    assert_int_equal(child.signal, SIGSYS);
    run("probe", "trap", "XALLOC_CONF=");
    assert_int_equal(child.exit_code, 99);
}

static void
b01_the_documented_calls_are_all(void **state)
{
    (void)state;
    expect_that_the_list_holds("default", "XALLOC_CONF=");
    expect_that_the_list_holds("default", "XALLOC_CONF=dirty_decay_ms:50,muzzy_decay_ms:50");
    expect_that_the_list_holds("default", "XALLOC_CONF=dirty_decay_ms:0,thp:always");
}

static void
b04_strict_system_calls_are_fewer(void **state)
{
    (void)state;
    expect_that_the_list_holds("strict", "XALLOC_CONF=strict_syscalls:true");
    expect_that_the_list_holds("strict", "XALLOC_CONF=strict_syscalls:true,dirty_decay_ms:50");
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(b05_the_filter_ends_a_process_that_makes_another_call),
        cmocka_unit_test(b01_the_documented_calls_are_all),
        cmocka_unit_test(b04_strict_system_calls_are_fewer),
    };

    if (argc == 3)
        return run_under_filter(
            argv[1], strcmp(argv[2], "trap") == 0 ? ACTION_TRAP : (uint32_t)ACTION_KILL);
    xa_child_start_watchdog(300);
    return cmocka_run_group_tests(tests, xa_child_check_allocator, NULL);
}
