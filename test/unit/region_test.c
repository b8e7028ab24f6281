/*
 * region_test.c - descriptors are reused, and never for anything else.
 */
#include "extent/region.h"

#include "support/os_fake.h"

#include <string.h>

#include "extent/metadata.h"

enum { COUNT = 20 };

static void
chunks_come_with_records(void **state)
{
    struct xa_chunk *chunks[COUNT];
    (void)state;
    xa_os_init();
    for (int i = 0; i < COUNT; i++) {
        chunks[i] = xa_region_take_chunk();
        assert_non_null(chunks[i]);
        assert_int_equal(chunks[i]->region.kind, XA_REGION_CHUNK);
        /* All of it is memory of its own. */
        memset(chunks[i]->records, i, XA_CHUNK_GRANULES * sizeof chunks[i]->records[0]);
    }
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(((unsigned char *)chunks[i]->records)[777], i);
}

static void
returned_descriptors_are_reused_by_their_kind_only(void **state)
{
    (void)state;
    xa_os_init();
    struct xa_chunk *chunk = xa_region_take_chunk(), *other = xa_region_take_chunk();
    struct xa_huge *huge = xa_region_take_huge();
    assert_int_equal(huge->region.kind, XA_REGION_HUGE);
    xa_region_return(&chunk->region);
    xa_region_return(&huge->region);
    xa_region_return(&other->region);
    size_t used = xa_metadata_used_bytes();
    assert_ptr_equal(xa_region_take_huge(), huge);
    struct xa_chunk *first = xa_region_take_chunk(), *second = xa_region_take_chunk();
    assert_ptr_equal(first, other);
    assert_ptr_equal(second, chunk);
    assert_int_equal(xa_metadata_used_bytes(), used);
    assert_ptr_not_equal(xa_region_take_huge(), huge);
}

static void
without_memory_there_is_none_and_nothing_is_lost(void **state)
{
    (void)state;
    xa_os_init();
    /* Leave too little room for a chunk's descriptor. */
    assert_non_null(xa_metadata_take(32768));
    assert_non_null(xa_metadata_take(16384));
    assert_non_null(xa_metadata_take(8192));
    size_t used = xa_metadata_used_bytes();
    xa_os_fake_fail(XA_OS_FAKE_MAP_ANYWHERE, 1, XA_OS_FAKE_FROM_THEN_ON);
    assert_null(xa_region_take_chunk());
    assert_int_equal(xa_metadata_used_bytes(), used);
    while (xa_metadata_take(64) != NULL)
        continue;
    assert_null(xa_region_take_huge());
    xa_os_fake_stop_failing();
    assert_non_null(xa_region_take_chunk());
    assert_non_null(xa_region_take_huge());
}

static void
a_child_can_take_descriptors(void **state)
{
    (void)state;
    xa_os_init();
    xa_region_reset_in_child();
    assert_non_null(xa_region_take_huge());
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(chunks_come_with_records),
        XA_OS_FAKE_FRESH(returned_descriptors_are_reused_by_their_kind_only),
        XA_OS_FAKE_FRESH(without_memory_there_is_none_and_nothing_is_lost),
        XA_OS_FAKE_FRESH(a_child_can_take_descriptors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
