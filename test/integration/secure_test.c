/*
 * secure_test.c - a set-user-ID program ignores the environment, row N1.
 *
 * The loader drops preloads there, so this program must be linked with the library, best with the
 * static one.  As root, the test copies the program into a private directory, gives the copy to
 * another user with the set-user-ID bit, and runs it with XALLOC_CONF=stats_print:true: it must
 * print nothing.  The same copy without the bit shows that the option would have worked.
 */
#define _GNU_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../support/child.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OTHER_USER = 65534 };

static struct xa_child_result child;
static char directory[] = "/tmp/xalloc-secure-XXXXXX";
static char copy[PATH_MAX];

static bool
copy_file(const char *from, const char *to)
{
    char buffer[65536];
    int source = open(from, O_RDONLY | O_CLOEXEC);
    int target = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
    ssize_t count = -1;

    while (source >= 0 && target >= 0 && (count = read(source, buffer, sizeof(buffer))) > 0) {
        if (write(target, buffer, (size_t)count) != count)
            break;
    }
    if (source >= 0)
        close(source);
    if (target >= 0)
        close(target);
    return count == 0;
}

static int
make_copy(void **state)
{
    (void)state;
    if (xa_child_check_allocator(state) != 0)
        return -1;
    if (geteuid() != 0)
        return 0;
    if (mkdtemp(directory) == NULL)
        return -1;
    snprintf(copy, sizeof(copy), "%s/program", directory);
    return copy_file(xa_child_own_path(), copy) ? 0 : -1;
}

static int
remove_copy(void **state)
{
    (void)state;
    if (copy[0] != '\0') {
        unlink(copy);
        rmdir(directory);
    }
    return 0;
}

static void
run_copy(uid_t user, mode_t mode)
{
    const char *const arguments[] = {copy, "report", NULL};
    const char *const environment[] = {
        "XALLOC_CONF=stats_print:true,no_such_option:1", "LD_PRELOAD", NULL};
    const struct xa_child_command command = {arguments, environment, NULL};

    assert_int_equal(chown(copy, user, (gid_t)-1), 0);
    assert_int_equal(chmod(copy, mode), 0);
    xa_child_run(&child, 30, &command);
}

static void
skip_because(const char *reason)
{
    print_message("skipped: %s\n", reason);
    skip();
}

static void
n01_a_set_user_id_program_ignores_the_environment(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip_because("only root can give a program to another user");
    /* Without the bit the option works: otherwise silence would prove nothing. */
    run_copy(0, 0700);
    xa_child_assert_success(&child);
    assert_string_equal(child.output, "plain\n");
    if (strstr(child.errors, "no_such_option") == NULL)
        skip_because("this program is not linked with the library");
    assert_non_null(strstr(child.errors, "allocated"));
    run_copy(OTHER_USER, 04755);
    if (child.exit_code == 127)
        skip_because("the other user cannot load the library; link the static one");
    xa_child_assert_success(&child);
    if (strcmp(child.output, "plain\n") == 0)
        skip_because("the set-user-ID bit has no effect in /tmp here");
    assert_string_equal(child.output, "secure\n");
    assert_string_equal(child.errors, "");
}

static int
report_security(void)
{
    free(malloc(1000));
    puts(getauxval(AT_SECURE) != 0 ? "secure" : "plain");
    return 0;
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(n01_a_set_user_id_program_ignores_the_environment),
    };

    if (argc == 2 && strcmp(argv[1], "report") == 0)
        return report_security();
    xa_child_start_watchdog(60);
    return cmocka_run_group_tests(tests, make_copy, remove_copy);
}
