/*
 * controls.h - the control tree as tables: from a name to its row, and from a MIB.
 *
 * Everything comes from controls.def.  The tables hold no pointers, so the loader has
 * nothing to change in them, and a process that asks for no control never reads them.
 *
 * A name is words with dots between.  A word that the row calls <i> or <j> is a number;
 * which numbers it may be depends on the word before it.  In a MIB such a number stands
 * for itself, and any other word for the place of the first row that begins with the same
 * words: the last number of a whole MIB therefore is its row.
 */
#ifndef XA_CONTROL_CONTROLS_H
#define XA_CONTROL_CONTROLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/annotate.h"

enum {
    XA_CONTROLS_WORDS_MAX = 7,   /* in a name */
    XA_CONTROLS_INDICES_MAX = 2, /* of these, numbers */
};

enum xa_controls_key {
#define CONTROL(key, name, type, access, answer, from, source, value, help) XA_CONTROL_##key,
#include "control/controls.def"
#undef CONTROL
    XA_CONTROLS
};

/* The tokens of controls.def. */
enum xa_controls_type {
    XA_CONTROL_TYPE_flag,
    XA_CONTROL_TYPE_uint,
    XA_CONTROL_TYPE_u32,
    XA_CONTROL_TYPE_u64,
    XA_CONTROL_TYPE_i64,
    XA_CONTROL_TYPE_size,
    XA_CONTROL_TYPE_ssize,
    XA_CONTROL_TYPE_text,
    XA_CONTROL_TYPE_pointer,
    XA_CONTROL_TYPE_none,
};

enum xa_controls_access {
    XA_CONTROL_ACCESS_r,
    XA_CONTROL_ACCESS_w,
    XA_CONTROL_ACCESS_rw,
    XA_CONTROL_ACCESS_v,
    XA_CONTROL_ACCESS_c,
    XA_CONTROL_ACCESS_x,
};

enum xa_controls_answer {
    XA_CONTROL_ANSWER_works,
    XA_CONTROL_ANSWER_fixed,
    XA_CONTROL_ANSWER_absent,
};

enum xa_controls_from { XA_CONTROL_FROM_jemalloc, XA_CONTROL_FROM_ours };

enum xa_controls_source {
    XA_CONTROL_SOURCE_constant,
    XA_CONTROL_SOURCE_option,
    XA_CONTROL_SOURCE_root,
    XA_CONTROL_SOURCE_thread,
    XA_CONTROL_SOURCE_tcache,
    XA_CONTROL_SOURCE_arena,
    XA_CONTROL_SOURCE_arenas,
    XA_CONTROL_SOURCE_stats,
    XA_CONTROL_SOURCE_prof,
    XA_CONTROL_SOURCE_experimental,
    XA_CONTROL_SOURCE_xalloc,
};

/* What the constant of a text stands for. */
enum xa_controls_text {
    XA_CONTROL_TEXT_NULL,
    XA_CONTROL_TEXT_EMPTY,
    XA_CONTROL_TEXT_DISABLED,
    XA_CONTROL_TEXT_DEFAULT,
    XA_CONTROL_TEXT_NONE,
};

/* What an index counts. */
enum xa_controls_index {
    XA_CONTROL_INDEX_ARENA,
    XA_CONTROL_INDEX_BIN,
    XA_CONTROL_INDEX_LARGE,
    XA_CONTROL_INDEX_PAGES, /* runs of pages by their length; none are told apart here */
};

struct xa_controls_row {
    uint16_t name; /* where it is among the names */
    uint8_t type : 4;
    uint8_t access : 4;
    uint8_t answer : 2;
    uint8_t from : 1;
    uint8_t source : 5;
    int16_t value;
};

extern const struct xa_controls_row xa_controls_rows[XA_CONTROLS];

/* The row's name, with <i> and <j> in it. */
const char *xa_controls_name(unsigned row);

/* Bytes of a value of the row's type; 0 for none. */
size_t xa_controls_bytes(unsigned row);

/* Words of a row's name. */
unsigned xa_controls_words(unsigned row);

/* A name that was looked up, or a MIB. */
struct xa_controls_place {
    unsigned row;                            /* the first that begins with these words */
    unsigned words;                          /* how many these are */
    size_t mib[XA_CONTROLS_WORDS_MAX];       /* a number for each */
    size_t indices[XA_CONTROLS_INDICES_MAX]; /* those that the words <i> and <j> stand for */
    uint8_t kinds[XA_CONTROLS_INDICES_MAX];  /* enum xa_controls_index of each */
    unsigned index_count;
};

/* Find a whole name or the beginning of one; false if there is none such. */
XA_MUST_USE bool xa_controls_find(const char *name, struct xa_controls_place *place);

/* Find a whole MIB; false if it leads to no row. */
XA_MUST_USE bool xa_controls_find_mib(
    const size_t *mib, size_t length, struct xa_controls_place *place);

/* True if the words are all of the row's name, and it is not only listed. */
bool xa_controls_is_leaf(const struct xa_controls_place *place);

#endif
