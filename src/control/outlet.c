/*
 * outlet.c - see outlet.h.
 *
 * A process makes its file at its first report and appends the later ones.  The file must
 * not exist then, so that nobody can make the process write into another one by a link that
 * waits at the place; and a process that runs with more rights than its caller writes none.
 * No descriptor stays open.
 *
 * Locking: none.  Reports at the same moment, and in signal handlers, are written in
 * pieces between each other's; each piece is whole lines.
 */
#include "control/outlet.h"

#include "alloc/fork.h"
#include "config/options.h"
#include "os/claim.h"
#include "os/os.h"

enum { PATH_BYTES = XA_OPTION_TEXT_MAX + 64 };

struct file {
    char path[PATH_BYTES];
    bool has_failed;
};

/* [a] The process that has made its file; after a fork the child makes its own. */
static _Atomic unsigned maker;

static bool
append(const struct file *file, enum xa_os_file which, const char *text, size_t bytes)
{
    if (!xa_os_append_file(file->path, which, text, bytes))
        return false;
    if (which == XA_OS_FILE_NEW)
        atomic_store_explicit(&maker, xa_os_process_id(), memory_order_relaxed);
    return true;
}

static void
complain(const struct file *file)
{
    char buffer[PATH_BYTES + 160];
    struct xa_text line;
    xa_text_init(&line, buffer, sizeof buffer);
    xa_text_put_string(&line, "option \"stats_file\": cannot make ");
    xa_text_put_quoted(&line, file->path, xa_text_string_length(file->path), PATH_BYTES);
    xa_text_put_string(
        &line, ": statistics follow here. Name a place where the program may make a new file.");
    xa_message_pointer(NULL, NULL, buffer);
}

static void
write_to_file(void *context, const char *text, size_t bytes)
{
    struct file *file = context;
    bool is_made = atomic_load_explicit(&maker, memory_order_relaxed) == xa_os_process_id();
    if (!file->has_failed) {
        /* It may have been taken away since: then a new one is made. */
        if ((is_made && append(file, XA_OS_FILE_EXISTING, text, bytes)) ||
            append(file, XA_OS_FILE_NEW, text, bytes))
            return;
        file->has_failed = true;
        complain(file);
    }
    xa_message_write(text, bytes);
}

static void
write_message(void *context, const char *text, size_t bytes)
{
    (void)context;
    xa_message_write(text, bytes);
}

/* The option's path with the process's number for each %p, or behind it and a dot if there is none. */
static void
put_path(struct xa_text *text)
{
    bool has_number = false;
    for (const char *from = xa_options.stats_file; *from != '\0'; from++) {
        bool is_number = from[0] == '%' && from[1] == 'p';
        if (is_number) {
            xa_text_put_unsigned(text, xa_os_process_id());
            has_number = true;
            from++;
        } else {
            xa_text_put_char(text, *from);
        }
    }
    if (has_number)
        return;
    xa_text_put_char(text, '.');
    xa_text_put_unsigned(text, xa_os_process_id());
}

void
xa_outlet_report(const char *title, const char *letters)
{
    struct xa_report_wish wish = xa_report_parse(letters);
    if (xa_options.stats_file[0] == '\0' || xa_os_facts.is_secure) {
        (void)xa_report_write(title, &wish, write_message, NULL);
        return;
    }
    struct file file = {.has_failed = false};
    struct xa_text text;
    xa_text_init(&text, file.path, sizeof file.path);
    put_path(&text);
    (void)xa_report_write(title, &wish, write_to_file, &file);
}

static struct xa_claim interval_claim;

static void
reset_in_child(void)
{
    if (xa_claim_is_orphan(&interval_claim))
        xa_claim_give_up(&interval_claim);
}

void
xa_outlet_note_allocated(size_t bytes)
{
    static _Atomic uint64_t allocated;
    uint64_t interval = xa_options.stats_interval == 0 ? 1 : xa_options.stats_interval;
    uint64_t before = atomic_fetch_add_explicit(&allocated, bytes, memory_order_relaxed);
    if ((before + bytes) / interval == before / interval)
        return;
    /* A report whose writer allocates does not lead to another one. */
    xa_fork_call(reset_in_child);
    if (!xa_claim_try(&interval_claim))
        return;
    xa_outlet_report(" at an interval", xa_options.stats_interval_opts);
    xa_claim_give_up(&interval_claim);
}
