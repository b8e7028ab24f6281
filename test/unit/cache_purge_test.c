/*
 * cache_purge_test.c - who gets a cache: the purger, or the owner who comes back to it.
 *
 * One thread plays all parts, a step of the protocol at a time: the purger by
 * xa_cache_purge_run(), owners by pop() and push(), which do what alloc/fast_path.h and
 * the door of a slow path do.  The fake host says who sleeps.  All owners are this very
 * thread to the host, so what it says holds for all of them.  At the end of every test
 * each object must be in just one place.  The last test has owners that really sleep,
 * and a purger that never does.
 */
#include "thread/cache_purge.h"

#include "support/os_fake.h"

#include <pthread.h>
#include <unistd.h>

#include "alloc/fast_path.h"
#include "config/options.h"
#include "support/seed.h"
#include "support/threads.h"
#include "thread/thread_cache.h"

/* As a program's own settings, for the test that starts all of it: no other purger. */
extern const char *xalloc_conf;
const char *xalloc_conf = "background_thread:false,narenas:1";

enum {
    CLASS = 4, /* 64 bytes */
    OTHER_CLASS = 9,
    OBJECTS = 200,
    OUT_MAX = 1000,
    OWNERS = 3,
    ROUNDS = 20000,
    CLASSES = 3,
};

#define MASK UINT64_C(0x4000)

static const unsigned classes[CLASSES] = {1, CLASS, 40};

static uint64_t seed;
static bool left;

/* ---- The parts ---- */

static struct xa_thread_state *
new_owner(void)
{
    struct xa_thread_state *state = xa_thread_state_take();
    assert_non_null(state);
    state->arena = xa_arena_assign();
    return state;
}

static struct xa_thread_state *
begin(void)
{
    xa_os_init();
    xa_size_class_init(xa_os_facts.page_bytes);
    xa_options.dirty_decay_ms = -1;
    atomic_store(&xa_thread_cache_budget.bytes, (size_t)64 << 20);
    xa_os_fake_set_signal_mask(MASK);
    xa_arena_init();
    return new_owner();
}

static void
fall_asleep(void)
{
    xa_os_fake_set_asleep(xa_os_thread_number(), MASK);
}

/* At rest when it is asked first, and perhaps in a signal handler when it is asked again. */
static void
doze(void)
{
    xa_os_fake_set_asleep(xa_os_thread_number(), MASK | 1);
}

static xa_slot *
nothing(void)
{
    return (xa_slot *)(uintptr_t)&xa_thread_state_nothing;
}

static bool
enter(struct xa_thread_state *state)
{
    atomic_store(&state->is_inside, true);
    bool has_caches = xa_cache_purge_settle(state);
    assert_int_equal(atomic_load(&state->revocation),
        has_caches ? XA_REVOCATION_NONE : atomic_load(&state->revocation));
    return has_caches;
}

static void
leave(struct xa_thread_state *state)
{
    atomic_store(&state->is_inside, false);
}

static void *
pop(struct xa_thread_state *state, unsigned size_class)
{
    xa_slot *top = atomic_load(&state->tops[size_class]);
    void *object = *top;
    if (object != NULL) {
        atomic_store(&state->tops[size_class], top + 1);
        return object;
    }
    if (!enter(state)) {
        assert_int_equal(xa_arena_take(state->arena, size_class, &object, 1), 1);
    } else {
        top = atomic_load(&state->tops[size_class]);
        object = *top;
        if (object != NULL)
            atomic_store(&state->tops[size_class], top + 1);
        else
            object = xa_thread_cache_refill(state, size_class);
    }
    leave(state);
    assert_non_null(object);
    return object;
}

static void
push(struct xa_thread_state *state, unsigned size_class, void *object)
{
    xa_slot *top = atomic_load(&state->tops[size_class]);
    if (!xa_magazine_is_full_at(top)) {
        top[-1] = object;
        atomic_store(&state->tops[size_class], top - 1);
        return;
    }
    if (enter(state))
        xa_thread_cache_overflow(state, size_class, object);
    else
        assert_int_equal(xa_arena_return(size_class, &object, 1, XA_ARENA_WAIT), 1);
    leave(state);
}

/* Leave objects of the class in the owner's caches, in an active magazine and a spare. */
static void
fill(struct xa_thread_state *state, unsigned size_class)
{
    void *objects[OBJECTS];
    for (int i = 0; i < OBJECTS; i++)
        objects[i] = pop(state, size_class);
    for (int i = 0; i < OBJECTS; i++)
        push(state, size_class, objects[i]);
    assert_non_null(atomic_load(&state->actives[size_class]));
    assert_non_null(atomic_load(&state->spares[size_class]));
    assert_ptr_not_equal(atomic_load(&state->tops[size_class]), nothing());
}

/* ---- Where the objects are ---- */

static size_t
taken_slots(unsigned size_class)
{
    return xa_bin_taken_slots(&xa_arena_at(0)->bins[size_class].counters);
}

static size_t
waiting(unsigned size_class)
{
    struct xa_bin *bin = &xa_arena_at(0)->bins[size_class];
    size_t sum = xa_depot_objects(&bin->depot) + atomic_load(&bin->reserve_objects);
    for (struct xa_thread_state *at = xa_thread_state_all(); at != NULL; at = at->next)
        sum += xa_thread_state_objects(at, size_class);
    return sum;
}

static void
check_has_nothing(struct xa_thread_state *state)
{
    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++) {
        assert_int_equal(xa_thread_state_objects(state, c), 0);
        assert_ptr_equal(atomic_load(&state->tops[c]), nothing());
        assert_null(atomic_load(&state->actives[c]));
        assert_null(atomic_load(&state->spares[c]));
        assert_null(atomic_load(&state->saved[c]));
        /* The next magazine may be one miss away; for larger objects the first is a later step. */
        assert_true(state->steps[c] < 4 || xa_size_class_table[c].object_bytes > 512);
    }
    assert_null(state->empties);
    assert_int_equal(state->empty_count, 0);
    assert_int_equal(state->budget_bytes, 0);
    assert_int_equal(atomic_load(&state->revocation), XA_REVOCATION_NONE);
}

/* Nothing is out: when all caches are emptied, the slabs have every object. */
static void
end(void)
{
    for (struct xa_thread_state *at = xa_thread_state_all(); at != NULL; at = at->next) {
        assert_true(enter(at));
        xa_thread_cache_flush(at);
        leave(at);
        check_has_nothing(at);
    }
    (void)xa_arena_trim(0);
    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++)
        assert_int_equal(taken_slots(c), 0);
    assert_int_equal(atomic_load(&xa_thread_cache_budget.used_bytes), 0);
    xa_thread_state_self = XA_THREAD_STATE_NONE;
}

/* ---- Whose caches are taken ---- */

static void
idle_is_who_did_nothing_between_two_looks(void **state)
{
    (void)state;
    struct xa_thread_state *owner = begin();
    fill(owner, CLASS);
    fall_asleep();
    size_t objects = xa_thread_state_objects(owner, CLASS);
    assert_int_equal(xa_cache_purge_run(XA_CACHE_PURGE_IDLE, &left), 0);
    assert_true(left);
    assert_int_equal(xa_thread_state_objects(owner, CLASS), objects);
    assert_int_equal(atomic_load(&owner->revocation), XA_REVOCATION_NONE);
    /* It uses them: the count starts again. */
    void *object = pop(owner, CLASS);
    assert_int_equal(xa_cache_purge_run(XA_CACHE_PURGE_IDLE, &left), 0);
    assert_true(left);
    assert_int_equal(xa_thread_state_objects(owner, CLASS), objects - 1);
    assert_int_equal(xa_cache_purge_run(XA_CACHE_PURGE_IDLE, &left),
        (objects - 1) * xa_size_class_table[CLASS].object_bytes);
    assert_false(left);
    check_has_nothing(owner);
    assert_int_equal(taken_slots(CLASS), 1 + waiting(CLASS));
    assert_int_equal(xa_cache_purge_run(XA_CACHE_PURGE_IDLE, &left), 0);
    assert_false(left);
    push(owner, CLASS, object);
    end();
}

static void
a_spare_that_came_or_went_is_use_as_well(void **state)
{
    (void)state;
    struct xa_thread_state *owner = begin();
    fill(owner, CLASS);
    fall_asleep();
    assert_int_equal(xa_cache_purge_run(XA_CACHE_PURGE_IDLE, &left), 0);
    struct xa_magazine *spare = atomic_exchange(&owner->spares[CLASS], NULL);
    assert_int_equal(xa_cache_purge_run(XA_CACHE_PURGE_IDLE, &left), 0);
    assert_non_null(atomic_load(&owner->actives[CLASS]));
    atomic_store(&owner->spares[CLASS], spare);
    end();
}

static void
all_means_that_one_look_is_enough(void **state)
{
    (void)state;
    struct xa_thread_state *owner = begin(), *second = new_owner();
    fill(owner, CLASS);
    fill(second, CLASS);
    fill(second, OTHER_CLASS);
    fall_asleep();
    size_t bytes =
        (xa_thread_state_objects(owner, CLASS) + xa_thread_state_objects(second, CLASS)) *
            xa_size_class_table[CLASS].object_bytes +
        xa_thread_state_objects(second, OTHER_CLASS) *
            xa_size_class_table[OTHER_CLASS].object_bytes;
    assert_true(bytes > 0);
    assert_int_equal(xa_cache_purge_run(XA_CACHE_PURGE_ALL, &left), bytes);
    assert_false(left);
    check_has_nothing(owner);
    check_has_nothing(second);
    assert_int_equal(atomic_load(&xa_thread_cache_budget.used_bytes), 0);
    /* The owners go on, and their caches grow again. */
    fill(owner, CLASS);
    fill(second, CLASS);
    end();
}

static void
the_callers_own_caches_are_not_its_business(void **state)
{
    (void)state;
    struct xa_thread_state *owner = begin();
    fill(owner, CLASS);
    fall_asleep();
    xa_thread_state_self = owner;
    size_t objects = xa_thread_state_objects(owner, CLASS);
    assert_int_equal(xa_cache_purge_run(XA_CACHE_PURGE_ALL, &left), 0);
    assert_false(left);
    assert_int_equal(xa_thread_state_objects(owner, CLASS), objects);
    assert_int_equal(atomic_load(&owner->revocation), XA_REVOCATION_NONE);
    end();
}

static void
states_without_thread_are_passed_over(void **state)
{
    (void)state;
    struct xa_thread_state *owner = begin(), *gone = new_owner();
    fill(owner, CLASS);
    xa_thread_state_return(gone);
    fall_asleep();
    assert_true(xa_cache_purge_run(XA_CACHE_PURGE_ALL, &left) > 0);
    assert_false(left);
    end();
}

static void
who_sleeps_with_other_signals_blocked_is_left_alone(void **state)
{
    (void)state;
    struct xa_thread_state *owner = begin();
    fill(owner, CLASS);
    size_t objects = xa_thread_state_objects(owner, CLASS);
    /* As in a signal handler. */
    xa_os_fake_set_asleep(xa_os_thread_number(), MASK | 1);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(xa_cache_purge_run(XA_CACHE_PURGE_ALL, &left), 0);
        assert_true(left);
        assert_int_equal(xa_thread_state_objects(owner, CLASS), objects);
    }
    end();
}

static void
another_threads_sleep_does_not_count(void **state)
{
    (void)state;
    struct xa_thread_state *owner = begin();
    fill(owner, CLASS);
    size_t objects = xa_thread_state_objects(owner, CLASS);
    xa_os_fake_set_asleep(xa_os_thread_number() + 1, MASK);
    assert_int_equal(xa_cache_purge_run(XA_CACHE_PURGE_ALL, &left), 0);
    assert_true(left);
    assert_int_equal(xa_thread_state_objects(owner, CLASS), objects);
    end();
}

/* ---- The owner comes back ---- */

static void
a_running_owner_puts_its_caches_back_at_the_next_miss(void **state)
{
    xa_slot *tops[XA_CLASS_CODES];
    (void)state;
    struct xa_thread_state *owner = begin();
    fill(owner, CLASS);
    fill(owner, OTHER_CLASS);
    size_t objects = xa_thread_state_objects(owner, CLASS);
    for (unsigned c = 0; c < XA_CLASS_CODES; c++)
        tops[c] = atomic_load(&owner->tops[c]);
    void *next = *tops[CLASS];
    /* As long as it is awake, nothing is touched. */
    assert_int_equal(xa_cache_purge_run(XA_CACHE_PURGE_ALL, &left), 0);
    assert_true(left);
    assert_int_equal(atomic_load(&owner->revocation), XA_REVOCATION_NONE);
    for (unsigned c = 0; c < XA_CLASS_CODES; c++)
        assert_ptr_equal(atomic_load(&owner->tops[c]), tops[c]);
    /* What is put aside still counts, in reports and for the next look. */
    doze();
    assert_int_equal(xa_cache_purge_run(XA_CACHE_PURGE_ALL, &left), 0);
    assert_true(left);
    assert_int_equal(atomic_load(&owner->revocation), XA_REVOCATION_PREPARED);
    for (unsigned c = 0; c < XA_CLASS_CODES; c++)
        assert_ptr_equal(atomic_load(&owner->tops[c]), nothing());
    assert_int_equal(xa_thread_state_objects(owner, CLASS), objects);

    assert_ptr_equal(pop(owner, CLASS), next);
    assert_int_equal(atomic_load(&owner->revocation), XA_REVOCATION_NONE);
    assert_ptr_equal(atomic_load(&owner->tops[CLASS]), tops[CLASS] + 1);
    for (unsigned c = 0; c < XA_CLASS_CODES; c++) {
        assert_null(atomic_load(&owner->saved[c]));
        if (c != CLASS)
            assert_ptr_equal(atomic_load(&owner->tops[c]), tops[c]);
    }
    /* A free that misses does the same, and finds room. */
    assert_int_equal(xa_cache_purge_run(XA_CACHE_PURGE_ALL, &left), 0);
    push(owner, CLASS, next);
    assert_ptr_equal(atomic_load(&owner->tops[CLASS]), tops[CLASS]);
    assert_ptr_equal(*tops[CLASS], next);
    end();
}

static void
an_owner_that_falls_asleep_later_is_taken_then(void **state)
{
    (void)state;
    struct xa_thread_state *owner = begin();
    fill(owner, CLASS);
    size_t bytes = xa_thread_state_objects(owner, CLASS) * xa_size_class_table[CLASS].object_bytes;
    doze();
    assert_int_equal(xa_cache_purge_run(XA_CACHE_PURGE_IDLE, &left), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(xa_cache_purge_run(XA_CACHE_PURGE_IDLE, &left), 0);
        assert_true(left);
        assert_int_equal(atomic_load(&owner->revocation), XA_REVOCATION_PREPARED);
    }
    fall_asleep();
    assert_int_equal(xa_cache_purge_run(XA_CACHE_PURGE_IDLE, &left), bytes);
    assert_false(left);
    check_has_nothing(owner);
    end();
}

static void
an_owner_in_a_slow_path_is_left_alone(void **state)
{
    (void)state;
    struct xa_thread_state *owner = begin();
    fill(owner, CLASS);
    fall_asleep();
    xa_slot *top = atomic_load(&owner->tops[CLASS]);
    assert_true(enter(owner));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(xa_cache_purge_run(XA_CACHE_PURGE_ALL, &left), 0);
        assert_true(left);
        assert_ptr_equal(atomic_load(&owner->tops[CLASS]), top);
        assert_int_equal(atomic_load(&owner->revocation), XA_REVOCATION_NONE);
    }
    leave(owner);
    assert_true(xa_cache_purge_run(XA_CACHE_PURGE_ALL, &left) > 0);
    end();
}

static void
an_owner_that_comes_to_its_door_first_keeps_its_caches(void **state)
{
    (void)state;
    struct xa_thread_state *owner = begin();
    fill(owner, CLASS);
    xa_slot *top = atomic_load(&owner->tops[CLASS]);
    /* The purger has asked, and the owner wakes before it goes on. */
    atomic_store(&owner->revocation, XA_REVOCATION_WANTED);
    assert_true(enter(owner));
    assert_int_equal(atomic_load(&owner->revocation), XA_REVOCATION_NONE);
    leave(owner);
    assert_ptr_equal(atomic_load(&owner->tops[CLASS]), top);
    end();
}

static void
an_owner_does_without_while_the_purger_is_at_its_caches(void **state)
{
    static const uint32_t busy[] = {XA_REVOCATION_SWAPPING, XA_REVOCATION_TAKING};
    (void)state;
    struct xa_thread_state *owner = begin();
    fill(owner, CLASS);
    xa_slot *top = atomic_load(&owner->tops[CLASS]);
    for (int i = 0; i < 2; i++) {
        size_t taken = taken_slots(CLASS);
        atomic_store(&owner->tops[CLASS], nothing());
        atomic_store(&owner->saved[CLASS], top);
        atomic_store(&owner->revocation, busy[i]);
        assert_false(xa_cache_purge_settle(owner));
        void *object = pop(owner, CLASS);
        assert_int_equal(taken_slots(CLASS), taken + 1);
        push(owner, CLASS, object);
        assert_int_equal(taken_slots(CLASS), taken);
        assert_int_equal(atomic_load(&owner->revocation), busy[i]);
        assert_ptr_equal(atomic_load(&owner->saved[CLASS]), top);
        assert_ptr_equal(atomic_load(&owner->tops[CLASS]), nothing());
        /* Nor does a second purger touch them. */
        fall_asleep();
        assert_int_equal(xa_cache_purge_run(XA_CACHE_PURGE_ALL, &left), 0);
        assert_int_equal(atomic_load(&owner->revocation), busy[i]);
        xa_thread_cache_restore(owner);
        assert_ptr_equal(atomic_load(&owner->tops[CLASS]), top);
    }
    end();
}

/* ---- An operation was under way: it stores its top after the purger's exchange. ---- */

static void
a_pop_under_way_wins_against_the_purger(void **state)
{
    (void)state;
    struct xa_thread_state *owner = begin();
    fill(owner, CLASS);
    fill(owner, OTHER_CLASS);
    xa_slot *top = atomic_load(&owner->tops[CLASS]);
    void *object = *top;
    doze();
    assert_int_equal(xa_cache_purge_run(XA_CACHE_PURGE_ALL, &left), 0);
    atomic_store(&owner->tops[CLASS], top + 1);
    fall_asleep();
    size_t active = (size_t)(xa_magazine_end(atomic_load(&owner->actives[CLASS])) - (top + 1));
    size_t all = xa_thread_state_objects(owner, OTHER_CLASS);
    size_t spare = atomic_load(&owner->spares[CLASS])->count;
    assert_int_equal(xa_cache_purge_run(XA_CACHE_PURGE_ALL, &left),
        spare * xa_size_class_table[CLASS].object_bytes +
            all * xa_size_class_table[OTHER_CLASS].object_bytes);
    /* The winner keeps its active magazine; all else is gone. */
    assert_ptr_equal(atomic_load(&owner->tops[CLASS]), top + 1);
    assert_int_equal(xa_thread_state_objects(owner, CLASS), active);
    assert_int_equal(xa_thread_state_objects(owner, OTHER_CLASS), 0);
    assert_int_equal(taken_slots(CLASS), 1 + waiting(CLASS));
    push(owner, CLASS, object);
    assert_ptr_equal(*atomic_load(&owner->tops[CLASS]), object);
    /* Asleep for good, it loses that as well. */
    assert_int_equal(xa_cache_purge_run(XA_CACHE_PURGE_ALL, &left),
        (active + 1) * xa_size_class_table[CLASS].object_bytes);
    check_has_nothing(owner);
    end();
}

static void
a_push_under_way_wins_against_the_purger(void **state)
{
    (void)state;
    struct xa_thread_state *owner = begin();
    fill(owner, CLASS);
    void *object = pop(owner, CLASS);
    xa_slot *top = atomic_load(&owner->tops[CLASS]);
    doze();
    assert_int_equal(xa_cache_purge_run(XA_CACHE_PURGE_ALL, &left), 0);
    top[-1] = object;
    atomic_store(&owner->tops[CLASS], top - 1);
    fall_asleep();
    (void)xa_cache_purge_run(XA_CACHE_PURGE_ALL, &left);
    assert_ptr_equal(atomic_load(&owner->tops[CLASS]), top - 1);
    assert_int_equal(taken_slots(CLASS), waiting(CLASS));
    assert_ptr_equal(pop(owner, CLASS), object);
    push(owner, CLASS, object);
    end();
}

static void
an_owner_that_won_keeps_its_top_when_it_settles(void **state)
{
    (void)state;
    struct xa_thread_state *owner = begin();
    fill(owner, CLASS);
    fill(owner, OTHER_CLASS);
    xa_slot *top = atomic_load(&owner->tops[CLASS]);
    xa_slot *other = atomic_load(&owner->tops[OTHER_CLASS]);
    void *object = *top;
    doze();
    assert_int_equal(xa_cache_purge_run(XA_CACHE_PURGE_ALL, &left), 0);
    atomic_store(&owner->tops[CLASS], top + 1);
    void *second = pop(owner, OTHER_CLASS);
    assert_ptr_equal(atomic_load(&owner->tops[CLASS]), top + 1);
    assert_ptr_equal(atomic_load(&owner->tops[OTHER_CLASS]), other + 1);
    push(owner, CLASS, object);
    push(owner, OTHER_CLASS, second);
    end();
}

/* ---- A child of a fork ---- */

/* The state's owner is gone: another thread's miss adopts what it had. */
static void
adopt(struct xa_thread_state *own, struct xa_thread_state *gone)
{
    xa_thread_state_self = own;
    xa_thread_state_reset_in_child();
    struct xa_thread_state *orphan = xa_thread_state_take_orphan();
    assert_ptr_equal(orphan, gone);
    xa_thread_cache_restore(orphan);
    xa_thread_cache_flush(orphan);
    check_has_nothing(orphan);
    xa_thread_state_return(orphan);
}

static void
caches_put_aside_are_whole_in_a_child(void **state)
{
    (void)state;
    struct xa_thread_state *own = begin(), *gone = new_owner();
    fill(gone, CLASS);
    fill(gone, OTHER_CLASS);
    doze();
    assert_int_equal(xa_cache_purge_run(XA_CACHE_PURGE_ALL, &left), 0);
    assert_int_equal(atomic_load(&gone->revocation), XA_REVOCATION_PREPARED);
    adopt(own, gone);
    end();
}

static void
caches_half_put_aside_are_whole_in_a_child(void **state)
{
    (void)state;
    struct xa_thread_state *own = begin(), *gone = new_owner();
    fill(gone, CLASS);
    fill(gone, OTHER_CLASS);
    /* One is off; of the next only the copy is written; the purger did not come along. */
    atomic_store(&gone->revocation, XA_REVOCATION_SWAPPING);
    atomic_store(&gone->saved[CLASS], atomic_load(&gone->tops[CLASS]));
    atomic_store(&gone->tops[CLASS], nothing());
    atomic_store(&gone->saved[OTHER_CLASS], atomic_load(&gone->tops[OTHER_CLASS]));
    adopt(own, gone);
    end();
}

static void
caches_half_taken_are_not_doubled_in_a_child(void **state)
{
    (void)state;
    struct xa_thread_state *own = begin(), *gone = new_owner();
    fill(gone, CLASS);
    fill(gone, OTHER_CLASS);
    doze();
    assert_int_equal(xa_cache_purge_run(XA_CACHE_PURGE_ALL, &left), 0);
    atomic_store(&gone->revocation, XA_REVOCATION_TAKING);
    /* The active magazine is the purger's, who did not come along: its objects are lost. */
    struct xa_magazine *lost = atomic_exchange(&gone->actives[CLASS], NULL);
    size_t count = (size_t)(xa_magazine_end(lost) - atomic_load(&gone->saved[CLASS]));
    adopt(own, gone);
    (void)xa_arena_trim(0);
    assert_int_equal(taken_slots(CLASS), count);
    assert_int_equal(taken_slots(OTHER_CLASS), 0);
    xa_thread_state_self = XA_THREAD_STATE_NONE;
}

/* ---- Anything at any time ---- */

struct out {
    void *objects[OUT_MAX];
    unsigned count;
};

static bool
is_out(const struct out *out, const void *object)
{
    for (unsigned i = 0; i < out->count; i++)
        if (out->objects[i] == object)
            return true;
    return false;
}

static void
give_out(struct out *out, void *object)
{
    assert_false(is_out(out, object));
    out->objects[out->count++] = object;
}

/* An owner is interrupted by the purger between its load and its store. */
static void
pop_across_a_purge(struct xa_thread_state *owner, unsigned size_class, struct out *out)
{
    xa_slot *top = atomic_load(&owner->tops[size_class]);
    void *object = *top;
    if (object == NULL || out->count == OUT_MAX)
        return;
    doze();
    (void)xa_cache_purge_run(XA_CACHE_PURGE_ALL, &left);
    atomic_store(&owner->tops[size_class], top + 1);
    give_out(out, object);
}

static void
push_across_a_purge(struct xa_thread_state *owner, unsigned size_class, struct out *out)
{
    xa_slot *top = atomic_load(&owner->tops[size_class]);
    if (xa_magazine_is_full_at(top) || out->count == 0)
        return;
    void *object = out->objects[--out->count];
    top[-1] = object;
    doze();
    (void)xa_cache_purge_run(XA_CACHE_PURGE_ALL, &left);
    atomic_store(&owner->tops[size_class], top - 1);
}

static void
burst(struct xa_thread_state *owner, unsigned size_class, struct out *out,
    struct xa_seed_random *numbers)
{
    bool grows = xa_seed_below(numbers, 2) == 0;
    for (size_t i = xa_seed_below(numbers, 80); i > 0; i--)
        if (grows && out->count < OUT_MAX)
            give_out(out, pop(owner, size_class));
        else if (!grows && out->count > 0)
            push(owner, size_class, out->objects[--out->count]);
}

static void
whatever_happens_no_object_is_lost_or_doubled(void **state)
{
    static struct out outs[CLASSES];
    struct xa_seed_random numbers = xa_seed_start(seed, 0);
    struct xa_thread_state *owners[OWNERS];
    size_t bytes = 0;
    (void)state;
    owners[0] = begin();
    for (int i = 1; i < OWNERS; i++)
        owners[i] = new_owner();
    for (int round = 0; round < ROUNDS; round++) {
        struct xa_thread_state *owner = owners[xa_seed_below(&numbers, OWNERS)];
        size_t index = xa_seed_below(&numbers, CLASSES);
        switch (xa_seed_below(&numbers, 8)) {
        case 0:
            fall_asleep();
            bytes += xa_cache_purge_run(XA_CACHE_PURGE_ALL, &left);
            break;
        case 1:
            fall_asleep();
            bytes += xa_cache_purge_run(XA_CACHE_PURGE_IDLE, &left);
            break;
        case 2: pop_across_a_purge(owner, classes[index], &outs[index]); break;
        case 3: push_across_a_purge(owner, classes[index], &outs[index]); break;
        default: burst(owner, classes[index], &outs[index], &numbers);
        }
        for (int i = 0; i < CLASSES; i++)
            assert_int_equal(taken_slots(classes[i]), outs[i].count + waiting(classes[i]));
    }
    assert_true(bytes > 0);
    for (int i = 0; i < CLASSES; i++)
        while (outs[i].count > 0)
            push(owners[i % OWNERS], classes[i], outs[i].objects[--outs[i].count]);
    end();
}

/* ---- Threads ---- */

enum {
    SLEEPERS = 3,
    SLEEPER_ROUNDS = 2000,
    HELD = 64,
    SECONDS = 120,
};

static _Atomic unsigned faults, running;
static pthread_mutex_t one_sleeper = PTHREAD_MUTEX_INITIALIZER;

static void
sleep_for_a_moment(void)
{
    /* The fake host knows of one sleeper at a time. */
    pthread_mutex_lock(&one_sleeper);
    xa_os_fake_set_asleep(xa_os_thread_number(), MASK);
    usleep(200);
    xa_os_fake_set_awake();
    pthread_mutex_unlock(&one_sleeper);
}

struct held {
    uintptr_t *start;
    uintptr_t mark;
};

static void
replace(struct held *held, struct xa_seed_random *numbers)
{
    if (held->start != NULL) {
        if (*held->start != held->mark)
            atomic_fetch_add(&faults, 1);
        xa_fast_free(held->start);
        held->start = NULL;
        return;
    }
    held->mark = xa_seed_next(numbers);
    held->start = xa_fast_malloc(16 + xa_seed_below(numbers, 200));
    if (held->start == NULL)
        atomic_fetch_add(&faults, 1);
    else
        *held->start = held->mark;
}

static void
work_and_sleep(unsigned index)
{
    struct xa_seed_random numbers = xa_seed_start(seed, index);
    struct held held[HELD] = {{0}};
    for (int round = 0; round < SLEEPER_ROUNDS; round++) {
        for (int i = 0; i < 20; i++)
            replace(&held[xa_seed_below(&numbers, HELD)], &numbers);
        if (round % 20 == 0)
            sleep_for_a_moment();
    }
    for (unsigned i = 0; i < HELD; i++)
        xa_fast_free(held[i].start);
}

static void
own_or_purge(unsigned index, void *argument)
{
    size_t *taken = argument;
    if (index > 0) {
        work_and_sleep(index);
        atomic_fetch_sub(&running, 1);
        return;
    }
    while (atomic_load(&running) > 0) {
        bool some_left;
        *taken += xa_cache_purge_run(XA_CACHE_PURGE_ALL, &some_left);
        xa_os_yield();
    }
}

static void
owners_and_purger_lose_and_double_no_object(void **state)
{
    size_t taken = 0, slots = 0;
    (void)state;
    xa_os_fake_set_signal_mask(MASK);
    running = SLEEPERS;
    assert_true(xa_threads_run(SLEEPERS + 1, own_or_purge, &taken, SECONDS));
    assert_int_equal(faults, 0);
    assert_true(taken > 0);
    (void)xa_arena_trim(0);
    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++)
        slots += xa_bin_taken_slots(&xa_arena_at(0)->bins[c].counters);
    assert_int_equal(slots, 0);
    assert_int_equal(atomic_load(&xa_thread_cache_budget.used_bytes), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(idle_is_who_did_nothing_between_two_looks),
        XA_OS_FAKE_FRESH(a_spare_that_came_or_went_is_use_as_well),
        XA_OS_FAKE_FRESH(all_means_that_one_look_is_enough),
        XA_OS_FAKE_FRESH(the_callers_own_caches_are_not_its_business),
        XA_OS_FAKE_FRESH(states_without_thread_are_passed_over),
        XA_OS_FAKE_FRESH(who_sleeps_with_other_signals_blocked_is_left_alone),
        XA_OS_FAKE_FRESH(another_threads_sleep_does_not_count),
        XA_OS_FAKE_FRESH(a_running_owner_puts_its_caches_back_at_the_next_miss),
        XA_OS_FAKE_FRESH(an_owner_that_falls_asleep_later_is_taken_then),
        XA_OS_FAKE_FRESH(an_owner_in_a_slow_path_is_left_alone),
        XA_OS_FAKE_FRESH(an_owner_that_comes_to_its_door_first_keeps_its_caches),
        XA_OS_FAKE_FRESH(an_owner_does_without_while_the_purger_is_at_its_caches),
        XA_OS_FAKE_FRESH(a_pop_under_way_wins_against_the_purger),
        XA_OS_FAKE_FRESH(a_push_under_way_wins_against_the_purger),
        XA_OS_FAKE_FRESH(an_owner_that_won_keeps_its_top_when_it_settles),
        XA_OS_FAKE_FRESH(caches_put_aside_are_whole_in_a_child),
        XA_OS_FAKE_FRESH(caches_half_put_aside_are_whole_in_a_child),
        XA_OS_FAKE_FRESH(caches_half_taken_are_not_doubled_in_a_child),
        XA_OS_FAKE_FRESH(whatever_happens_no_object_is_lost_or_doubled),
        XA_OS_FAKE_FRESH(owners_and_purger_lose_and_double_no_object),
    };
    seed = xa_seed_choose(NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
