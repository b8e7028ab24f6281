/*
 * report_test.c - the report as a person (and a script) reads it.
 *
 * The numbers are read back from the text: they have to be there, to add up, and to
 * be those of the statistics.
 */
#include "control/report.h"

#include "support/os_fake.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/fast_path.h"
#include "alloc/start.h"
#include "config/options.h"
#include "control/statistics.h"
#include "page/huge.h"
#include "page/window.h"
#include "support/seed.h"
#include "support/words.h"

/* As a program's own settings: what is dirty stays so until a test says otherwise. */
extern const char *xalloc_conf;
const char *xalloc_conf = "background_thread:false";

enum {
    MIB = 1 << 20,
    OBJECTS = 2000,
    TEXT_MAX = 256 * 1024,
    COLUMNS_MAX = 100,
};

static char text[TEXT_MAX];
static size_t length, pieces;
static struct xa_statistics s;
static uint64_t seed;

static void
keep(void *context, const char *piece, size_t bytes)
{
    assert_ptr_equal(context, &length);
    assert_true(length + bytes < TEXT_MAX);
    memcpy(text + length, piece, bytes);
    length += bytes;
    text[length] = '\0';
    pieces++;
    /* Whole lines. */
    assert_int_equal(piece[bytes - 1], '\n');
}

/* As text, of these parts. */
static void
write_report(unsigned parts)
{
    const struct xa_report_wish wish = {XA_EMITTER_TEXT, parts};
    length = pieces = 0;
    assert_true(xa_report_write(" for a test", &wish, keep, &length));
    xa_statistics_gather(&s, XA_STATISTICS_WITH_RESIDENT);
}

/* With these letters. */
static void
print(const char *letters)
{
    const struct xa_report_wish wish = xa_report_parse(letters);
    length = pieces = 0;
    assert_true(xa_report_write(" for a test", &wish, keep, &length));
}

static void
allocate_some(void)
{
    static void *objects[OBJECTS];
    struct xa_seed_random numbers = xa_seed_start(seed, 0);
    for (int i = 0; i < OBJECTS; i++) {
        size_t bytes = xa_seed_size(&numbers, 1, i % 100 ? 60000 : 5 * MIB);
        objects[i] = xa_fast_malloc(bytes);
        assert_non_null(objects[i]);
        memset(objects[i], 1, bytes);
    }
    for (int i = 0; i < OBJECTS; i += 3)
        xa_fast_free(objects[i]);
}

/* The line that begins with a label, behind the label; NULL if there is none. */
static const char *
find_line(const char *from, const char *label)
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

static size_t
number_behind(const char *from, const char *label)
{
    const char *line = find_line(from, label);
    if (line == NULL)
        fail_msg("no line \"%s\" in:\n%s", label, from);
    char *end;
    size_t number = strtoull(line, &end, 10);
    assert_ptr_not_equal(line, end);
    return number;
}

static size_t
number_of(const char *label)
{
    return number_behind(text, label);
}

static size_t
count_lines(const char *from, const char *to)
{
    size_t lines = 0;
    for (; from < to; from++)
        lines += *from == '\n';
    return lines;
}

static void
every_line_fits_and_holds_plain_text(void **state)
{
    (void)state;
    allocate_some();
    write_report(XA_REPORT_ALL);
    size_t column = 0;
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '\n') {
            /* No blanks at a line's end. */
            assert_true(i == 0 || text[i - 1] != ' ');
            column = 0;
            continue;
        }
        assert_true(isprint((unsigned char)text[i]));
        if (++column > COLUMNS_MAX)
            fail_msg("a line of more than %d columns ends: %.*s", COLUMNS_MAX, 40, text + i - 39);
    }
    assert_memory_equal(text, "xalloc: statistics of process 4711 for a test (xalloc ", 54);
    assert_true(pieces >= 2);
}

static void
even_the_largest_numbers_fit(void **state)
{
    (void)state;
    allocate_some();
    unsigned size_class = XA_SMALL_CLASSES;
    struct xa_bin_counters *bin = &xa_arena_at(0)->bins[size_class].counters;
    void *object = xa_fast_malloc(XA_SMALL_MAX_BYTES);
    assert_non_null(object);
    /* A year of a busy program: 2^50 allocations, a terabyte of objects. */
    atomic_fetch_add(&bin->allocations, xa_words_power(49));
    atomic_fetch_add(&bin->frees, xa_words_power(49));
    atomic_fetch_add(&bin->slabs, (size_t)1 << 22);
    atomic_fetch_add(&bin->allocations, (size_t)1 << 24);
    atomic_fetch_add(&xa_arena_at(0)->heap.counters.mapped_bytes, xa_words_power(42));
    atomic_fetch_add(&xa_arena_at(0)->heap.counters.purged_bytes, xa_words_power(55));
    write_report(XA_REPORT_ALL);
    size_t column = 0;
    for (size_t i = 0; i < length; i++) {
        column = text[i] == '\n' ? 0 : column + 1;
        assert_true(column <= COLUMNS_MAX);
    }
}

static void
the_summary_adds_up_and_is_that_of_the_statistics(void **state)
{
    (void)state;
    allocate_some();
    write_report(XA_REPORT_SUMMARY);
    assert_int_equal(number_of("allocated"), s.allocated);
    assert_int_equal(number_of("active"), s.active);
    assert_int_equal(number_of("metadata"), s.metadata);
    assert_int_equal(number_of("mapped"), s.mapped);
    assert_int_equal(number_of("retained"), s.retained);
    assert_int_equal(number_of("dirty"), s.dirty);
    assert_in_range(number_of("resident"), s.resident - 64 * 1024, s.resident);
    assert_int_equal(number_of("mapped"),
        number_of("active") + number_of("dirty") + number_of("muzzy") + number_of("retained") +
            number_of("metadata"));
    assert_int_equal(
        number_of("allocated"), number_of("small objects") + number_of("large objects"));
    assert_int_equal(number_of("active"),
        number_of("allocated") + number_of("cached") + number_of("free slots") +
            number_of("slab tails"));
    assert_true(number_of("in threads") <= number_of("cached"));
    assert_int_equal(number_of("threads"), 1);
    assert_int_equal(number_of("live objects"), s.live_objects);
    assert_null(strstr(text, "Size classes"));
    assert_null(strstr(text, "Arenas"));
}

/* The numbers of a line, a percentage as permille; how many there are. */
static unsigned
read_columns(const char *line, size_t columns[16])
{
    unsigned count = 0;
    while (*line != '\n' && count < 16) {
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

static const char *
next_line(const char *line)
{
    return strchr(line, '\n') + 1;
}

static void
the_classes_are_listed_and_add_up(void **state)
{
    (void)state;
    allocate_some();
    write_report(XA_REPORT_ALL);
    const char *line = strstr(text, "Size classes");
    assert_non_null(line);
    line = next_line(next_line(line));
    size_t live_bytes = 0, live = 0, columns[16];
    unsigned listed = 0, used = 0;
    for (; read_columns(line, columns) == 8; line = next_line(line), listed++) {
        unsigned c = xa_size_class_of(columns[0]);
        const struct xa_size_class *row = &xa_size_class_table[c];
        const struct xa_class_statistics *class = &s.classes[c];
        assert_int_equal(columns[0], row->object_bytes);
        assert_int_equal(columns[1], class->live);
        assert_int_equal(columns[2], class->live * row->object_bytes);
        assert_int_equal(columns[3], class->cached);
        assert_int_equal(columns[4], class->slabs);
        assert_int_equal(columns[5], class->live * 1000 / (class->slabs * row->slots));
        assert_int_equal(columns[6] - columns[7], class->live + class->cached);
        live += columns[1];
        live_bytes += columns[2];
    }
    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++)
        used += atomic_load(&s.classes[c].totals.allocations) != 0;
    assert_int_equal(listed, used);
    assert_true(used > 30);
    assert_int_equal(live_bytes, number_of("small objects"));
    assert_int_equal(live + number_behind(line, "large") + number_behind(line, "huge"),
        number_of("live objects"));
}

static void
the_arenas_are_listed_and_add_up(void **state)
{
    (void)state;
    allocate_some();
    xa_arena_set_limit(2);
    struct xa_arena *other = xa_arena_assign();
    assert_int_equal(other->index, 1);
    write_report(XA_REPORT_ALL);
    const char *line = next_line(next_line(strstr(text, "\nArenas") + 1));
    size_t columns[16], active = 0;
    for (unsigned i = 0; i < 2; i++, line = next_line(line)) {
        assert_int_equal(read_columns(line, columns), 7);
        assert_int_equal(columns[0], i);
        assert_int_equal(columns[1], 1);
        active += columns[2];
    }
    assert_int_equal(active + atomic_load(&xa_huge_counters.live_bytes), number_of("active"));
    assert_int_equal(read_columns(line, columns), 0);
}

static void
options_are_listed_that_are_not_at_their_defaults(void **state)
{
    (void)state;
    xalloc_conf = NULL;
    xa_os_fake_set_environment("XALLOC_CONF", "narenas:3,stats_print:true");
    allocate_some();
    write_report(XA_REPORT_ALL);
    const char *line = strstr(text, "Options");
    assert_non_null(line);
    assert_int_equal(count_lines(line, text + length), 3);
    assert_int_equal(strtoul(find_line(line, "narenas"), NULL, 10), 3);
    assert_non_null(find_line(line, "stats_print"));
}

static void
without_settings_there_are_no_options_to_list(void **state)
{
    (void)state;
    xalloc_conf = NULL;
    allocate_some();
    write_report(XA_REPORT_ALL);
    const char *line = strstr(text, "Options");
    assert_string_equal(next_line(line), "  none\n");
}

/* A report in the middle of a report, as a signal handler would try. */
static void
report_again(void *context, const char *piece, size_t bytes)
{
    unsigned *refused = context;
    (void)piece;
    (void)bytes;
    const struct xa_report_wish wish = {XA_EMITTER_TEXT, 0};
    if (!xa_report_write(" again", &wish, report_again, context))
        ++*refused;
}

static void
reports_begin_in_the_middle_of_another_but_not_for_ever(void **state)
{
    const struct xa_report_wish wish = {XA_EMITTER_TEXT, 0};
    unsigned refused = 0;
    (void)state;
    allocate_some();
    assert_true(xa_report_write("", &wish, report_again, &refused));
    assert_true(refused >= 1);
    write_report(XA_REPORT_ALL);
}

/* The bytes of the places, and those in memory, behind their labels. */
static void
the_places_come_first_and_add_up(void **state)
{
    static const char *const labels[] = {"live", "rounding up", "free slots", "slab tails",
        "thread caches", "depots", "large stock", "unused, dirty", "unused, muzzy", "unused, huge",
        "unused, empty", "metadata", "library"};
    static void *more[OBJECTS];
    size_t bytes = 0, resident = 0;
    (void)state;
    xa_os_fake_set_library(MIB, 256 * 1024);
    allocate_some();
    xa_fast_free(memset(xa_fast_malloc(40 * MIB), 1, 40 * MIB));
    /* Half of a class's slots in use. */
    for (int i = 0; i < OBJECTS; i++)
        more[i] = memset(xa_fast_malloc(1000), 1, 1000);
    for (int i = 0; i < OBJECTS; i += 2)
        xa_fast_free(more[i]);
    write_report(XA_REPORT_SUMMARY);
    assert_memory_equal(next_line(text), "Where the memory is ", 20);
    for (unsigned i = 0; i < sizeof labels / sizeof *labels; i++) {
        size_t first = number_of(labels[i]), second = 0;
        const char *line = strstr(find_line(text, labels[i]), "B ");
        assert_non_null(line);
        second = strtoull(line + 1, NULL, 10);
        assert_int_equal(first, s.places[i].bytes);
        assert_true(second <= first + 4096);
        bytes += first;
        resident += second;
    }
    assert_int_equal(bytes, number_of("in all"));
    assert_int_equal(bytes, number_of("mapped") + 256 * 1024);
    assert_int_equal(resident, number_of("resident") + 128 * 1024);
    assert_non_null(strstr(text, "What would give most back\n"));
    assert_non_null(strstr(text, "malloc_trim(0) gives them back now"));
    assert_non_null(strstr(text, "\n    class "));
}

static void
a_small_process_gets_no_advice(void **state)
{
    (void)state;
    assert_non_null(xa_fast_malloc(100));
    write_report(XA_REPORT_ALL);
    assert_non_null(strstr(text, "What would give most back\n  nothing that is worth it\n"));
    assert_null(strstr(text, "\n    class "));
}

static void
each_letter_has_its_effect(void **state)
{
    static const struct {
        const char *letter;
        const char *without[3];
    } letters[] = {
        {"g", {"Options that"}},
        {"m", {"Size classes", "  large  ", "  huge  "}},
        {"a", {"\nArenas\n"}},
        {"b", {"Size classes"}},
        {"l", {"  large  ", "  huge  "}},
        {"e", {"Free runs"}},
        {"h", {"huge pages"}},
        {"r", {"resident", "in memory", "Free runs"}},
        /* There are no such figures. */
        {"d", {NULL}},
        {"x", {NULL}},
    };
    (void)state;
    allocate_some();
    for (unsigned i = 0; i < sizeof letters / sizeof *letters; i++) {
        for (unsigned j = 0; j < 3 && letters[i].without[j] != NULL; j++) {
            print("");
            assert_non_null(strstr(text, letters[i].without[j]));
            print(letters[i].letter);
            /* "in memory" is also in the explanations of other lines. */
            const char *found = strstr(text, letters[i].without[j]);
            if (found != NULL && strncmp(found, "in memory, ", 11) != 0)
                fail_msg("%s leaves \"%s\"", letters[i].letter, letters[i].without[j]);
        }
    }
    print("gmabler");
    size_t shortest = length;
    print("gmdablxer?!z");
    assert_int_equal(length, shortest);
    print(NULL);
    assert_non_null(strstr(text, "Options that"));
}

static void
json_is_one_object_with_ours_first(void **state)
{
    (void)state;
    allocate_some();
    print("J");
    assert_memory_equal(text, "{\n\t\"xalloc\": {\n\t\t\"version\": ", 28);
    assert_non_null(strstr(text, "\n\t\"jemalloc\": {\n"));
    assert_string_equal(text + length - 6, "\n\t}\n}\n");
    long depth = 0;
    for (size_t i = 0; i < length; i++)
        depth += strchr("{[", text[i]) != NULL ? 1 : strchr("}]", text[i]) != NULL ? -1 : 0;
    assert_int_equal(depth, 0);
    print("Jgr");
    assert_null(strstr(text, "\"version\""));
    assert_null(strstr(text, "\"opt\""));
    assert_null(strstr(text, "resident"));
}

static void
metrics_have_their_end(void **state)
{
    (void)state;
    allocate_some();
    print("O");
    assert_memory_equal(text, "# TYPE xalloc info\n", 19);
    assert_string_equal(text + length - 6, "# EOF\n");
    assert_non_null(strstr(text, "\nxalloc_place_mapped_bytes{place=\"live\"} "));
    assert_non_null(strstr(text, "\nxalloc_class_allocations_total{size=\"64\"} "));
    assert_null(strstr(text, "jemalloc"));
}

static unsigned long
calls_for_memory(void)
{
    return xa_os_fake_count(XA_OS_FAKE_ANY) - xa_os_fake_count(XA_OS_FAKE_READ_FILE);
}

static void
a_report_allocates_nothing(void **state)
{
    (void)state;
    allocate_some();
    write_report(XA_REPORT_ALL);
    size_t allocated = s.allocated, metadata = s.metadata;
    unsigned long calls = calls_for_memory();
    write_report(XA_REPORT_ALL);
    assert_int_equal(s.allocated, allocated);
    assert_int_equal(s.metadata, metadata);
    assert_int_equal(calls_for_memory(), calls);
}

static void
a_report_can_be_written_before_the_first_call(void **state)
{
    (void)state;
    xa_os_init();
    write_report(XA_REPORT_ALL);
    assert_int_equal(number_of("allocated"), 0);
    assert_int_equal(number_of("mapped"), 0);
}

static void
memory_in_huge_pages_is_that_of_heaps_and_huge_objects(void **state)
{
    static char account[512];
    (void)state;
    xa_os_fake_skip_unless_64_bits();
    allocate_some();
    snprintf(account, sizeof account,
        "%zx-%zx rw-p 00000000 00:00 0\nAnonHugePages: 2048 kB\n"
        "%zx-%zx rw-p 00000000 00:00 0\nAnonHugePages: 4096 kB\n",
        (size_t)xa_window_address(0), (size_t)xa_window_address(1), (size_t)xa_window_address(1),
        (size_t)xa_window_address(2));
    write_report(XA_REPORT_SUMMARY);
    assert_int_equal(number_of("huge pages"), 0);
    xa_os_fake_set_file("/proc/self/smaps", account);
    write_report(XA_REPORT_SUMMARY);
    assert_int_equal(number_of("huge pages"), 6 << 20);
}

static void
strict_system_calls_leave_the_resident_bytes_out(void **state)
{
    (void)state;
    xa_os_fake_set_environment("XALLOC_CONF", "strict_syscalls:true");
    allocate_some();
    write_report(XA_REPORT_ALL);
    assert_null(find_line(text, "resident"));
    assert_null(find_line(text, "huge pages"));
    assert_int_equal(number_of("allocated"), s.allocated);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(every_line_fits_and_holds_plain_text),
        XA_OS_FAKE_FRESH(even_the_largest_numbers_fit),
        XA_OS_FAKE_FRESH(the_summary_adds_up_and_is_that_of_the_statistics),
        XA_OS_FAKE_FRESH(the_places_come_first_and_add_up),
        XA_OS_FAKE_FRESH(a_small_process_gets_no_advice),
        XA_OS_FAKE_FRESH(each_letter_has_its_effect),
        XA_OS_FAKE_FRESH(json_is_one_object_with_ours_first),
        XA_OS_FAKE_FRESH(metrics_have_their_end),
        XA_OS_FAKE_FRESH(the_classes_are_listed_and_add_up),
        XA_OS_FAKE_FRESH(the_arenas_are_listed_and_add_up),
        XA_OS_FAKE_FRESH(options_are_listed_that_are_not_at_their_defaults),
        XA_OS_FAKE_FRESH(without_settings_there_are_no_options_to_list),
        XA_OS_FAKE_FRESH(reports_begin_in_the_middle_of_another_but_not_for_ever),
        XA_OS_FAKE_FRESH(a_report_allocates_nothing),
        XA_OS_FAKE_FRESH(a_report_can_be_written_before_the_first_call),
        XA_OS_FAKE_FRESH(memory_in_huge_pages_is_that_of_heaps_and_huge_objects),
        XA_OS_FAKE_FRESH(strict_system_calls_leave_the_resident_bytes_out),
    };
    seed = xa_seed_choose(NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
