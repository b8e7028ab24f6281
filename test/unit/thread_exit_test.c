/*
 * thread_exit_test.c - a call when a thread ends, and again for as long as it asks.
 */
#include "os/thread_exit.h"

#include "support/os_fake.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>

#include "support/threads.h"

enum {
    SECONDS = 60,
    THREADS = 8,
    /* In the last round ThreadSanitizer has given the thread up already. */
    ROUNDS = PTHREAD_DESTRUCTOR_ITERATIONS - XA_THREAD_SANITIZER,
};

struct ending {
    int calls;
    int rounds; /* how often to arm again */
};

static atomic_int total;

static void
at_exit(void *argument)
{
    struct ending *ending = argument;
    atomic_fetch_add(&total, 1);
    if (++ending->calls < ending->rounds)
        assert_true(xa_thread_exit_arm(ending));
}

static void
end_armed(unsigned index, void *argument)
{
    struct ending *endings = argument;
    errno = 1234;
    (void)xa_thread_exit_arm(&endings[index]);
    if (errno != 1234)
        endings[index].calls = 1000;
}

static void
do_nothing(unsigned index, void *argument)
{
    (void)index;
    (void)argument;
}

static void
an_armed_thread_is_noticed_once(void **state)
{
    struct ending endings[THREADS] = {{0, 0}};
    (void)state;
    assert_true(xa_thread_exit_init(at_exit));
    assert_true(xa_threads_run(THREADS, end_armed, endings, SECONDS));
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(endings[i].calls, 1);
}

static void
a_thread_that_is_not_armed_ends_unnoticed(void **state)
{
    (void)state;
    assert_true(xa_thread_exit_init(at_exit));
    assert_true(xa_threads_run(THREADS, do_nothing, NULL, SECONDS));
    assert_int_equal(atomic_load(&total), 0);
}

static void
arming_again_brings_another_round(void **state)
{
    struct ending ending = {0, ROUNDS};
    (void)state;
    assert_true(xa_thread_exit_init(at_exit));
    assert_true(xa_threads_run(1, end_armed, &ending, SECONDS));
    assert_int_equal(ending.calls, ROUNDS);
}

static void
arming_before_the_start_does_nothing(void **state)
{
    struct ending ending = {0, 0};
    (void)state;
    assert_true(xa_threads_run(1, end_armed, &ending, SECONDS));
    assert_int_equal(ending.calls, 0);
}

static void
a_process_without_keys_left_goes_without(void **state)
{
    struct ending ending = {0, 0};
    pthread_key_t key;
    (void)state;
    for (int i = 0; i < PTHREAD_KEYS_MAX && pthread_key_create(&key, NULL) == 0; i++)
        continue;
    errno = 1234;
    assert_false(xa_thread_exit_init(at_exit));
    assert_int_equal(errno, 1234);
    assert_true(xa_threads_run(1, end_armed, &ending, SECONDS));
    assert_int_equal(ending.calls, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(an_armed_thread_is_noticed_once),
        XA_OS_FAKE_FRESH(a_thread_that_is_not_armed_ends_unnoticed),
        XA_OS_FAKE_FRESH(arming_again_brings_another_round),
        XA_OS_FAKE_FRESH(arming_before_the_start_does_nothing),
        XA_OS_FAKE_FRESH(a_process_without_keys_left_goes_without),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
