/*
 * huge.c - objects with a mapping of their own, and a stock of freed ones.
 *
 * A huge object begins at a chunk slot of the window and is mapped to the page;
 * what remains of its last slot is address space only.  A freed mapping is kept
 * for the decay time, so that a program which frees and allocates 10 MiB in a loop
 * pays neither system calls nor page faults; the stock is bounded by number and
 * by bytes, and whatever is older than the decay time is unmapped.  Its age is counted
 * from the first look at it, as looking at the clock is a system call: by the purging
 * thread, or without it at every few frees.
 *
 * Growing takes place in the slots behind the object while they last, and else by
 * moving its pages to a place with twice the slots: addresses are plenty, so most
 * later growth is in place.
 *
 * The limit counts live mappings and kept ones, but for those that were emptied.
 *
 * Locking: the stock and the counters have a lock; system calls are made without it.  A live object
 * belongs to the thread that frees or resizes it: there is only one, since it took
 * the object's class out of the page map (free) or the program says so (realloc).
 */
#include "page/huge.h"

#include "base/assert.h"
#include "config/options.h"
#include "extent/region.h"
#include "os/lock.h"
#include "os/os.h"
#include "page/huge_page.h"
#include "page/limit.h"
#include "page/page_purge.h"
#include "page/window.h"

enum {
    KEPT_MAX = 32,
    PLACE_TRIES = 1000,
    SLOTS_KEPT_FRACTION = 4,
    /* Without an option: this and a part of what is live, as in page heaps. */
    KEPT_MAX_AUTO_BYTES = 64 * 1024 * 1024,
    KEPT_MAX_AUTO_FRACTION = 4,
    FREES_PER_LOOK = 8,
};

struct xa_huge_counters xa_huge_counters;

static struct {
    struct xa_lock lock;
    struct xa_huge *kept; /* [h] the most recently freed first */
    size_t count;         /* [h] */
} stock = {.lock.rank = XA_LOCK_RANK_HUGE};

static void
add(_Atomic size_t *counter, size_t amount) XA_REQUIRES(stock.lock)
{
    /* Written under the lock only: a plain sum, atomic for those who read without it. */
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + amount,
        memory_order_relaxed);
}

/* An object of `bytes` is the program's now. */
static void
note_live(size_t bytes) XA_REQUIRES(stock.lock)
{
    add(&xa_huge_counters.live_bytes, bytes);
    add(&xa_huge_counters.live_objects, 1);
    add(&xa_huge_counters.allocations, 1);
}

static void
note_freed(size_t bytes) XA_REQUIRES(stock.lock)
{
    add(&xa_huge_counters.live_bytes, -bytes);
    add(&xa_huge_counters.live_objects, (size_t)-1);
}

static void
note_kept(const struct xa_huge *huge, bool is_kept) XA_REQUIRES(stock.lock)
{
    size_t bytes = is_kept ? huge->bytes : -huge->bytes;
    add(&xa_huge_counters.kept_bytes, bytes);
    add(&xa_huge_counters.kept_objects, is_kept ? 1 : (size_t)-1);
    if (!huge->is_zeroed)
        add(&xa_huge_counters.kept_dirty_bytes, bytes);
}

static size_t
slots_for(size_t bytes)
{
    return xa_bits_divide_up(bytes, XA_CHUNK_BYTES);
}

/* Take the link's mapping off the stock. */
static struct xa_huge *
unlink(struct xa_huge **link) XA_REQUIRES(stock.lock)
{
    struct xa_huge *huge = *link;
    *link = huge->next_kept;
    stock.count--;
    note_kept(huge, false);
    return huge;
}

/* The kept mapping that fits best, or NULL. */
static struct xa_huge *
take_kept(size_t bytes, size_t alignment)
{
    struct xa_huge **best = NULL, *found = NULL;
    xa_lock_lock(&stock.lock);
    for (struct xa_huge **link = &stock.kept; *link != NULL; link = &(*link)->next_kept) {
        const struct xa_huge *huge = *link;
        bool fits = xa_huge_serves(huge->bytes, bytes) &&
            (xa_window_address(huge->region.slot) & (alignment - 1)) == 0;
        if (fits && (best == NULL || huge->bytes < (*best)->bytes))
            best = link;
    }
    if (best != NULL) {
        found = unlink(best);
        note_live(found->bytes);
    }
    xa_lock_unlock(&stock.lock);
    return found;
}

static void
publish(struct xa_huge *huge)
{
    for (size_t i = 0; i < huge->slots; i++)
        xa_page_map_set_region(huge->region.slot + i, &huge->region);
}

static void
unpublish(size_t slot, size_t slots)
{
    for (size_t i = 0; i < slots; i++)
        xa_page_map_set_region(slot + i, NULL);
}

/*
 * Slots for `slots` chunks with `bytes` of fresh memory mapped at their start;
 * XA_WINDOW_NONE if there is none.
 */
static size_t
map_slots(size_t slots, size_t bytes, size_t alignment)
{
    size_t step = alignment <= XA_CHUNK_BYTES ? 1 : alignment / XA_CHUNK_BYTES;
    for (unsigned try = 0; try < PLACE_TRIES; try++) {
        size_t slot = xa_window_take(slots, step);
        if (slot == XA_WINDOW_NONE)
            return slot;
        enum xa_os_result result = xa_os_map(xa_window_address(slot), bytes);
        if (result == XA_OS_DONE)
            return slot;
        /* Where something foreign stands, the slots stay taken and others are tried. */
        if (result == XA_OS_NO_MEMORY) {
            xa_window_return(slot, slots);
            return XA_WINDOW_NONE;
        }
    }
    return XA_WINDOW_NONE;
}

/* Say of huge pages what has not been said; an object that is too short for one needs nothing. */
static void
advise(struct xa_huge *huge, enum xa_huge_page_advice advice)
{
    if (advice == huge->advice || advice == XA_HUGE_PAGE_LEAVE || huge->bytes < XA_HUGE_PAGE_BYTES)
        return;
    if (xa_huge_page_advise(xa_window_address(huge->region.slot), huge->bytes, advice))
        huge->advice = (uint8_t)advice;
}

static struct xa_huge *
make(size_t bytes, size_t alignment)
{
    if (!xa_limit_take(bytes))
        return NULL;
    struct xa_huge *huge = xa_region_take_huge();
    size_t slots = slots_for(bytes);
    size_t slot = huge == NULL ? XA_WINDOW_NONE : map_slots(slots, bytes, alignment);
    if (slot == XA_WINDOW_NONE) {
        if (huge != NULL)
            xa_region_return(&huge->region);
        xa_limit_give(bytes);
        return NULL;
    }
    huge->region.slot = (uint32_t)slot;
    huge->slots = (uint32_t)slots;
    huge->bytes = bytes;
    huge->is_zeroed = true;
    huge->advice = XA_HUGE_PAGE_LEAVE;
    advise(huge, xa_huge_page_choose(xa_limit_used_bytes()));
    publish(huge);
    xa_lock_lock(&stock.lock);
    note_live(bytes);
    xa_lock_unlock(&stock.lock);
    return huge;
}

/* A live mapping that was freed, or one that could not be given back, goes to the stock. */
enum keep_what { KEEP_LIVE, KEEP_STUCK };

static void
keep(struct xa_huge *huge, enum keep_what what)
{
    huge->freed_ms = 0;
    xa_lock_lock(&stock.lock);
    if (what == KEEP_LIVE)
        note_freed(huge->bytes);
    huge->next_kept = stock.kept;
    /* A forked child may find any prefix of this: the list stays whole. */
    atomic_signal_fence(memory_order_release);
    stock.kept = huge;
    stock.count++;
    note_kept(huge, true);
    xa_lock_unlock(&stock.lock);
}

/* A kept mapping or a new one; NULL if there is none, or the limit does not allow it. */
static struct xa_huge *
find(size_t bytes, size_t alignment)
{
    struct xa_huge *huge = take_kept(bytes, alignment);
    if (huge == NULL)
        return make(bytes, alignment);
    /* It was emptied: its pages will be taken afresh. */
    if (huge->is_zeroed && !xa_limit_take(huge->bytes)) {
        keep(huge, KEEP_LIVE);
        return NULL;
    }
    return huge;
}

void *
xa_huge_take(size_t bytes, size_t alignment, bool *is_zeroed)
{
    size_t asked = bytes;
    bytes = xa_bits_align_up(bytes, xa_os_facts.page_bytes);
    struct xa_huge *huge = find(bytes, alignment);
    /* What is kept may be just what is missing. */
    if (huge == NULL && xa_huge_purge(XA_HUGE_ALL) != 0)
        huge = find(bytes, alignment);
    if (huge == NULL)
        return NULL;
    *is_zeroed = huge->is_zeroed;
    return xa_huge_reuse(huge, asked);
}

/* Give the mapping back for good; false if the host cannot unmap it now. */
static bool
destroy(struct xa_huge *huge)
{
    size_t slot = huge->region.slot, slots = huge->slots;
    if (!xa_os_unmap(xa_window_address(slot), huge->bytes))
        return false;
    unpublish(slot, slots);
    xa_region_return(&huge->region);
    xa_window_return(slot, slots);
    return true;
}

/* Unmap, or where the host refuses (it has no room to split a mapping) empty and keep. */
static size_t
let_go(struct xa_huge *huge)
{
    size_t bytes = huge->bytes, counted = huge->is_zeroed ? 0 : bytes;
    if (destroy(huge)) {
        xa_limit_give(counted);
        return bytes;
    }
    huge->is_zeroed = huge->is_zeroed || xa_os_purge(xa_window_address(huge->region.slot), bytes);
    if (huge->is_zeroed)
        xa_limit_give(counted);
    huge->is_stuck = true;
    keep(huge, KEEP_STUCK);
    return 0;
}

/* What may be kept, here and by threads. */
static size_t
whole_bound(void)
{
    size_t wanted = atomic_load_explicit(&xa_page_purge_dirty_max_bytes, memory_order_relaxed);
    if (wanted != 0)
        return wanted;
    return KEPT_MAX_AUTO_BYTES +
        atomic_load_explicit(&xa_huge_counters.live_bytes, memory_order_relaxed) /
        KEPT_MAX_AUTO_FRACTION;
}

/*
 * What is left of it for the stock.  Without an option at least the half of what is always allowed:
 * a few threads that were first shall not leave nothing to all others.
 */
static size_t
kept_bound(void)
{
    size_t whole = whole_bound();
    size_t promised = atomic_load_explicit(&xa_huge_counters.promised_bytes, memory_order_relaxed);
    size_t left = promised < whole ? whole - promised : 0;
    bool is_wanted =
        atomic_load_explicit(&xa_page_purge_dirty_max_bytes, memory_order_relaxed) != 0;
    size_t least = is_wanted ? 0 : KEPT_MAX_AUTO_BYTES / 2;
    return left > least ? left : least;
}

bool
xa_huge_may_keep(size_t bytes)
{
    /* A bound that may be passed by a little: ordered with nothing. */
    size_t promised = atomic_load_explicit(&xa_huge_counters.promised_bytes, memory_order_relaxed);
    size_t kept = atomic_load_explicit(&xa_huge_counters.kept_bytes, memory_order_relaxed);
    if (bytes + promised + kept > whole_bound())
        return false;
    atomic_fetch_add_explicit(&xa_huge_counters.promised_bytes, bytes, memory_order_relaxed);
    return true;
}

void
xa_huge_keep_no_more(size_t bytes)
{
    atomic_fetch_sub_explicit(&xa_huge_counters.promised_bytes, bytes, memory_order_relaxed);
}

/* Something was kept: true if the stock has to be looked through now. */
static bool
is_time_to_look(void)
{
    static _Atomic uint32_t frees;
    /* Figures of the moment: if another thread changes them it looks itself. */
    if (atomic_load_explicit(&xa_huge_counters.kept_objects, memory_order_relaxed) > KEPT_MAX ||
        atomic_load_explicit(&xa_huge_counters.kept_bytes, memory_order_relaxed) > kept_bound())
        return true;
    if (atomic_load_explicit(&xa_page_purge_has_thread, memory_order_relaxed))
        return false;
    /* A lost count does not matter. */
    uint32_t count = atomic_load_explicit(&frees, memory_order_relaxed);
    atomic_store_explicit(&frees, count + 1, memory_order_relaxed);
    return count % FREES_PER_LOOK == 0;
}

void
xa_huge_return(struct xa_huge *huge)
{
    huge->is_zeroed = huge->is_stuck = false;
    bool at_once = xa_page_purge_decay_ms() == 0 || xa_limit_is_over_soft();
    if (at_once || huge->bytes > kept_bound()) {
        xa_lock_lock(&stock.lock);
        note_freed(huge->bytes);
        xa_lock_unlock(&stock.lock);
        (void)let_go(huge);
        return;
    }
    keep(huge, KEEP_LIVE);
    xa_page_purge_note_news();
    if (is_time_to_look())
        (void)xa_huge_purge(XA_HUGE_DECAYED);
}

struct xa_huge *
xa_huge_of(uintptr_t address)
{
    size_t slot = xa_page_map_granule_of(address) / XA_CHUNK_GRANULES;
    return (struct xa_huge *)xa_page_map_region(slot);
}

static bool
is_due(struct xa_huge *huge, uint64_t now, size_t bytes_before, size_t rank) XA_REQUIRES(stock.lock)
{
    if (huge->freed_ms == 0)
        huge->freed_ms = now;
    if (rank >= KEPT_MAX || bytes_before + huge->bytes > kept_bound())
        return true;
    int64_t decay = xa_page_purge_decay_ms();
    return decay >= 0 && now - huge->freed_ms >= (uint64_t)decay;
}

/* The first mapping on the stock that is to go, off the list; NULL if none is. */
static struct xa_huge *
take_due(enum xa_huge_purge what, uint64_t now)
{
    struct xa_huge *found = NULL;
    size_t bytes = 0, rank = 0;
    xa_lock_lock(&stock.lock);
    for (struct xa_huge **link = &stock.kept; *link != NULL; link = &(*link)->next_kept) {
        struct xa_huge *huge = *link;
        bool may_go = what == XA_HUGE_ALL || is_due(huge, now, bytes, rank);
        /* What the host refused once waits to be used again. */
        if (may_go && !huge->is_stuck) {
            found = unlink(link);
            break;
        }
        bytes += huge->bytes;
        rank++;
    }
    xa_lock_unlock(&stock.lock);
    return found;
}

/* What the host refused before may be possible now. */
static void
try_again(void)
{
    xa_lock_lock(&stock.lock);
    for (struct xa_huge *huge = stock.kept; huge != NULL; huge = huge->next_kept)
        huge->is_stuck = false;
    xa_lock_unlock(&stock.lock);
}

size_t
xa_huge_purge(enum xa_huge_purge what)
{
    size_t total = 0;
    if (what == XA_HUGE_ALL)
        try_again();
    uint64_t now = xa_os_now_ms();
    for (struct xa_huge *huge = take_due(what, now); huge != NULL; huge = take_due(what, now))
        total += let_go(huge);
    return total;
}

/* Map more behind the object, or unmap its end.  False if that is not possible. */
static bool
resize_in_place(struct xa_huge *huge, size_t bytes)
{
    uintptr_t start = xa_window_address(huge->region.slot);
    if (bytes > (size_t)huge->slots * XA_CHUNK_BYTES)
        return false;
    if (bytes > huge->bytes)
        return xa_os_extend(start, huge->bytes, bytes);
    return bytes == huge->bytes || xa_os_unmap(start + bytes, huge->bytes - bytes);
}

/* Most of the object's slots are no longer needed: let others have them. */
static void
return_slots(struct xa_huge *huge)
{
    size_t slots = huge->slots, kept = slots_for(huge->bytes);
    if (kept > slots / SLOTS_KEPT_FRACTION)
        return;
    unpublish(huge->region.slot + kept, slots - kept);
    huge->slots = (uint32_t)kept;
    xa_window_return(huge->region.slot + kept, slots - kept);
}

/* Move the pages to slots with room for as much again. */
static bool
move(struct xa_huge *huge, size_t bytes)
{
    size_t slots = slots_for(bytes);
    slots = slots <= XA_PAGE_MAP_SLOTS / 8 ? 2 * slots : slots;
    size_t slot = xa_window_take(slots, 1);
    if (slot == XA_WINDOW_NONE)
        return false;
    size_t old_slot = huge->region.slot, old_slots = huge->slots;
    if (!xa_os_move(xa_window_address(old_slot), huge->bytes, xa_window_address(slot), bytes)) {
        xa_window_return(slot, slots);
        return false;
    }
    xa_page_map_set_class(old_slot * XA_CHUNK_GRANULES, 1, XA_CLASS_NONE);
    unpublish(old_slot, old_slots);
    huge->region.slot = (uint32_t)slot;
    huge->slots = (uint32_t)slots;
    publish(huge);
    xa_page_map_set_class(slot * XA_CHUNK_GRANULES, 1, XA_CLASS_HUGE);
    xa_window_return(old_slot, old_slots);
    return true;
}

enum place { WHERE_IT_IS, ANYWHERE };

/* Ask the limit for more, and once more without what is kept. */
static bool
take_more(size_t bytes)
{
    return xa_limit_take(bytes) || (xa_huge_purge(XA_HUGE_ALL) != 0 && xa_limit_take(bytes));
}

static bool
resize(struct xa_huge *huge, size_t bytes, enum place place)
{
    size_t asked = bytes, before = huge->bytes;
    bytes = xa_bits_align_up(bytes, xa_os_facts.page_bytes);
    if (bytes > before && !take_more(bytes - before))
        return false;
    if (!resize_in_place(huge, bytes) &&
        !(place == ANYWHERE && bytes > before && move(huge, bytes))) {
        if (bytes > before)
            xa_limit_give(bytes - before);
        return false;
    }
    if (bytes < before)
        xa_limit_give(before - bytes);
    huge->bytes = bytes;
    huge->asked_bytes = asked;
    return_slots(huge);
    if (huge->advice == XA_HUGE_PAGE_LEAVE)
        advise(huge, xa_huge_page_choose(xa_limit_used_bytes()));
    else if (huge->advice == XA_HUGE_PAGE_AVOID && bytes > before)
        advise(huge, xa_huge_page_choose_again(bytes));
    xa_lock_lock(&stock.lock);
    add(&xa_huge_counters.live_bytes, bytes - before);
    xa_lock_unlock(&stock.lock);
    return true;
}

void *
xa_huge_resize(struct xa_huge *huge, size_t bytes)
{
    if (!resize(huge, bytes, ANYWHERE))
        return NULL;
    return (void *)xa_window_address(huge->region.slot);
}

bool
xa_huge_resize_in_place(struct xa_huge *huge, size_t bytes)
{
    return resize(huge, bytes, WHERE_IT_IS);
}

void
xa_huge_reset_in_child(void)
{
    xa_lock_reset_in_child(&stock.lock);
}
