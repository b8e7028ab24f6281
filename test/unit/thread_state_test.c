/*
 * thread_state_test.c - what threads own: given, taken back, found by reports and children.
 */
#include "thread/thread_state.h"

#include "support/os_fake.h"

#include <string.h>

#include "extent/metadata.h"
#include "support/magazines.h"
#include "support/threads.h"

enum { THREADS = 8, ROUNDS = 2000, SECONDS = 120 };

static size_t
count_all(void)
{
    size_t count = 0;
    for (const struct xa_thread_state *at = xa_thread_state_all(); at != NULL; at = at->next)
        count++;
    return count;
}

static struct xa_thread_state *
take(void)
{
    struct xa_thread_state *state = xa_thread_state_take();
    assert_non_null(state);
    return state;
}

/* Empty and full at the same time: the fast path misses both ways. */
static void
check_misses(const struct xa_thread_state *state)
{
    for (unsigned c = 0; c < XA_CLASS_CODES; c++) {
        xa_slot *top = atomic_load(&state->tops[c]);
        assert_true(xa_magazine_is_full_at(top));
        assert_null(*top);
    }
}

static void
check_caches_nothing(const struct xa_thread_state *state)
{
    check_misses(state);
    for (unsigned c = 0; c < XA_CLASS_CODES; c++) {
        assert_null(atomic_load(&state->actives[c]));
        assert_null(atomic_load(&state->spares[c]));
    }
}

static void
a_thread_begins_with_no_state_that_misses(void **state)
{
    (void)state;
    assert_ptr_equal(xa_thread_state_self, XA_THREAD_STATE_NONE);
    assert_false(xa_thread_state_is_real(XA_THREAD_STATE_NONE));
    assert_false(xa_thread_state_is_real(XA_THREAD_STATE_ENDED));
    assert_ptr_not_equal(XA_THREAD_STATE_NONE, XA_THREAD_STATE_ENDED);
    /* Volatile: compilers see that the two are not as long as the type says. */
    const struct xa_thread_state *volatile dummies[] = {
        XA_THREAD_STATE_NONE, XA_THREAD_STATE_ENDED};
    for (int i = 0; i < 2; i++) {
        const struct xa_thread_state *dummy = dummies[i];
        check_misses(dummy);
        for (unsigned step = 0; step < XA_TINY_STEPS; step++)
            assert_int_equal(dummy->class_of[step], XA_CLASS_NONE);
    }
    assert_null(xa_thread_state_all());
}

static void
a_new_state_is_empty_and_knows_the_classes(void **state)
{
    (void)state;
    xa_os_init();
    struct xa_thread_state *own = take();
    assert_true(xa_thread_state_is_real(own));
    check_caches_nothing(own);
    assert_memory_equal(own->class_of, xa_size_class_tiny, sizeof own->class_of);
    assert_true(atomic_load(&own->is_used));
    assert_ptr_equal(xa_thread_state_all(), own);
    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++)
        assert_int_equal(xa_thread_state_objects(own, c), 0);
}

static void
returned_states_are_used_again_and_stay_listed(void **state)
{
    (void)state;
    xa_os_init();
    struct xa_thread_state *first = take(), *second = take();
    assert_ptr_not_equal(first, second);
    first->exit_round = 3;
    xa_thread_state_return(first);
    assert_false(atomic_load(&first->is_used));
    assert_int_equal(count_all(), 2);
    size_t used = xa_metadata_used_bytes();
    assert_ptr_equal(take(), first);
    assert_int_equal(first->exit_round, 0);
    assert_int_equal(xa_metadata_used_bytes(), used);
    assert_ptr_not_equal(take(), first);
    assert_int_equal(count_all(), 3);
}

static void
without_memory_there_is_none(void **state)
{
    (void)state;
    xa_os_init();
    while (xa_metadata_used_bytes() < 65536)
        assert_non_null(xa_metadata_take(64));
    xa_os_fake_fail(XA_OS_FAKE_ANY, 1, XA_OS_FAKE_FROM_THEN_ON);
    assert_null(xa_thread_state_take());
    assert_int_equal(count_all(), 0);
    xa_os_fake_stop_failing();
    take();
}

static void
cached_objects_are_counted(void **state)
{
    (void)state;
    xa_os_init();
    struct xa_thread_state *own = take();
    struct xa_magazine *active = xa_magazines_make(8), *spare = xa_magazines_make(28);
    atomic_store(&spare->count, 20);
    atomic_store(&own->spares[5], spare);
    assert_int_equal(xa_thread_state_objects(own, 5), 20);
    atomic_store(&own->actives[5], active);
    atomic_store(&own->tops[5], xa_magazine_end(active) - 7);
    assert_int_equal(xa_thread_state_objects(own, 5), 27);
    assert_int_equal(xa_thread_state_objects(own, 6), 0);
    assert_ptr_equal(xa_thread_state_top(own, 5), xa_magazine_end(active) - 7);
    /* A purger puts the top aside; the objects are there all the same. */
    atomic_store(&own->saved[5], xa_magazine_end(active) - 7);
    atomic_store(&own->tops[5], (xa_slot *)(uintptr_t)&xa_thread_state_nothing);
    assert_int_equal(xa_thread_state_objects(own, 5), 27);
    /* In the middle of a change the top may still be another magazine's. */
    atomic_store(&own->tops[5], xa_magazine_end(spare));
    assert_int_equal(xa_thread_state_objects(own, 5), 20);
}

static void
a_child_finds_every_state_but_its_own_once(void **state)
{
    (void)state;
    xa_os_init();
    struct xa_thread_state *own = take(), *other = take(), *third = take(), *unused = take();
    xa_thread_state_return(unused);
    xa_thread_state_self = own;
    assert_null(xa_thread_state_take_orphan());
    xa_thread_state_reset_in_child();
    /* A thread of the child takes a state over that was unused: it is no orphan. */
    assert_ptr_equal(take(), unused);
    struct xa_thread_state *first = xa_thread_state_take_orphan();
    struct xa_thread_state *second = xa_thread_state_take_orphan();
    assert_true((first == other && second == third) || (first == third && second == other));
    assert_null(xa_thread_state_take_orphan());
    assert_null(xa_thread_state_take_orphan());
    xa_thread_state_return(unused);
    xa_thread_state_return(first);
    xa_thread_state_return(second);
    /* A thread of the child, and then a grandchild. */
    struct xa_thread_state *later = take();
    assert_null(xa_thread_state_take_orphan());
    xa_thread_state_reset_in_child();
    assert_ptr_equal(xa_thread_state_take_orphan(), later);
    assert_null(xa_thread_state_take_orphan());
    xa_thread_state_self = XA_THREAD_STATE_NONE;
}

static void
a_child_of_a_thread_without_state_finds_them_all(void **state)
{
    (void)state;
    xa_os_init();
    struct xa_thread_state *only = take();
    xa_thread_state_reset_in_child();
    assert_ptr_equal(xa_thread_state_take_orphan(), only);
    assert_null(xa_thread_state_take_orphan());
}

static void
come_and_go(unsigned index, void *argument)
{
    _Atomic unsigned *faults = argument;
    for (int i = 0; i < ROUNDS; i++) {
        struct xa_thread_state *state = xa_thread_state_take();
        if (state == NULL || state->exit_round != 0) {
            atomic_fetch_add(faults, 1);
            return;
        }
        /* Nobody else has it. */
        state->steps[1] = (uint8_t)(index + 1);
        if (i % 16 == 0)
            xa_os_yield();
        if (state->steps[1] != index + 1)
            atomic_fetch_add(faults, 1);
        xa_thread_state_return(state);
    }
}

static void
no_two_threads_have_the_same_state(void **state)
{
    _Atomic unsigned faults = 0;
    (void)state;
    xa_os_init();
    assert_true(xa_threads_run(THREADS, come_and_go, &faults, SECONDS));
    assert_int_equal(faults, 0);
    assert_in_range(count_all(), 1, THREADS);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(a_thread_begins_with_no_state_that_misses),
        XA_OS_FAKE_FRESH(a_new_state_is_empty_and_knows_the_classes),
        XA_OS_FAKE_FRESH(returned_states_are_used_again_and_stay_listed),
        XA_OS_FAKE_FRESH(without_memory_there_is_none),
        XA_OS_FAKE_FRESH(cached_objects_are_counted),
        XA_OS_FAKE_FRESH(a_child_finds_every_state_but_its_own_once),
        XA_OS_FAKE_FRESH(a_child_of_a_thread_without_state_finds_them_all),
        XA_OS_FAKE_FRESH(no_two_threads_have_the_same_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
