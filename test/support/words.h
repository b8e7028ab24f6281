/*
 * words.h - sizes that only a word of 64 bits holds, in tests that also run where words are shorter.
 */
#ifndef XA_TEST_WORDS_H
#define XA_TEST_WORDS_H

#include <limits.h>
#include <stddef.h>
#include <stdint.h>

/* 2 to this power, or, where a size_t does not hold it, the largest power of 2 that it does. */
static inline size_t
xa_words_power(unsigned exponent)
{
    const unsigned bits = sizeof(size_t) * CHAR_BIT;
    return (size_t)1 << (exponent < bits ? exponent : bits - 1);
}

#endif
