/*
 * decay.c - see decay.h.
 */
#include "page/decay.h"

/* Weights are fractions of this. */
enum { WEIGHT_ONE = 1 << 24 };

static uint64_t
interval_ms(const struct xa_decay *decay)
{
    uint64_t interval = (uint64_t)decay->time_ms / XA_DECAY_EPOCHS;
    return interval > 0 ? interval : 1;
}

/*
 * What is left of an amount that is `age` epochs old: 1 - s(age / EPOCHS) with
 * s(x) = 6x^5 - 15x^4 + 10x^3, which is flat at both ends.
 */
static uint64_t
weight(unsigned age)
{
    /* n = EPOCHS: s = x^3 (6x^2 - 15xn + 10n^2) / n^5; below 2^30 for n = 32. */
    uint64_t n = XA_DECAY_EPOCHS, x = age;
    uint64_t numerator = x * x * x * (6 * x * x + 10 * n * n - 15 * x * n);
    uint64_t denominator = n * n * n * n * n;
    return WEIGHT_ONE - numerator * WEIGHT_ONE / denominator;
}

void
xa_decay_init(struct xa_decay *decay, int64_t time_ms, uint64_t now_ms)
{
    *decay = (struct xa_decay){.time_ms = time_ms, .epoch_start_ms = now_ms};
}

static void
shift(struct xa_decay *decay, uint64_t epochs)
{
    for (unsigned i = 0; i < XA_DECAY_EPOCHS; i++)
        decay->backlog[i] = epochs < XA_DECAY_EPOCHS - i ? decay->backlog[i + epochs] : 0;
}

static size_t
weighted_sum(const struct xa_decay *decay)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < XA_DECAY_EPOCHS; i++) {
        uint64_t amount = decay->backlog[i], factor = weight(XA_DECAY_EPOCHS - i);
        /* In two parts, so that no product overflows. */
        sum += (amount >> 24) * factor + (((amount & (WEIGHT_ONE - 1)) * factor) >> 24);
    }
    return (size_t)sum;
}

size_t
xa_decay_limit(struct xa_decay *decay, uint64_t now_ms, size_t amount)
{
    if (decay->time_ms < 0)
        return SIZE_MAX;
    if (decay->time_ms == 0)
        return 0;
    /* What this epoch added is judged when it ends. */
    if (now_ms < xa_decay_deadline_ms(decay))
        return SIZE_MAX;
    uint64_t epochs = (now_ms - decay->epoch_start_ms) / interval_ms(decay);
    shift(decay, epochs);
    if (amount > decay->counted)
        decay->backlog[XA_DECAY_EPOCHS - 1] += amount - decay->counted;
    decay->epoch_start_ms += epochs * interval_ms(decay);
    decay->limit = weighted_sum(decay);
    /* The caller gives back what is above the limit; room below it is not new when filled. */
    decay->counted = decay->limit;
    return decay->limit;
}

uint64_t
xa_decay_deadline_ms(const struct xa_decay *decay)
{
    if (decay->time_ms < 0)
        return UINT64_MAX;
    return decay->epoch_start_ms + (decay->time_ms == 0 ? 0 : interval_ms(decay));
}
