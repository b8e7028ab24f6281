/*
 * thread_state.h - what a thread owns.
 *
 * One thread-local pointer leads here; it is all the static TLS there is.  Before
 * a thread has a state the pointer leads to a read-only one whose magazines are
 * empty and full at the same time, so that the fast path needs no test for it: it
 * simply misses.  The same holds after the thread's end.
 *
 * A cache of size class c is an active magazine and a spare one.  The fast path knows
 * the active one by tops[c], the next object to hand out (magazine.h).  The spare is
 * a whole magazine behind one atomic pointer.  A cache that has no magazine is empty
 * and full at the same time: its top leads to a NULL at a multiple of 512.
 *
 * States are never freed: a thread that ends leaves its state for the next one.
 * All of them are on one list that only grows, so the report and a forked child can
 * walk it without a lock.
 *
 * Keys: [t] owning thread only; a forked child may read what a dead thread left.
 */
#ifndef XA_THREAD_THREAD_STATE_H
#define XA_THREAD_THREAD_STATE_H

#include <stdatomic.h>

#include "arena/magazine.h"
#include "config/size_class.h"

struct xa_arena;
struct xa_thread_count;

/* How far the purger is with taking the caches back; see cache_purge.c. */
enum xa_revocation {
    XA_REVOCATION_NONE,     /* the owner has them */
    XA_REVOCATION_WANTED,   /* the owner still has them; the purger asks whether it sleeps */
    XA_REVOCATION_SWAPPING, /* the tops are being put aside */
    XA_REVOCATION_PREPARED, /* they are in saved[]; the owner may put them back */
    XA_REVOCATION_TAKING,   /* the magazines are the purger's */
};

enum { XA_LARGE_STOCK_SHARED = 3 };

struct xa_extent;
struct xa_huge;

struct xa_thread_state {
    /* [t] Written by the owner, read by the report; one more than codes, see thread_state.c. */
    _Atomic(xa_slot *) tops[XA_CLASS_CODES + 1];
    uint8_t class_of[XA_TINY_STEPS]; /* [c] copy of xa_size_class_tiny, at hand */
    _Atomic uint64_t stock_hot;      /* [t] the large object freed last; large_stock.c */
    _Atomic uint64_t stock_hot_max;  /* [a] granules that it may have; 0: ask the slow path */
    struct xa_huge *_Atomic huge;    /* [a] a freed huge object; huge_stock.c */
    _Atomic size_t huge_paid_bytes;  /* [a] what it may have of all threads' share */
    _Atomic(struct xa_magazine *) actives[XA_CLASS_CODES]; /* [t] NULL: nothing cached */
    _Atomic(struct xa_magazine *) spares[XA_CLASS_CODES];  /* [a] taken by exchange */
    uint8_t steps[XA_CLASS_CODES]; /* [t] how far the cache has grown; on misses */
    uint64_t
        looked_at[(XA_CLASS_CODES + 63) / 64];     /* [t] a one for each class checked for misuse */
    struct xa_magazine *empties;                   /* [t] magazines without objects */
    uint8_t empty_count;                           /* [t] */
    uint8_t exit_round;                            /* [t] destructor calls so far */
    _Atomic uint32_t revocation;                   /* [a] enum xa_revocation */
    _Atomic(xa_slot *) saved[XA_CLASS_CODES];      /* [a] tops that the purger has put aside */
    _Atomic uint64_t stock[XA_LARGE_STOCK_SHARED]; /* [a] freed large objects; large_stock.c */
    _Atomic uint64_t stock_seen[XA_LARGE_STOCK_SHARED]; /* [a] when somebody last looked */
    struct xa_extent *stock_hot_record;                 /* [t] of what is at stock_hot */
    uint64_t stock_hot_seen;                            /* [t] when the owner last looked */
    _Atomic uint64_t stock_hot_saved;                   /* [a] what the purger has put aside */
    _Atomic bool stock_is_paid;                         /* [a] charged to the process's budget */
    uint8_t misses;                                     /* [t] counts, and begins again */
    uint8_t stock_oldest;                /* [t] the shared place to be emptied next */
    uint8_t stock_skips;                 /* [t] objects to keep until the next tick */
    struct xa_huge *_Atomic huge_seen;   /* [a] when somebody last looked */
    _Atomic uint32_t thread_number;      /* [a] as the host numbers threads */
    _Atomic size_t seen;                 /* [p] of the caches, when the purger last looked */
    size_t budget_bytes;                 /* [t] what its caches have of the process's budget */
    _Atomic bool is_used;                /* [a] some thread's, living or cut off by a fork */
    bool is_unarmed;                     /* [t] has not asked for notice of its end: see start.c */
    _Atomic bool is_inside;              /* [t] in a slow path; the purger keeps away then */
    _Atomic uint32_t fork_generation;    /* [a] process generation that it belongs to */
    struct xa_arena *_Atomic arena;      /* [t] read by anybody */
    uint16_t bound_arena;                /* [t] the private arena that it allocates from; 0: none */
    uint16_t hook_depth;                 /* [t] calls of extent hooks that it is in */
    uint8_t class_end;                   /* [t] it caches no classes from here on; 0: all */
    struct xa_thread_count *count;       /* [t] what it has taken; NULL until it asks */
    struct xa_thread_state *next;        /* [c] on the list of all */
    struct xa_thread_state *next_unused; /* [u] */
};

/* The calling thread's state, or one of the two below. */
extern XA_HIDDEN XA_THREAD_LOCAL struct xa_thread_state *xa_thread_state_self;

/* In a state's `stock_hot`: the purger has put it aside.  No object, and no empty place. */
#define XA_STOCK_HOT_ASIDE UINT64_C(1)

/* As much of a state as the fast path looks at, for two that overlap; see thread_state.c. */
struct xa_thread_state_dummies {
    _Atomic(xa_slot *) tops[XA_CLASS_CODES + 1];
    uint8_t class_of[XA_TINY_STEPS];
    _Atomic uint64_t stock_hot;
    _Atomic uint64_t stock_hot_max;
    struct xa_huge *_Atomic huge;
    _Atomic size_t huge_paid_bytes;
    void *end; /* the second of the two begins a pointer further on */
};
extern XA_HIDDEN const struct xa_thread_state_dummies xa_thread_state_dummies;

/* What xa_thread_state_self is before a thread's first call and after its last. */
#define XA_THREAD_STATE_NONE ((struct xa_thread_state *)(uintptr_t)&xa_thread_state_dummies)
#define XA_THREAD_STATE_ENDED \
    ((struct xa_thread_state *)((uintptr_t)&xa_thread_state_dummies + sizeof(void *)))

/* True if the calling thread has a state of its own. */
static inline bool
xa_thread_state_is_real(const struct xa_thread_state *state)
{
    return state != XA_THREAD_STATE_NONE && state != XA_THREAD_STATE_ENDED;
}

/*
 * The private arena that the thread is bound to, or 0.  Its caches are empty then, so that every
 * call comes to where this is asked.  A hook of that arena allocates from elsewhere.
 */
static inline unsigned
xa_thread_state_binding(const struct xa_thread_state *state)
{
    return xa_thread_state_is_real(state) && state->hook_depth == 0 ? state->bound_arena : 0;
}

/* True if objects may be put into the state's caches. */
static inline bool
xa_thread_state_caches(const struct xa_thread_state *state)
{
    return state->bound_arena == 0;
}

/* True if large objects may be kept for it. */
static inline bool
xa_thread_state_stocks(const struct xa_thread_state *state)
{
    return xa_thread_state_caches(state) && state->class_end == 0;
}

/* Where an empty cache's top leads: a NULL, aligned like a magazine. */
extern XA_HIDDEN void *const xa_thread_state_nothing;

/* False if the thread has asked that objects of the class are not cached for it. */
static inline bool
xa_thread_state_may_cache(const struct xa_thread_state *state, unsigned size_class)
{
    /* 0 wraps around to beyond all classes. */
    return size_class <= (uint8_t)(state->class_end - 1);
}

/* An unused state or a new one, with empty caches; NULL if memory ran out. */
XA_MUST_USE struct xa_thread_state *xa_thread_state_take(void);

/*
 * The calling thread's pointer leads to the state now.  Said once more after that, since
 * a signal handler may have forked in between, and the state looked abandoned there.
 */
void xa_thread_state_claim(struct xa_thread_state *state);

/* In a child the calling thread, to whom the state belongs, has another number. */
void xa_thread_state_renumber(struct xa_thread_state *state);

/* The thread is done with it; its caches are empty. */
void xa_thread_state_return(struct xa_thread_state *state);

/* The first of all states there ever were; follow `next`. */
struct xa_thread_state *xa_thread_state_all(void);

/*
 * The top of the state's cache of a class, wherever it is at the moment; NULL if the
 * cache is empty.  Near enough if the owner is running.
 */
xa_slot *xa_thread_state_top(struct xa_thread_state *state, unsigned size_class);

/* Objects in the state's cache of a class; near enough if its owner is running. */
size_t xa_thread_state_objects(struct xa_thread_state *state, unsigned size_class);

/*
 * In a forked child: every state but the caller's is an orphan's now.  O(1): it
 * only counts the process's generation up.
 */
void xa_thread_state_reset_in_child(void);

/* True if its thread lives in this process: no orphan, and not being adopted. */
bool xa_thread_state_is_current(const struct xa_thread_state *state);

/* A state whose thread did not come along into this process; taken by the caller.  Or NULL. */
struct xa_thread_state *xa_thread_state_take_orphan(void);

#endif
