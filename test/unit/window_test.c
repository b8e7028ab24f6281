/*
 * window_test.c - slots of the window: lowest first, wherever the window could be placed.
 */
#include "page/window.h"

#include "support/os_fake.h"

#include <string.h>
#include <unistd.h>

#include "support/child.h"
#include "support/seed.h"

enum {
    MODEL_SLOTS = 4096,
    ROUNDS = 3000,
    TAKES_MAX = 200,
};

static bool taken[MODEL_SLOTS];
static uint64_t seed;

static void
slots_begin_at_chunks_and_the_first_is_left_out(void **state)
{
    (void)state;
    xa_os_init();
    for (size_t i = 1; i <= 100; i++) {
        size_t slot = xa_window_take(1, 1);
        assert_int_equal(slot, i);
        assert_int_equal(xa_window_address(slot) % XA_CHUNK_BYTES, 0);
        assert_int_equal(xa_page_map_granule_of(xa_window_address(slot)), i * XA_CHUNK_GRANULES);
        assert_int_equal(xa_page_map_class(xa_window_address(slot)), XA_CLASS_NONE);
        assert_true(xa_os_fake_is_unmapped(xa_window_address(slot), XA_CHUNK_BYTES));
    }
}

static size_t
lowest(size_t count, size_t alignment)
{
    for (size_t slot = 1; slot + count <= MODEL_SLOTS; slot++) {
        size_t length = 0;
        if (xa_window_address(slot) % (alignment * XA_CHUNK_BYTES) != 0)
            continue;
        while (length < count && !taken[slot + length])
            length++;
        if (length == count)
            return slot;
    }
    return XA_WINDOW_NONE;
}

static void
the_lowest_slots_that_fit_are_taken(void **state)
{
    struct xa_seed_random numbers = xa_seed_start(seed, 0);
    struct {
        size_t slot, count;
    } takes[TAKES_MAX] = {{0, 0}};
    (void)state;
    xa_os_fake_skip_unless_64_bits();
    xa_os_init();
    /* The window has its place, on which alignment depends, from the first take on. */
    taken[xa_window_take(1, 1)] = true;
    for (int round = 0; round < ROUNDS; round++) {
        size_t index = xa_seed_below(&numbers, TAKES_MAX);
        if (takes[index].count != 0) {
            xa_window_return(takes[index].slot, takes[index].count);
            memset(&taken[takes[index].slot], false, takes[index].count);
            takes[index].count = 0;
            continue;
        }
        size_t count = 1 + xa_seed_below(&numbers, xa_seed_below(&numbers, 4) ? 3 : 140);
        size_t alignment = (size_t)1
            << (xa_seed_below(&numbers, 3) ? 0 : xa_seed_below(&numbers, 8));
        size_t expected = lowest(count, alignment);
        if (expected == XA_WINDOW_NONE)
            continue;
        assert_int_equal(xa_window_take(count, alignment), expected);
        memset(&taken[expected], true, count);
        takes[index].slot = expected;
        takes[index].count = count;
    }
}

static void
the_map_covers_every_slot_that_is_given_out(void **state)
{
    (void)state;
    xa_os_fake_skip_unless_64_bits();
    xa_os_init();
    size_t slot = xa_window_take(3 * XA_PAGE_MAP_STEP_SLOTS, 1);
    assert_int_equal(slot, 1);
    size_t last = slot + 3 * XA_PAGE_MAP_STEP_SLOTS - 1;
    xa_page_map_set_class(last * XA_CHUNK_GRANULES + XA_CHUNK_GRANULES - 1, 1, 3);
    assert_int_equal(xa_page_map_class(xa_window_address(last + 1) - 1), 3);
    assert_int_equal(xa_page_map_limit, 4 * xa_page_map_step_bytes());
}

static void
a_full_window_gives_nothing_more(void **state)
{
    (void)state;
    xa_os_init();
    assert_int_equal(xa_window_take(XA_PAGE_MAP_SLOTS, 1), XA_WINDOW_NONE);
    assert_int_equal(xa_window_take(SIZE_MAX, 1), XA_WINDOW_NONE);
    assert_int_equal(xa_window_take(1, SIZE_MAX / 2 + 1), XA_WINDOW_NONE);
    assert_int_equal(xa_window_take(XA_PAGE_MAP_SLOTS - 1, 1), 1);
    assert_int_equal(xa_window_take(1, 1), XA_WINDOW_NONE);
    xa_window_return(XA_PAGE_MAP_SLOTS - 1, 1);
    assert_int_equal(xa_window_take(1, 1), XA_PAGE_MAP_SLOTS - 1);
    xa_window_return(777, 2);
    assert_int_equal(xa_window_take(2, 1), 777);
}

static void
without_memory_for_the_map_no_slot_is_lost(void **state)
{
    (void)state;
    xa_os_fake_skip_unless_64_bits();
    xa_os_init();
    assert_int_equal(xa_window_take(XA_PAGE_MAP_STEP_SLOTS - 2, 1), 1);
    xa_os_fake_fail(XA_OS_FAKE_ANY, 1, XA_OS_FAKE_FROM_THEN_ON);
    assert_int_equal(xa_window_take(2, 1), XA_WINDOW_NONE);
    assert_int_equal(xa_window_take(1, 1), XA_PAGE_MAP_STEP_SLOTS - 1);
    assert_int_equal(xa_window_take(1, 1), XA_WINDOW_NONE);
    xa_os_fake_stop_failing();
    assert_int_equal(xa_window_take(2, 1), XA_PAGE_MAP_STEP_SLOTS);
}

static uintptr_t
base_for_seed(uint64_t host_seed)
{
    xa_os_fake_set_seed(host_seed);
    xa_os_init();
    assert_int_equal(xa_window_take(1, 1), 1);
    return xa_page_map_start;
}

/* Each placing needs a process; the bases come back through the test's output. */
static void
the_place_depends_on_the_seed(void **state)
{
    (void)state;
    xa_os_fake_skip_unless_64_bits();
    static const uint64_t seeds[] = {1, 2};
    xa_os_init();
    uintptr_t bases[2];
    int ends[2];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pipe(ends), 0);
        if (fork() == 0) {
            uintptr_t base = base_for_seed(seeds[i]);
            _exit(write(ends[1], &base, sizeof base) == sizeof base ? 0 : 1);
        }
        assert_int_equal(read(ends[0], &bases[i], sizeof bases[i]), sizeof bases[i]);
        assert_int_equal(bases[i] % XA_CHUNK_BYTES, 0);
    }
    assert_int_not_equal(bases[0], bases[1]);
}

static void
a_displaced_first_place_means_another(void **state)
{
    (void)state;
    xa_os_fake_skip_unless_64_bits();
    xa_os_init();
    xa_os_fake_set_map_failure(XA_OS_TAKEN);
    xa_os_fake_fail(XA_OS_FAKE_MAP, 1, XA_OS_FAKE_ONCE);
    assert_int_equal(xa_window_take(1, 1), 1);
    assert_int_equal(xa_os_fake_count(XA_OS_FAKE_MAP), 2);
    assert_int_equal(xa_os_fake_count(XA_OS_FAKE_FIND_FREE_RANGE), 0);
}

static void
a_short_address_space_gets_the_window_that_fits(void **state)
{
    (void)state;
    xa_os_fake_skip_unless_64_bits();
    uintptr_t end = xa_os_fake_shorten_addresses();
    size_t slot = xa_window_take(1, 1);
    assert_int_equal(slot, 1);
    assert_true(xa_window_address(slot) + XA_CHUNK_BYTES <= end);
    assert_int_equal(xa_os_map(xa_window_address(slot), XA_CHUNK_BYTES), XA_OS_DONE);
    assert_true(xa_os_fake_count(XA_OS_FAKE_FIND_FREE_RANGE) >= 1);
    *(char *)xa_window_address(slot) = 1;
}

struct host {
    unsigned address_bits;
    size_t page_bytes;
};

static int
use_window(void *argument)
{
    const struct host *host = argument;
    uintptr_t end = (uintptr_t)1 << host->address_bits;
    xa_os_fake_set_page_bytes(host->page_bytes);
    xa_os_fake_set_address_end(end);
    xa_os_init();
    for (size_t i = 1; i <= 8; i++) {
        XA_CHILD_CHECK(xa_window_take(1, 1) == i);
        uintptr_t address = xa_window_address(i);
        XA_CHILD_CHECK(address + XA_CHUNK_BYTES <= end);
        XA_CHILD_CHECK(xa_os_map(address, XA_CHUNK_BYTES) == XA_OS_DONE);
        *(char *)(address + XA_CHUNK_BYTES - 1) = 1;
        xa_page_map_set_class(i * XA_CHUNK_GRANULES, 1, 7);
        XA_CHILD_CHECK(xa_page_map_class(address) == 7);
    }
    /* Nothing was reserved on the way, and so no limit of address space was in it. */
    XA_CHILD_CHECK(xa_os_fake_count(XA_OS_FAKE_FIND_FREE_RANGE) == 0);
    /* Any address may be asked, also above what this window can reach. */
    XA_CHILD_CHECK(xa_page_map_class(end - 1) == XA_CLASS_NONE);
    XA_CHILD_CHECK(xa_page_map_class(UINTPTR_MAX) == XA_CLASS_NONE);
    XA_CHILD_CHECK(xa_page_map_class(0) == XA_CLASS_NONE);
    return 0;
}

static void
every_width_of_addresses_has_a_window_on_every_page_size(void **state)
{
    static const unsigned widths[] = {38, 39, 42, 47, 48, 57};
    static const size_t pages[] = {4096, 16384, 65536};
    static struct xa_child_result result;
    (void)state;
    xa_os_fake_skip_unless_64_bits();
    if (xa_child_is_instrumented()) {
        print_message("skipped: a sanitizer has the lower addresses for itself\n");
        skip();
    }
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
        for (size_t j = 0; j < sizeof pages / sizeof *pages; j++) {
            struct host host = {widths[i], pages[j]};
            xa_child_call(&result, 60, use_window, &host);
            if (result.exit_code != 0)
                fail_msg("%u bits, pages of %zu bytes: %s", widths[i], pages[j], result.errors);
        }
}

static void
where_there_is_no_place_there_is_none_until_there_is(void **state)
{
    (void)state;
    xa_os_init();
    xa_os_fake_fail(XA_OS_FAKE_ANY, 1, XA_OS_FAKE_FROM_THEN_ON);
    assert_int_equal(xa_window_take(1, 1), XA_WINDOW_NONE);
    assert_int_equal(xa_page_map_class(xa_page_map_start), XA_CLASS_NONE);
    xa_os_fake_stop_failing();
    assert_int_equal(xa_window_take(1, 1), 1);
}

static void
a_child_can_take_slots(void **state)
{
    (void)state;
    xa_os_init();
    assert_int_equal(xa_window_take(1, 1), 1);
    xa_window_reset_in_child();
    assert_int_equal(xa_window_take(1, 1), 2);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(slots_begin_at_chunks_and_the_first_is_left_out),
        XA_OS_FAKE_FRESH(the_lowest_slots_that_fit_are_taken),
        XA_OS_FAKE_FRESH(the_map_covers_every_slot_that_is_given_out),
        XA_OS_FAKE_FRESH(a_full_window_gives_nothing_more),
        XA_OS_FAKE_FRESH(without_memory_for_the_map_no_slot_is_lost),
        XA_OS_FAKE_FRESH(the_place_depends_on_the_seed),
        XA_OS_FAKE_FRESH(a_displaced_first_place_means_another),
        XA_OS_FAKE_FRESH(a_short_address_space_gets_the_window_that_fits),
        cmocka_unit_test(every_width_of_addresses_has_a_window_on_every_page_size),
        XA_OS_FAKE_FRESH(where_there_is_no_place_there_is_none_until_there_is),
        XA_OS_FAKE_FRESH(a_child_can_take_slots),
    };
    seed = xa_seed_choose(NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
