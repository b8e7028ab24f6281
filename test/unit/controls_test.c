/*
 * controls_test.c - every name of the list is found, by name and by MIB, and nothing else is.
 */
#include "control/controls.h"

#include "support/os_fake.h"

#include <stdio.h>
#include <string.h>

#include "support/seed.h"

enum { NAME_BYTES = 128, WILD_NAMES = 20000, WILD_MIBS = 20000 };

static uint64_t seed;

/* The row's name with numbers for its indices. */
static void
spell(unsigned row, unsigned first, unsigned second, char *name)
{
    const char *from = xa_controls_name(row);
    for (; *from != '\0'; from++) {
        if (*from != '<') {
            *name++ = *from;
            continue;
        }
        name += sprintf(name, "%u", from[1] == 'i' ? first : second);
        from += 2;
    }
    *name = '\0';
}

static void
every_row_is_found_by_its_name(void **state)
{
    (void)state;
    for (unsigned row = 0; row < XA_CONTROLS; row++) {
        struct xa_controls_place place;
        char name[NAME_BYTES];
        spell(row, 7, 11, name);
        assert_true(xa_controls_find(name, &place));
        assert_int_equal(place.row, row);
        assert_int_equal(place.words, xa_controls_words(row));
        unsigned indices = strstr(xa_controls_name(row), "<j>") != NULL ? 2
            : strstr(xa_controls_name(row), "<i>") != NULL              ? 1
                                                                        : 0;
        assert_int_equal(place.index_count, indices);
        if (indices > 0)
            assert_int_equal(place.indices[0], 7);
        if (indices > 1)
            assert_int_equal(place.indices[1], 11);
    }
}

static void
every_row_is_found_by_its_mib_and_the_indices_in_it_can_be_changed(void **state)
{
    (void)state;
    for (unsigned row = 0; row < XA_CONTROLS; row++) {
        struct xa_controls_place by_name, by_mib;
        char name[NAME_BYTES];
        spell(row, 1, 2, name);
        assert_true(xa_controls_find(name, &by_name));
        assert_true(xa_controls_find_mib(by_name.mib, by_name.words, &by_mib));
        assert_memory_equal(&by_name, &by_mib, sizeof by_mib);
        const char *word = xa_controls_name(row);
        for (unsigned i = 0; i < by_name.words; i++) {
            size_t kept = by_name.mib[i];
            /* The last one is a row's, and another one's is another row. */
            if (i + 1 == by_name.words)
                break;
            by_name.mib[i] = 3;
            /* An index is free; a name's number is not (3 is no row that others begin like). */
            bool is_right = *word == '<' || kept == 3;
            assert_int_equal(xa_controls_find_mib(by_name.mib, by_name.words, &by_mib), is_right);
            by_name.mib[i] = kept;
            word += strcspn(word, ".") + 1;
        }
    }
}

static bool
begins_with(unsigned row, const char *chars, size_t length)
{
    return strncmp(xa_controls_name(row), chars, length) == 0;
}

static void
rows_that_share_words_stand_together(void **state)
{
    (void)state;
    for (unsigned row = 1; row < XA_CONTROLS; row++) {
        const char *name = xa_controls_name(row);
        for (size_t end = 1; name[end - 1] != '\0'; end++) {
            /* Whole words, and at the end the name with its NUL. */
            bool is_word = name[end - 1] == '.' || name[end] == '\0';
            size_t length = name[end] == '\0' ? end + 1 : end;
            if (!is_word || begins_with(row - 1, name, length))
                continue;
            for (unsigned earlier = 0; earlier + 1 < row; earlier++)
                assert_false(begins_with(earlier, name, length));
        }
    }
}

static void
the_beginning_of_a_name_is_found_but_is_no_leaf(void **state)
{
    static const char *const names[] = {"stats", "stats.arenas", "stats.arenas.0", "arenas.bin",
        "arenas.bin.3", "arena.4096", "stats.arenas.1.bins.2", "xalloc"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct xa_controls_place place;
        assert_true(xa_controls_find(names[i], &place));
        assert_false(xa_controls_is_leaf(&place));
    }
}

static void
what_is_no_name_is_not_found(void **state)
{
    static const char *const names[] = {"", ".", "..", "stat", "statss", "stats.", ".stats",
        "stats..arenas", "stats.arenas.", "stats.arenas.x", "stats.arenas.-1", "stats.arenas.+1",
        "stats.arenas. 1", "stats.arenas.1x", "stats.arenas.0x1", "arenas.page.", "arenas.page.x",
        "arenas.page.0", "stats.arenas.99999999999999999999999", "stats.arenas.<i>", "version.x",
        "Version", "stats.arenas.0.bins.0.mutex.num_ops.x"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct xa_controls_place place;
        assert_false(xa_controls_find(names[i], &place));
    }
}

static void
wild_names_and_mibs_lead_nowhere_else(void **state)
{
    static const char characters[] = "abcdefghijklmnopqrstuvwxyz_.0123456789<>";
    struct xa_seed_random numbers = xa_seed_start(seed, 0);
    (void)state;
    for (int i = 0; i < WILD_NAMES; i++) {
        struct xa_controls_place place;
        char name[NAME_BYTES], again[NAME_BYTES];
        unsigned row = (unsigned)xa_seed_below(&numbers, XA_CONTROLS);
        spell(row, 1, 2, name);
        size_t at = xa_seed_below(&numbers, strlen(name));
        name[at] = characters[xa_seed_below(&numbers, sizeof characters - 1)];
        if (!xa_controls_find(name, &place) || place.words != xa_controls_words(place.row))
            continue;
        /* Found: then it is what it was, or another row, or another index. */
        spell(place.row, (unsigned)place.indices[0], (unsigned)place.indices[1], again);
        bool has_zeros = strstr(name, ".0") != NULL;
        assert_true(has_zeros || strcmp(name, again) == 0);
    }
    for (int i = 0; i < WILD_MIBS; i++) {
        size_t mib[XA_CONTROLS_WORDS_MAX + 1];
        struct xa_controls_place place;
        size_t length = xa_seed_below(&numbers, XA_CONTROLS_WORDS_MAX + 2);
        for (size_t k = 0; k < length; k++)
            mib[k] = xa_seed_below(&numbers, XA_CONTROLS + 10);
        if (xa_controls_find_mib(mib, length, &place))
            assert_int_equal(xa_controls_words(place.row), length);
    }
}

static void
types_have_their_sizes(void **state)
{
    (void)state;
    assert_int_equal(xa_controls_bytes(XA_CONTROL_background_thread), sizeof(bool));
    assert_int_equal(xa_controls_bytes(XA_CONTROL_arenas_nbins), sizeof(unsigned));
    assert_int_equal(xa_controls_bytes(XA_CONTROL_arenas_bin_i_nregs), sizeof(uint32_t));
    assert_int_equal(xa_controls_bytes(XA_CONTROL_epoch), sizeof(uint64_t));
    assert_int_equal(xa_controls_bytes(XA_CONTROL_opt_stats_interval), sizeof(int64_t));
    assert_int_equal(xa_controls_bytes(XA_CONTROL_arenas_page), sizeof(size_t));
    assert_int_equal(xa_controls_bytes(XA_CONTROL_arenas_dirty_decay_ms), sizeof(ptrdiff_t));
    assert_int_equal(xa_controls_bytes(XA_CONTROL_version), sizeof(char *));
    assert_int_equal(xa_controls_bytes(XA_CONTROL_thread_allocatedp), sizeof(uint64_t *));
    assert_int_equal(xa_controls_bytes(XA_CONTROL_thread_idle), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_is_found_by_its_name),
        cmocka_unit_test(every_row_is_found_by_its_mib_and_the_indices_in_it_can_be_changed),
        cmocka_unit_test(rows_that_share_words_stand_together),
        cmocka_unit_test(the_beginning_of_a_name_is_found_but_is_no_leaf),
        cmocka_unit_test(what_is_no_name_is_not_found),
        cmocka_unit_test(wild_names_and_mibs_lead_nowhere_else),
        cmocka_unit_test(types_have_their_sizes),
    };
    seed = xa_seed_choose(NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
