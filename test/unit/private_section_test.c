/*
 * private_section_test.c - sections of a private arena, and hooks between two parts of one.
 */
#include "arena/private_section.h"

#include "support/os_fake.h"

#include "support/own_arena.h"
#include "support/threads.h"

enum { STEPS_MAX = 16, SECONDS = 60 };

static struct xa_private_arena *arena; /* not entered */
static enum xa_private_step steps[STEPS_MAX];
static unsigned step_count;
static bool is_refused;

static bool
note(enum xa_private_step step)
{
    assert_true(step_count < STEPS_MAX);
    steps[step_count++] = step;
    return step != XA_PRIVATE_BEGIN || !is_refused;
}

static void
begin(void) XA_NO_ANALYSIS
{
    arena = xa_own_arena_enter();
    xa_private_section_leave(arena);
    xa_private_section_set_step(note);
}

static void
a_section_is_told_of_and_has_the_lock(void **state) XA_NO_ANALYSIS
{
    (void)state;
    begin();
    assert_true(xa_private_section_enter(arena));
    assert_true(xa_lock_is_mine(&arena->lock));
    xa_private_section_leave(arena);
    assert_false(xa_lock_is_mine(&arena->lock));
    assert_int_equal(step_count, 2);
    assert_int_equal(steps[0], XA_PRIVATE_BEGIN);
    assert_int_equal(steps[1], XA_PRIVATE_END);
}

static void
a_section_that_is_refused_has_no_lock(void **state)
{
    (void)state;
    begin();
    is_refused = true;
    assert_false(xa_private_section_begin());
    assert_false(xa_private_section_enter(arena));
    assert_false(xa_lock_is_mine(&arena->lock));
}

static void
a_hook_is_called_without_the_lock_and_counted(void **state) XA_NO_ANALYSIS
{
    static const enum xa_private_step expected[] = {XA_PRIVATE_BEGIN, XA_PRIVATE_END,
        XA_PRIVATE_HOOK_BEGIN, XA_PRIVATE_HOOK_END, XA_PRIVATE_BEGIN, XA_PRIVATE_END};
    (void)state;
    begin();
    assert_true(xa_private_section_enter(arena));
    assert_ptr_equal(xa_private_section_begin_hook(arena), atomic_load(&arena->hooks));
    assert_false(xa_lock_is_mine(&arena->lock));
    assert_int_equal(arena->hooks_running, 1);
    xa_private_section_end_hook(arena);
    assert_true(xa_lock_is_mine(&arena->lock));
    assert_int_equal(arena->hooks_running, 0);
    xa_private_section_leave(arena);
    assert_int_equal(step_count, sizeof expected / sizeof *expected);
    for (unsigned i = 0; i < step_count; i++)
        assert_int_equal(steps[i], expected[i]);
}

static void
a_child_without_the_threads_in_hooks_waits_for_none(void **state) XA_NO_ANALYSIS
{
    (void)state;
    begin();
    assert_true(xa_private_section_enter(arena));
    (void)xa_private_section_begin_hook(arena);
    /* The hook forks, and this is the child. */
    arena->hooks_running = 0;
    xa_private_section_end_hook(arena);
    assert_int_equal(arena->hooks_running, 0);
    xa_private_section_wait_for_hooks(arena);
    xa_private_section_leave(arena);
}

static _Atomic bool is_in_hook, has_waited;

static void
wait_or_be_in_a_hook(unsigned index, void *argument) XA_NO_ANALYSIS
{
    unsigned *too_early = argument;
    if (index == 0) {
        (void)!xa_private_section_enter(arena);
        (void)xa_private_section_begin_hook(arena);
        atomic_store(&is_in_hook, true);
        for (unsigned i = 0; i < 1000; i++)
            xa_os_yield();
        *too_early = atomic_load(&has_waited);
        xa_private_section_end_hook(arena);
        xa_private_section_leave(arena);
        return;
    }
    while (!atomic_load(&is_in_hook))
        xa_os_yield();
    (void)!xa_private_section_enter(arena);
    xa_private_section_wait_for_hooks(arena);
    atomic_store(&has_waited, true);
    xa_private_section_leave(arena);
}

static void
who_waits_for_hooks_lets_them_come_back(void **state)
{
    unsigned too_early = 1;
    (void)state;
    begin();
    xa_private_section_set_step(NULL);
    assert_true(xa_threads_run(2, wait_or_be_in_a_hook, &too_early, SECONDS));
    assert_true(has_waited);
    assert_int_equal(too_early, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(a_section_is_told_of_and_has_the_lock),
        XA_OS_FAKE_FRESH(a_section_that_is_refused_has_no_lock),
        XA_OS_FAKE_FRESH(a_hook_is_called_without_the_lock_and_counted),
        XA_OS_FAKE_FRESH(a_child_without_the_threads_in_hooks_waits_for_none),
        XA_OS_FAKE_FRESH(who_waits_for_hooks_lets_them_come_back),
    };
    return cmocka_run_group_tests_name("private_section", tests, NULL, NULL);
}
