/*
 * thread_count_test.c - sums that never fall, whose difference is what the thread holds.
 */
#include "thread/thread_count.h"

#include "support/os_fake.h"

#include "alloc/fast_path.h"
#include "alloc/start.h"
#include "extent/metadata.h"
#include "support/seed.h"
#include "thread/cache_purge.h"
#include "thread/thread_cache.h"

/* As a program's own settings. */
extern const char *xalloc_conf;
const char *xalloc_conf = "background_thread:false";

enum {
    CLASS = 4,
    OBJECTS = 300,
    ROUNDS = 40000,
    ROUNDS_PER_LOOK = 97,
    SIZE_MAX_BYTES = 200000,
    CACHES_MAX_BYTES = 4 << 20
};

static uint64_t seed;
static void *objects[OBJECTS];

static struct xa_thread_state *
begin(void)
{
    struct xa_thread_state *self = xa_start_thread();
    assert_non_null(self);
    assert_null(self->count);
    return self;
}

static void
a_thread_that_does_not_ask_is_not_counted(void **state)
{
    (void)state;
    struct xa_thread_state *self = begin();
    for (int i = 0; i < OBJECTS; i++)
        xa_fast_free(xa_fast_malloc(100));
    assert_null(self->count);
}

static void
what_was_before_does_not_count(void **state)
{
    (void)state;
    struct xa_thread_state *self = begin();
    void *object = xa_fast_malloc(100);
    struct xa_thread_count *count = xa_thread_count_begin(self);
    assert_non_null(count);
    assert_ptr_equal(xa_thread_count_begin(self), count);
    xa_thread_count_settle(self);
    assert_int_equal(count->allocated, 0);
    xa_fast_free(object);
    xa_thread_count_settle(self);
    assert_int_equal(count->deallocated, 112);
    assert_int_equal(count->peak, 0);
}

/* Whatever a thread does: the sums do not fall, and their difference is exact. */
static void
the_difference_is_what_the_thread_holds(void **state)
{
    (void)state;
    struct xa_thread_state *self = begin();
    struct xa_thread_count *count = xa_thread_count_begin(self);
    struct xa_seed_random numbers = xa_seed_start(seed, 0);
    uint64_t held = 0, allocated = 0, deallocated = 0, most = 0;
    for (int i = 0; i < ROUNDS; i++) {
        size_t k = xa_seed_below(&numbers, OBJECTS);
        if (objects[k] != NULL)
            held -= xa_release_usable_bytes(objects[k], "test");
        xa_fast_free(objects[k]);
        objects[k] = xa_seed_below(&numbers, 4) == 0
            ? NULL
            : xa_fast_malloc(xa_seed_size(&numbers, 1, SIZE_MAX_BYTES));
        if (objects[k] != NULL)
            held += xa_release_usable_bytes(objects[k], "test");
        most = held > most ? held : most;
        if (i % 1000 == 0)
            xa_thread_cache_flush(self);
        assert_true(count->allocated >= allocated && count->deallocated >= deallocated);
        if (i % ROUNDS_PER_LOOK == 0) {
            xa_thread_count_settle(self);
            assert_int_equal(count->allocated - count->deallocated, held);
        }
        allocated = count->allocated;
        deallocated = count->deallocated;
    }
    xa_thread_count_settle(self);
    assert_true((uint64_t)count->peak >= count->allocated - count->deallocated);
    /* At a miss in one class, what was freed in others is not known yet. */
    assert_true((uint64_t)count->peak <= most + CACHES_MAX_BYTES);
}

static void
the_peak_begins_anew(void **state)
{
    (void)state;
    struct xa_thread_state *self = begin();
    struct xa_thread_count *count = xa_thread_count_begin(self);
    void *object = xa_fast_malloc(100000);
    assert_true(count->peak >= 100000);
    xa_thread_count_reset_peak(self);
    assert_int_equal(count->peak, 0);
    xa_fast_free(object);
    object = xa_fast_malloc(50000);
    xa_thread_count_settle(self);
    assert_int_equal(count->peak, 0);
    xa_fast_free(object);
}

/* The caches of another thread, which sleeps, with objects in them. */
static struct xa_thread_state *
make_sleeper(void)
{
    struct xa_thread_state *sleeper = xa_thread_state_take();
    assert_non_null(sleeper);
    sleeper->arena = xa_arena_at(0);
    assert_non_null(xa_thread_count_begin(sleeper));
    /* A cache has no magazine at first. */
    for (int i = 0; i < 20 && xa_thread_state_objects(sleeper, CLASS) == 0; i++)
        assert_non_null(xa_thread_cache_refill(sleeper, CLASS));
    xa_thread_count_note(sleeper);
    assert_int_not_equal(xa_thread_state_objects(sleeper, CLASS), 0);
    xa_os_fake_set_asleep(xa_os_thread_number(), 0);
    return sleeper;
}

static void
what_a_purger_takes_is_in_no_sum(void **state)
{
    bool left;
    (void)state;
    (void)begin();
    struct xa_thread_state *sleeper = make_sleeper();
    assert_int_not_equal(xa_cache_purge_run(XA_CACHE_PURGE_ALL, &left), 0);
    assert_int_equal(xa_thread_state_objects(sleeper, CLASS), 0);
    xa_thread_count_settle(sleeper);
    assert_int_equal(sleeper->count->allocated, 0);
    assert_int_equal(sleeper->count->deallocated, 0);
}

static void
what_the_thread_did_before_the_purger_came_is(void **state)
{
    bool left;
    (void)state;
    (void)begin();
    struct xa_thread_state *sleeper = make_sleeper();
    /* As the fast path does. */
    xa_slot *top = atomic_load(&sleeper->tops[CLASS]);
    assert_non_null(*top);
    atomic_store(&sleeper->tops[CLASS], top + 1);
    (void)xa_cache_purge_run(XA_CACHE_PURGE_ALL, &left);
    assert_int_equal(xa_thread_state_objects(sleeper, CLASS), 0);
    xa_thread_count_settle(sleeper);
    assert_int_equal(sleeper->count->allocated, xa_size_class_table[CLASS].object_bytes);
    assert_int_equal(sleeper->count->deallocated, 0);
}

static void
without_memory_there_is_no_record(void **state)
{
    (void)state;
    struct xa_thread_state *self = begin();
    xa_os_fake_fail(XA_OS_FAKE_ANY, 1, XA_OS_FAKE_FROM_THEN_ON);
    while (xa_metadata_take(sizeof(struct xa_thread_count)) != NULL) {
    }
    assert_null(xa_thread_count_begin(self));
    assert_null(self->count);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(a_thread_that_does_not_ask_is_not_counted),
        XA_OS_FAKE_FRESH(what_was_before_does_not_count),
        XA_OS_FAKE_FRESH(the_difference_is_what_the_thread_holds),
        XA_OS_FAKE_FRESH(the_peak_begins_anew),
        XA_OS_FAKE_FRESH(what_a_purger_takes_is_in_no_sum),
        XA_OS_FAKE_FRESH(what_the_thread_did_before_the_purger_came_is),
        XA_OS_FAKE_FRESH(without_memory_there_is_no_record),
    };
    seed = xa_seed_choose(NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
