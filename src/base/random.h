/*
 * random.h - a small mixer, for placing things where an attacker cannot guess.
 *
 * splitmix64, Steele, Lea and Flood, "Fast splittable pseudorandom number
 * generators", OOPSLA 2014.  Not for secrets.
 */
#ifndef XA_BASE_RANDOM_H
#define XA_BASE_RANDOM_H

#include <stdint.h>

/* Advance `*state` and return 64 well mixed bits. */
static inline uint64_t
xa_random_next(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

#endif
