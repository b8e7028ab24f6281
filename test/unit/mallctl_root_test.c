/*
 * mallctl_root_test.c - the version, the epoch, and the background thread switched on and off.
 */
#include "control/mallctl.h"

#include "support/os_fake.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "alloc/fast_path.h"
#include "alloc/start.h"
#include "os/message.h"
#include "support/controls.h"
#include "thread/background.h"
#include "xalloc/jemalloc.h"

const char *malloc_conf = "tcache_max:8192,narenas:2";

enum { MIB = 1 << 20, WAIT_SECONDS = 60 };

static void
the_version_begins_with_jemalloc_s(void **state)
{
    (void)state;
    const char *version = xa_controls_read_text("version");
    assert_memory_equal(version, "5.3.1", 5);
    assert_non_null(strstr(version, "xalloc"));
}

static void
writing_the_epoch_counts_it_up(void **state)
{
    (void)state;
    uint64_t before = xa_controls_read("epoch"), given = 1000, epoch;
    size_t bytes = sizeof epoch;
    assert_int_equal(xa_controls_read("epoch"), before);
    assert_int_equal(xa_mallctl("epoch", &epoch, &bytes, &given, sizeof given), 0);
    assert_int_equal(epoch, before + 1);
    assert_int_equal(xa_controls_read("epoch"), before + 1);
}

static bool
comes(bool is_there)
{
    for (int i = 0; i < WAIT_SECONDS * 100; i++) {
        if (xa_background_is_there() == is_there)
            return true;
        nanosleep(&(struct timespec){0, 10000000}, NULL);
    }
    return false;
}

/* Something for the thread to do. */
static void
make_dirty(void)
{
    void *objects[8];
    for (int i = 0; i < 8; i++) {
        objects[i] = xa_fast_malloc(MIB + 1);
        memset(objects[i], 1, MIB);
    }
    for (int i = 0; i < 8; i++)
        xa_fast_free(objects[i]);
}

static void
the_background_thread_ends_when_switched_off_and_comes_back(void **state)
{
    (void)state;
    assert_non_null(xa_start_thread());
    assert_int_equal(xa_controls_read("background_thread"), true);
    make_dirty();
    assert_true(comes(true));
    assert_int_equal(xa_controls_write("background_thread", false), 0);
    assert_false(xa_background_is_there());
    assert_int_equal(xa_controls_read("background_thread"), false);
    make_dirty();
    assert_false(xa_background_is_there());
    assert_int_equal(xa_controls_write("background_thread", true), 0);
    make_dirty();
    assert_true(comes(true));
    /* What the option was stays visible. */
    assert_int_equal(xa_controls_read("opt.background_thread"), true);
    xa_controls_refresh();
    assert_int_equal(xa_controls_read("stats.background_thread.num_threads"), 1);
    assert_int_equal(xa_controls_write("background_thread", false), 0);
}

static void
it_can_be_switched_on_where_the_option_is_off(void **state)
{
    (void)state;
    xa_os_fake_set_environment("MALLOC_CONF", "background_thread:false");
    assert_non_null(xa_start_thread());
    assert_int_equal(xa_controls_read("background_thread"), false);
    make_dirty();
    assert_false(xa_background_is_there());
    assert_int_equal(xa_controls_write("background_thread", true), 0);
    make_dirty();
    assert_true(comes(true));
    assert_int_equal(xa_controls_write("background_thread", false), 0);
}

static void
there_is_one_background_thread_at_most(void **state)
{
    (void)state;
    assert_int_equal(xa_controls_write("max_background_threads", 4), 0);
    assert_int_equal(xa_controls_read("max_background_threads"), 1);
    assert_int_equal(xa_controls_write("max_background_threads", 0), EINVAL);
}

static void
the_program_s_settings_for_jemalloc_count(void **state)
{
    (void)state;
    assert_int_equal(xa_controls_read("opt.tcache_max"), 8192);
    assert_int_equal(xa_controls_read("opt.narenas"), 2);
    assert_ptr_equal(xa_controls_read_text("opt.malloc_conf.global_var"), malloc_conf);
    assert_null(xa_controls_read_text("opt.malloc_conf.global_var_2_conf_harder"));
    assert_null(xa_controls_read_text("opt.malloc_conf.env_var"));
}

static void
the_environment_s_override_them(void **state)
{
    (void)state;
    xa_os_fake_set_environment("MALLOC_CONF", "tcache_max:4096,bogus:1,prof:true");
    assert_int_equal(xa_controls_read("opt.tcache_max"), 4096);
    assert_int_equal(xa_controls_read("opt.narenas"), 2);
    assert_string_equal(
        xa_controls_read_text("opt.malloc_conf.env_var"), "tcache_max:4096,bogus:1,prof:true");
    assert_string_equal(xa_os_fake_errors(), "");
}

static void
they_do_not_count_beside_our_own_variable(void **state)
{
    (void)state;
    xa_os_fake_set_environment("MALLOC_CONF", "tcache_max:4096");
    xa_os_fake_set_environment("XALLOC_CONF", "dirty_decay_ms:5");
    assert_int_equal(xa_controls_read("opt.tcache_max"), 8192);
    assert_int_equal((int64_t)xa_controls_read("opt.dirty_decay_ms"), 5);
    assert_null(xa_controls_read_text("opt.malloc_conf.env_var"));
}

static void
a_file_may_forbid_them(void **state)
{
    (void)state;
    xa_os_fake_set_file("/etc/xalloc.conf", "malloc_conf:false,narenas:3");
    xa_os_fake_set_environment("MALLOC_CONF", "tcache_max:4096");
    assert_int_equal(xa_controls_read("opt.tcache_max"), 2097152);
    assert_int_equal(xa_controls_read("opt.narenas"), 3);
}

static void
a_file_overrides_the_program_s(void **state)
{
    (void)state;
    xa_os_fake_set_file("/etc/xalloc.conf", "narenas:3,no_such:1");
    assert_int_equal(xa_controls_read("opt.tcache_max"), 8192);
    assert_int_equal(xa_controls_read("opt.narenas"), 3);
    /* It was read twice, and complained of once. */
    const char *line = strstr(xa_os_fake_errors(), "no_such");
    assert_non_null(line);
    assert_null(strstr(line + 1, "no_such"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(the_version_begins_with_jemalloc_s),
        XA_OS_FAKE_FRESH(writing_the_epoch_counts_it_up),
        XA_OS_FAKE_FRESH(the_background_thread_ends_when_switched_off_and_comes_back),
        XA_OS_FAKE_FRESH(it_can_be_switched_on_where_the_option_is_off),
        XA_OS_FAKE_FRESH(there_is_one_background_thread_at_most),
        XA_OS_FAKE_FRESH(the_program_s_settings_for_jemalloc_count),
        XA_OS_FAKE_FRESH(the_environment_s_override_them),
        XA_OS_FAKE_FRESH(they_do_not_count_beside_our_own_variable),
        XA_OS_FAKE_FRESH(a_file_may_forbid_them),
        XA_OS_FAKE_FRESH(a_file_overrides_the_program_s),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
