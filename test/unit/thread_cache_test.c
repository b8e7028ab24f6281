/*
 * thread_cache_test.c - magazines go round, and every object is in one place.
 *
 * The test pops and pushes as alloc/fast_path.h does, and a shadow set knows which
 * objects are out: none comes twice, and at the end the slabs have all of them.
 */
#include "thread/thread_cache.h"

#include "support/os_fake.h"

#include <string.h>

#include "arena/slab.h"
#include "config/options.h"
#include "extent/metadata.h"
#include "support/seed.h"
#include "support/threads.h"

enum {
    CLASS = 4, /* 64 bytes */
    BUDGET_BYTES = 1 << 28,
    OUT_MAX = 2000,
    ROUNDS = 60000,
    THREADS = 4,
    SECONDS = 120,
};

static uint64_t seed;
static _Thread_local unsigned quick; /* misses that only changed magazines */

static struct xa_thread_state *
new_thread(void)
{
    struct xa_thread_state *state = xa_thread_state_take();
    assert_non_null(state);
    state->arena = xa_arena_assign();
    return state;
}

static struct xa_thread_state *
begin(unsigned arenas)
{
    xa_os_init();
    xa_size_class_init(xa_os_facts.page_bytes);
    xa_options.dirty_decay_ms = -1;
    xa_arena_init();
    xa_arena_set_limit(arenas);
    xa_thread_cache_budget.bytes = BUDGET_BYTES;
    return new_thread();
}

static void *
pop(struct xa_thread_state *state, unsigned size_class)
{
    xa_slot *top = atomic_load_explicit(&state->tops[size_class], memory_order_relaxed);
    if (*top == NULL) {
        void *object = xa_thread_cache_take_spare(state, size_class);
        quick += object != NULL;
        return object != NULL ? object : xa_thread_cache_refill(state, size_class);
    }
    atomic_store_explicit(&state->tops[size_class], top + 1, memory_order_relaxed);
    return *top;
}

static void
push(struct xa_thread_state *state, unsigned size_class, void *object)
{
    xa_slot *top = atomic_load_explicit(&state->tops[size_class], memory_order_relaxed);
    if (xa_magazine_is_full_at(top)) {
        if (xa_thread_cache_make_spare(state, size_class, object))
            quick++;
        else
            xa_thread_cache_overflow(state, size_class, object);
        return;
    }
    top[-1] = object;
    atomic_store_explicit(&state->tops[size_class], top - 1, memory_order_relaxed);
}

static size_t
taken_slots(unsigned size_class)
{
    size_t sum = 0;
    for (unsigned i = 0; xa_arena_at(i) != NULL; i++)
        sum += xa_bin_taken_slots(&xa_arena_at(i)->bins[size_class].counters);
    return sum;
}

static size_t
waiting(unsigned size_class)
{
    size_t sum = 0;
    for (unsigned i = 0; xa_arena_at(i) != NULL; i++)
        sum += xa_depot_objects(&xa_arena_at(i)->bins[size_class].depot) +
            atomic_load(&xa_arena_at(i)->bins[size_class].reserve_objects);
    for (struct xa_thread_state *at = xa_thread_state_all(); at != NULL; at = at->next)
        sum += xa_thread_state_objects(at, size_class);
    return sum;
}

static void
what_is_pushed_last_is_popped_first(void **state)
{
    void *objects[10];
    (void)state;
    struct xa_thread_state *own = begin(1);
    for (int i = 0; i < 10; i++)
        assert_non_null(objects[i] = pop(own, CLASS));
    for (int i = 0; i < 10; i++)
        push(own, CLASS, objects[i]);
    for (int i = 10; i-- > 0;)
        assert_ptr_equal(pop(own, CLASS), objects[i]);
}

static void
batches_of_a_magazine_only_change_magazines(void **state)
{
    enum { BATCH = XA_MAGAZINE_OBJECTS_MAX + 1, WARM = 20, BATCHES = 1000 };
    void *objects[BATCH];
    (void)state;
    struct xa_thread_state *own = begin(1);
    for (unsigned batch = 0; batch < WARM + BATCHES; batch++) {
        if (batch == WARM)
            quick = 0;
        for (unsigned i = 0; i < BATCH; i++)
            assert_non_null(objects[i] = pop(own, CLASS));
        for (unsigned i = 0; i < BATCH; i++)
            push(own, CLASS, objects[i]);
    }
    /* One miss in 64 looks after other things, and so may its neighbour. */
    assert_true(quick > BATCHES * 9 / 10);
    assert_int_equal(taken_slots(CLASS), waiting(CLASS));
}

/* What a magazine of the class may hold at most: objects, and bytes unless there are two. */
static unsigned
bound_of(unsigned size_class)
{
    unsigned bytes = xa_size_class_table[size_class].object_bytes;
    unsigned objects = 16384 / bytes, handful = 131072 / bytes;
    if (handful > 8)
        handful = 8;
    if (objects < handful)
        return handful;
    return objects < XA_MAGAZINE_OBJECTS_MAX ? objects : XA_MAGAZINE_OBJECTS_MAX;
}

static void
a_class_starts_slowly(void **state)
{
    (void)state;
    struct xa_thread_state *own = begin(1);
    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++) {
        /* Who needs one object gets one, and no magazine. */
        assert_non_null(pop(own, c));
        assert_int_equal(xa_thread_state_objects(own, c), 0);
        assert_null(atomic_load(&own->actives[c]));
        assert_int_equal(taken_slots(c), 1);
    }
    assert_int_equal(atomic_load(&xa_thread_cache_budget.used_bytes), 0);
    /* The more misses, the more comes at once. */
    size_t misses = 0;
    for (int i = 0; i < 1000; i++) {
        misses += xa_thread_state_objects(own, CLASS) == 0;
        assert_non_null(pop(own, CLASS));
    }
    assert_true(misses < 1000 / XA_MAGAZINE_OBJECTS_MAX + 10);
}

/* Magazines that come from a slab: the depot has none for a class that nobody used yet. */
static void
who_follows_a_thread_begins_with_a_magazine(void **state)
{
    (void)state;
    struct xa_thread_state *own = begin(1);
    unsigned used = CLASS, unused = CLASS + 1;
    void *object = pop(own, used);
    push(own, used, object);
    xa_thread_cache_flush(own);
    xa_thread_state_return(own);
    struct xa_thread_state *next = xa_thread_state_take();
    assert_ptr_equal(next, own);
    atomic_store(&next->arena, xa_arena_at(0));
    (void)xa_arena_trim(0);
    assert_non_null(pop(next, used));
    assert_true(xa_thread_state_objects(next, used) > 1);
    assert_non_null(pop(next, unused));
    assert_int_equal(xa_thread_state_objects(next, unused), 0);
    assert_int_equal(atomic_load(&xa_thread_cache_budget.used_bytes), 0);
}

static void
what_is_handed_out_first_has_a_cache_line_of_its_own(void **state)
{
    enum { SMALLEST = 1, LINE_BYTES = 64, SINGLES = 3 };
    (void)state;
    struct xa_thread_state *self = begin(1);
    void *objects[XA_MAGAZINE_OBJECTS_MAX], *others[LINE_BYTES];
    unsigned count = xa_arena_take(self->arena, SMALLEST, others, LINE_BYTES);
    assert_int_equal(count, LINE_BYTES);
    /* Others keep two of three objects; the rest of the slab was never used. */
    for (unsigned i = 0; i < SINGLES * 3; i += 3)
        assert_int_equal(xa_arena_return(SMALLEST, &others[i], 1, XA_ARENA_WAIT), 1);
    self->steps[SMALLEST] = 6;
    for (unsigned i = 0; i < 8; i++) {
        objects[i] = pop(self, SMALLEST);
        for (unsigned j = 0; j < SINGLES * 3; j++)
            assert_int_not_equal(
                (uintptr_t)objects[i] / LINE_BYTES, (uintptr_t)others[j] / LINE_BYTES);
    }
    /* The singles come in their turn. */
    unsigned singles = 0;
    for (unsigned i = 0; i < XA_MAGAZINE_OBJECTS_MAX; i++) {
        void *object = pop(self, SMALLEST);
        for (unsigned j = 0; j < SINGLES * 3; j += 3)
            singles += object == others[j];
    }
    assert_int_equal(singles, SINGLES);
}

static void
a_cache_is_bounded_by_number_and_bytes(void **state)
{
    static void *objects[OUT_MAX];
    (void)state;
    struct xa_thread_state *own = begin(1);
    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++) {
        unsigned bound = bound_of(c), count = 8 * bound;
        for (int round = 0; round < 4; round++) {
            for (unsigned i = 0; i < count; i++)
                assert_non_null(objects[i] = pop(own, c));
            for (unsigned i = 0; i < count; i++) {
                push(own, c, objects[i]);
                /* An active magazine and a spare one, not more. */
                assert_true(xa_thread_state_objects(own, c) <= 2 * bound);
            }
        }
        assert_true(xa_thread_state_objects(own, c) > bound);
        assert_int_equal(taken_slots(c), waiting(c));
    }
}

static void
all_caches_together_keep_to_a_budget(void **state)
{
    static void *objects[100];
    struct xa_thread_state *states[8];
    size_t cached = 0;
    (void)state;
    states[0] = begin(1);
    xa_thread_cache_budget.bytes = 300000;
    for (int i = 1; i < 8; i++)
        states[i] = new_thread();
    for (int round = 0; round < 5; round++)
        for (int i = 0; i < 8; i++)
            for (unsigned c = 1; c <= XA_SMALL_CLASSES; c += 3) {
                for (int j = 0; j < 100; j++)
                    assert_non_null(objects[j] = pop(states[i], c));
                for (int j = 0; j < 100; j++)
                    push(states[i], c, objects[j]);
                assert_true(atomic_load(&xa_thread_cache_budget.used_bytes) <= 300000);
            }
    for (int i = 0; i < 8; i++)
        for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++)
            cached += xa_thread_state_objects(states[i], c) * xa_size_class_table[c].object_bytes;
    /* A cache is charged for one of its two magazines, and not for the first kilobyte. */
    assert_in_range(cached, 1, 2 * 300000 + 8 * (XA_SMALL_CLASSES / 3) * 2 * 1024);
    for (int i = 0; i < 8; i++)
        xa_thread_cache_flush(states[i]);
    assert_int_equal(atomic_load(&xa_thread_cache_budget.used_bytes), 0);
    (void)xa_arena_trim(0);
    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++)
        assert_int_equal(taken_slots(c), 0);
}

static void
without_a_budget_caches_stay_at_their_first_step(void **state)
{
    void *objects[50];
    (void)state;
    struct xa_thread_state *own = begin(1);
    xa_thread_cache_budget.bytes = 0;
    for (int i = 0; i < 50; i++)
        assert_non_null(objects[i] = pop(own, CLASS));
    for (int i = 0; i < 50; i++)
        push(own, CLASS, objects[i]);
    /* The first step is free: a kilobyte in each of two magazines. */
    assert_in_range(xa_thread_state_objects(own, CLASS), 1, 16);
    assert_int_equal(taken_slots(CLASS), waiting(CLASS));
}

static void
a_flush_leaves_nothing_in_the_thread(void **state)
{
    void *objects[500];
    (void)state;
    struct xa_thread_state *own = begin(1);
    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c += 3) {
        for (int i = 0; i < 100; i++)
            assert_non_null(objects[i] = pop(own, c));
        for (int i = 0; i < 100; i++)
            push(own, c, objects[i]);
    }
    xa_thread_cache_flush(own);
    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++) {
        assert_int_equal(xa_thread_state_objects(own, c), 0);
        assert_ptr_equal(atomic_load(&own->tops[c]), &xa_thread_state_nothing);
    }
    (void)xa_arena_trim(0);
    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++)
        assert_int_equal(taken_slots(c), 0);
    /* Magazines' memory is back as well: the second round needs no more than the first. */
    size_t used = xa_metadata_used_bytes();
    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < 500; i++)
            assert_non_null(objects[i] = pop(own, CLASS));
        for (int i = 0; i < 500; i++)
            push(own, CLASS, objects[i]);
        xa_thread_cache_flush(own);
        (void)xa_arena_trim(0);
    }
    assert_int_equal(xa_metadata_used_bytes(), used);
}

static void
what_one_thread_frees_another_gets_without_new_slabs(void **state)
{
    void *objects[OUT_MAX];
    (void)state;
    struct xa_thread_state *producer = begin(2), *consumer = new_thread();
    assert_ptr_not_equal(producer->arena, consumer->arena);
    size_t made = 0;
    for (int round = 0; round < 200; round++) {
        for (int i = 0; i < 100; i++)
            assert_non_null(objects[i] = pop(producer, CLASS));
        for (int i = 0; i < 100; i++)
            push(consumer, CLASS, objects[i]);
        if (round == 20)
            made = atomic_load(&producer->arena->bins[CLASS].counters.slabs_made);
    }
    assert_int_equal(atomic_load(&producer->arena->bins[CLASS].counters.slabs_made), made);
    assert_int_equal(atomic_load(&consumer->arena->bins[CLASS].counters.slabs_made), 0);
}

/* Objects that are out, as a set and as a list. */
struct shadow {
    void *out[OUT_MAX];
    unsigned count;
};

static bool
is_out(const struct shadow *shadow, const void *object)
{
    for (unsigned i = 0; i < shadow->count; i++)
        if (shadow->out[i] == object)
            return true;
    return false;
}

static void
traffic(struct xa_thread_state *own, struct shadow *shadow, struct xa_seed_random *numbers,
    unsigned size_class, unsigned rounds)
{
    for (unsigned round = 0; round < rounds; round++) {
        /* Tides, so that magazines run empty and over. */
        unsigned level = (round / 300) % 2 ? 3 : 7;
        if (xa_seed_below(numbers, 10) < level && shadow->count < 400) {
            void *object = pop(own, size_class);
            if (object == NULL) {
                assert_true(xa_os_fake_failures() > 0);
                continue;
            }
            assert_false(is_out(shadow, object));
            shadow->out[shadow->count++] = object;
        } else if (shadow->count > 0) {
            unsigned index = (unsigned)xa_seed_below(numbers, shadow->count);
            void *object = shadow->out[index];
            shadow->out[index] = shadow->out[--shadow->count];
            push(own, size_class, object);
        }
    }
}

static void
random_traffic_loses_and_doubles_no_object(void **state)
{
    static struct shadow shadow;
    struct xa_seed_random numbers = xa_seed_start(seed, 0);
    (void)state;
    struct xa_thread_state *own = begin(1);
    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c += 7) {
        for (int part = 0; part < 20; part++) {
            traffic(own, &shadow, &numbers, c, 500);
            assert_int_equal(taken_slots(c), shadow.count + waiting(c));
        }
        while (shadow.count > 0)
            push(own, c, shadow.out[--shadow.count]);
        xa_thread_cache_flush(own);
        (void)xa_arena_trim(0);
        assert_int_equal(taken_slots(c), 0);
    }
}

static void
without_memory_for_magazines_objects_still_come_and_go(void **state)
{
    static struct shadow shadow;
    struct xa_seed_random numbers = xa_seed_start(seed, 1);
    (void)state;
    struct xa_thread_state *own = begin(1);
    for (int part = 0; part < 40; part++) {
        xa_os_fake_fail(XA_OS_FAKE_ANY, 1 + xa_seed_below(&numbers, 3), XA_OS_FAKE_FROM_THEN_ON);
        /* All metadata is used up: not even a magazine can be had. */
        while (part % 2 == 0 && xa_metadata_take(64) != NULL)
            continue;
        for (size_t bytes = 128; part % 2 == 0 && bytes <= 512; bytes *= 2)
            while (xa_metadata_take(bytes) != NULL)
                continue;
        traffic(own, &shadow, &numbers, CLASS, 500);
        assert_int_equal(taken_slots(CLASS), shadow.count + waiting(CLASS));
        xa_os_fake_stop_failing();
    }
    while (shadow.count > 0)
        push(own, CLASS, shadow.out[--shadow.count]);
    xa_thread_cache_flush(own);
    (void)xa_arena_trim(0);
    assert_int_equal(taken_slots(CLASS), 0);
}

static void
a_child_adopts_the_caches_of_threads_that_are_gone(void **state)
{
    static struct shadow shadow;
    struct xa_seed_random numbers = xa_seed_start(seed, 2);
    (void)state;
    struct xa_thread_state *own = begin(1), *gone = new_thread();
    traffic(gone, &shadow, &numbers, CLASS, 5000);
    /* Its cache may just have run dry. */
    push(gone, CLASS, pop(gone, CLASS));
    size_t left = waiting(CLASS);
    assert_true(xa_thread_state_objects(gone, CLASS) > 0);
    xa_thread_state_self = own;
    xa_thread_state_reset_in_child();
    xa_arena_reset_in_child(own->arena);
    size_t asked = atomic_load(&own->arena->bins[CLASS].counters.allocations);
    /* The next miss is one of those that adopt. */
    own->misses = 255;
    /* What depots and caches have is used up before slabs are asked. */
    for (size_t i = 0; i < left; i++) {
        void *object = pop(own, CLASS);
        assert_non_null(object);
        assert_false(is_out(&shadow, object));
        shadow.out[shadow.count++] = object;
    }
    assert_int_equal(atomic_load(&own->arena->bins[CLASS].counters.allocations), asked);
    assert_int_equal(waiting(CLASS), 0);
    assert_false(atomic_load(&gone->is_used));
    assert_int_equal(taken_slots(CLASS), shadow.count + waiting(CLASS));
    xa_thread_state_self = XA_THREAD_STATE_NONE;
}

/*
 * The states that a fork may cut attach() and detach() in: the top is off (or not yet
 * on) while the magazine is there.
 */
static void
an_active_magazine_that_was_cut_is_adopted_whole(void **state)
{
    void *objects[30];
    (void)state;
    struct xa_thread_state *own = begin(1), *gone = new_thread();
    for (int i = 0; i < 30; i++)
        assert_non_null(objects[i] = pop(gone, CLASS));
    for (int i = 0; i < 30; i++)
        push(gone, CLASS, objects[i]);
    struct xa_magazine *active = atomic_load(&gone->actives[CLASS]);
    xa_slot *top = atomic_load(&gone->tops[CLASS]);
    atomic_store(&active->count, (uint16_t)(xa_magazine_end(active) - top));
    atomic_store(&gone->tops[CLASS], (xa_slot *)(uintptr_t)&xa_thread_state_nothing);
    xa_thread_state_self = own;
    xa_thread_state_reset_in_child();
    struct xa_thread_state *orphan = xa_thread_state_take_orphan();
    assert_ptr_equal(orphan, gone);
    xa_thread_cache_flush(orphan);
    xa_thread_state_return(orphan);
    (void)xa_arena_trim(0);
    assert_int_equal(taken_slots(CLASS), 0);
    xa_thread_state_self = XA_THREAD_STATE_NONE;
}

/* A purger that put the tops aside and went away, or did not come into a child. */
static void
tops_that_were_put_aside_can_be_put_back(void **state)
{
    static void *objects[100];
    (void)state;
    struct xa_thread_state *own = begin(1);
    for (int i = 0; i < 100; i++)
        assert_non_null(objects[i] = pop(own, CLASS));
    for (int i = 0; i < 100; i++)
        push(own, CLASS, objects[i]);
    size_t cached = xa_thread_state_objects(own, CLASS);
    atomic_store(&own->saved[CLASS], atomic_load(&own->tops[CLASS]));
    atomic_store(&own->tops[CLASS], (xa_slot *)(uintptr_t)&xa_thread_state_nothing);
    atomic_store(&own->revocation, XA_REVOCATION_PREPARED);
    assert_int_equal(xa_thread_state_objects(own, CLASS), cached);
    xa_thread_cache_restore(own);
    assert_int_equal(own->revocation, XA_REVOCATION_NONE);
    assert_null(atomic_load(&own->saved[CLASS]));
    assert_int_equal(xa_thread_state_objects(own, CLASS), cached);
    assert_ptr_equal(pop(own, CLASS), objects[99]);
    /* Where an operation of the owner was under way it has won: what it stored stays. */
    xa_slot *top = atomic_load(&own->tops[CLASS]);
    atomic_store(&own->saved[CLASS], top + 1);
    xa_thread_cache_restore(own);
    assert_ptr_equal(atomic_load(&own->tops[CLASS]), top);
}

/* ---- Threads: each passes on what it got to the next. ---- */

enum { RING = 256 };

static struct {
    _Atomic(void *) slots[RING];
} rings[THREADS];
static _Atomic unsigned faults;

static void
pass_on(unsigned index, void *argument)
{
    struct xa_thread_state **states = argument;
    struct xa_seed_random numbers = xa_seed_start(seed, 10 + index);
    unsigned next = (index + 1) % THREADS;
    for (int round = 0; round < ROUNDS; round++) {
        void *object = pop(states[index], CLASS);
        if (object == NULL) {
            atomic_fetch_add(&faults, 1);
            continue;
        }
        /* Had two threads the same object, one would see the other's mark. */
        *(uintptr_t *)object = index;
        if (round % 64 == 0)
            xa_os_yield();
        if (*(uintptr_t *)object != index)
            atomic_fetch_add(&faults, 1);
        object = atomic_exchange(&rings[next].slots[xa_seed_below(&numbers, RING)], object);
        if (object != NULL)
            push(states[index], CLASS, object);
        object = atomic_exchange(&rings[index].slots[xa_seed_below(&numbers, RING)], NULL);
        if (object != NULL)
            push(states[index], CLASS, object);
    }
}

static void
threads_that_pass_objects_on_lose_and_double_none(void **state)
{
    struct xa_thread_state *states[THREADS];
    (void)state;
    states[0] = begin(2);
    for (int i = 1; i < THREADS; i++)
        states[i] = new_thread();
    assert_true(xa_threads_run(THREADS, pass_on, states, SECONDS));
    assert_int_equal(faults, 0);
    size_t out = 0;
    for (int i = 0; i < THREADS; i++)
        for (int j = 0; j < RING; j++)
            out += rings[i].slots[j] != NULL;
    assert_int_equal(taken_slots(CLASS), out + waiting(CLASS));
    for (int i = 0; i < THREADS; i++)
        for (int j = 0; j < RING; j++)
            if (rings[i].slots[j] != NULL)
                push(states[i], CLASS, rings[i].slots[j]);
    for (int i = 0; i < THREADS; i++)
        xa_thread_cache_flush(states[i]);
    (void)xa_arena_trim(0);
    assert_int_equal(taken_slots(CLASS), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(batches_of_a_magazine_only_change_magazines),
        XA_OS_FAKE_FRESH(what_is_pushed_last_is_popped_first),
        XA_OS_FAKE_FRESH(a_class_starts_slowly),
        XA_OS_FAKE_FRESH(who_follows_a_thread_begins_with_a_magazine),
        XA_OS_FAKE_FRESH(what_is_handed_out_first_has_a_cache_line_of_its_own),
        XA_OS_FAKE_FRESH(a_cache_is_bounded_by_number_and_bytes),
        XA_OS_FAKE_FRESH(all_caches_together_keep_to_a_budget),
        XA_OS_FAKE_FRESH(without_a_budget_caches_stay_at_their_first_step),
        XA_OS_FAKE_FRESH(a_flush_leaves_nothing_in_the_thread),
        XA_OS_FAKE_FRESH(what_one_thread_frees_another_gets_without_new_slabs),
        XA_OS_FAKE_FRESH(random_traffic_loses_and_doubles_no_object),
        XA_OS_FAKE_FRESH(without_memory_for_magazines_objects_still_come_and_go),
        XA_OS_FAKE_FRESH(a_child_adopts_the_caches_of_threads_that_are_gone),
        XA_OS_FAKE_FRESH(an_active_magazine_that_was_cut_is_adopted_whole),
        XA_OS_FAKE_FRESH(tops_that_were_put_aside_can_be_put_back),
        XA_OS_FAKE_FRESH(threads_that_pass_objects_on_lose_and_double_none),
    };
    seed = xa_seed_choose(NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
