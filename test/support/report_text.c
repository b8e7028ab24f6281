/*
 * report_text.c - see report_text.h.
 */
#include "support/report_text.h"

#include "support/os_fake.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/fast_path.h"
#include "support/seed.h"

enum {
    MIB = 1 << 20,
    OBJECTS = 2000,
    TEXT_MAX = 256 * 1024,
};

char xa_report_text[TEXT_MAX];
size_t xa_report_text_length, xa_report_text_pieces;
struct xa_statistics xa_report_text_figures;

static void
keep(void *context, const char *piece, size_t bytes)
{
    assert_ptr_equal(context, &xa_report_text_length);
    assert_true(xa_report_text_length + bytes < TEXT_MAX);
    memcpy(xa_report_text + xa_report_text_length, piece, bytes);
    xa_report_text_length += bytes;
    xa_report_text[xa_report_text_length] = '\0';
    xa_report_text_pieces++;
    /* Whole lines. */
    assert_int_equal(piece[bytes - 1], '\n');
}

void
xa_report_text_write(unsigned parts)
{
    const struct xa_report_wish wish = {XA_EMITTER_TEXT, parts};
    xa_report_text_length = xa_report_text_pieces = 0;
    assert_true(xa_report_write(" for a test", &wish, keep, &xa_report_text_length));
    xa_statistics_gather(&xa_report_text_figures, XA_STATISTICS_WITH_RESIDENT);
}

void
xa_report_text_print(const char *letters)
{
    const struct xa_report_wish wish = xa_report_parse(letters);
    xa_report_text_length = xa_report_text_pieces = 0;
    assert_true(xa_report_write(" for a test", &wish, keep, &xa_report_text_length));
}

void
xa_report_text_allocate(void)
{
    static void *objects[OBJECTS];
    struct xa_seed_random numbers = xa_seed_start(xa_seed_choose(NULL), 0);
    for (int i = 0; i < OBJECTS; i++) {
        size_t bytes = xa_seed_size(&numbers, 1, i % 100 ? 60000 : 5 * MIB);
        objects[i] = xa_fast_malloc(bytes);
        assert_non_null(objects[i]);
        memset(objects[i], 1, bytes);
    }
    for (int i = 0; i < OBJECTS; i += 3)
        xa_fast_free(objects[i]);
}

const char *
xa_report_text_find_line(const char *from, const char *label)
{
    for (const char *line = from; line != NULL && *line != '\0';) {
        const char *start = line + strspn(line, " ");
        if (strncmp(start, label, strlen(label)) == 0 && start[strlen(label)] == ' ')
            return start + strlen(label);
        line = strchr(line, '\n');
        line = line == NULL ? NULL : line + 1;
    }
    return NULL;
}

size_t
xa_report_text_number_behind(const char *from, const char *label)
{
    const char *line = xa_report_text_find_line(from, label);
    if (line == NULL)
        fail_msg("no line \"%s\" in:\n%s", label, from);
    char *end;
    size_t number = strtoull(line, &end, 10);
    assert_ptr_not_equal(line, end);
    return number;
}

size_t
xa_report_text_number(const char *label)
{
    return xa_report_text_number_behind(xa_report_text, label);
}

unsigned
xa_report_text_columns(const char *line, size_t columns[XA_REPORT_TEXT_COLUMNS_MAX])
{
    unsigned count = 0;
    while (*line != '\n' && count < XA_REPORT_TEXT_COLUMNS_MAX) {
        line += strspn(line, " %");
        if (!isdigit((unsigned char)*line))
            break;
        char *end;
        columns[count++] = strtoull(line, &end, 10);
        line = end;
        if (*line == '.') {
            columns[count - 1] = columns[count - 1] * 10 + strtoull(line + 1, &end, 10);
            line = end;
        }
    }
    return count;
}

const char *
xa_report_text_next_line(const char *line)
{
    return strchr(line, '\n') + 1;
}
