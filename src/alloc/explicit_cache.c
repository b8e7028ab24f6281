/*
 * explicit_cache.c - see explicit_cache.h.
 *
 * A cache has a plain stack of pointers for each class, in metadata memory, made when the class
 * is first used.  It is not a thread's state with magazines: that belongs to a thread which is
 * asked about by number, and whose owner alone goes without a lock, while a cache with a number
 * may be flushed or destroyed by any thread, and is cut off from its arena by that arena's end.
 *
 * All objects of a cache come from one source: the automatic arenas or one private arena.  Which
 * one may change only while the cache is empty.  So an object goes back where it came from without
 * anybody looking it up, a request that names an arena never gets another one's object, and when
 * a private arena is reset or destroyed, which changes its epoch, the cache forgets all that it
 * holds at its next use: these objects are gone already.
 *
 * Locking: each cache has a lock, although jemalloc lets only one thread use a cache at a time.
 * Objects are taken from arenas and given back without it, since that may call a program's
 * extent hooks, which may use this very cache.  EXPLICIT_CACHES guards the table of caches.
 */
#include "alloc/explicit_cache.h"

#include "alloc/start.h"
#include "arena/misuse.h"
#include "arena/private_arena.h"
#include "extent/metadata.h"
#include "os/lock.h"

enum {
    STACK_OBJECTS_MAX = 32,
    STACK_OBJECTS_MIN = 2,
    STACK_BYTES_MAX = 128 * 1024,
};

struct stack {
    void **objects;         /* [e] room for stack_room() of them; NULL: not made yet */
    _Atomic uint32_t count; /* [a] written under the lock */
};

/* Caches are only ever caches: one that is not open waits for its number's next use. */
struct cache {
    struct xa_lock lock;
    bool is_open;            /* [e] */
    _Atomic unsigned source; /* [a] whose objects it holds; changes under the lock */
    uint64_t epoch;          /* [e] of that arena, when the first of them came; 0: automatic */
    uint32_t objects;        /* [e] in all stacks */
    struct stack stacks[XA_SMALL_CLASSES + 1];
};

static struct {
    struct xa_lock lock;
    _Atomic unsigned end; /* [a] numbers that were ever used */
} caches = {.lock.rank = XA_LOCK_RANK_EXPLICIT_CACHES};

/* [a] By number; only ever set. */
XA_BULKY _Atomic(struct cache *) xa_explicit_cache_table[XA_EXPLICIT_CACHES_MAX];

static unsigned
stack_room(unsigned size_class)
{
    size_t room = STACK_BYTES_MAX / xa_size_class_table[size_class].object_bytes;
    if (room < STACK_OBJECTS_MIN)
        return STACK_OBJECTS_MIN;
    return room < STACK_OBJECTS_MAX ? (unsigned)room : STACK_OBJECTS_MAX;
}

static struct cache *
at(unsigned number)
{
    if (number >= XA_EXPLICIT_CACHES_MAX)
        return NULL;
    return atomic_load_explicit(&xa_explicit_cache_table[number], memory_order_acquire);
}

static uint32_t
count_of(const struct stack *stack)
{
    return atomic_load_explicit(&stack->count, memory_order_relaxed);
}

static void
set_count(struct cache *cache, struct stack *stack, uint32_t count)
{
    cache->objects += count - count_of(stack);
    atomic_store_explicit(&stack->count, count, memory_order_relaxed);
}

static void
forget(struct cache *cache)
{
    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++)
        set_count(cache, &cache->stacks[c], 0);
}

static uint64_t
epoch_of(unsigned source)
{
    return source == XA_EXPLICIT_CACHE_AUTOMATIC ? 0 : xa_private_arena_epoch(source);
}

/* ---- Sections ---- */

/* Begin a section of our own, against signal handlers; false in one that interrupted another. */
static bool
begin(struct xa_thread_state **state)
{
    return xa_start_enter(state);
}

/* The open cache of this number, locked, and without objects that are gone; or NULL. */
static struct cache *
enter(unsigned number, struct xa_thread_state **state) XA_NO_ANALYSIS
{
    struct cache *cache = at(number);
    if (cache == NULL || !begin(state))
        return NULL;
    xa_lock_lock(&cache->lock);
    if (!cache->is_open) {
        xa_lock_unlock(&cache->lock);
        xa_start_leave(*state);
        return NULL;
    }
    if (cache->objects != 0 && cache->epoch != epoch_of(cache->source))
        forget(cache);
    return cache;
}

static void
leave(struct cache *cache, struct xa_thread_state *state) XA_NO_ANALYSIS
{
    xa_lock_unlock(&cache->lock);
    xa_start_leave(state);
}

/* True if the cache may hold objects of this source; an empty one changes over. */
static bool
serves(struct cache *cache, unsigned source)
{
    if (cache->objects == 0) {
        cache->source = source;
        cache->epoch = epoch_of(source);
    }
    return cache->source == source && cache->epoch == epoch_of(source);
}

/* ---- Objects ---- */

/* Give objects back to their arena, without the cache's lock. */
static void
give_back(unsigned source, unsigned size_class, void **objects, unsigned count)
{
    struct xa_thread_state *state;
    if (source == XA_EXPLICIT_CACHE_AUTOMATIC) {
        if (!begin(&state))
            return;
        (void)xa_arena_return(size_class, objects, count, XA_ARENA_WAIT);
        xa_start_leave(state);
        return;
    }
    for (unsigned i = 0; i < count; i++)
        if (xa_private_arena_return(objects[i]) == XA_PRIVATE_FREE)
            xa_misuse_end("free", objects[i], XA_MISUSE_ALREADY_FREE);
}

static unsigned
get(unsigned source, unsigned size_class, void **objects, unsigned count)
{
    struct xa_thread_state *state;
    if (source != XA_EXPLICIT_CACHE_AUTOMATIC)
        return xa_private_arena_take_some(source, size_class, objects, count);
    if (!begin(&state))
        return 0;
    struct xa_arena *arena = state != NULL ? state->arena : xa_arena_at(0);
    unsigned taken = xa_arena_take(arena, size_class, objects, count);
    xa_start_leave(state);
    return taken;
}

/* Push as many as there is room for; how many, from the end. */
static unsigned
push(struct cache *cache, unsigned size_class, void **objects, unsigned count)
{
    struct stack *stack = &cache->stacks[size_class];
    uint32_t room = stack_room(size_class), used = count_of(stack);
    if (stack->objects == NULL)
        stack->objects = xa_metadata_take(room * sizeof(void *));
    if (stack->objects == NULL)
        return 0;
    unsigned pushed = 0;
    while (pushed < count && used < room)
        stack->objects[used++] = objects[count - ++pushed];
    set_count(cache, stack, used);
    return pushed;
}

/* Pop up to `count`; how many. */
static unsigned
pop(struct cache *cache, unsigned size_class, void **objects, unsigned count)
{
    struct stack *stack = &cache->stacks[size_class];
    uint32_t used = count_of(stack);
    unsigned popped = 0;
    while (popped < count && used > 0)
        objects[popped++] = stack->objects[--used];
    set_count(cache, stack, used);
    return popped;
}

void *
xa_explicit_cache_take(unsigned number, unsigned source, unsigned size_class)
{
    void *objects[STACK_OBJECTS_MAX];
    struct xa_thread_state *state;
    struct cache *cache = enter(number, &state);
    if (cache == NULL)
        return NULL;
    bool is_ours = serves(cache, source);
    unsigned count = is_ours ? pop(cache, size_class, objects, 1) : 0;
    leave(cache, state);
    if (!is_ours || count == 1)
        return is_ours ? objects[0] : NULL;
    count = get(source, size_class, objects, stack_room(size_class) / 2);
    if (count == 0)
        return NULL;
    if (count > 1 && (cache = enter(number, &state)) != NULL) {
        /* The first is the caller's. */
        if (serves(cache, source))
            count -= push(cache, size_class, objects + 1, count - 1);
        leave(cache, state);
    }
    give_back(source, size_class, objects + 1, count - 1);
    return objects[0];
}

bool
xa_explicit_cache_put(unsigned number, unsigned source, unsigned size_class, void *object)
{
    void *objects[STACK_OBJECTS_MAX];
    struct xa_thread_state *state;
    struct cache *cache = enter(number, &state);
    unsigned spilled = 0;
    if (cache == NULL)
        return false;
    bool is_kept = serves(cache, source);
    const struct stack *stack = &cache->stacks[size_class];
    bool is_twice = is_kept && count_of(stack) > 0 && stack->objects[count_of(stack) - 1] == object;
    if (is_kept && !is_twice) {
        if (count_of(stack) == stack_room(size_class))
            spilled = pop(cache, size_class, objects, stack_room(size_class) / 2);
        is_kept = push(cache, size_class, &object, 1) == 1;
    }
    leave(cache, state);
    if (is_twice)
        xa_misuse_end("free", object, XA_MISUSE_ALREADY_FREE);
    give_back(source, size_class, objects, spilled);
    return is_kept;
}

/* ---- Numbers ---- */

/* Make the cache of this number open; false if it is open already, or memory ran out. */
static bool
open(unsigned number)
{
    struct cache *cache = at(number);
    if (cache == NULL) {
        cache = xa_metadata_take(sizeof *cache);
        if (cache == NULL)
            return false;
        xa_lock_init(&cache->lock, XA_LOCK_RANK_EXPLICIT_CACHE);
        /* Release: whoever finds the cache finds it complete. */
        atomic_store_explicit(&xa_explicit_cache_table[number], cache, memory_order_release);
    }
    xa_lock_lock(&cache->lock);
    bool was_open = cache->is_open;
    cache->is_open = true;
    xa_lock_unlock(&cache->lock);
    return !was_open;
}

unsigned
xa_explicit_cache_create(void)
{
    struct xa_thread_state *state;
    unsigned number = 0;
    if (!begin(&state))
        return XA_EXPLICIT_CACHE_NONE;
    xa_lock_lock(&caches.lock);
    while (number < XA_EXPLICIT_CACHES_MAX && !open(number))
        number++;
    if (number < XA_EXPLICIT_CACHES_MAX &&
        number >= atomic_load_explicit(&caches.end, memory_order_relaxed))
        atomic_store_explicit(&caches.end, number + 1, memory_order_release);
    xa_lock_unlock(&caches.lock);
    xa_start_leave(state);
    return number < XA_EXPLICIT_CACHES_MAX ? number : XA_EXPLICIT_CACHE_NONE;
}

static bool
empty(unsigned number, bool closes)
{
    void *objects[STACK_OBJECTS_MAX];
    struct xa_thread_state *state;
    unsigned count;
    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++)
        do {
            struct cache *cache = enter(number, &state);
            if (cache == NULL)
                return false;
            unsigned source = cache->source;
            count = pop(cache, c, objects, STACK_OBJECTS_MAX);
            if (closes && c == XA_SMALL_CLASSES && count == 0)
                cache->is_open = false;
            leave(cache, state);
            give_back(source, c, objects, count);
        } while (count != 0);
    return true;
}

bool
xa_explicit_cache_flush(unsigned number)
{
    return empty(number, false);
}

bool
xa_explicit_cache_destroy(unsigned number)
{
    return empty(number, true);
}

size_t
xa_explicit_cache_objects(unsigned size_class)
{
    size_t sum = 0;
    unsigned end = atomic_load_explicit(&caches.end, memory_order_acquire);
    for (unsigned number = 0; number < end; number++) {
        struct cache *cache = at(number);
        if (cache != NULL && cache->source == XA_EXPLICIT_CACHE_AUTOMATIC)
            sum += count_of(&cache->stacks[size_class]);
    }
    return sum;
}

void
xa_explicit_cache_reset_in_child(void)
{
    (void)xa_lock_reset_in_child(&caches.lock);
    unsigned end = atomic_load_explicit(&caches.end, memory_order_relaxed);
    for (unsigned number = 0; number < end; number++) {
        struct cache *cache = at(number);
        if (cache == NULL || !xa_lock_reset_in_child(&cache->lock))
            continue;
        for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++)
            atomic_store_explicit(&cache->stacks[c].count, 0, memory_order_relaxed);
        cache->objects = 0;
    }
}
