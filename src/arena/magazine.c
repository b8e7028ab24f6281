/*
 * magazine.c - see magazine.h.
 */
#include "arena/magazine.h"

#include <stdatomic.h>

#include "extent/metadata.h"

static size_t
bytes_of(unsigned kind)
{
    return ((size_t)16 << kind) * sizeof(void *);
}

struct xa_magazine *
xa_magazine_make(unsigned kind)
{
    /* Zeroed, so the closing NULL is there. */
    struct xa_magazine *magazine = xa_metadata_take(bytes_of(kind));
    if (magazine == NULL)
        return NULL;
    magazine->capacity = (uint16_t)xa_magazine_capacity(kind);
    magazine->kind = (uint8_t)kind;
    return magazine;
}

void
xa_magazine_discard(struct xa_magazine *magazine)
{
    xa_metadata_return(magazine, bytes_of(magazine->kind));
}
