/*
 * thread_count.h - what a thread has taken and freed, for threads that ask.
 */
#ifndef XA_THREAD_THREAD_COUNT_H
#define XA_THREAD_THREAD_COUNT_H

#include "thread/thread_state.h"

/* [t] Written by the state's owner, or by a purger that has its caches; read by anybody. */
struct xa_thread_count {
    _Atomic uint64_t allocated;     /* bytes, never less than before */
    _Atomic uint64_t deallocated;   /* likewise */
    int64_t base;                   /* their difference when the peak was last reset */
    int64_t peak;                   /* its largest value since, above `base` */
    uint16_t known[XA_CLASS_CODES]; /* objects in the caches when they were last looked at */
};

/*
 * Count from now on what the state's thread does; from 0 if it did not count before.  NULL
 * if memory ran out.  The record stays where it is, also beyond the thread's end.
 */
XA_MUST_USE struct xa_thread_count *xa_thread_count_begin(struct xa_thread_state *state);

/* A new thread has taken over a state with a record: it begins at 0. */
void xa_thread_count_reset(struct xa_thread_state *state);

/* The rest is for states whose `count` is not NULL, within a slow path of the owner's. */

/* Take into account what the fast path has done to all caches, or to that of a class. */
void xa_thread_count_settle(struct xa_thread_state *state);
void xa_thread_count_settle_class(struct xa_thread_state *state, unsigned size_class);

/* The caches, or one, are as they are not by what the program did: take note. */
void xa_thread_count_note(struct xa_thread_state *state);
void xa_thread_count_note_class(struct xa_thread_state *state, unsigned size_class);

/* An object of so many bytes was taken or freed that went through no cache. */
void xa_thread_count_take(struct xa_thread_state *state, size_t bytes);
void xa_thread_count_free(struct xa_thread_state *state, size_t bytes);

/* Measure the peak anew, from what is held now. */
void xa_thread_count_reset_peak(struct xa_thread_state *state);

#endif
