/*
 * magazine.c - see magazine.h.
 */
#include "arena/magazine.h"

#include "base/assert.h"
#include "extent/metadata.h"

struct xa_magazine *
xa_magazine_make(unsigned capacity)
{
    struct xa_magazine *magazine = xa_metadata_take_as_it_is(XA_MAGAZINE_BYTES);
    if (magazine == NULL)
        return NULL;
    xa_assert(xa_magazine_is_full_at(magazine->slots));
    magazine->next = NULL;
    xa_magazine_set_capacity(magazine, capacity);
    return magazine;
}

void
xa_magazine_set_capacity(struct xa_magazine *magazine, unsigned capacity)
{
    xa_assert(capacity >= 1 && capacity <= XA_MAGAZINE_OBJECTS_MAX);
    atomic_store_explicit(&magazine->capacity, (uint16_t)capacity, memory_order_relaxed);
    magazine->slots[capacity] = NULL;
    atomic_store_explicit(&magazine->count, 0, memory_order_relaxed);
}

void
xa_magazine_discard(struct xa_magazine *magazine)
{
    xa_metadata_return(magazine, XA_MAGAZINE_BYTES);
}
