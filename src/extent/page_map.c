/*
 * page_map.c - making and growing the map; see page_map.h.
 */
#include "extent/page_map.h"

#include "base/assert.h"
#include "extent/metadata.h"
#include "os/os.h"

uintptr_t xa_page_map_start;
_Atomic size_t xa_page_map_limit;
XA_BULKY struct xa_page_map xa_page_map;

enum { STEP_GRANULES = XA_PAGE_MAP_STEP_SLOTS * XA_CHUNK_GRANULES };

void
xa_page_map_init(uintptr_t base)
{
    xa_assert(base % XA_CHUNK_BYTES == 0);
    __atomic_store_n(&xa_page_map_start, base, __ATOMIC_RELAXED);
}

size_t
xa_page_map_step_bytes(void)
{
    return STEP_GRANULES;
}

bool
xa_page_map_grow(void)
{
    size_t limit = atomic_load_explicit(&xa_page_map_limit, memory_order_relaxed);
    size_t number = limit / STEP_GRANULES;
    if (number == XA_PAGE_MAP_STEPS)
        return false;
    struct xa_page_map_step *step =
        atomic_load_explicit(xa_page_map_step_place(number), memory_order_relaxed);
    if (step == NULL) {
        step = number == 0 ? &xa_page_map.first : xa_metadata_take(sizeof *step);
        if (step == NULL)
            return false;
        /* Release: whoever finds the step finds it zeroed. */
        atomic_store_explicit(xa_page_map_step_place(number), step, memory_order_release);
    }
    if (xa_os_map((uintptr_t)xa_page_map_classes() + limit, STEP_GRANULES) != XA_OS_DONE)
        return false;
    atomic_store_explicit(&xa_page_map_limit, limit + STEP_GRANULES, memory_order_release);
    return true;
}

struct xa_region *
xa_page_map_region(size_t slot)
{
    if (slot >= XA_PAGE_MAP_SLOTS)
        return NULL;
    const struct xa_page_map_step *step = xa_page_map_step_of(slot);
    if (step == NULL)
        return NULL;
    return atomic_load_explicit(
        &step->regions[slot % XA_PAGE_MAP_STEP_SLOTS], memory_order_acquire);
}

void
xa_page_map_set_region(size_t slot, struct xa_region *region)
{
    struct xa_page_map_step *step = xa_page_map_step_of(slot);
    /* Release: whoever finds the region finds it complete. */
    atomic_store_explicit(
        &step->regions[slot % XA_PAGE_MAP_STEP_SLOTS], region, memory_order_release);
}
