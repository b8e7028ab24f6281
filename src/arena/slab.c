/*
 * slab.c - see slab.h.
 */
#include "arena/slab.h"

#include "base/assert.h"
#include "extent/metadata.h"

enum { INLINE_SLOTS = 64 * XA_SLAB_INLINE_WORDS };

static unsigned
word_count(unsigned slots)
{
    return (slots + 63) / 64;
}

static bool
is_far(const struct xa_size_class *class)
{
    return class->slots > INLINE_SLOTS;
}

static uint64_t *
words_of(struct xa_extent *record)
{
    struct xa_slab *slab = &record->as.slab;
    return is_far(&xa_size_class_table[record->size_class]) ? slab->free.far_words
                                                            : slab->free.words;
}

bool
xa_slab_init(uint32_t granule, unsigned size_class, uint16_t arena, uint8_t generation)
{
    const struct xa_size_class *class = &xa_size_class_table[size_class];
    struct xa_extent *record = xa_page_map_record(granule);
    *record = (struct xa_extent){
        .kind = XA_EXTENT_SLAB,
        .size_class = (uint8_t)size_class,
        .arena = arena,
        .granules = class->granules,
        .as.slab = {.next = XA_GRANULE_NONE,
            .previous = XA_GRANULE_NONE,
            .free_slots = (uint16_t) class->slots,
            .generation = generation},
    };
    if (is_far(class)) {
        record->as.slab.free.far_words =
            xa_metadata_take(word_count(class->slots) * sizeof(uint64_t));
        if (record->as.slab.free.far_words == NULL)
            return false;
    }
    uint64_t *words = words_of(record);
    for (unsigned i = 0; i < word_count(class->slots); i++)
        words[i] = xa_bits_range(0, class->slots - 64 * i < 64 ? class->slots - 64 * i : 64);
    for (uint32_t i = 1; i < class->granules; i++)
        *xa_page_map_record(granule + i) =
            (struct xa_extent){.kind = XA_EXTENT_TAIL, .granules = i};
    xa_page_map_set_class(granule, class->granules, size_class);
    return true;
}

void
xa_slab_finish(uint32_t granule)
{
    struct xa_extent *record = xa_page_map_record(granule);
    const struct xa_size_class *class = &xa_size_class_table[record->size_class];
    xa_page_map_set_class(granule, class->granules, XA_CLASS_NONE);
    if (is_far(class))
        xa_metadata_return(
            record->as.slab.free.far_words, word_count(class->slots) * sizeof(uint64_t));
    record->kind = XA_EXTENT_NONE;
}

unsigned
xa_slab_touched_granules(uint32_t granule)
{
    const struct xa_extent *record = xa_page_map_record(granule);
    size_t bytes =
        (size_t)record->as.slab.used_slots * xa_size_class_table[record->size_class].object_bytes;
    return (unsigned)xa_bits_divide_up(bytes, XA_GRANULE_BYTES);
}

unsigned
xa_slab_take(uint32_t granule, void **objects, unsigned count)
{
    struct xa_extent *record = xa_page_map_record(granule);
    const struct xa_size_class *class = &xa_size_class_table[record->size_class];
    uintptr_t start = xa_page_map_address_of(granule);
    uint64_t *words = words_of(record);
    unsigned taken = 0, slot = 0;
    for (unsigned i = 0; taken < count && i < word_count(class->slots); i++) {
        uint64_t word = words[i];
        while (word != 0 && taken < count) {
            slot = 64 * i + xa_bits_lowest(word);
            objects[taken++] = (void *)(start + (uintptr_t)slot * class->object_bytes);
            word &= word - 1;
        }
        words[i] = word;
    }
    record->as.slab.free_slots = (uint16_t)(record->as.slab.free_slots - taken);
    if (taken > 0 && slot >= record->as.slab.used_slots)
        record->as.slab.used_slots = (uint16_t)(slot + 1);
    return taken;
}

void
xa_slab_view(struct xa_slab_view *view, uintptr_t address)
{
    size_t granule = xa_page_map_granule_of(address);
    struct xa_extent *record = xa_page_map_record(granule);
    if (record->kind == XA_EXTENT_TAIL) {
        granule -= record->granules;
        record = xa_page_map_record(granule);
    }
    *view = (struct xa_slab_view){
        .granule = (uint32_t)granule,
        .record = record,
        .class = &xa_size_class_table[record->size_class],
        .start = xa_page_map_address_of(granule),
        .bytes = (size_t)record->granules * XA_GRANULE_BYTES,
        .words = words_of(record),
    };
}

/* The slot that begins at the address, or class->slots if none does. */
static unsigned
slot_at(const struct xa_slab_view *view, uintptr_t address)
{
    uint64_t offset = address - view->start;
    /* Exact for the offset of a slot: the rounding error stays below one part in `bytes`. */
    uint64_t index = offset * view->class->reciprocal >> 32;
    bool is_slot = index * view->class->object_bytes == offset && index < view->class->slots;
    return is_slot ? (unsigned)index : view->class->slots;
}

enum xa_slab_verdict
xa_slab_look(uintptr_t address)
{
    struct xa_slab_view view;
    xa_slab_view(&view, address);
    unsigned slot = slot_at(&view, address);
    if (slot == view.class->slots)
        return XA_SLAB_INSIDE;
    return (view.words[slot / 64] >> (slot % 64)) & 1 ? XA_SLAB_FREE : XA_SLAB_TAKEN;
}

enum xa_slab_verdict
xa_slab_return(const struct xa_slab_view *view, uintptr_t address)
{
    unsigned slot = slot_at(view, address);
    if (XA_UNLIKELY(slot == view->class->slots))
        return XA_SLAB_INSIDE;
    uint64_t *word = &view->words[slot / 64], bit = UINT64_C(1) << (slot % 64);
    if (XA_UNLIKELY((*word & bit) != 0))
        return XA_SLAB_FREE;
    *word |= bit;
    view->record->as.slab.free_slots++;
    return XA_SLAB_TAKEN;
}
