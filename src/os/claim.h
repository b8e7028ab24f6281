/*
 * claim.h - something that one thread has for itself while it works at it, and nobody waits for.
 *
 * Unlike a lock (lock.h) it is for work that takes long: files are written and pages are purged
 * meanwhile.  Who finds it claimed goes elsewhere.  It names its owner, for the child of a
 * fork: what another thread had claimed is nobody's there, and what a signal handler
 * interrupted, which then forked, goes on.
 */
#ifndef XA_OS_CLAIM_H
#define XA_OS_CLAIM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/annotate.h"
#include "os/os.h"

struct xa_claim {
    _Atomic uintptr_t owner; /* [a] thread id; 0: nobody */
};

/* True if it was nobody's; it is the caller's then.  The caller itself may have it already. */
XA_MUST_USE static inline bool
xa_claim_try(struct xa_claim *claim)
{
    uintptr_t nobody = 0;
    /* Acquire, and release at the end: the next one finds it as the last left it. */
    return atomic_compare_exchange_strong_explicit(
        &claim->owner, &nobody, xa_os_thread_id(), memory_order_acquire, memory_order_relaxed);
}

static inline void
xa_claim_give_up(struct xa_claim *claim)
{
    atomic_store_explicit(&claim->owner, 0, memory_order_release);
}

/* In a forked child: true if a thread had it that is gone.  It is as that left it, and claimed. */
static inline bool
xa_claim_is_orphan(const struct xa_claim *claim)
{
    uintptr_t owner = atomic_load_explicit(&claim->owner, memory_order_relaxed);
    return owner != 0 && owner != xa_os_thread_id();
}

#endif
