/*
 * lock_test.c - a lock excludes, names its owner, and survives a fork.
 */
#include "os/lock.h"

#include "support/os_fake.h"

#include <pthread.h>
#include <signal.h>

#include "support/child.h"
#include "support/threads.h"

enum {
    THREADS = 4,
    ROUNDS = 20000,
    SECONDS = 120,
};

static struct xa_lock lock = {.rank = XA_LOCK_RANK_BIN};
static struct xa_lock inner = {.rank = XA_LOCK_RANK_PAGE_HEAP};
static struct xa_child_result result;

static void
count_under_the_lock(unsigned index, void *argument)
{
    /* Not atomic: only the lock keeps the threads' additions apart. */
    volatile unsigned long *sum = argument;
    (void)index;
    for (int i = 0; i < ROUNDS; i++) {
        xa_lock_lock(&lock);
        *sum = *sum + 1;
        if (i % 64 == 0)
            xa_os_yield();
        xa_lock_unlock(&lock);
    }
}

static void
threads_exclude_each_other(void **state)
{
    volatile unsigned long sum = 0;
    (void)state;
    assert_true(xa_threads_run(THREADS, count_under_the_lock, (void *)&sum, SECONDS));
    assert_int_equal(sum, (unsigned long)THREADS * ROUNDS);
    assert_int_equal(lock.state, 0);
    assert_int_equal(lock.owner, 0);
}

static void
count_when_it_is_free(unsigned index, void *argument)
{
    volatile unsigned long *sums = argument;
    (void)index;
    for (int i = 0; i < ROUNDS; i++) {
        if (!xa_lock_try(&lock)) {
            atomic_fetch_add((_Atomic unsigned long *)&sums[1], 1);
            continue;
        }
        sums[0] = sums[0] + 1;
        xa_lock_unlock(&lock);
    }
}

static void
trying_never_waits_and_excludes(void **state)
{
    volatile unsigned long sums[2] = {0, 0};
    (void)state;
    assert_true(xa_threads_run(THREADS, count_when_it_is_free, (void *)sums, SECONDS));
    assert_int_equal(sums[0] + sums[1], (unsigned long)THREADS * ROUNDS);
}

static void
a_taken_lock_cannot_be_taken_again(void **state)
{
    (void)state;
    xa_lock_lock(&lock);
    assert_false(xa_lock_try(&lock));
    xa_lock_unlock(&lock);
    assert_true(xa_lock_try(&lock));
    xa_lock_unlock(&lock);
}

static void
look_from_another_thread(unsigned index, void *argument)
{
    (void)index;
    *(bool *)argument = xa_lock_is_mine(&lock);
}

static void
the_owner_knows_its_lock(void **state)
{
    bool seems_mine = true;
    (void)state;
    assert_false(xa_lock_is_mine(&lock));
    xa_lock_lock(&lock);
    assert_true(xa_lock_is_mine(&lock));
    assert_true(xa_threads_run(1, look_from_another_thread, &seems_mine, SECONDS));
    assert_false(seems_mine);
    xa_lock_unlock(&lock);
    assert_false(xa_lock_is_mine(&lock));
}

static void
init_gives_the_rank(void **state)
{
    struct xa_lock other = {0};
    (void)state;
    xa_lock_init(&other, XA_LOCK_RANK_METADATA);
    assert_int_equal(other.rank, XA_LOCK_RANK_METADATA);
    assert_true(xa_lock_try(&other));
    xa_lock_unlock(&other);
}

/* Waits in the holder until the test lets it go on. */
struct holder {
    pthread_barrier_t taken;
    pthread_barrier_t done;
};

static void *
hold(void *argument)
{
    struct holder *holder = argument;
    xa_lock_lock(&lock);
    pthread_barrier_wait(&holder->taken);
    pthread_barrier_wait(&holder->done);
    xa_lock_unlock(&lock);
    return NULL;
}

static int
reset_in_child(void *argument)
{
    (void)argument;
    XA_CHILD_CHECK(!xa_lock_try(&lock));
    XA_CHILD_CHECK(xa_lock_reset_in_child(&lock));
    XA_CHILD_CHECK(!xa_lock_reset_in_child(&lock));
    XA_CHILD_CHECK(xa_lock_try(&lock));
    XA_CHILD_CHECK(xa_lock_is_mine(&lock));
    xa_lock_unlock(&lock);
    return 0;
}

static void
a_child_frees_the_lock_of_a_thread_that_is_gone(void **state)
{
    struct holder holder;
    pthread_t thread;
    (void)state;
    pthread_barrier_init(&holder.taken, NULL, 2);
    pthread_barrier_init(&holder.done, NULL, 2);
    assert_int_equal(pthread_create(&thread, NULL, hold, &holder), 0);
    pthread_barrier_wait(&holder.taken);
    xa_child_call(&result, SECONDS, reset_in_child, NULL);
    pthread_barrier_wait(&holder.done);
    assert_true(xa_threads_join_one(thread, SECONDS));
    xa_child_assert_success(&result);
    /* The parent's lock was not touched by the child. */
    assert_int_equal(lock.state, 0);
}

static int
keep_in_child(void *argument)
{
    (void)argument;
    XA_CHILD_CHECK(!xa_lock_reset_in_child(&lock));
    XA_CHILD_CHECK(xa_lock_is_mine(&lock));
    XA_CHILD_CHECK(!xa_lock_try(&lock));
    xa_lock_unlock(&lock);
    XA_CHILD_CHECK(!xa_lock_reset_in_child(&lock));
    return 0;
}

static void
a_child_keeps_the_lock_that_its_own_thread_held(void **state)
{
    (void)state;
    xa_lock_lock(&lock);
    xa_child_call(&result, SECONDS, keep_in_child, NULL);
    xa_lock_unlock(&lock);
    xa_child_assert_success(&result);
}

static int
take_outwards(void *argument)
{
    (void)argument;
    xa_lock_lock(&inner);
    xa_lock_lock(&lock);
    return 0;
}

static int
take_inwards(void *argument)
{
    (void)argument;
    xa_lock_lock(&lock);
    xa_lock_lock(&inner);
    xa_lock_unlock(&lock);
    xa_lock_unlock(&inner);
    xa_lock_lock(&lock);
    return 0;
}

static void
debug_builds_notice_a_wrong_order(void **state)
{
    (void)state;
    xa_child_call(&result, SECONDS, take_inwards, NULL);
    xa_child_assert_success(&result);
    xa_child_call(&result, SECONDS, take_outwards, NULL);
    if (XA_DEBUG)
        assert_true(result.signal == SIGILL || result.signal == SIGTRAP);
    else
        xa_child_assert_success(&result);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_exclude_each_other),
        cmocka_unit_test(trying_never_waits_and_excludes),
        cmocka_unit_test(a_taken_lock_cannot_be_taken_again),
        cmocka_unit_test(the_owner_knows_its_lock),
        cmocka_unit_test(init_gives_the_rank),
        cmocka_unit_test(a_child_frees_the_lock_of_a_thread_that_is_gone),
        cmocka_unit_test(a_child_keeps_the_lock_that_its_own_thread_held),
        cmocka_unit_test(debug_builds_notice_a_wrong_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
