/*
 * mallctl_option_test.c - each option has a control of its type, which gives the value in force.
 */
#include "config/options.h"

#include "support/os_fake.h"

#include <stdio.h>
#include <string.h>

#include "alloc/start.h"
#include "control/controls.h"
#include "support/controls.h"

enum { NAME_BYTES = 64 };

static const char settings[] = "narenas:3,tcache_max:4096,dirty_decay_ms:-1,thp:never,junk:alloc,"
                               "stats_file:/tmp/x,dirty_max:1M,stats_signal:USR1,"
                               "abort_on_foreign:true";

static enum xa_controls_type
type_for(const struct xa_option_row *option)
{
    switch (option->type) {
    case XA_OPTION_TYPE_flag: return XA_CONTROL_TYPE_flag;
    case XA_OPTION_TYPE_count: return XA_CONTROL_TYPE_uint;
    case XA_OPTION_TYPE_bytes: return XA_CONTROL_TYPE_size;
    case XA_OPTION_TYPE_ms: return XA_CONTROL_TYPE_ssize;
    case XA_OPTION_TYPE_signal: return XA_CONTROL_TYPE_u32;
    default: return XA_CONTROL_TYPE_text;
    }
}

static void
every_option_can_be_read(void **state)
{
    (void)state;
    xa_os_fake_set_environment("XALLOC_CONF", settings);
    assert_non_null(xa_start_thread());
    for (size_t i = 0; i < xa_options_row_count; i++) {
        const struct xa_option_row *option = &xa_options_rows[i];
        struct xa_controls_place place;
        char name[NAME_BYTES];
        (void)snprintf(name, sizeof name, "opt.%s", option->name);
        if (!xa_controls_find(name, &place) || !xa_controls_is_leaf(&place))
            (void)snprintf(name, sizeof name, "xalloc.opt.%s", option->name);
        assert_true(xa_controls_find(name, &place) && xa_controls_is_leaf(&place));
        assert_int_equal(xa_controls_rows[place.row].type, type_for(option));
        const char *text = xa_options_text(&xa_options, option);
        if (text != NULL)
            assert_string_equal(xa_controls_read_text(name), text);
        else
            assert_int_equal(
                xa_controls_read(name), (uint64_t)xa_options_number(&xa_options, option));
    }
    assert_int_equal(xa_controls_read("opt.narenas"), 3);
    assert_int_equal((int64_t)xa_controls_read("opt.dirty_decay_ms"), -1);
    assert_string_equal(xa_controls_read_text("opt.thp"), "never");
    assert_string_equal(xa_controls_read_text("xalloc.opt.stats_file"), "/tmp/x");
}

static void
constants_have_their_signs_and_texts(void **state)
{
    (void)state;
    assert_int_equal((int64_t)xa_controls_read("opt.stats_interval"), -1);
    assert_int_equal((int64_t)xa_controls_read("opt.lg_prof_interval"), -1);
    assert_string_equal(xa_controls_read_text("opt.dss"), "disabled");
    assert_string_equal(xa_controls_read_text("opt.prof_prefix"), "");
    assert_string_equal(xa_controls_read_text("opt.prof_time_resolution"), "default");
    assert_string_equal(xa_controls_read_text("opt.hpa_hugify_style"), "none");
    assert_null(xa_controls_read_text("opt.malloc_conf.symlink"));
    assert_int_equal(xa_controls_read("config.prof"), false);
    assert_int_equal(xa_controls_read("config.stats"), true);
    assert_int_equal(xa_controls_do("stats.mutexes.reset"), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(every_option_can_be_read),
        XA_OS_FAKE_FRESH(constants_have_their_signs_and_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
