/*
 * size_class.c - the tables of size_class.h.
 */
#include "config/size_class.h"

static const struct xa_size_class standard_table[XA_CLASS_CODES] = {
#define SIZE_CLASS(code, bytes, granule_count)                                 \
    [code] = {                                                                 \
        .object_bytes = (bytes),                                               \
        .slots = (granule_count)*XA_GRANULE_BYTES / (bytes),                   \
        .reciprocal = (uint32_t)(((UINT64_C(1) << 32) + (bytes)-1) / (bytes)), \
        .granules = (granule_count),                                           \
    },
#include "config/size_class.def"
};

const uint32_t xa_size_class_bytes[XA_CLASS_CODES] = {
#define SIZE_CLASS(code, bytes, granule_count) [code] = (bytes),
#include "config/size_class.def"
};

const uint8_t xa_size_class_tiny[XA_TINY_STEPS] = {
#define SIZE_CLASS_TINY(code) code,
#include "config/size_class.def"
};

const uint8_t xa_size_class_small[XA_SMALL_STEPS] = {
#define SIZE_CLASS_SMALL(code) code,
#include "config/size_class.def"
};

const struct xa_size_class *xa_size_class_table = standard_table;

/* Used on systems whose page is larger than a granule; untouched elsewhere. */
XA_BULKY struct xa_size_class xa_size_class_large_pages[XA_CLASS_CODES];

void
xa_size_class_init(size_t page_bytes)
{
    if (page_bytes <= XA_GRANULE_BYTES)
        return;
    for (unsigned code = 1; code <= XA_SMALL_CLASSES; code++) {
        struct xa_size_class row = standard_table[code];
        size_t slab_bytes = xa_bits_align_up((size_t)row.granules * XA_GRANULE_BYTES, page_bytes);
        row.granules = (uint32_t)(slab_bytes / XA_GRANULE_BYTES);
        row.slots = (uint32_t)(slab_bytes / row.object_bytes);
        xa_size_class_large_pages[code] = row;
    }
    xa_size_class_table = xa_size_class_large_pages;
}
