/*
 * configuration_fuzz.c - any settings, in each of the forms that are read: for libFuzzer.
 *
 * The first byte chooses XALLOC_CONF, MALLOC_CONF or glibc's variables.  Whatever the text,
 * every value is one that could have been set, and setting what is printed gives it again.
 */
#include <stdlib.h>
#include <string.h>

#include "config/glibc_settings.h"
#include "config/jemalloc_settings.h"
#include "config/options.h"

enum { TEXT_BYTES = 4096, LINE_BYTES = 640 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static char text[TEXT_BYTES];
static const char *variable;

static void
require(bool holds)
{
    if (!holds)
        abort();
}

/* Complaints are lines that no terminal minds. */
static void
report(void *context, const char *line)
{
    (void)context;
    require(strncmp(line, "xalloc: ", 8) == 0);
    require(strlen(line) < LINE_BYTES);
    for (; *line != '\0'; line++)
        require(*line >= ' ' && *line <= '~');
}

static const char *
look_up(const char *name)
{
    return strcmp(name, variable) == 0 ? text : NULL;
}

static void
check(const struct xa_options *options)
{
    for (size_t i = 0; i < xa_options_row_count; i++) {
        const struct xa_option_row *row = &xa_options_rows[i];
        static struct xa_options again;
        char value[XA_OPTION_TEXT_MAX + 1];
        struct xa_text printed;
        if (row->type == XA_OPTION_TYPE_text) {
            require(strlen(xa_options_text(options, row)) <= XA_OPTION_TEXT_MAX);
            continue;
        }
        int64_t number = xa_options_number(options, row);
        require(number >= row->min && number <= row->max);
        xa_text_init(&printed, value, sizeof value);
        xa_options_put_value(options, row, &printed);
        xa_options_set_defaults(&again);
        require(xa_options_set(&again, row, value, xa_text_length(&printed)));
        require(xa_options_number(&again, row) == number);
    }
    require(options->arena_cap <= XA_OPTION_ARENAS_MAX);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const char *const variables[] = {
        "MALLOC_ARENA_MAX", "MALLOC_TRIM_THRESHOLD_", "MALLOC_PERTURB_", "GLIBC_TUNABLES"};
    static struct xa_options options;
    if (bytes < 1 || bytes > TEXT_BYTES - 1)
        return 0;
    /* At the end of what it may read, so that one byte more is seen. */
    char *end = text + TEXT_BYTES - bytes;
    memcpy(end, data + 1, bytes - 1);
    end[bytes - 1] = '\0';
    xa_options_set_defaults(&options);
    switch (data[0] % 3) {
    case 0:
        if (xa_options_parse(&options, end, "XALLOC_CONF", report, NULL))
            (void)xa_options_settle(&options, report, NULL);
        break;
    case 1: xa_jemalloc_settings_apply(&options, end); break;
    default:
        memmove(text, end, bytes);
        variable = variables[data[0] / 3 % 4];
        (void)xa_glibc_settings_apply(&options, look_up, report, NULL);
        break;
    }
    check(&options);
    return 0;
}
