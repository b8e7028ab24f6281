/*
 * cgroup_test.c - which directory the control group's files are in, from texts that kernels write.
 */
#include "os/cgroup.h"

#include "support/os_fake.h"

#include <string.h>

#define LIST "/proc/self/cgroup"

static void
the_line_of_version_2_names_the_directory(void **state)
{
    struct xa_cgroup group;
    char text[16] = "";
    (void)state;
    xa_os_fake_set_file(LIST, "12:cpu:/other\n0::/user.slice/a\n");
    xa_os_fake_set_file("/sys/fs/cgroup/user.slice/a/memory.max", "4096\n");
    assert_true(xa_cgroup_find(&group));
    assert_string_equal(group.directory, "/sys/fs/cgroup/user.slice/a");
    assert_int_equal(xa_cgroup_read(&group, "memory.max", text, sizeof text), 5);
    assert_string_equal(text, "4096\n");
    assert_int_equal(xa_cgroup_read(&group, "memory.high", text, sizeof text), -1);
}

static void
in_a_namespace_it_is_the_root(void **state)
{
    struct xa_cgroup group;
    (void)state;
    xa_os_fake_set_file(LIST, "0::/\n");
    assert_true(xa_cgroup_find(&group));
    assert_string_equal(group.directory, "/sys/fs/cgroup");
}

static void
without_version_2_there_is_no_group_and_no_file(void **state)
{
    static const char *const texts[] = {NULL, "", "\n", "11:cpu:/docker\n", "0:", "garbage"};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct xa_cgroup group;
        char text[16];
        xa_os_fake_set_file(LIST, texts[i]);
        assert_false(xa_cgroup_find(&group));
        assert_int_equal(xa_cgroup_read(&group, "cpu.max", text, sizeof text), -1);
    }
}

static void
a_longest_path_is_cut_off(void **state)
{
    static char list[4096];
    struct xa_cgroup group;
    char text[16];
    (void)state;
    memset(list, 'x', sizeof list - 1);
    memcpy(list, "0::/", 4);
    xa_os_fake_set_file(LIST, list);
    assert_true(xa_cgroup_find(&group));
    assert_in_range(strlen(group.directory), 500, sizeof group.directory - 1);
    assert_int_equal(xa_cgroup_read(&group, "memory.pressure", text, sizeof text), -1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(the_line_of_version_2_names_the_directory),
        XA_OS_FAKE_FRESH(in_a_namespace_it_is_the_root),
        XA_OS_FAKE_FRESH(without_version_2_there_is_no_group_and_no_file),
        XA_OS_FAKE_FRESH(a_longest_path_is_cut_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
