/*
 * jemalloc_settings_test.c - which of jemalloc's settings count, and how.
 */
#include "config/jemalloc_settings.h"

#include "support/os_fake.h"

#include <string.h>

#include "support/seed.h"

enum { WILD_TEXTS = 20000, WILD_BYTES = 40 };

static uint64_t seed;
static struct xa_options options;

static void
apply(const char *text)
{
    xa_options_set_defaults(&options);
    xa_jemalloc_settings_apply(&options, text);
}

static bool
is_untouched(void)
{
    return memcmp(&options, &xa_options_defaults, sizeof options) == 0;
}

static void
settings_that_both_have_count(void **state)
{
    (void)state;
    apply("narenas:3,dirty_decay_ms:-1,muzzy_decay_ms:500,background_thread:false,tcache:false,"
          "tcache_max:4096,junk:free,zero:true,xmalloc:true,abort:true,zero_realloc:alloc,"
          "thp:never,stats_print:true,confirm_conf:true,abort_conf:true");
    assert_int_equal(options.narenas, 3);
    assert_int_equal(options.dirty_decay_ms, -1);
    assert_int_equal(options.muzzy_decay_ms, 500);
    assert_false(options.background_thread);
    assert_false(options.thread_cache);
    assert_int_equal(options.thread_cache_max_bytes, 4096);
    assert_int_equal(options.junk, XA_JUNK_FREE);
    assert_true(options.zero);
    assert_true(options.xmalloc);
    assert_true(options.abort);
    assert_int_equal(options.zero_realloc, XA_ZERO_REALLOC_ALLOC);
    assert_int_equal(options.thp, XA_THP_NEVER);
    assert_true(options.stats_print);
    assert_true(options.confirm_conf);
    assert_true(options.abort_conf);
}

static void
numbers_are_written_as_in_c(void **state)
{
    (void)state;
    apply("tcache_max:0x2000,dirty_decay_ms:010,muzzy_decay_ms:0");
    assert_int_equal(options.thread_cache_max_bytes, 8192);
    assert_int_equal(options.dirty_decay_ms, 8);
    assert_int_equal(options.muzzy_decay_ms, 0);
}

static void
numbers_out_of_range_become_the_nearest(void **state)
{
    (void)state;
    apply("narenas:100000,tcache_max:8388608,dirty_decay_ms:999999999999999999999999");
    assert_int_equal(options.narenas, XA_OPTION_ARENAS_MAX);
    assert_int_equal(options.thread_cache_max_bytes, 2097152);
    assert_int_equal(options.dirty_decay_ms, XA_OPTION_MS_MAX);
}

static void
the_logarithm_of_a_size_is_a_size(void **state)
{
    (void)state;
    apply("lg_tcache_max:15");
    assert_int_equal(options.thread_cache_max_bytes, 32768);
    apply("lg_tcache_max:60");
    assert_int_equal(options.thread_cache_max_bytes, 2097152);
}

static void
jemalloc_s_default_for_huge_pages_is_ours(void **state)
{
    (void)state;
    apply("thp:always,thp:default");
    assert_int_equal(options.thp, XA_THP_AUTO);
}

static void
what_only_jemalloc_knows_is_passed_over(void **state)
{
    (void)state;
    apply("percpu_arena:percpu,metadata_thp:auto,oversize_threshold:8388608,prof:true,"
          "lg_prof_sample:19,dirty_max:1,memory_limit_hard:1048576,stats_file:/x,no_such:1");
    assert_true(is_untouched());
}

static void
what_is_wrong_changes_nothing(void **state)
{
    static const char *const texts[] = {"", ",", ":", "narenas", "narenas:", "narenas:x",
        "narenas:1x", "narenas:-", "narenas:0x", "tcache:yes", "junk:maybe", "d:1", "narena:2",
        " narenas:2", "thp:sometimes", ":narenas:2", "narenas:08"};
    (void)state;
    apply(NULL);
    assert_true(is_untouched());
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        apply(texts[i]);
        assert_true(is_untouched());
    }
}

static void
a_wrong_setting_does_not_take_others_with_it(void **state)
{
    (void)state;
    apply("nonsense,tcache:perhaps,narenas:2,,zero");
    assert_int_equal(options.narenas, 2);
    assert_false(options.zero);
}

static void
wild_texts_leave_values_in_range(void **state)
{
    static const char characters[] = "narestchdiy_mx:,0123456789-x:,";
    struct xa_seed_random numbers = xa_seed_start(seed, 0);
    (void)state;
    for (int i = 0; i < WILD_TEXTS; i++) {
        char text[WILD_BYTES + 1] = "narenas:";
        size_t from = xa_seed_below(&numbers, 2) * strlen(text);
        size_t length = from + xa_seed_below(&numbers, WILD_BYTES - from);
        for (size_t k = from; k < length; k++)
            text[k] = characters[xa_seed_below(&numbers, sizeof characters - 1)];
        text[length] = '\0';
        apply(text);
        for (size_t k = 0; k < xa_options_row_count; k++) {
            const struct xa_option_row *row = &xa_options_rows[k];
            if (row->type == XA_OPTION_TYPE_text)
                continue;
            int64_t value = xa_options_number(&options, row);
            assert_true(value >= row->min && value <= row->max);
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settings_that_both_have_count),
        cmocka_unit_test(numbers_are_written_as_in_c),
        cmocka_unit_test(numbers_out_of_range_become_the_nearest),
        cmocka_unit_test(the_logarithm_of_a_size_is_a_size),
        cmocka_unit_test(jemalloc_s_default_for_huge_pages_is_ours),
        cmocka_unit_test(what_only_jemalloc_knows_is_passed_over),
        cmocka_unit_test(what_is_wrong_changes_nothing),
        cmocka_unit_test(a_wrong_setting_does_not_take_others_with_it),
        cmocka_unit_test(wild_texts_leave_values_in_range),
    };
    seed = xa_seed_choose(NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
