/*
 * cgroup_test.c - which directories the control groups' files are in, from texts that kernels write,
 * and from some that they do not.
 */
#include "os/cgroup.h"

#include "support/os_fake.h"

#include <string.h>

#define LIST "/proc/self/cgroup"

/* The process's group, by a list that says `text`. */
static bool
find(struct xa_cgroup *group, enum xa_cgroup_hierarchy hierarchy, const char *text)
{
    struct xa_cgroup_list list;
    xa_os_fake_set_file(LIST, text);
    xa_cgroup_read_list(&list);
    return xa_cgroup_find(group, &list, hierarchy);
}

static void
the_line_of_version_2_names_the_directory(void **state)
{
    struct xa_cgroup group;
    char text[16] = "";
    (void)state;
    xa_os_fake_set_file("/sys/fs/cgroup/user.slice/a/memory.max", "4096\n");
    assert_true(find(&group, XA_CGROUP_VERSION_2, "12:cpu:/other\n0::/user.slice/a\n"));
    assert_string_equal(group.directory, "/sys/fs/cgroup/user.slice/a");
    assert_int_equal(xa_cgroup_read(&group, "memory.max", text, sizeof text), 5);
    assert_string_equal(text, "4096\n");
    assert_int_equal(xa_cgroup_read(&group, "memory.high", text, sizeof text), -1);
}

static void
in_a_namespace_it_is_the_root(void **state)
{
    /* The group is outside of the namespace in the last two: one may climb to nowhere. */
    static const char *const texts[] = {"0::/\n", "0::/..\n", "0::/../../other\n"};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct xa_cgroup group;
        assert_true(find(&group, XA_CGROUP_VERSION_2, texts[i]));
        assert_string_equal(group.directory, "/sys/fs/cgroup");
        assert_false(xa_cgroup_ascend(&group));
        assert_string_equal(group.directory, "/sys/fs/cgroup");
    }
    struct xa_cgroup group;
    assert_true(find(&group, XA_CGROUP_VERSION_2, "0::/..a\n"));
    assert_string_equal(group.directory, "/sys/fs/cgroup/..a");
}

static void
each_hierarchy_has_its_line_and_its_place(void **state)
{
    static const char text[] = "13:name=memory:/wrong\n12:cpu,cpuacct:/cpu\n"
                               "11:hugetlb,memory:/docker/a:b\n1:memory_x:/wrong\n0::/unified\n";
    struct xa_cgroup group;
    (void)state;
    assert_true(find(&group, XA_CGROUP_MEMORY_1, text));
    assert_string_equal(group.directory, "/sys/fs/cgroup/memory/docker/a:b");
    assert_true(find(&group, XA_CGROUP_HYBRID, text));
    assert_string_equal(group.directory, "/sys/fs/cgroup/unified/unified");
    assert_true(find(&group, XA_CGROUP_VERSION_2, text));
    assert_string_equal(group.directory, "/sys/fs/cgroup/unified");
    assert_false(find(&group, XA_CGROUP_MEMORY_1, "13:name=memory:/\n1:memory_x:/\n0::/a\n"));
    assert_false(find(&group, XA_CGROUP_VERSION_2, "10:memory:/a\n"));
}

static void
the_way_up_ends_at_the_mount(void **state)
{
    struct xa_cgroup group;
    (void)state;
    assert_true(find(&group, XA_CGROUP_MEMORY_1, "4:memory:/a/b c/d (deleted)\n"));
    assert_true(xa_cgroup_ascend(&group));
    assert_string_equal(group.directory, "/sys/fs/cgroup/memory/a/b c");
    assert_true(xa_cgroup_ascend(&group));
    assert_string_equal(group.directory, "/sys/fs/cgroup/memory/a");
    assert_true(xa_cgroup_ascend(&group));
    assert_string_equal(group.directory, "/sys/fs/cgroup/memory");
    assert_false(xa_cgroup_ascend(&group));
    assert_string_equal(group.directory, "/sys/fs/cgroup/memory");
    /* Slashes that no kernel writes. */
    assert_true(find(&group, XA_CGROUP_VERSION_2, "0:://a//\n"));
    for (unsigned i = 0; i < 4; i++)
        assert_true(xa_cgroup_ascend(&group));
    assert_string_equal(group.directory, "/sys/fs/cgroup");
    assert_false(xa_cgroup_ascend(&group));
}

static void
without_a_line_there_is_no_group_and_no_file(void **state)
{
    static const char *const texts[] = {NULL, "", "\n", "11:cpu:/docker\n", "0:", "0::", "garbage",
        ":::\n\n:", "0:\n:/a", "memory:/a\n", "10::/a\n"};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        for (unsigned hierarchy = 0; hierarchy <= XA_CGROUP_MEMORY_1; hierarchy++) {
            struct xa_cgroup group;
            char text[16];
            assert_false(find(&group, (enum xa_cgroup_hierarchy)hierarchy, texts[i]));
            assert_int_equal(xa_cgroup_read(&group, "cpu.max", text, sizeof text), -1);
            assert_false(xa_cgroup_ascend(&group));
        }
    }
}

/* No more than the list's bytes is looked at, wherever it is cut off. */
static void
a_list_may_end_anywhere(void **state)
{
    static const char text[] = "4:memory:/a/b\n0::/c/d\n";
    (void)state;
    for (size_t bytes = 0; bytes < sizeof text; bytes++) {
        struct xa_cgroup_list list;
        struct xa_cgroup group;
        memset(list.text, 'x', sizeof list.text);
        memcpy(list.text, text, bytes);
        list.bytes = bytes;
        bool has_memory = bytes > sizeof "4:memory:" - 1;
        assert_int_equal(xa_cgroup_find(&group, &list, XA_CGROUP_MEMORY_1), has_memory);
        if (has_memory)
            assert_true(strlen(group.directory) <= strlen("/sys/fs/cgroup/memory/a/b"));
    }
}

/* What is left of a name could be the name of another group: it is not taken. */
static void
a_longest_path_is_cut_off_between_two_groups(void **state)
{
    static char list[4096], name[600];
    struct xa_cgroup group;
    (void)state;
    memset(list, 'x', sizeof list - 1);
    memcpy(list, "0::/a/b/", 8);
    assert_true(find(&group, XA_CGROUP_VERSION_2, list));
    assert_string_equal(group.directory, "/sys/fs/cgroup/a/b");
    /* The longest that fits, and one more. */
    memset(name, 'y', sizeof name - 1);
    memcpy(name, "0::/", 4);
    size_t most = XA_CGROUP_DIRECTORY_MAX - 2 - strlen("/sys/fs/cgroup/");
    name[4 + most] = '\0';
    assert_true(find(&group, XA_CGROUP_VERSION_2, name));
    assert_int_equal(strlen(group.directory), XA_CGROUP_DIRECTORY_MAX - 2);
    name[4 + most] = 'y';
    name[5 + most] = '\0';
    assert_true(find(&group, XA_CGROUP_VERSION_2, name));
    assert_string_equal(group.directory, "/sys/fs/cgroup");
}

/* The list is longer than what is read of it: the last line's end is not its end. */
static void
a_longest_list_is_cut_off_between_two_groups(void **state)
{
    static char list[XA_CGROUP_LIST_MAX + 10];
    struct xa_cgroup group;
    (void)state;
    memset(list, '\n', sizeof list - 1);
    memcpy(list + XA_CGROUP_LIST_MAX - 10, "0::/ab/cdefgh", 13);
    assert_true(find(&group, XA_CGROUP_VERSION_2, list));
    assert_string_equal(group.directory, "/sys/fs/cgroup/ab");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(the_line_of_version_2_names_the_directory),
        XA_OS_FAKE_FRESH(in_a_namespace_it_is_the_root),
        XA_OS_FAKE_FRESH(each_hierarchy_has_its_line_and_its_place),
        XA_OS_FAKE_FRESH(the_way_up_ends_at_the_mount),
        XA_OS_FAKE_FRESH(without_a_line_there_is_no_group_and_no_file),
        XA_OS_FAKE_FRESH(a_list_may_end_anywhere),
        XA_OS_FAKE_FRESH(a_longest_path_is_cut_off_between_two_groups),
        XA_OS_FAKE_FRESH(a_longest_list_is_cut_off_between_two_groups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
