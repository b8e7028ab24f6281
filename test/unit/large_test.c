/*
 * large_test.c - objects of whole granules: taken, resized where they stand, given back.
 */
#include "arena/large.h"

#include "support/os_fake.h"

#include <string.h>

#include "config/options.h"
#include "support/seed.h"

enum {
    GRANULE = XA_GRANULE_BYTES,
    OBJECTS = 40,
    ROUNDS = 5000,
};

static uint64_t seed;

static struct xa_arena *
begin(void)
{
    xa_os_init();
    xa_size_class_init(xa_os_facts.page_bytes);
    xa_options.dirty_decay_ms = -1;
    xa_arena_init();
    xa_arena_set_limit(2);
    (void)xa_arena_assign();
    return xa_arena_assign();
}

static char *
take(struct xa_arena *arena, size_t bytes)
{
    bool is_zeroed;
    char *object = xa_large_take(arena, bytes, 1, &is_zeroed);
    assert_non_null(object);
    return object;
}

static void
give(char *object)
{
    assert_int_equal(
        xa_page_map_take_class(xa_page_map_granule_of((uintptr_t)object)), XA_CLASS_LARGE);
    xa_large_return((uintptr_t)object);
}

static size_t
usable(const char *object)
{
    return xa_large_usable_bytes((uintptr_t)object);
}

static void
an_object_has_whole_granules(void **state)
{
    (void)state;
    struct xa_arena *arena = begin();
    char *object = take(arena, 70000);
    assert_int_equal(usable(object), 5 * GRANULE);
    assert_int_equal((uintptr_t)object % GRANULE, 0);
    memset(object, 1, 5 * GRANULE);
    const struct xa_extent *record = xa_page_map_record(xa_page_map_granule_of((uintptr_t)object));
    assert_int_equal(record->kind, XA_EXTENT_LARGE);
    assert_int_equal(record->arena, 1);
    assert_int_equal(record->as.large.bytes, 70000);
    assert_int_equal(xa_page_map_class((uintptr_t)object), XA_CLASS_LARGE);
    assert_int_equal(xa_page_map_class((uintptr_t)object + GRANULE), XA_CLASS_NONE);
    assert_int_equal(atomic_load(&arena->heap.counters.large_objects), 1);
    assert_int_equal(atomic_load(&arena->heap.counters.large_bytes), 5 * GRANULE);
    give(object);
    assert_int_equal(atomic_load(&arena->heap.counters.large_objects), 0);
    assert_int_equal(atomic_load(&arena->heap.counters.large_allocations), 1);
    assert_int_equal(atomic_load(&arena->heap.counters.active_bytes), 0);
}

static void
the_largest_fits_and_every_alignment_up_to_half_a_chunk(void **state)
{
    bool is_zeroed;
    (void)state;
    struct xa_arena *arena = begin();
    assert_int_equal(usable(take(arena, XA_LARGE_MAX_BYTES)), XA_LARGE_MAX_BYTES);
    for (size_t alignment = 1; alignment <= XA_CHUNK_BYTES / 2; alignment *= 2) {
        char *object = xa_large_take(arena, 100000, alignment, &is_zeroed);
        assert_non_null(object);
        assert_int_equal((uintptr_t)object % alignment, 0);
    }
}

static void
fresh_memory_is_known_to_be_zero(void **state)
{
    bool is_zeroed = false;
    (void)state;
    struct xa_arena *arena = begin();
    char *object = xa_large_take(arena, 100000, 1, &is_zeroed);
    assert_true(is_zeroed);
    object[0] = 1;
    give(object);
    assert_ptr_equal(xa_large_take(arena, 100000, 1, &is_zeroed), object);
    assert_false(is_zeroed);
}

static void
resizing_in_place_keeps_the_books(void **state)
{
    (void)state;
    struct xa_arena *arena = begin();
    char *object = take(arena, 100000);
    memset(object, 3, 100000);
    assert_true(xa_large_resize((uintptr_t)object, 1000000));
    assert_int_equal(usable(object), 62 * GRANULE);
    assert_int_equal(object[99999], 3);
    memset(object, 4, 1000000);
    assert_int_equal(atomic_load(&arena->heap.counters.large_bytes), 62 * GRANULE);
    assert_true(xa_large_resize((uintptr_t)object, 70000));
    assert_int_equal(usable(object), 5 * GRANULE);
    assert_int_equal(atomic_load(&arena->heap.counters.large_bytes), 5 * GRANULE);
    assert_int_equal(atomic_load(&arena->heap.counters.dirty_bytes), 57 * GRANULE);
    char *next = take(arena, 70000);
    assert_ptr_equal(next, object + 5 * GRANULE);
    assert_false(xa_large_resize((uintptr_t)object, 1000000));
    assert_int_equal(usable(object), 5 * GRANULE);
    assert_int_equal(object[5 * GRANULE - 1], 4);
    assert_false(xa_large_resize((uintptr_t)object, XA_LARGE_MAX_BYTES + 1));
    assert_int_equal(usable(object), 5 * GRANULE);
    give(object);
    give(next);
    assert_int_equal(atomic_load(&arena->heap.counters.active_bytes), 0);
}

static void
without_memory_there_is_none(void **state)
{
    bool is_zeroed;
    (void)state;
    struct xa_arena *arena = begin();
    char *object = take(arena, 100000);
    xa_os_fake_fail(XA_OS_FAKE_ANY, 1, XA_OS_FAKE_FROM_THEN_ON);
    assert_null(xa_large_take(arena, 2000000, 1, &is_zeroed));
    assert_false(xa_large_resize((uintptr_t)object, 2000000));
    xa_os_fake_stop_failing();
    assert_int_equal(atomic_load(&arena->heap.counters.large_objects), 1);
    assert_true(xa_large_resize((uintptr_t)object, 2000000));
}

static void
objects_are_whole_pages_where_these_are_large(void **state)
{
    (void)state;
    xa_os_fake_set_page_bytes(65536);
    struct xa_arena *arena = begin();
    char *object = take(arena, 70000);
    assert_int_equal(usable(object), 2 * 65536);
    assert_true(xa_large_resize((uintptr_t)object, 140000));
    assert_int_equal(usable(object), 3 * 65536);
    assert_true(xa_large_resize((uintptr_t)object, 65537));
    assert_int_equal(usable(object), 2 * 65536);
    give(object);
    assert_int_equal(atomic_load(&arena->heap.counters.active_bytes), 0);
}

static void
random_objects_keep_contents_and_books(void **state)
{
    static struct {
        char *start;
        size_t bytes;
        char mark;
    } objects[OBJECTS];
    struct xa_seed_random numbers = xa_seed_start(seed, 0);
    (void)state;
    struct xa_arena *arena = begin();
    size_t live = 0, count = 0;
    for (int round = 0; round < ROUNDS; round++) {
        size_t i = xa_seed_below(&numbers, OBJECTS);
        size_t bytes = xa_seed_size(&numbers, 65537, XA_LARGE_MAX_BYTES);
        if (objects[i].start != NULL) {
            size_t before = usable(objects[i].start);
            assert_int_equal(objects[i].start[0], objects[i].mark);
            assert_int_equal(objects[i].start[objects[i].bytes - 1], objects[i].mark);
            live -= before;
            if (xa_seed_below(&numbers, 2)) {
                if (xa_large_resize((uintptr_t)objects[i].start, bytes))
                    objects[i].bytes = bytes;
                else
                    assert_int_equal(usable(objects[i].start), before);
            } else {
                give(objects[i].start);
                objects[i].start = NULL;
                count--;
            }
        } else {
            objects[i].start = take(arena, bytes);
            objects[i].bytes = bytes;
            objects[i].mark = (char)(1 + round % 100);
            count++;
        }
        if (objects[i].start != NULL) {
            assert_true(usable(objects[i].start) >= objects[i].bytes);
            objects[i].start[0] = objects[i].start[objects[i].bytes - 1] = objects[i].mark;
            live += usable(objects[i].start);
        }
        assert_int_equal(atomic_load(&arena->heap.counters.large_bytes), live);
        assert_int_equal(atomic_load(&arena->heap.counters.large_objects), count);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(an_object_has_whole_granules),
        XA_OS_FAKE_FRESH(the_largest_fits_and_every_alignment_up_to_half_a_chunk),
        XA_OS_FAKE_FRESH(fresh_memory_is_known_to_be_zero),
        XA_OS_FAKE_FRESH(resizing_in_place_keeps_the_books),
        XA_OS_FAKE_FRESH(without_memory_there_is_none),
        XA_OS_FAKE_FRESH(objects_are_whole_pages_where_these_are_large),
        XA_OS_FAKE_FRESH(random_objects_keep_contents_and_books),
    };
    seed = xa_seed_choose(NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
