/*
 * slab_purge_test.c - pages without an object go, those with one stay.
 */
#include "arena/slab_purge.h"

#include "support/os_fake.h"

#include <string.h>

#include "arena/arena.h"
#include "arena/slab.h"
#include "config/options.h"
#include "support/seed.h"
#include "support/threads.h"

enum {
    SWEEPS_TO_AGE = 4,
    SWEEPS_AT_A_TIME = 4,
    SLABS_A_SWEEP = 32, /* that are off their lists at a time */
    OBJECTS_MAX = 20000,
    THREADS = 3,
    ROUNDS = 3000,
    HELD = 400,
    SECONDS = 120,
};

static struct xa_arena *arena;
static void *objects[OBJECTS_MAX];
static uint64_t seed;

static void
begin(void)
{
    xa_os_init();
    xa_size_class_init(xa_os_facts.page_bytes);
    xa_options.dirty_decay_ms = -1;
    xa_arena_init();
    arena = xa_arena_at(0);
}

/* Objects with their own address in every word. */
static void
fill(unsigned size_class, unsigned count)
{
    size_t words = xa_size_class_table[size_class].object_bytes / sizeof(uintptr_t);
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(xa_arena_take(arena, size_class, &objects[i], 1), 1);
        for (size_t word = 0; word < words; word++)
            ((uintptr_t *)objects[i])[word] = (uintptr_t)objects[i];
    }
}

static void
assert_whole(unsigned size_class, const void *object)
{
    size_t words = xa_size_class_table[size_class].object_bytes / sizeof(uintptr_t);
    for (size_t word = 0; word < words; word++)
        assert_int_equal(((const uintptr_t *)object)[word], (uintptr_t)object);
}

static void
release(unsigned size_class, unsigned index)
{
    assert_int_equal(xa_arena_return(size_class, &objects[index], 1, XA_ARENA_WAIT), 1);
    objects[index] = NULL;
}

static size_t
resident(const void *object)
{
    uintptr_t page = xa_os_facts.page_bytes;
    return xa_os_resident_bytes((uintptr_t)object & ~(page - 1), page);
}

/* Of one in `keep`, for each class: what lives stays as it is, what is unused goes. */
static void
sweep_with_one_in(unsigned keep, unsigned size_class)
{
    size_t bytes = xa_size_class_table[size_class].object_bytes;
    unsigned count = xa_size_class_table[size_class].slots * 3;
    if (count > OBJECTS_MAX)
        count = OBJECTS_MAX;
    fill(size_class, count);
    for (unsigned i = 0; i < count; i++)
        if (i % keep != 0)
            release(size_class, i);
    size_t before = atomic_load(&xa_slab_purged_bytes);
    size_t given = xa_slab_purge_all(UINT64_MAX);
    assert_int_equal(atomic_load(&xa_slab_purged_bytes) - before, given);
    for (unsigned i = 0; i < count; i += keep)
        assert_whole(size_class, objects[i]);
    /* A slab of one object is never partly used. */
    if (bytes * keep >= 4 * xa_os_facts.page_bytes && xa_size_class_table[size_class].slots > 1)
        assert_in_range(given, xa_os_facts.page_bytes, count * bytes);
    /* A second time there is nothing left to give. */
    assert_int_equal(xa_slab_purge_all(UINT64_MAX), 0);
    for (unsigned i = 0; i < count; i += keep)
        release(size_class, i);
}

static void
live_objects_of_every_class_are_left_alone(void **state)
{
    (void)state;
    begin();
    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++) {
        sweep_with_one_in(3, c);
        sweep_with_one_in(400, c);
    }
    /* Slabs that became empty have left with all that was noted of them. */
    (void)xa_arena_trim(0);
    assert_int_equal(atomic_load(&xa_slab_purged_bytes), 0);
}

static unsigned the_class, slots; /* of the slabs below */

/* Slabs with objects of so many bytes; of each only the first one lives. */
static void
begin_with_slabs(size_t bytes, unsigned slabs)
{
    begin();
    the_class = xa_size_class_of_aligned(bytes, 1);
    slots = xa_size_class_table[the_class].slots;
    fill(the_class, slots * slabs);
    for (unsigned i = 0; i < slots * slabs; i++)
        if (i % slots != 0)
            release(the_class, i);
}

static void
a_slab_has_to_rest_first(void **state)
{
    (void)state;
    begin_with_slabs(1024, 1);
    /* The page at the end, where nothing lives. */
    const char *freed = (char *)objects[0] + (size_t)(slots - 1) * 1024;
    for (unsigned i = 1; i < SWEEPS_TO_AGE; i++) {
        assert_true(xa_slab_purge_sweep());
        assert_int_not_equal(resident(freed), 0);
    }
    /* Something is taken from it: it begins anew. */
    assert_int_equal(xa_arena_take(arena, the_class, &objects[1], 1), 1);
    for (unsigned i = 1; i < SWEEPS_TO_AGE; i++) {
        assert_true(xa_slab_purge_sweep());
        assert_int_not_equal(resident(freed), 0);
    }
    assert_false(xa_slab_purge_sweep());
    assert_int_equal(resident(freed), 0);
    assert_int_not_equal(resident(objects[0]), 0);
    assert_int_not_equal(atomic_load(&xa_slab_purged_bytes), 0);
    assert_whole(the_class, objects[0]);
}

static void
what_was_purged_is_used_again(void **state)
{
    (void)state;
    begin_with_slabs(2048, 1);
    size_t given = xa_slab_purge_all(UINT64_MAX);
    assert_int_equal(atomic_load(&xa_slab_purged_bytes), given);
    for (unsigned i = 1; i < slots; i++) {
        assert_int_equal(xa_arena_take(arena, the_class, &objects[i], 1), 1);
        memset(objects[i], 1, 2048);
    }
    assert_int_equal(atomic_load(&xa_slab_purged_bytes), 0);
    assert_int_equal(arena->bins[the_class].counters.slabs, 1);
    /* And goes again. */
    for (unsigned i = 1; i < slots; i++)
        release(the_class, i);
    assert_int_equal(xa_slab_purge_all(UINT64_MAX), given);
}

static void
a_host_that_refuses_is_not_asked_for_ever(void **state)
{
    (void)state;
    begin_with_slabs(1024, 1);
    xa_os_fake_fail(XA_OS_FAKE_PURGE, 1, XA_OS_FAKE_FROM_THEN_ON);
    assert_int_equal(xa_slab_purge_all(UINT64_MAX), 0);
    assert_int_equal(atomic_load(&xa_slab_purged_bytes), 0);
    assert_false(xa_slab_purge_sweep());
    assert_whole(the_class, objects[0]);
    assert_int_equal(xa_arena_take(arena, the_class, &objects[1], 1), 1);
}

static void
a_deadline_in_the_past_stops_it(void **state)
{
    (void)state;
    begin_with_slabs(1024, 1);
    assert_int_equal(xa_slab_purge_all(0), 0);
    assert_int_not_equal(xa_slab_purge_all(UINT64_MAX), 0);
}

static unsigned begun;
static size_t given_within;

/* In a sweep, another one begins: by a signal handler, or by another thread. */
static void
sweep_within(void)
{
    begun++;
    size_t given = xa_slab_purge_all(UINT64_MAX);
    given_within += given;
    if (given == 0)
        xa_os_fake_set_guest(NULL);
}

static void
sweeps_share_the_slabs_and_some_are_enough(void **state)
{
    unsigned slabs = SLABS_A_SWEEP * (SWEEPS_AT_A_TIME + 1);
    (void)state;
    begin_with_slabs(1024, slabs);
    xa_os_fake_set_guest(sweep_within);
    size_t given = xa_slab_purge_all(UINT64_MAX) + given_within;
    /* The last one that began found that there were enough. */
    assert_int_equal(begun, SWEEPS_AT_A_TIME);
    assert_int_equal(given, slabs * (XA_GRANULE_BYTES - xa_os_facts.page_bytes));
    assert_int_equal(xa_slab_purge_all(UINT64_MAX), 0);
    for (unsigned i = 0; i < slots * slabs; i += slots)
        assert_whole(the_class, objects[i]);
}

/* Take and free at random, with a mark in what is held. */
static void
churn(unsigned index, void *argument)
{
    void *held[HELD] = {NULL};
    static const unsigned sizes[] = {48, 576, 1024, 3072, 20000};
    unsigned size_class = xa_size_class_of_aligned(sizes[index], 1);
    size_t bytes = xa_size_class_table[size_class].object_bytes;
    struct xa_seed_random numbers = xa_seed_start(seed, index);
    _Atomic unsigned *wrong = argument;
    for (unsigned i = 0; i < ROUNDS * 4; i++) {
        unsigned at = (unsigned)xa_seed_below(&numbers, i % 1000 < 500 ? HELD : HELD / 8);
        if (held[at] == NULL) {
            if (xa_arena_take(arena, size_class, &held[at], 1) != 1)
                continue;
            memset(held[at], (int)(at % 255), bytes);
        } else {
            unsigned char *object = held[at];
            if (object[0] != at % 255 || object[bytes / 2] != at % 255 ||
                object[bytes - 1] != at % 255)
                atomic_fetch_add(wrong, 1);
            (void)xa_arena_return(size_class, &held[at], 1, XA_ARENA_WAIT);
            held[at] = NULL;
        }
    }
}

static void
purge_or_churn(unsigned index, void *argument)
{
    if (index < THREADS) {
        churn(index, argument);
        return;
    }
    for (unsigned i = 0; i < ROUNDS / 10; i++) {
        if (i % 4 == 0)
            (void)xa_slab_purge_all(UINT64_MAX);
        else
            (void)xa_slab_purge_sweep();
        if (i % 16 == 0)
            (void)xa_arena_trim(0);
    }
}

static void
threads_that_allocate_meanwhile_lose_nothing(void **state)
{
    _Atomic unsigned wrong = 0;
    (void)state;
    seed = xa_seed_choose(NULL);
    begin();
    assert_true(xa_threads_run(THREADS + 2, purge_or_churn, &wrong, SECONDS));
    assert_int_equal(wrong, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(live_objects_of_every_class_are_left_alone),
        XA_OS_FAKE_FRESH(a_slab_has_to_rest_first),
        XA_OS_FAKE_FRESH(what_was_purged_is_used_again),
        XA_OS_FAKE_FRESH(a_host_that_refuses_is_not_asked_for_ever),
        XA_OS_FAKE_FRESH(a_deadline_in_the_past_stops_it),
        XA_OS_FAKE_FRESH(sweeps_share_the_slabs_and_some_are_enough),
        XA_OS_FAKE_FRESH(threads_that_allocate_meanwhile_lose_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
