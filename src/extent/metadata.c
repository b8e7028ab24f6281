/*
 * metadata.c - memory for xalloc's own structures, far from the program's.
 *
 * Nothing that a program can overrun lies next to these blocks: they come from
 * mappings of their own.  The first few are cut from a static region, so that a
 * small program needs no mapping for them; then regions double from 64 KiB to
 * 1 MiB.  Blocks are powers of two from 64 bytes; returned ones wait on a list
 * per size, linked through themselves, and are cleared when they go out again.
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
    BLOCK_MIN = 64,
    BLOCK_SIZES = 11, /* 64 bytes … 64 KiB */
    STATIC_BYTES = 64 * 1024,
    REGION_MIN_BYTES = 64 * 1024,
    REGION_MAX_BYTES = 1024 * 1024,
    REGIONS_LISTED = 4096,
};

struct free_block {
    struct free_block *next;
};

struct region {
    uintptr_t start;
    size_t bytes;
};

static struct {
    struct xa_lock lock;
    struct free_block *lists[BLOCK_SIZES]; /* [m] by size */
    uintptr_t next;                        /* [m] first free byte of the region in use */
    uintptr_t end;                         /* [m] its end */
    size_t region_bytes;                   /* [m] size of the last region */
    _Atomic size_t used_bytes;             /* [a] written under the lock */
    _Atomic size_t mapped_bytes;           /* [a] written under the lock */
    _Atomic size_t region_count;           /* [a] published after its row */
} metadata = {.lock.rank = XA_LOCK_RANK_METADATA};

/* [m] Where the regions are, for the report; rows are never changed once published. */
static struct region regions[REGIONS_LISTED];

static XA_CACHE_ALIGNED unsigned char static_region[STATIC_BYTES]
    __attribute__((aligned(XA_METADATA_PAGE_BYTES)));

static unsigned
size_index(size_t bytes)
{
    return bytes <= BLOCK_MIN ? 0 : xa_bits_highest(xa_bits_ceil_power(bytes)) - 6;
}

static void
add(_Atomic size_t *counter, size_t amount)
{
    /* Written under the lock only: a plain sum, atomic for those who read without it. */
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + amount,
        memory_order_relaxed);
}

static void
list_region(uintptr_t start, size_t bytes)
{
    size_t count = atomic_load_explicit(&metadata.region_count, memory_order_relaxed);
    add(&metadata.mapped_bytes, bytes);
    if (count == REGIONS_LISTED)
        return;
    regions[count] = (struct region){start, bytes};
    /* Release: whoever sees the count sees the row. */
    atomic_store_explicit(&metadata.region_count, count + 1, memory_order_release);
}

/* A region with room for `bytes` becomes the one in use. */
static bool
open_region(size_t bytes)
{
    if (metadata.mapped_bytes == 0 && bytes <= STATIC_BYTES) {
        metadata.next = (uintptr_t)static_region;
        metadata.end = metadata.next + STATIC_BYTES;
        list_region(metadata.next, STATIC_BYTES);
        return true;
    }
    size_t wanted = metadata.region_bytes * 2;
    if (wanted < REGION_MIN_BYTES)
        wanted = REGION_MIN_BYTES;
    if (wanted > REGION_MAX_BYTES)
        wanted = REGION_MAX_BYTES;
    size_t least = xa_bits_align_up(bytes, xa_os_facts.page_bytes);
    if (wanted < least)
        wanted = least;
    uintptr_t start = xa_os_map_anywhere(wanted);
    if (start == 0 && wanted > least) {
        wanted = least;
        start = xa_os_map_anywhere(wanted);
    }
    if (start == 0)
        return false;
    metadata.region_bytes = wanted;
    metadata.end = start + wanted;
    metadata.next = start;
    list_region(start, wanted);
    return true;
}

static void *
cut(size_t bytes)
{
    size_t alignment = bytes >= XA_METADATA_PAGE_BYTES ? XA_METADATA_PAGE_BYTES : bytes;
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

void *
xa_metadata_take(size_t bytes)
{
    bool is_listed = bytes <= XA_METADATA_BLOCK_MAX;
    size_t rounded = is_listed ? (size_t)BLOCK_MIN << size_index(bytes)
                               : xa_bits_align_up(bytes, XA_METADATA_PAGE_BYTES);
    xa_lock_lock(&metadata.lock);
    struct free_block *block = is_listed ? metadata.lists[size_index(bytes)] : NULL;
    bool is_reused = block != NULL;
    if (is_reused)
        metadata.lists[size_index(bytes)] = block->next;
    else
        block = cut(rounded);
    if (block != NULL)
        add(&metadata.used_bytes, rounded);
    xa_lock_unlock(&metadata.lock);
    if (is_reused)
        clear(block, rounded);
    return block;
}

void
xa_metadata_return(void *block, size_t bytes)
{
    xa_assert(bytes <= XA_METADATA_BLOCK_MAX);
    unsigned index = size_index(bytes);
    struct free_block *link = block;
    xa_lock_lock(&metadata.lock);
    link->next = metadata.lists[index];
    metadata.lists[index] = link;
    add(&metadata.used_bytes, -((size_t)BLOCK_MIN << index));
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
    /* Acquire: pairs with the release in list_region(). */
    size_t count = atomic_load_explicit(&metadata.region_count, memory_order_acquire);
    size_t total = 0;
    for (size_t i = 0; i < count; i++)
        total += xa_os_resident_bytes(regions[i].start, regions[i].bytes);
    return total;
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
