/*
 * xalloc.h - the functions of libxalloc.
 *
 * xalloc replaces the C library's allocator: preload it (LD_PRELOAD, or the command
 * xalloc-run) or link with -lxalloc, and every program keeps calling malloc as it
 * did.  This header declares all that the library offers; <stdlib.h> and <malloc.h>
 * declare the standard part as well, and the two may be included together.
 *
 * Promises that hold for all of them, as for glibc's (conventions of glibc's manual,
 * "Unconstrained Allocation"):
 *   - a result that is not NULL is a multiple of 16 bytes, and unlike any live object;
 *   - a size of 0 gives an object like any other, to be freed;
 *   - a failure is NULL with errno set to ENOMEM; success leaves errno alone;
 *   - sizes beyond PTRDIFF_MAX fail;
 *   - all may be called by any thread at any time, in constructors, in destructors of
 *     thread-specific data and in atexit handlers, and in a child after fork().
 */
#ifndef XALLOC_XALLOC_H
#define XALLOC_XALLOC_H

#include <malloc.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef __cplusplus
extern "C" {
#endif

/* glibc declares its own functions as throwing nothing; these must agree with it. */
#if defined(__cplusplus) && defined(__THROW)
#define XALLOC_NOTHROW __THROW
#else
#define XALLOC_NOTHROW
#endif

/*
 * malloc, calloc, realloc, free
 *
 * As in ISO C11, 7.22.3.  realloc(pointer, 0) frees and returns NULL, as glibc does;
 * the option "zero_realloc" changes that.  free keeps errno (POSIX.1-2024).
 */

/*
 * `size` bytes whose address is a multiple of `alignment`.
 *
 *   alignment  bytes; a power of two, of any magnitude
 *   size       bytes; need not be a multiple of the alignment
 *   returns    NULL with EINVAL for another alignment, with ENOMEM if memory ran out
 *
 * Source: ISO C17 with defect report 460; C23, 7.24.3.1.
 */
void *aligned_alloc(size_t alignment, size_t size) XALLOC_NOTHROW;

/*
 * Set *result to `size` bytes whose address is a multiple of `alignment`.
 *
 *   alignment  bytes; a power of two and a multiple of sizeof(void *)
 *   returns    0; EINVAL for a bad alignment; ENOMEM if memory ran out
 *
 * On failure *result is left as it was.  errno is not used.
 * Source: POSIX.1-2017, posix_memalign.
 */
int posix_memalign(void **result, size_t alignment, size_t size) XALLOC_NOTHROW;

/*
 * realloc to `count` times `size` bytes; NULL with ENOMEM if that overflows, and
 * the object is as before.  Source: POSIX.1-2024, reallocarray.
 */
void *reallocarray(void *pointer, size_t count, size_t size) XALLOC_NOTHROW;

/*
 * free for an object whose size is known: `size` is what was asked for (malloc,
 * calloc, realloc; the aligned form: aligned_alloc with `alignment`).  NULL is
 * allowed.  A wrong size does no harm.  Source: C23, 7.24.3.4 and 7.24.3.5.
 */
void free_sized(void *pointer, size_t size) XALLOC_NOTHROW;
void free_aligned_sized(void *pointer, size_t alignment, size_t size) XALLOC_NOTHROW;

/*
 * memalign rounds the alignment up to a power of two; beyond SIZE_MAX / 2 + 1 it
 * fails with EINVAL.  valloc aligns to the page, pvalloc rounds the size up to whole
 * pages as well.  cfree is free.  Source: memalign(3), glibc.
 */
void *memalign(size_t alignment, size_t size) XALLOC_NOTHROW;
void *valloc(size_t size) XALLOC_NOTHROW;
void *pvalloc(size_t size) XALLOC_NOTHROW;
void cfree(void *pointer) XALLOC_NOTHROW;

/*
 * Bytes that may be used behind a live object's address: at least what was asked
 * for, the same for the object's whole life.  0 for NULL.
 * Source: malloc_usable_size(3).
 */
size_t malloc_usable_size(void *pointer) XALLOC_NOTHROW;

/*
 * Give memory that no object is in back to the system, of all arenas and of the
 * calling thread's cache; about `pad` bytes may stay.  1 if something was given
 * back, else 0.  Source: malloc_trim(3).
 */
int malloc_trim(size_t pad) XALLOC_NOTHROW;

/*
 * What the heap holds.  arena: bytes mapped for slabs and runs; ordblks: the
 * number of slabs; hblks, hblkhd: large objects and their bytes; fsmblks: bytes in
 * caches; uordblks: bytes of live small objects; fordblks: arena's bytes that are in
 * no object; keepcost: bytes that malloc_trim could give back.  mallinfo is the same,
 * cut off at INT_MAX.  Source: mallinfo(3).
 */
struct mallinfo mallinfo(void) XALLOC_NOTHROW;
#if defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 33)
struct mallinfo2 mallinfo2(void) XALLOC_NOTHROW;
#endif

/*
 * Write the state of the heap as XML to `stream`.  `options` must be 0.
 * Returns 0; EINVAL for other options, with nothing written.  Source: malloc_info(3).
 */
int malloc_info(int options, FILE *stream) XALLOC_NOTHROW;

/* Write a summary of the statistics to standard error.  Source: malloc_stats(3). */
void malloc_stats(void) XALLOC_NOTHROW;

/*
 * Change a parameter of glibc's allocator (M_TRIM_THRESHOLD and so on): mapped to
 * xalloc's nearest one, or accepted without effect.  Returns 1; 0 for a value that glibc
 * would refuse.  Source: mallopt(3).
 */
int mallopt(int parameter, int value) XALLOC_NOTHROW;

/*
 * Limits on the memory of the process, in bytes; 0 is none.  Counted is what xalloc has
 * in use or has not given back yet, its own structures included: not stacks, programs
 * and other mappings.
 *
 *   soft     beyond it, nothing that is unused is kept
 *   hard     an allocation that would pass it fails with ENOMEM, once all that is
 *            unused has been given back; what is in use stays, also if it is more
 *   returns  0; EINVAL, and no change, if soft is above hard or hard below 1 MiB
 *
 * The options "memory_limit_soft" and "memory_limit_hard" set them at the start.
 * errno is not used.
 */
int xalloc_set_memory_limit(size_t soft, size_t hard) XALLOC_NOTHROW;

/* The soft limit was passed; an allocation met the hard one. */
enum xalloc_limit_event { XALLOC_LIMIT_SOFT, XALLOC_LIMIT_HARD };

/*
 * Have `callback` called with `context` when a limit is met; NULL for none.
 *
 *   event  which limit, each at most once a second
 *   bytes  what is counted at that moment
 *
 * It is called by the thread that met the limit, at the end of its call of malloc,
 * realloc and the like, before that returns.  No lock is held: it may allocate, free
 * and set limits, and must return.  errno is kept.  A thread that was about to call the
 * last callback may still do so after another is set.
 */
typedef void xalloc_limit_callback(void *context, enum xalloc_limit_event event, size_t bytes);
void xalloc_set_limit_callback(xalloc_limit_callback *callback, void *context) XALLOC_NOTHROW;

/*
 * Settings built into a program: options as in the environment variable XALLOC_CONF,
 * which overrides them.  A program defines it; the library has an empty weak one.
 */
extern const char *xalloc_conf;

#ifdef __cplusplus
}
#endif

#endif
