/*
 * slab.c - see slab.h.
 */
#include "arena/slab.h"

#include "base/assert.h"
#include "extent/metadata.h"
#include "os/os.h"

enum { INLINE_SLOTS = 64 * XA_SLAB_INLINE_WORDS, PARTS_MAX = 8 };

struct xa_slab_checked xa_slab_checked;

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

_Atomic size_t xa_slab_purged_bytes;

size_t
xa_slab_part_bytes(const struct xa_extent *record)
{
    size_t page = xa_os_facts.page_bytes;
    size_t least = (size_t)record->granules * XA_GRANULE_BYTES / PARTS_MAX;
    return least <= page ? page : (size_t)xa_bits_ceil_power(least);
}

static void
set_purged(struct xa_extent *record, unsigned parts)
{
    unsigned before = xa_bits_count(record->as.slab.purged);
    size_t more = (size_t)xa_bits_count(parts) - before;
    record->as.slab.purged = (uint8_t)parts;
    /* A figure for people, ordered with nothing. */
    atomic_fetch_add_explicit(
        &xa_slab_purged_bytes, more * xa_slab_part_bytes(record), memory_order_relaxed);
}

void
xa_slab_note_purged(uint32_t granule, unsigned parts)
{
    struct xa_extent *record = xa_page_map_record(granule);
    set_purged(record, record->as.slab.purged | parts);
}

/* True if all slots from `first` to `last` are free. */
static bool
are_free(const uint64_t *words, size_t first, size_t last)
{
    for (size_t i = first / 64; i <= last / 64; i++) {
        unsigned from = i == first / 64 ? (unsigned)(first % 64) : 0;
        unsigned to = i == last / 64 ? (unsigned)(last % 64) + 1 : 64;
        uint64_t mask = xa_bits_range(from, to);
        if ((words[i] & mask) != mask)
            return false;
    }
    return true;
}

unsigned
xa_slab_unused_parts(uint32_t granule)
{
    struct xa_extent *record = xa_page_map_record(granule);
    const struct xa_size_class *class = &xa_size_class_table[record->size_class];
    const struct xa_slab *slab = &record->as.slab;
    size_t part = xa_slab_part_bytes(record), object = class->object_bytes;
    /* Slots that cover a part are as long as it is, at least. */
    if (slab->free_slots * object < part)
        return 0;
    size_t touched = slab->used_slots * object;
    unsigned parts = 0;
    for (size_t start = 0; start < touched; start += part) {
        size_t first = start / object, last = (start + part - 1) / object;
        if (last >= class->slots)
            last = class->slots - 1;
        if (are_free(words_of(record), first, last))
            parts |= 1U << (start / part);
    }
    return parts & ~(unsigned)slab->purged;
}

/* The slot that an offset lies in: the rounding error stays below one part in `object_bytes`. */
XA_INLINE unsigned
slot_around(const struct xa_size_class *class, uintptr_t offset)
{
    return (unsigned)((uint64_t)offset * class->reciprocal >> 32);
}

/* The slot that begins at an offset, or one beyond the last if none does. */
XA_INLINE unsigned
slot_at(const struct xa_size_class *class, uintptr_t offset)
{
    unsigned slot = slot_around(class, offset);
    return (uintptr_t)slot * class->object_bytes == offset ? slot : class->slots;
}

/* From the offset `first` to `end` there may be something from now on. */
static XA_COLD void
note_taken(struct xa_extent *record, size_t first, size_t end)
{
    size_t part = xa_slab_part_bytes(record);
    unsigned parts =
        (unsigned)xa_bits_range((unsigned)(first / part), (unsigned)((end - 1) / part) + 1);
    set_purged(record, record->as.slab.purged & ~parts);
}

bool
xa_slab_init(uint32_t granule, unsigned size_class, uint16_t arena, uint8_t generation)
{
    const struct xa_size_class *class = &xa_size_class_table[size_class];
    bool is_checked = size_class - xa_slab_checked.first < xa_slab_checked.count;
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
    xa_page_map_set_class(granule, class->granules, is_checked ? XA_CLASS_CHECKED : size_class);
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
    if (XA_UNLIKELY(record->as.slab.purged != 0))
        set_purged(record, 0);
    /* Its kind stays until the next use of the granule: a sweep may be looking at it. */
}

unsigned
xa_slab_touched_granules(uint32_t granule)
{
    const struct xa_extent *record = xa_page_map_record(granule);
    size_t bytes =
        (size_t)record->as.slab.used_slots * xa_size_class_table[record->size_class].object_bytes;
    return (unsigned)xa_bits_divide_up(bytes, XA_GRANULE_BYTES);
}

/*
 * Slots of word `index` of the map into `objects`, lowest first, at most `room`; how many.  Often
 * all from the lowest on are free: then each address is the one before plus a slot.
 */
XA_INLINE unsigned
take_of_word(uint64_t *map, uintptr_t start, uintptr_t slot_bytes, void **objects, unsigned room)
{
    uint64_t word = *map;
    unsigned lowest = xa_bits_lowest(word), taken = 0;
    if (word + (UINT64_C(1) << lowest) == 0) {
        unsigned free = 64 - lowest;
        uintptr_t address = start + lowest * slot_bytes;
        for (; taken < room && taken < free; address += slot_bytes)
            objects[taken++] = (void *)address;
        /* In two steps: a shift by 64 would be undefined. */
        *map = word << (taken - 1) << 1;
        return taken;
    }
    for (; word != 0 && taken < room; word &= word - 1)
        objects[taken++] = (void *)(start + xa_bits_lowest(word) * slot_bytes);
    *map = word;
    return taken;
}

unsigned
xa_slab_take(uint32_t granule, void **objects, unsigned count)
{
    struct xa_extent *record = xa_page_map_record(granule);
    const struct xa_size_class *class = &xa_size_class_table[record->size_class];
    const uintptr_t start = xa_page_map_address_of(granule), slot_bytes = class->object_bytes;
    uint64_t *words = words_of(record);
    unsigned taken = 0;
    for (unsigned i = 0; taken < count && i < word_count(class->slots); i++)
        if (words[i] != 0)
            taken += take_of_word(&words[i], start + (uintptr_t)64 * i * slot_bytes, slot_bytes,
                objects + taken, count - taken);
    record->as.slab.free_slots = (uint16_t)(record->as.slab.free_slots - taken);
    record->as.slab.rests = 0;
    if (taken == 0)
        return 0;
    uintptr_t last = (uintptr_t)objects[taken - 1] - start;
    unsigned end = slot_around(class, last) + 1;
    if (XA_UNLIKELY(record->as.slab.purged != 0))
        note_taken(record, (uintptr_t)objects[0] - start, last + slot_bytes);
    if (end > record->as.slab.used_slots)
        record->as.slab.used_slots = (uint16_t)end;
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

enum xa_slab_verdict
xa_slab_look(uintptr_t address)
{
    struct xa_slab_view view;
    xa_slab_view(&view, address);
    unsigned slot = slot_at(view.class, address - view.start);
    if (slot >= view.class->slots)
        return XA_SLAB_INSIDE;
    return (view.words[slot / 64] >> (slot % 64)) & 1 ? XA_SLAB_FREE : XA_SLAB_TAKEN;
}

/* What is wrong with an offset that is not that of a taken slot; TAKEN if it is beyond the slab. */
static XA_COLD enum xa_slab_verdict
blame(const struct xa_slab_view *view, uintptr_t offset)
{
    if (offset >= view->bytes)
        return XA_SLAB_TAKEN;
    return slot_at(view->class, offset) == view->class->slots ? XA_SLAB_INSIDE : XA_SLAB_FREE;
}

/*
 * The map's word of the last object stays in a register: objects freed one after another mostly
 * share it, and each would wait for the one before it to be stored.
 */
unsigned
xa_slab_return(const struct xa_slab_view *view, void *const *objects, unsigned count,
    enum xa_slab_verdict *verdict)
{
    const struct xa_size_class class = *view->class;
    const uintptr_t end = (uintptr_t) class.slots * class.object_bytes;
    uint64_t *word_at = view->words, word = *word_at;
    unsigned done = 0;
    *verdict = XA_SLAB_TAKEN;
    for (; done < count; done++) {
        uintptr_t offset = (uintptr_t)objects[done] - view->start;
        if (offset >= end)
            break;
        unsigned slot = slot_around(&class, offset);
        uint64_t *its = &view->words[slot / 64], bit = UINT64_C(1) << (slot % 64);
        if (its != word_at) {
            *word_at = word;
            word_at = its;
            word = *its;
        }
        if (XA_UNLIKELY((uintptr_t)slot * class.object_bytes != offset || (word & bit) != 0))
            break;
        word |= bit;
    }
    *word_at = word;
    if (done < count)
        *verdict = blame(view, (uintptr_t)objects[done] - view->start);
    view->record->as.slab.free_slots = (uint16_t)(view->record->as.slab.free_slots + done);
    return done;
}
