/*
 * options.h - the run-time options: their values, their table, their reading.
 *
 * The values are valid from the very first call of malloc, since they are
 * initialised at link time; start-up code then reads the sources of settings one
 * after another, a later one overriding an earlier one.  From then on they are
 * constant.  Nothing here locks, allocates or calls libc.
 *
 * A wrong setting never takes others with it: it is reported in one line, the
 * value stays what it was, and reading goes on.
 */
#ifndef XA_CONFIG_OPTIONS_H
#define XA_CONFIG_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/annotate.h"
#include "base/text.h"

enum {
    XA_OPTION_NAME_MAX = 27,
    XA_OPTION_TEXT_MAX = 255,
    XA_OPTION_ARENAS_MAX = 256,
    XA_OPTION_SIGNAL_MAX = 64,
};

/* A year, beyond which a time is taken for a mistake. */
#define XA_OPTION_MS_MAX INT64_C(31536000000)
#define XA_OPTION_BYTES_MAX PTRDIFF_MAX

/* No program can work in less. */
#define XA_OPTION_LIMIT_HARD_MIN ((size_t)1 << 20)

/* What a field of each type of options.def is made of. */
typedef bool xa_option_flag;
typedef uint32_t xa_option_count;
typedef size_t xa_option_bytes;
typedef int64_t xa_option_ms;
typedef uint32_t xa_option_choice;
typedef int xa_option_signal;
typedef char xa_option_text[XA_OPTION_TEXT_MAX + 1];

enum xa_option_type {
    XA_OPTION_TYPE_flag,
    XA_OPTION_TYPE_count,
    XA_OPTION_TYPE_bytes,
    XA_OPTION_TYPE_ms,
    XA_OPTION_TYPE_choice,
    XA_OPTION_TYPE_signal,
    XA_OPTION_TYPE_text,
};

/* What the manual promises of an option. */
enum xa_option_stability {
    XA_OPTION_STABLE,
    XA_OPTION_EXPERIMENTAL,
    XA_OPTION_DEBUG,
};

/* The values of the choices. */
enum {
#define OPTION(type, field, name, initial, min, max, stability, help)
#define CHOICE(field, constant, value, name) constant = (value),
#include "config/options.def"
#undef CHOICE
#undef OPTION
};

struct xa_options {
#define OPTION(type, field, name, initial, min, max, stability, help) xa_option_##type field;
#define CHOICE(field, constant, value, name)
#include "config/options.def"
#undef CHOICE
#undef OPTION
    /* Bound on the number of arenas from MALLOC_ARENA_MAX, whatever `narenas` says; 0: none. */
    uint32_t arena_cap;
};

/* [c] after start-up: the values in force. */
extern struct xa_options xa_options;

/* The values that hold when nothing is set. */
extern const struct xa_options xa_options_defaults;

/* One option of the list; without pointers, which the loader would have to change in each process. */
struct xa_option_row {
    char name[XA_OPTION_NAME_MAX + 1]; /* as users write it */
    uint16_t offset;                   /* of the field in struct xa_options */
    uint8_t type;                      /* enum xa_option_type */
    uint8_t stability;                 /* enum xa_option_stability */
    int64_t min;                       /* least value, or length of a text */
    int64_t max;
};

extern const struct xa_option_row xa_options_rows[];
extern const size_t xa_options_row_count;

/* Receives one complaint without a line end, valid during the call. */
typedef void xa_options_report(void *context, const char *line);

/* Make every option, and the cap on arenas, what it is when nothing is set. */
void xa_options_set_defaults(struct xa_options *options);

/*
 * Read settings "name:value" that are separated by commas or line ends.  Blanks
 * around names and values do not count; '#' after a blank or at the beginning of a
 * setting makes a comment of the rest of the line.  The last setting of an option
 * counts.
 *
 *   text         NULL is no settings
 *   source_name  where the text is from, for the complaints
 *   report       called for each wrong setting; NULL for silence
 *   returns      true if nothing was wrong
 */
bool xa_options_parse(struct xa_options *options, const char *text, const char *source_name,
    xa_options_report *report, void *context);

/*
 * Take over the value of glibc's variable MALLOC_ARENA_MAX as a cap on arenas; 0,
 * "" and NULL are none.  False, after a report, if it is not a number.
 */
bool xa_options_apply_arena_max(
    struct xa_options *options, const char *value, xa_options_report *report, void *context);

/* True if these can be memory limits together: the soft one, if both are set, is not above the hard one. */
bool xa_options_are_limits_possible(size_t soft, size_t hard);

/*
 * After all sources have been read: settings that contradict each other are reported,
 * and those that cannot hold get their defaults back.  True if there were none.
 */
bool xa_options_settle(struct xa_options *options, xa_options_report *report, void *context);

/* The option of this name, or NULL. */
const struct xa_option_row *xa_options_find(const char *name, size_t length);

/* Give one option the value that `chars` spell; false, and no change, if it takes none such. */
XA_MUST_USE bool xa_options_set(
    struct xa_options *options, const struct xa_option_row *row, const char *chars, size_t length);

/* The value of an option that is no text; and of one that is a text or a choice, else NULL. */
int64_t xa_options_number(const struct xa_options *options, const struct xa_option_row *row);
const char *xa_options_text(const struct xa_options *options, const struct xa_option_row *row);

/* The value in the form in which it can be set. */
void xa_options_put_value(
    const struct xa_options *options, const struct xa_option_row *row, struct xa_text *text);

/* The values that can be set: "0..256", "true or false", "free, alloc or abort". */
void xa_options_put_range(const struct xa_option_row *row, struct xa_text *text);

#endif
