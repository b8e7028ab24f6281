/*
 * message.c - see message.h.
 */
#include "os/message.h"

#include "base/text.h"
#include "os/call_stack.h"
#include "os/os.h"

enum { LINE_BYTES = 512 };

XA_EXPORT XA_WEAK void (*malloc_message)(void *context, const char *text) = NULL;

/* In pieces that end in NUL, for a program that wants to have them. */
static void
write_to_program(const char *text, size_t bytes)
{
    char buffer[LINE_BYTES];
    while (bytes > 0) {
        struct xa_text piece;
        size_t length = bytes < LINE_BYTES - 1 ? bytes : LINE_BYTES - 1;
        xa_text_init(&piece, buffer, sizeof buffer);
        xa_text_put_chars(&piece, text, length);
        malloc_message(NULL, buffer);
        text += length;
        bytes -= length;
    }
}

void
xa_message_write(const char *text, size_t bytes)
{
    if (malloc_message != NULL)
        write_to_program(text, bytes);
    else
        xa_os_write_error(text, bytes);
}

/* Begin a line in a buffer of LINE_BYTES; its end is kept room for, however long the text. */
static void
begin_line(struct xa_text *line, char *buffer)
{
    xa_text_init(line, buffer, LINE_BYTES - 1);
    xa_text_put_string(line, "xalloc: ");
}

static void
end_line(const struct xa_text *line, char *buffer)
{
    size_t length = xa_text_length(line);
    buffer[length] = '\n';
    xa_message_write(buffer, length + 1);
}

void
xa_message_pointer(const char *call, const void *pointer, const char *what)
{
    char buffer[LINE_BYTES];
    struct xa_text line;
    begin_line(&line, buffer);
    if (call != NULL) {
        xa_text_put_string(&line, call);
        xa_text_put_char(&line, '(');
        xa_text_put_pointer(&line, pointer);
        xa_text_put_string(&line, "): ");
    }
    xa_text_put_string(&line, what);
    end_line(&line, buffer);
}

void
xa_message_stack(const char *heading, const uintptr_t *frames, unsigned count)
{
    char buffer[LINE_BYTES];
    struct xa_text line;
    begin_line(&line, buffer);
    xa_text_put_string(&line, "  ");
    xa_text_put_string(&line, heading);
    xa_text_put_string(&line, count == 0 ? ": not known" : ":");
    end_line(&line, buffer);
    for (unsigned i = 0; i < count; i++) {
        begin_line(&line, buffer);
        xa_text_put_string(&line, "    ");
        xa_text_put_hex(&line, frames[i]);
        xa_text_put_char(&line, ' ');
        xa_call_stack_put_place(frames[i], &line);
        end_line(&line, buffer);
    }
}

void
xa_message_fatal(const char *call, const void *pointer, const char *what)
{
    xa_message_pointer(call, pointer, what);
    xa_os_abort();
}

void
xa_message_assert(const char *expression, const char *file, int line)
{
    char buffer[LINE_BYTES];
    struct xa_text text;
    xa_text_init(&text, buffer, sizeof buffer);
    xa_text_put_string(&text, "internal check failed: ");
    xa_text_put_string(&text, expression);
    xa_text_put_string(&text, " at ");
    xa_text_put_string(&text, file);
    xa_text_put_char(&text, ':');
    xa_text_put_signed(&text, line);
    xa_text_put_string(&text, ". This is a defect of xalloc: please report it.");
    xa_message_fatal(NULL, NULL, buffer);
}
