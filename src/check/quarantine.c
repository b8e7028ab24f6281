/*
 * quarantine.c - see quarantine.h.
 *
 * A ring of addresses.  To let go of any, the oldest changes places with one at random first.
 *
 * Locking: one lock, for a few instructions.
 */
#include "check/quarantine.h"

#include <stdatomic.h>

#include "base/random.h"
#include "extent/metadata.h"
#include "os/lock.h"

enum {
    PLACES = 16 * 1024,
    OBJECTS_MAX = PLACES - 1,
};

struct place {
    uintptr_t address;
    size_t bytes;
};

static struct {
    struct xa_lock lock;
    struct place *places;   /* [q] NULL until the first object comes, or if memory ran out */
    uint32_t first;         /* [q] the oldest */
    _Atomic uint32_t count; /* [q] read by the report */
    _Atomic size_t bytes;   /* [q] read by the report */
    uint64_t random;        /* [q] */
    size_t bytes_max;       /* [c] */
    enum xa_quarantine_order order; /* [c] */
} quarantine = {.lock.rank = XA_LOCK_RANK_QUARANTINE};

void
xa_quarantine_start(size_t bytes, enum xa_quarantine_order order, uint64_t seed)
{
    quarantine.bytes_max = bytes;
    quarantine.order = order;
    quarantine.random = seed;
}

size_t
xa_quarantine_bytes(void)
{
    return atomic_load_explicit(&quarantine.bytes, memory_order_relaxed);
}

size_t
xa_quarantine_objects(void)
{
    return atomic_load_explicit(&quarantine.count, memory_order_relaxed);
}

static void
set(uint32_t count, size_t bytes) XA_REQUIRES(quarantine.lock)
{
    atomic_store_explicit(&quarantine.count, count, memory_order_relaxed);
    atomic_store_explicit(&quarantine.bytes, bytes, memory_order_relaxed);
}

bool
xa_quarantine_put(uintptr_t address, size_t bytes)
{
    /* One object that is most of it would only drive the others out. */
    if (bytes > quarantine.bytes_max / 2)
        return false;
    xa_lock_lock(&quarantine.lock);
    if (quarantine.places == NULL)
        quarantine.places = xa_metadata_take_pages(PLACES * sizeof *quarantine.places);
    uint32_t count = (uint32_t)xa_quarantine_objects();
    bool is_kept = quarantine.places != NULL && count < PLACES;
    if (is_kept) {
        quarantine.places[(quarantine.first + count) % PLACES] = (struct place){address, bytes};
        set(count + 1, xa_quarantine_bytes() + bytes);
    }
    xa_lock_unlock(&quarantine.lock);
    return is_kept;
}

static uintptr_t
take(void) XA_REQUIRES(quarantine.lock)
{
    uint32_t count = (uint32_t)xa_quarantine_objects();
    struct place *oldest = &quarantine.places[quarantine.first];
    if (quarantine.order == XA_QUARANTINE_ANY) {
        uint32_t chosen = (uint32_t)(xa_random_next(&quarantine.random) % count);
        struct place *other = &quarantine.places[(quarantine.first + chosen) % PLACES];
        struct place swapped = *other;
        *other = *oldest;
        *oldest = swapped;
    }
    struct place taken = *oldest;
    quarantine.first = (quarantine.first + 1) % PLACES;
    set(count - 1, xa_quarantine_bytes() - taken.bytes);
    return taken.address;
}

uintptr_t
xa_quarantine_take_excess(void)
{
    uintptr_t address = 0;
    xa_lock_lock(&quarantine.lock);
    if (xa_quarantine_bytes() > quarantine.bytes_max || xa_quarantine_objects() > OBJECTS_MAX)
        address = take();
    xa_lock_unlock(&quarantine.lock);
    return address;
}

uintptr_t
xa_quarantine_take(void)
{
    uintptr_t address = 0;
    xa_lock_lock(&quarantine.lock);
    if (xa_quarantine_objects() > 0)
        address = take();
    xa_lock_unlock(&quarantine.lock);
    return address;
}

void
xa_quarantine_reset_in_child(void)
{
    if (!xa_lock_reset_in_child(&quarantine.lock))
        return;
    /* Objects between two places may stand in both: none of them is used again. */
    quarantine.first = 0;
    atomic_store_explicit(&quarantine.count, 0, memory_order_relaxed);
    atomic_store_explicit(&quarantine.bytes, 0, memory_order_relaxed);
}
