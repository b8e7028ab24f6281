/*
 * resize_test.c - realloc's rules: stay, grow and shrink in place, move, and never lose a byte.
 */
#include "alloc/resize.h"

#include "support/os_fake.h"

#include <stdio.h>
#include <string.h>

#include "alloc/fast_path.h"
#include "arena/large.h"
#include "support/seed.h"
#include "support/words.h"

/* As a program's own settings: what is dirty stays so until a test says otherwise. */
extern const char *xalloc_conf;
const char *xalloc_conf = "background_thread:false";

enum { MIB = 1 << 20, ROUNDS = 3000 };

static uint64_t seed;

static size_t
usable(const void *object)
{
    return xa_release_usable_bytes(object, "test");
}

/* An object whose bytes follow from its mark. */
static unsigned char *
make(size_t size, unsigned mark)
{
    unsigned char *object = xa_fast_malloc(size);
    assert_non_null(object);
    for (size_t i = 0; i < size; i++)
        object[i] = (unsigned char)(i * 7 + i / 251 + mark);
    return object;
}

static void
check(const unsigned char *object, size_t from, size_t bytes, unsigned mark)
{
    for (size_t i = from; i < bytes; i++)
        if (object[i] != (unsigned char)(i * 7 + i / 251 + mark))
            fail_msg("byte %zu of %zu is wrong", i, bytes);
}

static void
what_fits_stays_unless_half_is_wasted(void **state)
{
    (void)state;
    for (size_t size = 16; size <= XA_SMALL_MAX_BYTES; size += size / 8) {
        unsigned char *object = make(size, 1);
        size_t room = usable(object);
        assert_ptr_equal(xa_resize(object, room), object);
        assert_ptr_equal(xa_resize(object, room / 2), object);
        unsigned char *smaller = xa_resize(object, room / 2 - 1);
        if (room > 32)
            assert_ptr_not_equal(smaller, object);
        assert_true(usable(smaller) < room || room <= 32);
        check(smaller, 0, room / 2 - 1, 1);
        xa_fast_free(smaller);
    }
}

static void
a_larger_small_object_is_a_copy(void **state)
{
    (void)state;
    unsigned char *object = make(100, 1);
    unsigned char *larger = xa_resize(object, 1000);
    assert_ptr_not_equal(larger, object);
    check(larger, 0, 100, 1);
    assert_true(usable(larger) >= 1000);
    /* The old one is free. */
    assert_ptr_equal(xa_fast_malloc(100), object);
}

static void
a_run_grows_and_shrinks_where_it_stands(void **state)
{
    (void)state;
    unsigned char *object = make(100000, 1);
    assert_ptr_equal(xa_resize(object, 1500000), object);
    check(object, 0, 100000, 1);
    assert_true(usable(object) >= 1500000);
    memset(object + 100000, 1, 1400000);
    assert_ptr_equal(xa_resize(object, 80000), object);
    assert_true(usable(object) < 100000);
    check(object, 0, 80000, 1);
}

static void
a_run_that_cannot_grow_moves(void **state)
{
    (void)state;
    unsigned char *object = make(100000, 1), *next = make(100000, 2);
    unsigned char *moved = xa_resize(object, 1500000);
    assert_ptr_not_equal(moved, object);
    check(moved, 0, 100000, 1);
    check(next, 0, 100000, 2);
}

static void
what_grows_step_by_step_moves_once(void **state)
{
    (void)state;
    unsigned moves = 0;
    unsigned char *object = make(60000, 1);
    for (size_t size = 70000; size < 2 * MIB; size += size / 4) {
        unsigned char *before = object;
        object = xa_resize(object, size);
        assert_non_null(object);
        moves += object != before;
        memset(object + 60000, 2, size - 60000);
        /* What others need meanwhile is not put in its way. */
        (void)make(50000, 3);
    }
    check(object, 0, 60000, 1);
    assert_int_equal(moves, 1);
}

static void
a_mapping_grows_without_a_copy(void **state)
{
    (void)state;
    unsigned char *object = make(3 * MIB, 1);
    for (size_t size = 4 * MIB; size <= 100 * MIB; size += 4 * MIB) {
        object = xa_resize(object, size);
        assert_non_null(object);
        check(object, 3 * MIB - 5000, 3 * MIB, 1);
        object[size - 1] = 1;
    }
    check(object, 0, 3 * MIB, 1);
    /* Only what was written is in memory: nothing was copied, and the moves were few. */
    assert_true(xa_os_fake_resident_bytes() < 6 * MIB);
    assert_in_range(xa_os_fake_count(XA_OS_FAKE_MOVE), 1, 6);
    assert_ptr_equal(xa_resize(object, 3 * MIB), object);
    check(object, 0, 3 * MIB, 1);
}

static void
every_kind_becomes_every_other(void **state)
{
    static const size_t sizes[] = {
        1, 100, 5000, 65536, 65537, 300000, 2 * MIB, 2 * MIB + 1, 5 * MIB};
    enum { SIZES = sizeof sizes / sizeof *sizes };
    (void)state;
    for (unsigned i = 0; i < SIZES; i++)
        for (unsigned j = 0; j < SIZES; j++) {
            unsigned char *object = make(sizes[i], i + j);
            unsigned char *resized = xa_resize(object, sizes[j]);
            assert_non_null(resized);
            check(resized, 0, sizes[i] < sizes[j] ? sizes[i] : sizes[j], i + j);
            assert_true(usable(resized) >= sizes[j]);
            /* A small request does not keep a mapping. */
            if (sizes[j] <= XA_SMALL_MAX_BYTES && sizes[i] > 2 * sizes[j] + 64)
                assert_true(usable(resized) <= 2 * sizes[j] + 16);
            xa_fast_free(resized);
        }
}

static void
without_memory_the_object_stays_as_it_is(void **state)
{
    static const size_t sizes[] = {100, 5000, 100000, 3 * MIB};
    (void)state;
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        unsigned char *object = make(sizes[i], i);
        size_t room = usable(object);
        xa_os_fake_fail(XA_OS_FAKE_ANY, 1, XA_OS_FAKE_FROM_THEN_ON);
        assert_null(xa_resize(object, 200 * MIB));
        assert_null(xa_resize(object, (size_t)PTRDIFF_MAX + 1));
        assert_null(xa_resize(object, SIZE_MAX));
        assert_null(xa_resize(object, xa_words_power(45)));
        xa_os_fake_stop_failing();
        assert_int_equal(usable(object), room);
        check(object, 0, sizes[i], i);
        object = xa_resize(object, 20 * MIB);
        assert_non_null(object);
        check(object, 0, sizes[i], i);
    }
}

static void
a_foreign_pointer_is_reported_and_left_alone(void **state)
{
    static char foreign[64];
    char expected[300];
    (void)state;
    assert_null(xa_resize(foreign, 100));
    snprintf(expected, sizeof expected, "xalloc: realloc(0x%zx): %s\nxalloc:   called:*",
        (size_t)foreign,
        sizeof(void *) > 4
            ? "not from xalloc, left alone (further ones silently). "
              "Look for memory that another allocator or the stack gave out."
            : "no object of xalloc's, left alone (further ones silently). Look for memory that "
              "another allocator or the stack gave out, or a second free of a large object.");
    xa_os_fake_assert_errors(expected);
}

static void
resize_it(void *pointer)
{
    assert_null(xa_resize(pointer, 100));
}

static void
the_inside_of_a_large_object_is_fatal(void **state)
{
    char expected[200];
    (void)state;
    unsigned char *large = make(MIB, 1), *huge = make(9 * MIB, 1);
    unsigned char *const wrong[] = {
        large + 16, large + XA_GRANULE_BYTES, huge + 16, huge + 5 * MIB};
    for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        snprintf(expected, sizeof expected,
            "xalloc: realloc(0x%zx): inside an object of * bytes at 0x*, live. "
            "Free the pointer that malloc returned.\n",
            (size_t)wrong[i]);
        xa_os_fake_assert_fatal(resize_it, wrong[i], expected);
    }
}

static void
random_sizes_keep_every_byte(void **state)
{
    struct xa_seed_random numbers = xa_seed_start(seed, 0);
    struct {
        unsigned char *start;
        size_t size;
        unsigned mark;
    } objects[8];
    (void)state;
    for (unsigned i = 0; i < 8; i++) {
        objects[i].mark = i;
        objects[i].size = 1 + 1000 * i;
        objects[i].start = make(objects[i].size, i);
    }
    for (int round = 0; round < ROUNDS; round++) {
        unsigned i = (unsigned)xa_seed_below(&numbers, 8);
        size_t size = xa_seed_size(&numbers, 1, xa_seed_below(&numbers, 8) ? 300000 : 9 * MIB);
        if (round % 5 == 0)
            xa_os_fake_fail(XA_OS_FAKE_ANY, 1 + xa_seed_below(&numbers, 2), XA_OS_FAKE_ONCE);
        unsigned char *start = xa_resize(objects[i].start, size);
        xa_os_fake_stop_failing();
        if (start == NULL) {
            check(objects[i].start, 0, objects[i].size, objects[i].mark);
            continue;
        }
        size_t kept = size < objects[i].size ? size : objects[i].size;
        check(start, 0, kept, objects[i].mark);
        for (size_t k = kept; k < size; k++)
            start[k] = (unsigned char)(k * 7 + k / 251 + objects[i].mark);
        objects[i].start = start;
        objects[i].size = size;
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(what_fits_stays_unless_half_is_wasted),
        XA_OS_FAKE_FRESH(a_larger_small_object_is_a_copy),
        XA_OS_FAKE_FRESH(a_run_grows_and_shrinks_where_it_stands),
        XA_OS_FAKE_FRESH(a_run_that_cannot_grow_moves),
        XA_OS_FAKE_FRESH(what_grows_step_by_step_moves_once),
        XA_OS_FAKE_FRESH(a_mapping_grows_without_a_copy),
        XA_OS_FAKE_FRESH(every_kind_becomes_every_other),
        XA_OS_FAKE_FRESH(without_memory_the_object_stays_as_it_is),
        XA_OS_FAKE_FRESH(a_foreign_pointer_is_reported_and_left_alone),
        XA_OS_FAKE_FRESH(the_inside_of_a_large_object_is_fatal),
        XA_OS_FAKE_FRESH(random_sizes_keep_every_byte),
    };
    seed = xa_seed_choose(NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
