/*
 * stocks.c - see stocks.h.
 */
#include "support/stocks.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "alloc/fast_path.h"
#include "os/os.h"
#include "support/seed.h"
#include "support/threads.h"

enum {
    THREADS = 4,
    HELD = 6,
    ROUNDS = 3000,
    ROUNDS_MAX = 10000000,
    SECONDS = 120,
};

static _Atomic unsigned running, faults;
static _Atomic size_t emptied;

static void
own(const struct xa_stocks *stocks, unsigned index)
{
    struct xa_seed_random numbers = xa_seed_start(stocks->seed, index);
    size_t *held[HELD] = {NULL};
    /* Until the other thread has met some, however late it starts. */
    for (int round = 0; round < ROUNDS || (emptied == 0 && round < ROUNDS_MAX); round++) {
        size_t **place = &held[xa_seed_below(&numbers, HELD)];
        if (*place == NULL) {
            *place =
                xa_fast_malloc(stocks->bytes_min + xa_seed_below(&numbers, stocks->bytes_range));
            if (*place == NULL)
                atomic_fetch_add(&faults, 1);
            else
                **place = (size_t)*place ^ index;
            continue;
        }
        if (**place != ((size_t)*place ^ index))
            atomic_fetch_add(&faults, 1);
        xa_fast_free(*place);
        *place = NULL;
    }
    for (int i = 0; i < HELD; i++)
        xa_fast_free(held[i]);
}

static void
own_or_empty(unsigned index, void *argument)
{
    const struct xa_stocks *stocks = argument;
    if (index > 0) {
        own(stocks, index);
        atomic_fetch_sub(&running, 1);
        return;
    }
    while (atomic_load(&running) > 0) {
        for (struct xa_thread_state *at = xa_thread_state_all(); at != NULL; at = at->next)
            atomic_fetch_add(&emptied, stocks->empty(at, XA_LARGE_STOCK_ALL));
        xa_os_yield();
    }
}

void
xa_stocks_run(const struct xa_stocks *stocks)
{
    struct xa_stocks own_copy = *stocks;
    emptied = 0;
    faults = 0;
    running = THREADS - 1;
    assert_true(xa_threads_run(THREADS, own_or_empty, &own_copy, SECONDS));
    assert_int_equal(faults, 0);
    assert_true(emptied > 0);
}
