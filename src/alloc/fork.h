/*
 * fork.h - what a child process has to do before it goes on.
 */
#ifndef XA_ALLOC_FORK_H
#define XA_ALLOC_FORK_H

/* Make the heap usable in a child: set aside what another thread was changing. */
void xa_fork_in_child(void);

/*
 * Have `reset` called then, too: for what a layer above has to do, which this one does not know.
 * Before there is something to do, as often as one likes; by at most XA_FORK_RESETS_MAX.
 */
enum { XA_FORK_RESETS_MAX = 3 };
void xa_fork_call(void (*reset)(void));

#endif
