/*
 * extent_hooks.h - where the memory of private arenas comes from, by default.
 *
 * The table of functions that a program may replace is jemalloc's; it is declared in the public
 * header, since programs fill it in.
 */
#ifndef XA_ARENA_EXTENT_HOOKS_H
#define XA_ARENA_EXTENT_HOOKS_H

#include "xalloc/jemalloc.h"

/*
 * The default table.  It may be read, copied and called by a program's own hooks, with their
 * table or this one as the first argument; writing to it is undefined, as with jemalloc.
 */
struct extent_hooks_s *xa_extent_hooks_default(void);

/* In a forked child: free the lock. */
void xa_extent_hooks_reset_in_child(void);

#endif
