/*
 * thread_cache.c - exchanging magazines, so that most misses move one pointer.
 *
 * When the active magazine is empty the spare takes its place, else one from a
 * depot, else it is filled from slabs.  When it is full it becomes the spare, and
 * the spare before it goes to a depot.  Both sides of a pair of threads that pass
 * objects on therefore meet every 61 objects, in one atomic operation.
 *
 * A cache grows in steps, each time it misses.  At the first ones there is no
 * magazine: a thread that takes a few objects of a class and keeps them takes them from
 * slabs one at a time, and holds nothing else.  Its first free of the class is the sign that
 * it takes and gives, and leads to the step before the first magazine; the object itself goes
 * to its slab, since it may come from another thread and have neighbours there.  Each further
 * step gives larger magazines, up to the class's bound, and needs its bytes from a budget
 * that all threads of the process share: so 500 threads cannot hold 500 full caches.
 * A cache that the purger took back, as its thread was idle, begins with the first magazine;
 * and so does that of the next thread which gets a thread's state: who starts threads again and
 * again has them do the same.
 *
 * What a fork may cut: the owner's stores are ordered so that each object is in at
 * most one place at every instruction (objects between two places are lost, never
 * doubled).  An active magazine is taken off (top, then magazine) before it goes
 * anywhere, and put on (magazine, then top) after it was whole.  Signal fences keep
 * the compiler to that order; the processor keeps it for the thread itself, and a
 * forked child sees a prefix of each thread's stores.
 */
#include "thread/thread_cache.h"

#include <string.h>

#include "arena/misuse.h"
#include "base/assert.h"
#include "page/page_purge.h"
#include "thread/huge_stock.h"
#include "thread/thread_count.h"

enum {
    EMPTIES_KEPT = 16,
    EMPTIES_AT_ONCE = 4,
    MISSES_PER_LOOK = 64,
    NEWS_BYTES = 65536,
    STEP_FIRST = 4, /* with a magazine, where objects are small */
    STEP_MAX = 6,
};

struct xa_thread_cache_budget xa_thread_cache_budget;

static void
order_stores(void)
{
    atomic_signal_fence(memory_order_seq_cst);
}

/*
 * Objects that a magazine of the class holds at a step; 0 without a magazine.  Bounded in
 * bytes as well, so that a thread which holds a few large objects has not as many idle ones
 * between them.  At the last step even large ones come by the handful.
 */
#define AT_MOST(a, b) ((a) < (b) ? (a) : (b))
#define AT_LEAST(a, b) ((a) > (b) ? (a) : (b))
/* A magazine of one object is not worth its memory. */
#define UNLESS_ONE(objects) ((objects) <= 1 ? 0 : (objects))
#define CAPACITY(objects, bytes, object_bytes) \
    UNLESS_ONE(AT_MOST((objects), (bytes) / (object_bytes)))
#define HANDFUL(object_bytes) AT_MOST(8, 131072 / (object_bytes))
#define LAST(object_bytes) \
    AT_LEAST(HANDFUL(object_bytes), CAPACITY(XA_MAGAZINE_OBJECTS_MAX, 16384, object_bytes))
static const uint8_t capacities[XA_CLASS_CODES][STEP_MAX + 1 - STEP_FIRST] = {
#define SIZE_CLASS(code, bytes, granules)                                            \
    [code] = {(uint8_t)CAPACITY(8, 1024, bytes), (uint8_t)CAPACITY(28, 8192, bytes), \
        (uint8_t)LAST(bytes)},
#include "config/size_class.def"
};

static unsigned
capacity_at(unsigned size_class, unsigned step)
{
    return step < STEP_FIRST ? 0 : capacities[size_class][step - STEP_FIRST];
}

/*
 * What a cache at a step is charged with: one full magazine, which is about what an active
 * one and a spare hold on average.  The first step, of a kilobyte, is free: threads by the
 * hundred would else use the budget up with it, and miss at nearly every call.
 */
static size_t
charge_at(unsigned size_class, unsigned step)
{
    size_t bytes = xa_size_class_table[size_class].object_bytes;
    return step <= STEP_FIRST ? 0 : capacity_at(size_class, step) * bytes;
}

/* On to a step, if the budget has room for it. */
static void
grow_to(struct xa_thread_state *state, unsigned size_class, unsigned step)
{
    size_t more = charge_at(size_class, step) - charge_at(size_class, state->steps[size_class]);
    /* Sums of all threads, ordered with nothing: a bound that may be passed by a little. */
    size_t used = atomic_load_explicit(&xa_thread_cache_budget.used_bytes, memory_order_relaxed);
    if (more != 0) {
        if (used + more > atomic_load_explicit(&xa_thread_cache_budget.bytes, memory_order_relaxed))
            return;
        atomic_fetch_add_explicit(&xa_thread_cache_budget.used_bytes, more, memory_order_relaxed);
        state->budget_bytes += more;
        /* Whether there is enough for a purging thread is asked now and then only. */
        if (used / NEWS_BYTES != (used + more) / NEWS_BYTES)
            xa_page_purge_note_news();
    }
    state->steps[size_class] = (uint8_t)step;
}

/* An object was missing. */
static void
grow(struct xa_thread_state *state, unsigned size_class)
{
    unsigned step = state->steps[size_class];
    if (step != STEP_MAX)
        grow_to(state, size_class, step + 1);
}

/* The lowest step at which the class has a magazine. */
static unsigned
first_step(unsigned size_class)
{
    unsigned step = STEP_FIRST;
    while (step < STEP_MAX && capacity_at(size_class, step) == 0)
        step++;
    return step;
}

void
xa_thread_cache_rest(struct xa_thread_state *state)
{
    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++)
        if (state->steps[c] >= STEP_FIRST)
            state->steps[c] = (uint8_t)(first_step(c) - 1);
    atomic_fetch_sub_explicit(
        &xa_thread_cache_budget.used_bytes, state->budget_bytes, memory_order_relaxed);
    state->budget_bytes = 0;
}

static void
push_empty(struct xa_thread_state *state, struct xa_magazine *magazine)
{
    magazine->next = state->empties;
    order_stores();
    state->empties = magazine;
    state->empty_count++;
}

static struct xa_magazine *
pop_empty(struct xa_thread_state *state)
{
    struct xa_magazine *magazine = state->empties;
    state->empties = magazine->next;
    state->empty_count--;
    return magazine;
}

/*
 * A thread that frees what another allocates makes magazines and that one is left with them.
 * They go by the handful, since the lock of their memory is the process's.
 */
static struct xa_magazine *
take_empty(struct xa_thread_state *state, unsigned capacity)
{
    if (state->empties == NULL) {
        struct xa_magazine *made[EMPTIES_AT_ONCE];
        unsigned count = xa_magazine_make_some(made, EMPTIES_AT_ONCE);
        for (unsigned i = 0; i < count; i++)
            push_empty(state, made[i]);
        if (count == 0)
            return NULL;
    }
    struct xa_magazine *magazine = pop_empty(state);
    xa_magazine_set_capacity(magazine, capacity);
    return magazine;
}

static void
put_empty(struct xa_thread_state *state, struct xa_magazine *magazine)
{
    if (state->empty_count == EMPTIES_KEPT) {
        struct xa_magazine *surplus[EMPTIES_AT_ONCE];
        for (unsigned i = 0; i < EMPTIES_AT_ONCE; i++)
            surplus[i] = pop_empty(state);
        xa_magazine_discard_some(surplus, EMPTIES_AT_ONCE);
    }
    push_empty(state, magazine);
}

/* Take the active magazine off, with its count set; NULL if there is none. */
static inline struct xa_magazine *
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
    order_stores();
    atomic_store_explicit(&state->actives[size_class], NULL, memory_order_relaxed);
    order_stores();
    return magazine;
}

/* Put a magazine on; there is none. */
static void
attach(struct xa_thread_state *state, unsigned size_class, struct xa_magazine *magazine)
{
    unsigned count = atomic_load_explicit(&magazine->count, memory_order_relaxed);
    order_stores();
    atomic_store_explicit(&state->actives[size_class], magazine, memory_order_release);
    order_stores();
    atomic_store_explicit(
        &state->tops[size_class], xa_magazine_end(magazine) - count, memory_order_relaxed);
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

/* Take the objects of a thread that a fork left behind, if there is one. */
static void
adopt_orphan(void)
{
    struct xa_thread_state *orphan = xa_thread_state_take_orphan();
    if (orphan == NULL)
        return;
    xa_thread_cache_restore(orphan);
    xa_thread_cache_flush(orphan);
    xa_thread_state_return(orphan);
}

/*
 * Single free slots of a slab are neighbours of objects that other threads have.  The first
 * object of a magazine is the one that a thread may use for long, so it should be one whose
 * cache line is the thread's own: what comes before the first whole line goes to the end.
 * A thread that is alone need not care.
 */
static void
put_loners_last(void **objects, unsigned count, size_t object_bytes)
{
    enum { LINE_BYTES = 64, LONERS_MAX = 8 };
    void *loners[LONERS_MAX];
    unsigned in_line = (unsigned)(LINE_BYTES / object_bytes), first = 0;
    for (unsigned i = 1; i < count && i - first < in_line && first <= LONERS_MAX; i++)
        if ((uintptr_t)objects[i] != (uintptr_t)objects[i - 1] + object_bytes)
            first = i;
    if (first == 0 || first > LONERS_MAX || count - first < in_line)
        return;
    memcpy(loners, objects, first * sizeof *loners);
    memmove(objects, objects + first, (count - first) * sizeof *objects);
    memcpy(objects + count - first, loners, first * sizeof *loners);
}

/*
 * Objects from slabs.  Where a new slab would need new pages, those of the large objects that the
 * thread keeps come first.
 */
static unsigned
take_from_slabs(struct xa_thread_state *state, unsigned size_class, void **objects, unsigned count)
{
    struct xa_arena *arena = state->arena;
    unsigned taken = xa_arena_take_listed(arena, size_class, objects, count);
    if (taken > 0)
        return taken;
    xa_large_stock_yield(
        state, (size_t)xa_size_class_table[size_class].granules * XA_GRANULE_BYTES);
    return xa_arena_take(arena, size_class, objects, count);
}

/* Objects straight from slabs into an empty magazine, and one out of it. */
static void *
fill_magazine(struct xa_thread_state *state, unsigned size_class, struct xa_magazine *magazine)
{
    xa_slot *end = xa_magazine_end(magazine);
    unsigned capacity = (unsigned)(end - magazine->slots);
    unsigned count = take_from_slabs(state, size_class, magazine->slots, capacity);
    if (count == 0) {
        put_empty(state, magazine);
        return NULL;
    }
    if (!state->is_unarmed)
        put_loners_last(magazine->slots, count, xa_size_class_table[size_class].object_bytes);
    /* Where memory ran short: objects stand at a magazine's end. */
    for (unsigned i = count; count < capacity && i > 0; i--)
        *(end - count + i - 1) = magazine->slots[i - 1];
    atomic_store_explicit(&magazine->count, (uint16_t)count, memory_order_relaxed);
    return switch_to(state, size_class, magazine);
}

/* From slabs: one object, or many if the cache may have a magazine. */
static void *
fill(struct xa_thread_state *state, unsigned size_class)
{
    void *object;
    unsigned capacity = capacity_at(size_class, state->steps[size_class]);
    struct xa_magazine *magazine = capacity <= 1 ? NULL : take_empty(state, capacity);
    if (magazine != NULL)
        return fill_magazine(state, size_class, magazine);
    return take_from_slabs(state, size_class, &object, 1) == 1 ? object : NULL;
}

/*
 * Somebody's magazine holds more than this cache may: take what it may, at least one,
 * and let others have the rest.
 */
static void *
take_part(struct xa_thread_state *state, unsigned size_class, struct xa_magazine *magazine,
    unsigned capacity)
{
    unsigned count = atomic_load_explicit(&magazine->count, memory_order_relaxed);
    struct xa_magazine *own = capacity == 0 ? NULL : take_empty(state, capacity);
    unsigned taken = own == NULL ? 1 : capacity;
    xa_slot *from = xa_magazine_end(magazine) - count;
    void *object = from[0];
    for (unsigned i = 1; i < taken; i++)
        (xa_magazine_end(own) - taken + 1)[i - 1] = from[i];
    atomic_store_explicit(&magazine->count, (uint16_t)(count - taken), memory_order_relaxed);
    order_stores();
    xa_arena_put_magazine(state->arena, size_class, magazine);
    if (own != NULL) {
        atomic_store_explicit(&own->count, (uint16_t)(taken - 1), memory_order_relaxed);
        struct xa_magazine *old = detach(state, size_class);
        if (old != NULL)
            put_empty(state, old);
        attach(state, size_class, own);
    }
    return object;
}

/* A magazine from a depot becomes the cache's, as far as its step allows. */
static void *
use(struct xa_thread_state *state, unsigned size_class, struct xa_magazine *magazine)
{
    unsigned capacity = capacity_at(size_class, state->steps[size_class]);
    unsigned count = atomic_load_explicit(&magazine->count, memory_order_relaxed);
    if (count > capacity && count > 1)
        return take_part(state, size_class, magazine, capacity);
    return switch_to(state, size_class, magazine);
}

/*
 * What is done on slow paths now and then.  In a child of many threads that is adopting
 * one of them: it costs some copied pages each time, and a child that only prepares an
 * exec shall not pay for it.  Without a purging thread it is also what would be its work.
 */
static void
tidy(struct xa_thread_state *state)
{
    if (++state->misses % MISSES_PER_LOOK != 0)
        return;
    adopt_orphan();
    if (atomic_load_explicit(&xa_page_purge_has_thread, memory_order_relaxed))
        return;
    (void)xa_large_stock_empty_own(state, XA_LARGE_STOCK_IDLE);
    xa_huge_stock_tick();
    xa_page_purge_tick(&state->arena->heap);
}

/* True if the next miss has something to tidy, or changes what a cache may hold. */
static bool
is_no_plain_miss(const struct xa_thread_state *state, unsigned size_class)
{
    return (state->misses + 1U) % MISSES_PER_LOOK == 0 || state->steps[size_class] != STEP_MAX;
}

void *
xa_thread_cache_take_spare(struct xa_thread_state *state, unsigned size_class)
{
    if (atomic_load_explicit(&state->spares[size_class], memory_order_relaxed) == NULL ||
        is_no_plain_miss(state, size_class) || state->empty_count == EMPTIES_KEPT)
        return NULL;
    /* Acquire: what the magazine holds was written before it was put there. */
    struct xa_magazine *magazine =
        atomic_exchange_explicit(&state->spares[size_class], NULL, memory_order_acquire);
    if (magazine == NULL)
        return NULL;
    state->misses++;
    return switch_to(state, size_class, magazine);
}

void *
xa_thread_cache_refill(struct xa_thread_state *state, unsigned size_class)
{
    tidy(state);
    /* Acquire: what the magazine holds was written before it was put there. */
    struct xa_magazine *magazine =
        atomic_exchange_explicit(&state->spares[size_class], NULL, memory_order_acquire);
    if (magazine != NULL)
        return switch_to(state, size_class, magazine);
    grow(state, size_class);
    magazine = xa_arena_take_magazine(state->arena, size_class);
    return magazine != NULL ? use(state, size_class, magazine) : fill(state, size_class);
}

static bool
is_first_full(const struct xa_thread_state *state, unsigned size_class)
{
    return (state->looked_at[size_class / 64] >> size_class % 64 & 1) == 0;
}

/* True if the class's full magazine is one of those that are looked at. */
static bool
is_due_for_misuse(const struct xa_thread_state *state, unsigned size_class)
{
    /* The count of misses begins again at 256. */
    return state->misses == 0 || is_first_full(state, size_class);
}

/*
 * Errors of the program that the fast path cannot see, found before the objects go round again:
 * in the first magazine of each class that is full, with the slabs' help, as small programs have
 * few more; and in one of the many after it.  A thread's state is the next thread's: so the first
 * is first for many of them.
 */
static void
look_for_misuse(struct xa_thread_state *state, unsigned size_class, struct xa_magazine *full)
{
    unsigned count = atomic_load_explicit(&full->count, memory_order_relaxed);
    xa_slot *objects = xa_magazine_end(full) - count;
    bool is_first = is_first_full(state, size_class);
    if (!is_due_for_misuse(state, size_class))
        return;
    state->looked_at[size_class / 64] |= UINT64_C(1) << size_class % 64;
    xa_misuse_check_distinct(objects, count);
    for (unsigned i = 0; is_first && i < count; i++)
        xa_arena_check(size_class, objects[i]);
}

/* Where the full magazine goes: it is the spare now, and the spare before it the depot's. */
static void
put_aside(struct xa_thread_state *state, unsigned size_class, struct xa_magazine *full)
{
    /* Release: the objects' last writes come before whoever takes the spare. */
    struct xa_magazine *spare =
        atomic_exchange_explicit(&state->spares[size_class], full, memory_order_acq_rel);
    if (spare != NULL)
        xa_arena_put_magazine(state->arena, size_class, spare);
}

/* A cache that the purger had put aside, and that is back on now, may not be full at all. */
static bool
push(struct xa_thread_state *state, unsigned size_class, void *object)
{
    xa_slot *top = atomic_load_explicit(&state->tops[size_class], memory_order_relaxed);
    if (xa_magazine_is_full_at(top))
        return false;
    top[-1] = object;
    order_stores();
    atomic_store_explicit(&state->tops[size_class], top - 1, memory_order_relaxed);
    return true;
}

/* Begin an empty magazine with an object; there is no active one. */
static void
begin_with(
    struct xa_thread_state *state, unsigned size_class, struct xa_magazine *empty, void *object)
{
    *(xa_magazine_end(empty) - 1) = object;
    atomic_store_explicit(&empty->count, 1, memory_order_relaxed);
    attach(state, size_class, empty);
}

bool
xa_thread_cache_make_spare(struct xa_thread_state *state, unsigned size_class, void *object)
{
    const xa_slot *top = atomic_load_explicit(&state->tops[size_class], memory_order_relaxed);
    if (!xa_magazine_is_full_at(top) || *top == NULL || *top == object ||
        atomic_load_explicit(&state->spares[size_class], memory_order_relaxed) != NULL ||
        is_no_plain_miss(state, size_class) || state->empties == NULL ||
        is_due_for_misuse(state, size_class))
        return false;
    state->misses++;
    struct xa_magazine *full = detach(state, size_class);
    /* Release: the objects' last writes come before whoever takes the spare. */
    atomic_store_explicit(&state->spares[size_class], full, memory_order_release);
    begin_with(state, size_class, take_empty(state, capacity_at(size_class, STEP_MAX)), object);
    return true;
}

void
xa_thread_cache_overflow(struct xa_thread_state *state, unsigned size_class, void *object)
{
    tidy(state);
    if (push(state, size_class, object))
        return;
    struct xa_magazine *full = detach(state, size_class), *empty = NULL;
    if (full != NULL) {
        look_for_misuse(state, size_class, full);
        put_aside(state, size_class, full);
        grow(state, size_class);
    } else if (state->steps[size_class] + 1U < first_step(size_class)) {
        /* The first free: the next miss will make a magazine, but this object is not for it. */
        state->steps[size_class] = (uint8_t)(first_step(size_class) - 1);
        (void)xa_arena_return(size_class, &object, 1, XA_ARENA_WAIT);
        return;
    } else {
        /* The cache is new, and a first free of this object may have gone to its slab. */
        xa_arena_check(size_class, object);
        grow(state, size_class);
    }
    unsigned capacity = capacity_at(size_class, state->steps[size_class]);
    if (capacity != 0)
        empty = take_empty(state, capacity);
    if (empty == NULL) {
        (void)xa_arena_return(size_class, &object, 1, XA_ARENA_WAIT);
        return;
    }
    begin_with(state, size_class, empty, object);
}

static void
hand_over(struct xa_thread_state *state, unsigned size_class, struct xa_magazine *magazine)
{
    if (magazine == NULL)
        return;
    unsigned count = atomic_load_explicit(&magazine->count, memory_order_relaxed);
    if (count == 0) {
        put_empty(state, magazine);
        return;
    }
    xa_misuse_check_distinct(xa_magazine_end(magazine) - count, count);
    xa_arena_put_magazine(state->arena, size_class, magazine);
}

void
xa_thread_cache_flush(struct xa_thread_state *state)
{
    if (state->count != NULL)
        xa_thread_count_settle(state);
    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++) {
        hand_over(state, c, detach(state, c));
        /* Most have none.  What the purger takes meanwhile need not be handed over. */
        if (atomic_load_explicit(&state->spares[c], memory_order_relaxed) != NULL)
            hand_over(
                state, c, atomic_exchange_explicit(&state->spares[c], NULL, memory_order_acquire));
    }
    xa_thread_cache_rest(state);
    (void)xa_large_stock_empty_own(state, XA_LARGE_STOCK_ALL);
    (void)xa_huge_stock_empty(state, XA_LARGE_STOCK_ALL);
    while (state->empties != NULL)
        xa_magazine_discard(take_empty(state, 1));
    if (state->count != NULL)
        xa_thread_count_note(state);
}

void
xa_thread_cache_restore(struct xa_thread_state *state)
{
    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++) {
        xa_slot *saved = atomic_load_explicit(&state->saved[c], memory_order_relaxed);
        bool is_off =
            atomic_load_explicit(&state->tops[c], memory_order_relaxed) == &xa_thread_state_nothing;
        bool has_magazine = atomic_load_explicit(&state->actives[c], memory_order_relaxed) != NULL;
        /* Where an operation of the owner was under way, it has won, and the top is on again. */
        if (saved != NULL && is_off && has_magazine)
            atomic_store_explicit(&state->tops[c], saved, memory_order_relaxed);
        order_stores();
        atomic_store_explicit(&state->saved[c], NULL, memory_order_relaxed);
    }
    xa_large_stock_restore(state);
    atomic_store_explicit(&state->revocation, XA_REVOCATION_NONE, memory_order_release);
}
