/*
 * service.h - the thread that answers xallocctl, if the options want it.
 */
#ifndef XA_CONTROL_SERVICE_H
#define XA_CONTROL_SERVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/annotate.h"

enum xa_service_state {
    XA_SERVICE_ABSENT,
    XA_SERVICE_CLOSED, /* the thread waits for xa_service_open() */
    XA_SERVICE_OPEN,   /* it answers, or is about to */
};

/* When there is a socket: from the start, or when it is asked for. */
enum xa_service_start { XA_SERVICE_AT_ONCE, XA_SERVICE_ON_DEMAND };

/*
 * Start the thread, once libc is up.  Where it cannot or must not be, this says why.  With
 * the option "ctl_forks" it is there in forked children too.
 */
void xa_service_start(enum xa_service_start when);

/* Open the socket, if the thread is there.  May be called by a signal handler. */
void xa_service_open(void);

/* What it is doing. */
enum xa_service_state xa_service_state(void);

#endif
