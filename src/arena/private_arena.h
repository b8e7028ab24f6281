/*
 * private_arena.h - arenas that a program makes for itself (arenas.create).
 *
 * They are numbered from XA_PRIVATE_ARENA_FIRST on, behind every number that an automatic
 * arena can ever have, so that a number never changes its meaning.  `arenas.narenas` is the
 * end of the numbers in use, xa_private_arena_end(), or the automatic ones' if there are none.
 *
 * Nothing of them is shared with the rest of the heap: own slabs and runs, in memory that
 * their extent hooks gave, found by a map of their own (private_map.h).  Their objects are in
 * no thread's cache, so that all of them can be dropped at once.
 *
 * All calls may be made by any thread, without any lock; they call the program's hooks, which
 * may allocate and free in turn.  A number that is no arena's gives false, NULL or 0.
 */
#ifndef XA_ARENA_PRIVATE_ARENA_H
#define XA_ARENA_PRIVATE_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arena/arena.h"
#include "arena/extent_hooks.h"

enum {
    XA_PRIVATE_ARENA_FIRST = XA_ARENAS_MAX,
    XA_PRIVATE_ARENA_LAST = 4093, /* as MALLOCX_ARENA can say it, and below MALLCTL_ARENAS_ALL */
    XA_PRIVATE_ARENA_NAME_BYTES = 32,
};
#define XA_PRIVATE_ARENA_NONE UINT_MAX

/*
 * Make an arena; `hooks` is NULL for the default ones, or must stay while the arena does.  Its
 * number, or XA_PRIVATE_ARENA_NONE if memory or numbers ran out.
 */
XA_MUST_USE unsigned xa_private_arena_create(struct extent_hooks_s *hooks);

/* True if there is such an arena now. */
bool xa_private_arena_exists(unsigned index);

/* One more than the highest number in use; 0 if no arena was ever made. */
unsigned xa_private_arena_end(void);

/* Drop all objects; the memory is kept, as dirty, or given back as the decay time says. */
bool xa_private_arena_reset(unsigned index);

/*
 * Drop all objects and the arena; its number may be given out again.  False, and nothing done, if
 * threads are bound to it.
 */
XA_MUST_USE bool xa_private_arena_destroy(unsigned index);

/* Give back all that is unused; what is due by the decay times. */
bool xa_private_arena_purge(unsigned index);
bool xa_private_arena_decay(unsigned index);

/* The same for all of them. */
void xa_private_arena_purge_all(void);
void xa_private_arena_decay_all(void);

/*
 * The hooks in force; NULL if there is no such arena.  Setting gives the old ones: NULL, and
 * nothing done, if there is no such arena.  The program's hooks must know extents of before.
 */
struct extent_hooks_s *xa_private_arena_hooks(unsigned index);
struct extent_hooks_s *xa_private_arena_set_hooks(unsigned index, struct extent_hooks_s *hooks);

/* Decay times in milliseconds; -1 is never.  Setting one gives back what is unused, as jemalloc does. */
bool xa_private_arena_decay_ms(unsigned index, int64_t *dirty_ms, int64_t *muzzy_ms);
bool xa_private_arena_set_dirty_ms(unsigned index, int64_t milliseconds);
bool xa_private_arena_set_muzzy_ms(unsigned index, int64_t milliseconds);

/* The most that the alloc hook is asked for beyond what an object needs; SIZE_MAX at first. */
bool xa_private_arena_grow_limit(unsigned index, size_t *bytes);
bool xa_private_arena_set_grow_limit(unsigned index, size_t bytes);

/* A name of at most XA_PRIVATE_ARENA_NAME_BYTES with its 0; "" at first.  `name` has that many bytes. */
bool xa_private_arena_name(unsigned index, char *name);
bool xa_private_arena_set_name(unsigned index, const char *name);

/* The arena of a live object, or XA_PRIVATE_ARENA_NONE. */
unsigned xa_private_arena_lookup(const void *pointer);

/* ---- Objects ---- */

/*
 * `bytes` (at least 1) at a multiple of `alignment`, a power of two.  NULL if there is no such
 * arena or its hooks have no memory.
 */
XA_MUST_USE void *xa_private_arena_take(
    unsigned index, size_t bytes, size_t alignment, bool wants_zeros);

/* The same for several of a small size class; how many. */
XA_MUST_USE unsigned xa_private_arena_take_some(
    unsigned index, unsigned size_class, void **objects, unsigned count);

enum xa_private_verdict {
    XA_PRIVATE_FOREIGN, /* no private arena's */
    XA_PRIVATE_LIVE,
    XA_PRIVATE_INSIDE,
    XA_PRIVATE_FREE,
};

/* Free the object; LIVE if it was one, else nothing is done. */
enum xa_private_verdict xa_private_arena_return(void *pointer);

/*
 * What the pointer is; `*bytes`, if LIVE, are those that the program may use.
 */
enum xa_private_verdict xa_private_arena_look(const void *pointer, size_t *bytes);

/* The object that an address is in, for a message about it. */
struct xa_private_object {
    uintptr_t start;
    size_t bytes;
    bool is_free; /* a slot in which there is none just now */
};

/* False if the address is in none, nor in a slot. */
bool xa_private_arena_describe(const void *pointer, struct xa_private_object *object);

/*
 * Make the object at least `least` bytes, at best `most`, where it stands.  The bytes that it has
 * then, changed or not; 0 if it is no live object.
 */
size_t xa_private_arena_resize(void *pointer, size_t least, size_t most);

/* ---- Caches and threads that refer to an arena ---- */

/*
 * Changes whenever objects of this arena are dropped, and when the number becomes another
 * arena's; never 0 for an arena.  0 if there is no such arena.
 */
uint64_t xa_private_arena_epoch(unsigned index);

/* A thread is bound to the arena, or no longer.  False if there is no such arena. */
XA_MUST_USE bool xa_private_arena_bind(unsigned index);
void xa_private_arena_unbind(unsigned index);

/* ---- Figures ---- */

struct xa_private_class_statistics {
    size_t live;    /* objects */
    size_t slabs;   /* now */
    size_t nonfull; /* of these, with free slots and in use */
    uint64_t allocations;
    uint64_t frees;
    uint64_t slabs_made;
};

struct xa_private_statistics {
    unsigned threads; /* bound to it */
    int64_t dirty_ms;
    int64_t muzzy_ms;
    uint64_t created_ms; /* by xa_os_now_ms() */
    size_t small;        /* bytes of live objects, in their size classes */
    size_t large;
    size_t small_objects;
    size_t large_objects;
    uint64_t large_allocations;
    uint64_t large_frees;
    size_t active;        /* bytes of slabs and of large objects */
    size_t dirty;         /* unused, and perhaps in memory */
    size_t muzzy;         /* of these, offered to the host; not in `dirty` */
    size_t retained;      /* unused, purged; the address range is kept */
    size_t mapped;        /* all of these */
    size_t metadata;      /* of our own, for it; a part of xa_metadata_used_bytes() */
    uint64_t purges;      /* passes that gave something back */
    uint64_t purge_calls; /* of hooks, in these */
    uint64_t purged_bytes;
    struct xa_private_class_statistics classes[XA_SMALL_CLASSES + 1]; /* by code */
};

/* Fill in; without waiting for any lock. */
bool xa_private_arena_statistics(unsigned index, struct xa_private_statistics *statistics);

/* What arenas that were destroyed have counted: allocations, frees, purges. */
void xa_private_arena_destroyed(struct xa_private_statistics *statistics);

/* Add `more` to `sum`, field by field but for the decay times and `created_ms`. */
void xa_private_arena_add(
    struct xa_private_statistics *sum, const struct xa_private_statistics *more);

/*
 * What of their memory is resident, as the host says.  Takes each arena's lock in turn: nothing
 * of an arena's that the calling thread was interrupted in.
 */
size_t xa_private_arena_resident_bytes(void);

/* Unused bytes that the background thread would have to purge. */
size_t xa_private_arena_dirty_bytes(void);

/* ---- The process ---- */

/*
 * What a thread is about to do: begin or end a section in which a signal handler of its own must
 * not come in here again (BEGIN: false if this is such a handler), or a call of a program's hook.
 * A layer above is told, by a function that it names before the first arena is made.
 */
enum xa_private_step {
    XA_PRIVATE_BEGIN,
    XA_PRIVATE_END,
    XA_PRIVATE_HOOK_BEGIN,
    XA_PRIVATE_HOOK_END,
};
typedef bool xa_private_arena_step(enum xa_private_step step);
void xa_private_arena_set_step(xa_private_arena_step *function);

/*
 * In a forked child: set aside the arenas that a thread which is gone was changing.  `bound` is
 * the one that the only thread is bound to, or XA_PRIVATE_ARENA_NONE.
 */
void xa_private_arena_reset_in_child(unsigned bound);

#endif
