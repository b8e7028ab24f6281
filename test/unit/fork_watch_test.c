/*
 * fork_watch_test.c - noticing that this process is a child, with libc's help and without.
 */
#include "os/fork_watch.h"

#include "support/os_fake.h"

#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/child.h"

static int handled;

static void
count_child(void)
{
    handled++;
}

static void
prepare(void)
{
    xa_os_init();
    uintptr_t page = xa_os_map_anywhere(xa_os_facts.page_bytes);
    assert_int_not_equal(page, 0);
    xa_fork_watch_prepare(page);
}

static pid_t
fork_bare(void)
{
    return (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}

/* What the child finds, by its exit code; the parent is never called a child. */
static void
assert_in_child(pid_t (*make)(void), bool looks, int expected)
{
    pid_t pid = make();
    if (pid == 0) {
        if (looks)
            xa_fork_watch_check();
        int first = handled;
        xa_fork_watch_check();
        _exit(handled == first ? first : 99);
    }
    int status = xa_child_wait(pid, 60);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), expected);
    xa_fork_watch_check();
    assert_int_equal(handled, 0);
}

static void
nothing_is_noticed_before_the_watch_begins(void **state)
{
    (void)state;
    xa_fork_watch_check();
    assert_in_child(fork, true, 0);
    prepare();
    assert_in_child(fork, true, 0);
    assert_in_child(fork_bare, true, 0);
}

static void
a_fork_is_handled_once(void **state)
{
    (void)state;
    prepare();
    xa_fork_watch_begin(count_child);
    xa_fork_watch_begin(count_child);
    assert_in_child(fork, false, 1);
    assert_in_child(fork, true, 1);
}

static void
a_child_without_handlers_is_noticed_at_the_first_look(void **state)
{
    (void)state;
    prepare();
    xa_fork_watch_begin(count_child);
    assert_in_child(fork_bare, true, 1);
}

static pid_t
fork_twice(void)
{
    pid_t pid = fork_bare();
    if (pid != 0)
        return pid;
    xa_fork_watch_check();
    pid_t grandchild = fork_bare();
    if (grandchild == 0)
        return 0;
    int status = xa_child_wait(grandchild, 60);
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 98);
}

static void
a_child_of_a_child_is_noticed_as_well(void **state)
{
    (void)state;
    prepare();
    xa_fork_watch_begin(count_child);
    assert_in_child(fork_twice, true, 2);
}

static void
a_host_that_clears_no_pages_leaves_the_handler(void **state)
{
    (void)state;
    xa_os_init();
    xa_os_fake_fail(XA_OS_FAKE_WIPE_ON_FORK, 1, XA_OS_FAKE_FROM_THEN_ON);
    prepare();
    xa_fork_watch_begin(count_child);
    assert_in_child(fork, false, 1);
    assert_in_child(fork, true, 1);
}

static void
without_a_page_the_handler_has_to_do(void **state)
{
    (void)state;
    xa_os_init();
    xa_fork_watch_prepare(0);
    xa_fork_watch_begin(count_child);
    assert_in_child(fork, true, 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(nothing_is_noticed_before_the_watch_begins),
        XA_OS_FAKE_FRESH(a_fork_is_handled_once),
        XA_OS_FAKE_FRESH(a_child_without_handlers_is_noticed_at_the_first_look),
        XA_OS_FAKE_FRESH(a_child_of_a_child_is_noticed_as_well),
        XA_OS_FAKE_FRESH(a_host_that_clears_no_pages_leaves_the_handler),
        XA_OS_FAKE_FRESH(without_a_page_the_handler_has_to_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
