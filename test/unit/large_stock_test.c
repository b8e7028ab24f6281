/*
 * large_stock_test.c - large objects that threads keep: who gets them, how much, how long.
 */
#include "thread/large_stock.h"

#include "support/os_fake.h"

#include <string.h>

#include "alloc/fast_path.h"
#include "alloc/start.h"
#include "arena/large.h"
#include "os/os.h"
#include "page/page_heap.h"
#include "support/seed.h"
#include "support/stocks.h"
#include "thread/thread_cache.h"

enum {
    KIB = 1024,
    MIB = 1024 * 1024,
    STOCK_BYTES = 4 * MIB,
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
    size_t bytes;
    (void)xa_large_stock_objects(xa_thread_state_self, &bytes);
    return bytes;
}

static size_t
stocked_objects(void)
{
    size_t bytes;
    return xa_large_stock_objects(xa_thread_state_self, &bytes);
}

static size_t
heap_objects(void)
{
    return atomic_load(&xa_arena_at(0)->heap.counters.large_objects);
}

static size_t
dirty_bytes(void)
{
    return xa_page_heap_counter(&xa_arena_at(0)->heap.counters.dirty_bytes);
}

static void
before_the_process_gets_larger_the_stock_is_used_up(void **state)
{
    (void)state;
    struct xa_thread_state *own = begin("dirty_decay_ms:-1");
    xa_fast_free(xa_fast_malloc(MIB));
    assert_int_equal(stocked_objects(), 1);
    xa_large_stock_yield(own, 1);
    assert_int_equal(stocked_objects(), 0);
    assert_int_equal(dirty_bytes(), MIB);
    /* As long as there is something else, it stays. */
    void *other = xa_fast_malloc(100 * KIB);
    xa_fast_free(other);
    assert_int_equal(stocked_objects(), 1);
    xa_large_stock_yield(own, dirty_bytes());
    assert_int_equal(stocked_objects(), 1);
    xa_large_stock_yield(own, dirty_bytes() + 1);
    assert_int_equal(stocked_objects(), 0);
    /* Small objects, and large ones that do not fit, come from its pages. */
    xa_fast_free(xa_fast_malloc(2 * MIB));
    size_t mapped = xa_arena_at(0)->heap.counters.mapped_bytes;
    for (unsigned i = 0; i < 4; i++)
        assert_non_null(xa_fast_malloc(300 * KIB));
    for (size_t taken = 0; taken < MIB / 2; taken += 1000)
        assert_non_null(xa_fast_malloc(1000));
    assert_int_equal(xa_arena_at(0)->heap.counters.mapped_bytes, mapped);
}

static void
what_was_freed_last_is_had_again(void **state)
{
    (void)state;
    (void)begin("dirty_decay_ms:-1");
    for (size_t bytes = 65 * KIB; bytes <= 2 * MIB; bytes += bytes / 3) {
        char *object = xa_fast_malloc(bytes);
        memset(object, 1, bytes);
        xa_fast_free(object);
        assert_int_equal(xa_page_map_class((uintptr_t)object), XA_CLASS_NONE);
        assert_ptr_equal(xa_fast_malloc(bytes), object);
        assert_true(xa_release_usable_bytes(object, "test") >= bytes);
        /* It may hold anything, so calloc clears it. */
        xa_fast_free(object);
        assert_ptr_equal(xa_allocate_zeroed(bytes), object);
        for (size_t i = 0; i < bytes; i += 1000)
            assert_int_equal(object[i], 0);
        xa_fast_free(object);
    }
}

static void
what_is_too_short_or_much_too_long_is_left_there(void **state)
{
    (void)state;
    struct xa_thread_state *own = begin("dirty_decay_ms:-1");
    char *object = xa_fast_malloc(512 * KIB);
    /* There is other memory, so that the stock need not yield. */
    xa_fast_free(xa_fast_malloc(2 * MIB));
    assert_int_equal(xa_large_stock_empty_own(own, XA_LARGE_STOCK_ALL), 2 * MIB);
    xa_fast_free(object);
    assert_ptr_not_equal(xa_fast_malloc(513 * KIB), object);
    assert_ptr_not_equal(xa_fast_malloc(380 * KIB), object);
    assert_int_equal(stocked_objects(), 1);
    assert_ptr_equal(xa_fast_malloc(420 * KIB), object);
    /* The program has what it would have had of a new one; the rest is still there. */
    assert_int_equal(xa_release_usable_bytes(object, "test"), 432 * KIB);
    assert_int_equal(xa_large_usable_bytes((uintptr_t)object), 512 * KIB);
}

static void
it_is_bounded_by_number_and_bytes(void **state)
{
    static void *objects[20];
    static const size_t sizes[] = {80 * KIB, MIB, 2 * MIB};
    (void)state;
    (void)begin("dirty_decay_ms:-1");
    for (int s = 0; s < 3; s++) {
        for (int i = 0; i < 20; i++)
            assert_non_null(objects[i] = xa_fast_malloc(sizes[s]));
        for (int i = 0; i < 20; i++) {
            xa_fast_free(objects[i]);
            assert_true(stocked_objects() <= 1 + XA_LARGE_STOCK_SHARED);
            assert_true(stocked_bytes() <= STOCK_BYTES);
            /* There is always one of the size that was freed last. */
            size_t before = heap_objects();
            void *again = xa_fast_malloc(sizes[s]);
            assert_int_equal(heap_objects(), before);
            xa_fast_free(again);
        }
    }
    assert_int_equal(heap_objects(), stocked_objects());
}

static void
check_keeps_nothing(const char *settings)
{
    (void)begin(settings);
    xa_fast_free(xa_fast_malloc(MIB));
    assert_int_equal(stocked_objects(), 0);
    assert_int_equal(heap_objects(), 0);
}

static void
without_thread_caches_there_is_none(void **state)
{
    (void)state;
    check_keeps_nothing("tcache:false");
}

static void
where_objects_are_filled_there_is_none(void **state)
{
    (void)state;
    check_keeps_nothing("zero:true");
}

static void
where_large_objects_are_fenced_there_is_none(void **state)
{
    (void)state;
    /* Small objects have their caches; large ones are looked at when they are freed. */
    (void)begin("check:light,check_min:1M");
    char *object = xa_fast_malloc(MIB);
    xa_fast_free(object);
    assert_int_equal(stocked_objects(), 0);
    assert_ptr_not_equal(xa_fast_malloc(MIB), object);
}

static void
without_a_budget_there_is_none(void **state)
{
    (void)state;
    check_keeps_nothing("tcache_total_max:3M");
}

static void
the_largest_cached_size_holds_for_it(void **state)
{
    (void)state;
    check_keeps_nothing("tcache_max:512K");
    xa_fast_free(xa_fast_malloc(512 * KIB));
    assert_int_equal(stocked_objects(), 1);
}

static void
a_purger_takes_what_was_there_the_last_time(void **state)
{
    (void)state;
    struct xa_thread_state *own = begin("dirty_decay_ms:-1");
    void *first = xa_fast_malloc(MIB), *second = xa_fast_malloc(MIB);
    void *third = xa_fast_malloc(2 * MIB);
    xa_fast_free(first);
    xa_fast_free(second);
    assert_int_equal(xa_large_stock_empty_own(own, XA_LARGE_STOCK_IDLE), 0);
    assert_ptr_equal(xa_fast_malloc(MIB), second);
    /* Another one in its place. */
    xa_fast_free(third);
    assert_int_equal(xa_large_stock_empty_own(own, XA_LARGE_STOCK_IDLE), MIB);
    assert_int_equal(xa_large_stock_empty_own(own, XA_LARGE_STOCK_IDLE), 2 * MIB);
    xa_fast_free(second);
    assert_int_equal(stocked_objects(), 1);
    assert_ptr_equal(xa_fast_malloc(MIB), second);
    xa_fast_free(second);
    assert_int_equal(atomic_load(&xa_thread_cache_budget.used_bytes), STOCK_BYTES);
    assert_int_equal(xa_large_stock_empty_own(own, XA_LARGE_STOCK_ALL), MIB);
    /* What is empty costs nothing. */
    assert_int_equal(atomic_load(&xa_thread_cache_budget.used_bytes), 0);
    assert_int_equal(heap_objects(), 0);
}

/* The purger comes beside a running owner; the object that was freed last is the owner's. */
static void
another_thread_leaves_what_was_freed_last(void **state)
{
    (void)state;
    struct xa_thread_state *own = begin("dirty_decay_ms:-1");
    void *first = xa_fast_malloc(MIB), *second = xa_fast_malloc(MIB);
    xa_fast_free(first);
    xa_fast_free(second);
    assert_int_equal(xa_large_stock_empty(own, XA_LARGE_STOCK_ALL), MIB);
    assert_int_equal(stocked_objects(), 1);
    assert_int_equal(atomic_load(&xa_thread_cache_budget.used_bytes), STOCK_BYTES);
    assert_ptr_equal(xa_fast_malloc(MIB), second);
    /* Found empty in this moment, it is paid for anew. */
    assert_int_equal(xa_large_stock_empty(own, XA_LARGE_STOCK_ALL), 0);
    assert_int_equal(atomic_load(&xa_thread_cache_budget.used_bytes), 0);
    xa_fast_free(second);
    assert_int_equal(stocked_objects(), 1);
    assert_int_equal(atomic_load(&xa_thread_cache_budget.used_bytes), STOCK_BYTES);
    /* Off the state and back to the heap, as is done with the magazines of a sleeping thread. */
    xa_large_stock_put_aside(own);
    assert_int_equal(stocked_objects(), 1);
    assert_int_equal(xa_large_stock_give_seized(xa_large_stock_seize(own)), MIB);
    xa_large_stock_put_aside(own);
    assert_int_equal(xa_large_stock_give_seized(xa_large_stock_seize(own)), 0);
    assert_int_equal(heap_objects(), 0);
}

/* The owner was at it when the object was put aside: it has won, and has one object, not two. */
static void
who_was_using_it_has_it(void **state)
{
    (void)state;
    struct xa_thread_state *own = begin("dirty_decay_ms:-1");
    void *object = xa_fast_malloc(MIB);
    xa_fast_free(object);
    xa_large_stock_put_aside(own);
    /* The store at the end of an operation that had begun before. */
    xa_large_stock_set_hot(own, 0);
    assert_int_equal(xa_large_stock_seize(own), 0);
    assert_int_equal(stocked_objects(), 0);
    /* Put aside and back, it is the owner's as before; so is an empty place. */
    void *other = xa_fast_malloc(2 * MIB);
    xa_fast_free(other);
    uint64_t word = xa_large_stock_hot(own);
    xa_large_stock_put_aside(own);
    assert_null(xa_large_stock_take_hot(own, 2 * MIB));
    /* Not out of the purger's sight. */
    assert_true(xa_large_stock_hot(own) == word);
    xa_large_stock_restore(own);
    assert_ptr_equal(xa_large_stock_take_hot(own, 2 * MIB), other);
    xa_large_stock_put_aside(own);
    xa_large_stock_restore(own);
    assert_int_equal(stocked_objects(), 0);
}

static void
a_flush_gives_it_back(void **state)
{
    (void)state;
    struct xa_thread_state *own = begin("dirty_decay_ms:-1");
    xa_fast_free(xa_fast_malloc(MIB));
    xa_thread_cache_flush(own);
    assert_int_equal(stocked_objects(), 0);
    assert_int_equal(heap_objects(), 0);
    assert_int_equal(atomic_load(&xa_thread_cache_budget.used_bytes), 0);
}

static void
when_memory_runs_out_what_others_keep_is_taken(void **state)
{
    (void)state;
    struct xa_thread_state *first = begin("dirty_decay_ms:-1,memory_limit_hard:6M");
    xa_fast_free(xa_fast_malloc(2 * MIB));
    xa_fast_free(xa_fast_malloc(MIB));
    /* Another thread needs what the first one keeps. */
    /* Volatile: compilers see that it is not as long as the type says. */
    struct xa_thread_state *volatile none = XA_THREAD_STATE_NONE;
    xa_thread_state_self = none;
    assert_non_null(xa_fast_malloc(4 * MIB));
    /* But for what the owner may be about to take. */
    size_t bytes;
    assert_int_equal(xa_large_stock_objects(first, &bytes), 1);
    assert_int_equal(bytes, MIB);
}

static void
no_object_is_had_twice(void **state)
{
    (void)state;
    (void)begin("dirty_decay_ms:-1,tcache_total_max:1G");
    xa_stocks_run(&(struct xa_stocks){seed, 65 * KIB, 1500 * KIB, xa_large_stock_empty});
    for (struct xa_thread_state *at = xa_thread_state_all(); at != NULL; at = at->next)
        (void)xa_large_stock_empty_own(at, XA_LARGE_STOCK_ALL);
    size_t objects = 0;
    for (unsigned i = 0; i < XA_ARENAS_MAX; i++)
        if (xa_arena_at(i) != NULL)
            objects += atomic_load(&xa_arena_at(i)->heap.counters.large_objects);
    assert_int_equal(objects, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(before_the_process_gets_larger_the_stock_is_used_up),
        XA_OS_FAKE_FRESH(what_was_freed_last_is_had_again),
        XA_OS_FAKE_FRESH(what_is_too_short_or_much_too_long_is_left_there),
        XA_OS_FAKE_FRESH(it_is_bounded_by_number_and_bytes),
        XA_OS_FAKE_FRESH(without_thread_caches_there_is_none),
        XA_OS_FAKE_FRESH(where_objects_are_filled_there_is_none),
        XA_OS_FAKE_FRESH(where_large_objects_are_fenced_there_is_none),
        XA_OS_FAKE_FRESH(without_a_budget_there_is_none),
        XA_OS_FAKE_FRESH(the_largest_cached_size_holds_for_it),
        XA_OS_FAKE_FRESH(a_purger_takes_what_was_there_the_last_time),
        XA_OS_FAKE_FRESH(another_thread_leaves_what_was_freed_last),
        XA_OS_FAKE_FRESH(who_was_using_it_has_it),
        XA_OS_FAKE_FRESH(a_flush_gives_it_back),
        XA_OS_FAKE_FRESH(when_memory_runs_out_what_others_keep_is_taken),
        XA_OS_FAKE_FRESH(no_object_is_had_twice),
    };
    seed = xa_seed_choose(NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
