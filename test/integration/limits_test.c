/*
 * limits_test.c - little memory, and none: rows R1 to R3 and R11.
 *
 * This program starts itself again under a limit, in one of the modes below, or lowers a limit
 * while it runs.  Whatever the limit, the allocator gives NULL and ENOMEM and goes on once there
 * is memory again.
 *
 * Strict overcommit (vm.overcommit_memory=2) is a setting of the whole machine, so a test must not
 * touch it.  RLIMIT_DATA stands in for it: it too counts writable private memory only, when it is
 * asked for.
 *
 * The parent's buffers are allocated, not static, because static ones count against a child's
 * limit.
 */
#define _GNU_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../support/chain.h"
#include "../support/child.h"
#include "../support/seed.h"
#include "../support/threads.h"

#include <errno.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static void *(*volatile call_malloc)(size_t) = malloc;
static void *(*volatile call_calloc)(size_t, size_t) = calloc;
static void *(*volatile call_realloc)(void *, size_t) = realloc;
static void *(*volatile call_memalign)(size_t, size_t) = memalign;
static void (*volatile call_free)(void *) = free;

enum { UNTOUCHED = 4711, MIB = 1 << 20, KIB = 1 << 10, CHILD_SECONDS = 60 };

/* Runs under a limit from its start on: run out with each size, free, and get it again. */
static int
run_out_again_and_again(size_t least_bytes)
{
    static const size_t sizes[] = {24, 100, 1000, 5000, 40000, 120000};
    struct xa_chain_block *chain = NULL;

    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            size_t taken = xa_chain_take(&chain, sizes[i], 64 * MIB, XA_CHAIN_WRITE_ENDS);

            xa_chain_free(&chain);
            XA_CHILD_CHECK(taken < 64 * MIB);
            XA_CHILD_CHECK(taken >= least_bytes);
        }
    }
    errno = UNTOUCHED;
    XA_CHILD_CHECK(call_malloc(512 * MIB) == NULL && errno == ENOMEM);
    errno = UNTOUCHED;
    XA_CHILD_CHECK(call_calloc(512 * KIB, KIB) == NULL && errno == ENOMEM);
    return 0;
}

static void
limit_address_space_to_8_mib(void)
{
    xa_child_limit(RLIMIT_AS, 8 * MIB);
}

static void
limit_data_to_8_mib(void)
{
    xa_child_limit(RLIMIT_DATA, 8 * MIB);
}

static void
expect_mode_succeeds(const char *mode, void (*before_exec)(void))
{
    const char *const arguments[] = {NULL, mode, NULL};
    const struct xa_child_command command = {arguments, NULL, before_exec};
    struct xa_child_result *child;

    if (xa_child_is_instrumented()) {
        print_message("skipped: a limit means nothing under a sanitizer or Valgrind\n");
        skip();
    }
    child = calloc(1, sizeof(*child));
    assert_non_null(child);
    xa_child_run(child, CHILD_SECONDS, &command);
    xa_child_assert_success(child);
    free(child);
}

static void
r01_a_program_runs_in_8_mib_of_address_space(void **state)
{
    (void)state;
    expect_mode_succeeds("limited", limit_address_space_to_8_mib);
}

static void
r02_a_program_runs_in_8_mib_of_data(void **state)
{
    (void)state;
    expect_mode_succeeds("limited", limit_data_to_8_mib);
}

/* Try every function once without memory left: all fail in order, none ends the process. */
static void
expect_every_function_to_fail(void *kept)
{
    void *out = &out;
    void *const marker = out;

    errno = UNTOUCHED;
    XA_CHILD_CHECK(call_malloc(64 * MIB) == NULL && errno == ENOMEM);
    errno = UNTOUCHED;
    XA_CHILD_CHECK(call_calloc(64, MIB) == NULL && errno == ENOMEM);
    errno = UNTOUCHED;
    XA_CHILD_CHECK(call_realloc(kept, 64 * MIB) == NULL && errno == ENOMEM);
    errno = UNTOUCHED;
    XA_CHILD_CHECK(call_memalign(32 * MIB, 64 * MIB) == NULL && errno == ENOMEM);
    XA_CHILD_CHECK(posix_memalign(&out, 4096, 64 * MIB) == ENOMEM && out == marker);
    errno = UNTOUCHED;
    XA_CHILD_CHECK(aligned_alloc(4096, 64 * MIB) == NULL && errno == ENOMEM);
    malloc_trim(0);
    mallinfo2();
}

/* Lower a limit in the middle of work, run out with a mix of sizes, lift it, go on. */
static int
run_out_in_the_middle(int resource, size_t present_bytes)
{
    struct xa_seed_random random = xa_seed_start(42, 0);
    struct xa_chain_block *chain = NULL;
    struct xa_chain_block *before = NULL;
    unsigned char *kept = call_malloc(100000);

    XA_CHILD_CHECK(kept != NULL);
    memset(kept, 0x77, 100000);
    XA_CHILD_CHECK(xa_chain_take(&before, 3000, 8 * MIB, XA_CHAIN_WRITE_ENDS) >= 8 * MIB);
    for (int round = 0; round < 5; round++) {
        size_t failures = 0;

        XA_CHILD_CHECK(xa_child_limit(resource, present_bytes + 24 * MIB));
        for (size_t i = 0; failures < 3000 && i < 3000000; i++) {
            size_t size = xa_seed_size(&random, sizeof(struct xa_chain_block), 4 * MIB);

            failures += xa_chain_take(&chain, size, 1, XA_CHAIN_WRITE_ENDS) == 0;
        }
        XA_CHILD_CHECK(failures == 3000);
        expect_every_function_to_fail(kept);
        for (size_t i = 0; i < 100000; i++)
            XA_CHILD_CHECK(kept[i] == 0x77);
        xa_chain_free(&chain);
        /* What was just given back can be had again, though perhaps not down to the last byte. */
        XA_CHILD_CHECK(xa_chain_take(&chain, 2000, 8 * MIB, XA_CHAIN_WRITE_ENDS) >= 8 * MIB);
        XA_CHILD_CHECK(xa_child_limit(resource, SIZE_MAX));
        XA_CHILD_CHECK(xa_chain_take(&chain, 200000, 64 * MIB, XA_CHAIN_WRITE_ENDS) >= 64 * MIB);
        xa_chain_free(&chain);
        malloc_trim(0);
    }
    xa_chain_free(&before);
    call_free(kept);
    return 0;
}

static void
r01_address_space_may_run_out_in_the_middle(void **state)
{
    (void)state;
    expect_mode_succeeds("address-space", NULL);
}

static void
r03_writable_memory_may_run_out_in_the_middle(void **state)
{
    (void)state;
    expect_mode_succeeds("data", NULL);
}

/* Bytes of writable private memory of this process: what RLIMIT_DATA counts. */
static size_t
data_bytes(void)
{
    char text[4096];
    const char *found;
    FILE *file = fopen("/proc/self/status", "r");
    size_t length = file != NULL ? fread(text, 1, sizeof(text) - 1, file) : 0;

    if (file != NULL)
        fclose(file);
    text[length] = '\0';
    found = strstr(text, "VmData:");
    XA_CHILD_CHECK(found != NULL);
    return strtoul(found + 7, NULL, 10) * KIB;
}

/* Threads that exist already make their first call when there is nothing left. */
static atomic_bool exhausted;
static atomic_bool released;
static atomic_uint failed_threads;
static atomic_uint waiting_threads;

static void
call_first_without_memory(unsigned index, void *argument)
{
    struct xa_chain_block *chain = NULL;

    (void)argument;
    while (!atomic_load(&exhausted))
        sched_yield();
    if (xa_chain_take(&chain, 16 + index * 100, 64 * MIB, XA_CHAIN_WRITE_ENDS) < 64 * MIB)
        atomic_fetch_add(&failed_threads, 1);
    xa_chain_free(&chain);
    atomic_fetch_add(&waiting_threads, 1);
    while (!atomic_load(&released))
        sched_yield();
    XA_CHILD_CHECK(xa_chain_take(&chain, 1000, MIB, XA_CHAIN_WRITE_ENDS) >= MIB);
    xa_chain_free(&chain);
}

static int
start_threads_without_memory(void)
{
    enum { THREADS = 6 };
    struct xa_threads team;
    struct xa_chain_block *chain = NULL;

    XA_CHILD_CHECK(xa_threads_start(&team, THREADS, call_first_without_memory, NULL));
    XA_CHILD_CHECK(xa_child_limit(RLIMIT_AS, xa_child_virtual_bytes() + 16 * MIB));
    for (size_t size = 4 * MIB; size >= 16; size /= 2)
        xa_chain_take(&chain, size, 256 * MIB, XA_CHAIN_WRITE_ENDS);
    atomic_store(&exhausted, true);
    while (atomic_load(&waiting_threads) < THREADS)
        sched_yield();
    XA_CHILD_CHECK(atomic_load(&failed_threads) == THREADS);
    XA_CHILD_CHECK(xa_child_limit(RLIMIT_AS, SIZE_MAX));
    atomic_store(&released, true);
    XA_CHILD_CHECK(xa_threads_join(&team, 20));
    xa_chain_free(&chain);
    return 0;
}

static void
r11_threads_may_start_when_there_is_no_memory(void **state)
{
    (void)state;
    expect_mode_succeeds("threads", NULL);
}

/* All threads run out together, free, and have it back, many times. */
static void
run_out_together(unsigned index, void *argument)
{
    (void)argument;
    xa_chain_run_out(index, 20, XA_CHAIN_WRITE_ENDS);
}

static int
recover_in_all_threads(void)
{
    struct xa_threads team;
    struct xa_chain_block *chain = NULL;

    XA_CHILD_CHECK(xa_child_limit(RLIMIT_AS, xa_child_virtual_bytes() + 96 * MIB));
    XA_CHILD_CHECK(xa_threads_start(&team, 4, run_out_together, NULL));
    XA_CHILD_CHECK(xa_threads_join(&team, 40));
    /* Memory freed as one size must serve another; a third of it at the least. */
    for (size_t size = 32; size <= 4 * MIB; size *= 8) {
        size_t taken = xa_chain_take(&chain, size, 256 * MIB, XA_CHAIN_WRITE_ENDS);

        xa_chain_free(&chain);
        XA_CHILD_CHECK(taken < 256 * MIB && taken >= 24 * MIB);
    }
    return 0;
}

static void
r11_all_threads_recover_from_exhaustion(void **state)
{
    (void)state;
    expect_mode_succeeds("recover", NULL);
}

static int
run_mode(const char *mode)
{
    if (strcmp(mode, "limited") == 0)
        return run_out_again_and_again(256 * KIB);
    if (strcmp(mode, "address-space") == 0)
        return run_out_in_the_middle(RLIMIT_AS, xa_child_virtual_bytes());
    if (strcmp(mode, "data") == 0)
        return run_out_in_the_middle(RLIMIT_DATA, data_bytes());
    if (strcmp(mode, "threads") == 0)
        return start_threads_without_memory();
    if (strcmp(mode, "recover") == 0)
        return recover_in_all_threads();
    return 2;
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(r01_a_program_runs_in_8_mib_of_address_space),
        cmocka_unit_test(r01_address_space_may_run_out_in_the_middle),
        cmocka_unit_test(r02_a_program_runs_in_8_mib_of_data),
        cmocka_unit_test(r03_writable_memory_may_run_out_in_the_middle),
        cmocka_unit_test(r11_threads_may_start_when_there_is_no_memory),
        cmocka_unit_test(r11_all_threads_recover_from_exhaustion),
    };

    if (argc == 2)
        return run_mode(argv[1]);
    xa_child_start_watchdog(240);
    return cmocka_run_group_tests(tests, xa_child_check_allocator, NULL);
}
