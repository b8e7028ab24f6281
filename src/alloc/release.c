/*
 * release.c - see release.h.
 *
 * The one door from a program's pointer to what we know of it is verdict_on(): it
 * may be asked of any address, reads nothing but our own records, and its checks
 * stay in release builds.  A pointer that was certainly misused (inside an object,
 * freed twice) ends the process, since the heap can no longer be trusted; one that
 * was never ours is reported once, and left alone.
 *
 * What lies in a private arena is that arena's, whatever the page map says: its memory may come
 * from anywhere, and if an extent hook took it from malloc, the page map knows that large or huge
 * object.  (Never a small one: extents are longer.)  So it is asked first, wherever a pointer is
 * no small object, and only if there ever was such an arena.
 */
#include "alloc/release.h"

#include <string.h>

#include "alloc/fast_path.h"
#include "alloc/start.h"
#include "arena/large.h"
#include "arena/misuse.h"
#include "arena/private_arena.h"
#include "arena/private_map.h"
#include "arena/slab.h"
#include "check/check.h"
#include "config/options.h"
#include "os/call_stack.h"
#include "os/message.h"
#include "page/huge.h"
#include "thread/huge_stock.h"
#include "thread/thread_cache.h"
#include "thread/thread_count.h"

enum { JUNK_FREED = 0x5a, LINE_BYTES = 300 };

enum verdict {
    LIVE_SMALL, /* or in a cache: that is found later */
    LIVE_LARGE,
    LIVE_HUGE,
    LIVE_PRIVATE,
    INSIDE,
    ALREADY_FREE,
    FOREIGN,
};

static enum verdict
verdict_of_private(enum xa_private_verdict verdict)
{
    switch (verdict) {
    case XA_PRIVATE_LIVE: return LIVE_PRIVATE;
    case XA_PRIVATE_INSIDE: return INSIDE;
    case XA_PRIVATE_FREE: return ALREADY_FREE;
    default: return FOREIGN;
    }
}

/* The class map says nothing of this address, or not enough: look at the region. */
static enum verdict
verdict_by_region(uintptr_t address)
{
    size_t granule = xa_page_map_granule_of(address);
    struct xa_region *region = xa_page_map_region(granule / XA_CHUNK_GRANULES);
    if (region == NULL)
        return FOREIGN;
    size_t first = (size_t)region->slot * XA_CHUNK_GRANULES;
    if (region->kind == XA_REGION_HUGE)
        return xa_page_map_class(xa_page_map_address_of(first)) == XA_CLASS_HUGE ? INSIDE
                                                                                 : ALREADY_FREE;
    const struct xa_chunk *chunk = (const struct xa_chunk *)(const void *)region;
    unsigned bit = (unsigned)(granule % XA_CHUNK_GRANULES);
    if (bit >= chunk->mapped_granules)
        return FOREIGN;
    bool is_retired =
        address % XA_GRANULE_BYTES == 0 && chunk->records[bit].kind == XA_EXTENT_RETIRED;
    return is_retired || xa_bitmap_has(&chunk->free, bit) ? ALREADY_FREE : INSIDE;
}

static enum verdict
verdict_on(uintptr_t address)
{
    unsigned size_class = xa_page_map_class(address);
    if (size_class == XA_CLASS_NONE)
        return verdict_by_region(address);
    if (size_class <= XA_SMALL_CLASSES) {
        switch (xa_slab_look(address)) {
        case XA_SLAB_INSIDE: return INSIDE;
        case XA_SLAB_FREE: return ALREADY_FREE;
        case XA_SLAB_TAKEN: return LIVE_SMALL;
        }
    }
    if (address % XA_GRANULE_BYTES != 0)
        return INSIDE;
    return size_class == XA_CLASS_LARGE ? LIVE_LARGE : LIVE_HUGE;
}

/* Where the call came from, for an error that a core dump will not show. */
static XA_COLD void
say_stack(void)
{
    uintptr_t frames[XA_CALL_STACK_MAX];
    xa_message_stack("called", frames, xa_call_stack_capture(frames, XA_CALL_STACK_MAX));
}

static const char *
describe_foreign(const void *pointer)
{
    size_t granule = xa_page_map_granule_of((uintptr_t)pointer);
    /* A window of 4 GiB is all that 32 bits address. */
    if (sizeof pointer == 4)
        return "no object of xalloc's, left alone (further ones silently). Look for memory that "
               "another allocator or the stack gave out, or a second free of a large object.";
    return xa_page_map_is_beyond(granule)
        ? "not from xalloc, left alone (further ones silently). "
          "Look for memory that another allocator or the stack gave out."
        : "in xalloc's range, but nothing is there, left alone (further ones silently). "
          "Look for a second free of a large object.";
}

/* Say what is wrong with the pointer; comes back only for foreign ones. */
static XA_COLD void
complain(const char *call, const void *pointer, enum verdict verdict)
{
    static _Atomic bool has_complained;
    if (verdict == INSIDE)
        xa_misuse_end(call, pointer, XA_MISUSE_INSIDE);
    if (verdict == ALREADY_FREE)
        xa_misuse_end(call, pointer, XA_MISUSE_ALREADY_FREE);
    if (xa_options.abort_on_foreign || xa_options.abort)
        xa_message_fatal(call, pointer,
            "not from xalloc. Look for memory that another allocator or the stack gave out.");
    /* Relaxed: only the number of lines depends on it. */
    if (!atomic_exchange_explicit(&has_complained, true, memory_order_relaxed)) {
        xa_message_pointer(call, pointer, describe_foreign(pointer));
        say_stack();
    }
}

static bool
is_counted(const struct xa_thread_state *state)
{
    return XA_UNLIKELY(state != NULL && state->count != NULL);
}

/* A full cache of a thread that wants to know what it frees. */
static XA_COLD void
overflow_and_count(struct xa_thread_state *state, unsigned size_class, void *pointer)
{
    xa_thread_count_settle_class(state, size_class);
    xa_thread_cache_overflow(state, size_class, pointer);
    xa_thread_count_note_class(state, size_class);
    xa_thread_count_free(state, xa_size_class_table[size_class].object_bytes);
}

static void
free_small(void *pointer, unsigned size_class)
{
    struct xa_thread_state *state;
    /* A signal handler in the middle of our own work: the object is lost, not the process. */
    if (!xa_start_enter(&state))
        return;
    if (state == NULL || size_class > xa_start_cached_class_max || !xa_thread_state_caches(state) ||
        !xa_thread_state_may_cache(state, size_class)) {
        (void)xa_arena_return(size_class, &pointer, 1, XA_ARENA_WAIT);
        if (is_counted(state))
            xa_thread_count_free(state, xa_size_class_table[size_class].object_bytes);
    } else {
        if (*atomic_load_explicit(&state->tops[size_class], memory_order_relaxed) == pointer)
            complain("free", pointer, ALREADY_FREE);
        if (is_counted(state))
            overflow_and_count(state, size_class, pointer);
        else
            xa_thread_cache_overflow(state, size_class, pointer);
    }
    xa_start_leave(state);
}

/* Bytes of a large or huge object, as were asked for: one that had been kept may be longer. */
static size_t
whole_bytes(uintptr_t address, unsigned size_class)
{
    if (size_class == XA_CLASS_LARGE)
        return xa_large_object_bytes(xa_large_asked_bytes(address), 1);
    return xa_bits_align_up(xa_huge_of(address)->asked_bytes, xa_os_facts.page_bytes);
}

/* The state, unless it is NULL, keeps the object; false if not. */
static bool
keep(struct xa_thread_state *state, uintptr_t address, unsigned size_class)
{
    if (state == NULL || !xa_thread_state_stocks(state))
        return false;
    return size_class == XA_CLASS_HUGE ? xa_huge_stock_put(state, xa_huge_of(address))
                                       : xa_large_stock_put(state, address);
}

/* Large and huge objects: of several threads that free one, the page map serves the first. */
static void
free_whole(void *pointer, unsigned size_class)
{
    struct xa_thread_state *state;
    uintptr_t address = (uintptr_t)pointer;
    if (xa_page_map_take_class(xa_page_map_granule_of(address)) != size_class) {
        complain("free", pointer, ALREADY_FREE);
        return;
    }
    if (!xa_start_enter(&state)) {
        /* A signal handler in the middle of our own work: the object stays as it was. */
        xa_page_map_set_class(xa_page_map_granule_of(address), 1, size_class);
        return;
    }
    if (is_counted(state))
        xa_thread_count_free(state, whole_bytes(address, size_class));
    if (!keep(state, address, size_class)) {
        if (size_class == XA_CLASS_HUGE)
            xa_huge_return(xa_huge_of(address));
        else
            xa_large_return(address);
    }
    xa_start_leave(state);
}

/*
 * A large or huge object becomes the one that the thread freed last.  Its place has no room where
 * more than this is to be looked at, or done (checks, junk, counting).  Two threads that free one
 * object at the same moment are not told apart here: one would have to wait for the other.
 */
XA_INLINE bool
put_quickly(uintptr_t address, unsigned size_class)
{
    size_t granule = xa_page_map_granule_of(address);
    if (address % XA_GRANULE_BYTES != 0 || xa_private_map_is_used())
        return false;
    if (XA_LIKELY(size_class == XA_CLASS_LARGE))
        return xa_large_stock_put_hot(xa_thread_state_self, granule);
    return size_class == XA_CLASS_HUGE && xa_huge_stock_put_quickly(xa_thread_state_self, granule);
}

static bool
wants_junk(void)
{
    return (xa_options.junk & XA_JUNK_FREE) != 0;
}

/* Free an object of a private arena; false if it is none. */
static XA_NOINLINE bool
free_private(void *pointer)
{
    size_t bytes;
    struct xa_thread_state *state = xa_thread_state_self;
    bool counts = xa_thread_state_is_real(state) && state->count != NULL;
    if ((counts || wants_junk()) && xa_private_arena_look(pointer, &bytes) == XA_PRIVATE_LIVE) {
        if (wants_junk())
            memset(pointer, JUNK_FREED, bytes);
        if (counts)
            xa_thread_count_free(state, bytes);
    }
    enum verdict verdict = verdict_of_private(xa_private_arena_return(pointer));
    if (verdict == FOREIGN)
        return false;
    if (verdict != LIVE_PRIVATE)
        complain("free", pointer, verdict);
    return true;
}

/* An object of src/check; false if the pointer is to none. */
static bool
free_checked(void *pointer, const struct xa_check_claim *claim)
{
    struct xa_thread_state *state;
    if (!xa_check_has(pointer))
        return false;
    /* A signal handler in the middle of our own work: the object is lost, not the process. */
    if (!xa_start_enter(&state))
        return true;
    if (is_counted(state))
        xa_thread_count_free(state, xa_check_bytes(pointer, claim->call));
    xa_check_return(pointer, claim);
    xa_start_leave(state);
    return true;
}

/* A size that the object certainly was not asked for with. */
static bool
is_impossible(const void *pointer, size_t size, size_t alignment, size_t usable)
{
    unsigned size_class = xa_page_map_class((uintptr_t)pointer);
    if (size > usable)
        return true;
    /* Less than half of the object is no place where realloc would have left it. */
    if (size >= usable / 2 || size == 0 || !xa_bits_is_power_of_two(alignment))
        return false;
    unsigned asked_class = xa_size_class_of_aligned(size, alignment);
    if (size_class <= XA_SMALL_CLASSES || asked_class != XA_CLASS_NONE)
        return asked_class != size_class;
    return xa_large_object_bytes(size, alignment) < usable / 2;
}

static XA_COLD void
complain_of_size(const void *pointer, size_t size, size_t usable)
{
    static _Atomic bool has_complained;
    char line[LINE_BYTES];
    struct xa_text text;
    bool is_fatal = xa_options.abort;
    if (!is_fatal && atomic_exchange_explicit(&has_complained, true, memory_order_relaxed))
        return;
    xa_text_init(&text, line, sizeof line);
    xa_text_put_string(&text, "called with size ");
    xa_text_put_unsigned(&text, size);
    xa_text_put_string(&text, " for an object of ");
    xa_text_put_unsigned(&text, usable);
    xa_text_put_string(&text, " bytes");
    xa_text_put_string(&text, is_fatal ? "" : ", freed all the same (further ones silently)");
    xa_text_put_string(&text, ". Pass the size that was allocated.");
    if (is_fatal)
        xa_message_fatal("free_sized", pointer, line);
    xa_message_pointer("free_sized", pointer, line);
    say_stack();
}

void
xa_release_sized_beyond(void *pointer, size_t size, size_t alignment)
{
    if (xa_check_is_on() && free_checked(pointer, &(struct xa_check_claim){"free_sized", size}))
        return;
    size_t usable = xa_release_usable_bytes(pointer, "free_sized");
    if (XA_UNLIKELY(usable != 0 && is_impossible(pointer, size, alignment, usable)))
        complain_of_size(pointer, size, usable);
    xa_release_beyond(pointer);
}

/* The commonest miss: the full magazine becomes the thread's spare. */
static bool
make_spare(void *pointer, unsigned size_class)
{
    struct xa_thread_state *self = xa_thread_state_self;
    if (!xa_start_enter_quickly(self))
        return false;
    bool done = xa_thread_cache_make_spare(self, size_class, pointer);
    xa_start_leave_quickly(self);
    return done;
}

/* All that is no shortest way. */
static XA_NOINLINE void
release(void *pointer, unsigned size_class)
{
    if (xa_check_is_on() && free_checked(pointer, &(struct xa_check_claim){"free", SIZE_MAX}))
        return;
    bool is_small = size_class != XA_CLASS_NONE && size_class <= XA_SMALL_CLASSES;
    if (!is_small && xa_private_map_is_used() && free_private(pointer))
        return;
    /* Small objects are looked at when a cache gives them back to their slab. */
    if (is_small && !wants_junk()) {
        if (!make_spare(pointer, size_class))
            free_small(pointer, size_class);
        return;
    }
    enum verdict verdict = verdict_on((uintptr_t)pointer);
    if (verdict >= INSIDE) {
        complain("free", pointer, verdict);
        return;
    }
    if (wants_junk())
        memset(pointer, JUNK_FREED, xa_release_usable_bytes(pointer, "free"));
    if (is_small)
        free_small(pointer, size_class);
    else
        free_whole(pointer, size_class);
}

void
xa_release_beyond(void *pointer)
{
    if (pointer == NULL)
        return;
    uintptr_t address = (uintptr_t)pointer;
    unsigned size_class = xa_page_map_class(address);
    if (size_class > XA_SMALL_CLASSES && put_quickly(address, size_class))
        return;
    release(pointer, size_class);
}

size_t
xa_release_usable_bytes(const void *pointer, const char *call)
{
    uintptr_t address = (uintptr_t)pointer;
    unsigned size_class = xa_page_map_class(address);
    if (XA_LIKELY(size_class != XA_CLASS_NONE && size_class <= XA_SMALL_CLASSES))
        return xa_size_class_table[size_class].object_bytes;
    if (pointer == NULL)
        return 0;
    if (xa_check_is_on() && xa_check_has(pointer))
        return xa_check_bytes(pointer, call);
    enum verdict verdict = FOREIGN;
    size_t bytes = 0;
    if (xa_private_map_is_used())
        verdict = verdict_of_private(xa_private_arena_look(pointer, &bytes));
    if (verdict == FOREIGN)
        verdict = verdict_on(address);
    /* As was asked for: one that had been kept may be longer, but that is not the program's. */
    if (verdict == LIVE_PRIVATE)
        return bytes;
    if (verdict == LIVE_LARGE || verdict == LIVE_HUGE)
        return whole_bytes(address, size_class);
    complain(call, pointer, verdict);
    return 0;
}

void
xa_release_uncached(void *pointer)
{
    struct xa_thread_state *state;
    unsigned size_class = xa_page_map_class((uintptr_t)pointer);
    if (size_class == XA_CLASS_NONE || size_class > XA_SMALL_CLASSES || wants_junk()) {
        xa_release_beyond(pointer);
        return;
    }
    if (!xa_start_enter(&state))
        return;
    (void)xa_arena_return(size_class, &pointer, 1, XA_ARENA_WAIT);
    if (is_counted(state))
        xa_thread_count_free(state, xa_size_class_table[size_class].object_bytes);
    xa_start_leave(state);
}

unsigned
xa_release_small_class(const void *pointer, unsigned *arena)
{
    uintptr_t address = (uintptr_t)pointer;
    unsigned size_class = xa_page_map_class(address);
    if (pointer != NULL && size_class != XA_CLASS_NONE && size_class <= XA_SMALL_CLASSES) {
        struct xa_thread_state *state;
        if (!xa_start_enter(&state))
            return XA_CLASS_NONE;
        xa_arena_check(size_class, pointer);
        xa_start_leave(state);
        *arena = XA_RELEASE_AUTOMATIC;
        return size_class;
    }
    size_t bytes;
    if (pointer == NULL || !xa_private_map_is_used() ||
        xa_private_arena_look(pointer, &bytes) != XA_PRIVATE_LIVE || bytes > XA_SMALL_MAX_BYTES ||
        xa_size_class_table[xa_size_class_of(bytes)].object_bytes != bytes)
        return XA_CLASS_NONE;
    *arena = xa_private_arena_lookup(pointer);
    return xa_size_class_of(bytes);
}
