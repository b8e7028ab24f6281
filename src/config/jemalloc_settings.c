/*
 * jemalloc_settings.c - see jemalloc_settings.h.
 *
 * Deployments carry such settings in their service files, programs in a variable of their
 * own.  The form is jemalloc's: "name:value" with commas between and no blanks, numbers in
 * decimal, octal or hexadecimal.  Source: jemalloc(3), "TUNING".
 */
#include "config/jemalloc_settings.h"

enum { NUMBER_BYTES = 24, LOG_MAX = 62 };

/* Options of the same name that mean the same. */
static const char shared[][20] = {
    "abort",
    "abort_conf",
    "background_thread",
    "confirm_conf",
    "dirty_decay_ms",
    "junk",
    "muzzy_decay_ms",
    "narenas",
    "stats_print",
    "tcache",
    "tcache_max",
    "thp",
    "xmalloc",
    "zero",
    "zero_realloc",
};

struct piece {
    const char *chars;
    size_t length;
};

static bool
is_shared(struct piece name)
{
    for (size_t i = 0; i < sizeof shared / sizeof *shared; i++)
        if (xa_text_equals(name.chars, name.length, shared[i]))
            return true;
    return false;
}

/* The value of a digit in any base up to 16; 16 if it is none. */
static unsigned
digit(char character)
{
    if (character >= '0' && character <= '9')
        return (unsigned)(character - '0');
    if (character >= 'a' && character <= 'f')
        return (unsigned)(character - 'a') + 10;
    if (character >= 'A' && character <= 'F')
        return (unsigned)(character - 'A') + 10;
    return 16;
}

/* A number as in C; what is beyond 64 bits is the largest or the least one. */
static bool
parse_number(struct piece text, int64_t *number)
{
    unsigned base = 10;
    size_t i = text.length > 0 && (text.chars[0] == '-' || text.chars[0] == '+');
    int64_t sign = i == 1 && text.chars[0] == '-' ? -1 : 1, value = 0;
    if (text.length - i > 1 && text.chars[i] == '0') {
        bool is_hex = text.chars[i + 1] == 'x' || text.chars[i + 1] == 'X';
        base = is_hex ? 16 : 8;
        i += is_hex ? 2 : 1;
    }
    if (i >= text.length)
        return false;
    for (; i < text.length; i++) {
        unsigned next = digit(text.chars[i]);
        if (next >= base)
            return false;
        value = value > (INT64_MAX - 15) / 16 ? INT64_MAX / 16 * 16 : value * base + next;
    }
    *number = sign * value;
    return true;
}

static void
set_number(struct xa_options *options, const struct xa_option_row *row, int64_t number)
{
    char buffer[NUMBER_BYTES];
    struct xa_text text;
    xa_text_init(&text, buffer, sizeof buffer);
    number = number < row->min ? row->min : number > row->max ? row->max : number;
    xa_text_put_signed(&text, number);
    (void)!xa_options_set(options, row, buffer, xa_text_length(&text));
}

static bool
is_number(const struct xa_option_row *row)
{
    return row->type == XA_OPTION_TYPE_count || row->type == XA_OPTION_TYPE_bytes ||
        row->type == XA_OPTION_TYPE_ms;
}

static const struct xa_option_row *
find(const char *name)
{
    return xa_options_find(name, xa_text_string_length(name));
}

static void
apply(struct xa_options *options, struct piece name, struct piece value)
{
    int64_t number = 0;
    bool has_number = parse_number(value, &number);
    if (xa_text_equals(name.chars, name.length, "lg_tcache_max")) {
        if (has_number && number >= 0)
            set_number(
                options, find("tcache_max"), INT64_C(1) << (number < LOG_MAX ? number : LOG_MAX));
        return;
    }
    if (!is_shared(name))
        return;
    const struct xa_option_row *row = xa_options_find(name.chars, name.length);
    /* What jemalloc calls its default is as the system is set. */
    if (xa_text_equals(name.chars, name.length, "thp") &&
        xa_text_equals(value.chars, value.length, "default"))
        value = (struct piece){"auto", 4};
    if (!is_number(row))
        (void)!xa_options_set(options, row, value.chars, value.length);
    else if (has_number)
        set_number(options, row, number);
}

static size_t
length_up_to(const char *text, char end)
{
    size_t length = 0;
    while (text[length] != '\0' && text[length] != ',' && text[length] != end)
        length++;
    return length;
}

void
xa_jemalloc_settings_apply(struct xa_options *options, const char *text)
{
    while (text != NULL && *text != '\0') {
        struct piece name = {text, length_up_to(text, ':')};
        text += name.length;
        if (*text == ':') {
            struct piece value = {text + 1, length_up_to(text + 1, ',')};
            apply(options, name, value);
            text += 1 + value.length;
        }
        text += *text == ',';
    }
}
