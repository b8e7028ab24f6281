/*
 * limit_test.c - the limits that a user sets, through the public symbols: row R11 and issue 3.
 *
 * This program starts itself again with settings in XALLOC_CONF, in one of the modes below.
 */
#define _GNU_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../support/chain.h"
#include "../support/child.h"
#include "../support/threads.h"

#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <xalloc/xalloc.h>

enum { UNTOUCHED = 4711, MIB = 1 << 20, CHILD_SECONDS = 60, HARD_MIB = 64 };

static void *(*volatile call_malloc)(size_t) = malloc;
static void *(*volatile call_realloc)(void *, size_t) = realloc;
static void (*volatile call_free)(void *) = free;

/* The library is preloaded, not linked. */
static int (*set_limit)(size_t soft, size_t hard);
static void (*set_callback)(xalloc_limit_callback *callback, void *context);

/* Under memory_limit_hard:64M: run out with each size, free, get it again. */
static int
run_out(void)
{
    static const size_t sizes[] = {24, 100, 1000, 20000, 100000, 1500000, 5 * MIB};
    struct xa_chain_block *chain = NULL;
    unsigned char *kept = call_malloc(8 * MIB);

    XA_CHILD_CHECK(kept != NULL);
    memset(kept, 0x77, 8 * MIB);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            size_t taken = xa_chain_take(&chain, sizes[i], 256 * MIB, XA_CHAIN_WRITE_ALL);

            XA_CHILD_CHECK(taken < HARD_MIB * MIB);
            XA_CHILD_CHECK(taken >= HARD_MIB * MIB / 2);
            XA_CHILD_CHECK(xa_child_resident_bytes() < (HARD_MIB + 16) * MIB);
            errno = UNTOUCHED;
            XA_CHILD_CHECK(call_realloc(kept, 128 * MIB) == NULL && errno == ENOMEM);
            XA_CHILD_CHECK(kept[0] == 0x77 && kept[8 * MIB - 1] == 0x77);
            xa_chain_free(&chain);
        }
    }
    /* All of it is there again for one object. */
    call_free(kept);
    kept = call_malloc(48 * MIB);
    XA_CHILD_CHECK(kept != NULL);
    call_free(kept);
    return 0;
}

static void
expect_success(const char *mode, const char *settings)
{
    static struct xa_child_result result;

    if (xa_child_is_instrumented()) {
        print_message("skipped: an instrumented malloc has no limits\n");
        skip();
    }
    xa_child_run_mode(&result, CHILD_SECONDS, mode, settings);
    xa_child_assert_success(&result);
    assert_string_equal(result.errors, "");
}

static void
a_hard_limit_is_enomem_and_can_be_met_again(void **state)
{
    (void)state;
    expect_success("run-out", "XALLOC_CONF=memory_limit_hard:64M");
    expect_success("run-out", "XALLOC_CONF=memory_limit_hard:64M,background_thread:false");
    expect_success("run-out", "XALLOC_CONF=memory_limit_soft:32M,memory_limit_hard:64M");
}

static atomic_uint calls[2];
static atomic_size_t last_bytes;

static void
on_limit(void *context, enum xalloc_limit_event event, size_t bytes)
{
    void *own;

    XA_CHILD_CHECK(context == calls);
    atomic_fetch_add(&calls[event], 1);
    atomic_store(&last_bytes, bytes);
    /* No lock is held, and errno is not ours. */
    own = call_malloc(100);
    call_free(own);
    errno = UNTOUCHED + 1;
}

static int
hear_of_limits(void)
{
    struct xa_chain_block *chain = NULL;

    set_callback(on_limit, calls);
    xa_chain_take(&chain, 100000, 256 * MIB, XA_CHAIN_WRITE_ALL);
    XA_CHILD_CHECK(atomic_load(&calls[XALLOC_LIMIT_SOFT]) == 1);
    XA_CHILD_CHECK(atomic_load(&calls[XALLOC_LIMIT_HARD]) == 1);
    XA_CHILD_CHECK(atomic_load(&last_bytes) > 60 * MIB);
    XA_CHILD_CHECK(atomic_load(&last_bytes) <= HARD_MIB * MIB);
    /* Not for each of many failures. */
    for (int i = 0; i < 100; i++)
        XA_CHILD_CHECK(call_malloc(64 * MIB) == NULL);
    XA_CHILD_CHECK(atomic_load(&calls[XALLOC_LIMIT_HARD]) <= 2);
    xa_chain_free(&chain);
    set_callback(NULL, NULL);
    XA_CHILD_CHECK(call_malloc(65 * MIB) == NULL);
    XA_CHILD_CHECK(atomic_load(&calls[XALLOC_LIMIT_HARD]) <= 2);
    return 0;
}

static void
a_callback_hears_of_limits(void **state)
{
    (void)state;
    expect_success("callback", "XALLOC_CONF=memory_limit_soft:32M,memory_limit_hard:64M");
}

static int
set_while_running(void)
{
    struct xa_chain_block *chain = NULL;

    XA_CHILD_CHECK(set_limit(2 * MIB, MIB) == EINVAL);
    XA_CHILD_CHECK(set_limit(0, 1) == EINVAL);
    XA_CHILD_CHECK(xa_chain_take(&chain, 100000, 100 * MIB, XA_CHAIN_WRITE_ALL) >= 100 * MIB);
    /* What is in use stays, and nothing comes to it. */
    XA_CHILD_CHECK(set_limit(0, 32 * MIB) == 0);
    XA_CHILD_CHECK(call_malloc(1000000) == NULL);
    xa_chain_free(&chain);
    XA_CHILD_CHECK(xa_chain_take(&chain, 100000, 100 * MIB, XA_CHAIN_WRITE_ALL) < 32 * MIB);
    XA_CHILD_CHECK(set_limit(0, 0) == 0);
    XA_CHILD_CHECK(xa_chain_take(&chain, 100000, 100 * MIB, XA_CHAIN_WRITE_ALL) >= 100 * MIB);
    xa_chain_free(&chain);
    return 0;
}

static void
limits_can_be_set_while_the_program_runs(void **state)
{
    (void)state;
    expect_success("set", "XALLOC_CONF");
}

/* Beyond the soft limit, what is free does not stay, though the decay time is an hour. */
static int
purge_harder(void)
{
    struct xa_chain_block *live = NULL;
    struct xa_chain_block *freed = NULL;
    size_t before;

    XA_CHILD_CHECK(xa_chain_take(&live, 100000, 40 * MIB, XA_CHAIN_WRITE_ALL) >= 40 * MIB);
    XA_CHILD_CHECK(xa_chain_take(&freed, 100000, 40 * MIB, XA_CHAIN_WRITE_ALL) >= 40 * MIB);
    before = xa_child_resident_bytes();
    xa_chain_free(&freed);
    for (int i = 0; i < 50 && xa_child_resident_bytes() > before - 36 * MIB; i++)
        nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    XA_CHILD_CHECK(xa_child_resident_bytes() <= before - 36 * MIB);
    xa_chain_free(&live);
    return 0;
}

static void
beyond_the_soft_limit_nothing_unused_stays(void **state)
{
    (void)state;
    expect_success("soft", "XALLOC_CONF=memory_limit_soft:32M,dirty_decay_ms:1h");
    expect_success(
        "soft", "XALLOC_CONF=memory_limit_soft:32M,dirty_decay_ms:1h,background_thread:false");
}

/* The line, with the largest size of this machine in place of that of a word of 64 bits. */
static const char *
with_own_largest(const char *line)
{
    static const char largest[] = "9223372036854775807";
    static char text[1024];
    size_t length = 0;

    if (sizeof(size_t) == 8)
        return line;
    while (*line != '\0' && length < sizeof(text) - sizeof(largest)) {
        if (strncmp(line, largest, sizeof(largest) - 1) == 0) {
            length += (size_t)sprintf(text + length, "%zu", SIZE_MAX / 2);
            line += sizeof(largest) - 1;
        } else {
            text[length++] = *line++;
        }
    }
    text[length] = '\0';
    return text;
}

/* The settings are one line, or more, and the program runs as it does without them. */
static void
expect_line(const char *settings, const char *line)
{
    static struct xa_child_result result;

    xa_child_run_mode(&result, CHILD_SECONDS, "set", settings);
    xa_child_assert_success(&result);
    assert_string_equal(result.errors, with_own_largest(line));
}

static void
impossible_limits_are_one_line(void **state)
{
    (void)state;
    if (xa_child_is_instrumented()) {
        print_message("skipped: an instrumented malloc has no limits\n");
        skip();
    }
    expect_line("XALLOC_CONF=memory_limit_soft:1G,memory_limit_hard:512M",
        "xalloc: option \"memory_limit_soft\": 1073741824 is more than memory_limit_hard, "
        "536870912 bytes, ignored (stays 0).\n");
    expect_line("XALLOC_CONF=memory_limit_hard:12",
        "xalloc: option \"memory_limit_hard\": 12 is less than the least limit of 1048576 bytes, "
        "ignored (stays 0).\n");
    expect_line("XALLOC_CONF=memory_limit_hard:1048575,memory_limit_soft:2M",
        "xalloc: option \"memory_limit_hard\": 1048575 is less than the least limit of 1048576 "
        "bytes, ignored (stays 0).\n");
    /* Each of two has its own line. */
    expect_line("XALLOC_CONF=memory_limit_soft:much,memory_limit_hard:0x100",
        "xalloc: option \"memory_limit_soft\" in XALLOC_CONF: \"much\" is not in "
        "0..9223372036854775807 bytes, ignored (stays 0).\n"
        "xalloc: option \"memory_limit_hard\" in XALLOC_CONF: \"0x100\" is not in "
        "0..9223372036854775807 bytes, ignored (stays 0).\n");
}

static void
limits_that_are_no_sizes_are_one_line(void **state)
{
    static const char *const names[] = {"memory_limit_soft", "memory_limit_hard"};
    static const char *const values[] = {
        "lots", "-1", "-9223372036854775809", "", "1Q", "1.5G", "99999999999999999999", "8388608T"};

    (void)state;
    if (xa_child_is_instrumented()) {
        print_message("skipped: an instrumented malloc has no limits\n");
        skip();
    }
    for (size_t i = 0; i < 2 * sizeof(values) / sizeof(values[0]); i++) {
        const char *name = names[i % 2];
        const char *value = values[i / 2];
        char settings[128];
        char line[256];

        snprintf(settings, sizeof(settings), "XALLOC_CONF=%s:%s", name, value);
        snprintf(line, sizeof(line),
            "xalloc: option \"%s\" in XALLOC_CONF: \"%s\" is not in 0..9223372036854775807 bytes, "
            "ignored (stays 0).\n",
            name, value);
        expect_line(settings, line);
    }
}

/* All threads run out together, many times; nobody hangs, and it is there again. */
static void
run_out_together(unsigned index, void *argument)
{
    (void)argument;
    xa_chain_run_out(index, 10, XA_CHAIN_WRITE_ALL);
}

static int
share(void)
{
    struct xa_threads team;
    struct xa_chain_block *chain = NULL;

    XA_CHILD_CHECK(xa_threads_start(&team, 4, run_out_together, NULL));
    XA_CHILD_CHECK(xa_threads_join(&team, 40));
    XA_CHILD_CHECK(xa_chain_take(&chain, 3 * MIB, 256 * MIB, XA_CHAIN_WRITE_ALL) >= 32 * MIB);
    xa_chain_free(&chain);
    return 0;
}

static void
threads_share_the_hard_limit(void **state)
{
    (void)state;
    expect_success("share", "XALLOC_CONF=memory_limit_hard:64M");
}

static int
run_mode(const char *mode)
{
    set_limit = (int (*)(size_t, size_t))dlsym(RTLD_DEFAULT, "xalloc_set_memory_limit");
    set_callback =
        (void (*)(xalloc_limit_callback *, void *))dlsym(RTLD_DEFAULT, "xalloc_set_limit_callback");
    XA_CHILD_CHECK(set_limit != NULL && set_callback != NULL);
    if (strcmp(mode, "run-out") == 0)
        return run_out();
    if (strcmp(mode, "callback") == 0)
        return hear_of_limits();
    if (strcmp(mode, "set") == 0)
        return set_while_running();
    if (strcmp(mode, "soft") == 0)
        return purge_harder();
    if (strcmp(mode, "share") == 0)
        return share();
    return 2;
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hard_limit_is_enomem_and_can_be_met_again),
        cmocka_unit_test(a_callback_hears_of_limits),
        cmocka_unit_test(limits_can_be_set_while_the_program_runs),
        cmocka_unit_test(beyond_the_soft_limit_nothing_unused_stays),
        cmocka_unit_test(impossible_limits_are_one_line),
        cmocka_unit_test(limits_that_are_no_sizes_are_one_line),
        cmocka_unit_test(threads_share_the_hard_limit),
    };

    if (argc == 2)
        return run_mode(argv[1]);
    xa_child_start_watchdog(240);
    return cmocka_run_group_tests(tests, xa_child_check_allocator, NULL);
}
