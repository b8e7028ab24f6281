/*
 * local_socket.h - a listening socket that only processes of this host reach.
 *
 * For one thread of our own: it has a descriptor table of its own, so that nothing here
 * shows among the program's descriptors, which it may count, close, hand to children or
 * wait for the end of.  Everything has a time limit, and a peer that goes away is a
 * result, never a signal.
 */
#ifndef XA_OS_LOCAL_SOCKET_H
#define XA_OS_LOCAL_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/annotate.h"

/* The user that stands for root. */
enum { XA_LOCAL_SOCKET_ROOT = 0 };

/* What took place instead of the wanted thing; all are negative. */
enum {
    XA_LOCAL_SOCKET_FAILED = -1,
    XA_LOCAL_SOCKET_LATE = -2,
};

/*
 * Give the calling thread a descriptor table of its own with nothing in it but standard
 * input, output and error.  False if the host cannot; nothing has changed then.
 */
XA_MUST_USE bool xa_local_socket_own_table(void);

/*
 * Listen under a name that is no file: it goes away with the socket.  Negative if the name
 * is taken or the host refuses.  Standard input, output and error of the calling thread are
 * given up: their numbers become the socket's, lest they be a peer's one day.
 */
XA_MUST_USE int xa_local_socket_listen(const char *name);

/* The next peer, and its user; XA_LOCAL_SOCKET_LATE if none came in so many milliseconds. */
XA_MUST_USE int xa_local_socket_accept(int listener, uint64_t milliseconds, unsigned *user);

/* How many bytes have come, 0 at the peer's end; or negative. */
XA_MUST_USE long xa_local_socket_receive(
    int peer, char *buffer, size_t capacity, uint64_t milliseconds);

/* Send all; false if the peer is gone, or took nothing for so many milliseconds, or by `end_ms`. */
XA_MUST_USE bool xa_local_socket_send(
    int peer, const char *text, size_t bytes, uint64_t milliseconds, uint64_t end_ms);

void xa_local_socket_close(int descriptor);

/* The user in whose name this process acts, if others of that user may look into it; else root. */
unsigned xa_local_socket_user(void);

/*
 * True if no thread is left but the caller: those of the program have ended, the first one
 * by pthread_exit().
 */
bool xa_local_socket_is_left_alone(void);

#endif
