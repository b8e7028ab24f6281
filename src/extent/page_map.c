/*
 * page_map.c - making and growing the map; see page_map.h.
 */
#include "extent/page_map.h"

#include "base/assert.h"
#include "extent/metadata.h"
#include "os/os.h"

struct xa_page_map xa_page_map XA_CACHE_ALIGNED;

enum { STEP_GRANULES = XA_PAGE_MAP_STEP_SLOTS * XA_CHUNK_GRANULES };

void
xa_page_map_init(uintptr_t base, uintptr_t table)
{
    xa_assert(base % XA_CHUNK_BYTES == 0);
    __atomic_store_n(&xa_page_map.base, base, __ATOMIC_RELAXED);
    __atomic_store_n(&xa_page_map.classes, (_Atomic uint8_t *)table, __ATOMIC_RELAXED);
}

size_t
xa_page_map_step_bytes(void)
{
    return STEP_GRANULES;
}

bool
xa_page_map_grow(void)
{
    size_t limit = atomic_load_explicit(&xa_page_map.limit, memory_order_relaxed);
    size_t step = limit / STEP_GRANULES;
    if (step == XA_PAGE_MAP_STEPS)
        return false;
    _Atomic(struct xa_region *) *regions =
        atomic_load_explicit(&xa_page_map.regions[step], memory_order_relaxed);
    if (regions == NULL) {
        regions = xa_metadata_take(XA_PAGE_MAP_STEP_SLOTS * sizeof *regions);
        if (regions == NULL)
            return false;
        /* Release: whoever finds the table finds it zeroed. */
        atomic_store_explicit(&xa_page_map.regions[step], regions, memory_order_release);
    }
    if (xa_os_map((uintptr_t)xa_page_map.classes + limit, STEP_GRANULES) != XA_OS_DONE)
        return false;
    atomic_store_explicit(&xa_page_map.limit, limit + STEP_GRANULES, memory_order_release);
    return true;
}

struct xa_region *
xa_page_map_region(size_t slot)
{
    if (slot >= XA_PAGE_MAP_SLOTS)
        return NULL;
    _Atomic(struct xa_region *) *step = atomic_load_explicit(
        &xa_page_map.regions[slot / XA_PAGE_MAP_STEP_SLOTS], memory_order_acquire);
    if (step == NULL)
        return NULL;
    return atomic_load_explicit(&step[slot % XA_PAGE_MAP_STEP_SLOTS], memory_order_acquire);
}

void
xa_page_map_set_region(size_t slot, struct xa_region *region)
{
    _Atomic(struct xa_region *) *step = atomic_load_explicit(
        &xa_page_map.regions[slot / XA_PAGE_MAP_STEP_SLOTS], memory_order_acquire);
    /* Release: whoever finds the region finds it complete. */
    atomic_store_explicit(&step[slot % XA_PAGE_MAP_STEP_SLOTS], region, memory_order_release);
}
