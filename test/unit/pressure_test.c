/*
 * pressure_test.c - from readings to steps, and from files to readings.
 */
#include "thread/pressure.h"

#include "support/os_fake.h"

#include <stdio.h>
#include <string.h>

#include "config/options.h"

#define LIST "/proc/self/cgroup"
#define GROUP "/sys/fs/cgroup/a/"
#define MACHINE "/proc/pressure/memory"
#define ROOT "/sys/fs/cgroup/"
#define MEMORY_1 "/sys/fs/cgroup/memory/"
#define HYBRID "/sys/fs/cgroup/unified/"
#define NO_LIMIT_1 "9223372036854771712\n"

#define STALL(avg10) \
    "some avg10=" avg10 " avg60=1.00 avg300=0.10 total=5\nfull avg10=99.00 avg60=0\n"

static uint64_t now = 1000;

static unsigned
look_later(void)
{
    now += 1000;
    return xa_pressure_look(now);
}

/* A group of version 2, directory with a slash; NULL: no such file. */
static void
set_group(const char *directory, const char *high, const char *max, const char *current)
{
    static char paths[8][3][64];
    static unsigned groups;
    const char *const names[] = {"memory.high", "memory.max", "memory.current"};
    const char *const texts[] = {high, max, current};
    assert_true(groups < 8);
    for (unsigned i = 0; i < 3; i++) {
        (void)snprintf(paths[groups][i], sizeof paths[groups][i], "%s%s", directory, names[i]);
        xa_os_fake_set_file(paths[groups][i], texts[i]);
    }
    groups++;
}

static unsigned
next(unsigned step, uint32_t used_permille, uint32_t stall_permyriad)
{
    return xa_pressure_next_step(
        step, &(struct xa_pressure_readings){true, true, used_permille, stall_permyriad});
}

static void
steps_rise_at_once(void **state)
{
    (void)state;
    assert_int_equal(next(0, 0, 0), 0);
    assert_int_equal(next(0, 849, 499), 0);
    assert_int_equal(next(0, 850, 0), 1);
    assert_int_equal(next(0, 0, 500), 1);
    assert_int_equal(next(0, 920, 0), 2);
    assert_int_equal(next(1, 0, 2000), 2);
    assert_int_equal(next(0, 970, 0), 3);
    assert_int_equal(next(0, 1000, 10000), 3);
}

static void
steps_fall_one_by_one_and_well_below(void **state)
{
    (void)state;
    assert_int_equal(next(3, 0, 0), 2);
    assert_int_equal(next(2, 0, 0), 1);
    assert_int_equal(next(1, 0, 0), 0);
    /* Between the two thresholds it stays, from either side. */
    assert_int_equal(next(1, 800, 0), 1);
    assert_int_equal(next(1, 799, 249), 0);
    assert_int_equal(next(1, 0, 250), 1);
    assert_int_equal(next(0, 0, 250), 0);
    assert_int_equal(next(2, 0, 1000), 2);
    assert_int_equal(next(2, 0, 999), 1);
    assert_int_equal(next(3, 920, 0), 3);
    assert_int_equal(next(3, 919, 1999), 2);
}

static void
readings_that_swing_do_not_make_the_step_swing(void **state)
{
    unsigned step = 0, changes = 0;
    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        unsigned after = next(step, 0, i % 2 == 0 ? 510 : 490);
        changes += after != step;
        step = after;
    }
    assert_int_equal(changes, 1);
}

static void
what_is_not_known_does_not_count(void **state)
{
    struct xa_pressure_readings nothing = {false, false, 1000, 10000};
    (void)state;
    assert_int_equal(xa_pressure_next_step(0, &nothing), 0);
    assert_int_equal(xa_pressure_next_step(3, &nothing), 2);
}

static void
higher_steps_divide_by_more(void **state)
{
    (void)state;
    assert_int_equal(xa_pressure_divisor(0), 1);
    assert_int_equal(xa_pressure_divisor(1), 4);
    assert_int_equal(xa_pressure_divisor(2), 16);
    assert_int_equal(xa_pressure_divisor(3), 0);
    assert_int_equal(xa_pressure_divisor(77), 0);
}

static void
a_pressure_file_is_understood(void **state)
{
    uint32_t value = 1;
    (void)state;
    assert_true(xa_pressure_parse_stall(STALL("0.00"), sizeof STALL("0.00") - 1, &value));
    assert_int_equal(value, 0);
    assert_true(xa_pressure_parse_stall(STALL("12.34"), sizeof STALL("12.34") - 1, &value));
    assert_int_equal(value, 1234);
    assert_true(xa_pressure_parse_stall(STALL("100.00"), sizeof STALL("100.00") - 1, &value));
    assert_int_equal(value, 10000);
    static const char swapped[] = "full avg10=1.00 avg60=0\nsome avg10=2.00 avg60=0\n";
    assert_true(xa_pressure_parse_stall(swapped, sizeof swapped - 1, &value));
    assert_int_equal(value, 200);
}

static void
garbage_is_not_understood(void **state)
{
    static const char *const texts[] = {"", "\n", "some", "some avg10=", "some avg10=x",
        "some avg10=1", "some avg10=1.", "some avg10=1.2 ", "some avg10=1.23", "some avg10=1.234 ",
        "some avg10=-1.00 ", "some avg10=101.00 ", "some avg10=100.01 ",
        "some avg10=99999999999999999999999999.00 ", "some avg10=1.99999999999999999999999 ",
        "full avg10=1.00 ", "xsome avg10=1.00 ", "some avg60=1.00 ", "\xff\xfe\x01"};
    uint32_t value;
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (xa_pressure_parse_stall(texts[i], strlen(texts[i]), &value))
            fail_msg("\"%s\" is understood", texts[i]);
}

static void
a_text_is_not_read_beyond_its_end(void **state)
{
    static const char text[] = STALL("12.34");
    uint32_t value;
    (void)state;
    for (size_t bytes = 0; bytes < sizeof "some avg10=12.34 " - 1; bytes++)
        assert_false(xa_pressure_parse_stall(text, bytes, &value));
}

static void
without_files_there_is_no_pressure_and_no_word(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(look_later(), 0);
    /* It looks again some time, not every second. */
    assert_in_range(xa_os_fake_count(XA_OS_FAKE_READ_FILE), 1, 4);
    now += 60000;
    xa_os_fake_set_file(MACHINE, STALL("25.00"));
    assert_int_equal(look_later(), 2);
    assert_string_equal(xa_os_fake_errors(), "");
}

static void
the_groups_pressure_comes_before_the_machines(void **state)
{
    (void)state;
    xa_os_fake_set_file(LIST, "0::/a\n");
    xa_os_fake_set_file(GROUP "memory.pressure", STALL("6.00"));
    xa_os_fake_set_file(MACHINE, STALL("90.00"));
    assert_int_equal(look_later(), 1);
}

static void
a_named_file_comes_before_both(void **state)
{
    (void)state;
    xa_os_fake_set_file(LIST, "0::/a\n");
    xa_os_fake_set_file(GROUP "memory.pressure", STALL("6.00"));
    xa_os_fake_set_file("/run/watch", STALL("90.00"));
    xa_pressure_set_watch("/run/watch");
    assert_int_equal(look_later(), 3);
    assert_string_equal(xa_os_fake_errors(), "");
}

static void
dev_null_turns_everything_off(void **state)
{
    (void)state;
    xa_os_fake_set_file(MACHINE, STALL("90.00"));
    xa_pressure_set_watch("/dev/null");
    assert_int_equal(look_later(), 0);
    assert_int_equal(xa_os_fake_count(XA_OS_FAKE_READ_FILE), 0);
}

static void
options_turn_everything_off(void **state)
{
    (void)state;
    xa_os_fake_set_file(MACHINE, STALL("90.00"));
    xa_options.pressure = XA_PRESSURE_OFF;
    assert_int_equal(look_later(), 0);
    xa_options.pressure = XA_PRESSURE_AUTO;
    xa_options.strict_syscalls = true;
    assert_int_equal(look_later(), 0);
    assert_int_equal(xa_os_fake_count(XA_OS_FAKE_READ_FILE), 0);
    xa_options.strict_syscalls = false;
    assert_int_equal(look_later(), 3);
}

static void
a_named_file_that_is_missing_is_one_line(void **state)
{
    (void)state;
    xa_os_fake_set_file(LIST, "0::/a\n");
    xa_os_fake_set_file(GROUP "memory.pressure", STALL("90.00"));
    xa_pressure_set_watch("/run/none");
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(look_later(), 0);
    assert_string_equal(xa_os_fake_errors(),
        "xalloc: MEMORY_PRESSURE_WATCH: \"/run/none\" cannot be read as a pressure file, ignored. "
        "Name one such as /proc/pressure/memory.\n");
}

static void
a_named_file_of_garbage_is_one_line(void **state)
{
    (void)state;
    xa_os_fake_set_file("/run/garbage", "\x01\x02 garbage\nsome avg10=nothing\n");
    xa_pressure_set_watch("/run/garbage");
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(look_later(), 0);
    assert_non_null(strstr(xa_os_fake_errors(), "\"/run/garbage\""));
    assert_ptr_equal(
        strchr(xa_os_fake_errors(), '\n') + 1, xa_os_fake_errors() + strlen(xa_os_fake_errors()));
}

static void
a_named_file_that_vanishes_is_one_line(void **state)
{
    (void)state;
    xa_os_fake_set_file(LIST, "0::/a\n");
    set_group(GROUP, "max\n", "1000000000\n", "860000000\n");
    xa_os_fake_set_file("/run/watch", STALL("90.00"));
    xa_pressure_set_watch("/run/watch");
    assert_int_equal(look_later(), 3);
    assert_string_equal(xa_os_fake_errors(), "");
    xa_os_fake_set_file("/run/watch", NULL);
    for (unsigned i = 0; i < 100; i++)
        assert_in_range(look_later(), 1, 2);
    assert_string_equal(xa_os_fake_errors(),
        "xalloc: MEMORY_PRESSURE_WATCH: \"/run/watch\" cannot be read as a pressure file, ignored. "
        "Name one such as /proc/pressure/memory.\n");
    /* What the group's memory says goes on to count, and so does the file if it comes back. */
    assert_int_equal(look_later(), 1);
    xa_os_fake_set_file("/run/watch", STALL("90.00"));
    assert_int_equal(look_later(), 3);
}

/* Only as much of the name is shown as leaves room for what to do. */
static void
a_long_name_does_not_push_out_what_to_do(void **state)
{
    static char path[4096];
    (void)state;
    memset(path, 'x', sizeof path - 1);
    xa_pressure_set_watch(path);
    assert_int_equal(look_later(), 0);
    const char *end = strstr(xa_os_fake_errors(), "xxx...\" cannot be read as a pressure file");
    assert_non_null(end);
    assert_string_equal(strstr(end, "Name"), "Name one such as /proc/pressure/memory.\n");
}

static void
a_group_that_vanishes_is_silence(void **state)
{
    (void)state;
    xa_os_fake_set_file(LIST, "0::/a\n");
    xa_os_fake_set_file(GROUP "memory.pressure", STALL("90.00"));
    xa_os_fake_set_file(GROUP "memory.max", "1000000\n");
    xa_os_fake_set_file(GROUP "memory.current", "990000\n");
    assert_int_equal(look_later(), 3);
    xa_os_fake_set_file(GROUP "memory.pressure", NULL);
    xa_os_fake_set_file(GROUP "memory.max", NULL);
    xa_os_fake_set_file(GROUP "memory.current", NULL);
    assert_int_equal(look_later(), 0);
    assert_int_equal(look_later(), 0);
    /* Moved into another one. */
    xa_os_fake_set_file(LIST, "0::/b\n");
    xa_os_fake_set_file("/sys/fs/cgroup/b/memory.pressure", STALL("25.00"));
    now += 60000;
    assert_int_equal(look_later(), 2);
    assert_string_equal(xa_os_fake_errors(), "");
}

static void
headroom_is_of_the_lower_bound_and_without_files(void **state)
{
    (void)state;
    xa_os_fake_set_file(LIST, "0::/a\n");
    xa_os_fake_set_file(GROUP "memory.max", "max\n");
    xa_os_fake_set_file(GROUP "memory.high", "1000000000\n");
    xa_os_fake_set_file(GROUP "memory.current", "980000000\n");
    assert_int_equal(look_later(), 3);
    xa_os_fake_set_file(GROUP "memory.stat",
        "anon 100\nfile 500000000\ninactive_anon 7\ninactive_file 30000000\nactive_file 70000000\n");
    assert_int_equal(look_later(), 2);
    assert_int_equal(look_later(), 2);
    xa_os_fake_set_file(GROUP "memory.stat", "inactive_file 400000000\nactive_file 70000000\n");
    assert_int_equal(look_later(), 1);
    assert_int_equal(look_later(), 0);
    xa_os_fake_set_file(GROUP "memory.max", "590000000\n");
    assert_int_equal(look_later(), 1);
    xa_os_fake_set_file(GROUP "memory.max", "garbage\n");
    xa_os_fake_set_file(GROUP "memory.high", "");
    assert_int_equal(look_later(), 0);
    xa_os_fake_set_file(GROUP "memory.max", "0\n");
    assert_in_range(xa_pressure_look(now + 60000), 1, 3);
}

static void
the_tightest_of_all_groups_above_counts(void **state)
{
    (void)state;
    xa_os_fake_set_file(LIST, "0::/a/b/c\n");
    set_group(ROOT "a/b/c/", "max\n", "1000000000\n", "100000000\n");
    assert_int_equal(look_later(), 0);
    /* Each against its own use: 860 of 1,000 million is much here. */
    set_group(ROOT "a/b/", "max\n", "1000000000\n", "860000000\n");
    assert_int_equal(look_later(), 1);
    set_group(ROOT "a/", "1000000000\n", "2000000000\n", "980000000\n");
    assert_int_equal(look_later(), 3);
    /* Its file pages are its own, too. */
    xa_os_fake_set_file(ROOT "a/memory.stat", "inactive_file 60000000\nactive_file 20000000\n");
    assert_int_equal(look_later(), 2);
    xa_os_fake_set_file(ROOT "a/memory.stat", "inactive_file 900000000\n");
    assert_int_equal(look_later(), 1);
    /* The mount point is the last; what lies above is no group. */
    set_group(ROOT, NULL, "1000000000\n", "980000000\n");
    assert_int_equal(look_later(), 3);
    set_group("/sys/fs/", "1\n", "1\n", "1000000000\n");
    xa_os_fake_set_file(ROOT "memory.max", "max\n");
    assert_int_equal(look_later(), 2);
    assert_int_equal(look_later(), 1);
    assert_string_equal(xa_os_fake_errors(), "");
}

static void
a_group_above_that_is_missing_is_passed_over(void **state)
{
    (void)state;
    /* A container without a namespace: the list has the host's path, the mount its own files. */
    xa_os_fake_set_file(LIST, "0::/kubepods/pod1/container\n");
    set_group(ROOT, "max\n", "1000000000\n", "980000000\n");
    xa_os_fake_set_file(ROOT "memory.pressure", STALL("0.00"));
    xa_os_fake_set_file(MACHINE, STALL("90.00"));
    assert_int_equal(look_later(), 3);
    xa_os_fake_set_file(ROOT "memory.current", "100\n");
    assert_int_equal(look_later(), 2);
}

static void
the_way_up_is_bounded(void **state)
{
    (void)state;
    xa_os_fake_set_file(LIST,
        "0::/1/2/3/4/5/6/7/8/9/1/2/3/4/5/6/7/8/9/1/2/3/4/5/6/7/8/9/1/2/3/4/5/6/7/8/9/1/2/3/4/5/6"
        "/7/8/9/1/2/3/4/5/6/7/8/9/1/2/3/4/5/6/7/8/9\n4:memory:/1/2/3/4/5/6/7/8/9/1/2/3/4/5/6/7/8"
        "/9/1/2/3/4/5/6/7/8/9/1/2/3/4/5/6/7/8/9/1/2/3/4/5/6/7/8/9/1/2/3/4/5/6/7/8/9\n");
    assert_int_equal(look_later(), 0);
    /* Two bounds in two places, one and a flag in the third, waiting times in two. */
    assert_in_range(xa_os_fake_count(XA_OS_FAKE_READ_FILE), 100, 2 + 32 * (2 * 2 + 2 + 2));
}

static void
set_group_of_version_1(const char *limit, const char *usage, const char *stat)
{
    xa_os_fake_set_file(LIST, "5:cpu:/x\n4:memory:/a/b\n1:name=systemd:/x\n0::/x\n");
    xa_os_fake_set_file(MEMORY_1 "a/b/memory.limit_in_bytes", limit);
    xa_os_fake_set_file(MEMORY_1 "a/b/memory.usage_in_bytes", usage);
    xa_os_fake_set_file(MEMORY_1 "a/b/memory.stat", stat);
}

static void
version_1_has_a_limit_and_a_use(void **state)
{
    (void)state;
    set_group_of_version_1("1000000000\n", "980000000\n", NULL);
    assert_int_equal(look_later(), 3);
    /* Those of groups below are in the use, and so are their files. */
    set_group_of_version_1("1000000000\n", "980000000\n",
        "cache 9\ninactive_file 900000000\nactive_file 1\nhierarchical_memory_limit 1000000000\n"
        "total_inactive_file 50000000\ntotal_active_file 30000000\n");
    assert_int_equal(look_later(), 2);
    set_group_of_version_1(NO_LIMIT_1, "980000000\n", NULL);
    assert_int_equal(look_later(), 0);
    assert_string_equal(xa_os_fake_errors(), "");
}

static void
version_1_knows_of_lower_limits_above(void **state)
{
    (void)state;
    /* The group above is not to be seen; its use is at least this one's. */
    set_group_of_version_1(
        NO_LIMIT_1, "980000000\n", "rss 1\nhierarchical_memory_limit 1000000000\n");
    assert_int_equal(look_later(), 3);
    set_group_of_version_1(
        "2000000000\n", "910000000\n", "rss 1\nhierarchical_memory_limit 1000000000\n");
    assert_int_equal(look_later(), 2);
    /* Now it is to be seen, with its own use. */
    xa_os_fake_set_file(MEMORY_1 "a/memory.limit_in_bytes", "1000000000\n");
    xa_os_fake_set_file(MEMORY_1 "a/memory.usage_in_bytes", "990000000\n");
    assert_int_equal(look_later(), 3);
    /* But it does not count what is below. */
    xa_os_fake_set_file(MEMORY_1 "a/memory.use_hierarchy", "0\n");
    assert_int_equal(look_later(), 2);
    xa_os_fake_set_file(MEMORY_1 "a/memory.use_hierarchy", "1\n");
    assert_int_equal(look_later(), 3);
}

static void
in_a_container_of_version_1_the_mount_has_the_groups_files(void **state)
{
    (void)state;
    xa_os_fake_set_file(LIST, "4:memory:/docker/0123456789abcdef\n");
    xa_os_fake_set_file(MEMORY_1 "memory.limit_in_bytes", "1000000000\n");
    xa_os_fake_set_file(MEMORY_1 "memory.usage_in_bytes", "860000000\n");
    assert_int_equal(look_later(), 1);
    /* The host's limit for all containers. */
    xa_os_fake_set_file(MEMORY_1 "memory.stat", "hierarchical_memory_limit 900000000\n");
    assert_int_equal(look_later(), 2);
}

static void
beside_version_1_version_2_tells_of_waiting(void **state)
{
    (void)state;
    set_group_of_version_1("1000000000\n", "100\n", NULL);
    xa_os_fake_set_file(HYBRID "x/memory.pressure", STALL("6.00"));
    xa_os_fake_set_file(MACHINE, STALL("90.00"));
    assert_int_equal(look_later(), 1);
    xa_os_fake_set_file(HYBRID "x/memory.pressure", NULL);
    xa_os_fake_set_file(HYBRID "memory.pressure", STALL("25.00"));
    assert_int_equal(look_later(), 2);
    set_group_of_version_1("1000000000\n", "980000000\n", NULL);
    assert_int_equal(look_later(), 3);
}

static void
beside_version_1_version_2_may_have_the_memory(void **state)
{
    (void)state;
    xa_os_fake_set_file(LIST, "5:cpu:/x\n0::/x/y\n");
    set_group(HYBRID "x/y/", "max\n", "max\n", "100\n");
    set_group(HYBRID "x/", "1000000000\n", "max\n", "930000000\n");
    assert_int_equal(look_later(), 2);
    /* Version 1 is named, but not mounted where it is looked for. */
    xa_os_fake_set_file(LIST, "5:memory:/x\n0::/x/y\n");
    assert_int_equal(look_later(), 2);
}

static void
garbage_in_a_groups_files_is_no_bound(void **state)
{
    static const char *const garbage[] = {"max\n", "", "\n", "-1\n", "x\n", "\xff\xfe",
        "99999999999999999999999999999\n", "18446744073709551615\n", NO_LIMIT_1, "maximum", " 5"};
    (void)state;
    for (size_t i = 0; i < sizeof garbage / sizeof *garbage; i++) {
        now += 60000;
        xa_os_fake_set_file(LIST, "0::/a\n");
        xa_os_fake_set_file(GROUP "memory.max", garbage[i]);
        xa_os_fake_set_file(GROUP "memory.current", "1000\n");
        assert_int_equal(look_later(), 0);
        xa_os_fake_set_file(GROUP "memory.max", "1000\n");
        xa_os_fake_set_file(GROUP "memory.current", garbage[i]);
        now += 60000;
        assert_int_equal(look_later(), 0);
        now += 60000;
        set_group_of_version_1(garbage[i], "1000\n", garbage[i]);
        assert_int_equal(look_later(), 0);
        now += 60000;
        set_group_of_version_1("1000\n", garbage[i], "total_active_file x\n");
        assert_int_equal(look_later(), 0);
    }
    /* Figures for files that are more than all there is. */
    now += 60000;
    set_group_of_version_1("1000\n", "1000\n",
        "total_inactive_file 1152921504606846975\ntotal_active_file 1152921504606846975\n");
    assert_int_equal(look_later(), 0);
    assert_string_equal(xa_os_fake_errors(), "");
}

static void
what_vanishes_leaves_the_rest(void **state)
{
    (void)state;
    xa_os_fake_set_file(LIST, "0::/a/b\n");
    set_group(ROOT "a/b/", "max\n", "1000000000\n", "980000000\n");
    set_group(ROOT "a/", "max\n", "1000000000\n", "910000000\n");
    assert_int_equal(look_later(), 3);
    /* Between two looks: the kernel says so in the list, and the groups above remain. */
    set_group(ROOT "a/b/", NULL, NULL, NULL);
    xa_os_fake_set_file(LIST, "0::/a/b (deleted)\n");
    assert_int_equal(look_later(), 2);
    /* In the middle of a look. */
    xa_os_fake_set_file(ROOT "a/memory.current", NULL);
    assert_int_equal(look_later(), 0);
    now += 60000;
    xa_os_fake_set_file(ROOT "a/memory.current", "930000000\n");
    assert_int_equal(look_later(), 2);
    /* The list itself. */
    xa_os_fake_set_file(LIST, NULL);
    assert_int_equal(look_later(), 0);
    assert_string_equal(xa_os_fake_errors(), "");
}

/* Each file in turn is the first that cannot be read any more, in the middle of a look or not. */
static void
files_may_become_unreadable_at_any_moment(void **state)
{
    (void)state;
    for (unsigned long nth = 1; nth < 40; nth++) {
        xa_os_fake_set_file(LIST, "4:memory:/a/b\n0::/a\n");
        set_group_of_version_1("1000\n", "990\n", "total_active_file 1\n");
        xa_os_fake_set_file(MEMORY_1 "a/memory.limit_in_bytes", "1000\n");
        xa_os_fake_set_file(MEMORY_1 "a/memory.usage_in_bytes", "999\n");
        xa_os_fake_set_file(MACHINE, STALL("1.00"));
        now += 60000;
        assert_in_range(look_later(), 0, 3);
        xa_os_fake_fail(XA_OS_FAKE_READ_FILE, nth, XA_OS_FAKE_FROM_THEN_ON);
        for (unsigned i = 0; i < 3; i++)
            (void)look_later();
        xa_os_fake_stop_failing();
    }
    xa_os_fake_fail(XA_OS_FAKE_READ_FILE, 1, XA_OS_FAKE_FROM_THEN_ON);
    now += 60000;
    assert_int_equal(look_later(), 0);
    assert_string_equal(xa_os_fake_errors(), "");
}

static void
files_are_read_at_most_once_a_second(void **state)
{
    (void)state;
    xa_os_fake_set_file(MACHINE, STALL("90.00"));
    assert_int_equal(xa_pressure_look(5000), 3);
    unsigned long reads = xa_os_fake_count(XA_OS_FAKE_READ_FILE);
    xa_os_fake_set_file(MACHINE, STALL("0.00"));
    assert_int_equal(xa_pressure_look(5999), 3);
    assert_int_equal(xa_os_fake_count(XA_OS_FAKE_READ_FILE), reads);
    assert_int_equal(xa_pressure_look(6000), 2);
}

static void
files_that_cannot_be_read_are_harmless(void **state)
{
    (void)state;
    xa_os_fake_set_file(LIST, "0::/a\n");
    xa_os_fake_set_file(GROUP "memory.pressure", STALL("90.00"));
    assert_int_equal(look_later(), 3);
    xa_os_fake_fail(XA_OS_FAKE_READ_FILE, 1, XA_OS_FAKE_FROM_THEN_ON);
    assert_int_equal(look_later(), 0);
    assert_string_equal(xa_os_fake_errors(), "");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(steps_rise_at_once),
        XA_OS_FAKE_FRESH(steps_fall_one_by_one_and_well_below),
        XA_OS_FAKE_FRESH(readings_that_swing_do_not_make_the_step_swing),
        XA_OS_FAKE_FRESH(what_is_not_known_does_not_count),
        XA_OS_FAKE_FRESH(higher_steps_divide_by_more),
        XA_OS_FAKE_FRESH(a_pressure_file_is_understood),
        XA_OS_FAKE_FRESH(garbage_is_not_understood),
        XA_OS_FAKE_FRESH(a_text_is_not_read_beyond_its_end),
        XA_OS_FAKE_FRESH(without_files_there_is_no_pressure_and_no_word),
        XA_OS_FAKE_FRESH(the_groups_pressure_comes_before_the_machines),
        XA_OS_FAKE_FRESH(a_named_file_comes_before_both),
        XA_OS_FAKE_FRESH(dev_null_turns_everything_off),
        XA_OS_FAKE_FRESH(options_turn_everything_off),
        XA_OS_FAKE_FRESH(a_named_file_that_is_missing_is_one_line),
        XA_OS_FAKE_FRESH(a_named_file_of_garbage_is_one_line),
        XA_OS_FAKE_FRESH(a_named_file_that_vanishes_is_one_line),
        XA_OS_FAKE_FRESH(a_long_name_does_not_push_out_what_to_do),
        XA_OS_FAKE_FRESH(a_group_that_vanishes_is_silence),
        XA_OS_FAKE_FRESH(headroom_is_of_the_lower_bound_and_without_files),
        XA_OS_FAKE_FRESH(the_tightest_of_all_groups_above_counts),
        XA_OS_FAKE_FRESH(a_group_above_that_is_missing_is_passed_over),
        XA_OS_FAKE_FRESH(the_way_up_is_bounded),
        XA_OS_FAKE_FRESH(version_1_has_a_limit_and_a_use),
        XA_OS_FAKE_FRESH(version_1_knows_of_lower_limits_above),
        XA_OS_FAKE_FRESH(in_a_container_of_version_1_the_mount_has_the_groups_files),
        XA_OS_FAKE_FRESH(beside_version_1_version_2_tells_of_waiting),
        XA_OS_FAKE_FRESH(beside_version_1_version_2_may_have_the_memory),
        XA_OS_FAKE_FRESH(garbage_in_a_groups_files_is_no_bound),
        XA_OS_FAKE_FRESH(what_vanishes_leaves_the_rest),
        XA_OS_FAKE_FRESH(files_may_become_unreadable_at_any_moment),
        XA_OS_FAKE_FRESH(files_are_read_at_most_once_a_second),
        XA_OS_FAKE_FRESH(files_that_cannot_be_read_are_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
