/*
 * fast_path.h - malloc and free when the thread's cache answers.
 *
 * malloc: size → class by a table in the thread's state; take the object that
 * tops[class] points at and move it up; a NULL there means that the magazine is
 * empty.  free: address → class by the page map; store the pointer below tops[class]
 * unless the magazine begins there.  No lock, no atomic read-modify-write, no counter,
 * and the object itself is not touched.
 *
 * Whatever is unusual looks like a miss: a thread's first call (its caches are the
 * read-only empty ones), size 0, NULL, a large object, a foreign pointer (class 0 or
 * a code whose cache is always full and empty).  And free() of the very object that
 * was freed last goes there too, to be reported.
 *
 * The stores are relaxed atomics because the report reads tops[] of running
 * threads; they cost nothing.  The signal fence keeps the order "slot, then top",
 * which a forked child relies on (thread_cache.c).
 */
#ifndef XA_ALLOC_FAST_PATH_H
#define XA_ALLOC_FAST_PATH_H

#include <string.h>

#include "alloc/allocate.h"
#include "alloc/release.h"
#include "extent/page_map.h"
#include "thread/huge_stock.h"
#include "thread/thread_state.h"

/*
 * Tells the compiler nothing about a value, so that it neither keeps a copy nor
 * computes an address from it that it could have used as an index: an instruction
 * less each time (test/bench/instructions counts them).
 */
#define XA_FAST_OPAQUE(variable) __asm__("" : "+r"(variable))

/* The same, and lets it be in the register from the start in which it will be returned. */
#if defined(__x86_64__)
#define XA_FAST_RESULT(variable) __asm__("" : "+a"(variable))
#else
#define XA_FAST_RESULT(variable) XA_FAST_OPAQUE(variable)
#endif

/* The next object of the thread's cache, or NULL. */
XA_INLINE void *
xa_fast_pop(struct xa_thread_state *self, size_t size_class)
{
    xa_slot *top = atomic_load_explicit(&self->tops[size_class], memory_order_relaxed);
    void *object = *top;
    XA_FAST_RESULT(object);
    XA_FAST_OPAQUE(size_class);
    if (XA_LIKELY(object != NULL))
        atomic_store_explicit(&self->tops[size_class], top + 1, memory_order_relaxed);
    return object;
}

/*
 * What malloc returns, or NULL on a miss.  Callers that do something after
 * xa_allocate_beyond() (set errno, throw) put both into a function out of line: else
 * the size has to survive the call, and the hit would pay for saving it.
 */
XA_INLINE void *
xa_fast_take(size_t size)
{
    struct xa_thread_state *self = xa_thread_state_self;
    /* 0 wraps around, out of the table. */
    size_t index = (size - 1) >> XA_TINY_SHIFT;
    XA_FAST_OPAQUE(index);
    if (XA_LIKELY(index < XA_TINY_STEPS))
        return xa_fast_pop(self, self->class_of[index]);
    return NULL;
}

/* The same for sizes between the tiny ones and the largest small one. */
XA_INLINE void *
xa_fast_take_small(size_t size)
{
    size_t index = (size - 1) >> XA_SMALL_SHIFT;
    if (XA_LIKELY(index < XA_SMALL_STEPS && size > XA_TINY_MAX_BYTES))
        return xa_fast_pop(xa_thread_state_self, xa_size_class_small[index]);
    return NULL;
}

/* The same, and for large and huge ones the object that the thread freed last. */
XA_INLINE void *
xa_fast_take_larger(size_t size)
{
    if (XA_UNLIKELY(size > XA_LARGE_MAX_BYTES))
        return xa_huge_stock_take(xa_thread_state_self, size);
    if (XA_UNLIKELY(size > XA_SMALL_MAX_BYTES))
        return xa_large_stock_take_hot(xa_thread_state_self, size);
    return xa_fast_take_small(size);
}

XA_INLINE void *
xa_fast_malloc(size_t size)
{
    void *object = xa_fast_take(size);
    if (XA_UNLIKELY(object == NULL))
        object = xa_fast_take_larger(size);
    return XA_LIKELY(object != NULL) ? object : xa_allocate_beyond(size);
}

/* Sixteen bytes at any address. */
typedef uint64_t xa_fast_piece __attribute__((vector_size(16), aligned(1), may_alias));

/*
 * What calloc returns for 33 to 64 bytes, which half of all zeroed objects have; NULL on a
 * miss, and for other sizes.  Four stores clear it, of which the last two may overlap the
 * others.
 */
XA_INLINE void *
xa_fast_take_zeroed(size_t size)
{
    enum { FIRST_STEP = 32 >> XA_TINY_SHIFT, STEPS = 2 };
    const xa_fast_piece zeros = {0, 0};
    struct xa_thread_state *self = xa_thread_state_self;
    size_t step = ((size - 1) >> XA_TINY_SHIFT) - FIRST_STEP;
    XA_FAST_OPAQUE(step);
    if (XA_UNLIKELY(step >= STEPS))
        return NULL;
    char *object = xa_fast_pop(self, self->class_of[step + FIRST_STEP]);
    if (XA_UNLIKELY(object == NULL))
        return NULL;
    *(xa_fast_piece *)object = zeros;
    *(xa_fast_piece *)(object + 16) = zeros;
    *(xa_fast_piece *)(object + size - 32) = zeros;
    *(xa_fast_piece *)(object + size - 16) = zeros;
    return object;
}

/*
 * An aligned object, or NULL on a miss.  The size rounded up to the alignment, a power of two,
 * has a class that is a multiple of it (size_class.h); rounding 0, or too much, wraps around
 * to 0, out of the table.
 */
XA_INLINE void *
xa_fast_take_aligned(size_t alignment, size_t size)
{
    return xa_fast_take((size + alignment - 1) & -alignment);
}

/* True if the thread's cache has taken the object. */
XA_INLINE bool
xa_fast_push(void *pointer)
{
    size_t granule = xa_page_map_granule_of((uintptr_t)pointer);
    if (XA_UNLIKELY(xa_page_map_is_beyond(granule)))
        return false;
    size_t size_class = atomic_load_explicit(&xa_page_map_classes()[granule], memory_order_relaxed);
    struct xa_thread_state *self = xa_thread_state_self;
    xa_slot *top = atomic_load_explicit(&self->tops[size_class], memory_order_relaxed);
    if (XA_UNLIKELY(xa_magazine_is_full_at(top) || *top == pointer))
        return false;
    top[-1] = pointer;
    atomic_signal_fence(memory_order_release);
    XA_FAST_OPAQUE(size_class);
    atomic_store_explicit(&self->tops[size_class], top - 1, memory_order_relaxed);
    return true;
}

XA_INLINE void
xa_fast_free(void *pointer)
{
    if (XA_UNLIKELY(!xa_fast_push(pointer)))
        xa_release_beyond(pointer);
}

/* Bytes of a small object, or 0 for any other pointer. */
XA_INLINE size_t
xa_fast_small_bytes(const void *pointer)
{
    size_t granule = xa_page_map_granule_of((uintptr_t)pointer);
    if (XA_UNLIKELY(xa_page_map_is_beyond(granule)))
        return 0;
    /* For class 0, and for large and huge objects, it is 0. */
    return xa_size_class_bytes[atomic_load_explicit(
        &xa_page_map_classes()[granule], memory_order_relaxed)];
}

/*
 * The size is not trusted: it would save a look-up, and a program that gets it
 * wrong would put an object into the cache of another class.  Slow paths compare it.
 */
XA_INLINE void
xa_fast_free_sized(void *pointer, size_t size, size_t alignment)
{
    if (XA_UNLIKELY(!xa_fast_push(pointer)))
        xa_release_sized_beyond(pointer, size, alignment);
}

#endif
