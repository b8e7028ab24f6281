/*
 * private_arena_objects_test.c - objects of private arenas: sizes, alignments, zeros, growth.
 */
#include "arena/private_arena.h"

#include "support/os_fake.h"

#include <string.h>

#include "arena/large.h"
#include "support/hooks.h"
#include "support/own_arena.h"

enum { KIB = 1024, MIB = 1024 * KIB };

static unsigned
make(void)
{
    return xa_own_arena_make(-1);
}

static size_t
usable(const void *object)
{
    size_t bytes = 0;
    assert_int_equal(xa_private_arena_look(object, &bytes), XA_PRIVATE_LIVE);
    return bytes;
}

static void
sizes_are_those_of_the_automatic_arenas(void **state)
{
    (void)state;
    unsigned index = make();
    for (size_t bytes = 1; bytes < 9 * MIB; bytes += 1 + bytes / 5)
        for (size_t alignment = 1; alignment <= 8 * MIB; alignment *= 4) {
            void *object = xa_private_arena_take(index, bytes, alignment, false);
            assert_non_null(object);
            assert_int_equal((uintptr_t)object % alignment, 0);
            unsigned c = xa_size_class_of_aligned(bytes, alignment);
            assert_int_equal(usable(object),
                c != XA_CLASS_NONE ? xa_size_class_table[c].object_bytes
                                   : xa_large_object_bytes(bytes, alignment));
            memset(object, 1, usable(object));
            assert_int_equal(xa_private_arena_lookup(object), index);
            assert_int_equal(xa_private_arena_return(object), XA_PRIVATE_LIVE);
        }
}

static void
zeros_are_asked_for_where_that_is_cheaper(void **state)
{
    (void)state;
    unsigned index = make();
    for (int round = 0; round < 3; round++)
        for (size_t bytes = 1; bytes < 5 * MIB; bytes += 1 + bytes / 2) {
            unsigned char *object = xa_private_arena_take(index, bytes, 1, true);
            for (size_t i = 0; i < bytes; i++)
                if (object[i] != 0)
                    fail_msg("byte %zu of %zu is not zero", i, bytes);
            memset(object, 0xff, bytes);
            assert_int_equal(xa_private_arena_return(object), XA_PRIVATE_LIVE);
        }
}

static void
large_objects_grow_and_shrink_in_place(void **state)
{
    (void)state;
    unsigned index = make();
    char *object = xa_private_arena_take(index, 4 * MIB, 1, false);
    memset(object, 7, 4 * MIB);
    assert_int_equal(xa_private_arena_resize(object, 6 * MIB, 6 * MIB), 6 * MIB);
    assert_int_equal(object[4 * MIB - 1], 7);
    object[6 * MIB - 1] = 7;
    assert_int_equal(xa_private_arena_resize(object, 2 * MIB, 3 * MIB), 3 * MIB);
    assert_int_equal(xa_hooks_bytes(), 6 * MIB);
    /* What lies behind it now is another object's. */
    char *other = xa_private_arena_take(index, 2 * MIB + 1, 1, false);
    assert_ptr_equal(other, object + 3 * MIB);
    assert_int_equal(xa_private_arena_resize(object, 5 * MIB, 6 * MIB), 3 * MIB);
    assert_int_equal(
        xa_private_arena_resize(object, 3 * MIB - 5000, 3 * MIB - 5000), 3 * MIB - 4096);
    /* A small object stays what it is, and a large one does not become small. */
    void *small = xa_private_arena_take(index, 100, 1, false);
    assert_int_equal(xa_private_arena_resize(small, 200, 70000), 112);
    assert_int_equal(xa_private_arena_resize(object, 10, 20), 3 * MIB - 4096);
    assert_int_equal(xa_private_arena_resize(object + 16, 10, 20), 0);
    assert_int_equal(xa_private_arena_resize(&index, 10, 20), 0);
}

static void
every_address_is_known_for_what_it_is(void **state)
{
    size_t bytes;
    (void)state;
    unsigned index = make();
    char *whole = xa_private_arena_take(index, 3 * MIB, 1, false);
    assert_int_equal(xa_private_arena_look(whole + 1, &bytes), XA_PRIVATE_INSIDE);
    assert_int_equal(xa_private_arena_look(whole + 3 * MIB - 1, &bytes), XA_PRIVATE_INSIDE);
    assert_int_equal(xa_private_arena_look(whole + 3 * MIB, &bytes), XA_PRIVATE_FOREIGN);
    assert_int_equal(xa_private_arena_look(whole - 1, &bytes), XA_PRIVATE_FOREIGN);
    assert_int_equal(xa_private_arena_look(NULL, &bytes), XA_PRIVATE_FOREIGN);
    assert_int_equal(xa_private_arena_return(whole + 16), XA_PRIVATE_INSIDE);
    assert_int_equal(xa_private_arena_lookup(whole + 16), index);
    assert_int_equal(xa_private_arena_return(whole), XA_PRIVATE_LIVE);
    assert_int_equal(xa_private_arena_return(whole), XA_PRIVATE_FREE);
    assert_int_equal(xa_private_arena_lookup(whole), XA_PRIVATE_ARENA_NONE);
    assert_int_equal(xa_private_arena_lookup(&bytes), XA_PRIVATE_ARENA_NONE);
}

static void
several_small_ones_come_at_once(void **state)
{
    void *objects[50];
    (void)state;
    unsigned index = make();
    assert_int_equal(xa_private_arena_take_some(index, 5, objects, 50), 50);
    for (int i = 0; i < 50; i++)
        for (int k = 0; k < i; k++)
            assert_ptr_not_equal(objects[i], objects[k]);
    for (int i = 0; i < 50; i++)
        assert_int_equal(xa_private_arena_return(objects[i]), XA_PRIVATE_LIVE);
    assert_int_equal(xa_private_arena_take_some(index + 1, 5, objects, 50), 0);
    xa_hooks_fail(XA_HOOK_ALLOC, 1000);
    assert_true(xa_private_arena_take_some(index, XA_SMALL_CLASSES, objects, 50) < 50);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(sizes_are_those_of_the_automatic_arenas),
        XA_OS_FAKE_FRESH(zeros_are_asked_for_where_that_is_cheaper),
        XA_OS_FAKE_FRESH(large_objects_grow_and_shrink_in_place),
        XA_OS_FAKE_FRESH(every_address_is_known_for_what_it_is),
        XA_OS_FAKE_FRESH(several_small_ones_come_at_once),
    };
    return cmocka_run_group_tests_name("private_arena_objects", tests, NULL, NULL);
}
