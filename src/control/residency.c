/*
 * residency.c - see residency.h.
 *
 * The window's regions are walked by the page map.  A chunk's bitmaps say which granules
 * are free, and the records of the others what they hold; a run is stepped over from its
 * head on, since the records of a large object's tail are not written.  Then the host is
 * asked about the chunk's pages.
 *
 * No lock is taken, so all of that may change meanwhile.  It is memory of our own that
 * never becomes anything else (extent/region.c), and every number out of it is bounded
 * before it is used: what comes out wrong is the figure of a run that came or went.  The
 * thread sanitizer would rightly call it a race, and is told to look away.
 */
#include "control/residency.h"

#include "extent/metadata.h"
#include "extent/page_map.h"
#include "os/os.h"
#include "page/window.h"

enum { PAGES_AT_ONCE = 1024 };

#define RACY __attribute__((no_sanitize("thread")))

/* What each granule of a chunk is used for. */
struct chunk_uses {
    uint8_t kinds[XA_CHUNK_GRANULES];
    unsigned mapped;
};

static size_t
load(const _Atomic size_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static bool RACY
has_bit(const struct xa_bitmap *map, unsigned granule)
{
    return (__atomic_load_n(&map->words[granule / 64], __ATOMIC_RELAXED) >> granule % 64 & 1) != 0;
}

/* Granules of the run whose head this may be; `*kind` is what it holds. */
static unsigned RACY
look_at_run(struct xa_residency *residency, const struct xa_extent *record, uint8_t *kind)
{
    unsigned granules = __atomic_load_n(&record->granules, __ATOMIC_RELAXED);
    unsigned size_class = __atomic_load_n(&record->size_class, __ATOMIC_RELAXED);
    size_t bytes = (size_t)granules * XA_GRANULE_BYTES, asked;
    switch (__atomic_load_n(&record->kind, __ATOMIC_RELAXED)) {
    case XA_EXTENT_SLAB:
        *kind = (uint8_t)(size_class <= XA_SMALL_CLASSES ? size_class : XA_RESIDENCY_DIRTY);
        return granules;
    case XA_EXTENT_LARGE:
        asked = __atomic_load_n(&record->as.large.bytes, __ATOMIC_RELAXED);
        residency->large_rounding +=
            granules <= XA_CHUNK_GRANULES && asked < bytes ? bytes - asked : 0;
        *kind = XA_RESIDENCY_LARGE;
        return granules;
    case XA_EXTENT_RETIRED: *kind = XA_RESIDENCY_STOCK; return granules;
    default:
        /* Nobody's at this moment: just taken, just freed, or being purged. */
        *kind = XA_RESIDENCY_DIRTY;
        return 1;
    }
}

static uint8_t
kind_of_free(const struct xa_chunk *chunk, unsigned granule)
{
    if (!has_bit(&chunk->dirty, granule))
        return XA_RESIDENCY_CLEAN;
    return has_bit(&chunk->muzzy, granule) ? XA_RESIDENCY_MUZZY : XA_RESIDENCY_DIRTY;
}

/* A run of free granules ends before `end`. */
static void
note_free_run(
    struct xa_residency *residency, const struct chunk_uses *uses, unsigned first, unsigned end)
{
    if (first == end)
        return;
    unsigned length = end - first;
    struct xa_residency_runs *runs =
        &residency->runs[length == 1 ? 0 : xa_bits_highest(length - 1) + 1];
    runs->count++;
    for (; first < end; first++) {
        bool is_clean = uses->kinds[first] == XA_RESIDENCY_CLEAN;
        *(is_clean ? &runs->clean_bytes : &runs->dirty_bytes) += XA_GRANULE_BYTES;
    }
}

static void
find_uses(struct xa_residency *residency, const struct xa_chunk *chunk, struct chunk_uses *uses)
{
    unsigned free_from = 0;
    for (unsigned i = 0, end; i < uses->mapped; i = end) {
        end = i + 1;
        if (has_bit(&chunk->free, i)) {
            uses->kinds[i] = kind_of_free(chunk, i);
            continue;
        }
        note_free_run(residency, uses, free_from, i);
        uint8_t kind;
        unsigned granules = look_at_run(residency, &chunk->records[i], &kind);
        end = i + (granules < 1 ? 1 : granules < uses->mapped - i ? granules : uses->mapped - i);
        for (unsigned at = i; at < end; at++)
            uses->kinds[at] = kind;
        free_from = end;
    }
    note_free_run(residency, uses, free_from, uses->mapped);
}

static void
measure_chunk(struct xa_residency *residency, const struct xa_chunk *chunk, uintptr_t start)
{
    unsigned char present[PAGES_AT_ONCE];
    struct chunk_uses uses;
    size_t page = xa_os_facts.page_bytes;
    uses.mapped = atomic_load_explicit(&chunk->mapped_granules, memory_order_relaxed);
    if (uses.mapped > XA_CHUNK_GRANULES)
        return;
    find_uses(residency, chunk, &uses);
    size_t pages = uses.mapped * (size_t)XA_GRANULE_BYTES / page;
    for (size_t first = 0, count; first < pages; first += count) {
        count = pages - first < PAGES_AT_ONCE ? pages - first : PAGES_AT_ONCE;
        xa_os_resident_pages(start + first * page, count, present);
        for (size_t i = 0; i < count; i++) {
            /* Where pages are larger than granules, runs begin and end on pages. */
            size_t granule = (first + i) * page / XA_GRANULE_BYTES;
            residency->bytes[uses.kinds[granule]] += present[i] * page;
        }
    }
}

static void RACY
measure_huge(struct xa_residency *residency, const struct xa_huge *huge, uintptr_t start)
{
    size_t bytes = load(&huge->bytes);
    size_t asked = __atomic_load_n(&huge->asked_bytes, __ATOMIC_RELAXED);
    bool is_live = xa_page_map_class(start) == XA_CLASS_HUGE;
    residency->bytes[is_live ? XA_RESIDENCY_HUGE : XA_RESIDENCY_KEPT] +=
        xa_os_resident_bytes(start, bytes);
    if (is_live && asked < bytes)
        residency->large_rounding += bytes - asked;
}

static void RACY
measure_window(struct xa_residency *residency)
{
    size_t limit = load(&xa_page_map_limit);
    for (size_t slot = 0; slot < limit / XA_CHUNK_GRANULES; slot++) {
        const struct xa_region *region = xa_page_map_region(slot);
        /* A huge mapping stands in several slots. */
        if (region == NULL || region->slot != slot)
            continue;
        uintptr_t start = xa_window_address(slot);
        if (__atomic_load_n(&region->kind, __ATOMIC_RELAXED) == XA_REGION_HUGE)
            measure_huge(residency, (const struct xa_huge *)region, start);
        else
            measure_chunk(residency, (const struct xa_chunk *)(const void *)region, start);
    }
    residency->bytes[XA_RESIDENCY_METADATA] +=
        xa_os_resident_bytes((uintptr_t)xa_page_map_classes(), limit);
}

/* The library's range; and the metadata in it, which may be none. */
static bool
find_library(uintptr_t *start, size_t *bytes, uintptr_t *metadata, size_t *metadata_bytes)
{
    *metadata_bytes = xa_metadata_static_range(metadata);
    if (!xa_os_library_range(start, bytes))
        return false;
    if (*metadata < *start || *metadata - *start >= *bytes)
        *metadata_bytes = 0;
    return true;
}

size_t
xa_residency_library_bytes(void)
{
    uintptr_t start, metadata;
    size_t bytes, metadata_bytes;
    return find_library(&start, &bytes, &metadata, &metadata_bytes) ? bytes - metadata_bytes : 0;
}

static size_t
measure_library(void)
{
    uintptr_t start, metadata;
    size_t bytes, metadata_bytes;
    if (!find_library(&start, &bytes, &metadata, &metadata_bytes))
        return 0;
    size_t present = xa_os_present_bytes(start, bytes), counted = 0;
    if (metadata_bytes != 0)
        counted = xa_os_present_bytes(metadata, metadata_bytes);
    return present > counted ? present - counted : 0;
}

void
xa_residency_measure(struct xa_residency *residency)
{
    *residency = (struct xa_residency){.bytes = {0}};
    measure_window(residency);
    residency->bytes[XA_RESIDENCY_METADATA] += xa_metadata_resident_bytes();
    residency->bytes[XA_RESIDENCY_LIBRARY] = measure_library();
}
