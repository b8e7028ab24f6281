/*
 * message.c - see message.h.
 */
#include "os/message.h"

#include "base/text.h"
#include "os/os.h"

enum { LINE_BYTES = 512 };

void
xa_message_write(const char *text, size_t bytes)
{
    xa_os_write_error(text, bytes);
}

void
xa_message_pointer(const char *call, const void *pointer, const char *what)
{
    char buffer[LINE_BYTES];
    struct xa_text line;
    /* One byte is kept for the end of the line, however long the text. */
    xa_text_init(&line, buffer, sizeof buffer - 1);
    xa_text_put_string(&line, "xalloc: ");
    if (call != NULL) {
        xa_text_put_string(&line, call);
        xa_text_put_char(&line, '(');
        xa_text_put_pointer(&line, pointer);
        xa_text_put_string(&line, "): ");
    }
    xa_text_put_string(&line, what);
    size_t length = xa_text_length(&line);
    buffer[length] = '\n';
    xa_message_write(buffer, length + 1);
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
