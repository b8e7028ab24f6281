/*
 * os_linux_threads_test.c - what the kernel says of threads, against the contract of os.h.
 */
#define _GNU_SOURCE

#include "os/os.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "support/child.h"
#include "support/threads.h"

enum { SECONDS = 60, ODD_ERRNO = 1234 };

static struct xa_child_result result;

static int
begin(void **state)
{
    (void)state;
    xa_os_init();
    errno = ODD_ERRNO;
    return 0;
}

/* No call of the contract changes errno. */
static int
end(void **state)
{
    (void)state;
    return errno == ODD_ERRNO ? 0 : -1;
}

static struct {
    pthread_barrier_t ready;
    pthread_barrier_t over;
    _Atomic unsigned number;
    _Atomic bool is_over;
} sleeper;

static void
sleep_at_a_barrier(unsigned index, void *argument)
{
    sigset_t set;
    (void)index;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    if (argument != NULL)
        pthread_sigmask(SIG_BLOCK, &set, NULL);
    sleeper.number = xa_os_thread_number();
    pthread_barrier_wait(&sleeper.ready);
    pthread_barrier_wait(&sleeper.over);
}

static void
handle_nothing(int number)
{
    (void)number;
}

/* The host may take a moment until the thread sleeps. */
static bool
falls_asleep(unsigned number)
{
    for (int i = 0; i < 1000; i++) {
        if (xa_os_thread_sleeps(number))
            return true;
        nanosleep(&(struct timespec){0, 5000000}, NULL);
    }
    return false;
}

static bool
host_tells_of_threads(void)
{
    char text[1];
    if (xa_os_read_file("/proc/self/syscall", text, 1) == 1)
        return true;
    print_message("the kernel does not tell what threads do (/proc/self/syscall)\n");
    errno = ODD_ERRNO;
    return false;
}

static void
a_thread_that_sleeps_is_known_by_its_signals(void **state)
{
    struct xa_threads team;
    (void)state;
    xa_child_skip_if_emulated("the emulator has signal handlers of its own");
    if (!host_tells_of_threads())
        skip();
    pthread_barrier_init(&sleeper.ready, NULL, 2);
    pthread_barrier_init(&sleeper.over, NULL, 2);
    assert_true(xa_threads_start(&team, 1, sleep_at_a_barrier, &team));
    pthread_barrier_wait(&sleeper.ready);
    assert_int_not_equal(sleeper.number, xa_os_thread_number());
    assert_true(falls_asleep(sleeper.number));
    /* It blocks a signal that is handled now: it may be in the handler, in the middle of anything. */
    signal(SIGUSR2, handle_nothing);
    assert_false(xa_os_thread_sleeps(sleeper.number));
    signal(SIGUSR2, SIG_DFL);
    assert_true(xa_os_thread_sleeps(sleeper.number));
    pthread_barrier_wait(&sleeper.over);
    assert_true(xa_threads_join(&team, SECONDS));
    assert_false(xa_os_thread_sleeps(sleeper.number));
    errno = ODD_ERRNO;
}

static void
look_at_the_main_thread(unsigned index, void *argument)
{
    bool *sleeps = argument;
    (void)index;
    *sleeps = falls_asleep(XA_OS_MAIN_THREAD);
}

static int
be_alone_and_then_watched(void *argument)
{
    struct xa_threads team;
    bool sleeps = false;
    (void)argument;
    /* The thread sanitizer has a thread of its own. */
    unsigned number = XA_THREAD_SANITIZER ? (unsigned)getpid() : XA_OS_MAIN_THREAD;
    XA_CHILD_CHECK(xa_os_thread_number() == number);
    XA_CHILD_CHECK(xa_threads_start(&team, 1, look_at_the_main_thread, &sleeps));
    XA_CHILD_CHECK(xa_threads_join(&team, SECONDS));
    XA_CHILD_CHECK(sleeps);
    return 0;
}

static void
a_thread_that_is_alone_is_the_main_one(void **state)
{
    (void)state;
    if (!host_tells_of_threads())
        skip();
    xa_child_call(&result, SECONDS, be_alone_and_then_watched, NULL);
    xa_child_assert_success(&result);
    errno = ODD_ERRNO;
}

static void
run_until_told(unsigned index, void *argument)
{
    (void)index;
    (void)argument;
    sleeper.number = xa_os_thread_number();
    pthread_barrier_wait(&sleeper.ready);
    while (!sleeper.is_over)
        continue;
}

static void
a_thread_that_runs_does_not_sleep(void **state)
{
    struct xa_threads team;
    (void)state;
    sleeper.is_over = false;
    pthread_barrier_init(&sleeper.ready, NULL, 2);
    assert_true(xa_threads_start(&team, 1, run_until_told, NULL));
    pthread_barrier_wait(&sleeper.ready);
    nanosleep(&(struct timespec){0, 20000000}, NULL);
    for (int i = 0; i < 100; i++)
        assert_false(xa_os_thread_sleeps(sleeper.number));
    sleeper.is_over = true;
    assert_true(xa_threads_join(&team, SECONDS));
    errno = ODD_ERRNO;
}

static int
count_with_one_processor(void *argument)
{
    cpu_set_t set;
    (void)argument;
    XA_CHILD_CHECK(sched_getaffinity(0, sizeof set, &set) == 0);
    XA_CHILD_CHECK(xa_os_affinity_count() == (unsigned)CPU_COUNT(&set));
    int first = 0;
    while (!CPU_ISSET(first, &set))
        first++;
    CPU_ZERO(&set);
    CPU_SET(first, &set);
    XA_CHILD_CHECK(sched_setaffinity(0, sizeof set, &set) == 0);
    return (int)xa_os_affinity_count();
}

static void
processors_are_counted_by_the_mask(void **state)
{
    (void)state;
    xa_child_call(&result, SECONDS, count_with_one_processor, NULL);
    assert_int_equal(result.exit_code, 1);
    errno = ODD_ERRNO;
}

static _Atomic uint32_t word;

static void
wait_for_the_word(unsigned index, void *argument)
{
    (void)index;
    (void)argument;
    while (word == 1)
        xa_os_wait(&word, 1, 1000);
    word = 3;
}

static void
a_sleeper_wakes_up_when_it_is_told(void **state)
{
    struct xa_threads team;
    (void)state;
    word = 0;
    xa_os_wait(&word, 1, 1000); /* returns at once: the word is something else */
    word = 1;
    assert_true(xa_threads_start(&team, 1, wait_for_the_word, NULL));
    nanosleep(&(struct timespec){0, 20000000}, NULL);
    word = 2;
    xa_os_wake_one(&word);
    assert_true(xa_threads_join(&team, SECONDS));
    assert_int_equal(word, 3);
    xa_os_yield();
    errno = ODD_ERRNO;
}

static uintptr_t ids[4];

static void
note_id(unsigned index, void *argument)
{
    pthread_barrier_t *barrier = argument;
    ids[index] = xa_os_thread_id();
    pthread_barrier_wait(barrier);
}

static int
compare_id(void *argument)
{
    return xa_os_thread_id() == *(uintptr_t *)argument ? 0 : 1;
}

static void
living_threads_have_different_numbers_that_survive_a_fork(void **state)
{
    pthread_barrier_t barrier;
    uintptr_t mine = xa_os_thread_id();
    (void)state;
    pthread_barrier_init(&barrier, NULL, 4);
    assert_true(xa_threads_run(4, note_id, &barrier, SECONDS));
    for (int i = 0; i < 4; i++) {
        assert_int_not_equal(ids[i], 0);
        assert_int_not_equal(ids[i], mine);
        for (int j = 0; j < i; j++)
            assert_int_not_equal(ids[i], ids[j]);
    }
    xa_child_call(&result, SECONDS, compare_id, &mine);
    assert_int_equal(result.exit_code, 0);
    errno = ODD_ERRNO;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        /* First: once there have been threads, libc no longer says so. */
        cmocka_unit_test_setup_teardown(a_thread_that_is_alone_is_the_main_one, begin, end),
        cmocka_unit_test_setup_teardown(a_thread_that_sleeps_is_known_by_its_signals, begin, end),
        cmocka_unit_test_setup_teardown(a_thread_that_runs_does_not_sleep, begin, end),
        cmocka_unit_test_setup_teardown(processors_are_counted_by_the_mask, begin, end),
        cmocka_unit_test_setup_teardown(a_sleeper_wakes_up_when_it_is_told, begin, end),
        cmocka_unit_test_setup_teardown(
            living_threads_have_different_numbers_that_survive_a_fork, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
