/*
 * limit_test.c - what is counted as in use, and what happens at the limits.
 */
#include "page/limit.h"

#include "support/os_fake.h"

#include <string.h>

#include "alloc/allocate.h"
#include "alloc/fast_path.h"
#include "alloc/resize.h"
#include "alloc/start.h"
#include "arena/arena.h"
#include "config/options.h"
#include "extent/metadata.h"
#include "page/huge.h"
#include "page/page_purge.h"
#include "support/seed.h"
#include "support/threads.h"
#include "support/words.h"

enum {
    MIB = 1 << 20,
    GRANULE = XA_GRANULE_BYTES,
    THREADS = 4,
    SECONDS = 60,
    OBJECTS = 200,
    ROUNDS = 5000,
};

static struct xa_page_heap heap;

static void
begin(int64_t decay_ms)
{
    xa_os_init();
    xa_options.dirty_decay_ms = decay_ms;
    xa_page_heap_init(&heap, 0);
}

static size_t
counted(void)
{
    return xa_limit_used_bytes() - xa_metadata_mapped_bytes();
}

static size_t
load(const _Atomic size_t *counter)
{
    return atomic_load(counter);
}

/* What the heap and the huge mappings say for themselves. */
static size_t
sum(const struct xa_page_heap *of)
{
    return load(&of->counters.active_bytes) + load(&of->counters.dirty_bytes) +
        load(&xa_huge_counters.live_bytes) + load(&xa_huge_counters.kept_dirty_bytes);
}

static uint32_t
take(unsigned granules)
{
    bool is_zeroed;
    return xa_page_heap_take(&heap, XA_RUN_FOR_LARGE, granules, 1, &is_zeroed);
}

static void
runs_are_counted_until_they_are_purged(void **state)
{
    (void)state;
    begin(10000);
    uint32_t first = take(10), second = take(20);
    assert_int_equal(counted(), 30 * GRANULE);
    xa_page_heap_return(&heap, XA_RUN_FOR_LARGE, first, 10, 10);
    assert_int_equal(counted(), 30 * GRANULE);
    /* Never touched: not resident. */
    xa_page_heap_return(&heap, XA_RUN_FOR_LARGE, second + 5, 15, 0);
    assert_int_equal(counted(), 15 * GRANULE);
    /* A dirty run is counted already, and taking half of it again changes nothing. */
    first = take(5);
    assert_int_equal(counted(), 15 * GRANULE);
    xa_page_purge_run(&heap, 0);
    assert_int_equal(counted(), 10 * GRANULE);
    xa_page_heap_return(&heap, XA_RUN_FOR_LARGE, first, 5, 5);
    xa_page_heap_return(&heap, XA_RUN_FOR_LARGE, second, 5, 5);
    xa_page_purge_run(&heap, 0);
    assert_int_equal(counted(), 0);
}

static void
a_run_is_counted_as_it_grows(void **state)
{
    (void)state;
    begin(10000);
    uint32_t run = take(10);
    assert_true(xa_page_heap_extend(&heap, run, 10, 12));
    assert_int_equal(counted(), 12 * GRANULE);
    assert_true(xa_limit_set(0, xa_limit_used_bytes() + MIB));
    assert_false(xa_page_heap_extend(&heap, run, 12, 120));
    assert_int_equal(counted(), 12 * GRANULE);
}

static void
huge_mappings_are_counted_until_they_are_unmapped(void **state)
{
    bool is_zeroed;
    (void)state;
    begin(10000);
    char *object = xa_huge_take(4 * MIB, 1, &is_zeroed);
    assert_int_equal(counted(), 4 * MIB);
    object = xa_huge_resize(xa_huge_of((uintptr_t)object), 9 * MIB);
    assert_int_equal(counted(), 9 * MIB);
    object = xa_huge_resize(xa_huge_of((uintptr_t)object), 3 * MIB);
    assert_int_equal(counted(), 3 * MIB);
    struct xa_huge *huge = xa_huge_of((uintptr_t)object);
    assert_int_equal(
        xa_page_map_take_class(xa_page_map_granule_of((uintptr_t)object)), XA_CLASS_HUGE);
    xa_huge_return(huge);
    assert_int_equal(counted(), 3 * MIB);
    /* Emptied, but not unmapped: it is address space only, until it is used again. */
    xa_os_fake_fail(XA_OS_FAKE_UNMAP, 1, XA_OS_FAKE_ONCE);
    xa_huge_purge(XA_HUGE_ALL);
    assert_int_equal(counted(), 0);
    object = xa_huge_take(3 * MIB, 1, &is_zeroed);
    assert_true(is_zeroed);
    assert_int_equal(counted(), 3 * MIB);
    huge = xa_huge_of((uintptr_t)object);
    assert_int_equal(
        xa_page_map_take_class(xa_page_map_granule_of((uintptr_t)object)), XA_CLASS_HUGE);
    xa_huge_return(huge);
    xa_huge_purge(XA_HUGE_ALL);
    assert_int_equal(counted(), 0);
}

static void
impossible_limits_are_refused_and_change_nothing(void **state)
{
    (void)state;
    begin(10000);
    assert_true(xa_limit_set(4 * MIB, 8 * MIB));
    assert_false(xa_limit_set(9 * MIB, 8 * MIB));
    assert_false(xa_limit_set(0, MIB - 1));
    assert_false(xa_limit_set(0, 1));
    assert_true(xa_limit_take(6 * MIB));
    assert_true(xa_limit_is_over_soft());
    assert_false(xa_limit_take(3 * MIB));
    assert_true(xa_limit_set(9 * MIB, 0));
    assert_true(xa_limit_set(0, 0));
    assert_true(xa_limit_take(30 * MIB));
}

static void
the_hard_limit_refuses_and_can_be_met_again(void **state)
{
    (void)state;
    begin(10000);
    assert_true(xa_limit_set(0, 8 * MIB));
    assert_false(xa_limit_take(SIZE_MAX));
    assert_false(xa_limit_take(9 * MIB));
    assert_int_equal(counted(), 0);
    assert_int_equal(xa_limit_take_news(), 1U << XA_LIMIT_HARD);
    assert_int_equal(xa_limit_take_news(), 0);
    assert_true(xa_limit_take(8 * MIB - xa_metadata_mapped_bytes()));
    assert_false(xa_limit_has_news());
    assert_false(xa_limit_take(1));
    assert_true(xa_limit_has_news());
    xa_limit_give(1);
    assert_true(xa_limit_take(1));
}

static void
the_soft_limit_is_news_once_until_use_falls_below_it(void **state)
{
    (void)state;
    begin(10000);
    assert_true(xa_limit_set(16 * MIB, 0));
    assert_true(xa_limit_take(15 * MIB));
    assert_false(xa_limit_is_over_soft());
    assert_true(xa_limit_take(2 * MIB));
    assert_true(xa_limit_is_over_soft());
    assert_int_equal(xa_limit_take_news(), 1U << XA_LIMIT_SOFT);
    assert_true(xa_limit_take(MIB));
    assert_int_equal(xa_limit_take_news(), 0);
    /* Just below is not below. */
    xa_limit_give(2 * MIB + MIB / 2);
    assert_true(xa_limit_is_over_soft());
    xa_limit_give(MIB);
    assert_false(xa_limit_is_over_soft());
    assert_true(xa_limit_take(3 * MIB));
    assert_int_equal(xa_limit_take_news(), 1U << XA_LIMIT_SOFT);
    assert_true(xa_limit_set(0, 0));
    assert_false(xa_limit_is_over_soft());
    /* A limit that is passed already. */
    assert_true(xa_limit_set(MIB, 0));
    assert_int_equal(xa_limit_take_news() & 1U << XA_LIMIT_SOFT, 1U << XA_LIMIT_SOFT);
}

static void
beyond_the_soft_limit_nothing_dirty_is_kept(void **state)
{
    bool is_zeroed;
    (void)state;
    begin(100000);
    xa_os_fake_set_clock(1000);
    char *object = xa_huge_take(4 * MIB, 1, &is_zeroed);
    uint32_t live = take(100), freed = take(100);
    xa_page_heap_return(&heap, XA_RUN_FOR_LARGE, freed, 100, 100);
    xa_page_purge_decay(&heap, 1000);
    assert_int_equal(load(&heap.counters.dirty_bytes), 100 * GRANULE);
    assert_true(xa_limit_set(4 * MIB, 0));
    xa_page_purge_decay(&heap, 1000);
    assert_int_equal(load(&heap.counters.dirty_bytes), 0);
    struct xa_huge *huge = xa_huge_of((uintptr_t)object);
    assert_int_equal(
        xa_page_map_take_class(xa_page_map_granule_of((uintptr_t)object)), XA_CLASS_HUGE);
    xa_huge_return(huge);
    assert_int_equal(load(&xa_huge_counters.kept_bytes), 0);
    xa_page_heap_return(&heap, XA_RUN_FOR_LARGE, live, 100, 100);
    assert_int_equal(counted(), sum(&heap));
}

static void
the_divisor_shortens_the_decay_time(void **state)
{
    (void)state;
    begin(1600);
    assert_int_equal(xa_page_purge_decay_ms(), 1600);
    atomic_store(&xa_page_purge_decay_divisor, 4);
    assert_int_equal(xa_page_purge_decay_ms(), 400);
    atomic_store(&xa_page_purge_decay_divisor, 16);
    assert_int_equal(xa_page_purge_decay_ms(), 100);
    xa_options.dirty_decay_ms = 3;
    assert_int_equal(xa_page_purge_decay_ms(), 1);
    /* Who said never meant it. */
    xa_options.dirty_decay_ms = -1;
    assert_int_equal(xa_page_purge_decay_ms(), -1);
    xa_options.dirty_decay_ms = 1600;
    uint32_t run = take(100);
    xa_page_heap_return(&heap, XA_RUN_FOR_LARGE, run, 100, 100);
    /* Its age counts from the first epoch that begins with it. */
    xa_page_purge_decay(&heap, 1000);
    xa_page_purge_decay(&heap, 1010);
    assert_true(load(&heap.counters.dirty_bytes) > 0);
    xa_page_purge_decay(&heap, 1120);
    assert_int_equal(load(&heap.counters.dirty_bytes), 0);
    /* At once, whatever the deadline was. */
    run = take(100);
    xa_page_heap_return(&heap, XA_RUN_FOR_LARGE, run, 100, 100);
    atomic_store(&xa_page_purge_decay_divisor, 0);
    xa_page_purge_decay(&heap, 1120);
    assert_int_equal(load(&heap.counters.dirty_bytes), 0);
}

/* Take and give without end; a limit may not be passed for a moment. */
static void
take_and_give(unsigned index, void *argument)
{
    atomic_uint *faults = argument;
    for (unsigned i = 0; i < 20000; i++) {
        size_t bytes = (size_t)(1 + (i + index) % 4) * (MIB / 2);
        /* What never fits must not make fail what does. */
        if (index == 0 && xa_limit_take(xa_words_power(40)))
            atomic_fetch_add(faults, 1);
        if (index == 1 && !xa_limit_take(GRANULE))
            atomic_fetch_add(faults, 1);
        else if (index == 1)
            xa_limit_give(GRANULE);
        if (index > 1 && xa_limit_take(bytes)) {
            if (counted() > 8 * MIB)
                atomic_fetch_add(faults, 1);
            xa_limit_give(bytes);
        }
    }
}

static void
threads_never_pass_it_and_never_fail_for_another(void **state)
{
    atomic_uint faults = 0;
    (void)state;
    begin(10000);
    assert_true(xa_limit_set(0, 8 * MIB));
    assert_true(xa_threads_run(THREADS, take_and_give, &faults, SECONDS));
    assert_int_equal(faults, 0);
    assert_int_equal(counted(), 0);
}

static unsigned calls[XA_LIMIT_EVENTS];

static void
note_call(const struct xa_limit_callback *callback, enum xa_limit_event event, size_t bytes)
{
    assert_ptr_equal(callback->context, calls);
    assert_true(bytes >= xa_metadata_mapped_bytes());
    calls[event]++;
    /* What is met by the callback itself is not told to it. */
    xa_limit_tell(1U << event);
}

static void
the_callback_is_called_once_a_second_for_each_event(void **state)
{
    (void)state;
    begin(10000);
    xa_limit_tell(1U << XA_LIMIT_SOFT);
    xa_limit_set_callback((struct xa_limit_callback){note_call, NULL, calls});
    xa_os_fake_set_clock(5000);
    xa_limit_tell(1U << XA_LIMIT_SOFT | 1U << XA_LIMIT_HARD);
    assert_int_equal(calls[XA_LIMIT_SOFT], 1);
    assert_int_equal(calls[XA_LIMIT_HARD], 1);
    xa_os_fake_set_clock(5999);
    xa_limit_tell(1U << XA_LIMIT_SOFT);
    assert_int_equal(calls[XA_LIMIT_SOFT], 1);
    xa_os_fake_set_clock(6000);
    xa_limit_tell(1U << XA_LIMIT_SOFT);
    assert_int_equal(calls[XA_LIMIT_SOFT], 2);
    assert_int_equal(calls[XA_LIMIT_HARD], 1);
    xa_limit_set_callback((struct xa_limit_callback){0});
    xa_os_fake_set_clock(60000);
    xa_limit_tell(1U << XA_LIMIT_SOFT);
    assert_int_equal(calls[XA_LIMIT_SOFT], 2);
}

static void
impossible_options_are_one_line_and_then_nothing(void **state)
{
    (void)state;
    xa_os_fake_set_environment("XALLOC_CONF", "memory_limit_hard:64M,memory_limit_soft:65M");
    xa_start_read_environment();
    assert_string_equal(xa_os_fake_errors(),
        "xalloc: option \"memory_limit_soft\": 68157440 is more than memory_limit_hard, "
        "67108864 bytes, ignored (stays 0).\n");
    assert_false(xa_limit_take(65 * MIB));
    assert_false(xa_limit_is_over_soft());
}

static void
a_tiny_hard_limit_is_one_line_and_then_nothing(void **state)
{
    (void)state;
    xa_os_fake_set_environment("XALLOC_CONF", "memory_limit_hard:1000,memory_limit_soft:65M");
    xa_start_read_environment();
    assert_string_equal(xa_os_fake_errors(),
        "xalloc: option \"memory_limit_hard\": 1000 is less than the least limit of "
        "1048576 bytes, ignored (stays 0).\n");
    assert_true(xa_limit_take(100 * MIB));
    assert_true(xa_limit_is_over_soft());
}

/* Objects of every kind, resized and freed at random below a hard limit. */
static void
whatever_is_done_the_count_agrees_with_the_counters(void **state)
{
    static void *objects[OBJECTS];
    struct xa_seed_random random = xa_seed_start(7, 0);
    unsigned refused = 0;
    (void)state;
    xa_os_fake_set_environment("XALLOC_CONF", "memory_limit_hard:48M,background_thread:false");
    xa_start_read_environment();
    const struct xa_page_heap *first = &xa_arena_at(0)->heap;
    for (unsigned i = 0; i < ROUNDS; i++) {
        void **object = &objects[xa_seed_below(&random, OBJECTS)];
        size_t size = xa_seed_size(&random, 16, 6 * MIB);
        xa_os_fake_set_clock(i * 10);
        if (*object == NULL) {
            *object = xa_fast_malloc(size);
            refused += *object == NULL;
        } else if (i % 3 == 0) {
            void *resized = xa_resize(*object, size);
            refused += resized == NULL;
            *object = resized != NULL ? resized : *object;
        } else {
            xa_fast_free(*object);
            *object = NULL;
        }
        assert_true(xa_limit_used_bytes() <= 48 * MIB + MIB);
        assert_int_equal(counted(), sum(first));
    }
    assert_true(refused > 0);
    for (unsigned i = 0; i < OBJECTS; i++)
        if (objects[i] != NULL)
            xa_fast_free(objects[i]);
    void *last = xa_fast_malloc(40 * MIB);
    assert_non_null(last);
    xa_fast_free(last);
    assert_int_equal(counted(), sum(first));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(runs_are_counted_until_they_are_purged),
        XA_OS_FAKE_FRESH(a_run_is_counted_as_it_grows),
        XA_OS_FAKE_FRESH(huge_mappings_are_counted_until_they_are_unmapped),
        XA_OS_FAKE_FRESH(impossible_limits_are_refused_and_change_nothing),
        XA_OS_FAKE_FRESH(the_hard_limit_refuses_and_can_be_met_again),
        XA_OS_FAKE_FRESH(the_soft_limit_is_news_once_until_use_falls_below_it),
        XA_OS_FAKE_FRESH(beyond_the_soft_limit_nothing_dirty_is_kept),
        XA_OS_FAKE_FRESH(the_divisor_shortens_the_decay_time),
        XA_OS_FAKE_FRESH(threads_never_pass_it_and_never_fail_for_another),
        XA_OS_FAKE_FRESH(the_callback_is_called_once_a_second_for_each_event),
        XA_OS_FAKE_FRESH(impossible_options_are_one_line_and_then_nothing),
        XA_OS_FAKE_FRESH(a_tiny_hard_limit_is_one_line_and_then_nothing),
        XA_OS_FAKE_FRESH(whatever_is_done_the_count_agrees_with_the_counters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
