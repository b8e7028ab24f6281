/*
 * glibc_settings_test.c - what glibc's variables and tunables do here.
 */
#include "config/glibc_settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const char *environment[8]; /* name, value, name, value, …, NULL */
static char complaint[256];
static unsigned complaints;

static const char *
look_up(const char *name)
{
    for (unsigned i = 0; environment[i] != NULL; i += 2)
        if (strcmp(environment[i], name) == 0)
            return environment[i + 1];
    return NULL;
}

static void
report(void *context, const char *line)
{
    (void)context;
    complaints++;
    strncpy(complaint, line, sizeof complaint - 1);
}

static bool
apply(struct xa_options *options, const char *name, const char *value)
{
    environment[0] = name;
    environment[1] = value;
    environment[2] = NULL;
    complaints = 0;
    xa_options_set_defaults(options);
    return xa_glibc_settings_apply(options, look_up, report, NULL);
}

static void
nothing_set_changes_nothing(void **state)
{
    (void)state;
    struct xa_options options, untouched;
    /* Padding as well, for the comparison. */
    memset(&options, 0, sizeof options);
    memset(&untouched, 0, sizeof untouched);
    assert_true(apply(&options, "HOME", "/"));
    xa_options_set_defaults(&untouched);
    assert_memory_equal(&options, &untouched, sizeof options);
}

static void
variables_are_mapped_to_the_nearest_option(void **state)
{
    (void)state;
    struct xa_options options;
    assert_true(apply(&options, "MALLOC_ARENA_MAX", "2"));
    assert_int_equal(options.arena_cap, 2);
    assert_true(apply(&options, "MALLOC_TRIM_THRESHOLD_", "65536"));
    assert_int_equal(options.dirty_max_bytes, 65536);
    assert_true(apply(&options, "MALLOC_PERTURB_", "165"));
    assert_int_equal(options.junk, XA_JUNK_TRUE);
    assert_true(apply(&options, "MALLOC_PERTURB_", "0"));
    assert_int_equal(options.junk, XA_JUNK_NONE);
}

static void
a_threshold_of_0_is_the_least_and_a_negative_one_none(void **state)
{
    (void)state;
    struct xa_options options;
    assert_true(apply(&options, "MALLOC_TRIM_THRESHOLD_", "0"));
    assert_int_equal(options.dirty_max_bytes, 1);
    assert_true(apply(&options, "MALLOC_TRIM_THRESHOLD_", "-1"));
    assert_int_equal(options.dirty_max_bytes, 0);
}

static void
tunables_are_found_among_others(void **state)
{
    (void)state;
    struct xa_options options;
    assert_true(apply(&options, "GLIBC_TUNABLES",
        "glibc.rtld.nns=3:glibc.malloc.arena_max=5:glibc.malloc.trim_threshold=4096"));
    assert_int_equal(options.arena_cap, 5);
    assert_int_equal(options.dirty_max_bytes, 4096);
    assert_true(apply(&options, "GLIBC_TUNABLES", "glibc.malloc.arena_maximum=5:x=glibc.malloc."));
    assert_int_equal(options.arena_cap, 0);
}

static void
a_variable_overrides_a_tunable(void **state)
{
    (void)state;
    struct xa_options options;
    environment[0] = "GLIBC_TUNABLES";
    environment[1] = "glibc.malloc.arena_max=5";
    environment[2] = "MALLOC_ARENA_MAX";
    environment[3] = "3";
    environment[4] = NULL;
    xa_options_set_defaults(&options);
    assert_true(xa_glibc_settings_apply(&options, look_up, report, NULL));
    assert_int_equal(options.arena_cap, 3);
}

static void
what_is_no_number_is_named_and_ignored(void **state)
{
    (void)state;
    struct xa_options options;
    assert_false(apply(&options, "MALLOC_TRIM_THRESHOLD_", "much"));
    assert_int_equal(complaints, 1);
    assert_string_equal(
        complaint, "xalloc: MALLOC_TRIM_THRESHOLD_: \"much\" is not a number in range, ignored.");
    assert_int_equal(options.dirty_max_bytes, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_set_changes_nothing),
        cmocka_unit_test(variables_are_mapped_to_the_nearest_option),
        cmocka_unit_test(a_threshold_of_0_is_the_least_and_a_negative_one_none),
        cmocka_unit_test(tunables_are_found_among_others),
        cmocka_unit_test(a_variable_overrides_a_tunable),
        cmocka_unit_test(what_is_no_number_is_named_and_ignored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
