/*
 * smaps.c - see smaps.h.
 *
 * /proc/self/smaps has a heading for each mapping, which begins with its addresses in
 * hexadecimal digits, and lines such as "AnonHugePages:      2048 kB".  Names of lines
 * begin with a capital letter.  The text may be megabytes long: it is read in pieces, of
 * which no line is kept but the beginning of the current one.
 * Source: Linux Documentation/filesystems/proc.rst.
 */
#include "os/smaps.h"

#include "base/text.h"
#include "os/os.h"

enum {
    PIECE_BYTES = 1024,
    LINE_BYTES = 64, /* of a line's beginning */
};

struct scan {
    uintptr_t low;
    uintptr_t high;
    size_t total;
    size_t length; /* of `line` */
    char line[LINE_BYTES];
    bool is_inside; /* the mapping is between low and high */
};

static unsigned
digit_of(char c)
{
    return c >= '0' && c <= '9' ? (unsigned)(c - '0')
        : c >= 'a' && c <= 'f'  ? (unsigned)(c - 'a') + 10
                                : 16;
}

static void
end_line(struct scan *scan)
{
    static const char label[] = "AnonHugePages:";
    const size_t label_length = sizeof label - 1;
    size_t value = 0, i = 0;
    for (; i < scan->length && digit_of(scan->line[i]) < 16; i++)
        value = value * 16 + digit_of(scan->line[i]);
    if (i > 0 && i < scan->length && scan->line[i] == '-') {
        scan->is_inside = value >= scan->low && value < scan->high;
    } else if (scan->is_inside && scan->length > label_length &&
        xa_text_equals(scan->line, label_length, label)) {
        value = 0;
        for (i = label_length; i < scan->length; i++)
            if (digit_of(scan->line[i]) < 10)
                value = value * 10 + digit_of(scan->line[i]);
        scan->total += value * 1024;
    }
    scan->length = 0;
}

static void
take(void *context, const char *text, size_t bytes)
{
    struct scan *scan = context;
    for (size_t i = 0; i < bytes; i++) {
        if (text[i] == '\n')
            end_line(scan);
        else if (scan->length < LINE_BYTES)
            scan->line[scan->length++] = text[i];
    }
}

size_t
xa_smaps_huge_page_bytes(uintptr_t low, uintptr_t high)
{
    char piece[PIECE_BYTES];
    struct scan scan = {.low = low, .high = high};
    if (!xa_os_read_pieces("/proc/self/smaps", piece, sizeof piece, take, &scan))
        return 0;
    return scan.total;
}
