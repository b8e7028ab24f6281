/*
 * private_run.c - see private_run.h.
 *
 * A slab has a bit for each slot, a one where it is free: in the run's record while there are
 * few, else in metadata memory.  Slabs with free slots are on a list, each class's own; the last
 * one of these stays although it becomes empty.
 *
 * Locking: the arena's lock; what unlocks says so.
 */
#include "arena/private_run.h"

#include "arena/private_section.h"
#include "extent/metadata.h"

enum { INLINE_SLOTS = 64 * XA_PRIVATE_INLINE_WORDS };

static unsigned
word_count(const struct xa_private_run *run)
{
    return (xa_size_class_table[run->size_class].slots + 63) / 64;
}

static uint64_t *
words_of(struct xa_private_run *run)
{
    return xa_size_class_table[run->size_class].slots > INLINE_SLOTS ? run->free.far_words
                                                                     : run->free.words;
}

static void
list_partial(struct xa_private_arena *arena, struct xa_private_run *run)
{
    struct xa_private_run **list = &arena->partial[run->size_class];
    run->previous = NULL;
    run->next = *list;
    if (*list != NULL)
        (*list)->previous = run;
    *list = run;
    xa_private_extent_count(&arena->counters.classes[run->size_class].nonfull, 1);
}

static void
unlist_partial(struct xa_private_arena *arena, struct xa_private_run *run)
{
    if (run->previous == NULL)
        arena->partial[run->size_class] = run->next;
    else
        run->previous->next = run->next;
    if (run->next != NULL)
        run->next->previous = run->previous;
    xa_private_extent_count(&arena->counters.classes[run->size_class].nonfull, (size_t)-1);
}

static void
return_words(struct xa_private_arena *arena, struct xa_private_run *run)
{
    size_t bytes = word_count(run) * sizeof(uint64_t);
    if (words_of(run) == run->free.words)
        return;
    xa_metadata_return(run->free.far_words, bytes);
    xa_private_extent_count(&arena->counters.metadata, -bytes);
}

/* Make a slab of a run; false if memory ran out. */
static bool
make_slab(struct xa_private_arena *arena, struct xa_private_run *run, unsigned size_class)
{
    const struct xa_size_class *class = &xa_size_class_table[size_class];
    run->size_class = (uint8_t)size_class;
    if (class->slots > INLINE_SLOTS) {
        size_t bytes = word_count(run) * sizeof(uint64_t);
        run->free.far_words = xa_metadata_take(bytes);
        if (run->free.far_words == NULL)
            return false;
        xa_private_extent_count(&arena->counters.metadata, bytes);
    }
    run->kind = XA_EXTENT_SLAB;
    run->free_slots = (uint16_t) class->slots;
    uint64_t *words = words_of(run);
    for (unsigned i = 0; i < word_count(run); i++)
        words[i] = xa_bits_range(0, class->slots - 64 * i < 64 ? class->slots - 64 * i : 64);
    xa_private_extent_count(&arena->counters.classes[size_class].slabs, 1);
    xa_private_extent_count_events(&arena->counters.classes[size_class].slabs_made, 1);
    list_partial(arena, run);
    return true;
}

/* A slab of the class with a free slot.  Unlocks. */
static struct xa_private_run *
slab_for(struct xa_private_arena *arena, unsigned size_class) XA_REQUIRES(arena->lock)
{
    bool is_zeroed;
    if (arena->partial[size_class] != NULL)
        return arena->partial[size_class];
    struct xa_private_run *run =
        xa_private_chunk_take_run(arena, xa_size_class_table[size_class].granules, &is_zeroed);
    if (run == NULL)
        return NULL;
    if (make_slab(arena, run, size_class))
        return run;
    xa_private_chunk_return_run(arena, run);
    return NULL;
}

void *
xa_private_run_take_small(struct xa_private_arena *arena, unsigned size_class)
{
    struct xa_private_run *run = slab_for(arena, size_class);
    if (run == NULL)
        return NULL;
    uint64_t *words = words_of(run);
    unsigned i = 0;
    while (words[i] == 0)
        i++;
    unsigned slot = 64 * i + xa_bits_lowest(words[i]);
    words[i] &= words[i] - 1;
    if (--run->free_slots == 0)
        unlist_partial(arena, run);
    struct xa_private_class_counters *counters = &arena->counters.classes[size_class];
    size_t bytes = xa_size_class_table[size_class].object_bytes;
    xa_private_extent_count(&counters->live, 1);
    xa_private_extent_count_events(&counters->allocations, 1);
    xa_private_extent_count(&arena->counters.small, bytes);
    xa_private_extent_count(&arena->counters.small_objects, 1);
    return (void *)(xa_private_chunk_address(run) + slot * bytes);
}

void *
xa_private_run_take_large(struct xa_private_arena *arena, unsigned granules, bool *is_zeroed)
{
    struct xa_private_run *run = xa_private_chunk_take_run(arena, granules, is_zeroed);
    if (run == NULL)
        return NULL;
    run->kind = XA_EXTENT_LARGE;
    return (void *)xa_private_chunk_address(run);
}

/* The slot that begins at the address, or one beyond the last. */
static size_t
slot_of(const struct xa_private_run *run, uintptr_t address)
{
    const struct xa_size_class *class = &xa_size_class_table[run->size_class];
    size_t offset = address - xa_private_chunk_address(run);
    return offset % class->object_bytes == 0 ? offset / class->object_bytes : class->slots;
}

static enum xa_private_verdict
look_at_slot(struct xa_private_run *run, uintptr_t address)
{
    size_t slot = slot_of(run, address);
    if (slot >= xa_size_class_table[run->size_class].slots)
        return XA_PRIVATE_INSIDE;
    return (words_of(run)[slot / 64] >> (slot % 64)) & 1 ? XA_PRIVATE_FREE : XA_PRIVATE_LIVE;
}

enum xa_private_verdict
xa_private_run_look(
    struct xa_private_extent *extent, uintptr_t address, struct xa_private_run **run)
{
    struct xa_private_run *found =
        &extent->chunk->runs[(address - extent->address) / XA_GRANULE_BYTES];
    *run = NULL;
    if (found->kind == XA_EXTENT_TAIL)
        found -= found->granules;
    switch (found->kind) {
    case XA_EXTENT_SLAB: *run = found; return look_at_slot(found, address);
    case XA_EXTENT_LARGE:
        *run = found;
        return address == xa_private_chunk_address(found) ? XA_PRIVATE_LIVE : XA_PRIVATE_INSIDE;
    default: return XA_PRIVATE_FREE;
    }
}

uintptr_t
xa_private_run_object(struct xa_private_run *run, uintptr_t address, bool *is_free)
{
    uintptr_t start = xa_private_chunk_address(run);
    *is_free = false;
    if (run->kind != XA_EXTENT_SLAB)
        return start;
    size_t bytes = xa_size_class_table[run->size_class].object_bytes;
    start += (address - start) / bytes * bytes;
    *is_free = look_at_slot(run, start) != XA_PRIVATE_LIVE;
    return start;
}

static void
return_small(struct xa_private_arena *arena, struct xa_private_run *run, uintptr_t address)
    XA_REQUIRES(arena->lock)
{
    const struct xa_size_class *class = &xa_size_class_table[run->size_class];
    struct xa_private_class_counters *counters = &arena->counters.classes[run->size_class];
    size_t slot = slot_of(run, address);
    words_of(run)[slot / 64] |= UINT64_C(1) << (slot % 64);
    xa_private_extent_count(&counters->live, (size_t)-1);
    xa_private_extent_count_events(&counters->frees, 1);
    xa_private_extent_count(&arena->counters.small, -(size_t) class->object_bytes);
    xa_private_extent_count(&arena->counters.small_objects, (size_t)-1);
    if (run->free_slots++ == 0)
        list_partial(arena, run);
    /* The last slab with free slots stays: the next object would only ask for it again. */
    if (run->free_slots < class->slots ||
        (arena->partial[run->size_class] == run && run->next == NULL))
        return;
    unlist_partial(arena, run);
    return_words(arena, run);
    xa_private_extent_count(&counters->slabs, (size_t)-1);
    xa_private_chunk_return_run(arena, run);
}

void
xa_private_run_return(struct xa_private_arena *arena, struct xa_private_run *run, uintptr_t address)
{
    if (run->kind == XA_EXTENT_SLAB)
        return_small(arena, run, address);
    else
        xa_private_chunk_return_run(arena, run);
}

void
xa_private_run_drop_all(struct xa_private_arena *arena)
{
    for (unsigned c = 0; c <= XA_SMALL_CLASSES; c++)
        arena->partial[c] = NULL;
    struct xa_private_extent *extent;
    while ((extent = xa_private_chunk_any(arena)) != NULL) {
        struct xa_private_chunk *chunk = extent->chunk;
        if (chunk->purging != 0) {
            xa_private_section_wait_for_hooks(arena);
            continue;
        }
        for (unsigned i = 0; i < chunk->granules; i++)
            if (chunk->runs[i].kind == XA_EXTENT_SLAB)
                return_words(arena, &chunk->runs[i]);
        xa_private_chunk_drop(arena, extent);
    }
}
