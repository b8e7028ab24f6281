/*
 * allocate.c - see allocate.h.
 *
 *   up to 64 KiB       a slot of a slab, through the thread's cache
 *   up to 2 MiB        a run of granules, from the thread's stock if it has one
 *   beyond             a mapping
 *
 * If memory runs out, everything that xalloc itself holds back is given to the host
 * and the request is tried once more.
 *
 * So it is at the hard limit on memory.  The soft one makes the purging thread, or
 * without it the thread that passed it, give back what is unused; then, and outside of
 * everything, the program's callback is told, which may allocate and free in turn.
 *
 * A thread that is bound to a private arena (thread.arena) has empty caches, and gets its memory
 * from there.
 *
 * A signal handler that calls malloc while its thread is in here must not wait for
 * a lock that the thread holds: `is_inside` tells, and the handler gets NULL.  (It is
 * not allowed to call malloc at all, POSIX.1-2017, 2.4.3.)
 */
#include "alloc/allocate.h"

#include <string.h>

#include "alloc/fast_path.h"
#include "alloc/start.h"
#include "arena/large.h"
#include "arena/private_arena.h"
#include "check/check.h"
#include "config/options.h"
#include "os/message.h"
#include "page/huge.h"
#include "page/limit.h"
#include "thread/background.h"
#include "thread/huge_stock.h"
#include "thread/large_stock.h"
#include "thread/thread_cache.h"
#include "thread/thread_count.h"

enum { JUNK_NEW = 0xa5 };

void (*_Atomic xa_allocate_note)(size_t bytes);

enum zeroing { AS_IT_IS, ZEROED };
enum outlook { STAYS, MAY_GROW };

struct request {
    size_t size;
    size_t alignment;
    enum zeroing zeroing;
    struct xa_arena
        *arena; /* from this one, and no cache; NULL: the thread's, through its caches */
    enum outlook outlook;
};

/* A miss of a thread that wants to know what it takes. */
static XA_COLD void *
refill_and_count(struct xa_thread_state *state, unsigned size_class)
{
    xa_thread_count_settle_class(state, size_class);
    void *object = xa_thread_cache_refill(state, size_class);
    xa_thread_count_note_class(state, size_class);
    if (object != NULL)
        xa_thread_count_take(state, xa_size_class_table[size_class].object_bytes);
    return object;
}

static struct xa_arena *
arena_for(const struct xa_thread_state *state, const struct request *request)
{
    if (request->arena != NULL)
        return request->arena;
    return state != NULL ? state->arena : xa_arena_at(0);
}

static bool
may_use_caches(const struct xa_thread_state *state, const struct request *request)
{
    return state != NULL && request->arena == NULL && xa_thread_state_caches(state);
}

static void *
small(struct xa_thread_state *state, unsigned size_class, const struct request *request)
{
    bool is_cached = may_use_caches(state, request) && size_class <= xa_start_cached_class_max &&
        xa_thread_state_may_cache(state, size_class);
    struct xa_arena *arena = arena_for(state, request);
    void *object = is_cached ? xa_fast_pop(state, size_class) : NULL;
    if (object != NULL)
        return object;
    xa_arena_note_request(arena, size_class, request->size);
    bool is_counted = state != NULL && state->count != NULL;
    if (is_cached)
        return is_counted ? refill_and_count(state, size_class)
                          : xa_thread_cache_refill(state, size_class);
    if (xa_arena_take(arena, size_class, &object, 1) == 0)
        return NULL;
    if (is_counted)
        xa_thread_count_take(state, xa_size_class_table[size_class].object_bytes);
    return object;
}

/*
 * What the thread keeps is as long as it is: better its pages serve again, for an object that will
 * not have to move at each step.
 */
static void *
large_and_growing(struct xa_thread_state *state, const struct request *request, bool *is_zeroed)
{
    if (state != NULL)
        (void)xa_large_stock_empty_own(state, XA_LARGE_STOCK_ALL);
    return xa_large_take_growing(arena_for(state, request), request->size, is_zeroed);
}

static void *
large(struct xa_thread_state *state, const struct request *request, bool *is_zeroed)
{
    if (request->outlook == MAY_GROW)
        return large_and_growing(state, request, is_zeroed);
    if (may_use_caches(state, request) && request->alignment <= XA_GRANULE_BYTES) {
        void *object = xa_large_stock_take(state, request->size);
        if (object != NULL)
            return object;
        xa_large_stock_yield(state, request->size);
    }
    return xa_large_take(arena_for(state, request), request->size, request->alignment, is_zeroed);
}

static void *
huge(struct xa_thread_state *state, const struct request *request, bool *is_zeroed)
{
    if (may_use_caches(state, request) && request->alignment <= XA_CHUNK_BYTES) {
        void *object = xa_huge_stock_take(state, request->size);
        if (object != NULL)
            return object;
    }
    return xa_huge_take(request->size, request->alignment, is_zeroed);
}

/* One try.  `*is_zeroed` on success: the memory reads as zeros. */
static void *
try(struct xa_thread_state *state, const struct request *request, bool *is_zeroed)
{
    unsigned size_class = xa_size_class_of_aligned(request->size, request->alignment);
    *is_zeroed = false;
    if (xa_check_is_on()) {
        void *object;
        if (xa_check_take(
                arena_for(state, request), request->size, request->alignment, &object, is_zeroed))
            return object;
    }
    if (size_class != XA_CLASS_NONE)
        return small(state, size_class, request);
    if (request->size <= XA_LARGE_MAX_BYTES && request->alignment <= XA_CHUNK_BYTES / 2)
        return large(state, request, is_zeroed);
    return huge(state, request, is_zeroed);
}

/* Give the host everything back that no object is in; true if there was something. */
static bool
reclaim(struct xa_thread_state *state)
{
    size_t bytes = 0;
    /* Other threads' caches are theirs, but most of their large objects anybody may take. */
    for (struct xa_thread_state *at = xa_thread_state_all(); at != NULL; at = at->next) {
        bytes += xa_large_stock_empty(at, XA_LARGE_STOCK_ALL);
        /* Into the stock of all threads, or, where that has no room, to the host at once. */
        bytes += xa_huge_stock_empty(at, XA_LARGE_STOCK_ALL);
    }
    if (state != NULL)
        xa_thread_cache_flush(state);
    if (xa_check_is_on())
        bytes += xa_check_empty_quarantine();
    bytes += xa_arena_trim(0);
    return bytes + xa_huge_purge(XA_HUGE_ALL) != 0;
}

void
xa_allocate_answer_limit(void)
{
    unsigned news = xa_limit_take_news();
    struct xa_thread_state *state;
    if ((news & 1U << XA_LIMIT_SOFT) != 0 && !xa_background_urge() && xa_start_enter(&state)) {
        (void)reclaim(state);
        xa_start_leave(state);
    }
    xa_limit_tell(news);
}

static XA_COLD void
fail(const struct request *request)
{
    (void)request;
    if (xa_options.xmalloc)
        xa_message_fatal(NULL, NULL,
            "out of memory, and the option \"xmalloc\" makes that fatal. "
            "Give the process more memory or leave \"xmalloc\" out.");
}

static void
fill(void *object, const struct request *request, bool is_zeroed)
{
    bool wants_zeros = request->zeroing == ZEROED || xa_options.zero;
    bool wants_junk = (xa_options.junk & XA_JUNK_ALLOC) != 0;
    if (wants_zeros && !is_zeroed)
        memset(object, 0, request->size);
    else if (wants_junk && !wants_zeros)
        memset(object, JUNK_NEW, xa_release_usable_bytes(object, "malloc"));
}

/* A slow path for small objects filled the cache: what is there will go out without another one. */
static XA_COLD void
note(struct xa_thread_state *state, const struct request *request, void (*tell)(size_t bytes))
{
    unsigned size_class = xa_size_class_of_aligned(request->size, request->alignment);
    size_t bytes = request->size;
    if (size_class != XA_CLASS_NONE && xa_thread_state_is_real(state))
        bytes = (1 + xa_thread_state_objects(state, size_class)) *
            xa_size_class_table[size_class].object_bytes;
    tell(bytes);
}

/* Large objects are counted here: small ones were already. */
static void
count_whole(struct xa_thread_state *state, const void *object)
{
    if (XA_LIKELY(state == NULL || state->count == NULL) || object == NULL)
        return;
    if (xa_page_map_class((uintptr_t)object) > XA_SMALL_CLASSES)
        xa_thread_count_take(state, xa_release_usable_bytes(object, "malloc"));
}

/* From the arenas that threads share.  NULL also in a signal handler that must not wait. */
static void *
from_automatic(const struct request *request, bool *is_zeroed)
{
    struct xa_thread_state *state;
    if (!xa_start_enter(&state))
        return NULL;
    void *object = try(state, request, is_zeroed);
    if (XA_UNLIKELY(object == NULL) && reclaim(state))
        object = try(state, request, is_zeroed);
    count_whole(state, object);
    xa_start_leave(state);
    return object;
}

/* From the private arena that the thread is bound to. */
static XA_COLD void *
from_private(unsigned arena, const struct request *request, bool *is_zeroed)
{
    struct xa_thread_state *state = xa_thread_state_self;
    *is_zeroed = request->zeroing == ZEROED || xa_options.zero;
    void *object = xa_private_arena_take(arena, request->size, request->alignment, *is_zeroed);
    if (object != NULL && state->count != NULL)
        xa_thread_count_take(state, xa_release_usable_bytes(object, "malloc"));
    return object;
}

static void *
allocate(const struct request *request)
{
    bool is_zeroed;
    if (request->size > PTRDIFF_MAX) {
        fail(request);
        return NULL;
    }
    unsigned bound = request->arena != NULL ? 0 : xa_thread_state_binding(xa_thread_state_self);
    void *object = XA_UNLIKELY(bound != 0) ? from_private(bound, request, &is_zeroed)
                                           : from_automatic(request, &is_zeroed);
    /* The hooks of private arenas may give memory back, outside of everything else. */
    if (XA_UNLIKELY(object == NULL) && bound == 0 && xa_private_arena_dirty_bytes() != 0) {
        xa_private_arena_purge_all();
        object = from_automatic(request, &is_zeroed);
    }
    if (xa_limit_has_news())
        xa_allocate_answer_limit();
    /* Set once, before there is more than one thread as a rule; it tells of nothing else. */
    void (*tell)(size_t bytes) = atomic_load_explicit(&xa_allocate_note, memory_order_relaxed);
    if (XA_UNLIKELY(tell != NULL))
        note(xa_thread_state_self, request, tell);
    if (XA_UNLIKELY(object == NULL))
        fail(request);
    else if (request->zeroing == ZEROED || xa_start_cached_class_max == 0)
        fill(object, request, is_zeroed);
    return object;
}

/* The commonest miss of a small object. */
static void *
take_spare(unsigned size_class)
{
    struct xa_thread_state *self = xa_thread_state_self;
    bool is_sampled = xa_check_is_on();
    /* Whoever wants to be told has the long way taken; so has the one that will be guarded. */
    if ((is_sampled && !xa_check_may_pass()) ||
        atomic_load_explicit(&xa_allocate_note, memory_order_relaxed) != NULL ||
        !xa_start_enter_quickly(self))
        return NULL;
    void *object = xa_thread_cache_take_spare(self, size_class);
    xa_start_leave_quickly(self);
    if (is_sampled && object != NULL)
        xa_check_note_passed();
    return object;
}

/* A large object that the thread has freed lately; it takes no lock. */
static void *
take_stocked(size_t size)
{
    struct xa_thread_state *self = xa_thread_state_self;
    if (!xa_start_enter_quickly(self))
        return NULL;
    void *object = xa_large_stock_take(self, size);
    xa_start_leave_quickly(self);
    return object;
}

void *
xa_allocate_beyond(size_t size)
{
    void *object = NULL;
    /* 0 wraps around, and has neither. */
    if (size - 1 < XA_SMALL_MAX_BYTES)
        object = take_spare(xa_size_class_of(size));
    else if (size - 1 < XA_LARGE_MAX_BYTES)
        object = take_stocked(size);
    if (XA_LIKELY(object != NULL))
        return object;
    return allocate(&(struct request){size == 0 ? 1 : size, 1, AS_IT_IS, NULL, STAYS});
}

void *
xa_allocate_growing(size_t size)
{
    return allocate(&(struct request){size, 1, AS_IT_IS, NULL, MAY_GROW});
}

void *
xa_allocate_zeroed(size_t size)
{
    size_t index = (size - 1) >> XA_TINY_SHIFT;
    if (XA_LIKELY(index < XA_TINY_STEPS)) {
        void *object = xa_fast_pop(xa_thread_state_self, xa_thread_state_self->class_of[index]);
        if (object == NULL)
            object = take_spare(xa_size_class_tiny[index]);
        if (XA_LIKELY(object != NULL))
            return memset(object, 0, size);
    }
    return allocate(&(struct request){size == 0 ? 1 : size, 1, ZEROED, NULL, STAYS});
}

void *
xa_allocate_aligned(size_t alignment, size_t size)
{
    if (size == 0)
        size = 1;
    unsigned size_class = xa_size_class_of_aligned(size, alignment);
    if (XA_LIKELY(size_class != XA_CLASS_NONE)) {
        void *object = xa_fast_pop(xa_thread_state_self, size_class);
        if (object == NULL)
            object = take_spare(size_class);
        if (XA_LIKELY(object != NULL))
            return object;
    }
    return allocate(&(struct request){size, alignment, AS_IT_IS, NULL, STAYS});
}

void *
xa_allocate_from(struct xa_arena *arena, size_t size, size_t alignment, bool wants_zeros)
{
    return allocate(&(struct request){
        size == 0 ? 1 : size, alignment, wants_zeros ? ZEROED : AS_IT_IS, arena, STAYS});
}
