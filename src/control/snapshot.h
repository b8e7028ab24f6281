/*
 * snapshot.h - the figures that stats.* answers with: all of one moment, until the next.
 */
#ifndef XA_CONTROL_SNAPSHOT_H
#define XA_CONTROL_SNAPSHOT_H

#include "control/statistics.h"
#include "os/lock.h"

/* In the place of an arena's number, as in <xalloc/jemalloc.h>. */
enum { XA_SNAPSHOT_ALL = 4096, XA_SNAPSHOT_DESTROYED = 4097 };

struct xa_snapshot_class {
    size_t out;     /* objects out of slabs: live or cached */
    size_t slabs;   /* now */
    size_t nonfull; /* of these, with free slots; at most */
    uint64_t allocations;
    uint64_t frees;
    uint64_t slabs_made;
    uint64_t misses; /* of caches; a sample */
};

/* One arena of either kind, or a sum of some. */
struct xa_snapshot_arena {
    struct xa_snapshot_arena *next; /* [c] */
    unsigned index;                 /* [c] */
    uint64_t since_ms;              /* [c] when it was first seen, by xa_os_now_ms() */
    bool exists;
    unsigned threads;
    size_t active; /* bytes from here on */
    size_t dirty;
    size_t muzzy;
    size_t mapped; /* all of it; what is neither of the above is retained */
    size_t large;
    size_t cached; /* of its threads, and on the way between threads */
    size_t metadata;
    uint64_t large_allocations;
    uint64_t large_frees;
    uint64_t purges;
    uint64_t purge_calls;
    uint64_t purged;                                        /* bytes */
    struct xa_snapshot_class classes[XA_SMALL_CLASSES + 1]; /* by code; row 0 is their sum */
    size_t small;                                           /* bytes of what is out of slabs */
};

struct xa_snapshot {
    uint64_t epoch;
    uint64_t taken_ms;
    unsigned arena_end; /* arenas are numbered from 0 to below this */
    bool has_background;
    uint64_t background_runs;
    size_t zero_reallocs;
    size_t map_bytes;                /* of our own structures, the page map */
    struct xa_statistics statistics; /* of the process */
    struct xa_snapshot_arena all;
    struct xa_snapshot_arena destroyed;
};

/* Guards the snapshot; nothing that allocates ever waits for it. */
extern struct xa_lock xa_snapshot_lock;

/* Somebody is about to take the lock: a child that is forked from now on knows of it. */
void xa_snapshot_begin(void);

/* Take it anew.  False if memory for it ran out. */
XA_MUST_USE bool xa_snapshot_refresh(void) XA_REQUIRES(xa_snapshot_lock);

/* The last one, taken now if there is none; NULL if memory ran out. */
const struct xa_snapshot *xa_snapshot_get(void) XA_REQUIRES(xa_snapshot_lock);

/*
 * An arena's part of it, as it is after xa_snapshot_get(): XA_SNAPSHOT_ALL and
 * XA_SNAPSHOT_DESTROYED are numbers too.  NULL if there was no such arena.
 */
const struct xa_snapshot_arena *xa_snapshot_arena(unsigned index) XA_REQUIRES(xa_snapshot_lock);

/* The number behind the last arena's, now.  Lock-free. */
unsigned xa_snapshot_arena_end(void);

/* True if there is such an arena, automatic or private, now. */
bool xa_snapshot_has_arena(unsigned index);

#endif
