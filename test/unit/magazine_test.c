/*
 * magazine_test.c - arrays of pointers, closed by a NULL.
 */
#include "arena/magazine.h"

#include "support/os_fake.h"

#include <string.h>

#include "extent/metadata.h"

static void
a_magazine_has_room_up_to_its_closing_null(void **state)
{
    static const unsigned capacities[XA_MAGAZINE_KINDS] = {13, 29, 61};
    (void)state;
    xa_os_init();
    for (unsigned kind = 0; kind < XA_MAGAZINE_KINDS; kind++) {
        struct xa_magazine *magazine = xa_magazine_make(kind);
        assert_non_null(magazine);
        assert_int_equal(xa_magazine_capacity(kind), capacities[kind]);
        assert_int_equal(magazine->capacity, capacities[kind]);
        assert_int_equal(magazine->kind, kind);
        assert_int_equal(magazine->count, 0);
        void **end = xa_magazine_end(magazine);
        assert_ptr_equal(end, magazine->slots + capacities[kind]);
        assert_null(*end);
        /* It fills its block of metadata, and not more. */
        assert_int_equal((char *)(end + 1) - (char *)magazine, 128 << kind);
        memset(magazine->slots, 1, capacities[kind] * sizeof(void *));
        assert_null(*end);
        xa_magazine_discard(magazine);
    }
    assert_int_equal(XA_MAGAZINE_OBJECTS_MAX, capacities[XA_MAGAZINE_KINDS - 1]);
    assert_int_equal(xa_metadata_used_bytes(), 0);
}

static void
a_discarded_magazine_comes_back_clean(void **state)
{
    (void)state;
    xa_os_init();
    struct xa_magazine *magazine = xa_magazine_make(1);
    memset(magazine->slots, 1, (magazine->capacity + 1) * sizeof(void *));
    xa_magazine_discard(magazine);
    assert_ptr_equal(xa_magazine_make(1), magazine);
    assert_null(*xa_magazine_end(magazine));
    assert_null(magazine->next);
}

static void
without_memory_there_is_none(void **state)
{
    (void)state;
    xa_os_init();
    while (xa_metadata_take(64) != NULL && xa_metadata_used_bytes() < 65536)
        continue;
    xa_os_fake_fail(XA_OS_FAKE_MAP_ANYWHERE, 1, XA_OS_FAKE_FROM_THEN_ON);
    assert_null(xa_magazine_make(0));
    xa_os_fake_stop_failing();
    assert_non_null(xa_magazine_make(0));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(a_magazine_has_room_up_to_its_closing_null),
        XA_OS_FAKE_FRESH(a_discarded_magazine_comes_back_clean),
        XA_OS_FAKE_FRESH(without_memory_there_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
