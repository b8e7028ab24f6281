/*
 * malloc.c - the C library's allocation functions, and glibc's other names for them.
 *
 * The only place where errno is set.  What the functions promise stands in
 * include/xalloc/xalloc.h.
 */
#include <errno.h>

#include "alloc/fast_path.h"
#include "alloc/resize.h"
#include "alloc/start.h"
#include "api/init.h"
#include "base/bits.h"
#include "config/options.h"
#include "os/message.h"
#include "os/os.h"
#include "xalloc/xalloc.h"

/* A static link takes only the objects that something refers to: this one brings init.c along. */
static const char *const needs_init __attribute__((used)) = &xa_init_is_linked;

/* All that is not static here is the public interface. */
#pragma GCC visibility push(default)

/* A failure's result, with errno. */
static XA_COLD void *
fail(int error)
{
    errno = error;
    return NULL;
}

static XA_NOINLINE void *
malloc_after_miss(size_t size)
{
    void *pointer = xa_fast_take_larger(size);
    if (XA_LIKELY(pointer != NULL))
        return pointer;
    pointer = xa_allocate_beyond(size);
    return XA_LIKELY(pointer != NULL) ? pointer : fail(ENOMEM);
}

void *
malloc(size_t size)
{
    void *pointer = xa_fast_take(size);
    return XA_LIKELY(pointer != NULL) ? pointer : malloc_after_miss(size);
}

void
free(void *pointer)
{
    xa_fast_free(pointer);
}

static XA_NOINLINE void *
calloc_after_miss(size_t size)
{
    void *pointer = xa_allocate_zeroed(size);
    return XA_LIKELY(pointer != NULL) ? pointer : fail(ENOMEM);
}

void *
calloc(size_t count, size_t size)
{
    size_t bytes;
    if (XA_UNLIKELY(__builtin_mul_overflow(count, size, &bytes)))
        return fail(ENOMEM);
    void *pointer = xa_fast_take_zeroed(bytes);
    return XA_LIKELY(pointer != NULL) ? pointer : calloc_after_miss(bytes);
}

/* realloc(pointer, 0) of an object, as the option says; glibc frees it. */
static XA_COLD void *
resize_to_nothing(void *pointer)
{
    atomic_fetch_add_explicit(&xa_resize_to_zero, 1, memory_order_relaxed);
    if (xa_options.zero_realloc == XA_ZERO_REALLOC_ABORT)
        xa_message_fatal("realloc", pointer,
            "called with size 0, which the option \"zero_realloc\" forbids. Call free instead.");
    if (xa_options.zero_realloc == XA_ZERO_REALLOC_ALLOC) {
        void *result = xa_resize(pointer, 1);
        return result != NULL ? result : fail(ENOMEM);
    }
    xa_fast_free(pointer);
    return NULL;
}

void *
realloc(void *pointer, size_t size)
{
    size_t usable = xa_fast_small_bytes(pointer);
    /* 0 wraps around and is never below. */
    if (XA_LIKELY(size - 1 < usable && xa_resize_fits(usable, size)))
        return pointer;
    if (pointer == NULL)
        return malloc(size);
    if (XA_UNLIKELY(size == 0))
        return resize_to_nothing(pointer);
    void *result =
        XA_LIKELY(usable != 0) ? xa_resize_small(pointer, usable, size) : xa_resize(pointer, size);
    if (XA_UNLIKELY(result == NULL))
        return fail(ENOMEM);
    return result;
}

void *
reallocarray(void *pointer, size_t count, size_t size)
{
    size_t bytes;
    if (XA_UNLIKELY(__builtin_mul_overflow(count, size, &bytes)))
        return fail(ENOMEM);
    return realloc(pointer, bytes);
}

static XA_NOINLINE void *
aligned_after_miss(size_t alignment, size_t size)
{
    void *pointer = xa_allocate_aligned(alignment, size);
    return pointer != NULL ? pointer : fail(ENOMEM);
}

XA_INLINE void *
aligned(size_t alignment, size_t size)
{
    void *pointer = xa_fast_take_aligned(alignment, size);
    return XA_LIKELY(pointer != NULL) ? pointer : aligned_after_miss(alignment, size);
}

void *
aligned_alloc(size_t alignment, size_t size)
{
    if (XA_UNLIKELY(!xa_bits_is_power_of_two(alignment)))
        return fail(EINVAL);
    return aligned(alignment, size);
}

int
posix_memalign(void **result, size_t alignment, size_t size)
{
    if (!xa_bits_is_power_of_two(alignment) || alignment % sizeof(void *) != 0)
        return EINVAL;
    void *pointer = xa_fast_take_aligned(alignment, size);
    if (XA_UNLIKELY(pointer == NULL) && (pointer = xa_allocate_aligned(alignment, size)) == NULL)
        return ENOMEM;
    *result = pointer;
    return 0;
}

void *
memalign(size_t alignment, size_t size)
{
    if (alignment > SIZE_MAX / 2 + 1)
        return fail(EINVAL);
    return aligned((size_t)xa_bits_ceil_power(alignment), size);
}

/* The page size is known once the process has started. */
static size_t
page_bytes(void)
{
    xa_start_process();
    return xa_os_facts.page_bytes;
}

void *
valloc(size_t size)
{
    return aligned(page_bytes(), size);
}

void *
pvalloc(size_t size)
{
    size_t page = page_bytes();
    if (size > SIZE_MAX - page)
        return fail(ENOMEM);
    return aligned(page, size == 0 ? page : xa_bits_align_up(size, page));
}

void
cfree(void *pointer)
{
    xa_fast_free(pointer);
}

void
free_sized(void *pointer, size_t size)
{
    xa_fast_free_sized(pointer, size, 1);
}

void
free_aligned_sized(void *pointer, size_t alignment, size_t size)
{
    xa_fast_free_sized(pointer, size, alignment);
}

size_t
malloc_usable_size(void *pointer)
{
    size_t bytes = xa_fast_small_bytes(pointer);
    if (XA_LIKELY(bytes != 0))
        return bytes;
    return xa_release_usable_bytes(pointer, "malloc_usable_size");
}

/*
 * glibc's own names for its functions: programs and libraries that call these must
 * not reach another heap.
 */
XA_SECOND_NAME(void *, __libc_malloc, (size_t size), malloc);
XA_SECOND_NAME(void *, __libc_calloc, (size_t count, size_t size), calloc);
XA_SECOND_NAME(void *, __libc_realloc, (void *pointer, size_t size), realloc);
XA_SECOND_NAME(void, __libc_free, (void *pointer), free);
XA_SECOND_NAME(void, __libc_cfree, (void *pointer), cfree);
XA_SECOND_NAME(void *, __libc_memalign, (size_t alignment, size_t size), memalign);
XA_SECOND_NAME(void *, __libc_valloc, (size_t size), valloc);
XA_SECOND_NAME(void *, __libc_pvalloc, (size_t size), pvalloc);
XA_SECOND_NAME(
    int, __posix_memalign, (void **result, size_t alignment, size_t size), posix_memalign);
