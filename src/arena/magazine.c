/*
 * magazine.c - see magazine.h.
 */
#include "arena/magazine.h"

#include "base/assert.h"
#include "extent/metadata.h"

unsigned
xa_magazine_make_some(struct xa_magazine **magazines, unsigned count)
{
    unsigned made = xa_metadata_take_some((void **)magazines, count, XA_MAGAZINE_BYTES);
    for (unsigned i = 0; i < made; i++) {
        xa_assert(xa_magazine_is_full_at(magazines[i]->slots));
        magazines[i]->next = NULL;
    }
    return made;
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

void
xa_magazine_discard_some(struct xa_magazine *const *magazines, unsigned count)
{
    xa_metadata_return_some((void *const *)magazines, count, XA_MAGAZINE_BYTES);
}
