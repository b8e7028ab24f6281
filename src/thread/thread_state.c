/*
 * thread_state.c - see thread_state.h.
 */
#include "thread/thread_state.h"

#include "base/assert.h"
#include "extent/metadata.h"
#include "os/lock.h"
#include "os/os.h"
#include "thread/thread_count.h"

void *const xa_thread_state_nothing __attribute__((aligned(XA_MAGAZINE_BYTES))) = NULL;

/* Casting const away is safe: nothing is ever stored through an empty cache's top. */
#define NOTHING ((xa_slot *)(uintptr_t)&xa_thread_state_nothing)

/*
 * The two states of threads that have none.  Only the fast path looks into them; every
 * other function asks xa_thread_state_is_real() first.  All tops lead to `nothing`, and
 * the rest is all zeros (class 0 has a top as well): so the second state can stand in
 * the same memory, a word further on.  It saves every process a page.
 */
const struct xa_thread_state_dummies xa_thread_state_dummies = {
    .tops = {[0 ... XA_CLASS_CODES] = (xa_slot *)&xa_thread_state_nothing},
};
_Static_assert(offsetof(struct xa_thread_state, tops) == 0 &&
        offsetof(struct xa_thread_state_dummies, class_of) ==
            offsetof(struct xa_thread_state, class_of) &&
        offsetof(struct xa_thread_state_dummies, huge_paid_bytes) ==
            offsetof(struct xa_thread_state, huge_paid_bytes),
    "a dummy is the beginning of a state");

XA_THREAD_LOCAL struct xa_thread_state *xa_thread_state_self =
    (struct xa_thread_state *)&xa_thread_state_dummies;

static struct {
    struct xa_lock lock;
    struct xa_thread_state *unused;                /* [u] */
    _Atomic(struct xa_thread_state *) all;         /* [a] the newest; changed under the lock */
    uint32_t fork_generation;                      /* changes only while one thread runs */
    _Atomic(struct xa_thread_state *) next_orphan; /* [a] where to go on looking; [u] to change */
} states = {.lock.rank = XA_LOCK_RANK_THREADS};

static struct xa_thread_state *
make(void)
{
    struct xa_thread_state *state = xa_metadata_take(sizeof *state);
    if (state == NULL)
        return NULL;
    for (unsigned i = 0; i < XA_TINY_STEPS; i++)
        state->class_of[i] = xa_size_class_tiny[i];
    for (unsigned i = 0; i < XA_CLASS_CODES; i++)
        atomic_init(&state->tops[i], NOTHING);
    return state;
}

struct xa_thread_state *
xa_thread_state_take(void)
{
    xa_lock_lock(&states.lock);
    struct xa_thread_state *state = states.unused;
    if (state != NULL) {
        states.unused = state->next_unused;
    } else if ((state = make()) != NULL) {
        state->next = atomic_load_explicit(&states.all, memory_order_relaxed);
        /* Release: whoever walks the list finds the state complete. */
        atomic_store_explicit(&states.all, state, memory_order_release);
    }
    if (state != NULL) {
        state->fork_generation = states.fork_generation;
        state->exit_round = 0;
        state->is_unarmed = false;
        state->class_end = 0;
        if (state->count != NULL)
            xa_thread_count_reset(state);
        state->bound_arena = state->hook_depth = 0;
        /* A thread that a fork cut off may have left it set. */
        atomic_store_explicit(&state->is_inside, false, memory_order_relaxed);
        /*
         * `revocation` stays: a purger may be at the state just now, and finds nothing in it.
         * Both sequentially consistent: see cache_purge.c.
         */
        atomic_store_explicit(&state->thread_number, xa_os_thread_number(), memory_order_seq_cst);
        (void)atomic_load_explicit(&state->revocation, memory_order_seq_cst);
        atomic_store_explicit(&state->seen, 0, memory_order_relaxed);
        /* Release: the purger that finds it used finds all this. */
        atomic_store_explicit(&state->is_used, true, memory_order_release);
    }
    xa_lock_unlock(&states.lock);
    return state;
}

void
xa_thread_state_return(struct xa_thread_state *state)
{
    xa_lock_lock(&states.lock);
    atomic_store_explicit(&state->is_used, false, memory_order_relaxed);
    state->next_unused = states.unused;
    states.unused = state;
    xa_lock_unlock(&states.lock);
}

struct xa_thread_state *
xa_thread_state_all(void)
{
    return atomic_load_explicit(&states.all, memory_order_acquire);
}

xa_slot *
xa_thread_state_top(struct xa_thread_state *state, unsigned size_class)
{
    xa_slot *top = atomic_load_explicit(&state->tops[size_class], memory_order_acquire);
    if (top != &xa_thread_state_nothing)
        return top;
    return atomic_load_explicit(&state->saved[size_class], memory_order_relaxed);
}

size_t
xa_thread_state_objects(struct xa_thread_state *state, unsigned size_class)
{
    size_t objects = 0;
    /* Magazines' memory stays what it is or becomes another's: any value read is harmless. */
    struct xa_magazine *spare =
        atomic_load_explicit(&state->spares[size_class], memory_order_acquire);
    if (spare != NULL)
        objects = atomic_load_explicit(&spare->count, memory_order_relaxed);
    struct xa_magazine *active =
        atomic_load_explicit(&state->actives[size_class], memory_order_acquire);
    xa_slot *top = xa_thread_state_top(state, size_class);
    if (active != NULL && top >= active->slots && top <= xa_magazine_end(active))
        objects += (size_t)(xa_magazine_end(active) - top);
    return objects;
}

void
xa_thread_state_reset_in_child(void)
{
    if (xa_lock_reset_in_child(&states.lock))
        states.unused = NULL;
    states.fork_generation++;
    if (xa_thread_state_is_real(xa_thread_state_self))
        xa_thread_state_claim(xa_thread_state_self);
    /* Newer states than these belong to this process's own threads. */
    atomic_store_explicit(&states.next_orphan, xa_thread_state_all(), memory_order_relaxed);
}

/* No process's generation: the state is being emptied, and nobody else's business. */
#define ADOPTED UINT32_MAX

bool
xa_thread_state_is_current(const struct xa_thread_state *state)
{
    return state->fork_generation == states.fork_generation;
}

static bool
is_orphan(const struct xa_thread_state *state)
{
    return atomic_load_explicit(&state->is_used, memory_order_relaxed) &&
        !xa_thread_state_is_current(state) && state->fork_generation != ADOPTED &&
        state != xa_thread_state_self;
}

struct xa_thread_state *
xa_thread_state_take_orphan(void)
{
    if (atomic_load_explicit(&states.next_orphan, memory_order_relaxed) == NULL)
        return NULL;
    xa_lock_lock(&states.lock);
    struct xa_thread_state *state = atomic_load_explicit(&states.next_orphan, memory_order_relaxed);
    while (state != NULL && !is_orphan(state))
        state = state->next;
    atomic_store_explicit(
        &states.next_orphan, state == NULL ? NULL : state->next, memory_order_relaxed);
    if (state != NULL)
        state->fork_generation = ADOPTED;
    xa_lock_unlock(&states.lock);
    return state;
}

void
xa_thread_state_renumber(struct xa_thread_state *state)
{
    atomic_store_explicit(&state->thread_number, xa_os_thread_number(), memory_order_release);
}

void
xa_thread_state_claim(struct xa_thread_state *state)
{
    /* It is as it was taken, but in a child. */
    if (xa_thread_state_is_current(state))
        return;
    state->fork_generation = states.fork_generation;
    xa_thread_state_renumber(state);
}
