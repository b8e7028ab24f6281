/*
 * guard.h - objects that live alone between inaccessible pages.
 *
 * An object ends where its last page ends, or now and then begins where its first page begins;
 * the pages before and behind are inaccessible, and after a free all of them are, for as long as
 * nobody needs the place.  So an access beyond the object, or after its end, is a fault at the
 * very instruction (fault.h names the object).
 */
#ifndef XA_CHECK_GUARD_H
#define XA_CHECK_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/annotate.h"

/* Larger objects are not guarded. */
enum { XA_GUARD_MAX_BYTES = 128 * 1024 };

/*
 * An object of exactly `size` bytes, zeroed, at a multiple of `alignment`; NULL if it cannot be
 * guarded: it is too large, all places are taken by live objects, or memory ran out.
 */
XA_MUST_USE void *xa_guard_take(size_t size, size_t alignment);

/* True if the address is in a place for guarded objects. */
bool xa_guard_has(uintptr_t address);

/* Bytes of the live object that begins there; else the process ends with a message. */
size_t xa_guard_bytes(const void *pointer, const char *call);

/* Free an object; misuse, and a write beside it, end the process with a message. */
void xa_guard_return(void *pointer, const char *call);

/* Say what a fault at the address means, for an address that xa_guard_has(). */
XA_COLD void xa_guard_say_fault(uintptr_t address);

/* Live objects, what they were asked for, and the pages that they are in.  Lock-free. */
size_t xa_guard_live_objects(void);
size_t xa_guard_live_bytes(void);
size_t xa_guard_active_bytes(void);

/* Address space for places; 0 before the first object. */
size_t xa_guard_mapped_bytes(void);

/* In a forked child: free the lock; if a thread that is gone held it, guard nothing more. */
void xa_guard_reset_in_child(void);

#endif
