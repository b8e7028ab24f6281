/*
 * mallctl_arenas_test.c - numbers and sizes are those that allocations really have.
 */
#include "control/mallctl.h"

#include "support/os_fake.h"

#include <errno.h>

#include "alloc/fast_path.h"
#include "alloc/start.h"
#include "support/controls.h"

/* As a program's own settings. */
extern const char *xalloc_conf;
const char *xalloc_conf = "background_thread:false,narenas:3";

enum { MIB = 1 << 20 };

static size_t
usable(size_t bytes)
{
    void *object = xa_fast_malloc(bytes);
    size_t result = xa_release_usable_bytes(object, "test");
    xa_fast_free(object);
    return result;
}

static void
bins_are_the_small_size_classes(void **state)
{
    (void)state;
    unsigned bins = (unsigned)xa_controls_read("arenas.nbins");
    size_t before = 0;
    for (unsigned i = 0; i < bins; i++) {
        uint64_t size = xa_controls_read_at("arenas.bin.%u.size", i, 0);
        uint64_t slab = xa_controls_read_at("arenas.bin.%u.slab_size", i, 0);
        uint64_t slots = xa_controls_read_at("arenas.bin.%u.nregs", i, 0);
        assert_int_equal(usable(before + 1), size);
        assert_int_equal(usable(size), size);
        assert_true(slots * size <= slab && (slots + 1) * size > slab);
        assert_int_equal(size % xa_controls_read("arenas.quantum"), 0);
        assert_int_equal(xa_controls_read_at("arenas.bin.%u.nshards", i, 0), 1);
        before = size;
    }
    assert_int_equal(before, XA_SMALL_MAX_BYTES);
}

static void
large_sizes_follow_up_to_2_mebibytes(void **state)
{
    (void)state;
    unsigned count = (unsigned)xa_controls_read("arenas.nlextents");
    size_t before = XA_SMALL_MAX_BYTES;
    for (unsigned i = 0; i < count; i++) {
        uint64_t size = xa_controls_read_at("arenas.lextent.%u.size", i, 0);
        assert_int_equal(usable(before + 1), size);
        assert_int_equal(usable(size), size);
        before = size;
    }
    assert_int_equal(before, 2 * MIB);
    assert_int_equal(usable(before + 1), before + xa_controls_read("arenas.page"));
}

static void
what_threads_keep_is_told(void **state)
{
    (void)state;
    assert_non_null(xa_start_thread());
    assert_int_equal(xa_controls_read("arenas.tcache_max"), 2 * MIB);
    assert_int_equal(xa_controls_read("arenas.nhbins"),
        xa_controls_read("arenas.nbins") + xa_controls_read("arenas.nlextents"));
}

static void
smaller_caches_are_told_too(void **state)
{
    (void)state;
    xa_os_fake_set_environment("XALLOC_CONF", "tcache_max:1000");
    assert_int_equal(xa_controls_read("arenas.tcache_max"), 960);
    assert_int_equal(xa_controls_read("arenas.nhbins"), xa_size_class_of(960));
}

static void
the_default_decay_time_is_of_arenas_without_their_own(void **state)
{
    (void)state;
    assert_non_null(xa_start_thread());
    assert_int_equal(xa_controls_write("arena.0.dirty_decay_ms", 70), 0);
    assert_int_equal(xa_controls_write("arenas.dirty_decay_ms", 80), 0);
    assert_int_equal(xa_controls_write("thread.arena", 1), 0);
    assert_int_equal(xa_controls_read("arena.0.dirty_decay_ms"), 70);
    assert_int_equal(xa_controls_read("arena.1.dirty_decay_ms"), 80);
    assert_int_equal(xa_controls_write("arenas.muzzy_decay_ms", (uint64_t)-5), EFAULT);
    assert_int_equal(xa_controls_read("arenas.muzzy_decay_ms"), 0);
}

static int
look_up(const void *pointer, unsigned *arena)
{
    size_t bytes = sizeof *arena;
    return xa_mallctl("arenas.lookup", arena, &bytes, &pointer, sizeof pointer);
}

static void
an_object_s_arena_is_found(void **state)
{
    static const size_t sizes[] = {16, 100, 60000, MIB};
    (void)state;
    assert_non_null(xa_start_thread());
    for (unsigned arena = 0; arena < 3; arena++) {
        assert_int_equal(xa_controls_write("thread.arena", arena), 0);
        assert_int_equal(xa_controls_do("thread.tcache.flush"), 0);
        assert_int_equal(xa_controls_do("arena.4096.purge"), 0);
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            unsigned found = 99;
            void *object = xa_fast_malloc(sizes[i]);
            assert_int_equal(look_up(object, &found), 0);
            assert_int_equal(found, arena);
        }
    }
    unsigned found = 99;
    assert_int_equal(look_up(xa_fast_malloc(5 * MIB), &found), 0);
    assert_int_equal(found, 0);
}

static void
what_is_no_object_of_ours_has_no_arena(void **state)
{
    unsigned found = 99;
    (void)state;
    assert_non_null(xa_start_thread());
    assert_int_equal(look_up(&found, &found), EINVAL);
    assert_int_equal(look_up(NULL, &found), EINVAL);
    assert_int_equal(look_up((const void *)UINTPTR_MAX, &found), EINVAL);
    assert_int_equal(found, 99);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(bins_are_the_small_size_classes),
        XA_OS_FAKE_FRESH(large_sizes_follow_up_to_2_mebibytes),
        XA_OS_FAKE_FRESH(what_threads_keep_is_told),
        XA_OS_FAKE_FRESH(smaller_caches_are_told_too),
        XA_OS_FAKE_FRESH(the_default_decay_time_is_of_arenas_without_their_own),
        XA_OS_FAKE_FRESH(an_object_s_arena_is_found),
        XA_OS_FAKE_FRESH(what_is_no_object_of_ours_has_no_arena),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
