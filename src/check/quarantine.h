/*
 * quarantine.h - freed objects that wait before their memory is used again.
 */
#ifndef XA_CHECK_QUARANTINE_H
#define XA_CHECK_QUARANTINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/annotate.h"

enum xa_quarantine_order { XA_QUARANTINE_OLDEST, XA_QUARANTINE_ANY };

/* Keep at most `bytes`; and let go of the oldest first, or of any.  Called once. */
void xa_quarantine_start(size_t bytes, enum xa_quarantine_order order, uint64_t seed);

/* Let an object of so many bytes wait; false if there is no place for it. */
XA_MUST_USE bool xa_quarantine_put(uintptr_t address, size_t bytes);

/* One that has to leave, and is the caller's; 0 if what waits is within its bounds. */
XA_MUST_USE uintptr_t xa_quarantine_take_excess(void);

/* Any that waits; 0 if none does. */
XA_MUST_USE uintptr_t xa_quarantine_take(void);

/* What waits.  Lock-free. */
size_t xa_quarantine_bytes(void);
size_t xa_quarantine_objects(void);

/* In a forked child: free the lock; if a thread that is gone held it, what waits is lost. */
void xa_quarantine_reset_in_child(void);

#endif
