/*
 * stats_print.c - malloc_stats_print(), as in jemalloc 5.3.
 *
 * Source: jemalloc(3).
 */
#include <errno.h>

#include "alloc/start.h"
#include "control/report.h"
#include "os/message.h"
#include "os/os.h"
#include "xalloc/jemalloc.h"

/* Other threads' reports take milliseconds; so long, at least, one waits for their end. */
enum { TRIES = 10000 };

/* What a program calls to receive the text. */
struct receiver {
    void (*write)(void *, const char *);
    void *argument;
};

static void
pass_on(void *context, const char *text, size_t bytes)
{
    const struct receiver *receiver = context;
    /* The text ends in NUL, as all of base/text.h do. */
    (void)bytes;
    receiver->write(receiver->argument, text);
}

static void
write_message(void *context, const char *text, size_t bytes)
{
    (void)context;
    xa_message_write(text, bytes);
}

XA_EXPORT void
malloc_stats_print(void (*write_cb)(void *, const char *), void *cbopaque, const char *opts)
{
    struct receiver receiver = {write_cb, cbopaque};
    struct xa_report_wish wish = xa_report_parse(opts);
    int saved = errno;
    xa_start_process();
    for (unsigned i = 0; i < TRIES; i++) {
        if (xa_report_write("", &wish, write_cb != NULL ? pass_on : write_message, &receiver))
            break;
        xa_os_yield();
    }
    errno = saved;
}
