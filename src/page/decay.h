/*
 * decay.h - how much unused memory may still be kept, as time goes by.
 *
 * Pages that become unused are kept for a while, since the program will probably
 * want them again; after `time_ms` none of them may be left, and in between their
 * number falls along a smooth curve, so that a burst of frees is given back in
 * many small steps.  The method is jemalloc's (its "decay" statistics chapter in
 * TUNING.md describes it): time is cut into epochs, a backlog remembers how many
 * pages each epoch added, and the limit is the backlog weighted by the curve.
 *
 * This module knows numbers only: no memory, no clock, no lock.
 */
#ifndef XA_PAGE_DECAY_H
#define XA_PAGE_DECAY_H

#include <stddef.h>
#include <stdint.h>

enum { XA_DECAY_EPOCHS = 32 };

struct xa_decay {
    int64_t time_ms;                 /* -1 never, 0 at once */
    uint64_t epoch_start_ms;         /* of the running epoch */
    size_t backlog[XA_DECAY_EPOCHS]; /* amount added by each epoch, the newest last */
    size_t counted;                  /* amount that the backlog accounts for */
    size_t limit;                    /* what may be kept, as of the running epoch */
};

/* Start with nothing kept, at `now_ms`. */
void xa_decay_init(struct xa_decay *decay, int64_t time_ms, uint64_t now_ms);

/* The amount that may be kept at `now_ms` when `amount` is kept now. */
size_t xa_decay_limit(struct xa_decay *decay, uint64_t now_ms, size_t amount);

/* When the limit will change next; UINT64_MAX if it never will. */
uint64_t xa_decay_deadline_ms(const struct xa_decay *decay);

#endif
