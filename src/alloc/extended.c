/*
 * extended.c - see extended.h.
 *
 * Most calls have no flags, and are malloc and free (api/jemalloc.c).  With flags:
 *
 *   alignment, zeros    as aligned_alloc and calloc
 *   no cache            from the slabs of the thread's arena, and back to them
 *   a cache             explicit_cache.h, for small objects; else as without one
 *   an arena            from its slabs; a private one: private_arena.h
 *
 * An arena's number without a cache means no cache: the thread's has other arenas' objects.
 */
#include "alloc/extended.h"

#include <string.h>

#include "alloc/allocate.h"
#include "alloc/explicit_cache.h"
#include "alloc/fast_path.h"
#include "alloc/resize.h"
#include "alloc/start.h"
#include "arena/large.h"
#include "arena/private_arena.h"
#include "arena/private_map.h"
#include "check/check.h"
#include "check/guard.h"
#include "os/fork_watch.h"
#include "page/limit.h"
#include "thread/large_stock.h"
#include "thread/thread_cache.h"
#include "thread/thread_count.h"

enum {
    LG_ALIGN_MASK = 0x3f,
    SIZE_BITS = 8 * sizeof(size_t),
    CACHE_SHIFT = 8,
    CACHE_MASK = 0xfff,
    ARENA_SHIFT = 20,
};

enum caching { CACHING_AUTOMATIC, CACHING_NONE, CACHING_EXPLICIT };

struct request {
    size_t size; /* at least 1; SIZE_MAX if the alignment is none of this address space */
    size_t alignment;
    bool wants_zeros;
    enum caching caching;
    unsigned cache; /* with CACHING_EXPLICIT */
    bool has_arena; /* one is named */
    unsigned arena;
};

static struct request
decode(size_t size, int flags)
{
    unsigned bits = (unsigned)flags;
    unsigned cache = (bits >> CACHE_SHIFT) & CACHE_MASK, arena = bits >> ARENA_SHIFT;
    unsigned lg_align = bits & LG_ALIGN_MASK;
    return (struct request){
        .size = lg_align >= SIZE_BITS ? SIZE_MAX
            : size == 0               ? 1
                                      : size,
        .alignment = (size_t)1 << (lg_align % SIZE_BITS),
        .wants_zeros = (bits & MALLOCX_ZERO) != 0,
        .caching = cache == 0 ? CACHING_AUTOMATIC
            : cache == 1      ? CACHING_NONE
                              : CACHING_EXPLICIT,
        .cache = cache - 2,
        .has_arena = arena != 0,
        .arena = arena - 1,
    };
}

/* The private arena that the request is for; 0: an automatic one. */
static unsigned
private_arena_of(const struct request *request)
{
    if (!request->has_arena)
        return xa_thread_state_binding(xa_thread_state_self);
    return request->arena >= XA_PRIVATE_ARENA_FIRST ? request->arena : 0;
}

/* An automatic arena is made when somebody first wants it; NULL if there is to be none. */
static struct xa_arena *
automatic_arena(unsigned index)
{
    struct xa_thread_state *state;
    struct xa_arena *arena = xa_arena_at(index);
    if (arena != NULL || !xa_start_enter(&state))
        return arena;
    arena = xa_arena_obtain(index);
    xa_start_leave(state);
    return arena;
}

/* The automatic arena that is to be used without a cache; NULL: through the thread's caches. */
static struct xa_arena *
uncached_arena(const struct request *request)
{
    const struct xa_thread_state *self = xa_thread_state_self;
    if (request->has_arena)
        return automatic_arena(request->arena);
    if (request->caching == CACHING_AUTOMATIC)
        return NULL;
    return xa_thread_state_is_real(self) ? self->arena : xa_arena_at(0);
}

static void *
from_cache(const struct request *request, unsigned private_arena)
{
    unsigned size_class = xa_size_class_of_aligned(request->size, request->alignment);
    unsigned source = private_arena != 0 ? private_arena : XA_EXPLICIT_CACHE_AUTOMATIC;
    /* An automatic arena that is named is not to be mixed with others. */
    if (size_class == XA_CLASS_NONE || (request->has_arena && private_arena == 0))
        return NULL;
    /* Checked objects never wait in a cache. */
    if (xa_check_is_on() && private_arena == 0)
        return NULL;
    void *object = xa_explicit_cache_take(request->cache, source, size_class);
    if (object != NULL && request->wants_zeros)
        memset(object, 0, request->size);
    return object;
}

/* For a thread that wants to know what it takes: what went through none of its own caches. */
static void
count_take(const void *object)
{
    struct xa_thread_state *self = xa_thread_state_self;
    if (object != NULL && xa_thread_state_is_real(self) && self->count != NULL)
        xa_thread_count_take(self, xa_release_usable_bytes(object, "mallocx"));
}

static void *
allocate(const struct request *request)
{
    if (request->size > PTRDIFF_MAX)
        return NULL;
    /* The process and the thread begin here, if this is their first call. */
    (void)xa_start_thread();
    unsigned private_arena = private_arena_of(request);
    if (request->caching == CACHING_EXPLICIT) {
        void *object = from_cache(request, private_arena);
        count_take(object);
        if (object != NULL)
            return object;
    }
    if (request->has_arena && private_arena != 0) {
        void *object = xa_private_arena_take(
            private_arena, request->size, request->alignment, request->wants_zeros);
        count_take(object);
        if (xa_limit_has_news())
            xa_allocate_answer_limit();
        return object;
    }
    struct xa_arena *arena = uncached_arena(request);
    if (request->has_arena && arena == NULL)
        return NULL;
    if (private_arena != 0)
        arena = NULL;
    return xa_allocate_from(arena, request->size, request->alignment, request->wants_zeros);
}

void *
xa_extended_allocate(size_t size, int flags)
{
    struct request request = decode(size, flags);
    return allocate(&request);
}

size_t
xa_extended_bytes(size_t size, int flags)
{
    struct request request = decode(size, flags);
    if (request.size > PTRDIFF_MAX || request.alignment > PTRDIFF_MAX)
        return 0;
    unsigned size_class = xa_size_class_of_aligned(request.size, request.alignment);
    if (size_class != XA_CLASS_NONE)
        return xa_size_class_table[size_class].object_bytes;
    /* The page is known once the process has begun. */
    xa_start_process();
    return xa_large_object_bytes(request.size, request.alignment);
}

/* The same for what a cache with a number keeps. */
static void
count_free(unsigned size_class)
{
    struct xa_thread_state *self = xa_thread_state_self;
    if (xa_thread_state_is_real(self) && self->count != NULL)
        xa_thread_count_free(self, xa_size_class_table[size_class].object_bytes);
}

void
xa_extended_release(void *pointer, int flags)
{
    struct request request = decode(1, flags);
    unsigned arena, size_class;
    if (request.caching == CACHING_EXPLICIT) {
        size_class = xa_release_small_class(pointer, &arena);
        if (size_class != XA_CLASS_NONE &&
            xa_explicit_cache_put(request.cache,
                arena == XA_RELEASE_AUTOMATIC ? XA_EXPLICIT_CACHE_AUTOMATIC : arena, size_class,
                pointer)) {
            count_free(size_class);
            return;
        }
    }
    if (request.caching == CACHING_AUTOMATIC)
        xa_fast_free(pointer);
    else
        xa_release_uncached(pointer);
}

/* Zero what is new of an object that had `before` usable bytes. */
static void
clear_new(void *pointer, size_t before, size_t after)
{
    if (after > before)
        memset((char *)pointer + before, 0, after - before);
}

/* True if the object is a good place for the request as it stands, perhaps resized. */
static bool
stays(void *pointer, size_t usable, const struct request *request)
{
    if ((uintptr_t)pointer % request->alignment != 0)
        return false;
    if (request->size > XA_SMALL_MAX_BYTES && usable > XA_SMALL_MAX_BYTES)
        usable = xa_resize_in_place(pointer, request->size, request->size);
    return xa_resize_fits(usable, request->size);
}

/* To another place; NULL if there is none. */
static void *
move(void *pointer, size_t usable, const struct request *request, int flags)
{
    bool is_plain = !request->has_arena && request->caching == CACHING_AUTOMATIC &&
        request->alignment <= (size_t)1 << XA_TINY_SHIFT;
    /* Large mappings move without a copy. */
    if (is_plain)
        return xa_resize(pointer, request->size);
    void *object = allocate(request);
    if (object == NULL)
        return NULL;
    memcpy(object, pointer, usable < request->size ? usable : request->size);
    xa_extended_release(pointer, flags);
    return object;
}

void *
xa_extended_reallocate(void *pointer, size_t size, int flags)
{
    struct request request = decode(size, flags);
    if (pointer == NULL)
        return allocate(&request);
    size_t usable = xa_release_usable_bytes(pointer, "rallocx");
    if (usable == 0 || request.size > PTRDIFF_MAX)
        return NULL;
    void *object = pointer;
    if (!stays(pointer, usable, &request))
        object = move(pointer, usable, &request, flags);
    if (object != NULL && request.wants_zeros)
        clear_new(object, usable, xa_release_usable_bytes(object, "rallocx"));
    return object;
}

size_t
xa_extended_resize(void *pointer, size_t size, size_t extra, int flags)
{
    struct request request = decode(size, flags);
    size_t usable = xa_release_usable_bytes(pointer, "xallocx");
    size_t most = extra > SIZE_MAX - request.size ? SIZE_MAX : request.size + extra;
    if (most > PTRDIFF_MAX)
        most = PTRDIFF_MAX;
    if (usable == 0 || request.size > PTRDIFF_MAX || (uintptr_t)pointer % request.alignment != 0)
        return usable;
    size_t after = xa_resize_in_place(pointer, request.size, most);
    if (request.wants_zeros)
        clear_new(pointer, usable, after);
    return after;
}

/* ---- Sections and hooks of private arenas ---- */

/* Private arenas call this (private_arena.h).  The purging thread has no state, and no handlers. */
static bool
at_step(enum xa_private_step step)
{
    struct xa_thread_state *self = xa_thread_state_self, *entered;
    bool is_real = xa_thread_state_is_real(self);
    switch (step) {
    case XA_PRIVATE_BEGIN:
        if (is_real)
            return xa_start_enter(&entered);
        xa_fork_watch_check();
        break;
    case XA_PRIVATE_END:
        if (is_real)
            xa_start_leave(self);
        break;
    case XA_PRIVATE_HOOK_BEGIN:
        if (is_real)
            self->hook_depth++;
        break;
    case XA_PRIVATE_HOOK_END:
        /* 0 if the thread's first call of all was in the hook. */
        if (is_real && self->hook_depth > 0)
            self->hook_depth--;
        break;
    }
    return true;
}

/* ---- Arenas, caches, threads ---- */

unsigned
xa_extended_create_arena(struct extent_hooks_s *hooks)
{
    (void)xa_start_thread();
    xa_private_arena_set_step(at_step);
    return xa_private_arena_create(hooks);
}

unsigned
xa_extended_create_cache(void)
{
    return xa_explicit_cache_create();
}

bool
xa_extended_flush_cache(unsigned cache)
{
    return xa_explicit_cache_flush(cache);
}

bool
xa_extended_destroy_cache(unsigned cache)
{
    return xa_explicit_cache_destroy(cache);
}

unsigned
xa_extended_thread_arena(void)
{
    const struct xa_thread_state *state = xa_start_thread();
    if (state == NULL)
        return 0;
    return state->bound_arena != 0 ? state->bound_arena : state->arena->index;
}

/* From now on the thread allocates from that private arena; 0: from its automatic one. */
static bool
bind(unsigned private_arena)
{
    struct xa_thread_state *state;
    if (private_arena != 0 && !xa_private_arena_bind(private_arena))
        return false;
    if (!xa_start_enter(&state) || state == NULL) {
        if (private_arena != 0)
            xa_private_arena_unbind(private_arena);
        return false;
    }
    unsigned before = state->bound_arena;
    /* What it has cached is not of that arena. */
    xa_thread_cache_flush(state);
    state->bound_arena = (uint16_t)private_arena;
    xa_start_leave(state);
    if (before != 0)
        xa_private_arena_unbind(before);
    return true;
}

bool
xa_extended_bind_thread(unsigned arena)
{
    struct xa_thread_state *state = xa_start_thread();
    if (state == NULL)
        return false;
    if (arena >= XA_PRIVATE_ARENA_FIRST)
        return arena == state->bound_arena || bind(arena);
    struct xa_arena *automatic = automatic_arena(arena);
    if (automatic == NULL)
        return false;
    xa_arena_join(automatic);
    xa_arena_leave(state->arena);
    state->arena = automatic;
    return state->bound_arena == 0 || bind(0);
}

unsigned
xa_extended_arena_of(const void *pointer)
{
    uintptr_t address = (uintptr_t)pointer;
    if (xa_private_map_is_used()) {
        unsigned index = xa_private_arena_lookup(pointer);
        if (index != XA_PRIVATE_ARENA_NONE)
            return index;
    }
    if (xa_guard_has(address))
        return 0;
    switch (xa_page_map_class(address)) {
    case XA_CLASS_NONE: return XA_EXTENDED_NONE;
    /* Mappings of their own belong to all. */
    case XA_CLASS_HUGE: return 0;
    default: return xa_page_map_record(xa_page_map_head(xa_page_map_granule_of(address)))->arena;
    }
}
