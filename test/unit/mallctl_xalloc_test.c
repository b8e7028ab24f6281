/*
 * mallctl_xalloc_test.c - controls of our own: figures that agree with each other, and the trim.
 */
#include "control/mallctl.h"

#include "support/os_fake.h"

#include <string.h>

#include "alloc/fast_path.h"
#include "alloc/start.h"
#include "page/limit.h"
#include "support/controls.h"

/* As a program's own settings. */
extern const char *xalloc_conf;
const char *xalloc_conf = "background_thread:false,narenas:1,dirty_decay_ms:-1";

enum { OBJECTS = 2000, BYTES = 1000, MIB = 1 << 20 };

static void *objects[OBJECTS];

static void
use_memory(void)
{
    for (int i = 0; i < OBJECTS; i++) {
        objects[i] = xa_fast_malloc(BYTES);
        memset(objects[i], 1, BYTES);
    }
}

static void
the_active_bytes_are_live_cached_or_free(void **state)
{
    (void)state;
    use_memory();
    for (int i = 0; i < OBJECTS; i += 3)
        xa_fast_free(objects[i]);
    xa_controls_refresh();
    assert_int_equal(xa_controls_read("stats.active"),
        xa_controls_read("xalloc.stats.small") + xa_controls_read("xalloc.stats.large") +
            xa_controls_read("xalloc.stats.cached") + xa_controls_read("xalloc.stats.free_slots") +
            xa_controls_read("xalloc.stats.tails"));
    assert_int_equal(xa_controls_read("xalloc.stats.live_objects"), OBJECTS - (OBJECTS + 2) / 3);
    assert_int_equal(xa_controls_read("xalloc.stats.threads"), 1);
    assert_int_equal(xa_controls_read("xalloc.stats.arenas"), 1);
    assert_int_equal(xa_controls_read("xalloc.stats.lost"), 0);
    assert_int_equal(xa_controls_read("xalloc.used"), xa_limit_used_bytes());
    assert_true(xa_controls_read("xalloc.stats.external_fragmentation") <= 1000);
    assert_true(xa_controls_read("xalloc.stats.internal_fragmentation") <= 1000);
}

static void
a_trim_leaves_nothing_that_is_unused(void **state)
{
    (void)state;
    use_memory();
    for (int i = 0; i < OBJECTS; i++)
        xa_fast_free(objects[i]);
    xa_controls_refresh();
    assert_int_not_equal(
        xa_controls_read("xalloc.stats.dirty") + xa_controls_read("xalloc.stats.cached"), 0);
    size_t before = xa_controls_read("xalloc.resident");
    assert_int_equal(xa_controls_do("xalloc.trim"), 0);
    xa_controls_refresh();
    assert_int_equal(xa_controls_read("xalloc.stats.dirty"), 0);
    assert_int_equal(xa_controls_read("xalloc.stats.cached"), 0);
    assert_int_equal(xa_controls_read("xalloc.stats.live_objects"), 0);
    assert_true(xa_controls_read("xalloc.resident") + MIB < before);
}

static void
the_host_is_not_asked_where_that_is_forbidden(void **state)
{
    (void)state;
    xa_os_fake_set_environment("XALLOC_CONF", "strict_syscalls:true");
    use_memory();
    assert_int_equal(xa_controls_read("xalloc.resident"), 0);
    assert_int_equal(xa_controls_read("xalloc.huge_pages"), 0);
    assert_int_equal(xa_controls_read("xalloc.opt.strict_syscalls"), true);
}

static void
the_version_is_ours(void **state)
{
    (void)state;
    assert_string_equal(xa_controls_read_text("xalloc.version"), XALLOC_VERSION);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(the_active_bytes_are_live_cached_or_free),
        XA_OS_FAKE_FRESH(a_trim_leaves_nothing_that_is_unused),
        XA_OS_FAKE_FRESH(the_host_is_not_asked_where_that_is_forbidden),
        XA_OS_FAKE_FRESH(the_version_is_ours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
