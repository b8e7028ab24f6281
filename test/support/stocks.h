/*
 * stocks.h - stocks that are emptied beside their owners (large_stock.h, huge_stock.h).
 *
 * Linked into tests of the core.
 */
#ifndef XA_TEST_STOCKS_H
#define XA_TEST_STOCKS_H

#include <stddef.h>
#include <stdint.h>

#include "thread/large_stock.h"

/* What the owners take: objects of `bytes_min` to less than `bytes_min` + `bytes_range`. */
struct xa_stocks {
    uint64_t seed;
    size_t bytes_min;
    size_t bytes_range;
    size_t (*empty)(struct xa_thread_state *state, enum xa_large_stock_empty which);
};

/*
 * Three threads allocate and free, at least until the fourth, which empties all stocks without
 * pause, has met something.  Fails the test if an object was had twice.
 */
void xa_stocks_run(const struct xa_stocks *stocks);

#endif
