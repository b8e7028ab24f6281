/*
 * glibc_settings.c - see glibc_settings.h.
 *
 * Sources: mallopt(3); glibc's manual, "Memory Allocation Tunables".
 */
#include "config/glibc_settings.h"

enum { VALUE_BYTES = 64 };

static const struct setting {
    char variable[24];
    char tunable[16]; /* behind "glibc.malloc." */
    char option[12];  /* none: the cap on arenas */
} settings[] = {
    {"MALLOC_ARENA_MAX", "arena_max", ""},
    {"MALLOC_TRIM_THRESHOLD_", "trim_threshold", "dirty_max"},
    {"MALLOC_PERTURB_", "perturb", "junk"},
};

static bool
complain(const char *name, const char *value, xa_options_report *report, void *context)
{
    char buffer[160];
    struct xa_text line;
    xa_text_init(&line, buffer, sizeof buffer);
    xa_text_put_string(&line, "xalloc: ");
    xa_text_put_string(&line, name);
    xa_text_put_string(&line, ": ");
    xa_text_put_quoted(&line, value, xa_text_string_length(value), VALUE_BYTES / 2);
    xa_text_put_string(&line, " is not a number in range, ignored.");
    if (report != NULL)
        report(context, line.start);
    return false;
}

static bool
apply(const struct setting *setting, const char *value, struct xa_options *options,
    xa_options_report *report, void *context)
{
    int64_t number;
    if (setting->option[0] == '\0')
        return xa_options_apply_arena_max(options, value, report, context);
    size_t length = xa_text_string_length(value);
    if (!xa_text_parse_signed(value, length, &number))
        return complain(setting->variable, value, report, context);
    const struct xa_option_row *row =
        xa_options_find(setting->option, xa_text_string_length(setting->option));
    /* glibc turns filling off with 0, and -1 as a threshold means never to trim. */
    if (row->type == XA_OPTION_TYPE_choice)
        return xa_options_set(options, row, number != 0 ? "true" : "false", number != 0 ? 4 : 5);
    if (number < 0)
        return true;
    /* Here 0 would mean "automatic". */
    if (number == 0)
        return xa_options_set(options, row, "1", 1);
    return xa_options_set(options, row, value, length) ||
        complain(setting->variable, value, report, context);
}

/* The value of glibc.malloc.NAME in the tunables, copied; NULL if it is not set. */
static const char *
find_tunable(const char *tunables, const char *name, char *value)
{
    static const char prefix[] = "glibc.malloc.";
    size_t name_length = xa_text_string_length(name), prefix_length = sizeof prefix - 1;
    while (tunables != NULL && *tunables != '\0') {
        size_t length = 0;
        while (tunables[length] != '\0' && tunables[length] != ':')
            length++;
        size_t start = prefix_length + name_length + 1;
        if (length > start && length - start < VALUE_BYTES &&
            xa_text_equals(tunables, prefix_length, prefix) &&
            xa_text_equals(tunables + prefix_length, name_length, name) &&
            tunables[start - 1] == '=') {
            for (size_t i = start; i < length; i++)
                value[i - start] = tunables[i];
            value[length - start] = '\0';
            return value;
        }
        tunables += length + (tunables[length] == ':');
    }
    return NULL;
}

bool
xa_glibc_settings_apply(struct xa_options *options, xa_glibc_settings_lookup *lookup,
    xa_options_report *report, void *context)
{
    bool all_right = true;
    const char *tunables = lookup("GLIBC_TUNABLES");
    for (unsigned i = 0; i < sizeof settings / sizeof *settings; i++) {
        char copy[VALUE_BYTES];
        const char *tunable = find_tunable(tunables, settings[i].tunable, copy);
        const char *variable = lookup(settings[i].variable);
        if (tunable != NULL)
            all_right &= apply(&settings[i], tunable, options, report, context);
        if (variable != NULL && *variable != '\0')
            all_right &= apply(&settings[i], variable, options, report, context);
    }
    return all_right;
}
