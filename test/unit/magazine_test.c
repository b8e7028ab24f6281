/*
 * magazine_test.c - arrays of pointers, closed by a NULL, at multiples of their size.
 */
#include "arena/magazine.h"

#include "support/os_fake.h"

#include <string.h>

#include "extent/metadata.h"
#include "support/magazines.h"

enum { COUNT = 50 };

static struct xa_magazine *
make(unsigned capacity)
{
    struct xa_magazine *magazine = xa_magazines_make(capacity);
    assert_non_null(magazine);
    return magazine;
}

static void
a_magazine_has_room_up_to_its_closing_null(void **state)
{
    (void)state;
    xa_os_init();
    assert_int_equal(XA_MAGAZINE_OBJECTS_MAX, sizeof(void *) == 8 ? 61 : 123);
    for (unsigned capacity = 1; capacity <= XA_MAGAZINE_OBJECTS_MAX; capacity++) {
        struct xa_magazine *magazine = make(capacity);
        xa_slot *end = xa_magazine_end(magazine);
        assert_int_equal(magazine->capacity, capacity);
        assert_int_equal(magazine->count, 0);
        assert_ptr_equal(end, magazine->slots + capacity);
        assert_null(*end);
        memset(magazine->slots, 1, capacity * sizeof(xa_slot));
        assert_null(*end);
        assert_int_equal(magazine->capacity, capacity);
        xa_magazine_discard(magazine);
    }
    assert_int_equal(xa_metadata_used_bytes(), 0);
}

static void
the_first_slot_and_no_other_is_where_it_is_full(void **state)
{
    (void)state;
    xa_os_init();
    for (int i = 0; i < COUNT; i++) {
        struct xa_magazine *magazine = make(61);
        assert_int_equal((uintptr_t)magazine % XA_MAGAZINE_BYTES, 0);
        for (unsigned slot = 0; slot <= 61; slot++)
            assert_int_equal(xa_magazine_is_full_at(&magazine->slots[slot]), slot == 0);
    }
}

static void
an_empty_magazine_can_change_its_capacity(void **state)
{
    (void)state;
    xa_os_init();
    struct xa_magazine *magazine = make(61);
    memset(magazine->slots, 1, 61 * sizeof(xa_slot));
    atomic_store(&magazine->count, 61);
    xa_magazine_set_capacity(magazine, 8);
    assert_int_equal(magazine->capacity, 8);
    assert_int_equal(magazine->count, 0);
    assert_null(*xa_magazine_end(magazine));
}

static void
a_discarded_magazine_comes_back_clean(void **state)
{
    (void)state;
    xa_os_init();
    struct xa_magazine *magazine = make(61);
    memset(magazine, 1, sizeof *magazine);
    xa_magazine_discard(magazine);
    assert_ptr_equal(xa_magazines_make(28), magazine);
    assert_null(*xa_magazine_end(magazine));
    assert_null(magazine->next);
    assert_int_equal(magazine->count, 0);
}

static void
what_was_discarded_together_is_had_together(void **state)
{
    struct xa_magazine *discarded[4], *made[COUNT];
    (void)state;
    xa_os_init();
    for (unsigned i = 0; i < 4; i++)
        discarded[i] = make(61);
    xa_magazine_discard_some(discarded, 4);
    assert_int_equal(xa_metadata_used_bytes(), 0);
    /* Of those that were there before as many as are wanted, and no new one beside them. */
    assert_int_equal(xa_magazine_make_some(made, 3), 3);
    assert_int_equal(xa_magazine_make_some(made + 3, COUNT - 3), 1);
    assert_int_equal(xa_metadata_used_bytes(), 4 * XA_MAGAZINE_BYTES);
    for (unsigned i = 0; i < 4; i++) {
        assert_null(made[i]->next);
        for (unsigned j = 0; j < i; j++)
            assert_ptr_not_equal(made[i], made[j]);
    }
    /* Else a single one. */
    assert_int_equal(xa_magazine_make_some(made + 4, COUNT - 4), 1);
    assert_int_equal(xa_metadata_used_bytes(), 5 * XA_MAGAZINE_BYTES);
}

static void
without_memory_there_is_none(void **state)
{
    (void)state;
    xa_os_init();
    while (xa_metadata_used_bytes() < 65536)
        assert_non_null(xa_metadata_take(64));
    xa_os_fake_fail(XA_OS_FAKE_MAP_ANYWHERE, 1, XA_OS_FAKE_FROM_THEN_ON);
    assert_null(xa_magazines_make(8));
    struct xa_magazine *some[2];
    assert_int_equal(xa_magazine_make_some(some, 2), 0);
    xa_os_fake_stop_failing();
    assert_non_null(xa_magazines_make(8));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(a_magazine_has_room_up_to_its_closing_null),
        XA_OS_FAKE_FRESH(the_first_slot_and_no_other_is_where_it_is_full),
        XA_OS_FAKE_FRESH(an_empty_magazine_can_change_its_capacity),
        XA_OS_FAKE_FRESH(a_discarded_magazine_comes_back_clean),
        XA_OS_FAKE_FRESH(what_was_discarded_together_is_had_together),
        XA_OS_FAKE_FRESH(without_memory_there_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
