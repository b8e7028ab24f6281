/*
 * single_thread_test.c - processes that cannot have a second thread, or must not: rows F8 and B1.
 *
 * This program starts itself again in one of the worlds below, where the purging thread is refused
 * (by a limit on processes, by a seccomp filter) or unwanted (by a user namespace, which only a
 * process with one thread may enter).  There memory has to go back on the way: when a slab is empty
 * or a large object is freed.  What the kernel says of resident memory is printed.
 *
 * A filter that kills for clone also kills for a thread of xalloc's.  That is what strict_syscalls
 * and background_thread:false are for; at the default such a process ends once 4 MiB are unused.
 */
#define _GNU_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../support/child.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef __NR_clone3
#define __NR_clone3 435
#endif

enum {
    UNTOUCHED = 4711,
    MIB = 1 << 20,
    CHILD_SECONDS = 60,
    WAY_SECONDS = 20,
    EXIT_SKIPPED = 77,
    NOBODY = 64321, /* a user without processes */
};

static void *(*volatile call_malloc)(size_t) = malloc;
static void (*volatile call_free)(void *) = free;

/* Neither side of malloc may change it, whatever the host refuses. */
static void *
take(size_t size)
{
    unsigned char *block;

    errno = UNTOUCHED;
    block = call_malloc(size);
    XA_CHILD_CHECK(block != NULL && errno == UNTOUCHED);
    memset(block, (int)(size & 0xff), size);
    return block;
}

static void
give(void *block, size_t size)
{
    const unsigned char *bytes = block;

    XA_CHILD_CHECK(bytes[0] == (size & 0xff) && bytes[size - 1] == (size & 0xff));
    errno = UNTOUCHED;
    call_free(block);
    XA_CHILD_CHECK(errno == UNTOUCHED);
}

struct kind {
    size_t size;
    unsigned count;
};

/* What a burst takes and gives back: 56 MiB, and 15 MiB in mappings of their own. */
static const struct kind usual[] = {{100, 160000}, {3000, 6000}, {100000, 240}, {0, 0}};
static const struct kind huge[] = {{5 * MIB, 3}, {0, 0}};

static size_t
resident(void)
{
    size_t bytes = xa_child_resident_bytes();

    XA_CHILD_CHECK(bytes != 0);
    return bytes;
}

/* Returns what was resident at the height of it. */
static size_t
burst(const struct kind *kinds)
{
    enum { KINDS_MAX = 4 };
    void **blocks[KINDS_MAX];
    size_t peak;

    for (size_t kind = 0; kinds[kind].count != 0; kind++) {
        blocks[kind] = take(kinds[kind].count * sizeof(void *));
        for (unsigned i = 0; i < kinds[kind].count; i++)
            blocks[kind][i] = take(kinds[kind].size);
    }
    peak = resident();
    for (size_t kind = 0; kinds[kind].count != 0; kind++) {
        for (unsigned i = 0; i < kinds[kind].count; i++)
            give(blocks[kind][i], kinds[kind].size);
        call_free(blocks[kind]);
    }
    return peak;
}

/* A process that goes on with small objects, enough of them to leave the caches. */
static void
go_on_small(void)
{
    enum { COUNT = 2000, SIZE = 500 };
    static void *blocks[COUNT];

    for (unsigned i = 0; i < COUNT; i++)
        blocks[i] = take(SIZE);
    for (unsigned i = 0; i < COUNT; i++)
        give(blocks[i], SIZE);
}

static void
go_on_large(void)
{
    enum { SIZE = 100000 };

    give(take(SIZE), SIZE);
}

static void
go_on_huge(void)
{
    enum { SIZE = 3 * MIB };

    give(take(SIZE), SIZE);
}

/*
 * What a burst leaves, and a way to go on on which it goes back: one that misses the caches.  Without the thread huge mappings
 * that were kept are looked at only when another one is freed.
 */
static const struct way {
    const char *name;
    const struct kind *kinds;
    void (*go_on)(void);
    size_t burst_bytes; /* at least this much more is resident then */
    size_t left_bytes;  /* and at most this much in the end */
} ways[] = {
    {"small objects", usual, go_on_small, 50 * MIB, 9 * MIB},
    {"large objects", usual, go_on_large, 50 * MIB, 9 * MIB},
    {"huge objects", huge, go_on_huge, 15 * MIB, 5 * MIB},
};

static void
work(void)
{
    enum { ROUNDS = WAY_SECONDS * 100 };
    static size_t base;

    go_on_small();
    if (base == 0)
        base = resident();
    for (const struct way *way = ways; way < ways + sizeof(ways) / sizeof(ways[0]); way++) {
        size_t start = way->kinds == huge ? resident() : base;
        size_t peak = burst(way->kinds);
        unsigned rounds = 0;

        XA_CHILD_CHECK(peak >= start + way->burst_bytes);
        while (resident() > start + way->left_bytes && rounds++ < ROUNDS) {
            nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
            way->go_on();
        }
        printf("  %s: %zu KiB, %zu in a burst, %zu after %u rounds\n", way->name, start / 1024,
            peak / 1024, resident() / 1024, rounds);
        fflush(stdout);
        XA_CHILD_CHECK(resident() <= start + way->left_bytes);
    }
}

static void *
do_nothing(void *argument)
{
    return argument;
}

/* The world has to be what the test is about. */
static void
check_that_threads_are_refused(void)
{
    pthread_t thread;

    XA_CHILD_CHECK(pthread_create(&thread, NULL, do_nothing, NULL) != 0);
}

static int
skip_because(const char *reason)
{
    printf("%s\n", reason);
    return EXIT_SKIPPED;
}

static int
work_at_the_limit_of_processes(void)
{
    const struct rlimit none = {1, 1};

    XA_CHILD_CHECK(setrlimit(RLIMIT_NPROC, &none) == 0);
    /* The limit is not for root. */
    if (geteuid() == 0 && setresuid(NOBODY, NOBODY, NOBODY) != 0)
        return skip_because("this root may not become another user, and no limit holds for it");
    check_that_threads_are_refused();
    work();
    XA_CHILD_CHECK(xa_child_threads() == 1);
    return 0;
}

/* From now on the kernel answers clone and clone3 with `action`.  False if it knows no filters. */
static bool
filter_clone(uint32_t action)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_clone, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_clone3, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, action),
    };
    struct sock_fprog program = {sizeof(filter) / sizeof(filter[0]), filter};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static int
work_behind_a_filter(uint32_t action)
{
    if (!filter_clone(action))
        return skip_because("the kernel refuses a seccomp filter");
    if (action != SECCOMP_RET_KILL_PROCESS)
        check_that_threads_are_refused();
    work();
    XA_CHILD_CHECK(xa_child_threads() == 1);
    return 0;
}

static int
unshare_after_a_burst(void)
{
    work();
    (void)burst(usual);
    XA_CHILD_CHECK(xa_child_threads() == 1);
    XA_CHILD_CHECK(unshare(CLONE_NEWUSER) == 0);
    work();
    return 0;
}

static int
unshare_at_the_default(void)
{
    int status;
    pid_t pid;

    /* Little to give back: no thread. */
    for (unsigned i = 0; i < 3; i++)
        go_on_small();
    XA_CHILD_CHECK(xa_child_threads() == 1);
    (void)burst(usual);
    XA_CHILD_CHECK(xa_child_threads() == 2);
    errno = 0;
    XA_CHILD_CHECK(unshare(CLONE_NEWUSER) == -1 && errno == EINVAL);
    /* Programs that fork first, as most do, have no thread in the child. */
    pid = fork();
    if (pid == 0) {
        XA_CHILD_CHECK(unshare(CLONE_NEWUSER) == 0);
        go_on_small();
        _exit(0);
    }
    status = xa_child_wait(pid, 20);
    XA_CHILD_CHECK(status == 0);
    return 0;
}

static const struct world {
    const char *name;
    int (*enter)(void);
    uint32_t action; /* of the filter, where there is no function */
} worlds[] = {
    {"nproc", work_at_the_limit_of_processes, 0},
    {"eperm", NULL, SECCOMP_RET_ERRNO | EPERM},
    {"enosys", NULL, SECCOMP_RET_ERRNO | ENOSYS},
    {"kill", NULL, SECCOMP_RET_KILL_PROCESS},
    {"unshare", unshare_after_a_burst, 0},
    {"unshare-default", unshare_at_the_default, 0},
};

static int
enter_world(const char *name)
{
    for (size_t i = 0; i < sizeof(worlds) / sizeof(worlds[0]); i++) {
        if (strcmp(worlds[i].name, name) == 0)
            return worlds[i].enter != NULL ? worlds[i].enter()
                                           : work_behind_a_filter(worlds[i].action);
    }
    return 2;
}

/* Run the world with these settings; nothing may be written on stderr. */
static void
expect_work_in(const char *world, const char *settings)
{
    static struct xa_child_result result;
    const char *arguments[] = {NULL, world, NULL};
    const char *environment[] = {settings, "MEMORY_PRESSURE_WATCH=/dev/null", NULL};
    struct xa_child_command command = {.arguments = arguments, .environment = environment};

    if (xa_child_is_instrumented()) {
        print_message("skipped: an instrumented malloc gives nothing back\n");
        skip();
    }
    xa_child_run(&result, CHILD_SECONDS, &command);
    if (result.exit_code == EXIT_SKIPPED) {
        print_message("skipped: %s", result.output);
        skip();
    }
    xa_child_assert_success(&result);
    assert_string_equal(result.errors, "");
    print_message("%s, %s: resident\n%s", world, settings, result.output);
}

static void
at_the_limit_of_processes_memory_goes_back_on_the_way(void **state)
{
    (void)state;
    expect_work_in("nproc", "XALLOC_CONF");
}

static void
behind_a_filter_memory_goes_back_on_the_way(void **state)
{
    (void)state;
    expect_work_in("eperm", "XALLOC_CONF");
    expect_work_in("enosys", "XALLOC_CONF");
}

static void
where_clone_kills_no_thread_is_tried_if_none_is_allowed(void **state)
{
    (void)state;
    expect_work_in("kill", "XALLOC_CONF=strict_syscalls:true");
    expect_work_in("kill", "XALLOC_CONF=background_thread:false");
}

static int
try_unshare(void *argument)
{
    (void)argument;
    return unshare(CLONE_NEWUSER) == 0 ? 0 : errno;
}

static void
skip_without_namespaces(void)
{
    static struct xa_child_result result;

    xa_child_call(&result, CHILD_SECONDS, try_unshare, NULL);
    if (result.exit_code != 0) {
        print_message("skipped: no user namespace here: %s\n", strerror(result.exit_code));
        skip();
    }
}

static void
without_the_thread_a_user_namespace_can_be_entered(void **state)
{
    (void)state;
    skip_without_namespaces();
    expect_work_in("unshare", "XALLOC_CONF=background_thread:false");
}

static void
with_the_thread_only_a_forked_child_enters_a_user_namespace(void **state)
{
    (void)state;
    skip_without_namespaces();
    expect_work_in("unshare-default", "XALLOC_CONF");
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(at_the_limit_of_processes_memory_goes_back_on_the_way),
        cmocka_unit_test(behind_a_filter_memory_goes_back_on_the_way),
        cmocka_unit_test(where_clone_kills_no_thread_is_tried_if_none_is_allowed),
        cmocka_unit_test(without_the_thread_a_user_namespace_can_be_entered),
        cmocka_unit_test(with_the_thread_only_a_forked_child_enters_a_user_namespace),
    };

    if (argc == 2)
        return enter_world(argv[1]);
    xa_child_start_watchdog(240);
    return cmocka_run_group_tests(tests, xa_child_check_allocator, NULL);
}
