/*
 * private_arena_test.c - private arenas: numbers, hooks, decay, reset and destroy, forks.
 */
#include "arena/private_arena.h"

#include "support/os_fake.h"

#include <limits.h>
#include <pthread.h>
#include <string.h>

#include "arena/large.h"
#include "arena/private_extent.h"
#include "arena/private_map.h"
#include "support/hooks.h"
#include "support/own_arena.h"
#include "support/seed.h"

enum {
    KIB = 1024,
    MIB = 1024 * KIB,
    OBJECTS = 300,
    ROUNDS = 20000,
};

static uint64_t seed;

static void
begin(void)
{
    xa_own_arena_begin(1000);
}

static unsigned
make(void)
{
    return xa_own_arena_make(1000);
}

static char *
take(unsigned index, size_t bytes)
{
    char *object = xa_private_arena_take(index, bytes, 1, false);
    assert_non_null(object);
    memset(object, 1, bytes);
    return object;
}

static void
give(void *object)
{
    assert_int_equal(xa_private_arena_return(object), XA_PRIVATE_LIVE);
}

static struct xa_private_statistics
figures(unsigned index)
{
    struct xa_private_statistics s;
    assert_true(xa_private_arena_statistics(index, &s));
    assert_int_equal(s.mapped, s.active + s.dirty + s.muzzy + s.retained);
    assert_int_equal(s.mapped, xa_hooks_bytes());
    return s;
}

static void
numbers_begin_behind_the_automatic_arenas_and_are_reused(void **state)
{
    (void)state;
    begin();
    assert_int_equal(xa_private_arena_end(), 0);
    unsigned first = xa_private_arena_create(NULL), second = xa_private_arena_create(NULL);
    assert_int_equal(first, XA_PRIVATE_ARENA_FIRST);
    assert_int_equal(second, first + 1);
    assert_int_equal(xa_private_arena_end(), second + 1);
    uint64_t epoch = xa_private_arena_epoch(first);
    assert_true(xa_private_arena_destroy(first));
    assert_false(xa_private_arena_exists(first));
    assert_true(xa_private_arena_exists(second));
    assert_int_equal(xa_private_arena_end(), second + 1);
    assert_int_equal(xa_private_arena_create(NULL), first);
    assert_int_not_equal(xa_private_arena_epoch(first), epoch);
    assert_true(xa_private_arena_destroy(first));
    assert_true(xa_private_arena_destroy(second));
    assert_int_equal(xa_private_arena_end(), 0);
}

static void
all_numbers_can_be_used_and_then_no_more(void **state)
{
    (void)state;
    begin();
    unsigned count = 0;
    while (xa_private_arena_create(NULL) != XA_PRIVATE_ARENA_NONE)
        count++;
    assert_int_equal(count, XA_PRIVATE_ARENA_LAST + 1 - XA_PRIVATE_ARENA_FIRST);
    assert_true(xa_private_arena_destroy(XA_PRIVATE_ARENA_FIRST + 7));
    assert_int_equal(xa_private_arena_create(NULL), XA_PRIVATE_ARENA_FIRST + 7);
}

static void
what_is_no_arena_is_refused_everywhere(void **state)
{
    static const unsigned numbers[] = {0, 1, XA_PRIVATE_ARENA_FIRST - 1, XA_PRIVATE_ARENA_FIRST + 1,
        XA_PRIVATE_ARENA_LAST, XA_PRIVATE_ARENA_LAST + 1, UINT_MAX};
    struct xa_private_statistics statistics;
    char name[XA_PRIVATE_ARENA_NAME_BYTES];
    int64_t a, b;
    size_t bytes;
    (void)state;
    (void)make();
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        unsigned n = numbers[i];
        assert_false(xa_private_arena_exists(n));
        assert_false(xa_private_arena_reset(n));
        assert_false(xa_private_arena_destroy(n));
        assert_false(xa_private_arena_purge(n));
        assert_false(xa_private_arena_decay(n));
        assert_null(xa_private_arena_hooks(n));
        assert_null(xa_private_arena_set_hooks(n, NULL));
        assert_false(xa_private_arena_decay_ms(n, &a, &b));
        assert_false(xa_private_arena_set_dirty_ms(n, 5));
        assert_false(xa_private_arena_grow_limit(n, &bytes));
        assert_false(xa_private_arena_set_grow_limit(n, 5));
        assert_false(xa_private_arena_name(n, name));
        assert_false(xa_private_arena_set_name(n, "x"));
        assert_null(xa_private_arena_take(n, 10, 1, false));
        assert_int_equal(xa_private_arena_epoch(n), 0);
        assert_false(xa_private_arena_bind(n));
        assert_false(xa_private_arena_statistics(n, &statistics));
    }
}

static void
settings_are_kept_by_arena(void **state)
{
    char name[XA_PRIVATE_ARENA_NAME_BYTES];
    int64_t dirty, muzzy;
    size_t bytes;
    (void)state;
    unsigned index = make(), other = xa_private_arena_create(NULL);
    assert_true(xa_private_arena_decay_ms(index, &dirty, &muzzy));
    assert_int_equal(dirty, 1000);
    assert_int_equal(muzzy, 0);
    assert_true(xa_private_arena_set_dirty_ms(index, -1));
    assert_true(xa_private_arena_set_muzzy_ms(index, 77));
    assert_false(xa_private_arena_set_muzzy_ms(index, -2));
    assert_true(xa_private_arena_decay_ms(index, &dirty, &muzzy));
    assert_int_equal(dirty, -1);
    assert_int_equal(muzzy, 77);
    assert_true(xa_private_arena_decay_ms(other, &dirty, &muzzy));
    assert_int_equal(dirty, 1000);
    assert_true(xa_private_arena_grow_limit(index, &bytes));
    assert_true(bytes == SIZE_MAX);
    assert_true(xa_private_arena_set_grow_limit(index, 5));
    assert_true(xa_private_arena_grow_limit(index, &bytes));
    assert_int_equal(bytes, 5);
    assert_true(xa_private_arena_set_name(index, "a name that is much longer than there is room"));
    assert_true(xa_private_arena_name(index, name));
    assert_string_equal(name, "a name that is much longer than");
    assert_true(xa_private_arena_name(other, name));
    assert_string_equal(name, "");
}

static void
hooks_are_told_their_arena_and_can_be_replaced(void **state)
{
    static extent_hooks_t without_alloc;
    (void)state;
    unsigned index = make();
    (void)take(index, 100);
    assert_int_equal(xa_hooks_arena(), index);
    extent_hooks_t *mine = xa_private_arena_hooks(index), *theirs = xa_extent_hooks_default();
    unsigned long calls = xa_hooks_calls(XA_HOOK_ALLOC);
    assert_ptr_equal(xa_private_arena_set_hooks(index, theirs), mine);
    assert_ptr_equal(xa_private_arena_hooks(index), theirs);
    void *object = xa_private_arena_take(index, 10 * MIB, 1, false);
    assert_non_null(object);
    assert_false(xa_hooks_has(object));
    assert_int_equal(xa_hooks_calls(XA_HOOK_ALLOC), calls);
    assert_null(xa_private_arena_set_hooks(index, &without_alloc));
    assert_int_equal(xa_private_arena_create(&without_alloc), XA_PRIVATE_ARENA_NONE);
}

static void
unused_memory_goes_when_the_decay_time_is_over(void **state)
{
    (void)state;
    unsigned index = make();
    char *small = take(index, 100), *run = take(index, 500 * KIB), *whole = take(index, 5 * MIB);
    give(whole);
    give(run);
    struct xa_private_statistics s = figures(index);
    assert_true(s.dirty >= 5 * MIB + 500 * KIB);
    assert_int_equal(xa_private_arena_dirty_bytes(), s.dirty);
    assert_true(xa_private_arena_decay(index));
    assert_int_equal(figures(index).dirty, s.dirty);
    xa_os_fake_set_clock(2000);
    assert_true(xa_private_arena_decay(index));
    s = figures(index);
    assert_int_equal(s.dirty, 0);
    assert_int_equal(xa_private_arena_dirty_bytes(), 0);
    assert_true(s.purges > 0 && s.purged_bytes >= 5 * MIB + 500 * KIB);
    assert_true(xa_hooks_bytes() < 3 * MIB);
    give(small);
}

static void
a_thread_that_frees_sees_to_what_is_due(void **state)
{
    (void)state;
    unsigned index = make();
    char *first = take(index, 5 * MIB), *second = take(index, 5 * MIB);
    give(first);
    assert_int_equal(xa_hooks_calls(XA_HOOK_DALLOC), 0);
    xa_os_fake_set_clock(5000);
    give(second);
    assert_int_equal(xa_hooks_calls(XA_HOOK_DALLOC), 1);
    assert_true(xa_private_arena_set_dirty_ms(index, 0));
    assert_int_equal(xa_hooks_bytes(), 0);
    give(take(index, 5 * MIB));
    assert_int_equal(xa_hooks_bytes(), 0);
}

static void
with_a_muzzy_time_memory_is_purged_lazily_first(void **state)
{
    (void)state;
    unsigned index = make();
    assert_true(xa_private_arena_set_muzzy_ms(index, 500));
    char *small = take(index, 100), *whole = take(index, 5 * MIB), *run = take(index, 300 * KIB);
    give(whole);
    give(run);
    xa_os_fake_set_clock(2000);
    assert_true(xa_private_arena_decay(index));
    struct xa_private_statistics s = figures(index);
    assert_int_equal(s.dirty, 0);
    assert_true(s.muzzy >= 5 * MIB + 300 * KIB);
    assert_true(xa_hooks_calls(XA_HOOK_PURGE_LAZY) >= 1);
    assert_int_equal(xa_hooks_calls(XA_HOOK_DALLOC), 0);
    assert_true(xa_private_arena_dirty_bytes() != 0);
    xa_os_fake_set_clock(2500);
    assert_true(xa_private_arena_decay(index));
    s = figures(index);
    assert_int_equal(s.muzzy, 0);
    assert_int_equal(xa_hooks_calls(XA_HOOK_DALLOC), 1);
    give(small);
}

static void
what_never_decays_waits_for_a_purge(void **state)
{
    (void)state;
    unsigned index = make();
    assert_true(xa_private_arena_set_dirty_ms(index, -1));
    give(take(index, 5 * MIB));
    xa_os_fake_set_clock(1000000);
    assert_true(xa_private_arena_decay(index));
    assert_int_equal(xa_private_arena_dirty_bytes(), 0);
    assert_int_equal(xa_hooks_calls(XA_HOOK_DALLOC), 0);
    assert_true(xa_private_arena_purge(index));
    assert_int_equal(xa_hooks_bytes(), 0);
}

static void
a_reset_drops_objects_and_keeps_memory(void **state)
{
    (void)state;
    unsigned index = make();
    uint64_t epoch = xa_private_arena_epoch(index);
    char *small[1000], *run = take(index, 300 * KIB), *whole = take(index, 5 * MIB);
    for (int i = 0; i < 1000; i++)
        small[i] = take(index, 16 + (size_t)i);
    size_t bytes = xa_hooks_bytes();
    assert_true(xa_private_arena_reset(index));
    assert_int_not_equal(xa_private_arena_epoch(index), epoch);
    struct xa_private_statistics s = figures(index);
    assert_int_equal(s.mapped, bytes);
    assert_int_equal(s.active, 0);
    assert_int_equal(s.small + s.large + s.small_objects + s.large_objects, 0);
    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++) {
        assert_int_equal(s.classes[c].live, 0);
        assert_int_equal(s.classes[c].slabs, 0);
        assert_int_equal(s.classes[c].nonfull, 0);
        assert_int_equal(s.classes[c].allocations, s.classes[c].frees);
    }
    assert_int_equal(xa_private_arena_return(small[500]), XA_PRIVATE_FREE);
    assert_int_equal(xa_private_arena_return(run), XA_PRIVATE_FREE);
    assert_int_equal(xa_private_arena_return(whole), XA_PRIVATE_FREE);
    /* What there is serves again. */
    unsigned long calls = xa_hooks_calls(XA_HOOK_ALLOC);
    (void)take(index, 5 * MIB);
    (void)take(index, 100);
    assert_int_equal(xa_hooks_calls(XA_HOOK_ALLOC), calls);
}

static void
destroying_gives_everything_back(void **state)
{
    (void)state;
    unsigned index = make();
    struct xa_private_statistics s;
    char *object = take(index, 100);
    (void)take(index, 300 * KIB);
    (void)take(index, 5 * MIB);
    for (size_t bytes = 16; bytes < 60000; bytes += 77)
        (void)take(index, bytes);
    uint64_t allocations = 0, destroyed = 0;
    s = figures(index);
    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++)
        allocations += s.classes[c].allocations;
    assert_true(xa_private_arena_destroy(index));
    assert_int_equal(xa_hooks_extents(), 0);
    assert_int_equal(xa_private_arena_return(object), XA_PRIVATE_FOREIGN);
    xa_private_arena_destroyed(&s);
    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++) {
        assert_int_equal(s.classes[c].allocations, s.classes[c].frees);
        destroyed += s.classes[c].allocations;
    }
    assert_int_equal(destroyed, allocations);
    assert_int_equal(s.large_allocations, 2);
    assert_int_equal(s.large_frees, 2);
    assert_int_equal(s.mapped + s.active + s.small + s.large, 0);
    /* The number and what stood behind it begin anew. */
    assert_int_equal(xa_private_arena_create(xa_hooks_begin()), index);
    assert_int_equal(figures(index).purges, 0);
    (void)take(index, 100);
}

static void
what_dalloc_refuses_is_destroyed_with_the_arena(void **state)
{
    (void)state;
    unsigned index = make();
    xa_hooks_fail(XA_HOOK_DALLOC, ULONG_MAX);
    (void)take(index, 100);
    give(take(index, 5 * MIB));
    assert_true(xa_private_arena_purge(index));
    assert_int_equal(xa_hooks_calls(XA_HOOK_DESTROY), 0);
    assert_true(figures(index).retained >= 5 * MIB);
    assert_true(xa_private_arena_destroy(index));
    assert_int_equal(xa_hooks_calls(XA_HOOK_DESTROY), 2);
    assert_int_equal(xa_hooks_extents(), 0);
}

static void
an_arena_with_bound_threads_is_not_destroyed(void **state)
{
    (void)state;
    unsigned index = make();
    assert_true(xa_private_arena_bind(index));
    assert_true(xa_private_arena_bind(index));
    assert_int_equal(figures(index).threads, 2);
    assert_false(xa_private_arena_destroy(index));
    xa_private_arena_unbind(index);
    assert_false(xa_private_arena_destroy(index));
    xa_private_arena_unbind(index);
    assert_true(xa_private_arena_destroy(index));
}

/* ---- Failing hooks ---- */

/* Random calls; whatever the hooks do, what is live is whole, and the figures are right. */
static void
work(unsigned index, struct xa_seed_random *random, unsigned rounds)
{
    static unsigned char *objects[OBJECTS];
    static size_t sizes[OBJECTS];
    memset(objects, 0, sizeof objects);
    for (unsigned round = 0; round < rounds; round++) {
        size_t i = xa_seed_below(random, OBJECTS);
        if (round % 100 == 0)
            xa_os_fake_set_clock(xa_os_now_ms() + xa_seed_below(random, 2000));
        if (objects[i] != NULL) {
            assert_int_equal(objects[i][0], (unsigned char)i);
            assert_int_equal(objects[i][sizes[i] - 1], (unsigned char)i);
            if (xa_seed_below(random, 4) == 0) {
                size_t wanted = xa_seed_size(random, 1, 6 * MIB);
                size_t bytes = xa_private_arena_resize(objects[i], wanted, wanted);
                assert_int_not_equal(bytes, 0);
                assert_int_equal(objects[i][0], (unsigned char)i);
                sizes[i] = bytes;
                objects[i][bytes - 1] = (unsigned char)i;
                continue;
            }
            give(objects[i]);
            objects[i] = NULL;
            continue;
        }
        sizes[i] = xa_seed_size(random, 1, 4 * MIB);
        size_t alignment = (size_t)1 << xa_seed_below(random, xa_seed_below(random, 4) ? 5 : 21);
        bool wants_zeros = xa_seed_below(random, 2) == 0;
        objects[i] = xa_private_arena_take(index, sizes[i], alignment, wants_zeros);
        if (objects[i] == NULL)
            continue;
        assert_int_equal((uintptr_t)objects[i] % alignment, 0);
        for (size_t k = 0; wants_zeros && k < sizes[i]; k += 1 + sizes[i] / 50)
            assert_int_equal(objects[i][k], 0);
        memset(objects[i], (int)i, sizes[i] < 20000 ? sizes[i] : 20000);
        objects[i][sizes[i] - 1] = (unsigned char)i;
    }
    for (unsigned i = 0; i < OBJECTS; i++)
        if (objects[i] != NULL)
            give(objects[i]);
    struct xa_private_statistics s = figures(index);
    assert_int_equal(s.small + s.large + s.small_objects + s.large_objects, 0);
}

static void
random_calls_leave_nothing_behind(void **state)
{
    (void)state;
    unsigned index = make();
    struct xa_seed_random random = xa_seed_start(seed, 1);
    work(index, &random, ROUNDS);
    assert_true(xa_hooks_calls(XA_HOOK_SPLIT) > 0 && xa_hooks_calls(XA_HOOK_MERGE) > 0);
    assert_true(xa_private_arena_destroy(index));
    assert_int_equal(xa_hooks_extents(), 0);
}

static void
every_hook_may_be_missing_or_fail_for_ever(void **state)
{
    (void)state;
    struct xa_seed_random random = xa_seed_start(seed, 2);
    begin();
    for (unsigned hook = XA_HOOK_DALLOC; hook < XA_HOOKS; hook++)
        for (unsigned is_missing = 0; is_missing < 2; is_missing++) {
            unsigned index = xa_private_arena_create(xa_hooks_begin());
            if (hook == XA_HOOK_DECOMMIT || hook == XA_HOOK_COMMIT ||
                hook == XA_HOOK_PURGE_FORCED || hook == XA_HOOK_PURGE_LAZY)
                xa_hooks_fail(XA_HOOK_DALLOC, ULONG_MAX);
            if (hook == XA_HOOK_PURGE_FORCED || hook == XA_HOOK_PURGE_LAZY)
                xa_hooks_fail(XA_HOOK_DECOMMIT, ULONG_MAX);
            if (hook == XA_HOOK_PURGE_LAZY)
                assert_true(xa_private_arena_set_muzzy_ms(index, 300));
            if (is_missing)
                xa_hooks_leave_out(hook);
            else if (hook != XA_HOOK_DESTROY)
                xa_hooks_fail(hook, ULONG_MAX);
            work(index, &random, ROUNDS / 16);
            assert_true(xa_private_arena_destroy(index));
            if (hook != XA_HOOK_DESTROY || !is_missing)
                assert_int_equal(xa_hooks_extents(), 0);
        }
}

static void
all_optional_hooks_may_be_missing(void **state)
{
    (void)state;
    unsigned index = make();
    struct xa_seed_random random = xa_seed_start(seed, 3);
    for (unsigned hook = XA_HOOK_DALLOC; hook < XA_HOOKS; hook++)
        xa_hooks_leave_out(hook);
    work(index, &random, ROUNDS / 8);
    assert_true(xa_private_arena_purge(index));
    assert_true(xa_private_arena_destroy(index));
}

static void
every_hook_may_fail_now_and_then(void **state)
{
    (void)state;
    unsigned index = make();
    struct xa_seed_random random = xa_seed_start(seed, 4);
    for (unsigned round = 0; round < 200; round++) {
        enum xa_hook hook = (enum xa_hook)xa_seed_below(&random, XA_HOOKS);
        if (hook != XA_HOOK_DESTROY)
            xa_hooks_fail(hook, 1 + xa_seed_below(&random, 3));
        work(index, &random, ROUNDS / 200);
        if (round % 10 == 0)
            assert_true(xa_private_arena_purge(index));
        if (round % 17 == 0)
            assert_true(xa_private_arena_reset(index));
    }
    assert_true(xa_private_arena_destroy(index));
    assert_int_equal(xa_hooks_extents(), 0);
}

static void
without_memory_there_is_none_and_later_again(void **state)
{
    (void)state;
    unsigned index = make();
    xa_hooks_fail(XA_HOOK_ALLOC, ULONG_MAX);
    for (size_t bytes = 1; bytes < 10 * MIB; bytes *= 2)
        assert_null(xa_private_arena_take(index, bytes, 1, false));
    assert_null(xa_private_arena_take(index, SIZE_MAX, 1, false));
    assert_null(xa_private_arena_take(index, (size_t)PTRDIFF_MAX + 1, 1, false));
    xa_hooks_fail(XA_HOOK_ALLOC, 0);
    for (size_t bytes = 1; bytes < 10 * MIB; bytes *= 2)
        give(take(index, bytes));
    assert_null(xa_private_arena_take(index, PTRDIFF_MAX, 1, false));
    assert_null(xa_private_arena_take(index, 1, SIZE_MAX / 2 + 1, false));
    if (sizeof(size_t) > 4)
        assert_null(xa_private_arena_take(index, 1, SIZE_MAX / 4 + 1, false));
}

static void
less_is_asked_for_if_much_is_refused(void **state)
{
    (void)state;
    unsigned index = make();
    for (unsigned i = 0; i < 200; i++)
        (void)take(index, 60000);
    size_t bytes = xa_hooks_last_bytes();
    assert_true(bytes >= 2 * MIB);
    do {
        xa_hooks_fail(XA_HOOK_ALLOC, 1);
        (void)take(index, 60000);
    } while (xa_hooks_last_bytes() == bytes);
    assert_int_equal(xa_hooks_last_bytes(), 128 * KIB);
    assert_true(xa_private_arena_set_grow_limit(index, 256 * KIB));
    xa_hooks_fail(XA_HOOK_ALLOC, 0);
    for (unsigned i = 0; i < 50; i++) {
        (void)take(index, 60000);
        assert_true(xa_hooks_last_bytes() <= 256 * KIB);
    }
}

static void
memory_that_is_not_committed_is_before_it_is_used(void **state)
{
    (void)state;
    unsigned index = make();
    xa_hooks_give_uncommitted();
    give(take(index, 100));
    give(take(index, 5 * MIB));
    assert_int_equal(xa_hooks_calls(XA_HOOK_COMMIT), 2);
    xa_hooks_fail(XA_HOOK_COMMIT, 1);
    assert_null(xa_private_arena_take(index, 50 * MIB, 1, false));
    assert_non_null(xa_private_arena_take(index, 50 * MIB, 1, false));
    assert_int_equal(xa_hooks_calls(XA_HOOK_ALLOC), 3);
}

static void *
skewed(extent_hooks_t *hooks, void *new_addr, size_t size, size_t alignment, bool *zero,
    bool *commit, unsigned arena)
{
    char *start = xa_extent_hooks_default()->alloc(
        hooks, new_addr, size + 64 * KIB, alignment, zero, commit, arena);
    return start == NULL ? NULL : start + 4096;
}

static bool
keep(extent_hooks_t *hooks, void *addr, size_t size, bool committed, unsigned arena)
{
    (void)hooks, (void)addr, (void)size, (void)committed, (void)arena;
    return true;
}

static void *
same(extent_hooks_t *hooks, void *new_addr, size_t size, size_t alignment, bool *zero, bool *commit,
    unsigned arena)
{
    static void *first;
    (void)new_addr;
    if (first == NULL)
        first =
            xa_extent_hooks_default()->alloc(hooks, NULL, 16 * MIB, alignment, zero, commit, arena);
    (void)size;
    return first;
}

static void
memory_that_cannot_be_right_is_not_used(void **state)
{
    (void)state;
    begin();
    extent_hooks_t hooks = {.alloc = skewed, .dalloc = keep};
    unsigned index = xa_private_arena_create(&hooks);
    assert_null(xa_private_arena_take(index, 100, 1, false));
    assert_non_null(strstr(xa_os_fake_errors(), "less aligned than it was asked for"));
    xa_os_fake_clear_errors();
    hooks.alloc = same;
    char *object = xa_private_arena_take(index, 5 * MIB, 1, false);
    assert_non_null(object);
    assert_null(xa_private_arena_take(index, 5 * MIB, 1, false));
    assert_int_equal(xa_private_arena_return(object), XA_PRIVATE_LIVE);
}

/* ---- Hooks that come back ---- */

static unsigned guest_arena;
static unsigned guest_depth;

static void
call_the_arena(void)
{
    if (guest_depth > 0)
        return;
    guest_depth++;
    void *object = xa_private_arena_take(guest_arena, 100, 1, false);
    void *large = xa_private_arena_take(guest_arena, 3 * MIB, 1, false);
    if (object != NULL)
        give(object);
    if (large != NULL)
        give(large);
    guest_depth--;
}

static void
hooks_may_use_the_arena_that_they_serve(void **state)
{
    (void)state;
    unsigned index = guest_arena = make();
    struct xa_seed_random random = xa_seed_start(seed, 5);
    xa_hooks_set_guest(call_the_arena);
    work(index, &random, ROUNDS / 4);
    xa_hooks_set_guest(NULL);
    assert_true(xa_private_arena_destroy(index));
    assert_int_equal(xa_hooks_extents(), 0);
}

/* ---- Sections ---- */

static unsigned sections, open_sections, hook_calls;
static bool refuses;

static bool
at_step(enum xa_private_step step)
{
    switch (step) {
    case XA_PRIVATE_BEGIN:
        if (refuses || open_sections != 0)
            return false;
        sections++;
        open_sections++;
        break;
    case XA_PRIVATE_END: open_sections--; break;
    case XA_PRIVATE_HOOK_BEGIN:
        assert_int_equal(open_sections, 0);
        hook_calls++;
        break;
    case XA_PRIVATE_HOOK_END: break;
    }
    return true;
}

static void
a_handler_in_the_middle_of_a_section_gets_nothing(void **state)
{
    size_t bytes;
    (void)state;
    begin();
    xa_private_arena_set_step(at_step);
    unsigned index = xa_private_arena_create(xa_hooks_begin());
    char *object = take(index, 100);
    assert_true(sections > 0 && hook_calls > 0);
    assert_int_equal(open_sections, 0);
    refuses = true;
    assert_null(xa_private_arena_take(index, 100, 1, false));
    assert_int_equal(xa_private_arena_return(object), XA_PRIVATE_FOREIGN);
    assert_int_equal(xa_private_arena_look(object, &bytes), XA_PRIVATE_FOREIGN);
    assert_false(xa_private_arena_destroy(index));
    assert_int_equal(xa_private_arena_create(NULL), XA_PRIVATE_ARENA_NONE);
    refuses = false;
    give(object);
}

/* ---- Without memory for what we need ourselves ---- */

static void
without_metadata_calls_fail_and_nothing_is_lost(void **state)
{
    (void)state;
    unsigned index = make();
    struct xa_seed_random random = xa_seed_start(seed, 6);
    for (unsigned nth = 1; nth < 12; nth++) {
        xa_os_fake_fail(XA_OS_FAKE_MAP_ANYWHERE, nth, XA_OS_FAKE_FROM_THEN_ON);
        work(index, &random, ROUNDS / 40);
        xa_os_fake_stop_failing();
    }
    assert_true(xa_private_arena_destroy(index));
    assert_int_equal(xa_hooks_extents(), 0);
}

/* ---- fork ---- */

static void *
lock_and_end(void *argument)
{
    xa_lock_lock(argument);
    return NULL;
}

static void
what_a_thread_that_is_gone_was_changing_is_set_aside(void **state)
{
    pthread_t thread;
    size_t bytes;
    (void)state;
    unsigned index = make();
    char *small = take(index, 100), *whole = take(index, 5 * MIB), *freed = take(index, 4 * MIB);
    give(freed);
    struct xa_private_arena *arena = xa_private_map_find((uintptr_t)small)->arena;
    assert_int_equal(pthread_create(&thread, NULL, lock_and_end, &arena->lock), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    xa_private_arena_reset_in_child(XA_PRIVATE_ARENA_NONE);
    /* What was live stays so, and is not given out again when it is freed. */
    assert_int_equal(xa_private_arena_look(small, &bytes), XA_PRIVATE_LIVE);
    assert_int_equal(bytes, 112);
    assert_int_equal(xa_private_arena_look(whole, &bytes), XA_PRIVATE_LIVE);
    assert_int_equal(xa_private_arena_resize(whole, 6 * MIB, 6 * MIB), 5 * MIB);
    give(small);
    give(whole);
    char *after[50];
    for (int i = 0; i < 50; i++) {
        after[i] = take(index, 100);
        assert_true(after[i] + 100 <= small - 50000 || after[i] >= small + 50000);
    }
    for (int i = 0; i < 50; i++)
        give(after[i]);
    assert_true(xa_private_arena_purge(index));
    assert_true(xa_private_arena_destroy(index));
}

static void
a_child_goes_on_with_what_was_whole(void **state)
{
    (void)state;
    unsigned index = make(), bound = xa_private_arena_create(NULL);
    char *object = take(index, 100);
    assert_true(xa_private_arena_bind(index));
    assert_true(xa_private_arena_bind(bound));
    xa_private_arena_reset_in_child(bound);
    assert_int_equal(figures(index).threads, 0);
    give(object);
    assert_true(xa_private_arena_destroy(index));
    assert_false(xa_private_arena_destroy(bound));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(numbers_begin_behind_the_automatic_arenas_and_are_reused),
        XA_OS_FAKE_FRESH(all_numbers_can_be_used_and_then_no_more),
        XA_OS_FAKE_FRESH(what_is_no_arena_is_refused_everywhere),
        XA_OS_FAKE_FRESH(settings_are_kept_by_arena),
        XA_OS_FAKE_FRESH(hooks_are_told_their_arena_and_can_be_replaced),
        XA_OS_FAKE_FRESH(unused_memory_goes_when_the_decay_time_is_over),
        XA_OS_FAKE_FRESH(a_thread_that_frees_sees_to_what_is_due),
        XA_OS_FAKE_FRESH(with_a_muzzy_time_memory_is_purged_lazily_first),
        XA_OS_FAKE_FRESH(what_never_decays_waits_for_a_purge),
        XA_OS_FAKE_FRESH(a_reset_drops_objects_and_keeps_memory),
        XA_OS_FAKE_FRESH(destroying_gives_everything_back),
        XA_OS_FAKE_FRESH(what_dalloc_refuses_is_destroyed_with_the_arena),
        XA_OS_FAKE_FRESH(an_arena_with_bound_threads_is_not_destroyed),
        XA_OS_FAKE_FRESH(random_calls_leave_nothing_behind),
        XA_OS_FAKE_FRESH(every_hook_may_be_missing_or_fail_for_ever),
        XA_OS_FAKE_FRESH(all_optional_hooks_may_be_missing),
        XA_OS_FAKE_FRESH(every_hook_may_fail_now_and_then),
        XA_OS_FAKE_FRESH(without_memory_there_is_none_and_later_again),
        XA_OS_FAKE_FRESH(less_is_asked_for_if_much_is_refused),
        XA_OS_FAKE_FRESH(memory_that_is_not_committed_is_before_it_is_used),
        XA_OS_FAKE_FRESH(memory_that_cannot_be_right_is_not_used),
        XA_OS_FAKE_FRESH(hooks_may_use_the_arena_that_they_serve),
        XA_OS_FAKE_FRESH(a_handler_in_the_middle_of_a_section_gets_nothing),
        XA_OS_FAKE_FRESH(without_metadata_calls_fail_and_nothing_is_lost),
        XA_OS_FAKE_FRESH(a_child_goes_on_with_what_was_whole),
        XA_OS_FAKE_FRESH(what_a_thread_that_is_gone_was_changing_is_set_aside),
    };
    seed = xa_seed_choose(NULL);
    return cmocka_run_group_tests_name("private_arena", tests, NULL, NULL);
}
