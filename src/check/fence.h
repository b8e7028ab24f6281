/*
 * fence.h - what stands behind a checked object: its exact size, and what must not change.
 *
 *   | the size asked for | canary, up to the fence | fence |
 *
 * The place of an object is longer than what the program asked for by at least XA_FENCE_BYTES.
 * The fence is its last bytes: the size and whether the object is live, both made unreadable
 * together with the address, so that what a program writes there is no fence.  The canary fills
 * whatever is between.  After the object's end the object itself is filled as well.
 *
 */
#ifndef XA_CHECK_FENCE_H
#define XA_CHECK_FENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/annotate.h"

enum { XA_FENCE_BYTES = 16, XA_FENCE_JUNK_NEW = 0xa5, XA_FENCE_JUNK_FREED = 0x5a };

enum xa_fence_state {
    XA_FENCE_BROKEN, /* none, or overwritten */
    XA_FENCE_LIVE,
    XA_FENCE_FREED,
};

/* Where an object stands. */
struct xa_fence_place {
    uintptr_t start; /* of the object */
    size_t bytes;    /* up to the end of the fence; a multiple of 16 */
};

struct xa_fence_view {
    size_t size;       /* as asked */
    uint32_t taken_by; /* stacks' numbers, or 0 */
    uint32_t freed_by;
};

/* No byte is wrong. */
#define XA_FENCE_WHOLE SIZE_MAX

/* Put a fence behind a live object of `size`; stack_table.h has the number. */
void xa_fence_put(const struct xa_fence_place *place, size_t size, uint32_t taken_by);

/* What the fence says; the view means nothing if it is broken. */
enum xa_fence_state xa_fence_look(const struct xa_fence_place *place, struct xa_fence_view *view);

/* Of a live object: how far behind its end a byte has changed, or XA_FENCE_WHOLE. */
size_t xa_fence_find_overflow(const struct xa_fence_place *place, size_t size);

/* From live to freed, for the first thread that asks; false for others. */
XA_MUST_USE bool xa_fence_free(
    const struct xa_fence_place *place, const struct xa_fence_view *view, uint32_t freed_by);

/* Fill a freed object. */
void xa_fence_fill(const struct xa_fence_place *place, size_t size);

/* The place is the heap's again: no fence. */
void xa_fence_remove(const struct xa_fence_place *place);

/* Of a freed object: how far from its start a byte has been written since, or XA_FENCE_WHOLE. */
size_t xa_fence_find_write(const struct xa_fence_place *place, size_t size);

#endif
