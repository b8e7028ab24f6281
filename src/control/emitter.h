/*
 * emitter.h - writes figures as text for people, as JSON, or as OpenMetrics.
 *
 * A figure is declared once (struct xa_figure) and comes out in all three forms.  The other
 * functions serve one form each and do nothing in the others, so that who reports something
 * need not ask which form it is.
 *
 *   text       lines and tables, at most 100 columns
 *   JSON       one object; keys in the groups that were opened, numbers below 2^63
 *   metrics    families of xalloc_..., with units; the end is marked
 *              https://prometheus.io/docs/specs/om/open_metrics_spec/
 *
 * What is written goes into the caller's buffer, and in whole lines to its writer.  Nothing
 * here allocates, locks or calls libc.
 */
#ifndef XA_CONTROL_EMITTER_H
#define XA_CONTROL_EMITTER_H

#include "base/text.h"
#include "os/message.h"

enum xa_emitter_form { XA_EMITTER_TEXT, XA_EMITTER_JSON, XA_EMITTER_METRICS };

enum {
    XA_EMITTER_BUFFER_BYTES = 4096,
    XA_EMITTER_NAME_MAX = 31,
    XA_EMITTER_VALUES_MAX = 16,
};

enum xa_figure_unit { XA_FIGURE_NUMBER, XA_FIGURE_BYTES, XA_FIGURE_PERMILLE };
enum xa_figure_kind { XA_FIGURE_GAUGE, XA_FIGURE_COUNTER };

/* Arrays and no pointers: the loader would have to change those in each process. */
struct xa_figure {
    char name[24];  /* without its unit */
    char label[20]; /* in the text: at a line's beginning, or over a column */
    char help[70];
    uint8_t unit;  /* enum xa_figure_unit */
    uint8_t kind;  /* enum xa_figure_kind */
    uint8_t width; /* of a table's column; 0: not in the text */
};

struct xa_emitter {
    struct xa_text text;
    xa_message_writer *writer;
    void *context;
    enum xa_emitter_form form;
    unsigned depth;   /* JSON: groups that are open */
    bool needs_comma; /* JSON: something stands before in this group */
    bool is_in_row;   /* JSON: all on one line */
};

/* Begin; `buffer` has XA_EMITTER_BUFFER_BYTES. */
void xa_emitter_begin(struct xa_emitter *emitter, enum xa_emitter_form form, char *buffer,
    xa_message_writer *writer, void *context);

/* End what was written, and hand the rest of it to the writer. */
void xa_emitter_end(struct xa_emitter *emitter);

/* JSON only: a group of keys, or a list.  `key` is NULL in a list. */
void xa_emitter_open(struct xa_emitter *emitter, const char *key);
void xa_emitter_close(struct xa_emitter *emitter);
void xa_emitter_open_list(struct xa_emitter *emitter, const char *key);
void xa_emitter_close_list(struct xa_emitter *emitter);

/* JSON only: a group on a line of its own, for lists; its values are not to be groups. */
void xa_emitter_open_row(struct xa_emitter *emitter);
void xa_emitter_close_row(struct xa_emitter *emitter);

/* JSON only: one key. */
void xa_emitter_number(struct xa_emitter *emitter, const char *key, uint64_t value);
void xa_emitter_signed(struct xa_emitter *emitter, const char *key, int64_t value);
void xa_emitter_flag(struct xa_emitter *emitter, const char *key, bool value);
void xa_emitter_string(struct xa_emitter *emitter, const char *key, const char *value);

/* Text only: a line; or the end of one whose pieces were put into emitter->text. */
void xa_emitter_line(struct xa_emitter *emitter, const char *line);
void xa_emitter_end_line(struct xa_emitter *emitter);

/* One figure of the process: a line, a key of the group at hand, a metric. */
void xa_emitter_figure(struct xa_emitter *emitter, const struct xa_figure *figure, size_t value);

/* Metrics only: one whose value is 1, and whose label says it. */
void xa_emitter_info(
    struct xa_emitter *emitter, const char *help, const char *label, const char *value);

/* A line of a table; the caller's function fills it. */
struct xa_emitter_row {
    char name[XA_EMITTER_NAME_MAX + 1];
    size_t values[XA_EMITTER_VALUES_MAX];
    bool is_skipped;
};

struct xa_emitter_table {
    const char *key;   /* of the list in JSON */
    const char *title; /* over the text; NULL: not in the text */
    const char *infix; /* of metrics: xalloc_INFIX_NAME_UNIT */
    const char *label; /* what a row's name is, in JSON and as a label of metrics */
    const char *head;  /* the same over the text's first column */
    uint8_t name_width;
    bool is_name_number; /* in JSON */
    const struct xa_figure *figures;
    size_t count;
    /* False if there is no such row.  A row may be asked for several times. */
    bool (*fill)(const void *context, size_t index, struct xa_emitter_row *row);
    const void *context;
};

void xa_emitter_table(struct xa_emitter *emitter, const struct xa_emitter_table *table);

#endif
