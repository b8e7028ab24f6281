/*
 * claim_test.c - one has it, the others go elsewhere, and a child knows whose it was.
 */
#include "os/claim.h"

#include "support/os_fake.h"

#include "support/child.h"
#include "support/threads.h"

enum { THREADS = 4, ROUNDS = 20000, SECONDS = 60 };

static struct xa_claim claim;

static void
it_is_one_s_at_a_time(void **state)
{
    (void)state;
    assert_true(xa_claim_try(&claim));
    assert_false(xa_claim_try(&claim));
    xa_claim_give_up(&claim);
    assert_true(xa_claim_try(&claim));
}

static void
take_turns(unsigned index, void *argument)
{
    unsigned *done = argument;
    (void)index;
    for (unsigned i = 0; i < ROUNDS;) {
        if (!xa_claim_try(&claim)) {
            xa_os_yield();
            continue;
        }
        i++;
        ++*done;
        xa_claim_give_up(&claim);
    }
}

static void
threads_find_it_as_the_last_one_left_it(void **state)
{
    unsigned done = 0;
    (void)state;
    assert_true(xa_threads_run(THREADS, take_turns, &done, SECONDS));
    assert_int_equal(done, THREADS * ROUNDS);
}

static int
is_orphan(void *argument)
{
    (void)argument;
    return xa_claim_is_orphan(&claim);
}

static void
assert_in_child(int expected)
{
    static struct xa_child_result result;
    xa_child_call(&result, SECONDS, is_orphan, NULL);
    assert_int_equal(result.exit_code, expected);
}

static void
claim_it(unsigned index, void *argument)
{
    bool *has = argument;
    (void)index;
    *has = xa_claim_try(&claim);
}

static void
a_child_tells_its_own_from_those_of_threads_that_are_gone(void **state)
{
    bool has = false;
    (void)state;
    assert_in_child(false);
    assert_true(xa_claim_try(&claim));
    assert_in_child(false);
    xa_claim_give_up(&claim);
    assert_true(xa_threads_run(1, claim_it, &has, SECONDS));
    assert_true(has);
    assert_in_child(true);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(it_is_one_s_at_a_time),
        XA_OS_FAKE_FRESH(threads_find_it_as_the_last_one_left_it),
        XA_OS_FAKE_FRESH(a_child_tells_its_own_from_those_of_threads_that_are_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
