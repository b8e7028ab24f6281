/*
 * bitmap.h - a set of 256 small numbers, and the runs in it.
 *
 * A chunk has 256 granules, so "which granules are free" is four words.  Runs of
 * neighbours are found by and-ing the map with itself shifted: after the step for
 * length n, a bit stands exactly where n ones follow.  Doubling the shift makes
 * that log2(n) steps, and coalescing is nothing at all: two free neighbours are
 * two ones side by side.
 */
#ifndef XA_BASE_BITMAP_H
#define XA_BASE_BITMAP_H

#include "base/bits.h"

enum {
    XA_BITMAP_WORDS = 4,
    XA_BITMAP_BITS = 64 * XA_BITMAP_WORDS,
    XA_BITMAP_NOT_FOUND = XA_BITMAP_BITS,
};

struct xa_bitmap {
    uint64_t words[XA_BITMAP_WORDS];
};

static inline bool
xa_bitmap_has(const struct xa_bitmap *map, unsigned bit)
{
    return (map->words[bit / 64] >> (bit % 64)) & 1;
}

/* The part of bits first … first + count - 1 that falls into word `index`. */
static inline uint64_t
xa_bitmap_word_mask(unsigned index, unsigned first, unsigned count)
{
    unsigned from = index * 64, to = from + 64, end = first + count;
    unsigned low = first > from ? first : from, high = end < to ? end : to;
    return low < high ? xa_bits_range(low - from, high - from) : 0;
}

static inline void
xa_bitmap_set(struct xa_bitmap *map, unsigned first, unsigned count)
{
    for (unsigned i = 0; i < XA_BITMAP_WORDS; i++)
        map->words[i] |= xa_bitmap_word_mask(i, first, count);
}

static inline void
xa_bitmap_clear(struct xa_bitmap *map, unsigned first, unsigned count)
{
    for (unsigned i = 0; i < XA_BITMAP_WORDS; i++)
        map->words[i] &= ~xa_bitmap_word_mask(i, first, count);
}

/* How many of bits first … first + count - 1 are set. */
static inline unsigned
xa_bitmap_count(const struct xa_bitmap *map, unsigned first, unsigned count)
{
    unsigned sum = 0;
    for (unsigned i = 0; i < XA_BITMAP_WORDS; i++)
        sum += xa_bits_count(map->words[i] & xa_bitmap_word_mask(i, first, count));
    return sum;
}

static inline struct xa_bitmap
xa_bitmap_and(const struct xa_bitmap *a, const struct xa_bitmap *b)
{
    struct xa_bitmap result;
    for (unsigned i = 0; i < XA_BITMAP_WORDS; i++)
        result.words[i] = a->words[i] & b->words[i];
    return result;
}

/* First set bit at or after `from`, or XA_BITMAP_NOT_FOUND. */
unsigned xa_bitmap_find(const struct xa_bitmap *map, unsigned from);

/* First clear bit at or after `from`, or XA_BITMAP_NOT_FOUND. */
unsigned xa_bitmap_find_clear(const struct xa_bitmap *map, unsigned from);

/* The lowest multiple of `alignment` (a power of two) where `count` >= 1 ones begin. */
unsigned xa_bitmap_find_run(const struct xa_bitmap *map, unsigned count, unsigned alignment);

/* Length of the longest run of ones. */
unsigned xa_bitmap_longest_run(const struct xa_bitmap *map);

/* Length of the run of ones that contains `bit`; 0 if `bit` is clear. */
unsigned xa_bitmap_run_around(const struct xa_bitmap *map, unsigned bit);

#endif
