/*
 * private_run_test.c - slabs in the chunks of a private arena.
 */
#include "arena/private_run.h"

#include "support/os_fake.h"

#include "support/own_arena.h"

enum { GRANULE = XA_GRANULE_BYTES };

static struct xa_private_arena *arena; /* entered all the time */

static void
begin(void)
{
    arena = xa_own_arena_enter();
}

static void
slabs_are_filled_before_new_ones_are_made(void **state) XA_NO_ANALYSIS
{
    (void)state;
    begin();
    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c += 5) {
        unsigned slots = xa_size_class_table[c].slots;
        for (unsigned i = 0; i < 2 * slots; i++)
            assert_non_null(xa_private_run_take_small(arena, c));
        const struct xa_private_class_counters *counters = &arena->counters.classes[c];
        assert_int_equal(counters->slabs, 2);
        assert_int_equal(counters->nonfull, 0);
        assert_int_equal(counters->live, 2 * slots);
        assert_non_null(xa_private_run_take_small(arena, c));
        assert_int_equal(counters->slabs, 3);
        assert_int_equal(counters->nonfull, slots > 1);
    }
    xa_own_arena_check();
}

static void
every_address_of_a_slab_is_known_for_what_it_is(void **state) XA_NO_ANALYSIS
{
    struct xa_private_run *run;
    (void)state;
    begin();
    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++) {
        const struct xa_size_class *class = &xa_size_class_table[c];
        char *object = xa_private_run_take_small(arena, c);
        assert_int_equal(xa_own_arena_look(object, &run), XA_PRIVATE_LIVE);
        assert_int_equal(run->size_class, c);
        assert_int_equal(xa_own_arena_look(object + 1, &run), XA_PRIVATE_INSIDE);
        assert_int_equal(
            xa_own_arena_look(object + class->object_bytes - 1, &run), XA_PRIVATE_INSIDE);
        if (class->slots > 1)
            assert_int_equal(
                xa_own_arena_look(object + class->object_bytes, &run), XA_PRIVATE_FREE);
        size_t slab_bytes = (size_t) class->granules * GRANULE;
        if ((size_t) class->slots * class->object_bytes < slab_bytes)
            assert_int_equal(xa_own_arena_look(object + slab_bytes - 1, &run), XA_PRIVATE_INSIDE);
        xa_own_arena_give(object);
        assert_int_equal(xa_own_arena_look(object, &run), XA_PRIVATE_FREE);
    }
    xa_own_arena_check();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(slabs_are_filled_before_new_ones_are_made),
        XA_OS_FAKE_FRESH(every_address_of_a_slab_is_known_for_what_it_is),
    };
    return cmocka_run_group_tests_name("private_run", tests, NULL, NULL);
}
