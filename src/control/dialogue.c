/*
 * dialogue.c - see dialogue.h.
 *
 * A request is done by mallctl, in the thread that answers, so it may ask for and do what the
 * program itself may, except what would not mean there what it means to the program, or would
 * take the ground from under it:
 *
 *   thread.*, tcache.*         are the calling thread's
 *   arenas.create and others,  make something, or take structures, that only a caller can use
 *   experimental.*
 *   arena.<i>.reset, .destroy  free what the program still has
 *   pointers                   are the program's own
 *
 * Locking: none here.
 */
#include "control/dialogue.h"

#include <errno.h>

#include "arena/private_arena.h"
#include "control/mallctl.h"
#include "control/report.h"

enum { PIECE_BYTES = 2048, LINE_ROOM = 160 };

/* A request: the words behind its first. */
struct request {
    char name[XA_DIALOGUE_LINE_MAX + 1];
    char value[XA_DIALOGUE_LINE_MAX + 1];
    bool has_value;
    struct xa_text *problem;
    xa_message_writer *writer;
    void *context;
};

union form {
    bool flag;
    unsigned number;
    uint32_t word;
    uint64_t value;
    int64_t difference;
    size_t size;
    ptrdiff_t signed_size;
    const char *text;
};

static int
refuse(const struct request *request, int error, const char *why)
{
    if (request->name[0] != '\0') {
        size_t length = xa_text_string_length(request->name);
        xa_text_put_quoted(request->problem, request->name, length, LINE_ROOM / 2);
        xa_text_put_string(request->problem, ": ");
    }
    xa_text_put_string(request->problem, why);
    return error;
}

static bool
begins_with(const char *name, const char *words)
{
    return xa_text_string_length(name) > xa_text_string_length(words) &&
        xa_text_equals(name, xa_text_string_length(words), words);
}

/* True if the row is for others than the program. */
static bool
is_for_others(unsigned row)
{
    const struct xa_controls_row *control = &xa_controls_rows[row];
    const char *name = xa_controls_name(row);
    return control->answer != XA_CONTROL_ANSWER_absent &&
        control->type != XA_CONTROL_TYPE_pointer && control->access != XA_CONTROL_ACCESS_c &&
        control->access != XA_CONTROL_ACCESS_x && row != XA_CONTROL_arena_i_reset &&
        row != XA_CONTROL_arena_i_destroy && !begins_with(name, "thread.") &&
        !begins_with(name, "tcache.");
}

/* ---- Values ---- */

static void
put_value(struct xa_text *text, unsigned row, const union form *form)
{
    switch (xa_controls_rows[row].type) {
    case XA_CONTROL_TYPE_flag: xa_text_put_string(text, form->flag ? "true" : "false"); break;
    case XA_CONTROL_TYPE_uint: xa_text_put_unsigned(text, form->number); break;
    case XA_CONTROL_TYPE_u32: xa_text_put_unsigned(text, form->word); break;
    case XA_CONTROL_TYPE_u64: xa_text_put_unsigned(text, form->value); break;
    case XA_CONTROL_TYPE_i64: xa_text_put_signed(text, form->difference); break;
    case XA_CONTROL_TYPE_ssize: xa_text_put_signed(text, form->signed_size); break;
    case XA_CONTROL_TYPE_text:
        xa_text_put_string(text, form->text != NULL ? form->text : "");
        break;
    default: xa_text_put_unsigned(text, form->size); break;
    }
}

/* The value in the form of the row's type; false if it has another. */
static bool
parse(const char *chars, unsigned row, union form *form)
{
    size_t length = xa_text_string_length(chars);
    int64_t value = 0;
    enum xa_controls_type type = xa_controls_rows[row].type;
    if (type == XA_CONTROL_TYPE_text) {
        form->text = chars;
        return true;
    }
    if (type == XA_CONTROL_TYPE_flag)
        return xa_text_parse_flag(chars, length, &form->flag);
    bool is_signed = type == XA_CONTROL_TYPE_i64 || type == XA_CONTROL_TYPE_ssize;
    if (!xa_text_parse_signed(chars, length, &value) &&
        !(type == XA_CONTROL_TYPE_size && xa_text_parse_bytes(chars, length, &value)))
        return false;
    if (value < 0 && !is_signed)
        return false;
    switch (type) {
    case XA_CONTROL_TYPE_uint:
    case XA_CONTROL_TYPE_u32: form->word = (uint32_t)value; return value <= UINT32_MAX;
    case XA_CONTROL_TYPE_u64:
    case XA_CONTROL_TYPE_i64: form->difference = value; return true;
    default: form->signed_size = (ptrdiff_t)value; return (int64_t)form->signed_size == value;
    }
}

static const char *
form_name(enum xa_controls_type type)
{
    switch (type) {
    case XA_CONTROL_TYPE_flag: return "bool";
    case XA_CONTROL_TYPE_uint: return "unsigned";
    case XA_CONTROL_TYPE_u32: return "u32";
    case XA_CONTROL_TYPE_u64: return "u64";
    case XA_CONTROL_TYPE_i64: return "i64";
    case XA_CONTROL_TYPE_size: return "size";
    case XA_CONTROL_TYPE_ssize: return "ssize";
    case XA_CONTROL_TYPE_text: return "string";
    default: return "none";
    }
}

static const char *
access_name(enum xa_controls_access access)
{
    switch (access) {
    case XA_CONTROL_ACCESS_r: return "r";
    case XA_CONTROL_ACCESS_w: return "w";
    case XA_CONTROL_ACCESS_rw: return "rw";
    default: return "v";
    }
}

/* ---- Requests ---- */

/* What mallctl's answer means, in words. */
static int
explain(const struct request *request, int error)
{
    switch (error) {
    case 0: return 0;
    case ENOENT: return refuse(request, error, "a number in it is out of range.");
    case EAGAIN: return refuse(request, error, "not now; try again.");
    case EFAULT: return refuse(request, error, "there is no such arena, or it cannot do that.");
    default: return refuse(request, error, "this value is not taken.");
    }
}

/* The name's row; 0 or an error. */
static int
find(const struct request *request, unsigned *row)
{
    struct xa_controls_place place;
    if (!xa_controls_find(request->name, &place) || !xa_controls_is_leaf(&place))
        return refuse(request, ENOENT, "no such control; \"list\" gives their names.");
    if (!is_for_others(place.row))
        return refuse(request, EPERM, "only the program itself can use this.");
    *row = place.row;
    return 0;
}

static int
get(const struct request *request)
{
    char kept_name[XA_PRIVATE_ARENA_NAME_BYTES] = "", line[XA_DIALOGUE_LINE_MAX + 1];
    union form form = {.value = 0};
    struct xa_text text;
    unsigned row;
    int error = find(request, &row);
    if (error != 0)
        return error;
    if (xa_controls_rows[row].access == XA_CONTROL_ACCESS_v)
        return refuse(request, EPERM, "it has no value; \"set\" without a value does it.");
    if (xa_controls_rows[row].access == XA_CONTROL_ACCESS_w)
        return refuse(request, EPERM, "it can only be set.");
    /* The one text that is copied and not pointed at. */
    if (row == XA_CONTROL_arena_i_name)
        form.text = kept_name;
    size_t bytes = xa_controls_bytes(row);
    error = xa_mallctl(request->name, &form, &bytes, NULL, 0);
    if (error != 0)
        return explain(request, error);
    xa_text_init(&text, line, sizeof line);
    put_value(&text, row, &form);
    /* The end of the line always fits. */
    if (xa_text_is_full(&text))
        text.next--;
    xa_text_put_char(&text, '\n');
    request->writer(request->context, line, xa_text_length(&text));
    return 0;
}

static int
set(const struct request *request)
{
    union form form = {.value = 0};
    unsigned row;
    int error = find(request, &row);
    if (error != 0)
        return error;
    switch ((enum xa_controls_access)xa_controls_rows[row].access) {
    case XA_CONTROL_ACCESS_r: return refuse(request, EPERM, "it can only be read.");
    case XA_CONTROL_ACCESS_v:
        if (request->has_value)
            return refuse(request, EINVAL, "it takes no value.");
        return explain(request, xa_mallctl(request->name, NULL, NULL, NULL, 0));
    default: break;
    }
    if (!request->has_value)
        return refuse(request, EINVAL, "it needs a value.");
    if (!parse(request->value, row, &form)) {
        refuse(request, EINVAL, "the value is to be of the type ");
        xa_text_put_string(request->problem, form_name(xa_controls_rows[row].type));
        return EINVAL;
    }
    size_t bytes = xa_controls_bytes(row);
    return explain(request, xa_mallctl(request->name, NULL, NULL, &form, bytes));
}

static int
list(const struct request *request)
{
    char piece[PIECE_BYTES];
    struct xa_text text;
    xa_text_init(&text, piece, sizeof piece);
    for (unsigned row = 0; row < XA_CONTROLS; row++) {
        if (!is_for_others(row))
            continue;
        xa_text_put_string(&text, xa_controls_name(row));
        xa_text_put_char(&text, ' ');
        xa_text_put_string(&text, form_name(xa_controls_rows[row].type));
        xa_text_put_char(&text, ' ');
        xa_text_put_string(&text, access_name(xa_controls_rows[row].access));
        xa_text_put_char(&text, '\n');
        if (xa_text_length(&text) < sizeof piece - LINE_ROOM)
            continue;
        request->writer(request->context, piece, xa_text_length(&text));
        xa_text_clear(&text);
    }
    if (xa_text_length(&text) > 0)
        request->writer(request->context, piece, xa_text_length(&text));
    return 0;
}

static int
report(const struct request *request)
{
    struct xa_report_wish wish = xa_report_parse(request->name);
    if (!xa_report_write(" on request", &wish, request->writer, request->context))
        return refuse(request, EAGAIN, "as many reports as can be are being written; try again.");
    return 0;
}

/* ---- Lines ---- */

/* The next word of the line, moved to `word`; false if there is none. */
static bool
take_word(const char **line, const char *end, char *word)
{
    while (*line < end && **line == ' ')
        (*line)++;
    bool is_there = *line < end;
    while (*line < end && **line != ' ')
        *word++ = *(*line)++;
    *word = '\0';
    return is_there;
}

/* True if every character is one of a text. */
static bool
is_plain(const char *line, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
            return false;
    return true;
}

static int
dispatch(struct request *request, const char *verb, bool has_name)
{
    size_t length = xa_text_string_length(verb);
    if (xa_text_equals(verb, length, "list") && !has_name)
        return list(request);
    if (xa_text_equals(verb, length, "stats") && !request->has_value)
        return report(request);
    if (xa_text_equals(verb, length, "get") && has_name && !request->has_value)
        return get(request);
    if (xa_text_equals(verb, length, "set") && has_name)
        return set(request);
    if (xa_text_equals(verb, length, "purge") && !has_name)
        return explain(request, xa_mallctl("xalloc.trim", NULL, NULL, NULL, 0));
    request->name[0] = '\0';
    return refuse(request, EINVAL, "no such request.");
}

int
xa_dialogue_answer(const char *line, size_t length, struct xa_text *problem,
    xa_message_writer *writer, void *context)
{
    char verb[XA_DIALOGUE_LINE_MAX + 1];
    struct request request = {.problem = problem, .writer = writer, .context = context};
    const char *end = line + length;
    if (length > XA_DIALOGUE_LINE_MAX || !is_plain(line, length))
        return refuse(&request, EINVAL, "this is no request.");
    (void)take_word(&line, end, verb);
    bool has_name = take_word(&line, end, request.name);
    while (line < end && *line == ' ')
        line++;
    /* The rest of the line, blanks included. */
    request.has_value = line < end;
    for (size_t i = 0; line < end; i++)
        request.value[i] = *line++;
    return dispatch(&request, verb, has_name);
}
