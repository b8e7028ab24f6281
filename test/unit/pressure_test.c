/*
 * pressure_test.c - from readings to steps, and from files to readings.
 */
#include "thread/pressure.h"

#include "support/os_fake.h"

#include <string.h>

#include "config/options.h"

#define LIST "/proc/self/cgroup"
#define GROUP "/sys/fs/cgroup/a/"
#define MACHINE "/proc/pressure/memory"

#define STALL(avg10) \
    "some avg10=" avg10 " avg60=1.00 avg300=0.10 total=5\nfull avg10=99.00 avg60=0\n"

static uint64_t now = 1000;

static unsigned
look_later(void)
{
    now += 1000;
    return xa_pressure_look(now);
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
        XA_OS_FAKE_FRESH(a_group_that_vanishes_is_silence),
        XA_OS_FAKE_FRESH(headroom_is_of_the_lower_bound_and_without_files),
        XA_OS_FAKE_FRESH(files_are_read_at_most_once_a_second),
        XA_OS_FAKE_FRESH(files_that_cannot_be_read_are_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
