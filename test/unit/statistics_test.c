/*
 * statistics_test.c - the figures agree with each other, with the program and with the host.
 */
#include "control/statistics.h"

#include "support/os_fake.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "alloc/extended.h"
#include "alloc/fast_path.h"
#include "alloc/start.h"
#include "arena/large.h"
#include "page/huge.h"
#include "page/window.h"
#include "support/child.h"
#include "support/seed.h"
#include "support/threads.h"
#include "thread/thread_cache.h"
#include "xalloc/jemalloc.h"

/* As a program's own settings: what is dirty stays so until a test says otherwise. */
extern const char *xalloc_conf;
const char *xalloc_conf = "background_thread:false";

enum {
    MIB = 1 << 20,
    OBJECTS = 400,
    ROUNDS = 4000,
    THREADS = 4,
    STATIC_BYTES = 64 * 1024, /* metadata that is part of the library, see metadata.c */
    SECONDS = 120,
};

static uint64_t seed;
static struct xa_statistics s;

struct object {
    void *start;
    size_t bytes;
};

static struct object objects[THREADS][OBJECTS];
/* Of huge objects, as they were when the statistics were gathered. */
static size_t huge_live, huge_kept;

static size_t
load(const _Atomic size_t *counter)
{
    return atomic_load(counter);
}

/* What the header promises of a process at rest. */
static void
check_sums(void)
{
    size_t small = 0, cached = 0, free_slots = 0, tails = 0, live = 0;
    assert_int_equal(s.allocated, s.small + s.large);
    assert_int_equal(s.active, s.allocated + s.cached + s.free_slots + s.tails);
    assert_int_equal(s.mapped, s.active + s.dirty + s.muzzy + s.retained + s.metadata);
    assert_int_equal(s.large + s.stocked + s.stocked_huge, load(&s.heaps.large_bytes) + huge_live);
    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++) {
        const struct xa_class_statistics *class = &s.classes[c];
        const struct xa_size_class *row = &xa_size_class_table[c];
        size_t taken = xa_bin_taken_slots(&class->totals);
        assert_int_equal(class->live + class->cached, taken);
        assert_true(taken <= class->slabs * row->slots);
        assert_int_equal(load(&class->totals.allocations) - load(&class->totals.frees), taken);
        small += class->live * row->object_bytes;
        cached += class->cached * row->object_bytes;
        free_slots += (class->slabs * row->slots - taken) * row->object_bytes;
        tails += class->slabs *
            ((size_t)row->granules * XA_GRANULE_BYTES - (size_t)row->slots * row->object_bytes);
        live += class->live;
    }
    assert_int_equal(s.small, small);
    assert_int_equal(s.cached, cached + s.stocked);
    assert_int_equal(s.free_slots, free_slots);
    assert_int_equal(s.tails, tails);
    assert_int_equal(s.live_objects, live + s.large_objects + s.huge_objects);
    assert_true(s.thread_cached <= s.cached);
    assert_true(s.internal_fragmentation <= 1000 && s.external_fragmentation <= 1000);
    assert_int_equal(s.lost, 0);
}

/* Every byte is in one place, and so is every byte in memory. */
static void
check_places(void)
{
    size_t bytes = 0, resident = 0;
    for (unsigned i = 0; i < XA_PLACES; i++) {
        bytes += s.places[i].bytes;
        resident += s.places[i].resident;
        if (i != XA_PLACE_METADATA && s.places[i].resident > s.places[i].bytes)
            fail_msg("place %u: %zu of %zu bytes are in memory", i, s.places[i].resident,
                s.places[i].bytes);
    }
    assert_int_equal(bytes, s.mapped + s.places[XA_PLACE_LIBRARY].bytes);
    assert_int_equal(resident, s.resident + s.places[XA_PLACE_LIBRARY].resident);
    /* What was given back is not there. */
    assert_int_equal(s.places[XA_PLACE_RETAINED].resident, 0);
}

/* The same, of all kinds of arenas together. */
static void
check_private_sums(void)
{
    assert_int_equal(s.active, s.allocated + s.cached + s.free_slots + s.tails);
    assert_int_equal(s.mapped, s.active + s.dirty + s.muzzy + s.retained + s.metadata);
    assert_int_equal(s.allocated, s.small + s.large);
    assert_int_equal(s.mapped, xa_os_fake_mapped_bytes() + STATIC_BYTES);
    assert_true(s.resident >= xa_os_fake_resident_bytes());
    assert_true(s.resident <= xa_os_fake_resident_bytes() + STATIC_BYTES);
}

/* The host knows what is mapped and resident; the library's own static memory aside. */
static void
check_host(void)
{
    size_t own = xa_os_fake_mapped_bytes() + STATIC_BYTES;
    assert_int_equal(s.mapped, own);
    assert_true(s.resident >= xa_os_fake_resident_bytes());
    assert_true(s.resident <= xa_os_fake_resident_bytes() + STATIC_BYTES);
    check_places();
}

/* The program knows what it has. */
static void
check_program(void)
{
    size_t bytes = 0, count = 0;
    for (unsigned t = 0; t < THREADS; t++)
        for (unsigned i = 0; i < OBJECTS; i++)
            if (objects[t][i].start != NULL) {
                bytes += xa_release_usable_bytes(objects[t][i].start, "test");
                count++;
            }
    /* An object that had been kept may be longer than the program sees, by a quarter at most. */
    assert_true(s.allocated >= bytes && s.allocated <= bytes + bytes / 4);
    assert_int_equal(s.live_objects, count);
}

static void
gather(void)
{
    /* Every field is set anew. */
    memset(&s, 0x5a, sizeof s);
    xa_statistics_gather(&s, XA_STATISTICS_WITH_RESIDENT);
    huge_live = load(&xa_huge_counters.live_bytes);
    huge_kept = load(&xa_huge_counters.kept_bytes);
}

static void
change(unsigned thread, struct xa_seed_random *numbers)
{
    struct object *object = &objects[thread][xa_seed_below(numbers, OBJECTS)];
    if (object->start != NULL) {
        xa_fast_free(object->start);
        object->start = NULL;
        return;
    }
    object->bytes = xa_seed_size(numbers, 1, xa_seed_below(numbers, 60) ? 100000 : 6 * MIB);
    object->start = xa_fast_malloc(object->bytes);
    if (object->start != NULL)
        memset(object->start, 1, object->bytes);
}

static void
private_arenas_and_explicit_caches_are_counted_with_the_rest(void **state)
{
    (void)state;
    struct xa_seed_random numbers = xa_seed_start(seed, 77);
    unsigned arena = xa_extended_create_arena(NULL), cache = xa_extended_create_cache();
    int flags[] = {0, MALLOCX_ARENA((int)arena), MALLOCX_TCACHE((int)cache)};
    for (int round = 0; round < 3000; round++) {
        struct object *object = &objects[0][xa_seed_below(&numbers, OBJECTS)];
        int flag = flags[xa_seed_below(&numbers, 3)];
        if (object->start != NULL)
            xa_extended_release(object->start, flag);
        object->bytes = xa_seed_size(&numbers, 1, xa_seed_below(&numbers, 60) ? 60000 : 6 * MIB);
        object->start = xa_extended_allocate(object->bytes, flag);
        memset(object->start, 1, object->bytes);
        if (round % 100 == 0) {
            gather();
            check_private_sums();
            /* A private arena does not know of what a cache has of it. */
            assert_true(xa_extended_flush_cache(cache));
            gather();
            check_private_sums();
            check_program();
        }
    }
    assert_int_equal(s.arenas, 2);
}

static void
before_the_first_call_there_is_nothing(void **state)
{
    (void)state;
    gather();
    assert_int_equal(s.allocated, 0);
    assert_int_equal(s.mapped, 0);
    assert_int_equal(s.arenas, 0);
    assert_int_equal(s.threads, 0);
    check_sums();
}

static void
one_thread_s_figures_add_up_at_any_time(void **state)
{
    struct xa_seed_random numbers = xa_seed_start(seed, 0);
    uint64_t now = 1000;
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        xa_os_fake_set_clock(now += xa_seed_below(&numbers, 10));
        change(0, &numbers);
        if (round % 16 != 0)
            continue;
        gather();
        check_sums();
        check_host();
        check_program();
        assert_int_equal(s.threads, 1);
    }
}

static void
the_kinds_of_objects_are_counted(void **state)
{
    void *kept[3];
    (void)state;
    kept[0] = xa_fast_malloc(100);
    kept[1] = xa_fast_malloc(MIB);
    kept[2] = xa_fast_malloc(9 * MIB);
    xa_fast_free(xa_fast_malloc(MIB));
    xa_fast_free(xa_fast_malloc(9 * MIB));
    gather();
    assert_int_equal(s.small, 112);
    assert_int_equal(s.large, 10 * MIB);
    assert_int_equal(s.live_objects, 3);
    assert_int_equal(s.large_objects, 1);
    assert_int_equal(s.huge_objects, 1);
    assert_int_equal(s.large_allocations, 2);
    assert_int_equal(s.huge_allocations, 2);
    assert_int_equal(s.dirty, 9 * MIB);
    assert_int_equal(s.stocked, MIB);
    assert_int_equal(s.classes[xa_size_class_of(100)].live, 1);
    check_sums();
    check_host();
    for (int i = 0; i < 3; i++)
        xa_fast_free(kept[i]);
    gather();
    assert_int_equal(s.allocated, 0);
    assert_int_equal(s.live_objects, 0);
    check_sums();
}

static void
rounding_up_is_sampled_from_the_requests(void **state)
{
    (void)state;
    /* 65 bytes in a class of 80: 15 of 80 are lost. */
    for (int i = 0; i < 1000; i++)
        assert_non_null(xa_fast_malloc(65));
    gather();
    assert_int_equal(s.internal_fragmentation, 188);
    check_sums();
}

static void
a_quick_look_asks_the_host_nothing(void **state)
{
    (void)state;
    assert_non_null(xa_fast_malloc(100));
    unsigned long calls = xa_os_fake_count(XA_OS_FAKE_ANY);
    xa_statistics_gather(&s, XA_STATISTICS_QUICK);
    assert_int_equal(s.resident, 0);
    assert_int_equal(s.allocated, 112);
    assert_int_equal(xa_os_fake_count(XA_OS_FAKE_ANY), calls);
}

static void
count_arena(void *context, const struct xa_arena *arena)
{
    size_t *counts = context;
    assert_ptr_equal(arena, xa_arena_at(arena->index));
    counts[0]++;
}

static void
count_thread(void *context, struct xa_thread_state *state, size_t cached_bytes)
{
    size_t *counts = context;
    assert_ptr_equal(state, xa_thread_state_self);
    counts[1] += cached_bytes;
}

static void
a_visitor_sees_what_is_counted(void **state)
{
    size_t counts[2] = {0};
    const struct xa_statistics_visitor visitor = {count_arena, count_thread, counts};
    (void)state;
    for (int i = 0; i < 100; i++)
        xa_fast_free(xa_fast_malloc(100 + i * 7));
    xa_fast_free(xa_fast_malloc(MIB));
    xa_statistics_gather_each(&s, XA_STATISTICS_QUICK, &visitor);
    assert_int_equal(counts[0], s.arenas);
    assert_int_equal(counts[1], s.thread_cached);
    assert_true(counts[1] > MIB);
}

static void
the_places_of_objects_are_known(void **state)
{
    (void)state;
    xa_os_fake_set_library(MIB, 128 * 1024);
    /* 65 bytes in a class of 80, 100 KiB in seven granules, 9 MiB and a byte in pages. */
    for (int i = 0; i < 1000; i++)
        memset(xa_fast_malloc(65), 1, 65);
    memset(xa_fast_malloc(100 * 1024), 1, 100 * 1024);
    memset(xa_fast_malloc(9 * MIB + 1), 1, 9 * MIB + 1);
    xa_fast_free(memset(xa_fast_malloc(MIB), 1, MIB));
    xa_fast_free(memset(xa_fast_malloc(7 * MIB), 1, 7 * MIB));
    gather();
    check_places();
    assert_in_range(s.places[XA_PLACE_LIVE].bytes, 65000 + 100 * 1024 + 9 * MIB + 1 - 80,
        65000 + 100 * 1024 + 9 * MIB + 1 + 80);
    assert_in_range(s.places[XA_PLACE_LIVE].resident, s.places[XA_PLACE_LIVE].bytes - 4096,
        s.places[XA_PLACE_LIVE].bytes);
    assert_in_range(s.places[XA_PLACE_ROUNDING].bytes, 15000 + 12 * 1024 + 4095 - 80,
        15000 + 12 * 1024 + 4095 + 80);
    assert_int_equal(s.places[XA_PLACE_STOCK].bytes, MIB);
    assert_int_equal(s.places[XA_PLACE_STOCK].resident, MIB);
    assert_int_equal(s.places[XA_PLACE_HUGE_KEPT].bytes, 7 * MIB);
    assert_int_equal(s.places[XA_PLACE_HUGE_KEPT].resident, 7 * MIB);
    assert_int_equal(s.places[XA_PLACE_LIBRARY].bytes, 128 * 1024);
    assert_int_equal(s.places[XA_PLACE_LIBRARY].resident, 64 * 1024);
    assert_true(s.places[XA_PLACE_METADATA].resident > 0);
    assert_int_equal(s.classes[xa_size_class_of(65)].rounding, 15000);
}

/* The least time, in nanoseconds, of some calls: what else runs on the machine does not count. */
static uint64_t
time_quick_look(void)
{
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < 300; i++) {
        struct timespec from, to;
        clock_gettime(CLOCK_MONOTONIC, &from);
        xa_statistics_gather(&s, XA_STATISTICS_QUICK);
        clock_gettime(CLOCK_MONOTONIC, &to);
        uint64_t took = (uint64_t)(to.tv_sec - from.tv_sec) * 1000000000u + (uint64_t)to.tv_nsec -
            (uint64_t)from.tv_nsec;
        least = took < least ? took : least;
    }
    return least;
}

static void
a_quick_look_at_64_arenas_takes_100_microseconds_at_most(void **state)
{
    enum { ARENAS = 64, AT_MOST_NS = 100000 };
    (void)state;
    xa_child_skip_if_emulated("an emulator's times are not the program's");
    xa_os_fake_set_environment("XALLOC_CONF", "narenas:64");
    assert_non_null(xa_fast_malloc(1));
    for (unsigned i = 0; i < ARENAS; i++) {
        struct xa_arena *arena = xa_arena_assign();
        for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++) {
            void *object;
            assert_int_equal(xa_arena_take(arena, c, &object, 1), 1);
        }
    }
    uint64_t took = time_quick_look();
    assert_int_equal(s.arenas, ARENAS);
    assert_true(s.live_objects >= ARENAS * XA_SMALL_CLASSES);
    /* Instrumented code, and code that is not optimised, does several times the work. */
    const char *sanitizer = getenv("XA_SANITIZER");
    if (XA_DEBUG || (sanitizer != NULL && strcmp(sanitizer, "no") != 0))
        took /= 50;
    if (took > AT_MOST_NS)
        fail_msg("%zu ns for a look at %d arenas", (size_t)took, ARENAS);
}

static void
everything_freed_and_trimmed_is_next_to_nothing(void **state)
{
    struct xa_seed_random numbers = xa_seed_start(seed, 1);
    (void)state;
    for (int round = 0; round < ROUNDS; round++)
        change(0, &numbers);
    for (int i = 0; i < OBJECTS; i++)
        xa_fast_free(objects[0][i].start);
    xa_thread_cache_flush(xa_start_thread());
    (void)xa_arena_trim(0);
    (void)xa_huge_purge(XA_HUGE_ALL);
    gather();
    check_sums();
    check_host();
    assert_int_equal(s.allocated, 0);
    assert_int_equal(s.cached, 0);
    assert_int_equal(s.dirty, 0);
    /* A slab that each bin keeps. */
    assert_true(s.active <= 8 * MIB);
}

static pthread_barrier_t barrier;

static void
change_and_rest(unsigned index, void *argument)
{
    struct xa_seed_random numbers = xa_seed_start(seed, 10 + index);
    (void)argument;
    for (int round = 0; round < ROUNDS; round++)
        change(index, &numbers);
    pthread_barrier_wait(&barrier);
    if (index == 0)
        gather();
    pthread_barrier_wait(&barrier);
}

static void
many_threads_figures_add_up_when_they_rest(void **state)
{
    (void)state;
    xa_os_fake_set_environment("XALLOC_CONF", "narenas:2");
    pthread_barrier_init(&barrier, NULL, THREADS);
    assert_true(xa_threads_run(THREADS, change_and_rest, NULL, SECONDS));
    check_sums();
    check_program();
    assert_int_equal(s.mapped, s.metadata + load(&s.heaps.mapped_bytes) + huge_live + huge_kept);
    assert_int_equal(s.threads, THREADS);
    assert_int_equal(s.arenas, 2);
}

static _Atomic bool is_over;

static void
gather_meanwhile(unsigned index, void *argument)
{
    struct xa_seed_random numbers = xa_seed_start(seed, 20 + index);
    (void)argument;
    if (index == 0) {
        for (int i = 0; i < 200; i++)
            gather();
        is_over = true;
        return;
    }
    while (!is_over)
        change(index, &numbers);
}

static void
gathering_disturbs_nobody(void **state)
{
    (void)state;
    /* Whoever asks for statistics has made the process ready; the first call is no subject here. */
    assert_non_null(xa_start_thread());
    assert_true(xa_threads_run(THREADS, gather_meanwhile, NULL, SECONDS));
    gather();
    check_sums();
    check_program();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(before_the_first_call_there_is_nothing),
        XA_OS_FAKE_FRESH(private_arenas_and_explicit_caches_are_counted_with_the_rest),
        XA_OS_FAKE_FRESH(one_thread_s_figures_add_up_at_any_time),
        XA_OS_FAKE_FRESH(the_kinds_of_objects_are_counted),
        XA_OS_FAKE_FRESH(rounding_up_is_sampled_from_the_requests),
        XA_OS_FAKE_FRESH(a_quick_look_asks_the_host_nothing),
        XA_OS_FAKE_FRESH(a_visitor_sees_what_is_counted),
        XA_OS_FAKE_FRESH(the_places_of_objects_are_known),
        XA_OS_FAKE_FRESH(a_quick_look_at_64_arenas_takes_100_microseconds_at_most),
        XA_OS_FAKE_FRESH(everything_freed_and_trimmed_is_next_to_nothing),
        XA_OS_FAKE_FRESH(many_threads_figures_add_up_when_they_rest),
        XA_OS_FAKE_FRESH(gathering_disturbs_nobody),
    };
    seed = xa_seed_choose(NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
