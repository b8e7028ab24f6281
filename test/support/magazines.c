/*
 * magazines.c - see magazines.h.
 */
#include "support/magazines.h"

#include "support/os_fake.h"

struct xa_magazine *
xa_magazines_make(unsigned capacity)
{
    struct xa_magazine *magazine;
    if (xa_magazine_make_some(&magazine, 1) == 0)
        return NULL;
    xa_magazine_set_capacity(magazine, capacity);
    return magazine;
}

struct xa_magazine *
xa_magazines_make_with(unsigned count)
{
    struct xa_magazine *magazine = xa_magazines_make(XA_MAGAZINE_OBJECTS_MAX);
    assert_non_null(magazine);
    atomic_store(&magazine->count, (uint16_t)count);
    return magazine;
}
