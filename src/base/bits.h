/*
 * bits.h - arithmetic on words and alignments.
 *
 * Nothing here knows what is aligned or counted.
 */
#ifndef XA_BASE_BITS_H
#define XA_BASE_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool
xa_bits_is_power_of_two(size_t value)
{
    return value != 0 && (value & (value - 1)) == 0;
}

/* Round up to a multiple of `alignment`, a power of two.  The caller excludes overflow. */
static inline size_t
xa_bits_align_up(size_t value, size_t alignment)
{
    return (value + alignment - 1) & ~(alignment - 1);
}

/* Round down to a multiple of `alignment`, a power of two. */
static inline size_t
xa_bits_align_down(size_t value, size_t alignment)
{
    return value & ~(alignment - 1);
}

/* The quotient, rounded up; `divisor` is not 0 and the sum does not overflow. */
static inline size_t
xa_bits_divide_up(size_t value, size_t divisor)
{
    return (value + divisor - 1) / divisor;
}

/* Number of zero bits below the lowest one; `word` is not 0. */
static inline unsigned
xa_bits_lowest(uint64_t word)
{
    return (unsigned)__builtin_ctzll(word);
}

/* Position of the highest one; `word` is not 0. */
static inline unsigned
xa_bits_highest(uint64_t word)
{
    return 63u - (unsigned)__builtin_clzll(word);
}

/* Number of ones.  Without the processor's instruction libgcc's function would read a table. */
static inline unsigned
xa_bits_count(uint64_t word)
{
    word -= word >> 1 & UINT64_C(0x5555555555555555);
    word = (word & UINT64_C(0x3333333333333333)) + (word >> 2 & UINT64_C(0x3333333333333333));
    word = (word + (word >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    return (unsigned)(word * UINT64_C(0x0101010101010101) >> 56);
}

/* The smallest power of two that is not below `value`; `value` is 1 to 2^63. */
static inline uint64_t
xa_bits_ceil_power(uint64_t value)
{
    return value <= 1 ? 1 : UINT64_C(1) << (xa_bits_highest(value - 1) + 1);
}

/* A word with bits `from` (inclusive) to `to` (exclusive) set; 0 <= from <= to <= 64. */
static inline uint64_t
xa_bits_range(unsigned from, unsigned to)
{
    uint64_t below_to = to >= 64 ? ~UINT64_C(0) : (UINT64_C(1) << to) - 1;
    uint64_t below_from = from >= 64 ? ~UINT64_C(0) : (UINT64_C(1) << from) - 1;
    return below_to & ~below_from;
}

#endif
