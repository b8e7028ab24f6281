/*
 * region.c - see region.h.  One lock, two lists.
 */
#include "extent/region.h"

#include "extent/metadata.h"
#include "os/lock.h"

static struct {
    struct xa_lock lock;
    struct xa_region *unused[XA_REGION_KINDS]; /* [s] */
} regions = {.lock.rank = XA_LOCK_RANK_DESCRIPTORS};

static struct xa_region *
take_unused(enum xa_region_kind kind)
{
    xa_lock_lock(&regions.lock);
    struct xa_region *region = regions.unused[kind];
    if (region != NULL)
        regions.unused[kind] = region->next;
    xa_lock_unlock(&regions.lock);
    return region;
}

struct xa_chunk *
xa_region_take_chunk(void)
{
    struct xa_chunk *chunk = (struct xa_chunk *)(void *)take_unused(XA_REGION_CHUNK);
    if (chunk != NULL)
        return chunk;
    chunk = xa_metadata_take(sizeof *chunk);
    if (chunk != NULL)
        chunk->region.kind = XA_REGION_CHUNK;
    return chunk;
}

struct xa_huge *
xa_region_take_huge(void)
{
    struct xa_huge *huge = (struct xa_huge *)take_unused(XA_REGION_HUGE);
    if (huge != NULL)
        return huge;
    huge = xa_metadata_take(sizeof *huge);
    if (huge != NULL)
        huge->region.kind = XA_REGION_HUGE;
    return huge;
}

void
xa_region_return(struct xa_region *region)
{
    xa_lock_lock(&regions.lock);
    region->next = regions.unused[region->kind];
    regions.unused[region->kind] = region;
    xa_lock_unlock(&regions.lock);
}

void
xa_region_reset_in_child(void)
{
    if (xa_lock_reset_in_child(&regions.lock))
        for (unsigned kind = 0; kind < XA_REGION_KINDS; kind++)
            regions.unused[kind] = NULL;
}
