/*
 * fork.h - what a child process has to do before it goes on.
 */
#ifndef XA_ALLOC_FORK_H
#define XA_ALLOC_FORK_H

#include <stdatomic.h>

/* Make the heap usable in a child: set aside what another thread was changing. */
void xa_fork_in_child(void);

/*
 * What a layer above has to do then, or NULL; it sets this before there is something to do,
 * since this layer does not know it.
 */
extern void (*_Atomic xa_fork_more)(void);

#endif
