/*
 * hooks.c - see hooks.h.
 *
 * One reserved range, of which extents are cut from the beginning to the end; what comes back is
 * not used again, unless it was the last.
 */
#include "support/hooks.h"

#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { EXTENTS_MAX = 4096, PAGE = 4096, JUNK = 0x5c };

/* As much as there may be free in one piece. */
#define RANGE_BYTES ((size_t)1 << (sizeof(size_t) > 4 ? 34 : 30))

struct extent {
    char *start; /* NULL: unused */
    size_t bytes;
    bool is_committed;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static extent_hooks_t table;
static struct extent extents[EXTENTS_MAX];
static char *range, *next;
static unsigned long calls[XA_HOOKS], failures[XA_HOOKS];
static bool gives_uncommitted;
static void (*guest)(void);
static unsigned last_arena;
static size_t last_bytes, last_alignment;

static void
check(bool holds, const char *text)
{
    if (holds)
        return;
    (void)fprintf(stderr, "extent hooks: %s\n", text);
    abort();
}

/* A call: counts it, and tells whether it is to fail. */
static bool
begin(enum xa_hook hook, extent_hooks_t *hooks, unsigned arena)
{
    check(hooks == &table, "not called with their own table");
    if (guest != NULL)
        guest();
    pthread_mutex_lock(&mutex);
    calls[hook]++;
    last_arena = arena;
    if (failures[hook] == 0)
        return false;
    if (failures[hook] != ULONG_MAX)
        failures[hook]--;
    return true;
}

static bool
end(bool result)
{
    pthread_mutex_unlock(&mutex);
    return result;
}

/* The extent with exactly these bounds. */
static struct extent *
find(const void *start, size_t bytes)
{
    for (unsigned i = 0; i < EXTENTS_MAX; i++)
        if (extents[i].start != NULL && extents[i].start == start) {
            check(extents[i].bytes == bytes, "called for a part of an extent");
            return &extents[i];
        }
    check(false, "called for what is no extent");
    return NULL;
}

static struct extent *
add(char *start, size_t bytes, bool is_committed)
{
    for (unsigned i = 0; i < EXTENTS_MAX; i++)
        if (extents[i].start == NULL) {
            extents[i] = (struct extent){start, bytes, is_committed};
            return &extents[i];
        }
    check(false, "too many extents");
    return NULL;
}

static void
open_range(char *start, size_t bytes, bool is_zeroed)
{
    check(mprotect(start, bytes, PROT_READ | PROT_WRITE) == 0, "no memory");
    if (!is_zeroed)
        memset(start, JUNK, bytes < 4 * PAGE ? bytes : (size_t)4 * PAGE);
}

static void
close_range(char *start, size_t bytes)
{
    check(madvise(start, bytes, MADV_DONTNEED) == 0, "madvise fails");
    check(mprotect(start, bytes, PROT_NONE) == 0, "mprotect fails");
    if (start + bytes == next)
        next = start;
}

static void *
hook_alloc(extent_hooks_t *hooks, void *new_addr, size_t size, size_t alignment, bool *zero,
    bool *commit, unsigned arena)
{
    bool fails = begin(XA_HOOK_ALLOC, hooks, arena);
    check(size != 0 && size % PAGE == 0, "alloc: a size of no whole pages");
    check(alignment >= PAGE && (alignment & (alignment - 1)) == 0, "alloc: a wrong alignment");
    last_bytes = size;
    last_alignment = alignment;
    char *start = (char *)(((size_t)next + alignment - 1) & -alignment);
    size_t range_end = (size_t)range + RANGE_BYTES;
    if (fails || start < next || (size_t)start > range_end || size > range_end - (size_t)start ||
        (new_addr != NULL && new_addr != start)) {
        (void)end(true);
        return NULL;
    }
    next = start + size;
    open_range(start, size, *zero);
    struct extent *extent = add(start, size, *commit);
    if (gives_uncommitted) {
        extent->is_committed = *commit = false;
        check(mprotect(start, size, PROT_NONE) == 0, "mprotect fails");
    }
    (void)end(false);
    return start;
}

static bool
hook_dalloc(extent_hooks_t *hooks, void *addr, size_t size, bool committed, unsigned arena)
{
    bool fails = begin(XA_HOOK_DALLOC, hooks, arena);
    struct extent *extent = find(addr, size);
    check(extent->is_committed == committed, "dalloc: wrong about commitment");
    if (!fails) {
        close_range(addr, size);
        extent->start = NULL;
    }
    return end(fails);
}

static void
hook_destroy(extent_hooks_t *hooks, void *addr, size_t size, bool committed, unsigned arena)
{
    (void)begin(XA_HOOK_DESTROY, hooks, arena);
    struct extent *extent = find(addr, size);
    check(extent->is_committed == committed, "destroy: wrong about commitment");
    close_range(addr, size);
    extent->start = NULL;
    (void)end(false);
}

static bool
hook_commit(
    extent_hooks_t *hooks, void *addr, size_t size, size_t offset, size_t length, unsigned arena)
{
    bool fails = begin(XA_HOOK_COMMIT, hooks, arena);
    struct extent *extent = find(addr, size);
    check(!extent->is_committed && offset == 0 && length == size, "commit: of what is committed");
    if (!fails) {
        extent->is_committed = true;
        open_range(addr, size, true);
    }
    return end(fails);
}

static bool
hook_decommit(
    extent_hooks_t *hooks, void *addr, size_t size, size_t offset, size_t length, unsigned arena)
{
    bool fails = begin(XA_HOOK_DECOMMIT, hooks, arena);
    struct extent *extent = find(addr, size);
    check(extent->is_committed && offset == 0 && length == size, "decommit: of what is not");
    if (!fails) {
        extent->is_committed = false;
        check(madvise(addr, size, MADV_DONTNEED) == 0, "madvise fails");
        check(mprotect(addr, size, PROT_NONE) == 0, "mprotect fails");
    }
    return end(fails);
}

static bool
purge(void *addr, size_t size, size_t offset, size_t length, bool fails)
{
    const struct extent *extent = find(addr, size);
    check(extent->is_committed, "purge: of what is not committed");
    check(length != 0 && offset + length <= size && offset % PAGE == 0 && length % PAGE == 0,
        "purge: a wrong part");
    if (!fails)
        check(madvise((char *)addr + offset, length, MADV_DONTNEED) == 0, "madvise fails");
    return end(fails);
}

static bool
hook_purge_lazy(
    extent_hooks_t *hooks, void *addr, size_t size, size_t offset, size_t length, unsigned arena)
{
    bool fails = begin(XA_HOOK_PURGE_LAZY, hooks, arena);
    bool result = purge(addr, size, offset, length, fails);
    /* The contents are undefined. */
    if (!result)
        memset((char *)addr + offset, JUNK, PAGE);
    return result;
}

static bool
hook_purge_forced(
    extent_hooks_t *hooks, void *addr, size_t size, size_t offset, size_t length, unsigned arena)
{
    bool fails = begin(XA_HOOK_PURGE_FORCED, hooks, arena);
    return purge(addr, size, offset, length, fails);
}

static bool
hook_split(extent_hooks_t *hooks, void *addr, size_t size, size_t size_a, size_t size_b,
    bool committed, unsigned arena)
{
    bool fails = begin(XA_HOOK_SPLIT, hooks, arena);
    struct extent *extent = find(addr, size);
    check(size_a != 0 && size_b != 0 && size_a + size_b == size && size_a % PAGE == 0,
        "split: wrong sizes");
    check(extent->is_committed == committed, "split: wrong about commitment");
    if (!fails) {
        extent->bytes = size_a;
        (void)add((char *)addr + size_a, size_b, committed);
    }
    return end(fails);
}

static bool
hook_merge(extent_hooks_t *hooks, void *addr_a, size_t size_a, void *addr_b, size_t size_b,
    bool committed, unsigned arena)
{
    bool fails = begin(XA_HOOK_MERGE, hooks, arena);
    struct extent *a = find(addr_a, size_a), *b = find(addr_b, size_b);
    check((char *)addr_a + size_a == addr_b, "merge: of no neighbours");
    check(a->is_committed == committed && b->is_committed == committed,
        "merge: wrong about commitment");
    if (!fails) {
        a->bytes += size_b;
        b->start = NULL;
    }
    return end(fails);
}

extent_hooks_t *
xa_hooks_begin(void)
{
    if (range != NULL)
        (void)munmap(range, RANGE_BYTES);
    range = mmap(NULL, RANGE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    check(range != MAP_FAILED, "no address space");
    next = range;
    memset(extents, 0, sizeof extents);
    memset(calls, 0, sizeof calls);
    memset(failures, 0, sizeof failures);
    gives_uncommitted = false;
    guest = NULL;
    table = (extent_hooks_t){hook_alloc, hook_dalloc, hook_destroy, hook_commit, hook_decommit,
        hook_purge_lazy, hook_purge_forced, hook_split, hook_merge};
    return &table;
}

void
xa_hooks_fail(enum xa_hook hook, unsigned long count)
{
    pthread_mutex_lock(&mutex);
    failures[hook] = count;
    pthread_mutex_unlock(&mutex);
}

void
xa_hooks_leave_out(enum xa_hook hook)
{
    switch (hook) {
    case XA_HOOK_DALLOC: table.dalloc = NULL; break;
    case XA_HOOK_DESTROY: table.destroy = NULL; break;
    case XA_HOOK_COMMIT: table.commit = NULL; break;
    case XA_HOOK_DECOMMIT: table.decommit = NULL; break;
    case XA_HOOK_PURGE_LAZY: table.purge_lazy = NULL; break;
    case XA_HOOK_PURGE_FORCED: table.purge_forced = NULL; break;
    case XA_HOOK_SPLIT: table.split = NULL; break;
    case XA_HOOK_MERGE: table.merge = NULL; break;
    default: check(false, "that hook must be there");
    }
}

unsigned long
xa_hooks_calls(enum xa_hook hook)
{
    pthread_mutex_lock(&mutex);
    unsigned long count = calls[hook];
    pthread_mutex_unlock(&mutex);
    return count;
}

void
xa_hooks_give_uncommitted(void)
{
    gives_uncommitted = true;
}

void
xa_hooks_set_guest(void (*function)(void))
{
    guest = function;
}

size_t
xa_hooks_extents(void)
{
    size_t count = 0;
    pthread_mutex_lock(&mutex);
    for (unsigned i = 0; i < EXTENTS_MAX; i++)
        count += extents[i].start != NULL;
    pthread_mutex_unlock(&mutex);
    return count;
}

size_t
xa_hooks_bytes(void)
{
    size_t sum = 0;
    pthread_mutex_lock(&mutex);
    for (unsigned i = 0; i < EXTENTS_MAX; i++)
        if (extents[i].start != NULL)
            sum += extents[i].bytes;
    pthread_mutex_unlock(&mutex);
    return sum;
}

bool
xa_hooks_has(const void *pointer)
{
    bool has = false;
    pthread_mutex_lock(&mutex);
    for (unsigned i = 0; i < EXTENTS_MAX; i++)
        has |= extents[i].start != NULL && (const char *)pointer >= extents[i].start &&
            (const char *)pointer < extents[i].start + extents[i].bytes;
    pthread_mutex_unlock(&mutex);
    return has;
}

unsigned
xa_hooks_arena(void)
{
    return last_arena;
}

size_t
xa_hooks_last_bytes(void)
{
    return last_bytes;
}

size_t
xa_hooks_last_alignment(void)
{
    return last_alignment;
}
