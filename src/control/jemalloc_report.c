/*
 * jemalloc_report.c - see jemalloc_report.h.
 *
 * jemalloc's names, units and grouping; the figures' meaning is xalloc's.  What is small
 * and what is large differs: jemalloc's small objects end at 14 KiB, these at 64 KiB.
 * Of an arena, objects in caches count as allocated, since caches hold objects of any;
 * in the sum they do not.  What has no counterpart is left out rather than said to be 0.
 */
#include "control/jemalloc_report.h"

#include "config/options.h"
#include "control/report.h"
#include "os/os.h"
#include "page/huge.h"
#include "page/huge_page.h"
#include "page/page_purge.h"
#include "thread/background.h"

enum { QUANTUM = 16 };

static size_t
value_of(const _Atomic size_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static size_t
subtract(size_t from, size_t what)
{
    return from > what ? from - what : 0;
}

static void
put_config(struct xa_emitter *e)
{
    xa_emitter_open(e, "config");
    xa_emitter_flag(e, "cache_oblivious", false);
    xa_emitter_flag(e, "debug", XA_DEBUG);
    xa_emitter_flag(e, "fill", true);
    xa_emitter_flag(e, "lazy_lock", false);
    xa_emitter_string(e, "malloc_conf", "");
    xa_emitter_flag(e, "opt_safety_checks", true);
    xa_emitter_flag(e, "prof", false);
    xa_emitter_flag(e, "prof_libgcc", false);
    xa_emitter_flag(e, "prof_libunwind", false);
    xa_emitter_flag(e, "stats", true);
    xa_emitter_flag(e, "utrace", false);
    xa_emitter_flag(e, "xmalloc", true);
    xa_emitter_close(e);
}

static void
put_option(struct xa_emitter *e, const struct xa_option_row *row)
{
    char value[XA_OPTION_TEXT_MAX + 1];
    struct xa_text text;
    int64_t number;
    xa_text_init(&text, value, sizeof value);
    xa_options_put_value(&xa_options, row, &text);
    switch (row->type) {
    case XA_OPTION_TYPE_flag:
        xa_emitter_flag(e, row->name, xa_text_equals(value, xa_text_length(&text), "true"));
        break;
    case XA_OPTION_TYPE_choice:
    case XA_OPTION_TYPE_signal:
    case XA_OPTION_TYPE_text: xa_emitter_string(e, row->name, value); break;
    default:
        if (xa_text_parse_signed(value, xa_text_length(&text), &number))
            xa_emitter_signed(e, row->name, number);
        break;
    }
}

static void
put_options(struct xa_emitter *e)
{
    xa_emitter_open(e, "opt");
    for (size_t i = 0; i < xa_options_row_count; i++)
        put_option(e, &xa_options_rows[i]);
    xa_emitter_close(e);
}

static void
put_sizes(struct xa_emitter *e)
{
    xa_emitter_open(e, "arenas");
    xa_emitter_number(e, "narenas", xa_arena_limit());
    xa_emitter_signed(e, "dirty_decay_ms", xa_options.dirty_decay_ms);
    xa_emitter_signed(e, "muzzy_decay_ms", xa_options.muzzy_decay_ms);
    xa_emitter_number(e, "quantum", QUANTUM);
    xa_emitter_number(e, "page", xa_os_facts.page_bytes);
    xa_emitter_number(e, "hugepage", XA_HUGE_PAGE_BYTES);
    xa_emitter_number(e, "tcache_max", xa_options.thread_cache_max_bytes);
    xa_emitter_number(e, "nbins", XA_SMALL_CLASSES);
    xa_emitter_open_list(e, "bin");
    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++) {
        const struct xa_size_class *row = &xa_size_class_table[c];
        xa_emitter_open_row(e);
        xa_emitter_number(e, "size", row->object_bytes);
        xa_emitter_number(e, "nregs", row->slots);
        xa_emitter_number(e, "slab_size", (size_t)row->granules * XA_GRANULE_BYTES);
        xa_emitter_number(e, "nshards", 1);
        xa_emitter_close_row(e);
    }
    xa_emitter_close_list(e);
    xa_emitter_close(e);
}

static void
put_totals(struct xa_emitter *e, const struct xa_statistics *s, unsigned parts)
{
    /* As for the controls: whole pages of slabs that were given back are no longer active. */
    size_t retained = s->retained + s->slab_purged;
    xa_emitter_open(e, "stats");
    xa_emitter_number(e, "allocated", s->allocated);
    xa_emitter_number(e, "active", subtract(s->active, s->slab_purged));
    xa_emitter_number(e, "metadata", s->metadata);
    if ((parts & XA_REPORT_RESIDENT) != 0)
        xa_emitter_number(e, "resident", s->resident);
    xa_emitter_number(e, "mapped", subtract(s->mapped, retained));
    xa_emitter_number(e, "retained", retained);
    xa_emitter_open(e, "background_thread");
    xa_emitter_number(e, "num_threads", xa_background_is_there());
    xa_emitter_close(e);
    xa_emitter_close(e);
}

/* Objects of one kind: in an arena or in all. */
struct objects {
    size_t allocated;
    size_t allocations;
    size_t frees;
};

static void
put_objects(struct xa_emitter *e, const char *key, const struct objects *objects)
{
    xa_emitter_open(e, key);
    xa_emitter_number(e, "allocated", objects->allocated);
    xa_emitter_number(e, "nmalloc", objects->allocations);
    xa_emitter_number(e, "ndalloc", objects->frees);
    xa_emitter_close(e);
}

static void
put_bin(struct xa_emitter *e, const struct xa_bin_counters *bin, size_t cached)
{
    xa_emitter_open_row(e);
    xa_emitter_number(e, "nmalloc", value_of(&bin->allocations));
    xa_emitter_number(e, "ndalloc", value_of(&bin->frees));
    xa_emitter_number(e, "curregs", subtract(xa_bin_taken_slots(bin), cached));
    xa_emitter_number(e, "nslabs", value_of(&bin->slabs_made));
    xa_emitter_number(e, "curslabs", value_of(&bin->slabs));
    xa_emitter_close_row(e);
}

/* What page heaps count, of an arena or of all; in pages where jemalloc does. */
static void
put_heap(struct xa_emitter *e, size_t threads, const struct xa_heap_counters *heap, size_t huge)
{
    size_t page = xa_os_facts.page_bytes;
    size_t mapped = value_of(&heap->mapped_bytes), active = value_of(&heap->active_bytes);
    size_t dirty = value_of(&heap->dirty_bytes), muzzy = value_of(&heap->muzzy_bytes);
    size_t used = active + dirty + muzzy;
    xa_emitter_number(e, "nthreads", threads);
    xa_emitter_string(e, "dss", "disabled");
    xa_emitter_signed(e, "dirty_decay_ms", xa_options.dirty_decay_ms);
    xa_emitter_signed(e, "muzzy_decay_ms", xa_options.muzzy_decay_ms);
    xa_emitter_number(e, "pactive", (active + huge) / page);
    xa_emitter_number(e, "pdirty", dirty / page);
    xa_emitter_number(e, "pmuzzy", muzzy / page);
    xa_emitter_number(e, "dirty_npurge", value_of(&heap->purges));
    xa_emitter_number(e, "dirty_purged", value_of(&heap->purged_bytes) / page);
    xa_emitter_number(e, "mapped", used + huge);
    xa_emitter_number(e, "retained", subtract(mapped, used));
}

static void
put_merged(struct xa_emitter *e, const struct xa_statistics *s, unsigned parts)
{
    struct objects small = {.allocated = s->small};
    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++) {
        small.allocations += value_of(&s->classes[c].totals.allocations);
        small.frees += value_of(&s->classes[c].totals.frees);
    }
    size_t all = s->large_allocations + s->huge_allocations;
    struct objects large = {s->large, all, subtract(all, s->large_objects + s->huge_objects)};
    xa_emitter_open(e, "merged");
    put_heap(e, s->threads, &s->heaps,
        subtract(value_of(&xa_huge_counters.live_bytes), s->stocked_huge));
    put_objects(e, "small", &small);
    put_objects(e, "large", &large);
    xa_emitter_number(e, "base", s->metadata);
    xa_emitter_number(e, "tcache_bytes", s->thread_cached);
    if ((parts & XA_REPORT_RESIDENT) != 0)
        xa_emitter_number(e, "resident", s->resident);
    if ((parts & XA_REPORT_BINS) != 0) {
        xa_emitter_open_list(e, "bins");
        for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++)
            put_bin(e, &s->classes[c].totals, s->classes[c].cached);
        xa_emitter_close_list(e);
    }
    xa_emitter_close(e);
}

static void
put_arena(struct xa_emitter *e, const struct xa_arena *arena, unsigned parts)
{
    const struct xa_heap_counters *heap = &arena->heap.counters;
    char key[12];
    struct xa_text text;
    struct objects small = {0};
    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++) {
        const struct xa_bin_counters *bin = &arena->bins[c].counters;
        small.allocated += xa_bin_taken_slots(bin) * xa_size_class_table[c].object_bytes;
        small.allocations += value_of(&bin->allocations);
        small.frees += value_of(&bin->frees);
    }
    size_t all = value_of(&heap->large_allocations);
    struct objects large = {
        value_of(&heap->large_bytes), all, subtract(all, value_of(&heap->large_objects))};
    xa_text_init(&text, key, sizeof key);
    xa_text_put_unsigned(&text, arena->index);
    xa_emitter_open(e, key);
    put_heap(e, atomic_load_explicit(&arena->threads, memory_order_relaxed), heap, 0);
    put_objects(e, "small", &small);
    put_objects(e, "large", &large);
    if ((parts & XA_REPORT_BINS) != 0) {
        xa_emitter_open_list(e, "bins");
        for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++)
            put_bin(e, &arena->bins[c].counters, 0);
        xa_emitter_close_list(e);
    }
    xa_emitter_close(e);
}

static void
put_arenas(struct xa_emitter *e, const struct xa_statistics *s, unsigned parts)
{
    xa_emitter_open(e, "stats.arenas");
    if ((parts & XA_REPORT_MERGED) != 0)
        put_merged(e, s, parts);
    for (unsigned i = 0; (parts & XA_REPORT_ARENAS) != 0 && i < XA_ARENAS_MAX; i++)
        if (xa_arena_at(i) != NULL)
            put_arena(e, xa_arena_at(i), parts);
    xa_emitter_close(e);
}

void
xa_jemalloc_report_put(struct xa_emitter *e, const struct xa_statistics *s, unsigned parts)
{
    xa_emitter_open(e, "jemalloc");
    if ((parts & XA_REPORT_GENERAL) != 0) {
        xa_emitter_string(e, "version", XA_JEMALLOC_REPORT_VERSION);
        put_config(e);
        put_options(e);
        put_sizes(e);
    }
    put_totals(e, s, parts);
    if ((parts & (XA_REPORT_MERGED | XA_REPORT_ARENAS)) != 0)
        put_arenas(e, s, parts);
    xa_emitter_close(e);
}
