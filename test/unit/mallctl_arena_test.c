/*
 * mallctl_arena_test.c - purging one arena or all, their decay times, and what is noted of them.
 */
#include "control/mallctl.h"

#include "support/os_fake.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "alloc/extended.h"
#include "alloc/fast_path.h"
#include "alloc/start.h"
#include "arena/arena.h"
#include "arena/extent_hooks.h"
#include "page/huge.h"
#include "page/page_purge.h"
#include "support/controls.h"
#include "xalloc/jemalloc.h"

/* As a program's own settings. */
extern const char *xalloc_conf;
const char *xalloc_conf = "background_thread:false,narenas:3,tcache:false,dirty_decay_ms:100000";

enum { MIB = 1 << 20, START_MS = 1000 };

static void
begin(void)
{
    xa_os_fake_set_clock(START_MS);
    assert_non_null(xa_start_thread());
}

/* Dirty memory in this arena, of about a mebibyte; its bytes. */
static size_t
make_dirty(unsigned arena)
{
    assert_int_equal(xa_controls_write("thread.arena", arena), 0);
    void *object = xa_fast_malloc(MIB), *rest = xa_fast_malloc(MIB / 2);
    memset(object, 1, MIB);
    xa_fast_free(object);
    (void)rest;
    return atomic_load(&xa_arena_at(arena)->heap.counters.dirty_bytes);
}

static size_t
dirty_of(unsigned arena)
{
    return atomic_load(&xa_arena_at(arena)->heap.counters.dirty_bytes);
}

/* Look what is due again and again, as the background thread does. */
static void
let_time_pass(unsigned milliseconds)
{
    static uint64_t now = START_MS;
    enum { STEPS = 50 };
    for (unsigned i = 1; i <= STEPS; i++) {
        xa_os_fake_set_clock(now + milliseconds * i / STEPS);
        assert_int_equal(xa_controls_do("arena.4096.decay"), 0);
    }
    now += milliseconds;
}

static void
a_purge_is_of_one_arena(void **state)
{
    (void)state;
    begin();
    assert_int_not_equal(make_dirty(0), 0);
    assert_int_not_equal(make_dirty(1), 0);
    assert_int_equal(xa_controls_do("arena.1.purge"), 0);
    assert_int_equal(dirty_of(1), 0);
    assert_int_not_equal(dirty_of(0), 0);
    /* An arena that no thread has needed. */
    assert_int_equal(xa_controls_do("arena.2.purge"), 0);
    assert_int_equal(xa_controls_do("arena.4097.purge"), 0);
    assert_int_not_equal(dirty_of(0), 0);
}

static void
both_numbers_for_all_arenas_purge_all(void **state)
{
    static const char *const names[] = {"arena.4096.purge", "arena.3.purge"};
    (void)state;
    begin();
    assert_int_equal(xa_controls_read("arenas.narenas"), 3);
    for (int i = 0; i < 2; i++) {
        void *huge = xa_fast_malloc(5 * MIB);
        memset(huge, 1, 5 * MIB);
        xa_fast_free(huge);
        assert_int_not_equal(make_dirty(0), 0);
        assert_int_not_equal(make_dirty(1), 0);
        assert_int_not_equal(atomic_load(&xa_huge_counters.kept_bytes), 0);
        assert_int_equal(xa_controls_do(names[i]), 0);
        assert_int_equal(dirty_of(0), 0);
        assert_int_equal(dirty_of(1), 0);
        assert_int_equal(atomic_load(&xa_huge_counters.kept_bytes), 0);
    }
}

static void
decay_gives_back_only_what_is_due(void **state)
{
    (void)state;
    begin();
    assert_int_not_equal(make_dirty(0), 0);
    assert_int_equal(xa_controls_do("arena.0.decay"), 0);
    assert_int_not_equal(dirty_of(0), 0);
    let_time_pass(10000);
    assert_int_not_equal(dirty_of(0), 0);
    let_time_pass(200000);
    assert_int_equal(dirty_of(0), 0);
}

static void
an_arena_has_a_decay_time_of_its_own(void **state)
{
    (void)state;
    begin();
    assert_int_not_equal(make_dirty(0), 0);
    assert_int_not_equal(make_dirty(1), 0);
    assert_int_equal(xa_controls_read("arena.1.dirty_decay_ms"), 100000);
    assert_int_equal(xa_controls_write("arena.1.dirty_decay_ms", 200), 0);
    /* As with jemalloc, what there is counts as old enough. */
    assert_int_equal(dirty_of(1), 0);
    assert_int_not_equal(dirty_of(0), 0);
    assert_int_equal(xa_controls_read("arena.1.dirty_decay_ms"), 200);
    assert_int_equal(xa_controls_read("arena.0.dirty_decay_ms"), 100000);
    assert_int_equal(xa_controls_read("arena.4096.dirty_decay_ms"), 100000);
    assert_int_not_equal(make_dirty(1), 0);
    let_time_pass(1000);
    assert_int_equal(dirty_of(1), 0);
    assert_int_not_equal(dirty_of(0), 0);
    xa_controls_refresh();
    assert_int_equal(xa_controls_read("stats.arenas.1.dirty_decay_ms"), 200);
}

static void
never_is_a_time_and_0_is_at_once(void **state)
{
    (void)state;
    begin();
    assert_int_equal(xa_controls_write("thread.arena", 1), 0);
    assert_int_equal(xa_controls_write("arena.1.dirty_decay_ms", (uint64_t)-1), 0);
    assert_int_equal((int64_t)xa_controls_read("arena.1.dirty_decay_ms"), -1);
    assert_int_not_equal(make_dirty(1), 0);
    xa_os_fake_set_clock(START_MS + 10000000);
    assert_int_equal(xa_controls_do("arena.1.decay"), 0);
    assert_int_not_equal(dirty_of(1), 0);
    assert_int_equal(xa_controls_write("arena.1.dirty_decay_ms", 0), 0);
    assert_int_equal(make_dirty(1), 0);
}

static void
the_time_of_all_replaces_each_one_s_own(void **state)
{
    (void)state;
    begin();
    assert_int_not_equal(make_dirty(1), 0);
    assert_int_equal(xa_controls_write("arena.1.dirty_decay_ms", 200), 0);
    assert_int_equal(xa_controls_write("arena.4096.dirty_decay_ms", 300), 0);
    assert_int_equal(xa_controls_read("arena.0.dirty_decay_ms"), 300);
    assert_int_equal(xa_controls_read("arena.1.dirty_decay_ms"), 300);
    assert_int_equal(xa_controls_read("arenas.dirty_decay_ms"), 300);
    assert_int_equal(xa_controls_read("opt.dirty_decay_ms"), 100000);
    assert_int_equal(xa_controls_write("arena.3.muzzy_decay_ms", 400), 0);
    assert_int_equal(xa_controls_read("arena.1.muzzy_decay_ms"), 400);
    assert_int_not_equal(make_dirty(1), 0);
    let_time_pass(400);
    assert_int_equal(dirty_of(1), 0);
    assert_int_not_equal(atomic_load(&xa_arena_at(1)->heap.counters.muzzy_bytes), 0);
}

static void
an_impossible_time_is_efault_and_changes_nothing(void **state)
{
    (void)state;
    begin();
    assert_int_equal(xa_controls_write("arena.0.dirty_decay_ms", (uint64_t)-2), EFAULT);
    /* What fits into 32 bits is possible. */
    if (sizeof(ssize_t) > 4)
        assert_int_equal(xa_controls_write("arena.0.dirty_decay_ms", INT64_MAX), EFAULT);
    assert_int_equal(xa_controls_read("arena.0.dirty_decay_ms"), 100000);
    assert_int_equal(xa_controls_write("arena.2.dirty_decay_ms", 5), EFAULT);
    assert_int_equal(xa_controls_write("arena.4097.dirty_decay_ms", 5), EFAULT);
}

static void
automatic_arenas_cannot_be_dropped(void **state)
{
    (void)state;
    begin();
    assert_int_equal(xa_controls_do("arena.0.reset"), EFAULT);
    assert_int_equal(xa_controls_do("arena.0.destroy"), EFAULT);
    assert_int_equal(xa_controls_do("arena.4096.reset"), EFAULT);
    assert_int_equal(xa_controls_do("arena.4096.destroy"), EFAULT);
}

static void
a_name_is_copied_in_and_out(void **state)
{
    const char *name = "a name that is longer than thirty-two characters";
    char copy[40] = "", *buffer = copy;
    size_t bytes = sizeof buffer;
    (void)state;
    begin();
    assert_int_equal(xa_mallctl("arena.0.name", &buffer, &bytes, NULL, 0), 0);
    assert_string_equal(copy, "");
    assert_int_equal(xa_controls_write("arena.0.name", (uintptr_t)name), 0);
    memset(copy, 'x', sizeof copy);
    assert_int_equal(xa_mallctl("arena.0.name", &buffer, &bytes, NULL, 0), 0);
    assert_memory_equal(copy, name, 31);
    assert_int_equal(copy[31], '\0');
    assert_int_equal(copy[32], 'x');
    bytes = sizeof buffer - 1;
    assert_int_equal(xa_mallctl("arena.0.name", &buffer, &bytes, NULL, 0), EINVAL);
    assert_int_equal(xa_controls_write("arena.0.name", 0), EINVAL);
    assert_int_equal(xa_controls_write("arena.4096.name", (uintptr_t)name), EINVAL);
    assert_int_equal(xa_controls_write("arena.2.name", (uintptr_t)name), EFAULT);
}

static void
what_has_no_effect_is_kept(void **state)
{
    (void)state;
    begin();
    assert_int_equal(xa_controls_read("arena.0.oversize_threshold"), 0);
    assert_int_equal(xa_controls_write("arena.0.oversize_threshold", 123456), 0);
    assert_int_equal(xa_controls_read("arena.0.oversize_threshold"), 123456);
    assert_int_equal(xa_controls_read("arena.0.retain_grow_limit"), PTRDIFF_MAX);
    assert_int_equal(xa_controls_write("arena.0.retain_grow_limit", 1), EINVAL);
    assert_int_equal(xa_controls_write("arena.0.retain_grow_limit", 65536), 0);
    assert_int_equal(xa_controls_read("arena.0.retain_grow_limit"), 65536);
    assert_int_equal(xa_controls_write("arena.0.dss", (uintptr_t) "disabled"), 0);
    assert_int_equal(xa_controls_write("arena.0.dss", (uintptr_t) "primary"), EFAULT);
    assert_int_equal(xa_controls_write("arena.0.dss", (uintptr_t) "bogus"), EINVAL);
    assert_string_equal(xa_controls_read_text("arena.0.dss"), "disabled");
}

static unsigned
make_private(void)
{
    unsigned arena = (unsigned)xa_controls_read("arenas.create");
    assert_int_equal(xa_controls_read("arenas.narenas"), arena + 1);
    return arena;
}

static uint64_t
figure(const char *pattern, unsigned arena)
{
    return xa_controls_read_at(pattern, arena, 0);
}

static int
do_to(const char *pattern, unsigned arena)
{
    char name[64];
    (void)snprintf(name, sizeof name, "arena.%u.%s", arena, pattern);
    return xa_controls_do(name);
}

static int
set(const char *what, unsigned arena, uint64_t value)
{
    char name[64];
    (void)snprintf(name, sizeof name, "arena.%u.%s", arena, what);
    return xa_controls_write(name, value);
}

static void
a_private_arena_is_made_filled_and_reset(void **state)
{
    (void)state;
    begin();
    unsigned arena = make_private();
    assert_int_equal(figure("arena.%u.initialized", arena), true);
    void *small = xa_extended_allocate(100, MALLOCX_ARENA(arena));
    void *large = xa_extended_allocate(MIB, MALLOCX_ARENA(arena));
    assert_true(small != NULL && large != NULL);
    xa_controls_refresh();
    assert_int_equal(figure("stats.arenas.%u.small.allocated", arena), 112);
    assert_int_equal(figure("stats.arenas.%u.large.allocated", arena), MIB);
    assert_true(figure("stats.arenas.%u.pactive", arena) >= MIB / xa_os_facts.page_bytes);
    /* All are more than this one. */
    assert_true(figure("stats.arenas.%u.large.allocated", 4096) >= MIB);
    assert_true(xa_controls_read("stats.allocated") >= MIB + 112);
    assert_int_equal(do_to("reset", arena), 0);
    xa_controls_refresh();
    assert_int_equal(figure("stats.arenas.%u.small.allocated", arena), 0);
    assert_int_equal(figure("stats.arenas.%u.large.allocated", arena), 0);
    assert_int_equal(do_to("purge", arena), 0);
    xa_controls_refresh();
    assert_int_equal(figure("stats.arenas.%u.pdirty", arena), 0);
}

static void
a_destroyed_arena_is_gone_and_remembered(void **state)
{
    char name[64];
    (void)state;
    begin();
    unsigned arena = make_private();
    assert_non_null(xa_extended_allocate(MIB, MALLOCX_ARENA(arena)));
    assert_int_equal(do_to("destroy", arena), 0);
    /* It was the last one: there is no such number any more. */
    assert_int_equal(do_to("destroy", arena), ENOENT);
    xa_controls_refresh();
    (void)snprintf(name, sizeof name, "stats.arenas.%u.pactive", arena);
    assert_int_equal(xa_controls_error(name), ENOENT);
    assert_int_equal(figure("stats.arenas.%u.large.nmalloc", 4097), 1);
    assert_int_equal(figure("stats.arenas.%u.large.ndalloc", 4097), 1);
}

static void
a_private_arena_keeps_its_settings(void **state)
{
    char copy[40] = "", *buffer = copy, name[64];
    size_t bytes = sizeof buffer;
    (void)state;
    begin();
    assert_int_equal(xa_controls_write("arenas.dirty_decay_ms", 60), 0);
    unsigned arena = make_private();
    assert_int_equal(figure("arena.%u.dirty_decay_ms", arena), 60);
    assert_int_equal(set("dirty_decay_ms", arena, 70), 0);
    assert_int_equal(set("muzzy_decay_ms", arena, 80), 0);
    assert_int_equal(figure("arena.%u.dirty_decay_ms", arena), 70);
    assert_int_equal(figure("arena.%u.muzzy_decay_ms", arena), 80);
    assert_int_equal(xa_controls_write("arena.4096.dirty_decay_ms", 90), 0);
    assert_int_equal(figure("arena.%u.dirty_decay_ms", arena), 90);
    assert_int_equal(set("retain_grow_limit", arena, 4 * MIB), 0);
    assert_int_equal(figure("arena.%u.retain_grow_limit", arena), 4 * MIB);
    assert_int_equal(set("name", arena, (uintptr_t) "mine"), 0);
    (void)snprintf(name, sizeof name, "arena.%u.name", arena);
    assert_int_equal(xa_mallctl(name, &buffer, &bytes, NULL, 0), 0);
    assert_string_equal(copy, "mine");
    assert_int_equal(figure("arena.%u.oversize_threshold", arena), 0);
}

static void
hooks_are_the_default_ones_until_others_are_set(void **state)
{
    (void)state;
    begin();
    unsigned arena = make_private();
    struct extent_hooks_s *hooks =
        (struct extent_hooks_s *)(uintptr_t)figure("arena.%u.extent_hooks", arena);
    assert_ptr_equal(hooks, xa_extent_hooks_default());
    assert_int_equal(figure("arena.%u.extent_hooks", 0), (uintptr_t)hooks);
    static struct extent_hooks_s own;
    own = *hooks;
    assert_int_equal(set("extent_hooks", arena, (uintptr_t)&own), 0);
    assert_int_equal(figure("arena.%u.extent_hooks", arena), (uintptr_t)&own);
    assert_int_equal(set("extent_hooks", arena, 0), EINVAL);
    assert_int_equal(set("extent_hooks", 0, (uintptr_t)&own), EFAULT);
    assert_int_equal(set("extent_hooks", 4096, (uintptr_t)&own), EFAULT);
}

static void
a_thread_may_be_bound_to_a_private_arena(void **state)
{
    (void)state;
    begin();
    unsigned arena = make_private(), found = 0;
    size_t bytes = sizeof found;
    assert_int_equal(xa_controls_write("thread.arena", arena), 0);
    assert_int_equal(xa_controls_read("thread.arena"), arena);
    void *object = xa_fast_malloc(100);
    assert_int_equal(xa_mallctl("arenas.lookup", &found, &bytes, &object, sizeof object), 0);
    assert_int_equal(found, arena);
    assert_int_equal(do_to("destroy", arena), EFAULT);
    xa_fast_free(object);
    assert_int_equal(xa_controls_write("thread.arena", 0), 0);
    assert_int_equal(do_to("destroy", arena), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(a_purge_is_of_one_arena),
        XA_OS_FAKE_FRESH(both_numbers_for_all_arenas_purge_all),
        XA_OS_FAKE_FRESH(decay_gives_back_only_what_is_due),
        XA_OS_FAKE_FRESH(an_arena_has_a_decay_time_of_its_own),
        XA_OS_FAKE_FRESH(never_is_a_time_and_0_is_at_once),
        XA_OS_FAKE_FRESH(the_time_of_all_replaces_each_one_s_own),
        XA_OS_FAKE_FRESH(an_impossible_time_is_efault_and_changes_nothing),
        XA_OS_FAKE_FRESH(automatic_arenas_cannot_be_dropped),
        XA_OS_FAKE_FRESH(a_name_is_copied_in_and_out),
        XA_OS_FAKE_FRESH(what_has_no_effect_is_kept),
        XA_OS_FAKE_FRESH(a_private_arena_is_made_filled_and_reset),
        XA_OS_FAKE_FRESH(a_destroyed_arena_is_gone_and_remembered),
        XA_OS_FAKE_FRESH(a_private_arena_keeps_its_settings),
        XA_OS_FAKE_FRESH(hooks_are_the_default_ones_until_others_are_set),
        XA_OS_FAKE_FRESH(a_thread_may_be_bound_to_a_private_arena),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
