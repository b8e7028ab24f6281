/*
 * fence.c - see fence.h.
 */
#include "check/fence.h"

#include <stdatomic.h>
#include <string.h>

#include "base/random.h"
#include "os/os.h"

enum {
    STATE_SHIFT = 40, /* sizes are below 2^40, the window's */
    CHECK_SHIFT = 48,
    STATE_LIVE = 0x6c,
    STATE_FREED = 0x93,
};

struct fence {
    _Atomic uint64_t word; /* size, state and a check of these and the stacks, all mixed */
    uint32_t taken_by;
    uint32_t freed_by;
};
_Static_assert(sizeof(struct fence) == XA_FENCE_BYTES, "the end of an object's place");

static uint64_t
secret_of(const struct xa_fence_place *place)
{
    uint64_t state = xa_os_facts.seed ^ place->start;
    return xa_random_next(&state);
}

static uint64_t
word_of(const struct xa_fence_place *place, unsigned state, const struct xa_fence_view *view)
{
    uint64_t secret = secret_of(place);
    uint64_t plain = (uint64_t)view->size | (uint64_t)state << STATE_SHIFT;
    uint64_t mixed = plain ^ secret ^ ((uint64_t)view->taken_by << 32 | view->freed_by);
    return (plain | xa_random_next(&mixed) >> CHECK_SHIFT << CHECK_SHIFT) ^ secret;
}

static struct fence *
fence_of(const struct xa_fence_place *place)
{
    return (struct fence *)(place->start + place->bytes - XA_FENCE_BYTES);
}

/* Between the object and its fence. */
static size_t
canary_bytes(const struct xa_fence_place *place, size_t size)
{
    return place->bytes - XA_FENCE_BYTES - size;
}

/* Never 0, the byte that overflows write most. */
static unsigned char
canary_of(const struct xa_fence_place *place)
{
    return (unsigned char)(0x80 | secret_of(place) >> 56);
}

void
xa_fence_put(const struct xa_fence_place *place, size_t size, uint32_t taken_by)
{
    struct fence *fence = fence_of(place);
    memset((char *)place->start + size, canary_of(place), canary_bytes(place, size));
    struct xa_fence_view view = {size, taken_by, 0};
    fence->taken_by = taken_by;
    fence->freed_by = 0;
    atomic_store_explicit(&fence->word, word_of(place, STATE_LIVE, &view), memory_order_relaxed);
}

enum xa_fence_state
xa_fence_look(const struct xa_fence_place *place, struct xa_fence_view *view)
{
    const struct fence *fence = fence_of(place);
    uint64_t word = atomic_load_explicit(&fence->word, memory_order_relaxed);
    uint64_t plain = word ^ secret_of(place);
    uint64_t size = plain & ((UINT64_C(1) << STATE_SHIFT) - 1);
    unsigned state = (unsigned)(plain >> STATE_SHIFT & 0xff);
    *view = (struct xa_fence_view){(size_t)size, fence->taken_by, fence->freed_by};
    if (size > place->bytes - XA_FENCE_BYTES || (state != STATE_LIVE && state != STATE_FREED) ||
        word != word_of(place, state, view))
        return XA_FENCE_BROKEN;
    return state == STATE_LIVE ? XA_FENCE_LIVE : XA_FENCE_FREED;
}

static size_t
find_other(uintptr_t start, size_t count, unsigned char expected)
{
    const unsigned char *bytes = (const unsigned char *)start;
    const uint64_t eight_times = expected * UINT64_C(0x0101010101010101);
    size_t i = 0;
    for (uint64_t word; i + sizeof word <= count; i += sizeof word) {
        memcpy(&word, bytes + i, sizeof word);
        if (word != eight_times)
            break;
    }
    for (; i < count; i++)
        if (bytes[i] != expected)
            return i;
    return XA_FENCE_WHOLE;
}

size_t
xa_fence_find_overflow(const struct xa_fence_place *place, size_t size)
{
    return find_other(place->start + size, canary_bytes(place, size), canary_of(place));
}

bool
xa_fence_free(
    const struct xa_fence_place *place, const struct xa_fence_view *view, uint32_t freed_by)
{
    struct fence *fence = fence_of(place);
    struct xa_fence_view after = {view->size, view->taken_by, freed_by};
    uint64_t live = word_of(place, STATE_LIVE, view);
    /* Acquire and release: what its threads wrote comes before the filling. */
    if (!atomic_compare_exchange_strong_explicit(&fence->word, &live,
            word_of(place, STATE_FREED, &after), memory_order_acq_rel, memory_order_relaxed))
        return false;
    fence->freed_by = freed_by;
    return true;
}

void
xa_fence_fill(const struct xa_fence_place *place, size_t size)
{
    memset((void *)place->start, XA_FENCE_JUNK_FREED, size);
}

void
xa_fence_remove(const struct xa_fence_place *place)
{
    atomic_store_explicit(&fence_of(place)->word, 0, memory_order_relaxed);
}

size_t
xa_fence_find_write(const struct xa_fence_place *place, size_t size)
{
    return find_other(place->start, size, XA_FENCE_JUNK_FREED);
}
