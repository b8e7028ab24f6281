/*
 * thread.h - a thread of our own.
 */
#ifndef XA_OS_THREAD_H
#define XA_OS_THREAD_H

#include <stdbool.h>

#include "base/annotate.h"

/*
 * Start a detached thread that runs `body`, with a small stack, a name, and every
 * signal blocked.  May allocate: call it without any lock.  False if the host refuses.
 */
XA_MUST_USE bool xa_thread_start(const char *name, void (*body)(void));

#endif
