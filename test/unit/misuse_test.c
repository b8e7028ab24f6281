/*
 * misuse_test.c - what is said of a pointer, and an object that is in a cache twice.
 */
#include "arena/misuse.h"

#include "support/os_fake.h"

#include <stdio.h>

#include "alloc/fast_path.h"
#include "arena/magazine.h"
#include "thread/thread_cache.h"

enum { MIB = 1 << 20 };

extern const char *xalloc_conf;
const char *xalloc_conf = "background_thread:false";

static void
expect(const void *pointer, enum xa_misuse misuse, const char *what)
{
    char expected[400];
    xa_os_fake_clear_errors();
    xa_misuse_say("realloc", pointer, misuse);
    snprintf(expected, sizeof expected, "xalloc: realloc(0x%zx): %s\n", (size_t)pointer, what);
    xa_os_fake_assert_errors(expected);
}

static void
objects_are_named_by_their_size_and_place(void **state)
{
    char what[200];
    (void)state;
    char *small = xa_fast_malloc(100), *large = xa_fast_malloc(MIB),
         *huge = xa_fast_malloc(9 * MIB);
    char *const objects[] = {small, large, huge};
    static const size_t bytes[] = {112, MIB, 9 * MIB};
    for (unsigned i = 0; i < 3; i++) {
        snprintf(what, sizeof what,
            "inside an object of %zu bytes at 0x%zx, live*. Free the pointer that malloc returned.",
            bytes[i], (size_t)objects[i]);
        expect(objects[i] + 16, XA_MISUSE_INSIDE, what);
        expect(objects[i] + bytes[i] - 1, XA_MISUSE_INSIDE, what);
    }
    expect(small, XA_MISUSE_ALREADY_FREE,
        "already free, an object of 112 bytes. Look for a second free of the same pointer.");
    expect(small, XA_MISUSE_FOUND_LATE,
        "already free, found when it reached its slab, an object of 112 bytes. "
        "Look for a second free of the same pointer.");
    /* What a slab has never given out. */
    expect(small + 20 * 112 + 16, XA_MISUSE_INSIDE,
        "inside an object of 112 bytes at 0x*, which is free. Free the pointer that malloc returned.");
}

static void
pages_given_back_are_described_as_such(void **state)
{
    (void)state;
    char *large = xa_fast_malloc(MIB);
    xa_fast_free(large);
    expect(large, XA_MISUSE_ALREADY_FREE,
        "already free, an object of more than 65536 bytes or in pages given back. "
        "Look for a second free of the same pointer.");
}

static void *objects[XA_MAGAZINE_OBJECTS_MAX];

static void
make_distinct(size_t step)
{
    for (unsigned i = 0; i < XA_MAGAZINE_OBJECTS_MAX; i++)
        objects[i] = (void *)((uintptr_t)0x7f0040000000 + i * step);
}

static void
check(void *argument)
{
    (void)argument;
    xa_misuse_check_distinct(objects, XA_MAGAZINE_OBJECTS_MAX);
}

static void
distinct_objects_are_all_right(void **state)
{
    (void)state;
    for (size_t step = 16; step <= 65536; step *= 2) {
        make_distinct(step);
        check(NULL);
    }
    assert_string_equal(xa_os_fake_errors(), "");
}

static void
an_object_that_is_there_twice_is_fatal(void **state)
{
    (void)state;
    (void)xa_fast_malloc(1);
    for (size_t step = 16; step <= 65536; step *= 8) {
        for (unsigned i = 1; i < XA_MAGAZINE_OBJECTS_MAX; i += 7) {
            make_distinct(step);
            objects[i] = objects[i / 2];
            xa_os_fake_assert_fatal(check, NULL, "xalloc: free(0x*): already free, *\n");
        }
    }
}

enum { MANY = 3 * XA_MAGAZINE_OBJECTS_MAX };

/* Free some objects, the third one once more, and then others until its magazine is full. */
static void
free_twice_and_go_on(void *argument)
{
    void **more = argument;
    for (unsigned i = 0; i < MANY; i++) {
        xa_fast_free(more[i]);
        if (i == 5)
            xa_fast_free(more[3]);
    }
}

static void
a_growing_cache_finds_a_second_free(void **state)
{
    void *more[MANY];
    (void)state;
    for (unsigned i = 0; i < MANY; i++)
        more[i] = xa_fast_malloc(64);
    /* The first magazine is checked when it is full. */
    xa_os_fake_assert_fatal(free_twice_and_go_on, more, "xalloc: free(0x*): already free*\n");
}

/* The same of an interior pointer. */
static void
free_inside_and_go_on(void *argument)
{
    void **more = argument;
    for (unsigned i = 0; i < MANY; i++)
        xa_fast_free(i == 5 ? (char *)more[i] + 16 : more[i]);
}

static void
a_growing_cache_finds_a_pointer_inside(void **state)
{
    void *more[MANY];
    (void)state;
    for (unsigned i = 0; i < MANY; i++)
        more[i] = xa_fast_malloc(64);
    xa_os_fake_assert_fatal(
        free_inside_and_go_on, more, "xalloc: free(0x*): inside an object of 64 bytes at *\n");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(objects_are_named_by_their_size_and_place),
        XA_OS_FAKE_FRESH(pages_given_back_are_described_as_such),
        XA_OS_FAKE_FRESH(distinct_objects_are_all_right),
        XA_OS_FAKE_FRESH(an_object_that_is_there_twice_is_fatal),
        XA_OS_FAKE_FRESH(a_growing_cache_finds_a_second_free),
        XA_OS_FAKE_FRESH(a_growing_cache_finds_a_pointer_inside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
