/*
 * window.c - where in the address space the heap lies.
 *
 * The window is a range of up to 1 TiB that begins at a random address; slots of
 * 4 MiB are given out lowest first.  Whoever takes a slot maps memory in it at the
 * exact address.  If something foreign turns out to be there, the slot is simply
 * not returned and another is taken.
 *
 * Normally nothing is asked of the host to choose the place: a random address in
 * the middle of a 47-bit address space is free.  Where the first mapping there
 * fails (39-bit address spaces, emulators), one in the middle of 39 bits is tried;
 * then the host is asked for a free range, and the window is put into it.
 *
 * The page map's table stands in front of the window, with room to grow.
 *
 * Locking: one lock.  A set bit is a taken slot; bits are set before a slot is
 * used and cleared after, so a forked child finds no slot taken twice.
 */
#include "page/window.h"

#include "base/assert.h"
#include "base/random.h"
#include "os/lock.h"
#include "os/os.h"

enum {
    WORDS = XA_PAGE_MAP_SLOTS / 64,
    RANDOM_TRIES = 4,
};

#define TERABYTE (UINT64_C(1) << 40)
#define GIGABYTE (UINT64_C(1) << 30)

static struct {
    struct xa_lock lock;
    bool is_placed;    /* [w] the window has its address */
    size_t first_word; /* [w] no free slot lies below this word */
} window = {.lock.rank = XA_LOCK_RANK_WINDOW};

/*
 * The bits of 64 slots, a one for each slot in use; they stand in the page map's steps,
 * whose regions are touched at the same time.  NULL where nothing is covered yet, and
 * so all are free.
 */
static uint64_t *
taken_word(size_t slot) XA_REQUIRES(window.lock)
{
    struct xa_page_map_step *step = xa_page_map_step_of(slot);
    return step == NULL ? NULL : &step->taken[slot % XA_PAGE_MAP_STEP_SLOTS / 64];
}

static uint64_t
taken_bits(size_t slot) XA_REQUIRES(window.lock)
{
    const uint64_t *word = taken_word(slot);
    return word == NULL ? 0 : *word;
}

/* Put the window behind `start`; true if memory can be mapped there. */
static bool
place_at(uintptr_t start)
{
    uintptr_t table = xa_bits_align_up(start, XA_CHUNK_BYTES);
    xa_page_map_init(table + XA_PAGE_MAP_FRONT_BYTES);
    return xa_page_map_grow();
}

/* Put the window somewhere in `span` bytes from `low` on. */
static bool
place_between(uint64_t low, uint64_t span)
{
    uint64_t state = xa_os_facts.seed;
    for (unsigned try = 0; try < RANDOM_TRIES; try++)
        if (place_at((uintptr_t)(low + xa_random_next(&state) % span)))
            return true;
    return false;
}

/*
 * Nothing is reserved, so that this works under any limit of address space.  Where words have 32
 * bits the window goes round: its last slots are at the lowest addresses.
 */
static bool
place_by_chance(void)
{
    if (sizeof(uintptr_t) == 4)
        /* Above programs at fixed addresses, below those at random ones, libraries and stacks. */
        return place_between(GIGABYTE / 4, GIGABYTE);
    /*
     * Clear of programs (0x55…), libraries and stacks (0x7f…), and of AddressSanitizer's
     * shadow, which ends at 16 TiB.  ThreadSanitizer tells program memory by its address,
     * and takes the lowest 512 GiB; where addresses have 39 bits there is not more.
     */
    return (!XA_THREAD_SANITIZER && place_between(17 * TERABYTE, 60 * TERABYTE)) ||
        place_between(64 * GIGABYTE, 64 * GIGABYTE);
}

static bool
place_where_free(void)
{
    for (uint64_t bytes = TERABYTE; bytes >= GIGABYTE / 4; bytes /= 2) {
        if (bytes > SIZE_MAX / 2)
            continue;
        uintptr_t start = xa_os_find_free_range((size_t)bytes);
        if (start != 0 && place_at(start))
            return true;
    }
    return false;
}

/* The first slot from `slot` on whose address is a multiple of `alignment` slots. */
static size_t
align_slot(size_t slot, size_t alignment)
{
    size_t before = xa_page_map_base() / XA_CHUNK_BYTES;
    return xa_bits_align_up(before + slot, alignment) - before;
}

/* First slot of the lowest run of `count` free ones, or XA_WINDOW_NONE. */
static size_t
find(size_t count, size_t alignment) XA_REQUIRES(window.lock)
{
    /* Slot 0 is left out, so that 0 is no granule's number. */
    size_t slot = align_slot(window.first_word > 0 ? window.first_word * 64 : 1, alignment);
    while (slot + count <= XA_PAGE_MAP_SLOTS) {
        size_t length = 0;
        while (length < count) {
            size_t at = slot + length;
            uint64_t rest = taken_bits(at) >> (at % 64);
            size_t free_here = rest == 0 ? 64 - at % 64 : xa_bits_lowest(rest);
            length += free_here;
            if (rest != 0)
                break;
        }
        if (length >= count)
            return slot;
        slot = align_slot(slot + length + 1, alignment);
    }
    return XA_WINDOW_NONE;
}

static void
mark(size_t slot, size_t count, bool taken) XA_REQUIRES(window.lock)
{
    for (size_t i = slot; i < slot + count; i++) {
        uint64_t bit = UINT64_C(1) << (i % 64), *word = taken_word(i);
        xa_assert(((*word & bit) != 0) != taken);
        *word = taken ? *word | bit : *word & ~bit;
    }
}

static bool
is_covered(size_t slot, size_t count)
{
    while ((slot + count) * XA_CHUNK_GRANULES >
        atomic_load_explicit(&xa_page_map_limit, memory_order_relaxed))
        if (!xa_page_map_grow())
            return false;
    return true;
}

size_t
xa_window_take(size_t count, size_t alignment)
{
    size_t slot = XA_WINDOW_NONE;
    xa_lock_lock(&window.lock);
    if (!window.is_placed)
        window.is_placed = place_by_chance() || place_where_free();
    if (window.is_placed && count <= XA_PAGE_MAP_SLOTS && alignment <= XA_PAGE_MAP_SLOTS)
        slot = find(count, alignment);
    if (slot != XA_WINDOW_NONE && !is_covered(slot, count))
        slot = XA_WINDOW_NONE;
    if (slot != XA_WINDOW_NONE) {
        mark(slot, count, true);
        while (window.first_word < WORDS - 1 &&
            (taken_bits(window.first_word * 64) | (window.first_word == 0)) == UINT64_MAX)
            window.first_word++;
    }
    xa_lock_unlock(&window.lock);
    return slot;
}

void
xa_window_return(size_t slot, size_t count)
{
    xa_lock_lock(&window.lock);
    mark(slot, count, false);
    if (slot / 64 < window.first_word)
        window.first_word = slot / 64;
    xa_lock_unlock(&window.lock);
}

void
xa_window_reset_in_child(void)
{
    xa_lock_reset_in_child(&window.lock);
}
