/*
 * resize.c - see resize.h.
 *
 * An object stays where it is if the new size fits and does not waste more than
 * half of it; large runs and mappings shrink and grow in place where they can.
 * Everything else is a copy.
 */
#include "alloc/resize.h"

#include <string.h>

#include "alloc/allocate.h"
#include "alloc/fast_path.h"
#include "alloc/start.h"
#include "arena/large.h"
#include "page/huge.h"
#include "page/limit.h"
#include "thread/thread_count.h"

_Atomic size_t xa_resize_to_zero;

/* Resize without copying by hand; NULL if that cannot be done. */
static void *
without_copy(void *pointer, size_t usable, size_t size)
{
    uintptr_t address = (uintptr_t)pointer;
    switch (xa_page_map_class(address)) {
    case XA_CLASS_LARGE:
        if (size > XA_SMALL_MAX_BYTES && size <= XA_LARGE_MAX_BYTES &&
            xa_large_resize(address, size))
            return pointer;
        break;
    case XA_CLASS_HUGE:
        if (size > XA_LARGE_MAX_BYTES && size <= PTRDIFF_MAX)
            return xa_huge_resize(xa_huge_of(address), size);
        break;
    default: break;
    }
    return xa_resize_fits(usable, size) ? pointer : NULL;
}

XA_INLINE void *
copy(void *pointer, size_t usable, size_t size)
{
    void *object = xa_fast_malloc(size);
    if (object == NULL)
        return NULL;
    memcpy(object, pointer, size < usable ? size : usable);
    xa_fast_free(pointer);
    return object;
}

/* Large runs and mappings: in place if possible. */
static void *
resize_whole(void *pointer, size_t usable, size_t size)
{
    struct xa_thread_state *state;
    if (!xa_start_enter(&state))
        return NULL;
    void *same = without_copy(pointer, usable, size);
    if (XA_UNLIKELY(state != NULL && state->count != NULL) && same != NULL) {
        xa_thread_count_free(state, usable);
        xa_thread_count_take(state, xa_release_usable_bytes(same, "realloc"));
    }
    xa_start_leave(state);
    if (xa_limit_has_news())
        xa_allocate_answer_limit();
    return same != NULL ? same : copy(pointer, usable, size);
}

void *
xa_resize_small(void *pointer, size_t usable, size_t size)
{
    return xa_resize_fits(usable, size) ? pointer : copy(pointer, usable, size);
}

void *
xa_resize(void *pointer, size_t size)
{
    size_t small = xa_fast_small_bytes(pointer);
    if (small != 0)
        return xa_resize_small(pointer, small, size);
    size_t usable = xa_release_usable_bytes(pointer, "realloc");
    /* NULL has no bytes either; that is said for clang-tidy, which does not see it. */
    if (usable == 0 || pointer == NULL)
        return NULL;
    return resize_whole(pointer, usable, size);
}
