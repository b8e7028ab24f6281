/*
 * metadata_test.c - memory for xalloc's own structures: zeroed, apart, given again.
 */
#include "extent/metadata.h"

#include "support/os_fake.h"

#include <stdatomic.h>
#include <string.h>

#include "support/child.h"
#include "support/seed.h"
#include "support/threads.h"

enum {
    BLOCKS = 400,
    ROUNDS = 20000,
    STATIC_BYTES = 64 * 1024,
    SECONDS = 120,
};

struct block {
    unsigned char *start;
    size_t bytes;
    unsigned char mark;
};

static uint64_t seed;

static bool
is_filled(const struct block *block, unsigned char value)
{
    for (size_t i = 0; i < block->bytes; i++)
        if (block->start[i] != value)
            return false;
    return true;
}

static void
take(struct block *block, size_t bytes, unsigned char mark)
{
    *block = (struct block){xa_metadata_take(bytes), bytes, mark};
    assert_non_null(block->start);
    bool is_power = (bytes & (bytes - 1)) == 0;
    size_t alignment = is_power && bytes > 64 ? bytes : 64;
    if (alignment > XA_METADATA_ALIGNED_MAX)
        alignment = XA_METADATA_ALIGNED_MAX;
    assert_int_equal((uintptr_t)block->start % alignment, 0);
    assert_true(is_filled(block, 0));
    memset(block->start, mark, bytes);
}

static void
the_first_blocks_ask_nothing_of_the_host(void **state)
{
    struct block block;
    (void)state;
    xa_os_init();
    assert_int_equal(xa_metadata_mapped_bytes(), 0);
    for (size_t sum = 0; sum + 512 <= STATIC_BYTES; sum += 512)
        take(&block, 512, 1);
    assert_int_equal(xa_os_fake_count(XA_OS_FAKE_ANY), 0);
    assert_int_equal(xa_metadata_mapped_bytes(), STATIC_BYTES);
    assert_int_equal(xa_metadata_used_bytes(), STATIC_BYTES);
    take(&block, 64, 1);
    assert_int_equal(xa_os_fake_count(XA_OS_FAKE_MAP_ANYWHERE), 1);
}

static void
every_size_is_zeroed_aligned_and_apart(void **state)
{
    static struct block blocks[BLOCKS];
    size_t count = 0, used = 0;
    (void)state;
    xa_os_init();
    for (size_t bytes = 1; bytes <= 400000; bytes += bytes / 9 + 1)
        take(&blocks[count], bytes, (unsigned char)(count % 255 + 1)), count++;
    for (size_t i = 0; i < count; i++) {
        assert_true(is_filled(&blocks[i], blocks[i].mark));
        used += blocks[i].bytes;
    }
    assert_true(xa_metadata_used_bytes() >= used);
    assert_true(xa_metadata_used_bytes() <= xa_metadata_mapped_bytes());
    assert_int_equal(xa_metadata_mapped_bytes(), xa_os_fake_mapped_bytes() + STATIC_BYTES);
}

static void
returned_blocks_are_given_again_and_zero(void **state)
{
    static struct block blocks[BLOCKS];
    struct xa_seed_random numbers = xa_seed_start(seed, 0);
    (void)state;
    xa_os_init();
    for (int round = 0; round < ROUNDS; round++) {
        struct block *block = &blocks[xa_seed_below(&numbers, BLOCKS)];
        if (block->start == NULL) {
            take(block, xa_seed_size(&numbers, 1, 8192), (unsigned char)(round % 255 + 1));
            continue;
        }
        assert_true(is_filled(block, block->mark));
        xa_metadata_return(block->start, block->bytes);
        block->start = NULL;
    }
    for (size_t i = 0; i < BLOCKS; i++)
        if (blocks[i].start != NULL)
            xa_metadata_return(blocks[i].start, blocks[i].bytes);
    assert_int_equal(xa_metadata_used_bytes(), 0);
    /* Nothing is taken from the host while there are returned blocks of the size. */
    size_t mapped = xa_metadata_mapped_bytes();
    struct block block;
    take(&block, 8192, 1);
    assert_int_equal(xa_metadata_mapped_bytes(), mapped);
}

static void
regions_grow_so_that_calls_to_the_host_stay_rare(void **state)
{
    struct block block;
    (void)state;
    xa_os_init();
    for (int i = 0; i < 16 * 1024; i++)
        take(&block, 1024, 1);
    /* 16 MiB in regions of up to 1 MiB. */
    assert_in_range(xa_os_fake_count(XA_OS_FAKE_MAP_ANYWHERE), 10, 24);
    assert_in_range(xa_metadata_mapped_bytes(), 16 << 20, 18 << 20);
}

static void
when_memory_runs_out_it_is_null_and_later_works_again(void **state)
{
    struct block block;
    (void)state;
    xa_os_init();
    take(&block, STATIC_BYTES, 1);
    xa_os_fake_fail(XA_OS_FAKE_MAP_ANYWHERE, 1, XA_OS_FAKE_FROM_THEN_ON);
    size_t used = xa_metadata_used_bytes(), mapped = xa_metadata_mapped_bytes();
    for (size_t bytes = 1; bytes <= 1000000; bytes *= 10)
        assert_null(xa_metadata_take(bytes));
    assert_int_equal(xa_metadata_used_bytes(), used);
    assert_int_equal(xa_metadata_mapped_bytes(), mapped);
    xa_os_fake_stop_failing();
    take(&block, 1000000, 2);
}

static void
a_short_host_gives_what_is_needed_at_least(void **state)
{
    struct block block;
    (void)state;
    xa_os_init();
    take(&block, STATIC_BYTES, 1);
    xa_os_fake_set_mapped_max(12288);
    take(&block, 5000, 2);
    assert_int_equal(xa_os_fake_mapped_bytes(), 12288);
    assert_null(xa_metadata_take(5000));
}

static void
resident_bytes_are_those_that_were_touched(void **state)
{
    (void)state;
    xa_os_init();
    size_t before = xa_metadata_resident_bytes();
    assert_int_equal(before, 0);
    char *block = xa_metadata_take(40000);
    assert_non_null(block);
    block[0] = block[20000] = 1;
    size_t small = xa_metadata_resident_bytes();
    assert_in_range(small, 2 * 4096, STATIC_BYTES);
    block = xa_metadata_take(1 << 20);
    assert_non_null(block);
    memset(block, 1, 300 * 1024);
    /* A page more where the block begins and ends within one. */
    assert_in_range(xa_metadata_resident_bytes(), small + 300 * 1024, small + 300 * 1024 + 4096);
}

static void
pages_are_apart_from_all_blocks(void **state)
{
    struct block blocks[8], pages[8];
    (void)state;
    xa_os_init();
    for (int i = 0; i < 8; i++) {
        take(&blocks[i], 2624, (unsigned char)(i + 1));
        size_t bytes = (size_t)(i % 3) * 5000 + 1;
        pages[i] = (struct block){xa_metadata_take_pages(bytes),
            (bytes + XA_METADATA_PAGE_BYTES - 1) / XA_METADATA_PAGE_BYTES * XA_METADATA_PAGE_BYTES,
            (unsigned char)(i + 101)};
        assert_non_null(pages[i].start);
        assert_int_equal((uintptr_t)pages[i].start % XA_METADATA_PAGE_BYTES, 0);
        assert_true(is_filled(&pages[i], 0));
        memset(pages[i].start, pages[i].mark, pages[i].bytes);
    }
    for (int i = 0; i < 8; i++) {
        assert_true(is_filled(&blocks[i], blocks[i].mark));
        assert_true(is_filled(&pages[i], pages[i].mark));
    }
    assert_true(xa_metadata_used_bytes() <= xa_metadata_mapped_bytes());
}

static void
small_blocks_stand_close_together(void **state)
{
    struct block state_block, chunk;
    (void)state;
    xa_os_init();
    /* What a small process takes: they begin in one page. */
    take(&state_block, 2624, 1);
    take(&chunk, 14464, 2);
    assert_int_equal((uintptr_t)state_block.start / XA_METADATA_PAGE_BYTES,
        (uintptr_t)chunk.start / XA_METADATA_PAGE_BYTES);
}

static void
large_pages_are_taken_whole(void **state)
{
    struct block block;
    (void)state;
    xa_os_fake_set_page_bytes(65536);
    xa_os_init();
    for (size_t bytes = 100; bytes < 3000000; bytes *= 3)
        take(&block, bytes, 1);
    assert_int_equal(xa_os_fake_mapped_bytes() % 65536, 0);
}

static void
take_and_return(unsigned index, void *argument)
{
    _Atomic unsigned *faults = argument;
    struct xa_seed_random numbers = xa_seed_start(seed, index);
    struct block blocks[32] = {{0}};
    for (int round = 0; round < ROUNDS; round++) {
        struct block *block = &blocks[xa_seed_below(&numbers, 32)];
        if (block->start != NULL) {
            if (!is_filled(block, block->mark))
                atomic_fetch_add(faults, 1);
            xa_metadata_return(block->start, block->bytes);
            block->start = NULL;
            continue;
        }
        size_t bytes = xa_seed_size(&numbers, 1, 512);
        *block = (struct block){xa_metadata_take(bytes), bytes, (unsigned char)(index + 1)};
        if (block->start == NULL || !is_filled(block, 0))
            atomic_fetch_add(faults, 1);
        else
            memset(block->start, block->mark, bytes);
    }
}

static void
threads_never_get_the_same_block(void **state)
{
    _Atomic unsigned faults = 0;
    (void)state;
    xa_os_init();
    assert_true(xa_threads_run(4, take_and_return, &faults, SECONDS));
    assert_int_equal(faults, 0);
}

static void
a_child_can_take_blocks(void **state)
{
    (void)state;
    xa_os_init();
    xa_metadata_reset_in_child();
    assert_non_null(xa_metadata_take(64));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(the_first_blocks_ask_nothing_of_the_host),
        XA_OS_FAKE_FRESH(every_size_is_zeroed_aligned_and_apart),
        XA_OS_FAKE_FRESH(returned_blocks_are_given_again_and_zero),
        XA_OS_FAKE_FRESH(regions_grow_so_that_calls_to_the_host_stay_rare),
        XA_OS_FAKE_FRESH(when_memory_runs_out_it_is_null_and_later_works_again),
        XA_OS_FAKE_FRESH(a_short_host_gives_what_is_needed_at_least),
        XA_OS_FAKE_FRESH(resident_bytes_are_those_that_were_touched),
        XA_OS_FAKE_FRESH(pages_are_apart_from_all_blocks),
        XA_OS_FAKE_FRESH(small_blocks_stand_close_together),
        XA_OS_FAKE_FRESH(large_pages_are_taken_whole),
        XA_OS_FAKE_FRESH(threads_never_get_the_same_block),
        XA_OS_FAKE_FRESH(a_child_can_take_blocks),
    };
    seed = xa_seed_choose(NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
