/*
 * thread_test.c - a thread of our own: its name, its signals, and when there is none.
 */
#define _GNU_SOURCE

#include "os/thread.h"

#include "support/os_fake.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "support/child.h"

enum { NOBODY = 65534, MS_MAX = 30000, SOME_ERRNO = 4242 };

static struct {
    char name[16];
    sigset_t blocked;
    int detach_state;
    size_t stack_bytes;
    pthread_t self;
    atomic_bool is_done;
} seen;

static void
look(void)
{
    pthread_attr_t attributes;
    seen.self = pthread_self();
    (void)prctl(PR_GET_NAME, (unsigned long)seen.name, 0, 0, 0);
    (void)pthread_sigmask(SIG_SETMASK, NULL, &seen.blocked);
    if (pthread_getattr_np(pthread_self(), &attributes) == 0) {
        (void)pthread_attr_getdetachstate(&attributes, &seen.detach_state);
        (void)pthread_attr_getstacksize(&attributes, &seen.stack_bytes);
        (void)pthread_attr_destroy(&attributes);
    }
    atomic_store(&seen.is_done, true);
}

static void
start_and_wait(void)
{
    assert_true(xa_thread_start("some-name", look));
    for (int i = 0; !atomic_load(&seen.is_done); i++) {
        assert_true(i < MS_MAX);
        usleep(1000);
    }
}

static void
it_runs_the_body_under_its_name(void **state)
{
    (void)state;
    errno = SOME_ERRNO;
    start_and_wait();
    assert_string_equal(seen.name, "some-name");
    assert_false(pthread_equal(seen.self, pthread_self()));
    assert_int_equal(errno, SOME_ERRNO);
    /* The caller's name is what it was. */
    (void)prctl(PR_GET_NAME, (unsigned long)seen.name, 0, 0, 0);
    assert_string_not_equal(seen.name, "some-name");
}

static void
nobody_has_to_join_it_and_its_stack_is_small(void **state)
{
    (void)state;
    start_and_wait();
    assert_int_equal(seen.detach_state, PTHREAD_CREATE_DETACHED);
    /* Sanitizers make the stacks of threads larger than they were asked to. */
    assert_in_range(seen.stack_bytes, 64 * 1024, 1024 * 1024);
}

static void
it_blocks_every_signal_and_the_caller_none_more(void **state)
{
    sigset_t before, after;
    (void)state;
    xa_child_skip_if_emulated("the emulator keeps some signals for itself");
    sigemptyset(&before);
    sigaddset(&before, SIGUSR1);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, &before, NULL), 0);
    start_and_wait();
    /* libc lets nobody block the two that it needs itself, 32 and 33. */
    for (int number = 1; number <= SIGRTMAX; number++)
        if (number != SIGKILL && number != SIGSTOP && (number < 32 || number >= SIGRTMIN))
            assert_int_equal(sigismember(&seen.blocked, number), 1);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &after), 0);
    for (int number = 1; number <= SIGRTMAX; number++)
        assert_int_equal(sigismember(&after, number), number == SIGUSR1);
}

static void
if_the_host_refuses_it_says_so_and_changes_nothing(void **state)
{
    const struct rlimit none = {0, 0};
    sigset_t after;
    (void)state;
    /* The number of threads is bounded for everybody but root. */
    assert_int_equal(setrlimit(RLIMIT_NPROC, &none), 0);
    if (geteuid() == 0)
        assert_int_equal(setresuid(NOBODY, NOBODY, NOBODY), 0);
    errno = SOME_ERRNO;
    assert_false(xa_thread_start("some-name", look));
    assert_int_equal(errno, SOME_ERRNO);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &after), 0);
    for (int number = 1; number <= SIGRTMAX; number++)
        assert_int_equal(sigismember(&after, number), 0);
    assert_false(atomic_load(&seen.is_done));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(it_runs_the_body_under_its_name),
        XA_OS_FAKE_FRESH(nobody_has_to_join_it_and_its_stack_is_small),
        XA_OS_FAKE_FRESH(it_blocks_every_signal_and_the_caller_none_more),
        XA_OS_FAKE_FRESH(if_the_host_refuses_it_says_so_and_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
