/*
 * options_test.c - the table of options, reading settings, and every complaint.
 *
 * The table is walked, so that a new row is tested by being there.  Complaints are
 * compared to the character, since they are all that a user gets to see.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "../support/seed.h"
#include "config/options.h"

enum {
    LINES_MAX = 32,
    LINE_BYTES = 1024,
    RANDOM_ROUNDS = 200000,
    RANDOM_LENGTH_MAX = 80,
};

static struct xa_options options;
static char lines[LINES_MAX][LINE_BYTES];
static size_t line_count;
static uint64_t seed;

static int
begin(void **state)
{
    (void)state;
    memset(&options, 0x5a, sizeof options);
    xa_options_set_defaults(&options);
    line_count = 0;
    return 0;
}

static void
keep_line(void *context, const char *line)
{
    assert_ptr_equal(context, &options);
    assert_true(line_count < LINES_MAX);
    assert_true(strlen(line) < LINE_BYTES);
    strcpy(lines[line_count++], line);
}

static bool
parse(const char *text)
{
    line_count = 0;
    return xa_options_parse(&options, text, "XALLOC_CONF", keep_line, &options);
}

/* All of `text` is right. */
static void
accept(const char *text)
{
    bool is_clean = parse(text);
    if (line_count != 0)
        fail_msg("\"%s\": %s", text, lines[0]);
    assert_true(is_clean);
}

/* `text` has one fault, with this complaint. */
static void
complain(const char *text, const char *expected)
{
    assert_false(parse(text));
    assert_int_equal(line_count, 1);
    assert_string_equal(lines[0], expected);
}

static const char *
value_of(const struct xa_options *from, const struct xa_option_row *row)
{
    static char value[XA_OPTION_TEXT_MAX + 1];
    struct xa_text text;
    xa_text_init(&text, value, sizeof value);
    xa_options_put_value(from, row, &text);
    return value;
}

static const char *
range_of(const struct xa_option_row *row)
{
    static char range[256];
    struct xa_text text;
    xa_text_init(&text, range, sizeof range);
    xa_options_put_range(row, &text);
    assert_false(xa_text_is_full(&text));
    return range;
}

static const struct xa_option_row *
row_of(const char *name)
{
    const struct xa_option_row *row = xa_options_find(name, strlen(name));
    if (row == NULL)
        fail_msg("there is no option \"%s\"", name);
    return row;
}

/* The option has this value, as it is printed. */
static void
expect(const char *name, const char *value)
{
    assert_string_equal(value_of(&options, row_of(name)), value);
}

static void
every_row_is_found_by_its_name_alone(void **state)
{
    (void)state;
    assert_true(xa_options_row_count > 0);
    for (size_t i = 0; i < xa_options_row_count; i++) {
        const struct xa_option_row *row = &xa_options_rows[i];
        size_t length = strlen(row->name);
        assert_true(length > 0 && length <= XA_TEXT_DISTANCE_MAX);
        assert_ptr_equal(xa_options_find(row->name, length), row);
        assert_int_equal(strspn(row->name, "abcdefghijklmnopqrstuvwxyz0123456789_"), length);
        assert_true(xa_options_find(row->name, length - 1) != row);
    }
}

/* For the manual only, so the library does not contain them. */
static const char *const helps[] = {
#define CHOICE(field, constant, value, name)
#define OPTION(type, field, name, initial, min, max, stability, help) help,
#include "config/options.def"
#undef OPTION
#undef CHOICE
};

static void
every_row_says_what_it_does_in_one_line(void **state)
{
    (void)state;
    assert_int_equal(sizeof helps / sizeof helps[0], xa_options_row_count);
    for (size_t i = 0; i < xa_options_row_count; i++) {
        size_t length = strlen(helps[i]);
        assert_true(length > 10 && length <= 100);
        assert_null(strchr(helps[i], '\n'));
        assert_int_not_equal(helps[i][length - 1], '.');
    }
}

static void
every_default_can_be_printed_and_set(void **state)
{
    (void)state;
    for (size_t i = 0; i < xa_options_row_count; i++) {
        const struct xa_option_row *row = &xa_options_rows[i];
        const char *value = value_of(&xa_options_defaults, row);
        assert_true(*value != '\0' || row->type == XA_OPTION_TYPE_text);
        /* Setting checks the bounds. */
        assert_true(xa_options_set(&options, row, value, strlen(value)));
        assert_string_equal(value_of(&options, row), value_of(&xa_options_defaults, row));
    }
}

static void
every_value_survives_printing_and_reading(void **state)
{
    (void)state;
    struct xa_seed_random random = xa_seed_start(seed, 1);
    size_t checked = 0;
    for (int round = 0; round < 2000; round++) {
        const struct xa_option_row *row =
            &xa_options_rows[xa_seed_below(&random, xa_options_row_count)];
        char number[32], setting[512], printed[XA_OPTION_TEXT_MAX + 1];
        uint64_t width = (uint64_t)row->max - (uint64_t)row->min;
        uint64_t step = xa_seed_next(&random);
        step = width == UINT64_MAX ? step : step % (width + 1);
        snprintf(number, sizeof number, "%lld", (long long)((uint64_t)row->min + step));
        if (!xa_options_set(&options, row, number, strlen(number)))
            continue;
        strcpy(printed, value_of(&options, row));
        xa_options_set_defaults(&options);
        snprintf(setting, sizeof setting, "%s:%s", row->name, printed);
        accept(setting);
        expect(row->name, printed);
        checked++;
    }
    assert_true(checked > 100);
}

static void
bounds_belong_to_the_values(void **state)
{
    (void)state;
    size_t checked = 0;
    for (size_t i = 0; i < xa_options_row_count; i++) {
        const struct xa_option_row *row = &xa_options_rows[i];
        if (row->type != XA_OPTION_TYPE_count && row->type != XA_OPTION_TYPE_bytes &&
            row->type != XA_OPTION_TYPE_ms)
            continue;
        char number[4][32];
        snprintf(number[0], sizeof number[0], "%lld", (long long)row->min);
        snprintf(number[1], sizeof number[1], "%lld", (long long)row->max);
        snprintf(number[2], sizeof number[2], "%lld", (long long)row->min - 1);
        snprintf(number[3], sizeof number[3], "%llu", (unsigned long long)row->max + 1);
        for (int j = 0; j < 4; j++) {
            bool is_inside = j < 2;
            assert_int_equal(
                xa_options_set(&options, row, number[j], strlen(number[j])), is_inside);
            assert_string_equal(value_of(&options, row), number[is_inside ? j : 1]);
        }
        checked++;
    }
    assert_true(checked >= 3);
}

static void
every_choice_can_be_set_and_nothing_near_it(void **state)
{
    (void)state;
    size_t checked = 0;
    for (size_t i = 0; i < xa_options_row_count; i++) {
        const struct xa_option_row *row = &xa_options_rows[i];
        if (row->type != XA_OPTION_TYPE_choice)
            continue;
        char names[256];
        int64_t highest = 0;
        strcpy(names, range_of(row));
        for (char *name = strtok(names, ", "); name != NULL; name = strtok(NULL, ", ")) {
            assert_true(xa_options_set(&options, row, name, strlen(name)));
            assert_string_equal(value_of(&options, row), name);
            assert_false(xa_options_set(&options, row, name, strlen(name) - 1));
            xa_option_choice choice;
            memcpy(&choice, (char *)&options + row->offset, sizeof choice);
            int64_t value = choice;
            assert_true(value >= row->min && value <= row->max);
            highest = value > highest ? value : highest;
            checked++;
        }
        assert_int_equal(highest, row->max);
    }
    assert_true(checked >= 3);
}

static void
defaults_are_in_force_before_anything_is_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < xa_options_row_count; i++) {
        char value[XA_OPTION_TEXT_MAX + 1];
        strcpy(value, value_of(&xa_options, &xa_options_rows[i]));
        assert_string_equal(value, value_of(&xa_options_defaults, &xa_options_rows[i]));
        assert_string_equal(value, value_of(&options, &xa_options_rows[i]));
    }
    assert_int_equal(options.arena_cap, 0);
    assert_true(options.thread_cache);
    assert_int_equal(options.dirty_decay_ms, 1000);
    assert_int_equal(options.thread_cache_max_bytes, 2097152);
    assert_int_equal(options.zero_realloc, XA_ZERO_REALLOC_FREE);
    assert_string_equal(options.stats_file, "");
}

static void
no_settings_change_nothing(void **state)
{
    (void)state;
    accept(NULL);
    accept("");
    accept(" ,\n\t,, \r\n# a comment\n   # another, narenas:7");
    expect("narenas", "0");
}

static void
settings_reach_their_fields(void **state)
{
    (void)state;
    accept("stats_print:true,narenas:4,dirty_decay_ms:-1,tcache:false,tcache_max:32K,"
           "dirty_max:1GiB,tcache_total_max:1M,zero_realloc:abort,junk:true,stats_signal:USR1,"
           "stats_file:/tmp/a:b#c");
    assert_true(options.stats_print);
    assert_int_equal(options.narenas, 4);
    assert_int_equal(options.dirty_decay_ms, -1);
    assert_false(options.thread_cache);
    assert_int_equal(options.thread_cache_max_bytes, 32768);
    assert_true(options.dirty_max_bytes == (size_t)1 << 30);
    assert_int_equal(options.thread_caches_max_bytes, 1 << 20);
    assert_int_equal(options.zero_realloc, XA_ZERO_REALLOC_ABORT);
    assert_int_equal(options.junk, XA_JUNK_ALLOC | XA_JUNK_FREE);
    assert_int_equal(options.stats_signal, SIGUSR1);
    assert_string_equal(options.stats_file, "/tmp/a:b#c");
}

static void
blanks_around_names_and_values_do_not_count(void **state)
{
    (void)state;
    accept("  narenas : 5 ,\ttcache:false\t, \n zero :true ,");
    expect("narenas", "5");
    expect("tcache", "false");
    expect("zero", "true");
}

static void
lines_and_comments_make_a_file(void **state)
{
    (void)state;
    accept("# xalloc, for everybody\n"
           "narenas:3   # few, since memory is short\r\n"
           "\n"
           "   dirty_decay_ms:500\n"
           "stats_file:/var/log/x#1\n"
           "#zero:true");
    expect("narenas", "3");
    expect("dirty_decay_ms", "500");
    expect("stats_file", "/var/log/x#1");
    expect("zero", "false");
}

static void
the_last_setting_of_an_option_counts(void **state)
{
    (void)state;
    accept("narenas:3,tcache:false,narenas:9");
    expect("narenas", "9");
    accept("tcache:true");
    expect("tcache", "true");
    expect("narenas", "9");
}

static void
a_later_source_overrides_only_what_it_names(void **state)
{
    (void)state;
    accept("narenas:2,dirty_decay_ms:10,stats_file:/a/long/path");
    accept("dirty_decay_ms:20\nstats_file:/b");
    accept("narenas:6");
    expect("narenas", "6");
    expect("dirty_decay_ms", "20");
    expect("stats_file", "/b");
    accept("stats_file:");
    expect("stats_file", "");
}

static void
a_wrong_setting_spoils_no_other(void **state)
{
    (void)state;
    assert_false(parse("narenas:2,narenas:-3,nonsense,tcache:no,zero:true"));
    assert_int_equal(line_count, 3);
    expect("narenas", "2");
    expect("tcache", "true");
    expect("zero", "true");
}

static void
an_unknown_name_brings_the_nearest_known_one(void **state)
{
    (void)state;
    complain("dirty_decay:100",
        "xalloc: option \"dirty_decay\" in XALLOC_CONF: no such option, ignored. "
        "Did you mean \"dirty_decay_ms\"?");
    complain("Narenas:1",
        "xalloc: option \"Narenas\" in XALLOC_CONF: no such option, ignored. "
        "Did you mean \"narenas\"?");
    complain("tcahe:true",
        "xalloc: option \"tcahe\" in XALLOC_CONF: no such option, ignored. "
        "Did you mean \"tcache\"?");
}

static void
a_third_of_a_name_and_one_character_may_be_wrong(void **state)
{
    (void)state;
    complain("zoro_reac:free",
        "xalloc: option \"zoro_reac\" in XALLOC_CONF: no such option, ignored. "
        "Did you mean \"zero_realloc\"?");
    complain("zoro_rea:free",
        "xalloc: option \"zoro_rea\" in XALLOC_CONF: no such option, ignored. "
        "xalloc(3) lists the options.");
}

static void
a_name_like_no_other_brings_the_manual(void **state)
{
    (void)state;
    complain("percpu:true",
        "xalloc: option \"percpu\" in XALLOC_CONF: no such option, ignored. "
        "xalloc(3) lists the options.");
}

static void
no_name_is_known_by_its_beginning(void **state)
{
    (void)state;
    complain("d:1",
        "xalloc: option \"d\" in XALLOC_CONF: no such option, ignored. "
        "xalloc(3) lists the options.");
    expect("dirty_decay_ms", "1000");
}

static void
an_overlong_name_is_shortened(void **state)
{
    (void)state;
    char text[400];
    memset(text, 'n', sizeof text);
    strcpy(text + 300, ":1");
    complain(text,
        "xalloc: option \"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn...\" in XALLOC_CONF: "
        "no such option, ignored. xalloc(3) lists the options.");
}

static void
a_setting_needs_name_colon_value(void **state)
{
    (void)state;
    complain("narenas",
        "xalloc: option \"narenas\" in XALLOC_CONF: no colon, ignored. Write name:value.");
    complain(" narenas=4 ,",
        "xalloc: option \"narenas=4\" in XALLOC_CONF: no colon, ignored. Write name:value.");
    complain(":5",
        "xalloc: option \":5\" in XALLOC_CONF: no name before the colon, ignored. "
        "Write name:value.");
    complain(" : ",
        "xalloc: option \":\" in XALLOC_CONF: no name before the colon, ignored. "
        "Write name:value.");
}

static void
a_number_outside_its_bounds_is_named_with_them(void **state)
{
    (void)state;
    complain("narenas:-3",
        "xalloc: option \"narenas\" in XALLOC_CONF: \"-3\" is not in 0..256, "
        "ignored (stays 0).");
    complain("narenas:",
        "xalloc: option \"narenas\" in XALLOC_CONF: \"\" is not in 0..256, ignored (stays 0).");
    complain("tcache_max:1G",
        "xalloc: option \"tcache_max\" in XALLOC_CONF: \"1G\" is not in 0..2097152 bytes, "
        "ignored (stays 2097152).");
    accept("dirty_decay_ms:5s");
    complain("dirty_decay_ms:soon",
        "xalloc: option \"dirty_decay_ms\" in XALLOC_CONF: "
        "\"soon\" is not in -1..31536000000 ms, ignored (stays 5000).");
}

static void
a_name_that_is_no_value_brings_the_list(void **state)
{
    (void)state;
    complain("stats_print:yes",
        "xalloc: option \"stats_print\" in XALLOC_CONF: \"yes\" is not one of true, false, "
        "ignored (stays false).");
    complain("zero_realloc:Free",
        "xalloc: option \"zero_realloc\" in XALLOC_CONF: \"Free\" is not one of "
        "free, alloc, abort, ignored (stays free).");
    complain("stats_signal:KILL",
        "xalloc: option \"stats_signal\" in XALLOC_CONF: \"KILL\" is not one of "
        "none, HUP, USR1, USR2, WINCH, URG, PROF, IO, 35..64, ignored (stays none).");
}

static void
a_text_has_a_longest_length(void **state)
{
    (void)state;
    char setting[400] = "stats_file:";
    size_t start = strlen(setting);
    memset(setting + start, 'p', XA_OPTION_TEXT_MAX);
    accept(setting);
    assert_int_equal(strlen(options.stats_file), XA_OPTION_TEXT_MAX);
    setting[start + XA_OPTION_TEXT_MAX] = 'p';
    accept("stats_file:/old");
    complain(setting,
        "xalloc: option \"stats_file\" in XALLOC_CONF: "
        "\"pppppppppppppppppppppppppppppppppppppppp...\" is not in 0..255 characters, "
        "ignored (stays \"/old\").");
}

static void
complaints_name_the_source(void **state)
{
    (void)state;
    assert_false(xa_options_parse(&options, "zero:1", "/etc/xalloc.conf", keep_line, &options));
    assert_string_equal(lines[0],
        "xalloc: option \"zero\" in /etc/xalloc.conf: \"1\" is not one of true, false, "
        "ignored (stays false).");
}

static void
without_a_listener_faults_are_still_counted(void **state)
{
    (void)state;
    assert_false(xa_options_parse(&options, "nonsense:1", "MALLOC_CONF", NULL, NULL));
    assert_true(xa_options_parse(&options, "zero:true", "MALLOC_CONF", NULL, NULL));
}

static void
signals_have_names_prefixes_and_numbers(void **state)
{
    (void)state;
    char setting[64];
    accept("stats_signal:SIGUSR2");
    assert_int_equal(options.stats_signal, SIGUSR2);
    expect("stats_signal", "USR2");
    snprintf(setting, sizeof setting, "stats_signal:%d", SIGWINCH);
    accept(setting);
    expect("stats_signal", "WINCH");
    accept("stats_signal:40");
    expect("stats_signal", "40");
    accept("stats_signal:none");
    assert_int_equal(options.stats_signal, 0);
}

static void
signals_that_report_faults_or_end_programs_are_refused(void **state)
{
    (void)state;
    static const char *const refused[] = {"KILL", "SIGKILL", "9", "SEGV", "11", "TERM", "15",
        "usr1", "SIG", "SIGnone", "SIGSIGHUP", "-1", "34", "65", "99999999999", ""};
    const struct xa_option_row *row = row_of("stats_signal");
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        if (xa_options_set(&options, row, refused[i], strlen(refused[i])))
            fail_msg("signal \"%s\" was accepted", refused[i]);
    }
}

/* What is set does not hold together, with this complaint. */
static void
contradict(const char *text, const char *expected)
{
    accept(text);
    assert_false(xa_options_settle(&options, keep_line, &options));
    assert_int_equal(line_count, 1);
    assert_string_equal(lines[0], expected);
    /* What was wrong is gone. */
    assert_true(xa_options_settle(&options, keep_line, &options));
}

static void
two_signals_are_two(void **state)
{
    (void)state;
    contradict("stats_signal:USR1,ctl_signal:USR1",
        "xalloc: option \"ctl_signal\": USR1 is the signal of stats_signal, too, "
        "ignored (stays none).");
    expect("ctl_signal", "none");
    expect("stats_signal", "USR1");
    contradict("ctl_signal:40,stats_signal:40",
        "xalloc: option \"ctl_signal\": 40 is the signal of stats_signal, too, "
        "ignored (stays none).");
    accept("stats_signal:USR1,ctl_signal:USR2");
    assert_true(xa_options_settle(&options, keep_line, &options));
    expect("ctl_signal", "USR2");
    accept("stats_signal:none,ctl_signal:none");
    assert_true(xa_options_settle(&options, keep_line, &options));
}

static void
limits_that_contradict_each_other_are_named(void **state)
{
    (void)state;
    contradict("memory_limit_soft:3M,memory_limit_hard:2M",
        "xalloc: option \"memory_limit_soft\": 3145728 is more than memory_limit_hard, "
        "2097152 bytes, ignored (stays 0).");
    expect("memory_limit_hard", "2097152");
    contradict("memory_limit_hard:1000",
        "xalloc: option \"memory_limit_hard\": 1000 is less than the least limit of "
        "1048576 bytes, ignored (stays 0).");
    expect("memory_limit_soft", "0");
}

static void
the_arena_cap_of_glibc_is_taken_over(void **state)
{
    (void)state;
    assert_true(xa_options_apply_arena_max(&options, NULL, keep_line, &options));
    assert_true(xa_options_apply_arena_max(&options, "", keep_line, &options));
    assert_int_equal(options.arena_cap, 0);
    assert_true(xa_options_apply_arena_max(&options, " 2 ", keep_line, &options));
    assert_int_equal(options.arena_cap, 2);
    assert_true(xa_options_apply_arena_max(&options, "4294967297", keep_line, &options));
    assert_int_equal(options.arena_cap, XA_OPTION_ARENAS_MAX);
    assert_true(xa_options_apply_arena_max(&options, "0", keep_line, &options));
    assert_int_equal(options.arena_cap, 0);
    assert_int_equal(line_count, 0);
    expect("narenas", "0");
}

static void
an_arena_cap_that_is_no_number_is_named(void **state)
{
    (void)state;
    assert_true(xa_options_apply_arena_max(&options, "3", keep_line, &options));
    assert_false(xa_options_apply_arena_max(&options, "two", keep_line, &options));
    assert_false(xa_options_apply_arena_max(&options, "-1", keep_line, &options));
    assert_int_equal(options.arena_cap, 3);
    assert_int_equal(line_count, 2);
    assert_string_equal(
        lines[0], "xalloc: MALLOC_ARENA_MAX: \"two\" is not a number of arenas, ignored.");
}

/* Pieces that make random texts look like settings often enough. */
static size_t
put_random_piece(struct xa_seed_random *random, char *text, size_t room)
{
    static const char *const pieces[] = {":", ",", "\n", "#", " ", "true", "false", "none", "SIG",
        "9223372036854775807", "-9223372036854775808", "-", "1", "K", "iB", "s", "=", "\xff"};
    enum { PIECES = sizeof pieces / sizeof pieces[0] };
    size_t choice = xa_seed_below(random, PIECES + xa_options_row_count + 4);
    char single[2] = {(char)(1 + xa_seed_below(random, 255)), '\0'};
    const char *piece = choice < PIECES          ? pieces[choice]
        : choice < PIECES + xa_options_row_count ? xa_options_rows[choice - PIECES].name
                                                 : single;
    size_t length = strlen(piece) < room ? strlen(piece) : room;
    memcpy(text, piece, length);
    return length;
}

static void
check_line(void *context, const char *line)
{
    size_t *count = context;
    (*count)++;
    if (strncmp(line, "xalloc: option \"", 16) != 0 || strchr("?.", line[strlen(line) - 1]) == NULL)
        fail_msg("seed 0x%llx: odd complaint: %s", (unsigned long long)seed, line);
    for (const char *next = line; *next != '\0'; next++)
        assert_true(*next >= ' ' && *next <= '~');
}

/* Setting a value to itself fails if it is out of bounds. */
static void
check_all_values(void)
{
    struct xa_options copy = options;
    for (size_t i = 0; i < xa_options_row_count; i++) {
        const char *value = value_of(&options, &xa_options_rows[i]);
        if (!xa_options_set(&copy, &xa_options_rows[i], value, strlen(value)))
            fail_msg(
                "seed 0x%llx: %s:%s", (unsigned long long)seed, xa_options_rows[i].name, value);
    }
}

static void
random_texts_leave_every_value_within_bounds(void **state)
{
    (void)state;
    struct xa_seed_random random = xa_seed_start(seed, 2);
    size_t clean = 0, wrong = 0;
    for (int round = 0; round < RANDOM_ROUNDS; round++) {
        /* The text ends where the array does, so that a sanitizer sees a step too far. */
        char text[RANDOM_LENGTH_MAX + 1];
        size_t length = xa_seed_below(&random, RANDOM_LENGTH_MAX + 1), used = 0, count = 0;
        char *start = text + RANDOM_LENGTH_MAX - length;
        while (used < length)
            used += put_random_piece(&random, start + used, length - used);
        start[length] = '\0';
        bool is_clean = xa_options_parse(&options, start, "SOURCE", check_line, &count);
        assert_int_equal(is_clean, count == 0);
        clean += is_clean;
        wrong += !is_clean;
        check_all_values();
    }
    assert_true(clean > 0 && wrong > 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(every_row_is_found_by_its_name_alone, begin),
        cmocka_unit_test_setup(every_row_says_what_it_does_in_one_line, begin),
        cmocka_unit_test_setup(every_default_can_be_printed_and_set, begin),
        cmocka_unit_test_setup(every_value_survives_printing_and_reading, begin),
        cmocka_unit_test_setup(bounds_belong_to_the_values, begin),
        cmocka_unit_test_setup(every_choice_can_be_set_and_nothing_near_it, begin),
        cmocka_unit_test_setup(defaults_are_in_force_before_anything_is_read, begin),
        cmocka_unit_test_setup(no_settings_change_nothing, begin),
        cmocka_unit_test_setup(settings_reach_their_fields, begin),
        cmocka_unit_test_setup(blanks_around_names_and_values_do_not_count, begin),
        cmocka_unit_test_setup(lines_and_comments_make_a_file, begin),
        cmocka_unit_test_setup(the_last_setting_of_an_option_counts, begin),
        cmocka_unit_test_setup(a_later_source_overrides_only_what_it_names, begin),
        cmocka_unit_test_setup(a_wrong_setting_spoils_no_other, begin),
        cmocka_unit_test_setup(an_unknown_name_brings_the_nearest_known_one, begin),
        cmocka_unit_test_setup(a_third_of_a_name_and_one_character_may_be_wrong, begin),
        cmocka_unit_test_setup(a_name_like_no_other_brings_the_manual, begin),
        cmocka_unit_test_setup(no_name_is_known_by_its_beginning, begin),
        cmocka_unit_test_setup(an_overlong_name_is_shortened, begin),
        cmocka_unit_test_setup(a_setting_needs_name_colon_value, begin),
        cmocka_unit_test_setup(a_number_outside_its_bounds_is_named_with_them, begin),
        cmocka_unit_test_setup(a_name_that_is_no_value_brings_the_list, begin),
        cmocka_unit_test_setup(a_text_has_a_longest_length, begin),
        cmocka_unit_test_setup(complaints_name_the_source, begin),
        cmocka_unit_test_setup(without_a_listener_faults_are_still_counted, begin),
        cmocka_unit_test_setup(signals_have_names_prefixes_and_numbers, begin),
        cmocka_unit_test_setup(signals_that_report_faults_or_end_programs_are_refused, begin),
        cmocka_unit_test_setup(two_signals_are_two, begin),
        cmocka_unit_test_setup(limits_that_contradict_each_other_are_named, begin),
        cmocka_unit_test_setup(the_arena_cap_of_glibc_is_taken_over, begin),
        cmocka_unit_test_setup(an_arena_cap_that_is_no_number_is_named, begin),
        cmocka_unit_test_setup(random_texts_leave_every_value_within_bounds, begin),
    };
    seed = xa_seed_choose(NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
