/*
 * huge_page_test.c - what the kernel is told of huge pages, of which memory, and when.
 *
 * The kernel's own setting does not matter here: the same is said for each of its values.
 */
#include "page/huge_page.h"

#include "support/os_fake.h"

#include "config/options.h"
#include "page/huge.h"
#include "page/limit.h"
#include "page/page_purge.h"
#include "page/window.h"
#include "support/heap.h"

enum {
    MIB = 1 << 20,
    NONE = XA_OS_FAKE_NO_WISH,
    AVOIDED = XA_OS_HUGE_PAGES_AVOIDED,
    WANTED = XA_OS_HUGE_PAGES_WANTED,
};

static void
begin(xa_option_choice thp)
{
    xa_options.thp = thp;
    xa_heap_begin(-1);
}

static int
wish_at(uint32_t granule)
{
    return xa_os_fake_huge_page_wish((uintptr_t)xa_heap_memory(granule));
}

static unsigned long
advices(void)
{
    return xa_os_fake_count(XA_OS_FAKE_ADVISE_HUGE_PAGES);
}

static char *
take_huge(size_t bytes)
{
    bool is_zeroed;
    char *object = xa_huge_take(bytes, 1, &is_zeroed);
    assert_non_null(object);
    return object;
}

static int
wish_of(const char *object)
{
    return xa_os_fake_huge_page_wish((uintptr_t)object);
}

static void
the_choice_goes_by_the_option_and_the_size_of_the_heap(void **state)
{
    static const struct {
        xa_option_choice thp;
        enum xa_huge_page_advice small, large, grown;
    } rows[] = {
        {XA_THP_AUTO, XA_HUGE_PAGE_AVOID, XA_HUGE_PAGE_LEAVE, XA_HUGE_PAGE_WANT},
        {XA_THP_ALWAYS, XA_HUGE_PAGE_WANT, XA_HUGE_PAGE_WANT, XA_HUGE_PAGE_WANT},
        {XA_THP_NEVER, XA_HUGE_PAGE_AVOID, XA_HUGE_PAGE_AVOID, XA_HUGE_PAGE_AVOID},
    };
    const size_t large = XA_HUGE_PAGE_LARGE_BYTES;
    (void)state;
    xa_os_init();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        xa_options.thp = rows[i].thp;
        assert_int_equal(xa_huge_page_choose(0), rows[i].small);
        assert_int_equal(xa_huge_page_choose(large - 1), rows[i].small);
        assert_int_equal(xa_huge_page_choose(large), rows[i].large);
        assert_int_equal(xa_huge_page_choose_again(large - 1), rows[i].small);
        assert_int_equal(xa_huge_page_choose_again(large), rows[i].grown);
    }
}

static void
nothing_is_said_before_a_huge_page_is_mapped(void **state)
{
    (void)state;
    begin(XA_THP_AUTO);
    uint32_t first = xa_heap_take(1);
    while (xa_heap_granules(&xa_heap.counters.mapped_bytes) < XA_HUGE_PAGE_GRANULES - 8)
        xa_heap_take(1);
    assert_int_equal(advices(), 0);
    assert_int_equal(xa_os_fake_count(XA_OS_FAKE_READ_FILE), 0);
    assert_int_equal(wish_at(first), NONE);
}

static void
a_small_heap_has_none_at_one_call_a_chunk(void **state)
{
    (void)state;
    begin(XA_THP_AUTO);
    uint32_t first = xa_heap_take(100);
    xa_heap_take(100);
    xa_heap_check(200);
    assert_int_equal(wish_at(first), AVOIDED);
    assert_int_equal(wish_at(first + XA_CHUNK_GRANULES - 1), AVOIDED);
    assert_int_equal(xa_heap_granules(&xa_heap.counters.mapped_bytes), XA_CHUNK_GRANULES);
    for (int i = 0; i < 10; i++)
        xa_heap_take(128);
    assert_int_equal(advices(), xa_page_heap_counter(&xa_heap.counters.chunks));
    assert_int_equal(xa_os_fake_count(XA_OS_FAKE_READ_FILE), 0);
}

static void
new_chunks_of_a_large_heap_are_left_to_the_kernel(void **state)
{
    (void)state;
    begin(XA_THP_AUTO);
    for (size_t i = 0; i < XA_HUGE_PAGE_LARGE_BYTES / XA_HUGE_PAGE_BYTES; i++)
        assert_int_equal(wish_at(xa_heap_take(XA_HUGE_PAGE_GRANULES)), AVOIDED);
    unsigned long before = advices();
    assert_int_equal(before, xa_page_heap_counter(&xa_heap.counters.chunks));
    for (int i = 0; i < 8; i++)
        assert_int_equal(wish_at(xa_heap_take(XA_HUGE_PAGE_GRANULES)), NONE);
    assert_int_equal(advices(), before);
}

static void
never_is_never_however_large(void **state)
{
    (void)state;
    begin(XA_THP_NEVER);
    for (size_t i = 0; i < XA_HUGE_PAGE_LARGE_BYTES / XA_HUGE_PAGE_BYTES + 4; i++)
        assert_int_equal(wish_at(xa_heap_take(XA_HUGE_PAGE_GRANULES)), AVOIDED);
    assert_int_equal(wish_of(take_huge(100 * MIB)), AVOIDED);
}

static void
always_is_from_the_first_chunk(void **state)
{
    (void)state;
    begin(XA_THP_ALWAYS);
    assert_int_equal(wish_at(xa_heap_take(1)), WANTED);
    assert_int_equal(xa_heap_granules(&xa_heap.counters.mapped_bytes), XA_CHUNK_GRANULES);
    assert_int_equal(wish_of(take_huge(3 * MIB)), WANTED);
}

static void
strict_syscalls_say_nothing(void **state)
{
    (void)state;
    xa_options.strict_syscalls = true;
    begin(XA_THP_ALWAYS);
    for (int i = 0; i < 8; i++)
        xa_heap_take(128);
    take_huge(3 * MIB);
    assert_int_equal(advices(), 0);
}

static void
a_kernel_without_them_is_asked_once(void **state)
{
    (void)state;
    xa_os_fake_fail(XA_OS_FAKE_ADVISE_HUGE_PAGES, 1, XA_OS_FAKE_FROM_THEN_ON);
    begin(XA_THP_AUTO);
    for (int i = 0; i < 8; i++)
        xa_heap_take(128);
    take_huge(3 * MIB);
    xa_heap_check(8 * 128);
    assert_int_equal(advices(), 1);
}

static void
where_pages_are_large_none_are_wanted(void **state)
{
    (void)state;
    xa_os_fake_set_page_bytes(65536);
    begin(XA_THP_ALWAYS);
    xa_heap_take(128);
    assert_int_equal(wish_at(xa_heap_take(128)), AVOIDED);
}

static void
a_chunk_that_cannot_be_mapped_whole_grows_as_far_as_it_can(void **state)
{
    (void)state;
    begin(XA_THP_ALWAYS);
    uint32_t run = xa_heap_take(128);
    xa_heap_take(128);
    xa_os_fake_add_foreign(xa_window_address(2) + (uintptr_t)3 * MIB, 4096);
    assert_int_equal(xa_heap_take(10), run + XA_CHUNK_GRANULES);
    xa_heap_check(266);
    assert_int_equal(wish_at(run + XA_CHUNK_GRANULES), NONE);
}

static void
huge_objects_of_a_small_process_have_none(void **state)
{
    (void)state;
    begin(XA_THP_AUTO);
    char *object = take_huge(10 * MIB);
    assert_int_equal(wish_of(object), AVOIDED);
    assert_int_equal(wish_of(object + 10 * MIB - 1), AVOIDED);
    /* From here on the kernel's setting decides. */
    assert_int_equal(wish_of(take_huge(64 * MIB)), NONE);
    assert_int_equal(wish_of(take_huge(3 * MIB)), NONE);
    assert_int_equal(advices(), 1);
}

static void
an_object_that_becomes_large_is_no_longer_without(void **state)
{
    (void)state;
    begin(XA_THP_AUTO);
    char *object = take_huge(10 * MIB);
    object = xa_huge_resize(xa_huge_of((uintptr_t)object), 20 * MIB);
    assert_int_equal(wish_of(object), AVOIDED);
    object = xa_huge_resize(xa_huge_of((uintptr_t)object), 100 * MIB);
    assert_int_equal(wish_of(object), WANTED);
    assert_int_equal(wish_of(object + 100 * MIB - 1), WANTED);
}

/* ---- Giving back ---- */

/* A chunk with huge pages whose second one is full, and the first of which has `live` granules. */
static uint32_t
fill_chunk(unsigned live)
{
    begin(XA_THP_ALWAYS);
    uint32_t run = xa_heap_take_dirty(128);
    xa_heap_take_dirty(128);
    xa_heap_give(run + live, 128 - live, 128 - live);
    return run;
}

static size_t
dirty(void)
{
    return xa_heap_granules(&xa_heap.counters.dirty_bytes);
}

static void
a_page_that_is_nearly_full_stays_whole(void **state)
{
    (void)state;
    uint32_t run = fill_chunk(112);
    xa_options.dirty_decay_ms = 0;
    xa_page_purge_decay(&xa_heap, 5000);
    xa_heap_check(240);
    assert_int_equal(dirty(), 16);
    assert_int_equal(wish_at(run), WANTED);
    /* It is waiting for nothing, so nobody stays awake for it. */
    assert_int_equal(xa_heap_granules(&xa_heap.counters.held_bytes), 16);
    assert_int_equal(xa_page_purge_waiting_bytes(&xa_heap), 0);
    /* Freed wholly it goes as a whole, and stays one for the next. */
    xa_heap_give(run, 112, 112);
    assert_int_equal(xa_page_purge_waiting_bytes(&xa_heap), 112 * XA_GRANULE_BYTES);
    xa_page_purge_decay(&xa_heap, 5001);
    xa_heap_check(128);
    assert_int_equal(dirty(), 0);
    assert_int_equal(wish_at(run), WANTED);
    assert_int_equal(xa_page_heap_counter(&xa_heap.counters.held_bytes), 0);
    assert_int_equal(xa_os_fake_count(XA_OS_FAKE_PURGE), 1);
}

static void
a_page_that_is_mostly_free_is_broken_for_good(void **state)
{
    (void)state;
    uint32_t run = fill_chunk(100);
    xa_options.dirty_decay_ms = 0;
    xa_page_purge_decay(&xa_heap, 5000);
    xa_heap_check(228);
    assert_int_equal(dirty(), 0);
    assert_int_equal(wish_at(run), AVOIDED);
    assert_int_equal(wish_at(run + 255), AVOIDED);
    assert_int_equal(advices(), 2);
}

static void
a_request_breaks_pages_too(void **state)
{
    (void)state;
    uint32_t run = fill_chunk(112);
    xa_options.dirty_decay_ms = 0;
    xa_page_purge_decay(&xa_heap, 5000);
    assert_int_equal(dirty(), 16);
    assert_int_equal(xa_page_purge_run(&xa_heap, 0), 16 * XA_GRANULE_BYTES);
    xa_heap_check(240);
    assert_int_equal(wish_at(run), AVOIDED);
    assert_int_equal(xa_page_heap_counter(&xa_heap.counters.held_bytes), 0);
}

static void
pressure_at_its_worst_breaks_pages_too(void **state)
{
    (void)state;
    uint32_t run = fill_chunk(112);
    xa_options.dirty_decay_ms = 100;
    for (uint64_t now = 5000; now < 5300; now += 10)
        xa_page_purge_decay(&xa_heap, now);
    assert_int_equal(dirty(), 16);
    assert_int_equal(xa_page_purge_waiting_bytes(&xa_heap), 0);
    xa_page_purge_decay_divisor = 0;
    xa_page_purge_decay(&xa_heap, 5300);
    xa_heap_check(240);
    assert_int_equal(dirty(), 0);
    assert_int_equal(wish_at(run), AVOIDED);
}

static void
the_soft_limit_breaks_pages_too(void **state)
{
    (void)state;
    uint32_t run = fill_chunk(112);
    xa_options.dirty_decay_ms = 0;
    xa_page_purge_decay(&xa_heap, 5000);
    assert_int_equal(dirty(), 16);
    assert_true(xa_limit_set(1 << 20, 0));
    assert_true(xa_limit_is_over_soft());
    xa_page_purge_decay(&xa_heap, 5001);
    xa_heap_check(240);
    assert_int_equal(dirty(), 0);
    assert_int_equal(wish_at(run), AVOIDED);
}

static void
what_was_never_touched_goes_with_its_page(void **state)
{
    (void)state;
    begin(XA_THP_ALWAYS);
    uint32_t run = xa_heap_take_dirty(10), rest = xa_heap_take(118);
    xa_heap_take(128);
    /* As if the page had come whole. */
    for (unsigned i = 0; i < 118; i++)
        (void)*(volatile char *)xa_heap_memory(rest + i);
    xa_heap_give(run, 10, 10);
    xa_heap_give(rest, 118, 0);
    assert_int_equal(dirty(), 10);
    size_t resident = xa_os_fake_resident_bytes();
    assert_int_equal(xa_page_purge_run(&xa_heap, 0), 10 * XA_GRANULE_BYTES);
    xa_heap_check(128);
    assert_true(resident - xa_os_fake_resident_bytes() >= 10 * XA_GRANULE_BYTES + 118 * 4096);
    assert_int_equal(wish_at(run), WANTED);
}

static void
a_bound_in_the_middle_of_a_page_takes_the_whole_page(void **state)
{
    (void)state;
    fill_chunk(0);
    assert_int_equal(xa_page_purge_run(&xa_heap, 120 * XA_GRANULE_BYTES), 128 * XA_GRANULE_BYTES);
    xa_heap_check(128);
    assert_int_equal(advices(), 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(the_choice_goes_by_the_option_and_the_size_of_the_heap),
        XA_OS_FAKE_FRESH(nothing_is_said_before_a_huge_page_is_mapped),
        XA_OS_FAKE_FRESH(a_small_heap_has_none_at_one_call_a_chunk),
        XA_OS_FAKE_FRESH(new_chunks_of_a_large_heap_are_left_to_the_kernel),
        XA_OS_FAKE_FRESH(never_is_never_however_large),
        XA_OS_FAKE_FRESH(always_is_from_the_first_chunk),
        XA_OS_FAKE_FRESH(strict_syscalls_say_nothing),
        XA_OS_FAKE_FRESH(a_kernel_without_them_is_asked_once),
        XA_OS_FAKE_FRESH(where_pages_are_large_none_are_wanted),
        XA_OS_FAKE_FRESH(a_chunk_that_cannot_be_mapped_whole_grows_as_far_as_it_can),
        XA_OS_FAKE_FRESH(huge_objects_of_a_small_process_have_none),
        XA_OS_FAKE_FRESH(an_object_that_becomes_large_is_no_longer_without),
        XA_OS_FAKE_FRESH(a_page_that_is_nearly_full_stays_whole),
        XA_OS_FAKE_FRESH(a_page_that_is_mostly_free_is_broken_for_good),
        XA_OS_FAKE_FRESH(a_request_breaks_pages_too),
        XA_OS_FAKE_FRESH(pressure_at_its_worst_breaks_pages_too),
        XA_OS_FAKE_FRESH(the_soft_limit_breaks_pages_too),
        XA_OS_FAKE_FRESH(what_was_never_touched_goes_with_its_page),
        XA_OS_FAKE_FRESH(a_bound_in_the_middle_of_a_page_takes_the_whole_page),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
