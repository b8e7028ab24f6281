/*
 * load.c - see load.h.
 */
#include "load.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "child.h"
#include "seed.h"

enum { HELD = 100, BYTES_MAX = 4 << 20 };

static void *(*volatile call_malloc)(size_t) = malloc;
static void (*volatile call_free)(void *) = free;

void
xa_load_allocate(unsigned index, void *is_over)
{
    struct xa_seed_random random = xa_seed_start(7, index);
    void *blocks[HELD] = {NULL};

    while (!atomic_load((atomic_bool *)is_over)) {
        size_t slot = xa_seed_below(&random, HELD);

        call_free(blocks[slot]);
        blocks[slot] = call_malloc(xa_seed_size(&random, 1, BYTES_MAX));
        XA_CHILD_CHECK(blocks[slot] != NULL);
    }
    for (int i = 0; i < HELD; i++)
        call_free(blocks[i]);
}
