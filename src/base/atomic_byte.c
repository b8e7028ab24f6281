/*
 * atomic_byte.c - see atomic_byte.h.
 *
 * A riscv64 processor exchanges words of four or eight bytes.  For a byte gcc before 13 calls
 * __atomic_exchange_1 of libatomic, a library that a malloc must not depend on: nothing says
 * that it is there, or that it never allocates.  So the function is defined here, by that
 * name, hidden in the library and weak in the archive.  On other processors nothing calls it.
 *
 * The neighbours of the byte are written back as they were read, or the compare fails: the
 * word is of one page, and so readable and writable wherever the byte is.
 */
#include "base/atomic_byte.h"

#include <stdatomic.h>

XA_WEAK uint8_t
xa_atomic_byte_exchange(volatile void *target, uint8_t value, int order)
{
    (void)order;
    uintptr_t address = (uintptr_t)target, place = address % sizeof(uint32_t);
    volatile _Atomic uint32_t *word = (volatile _Atomic uint32_t *)(address - place);
    unsigned shift = 8 * (unsigned)(XA_BIG_ENDIAN ? sizeof(uint32_t) - 1 - place : place);
    uint32_t mask = UINT32_C(0xff) << shift;
    uint32_t before = atomic_load_explicit(word, memory_order_relaxed), after;
    do
        after = (before & ~mask) | (uint32_t)value << shift;
    while (!atomic_compare_exchange_weak(word, &before, after));
    return (uint8_t)(before >> shift);
}
