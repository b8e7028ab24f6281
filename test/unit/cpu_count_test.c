/*
 * cpu_count_test.c - how many processors a process may use, from texts that kernels write.
 */
#include "os/cpu_count.h"

#include "support/os_fake.h"

#include <string.h>

#define CGROUP "/proc/self/cgroup"
#define ROOT_MAX "/sys/fs/cgroup/cpu.max"
#define V1_QUOTA "/sys/fs/cgroup/cpu/cpu.cfs_quota_us"
#define V1_PERIOD "/sys/fs/cgroup/cpu/cpu.cfs_period_us"

enum { MANY = 64 };

static int
begin(void **state)
{
    static const char *const paths[] = {CGROUP, ROOT_MAX, V1_QUOTA, V1_PERIOD};
    (void)state;
    xa_os_init();
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        xa_os_fake_set_file(paths[i], NULL);
    xa_os_fake_set_affinity(MANY);
    return 0;
}

static unsigned
quota(const char *text)
{
    return xa_cpu_count_from_quota(text, strlen(text));
}

static void
a_quota_is_rounded_up_to_whole_processors(void **state)
{
    (void)state;
    assert_int_equal(quota("100000 100000\n"), 1);
    assert_int_equal(quota("200000 100000\n"), 2);
    assert_int_equal(quota("200001 100000\n"), 3);
    assert_int_equal(quota("150000 100000"), 2);
    assert_int_equal(quota("1000 100000\n"), 1);
    assert_int_equal(quota("6553500000 100000\n"), 65535);
}

static void
no_quota_or_an_odd_text_is_no_limit(void **state)
{
    static const char *const texts[] = {"max 100000\n", "max", "", "\n", "100000", "100000 ",
        "100000\n100000", "x 100000", "-1 100000", "100000 x", "0 100000", "100000 0", " 1 1",
        "99999999999999999999999999 1", "1 99999999999999999999999x", "6553600000 100000"};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        unsigned count = quota(texts[i]);
        /* Ridiculous periods give a processor at most, and nothing overflows. */
        if (count > 1)
            fail_msg("\"%s\" gives %u", texts[i], count);
    }
    assert_int_equal(quota("max 100000\n"), 0);
    assert_int_equal(quota("100000"), 0);
    assert_int_equal(quota("0 100000"), 0);
    assert_int_equal(quota("100000 0"), 0);
}

static void
a_text_that_is_cut_off_is_not_read_beyond_its_end(void **state)
{
    (void)state;
    assert_int_equal(xa_cpu_count_from_quota("200000 100000", 6), 0);
    assert_int_equal(xa_cpu_count_from_quota("200000 100000", 7), 0);
    assert_int_equal(xa_cpu_count_from_quota("200000 100000", 12), 20);
}

static void
without_files_the_mask_counts(void **state)
{
    (void)state;
    assert_int_equal(xa_cpu_count_usable(2), MANY);
    xa_os_fake_set_affinity(1);
    assert_int_equal(xa_cpu_count_usable(2), 1);
}

static void
a_small_mask_is_enough_and_no_file_is_read(void **state)
{
    (void)state;
    xa_os_fake_set_file(CGROUP, "0::/\n");
    xa_os_fake_set_file(ROOT_MAX, "100000 100000\n");
    xa_os_fake_set_affinity(2);
    unsigned long before = xa_os_fake_count(XA_OS_FAKE_READ_FILE);
    assert_int_equal(xa_cpu_count_usable(2), 2);
    assert_int_equal(xa_os_fake_count(XA_OS_FAKE_READ_FILE), before);
    assert_int_equal(xa_cpu_count_usable(1), 1);
}

static void
version_2_limits_the_group_of_the_process(void **state)
{
    (void)state;
    xa_os_fake_set_file(CGROUP, "12:cpu:/other\n0::/user.slice/a\n");
    xa_os_fake_set_file("/sys/fs/cgroup/user.slice/a/cpu.max", "300000 100000\n");
    xa_os_fake_set_file(ROOT_MAX, "500000 100000\n");
    assert_int_equal(xa_cpu_count_usable(2), 3);
}

static void
in_a_namespace_the_limit_stands_at_the_root(void **state)
{
    (void)state;
    xa_os_fake_set_file(CGROUP, "0::/\n");
    xa_os_fake_set_file(ROOT_MAX, "250000 100000\n");
    assert_int_equal(xa_cpu_count_usable(2), 3);
    xa_os_fake_set_file(ROOT_MAX, "max 100000\n");
    assert_int_equal(xa_cpu_count_usable(2), MANY);
}

static void
version_1_has_two_files(void **state)
{
    (void)state;
    xa_os_fake_set_file(V1_QUOTA, "400000\n");
    assert_int_equal(xa_cpu_count_usable(2), MANY);
    xa_os_fake_set_file(V1_PERIOD, "100000\n");
    assert_int_equal(xa_cpu_count_usable(2), 4);
    xa_os_fake_set_file(V1_QUOTA, "-1\n");
    assert_int_equal(xa_cpu_count_usable(2), MANY);
}

static void
version_1_counts_where_version_2_has_no_limit(void **state)
{
    (void)state;
    xa_os_fake_set_file(CGROUP, "11:cpu,cpuacct:/docker/x\n0::/docker/x\n");
    xa_os_fake_set_file(V1_QUOTA, "400000\n");
    xa_os_fake_set_file(V1_PERIOD, "100000\n");
    assert_int_equal(xa_cpu_count_usable(2), 4);
}

static void
a_quota_never_raises_the_mask(void **state)
{
    (void)state;
    xa_os_fake_set_affinity(4);
    xa_os_fake_set_file(CGROUP, "0::/\n");
    xa_os_fake_set_file(ROOT_MAX, "800000 100000\n");
    assert_int_equal(xa_cpu_count_usable(2), 4);
}

static void
a_longest_path_is_cut_off_and_harmless(void **state)
{
    static char text[4096];
    (void)state;
    memset(text, 'x', sizeof text - 1);
    memcpy(text, "0::/", 4);
    xa_os_fake_set_file(CGROUP, text);
    assert_int_equal(xa_cpu_count_usable(2), MANY);
    memset(text, 'x', 10);
    xa_os_fake_set_file(CGROUP, text);
    assert_int_equal(xa_cpu_count_usable(2), MANY);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_quota_is_rounded_up_to_whole_processors, begin),
        cmocka_unit_test_setup(no_quota_or_an_odd_text_is_no_limit, begin),
        cmocka_unit_test_setup(a_text_that_is_cut_off_is_not_read_beyond_its_end, begin),
        cmocka_unit_test_setup(without_files_the_mask_counts, begin),
        cmocka_unit_test_setup(a_small_mask_is_enough_and_no_file_is_read, begin),
        cmocka_unit_test_setup(version_2_limits_the_group_of_the_process, begin),
        cmocka_unit_test_setup(in_a_namespace_the_limit_stands_at_the_root, begin),
        cmocka_unit_test_setup(version_1_has_two_files, begin),
        cmocka_unit_test_setup(version_1_counts_where_version_2_has_no_limit, begin),
        cmocka_unit_test_setup(a_quota_never_raises_the_mask, begin),
        cmocka_unit_test_setup(a_longest_path_is_cut_off_and_harmless, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
