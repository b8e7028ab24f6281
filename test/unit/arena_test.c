/*
 * arena_test.c - threads spread over arenas, and objects find their way home.
 */
#include "arena/arena.h"

#include "support/os_fake.h"

#include <pthread.h>
#include <string.h>

#include "arena/slab.h"
#include "config/options.h"
#include "extent/metadata.h"
#include "support/magazines.h"
#include "support/seed.h"
#include "support/threads.h"

enum {
    CLASS = 4, /* 64 bytes */
    THREADS = 4,
    HELD_MAX = 300,
    ROUNDS = 4000,
    SECONDS = 120,
};

static uint64_t seed;

static void
begin(unsigned limit)
{
    xa_os_init();
    xa_size_class_init(xa_os_facts.page_bytes);
    xa_options.dirty_decay_ms = -1;
    xa_arena_init();
    xa_arena_set_limit(limit);
}

static struct xa_bin *
bin_of(unsigned arena, unsigned size_class)
{
    return &xa_arena_at(arena)->bins[size_class];
}

static size_t
taken_slots(void)
{
    size_t sum = 0;
    for (unsigned i = 0; i < XA_ARENAS_MAX; i++)
        for (unsigned c = 1; xa_arena_at(i) != NULL && c <= XA_SMALL_CLASSES; c++)
            sum += xa_bin_taken_slots(&bin_of(i, c)->counters);
    return sum;
}

static void
take(struct xa_arena *arena, unsigned size_class, void **objects, unsigned count)
{
    for (unsigned taken = 0; taken < count;) {
        unsigned more = xa_arena_take(arena, size_class, objects + taken, count - taken);
        assert_in_range(more, 1, count - taken);
        taken += more;
    }
}

/* A magazine filled from an arena. */
static struct xa_magazine *
fill(struct xa_arena *arena, unsigned size_class, unsigned count)
{
    struct xa_magazine *magazine = xa_magazines_make_with(count);
    take(arena, size_class, xa_magazine_end(magazine) - count, count);
    return magazine;
}

static void
threads_are_spread_over_the_arenas(void **state)
{
    struct xa_arena *arenas[8];
    unsigned counts[4] = {0};
    (void)state;
    begin(4);
    assert_int_equal(xa_arena_limit(), 4);
    assert_non_null(xa_arena_at(0));
    assert_null(xa_arena_at(1));
    assert_null(xa_arena_at(XA_ARENAS_MAX));
    for (int i = 0; i < 8; i++) {
        arenas[i] = xa_arena_assign();
        counts[arenas[i]->index]++;
        assert_ptr_equal(xa_arena_at(arenas[i]->index), arenas[i]);
    }
    assert_int_equal(arenas[0]->index, 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(counts[i], 2);
    /* The one that a thread leaves is the next to be used. */
    xa_arena_leave(arenas[6]);
    assert_ptr_equal(xa_arena_assign(), arenas[6]);
}

static void
one_arena_serves_all_if_there_is_one(void **state)
{
    (void)state;
    begin(1);
    for (int i = 0; i < 10; i++)
        assert_int_equal(xa_arena_assign()->index, 0);
    assert_int_equal(atomic_load(&xa_arena_at(0)->threads), 10);
}

static void
without_memory_for_another_the_first_serves(void **state)
{
    void *object;
    (void)state;
    begin(2);
    assert_int_equal(xa_arena_assign()->index, 0);
    assert_non_null(xa_metadata_take(65536));
    xa_os_fake_fail(XA_OS_FAKE_ANY, 1, XA_OS_FAKE_FROM_THEN_ON);
    assert_int_equal(xa_arena_assign()->index, 0);
    assert_int_equal(xa_arena_take(xa_arena_at(0), CLASS, &object, 1), 0);
    xa_os_fake_stop_failing();
    assert_int_equal(xa_arena_assign()->index, 1);
}

static void
objects_of_every_class_are_apart_and_writable(void **state)
{
    void *objects[40];
    (void)state;
    begin(1);
    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++) {
        size_t bytes = xa_size_class_table[c].object_bytes;
        take(xa_arena_at(0), c, objects, 40);
        for (int i = 0; i < 40; i++) {
            assert_int_equal((uintptr_t)objects[i] % 16, 0);
            assert_int_equal(xa_page_map_class((uintptr_t)objects[i]), c);
            memset(objects[i], i, bytes);
        }
        for (int i = 0; i < 40; i++) {
            assert_int_equal(*(char *)objects[i], i);
            assert_int_equal(((char *)objects[i])[bytes - 1], i);
        }
        assert_int_equal(xa_arena_return(c, objects, 40, XA_ARENA_WAIT), 40);
        assert_int_equal(xa_bin_taken_slots(&bin_of(0, c)->counters), 0);
        assert_true(atomic_load(&bin_of(0, c)->counters.slabs) <= 1);
    }
    assert_int_equal(taken_slots(), 0);
}

static void
objects_go_home_to_the_arena_they_are_from(void **state)
{
    void *objects[30];
    (void)state;
    begin(3);
    struct xa_arena *arenas[3];
    for (int i = 0; i < 3; i++)
        arenas[i] = xa_arena_assign();
    for (int i = 0; i < 30; i++)
        take(arenas[i % 3], CLASS, &objects[i], 1);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(xa_bin_taken_slots(&bin_of(i, CLASS)->counters), 10);
    assert_int_equal(xa_arena_return(CLASS, objects, 30, XA_ARENA_WAIT), 30);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(xa_bin_taken_slots(&bin_of(i, CLASS)->counters), 0);
        assert_int_equal(atomic_load(&bin_of(i, CLASS)->counters.frees), 10);
    }
}

struct holder {
    struct xa_lock *lock;
    pthread_barrier_t taken;
    pthread_barrier_t done;
};

static void *
hold(void *argument)
{
    struct holder *holder = argument;
    xa_lock_lock(holder->lock);
    pthread_barrier_wait(&holder->taken);
    pthread_barrier_wait(&holder->done);
    xa_lock_unlock(holder->lock);
    return NULL;
}

/* Have another thread hold the lock until let_go(). */
static pthread_t
have_held(struct holder *holder, struct xa_lock *lock)
{
    pthread_t thread;
    holder->lock = lock;
    pthread_barrier_init(&holder->taken, NULL, 2);
    pthread_barrier_init(&holder->done, NULL, 2);
    assert_int_equal(pthread_create(&thread, NULL, hold, holder), 0);
    pthread_barrier_wait(&holder->taken);
    return thread;
}

static void
let_go(struct holder *holder, pthread_t thread)
{
    pthread_barrier_wait(&holder->done);
    assert_true(xa_threads_join_one(thread, SECONDS));
}

static void
who_has_no_time_stops_at_a_busy_bin(void **state)
{
    struct holder holder;
    void *objects[10];
    (void)state;
    begin(2);
    struct xa_arena *first = xa_arena_assign(), *second = xa_arena_assign();
    take(first, CLASS, objects, 4);
    take(second, CLASS, objects + 4, 3);
    take(first, CLASS, objects + 7, 3);
    pthread_t thread = have_held(&holder, &second->bins[CLASS].lock);
    assert_int_equal(xa_arena_return(CLASS, objects, 10, XA_ARENA_TRY), 4);
    assert_int_equal(xa_arena_return(CLASS, objects + 4, 6, XA_ARENA_TRY), 0);
    let_go(&holder, thread);
    assert_int_equal(xa_arena_return(CLASS, objects + 4, 6, XA_ARENA_TRY), 6);
    assert_int_equal(taken_slots(), 0);
}

static void
magazines_are_found_in_the_own_depot_first(void **state)
{
    (void)state;
    begin(2);
    struct xa_arena *first = xa_arena_assign(), *second = xa_arena_assign();
    assert_null(xa_arena_take_magazine(first, CLASS));
    struct xa_magazine *own = fill(first, CLASS, 10), *other = fill(second, CLASS, 10);
    xa_arena_put_magazine(second, CLASS, other);
    xa_arena_put_magazine(first, CLASS, own);
    assert_ptr_equal(xa_arena_take_magazine(first, CLASS), own);
    assert_ptr_equal(xa_arena_take_magazine(first, CLASS), other);
    assert_null(xa_arena_take_magazine(first, CLASS));
    assert_null(xa_arena_take_magazine(second, CLASS));
    /* What found no slot comes back as well. */
    for (int i = 0; i < 12; i++)
        xa_arena_put_magazine(first, CLASS, fill(first, CLASS, 5));
    unsigned found = 0;
    while (xa_arena_take_magazine(first, CLASS) != NULL)
        found++;
    assert_int_equal(found, 12);
}

static void
what_piles_up_is_bounded_and_goes_back_to_slabs(void **state)
{
    (void)state;
    begin(1);
    struct xa_arena *arena = xa_arena_at(0);
    size_t largest = 0;
    for (int i = 0; i < 2000; i++) {
        xa_arena_put_magazine(arena, CLASS, fill(arena, CLASS, XA_MAGAZINE_OBJECTS_MAX));
        size_t waiting = xa_depot_objects(&arena->bins[CLASS].depot) +
            atomic_load(&arena->bins[CLASS].reserve_objects);
        assert_int_equal(taken_slots(), waiting);
        largest = waiting > largest ? waiting : largest;
    }
    assert_true(largest <= 64 * XA_MAGAZINE_OBJECTS_MAX);
    /* Of large objects fewer: some hundred KiB. */
    largest = 0;
    for (int i = 0; i < 200; i++) {
        xa_arena_put_magazine(arena, 64, fill(arena, 64, 2));
        size_t waiting = xa_depot_objects(&arena->bins[64].depot) +
            atomic_load(&arena->bins[64].reserve_objects);
        largest = waiting > largest ? waiting : largest;
    }
    assert_true(largest * 32768 <= 2 << 20);
}

static void
nobody_waits_for_a_busy_bin_to_give_back(void **state)
{
    struct holder holder;
    (void)state;
    begin(1);
    struct xa_arena *arena = xa_arena_at(0);
    static struct xa_magazine *magazines[100];
    for (int i = 0; i < 100; i++)
        magazines[i] = fill(arena, CLASS, XA_MAGAZINE_OBJECTS_MAX);
    pthread_t thread = have_held(&holder, &arena->bins[CLASS].lock);
    for (int i = 0; i < 100; i++)
        xa_arena_put_magazine(arena, CLASS, magazines[i]);
    assert_int_equal(xa_depot_objects(&arena->bins[CLASS].depot), 100 * XA_MAGAZINE_OBJECTS_MAX);
    let_go(&holder, thread);
    (void)xa_arena_trim(0);
    assert_int_equal(taken_slots(), 0);
}

static void
trimming_empties_everything(void **state)
{
    void *objects[100];
    (void)state;
    begin(3);
    struct xa_arena *arenas[3];
    for (int i = 0; i < 3; i++)
        arenas[i] = xa_arena_assign();
    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++)
        for (int i = 0; i < 12; i++) {
            struct xa_magazine *magazine = fill(arenas[(c + i) % 3], c, 3);
            memset(*(xa_magazine_end(magazine) - 1), 1, xa_size_class_table[c].object_bytes);
            xa_arena_put_magazine(arenas[i % 3], c, magazine);
        }
    take(arenas[1], CLASS, objects, 100);
    size_t bytes = xa_arena_trim(0);
    assert_int_equal(taken_slots(), 100);
    assert_true(bytes > 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(atomic_load(&arenas[i]->heap.counters.dirty_bytes), 0);
        for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++) {
            assert_int_equal(xa_depot_objects(&arenas[i]->bins[c].depot), 0);
            assert_int_equal(arenas[i]->bins[c].reserve_objects, 0);
        }
    }
    assert_int_equal(xa_arena_trim(0), 0);
    assert_int_equal(xa_arena_return(CLASS, objects, 100, XA_ARENA_WAIT), 100);
}

static void
depots_that_nobody_uses_are_emptied_at_the_second_look(void **state)
{
    (void)state;
    begin(2);
    struct xa_arena *first = xa_arena_assign(), *second = xa_arena_assign();
    assert_true(xa_arena_empty_idle());
    for (int i = 0; i < 12; i++) {
        xa_arena_put_magazine(first, CLASS, fill(first, CLASS, 10));
        xa_arena_put_magazine(second, 1, fill(second, 1, 10));
    }
    assert_false(xa_arena_empty_idle());
    assert_int_equal(taken_slots(), 240);
    /* One of them is used in between. */
    struct xa_magazine *magazine = xa_arena_take_magazine(first, CLASS);
    assert_non_null(magazine);
    assert_false(xa_arena_empty_idle());
    assert_int_equal(xa_bin_taken_slots(&bin_of(1, 1)->counters), 0);
    assert_int_equal(xa_bin_taken_slots(&bin_of(0, CLASS)->counters), 120);
    (void)xa_arena_empty_idle();
    assert_int_equal(taken_slots(), 10);
    assert_true(xa_arena_empty_idle());
    xa_arena_put_magazine(first, CLASS, magazine);
}

static void
requests_that_missed_are_sampled(void **state)
{
    (void)state;
    begin(1);
    xa_arena_note_request(xa_arena_at(0), CLASS, 50);
    xa_arena_note_request(xa_arena_at(0), CLASS, 60);
    assert_int_equal(atomic_load(&bin_of(0, CLASS)->counters.sampled_requests), 2);
    assert_int_equal(atomic_load(&bin_of(0, CLASS)->counters.sampled_bytes), 110);
}

/* Nothing is out but the empty slabs that bins keep. */
static void
check_nothing_is_out(size_t kept_granules)
{
    assert_int_equal(taken_slots(), 0);
    assert_int_equal(
        atomic_load(&xa_arena_at(0)->heap.counters.active_bytes), kept_granules * XA_GRANULE_BYTES);
}

static void
out_of_memory_is_none_and_nothing_is_lost(void **state)
{
    size_t kept_granules = 0;
    (void)state;
    begin(1);
    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++) {
        void *object;
        unsigned taken = 0;
        for (unsigned long nth = 1; taken == 0; nth++) {
            check_nothing_is_out(kept_granules);
            xa_os_fake_fail(XA_OS_FAKE_ANY, nth, XA_OS_FAKE_FROM_THEN_ON);
            taken = xa_arena_take(xa_arena_at(0), c, &object, 1);
            xa_os_fake_stop_failing();
        }
        assert_int_equal(xa_arena_return(c, &object, 1, XA_ARENA_WAIT), 1);
        kept_granules += xa_size_class_table[c].granules;
    }
}

static void
a_child_has_one_thread_in_its_arena(void **state)
{
    void *object;
    (void)state;
    begin(2);
    struct xa_arena *first = xa_arena_assign(), *second = xa_arena_assign();
    for (int i = 0; i < 10; i++)
        (void)xa_arena_assign();
    xa_arena_reset_in_child(second);
    assert_int_equal(atomic_load(&first->threads), 0);
    assert_int_equal(atomic_load(&second->threads), 1);
    take(second, CLASS, &object, 1);
    xa_arena_reset_in_child(NULL);
    assert_int_equal(atomic_load(&second->threads), 0);
}

/* ---- Threads ---- */

static _Atomic unsigned faults;

static void
expect(bool holds)
{
    if (!holds)
        atomic_fetch_add(&faults, 1);
}

static void
send_and_receive(unsigned index, void *argument)
{
    struct xa_seed_random numbers = xa_seed_start(seed, index);
    struct xa_arena *arena = xa_arena_assign();
    void *held[HELD_MAX];
    unsigned count = 0;
    (void)argument;
    for (int round = 0; round < ROUNDS; round++) {
        unsigned batch = 1 + (unsigned)xa_seed_below(&numbers, XA_MAGAZINE_OBJECTS_MAX);
        switch (xa_seed_below(&numbers, 5)) {
        case 0:
        case 1:
            if (count + batch > HELD_MAX)
                break;
            batch = xa_arena_take(arena, CLASS, held + count, batch);
            expect(batch > 0);
            for (unsigned i = 0; i < batch; i++)
                *(uintptr_t *)held[count + i] = index;
            count += batch;
            break;
        case 2:
            batch = batch < count ? batch : count;
            for (unsigned i = 0; i < batch; i++)
                expect(*(uintptr_t *)held[count - 1 - i] == index);
            expect(xa_arena_return(CLASS, held + count - batch, batch, XA_ARENA_WAIT) == batch);
            count -= batch;
            break;
        case 3: {
            batch = batch < count ? batch : count;
            struct xa_magazine *magazine =
                batch > 0 ? xa_magazines_make(XA_MAGAZINE_OBJECTS_MAX) : NULL;
            if (magazine == NULL)
                break;
            for (unsigned i = 0; i < batch; i++) {
                expect(*(uintptr_t *)held[count - 1] == index);
                *(xa_magazine_end(magazine) - 1 - i) = held[--count];
            }
            atomic_store(&magazine->count, (uint16_t)batch);
            xa_arena_put_magazine(arena, CLASS, magazine);
            break;
        }
        default: {
            if (count + XA_MAGAZINE_OBJECTS_MAX > HELD_MAX)
                break;
            struct xa_magazine *magazine = xa_arena_take_magazine(arena, CLASS);
            if (magazine == NULL)
                break;
            unsigned number = atomic_load(&magazine->count);
            for (unsigned i = 0; i < number; i++) {
                held[count] = *(xa_magazine_end(magazine) - 1 - i);
                *(uintptr_t *)held[count++] = index;
            }
            xa_magazine_discard(magazine);
        }
        }
    }
    expect(xa_arena_return(CLASS, held, count, XA_ARENA_WAIT) == count);
    xa_arena_leave(arena);
}

static void
threads_lose_and_double_no_object(void **state)
{
    (void)state;
    begin(2);
    /* Both arenas are there, whatever the order in which the threads run. */
    xa_arena_leave(xa_arena_assign());
    struct xa_arena *first = xa_arena_assign();
    xa_arena_leave(xa_arena_assign());
    xa_arena_leave(first);
    assert_true(xa_threads_run(THREADS, send_and_receive, NULL, SECONDS));
    assert_int_equal(faults, 0);
    (void)xa_arena_trim(0);
    assert_int_equal(taken_slots(), 0);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(atomic_load(&xa_arena_at(i)->threads), 0);
        assert_int_equal(atomic_load(&bin_of(i, CLASS)->counters.allocations),
            atomic_load(&bin_of(i, CLASS)->counters.frees));
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(threads_are_spread_over_the_arenas),
        XA_OS_FAKE_FRESH(one_arena_serves_all_if_there_is_one),
        XA_OS_FAKE_FRESH(without_memory_for_another_the_first_serves),
        XA_OS_FAKE_FRESH(objects_of_every_class_are_apart_and_writable),
        XA_OS_FAKE_FRESH(objects_go_home_to_the_arena_they_are_from),
        XA_OS_FAKE_FRESH(who_has_no_time_stops_at_a_busy_bin),
        XA_OS_FAKE_FRESH(magazines_are_found_in_the_own_depot_first),
        XA_OS_FAKE_FRESH(what_piles_up_is_bounded_and_goes_back_to_slabs),
        XA_OS_FAKE_FRESH(nobody_waits_for_a_busy_bin_to_give_back),
        XA_OS_FAKE_FRESH(trimming_empties_everything),
        XA_OS_FAKE_FRESH(depots_that_nobody_uses_are_emptied_at_the_second_look),
        XA_OS_FAKE_FRESH(requests_that_missed_are_sampled),
        XA_OS_FAKE_FRESH(out_of_memory_is_none_and_nothing_is_lost),
        XA_OS_FAKE_FRESH(a_child_has_one_thread_in_its_arena),
        XA_OS_FAKE_FRESH(threads_lose_and_double_no_object),
    };
    seed = xa_seed_choose(NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
