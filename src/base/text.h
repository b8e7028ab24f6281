/*
 * text.h - writing and reading short texts without libc.
 *
 * Messages, reports and options are handled at moments when stdio must not be
 * used: before libc is ready, in a signal handler, inside malloc itself.  A
 * struct xa_text is a cursor over a buffer of the caller.  What does not fit is
 * cut off, and the buffer always holds a string that ends in NUL.
 *
 * Reading takes a pointer and a length, since an option is a piece of a longer
 * text.  Only the whole piece is ever accepted: "12x" is not a number.
 *
 * Nothing here calls another function outside this module, locks or allocates.
 */
#ifndef XA_BASE_TEXT_H
#define XA_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/annotate.h"

struct xa_text {
    char *start; /* the caller's buffer */
    char *next;  /* where the next character goes; always holds the NUL */
    char *end;   /* the last place for the NUL */
};

enum xa_text_side {
    XA_TEXT_LEFT,
    XA_TEXT_RIGHT,
};

enum {
    /* Words longer than this have no distance from others. */
    XA_TEXT_DISTANCE_MAX = 64,
};

/* Begin an empty text in `buffer`, of at least one byte. */
void xa_text_init(struct xa_text *text, char *buffer, size_t buffer_bytes);

/* Characters written so far, without the NUL. */
size_t xa_text_length(const struct xa_text *text);

/* True if nothing more fits; something may have been cut off. */
bool xa_text_is_full(const struct xa_text *text);

/* Forget what was written. */
void xa_text_clear(struct xa_text *text);

void xa_text_put_char(struct xa_text *text, char character);
void xa_text_put_chars(struct xa_text *text, const char *chars, size_t length);
void xa_text_put_string(struct xa_text *text, const char *string);

/* `count` times the same character, for rules and indentation. */
void xa_text_put_repeated(struct xa_text *text, char character, size_t count);

/*
 * At most `length_max` characters in double quotes, with "..." for the rest, and
 * '?' in place of whatever could upset a terminal or break the line.
 */
void xa_text_put_quoted(struct xa_text *text, const char *chars, size_t length, size_t length_max);

/* Decimal digits, without separators. */
void xa_text_put_unsigned(struct xa_text *text, uint64_t value);
void xa_text_put_signed(struct xa_text *text, int64_t value);

/* "0x" and lower-case digits without leading zeros. */
void xa_text_put_hex(struct xa_text *text, uint64_t value);
void xa_text_put_pointer(struct xa_text *text, const void *pointer);

/* "512 B", "12.3 MiB": rounded to a tenth of the largest unit that gives at least 1.0. */
void xa_text_put_size(struct xa_text *text, uint64_t bytes);

/* 123 gives "12.3 %". */
void xa_text_put_percent(struct xa_text *text, uint64_t permille);

/* "850 ms", "12.3 s", "4.5 min", "3.2 h", "12.0 d": rounded like a size. */
void xa_text_put_duration(struct xa_text *text, uint64_t milliseconds);

/*
 * Make what was written since xa_text_length() was `from` at least `width` wide:
 * spaces go after it if it is to stand on the left side of its column, before it
 * if on the right.  Wider texts stay as they are.
 */
void xa_text_pad(struct xa_text *text, size_t from, size_t width, enum xa_text_side side);

/* A string in a column of its own. */
void xa_text_put_padded(
    struct xa_text *text, const char *string, size_t width, enum xa_text_side side);

/* Length of a string, up to its NUL. */
size_t xa_text_string_length(const char *string);

/* True if the `length` characters are exactly `string`. */
bool xa_text_equals(const char *chars, size_t length, const char *string);

/* True for a blank, a tab, and the line ends that editors leave. */
bool xa_text_is_space(char character);

/*
 * Each of the following sets *value and returns true if the whole text is of its
 * form and the result can be represented; otherwise *value stays as it was.
 */

/* Decimal digits, after '-' if negative. */
XA_MUST_USE bool xa_text_parse_signed(const char *chars, size_t length, int64_t *value);

/*
 * A number, then possibly K, M, G or T (powers of 1024), also in lower case and as
 * Ki or KiB and so on.
 */
XA_MUST_USE bool xa_text_parse_bytes(const char *chars, size_t length, int64_t *value);

/* A number, then possibly ms, s, min (or m), h; without a unit it is milliseconds. */
XA_MUST_USE bool xa_text_parse_duration(const char *chars, size_t length, int64_t *milliseconds);

/* "true" or "false". */
XA_MUST_USE bool xa_text_parse_flag(const char *chars, size_t length, bool *value);

/*
 * How many characters must be inserted, removed or replaced to make one word of
 * the other (Levenshtein); SIZE_MAX if one is longer than XA_TEXT_DISTANCE_MAX.
 */
size_t xa_text_distance(const char *a, size_t a_length, const char *b, size_t b_length);

#endif
