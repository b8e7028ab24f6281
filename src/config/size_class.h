/*
 * size_class.h - the sizes that requests are rounded up to.
 *
 * A class has a code, 1 to XA_SMALL_CLASSES, which is also what the page map says
 * of its granules; two more codes stand for large runs and huge mappings, and one for
 * small objects that no fast path may take or free (src/check).  Code 0 is "nothing of
 * ours".  The rows are in size_class.def, which a script writes.
 *
 * Every size is a multiple of 16 and slabs start on a granule, so an object is as
 * aligned as its size is: a request for alignment A takes a class that is a
 * multiple of A.
 *
 * On systems whose page is larger than a granule a slab must cover whole pages:
 * xa_size_class_init() then makes a second table with larger slabs.
 */
#ifndef XA_CONFIG_SIZE_CLASS_H
#define XA_CONFIG_SIZE_CLASS_H

#include "base/annotate.h"
#include "base/bits.h"

enum {
    XA_GRANULE_SHIFT = 14,
    XA_GRANULE_BYTES = 1 << XA_GRANULE_SHIFT,
    XA_TINY_SHIFT = 4,
    XA_TINY_MAX_BYTES = 1024, /* found in a table by (size - 1) / 16 */
    XA_TINY_STEPS = XA_TINY_MAX_BYTES >> XA_TINY_SHIFT,
    XA_SMALL_SHIFT = 8,
    XA_SMALL_MAX_BYTES = 65536, /* found in a table by (size - 1) / 256 */
    XA_SMALL_STEPS = XA_SMALL_MAX_BYTES >> XA_SMALL_SHIFT,
};

enum {
    XA_SMALL_CLASSES = 0
#define SIZE_CLASS(code, bytes, granules) +1
#include "config/size_class.def"
    ,
    XA_CLASS_NONE = 0,
    XA_CLASS_LARGE = XA_SMALL_CLASSES + 1,
    XA_CLASS_HUGE = XA_SMALL_CLASSES + 2,
    XA_CLASS_CHECKED = XA_SMALL_CLASSES + 3,
    XA_CLASS_CODES = XA_SMALL_CLASSES + 4,
};

struct xa_size_class {
    uint32_t object_bytes;
    uint32_t slots;      /* objects in a slab */
    uint32_t reciprocal; /* offset * reciprocal >> 32 is the slot of an object's offset */
    uint32_t granules;   /* of a slab */
};

/* [c] By code; row 0 is all zeros. */
extern XA_HIDDEN const struct xa_size_class *xa_size_class_table;

/* Bytes of an object, by code; 0 where there are no small ones. */
extern XA_HIDDEN const uint32_t xa_size_class_bytes[XA_CLASS_CODES];

extern XA_HIDDEN const uint8_t xa_size_class_tiny[XA_TINY_STEPS];
extern XA_HIDDEN const uint8_t xa_size_class_small[XA_SMALL_STEPS];

/* Adapt the table to the system's page; called once, before the first use. */
void xa_size_class_init(size_t page_bytes);

/* The class for `bytes`, which is 1 to XA_SMALL_MAX_BYTES. */
static inline unsigned
xa_size_class_of(size_t bytes)
{
    return bytes <= XA_TINY_MAX_BYTES ? xa_size_class_tiny[(bytes - 1) >> XA_TINY_SHIFT]
                                      : xa_size_class_small[(bytes - 1) >> XA_SMALL_SHIFT];
}

/*
 * The smallest class that holds `bytes` at a multiple of `alignment`, a power of
 * two; XA_CLASS_NONE if no small class does.
 *
 * It is the class of the size rounded up to the alignment: classes are all the
 * multiples of some power of two between two powers of two, so that class is either
 * a multiple of a larger power than the alignment, or just the rounded size.
 */
static inline unsigned
xa_size_class_of_aligned(size_t bytes, size_t alignment)
{
    if (bytes > XA_SMALL_MAX_BYTES || alignment > XA_GRANULE_BYTES)
        return XA_CLASS_NONE;
    return xa_size_class_of(xa_bits_align_up(bytes, alignment));
}

#endif
