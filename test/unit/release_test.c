/*
 * release_test.c - every kind of pointer that a program may hand to free.
 *
 * Messages are compared to the character, since they are all that a user gets to see.
 */
#include "alloc/release.h"

#include "support/os_fake.h"

#include <stdio.h>
#include <string.h>

#include "alloc/fast_path.h"
#include "alloc/start.h"
#include "arena/arena.h"
#include "arena/large.h"
#include "arena/slab.h"
#include "config/options.h"
#include "page/huge.h"
#include "thread/thread_cache.h"

/* As a program's own settings: what is dirty stays so until a test says otherwise. */
extern const char *xalloc_conf;
const char *xalloc_conf = "background_thread:false";

enum { MIB = 1 << 20 };

#define INSIDE "inside an object of * bytes*. Free the pointer that malloc returned."
#define ALREADY_FREE \
    "already free, an object of * bytes*. Look for a second free of the same pointer."
#define FOUND_LATE                                                          \
    "already free, found when it reached its slab, an object of * bytes*. " \
    "Look for a second free of the same pointer."
/* Where the window is all that is addressed, being in its range says nothing. */
#define WITH_ADDRESSES(wide, narrow) (sizeof(void *) > 4 ? (wide) : (narrow))
#define NO_OBJECT                                                                          \
    "no object of xalloc's, left alone (further ones silently). "                          \
    "Look for memory that another allocator or the stack gave out, or a second free of a " \
    "large object.\nxalloc:   called:*"
#define FOREIGN                                                                      \
    WITH_ADDRESSES("not from xalloc, left alone (further ones silently). "           \
                   "Look for memory that another allocator or the stack gave out.\n" \
                   "xalloc:   called:*",                                             \
        NO_OBJECT)
#define GONE                                                                                       \
    WITH_ADDRESSES("in xalloc's range, but nothing is there, left alone (further ones silently). " \
                   "Look for a second free of a large object.\nxalloc:   called:*",                \
        NO_OBJECT)
#define FOREIGN_FATAL \
    "not from xalloc. Look for memory that another allocator or the stack gave out."

static const char *
line_of(const char *call, const void *pointer, const char *what)
{
    static char line[300];
    snprintf(line, sizeof line, "xalloc: %s(0x%zx): %s\n", call, (size_t)pointer, what);
    return line;
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

/* Free, then have the thread's caches emptied into slabs, where objects are looked at. */
static void
free_and_flush(void *pointer)
{
    xa_fast_free(pointer);
    xa_thread_cache_flush(xa_start_thread());
    (void)xa_arena_trim(0);
}

static void
expect_fatal(void (*function)(void *), void *pointer, const char *what)
{
    xa_os_fake_assert_fatal(function, pointer, line_of("free", pointer, what));
}

static void
null_is_nothing(void **state)
{
    (void)state;
    xa_fast_free(NULL);
    xa_release_beyond(NULL);
    assert_int_equal(xa_release_usable_bytes(NULL, "malloc_usable_size"), 0);
    (void)take(1);
    xa_fast_free(NULL);
    assert_string_equal(xa_os_fake_errors(), "");
}

static void
the_first_call_may_be_a_wrong_free(void **state)
{
    static char foreign[64];
    (void)state;
    xa_fast_free(foreign);
    xa_os_fake_assert_errors(line_of("free", foreign, FOREIGN));
}

static void
foreign_pointers_are_reported_once_and_left_alone(void **state)
{
    char on_the_stack[64];
    (void)state;
    (void)take(100);
    xa_fast_free(on_the_stack);
    xa_os_fake_assert_errors(line_of("free", on_the_stack, FOREIGN));
    xa_os_fake_clear_errors();
    xa_fast_free((void *)16);
    xa_fast_free((void *)UINTPTR_MAX);
    xa_fast_free((void *)(xa_page_map_start - 16));
    xa_fast_free((void *)xa_page_map_start);
    xa_fast_free((void *)(xa_page_map_start + 500 * (uintptr_t)XA_CHUNK_BYTES));
    assert_int_equal(xa_release_usable_bytes(on_the_stack, "malloc_usable_size"), 0);
    assert_string_equal(xa_os_fake_errors(), "");
}

static void
the_call_that_met_a_foreign_pointer_is_named(void **state)
{
    static char foreign[64];
    (void)state;
    assert_int_equal(xa_release_usable_bytes(foreign, "malloc_usable_size"), 0);
    xa_os_fake_assert_errors(line_of("malloc_usable_size", foreign, FOREIGN));
}

static void
foreign_pointers_can_be_fatal(void **state)
{
    static char foreign[64];
    (void)state;
    xa_os_fake_configure("abort_on_foreign:true");
    (void)take(100);
    expect_fatal(free_it, foreign, FOREIGN_FATAL);
}

static void
the_option_abort_makes_foreign_pointers_fatal_too(void **state)
{
    static char foreign[64];
    (void)state;
    xa_os_fake_configure("abort:true");
    (void)take(100);
    expect_fatal(free_it, foreign, FOREIGN_FATAL);
}

static void
the_inside_of_a_small_object_is_found_when_the_cache_is_emptied(void **state)
{
    (void)state;
    for (size_t size = 16; size <= XA_SMALL_MAX_BYTES; size *= 2) {
        char *object = take(size);
        for (size_t offset = 1; offset < size; offset += size / 3 + 1)
            expect_fatal(free_and_flush, object + offset, INSIDE);
    }
}

static void
without_a_cache_it_is_found_at_once(void **state)
{
    (void)state;
    xa_os_fake_configure("tcache:false");
    char *object = take(100);
    expect_fatal(free_it, object + 16, INSIDE);
    xa_fast_free(object);
    expect_fatal(free_it, object, FOUND_LATE);
}

static void
with_junk_every_free_is_looked_at_at_once(void **state)
{
    (void)state;
    xa_os_fake_configure("junk:free");
    char *object = take(100), *other = take(100);
    expect_fatal(free_it, object + 16, INSIDE);
    xa_fast_free(object);
    expect_fatal(free_it, object, ALREADY_FREE);
    assert_int_equal(object[0], 0x5a);
    xa_fast_free(other);
}

enum { WARM_UPS = 8 };

static void
a_small_object_freed_twice_in_a_row_is_found_at_once(void **state)
{
    (void)state;
    for (size_t size = 1; size <= XA_SMALL_MAX_BYTES; size = 2 * size + 3) {
        /* At its first misses a class has no cache yet. */
        for (unsigned i = 0; i < WARM_UPS; i++)
            xa_fast_free(take(size));
        void *object = take(size);
        (void)take(size);
        xa_fast_free(object);
        expect_fatal(free_it, object, ALREADY_FREE);
    }
}

static void
a_small_object_freed_twice_is_found_when_the_cache_is_emptied(void **state)
{
    (void)state;
    for (size_t size = 1; size <= XA_SMALL_MAX_BYTES; size = 2 * size + 3) {
        void *object = take(size), *other = take(size);
        /* The slab stays, as something else in it is live. */
        (void)take(size);
        xa_fast_free(object);
        xa_fast_free(other);
        /* In the cache, if it is there twice, or in its slab. */
        expect_fatal(free_and_flush, object, "already free*");
    }
}

/* Make objects whose slabs, and most of their chunks, are given back: the first and the last. */
static void
make_and_lose(size_t size, void *lost[2])
{
    enum { COUNT = 3000 };
    static void *objects[COUNT];
    for (size_t i = 0; i < COUNT; i++)
        objects[i] = take(size);
    for (size_t i = 0; i < COUNT; i++)
        xa_fast_free(objects[i]);
    xa_thread_cache_flush(xa_start_thread());
    (void)xa_arena_trim(0);
    lost[0] = objects[0];
    lost[1] = objects[COUNT - 1];
}

static bool
has_chunk(const void *pointer)
{
    size_t granule = xa_page_map_granule_of((uintptr_t)pointer);
    return xa_page_map_region(granule / XA_CHUNK_GRANULES) != NULL;
}

static void
a_second_free_after_the_slab_is_gone_is_found(void **state)
{
    unsigned found = 0;
    (void)state;
    xa_os_fake_configure("dirty_decay_ms:0,narenas:1,abort_on_foreign:true");
    for (size_t size = 16; size <= 16384; size *= 4) {
        void *lost[2];
        make_and_lose(size, lost);
        for (unsigned i = 0; i < 2; i++) {
            /* The bin keeps one slab, of whichever objects. */
            if (xa_page_map_class((uintptr_t)lost[i]) != XA_CLASS_NONE)
                continue;
            /* Without its chunk nobody knows that it was ours. */
            expect_fatal(free_it, lost[i], has_chunk(lost[i]) ? ALREADY_FREE : FOREIGN_FATAL);
            found++;
        }
    }
    assert_true(found >= 4);
}

struct late {
    unsigned size_class;
    void *object;
};

static void
return_late(void *argument)
{
    struct late *late = argument;
    (void)xa_arena_return(late->size_class, &late->object, 1, XA_ARENA_WAIT);
}

static void
an_object_left_in_a_cache_whose_slab_is_gone_is_found(void **state)
{
    (void)state;
    xa_os_fake_configure("dirty_decay_ms:0,narenas:1");
    for (size_t size = 16; size <= 16384; size *= 4) {
        void *lost[2];
        make_and_lose(size, lost);
        for (unsigned i = 0; i < 2; i++) {
            /* As if it had been in another thread's magazine all the while. */
            struct late late = {xa_size_class_of(size), lost[i]};
            xa_os_fake_assert_fatal(return_late, &late, line_of("free", lost[i], FOUND_LATE));
        }
    }
}

static void
the_inside_of_a_large_object_is_found_at_once(void **state)
{
    (void)state;
    char *object = take(MIB);
    expect_fatal(free_it, object + 1, INSIDE);
    expect_fatal(free_it, object + 4096, INSIDE);
    expect_fatal(free_it, object + XA_GRANULE_BYTES, INSIDE);
    expect_fatal(free_it, object + MIB - 1, INSIDE);
    xa_fast_free(object);
}

static void
the_inside_of_a_huge_object_is_found_at_once(void **state)
{
    (void)state;
    char *object = take(9 * MIB);
    expect_fatal(free_it, object + 1, INSIDE);
    expect_fatal(free_it, object + XA_GRANULE_BYTES, INSIDE);
    expect_fatal(free_it, object + XA_CHUNK_BYTES, INSIDE);
    expect_fatal(free_it, object + 9 * MIB - 1, INSIDE);
    xa_fast_free(object);
}

static void
a_large_object_freed_twice_is_found_at_once(void **state)
{
    (void)state;
    xa_os_fake_configure("dirty_decay_ms:-1");
    char *object = take(MIB);
    (void)take(MIB);
    xa_fast_free(object);
    /* In the thread's stock its granules are not free yet. */
    expect_fatal(free_it, object, ALREADY_FREE);
    expect_fatal(free_it, object + XA_GRANULE_BYTES, INSIDE);
    xa_thread_cache_flush(xa_start_thread());
    expect_fatal(free_it, object, ALREADY_FREE);
    expect_fatal(free_it, object + XA_GRANULE_BYTES, ALREADY_FREE);
}

static void
a_huge_object_freed_twice_is_found_while_its_mapping_is_kept(void **state)
{
    (void)state;
    xa_os_fake_configure("dirty_decay_ms:-1");
    char *object = take(9 * MIB);
    xa_fast_free(object);
    expect_fatal(free_it, object, ALREADY_FREE);
    expect_fatal(free_it, object + 5 * MIB, ALREADY_FREE);
    /* Without its mapping nobody knows that it was ours. */
    xa_thread_cache_flush(xa_start_thread());
    (void)xa_huge_purge(XA_HUGE_ALL);
    xa_fast_free(object);
    xa_os_fake_assert_errors(line_of("free", object, GONE));
}

static void
free_and_unmapped_granules_are_told_apart(void **state)
{
    (void)state;
    xa_os_fake_configure("dirty_decay_ms:-1,narenas:1");
    char *object = take(1);
    const struct xa_chunk *chunk = xa_page_map_chunk_of(xa_page_map_granule_of((uintptr_t)object));
    uintptr_t start = xa_page_map_address_of((size_t)chunk->region.slot * XA_CHUNK_GRANULES);
    uintptr_t end = start + (uintptr_t)chunk->mapped_granules * XA_GRANULE_BYTES;
    assert_true(end < start + XA_CHUNK_BYTES);
    expect_fatal(free_it, (void *)(end - 16), ALREADY_FREE);
    xa_fast_free((void *)end);
    xa_os_fake_assert_errors(line_of("free", (void *)end, GONE));
}

static void
usable_bytes_are_what_may_be_written(void **state)
{
    (void)state;
    for (size_t size = 1; size <= 20 * MIB; size += size / 4 + 1) {
        char *object = take(size);
        size_t bytes = xa_release_usable_bytes(object, "malloc_usable_size");
        assert_true(bytes >= size);
        memset(object, 1, bytes);
        assert_int_equal(xa_release_usable_bytes(object, "malloc_usable_size"), bytes);
        xa_fast_free(object);
    }
    assert_string_equal(xa_os_fake_errors(), "");
}

static void
sized_frees_do_not_trust_the_size(void **state)
{
    (void)state;
    void *object = take(100);
    xa_fast_free_sized(object, 5000, 1);
    assert_ptr_equal(take(100), object);
}

/* The calls are the slow path's: what a cache takes is not looked at. */
static void
possible_sizes_are_not_reported(void **state)
{
    (void)state;
    for (size_t size = 1; size <= 3 * (size_t)MIB; size = size * 5 / 4 + 1) {
        void *object = take(size);
        xa_release_sized_beyond(object, size, 1);
        /* What realloc leaves where it is. */
        object = take(size);
        size_t usable = xa_release_usable_bytes(object, "test");
        xa_release_sized_beyond(object, (usable + 1) / 2, 1);
        for (size_t alignment = 1; alignment <= 16 * (size_t)MIB; alignment *= 4) {
            object = xa_allocate_aligned(alignment, size);
            assert_non_null(object);
            xa_release_sized_beyond(object, size, alignment);
        }
    }
    xa_release_sized_beyond(NULL, 5, 1);
    xa_release_sized_beyond(take(1), 0, 1);
    xa_release_sized_beyond(take(100), 100, 3);
    assert_string_equal(xa_os_fake_errors(), "");
}

static void
impossible_sizes_are_reported_once(void **state)
{
    char expected[300];
    (void)state;
    void *object = take(100);
    xa_release_sized_beyond(object, 5000, 1);
    snprintf(expected, sizeof expected,
        "xalloc: free_sized(0x%zx): called with size 5000 for an object of 112 bytes, freed all the "
        "same (further ones silently). Pass the size that was allocated.\nxalloc:   called:*",
        (size_t)object);
    xa_os_fake_assert_errors(expected);
    xa_os_fake_clear_errors();
    xa_release_sized_beyond(take(1000), 16, 1);
    assert_string_equal(xa_os_fake_errors(), "");
}

/* What the object was asked for with, and what it is freed with. */
static const struct {
    size_t alignment, size, wrong_alignment, wrong_size;
} lies[] = {
    {16, 1000, 16, 2000},
    {64, 256, 64, 64},
    {64, 1000, 64, 100},
    {4096, 100, 4096, 10000},
    {4096, 30000, 4096, 100},
    {4096, 200000, 4096, 100},
    {64, 200000, 64, 70000},
    {64, 200000, 64, 300000},
    {65536, 100, 65536, 200000},
    {65536, 200000, 65536, 100},
    {65536, 200000, 1, 100},
    {8 << 20, 3 << 20, 8 << 20, 100},
    {8 << 20, 3 << 20, 8 << 20, 1 << 20},
    {8 << 20, 3 << 20, 8 << 20, 4 << 20},
};
static size_t lie;

static void
tell_a_lie(void *pointer)
{
    xa_release_sized_beyond(pointer, lies[lie].wrong_size, lies[lie].wrong_alignment);
}

static void
impossible_sizes_of_aligned_objects_are_found(void **state)
{
    char expected[300];
    (void)state;
    xa_os_fake_configure("abort:true");
    for (lie = 0; lie < sizeof lies / sizeof *lies; lie++) {
        void *object = xa_allocate_aligned(lies[lie].alignment, lies[lie].size);
        assert_non_null(object);
        snprintf(expected, sizeof expected,
            "xalloc: free_sized(0x%zx): called with size %zu for an object of %zu bytes. "
            "Pass the size that was allocated.\n",
            (size_t)object, lies[lie].wrong_size, xa_release_usable_bytes(object, "test"));
        xa_os_fake_assert_fatal(tell_a_lie, object, expected);
        xa_fast_free(object);
    }
}

static void
free_with_a_wrong_size(void *pointer)
{
    xa_release_sized_beyond(pointer, 16, 1);
}

static void
impossible_sizes_can_be_fatal(void **state)
{
    char expected[300];
    (void)state;
    xa_os_fake_configure("abort:true");
    void *object = take(1000);
    snprintf(expected, sizeof expected,
        "xalloc: free_sized(0x%zx): called with size 16 for an object of 1024 bytes. "
        "Pass the size that was allocated.\n",
        (size_t)object);
    xa_os_fake_assert_fatal(free_with_a_wrong_size, object, expected);
}

static void
a_signal_handler_in_the_middle_of_a_call_loses_what_it_frees(void **state)
{
    (void)state;
    xa_os_fake_configure("tcache:false");
    void *small = take(100), *large = take(MIB), *huge = take(9 * MIB);
    struct xa_thread_state *own = xa_start_thread();
    own->is_inside = true;
    xa_fast_free(small);
    xa_fast_free(large);
    xa_fast_free(huge);
    own->is_inside = false;
    /* They are live still: nothing was half done. */
    assert_int_equal(xa_release_usable_bytes(large, "test"), MIB);
    assert_true(xa_release_usable_bytes(huge, "test") >= 9 * MIB);
    xa_fast_free(small);
    xa_fast_free(large);
    xa_fast_free(huge);
    assert_string_equal(xa_os_fake_errors(), "");
}

static void
freed_objects_can_be_filled_with_junk(void **state)
{
    (void)state;
    xa_os_fake_configure("junk:free,dirty_decay_ms:-1");
    for (size_t size = 100; size <= MIB; size *= 10) {
        unsigned char *object = take(size), *other = take(size);
        memset(object, 1, size);
        xa_fast_free(object);
        for (size_t i = 0; i < size; i++)
            assert_int_equal(object[i], 0x5a);
        xa_fast_free(other);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(null_is_nothing),
        XA_OS_FAKE_FRESH(the_first_call_may_be_a_wrong_free),
        XA_OS_FAKE_FRESH(foreign_pointers_are_reported_once_and_left_alone),
        XA_OS_FAKE_FRESH(the_call_that_met_a_foreign_pointer_is_named),
        XA_OS_FAKE_FRESH(foreign_pointers_can_be_fatal),
        XA_OS_FAKE_FRESH(the_option_abort_makes_foreign_pointers_fatal_too),
        XA_OS_FAKE_FRESH(the_inside_of_a_small_object_is_found_when_the_cache_is_emptied),
        XA_OS_FAKE_FRESH(without_a_cache_it_is_found_at_once),
        XA_OS_FAKE_FRESH(with_junk_every_free_is_looked_at_at_once),
        XA_OS_FAKE_FRESH(a_small_object_freed_twice_in_a_row_is_found_at_once),
        XA_OS_FAKE_FRESH(a_small_object_freed_twice_is_found_when_the_cache_is_emptied),
        XA_OS_FAKE_FRESH(a_second_free_after_the_slab_is_gone_is_found),
        XA_OS_FAKE_FRESH(an_object_left_in_a_cache_whose_slab_is_gone_is_found),
        XA_OS_FAKE_FRESH(the_inside_of_a_large_object_is_found_at_once),
        XA_OS_FAKE_FRESH(the_inside_of_a_huge_object_is_found_at_once),
        XA_OS_FAKE_FRESH(a_large_object_freed_twice_is_found_at_once),
        XA_OS_FAKE_FRESH(a_huge_object_freed_twice_is_found_while_its_mapping_is_kept),
        XA_OS_FAKE_FRESH(free_and_unmapped_granules_are_told_apart),
        XA_OS_FAKE_FRESH(usable_bytes_are_what_may_be_written),
        XA_OS_FAKE_FRESH(sized_frees_do_not_trust_the_size),
        XA_OS_FAKE_FRESH(possible_sizes_are_not_reported),
        XA_OS_FAKE_FRESH(impossible_sizes_are_reported_once),
        XA_OS_FAKE_FRESH(impossible_sizes_can_be_fatal),
        XA_OS_FAKE_FRESH(impossible_sizes_of_aligned_objects_are_found),
        XA_OS_FAKE_FRESH(a_signal_handler_in_the_middle_of_a_call_loses_what_it_frees),
        XA_OS_FAKE_FRESH(freed_objects_can_be_filled_with_junk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
