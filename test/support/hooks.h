/*
 * hooks.h - extent hooks for tests: a host of extents that checks how it is used.
 *
 * It keeps a list of the extents that it has given out, changed by each hook as the hook's
 * contract says, and ends the program with a message when a hook is called with a range that is
 * no extent, sizes that do not add up, or memory that is not committed.  Memory that was given
 * back cannot be touched any more; new memory is full of junk unless zeros were asked for.
 *
 * Any hook can be made to fail, to be missing, or to call the allocator.  All of it may be used by
 * several threads.
 */
#ifndef XA_TEST_HOOKS_H
#define XA_TEST_HOOKS_H

#include <stdbool.h>
#include <stddef.h>

#include "xalloc/jemalloc.h"

enum xa_hook {
    XA_HOOK_ALLOC,
    XA_HOOK_DALLOC,
    XA_HOOK_DESTROY,
    XA_HOOK_COMMIT,
    XA_HOOK_DECOMMIT,
    XA_HOOK_PURGE_LAZY,
    XA_HOOK_PURGE_FORCED,
    XA_HOOK_SPLIT,
    XA_HOOK_MERGE,
    XA_HOOKS,
};

/* All anew: nothing fails, nothing is missing, nothing was called.  Returns the table. */
extent_hooks_t *xa_hooks_begin(void);

/* Let a hook fail: its next `count` calls.  ULONG_MAX is for ever. */
void xa_hooks_fail(enum xa_hook hook, unsigned long count);

/* The hook is a null pointer in the table. */
void xa_hooks_leave_out(enum xa_hook hook);

/* Calls of a hook so far. */
unsigned long xa_hooks_calls(enum xa_hook hook);

/* New memory is not committed when it is given out. */
void xa_hooks_give_uncommitted(void);

/* Called within each hook, without any lock. */
void xa_hooks_set_guest(void (*guest)(void));

/* Extents that are out, and their bytes; true if `pointer` lies in one. */
size_t xa_hooks_extents(void);
size_t xa_hooks_bytes(void);
bool xa_hooks_has(const void *pointer);

/* The number of the arena in the last call. */
unsigned xa_hooks_arena(void);

/* What the last call of alloc was asked for. */
size_t xa_hooks_last_bytes(void);
size_t xa_hooks_last_alignment(void);

#endif
