/*
 * bitmap.c - searching 256 bits for runs; see bitmap.h for the method.
 */
#include "base/bitmap.h"

/* In place: a bit stays where the map also has a one `distance` places above it. */
static void
keep_where_followed(struct xa_bitmap *map, unsigned distance)
{
    unsigned whole = distance / 64, part = distance % 64;
    for (unsigned i = 0; i < XA_BITMAP_WORDS; i++) {
        uint64_t above = 0;
        if (i + whole < XA_BITMAP_WORDS)
            above = map->words[i + whole] >> part;
        if (part != 0 && i + whole + 1 < XA_BITMAP_WORDS)
            above |= map->words[i + whole + 1] << (64 - part);
        map->words[i] &= above;
    }
}

static bool
is_empty(const struct xa_bitmap *map)
{
    uint64_t all = 0;
    for (unsigned i = 0; i < XA_BITMAP_WORDS; i++)
        all |= map->words[i];
    return all == 0;
}

static unsigned
find_in(const struct xa_bitmap *map, unsigned from, uint64_t flip)
{
    if (from >= XA_BITMAP_BITS)
        return XA_BITMAP_NOT_FOUND;
    unsigned index = from / 64;
    uint64_t word = (map->words[index] ^ flip) & xa_bits_range(from % 64, 64);
    while (word == 0) {
        if (++index == XA_BITMAP_WORDS)
            return XA_BITMAP_NOT_FOUND;
        word = map->words[index] ^ flip;
    }
    return index * 64 + xa_bits_lowest(word);
}

unsigned
xa_bitmap_find(const struct xa_bitmap *map, unsigned from)
{
    return find_in(map, from, 0);
}

unsigned
xa_bitmap_find_clear(const struct xa_bitmap *map, unsigned from)
{
    return find_in(map, from, ~UINT64_C(0));
}

unsigned
xa_bitmap_find_run(const struct xa_bitmap *map, unsigned count, unsigned alignment)
{
    struct xa_bitmap starts = *map;
    for (unsigned have = 1; have < count;) {
        unsigned step = have < count - have ? have : count - have;
        keep_where_followed(&starts, step);
        have += step;
    }
    if (alignment == 1)
        return xa_bitmap_find(&starts, 0);
    for (unsigned bit = xa_bitmap_find(&starts, 0); bit < XA_BITMAP_BITS;) {
        if ((bit & (alignment - 1)) == 0)
            return bit;
        bit = xa_bitmap_find(&starts, (unsigned)xa_bits_align_up(bit, alignment));
    }
    return XA_BITMAP_NOT_FOUND;
}

unsigned
xa_bitmap_longest_run(const struct xa_bitmap *map)
{
    if (is_empty(map))
        return 0;
    /* Double the length while some run is that long, then refine downwards. */
    struct xa_bitmap current = *map;
    unsigned length = 1;
    for (;;) {
        struct xa_bitmap next = current;
        keep_where_followed(&next, length);
        if (is_empty(&next))
            break;
        current = next;
        length *= 2;
    }
    for (unsigned step = length / 2; step > 0; step /= 2) {
        struct xa_bitmap next = current;
        keep_where_followed(&next, step);
        if (!is_empty(&next)) {
            current = next;
            length += step;
        }
    }
    return length;
}

unsigned
xa_bitmap_run_around(const struct xa_bitmap *map, unsigned bit)
{
    if (!xa_bitmap_has(map, bit))
        return 0;
    unsigned end = xa_bitmap_find_clear(map, bit);
    unsigned start = 0;
    for (unsigned index = bit / 64 + 1; index-- > 0;) {
        uint64_t clear = ~map->words[index];
        if (index == bit / 64)
            clear &= xa_bits_range(0, bit % 64);
        if (clear != 0) {
            start = index * 64 + xa_bits_highest(clear) + 1;
            break;
        }
    }
    return end - start;
}
