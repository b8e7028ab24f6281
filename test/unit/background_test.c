/*
 * background_test.c - the thread that gives memory back: when it starts, works and sleeps.
 *
 * The clock is the fake host's, and moves when the test says so; the thread really
 * runs, so the test waits for what it should do.
 */
#include "thread/background.h"

#include "support/os_fake.h"

#include <string.h>
#include <time.h>

#include "alloc/fast_path.h"
#include "alloc/start.h"
#include "arena/arena.h"
#include "config/options.h"
#include "page/huge.h"
#include "page/page_purge.h"
#include "support/threads.h"
#include "thread/thread_cache.h"

enum {
    MIB = 1 << 20,
    WAIT_SECONDS = 60,
    START_MS = 100000,
};

static void
begin(const char *settings)
{
    xa_os_fake_set_clock(START_MS);
    xa_os_fake_set_environment("XALLOC_CONF", settings);
    assert_non_null(xa_start_thread());
}

/* Free a large object of dirty pages. */
static void
make_dirty(size_t bytes)
{
    for (size_t done = 0; done < bytes; done += MIB) {
        static void *parts[64];
        parts[done / MIB] = xa_fast_malloc(MIB);
        assert_non_null(parts[done / MIB]);
        memset(parts[done / MIB], 1, MIB);
        if (done + MIB >= bytes)
            for (size_t i = 0; i <= done / MIB; i++)
                xa_fast_free(parts[i]);
    }
}

static size_t
dirty_bytes(void)
{
    return atomic_load(&xa_arena_at(0)->heap.counters.dirty_bytes) +
        atomic_load(&xa_huge_counters.kept_dirty_bytes);
}

static void
pause_ms(long milliseconds)
{
    nanosleep(&(struct timespec){milliseconds / 1000, milliseconds % 1000 * 1000000}, NULL);
}

static bool
comes(enum xa_background_state state)
{
    for (int i = 0; i < WAIT_SECONDS * 100; i++) {
        if (atomic_load(&xa_background_state) == (uint32_t)state)
            return true;
        pause_ms(10);
    }
    return false;
}

/* Let time go by until nothing is dirty; false if that never happens. */
static bool
is_given_back(void)
{
    static uint64_t now = START_MS;
    for (int i = 0; i < WAIT_SECONDS * 100; i++) {
        if (dirty_bytes() == 0)
            return true;
        xa_os_fake_set_clock(now += 20);
        pause_ms(10);
    }
    return false;
}

static void
a_small_program_has_no_thread(void **state)
{
    (void)state;
    begin("dirty_decay_ms:1000");
    for (int i = 0; i < 100; i++)
        make_dirty(3 * MIB);
    assert_int_equal(xa_background_state, XA_BACKGROUND_ABSENT);
    assert_false(xa_background_is_there());
}

static void
much_dirty_memory_starts_it_and_is_given_back(void **state)
{
    (void)state;
    begin("dirty_decay_ms:200");
    make_dirty(8 * MIB);
    assert_true(xa_background_is_there());
    assert_true(dirty_bytes() > 0);
    /* The program does nothing from here on. */
    assert_true(is_given_back());
}

static size_t
muzzy_bytes(void)
{
    size_t sum = 0;
    for (unsigned i = 0; i < xa_arena_limit(); i++)
        if (xa_arena_at(i) != NULL)
            sum += xa_page_heap_counter(&xa_arena_at(i)->heap.counters.muzzy_bytes);
    return sum;
}

/* Let time go by until something is muzzy and nothing dirty; false if that never happens. */
static bool
becomes_muzzy(uint64_t *now)
{
    for (int i = 0; i < WAIT_SECONDS * 100; i++) {
        if (dirty_bytes() == 0 && muzzy_bytes() != 0)
            return true;
        xa_os_fake_set_clock(*now += 20);
        pause_ms(10);
    }
    return false;
}

static void
what_is_muzzy_is_given_back_as_well(void **state)
{
    (void)state;
    begin("dirty_decay_ms:100,muzzy_decay_ms:2s");
    uint64_t now = START_MS;
    make_dirty(8 * MIB);
    assert_true(becomes_muzzy(&now));
    for (int i = 0; i < WAIT_SECONDS * 100 && muzzy_bytes() != 0; i++) {
        xa_os_fake_set_clock(now += 20);
        pause_ms(10);
    }
    assert_int_equal(muzzy_bytes(), 0);
}

static void
what_is_muzzy_for_ever_keeps_nobody_awake(void **state)
{
    (void)state;
    begin("dirty_decay_ms:100,muzzy_decay_ms:-1");
    uint64_t now = START_MS;
    make_dirty(8 * MIB);
    assert_true(becomes_muzzy(&now));
    xa_thread_cache_flush(xa_start_thread());
    for (int i = 0; i < 200 && atomic_load(&xa_background_state) != XA_BACKGROUND_ASLEEP; i++) {
        xa_os_fake_set_clock(now += 100);
        pause_ms(20);
    }
    assert_true(comes(XA_BACKGROUND_ASLEEP));
    assert_true(muzzy_bytes() > 0);
}

/* Objects in a thread's cache are found by a look, after everything dirty has gone. */
static void
what_comes_out_of_caches_is_given_back_before_it_sleeps(void **state)
{
    (void)state;
    begin("dirty_decay_ms:200");
    make_dirty(8 * MIB);
    assert_true(atomic_load(&xa_thread_cache_budget.used_bytes) > 0);
    xa_os_fake_set_asleep(atomic_load(&xa_thread_state_self->thread_number), 0);
    uint64_t now = START_MS;
    for (int i = 0; i < 500 && atomic_load(&xa_background_state) != XA_BACKGROUND_ASLEEP; i++) {
        xa_os_fake_set_clock(now += 20);
        pause_ms(10);
    }
    assert_true(comes(XA_BACKGROUND_ASLEEP));
    assert_int_equal(atomic_load(&xa_thread_cache_budget.used_bytes), 0);
    assert_int_equal(dirty_bytes(), 0);
}

static void
with_threads_less_is_enough(void **state)
{
    (void)state;
    begin("dirty_decay_ms:1000,narenas:1");
    assert_non_null(xa_thread_state_take());
    make_dirty(MIB);
    assert_true(xa_background_is_there());
}

static void
without_work_it_sleeps_until_it_is_woken(void **state)
{
    (void)state;
    begin("dirty_decay_ms:200");
    make_dirty(8 * MIB);
    assert_true(is_given_back());
    xa_thread_cache_flush(xa_start_thread());
    (void)xa_arena_trim(0);
    uint64_t now = START_MS * 2;
    for (int i = 0; i < 200 && atomic_load(&xa_background_state) != XA_BACKGROUND_ASLEEP; i++) {
        xa_os_fake_set_clock(now += 100);
        pause_ms(20);
    }
    assert_true(comes(XA_BACKGROUND_ASLEEP));
    make_dirty(8 * MIB);
    assert_true(comes(XA_BACKGROUND_AWAKE));
    xa_os_fake_set_clock(now += 100000);
    for (int i = 0; i < WAIT_SECONDS * 100 && dirty_bytes() > 0; i++) {
        xa_os_fake_set_clock(now += 20);
        pause_ms(10);
    }
    assert_int_equal(dirty_bytes(), 0);
}

static void
huge_mappings_are_given_back_as_well(void **state)
{
    (void)state;
    begin("dirty_decay_ms:200");
    char *object = xa_fast_malloc(20 * MIB);
    assert_non_null(object);
    memset(object, 1, 20 * MIB);
    xa_fast_free(object);
    assert_true(xa_background_is_there());
    uint64_t now = START_MS;
    for (int i = 0; i < WAIT_SECONDS * 100 && !xa_os_fake_is_unmapped((uintptr_t)object, 20 * MIB);
         i++) {
        xa_os_fake_set_clock(now += 20);
        pause_ms(10);
    }
    assert_true(xa_os_fake_is_unmapped((uintptr_t)object, 20 * MIB));
}

static void
check_refused(const char *settings)
{
    begin(settings);
    for (int i = 0; i < 3; i++)
        make_dirty(8 * MIB);
    assert_int_equal(xa_background_state, XA_BACKGROUND_REFUSED);
    assert_false(xa_background_is_there());
    assert_false(atomic_load(&xa_page_purge_has_thread));
}

static void
it_can_be_switched_off(void **state)
{
    (void)state;
    check_refused("background_thread:false");
}

static void
strict_system_calls_do_without_it(void **state)
{
    (void)state;
    check_refused("strict_syscalls:true");
}

static void
who_never_gives_back_needs_no_thread(void **state)
{
    (void)state;
    check_refused("dirty_decay_ms:-1");
}

static void
before_libc_is_up_it_does_not_start(void **state)
{
    (void)state;
    xa_os_fake_set_environment_ready(false);
    begin(NULL);
    make_dirty(8 * MIB);
    assert_int_equal(xa_background_state, XA_BACKGROUND_ABSENT);
    xa_os_fake_set_environment_ready(true);
    make_dirty(8 * MIB);
    assert_true(xa_background_is_there());
}

static void
a_child_starts_its_own(void **state)
{
    (void)state;
    begin(NULL);
    atomic_store(&xa_background_state, XA_BACKGROUND_ASLEEP);
    atomic_store(&xa_page_purge_has_thread, true);
    xa_background_reset_in_child();
    assert_int_equal(xa_background_state, XA_BACKGROUND_ABSENT);
    assert_false(atomic_load(&xa_page_purge_has_thread));
    atomic_store(&xa_background_state, XA_BACKGROUND_REFUSED);
    xa_background_reset_in_child();
    assert_int_equal(xa_background_state, XA_BACKGROUND_REFUSED);
}

static void
a_child_needs_no_thread_for_what_it_inherited(void **state)
{
    (void)state;
    begin("dirty_decay_ms:100000");
    make_dirty(3 * MIB);
    xa_background_reset_in_child();
    make_dirty(3 * MIB);
    assert_int_equal(xa_background_state, XA_BACKGROUND_ABSENT);
    make_dirty(12 * MIB);
    assert_true(xa_background_is_there());
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(a_small_program_has_no_thread),
        XA_OS_FAKE_FRESH(much_dirty_memory_starts_it_and_is_given_back),
        XA_OS_FAKE_FRESH(what_is_muzzy_is_given_back_as_well),
        XA_OS_FAKE_FRESH(what_is_muzzy_for_ever_keeps_nobody_awake),
        XA_OS_FAKE_FRESH(what_comes_out_of_caches_is_given_back_before_it_sleeps),
        XA_OS_FAKE_FRESH(with_threads_less_is_enough),
        XA_OS_FAKE_FRESH(without_work_it_sleeps_until_it_is_woken),
        XA_OS_FAKE_FRESH(huge_mappings_are_given_back_as_well),
        XA_OS_FAKE_FRESH(it_can_be_switched_off),
        XA_OS_FAKE_FRESH(strict_system_calls_do_without_it),
        XA_OS_FAKE_FRESH(who_never_gives_back_needs_no_thread),
        XA_OS_FAKE_FRESH(before_libc_is_up_it_does_not_start),
        XA_OS_FAKE_FRESH(a_child_starts_its_own),
        XA_OS_FAKE_FRESH(a_child_needs_no_thread_for_what_it_inherited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
