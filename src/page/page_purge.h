/*
 * page_purge.h - giving the unused memory of page heaps back.
 */
#ifndef XA_PAGE_PAGE_PURGE_H
#define XA_PAGE_PAGE_PURGE_H

#include "page/page_heap.h"

/* [a] Bound on the dirty bytes of a heap; 0: chosen from the size of the live heap. */
extern _Atomic size_t xa_page_purge_dirty_max_bytes;

/* [a] A thread of our own calls xa_page_purge_decay(). */
extern _Atomic bool xa_page_purge_has_thread;

/* [a] Something was freed or cached since the purger was last thought of: it may be wanted now. */
extern _Atomic bool xa_page_purge_has_news;

static inline void
xa_page_purge_note_news(void)
{
    /* A hint, ordered with nothing.  Written only when it changes, since all threads read it. */
    if (!atomic_load_explicit(&xa_page_purge_has_news, memory_order_relaxed))
        atomic_store_explicit(&xa_page_purge_has_news, true, memory_order_relaxed);
}

/* [a] What divides the decay time under memory pressure; 0: everything goes at once. */
extern _Atomic uint32_t xa_page_purge_decay_divisor;

/* The process's decay time as it is now: the option's or what was set since, divided. */
int64_t xa_page_purge_decay_ms(void);

/* The same for muzzy granules; 0: nothing becomes muzzy, and what is goes at once. */
int64_t xa_page_purge_muzzy_ms(void);

/* Which unused granules. */
enum xa_page_purge_age { XA_PAGE_PURGE_DIRTY, XA_PAGE_PURGE_MUZZY };

/* Not a time: the heap goes by the process's, or the process by the options. */
enum { XA_PAGE_PURGE_TIME_OF_PROCESS = -2 };

/*
 * The decay time of a heap, or for NULL of all that have none of their own, whatever the
 * memory pressure; and setting it, from -1 to XA_OPTION_MS_MAX.
 */
int64_t xa_page_purge_time_ms(const struct xa_page_heap *heap, enum xa_page_purge_age age);
void xa_page_purge_set_time_ms(
    struct xa_page_heap *heap, enum xa_page_purge_age age, int64_t time_ms);

/*
 * Give dirty and muzzy granules back for good until at most `keep_bytes` of them remain.
 * The bytes given back.
 */
size_t xa_page_purge_run(struct xa_page_heap *heap, size_t keep_bytes) XA_EXCLUDES(heap->lock);

/* The same, but stop at a time: one more chunk is purged at most. */
size_t xa_page_purge_run_until(struct xa_page_heap *heap, size_t keep_bytes, uint64_t deadline_ms)
    XA_EXCLUDES(heap->lock);

/* Give back what decay and the bound on dirty bytes ask for at this time. */
void xa_page_purge_decay(struct xa_page_heap *heap, uint64_t now_ms) XA_EXCLUDES(heap->lock);

/* Dirty bytes that will be given back some time: all but those held for the sake of huge pages. */
static inline size_t
xa_page_purge_waiting_bytes(const struct xa_page_heap *heap)
{
    size_t dirty = xa_page_heap_counter(&heap->counters.dirty_bytes);
    size_t held = xa_page_heap_counter(&heap->counters.held_bytes);
    return dirty > held ? dirty - held : 0;
}

/* Unmap chunks that are free and hold no memory, but for the heap's last one. */
void xa_page_purge_close_empty(struct xa_page_heap *heap) XA_EXCLUDES(heap->lock);

/* Something was freed: see to it that it is given back some time, unless a purger does. */
void xa_page_purge_tick(struct xa_page_heap *heap) XA_EXCLUDES(heap->lock);

#endif
