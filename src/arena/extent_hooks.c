/*
 * extent_hooks.c - see extent_hooks.h.
 *
 * Memory is mapped wherever the host likes, and unmapped when it is no longer wanted; the host
 * cannot decommit, and splits and merges mappings by itself.  What is mapped here counts towards
 * the limits on memory until it is unmapped.
 *
 * The table is filled in when it is first asked for: functions' addresses in constant data would
 * have to be relocated in every process.
 */
#include "arena/extent_hooks.h"

#include <stdatomic.h>

#include "base/bits.h"
#include "os/lock.h"
#include "os/os.h"
#include "page/limit.h"

static struct extent_hooks_s table;
static _Atomic bool is_filled; /* [h] to change */
static struct xa_lock lock = {.rank = XA_LOCK_RANK_EXTENT_HOOKS};

/* Give one end of a mapping back; if the host cannot, the range stays mapped and unused. */
static void
trim(uintptr_t start, uintptr_t end)
{
    if (start < end)
        (void)xa_os_unmap(start, end - start);
}

/* Map somewhat more, and unmap what stands out. */
static uintptr_t
map_aligned(size_t bytes, size_t alignment)
{
    uintptr_t start = xa_os_map_anywhere(bytes);
    if (start == 0 || start % alignment == 0)
        return start;
    if (!xa_os_unmap(start, bytes) || bytes + alignment < bytes)
        return 0;
    start = xa_os_map_anywhere(bytes + alignment);
    if (start == 0)
        return 0;
    uintptr_t aligned = xa_bits_align_up(start, alignment);
    trim(start, aligned);
    trim(aligned + bytes, start + bytes + alignment);
    return aligned;
}

static void *
alloc(extent_hooks_t *hooks, void *new_addr, size_t size, size_t alignment, bool *zero,
    bool *commit, unsigned arena_ind)
{
    (void)hooks;
    (void)arena_ind;
    uintptr_t start = (uintptr_t)new_addr;
    if (size > PTRDIFF_MAX || alignment > PTRDIFF_MAX || !xa_limit_take(size))
        return NULL;
    if (new_addr != NULL)
        start = xa_os_map(start, size) == XA_OS_DONE ? start : 0;
    else
        start = map_aligned(
            size, alignment < xa_os_facts.page_bytes ? xa_os_facts.page_bytes : alignment);
    if (start == 0) {
        xa_limit_give(size);
        return NULL;
    }
    *zero = true;
    *commit = true;
    return (void *)start;
}

static bool
dalloc(extent_hooks_t *hooks, void *addr, size_t size, bool committed, unsigned arena_ind)
{
    (void)hooks, (void)committed, (void)arena_ind;
    if (!xa_os_unmap((uintptr_t)addr, size))
        return true;
    xa_limit_give(size);
    return false;
}

static void
destroy(extent_hooks_t *hooks, void *addr, size_t size, bool committed, unsigned arena_ind)
{
    (void)dalloc(hooks, addr, size, committed, arena_ind);
}

/* Whatever is mapped is committed, and stays so. */
static bool
commit(extent_hooks_t *hooks, void *addr, size_t size, size_t offset, size_t length,
    unsigned arena_ind)
{
    (void)hooks, (void)addr, (void)size, (void)offset, (void)length, (void)arena_ind;
    return false;
}

static bool
decommit(extent_hooks_t *hooks, void *addr, size_t size, size_t offset, size_t length,
    unsigned arena_ind)
{
    (void)hooks, (void)addr, (void)size, (void)offset, (void)length, (void)arena_ind;
    return true;
}

static bool
purge_lazy(extent_hooks_t *hooks, void *addr, size_t size, size_t offset, size_t length,
    unsigned arena_ind)
{
    (void)hooks, (void)size, (void)arena_ind;
    return !xa_os_purge_lazily((uintptr_t)addr + offset, length);
}

static bool
purge_forced(extent_hooks_t *hooks, void *addr, size_t size, size_t offset, size_t length,
    unsigned arena_ind)
{
    (void)hooks, (void)size, (void)arena_ind;
    return !xa_os_purge((uintptr_t)addr + offset, length);
}

static bool
split(extent_hooks_t *hooks, void *addr, size_t size, size_t size_a, size_t size_b, bool committed,
    unsigned arena_ind)
{
    (void)hooks, (void)addr, (void)size, (void)size_a, (void)size_b;
    (void)committed, (void)arena_ind;
    return false;
}

static bool
merge(extent_hooks_t *hooks, void *addr_a, size_t size_a, void *addr_b, size_t size_b,
    bool committed, unsigned arena_ind)
{
    (void)hooks, (void)addr_a, (void)size_a, (void)addr_b, (void)size_b;
    (void)committed, (void)arena_ind;
    return false;
}

static void
separate(void)
{
    __asm__ volatile("" ::: "memory");
}

/* Under the lock. */
static void
fill(void)
{
    /* One by one: the compiler would copy several from a constant table. */
    table.alloc = alloc;
    separate();
    table.dalloc = dalloc;
    separate();
    table.destroy = destroy;
    separate();
    table.commit = commit;
    separate();
    table.decommit = decommit;
    separate();
    table.purge_lazy = purge_lazy;
    separate();
    table.purge_forced = purge_forced;
    separate();
    table.split = split;
    separate();
    table.merge = merge;
    /* Release: whoever sees the mark sees the table. */
    atomic_store_explicit(&is_filled, true, memory_order_release);
}

struct extent_hooks_s *
xa_extent_hooks_default(void)
{
    if (atomic_load_explicit(&is_filled, memory_order_acquire))
        return &table;
    xa_lock_lock(&lock);
    /* Another thread may have filled it since; it is in use then, and not to be written any more. */
    if (!atomic_load_explicit(&is_filled, memory_order_relaxed))
        fill();
    xa_lock_unlock(&lock);
    return &table;
}

void
xa_extent_hooks_reset_in_child(void)
{
    /* Cut in the middle, the table is not marked as filled, and filled again. */
    (void)xa_lock_reset_in_child(&lock);
}
