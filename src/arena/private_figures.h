/*
 * private_figures.h - what a private arena counts, for people to read.
 */
#ifndef XA_ARENA_PRIVATE_FIGURES_H
#define XA_ARENA_PRIVATE_FIGURES_H

#include "arena/private_extent.h"

/* Fill in all of `statistics`; lock-free. */
void xa_private_figures_gather(
    const struct xa_private_arena *arena, struct xa_private_statistics *statistics);

#endif
