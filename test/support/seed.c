/*
 * seed.c - random numbers that can be had again: splitmix64, one stream a thread.
 */
#include "seed.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static uint64_t
mix(uint64_t value)
{
    value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
    return value ^ (value >> 31);
}

uint64_t
xa_seed_choose(const char *argument)
{
    const char *text = argument != NULL ? argument : getenv("XALLOC_TEST_SEED");
    struct timespec now;
    uint64_t seed;

    if (text != NULL && *text != '\0') {
        seed = strtoull(text, NULL, 0);
    } else {
        clock_gettime(CLOCK_REALTIME, &now);
        seed = mix((uint64_t)now.tv_sec * UINT64_C(1000000007) ^ (uint64_t)now.tv_nsec ^
            (uint64_t)getpid() << 40);
    }
    printf("# seed 0x%llx (repeat with XALLOC_TEST_SEED=0x%llx)\n", (unsigned long long)seed,
        (unsigned long long)seed);
    fflush(stdout);
    return seed;
}

struct xa_seed_random
xa_seed_start(uint64_t seed, uint64_t stream)
{
    struct xa_seed_random random = {mix(seed + mix(stream + 1))};

    return random;
}

uint64_t
xa_seed_next(struct xa_seed_random *random)
{
    random->state += UINT64_C(0x9e3779b97f4a7c15);
    return mix(random->state);
}

size_t
xa_seed_below(struct xa_seed_random *random, size_t bound)
{
    return (size_t)(xa_seed_next(random) % bound);
}

size_t
xa_seed_size(struct xa_seed_random *random, size_t min, size_t max)
{
    unsigned min_bits = 63 - (unsigned)__builtin_clzll(min);
    unsigned max_bits = 63 - (unsigned)__builtin_clzll(max);

    /* A power of two drawn evenly, then a point between it and the next one. */
    for (;;) {
        unsigned bits = min_bits + (unsigned)xa_seed_below(random, max_bits - min_bits + 1);
        size_t size = ((size_t)1 << bits) + xa_seed_below(random, (size_t)1 << bits);

        if (size >= min && size <= max)
            return size;
    }
}
