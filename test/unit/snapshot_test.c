/*
 * snapshot_test.c - when it is taken, what becomes of it in a child, and what arenas it knows.
 */
#include "control/snapshot.h"

#include "support/os_fake.h"

#include "alloc/fast_path.h"
#include "alloc/fork.h"
#include "alloc/start.h"
#include "control/mallctl.h"
#include "support/threads.h"

/* As a program's own settings. */
extern const char *xalloc_conf;
const char *xalloc_conf = "background_thread:false,narenas:2";

enum { SECONDS = 60 };

static const struct xa_snapshot *
get(void) XA_NO_ANALYSIS
{
    assert_true(xa_mallctl_lock());
    const struct xa_snapshot *snapshot = xa_snapshot_get();
    xa_mallctl_unlock();
    return snapshot;
}

static void
the_first_look_takes_it_and_the_next_ones_do_not(void **state)
{
    (void)state;
    assert_non_null(xa_start_thread());
    const struct xa_snapshot *snapshot = get();
    assert_non_null(snapshot);
    assert_int_equal(snapshot->epoch, 1);
    assert_ptr_equal(get(), snapshot);
    assert_int_equal(snapshot->epoch, 1);
}

static void
an_arena_is_known_by_its_number(void **state) XA_NO_ANALYSIS
{
    (void)state;
    assert_non_null(xa_start_thread());
    void *object = xa_fast_malloc(100);
    assert_non_null(get());
    assert_int_equal(xa_snapshot_arena_end(), 2);
    assert_true(xa_snapshot_has_arena(0));
    assert_false(xa_snapshot_has_arena(1));
    assert_false(xa_snapshot_has_arena(4096));
    assert_true(xa_mallctl_lock());
    const struct xa_snapshot_arena *first = xa_snapshot_arena(0);
    assert_non_null(first);
    assert_null(xa_snapshot_arena(1));
    assert_null(xa_snapshot_arena(XA_SNAPSHOT_DESTROYED));
    assert_int_equal(first->classes[xa_size_class_of(100)].out, 1);
    assert_int_equal(xa_snapshot_arena(XA_SNAPSHOT_ALL)->small, first->small);
    assert_int_equal(first->small, 112);
    xa_mallctl_unlock();
    xa_fast_free(object);
}

static void
lock_it(unsigned index, void *argument) XA_NO_ANALYSIS
{
    bool *is_locked = argument;
    (void)index;
    *is_locked = xa_mallctl_lock();
}

/* Another thread takes the lock, and is gone. */
static void
lock_as_another(void)
{
    bool is_locked = false;
    assert_true(xa_threads_run(1, lock_it, &is_locked, SECONDS));
    assert_true(is_locked);
}

static void
a_child_of_a_process_that_was_taking_it_takes_it_anew(void **state) XA_NO_ANALYSIS
{
    (void)state;
    assert_non_null(xa_start_thread());
    const struct xa_snapshot *snapshot = get();
    xa_fork_in_child();
    assert_int_equal(get()->epoch, 1);
    lock_as_another();
    xa_fork_in_child();
    assert_ptr_equal(get(), snapshot);
    assert_int_equal(snapshot->epoch, 2);
}

static void
a_child_that_is_cut_from_the_very_first_look_has_a_lock_that_is_free(void **state) XA_NO_ANALYSIS
{
    (void)state;
    assert_non_null(xa_start_thread());
    lock_as_another();
    xa_fork_in_child();
    assert_non_null(get());
}

static void
a_child_of_the_holder_goes_on_with_it(void **state) XA_NO_ANALYSIS
{
    (void)state;
    assert_non_null(xa_start_thread());
    assert_int_equal(get()->epoch, 1);
    assert_true(xa_mallctl_lock());
    xa_fork_in_child();
    assert_true(xa_lock_is_mine(&xa_snapshot_lock));
    xa_mallctl_unlock();
    assert_int_equal(get()->epoch, 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(the_first_look_takes_it_and_the_next_ones_do_not),
        XA_OS_FAKE_FRESH(an_arena_is_known_by_its_number),
        XA_OS_FAKE_FRESH(a_child_of_a_process_that_was_taking_it_takes_it_anew),
        XA_OS_FAKE_FRESH(a_child_that_is_cut_from_the_very_first_look_has_a_lock_that_is_free),
        XA_OS_FAKE_FRESH(a_child_of_the_holder_goes_on_with_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
