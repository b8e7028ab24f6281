/*
 * metadata.c - memory for xalloc's own structures, far from the program's.
 *
 * Nothing that a program can overrun lies next to these blocks: they come from
 * mappings of their own, in a part of the address space of their own where there is one.  The first few are cut from a static region, so that a
 * small program needs no mapping for them; then regions double from 64 KiB to
 * 1 MiB.  Blocks are multiples of 64 bytes, beyond 4 KiB powers of two, and stand
 * close together: what a small program touches of them should be few pages.
 * Returned ones wait on a list per size, linked through themselves, and are cleared
 * when they go out again.
 *
 * Locking: one lock; the sections are a dozen instructions.  A child that was forked
 * in the middle of one begins with empty lists.
 */
#include "extent/metadata.h"

#include "base/assert.h"
#include "base/bits.h"
#include "os/lock.h"
#include "os/os.h"

enum {
    BLOCK_STEP = 64,
    FINE_BYTES = 4096, /* up to here a list for each multiple of BLOCK_STEP, */
    FINE_SIZES = FINE_BYTES / BLOCK_STEP,
    BLOCK_SIZES = FINE_SIZES + 4, /* then 8, 16, 32 and 64 KiB */
    STATIC_BYTES = 64 * 1024,
    REGION_MIN_BYTES = 64 * 1024,
    REGION_MAX_BYTES = 1024 * 1024,
};

struct free_block {
    struct free_block *next;
};

/* At the start of each mapping; the list of them is for the report. */
struct region {
    struct region *next; /* [c] the one before; regions are never given back */
    uintptr_t start;
    size_t bytes;
};
_Static_assert(sizeof(struct region) <= BLOCK_STEP, "it takes one step");

/* Beginning at a cache line: what lies before it is read by every miss. */
static struct XA_CACHE_ALIGNED {
    struct xa_lock lock;
    struct free_block *lists[BLOCK_SIZES]; /* [m] by size */
    uintptr_t next;                        /* [m] first free byte of the region in use */
    uintptr_t end;                         /* [m] its end */
    size_t region_bytes;                   /* [m] size of the last region */
    _Atomic size_t used_bytes;             /* [a] written under the lock */
    _Atomic size_t mapped_bytes;           /* [a] written under the lock */
    _Atomic(struct region *) regions;      /* [a] the newest */
    struct region first;                   /* [c] of the static region */
} metadata = {.lock.rank = XA_LOCK_RANK_METADATA};

/* A page more, so that a page can be chosen to begin with. */
XA_BULKY unsigned char xa_metadata_static[STATIC_BYTES + XA_METADATA_PAGE_BYTES];

/* The block for `bytes`, and its list; blocks of more than XA_METADATA_BLOCK_MAX have none. */
static size_t
round_up(size_t bytes)
{
    if (bytes > XA_METADATA_BLOCK_MAX)
        return xa_bits_align_up(bytes, XA_METADATA_PAGE_BYTES);
    return bytes > FINE_BYTES ? (size_t)xa_bits_ceil_power(bytes)
                              : xa_bits_align_up(bytes + (bytes == 0), BLOCK_STEP);
}

static unsigned
list_of(size_t rounded)
{
    return rounded <= FINE_BYTES ? (unsigned)(rounded / BLOCK_STEP - 1)
                                 : FINE_SIZES + xa_bits_highest(rounded / FINE_BYTES) - 1;
}

static void
add(_Atomic size_t *counter, size_t amount)
{
    /* Written under the lock only: a plain sum, atomic for those who read without it. */
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + amount,
        memory_order_relaxed);
}

static void
list_region(struct region *region, uintptr_t start, size_t bytes)
{
    add(&metadata.mapped_bytes, bytes);
    *region = (struct region){
        atomic_load_explicit(&metadata.regions, memory_order_relaxed), start, bytes};
    /* Release: whoever finds the region finds what it says. */
    atomic_store_explicit(&metadata.regions, region, memory_order_release);
}

/* A region with room for `bytes` becomes the one in use. */
static bool
open_region(size_t bytes)
{
    if (metadata.mapped_bytes == 0 && bytes <= STATIC_BYTES) {
        metadata.next = xa_bits_align_up((uintptr_t)xa_metadata_static, XA_METADATA_PAGE_BYTES);
        metadata.end = metadata.next + STATIC_BYTES;
        list_region(&metadata.first, metadata.next, STATIC_BYTES);
        return true;
    }
    size_t wanted = metadata.region_bytes * 2;
    if (wanted < REGION_MIN_BYTES)
        wanted = REGION_MIN_BYTES;
    if (wanted > REGION_MAX_BYTES)
        wanted = REGION_MAX_BYTES;
    size_t least = xa_bits_align_up(BLOCK_STEP + bytes, xa_os_facts.page_bytes);
    if (wanted < least)
        wanted = least;
    uintptr_t start = xa_os_map_apart(wanted);
    if (start == 0 && wanted > least) {
        wanted = least;
        start = xa_os_map_apart(wanted);
    }
    if (start == 0)
        return false;
    metadata.region_bytes = wanted;
    metadata.end = start + wanted;
    metadata.next = start + BLOCK_STEP;
    list_region((struct region *)start, start, wanted);
    return true;
}

static void *
cut(size_t bytes)
{
    size_t lowest_bit = bytes & -bytes;
    size_t alignment = lowest_bit < XA_METADATA_ALIGNED_MAX ? lowest_bit : XA_METADATA_ALIGNED_MAX;
    uintptr_t start = xa_bits_align_up(metadata.next, alignment);
    if (metadata.next == 0 || start > metadata.end || bytes > metadata.end - start) {
        if (!open_region(bytes))
            return NULL;
        start = xa_bits_align_up(metadata.next, alignment);
    }
    metadata.next = start + bytes;
    return (void *)start;
}

static void
clear(void *block, size_t bytes)
{
    uint64_t *words = block;
    for (size_t i = 0; i < bytes / sizeof *words; i++)
        words[i] = 0;
}

/* A block, and whether it has been used before. */
static void *
take(size_t rounded, bool *is_reused)
{
    struct free_block **list =
        rounded <= XA_METADATA_BLOCK_MAX ? &metadata.lists[list_of(rounded)] : NULL;
    xa_lock_lock(&metadata.lock);
    struct free_block *block = list == NULL ? NULL : *list;
    *is_reused = block != NULL;
    if (*is_reused)
        *list = block->next;
    else
        block = cut(rounded);
    if (block != NULL)
        add(&metadata.used_bytes, rounded);
    xa_lock_unlock(&metadata.lock);
    return block;
}

void *
xa_metadata_take(size_t bytes)
{
    size_t rounded = round_up(bytes);
    bool is_reused;
    void *block = take(rounded, &is_reused);
    if (is_reused)
        clear(block, rounded);
    return block;
}

unsigned
xa_metadata_take_some(void **blocks, unsigned count, size_t bytes)
{
    xa_assert(count >= 1 && bytes <= XA_METADATA_BLOCK_MAX);
    size_t rounded = round_up(bytes);
    struct free_block **list = &metadata.lists[list_of(rounded)];
    unsigned taken = 0;
    xa_lock_lock(&metadata.lock);
    for (; taken < count && *list != NULL; taken++) {
        blocks[taken] = *list;
        *list = (*list)->next;
    }
    if (taken == 0) {
        blocks[0] = cut(rounded);
        taken = blocks[0] != NULL;
    }
    add(&metadata.used_bytes, taken * rounded);
    xa_lock_unlock(&metadata.lock);
    return taken;
}

/* From the region's end, since at its beginning small blocks stand close together. */
void *
xa_metadata_take_pages(size_t bytes)
{
    bytes = xa_bits_align_up(bytes, XA_METADATA_PAGE_BYTES);
    void *pages = NULL;
    xa_lock_lock(&metadata.lock);
    if (metadata.end - metadata.next >= bytes + XA_METADATA_PAGE_BYTES ||
        open_region(bytes + XA_METADATA_PAGE_BYTES)) {
        metadata.end = ((metadata.end - bytes) & -(uintptr_t)XA_METADATA_PAGE_BYTES);
        pages = (void *)metadata.end;
        add(&metadata.used_bytes, bytes);
    }
    xa_lock_unlock(&metadata.lock);
    return pages;
}

void
xa_metadata_return(void *block, size_t bytes)
{
    xa_metadata_return_some(&block, 1, bytes);
}

void
xa_metadata_return_some(void *const *blocks, unsigned count, size_t bytes)
{
    xa_assert(bytes <= XA_METADATA_BLOCK_MAX);
    size_t rounded = round_up(bytes);
    struct free_block **list = &metadata.lists[list_of(rounded)];
    xa_lock_lock(&metadata.lock);
    for (unsigned i = 0; i < count; i++) {
        struct free_block *link = blocks[i];
        link->next = *list;
        *list = link;
    }
    add(&metadata.used_bytes, -(count * rounded));
    xa_lock_unlock(&metadata.lock);
}

size_t
xa_metadata_used_bytes(void)
{
    return atomic_load_explicit(&metadata.used_bytes, memory_order_relaxed);
}

size_t
xa_metadata_mapped_bytes(void)
{
    return atomic_load_explicit(&metadata.mapped_bytes, memory_order_relaxed);
}

size_t
xa_metadata_resident_bytes(void)
{
    size_t total = 0;
    /* Acquire: pairs with the release in list_region(). */
    for (const struct region *region =
             atomic_load_explicit(&metadata.regions, memory_order_acquire);
         region != NULL; region = region->next)
        total += xa_os_resident_bytes(region->start, region->bytes);
    return total;
}

size_t
xa_metadata_static_range(uintptr_t *start)
{
    *start = metadata.first.start;
    return metadata.first.bytes;
}

void
xa_metadata_reset_in_child(void)
{
    if (!xa_lock_reset_in_child(&metadata.lock))
        return;
    metadata.next = metadata.end = 0;
    for (unsigned i = 0; i < BLOCK_SIZES; i++)
        metadata.lists[i] = NULL;
}
