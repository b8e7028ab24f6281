/*
 * mallctl_test.c - the control tree as programs made for jemalloc use it, rows S45, S46, I1 to I5.
 *
 * The functions are looked up by name, as HAProxy and folly do; a program's own malloc_conf and
 * malloc_message are in this file.  Figures are compared with what the program has done.
 */
#define _GNU_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../support/child.h"
#include "../support/threads.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "xalloc/jemalloc.h"

enum { MIB = 1 << 20, THREADS = 4, ROUNDS = 3000, SECONDS = 60, FORKS = 100, OBJECTS = 2000 };

typedef int mallctl_function(const char *, void *, size_t *, void *, size_t);
typedef int nametomib_function(const char *, size_t *, size_t *);
typedef int bymib_function(const size_t *, size_t, void *, size_t *, void *, size_t);

static mallctl_function *call;
static nametomib_function *to_mib;
static bymib_function *by_mib;
static struct xa_child_result child;

/* The library finds these in the program: see configuration_symbol_test.c. */
const char *malloc_conf = "tcache_max:32768,prof:true,lg_prof_sample:19,no_such:1";
static void *volatile sink;

static void *
allocate(size_t bytes)
{
    sink = malloc(bytes);
    return sink;
}

static bool
find_functions(void)
{
    call = (mallctl_function *)dlsym(RTLD_DEFAULT, "mallctl");
    to_mib = (nametomib_function *)dlsym(RTLD_DEFAULT, "mallctlnametomib");
    by_mib = (bymib_function *)dlsym(RTLD_DEFAULT, "mallctlbymib");
    return call != NULL && to_mib != NULL && by_mib != NULL;
}

static size_t
size_of(const char *name)
{
    size_t value = 0, bytes = sizeof value;
    XA_CHILD_CHECK(call(name, &value, &bytes, NULL, 0) == 0);
    return value;
}

static uint64_t
sum_of(const char *name)
{
    uint64_t value = 0;
    size_t bytes = sizeof value;
    XA_CHILD_CHECK(call(name, &value, &bytes, NULL, 0) == 0);
    return value;
}

static unsigned
count_of(const char *name)
{
    unsigned value = 0;
    size_t bytes = sizeof value;
    XA_CHILD_CHECK(call(name, &value, &bytes, NULL, 0) == 0);
    return value;
}

static bool
flag_of(const char *name)
{
    bool value = false;
    size_t bytes = sizeof value;
    XA_CHILD_CHECK(call(name, &value, &bytes, NULL, 0) == 0);
    return value;
}

static uint64_t
refresh(void)
{
    uint64_t epoch = 1;
    size_t bytes = sizeof epoch;
    XA_CHILD_CHECK(call("epoch", &epoch, &bytes, &epoch, sizeof epoch) == 0);
    return epoch;
}

/* As Redis asks for INFO memory. */
static int
redis_finds_its_figures(void *argument)
{
    (void)argument;
    static void *objects[OBJECTS];
    refresh();
    size_t before = size_of("stats.allocated");
    for (int i = 0; i < OBJECTS; i++)
        objects[i] = allocate(1000);
    refresh();
    size_t allocated = size_of("stats.allocated"), active = size_of("stats.active");
    XA_CHILD_CHECK(allocated - before >= (size_t)OBJECTS * 1000);
    XA_CHILD_CHECK(allocated - before <= (size_t)OBJECTS * 1100);
    XA_CHILD_CHECK(allocated <= active && active <= size_of("stats.resident"));
    XA_CHILD_CHECK(size_of("stats.resident") <= size_of("stats.mapped"));
    (void)size_of("stats.retained");
    XA_CHILD_CHECK(size_of("stats.arenas.4096.pactive") * size_of("arenas.page") == active);
    XA_CHILD_CHECK(size_of("stats.arenas.4096.small.allocated") +
            size_of("stats.arenas.4096.large.allocated") >=
        allocated);
    for (int i = 0; i < OBJECTS; i++)
        free(objects[i]);
    char name[64];
    (void)snprintf(name, sizeof name, "arena.%u.purge", count_of("arenas.narenas"));
    XA_CHILD_CHECK(call(name, NULL, NULL, NULL, 0) == 0);
    XA_CHILD_CHECK(call("thread.tcache.flush", NULL, NULL, NULL, 0) == 0);
    refresh();
    XA_CHILD_CHECK(size_of("stats.allocated") < before + (size_t)OBJECTS * 100);
    return 0;
}

/* As Redis looks for slabs with room. */
static int
bins_are_walked_by_mib(void *argument)
{
    size_t out[6], size[4], out_length = 6, size_length = 4, bytes;
    (void)argument;
    void *volatile object = allocate(500);
    refresh();
    XA_CHILD_CHECK(to_mib("stats.arenas.4096.bins.0.curregs", out, &out_length) == 0);
    XA_CHILD_CHECK(to_mib("arenas.bin.0.size", size, &size_length) == 0);
    XA_CHILD_CHECK(out_length == 6 && size_length == 4);
    size_t sum = 0, bins = count_of("arenas.nbins");
    for (size_t i = 0; i < bins; i++) {
        size_t objects, object_bytes;
        out[4] = size[2] = i;
        bytes = sizeof objects;
        XA_CHILD_CHECK(by_mib(out, out_length, &objects, &bytes, NULL, 0) == 0);
        bytes = sizeof object_bytes;
        XA_CHILD_CHECK(by_mib(size, size_length, &object_bytes, &bytes, NULL, 0) == 0);
        sum += objects * object_bytes;
    }
    XA_CHILD_CHECK(sum == size_of("stats.arenas.4096.small.allocated"));
    out[4] = bins;
    XA_CHILD_CHECK(by_mib(out, out_length, &sum, &bytes, NULL, 0) == ENOENT);
    free(object);
    return 0;
}

/* As folly finds out whether malloc is jemalloc's. */
static int
folly_sees_the_next_malloc(void *argument)
{
    uint64_t *counter = NULL, before;
    size_t bytes = sizeof counter;
    (void)argument;
    for (int i = 0; i < OBJECTS; i++)
        free(allocate(1));
    XA_CHILD_CHECK(call("thread.allocatedp", &counter, &bytes, NULL, 0) == 0);
    XA_CHILD_CHECK(bytes == sizeof counter);
    before = *counter;
    void *volatile object = allocate(1);
    XA_CHILD_CHECK(*counter != before);
    free(object);
    return 0;
}

/* As HAProxy trims: every arena by its number, and MIBs with the number patched. */
static int
every_arena_is_purged(void *argument)
{
    size_t mib[3], length = 3;
    (void)argument;
    unsigned arenas = count_of("arenas.narenas");
    XA_CHILD_CHECK(arenas >= 1 && arenas == count_of("opt.narenas"));
    XA_CHILD_CHECK(to_mib("arena.0.purge", mib, &length) == 0);
    for (unsigned i = 0; i <= arenas; i++) {
        mib[1] = i;
        XA_CHILD_CHECK(by_mib(mib, length, NULL, NULL, NULL, 0) == 0);
    }
    mib[1] = arenas + 1;
    XA_CHILD_CHECK(by_mib(mib, length, NULL, NULL, NULL, 0) == ENOENT);
    return 0;
}

/* As BIND sets the decay time of all arenas; and as programs do at start. */
static int
settings_take_effect(void *argument)
{
    ptrdiff_t time = 0;
    bool flag = false;
    (void)argument;
    XA_CHILD_CHECK(call("arenas.dirty_decay_ms", NULL, NULL, &time, sizeof time) == 0);
    XA_CHILD_CHECK(call("arena.4096.dirty_decay_ms", NULL, NULL, &time, sizeof time) == 0);
    XA_CHILD_CHECK(call("background_thread", NULL, NULL, &flag, sizeof flag) == 0);
    XA_CHILD_CHECK(!flag_of("background_thread"));
    char *object = allocate(MIB);
    memset(object, 1, MIB);
    free(object);
    XA_CHILD_CHECK(call("thread.tcache.flush", NULL, NULL, NULL, 0) == 0);
    free(allocate(100000));
    XA_CHILD_CHECK(call("thread.tcache.flush", NULL, NULL, NULL, 0) == 0);
    refresh();
    /* With a decay time of 0 nothing stays dirty. */
    XA_CHILD_CHECK(size_of("stats.arenas.4096.pdirty") == 0);
    XA_CHILD_CHECK(size_of("stats.background_thread.num_threads") == 0);
    return 0;
}

static int
errno_stays_and_errors_are_results(void *argument)
{
    size_t value = 0, bytes = sizeof value;
    (void)argument;
    errno = 77;
    XA_CHILD_CHECK(call("no.such", &value, &bytes, NULL, 0) == ENOENT);
    XA_CHILD_CHECK(call("arenas.page", NULL, NULL, &value, sizeof value) == EPERM);
    bytes = 2;
    XA_CHILD_CHECK(call("arenas.page", &value, &bytes, NULL, 0) == EINVAL && bytes == 2);
    XA_CHILD_CHECK(call("arena.0.destroy", NULL, NULL, NULL, 0) == EFAULT);
    XA_CHILD_CHECK(errno == 77);
    return 0;
}

static atomic_bool is_over;

static void
use_and_ask(unsigned index, void *argument)
{
    (void)argument;
    if (index == 0) {
        uint64_t last = 0;
        for (int i = 0; i < ROUNDS; i++) {
            uint64_t epoch = refresh();
            XA_CHILD_CHECK(epoch > last);
            last = epoch;
            XA_CHILD_CHECK(size_of("stats.active") != 0);
            XA_CHILD_CHECK(sum_of("stats.arenas.4096.small.nmalloc") != 0);
        }
        atomic_store(&is_over, true);
        return;
    }
    while (!atomic_load(&is_over)) {
        void *objects[64];
        for (int i = 0; i < 64; i++)
            objects[i] = malloc((size_t)(i + 1) * 37);
        bool flag = index % 2 == 0;
        XA_CHILD_CHECK(call("thread.tcache.enabled", NULL, NULL, &flag, sizeof flag) == 0);
        uint64_t sum;
        size_t bytes = sizeof sum;
        int error = call("thread.allocated", &sum, &bytes, NULL, 0);
        /* The purging thread may have its cache for the moment. */
        XA_CHILD_CHECK(error == 0 || error == EAGAIN);
        for (int i = 0; i < 64; i++)
            free(objects[i]);
        (void)call("arena.0.decay", NULL, NULL, NULL, 0);
    }
}

static int
threads_use_it_while_others_allocate(void *argument)
{
    (void)argument;
    XA_CHILD_CHECK(xa_threads_run(THREADS, use_and_ask, NULL, SECONDS));
    return 0;
}

static void
ask_until_over(unsigned index, void *argument)
{
    (void)index;
    (void)argument;
    while (!atomic_load(&is_over)) {
        (void)refresh();
        free(malloc(100));
    }
}

/* A child may be cut from a process in which another thread is taking the figures. */
static int
children_have_figures_of_their_own(void *argument)
{
    struct xa_threads team;
    (void)argument;
    XA_CHILD_CHECK(xa_threads_start(&team, 2, ask_until_over, NULL));
    for (int i = 0; i < FORKS; i++) {
        pid_t pid = fork();
        XA_CHILD_CHECK(pid >= 0);
        if (pid == 0) {
            void *volatile object = malloc(10 * MIB);
            uint64_t epoch = refresh();
            bool is_right = epoch == refresh() - 1 && size_of("stats.allocated") >= 10 * MIB &&
                call("arena.4096.purge", NULL, NULL, NULL, 0) == 0;
            free(object);
            _exit(is_right ? 0 : 1);
        }
        XA_CHILD_CHECK(xa_child_wait(pid, SECONDS) == 0);
    }
    atomic_store(&is_over, true);
    XA_CHILD_CHECK(xa_threads_join(&team, SECONDS));
    return 0;
}

static int
the_program_s_settings_are_read(void *argument)
{
    const char *text = NULL;
    size_t bytes = sizeof text;
    (void)argument;
    /* Only if the linker has put them where the library looks; else there is nothing to see. */
    XA_CHILD_CHECK(call("opt.malloc_conf.global_var", &text, &bytes, NULL, 0) == 0);
    XA_CHILD_CHECK(text == malloc_conf);
    XA_CHILD_CHECK(size_of("opt.tcache_max") == 32768);
    XA_CHILD_CHECK(!flag_of("opt.prof"));
    return 0;
}

static char said[512];

static void
listen(void *context, const char *text)
{
    if (context == NULL && strlen(said) + strlen(text) < sizeof said)
        strcat(said, text);
}

static int
a_program_gets_the_lines(void *argument)
{
    void (**message)(void *, const char *) =
        (void (**)(void *, const char *))dlsym(RTLD_DEFAULT, "malloc_message");
    (void)argument;
    XA_CHILD_CHECK(message != NULL);
    *message = listen;
    /* On the stack: not from xalloc. */
    char *volatile pointer = said;
    free(pointer + 16);
    XA_CHILD_CHECK(strstr(said, "xalloc: free(0x") == said);
    XA_CHILD_CHECK(said[strlen(said) - 1] == '\n');
    *message = NULL;
    return 0;
}

static void
run(int (*function)(void *))
{
    xa_child_call(&child, SECONDS, function, NULL);
    xa_child_assert_success(&child);
}

#define RUN(name)                         \
    static void test_##name(void **state) \
    {                                     \
        (void)state;                      \
        run(name);                        \
    }
RUN(redis_finds_its_figures)
RUN(bins_are_walked_by_mib)
RUN(folly_sees_the_next_malloc)
RUN(every_arena_is_purged)
RUN(settings_take_effect)
RUN(errno_stays_and_errors_are_results)
RUN(threads_use_it_while_others_allocate)
RUN(the_program_s_settings_are_read)

static void
test_children_have_figures_of_their_own(void **state)
{
    (void)state;
    xa_child_skip_if_emulated("the emulator's own locks stay taken in children of threads");
    run(children_have_figures_of_their_own);
}

static void
test_a_program_gets_the_lines(void **state)
{
    (void)state;
    run(a_program_gets_the_lines);
    assert_null(strstr(child.errors, "xalloc:"));
}

/* In a process of its own, for the environment. */
static void
the_environment_s_settings_for_jemalloc_are_read_in_silence(void **state)
{
    const char *const arguments[] = {NULL, "work", NULL};
    const char *const environment[] = {
        "XALLOC_CONF", "MALLOC_CONF=narenas:2,dirty_decay_ms:7,hpa:true,lg_chunk:22", NULL};
    const struct xa_child_command command = {arguments, environment, NULL};
    (void)state;
    xa_child_run(&child, SECONDS, &command);
    xa_child_assert_success(&child);
    assert_string_equal(child.errors, "");
    assert_string_equal(child.output, "2 7\n");
}

static int
work(void)
{
    printf("%u %zd\n", count_of("opt.narenas"), (ptrdiff_t)size_of("opt.dirty_decay_ms"));
    return 0;
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_redis_finds_its_figures),
        cmocka_unit_test(test_bins_are_walked_by_mib),
        cmocka_unit_test(test_folly_sees_the_next_malloc),
        cmocka_unit_test(test_every_arena_is_purged),
        cmocka_unit_test(test_settings_take_effect),
        cmocka_unit_test(test_errno_stays_and_errors_are_results),
        cmocka_unit_test(test_threads_use_it_while_others_allocate),
        cmocka_unit_test(test_children_have_figures_of_their_own),
        cmocka_unit_test(test_the_program_s_settings_are_read),
        cmocka_unit_test(test_a_program_gets_the_lines),
        cmocka_unit_test(the_environment_s_settings_for_jemalloc_are_read_in_silence),
    };
    if (!find_functions()) {
        print_message("mallctl is not there\n");
        return 1;
    }
    if (argc == 2 && strcmp(argv[1], "work") == 0)
        return work();
    xa_child_start_watchdog(240);
    return cmocka_run_group_tests(tests, xa_child_check_allocator, NULL);
}
