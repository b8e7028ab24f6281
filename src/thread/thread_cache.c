/*
 * thread_cache.c - exchanging magazines, so that most misses move one pointer.
 *
 * When the active magazine is empty the spare takes its place, else one from a
 * depot, else it is filled from slabs.  When it is full it becomes the spare, and
 * the spare before it goes to a depot.  Both sides of a pair of threads that pass
 * objects on therefore meet every 61 objects, in one atomic operation.
 *
 * Slow start: a class begins with magazines of 13 objects and takes few objects at
 * a time; each miss that goes beyond the spare doubles both, up to the class's
 * bound.  A thread that touches a class once holds one object of it.
 *
 * What a fork may cut: the owner's stores are ordered so that each object is in at
 * most one place at every instruction (objects between two places are lost, never
 * doubled).  An active magazine is taken off (top, then magazine) before it goes
 * anywhere, and put on (magazine, then top) after it was whole.  Signal fences keep
 * the compiler to that order; the processor keeps it for the thread itself, and a
 * forked child sees a prefix of each thread's stores.
 */
#include "thread/thread_cache.h"

#include "base/assert.h"

enum { EMPTIES_KEPT = 2 };

static void
order_stores(void)
{
    atomic_signal_fence(memory_order_seq_cst);
}

static unsigned
kind_max(unsigned size_class)
{
    unsigned capacity = xa_thread_cache_capacity(size_class), kind = 0;
    while (kind < XA_MAGAZINE_KINDS - 1 && xa_magazine_capacity(kind) < capacity)
        kind++;
    return kind;
}

static void
grow(struct xa_thread_state *state, unsigned size_class)
{
    if (state->kinds[size_class] < kind_max(size_class))
        state->kinds[size_class]++;
}

static struct xa_magazine *
take_empty(struct xa_thread_state *state, unsigned kind)
{
    struct xa_magazine *magazine = state->empties[kind];
    if (magazine == NULL)
        return xa_magazine_make(kind);
    state->empties[kind] = magazine->next;
    state->empty_counts[kind]--;
    return magazine;
}

static void
put_empty(struct xa_thread_state *state, struct xa_magazine *magazine)
{
    unsigned kind = magazine->kind;
    if (state->empty_counts[kind] == EMPTIES_KEPT) {
        xa_magazine_discard(magazine);
        return;
    }
    magazine->next = state->empties[kind];
    state->empties[kind] = magazine;
    state->empty_counts[kind]++;
}

/* Take the active magazine off, with its count set; NULL if there is none. */
static struct xa_magazine *
detach(struct xa_thread_state *state, unsigned size_class)
{
    xa_slot *nothing = (xa_slot *)(uintptr_t)&xa_thread_state_nothing;
    struct xa_magazine *magazine =
        atomic_load_explicit(&state->actives[size_class], memory_order_relaxed);
    if (magazine == NULL)
        return NULL;
    xa_slot *top = atomic_load_explicit(&state->tops[size_class], memory_order_relaxed);
    /* Where a fork cut attach() or detach() short, the top is off and the count still right. */
    if (top != nothing)
        atomic_store_explicit(
            &magazine->count, (uint16_t)(xa_magazine_end(magazine) - top), memory_order_relaxed);
    order_stores();
    atomic_store_explicit(&state->tops[size_class], nothing, memory_order_relaxed);
    state->limits[size_class] = nothing;
    order_stores();
    atomic_store_explicit(&state->actives[size_class], NULL, memory_order_relaxed);
    order_stores();
    return magazine;
}

/* Put a magazine on; there is none. */
static void
attach(struct xa_thread_state *state, unsigned size_class, struct xa_magazine *magazine)
{
    unsigned capacity = xa_thread_cache_capacity(size_class);
    xa_slot *end = xa_magazine_end(magazine);
    unsigned count = atomic_load_explicit(&magazine->count, memory_order_relaxed);
    if (capacity > magazine->capacity)
        capacity = magazine->capacity;
    if (capacity < count)
        capacity = count;
    order_stores();
    atomic_store_explicit(&state->actives[size_class], magazine, memory_order_release);
    order_stores();
    state->limits[size_class] = end - capacity;
    atomic_store_explicit(&state->tops[size_class], end - count, memory_order_relaxed);
}

static void *
pop(struct xa_thread_state *state, unsigned size_class)
{
    xa_slot *top = atomic_load_explicit(&state->tops[size_class], memory_order_relaxed);
    void *object = *top;
    xa_assert(object != NULL);
    atomic_store_explicit(&state->tops[size_class], top + 1, memory_order_relaxed);
    return object;
}

/* The active magazine is empty, or there is none: use this one, which has objects. */
static void *
switch_to(struct xa_thread_state *state, unsigned size_class, struct xa_magazine *magazine)
{
    struct xa_magazine *old = detach(state, size_class);
    if (old != NULL)
        put_empty(state, old);
    attach(state, size_class, magazine);
    return pop(state, size_class);
}

/* Objects for the next fill; doubles each time. */
static unsigned
fill_count(struct xa_thread_state *state, unsigned size_class)
{
    unsigned capacity = xa_magazine_capacity(state->kinds[size_class]);
    unsigned bound = xa_thread_cache_capacity(size_class);
    unsigned wanted = state->fills[size_class];
    /* At first a cache line's worth, so that two threads do not begin by sharing lines. */
    if (wanted == 0)
        wanted = xa_size_class_table[size_class].object_bytes < 64
            ? 64 / xa_size_class_table[size_class].object_bytes
            : 1;
    if (wanted > bound)
        wanted = bound;
    state->fills[size_class] = (uint8_t)(2 * wanted <= UINT8_MAX ? 2 * wanted : UINT8_MAX);
    return wanted < capacity ? wanted : capacity;
}

/* Take the objects of a thread that a fork left behind; true if there was one. */
static bool
adopt_orphan(void)
{
    struct xa_thread_state *orphan = xa_thread_state_take_orphan();
    if (orphan == NULL)
        return false;
    xa_thread_cache_flush(orphan);
    xa_thread_state_return(orphan);
    return true;
}

void *
xa_thread_cache_refill(struct xa_thread_state *state, unsigned size_class)
{
    /* Acquire: the purger may have looked at it in between. */
    struct xa_magazine *magazine =
        atomic_exchange_explicit(&state->spares[size_class], NULL, memory_order_acquire);
    if (magazine != NULL)
        return switch_to(state, size_class, magazine);
    grow(state, size_class);
    magazine = xa_arena_take_magazine(state->arena, size_class);
    /* One a miss, so that a child of many threads does not pay for all of them at once. */
    if (magazine == NULL && adopt_orphan())
        magazine = xa_arena_take_magazine(state->arena, size_class);
    if (magazine != NULL)
        return switch_to(state, size_class, magazine);

    void *objects[XA_MAGAZINE_OBJECTS_MAX];
    unsigned count =
        xa_arena_take(state->arena, size_class, objects, fill_count(state, size_class));
    if (count <= 1)
        return count == 0 ? NULL : objects[0];
    magazine = take_empty(state, state->kinds[size_class]);
    if (magazine == NULL) {
        (void)xa_arena_return(size_class, objects + 1, count - 1, XA_ARENA_WAIT);
        return objects[0];
    }
    xa_slot *first = xa_magazine_end(magazine) - count;
    for (unsigned i = 0; i < count; i++)
        first[i] = objects[i];
    atomic_store_explicit(&magazine->count, (uint16_t)count, memory_order_relaxed);
    return switch_to(state, size_class, magazine);
}

void
xa_thread_cache_overflow(struct xa_thread_state *state, unsigned size_class, void *object)
{
    struct xa_magazine *full = detach(state, size_class);
    if (full != NULL) {
        /* Release: the objects' last writes come before whoever takes the spare. */
        struct xa_magazine *spare =
            atomic_exchange_explicit(&state->spares[size_class], full, memory_order_acq_rel);
        if (spare != NULL) {
            grow(state, size_class);
            xa_arena_put_magazine(state->arena, size_class, spare);
        }
    }
    struct xa_magazine *empty = take_empty(state, state->kinds[size_class]);
    if (empty == NULL) {
        (void)xa_arena_return(size_class, &object, 1, XA_ARENA_WAIT);
        return;
    }
    *(xa_magazine_end(empty) - 1) = object;
    atomic_store_explicit(&empty->count, 1, memory_order_relaxed);
    attach(state, size_class, empty);
}

static void
hand_over(struct xa_thread_state *state, unsigned size_class, struct xa_magazine *magazine)
{
    if (magazine == NULL)
        return;
    if (atomic_load_explicit(&magazine->count, memory_order_relaxed) == 0)
        put_empty(state, magazine);
    else
        xa_arena_put_magazine(state->arena, size_class, magazine);
}

void
xa_thread_cache_flush(struct xa_thread_state *state)
{
    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++) {
        hand_over(state, c, detach(state, c));
        hand_over(
            state, c, atomic_exchange_explicit(&state->spares[c], NULL, memory_order_acquire));
        state->kinds[c] = 0;
        state->fills[c] = 0;
    }
    for (unsigned kind = 0; kind < XA_MAGAZINE_KINDS; kind++)
        while (state->empties[kind] != NULL)
            xa_magazine_discard(take_empty(state, kind));
}
