/*
 * depot.c - see depot.h.
 */
#include "arena/depot.h"

enum { COUNT_SHIFT = 48, COUNT_MAX = 0xffff };

#define POINTER_MASK ((UINT64_C(1) << COUNT_SHIFT) - 1)

static struct xa_magazine *
magazine_of(uint64_t word)
{
    return (struct xa_magazine *)(uintptr_t)(word & POINTER_MASK);
}

static uint64_t
word_of(const struct xa_magazine *magazine, uint64_t objects)
{
    objects = objects < COUNT_MAX ? objects : COUNT_MAX;
    return (uint64_t)(uintptr_t)magazine | objects << COUNT_SHIFT;
}

static size_t
push(struct xa_depot *depot, struct xa_magazine *magazine, unsigned count)
{
    uint64_t top = atomic_load_explicit(&depot->stack, memory_order_relaxed), word;
    do {
        /* Should the top have been taken and come back meanwhile, it is the top all the same. */
        magazine->next = magazine_of(top);
        word = word_of(magazine, (top >> COUNT_SHIFT) + count);
    } while (!atomic_compare_exchange_weak_explicit(
        &depot->stack, &top, word, memory_order_release, memory_order_relaxed));
    return (size_t)(word >> COUNT_SHIFT);
}

size_t
xa_depot_put(struct xa_depot *depot, struct xa_magazine *magazine, unsigned slots)
{
    unsigned count = atomic_load_explicit(&magazine->count, memory_order_relaxed);
    uint64_t word = word_of(magazine, count);
    for (unsigned i = 0; i < slots; i++) {
        uint64_t empty = 0;
        if (atomic_load_explicit(&depot->slots[i], memory_order_relaxed) == 0 &&
            atomic_compare_exchange_strong_explicit(
                &depot->slots[i], &empty, word, memory_order_release, memory_order_relaxed))
            return 0;
    }
    return push(depot, magazine, count);
}

struct xa_magazine *
xa_depot_take(struct xa_depot *depot)
{
    for (unsigned i = 0; i < XA_DEPOT_SLOTS; i++) {
        if (atomic_load_explicit(&depot->slots[i], memory_order_relaxed) == 0)
            continue;
        uint64_t word = atomic_exchange_explicit(&depot->slots[i], 0, memory_order_acquire);
        if (word != 0)
            return magazine_of(word);
    }
    return NULL;
}

struct xa_magazine *
xa_depot_take_stack(struct xa_depot *depot)
{
    if (atomic_load_explicit(&depot->stack, memory_order_relaxed) == 0)
        return NULL;
    return magazine_of(atomic_exchange_explicit(&depot->stack, 0, memory_order_acquire));
}

bool
xa_depot_has_stack(const struct xa_depot *depot)
{
    return atomic_load_explicit(&depot->stack, memory_order_relaxed) != 0;
}

size_t
xa_depot_objects(const struct xa_depot *depot)
{
    uint64_t sum = atomic_load_explicit(&depot->stack, memory_order_relaxed) >> COUNT_SHIFT;
    for (unsigned i = 0; i < XA_DEPOT_SLOTS; i++)
        sum += atomic_load_explicit(&depot->slots[i], memory_order_relaxed) >> COUNT_SHIFT;
    return (size_t)sum;
}

size_t
xa_depot_look(const struct xa_depot *depot)
{
    uint64_t sum = atomic_load_explicit(&depot->stack, memory_order_relaxed);
    for (unsigned i = 0; i < XA_DEPOT_SLOTS; i++)
        sum += atomic_load_explicit(&depot->slots[i], memory_order_relaxed) * (2 * i + 3);
    return (size_t)sum;
}
