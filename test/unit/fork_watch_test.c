/*
 * fork_watch_test.c - noticing that this process is a child, with libc's help and without.
 */
#include "os/fork_watch.h"

#include "config/options.h"
#include "support/os_fake.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/child.h"
#include "support/threads.h"

static int handled;

static unsigned mask_changes;

/* In the place of libc's: what is asked of it is what counts here. */
int
pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
    mask_changes++;
    return syscall(SYS_rt_sigprocmask, how, set, old, _NSIG / 8) == 0 ? 0 : errno;
}

static void
count_child(void)
{
    handled++;
}

static void
watch(void)
{
    xa_os_init();
    xa_fork_watch_init(count_child);
    xa_fork_watch_begin();
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
    xa_os_init();
    xa_fork_watch_init(count_child);
    xa_fork_watch_check();
    assert_in_child(fork, true, 0);
    assert_in_child(xa_child_fork_bare, true, 0);
}

static pid_t
fork_and_begin(void)
{
    pid_t pid = xa_child_fork_bare();
    if (pid != 0)
        return pid;
    /* Not watched yet, so the child begins with a clean sheet; its own child is noticed. */
    xa_fork_watch_begin();
    xa_fork_watch_begin();
    xa_fork_watch_check();
    pid_t grandchild = xa_child_fork_bare();
    if (grandchild == 0)
        return 0;
    int status = xa_child_wait(grandchild, 60);
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 98);
}

static void
a_child_may_begin_a_watch_of_its_own(void **state)
{
    (void)state;
    xa_child_skip_if_emulated("the emulator only says that it clears pages in children");
    xa_os_init();
    xa_fork_watch_init(count_child);
    assert_in_child(fork_and_begin, true, 1);
}

static void
signals_are_as_before(void **state)
{
    sigset_t before, after;
    (void)state;
    assert_int_equal(sigprocmask(SIG_SETMASK, NULL, &before), 0);
    watch();
    assert_int_equal(mask_changes, 2);
    assert_int_equal(sigprocmask(SIG_SETMASK, NULL, &after), 0);
    for (int signal = 1; signal < 32; signal++)
        assert_int_equal(sigismember(&before, signal), sigismember(&after, signal));
}

static void
a_fork_is_handled_once(void **state)
{
    (void)state;
    xa_child_skip_if_emulated("the emulator only says that it clears pages in children");
    watch();
    assert_in_child(fork, true, 1);
    xa_fork_watch_register();
    xa_fork_watch_register();
    assert_in_child(fork, false, 1);
    assert_in_child(fork, true, 1);
}

static void
a_child_without_handlers_is_noticed_at_the_first_look(void **state)
{
    (void)state;
    xa_child_skip_if_emulated("the emulator only says that it clears pages in children");
    watch();
    xa_fork_watch_register();
    assert_in_child(xa_child_fork_bare, true, 1);
}

static pid_t
fork_twice(void)
{
    pid_t pid = xa_child_fork_bare();
    if (pid != 0)
        return pid;
    xa_fork_watch_check();
    pid_t grandchild = xa_child_fork_bare();
    if (grandchild == 0)
        return 0;
    int status = xa_child_wait(grandchild, 60);
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 98);
}

static void
a_child_of_a_child_is_noticed_as_well(void **state)
{
    (void)state;
    xa_child_skip_if_emulated("the emulator only says that it clears pages in children");
    watch();
    xa_fork_watch_register();
    assert_in_child(fork_twice, true, 2);
}

static void
a_host_that_clears_no_pages_leaves_the_handler(void **state)
{
    (void)state;
    xa_os_init();
    xa_os_fake_fail(XA_OS_FAKE_WIPE_ON_FORK, 1, XA_OS_FAKE_FROM_THEN_ON);
    watch();
    xa_fork_watch_register();
    assert_in_child(fork, false, 1);
    assert_in_child(fork, true, 1);
}

static void
a_host_that_only_says_that_it_clears_pages_leaves_the_handler(void **state)
{
    (void)state;
    watch();
    uintptr_t page = (uintptr_t)atomic_load(&xa_fork_watch_word);
    if (madvise((void *)page, xa_os_facts.page_bytes, MADV_KEEPONFORK) != 0)
        fail_msg("what the fake host has advised cannot be taken back");
    xa_fork_watch_register();
    assert_in_child(fork, false, 1);
    assert_in_child(fork, true, 1);
    /* Nobody can tell. */
    assert_in_child(xa_child_fork_bare, true, 0);
}

static void
with_strict_system_calls_the_handler_has_to_do(void **state)
{
    (void)state;
    xa_options.strict_syscalls = true;
    watch();
    assert_int_equal(mask_changes, 0);
    assert_int_equal(xa_os_fake_count(XA_OS_FAKE_WIPE_ON_FORK), 0);
    xa_fork_watch_register();
    assert_in_child(fork, true, 1);
    assert_in_child(xa_child_fork_bare, true, 0);
}

static _Atomic int handled_by_threads;

static void
count_slowly(void)
{
    atomic_fetch_add(&handled_by_threads, 1);
    for (int i = 0; i < 100; i++)
        xa_os_yield();
    atomic_fetch_add(&handled_by_threads, 1);
}

static void
look(unsigned index, void *argument)
{
    _Atomic int *too_early = argument;
    (void)index;
    xa_fork_watch_check();
    /* Whoever comes back finds everything done. */
    if (atomic_load(&handled_by_threads) != 2)
        atomic_fetch_add(too_early, 1);
}

static int
look_from_threads(void *argument)
{
    _Atomic int too_early = 0;
    (void)argument;
    XA_CHILD_CHECK(xa_threads_run(4, look, &too_early, 60));
    XA_CHILD_CHECK(too_early == 0);
    return 0;
}

static void
of_many_threads_of_a_child_one_handles_it_and_the_others_wait(void **state)
{
    static struct xa_child_result result;
    (void)state;
    xa_child_skip_if_emulated("the emulator only says that it clears pages in children");
    xa_os_init();
    xa_fork_watch_init(count_slowly);
    xa_fork_watch_begin();
    xa_child_call(&result, 60, look_from_threads, NULL);
    xa_child_assert_success(&result);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(nothing_is_noticed_before_the_watch_begins),
        XA_OS_FAKE_FRESH(a_child_may_begin_a_watch_of_its_own),
        XA_OS_FAKE_FRESH(signals_are_as_before),
        XA_OS_FAKE_FRESH(a_fork_is_handled_once),
        XA_OS_FAKE_FRESH(a_child_without_handlers_is_noticed_at_the_first_look),
        XA_OS_FAKE_FRESH(a_child_of_a_child_is_noticed_as_well),
        XA_OS_FAKE_FRESH(a_host_that_clears_no_pages_leaves_the_handler),
        XA_OS_FAKE_FRESH(a_host_that_only_says_that_it_clears_pages_leaves_the_handler),
        XA_OS_FAKE_FRESH(with_strict_system_calls_the_handler_has_to_do),
        XA_OS_FAKE_FRESH(of_many_threads_of_a_child_one_handles_it_and_the_others_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
