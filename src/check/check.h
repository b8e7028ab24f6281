/*
 * check.h - the option "check": objects whose misuse is found, for a price.
 *
 *   sample   now and then an object is guarded (guard.h); all others are as ever
 *   light    each object of the sizes asked for has a fence (fence.h), and waits in quarantine
 *            when it is freed; what is written to it meanwhile is found
 *   full     the same with the stacks of both calls and with chance in the choice of places,
 *            and more of them guarded
 *
 * Such an object never meets a fast path: the page map calls its granules CHECKED, LARGE or HUGE.
 * The functions here are for the slow paths of src/alloc, which have entered (alloc/start.h).
 */
#ifndef XA_CHECK_CHECK_H
#define XA_CHECK_CHECK_H

#include "arena/arena.h"
#include "config/options.h"

/* True if the option asks for anything. */
static inline bool
xa_check_is_on(void)
{
    return XA_UNLIKELY(xa_options.check != XA_CHECK_OFF);
}

/*
 * With the level "sample": true if the next allocation is not the one to be guarded, so that a
 * shorter way may serve it; and that one was served so, which counts as well.
 */
bool xa_check_may_pass(void);
void xa_check_note_passed(void);

/* What follows from the options.  True if thread caches have to be off. */
bool xa_check_start(void);

/*
 * An object, if this one is to be checked: then true, and `*object` is NULL if memory ran out.
 * `*is_zeroed` is set if it reads as zeros.
 */
XA_MUST_USE bool xa_check_take(
    struct xa_arena *arena, size_t size, size_t alignment, void **object, bool *is_zeroed);

/* True if the live object is a checked one; any pointer may be asked about. */
bool xa_check_has(const void *pointer);

/* What a caller knows of an object that it frees. */
struct xa_check_claim {
    const char *call;
    size_t size; /* SIZE_MAX: nothing is said of it */
};

/*
 * Free an object that xa_check_has(), and whose granule's class the caller has not taken away.
 * Misuse ends the process with a message.
 */
void xa_check_return(void *pointer, const struct xa_check_claim *claim);

/* Bytes that were asked for, of an object that xa_check_has(); misuse ends the process. */
size_t xa_check_bytes(const void *pointer, const char *call);

/* Let go of all that waits in quarantine; how many bytes. */
size_t xa_check_empty_quarantine(void);

/* In a forked child. */
void xa_check_reset_in_child(void);

#endif
