/*
 * shadow.c - the map of live objects, see shadow.h.
 *
 * Two levels: a root with one word for each 4 MiB of address space, and leaves of one 32-bit
 * number for each 16 bytes, mapped on first use and never given back.
 *
 * Long objects are filled and checked in part only: their ends, and one word in each page.  That
 * finds every overlap of a page or more, and the map finds the others.
 */
#define _GNU_SOURCE

#include "shadow.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

enum {
    ADDRESS_BITS = 47,
    LEAF_BITS = 22,
    UNIT_BITS = 4,
    LEAF_UNITS = 1 << (LEAF_BITS - UNIT_BITS),
    FILLED_WHOLE_BYTES = 64 * 1024,
    FILLED_END_BYTES = 4096,
    PAGE_BYTES = 4096,
    MESSAGES_MAX = 12 /* one mistake is often followed by thousands */
};

static const size_t root_entries = (size_t)1 << (ADDRESS_BITS - LEAF_BITS);

static _Atomic(_Atomic(uint32_t) *) *root;
static _Atomic(uint32_t) last_number;
static _Atomic(uint32_t) messages;
static _Atomic(size_t) live_bytes;
static _Atomic(size_t) live_objects;

static void *
map_zeroed(size_t size)
{
    void *memory = mmap(
        NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return memory == MAP_FAILED ? NULL : memory;
}

bool
xa_shadow_init(void)
{
    if (root == NULL)
        root = map_zeroed(root_entries * sizeof(*root));
    return root != NULL;
}

static _Atomic(uint32_t) *
leaf_of(uintptr_t address)
{
    _Atomic(_Atomic(uint32_t) *) *entry = &root[address >> LEAF_BITS];
    _Atomic(uint32_t) *leaf = atomic_load_explicit(entry, memory_order_acquire);
    _Atomic(uint32_t) *fresh;

    if (leaf != NULL)
        return leaf;
    fresh = map_zeroed(LEAF_UNITS * sizeof(*fresh));
    if (fresh == NULL)
        return NULL;
    if (atomic_compare_exchange_strong(entry, &leaf, fresh))
        return fresh;
    munmap((void *)fresh, LEAF_UNITS * sizeof(*fresh));
    return leaf;
}

static void
describe(const char *what, const struct xa_shadow_object *object, uint32_t other)
{
    if (atomic_fetch_add(&messages, 1) >= MESSAGES_MAX)
        return;
    fprintf(stderr,
        "shadow: %s: %p, %zu bytes (usable %zu, alignment %zu), object %u, met object %u\n", what,
        (void *)object->address, object->size_bytes, object->usable_bytes, object->alignment,
        object->number, other);
}

/*
 * Change every unit of the object from one number to another.  Looking and storing are two steps:
 * where two overlapping objects are entered at the same moment, both may pass, but only one number
 * stays, and taking out the other object finds it.  One atomic step would be many times slower.
 */
static bool
change_units(const struct xa_shadow_object *object, uint32_t from, uint32_t to, const char *failure)
{
    uintptr_t first = (uintptr_t)object->address >> UNIT_BITS;
    size_t bytes = object->usable_bytes > 0 ? object->usable_bytes : 1;
    uintptr_t end = ((uintptr_t)object->address + bytes + (1 << UNIT_BITS) - 1) >> UNIT_BITS;
    _Atomic(uint32_t) *leaf = NULL;

    for (uintptr_t unit = first; unit < end; unit++) {
        uint32_t seen;

        if (leaf == NULL || unit % LEAF_UNITS == 0)
            leaf = leaf_of(unit << UNIT_BITS);
        if (leaf == NULL) {
            fprintf(stderr, "shadow: no memory for the map itself\n");
            return false;
        }
        seen = atomic_load_explicit(&leaf[unit % LEAF_UNITS], memory_order_relaxed);
        if (seen != from) {
            describe(failure, object, seen);
            return false;
        }
        atomic_store_explicit(&leaf[unit % LEAF_UNITS], to, memory_order_relaxed);
    }
    return true;
}

bool
xa_shadow_insert(struct xa_shadow_object *object)
{
    uintptr_t address = (uintptr_t)object->address;

    do {
        object->number = atomic_fetch_add(&last_number, 1) + 1;
    } while (object->number == 0);
    if (address % object->alignment != 0) {
        describe("misaligned", object, 0);
        return false;
    }
    if (object->usable_bytes < object->size_bytes) {
        describe("usable size below the requested size", object, 0);
        return false;
    }
    if ((uint64_t)address >> ADDRESS_BITS != 0 ||
        ((uint64_t)address + object->usable_bytes) >> ADDRESS_BITS != 0) {
        describe("not an address of user space", object, 0);
        return false;
    }
    if (!change_units(object, 0, object->number, "overlaps a live object"))
        return false;
    atomic_fetch_add(&live_bytes, object->size_bytes);
    atomic_fetch_add(&live_objects, 1);
    return true;
}

bool
xa_shadow_remove(const struct xa_shadow_object *object)
{
    atomic_fetch_sub(&live_bytes, object->size_bytes);
    atomic_fetch_sub(&live_objects, 1);
    return change_units(object, object->number, 0, "had been given out twice");
}

/* Eight bytes that depend on the object and on the place within it. */
static uint64_t
word_at(uint32_t number, size_t offset)
{
    return (number * UINT64_C(0x9e3779b97f4a7c15)) ^ (offset * UINT64_C(0xd6e8feb86659fd93));
}

static void
fill_range(const struct xa_shadow_object *object, size_t begin, size_t end)
{
    for (size_t offset = begin; offset < end; offset += sizeof(uint64_t)) {
        uint64_t word = word_at(object->number, offset);
        size_t left = end - offset;

        memcpy(object->address + offset, &word, left < sizeof(word) ? left : sizeof(word));
    }
}

static bool
range_is_intact(const struct xa_shadow_object *object, size_t begin, size_t end)
{
    for (size_t offset = begin; offset < end; offset += sizeof(uint64_t)) {
        uint64_t word = word_at(object->number, offset);
        size_t left = end - offset;
        size_t length = left < sizeof(word) ? left : sizeof(word);

        if (memcmp(object->address + offset, &word, length) != 0) {
            char what[64];

            snprintf(what, sizeof(what), "contents changed at offset %zu", offset);
            describe(what, object, 0);
            return false;
        }
    }
    return true;
}

void
xa_shadow_fill(const struct xa_shadow_object *object)
{
    size_t size = object->size_bytes;
    size_t tail = (size - size % PAGE_BYTES) - FILLED_END_BYTES;

    if (size <= FILLED_WHOLE_BYTES) {
        fill_range(object, 0, size);
        return;
    }
    fill_range(object, 0, FILLED_END_BYTES);
    for (size_t offset = FILLED_END_BYTES; offset < tail; offset += PAGE_BYTES)
        fill_range(object, offset, offset + sizeof(uint64_t));
    fill_range(object, tail, size);
}

bool
xa_shadow_prefix_is_intact(const struct xa_shadow_object *object, size_t length)
{
    size_t size = object->size_bytes;
    size_t tail = (size - size % PAGE_BYTES) - FILLED_END_BYTES;

    if (size <= FILLED_WHOLE_BYTES)
        return range_is_intact(object, 0, length < size ? length : size);
    if (!range_is_intact(object, 0, length < FILLED_END_BYTES ? length : FILLED_END_BYTES))
        return false;
    for (size_t offset = FILLED_END_BYTES; offset < tail && offset + sizeof(uint64_t) <= length;
         offset += PAGE_BYTES) {
        if (!range_is_intact(object, offset, offset + sizeof(uint64_t)))
            return false;
    }
    return length <= tail || range_is_intact(object, tail, length < size ? length : size);
}

bool
xa_shadow_is_intact(const struct xa_shadow_object *object)
{
    return xa_shadow_prefix_is_intact(object, object->size_bytes);
}

size_t
xa_shadow_live_bytes(void)
{
    return atomic_load(&live_bytes);
}

size_t
xa_shadow_live_objects(void)
{
    return atomic_load(&live_objects);
}
