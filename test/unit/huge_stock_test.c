/*
 * huge_stock_test.c - the huge object that a thread keeps: who gets it, how much, how long.
 */
#include "thread/huge_stock.h"

#include "support/os_fake.h"

#include <stdio.h>
#include <string.h>

#include "alloc/fast_path.h"
#include "alloc/start.h"
#include "os/os.h"
#include "page/huge.h"
#include "support/seed.h"
#include "support/stocks.h"
#include "thread/thread_cache.h"

enum {
    MIB = 1024 * 1024,
};

static uint64_t seed;

static struct xa_thread_state *
begin(const char *settings)
{
    xa_os_fake_set_environment("XALLOC_CONF", settings);
    struct xa_thread_state *state = xa_start_thread();
    assert_non_null(state);
    return state;
}

static size_t
stocked_bytes(void)
{
    return xa_huge_stock_bytes(xa_thread_state_self);
}

static size_t
load(const _Atomic size_t *counter)
{
    return atomic_load(counter);
}

static void
what_was_freed_last_is_had_again(void **state)
{
    (void)state;
    (void)begin("dirty_decay_ms:-1");
    for (size_t bytes = 3 * MIB; bytes <= 50 * MIB; bytes += bytes / 3) {
        char *object = xa_fast_malloc(bytes);
        memset(object, 1, bytes);
        xa_fast_free(object);
        assert_int_equal(xa_page_map_class((uintptr_t)object), XA_CLASS_NONE);
        assert_true(stocked_bytes() >= bytes);
        size_t allocations = load(&xa_huge_counters.allocations);
        assert_ptr_equal(xa_fast_malloc(bytes), object);
        assert_int_equal(xa_release_usable_bytes(object, "test"), xa_bits_align_up(bytes, 4096));
        assert_int_equal(load(&xa_huge_counters.allocations), allocations);
        assert_int_equal(stocked_bytes(), 0);
        /* It may hold anything, so calloc clears it. */
        xa_fast_free(object);
        assert_ptr_equal(xa_allocate_zeroed(bytes), object);
        for (size_t i = 0; i < bytes; i += 1000)
            assert_int_equal(object[i], 0);
        xa_fast_free(object);
        /* All of it together would be more than may be kept. */
        (void)xa_huge_purge(XA_HUGE_ALL);
    }
}

static void
what_is_too_short_or_much_too_long_is_left_there(void **state)
{
    (void)state;
    (void)begin("dirty_decay_ms:-1");
    char *object = xa_fast_malloc(16 * MIB);
    xa_fast_free(object);
    assert_ptr_not_equal(xa_fast_malloc(16 * MIB + 1), object);
    assert_ptr_not_equal(xa_fast_malloc(14 * MIB), object);
    assert_int_equal(stocked_bytes(), 16 * MIB);
    assert_ptr_equal(xa_fast_malloc(15 * MIB), object);
    assert_int_equal(xa_release_usable_bytes(object, "test"), 15 * MIB);
}

static void
the_one_before_goes_to_all_threads_stock(void **state)
{
    (void)state;
    (void)begin("dirty_decay_ms:-1");
    void *first = xa_fast_malloc(4 * MIB), *second = xa_fast_malloc(6 * MIB);
    xa_fast_free(first);
    xa_fast_free(second);
    assert_int_equal(stocked_bytes(), 6 * MIB);
    assert_int_equal(load(&xa_huge_counters.kept_bytes), 4 * MIB);
    assert_int_equal(load(&xa_huge_counters.promised_bytes), 6 * MIB);
    assert_ptr_equal(xa_fast_malloc(4 * MIB), first);
    assert_ptr_equal(xa_fast_malloc(6 * MIB), second);
}

static void
check_keeps_nothing(const char *settings, size_t bytes)
{
    (void)begin(settings);
    xa_fast_free(xa_fast_malloc(bytes));
    assert_int_equal(stocked_bytes(), 0);
    assert_int_equal(load(&xa_huge_counters.promised_bytes), 0);
    assert_int_equal(load(&xa_huge_counters.live_objects), 0);
}

static void
without_thread_caches_there_is_none(void **state)
{
    (void)state;
    check_keeps_nothing("tcache:false", 3 * MIB);
}

static void
where_nothing_decays_slowly_there_is_none(void **state)
{
    (void)state;
    check_keeps_nothing("dirty_decay_ms:0", 3 * MIB);
}

static void
what_is_beyond_the_bound_is_not_kept(void **state)
{
    (void)state;
    check_keeps_nothing("dirty_max:5M", 6 * MIB);
    xa_fast_free(xa_fast_malloc(5 * MIB));
    assert_int_equal(stocked_bytes(), 5 * MIB);
}

static void
free_it(void *pointer)
{
    xa_fast_free(pointer);
}

static void
a_freed_one_is_found_to_be_free(void **state)
{
    char line[200];
    (void)state;
    (void)begin("dirty_decay_ms:-1");
    void *object = xa_fast_malloc(3 * MIB);
    xa_fast_free(object);
    assert_int_equal(stocked_bytes(), 3 * MIB);
    (void)snprintf(line, sizeof line, "xalloc: free(%p): already free*", object);
    xa_os_fake_assert_fatal(free_it, object, line);
}

static void
a_purger_takes_what_was_there_the_last_time(void **state)
{
    (void)state;
    struct xa_thread_state *own = begin("dirty_decay_ms:-1");
    void *object = xa_fast_malloc(3 * MIB);
    xa_fast_free(object);
    assert_int_equal(xa_huge_stock_empty(own, XA_LARGE_STOCK_IDLE), 0);
    assert_ptr_equal(xa_fast_malloc(3 * MIB), object);
    /* Out at this look: what was paid for it is given up. */
    assert_int_equal(xa_huge_stock_empty(own, XA_LARGE_STOCK_IDLE), 0);
    assert_int_equal(load(&xa_huge_counters.promised_bytes), 0);
    xa_fast_free(object);
    assert_int_equal(load(&xa_huge_counters.promised_bytes), 3 * MIB);
    assert_int_equal(xa_huge_stock_empty(own, XA_LARGE_STOCK_IDLE), 0);
    assert_int_equal(xa_huge_stock_empty(own, XA_LARGE_STOCK_IDLE), 3 * MIB);
    assert_int_equal(load(&xa_huge_counters.promised_bytes), 0);
    assert_int_equal(load(&xa_huge_counters.kept_bytes), 3 * MIB);
}

/* Where there is no purging thread, any thread's slow path looks; the owner may sleep for ever. */
static void
without_a_purger_time_goes_by_for_all_threads(void **state)
{
    (void)state;
    struct xa_thread_state *own = begin("dirty_decay_ms:300,background_thread:false");
    xa_fast_free(xa_fast_malloc(3 * MIB));
    for (uint64_t now = 1000; now <= 3000; now += 1000) {
        assert_int_equal(xa_huge_stock_bytes(own), now < 3000 ? 3 * MIB : 0);
        xa_os_fake_set_clock(xa_os_now_ms() + 1000);
        xa_huge_stock_tick();
        /* Not again so soon. */
        xa_huge_stock_tick();
    }
    assert_int_equal(load(&xa_huge_counters.kept_bytes), 3 * MIB);
}

static void
one_bound_holds_for_all_that_is_kept(void **state)
{
    (void)state;
    (void)begin("dirty_decay_ms:-1,dirty_max:10M");
    void *objects[4];
    for (unsigned i = 0; i < 4; i++)
        assert_non_null(objects[i] = xa_fast_malloc((3 + i) * (size_t)MIB));
    for (unsigned i = 0; i < 4; i++) {
        xa_fast_free(objects[i]);
        assert_true(load(&xa_huge_counters.kept_bytes) + stocked_bytes() <= 10 * MIB);
    }
    assert_true(load(&xa_huge_counters.kept_bytes) + stocked_bytes() >= 6 * MIB);
}

static void
a_flush_gives_it_back(void **state)
{
    (void)state;
    struct xa_thread_state *own = begin("dirty_decay_ms:-1");
    xa_fast_free(xa_fast_malloc(3 * MIB));
    xa_thread_cache_flush(own);
    assert_int_equal(stocked_bytes(), 0);
    assert_int_equal(load(&xa_huge_counters.promised_bytes), 0);
    assert_int_equal(load(&xa_huge_counters.kept_bytes), 3 * MIB);
}

static void
when_memory_runs_out_it_is_taken(void **state)
{
    (void)state;
    struct xa_thread_state *first = begin("dirty_decay_ms:-1,memory_limit_hard:9M");
    xa_fast_free(xa_fast_malloc(4 * MIB));
    struct xa_thread_state *volatile none = XA_THREAD_STATE_NONE;
    xa_thread_state_self = none;
    assert_non_null(xa_fast_malloc(7 * MIB));
    assert_int_equal(xa_huge_stock_bytes(first), 0);
}

/* What the thread keeps is too long to serve, and in the way: there is no room for both. */
static void
when_memory_runs_out_the_own_one_is_taken(void **state)
{
    (void)state;
    (void)begin("dirty_decay_ms:-1,memory_limit_hard:60M,dirty_max:50M");
    void *object = xa_fast_malloc(48 * MIB);
    xa_fast_free(object);
    assert_int_equal(stocked_bytes(), 48 * MIB);
    assert_non_null(xa_fast_malloc(16 * MIB));
    assert_int_equal(stocked_bytes(), 0);
}

static void
no_object_is_had_twice(void **state)
{
    (void)state;
    (void)begin("dirty_decay_ms:-1,dirty_max:1G");
    xa_stocks_run(&(struct xa_stocks){seed, 3 * MIB, MIB / 2, xa_huge_stock_empty});
    for (struct xa_thread_state *at = xa_thread_state_all(); at != NULL; at = at->next)
        (void)xa_huge_stock_empty(at, XA_LARGE_STOCK_ALL);
    assert_int_equal(load(&xa_huge_counters.live_objects), 0);
    assert_int_equal(load(&xa_huge_counters.promised_bytes), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(what_was_freed_last_is_had_again),
        XA_OS_FAKE_FRESH(what_is_too_short_or_much_too_long_is_left_there),
        XA_OS_FAKE_FRESH(the_one_before_goes_to_all_threads_stock),
        XA_OS_FAKE_FRESH(without_thread_caches_there_is_none),
        XA_OS_FAKE_FRESH(where_nothing_decays_slowly_there_is_none),
        XA_OS_FAKE_FRESH(what_is_beyond_the_bound_is_not_kept),
        XA_OS_FAKE_FRESH(a_freed_one_is_found_to_be_free),
        XA_OS_FAKE_FRESH(a_purger_takes_what_was_there_the_last_time),
        XA_OS_FAKE_FRESH(without_a_purger_time_goes_by_for_all_threads),
        XA_OS_FAKE_FRESH(one_bound_holds_for_all_that_is_kept),
        XA_OS_FAKE_FRESH(a_flush_gives_it_back),
        XA_OS_FAKE_FRESH(when_memory_runs_out_it_is_taken),
        XA_OS_FAKE_FRESH(when_memory_runs_out_the_own_one_is_taken),
        XA_OS_FAKE_FRESH(no_object_is_had_twice),
    };
    seed = xa_seed_choose(NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
