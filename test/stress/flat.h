/*
 * flat.h - what flat_stress's patterns have in common: workers, objects that know their size.
 *
 * An object's first bytes say how many were asked for, so the program knows at each moment what is
 * live, and no allocator's rounding is in that.
 */
#ifndef XA_TEST_FLAT_H
#define XA_TEST_FLAT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "support/seed.h"

enum {
    XA_FLAT_THREADS_MAX = 300,
    XA_FLAT_PERCENT_MAX = 160, /* of the highest wave */
};

struct xa_flat_worker {
    pthread_t thread;
    unsigned number;
    struct xa_seed_random random;
    _Atomic int64_t live_bytes; /* what it asked for less what it freed, of others as well */
};

struct xa_flat_pattern {
    const char *name;
    unsigned thread_count;
    unsigned work;                                       /* units in a wave of 100 percent */
    void (*prepare)(struct xa_flat_worker *worker);      /* fill what is bounded */
    void (*begin_minute)(struct xa_flat_worker *worker); /* of one thread; may be NULL */
    void (*do_unit)(struct xa_flat_worker *worker);
    bool (*is_active)(const struct xa_flat_worker *worker, unsigned percent);
    /*
     * Of resident to live bytes when idle, in late minutes; in a run with less than all of the
     * load.  Measured, and a tenth and more for other machines.
     */
    double idle_ratio_max, short_idle_ratio_max;
};

extern const struct xa_flat_pattern xa_flat_rails, xa_flat_mail;

/* What is shared by a pattern's threads. */
extern pthread_mutex_t xa_flat_store_lock;

/* The simulated minute; changes while nobody works. */
extern unsigned xa_flat_minute;

/* The part of a full run's work, and of what it keeps, that this one has: up to 1. */
extern double xa_flat_load;

/* That part of a count. */
size_t xa_flat_scaled(size_t count);

/* An object of so many bytes, at least four, all of them written. */
void *xa_flat_take(struct xa_flat_worker *worker, size_t bytes);

/* What was asked for; 0 for NULL. */
size_t xa_flat_bytes_of(const void *object);

/* Free an object, or NULL. */
void xa_flat_give(struct xa_flat_worker *worker, void *object);

/* Put an object where another may be, which is freed. */
void xa_flat_replace(struct xa_flat_worker *worker, void **slot, void *object);

#endif
