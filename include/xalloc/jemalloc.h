/*
 * jemalloc.h - jemalloc's own functions, as libxalloc offers them.
 *
 * Names, constants and meanings are those of jemalloc 5.3 (jemalloc(3)), so that programs
 * made for libjemalloc.so.2 work with libxalloc as they are.  Where jemalloc leaves something
 * undefined, it says here what xalloc does.
 *
 * A build configured with --with-prefix has all public names with that prefix: define
 * XALLOC_PREFIX (xalloc.pc does) before including this.
 */
#ifndef XALLOC_JEMALLOC_H
#define XALLOC_JEMALLOC_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <strings.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifdef XALLOC_PREFIX
#define XALLOC_JOIN_(a, b) a##b
#define XALLOC_JOIN(a, b) XALLOC_JOIN_(a, b)
#define XALLOC_NAME(name) XALLOC_JOIN(XALLOC_PREFIX, name)
#else
#define XALLOC_NAME(name) name
#endif

#ifdef XALLOC_PREFIX
/* The standard functions, of this heap; without a prefix the system's headers declare them. */
void *XALLOC_NAME(malloc)(size_t size);
void *XALLOC_NAME(calloc)(size_t count, size_t size);
void *XALLOC_NAME(realloc)(void *pointer, size_t size);
void XALLOC_NAME(free)(void *pointer);
void *XALLOC_NAME(aligned_alloc)(size_t alignment, size_t size);
int XALLOC_NAME(posix_memalign)(void **result, size_t alignment, size_t size);
void *XALLOC_NAME(memalign)(size_t alignment, size_t size);
void *XALLOC_NAME(valloc)(size_t size);
size_t XALLOC_NAME(malloc_usable_size)(void *pointer);
#endif

/* ---- Extended functions, arenas and extent hooks ---- */

/*
 * Flags for the functions below; or them together.
 *
 *   MALLOCX_LG_ALIGN(la)  at a multiple of 2^la; MALLOCX_ALIGN(a): of a, a power of two
 *   MALLOCX_ZERO          new bytes are zero
 *   MALLOCX_TCACHE(tc)    with the cache that "tcache.create" gave; MALLOCX_TCACHE_NONE: with none
 *   MALLOCX_ARENA(a)      from that arena
 */
#define MALLOCX_LG_ALIGN(la) ((int)(la))
#define MALLOCX_ALIGN(a)                                                     \
    ((int)(((size_t)(a) < (size_t)INT_MAX)                                   \
            ? ffs((int)(a)) - 1                                              \
            : ffs((int)(((size_t)(a)) >> (CHAR_BIT * sizeof(size_t) / 2))) + \
                (int)(CHAR_BIT * sizeof(size_t) / 2) - 1))
#define MALLOCX_ZERO ((int)0x40)
#define MALLOCX_TCACHE(tc) ((int)(((tc) + 2) << 8))
#define MALLOCX_TCACHE_NONE MALLOCX_TCACHE(-1)
#define MALLOCX_ARENA(a) ((int)(((unsigned)(a) + 1U) << 20))

/* In the place of an arena's number: all of them; those that were destroyed. */
#define MALLCTL_ARENAS_ALL 4096
#define MALLCTL_ARENAS_DESTROYED 4097

/*
 * At least `size` bytes, or NULL.  errno is not set.  Undefined with jemalloc: size 0 is taken
 * as 1; an arena that does not exist gives NULL; a cache that does not exist is none.
 */
void *XALLOC_NAME(mallocx)(size_t size, int flags);

/* Resize, moving the object if need be; NULL and the object as before if memory ran out. */
void *XALLOC_NAME(rallocx)(void *pointer, size_t size, int flags);

/*
 * Resize where the object stands, to at least `size` and at best `size` + `extra` bytes.
 * Returns the bytes that it has then, which are fewer than `size` if that was not possible.
 */
size_t XALLOC_NAME(xallocx)(void *pointer, size_t size, size_t extra, int flags);

/* The bytes that the object has; the same as malloc_usable_size(). */
size_t XALLOC_NAME(sallocx)(const void *pointer, int flags);

/* Free.  NULL is left alone (undefined with jemalloc); so is a wrong size. */
void XALLOC_NAME(dallocx)(void *pointer, int flags);
void XALLOC_NAME(sdallocx)(void *pointer, size_t size, int flags);

/* The bytes that mallocx(size, flags) would give; 0 if it could not. */
size_t XALLOC_NAME(nallocx)(size_t size, int flags);

/*
 * The functions that get and give back the memory of an arena, for "arenas.create" and
 * "arena.<i>.extent_hooks".  All but the first may be NULL, and may refuse by returning true.
 * They may allocate and free; jemalloc(3) describes them under arena.<i>.extent_hooks.
 */
typedef struct extent_hooks_s extent_hooks_t;
typedef void *(extent_alloc_t)(extent_hooks_t *hooks, void *new_addr, size_t size, size_t alignment,
    bool *zero, bool *commit, unsigned arena_ind);
typedef bool(extent_dalloc_t)(
    extent_hooks_t *hooks, void *addr, size_t size, bool committed, unsigned arena_ind);
typedef void(extent_destroy_t)(
    extent_hooks_t *hooks, void *addr, size_t size, bool committed, unsigned arena_ind);
typedef bool(extent_commit_t)(extent_hooks_t *hooks, void *addr, size_t size, size_t offset,
    size_t length, unsigned arena_ind);
typedef bool(extent_decommit_t)(extent_hooks_t *hooks, void *addr, size_t size, size_t offset,
    size_t length, unsigned arena_ind);
typedef bool(extent_purge_t)(extent_hooks_t *hooks, void *addr, size_t size, size_t offset,
    size_t length, unsigned arena_ind);
typedef bool(extent_split_t)(extent_hooks_t *hooks, void *addr, size_t size, size_t size_a,
    size_t size_b, bool committed, unsigned arena_ind);
typedef bool(extent_merge_t)(extent_hooks_t *hooks, void *addr_a, size_t size_a, void *addr_b,
    size_t size_b, bool committed, unsigned arena_ind);

struct extent_hooks_s {
    extent_alloc_t *alloc;
    extent_dalloc_t *dalloc;
    extent_destroy_t *destroy;
    extent_commit_t *commit;
    extent_decommit_t *decommit;
    extent_purge_t *purge_lazy;
    extent_purge_t *purge_forced;
    extent_split_t *split;
    extent_merge_t *merge;
};

/* ---- Control ---- */

/* The version of jemalloc whose functions and controls these are. */
#define JEMALLOC_VERSION "5.3.1"
#define JEMALLOC_VERSION_MAJOR 5
#define JEMALLOC_VERSION_MINOR 3
#define JEMALLOC_VERSION_BUGFIX 1

/*
 * Read or write a control, or have it done; doc/CONTROLS.md lists them with their types.
 *
 *   name       words with dots between, such as "arenas.bin.3.size"
 *   old        where its value goes, or NULL
 *   old_bytes  how many bytes that is, exactly as many as the type has; or NULL
 *   new        the value that it gets, or NULL
 *   new_bytes  how many bytes that is, or 0
 *   returns    0; or
 *              ENOENT  there is no such name, or a number in it is too large
 *              EPERM   it cannot be read, or not be written
 *              EINVAL  new_bytes is wrong, or the new value: nothing was done.  Or *old_bytes
 *                      is wrong: as much of the value as fits is in `old`, and *old_bytes is
 *                      how much; nothing was written.  For tcache.create and arenas.create
 *                      *old_bytes becomes 0, and nothing was made
 *              EAGAIN  memory ran out, or this is a signal handler that has interrupted the
 *                      same thing
 *              EFAULT  it could not be done
 *
 * errno is not used.  Source: jemalloc(3).
 */
int XALLOC_NAME(mallctl)(
    const char *name, void *old, size_t *old_bytes, void *new_value, size_t new_bytes);

/*
 * Put the numbers of a name, or of the beginning of one, into `mib`: *length of them at most,
 * and *length becomes how many.  A number in the name stands for itself, and may be changed
 * before the next call.  0 or ENOENT.
 */
int XALLOC_NAME(mallctlnametomib)(const char *name, size_t *mib, size_t *length);

/* mallctl() for numbers that mallctlnametomib() gave. */
int XALLOC_NAME(mallctlbymib)(const size_t *mib, size_t length, void *old, size_t *old_bytes,
    void *new_value, size_t new_bytes);

/*
 * A program that sets this gets the lines of text that else go to standard error, one or
 * several at a time.  The first argument is NULL.  It is called in the middle of things and
 * must not allocate.
 */
extern void (*XALLOC_NAME(malloc_message))(void *context, const char *text);

/*
 * Settings built into a program, as jemalloc reads them: those that xalloc has too count,
 * before any others, unless the option "malloc_conf" forbids it.  A program defines them; the
 * library has empty weak ones.
 */
extern const char *XALLOC_NAME(malloc_conf);
extern const char *XALLOC_NAME(malloc_conf_2_conf_harder);

/* ---- Statistics ---- */

/*
 * Write the statistics, in pieces, by calling write_cb(cbopaque, text); without a callback by
 * malloc_message, or to standard error.  The callback may allocate.
 *
 *   opts   letters, each of which has an effect; NULL is none; others mean nothing
 *            J  JSON: the object "xalloc", and "jemalloc" with jemalloc's groups and names
 *            O  OpenMetrics text (xalloc's own letter)
 *            g  leave out what does not change: version, options, size classes
 *            m  leave out the sums over all arenas
 *            d  leave out the sums over destroyed arenas; xalloc has none
 *            a  leave out the arenas
 *            b  leave out the size classes
 *            l  leave out the large objects
 *            x  leave out the locks; xalloc counts nothing of them
 *            e  leave out the free runs of pages
 *            h  leave out the huge pages, which take longest to find out
 *            r  leave out what is in memory (xalloc's own letter): then the host is not
 *               asked, and the figures take microseconds
 *
 * No lock is taken: it may be called in a signal handler, and in a child after fork().  If
 * four are being written at the same time it waits for one of them to end, for a while.
 */
void XALLOC_NAME(malloc_stats_print)(
    void (*write_cb)(void *cbopaque, const char *text), void *cbopaque, const char *opts);

#ifdef __cplusplus
}
#endif

#endif
