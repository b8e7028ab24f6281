/*
 * seed.h - random numbers that can be had again.
 *
 * A test prints its seed; the same seed in XALLOC_TEST_SEED (or an argument) repeats the same
 * choices. Sizes are drawn evenly on a logarithmic scale, because every size class should be met,
 * and drawn evenly on a linear scale nearly all sizes would be large.
 */
#ifndef XA_TEST_SEED_H
#define XA_TEST_SEED_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct xa_seed_random {
    uint64_t state;
};

/* The seed to use: `argument` if not NULL, else XALLOC_TEST_SEED, else a fresh one.  Prints it. */
uint64_t xa_seed_choose(const char *argument);

/* Start stream number `stream` of a seed.  Streams of one seed have nothing in common. */
struct xa_seed_random xa_seed_start(uint64_t seed, uint64_t stream);

uint64_t xa_seed_next(struct xa_seed_random *random);

/* A number below `bound`, which is not 0. */
size_t xa_seed_below(struct xa_seed_random *random, size_t bound);

/* A size from `min` (not 0) to `max`, even on a logarithmic scale. */
size_t xa_seed_size(struct xa_seed_random *random, size_t min, size_t max);

#ifdef __cplusplus
}
#endif

#endif
