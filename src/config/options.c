/*
 * options.c - the table of options and the reading of settings; see options.h.
 *
 * What depends on an option's type is a switch: loading and storing its field,
 * reading a value, writing it, and saying which values it takes.  The rest treats
 * all options alike, and every value but a text as int64_t.
 *
 * Locking: none.  Settings are read once, before there is a second thread that
 * could look; tests use structs of their own.
 */
#include "config/options.h"

#include <signal.h>

enum {
    LINE_BYTES = 640,
    QUOTED_MAX = 40,
    /* glibc keeps 32 and 33 for itself, musl also 34. */
    FIRST_FREE_SIGNAL = 35,
};

struct choice {
    char name[10];
    uint16_t offset; /* of the field it belongs to */
    uint32_t value;
};

struct signal_name {
    char name[8];
    int number;
};

/* One run of xa_options_parse(). */
struct parse {
    struct xa_options *options;
    const char *source_name;
    xa_options_report *report;
    void *context;
    bool is_clean; /* nothing wrong so far */
};

/* A piece of the text that is being read. */
struct piece {
    const char *chars;
    size_t length;
};

#define CHOICE(field, constant, value, name)
#define OPTION(type, field, name, initial, min, max, stability, help) .field = initial,
const struct xa_options xa_options_defaults = {
#include "config/options.def"
};

struct xa_options xa_options = {
#include "config/options.def"
};
#undef OPTION

#define OPTION(type, field, name, initial, min, max, stability, help)                             \
    {name, offsetof(struct xa_options, field), XA_OPTION_TYPE_##type, XA_OPTION_##stability, min, \
        max},
const struct xa_option_row xa_options_rows[] = {
#include "config/options.def"
};
#undef OPTION
#undef CHOICE

const size_t xa_options_row_count = sizeof xa_options_rows / sizeof xa_options_rows[0];

#define OPTION(type, field, name, initial, min, max, stability, help)
#define CHOICE(field, constant, value, name) {name, offsetof(struct xa_options, field), value},
static const struct choice choices[] = {
#include "config/options.def"
};
#undef CHOICE
#undef OPTION

/* Signals that a library may take over: none that reports a fault or should end the program. */
static const struct signal_name signal_names[] = {
    {"none", 0},
    {"HUP", SIGHUP},
    {"USR1", SIGUSR1},
    {"USR2", SIGUSR2},
    {"WINCH", SIGWINCH},
    {"URG", SIGURG},
    {"PROF", SIGPROF},
    {"IO", SIGIO},
};

enum {
    CHOICES = sizeof choices / sizeof choices[0],
    SIGNAL_NAMES = sizeof signal_names / sizeof signal_names[0],
};

static int64_t
load(const struct xa_options *options, const struct xa_option_row *row)
{
    const void *field = (const char *)options + row->offset;
    switch (row->type) {
    case XA_OPTION_TYPE_flag: return *(const xa_option_flag *)field;
    case XA_OPTION_TYPE_count: return *(const xa_option_count *)field;
    /* One takes -1, and none more than PTRDIFF_MAX. */
    case XA_OPTION_TYPE_bytes: return (ptrdiff_t)(*(const xa_option_bytes *)field);
    case XA_OPTION_TYPE_ms: return *(const xa_option_ms *)field;
    case XA_OPTION_TYPE_choice: return *(const xa_option_choice *)field;
    case XA_OPTION_TYPE_signal: return *(const xa_option_signal *)field;
    case XA_OPTION_TYPE_text: break;
    }
    return 0;
}

static void
store(struct xa_options *options, const struct xa_option_row *row, int64_t value)
{
    void *field = (char *)options + row->offset;
    switch (row->type) {
    case XA_OPTION_TYPE_flag: *(xa_option_flag *)field = value != 0; break;
    case XA_OPTION_TYPE_count: *(xa_option_count *)field = (xa_option_count)value; break;
    case XA_OPTION_TYPE_bytes: *(xa_option_bytes *)field = (xa_option_bytes)value; break;
    case XA_OPTION_TYPE_ms: *(xa_option_ms *)field = value; break;
    case XA_OPTION_TYPE_choice: *(xa_option_choice *)field = (xa_option_choice)value; break;
    case XA_OPTION_TYPE_signal: *(xa_option_signal *)field = (xa_option_signal)value; break;
    case XA_OPTION_TYPE_text: break;
    }
}

static const char *
text_of(const struct xa_options *options, const struct xa_option_row *row)
{
    return (const char *)options + row->offset;
}

static void
store_text(struct xa_options *options, const struct xa_option_row *row, struct piece value)
{
    struct xa_text text;
    xa_text_init(&text, (char *)options + row->offset, sizeof(xa_option_text));
    xa_text_put_chars(&text, value.chars, value.length);
}

void
xa_options_set_defaults(struct xa_options *options)
{
    for (size_t i = 0; i < xa_options_row_count; i++) {
        const struct xa_option_row *row = &xa_options_rows[i];
        const char *text = text_of(&xa_options_defaults, row);
        if (row->type == XA_OPTION_TYPE_text)
            store_text(options, row, (struct piece){text, xa_text_string_length(text)});
        else
            store(options, row, load(&xa_options_defaults, row));
    }
    options->arena_cap = xa_options_defaults.arena_cap;
}

const struct xa_option_row *
xa_options_find(const char *name, size_t length)
{
    for (size_t i = 0; i < xa_options_row_count; i++) {
        if (xa_text_equals(name, length, xa_options_rows[i].name))
            return &xa_options_rows[i];
    }
    return NULL;
}

static bool
parse_choice(const struct xa_option_row *row, struct piece text, int64_t *value)
{
    for (size_t i = 0; i < CHOICES; i++) {
        if (choices[i].offset == row->offset &&
            xa_text_equals(text.chars, text.length, choices[i].name)) {
            *value = choices[i].value;
            return true;
        }
    }
    return false;
}

static bool
parse_signal(struct piece text, int64_t *value)
{
    bool has_prefix = text.length > 3 && xa_text_equals(text.chars, 3, "SIG");
    size_t skipped = has_prefix ? 3 : 0;
    int64_t number;
    bool is_number = xa_text_parse_signed(text.chars, text.length, &number);
    for (size_t i = 0; i < SIGNAL_NAMES; i++) {
        /* "SIGnone" is nonsense. */
        bool is_name = (i > 0 || !has_prefix) &&
            xa_text_equals(text.chars + skipped, text.length - skipped, signal_names[i].name);
        if (is_name || (is_number && number == signal_names[i].number)) {
            *value = signal_names[i].number;
            return true;
        }
    }
    if (!is_number || number < FIRST_FREE_SIGNAL)
        return false;
    *value = number;
    return true;
}

static bool
parse_value(const struct xa_option_row *row, struct piece text, int64_t *value)
{
    bool flag;
    switch (row->type) {
    case XA_OPTION_TYPE_flag:
        if (!xa_text_parse_flag(text.chars, text.length, &flag))
            return false;
        *value = flag;
        return true;
    case XA_OPTION_TYPE_count: return xa_text_parse_signed(text.chars, text.length, value);
    case XA_OPTION_TYPE_bytes: return xa_text_parse_bytes(text.chars, text.length, value);
    case XA_OPTION_TYPE_ms: return xa_text_parse_duration(text.chars, text.length, value);
    case XA_OPTION_TYPE_choice: return parse_choice(row, text, value);
    case XA_OPTION_TYPE_signal: return parse_signal(text, value);
    case XA_OPTION_TYPE_text: break;
    }
    return false;
}

bool
xa_options_set(
    struct xa_options *options, const struct xa_option_row *row, const char *chars, size_t length)
{
    struct piece text = {chars, length};
    bool is_text = row->type == XA_OPTION_TYPE_text;
    int64_t value = (int64_t)length;
    if (!is_text && !parse_value(row, text, &value))
        return false;
    if (value < row->min || value > row->max)
        return false;
    if (is_text)
        store_text(options, row, text);
    else
        store(options, row, value);
    return true;
}

static const char *
choice_name(const struct xa_option_row *row, uint32_t value)
{
    for (size_t i = 0; i < CHOICES; i++) {
        if (choices[i].offset == row->offset && choices[i].value == value)
            return choices[i].name;
    }
    return "";
}

int64_t
xa_options_number(const struct xa_options *options, const struct xa_option_row *row)
{
    return load(options, row);
}

const char *
xa_options_text(const struct xa_options *options, const struct xa_option_row *row)
{
    switch (row->type) {
    case XA_OPTION_TYPE_choice: return choice_name(row, (uint32_t)load(options, row));
    case XA_OPTION_TYPE_text: return text_of(options, row);
    default: return NULL;
    }
}

static void
put_signal(int64_t number, struct xa_text *text)
{
    for (size_t i = 0; i < SIGNAL_NAMES; i++) {
        if (signal_names[i].number == number) {
            xa_text_put_string(text, signal_names[i].name);
            return;
        }
    }
    xa_text_put_signed(text, number);
}

void
xa_options_put_value(
    const struct xa_options *options, const struct xa_option_row *row, struct xa_text *text)
{
    int64_t value = load(options, row);
    switch (row->type) {
    case XA_OPTION_TYPE_flag: xa_text_put_string(text, value != 0 ? "true" : "false"); break;
    case XA_OPTION_TYPE_count:
    case XA_OPTION_TYPE_bytes:
    case XA_OPTION_TYPE_ms: xa_text_put_signed(text, value); break;
    case XA_OPTION_TYPE_choice: xa_text_put_string(text, choice_name(row, (uint32_t)value)); break;
    case XA_OPTION_TYPE_signal: put_signal(value, text); break;
    case XA_OPTION_TYPE_text: xa_text_put_string(text, text_of(options, row)); break;
    }
}

static void
put_choice_names(const struct xa_option_row *row, struct xa_text *text)
{
    const char *separator = "";
    for (size_t i = 0; i < CHOICES; i++) {
        if (choices[i].offset != row->offset)
            continue;
        xa_text_put_string(text, separator);
        xa_text_put_string(text, choices[i].name);
        separator = ", ";
    }
}

static void
put_signal_names(const struct xa_option_row *row, struct xa_text *text)
{
    for (size_t i = 0; i < SIGNAL_NAMES; i++) {
        xa_text_put_string(text, signal_names[i].name);
        xa_text_put_string(text, ", ");
    }
    xa_text_put_signed(text, FIRST_FREE_SIGNAL);
    xa_text_put_string(text, "..");
    xa_text_put_signed(text, row->max);
}

static void
put_bounds(const struct xa_option_row *row, const char *unit, struct xa_text *text)
{
    xa_text_put_signed(text, row->min);
    xa_text_put_string(text, "..");
    xa_text_put_signed(text, row->max);
    xa_text_put_string(text, unit);
}

void
xa_options_put_range(const struct xa_option_row *row, struct xa_text *text)
{
    switch (row->type) {
    case XA_OPTION_TYPE_flag: xa_text_put_string(text, "true, false"); break;
    case XA_OPTION_TYPE_count: put_bounds(row, "", text); break;
    case XA_OPTION_TYPE_bytes: put_bounds(row, " bytes", text); break;
    case XA_OPTION_TYPE_ms: put_bounds(row, " ms", text); break;
    case XA_OPTION_TYPE_choice: put_choice_names(row, text); break;
    case XA_OPTION_TYPE_signal: put_signal_names(row, text); break;
    case XA_OPTION_TYPE_text: put_bounds(row, " characters", text); break;
    }
}

static void
send(struct parse *parse, const struct xa_text *line)
{
    parse->is_clean = false;
    if (parse->report != NULL)
        parse->report(parse->context, line->start);
}

/* "xalloc: option "NAME" in SOURCE: " */
static void
begin_line(const struct parse *parse, struct piece name, struct xa_text *line)
{
    xa_text_put_string(line, "xalloc: option ");
    xa_text_put_quoted(line, name.chars, name.length, QUOTED_MAX);
    xa_text_put_string(line, " in ");
    xa_text_put_string(line, parse->source_name);
    xa_text_put_string(line, ": ");
}

static void
complain_of_form(struct parse *parse, struct piece item, const char *what)
{
    char buffer[LINE_BYTES];
    struct xa_text line;
    xa_text_init(&line, buffer, sizeof buffer);
    begin_line(parse, item, &line);
    xa_text_put_string(&line, what);
    xa_text_put_string(&line, ", ignored. Write name:value.");
    send(parse, &line);
}

/* The option that was probably meant, or NULL if none is close. */
static const struct xa_option_row *
find_nearest(struct piece name)
{
    const struct xa_option_row *nearest = NULL;
    /* Every third character may be wrong, and one more: "dirty_decay" lacks three of its own. */
    size_t bound = 2 + name.length / 3;
    for (size_t i = 0; i < xa_options_row_count; i++) {
        const char *known = xa_options_rows[i].name;
        size_t distance =
            xa_text_distance(name.chars, name.length, known, xa_text_string_length(known));
        if (distance < bound) {
            bound = distance;
            nearest = &xa_options_rows[i];
        }
    }
    return nearest;
}

static void
complain_of_name(struct parse *parse, struct piece name)
{
    char buffer[LINE_BYTES];
    struct xa_text line;
    const struct xa_option_row *nearest = find_nearest(name);
    xa_text_init(&line, buffer, sizeof buffer);
    begin_line(parse, name, &line);
    xa_text_put_string(&line, "no such option, ignored. ");
    if (nearest != NULL) {
        xa_text_put_string(&line, "Did you mean \"");
        xa_text_put_string(&line, nearest->name);
        xa_text_put_string(&line, "\"?");
    } else {
        xa_text_put_string(&line, "xalloc(3) lists the options.");
    }
    send(parse, &line);
}

static void
put_value_in_force(
    const struct xa_options *options, const struct xa_option_row *row, struct xa_text *line)
{
    const char *text = text_of(options, row);
    if (row->type == XA_OPTION_TYPE_text)
        xa_text_put_quoted(line, text, xa_text_string_length(text), QUOTED_MAX);
    else
        xa_options_put_value(options, row, line);
}

static bool
is_list_of_names(enum xa_option_type type)
{
    return type == XA_OPTION_TYPE_flag || type == XA_OPTION_TYPE_choice ||
        type == XA_OPTION_TYPE_signal;
}

static void
complain_of_value(
    struct parse *parse, struct piece name, const struct xa_option_row *row, struct piece value)
{
    char buffer[LINE_BYTES];
    struct xa_text line;
    xa_text_init(&line, buffer, sizeof buffer);
    begin_line(parse, name, &line);
    xa_text_put_quoted(&line, value.chars, value.length, QUOTED_MAX);
    xa_text_put_string(&line, is_list_of_names(row->type) ? " is not one of " : " is not in ");
    xa_options_put_range(row, &line);
    xa_text_put_string(&line, ", ignored (stays ");
    put_value_in_force(parse->options, row, &line);
    xa_text_put_string(&line, ").");
    send(parse, &line);
}

static struct piece
trim(struct piece text)
{
    while (text.length > 0 && xa_text_is_space(text.chars[0])) {
        text.chars++;
        text.length--;
    }
    while (text.length > 0 && xa_text_is_space(text.chars[text.length - 1]))
        text.length--;
    return text;
}

/* One setting, or nothing but blanks, which is no mistake: "a:1,,b:2," is fine. */
static void
parse_item(struct parse *parse, struct piece item)
{
    item = trim(item);
    if (item.length == 0)
        return;
    size_t colon = 0;
    while (colon < item.length && item.chars[colon] != ':')
        colon++;
    if (colon == item.length) {
        complain_of_form(parse, item, "no colon");
        return;
    }
    struct piece name = trim((struct piece){item.chars, colon});
    struct piece value = trim((struct piece){item.chars + colon + 1, item.length - colon - 1});
    if (name.length == 0) {
        complain_of_form(parse, item, "no name before the colon");
        return;
    }
    const struct xa_option_row *row = xa_options_find(name.chars, name.length);
    if (row == NULL)
        complain_of_name(parse, name);
    else if (!xa_options_set(parse->options, row, value.chars, value.length))
        complain_of_value(parse, name, row, value);
}

/* True if a comment begins at text[index]; paths may contain '#' inside. */
static bool
is_comment(const char *text, size_t index)
{
    return text[index] == '#' && (index == 0 || xa_text_is_space(text[index - 1]));
}

static size_t
item_length(const char *text)
{
    size_t length = 0;
    while (text[length] != '\0' && text[length] != ',' && text[length] != '\n' &&
        !is_comment(text, length))
        length++;
    return length;
}

bool
xa_options_parse(struct xa_options *options, const char *text, const char *source_name,
    xa_options_report *report, void *context)
{
    struct parse parse = {options, source_name, report, context, true};
    while (text != NULL && *text != '\0') {
        struct piece item = {text, item_length(text)};
        parse_item(&parse, item);
        text += item.length;
        if (*text == '#') {
            while (*text != '\0' && *text != '\n')
                text++;
        }
        if (*text != '\0')
            text++;
    }
    return parse.is_clean;
}

bool
xa_options_apply_arena_max(
    struct xa_options *options, const char *value, xa_options_report *report, void *context)
{
    if (value == NULL || *value == '\0')
        return true;
    char buffer[LINE_BYTES];
    struct xa_text line;
    struct piece text = trim((struct piece){value, xa_text_string_length(value)});
    int64_t cap;
    if (xa_text_parse_signed(text.chars, text.length, &cap) && cap >= 0) {
        options->arena_cap =
            cap < XA_OPTION_ARENAS_MAX ? (uint32_t)cap : (uint32_t)XA_OPTION_ARENAS_MAX;
        return true;
    }
    xa_text_init(&line, buffer, sizeof buffer);
    xa_text_put_string(&line, "xalloc: MALLOC_ARENA_MAX: ");
    xa_text_put_quoted(&line, value, xa_text_string_length(value), QUOTED_MAX);
    xa_text_put_string(&line, " is not a number of arenas, ignored.");
    if (report != NULL)
        report(context, line.start);
    return false;
}

bool
xa_options_are_limits_possible(size_t soft, size_t hard)
{
    return hard == 0 || (hard >= XA_OPTION_LIMIT_HARD_MIN && soft <= hard);
}

/*
 * The option cannot hold beside another one and gets its default back:
 * "xalloc: option "NAME": VALUE WHAT [BYTES bytes], ignored (stays DEFAULT)."
 */
static void
reject(struct parse *parse, const char *name, const char *what, size_t bytes)
{
    char buffer[LINE_BYTES];
    struct xa_text line;
    const struct xa_option_row *row = xa_options_find(name, xa_text_string_length(name));
    xa_text_init(&line, buffer, sizeof buffer);
    xa_text_put_string(&line, "xalloc: option \"");
    xa_text_put_string(&line, name);
    xa_text_put_string(&line, "\": ");
    xa_options_put_value(parse->options, row, &line);
    xa_text_put_string(&line, what);
    if (bytes != 0) {
        xa_text_put_unsigned(&line, bytes);
        xa_text_put_string(&line, " bytes");
    }
    store(parse->options, row, load(&xa_options_defaults, row));
    xa_text_put_string(&line, ", ignored (stays ");
    xa_options_put_value(parse->options, row, &line);
    xa_text_put_string(&line, ").");
    send(parse, &line);
}

bool
xa_options_settle(struct xa_options *options, xa_options_report *report, void *context)
{
    struct parse parse = {options, "", report, context, true};
    size_t soft = options->memory_limit_soft, hard = options->memory_limit_hard;
    if (!xa_options_are_limits_possible(0, hard))
        reject(&parse, "memory_limit_hard", " is less than the least limit of ",
            XA_OPTION_LIMIT_HARD_MIN);
    else if (!xa_options_are_limits_possible(soft, hard))
        reject(&parse, "memory_limit_soft", " is more than memory_limit_hard, ", hard);
    if (options->ctl_signal != 0 && options->ctl_signal == options->stats_signal)
        reject(&parse, "ctl_signal", " is the signal of stats_signal, too", 0);
    return parse.is_clean;
}
