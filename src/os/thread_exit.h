/*
 * thread_exit.h - a call when a thread ends.
 *
 * pthread keys: their destructors run while the thread can still allocate, in an
 * order that nobody promises.  A destructor that arms itself again is called once
 * more after the others have run, in PTHREAD_DESTRUCTOR_ITERATIONS (4 in glibc)
 * rounds at most.
 * These are libc's functions and may allocate: call them without any lock.
 */
#ifndef XA_OS_THREAD_EXIT_H
#define XA_OS_THREAD_EXIT_H

#include <stdbool.h>

#include "base/annotate.h"

/* Say what to call.  False if the process has used up its keys: then nothing will be called. */
bool xa_thread_exit_init(void (*at_exit)(void *));

/*
 * Have it called with `argument`, not NULL, when the calling thread ends.  False if that cannot be
 * had yet, since another thread is in xa_thread_exit_init() or libc has no memory: ask again.
 */
bool xa_thread_exit_arm(void *argument);

#endif
