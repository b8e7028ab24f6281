/*
 * text.c - writing and reading short texts without libc; see text.h.
 *
 * Compilers know the loops that copy, fill or measure memory and put calls of
 * memcpy, memset and strlen in their place.  Those calls may not work yet when
 * malloc is called for the first time (the loader has not got round to them), so
 * every such loop passes its character through opaque().
 */
#include "base/text.h"

enum {
    SECOND_MS = 1000,
    MINUTE_MS = 60 * SECOND_MS,
    HOUR_MS = 60 * MINUTE_MS,
    DAY_MS = 24 * HOUR_MS,
};

/* Names and not pointers to them, here and in other tables: the loader would have to write those. */
struct unit {
    char name[8];
    uint64_t factor; /* in units of the smallest */
};

static const struct unit size_units[] = {
    {" B", 1},
    {" KiB", UINT64_C(1) << 10},
    {" MiB", UINT64_C(1) << 20},
    {" GiB", UINT64_C(1) << 30},
    {" TiB", UINT64_C(1) << 40},
    {" PiB", UINT64_C(1) << 50},
    {" EiB", UINT64_C(1) << 60},
};

static const struct unit duration_units[] = {
    {" ms", 1},
    {" s", SECOND_MS},
    {" min", MINUTE_MS},
    {" h", HOUR_MS},
    {" d", DAY_MS},
};

static const struct unit byte_suffixes[] = {
    {"", 1},
    {"K", UINT64_C(1) << 10},
    {"M", UINT64_C(1) << 20},
    {"G", UINT64_C(1) << 30},
    {"T", UINT64_C(1) << 40},
};

static const struct unit duration_suffixes[] = {
    {"", 1},
    {"ms", 1},
    {"s", SECOND_MS},
    {"m", MINUTE_MS},
    {"min", MINUTE_MS},
    {"h", HOUR_MS},
};

enum {
    SIZE_UNITS = sizeof size_units / sizeof size_units[0],
    DURATION_UNITS = sizeof duration_units / sizeof duration_units[0],
    BYTE_SUFFIXES = sizeof byte_suffixes / sizeof byte_suffixes[0],
    DURATION_SUFFIXES = sizeof duration_suffixes / sizeof duration_suffixes[0],
    DIGITS_MAX = 20,
};

/* The same character, but the compiler cannot know that, nor ask only once in a loop. */
static inline char
opaque(char character)
{
    __asm__ volatile("" : "+r"(character));
    return character;
}

void
xa_text_init(struct xa_text *text, char *buffer, size_t buffer_bytes)
{
    text->start = buffer;
    text->next = buffer;
    text->end = buffer + buffer_bytes - 1;
    *buffer = '\0';
}

size_t
xa_text_length(const struct xa_text *text)
{
    return (size_t)(text->next - text->start);
}

bool
xa_text_is_full(const struct xa_text *text)
{
    return text->next == text->end;
}

void
xa_text_clear(struct xa_text *text)
{
    text->next = text->start;
    *text->next = '\0';
}

void
xa_text_put_chars(struct xa_text *text, const char *chars, size_t length)
{
    for (size_t i = 0; i < length && text->next < text->end; i++)
        *text->next++ = opaque(chars[i]);
    *text->next = '\0';
}

void
xa_text_put_char(struct xa_text *text, char character)
{
    xa_text_put_chars(text, &character, 1);
}

void
xa_text_put_string(struct xa_text *text, const char *string)
{
    xa_text_put_chars(text, string, xa_text_string_length(string));
}

void
xa_text_put_repeated(struct xa_text *text, char character, size_t count)
{
    for (size_t i = 0; i < count && text->next < text->end; i++)
        *text->next++ = opaque(character);
    *text->next = '\0';
}

void
xa_text_put_quoted(struct xa_text *text, const char *chars, size_t length, size_t length_max)
{
    bool is_cut = length > length_max;
    size_t shown = is_cut ? length_max : length;
    xa_text_put_char(text, '"');
    for (size_t i = 0; i < shown; i++)
        xa_text_put_char(text, chars[i] >= ' ' && chars[i] <= '~' ? chars[i] : '?');
    if (is_cut)
        xa_text_put_string(text, "...");
    xa_text_put_char(text, '"');
}

static void
put_in_base(struct xa_text *text, uint64_t value, unsigned base)
{
    char digits[DIGITS_MAX];
    size_t first = DIGITS_MAX;
    do {
        digits[--first] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value != 0);
    xa_text_put_chars(text, digits + first, DIGITS_MAX - first);
}

void
xa_text_put_unsigned(struct xa_text *text, uint64_t value)
{
    put_in_base(text, value, 10);
}

void
xa_text_put_signed(struct xa_text *text, int64_t value)
{
    if (value < 0)
        xa_text_put_char(text, '-');
    /* Negated as unsigned, since INT64_MIN has no positive counterpart. */
    put_in_base(text, value < 0 ? -(uint64_t)value : (uint64_t)value, 10);
}

void
xa_text_put_hex(struct xa_text *text, uint64_t value)
{
    xa_text_put_string(text, "0x");
    put_in_base(text, value, 16);
}

void
xa_text_put_pointer(struct xa_text *text, const void *pointer)
{
    xa_text_put_hex(text, (uintptr_t)pointer);
}

static void
put_tenths(struct xa_text *text, uint64_t whole, unsigned tenths)
{
    xa_text_put_unsigned(text, whole);
    xa_text_put_char(text, '.');
    xa_text_put_unsigned(text, tenths);
}

/* `value` in the largest of `units` that gives at least 1.0 after rounding. */
static void
put_scaled(struct xa_text *text, uint64_t value, const struct unit *units, size_t count)
{
    size_t index = count - 1;
    /* The next lower unit, rounded to a tenth, reaches this one from half a tenth below it. */
    while (index > 0 && value < units[index].factor - units[index - 1].factor / 20)
        index--;
    uint64_t factor = units[index].factor;
    if (index == 0) {
        xa_text_put_unsigned(text, value);
    } else {
        /* The rest is below 2^60, so ten times it does not overflow. */
        uint64_t tenths = ((value % factor) * 10 + factor / 2) / factor;
        put_tenths(text, value / factor + tenths / 10, (unsigned)(tenths % 10));
    }
    xa_text_put_string(text, units[index].name);
}

void
xa_text_put_size(struct xa_text *text, uint64_t bytes)
{
    put_scaled(text, bytes, size_units, SIZE_UNITS);
}

void
xa_text_put_percent(struct xa_text *text, uint64_t permille)
{
    put_tenths(text, permille / 10, (unsigned)(permille % 10));
    xa_text_put_string(text, " %");
}

void
xa_text_put_duration(struct xa_text *text, uint64_t milliseconds)
{
    put_scaled(text, milliseconds, duration_units, DURATION_UNITS);
}

void
xa_text_pad(struct xa_text *text, size_t from, size_t width, enum xa_text_side side)
{
    size_t length = xa_text_length(text) - from;
    if (length >= width)
        return;
    size_t padding = width - length;
    xa_text_put_repeated(text, ' ', padding);
    if (side == XA_TEXT_LEFT)
        return;
    /* Less may have fitted than was asked for; move only by what did. */
    padding = xa_text_length(text) - from - length;
    char *column = text->start + from;
    for (size_t i = length; i-- > 0;)
        column[i + padding] = opaque(column[i]);
    for (size_t i = 0; i < padding; i++)
        column[i] = opaque(' ');
}

void
xa_text_put_padded(struct xa_text *text, const char *string, size_t width, enum xa_text_side side)
{
    size_t from = xa_text_length(text);
    xa_text_put_string(text, string);
    xa_text_pad(text, from, width, side);
}

size_t
xa_text_string_length(const char *string)
{
    size_t length = 0;
    while (opaque(string[length]) != '\0')
        length++;
    return length;
}

bool
xa_text_equals(const char *chars, size_t length, const char *string)
{
    for (size_t i = 0; i < length; i++) {
        /* A NUL among `chars` is no match either: the string ends before it. */
        if (string[i] == '\0' || opaque(chars[i]) != string[i])
            return false;
    }
    return string[length] == '\0';
}

bool
xa_text_is_space(char character)
{
    return character == ' ' || (character >= '\t' && character <= '\r');
}

static bool
is_digit(char character)
{
    return character >= '0' && character <= '9';
}

/* How many of the characters belong to a number at their start. */
static size_t
number_length(const char *chars, size_t length)
{
    size_t count = length > 0 && chars[0] == '-' ? 1 : 0;
    while (count < length && is_digit(chars[count]))
        count++;
    return count;
}

bool
xa_text_parse_signed(const char *chars, size_t length, int64_t *value)
{
    bool is_negative = length > 0 && chars[0] == '-';
    size_t first = is_negative ? 1 : 0;
    if (first == length)
        return false;
    int64_t result = 0;
    for (size_t i = first; i < length; i++) {
        if (!is_digit(chars[i]))
            return false;
        int digit = chars[i] - '0';
        /* Built on the negative side, which reaches one further. */
        if (__builtin_mul_overflow(result, 10, &result) ||
            __builtin_sub_overflow(result, digit, &result))
            return false;
    }
    if (!is_negative && __builtin_sub_overflow(0, result, &result))
        return false;
    *value = result;
    return true;
}

/* The number at the start times the factor, unless that overflows. */
static bool
parse_scaled(const char *chars, size_t number, uint64_t factor, int64_t *value)
{
    int64_t result;
    if (!xa_text_parse_signed(chars, number, &result) ||
        __builtin_mul_overflow(result, (int64_t)factor, &result))
        return false;
    *value = result;
    return true;
}

static bool
is_byte_suffix(const char *chars, size_t length, const char *letter)
{
    if (letter[0] == '\0' || length == 0)
        return length == 0 && letter[0] == '\0';
    char upper = chars[0] >= 'a' && chars[0] <= 'z' ? (char)(chars[0] - 'a' + 'A') : chars[0];
    return upper == letter[0] &&
        (length == 1 || xa_text_equals(chars + 1, length - 1, "i") ||
            xa_text_equals(chars + 1, length - 1, "iB"));
}

bool
xa_text_parse_bytes(const char *chars, size_t length, int64_t *value)
{
    size_t number = number_length(chars, length);
    for (size_t i = 0; i < BYTE_SUFFIXES; i++) {
        if (is_byte_suffix(chars + number, length - number, byte_suffixes[i].name))
            return parse_scaled(chars, number, byte_suffixes[i].factor, value);
    }
    return false;
}

bool
xa_text_parse_duration(const char *chars, size_t length, int64_t *milliseconds)
{
    size_t number = number_length(chars, length);
    for (size_t i = 0; i < DURATION_SUFFIXES; i++) {
        if (xa_text_equals(chars + number, length - number, duration_suffixes[i].name))
            return parse_scaled(chars, number, duration_suffixes[i].factor, milliseconds);
    }
    return false;
}

bool
xa_text_parse_flag(const char *chars, size_t length, bool *value)
{
    if (xa_text_equals(chars, length, "true"))
        *value = true;
    else if (xa_text_equals(chars, length, "false"))
        *value = false;
    else
        return false;
    return true;
}

static size_t
least_of(size_t a, size_t b, size_t c)
{
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

size_t
xa_text_distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
    if (a_length > XA_TEXT_DISTANCE_MAX || b_length > XA_TEXT_DISTANCE_MAX)
        return SIZE_MAX;
    /* One row of the table: distances from what was seen of `a` to each start of `b`. */
    size_t row[XA_TEXT_DISTANCE_MAX + 1];
    for (size_t j = 0; j <= b_length; j++)
        row[j] = j;
    for (size_t i = 0; i < a_length; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < b_length; j++) {
            size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
            diagonal = row[j + 1];
            row[j + 1] = least_of(replaced, row[j] + 1, diagonal + 1);
        }
    }
    return row[b_length];
}
