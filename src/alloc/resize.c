/*
 * resize.c - see resize.h.
 *
 * An object stays where it is if the new size fits and does not waste more than
 * half of it; large runs and mappings shrink and grow in place where they can.
 * Everything else is a copy; a large one is put where it can grow further.
 */
#include "alloc/resize.h"

#include <string.h>

#include "alloc/allocate.h"
#include "alloc/fast_path.h"
#include "alloc/start.h"
#include "arena/large.h"
#include "arena/private_arena.h"
#include "arena/private_map.h"
#include "check/check.h"
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
    bool grows = size > usable && size > XA_SMALL_MAX_BYTES;
    void *object = XA_UNLIKELY(grows) ? xa_allocate_growing(size) : xa_fast_malloc(size);
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

static bool
is_private(const void *pointer)
{
    return xa_private_map_is_used() && xa_private_map_find((uintptr_t)pointer) != NULL;
}

/* In its arena if it can stay where it is; else it moves to where the thread allocates. */
static void *
resize_private(void *pointer, size_t usable, size_t size)
{
    if (size > XA_SMALL_MAX_BYTES && usable > XA_SMALL_MAX_BYTES &&
        xa_private_arena_resize(pointer, size, size) >= size)
        return pointer;
    return xa_resize_fits(usable, size) ? pointer : copy(pointer, usable, size);
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
    if (is_private(pointer))
        return resize_private(pointer, usable, size);
    /* What is checked moves: whoever kept the old pointer shall be found out. */
    if (xa_check_is_on() && xa_check_has(pointer))
        return size == usable ? pointer : copy(pointer, usable, size);
    return resize_whole(pointer, usable, size);
}

/* To some size between the two, of an object of ours that is not small. */
static bool
stretch(uintptr_t address, size_t size)
{
    switch (xa_page_map_class(address)) {
    case XA_CLASS_LARGE:
        return size > XA_SMALL_MAX_BYTES && size <= XA_LARGE_MAX_BYTES &&
            xa_large_resize(address, size);
    case XA_CLASS_HUGE:
        return size > XA_LARGE_MAX_BYTES && size <= PTRDIFF_MAX &&
            xa_huge_resize_in_place(xa_huge_of(address), size);
    default: return false;
    }
}

size_t
xa_resize_in_place(void *pointer, size_t least, size_t most)
{
    struct xa_thread_state *state;
    size_t usable = xa_release_usable_bytes(pointer, "xallocx");
    if (usable == 0 || pointer == NULL)
        return 0;
    if (is_private(pointer))
        return xa_private_arena_resize(pointer, least, most);
    if (xa_fast_small_bytes(pointer) != 0 || (xa_check_is_on() && xa_check_has(pointer)) ||
        !xa_start_enter(&state))
        return usable;
    if (!stretch((uintptr_t)pointer, most) && usable < least && least < most)
        (void)stretch((uintptr_t)pointer, least);
    xa_start_leave(state);
    if (xa_limit_has_news())
        xa_allocate_answer_limit();
    return xa_release_usable_bytes(pointer, "xallocx");
}
