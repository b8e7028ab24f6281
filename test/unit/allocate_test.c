/*
 * allocate_test.c - getting memory of every size, alignment and state of the process.
 */
#include "alloc/allocate.h"

#include "support/os_fake.h"

#include <string.h>

#include "alloc/fast_path.h"
#include "alloc/start.h"
#include "arena/large.h"
#include "config/options.h"
#include "page/huge.h"
#include "support/seed.h"
#include "support/threads.h"
#include "support/words.h"

/* As a program's own settings: what is dirty stays so until a test says otherwise. */
extern const char *xalloc_conf;
const char *xalloc_conf = "background_thread:false";

enum {
    MIB = 1 << 20,
    OBJECTS = 300,
    ROUNDS = 20000,
    THREADS = 4,
    SECONDS = 120,
};

static uint64_t seed;

static size_t
usable(const void *object)
{
    return xa_release_usable_bytes(object, "test");
}

static bool
is_filled(const unsigned char *object, size_t bytes, unsigned char value)
{
    for (size_t i = 0; i < bytes; i++)
        if (object[i] != value)
            return false;
    return true;
}

static void
every_small_size_is_large_enough_and_aligned(void **state)
{
    (void)state;
    for (size_t size = 0; size <= 70000; size++) {
        char *object = xa_fast_malloc(size);
        assert_non_null(object);
        assert_int_equal((uintptr_t)object % 16, 0);
        assert_true(usable(object) >= size);
        if (size <= XA_SMALL_MAX_BYTES)
            assert_int_equal(
                xa_page_map_class((uintptr_t)object), xa_size_class_of(size == 0 ? 1 : size));
        if (size > 0)
            object[0] = object[size - 1] = 1;
        xa_fast_free(object);
    }
}

static void
sizes_around_every_limit_are_served_by_the_right_kind(void **state)
{
    static const struct {
        size_t size;
        unsigned code;
    } rows[] = {
        {XA_SMALL_MAX_BYTES, XA_SMALL_CLASSES},
        {XA_SMALL_MAX_BYTES + 1, XA_CLASS_LARGE},
        {XA_LARGE_MAX_BYTES, XA_CLASS_LARGE},
        {XA_LARGE_MAX_BYTES + 1, XA_CLASS_HUGE},
        {XA_CHUNK_BYTES, XA_CLASS_HUGE},
        {XA_CHUNK_BYTES + 1, XA_CLASS_HUGE},
        {100 * MIB, XA_CLASS_HUGE},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *object = xa_allocate_beyond(rows[i].size);
        assert_non_null(object);
        assert_int_equal(xa_page_map_class((uintptr_t)object), rows[i].code);
        assert_true(usable(object) >= rows[i].size);
        object[0] = object[rows[i].size - 1] = 1;
        xa_fast_free(object);
    }
}

static void
zeroed_memory_is_zero_however_often_it_is_used(void **state)
{
    (void)state;
    for (int round = 0; round < 3; round++)
        for (size_t size = 0; size <= 9 * MIB; size += size / 5 + 1) {
            unsigned char *object = xa_allocate_zeroed(size);
            assert_non_null(object);
            assert_true(is_filled(object, size, 0));
            memset(object, 0xff, usable(object));
            xa_fast_free(object);
        }
}

static void
every_alignment_is_met_for_every_size(void **state)
{
    (void)state;
    for (size_t alignment = 1; alignment <= 64 * MIB; alignment *= 2)
        for (size_t size = 0; size <= 5 * MIB; size += size + 7) {
            char *objects[3];
            for (int i = 0; i < 3; i++) {
                objects[i] = xa_allocate_aligned(alignment, size);
                assert_non_null(objects[i]);
                assert_int_equal((uintptr_t)objects[i] % alignment, 0);
                assert_int_equal((uintptr_t)objects[i] % 16, 0);
                assert_true(usable(objects[i]) >= size);
                if (size > 0)
                    objects[i][0] = objects[i][size - 1] = 1;
            }
            for (int i = 0; i < 3; i++)
                xa_fast_free(objects[i]);
        }
}

static void
impossible_requests_are_null_and_change_nothing(void **state)
{
    (void)state;
    assert_non_null(xa_fast_malloc(1));
    size_t mapped = xa_os_fake_mapped_bytes();
    const size_t sizes[] = {PTRDIFF_MAX, (size_t)PTRDIFF_MAX + 1, SIZE_MAX, SIZE_MAX - 4096,
        xa_words_power(62), xa_words_power(45)};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        assert_null(xa_fast_malloc(sizes[i]));
        assert_null(xa_allocate_beyond(sizes[i]));
        assert_null(xa_allocate_zeroed(sizes[i]));
        assert_null(xa_allocate_aligned(16, sizes[i]));
        assert_null(xa_allocate_aligned(xa_words_power(63), sizes[i]));
        assert_null(xa_allocate_aligned(sizes[i] & -sizes[i], sizes[i]));
    }
    if (sizeof(size_t) == 8)
        assert_null(xa_allocate_aligned(xa_words_power(63), 1));
    assert_int_equal(xa_os_fake_mapped_bytes(), mapped);
    assert_non_null(xa_fast_malloc(5 * MIB));
}

static void
a_freed_object_comes_back_without_any_call(void **state)
{
    (void)state;
    for (size_t size = 1; size <= XA_SMALL_MAX_BYTES; size = size * 3 / 2 + 1) {
        void *first = xa_fast_malloc(size), *second = xa_fast_malloc(size);
        xa_fast_free(first);
        xa_fast_free(second);
        assert_ptr_equal(xa_fast_malloc(size), second);
        assert_ptr_equal(xa_allocate_aligned(16, size), first);
    }
}

#define OUT_OF_MEMORY                                                      \
    "xalloc: out of memory, and the option \"xmalloc\" makes that fatal. " \
    "Give the process more memory or leave \"xmalloc\" out.\n"

static void
ask_for_too_much(void *argument)
{
    (void)argument;
    assert_null(xa_fast_malloc(SIZE_MAX / 2));
}

static void
ask_without_memory(void *argument)
{
    (void)argument;
    xa_os_fake_fail(XA_OS_FAKE_ANY, 1, XA_OS_FAKE_FROM_THEN_ON);
    assert_null(xa_allocate_zeroed(9 * MIB));
}

static void
running_out_can_be_fatal(void **state)
{
    (void)state;
    xa_os_fake_configure("xmalloc:true");
    assert_non_null(xa_fast_malloc(1));
    xa_os_fake_assert_fatal(ask_for_too_much, NULL, OUT_OF_MEMORY);
    xa_os_fake_assert_fatal(ask_without_memory, NULL, OUT_OF_MEMORY);
}

static void
what_is_held_back_is_given_up_for_a_request(void **state)
{
    static void *objects[2000];
    (void)state;
    xa_os_fake_configure("dirty_decay_ms:-1");
    for (int i = 0; i < 2000; i++) {
        assert_non_null(objects[i] = xa_fast_malloc(10000));
        memset(objects[i], 1, 10000);
    }
    for (int i = 0; i < 2000; i++)
        xa_fast_free(objects[i]);
    /* 20 MB are free in slabs, caches and runs; nothing else is to be had. */
    xa_os_fake_set_mapped_max(xa_os_fake_mapped_bytes());
    char *object = xa_fast_malloc(12 * MIB);
    assert_non_null(object);
    memset(object, 1, 12 * MIB);
    assert_null(xa_fast_malloc(12 * MIB));
    assert_int_equal(object[12 * MIB - 1], 1);
}

static void
without_memory_it_is_null_and_later_works_again(void **state)
{
    (void)state;
    for (size_t size = 1; size <= 64 * MIB; size *= 4) {
        xa_os_fake_fail(XA_OS_FAKE_ANY, 1, XA_OS_FAKE_FROM_THEN_ON);
        void *object = xa_fast_malloc(size);
        /* Small ones may still fit into what is there. */
        if (size > 4 * MIB)
            assert_null(object);
        xa_fast_free(object);
        xa_os_fake_stop_failing();
        object = xa_fast_malloc(size);
        assert_non_null(object);
        memset(object, 1, size);
    }
}

static void
a_signal_in_the_middle_of_a_call_gets_null(void **state)
{
    (void)state;
    void *small = xa_fast_malloc(100), *large = xa_fast_malloc(MIB),
         *huge = xa_fast_malloc(9 * MIB);
    struct xa_thread_state *own = xa_start_thread();
    own->is_inside = true;
    assert_null(xa_allocate_beyond(MIB));
    assert_null(xa_allocate_zeroed(MIB));
    assert_null(xa_allocate_aligned(4096, 9 * MIB));
    xa_fast_free(large);
    xa_fast_free(huge);
    xa_fast_free(small);
    own->is_inside = false;
    assert_non_null(xa_allocate_beyond(MIB));
}

static void
check_without_caches(void)
{
    void *objects[100];
    for (size_t size = 0; size <= 3 * MIB; size += size / 3 + 50) {
        for (int i = 0; i < 100; i++) {
            assert_non_null(objects[i] = xa_fast_malloc(size));
            memset(objects[i], i, size);
        }
        for (int i = 0; i < 100; i++)
            assert_true(is_filled(objects[i], size, (unsigned char)i));
        for (int i = 0; i < 100; i++)
            xa_fast_free(objects[i]);
        for (unsigned c = xa_start_cached_class_max + 1; c <= XA_SMALL_CLASSES; c++) {
            assert_int_equal(xa_thread_state_objects(xa_start_thread(), c), 0);
            assert_int_equal(xa_bin_taken_slots(&xa_arena_at(0)->bins[c].counters), 0);
        }
    }
}

static void
caches_can_be_off(void **state)
{
    (void)state;
    xa_os_fake_configure("tcache:false");
    check_without_caches();
}

static void
caches_can_end_at_a_size(void **state)
{
    (void)state;
    xa_os_fake_configure("tcache_max:4096");
    check_without_caches();
}

static void
new_objects_can_be_filled_with_junk_or_zeros(void **state)
{
    (void)state;
    xa_os_fake_configure("junk:true");
    for (size_t size = 1; size <= 9 * MIB; size *= 3) {
        unsigned char *object = xa_fast_malloc(size);
        assert_true(is_filled(object, usable(object), 0xa5));
        unsigned char *zeroed = xa_allocate_zeroed(size);
        assert_true(is_filled(zeroed, size, 0));
        unsigned char *aligned = xa_allocate_aligned(4096, size);
        assert_true(is_filled(aligned, usable(aligned), 0xa5));
        xa_fast_free(object);
        if (size <= XA_SMALL_MAX_BYTES)
            assert_true(is_filled(object, size, 0x5a));
    }
}

static void
new_objects_can_all_be_zero(void **state)
{
    (void)state;
    xa_os_fake_configure("zero:true,junk:free");
    for (int round = 0; round < 3; round++)
        for (size_t size = 1; size <= 9 * MIB; size *= 3) {
            unsigned char *object = xa_fast_malloc(size), *aligned = xa_allocate_aligned(64, size);
            assert_true(is_filled(object, size, 0));
            assert_true(is_filled(aligned, size, 0));
            memset(object, 1, usable(object));
            memset(aligned, 1, usable(aligned));
            xa_fast_free(object);
            xa_fast_free(aligned);
        }
}

static void
use_every_kind_of_page(size_t page_bytes)
{
    xa_os_fake_set_page_bytes(page_bytes);
    void *objects[40];
    for (size_t size = 1; size <= 40 * MIB; size = size * 2 + 5) {
        for (int i = 0; i < 40 && (i < 3 || size < MIB); i++) {
            assert_non_null(objects[i] = xa_fast_malloc(size));
            memset(objects[i], i + 1, size);
        }
        for (int i = 0; i < 40 && (i < 3 || size < MIB); i++) {
            assert_true(is_filled(objects[i], size, (unsigned char)(i + 1)));
            xa_fast_free(objects[i]);
        }
        (void)xa_arena_trim(0);
        (void)xa_huge_purge(XA_HUGE_ALL);
    }
}

static void
pages_of_16_kib_work(void **state)
{
    (void)state;
    use_every_kind_of_page(16384);
}

static void
pages_of_64_kib_work(void **state)
{
    (void)state;
    use_every_kind_of_page(65536);
}

static void
a_short_address_space_works(void **state)
{
    (void)state;
    (void)xa_os_fake_shorten_addresses();
    use_every_kind_of_page(4096);
}

/* ---- Random calls ---- */

static _Atomic unsigned faults;

struct object {
    unsigned char *start;
    size_t size;
    unsigned char mark;
};

static void
fill(const struct object *object)
{
    /* The ends tell of overlaps; filling megabytes would take the time of the test. */
    size_t bytes = object->size < 64 ? object->size : 64;
    memset(object->start, object->mark, bytes);
    memset(object->start + object->size - bytes, object->mark, bytes);
}

static bool
is_whole(const struct object *object)
{
    size_t bytes = object->size < 64 ? object->size : 64;
    return is_filled(object->start, bytes, object->mark) &&
        is_filled(object->start + object->size - bytes, bytes, object->mark);
}

static void
call_randomly(unsigned index, void *argument)
{
    struct xa_seed_random numbers = xa_seed_start(seed, index);
    struct object objects[OBJECTS] = {{0}};
    (void)argument;
    for (int round = 0; round < ROUNDS; round++) {
        struct object *object = &objects[xa_seed_below(&numbers, OBJECTS)];
        if (object->start != NULL) {
            if (!is_whole(object))
                atomic_fetch_add(&faults, 1);
            xa_fast_free(object->start);
            object->start = NULL;
            continue;
        }
        object->size = xa_seed_size(&numbers, 1, xa_seed_below(&numbers, 50) ? 20000 : 5 * MIB);
        object->mark = (unsigned char)(1 + xa_seed_below(&numbers, 255));
        size_t alignment = (size_t)1 << xa_seed_below(&numbers, 14);
        switch (xa_seed_below(&numbers, 4)) {
        case 0:
            object->start = xa_allocate_aligned(alignment, object->size);
            if ((uintptr_t)object->start % alignment != 0)
                atomic_fetch_add(&faults, 1);
            break;
        case 1:
            object->start = xa_allocate_zeroed(object->size);
            if (object->start != NULL && object->start[object->size / 2] != 0)
                atomic_fetch_add(&faults, 1);
            break;
        default: object->start = xa_fast_malloc(object->size);
        }
        if (object->start != NULL)
            fill(object);
        else
            atomic_fetch_add(&faults, 1);
    }
    for (int i = 0; i < OBJECTS; i++)
        xa_fast_free(objects[i].start);
}

static void
random_objects_of_many_threads_do_not_overlap(void **state)
{
    (void)state;
    assert_true(xa_threads_run(THREADS, call_randomly, NULL, SECONDS));
    assert_int_equal(faults, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(every_small_size_is_large_enough_and_aligned),
        XA_OS_FAKE_FRESH(sizes_around_every_limit_are_served_by_the_right_kind),
        XA_OS_FAKE_FRESH(zeroed_memory_is_zero_however_often_it_is_used),
        XA_OS_FAKE_FRESH(every_alignment_is_met_for_every_size),
        XA_OS_FAKE_FRESH(impossible_requests_are_null_and_change_nothing),
        XA_OS_FAKE_FRESH(a_freed_object_comes_back_without_any_call),
        XA_OS_FAKE_FRESH(running_out_can_be_fatal),
        XA_OS_FAKE_FRESH(what_is_held_back_is_given_up_for_a_request),
        XA_OS_FAKE_FRESH(without_memory_it_is_null_and_later_works_again),
        XA_OS_FAKE_FRESH(a_signal_in_the_middle_of_a_call_gets_null),
        XA_OS_FAKE_FRESH(caches_can_be_off),
        XA_OS_FAKE_FRESH(caches_can_end_at_a_size),
        XA_OS_FAKE_FRESH(new_objects_can_be_filled_with_junk_or_zeros),
        XA_OS_FAKE_FRESH(new_objects_can_all_be_zero),
        XA_OS_FAKE_FRESH(pages_of_16_kib_work),
        XA_OS_FAKE_FRESH(pages_of_64_kib_work),
        XA_OS_FAKE_FRESH(a_short_address_space_works),
        XA_OS_FAKE_FRESH(random_objects_of_many_threads_do_not_overlap),
    };
    seed = xa_seed_choose(NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
