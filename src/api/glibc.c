/*
 * glibc.c - glibc's calls that look into the heap and steer it.
 *
 * Programs call these to watch and trim their memory (the JDK, systemd, HAProxy,
 * Julia, Dask); under an allocator that lacks them they would silently speak to
 * glibc's own, empty heap.  Here they speak of ours.
 *
 * Locking: none is held while a stream is written, since a memory stream allocates.
 */
#include <errno.h>
#include <limits.h>

#include "alloc/start.h"
#include "api/glibc_types.h"
#include "arena/arena.h"
#include "arena/private_arena.h"
#include "base/text.h"
#include "config/options.h"
#include "control/report.h"
#include "control/statistics.h"
#include "os/os.h"
#include "page/huge.h"
#include "page/page_purge.h"
#include "thread/background.h"
#include "thread/cache_purge.h"
#include "thread/thread_cache.h"
#include "xalloc/xalloc.h"

/* All that is not static here is the public interface. */
#pragma GCC visibility push(default)

/* glibc's bound on M_MXFAST, in bytes. */
enum { MXFAST_MAX = 80 * sizeof(size_t) / 4 };

/* How long malloc_trim may take; a system call under way is finished. */
enum { TRIM_MS = 40 };

/*
 * A program that calls this in its event loop must not stand still: what cannot be
 * given back in time is left to the purging thread.
 */
int
malloc_trim(size_t pad)
{
    struct xa_thread_state *state;
    bool left;
    if (!xa_start_enter(&state))
        return 0;
    uint64_t deadline_ms = xa_os_now_ms() + TRIM_MS;
    if (state != NULL)
        xa_thread_cache_flush(state);
    (void)xa_cache_purge_run(XA_CACHE_PURGE_ALL, &left);
    size_t bytes = xa_huge_purge(XA_HUGE_ALL);
    bytes += xa_arena_trim_until(pad / xa_arena_limit(), deadline_ms);
    if (xa_os_now_ms() >= deadline_ms)
        xa_background_finish_trim();
    xa_start_leave(state);
    size_t waiting = xa_private_arena_dirty_bytes();
    xa_private_arena_purge_all();
    return bytes != 0 || xa_private_arena_dirty_bytes() < waiting;
}

static size_t
value_of(const _Atomic size_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

struct mallinfo2
mallinfo2(void)
{
    struct xa_statistics s;
    xa_start_process();
    xa_statistics_gather(&s, XA_STATISTICS_QUICK);
    size_t slabs = 0;
    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++)
        slabs += s.classes[c].slabs;
    size_t arena = value_of(&s.heaps.mapped_bytes) - value_of(&s.heaps.large_bytes);
    return (struct mallinfo2){
        .arena = arena,
        .ordblks = slabs,
        .hblks = s.large_objects + s.huge_objects,
        .hblkhd = s.large,
        .fsmblks = s.cached,
        .uordblks = s.small,
        .fordblks = arena > s.small ? arena - s.small : 0,
        .keepcost = s.dirty,
    };
}

static int
clamp(size_t value)
{
    return value < INT_MAX ? (int)value : INT_MAX;
}

struct mallinfo
mallinfo(void)
{
    struct mallinfo2 info = mallinfo2();
    return (struct mallinfo){
        .arena = clamp(info.arena),
        .ordblks = clamp(info.ordblks),
        .hblks = clamp(info.hblks),
        .hblkhd = clamp(info.hblkhd),
        .fsmblks = clamp(info.fsmblks),
        .uordblks = clamp(info.uordblks),
        .fordblks = clamp(info.fordblks),
        .keepcost = clamp(info.keepcost),
    };
}

static void
put_sizes(FILE *stream, const struct xa_statistics *s)
{
    fputs("<sizes>\n", stream);
    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++) {
        const struct xa_class_statistics *class = &s->classes[c];
        const struct xa_size_class *row = &xa_size_class_table[c];
        size_t free_slots = class->slabs * row->slots - class->live;
        if (free_slots == 0)
            continue;
        size_t from = (c == 1 ? 0 : xa_size_class_table[c - 1].object_bytes) + 1;
        fprintf(stream, "<size from=\"%zu\" to=\"%u\" total=\"%zu\" count=\"%zu\"/>\n", from,
            row->object_bytes, free_slots * row->object_bytes, free_slots);
    }
    fputs("</sizes>\n", stream);
}

/* The totals, which glibc gives for each heap and then for all. */
static void
put_totals(FILE *stream, const struct xa_statistics *s)
{
    size_t fast = 0;
    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++)
        fast += s->classes[c].cached;
    size_t current = s->mapped - s->metadata;
    size_t free_bytes = current > s->allocated + s->cached ? current - s->allocated - s->cached : 0;
    fprintf(stream,
        "<total type=\"fast\" count=\"%zu\" size=\"%zu\"/>\n"
        "<total type=\"rest\" count=\"%zu\" size=\"%zu\"/>\n"
        "<total type=\"mmap\" count=\"%zu\" size=\"%zu\"/>\n"
        "<system type=\"current\" size=\"%zu\"/>\n"
        "<system type=\"max\" size=\"%zu\"/>\n"
        "<aspace type=\"total\" size=\"%zu\"/>\n"
        "<aspace type=\"mprotect\" size=\"%zu\"/>\n",
        fast, s->cached, s->free_slots == 0 ? (size_t)0 : (size_t)1, free_bytes,
        s->large_objects + s->huge_objects, s->large, current, current, s->mapped, s->mapped);
}

int
malloc_info(int options, FILE *stream)
{
    struct xa_statistics s;
    if (options != 0)
        return EINVAL;
    xa_start_process();
    xa_statistics_gather(&s, XA_STATISTICS_QUICK);
    fputs("<malloc version=\"1\">\n<heap nr=\"0\">\n", stream);
    put_sizes(stream, &s);
    put_totals(stream, &s);
    fputs("</heap>\n", stream);
    put_totals(stream, &s);
    fputs("</malloc>\n", stream);
    return 0;
}

static void
write_to_error(void *context, const char *text, size_t bytes)
{
    (void)context;
    xa_message_write(text, bytes);
}

void
malloc_stats(void)
{
    xa_start_process();
    const struct xa_report_wish wish = {XA_EMITTER_TEXT, XA_REPORT_SUMMARY};
    (void)xa_report_write("", &wish, write_to_error, NULL);
}

int
mallopt(int parameter, int value)
{
    xa_start_process();
    switch (parameter) {
    case M_MXFAST: return value >= 0 && value <= (int)MXFAST_MAX;
    case M_TRIM_THRESHOLD:
        /* What may stay unused and resident; 0 here would mean "automatic". */
        if (value >= 0)
            atomic_store_explicit(&xa_page_purge_dirty_max_bytes,
                value == 0 ? XA_GRANULE_BYTES : (size_t)value, memory_order_relaxed);
        return 1;
    case M_ARENA_TEST:
    case M_ARENA_MAX: return value > 0;
    default:
        /* The others, and those that nobody knows: glibc says 1 as well. */
        return 1;
    }
}

XA_SECOND_NAME(struct mallinfo, __libc_mallinfo, (void), mallinfo);
XA_SECOND_NAME(int, __libc_mallopt, (int parameter, int value), mallopt);
