/*
 * misuse.c - see misuse.h.
 *
 * What is said of the object is read from our own records, without a lock: its slab may change
 * meanwhile, but the process is about to end, or a figure in a message is old.
 */
#include "arena/misuse.h"

#include "arena/magazine.h"
#include "arena/private_arena.h"
#include "arena/private_map.h"
#include "arena/slab.h"
#include "os/message.h"
#include "os/os.h"

enum { LINE_BYTES = 400 };

static void
put_object(struct xa_text *text, const char *article, size_t bytes)
{
    xa_text_put_string(text, article);
    xa_text_put_unsigned(text, bytes);
    xa_text_put_string(text, " bytes");
}

static void
put_at(struct xa_text *text, uintptr_t address, const char *state)
{
    xa_text_put_string(text, " at ");
    xa_text_put_hex(text, address);
    xa_text_put_string(text, state);
}

/* An address in a slab: which object that is, or was. */
static void
put_small(struct xa_text *text, uintptr_t address, enum xa_misuse misuse)
{
    struct xa_slab_view view;
    xa_slab_view(&view, address);
    size_t bytes = view.class->object_bytes, slot = (address - view.start) / bytes;
    put_object(text, misuse == XA_MISUSE_INSIDE ? "an object of " : ", an object of ", bytes);
    if (misuse != XA_MISUSE_INSIDE)
        return;
    bool is_free = slot >= view.class->slots || (view.words[slot / 64] >> (slot % 64) & 1) != 0;
    /* A cached object is free as well, but only its cache knows. */
    put_at(text, view.start + slot * bytes, is_free ? ", which is free" : ", live or in a cache");
}

/* An address where no object begins, in a chunk or in a huge mapping. */
static void
put_whole(struct xa_text *text, uintptr_t address, enum xa_misuse misuse)
{
    size_t granule = xa_page_map_granule_of(address);
    const struct xa_region *region = xa_page_map_region(granule / XA_CHUNK_GRANULES);
    bool is_inside = misuse == XA_MISUSE_INSIDE;
    if (xa_page_map_is_beyond(granule) || (is_inside && region == NULL)) {
        xa_text_put_string(text, is_inside ? "" : ", ");
        xa_text_put_string(text, "an object of a private arena");
        return;
    }
    if (!is_inside) {
        xa_text_put_string(text, ", an object of more than 65536 bytes or in pages given back");
        return;
    }
    if (region->kind == XA_REGION_HUGE) {
        const struct xa_huge *huge = (const struct xa_huge *)(const void *)region;
        put_object(text, "an object of ", huge->bytes);
        put_at(text, xa_page_map_address_of((size_t)region->slot * XA_CHUNK_GRANULES), ", live");
        return;
    }
    /* The records of a large object's other granules mean nothing: its first one lies before. */
    size_t first = granule;
    while (first > granule - granule % XA_CHUNK_GRANULES &&
        xa_page_map_class(xa_page_map_address_of(first)) == XA_CLASS_NONE)
        first--;
    const struct xa_extent *record = xa_page_map_record(first);
    if (xa_page_map_class(xa_page_map_address_of(first)) == XA_CLASS_LARGE &&
        granule - first < record->granules) {
        put_object(text, "an object of ", (size_t)record->granules * XA_GRANULE_BYTES);
        put_at(text, xa_page_map_address_of(first), ", live");
    } else {
        xa_text_put_string(text, "an object of more than 65536 bytes");
    }
}

/* An address in a private arena. */
static void
put_private(struct xa_text *text, uintptr_t address, enum xa_misuse misuse)
{
    struct xa_private_object object;
    bool is_known = xa_private_arena_describe((const void *)address, &object);
    if (misuse != XA_MISUSE_INSIDE) {
        if (is_known)
            put_object(text, ", an object of ", object.bytes);
        else
            xa_text_put_string(text, ", an object of a private arena");
        return;
    }
    if (!is_known) {
        xa_text_put_string(text, "an object of a private arena");
        return;
    }
    put_object(text, "an object of ", object.bytes);
    put_at(text, object.start, object.is_free ? ", which is free" : ", live or in a cache");
}

static void
put_which(struct xa_text *text, uintptr_t address, enum xa_misuse misuse)
{
    if (xa_private_map_is_used() && xa_private_map_find(address) != NULL) {
        put_private(text, address, misuse);
        return;
    }
    unsigned size_class = xa_page_map_class(address);
    if ((size_class != XA_CLASS_NONE && size_class <= XA_SMALL_CLASSES) ||
        size_class == XA_CLASS_CHECKED)
        put_small(text, address, misuse);
    else
        put_whole(text, address, misuse);
}

void
xa_misuse_say(const char *call, const void *pointer, enum xa_misuse misuse)
{
    char line[LINE_BYTES];
    struct xa_text text;
    xa_text_init(&text, line, sizeof line);
    switch (misuse) {
    case XA_MISUSE_INSIDE: xa_text_put_string(&text, "inside "); break;
    case XA_MISUSE_ALREADY_FREE: xa_text_put_string(&text, "already free"); break;
    case XA_MISUSE_FOUND_LATE:
        xa_text_put_string(&text, "already free, found when it reached its slab");
        break;
    }
    put_which(&text, (uintptr_t)pointer, misuse);
    xa_text_put_string(&text,
        misuse == XA_MISUSE_INSIDE ? ". Free the pointer that malloc returned."
                                   : ". Look for a second free of the same pointer.");
    xa_message_pointer(call, pointer, line);
}

void
xa_misuse_end(const char *call, const void *pointer, enum xa_misuse misuse)
{
    xa_misuse_say(call, pointer, misuse);
    xa_os_abort();
}

/* Each with each. */
static void
check_few_distinct(void *const *objects, unsigned count)
{
    for (unsigned i = 1; i < count; i++)
        for (unsigned j = 0; j < i; j++)
            if (objects[i] == objects[j])
                xa_misuse_end("free", objects[i], XA_MISUSE_ALREADY_FREE);
}

void
xa_misuse_check_distinct(void *const *objects, unsigned count)
{
    enum { FEW = 10, PLACES = sizeof(void *) == 8 ? 128 : 256 };
    if (count <= FEW) {
        check_few_distinct(objects, count);
        return;
    }
    /* Numbers that are one more than an index; at most half of the places are used. */
    uint8_t table[PLACES] = {0};
    _Static_assert(2 * XA_MAGAZINE_OBJECTS_MAX <= PLACES, "there is an empty place to stop at");
    for (unsigned i = 0; i < count; i++) {
        uintptr_t address = (uintptr_t)objects[i];
        unsigned place = (unsigned)((address >> 4) ^ (address >> 11)) % PLACES;
        for (; table[place] != 0; place = (place + 1) % PLACES)
            if (objects[table[place] - 1] == objects[i])
                xa_misuse_end("free", objects[i], XA_MISUSE_ALREADY_FREE);
        table[place] = (uint8_t)(i + 1);
    }
}
