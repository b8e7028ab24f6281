/*
 * mallctl_experimental_test.c - many objects at once, and an arena from a structure.
 */
#include "control/mallctl.h"

#include "support/os_fake.h"

#include <errno.h>
#include <string.h>

#include "alloc/fast_path.h"
#include "alloc/start.h"
#include "support/controls.h"
#include "xalloc/jemalloc.h"

enum { OBJECTS = 100 };

static void *objects[OBJECTS];

static int
take(size_t count, size_t size, int flags, size_t *filled, size_t filled_bytes)
{
    struct xa_mallctl_batch batch = {objects, count, size, flags};
    return xa_mallctl("experimental.batch_alloc", filled, filled == NULL ? NULL : &filled_bytes,
        &batch, sizeof batch);
}

static void
a_batch_is_as_many_objects(void **state)
{
    size_t filled = 0;
    (void)state;
    assert_int_equal(take(OBJECTS, 100, 0, &filled, sizeof filled), 0);
    assert_int_equal(filled, OBJECTS);
    for (int i = 0; i < OBJECTS; i++) {
        assert_int_equal(xa_release_usable_bytes(objects[i], "test"), 112);
        xa_fast_free(objects[i]);
    }
    assert_int_equal(
        take(OBJECTS, 100, MALLOCX_ALIGN(256) | MALLOCX_ZERO, &filled, sizeof filled), 0);
    for (int i = 0; i < OBJECTS; i++) {
        assert_int_equal((uintptr_t)objects[i] % 256, 0);
        xa_fast_free(objects[i]);
    }
}

static void
a_batch_ends_where_memory_does(void **state)
{
    size_t filled = 99;
    (void)state;
    assert_int_equal(take(OBJECTS, SIZE_MAX, 0, &filled, sizeof filled), 0);
    assert_int_equal(filled, 0);
}

static void
without_room_for_the_number_nothing_is_taken(void **state)
{
    size_t filled = 99;
    (void)state;
    memset(objects, 0, sizeof objects);
    assert_int_equal(take(OBJECTS, 100, 0, &filled, sizeof filled - 1), EINVAL);
    assert_int_equal(take(OBJECTS, 100, 0, NULL, 0), EINVAL);
    assert_int_equal(filled, 99);
    assert_null(objects[0]);
}

static void
an_arena_is_made_from_a_structure(void **state)
{
    struct xa_mallctl_arena_config config = {NULL, true};
    unsigned arena = 0;
    size_t bytes = sizeof arena;
    (void)state;
    assert_int_equal(
        xa_mallctl("experimental.arenas_create_ext", &arena, &bytes, &config, sizeof config), 0);
    assert_true(arena >= 256);
    assert_int_equal(xa_controls_read_at("arena.%u.initialized", arena, 0), true);
    bytes = sizeof arena;
    assert_int_equal(
        xa_mallctl("experimental.arenas_create_ext", &arena, &bytes, &config, sizeof config - 1),
        EINVAL);
    assert_int_equal(bytes, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(a_batch_is_as_many_objects),
        XA_OS_FAKE_FRESH(a_batch_ends_where_memory_does),
        XA_OS_FAKE_FRESH(without_room_for_the_number_nothing_is_taken),
        XA_OS_FAKE_FRESH(an_arena_is_made_from_a_structure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
