/*
 * measures.c - see measures.h.
 *
 * What counts is memory, where the host was asked what of a place is in memory, and else
 * what the place amounts to.  Small processes get no advice: what a line here costs its
 * reader has to be worth it.
 */
#include "control/measures.h"

#include "config/options.h"

enum {
    LEAST_BYTES = 512 * 1024,
    LEAST_FRACTION = 100,
};

static bool
has_resident(const struct xa_statistics *s)
{
    return s->resident != 0;
}

static size_t
bytes_at(const struct xa_statistics *s, enum xa_place place)
{
    return has_resident(s) ? s->places[place].resident : s->places[place].bytes;
}

/* What is lower on the list makes room. */
static void
consider(struct xa_measures *measures, struct xa_measure candidate, size_t least)
{
    if (candidate.bytes < least)
        return;
    for (unsigned i = 0; i < XA_MEASURES_MAX; i++) {
        struct xa_measure *at = &measures->list[i];
        if (i == measures->count) {
            measures->count++;
            *at = candidate;
            return;
        }
        if (candidate.bytes > at->bytes) {
            struct xa_measure other = *at;
            *at = candidate;
            candidate = other;
        }
    }
}

void
xa_measures_find(struct xa_measures *measures, const struct xa_statistics *s)
{
    size_t least = (has_resident(s) ? s->resident : s->active) / LEAST_FRACTION;
    if (least < LEAST_BYTES)
        least = LEAST_BYTES;
    *measures = (struct xa_measures){0};
    consider(measures,
        (struct xa_measure){.kind = XA_MEASURE_TRIM,
            .bytes = bytes_at(s, XA_PLACE_DIRTY) + bytes_at(s, XA_PLACE_MUZZY) +
                (has_resident(s) ? bytes_at(s, XA_PLACE_HUGE_KEPT)
                                 : s->dirty - s->places[XA_PLACE_DIRTY].bytes)},
        least);
    consider(measures,
        (struct xa_measure){.kind = XA_MEASURE_CACHES,
            .bytes = bytes_at(s, XA_PLACE_THREAD_CACHES) + bytes_at(s, XA_PLACE_DEPOTS) +
                bytes_at(s, XA_PLACE_STOCK)},
        least);
    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++) {
        const struct xa_class_statistics *class = &s->classes[c];
        consider(measures,
            (struct xa_measure){.kind = XA_MEASURE_FREE,
                .size_class = (uint8_t)c,
                .bytes = has_resident(s) ? class->free_resident : class->free_bytes},
            least);
        consider(measures,
            (struct xa_measure){
                .kind = XA_MEASURE_ROUNDING, .size_class = (uint8_t)c, .bytes = class->rounding},
            least);
    }
}

const char *
xa_measures_name(const struct xa_measure *measure)
{
    return measure->kind == XA_MEASURE_TRIM  ? "trim"
        : measure->kind == XA_MEASURE_CACHES ? "caches"
        : measure->kind == XA_MEASURE_FREE   ? "free_slots"
                                             : "rounding";
}

static void
put_trim(struct xa_text *text)
{
    xa_text_put_string(text, "unused pages: malloc_trim(0) gives them back now, dirty_decay_ms:");
    xa_text_put_signed(text, xa_options.dirty_decay_ms);
    xa_text_put_string(text, xa_options.dirty_decay_ms < 0 ? " never" : " with time");
}

static void
put_caches(struct xa_text *text)
{
    xa_text_put_string(text, "caches: malloc_trim(0) empties idle threads'; bound: ");
    xa_text_put_string(text, "tcache_total_max (");
    xa_text_put_size(text, xa_options.thread_caches_max_bytes);
    xa_text_put_char(text, ')');
}

static void
put_class(struct xa_text *text, unsigned size_class)
{
    xa_text_put_string(text, "class ");
    xa_text_put_unsigned(text, xa_size_class_table[size_class].object_bytes);
    xa_text_put_string(text, ": ");
}

static void
put_free(struct xa_text *text, const struct xa_statistics *s, unsigned size_class)
{
    const struct xa_class_statistics *class = &s->classes[size_class];
    const struct xa_size_class *row = &xa_size_class_table[size_class];
    size_t slots = class->slabs * row->slots;
    put_class(text, size_class);
    xa_text_put_percent(
        text, slots == 0 ? 0 : class->free_bytes / row->object_bytes * 1000 / slots);
    xa_text_put_string(text, " of its slots are free; malloc_trim(0) gives back whole free pages");
}

static void
put_rounding(struct xa_text *text, const struct xa_statistics *s, unsigned size_class)
{
    const struct xa_bin_counters *totals = &s->classes[size_class].totals;
    size_t requests = atomic_load_explicit(&totals->sampled_requests, memory_order_relaxed);
    size_t asked = atomic_load_explicit(&totals->sampled_bytes, memory_order_relaxed);
    put_class(text, size_class);
    xa_text_put_string(text, "requests average ");
    xa_text_put_unsigned(text, requests == 0 ? 0 : asked / requests);
    xa_text_put_string(text, " bytes: ");
    if (size_class > 1) {
        xa_text_put_string(text, "ask for ");
        xa_text_put_unsigned(text, xa_size_class_table[size_class - 1].object_bytes);
        xa_text_put_string(text, ", or ");
    }
    xa_text_put_string(text, "use all of it");
}

void
xa_measures_put(
    const struct xa_measure *measure, const struct xa_statistics *statistics, struct xa_text *text)
{
    switch ((enum xa_measure_kind)measure->kind) {
    case XA_MEASURE_TRIM: put_trim(text); break;
    case XA_MEASURE_CACHES: put_caches(text); break;
    case XA_MEASURE_FREE: put_free(text, statistics, measure->size_class); break;
    case XA_MEASURE_ROUNDING: put_rounding(text, statistics, measure->size_class); break;
    }
}
