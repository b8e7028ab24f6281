/*
 * check_test.c - the option "check": what each level finds, and that it finds nothing else.
 */
#include "check/check.h"

#include "support/os_fake.h"

#include <stdio.h>
#include <string.h>

#include "alloc/allocate.h"
#include "alloc/fast_path.h"
#include "alloc/release.h"
#include "alloc/resize.h"
#include "alloc/start.h"
#include "check/guard.h"
#include "check/quarantine.h"
#include "support/seed.h"

enum { MIB = 1 << 20, OBJECTS = 200, ROUNDS = 20000 };

extern const char *xalloc_conf;
const char *xalloc_conf = "background_thread:false";

/* No object is guarded by chance. */
#define LIGHT "check:light"
#define FULL "check:full,check_sample:1000000000"

static uint64_t seed;

static size_t
usable(const void *object)
{
    size_t bytes = xa_fast_small_bytes(object);
    return bytes != 0 ? bytes : xa_release_usable_bytes(object, "malloc_usable_size");
}

static void *
take(size_t size)
{
    void *object = xa_fast_malloc(size);
    assert_non_null(object);
    return object;
}

static void
free_it(void *pointer)
{
    xa_fast_free(pointer);
}

static void
resize_it(void *pointer)
{
    (void)!xa_resize(pointer, 5000);
}

static void
ask_for_bytes(void *pointer)
{
    (void)usable(pointer);
}

static const char *const levels[] = {LIGHT, FULL, "check:sample,check_sample:1",
    "check:full,check_sample:1", "check:light,check_quarantine:0",
    "check:light,check_min:100,check_max:5000", "check:sample,check_sample:3"};
enum { LEVELS = sizeof levels / sizeof *levels };

struct object {
    unsigned char *start;
    size_t size;
    unsigned char mark;
};

static void
verify(const struct object *object, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += i < 64 || i + 65 > bytes ? 1 : 61)
        assert_int_equal(object->start[i], object->mark);
}

static void
make(struct object *object, size_t size, unsigned char mark, bool is_zeroed)
{
    object->start = is_zeroed ? xa_allocate_zeroed(size) : xa_fast_malloc(size);
    assert_non_null(object->start);
    assert_int_equal((uintptr_t)object->start % 16, 0);
    assert_true(usable(object->start) >= size);
    object->size = size;
    object->mark = 0;
    if (is_zeroed)
        verify(object, size);
    object->mark = mark;
    memset(object->start, mark, size);
}

static size_t
random_size(struct xa_seed_random *numbers)
{
    unsigned bits = (unsigned)xa_seed_below(numbers, 18);
    return 1 + xa_seed_below(numbers, (uint64_t)1 << bits);
}

/* Random calls with one level; objects keep their bytes, and nothing is reported. */
static void
churn(unsigned level)
{
    static struct object objects[OBJECTS];
    struct xa_seed_random numbers = xa_seed_start(seed, level);
    xa_os_fake_configure(levels[level]);
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct object *object = &objects[xa_seed_below(&numbers, OBJECTS)];
        if (object->start == NULL) {
            make(object, random_size(&numbers), (unsigned char)i, i % 3 == 0);
            continue;
        }
        verify(object, object->size);
        if (i % 4 == 0) {
            size_t size = random_size(&numbers), kept = size < object->size ? size : object->size;
            object->start = xa_resize(object->start, size);
            assert_non_null(object->start);
            object->size = size;
            verify(object, kept);
            memset(object->start, object->mark, size);
        } else {
            xa_fast_free(object->start);
            object->start = NULL;
        }
    }
    assert_string_equal(xa_os_fake_errors(), "");
}

#define CHURN(number)                                        \
    static void random_calls_at_level_##number(void **state) \
    {                                                        \
        (void)state;                                         \
        churn(number);                                       \
    }
CHURN(0)
CHURN(1)
CHURN(2)
CHURN(3)
CHURN(4)
CHURN(5)
CHURN(6)

static void
sizes_are_exact(void **state)
{
    (void)state;
    xa_os_fake_configure(LIGHT);
    for (size_t size = 1; size <= 20 * (size_t)MIB; size = size * 5 / 4 + 1) {
        char *object = take(size);
        assert_int_equal(usable(object), size);
        assert_true(xa_check_has(object));
        assert_ptr_equal(xa_resize(object, size), object);
        xa_fast_free(object);
    }
    assert_int_equal(usable(take(0)), 1);
}

static void
alignments_are_kept(void **state)
{
    (void)state;
    xa_os_fake_configure(FULL);
    for (size_t alignment = 16; alignment <= 8 * (size_t)MIB; alignment *= 4) {
        for (size_t size = 1; size <= 5 * (size_t)MIB; size = size * 9 + 3) {
            char *object = xa_allocate_aligned(alignment, size);
            assert_non_null(object);
            assert_int_equal((uintptr_t)object % alignment, 0);
            assert_int_equal(usable(object), size);
            xa_fast_free(object);
        }
    }
}

static void
a_second_free_is_found_however_late(void **state)
{
    (void)state;
    xa_os_fake_configure(LIGHT);
    for (size_t size = 1; size <= 20 * (size_t)MIB; size = 4 * size + 3) {
        void *object = take(size), *other = take(size);
        xa_fast_free(object);
        xa_fast_free(other);
        xa_os_fake_assert_fatal(
            free_it, object, "xalloc: free(0x*): already free, an object of *\n");
        if (size > XA_SMALL_MAX_BYTES)
            continue;
        xa_os_fake_assert_fatal(
            resize_it, object, "xalloc: realloc(0x*): already free, an object of *\n");
        xa_os_fake_assert_fatal(ask_for_bytes, object,
            "xalloc: malloc_usable_size(0x*): already free, an object of *\n");
    }
}

static void
pointers_inside_are_found(void **state)
{
    (void)state;
    xa_os_fake_configure(LIGHT);
    for (size_t size = 64; size <= 20 * (size_t)MIB; size *= 5) {
        char *object = take(size);
        xa_os_fake_assert_fatal(free_it, object + 16, "xalloc: free(0x*): inside an object of *\n");
        xa_os_fake_assert_fatal(
            ask_for_bytes, object + 1, "xalloc: malloc_usable_size(0x*): inside an object of *\n");
    }
}

static void
the_first_byte_behind_is_watched(void **state)
{
    (void)state;
    xa_os_fake_configure(LIGHT);
    for (size_t size = 1; size <= 20 * (size_t)MIB; size = size * 2 + 1) {
        char *object = take(size);
        object[size] = 0;
        /* Where nothing is between object and fence, it is the fence that is broken. */
        xa_os_fake_assert_fatal(
            free_it, object, "xalloc: free(0x*): * behind the *. Look for an overflow*\n");
    }
}

static void
a_write_before_the_object_hits_the_one_before(void **state)
{
    char *objects[20];
    (void)state;
    xa_os_fake_configure(LIGHT);
    for (unsigned i = 0; i < 20; i++)
        objects[i] = take(40);
    objects[10][-1] ^= 1;
    xa_os_fake_assert_fatal(free_it, objects[9],
        "xalloc: free(0x*): something was written behind the object, whose size is lost with it. *\n");
}

static void
empty_quarantine(void *unused)
{
    (void)unused;
    (void)xa_check_empty_quarantine();
}

static void
a_write_after_the_free_is_found_at_the_end_of_the_quarantine(void **state)
{
    (void)state;
    xa_os_fake_configure(LIGHT);
    for (size_t size = 1; size < MIB; size = 3 * size + 1) {
        char *object = take(size);
        xa_fast_free(object);
        object[size / 2] ^= 1;
        xa_os_fake_assert_fatal(empty_quarantine, NULL,
            "xalloc: free(0x*): byte * was written after the free of an object of * bytes. "
            "Look for a pointer that is used after a free.\n");
        object[size / 2] ^= 1;
    }
    assert_true(xa_quarantine_bytes() > MIB);
    empty_quarantine(NULL);
    assert_int_equal(xa_quarantine_bytes(), 0);
    assert_string_equal(xa_os_fake_errors(), "");
}

static void
free_as_11_bytes(void *pointer)
{
    xa_release_sized_beyond(pointer, 11, 1);
}

static void
the_size_of_a_sized_free_must_be_right(void **state)
{
    (void)state;
    xa_os_fake_configure(LIGHT);
    for (size_t size = 10; size <= 10 * (size_t)MIB; size *= 7) {
        char expected[200];
        snprintf(expected, sizeof expected,
            "xalloc: free_sized(0x*): called with size 11 for an object of %zu bytes. "
            "Pass the size that was allocated.\n",
            size);
        void *object = take(size);
        xa_os_fake_assert_fatal(free_as_11_bytes, object, expected);
        xa_release_sized_beyond(object, size, 1);
    }
    free_as_11_bytes(take(11));
    xa_release_sized_beyond(take(0), 0, 1);
    assert_string_equal(xa_os_fake_errors(), "");
}

static void
full_tells_who_allocated_and_freed(void **state)
{
    (void)state;
    xa_os_fake_configure(FULL);
    void *object = take(40);
    xa_fast_free(object);
    xa_os_fake_assert_fatal(
        free_it, object, "xalloc: free(0x*): already free, *\nxalloc:   allocated:*");
}

static void
full_places_objects_by_chance(void **state)
{
    unsigned neighbours = 0;
    (void)state;
    xa_os_fake_configure(FULL);
    char *before = take(40);
    for (unsigned i = 0; i < 500; i++) {
        char *object = take(40);
        neighbours += object - before == 64;
        before = object;
    }
    assert_true(neighbours < 250);
}

static void
only_the_sizes_asked_for_are_checked(void **state)
{
    (void)state;
    xa_os_fake_configure("check:light,check_min:1000,check_max:2000");
    for (size_t size = 1; size <= 5 * (size_t)MIB; size = size * 9 / 8 + 1) {
        void *object = take(size);
        if (size <= 800 || size > 2100)
            assert_false(xa_check_has(object));
        if (size > 1100 && size < 1700)
            assert_true(xa_check_has(object));
        xa_fast_free(object);
    }
    /* The others have their caches. */
    assert_int_equal(xa_start_cached_class_max, XA_SMALL_CLASSES);
    assert_string_equal(xa_os_fake_errors(), "");
}

static void
one_in_many_is_guarded(void **state)
{
    unsigned guarded = 0;
    (void)state;
    xa_os_fake_configure("check:sample,check_sample:10,tcache:false");
    for (unsigned i = 0; i < 1000; i++) {
        void *object = take(100);
        guarded += xa_guard_has((uintptr_t)object);
        xa_fast_free(object);
    }
    assert_in_range(guarded, 60, 160);
}

static void
hits_of_the_cache_are_not_sampled(void **state)
{
    (void)state;
    xa_os_fake_configure("check:sample,check_sample:1");
    unsigned guarded = 0;
    for (unsigned i = 0; i < 1000; i++) {
        void *object = take(100);
        guarded += xa_guard_has((uintptr_t)object);
        if (!xa_guard_has((uintptr_t)object))
            xa_fast_free(object);
    }
    /* Until all places are taken by live ones. */
    assert_int_equal(guarded, XA_CHUNK_GRANULES);
}

static void
what_waits_goes_when_memory_runs_out(void **state)
{
    (void)state;
    xa_os_fake_configure("check:light,check_quarantine:32M,memory_limit_hard:16M");
    for (unsigned i = 0; i < 200; i++)
        xa_fast_free(take(MIB / 2));
    assert_non_null(take(12 * (size_t)MIB));
    assert_string_equal(xa_os_fake_errors(), "");
}

static void
objects_from_before_the_option_was_read_are_as_they_were(void **state)
{
    void *before[100];
    (void)state;
    xa_os_fake_set_environment_ready(false);
    xa_os_fake_configure(FULL);
    for (unsigned i = 0; i < 100; i++)
        before[i] = take(16 * (size_t)i + 1);
    xa_os_fake_set_environment_ready(true);
    xa_start_read_environment();
    for (unsigned i = 0; i < 100; i++) {
        void *after = take(16 * (size_t)i + 1);
        before[i] = xa_resize(before[i], 3000);
        xa_fast_free(before[i]);
        xa_fast_free(after);
    }
    /* In a slab that was not there before. */
    assert_true(xa_check_has(take(40000)));
    assert_string_equal(xa_os_fake_errors(), "");
}

int
main(void)
{
    seed = xa_seed_choose(NULL);
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(random_calls_at_level_0),
        XA_OS_FAKE_FRESH(random_calls_at_level_1),
        XA_OS_FAKE_FRESH(random_calls_at_level_2),
        XA_OS_FAKE_FRESH(random_calls_at_level_3),
        XA_OS_FAKE_FRESH(random_calls_at_level_4),
        XA_OS_FAKE_FRESH(random_calls_at_level_5),
        XA_OS_FAKE_FRESH(random_calls_at_level_6),
        XA_OS_FAKE_FRESH(sizes_are_exact),
        XA_OS_FAKE_FRESH(alignments_are_kept),
        XA_OS_FAKE_FRESH(a_second_free_is_found_however_late),
        XA_OS_FAKE_FRESH(pointers_inside_are_found),
        XA_OS_FAKE_FRESH(the_first_byte_behind_is_watched),
        XA_OS_FAKE_FRESH(a_write_before_the_object_hits_the_one_before),
        XA_OS_FAKE_FRESH(a_write_after_the_free_is_found_at_the_end_of_the_quarantine),
        XA_OS_FAKE_FRESH(the_size_of_a_sized_free_must_be_right),
        XA_OS_FAKE_FRESH(full_tells_who_allocated_and_freed),
        XA_OS_FAKE_FRESH(full_places_objects_by_chance),
        XA_OS_FAKE_FRESH(only_the_sizes_asked_for_are_checked),
        XA_OS_FAKE_FRESH(one_in_many_is_guarded),
        XA_OS_FAKE_FRESH(hits_of_the_cache_are_not_sampled),
        XA_OS_FAKE_FRESH(what_waits_goes_when_memory_runs_out),
        XA_OS_FAKE_FRESH(objects_from_before_the_option_was_read_are_as_they_were),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
