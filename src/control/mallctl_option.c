/*
 * mallctl_option.c - controls that never change: options as they were read, and constants.
 *
 * An option's control has the option's name behind "opt." or "xalloc.opt.", so the table of
 * options says all there is to know.
 */
#include <errno.h>

#include "base/text.h"
#include "config/options.h"
#include "control/mallctl.h"

/* The last word of a row's name. */
static const char *
last_word(unsigned row)
{
    const char *name = xa_controls_name(row), *word = name;
    for (; *name != '\0'; name++)
        if (*name == '.')
            word = name + 1;
    return word;
}

int
xa_mallctl_option(struct xa_mallctl_call *call)
{
    const char *name = last_word(call->row);
    const struct xa_option_row *option = xa_options_find(name, xa_text_string_length(name));
    if (option == NULL)
        return ENOENT;
    const char *text = xa_options_text(&xa_options, option);
    call->old = text != NULL ? xa_mallctl_pointer(text)
                             : (xa_mallctl_value)xa_options_number(&xa_options, option);
    return 0;
}

static const char *
constant_text(int value)
{
    switch ((enum xa_controls_text)value) {
    case XA_CONTROL_TEXT_NULL: return NULL;
    case XA_CONTROL_TEXT_EMPTY: return "";
    case XA_CONTROL_TEXT_DISABLED: return "disabled";
    case XA_CONTROL_TEXT_DEFAULT: return "default";
    case XA_CONTROL_TEXT_NONE: return "none";
    }
    return NULL;
}

int
xa_mallctl_constant(struct xa_mallctl_call *call)
{
    const struct xa_controls_row *row = &xa_controls_rows[call->row];
    if (row->type == XA_CONTROL_TYPE_text)
        call->old = xa_mallctl_pointer(constant_text(row->value));
    else
        call->old = (xa_mallctl_value)(int64_t)row->value;
    return 0;
}
