/*
 * measures_test.c - advice is given where it is worth it, and is right.
 */
#include "control/measures.h"

#include "support/os_fake.h"

#include <stdio.h>
#include <string.h>

#include "config/options.h"

enum { MIB = 1 << 20, COLUMNS_MAX = 87 /* what the report leaves for the sentence */ };

static struct xa_statistics s;
static struct xa_measures measures;

static const char *
sentence(unsigned i)
{
    static char buffer[XA_MEASURE_TEXT_BYTES];
    struct xa_text text;
    xa_text_init(&text, buffer, sizeof buffer);
    xa_measures_put(&measures.list[i], &s, &text);
    assert_true(xa_text_length(&text) <= COLUMNS_MAX);
    return buffer;
}

/* A class with so many slabs, whose slots are free but for `live`. */
static void
set_class(unsigned c, size_t slabs, size_t live)
{
    struct xa_class_statistics *class = &s.classes[c];
    const struct xa_size_class *row = &xa_size_class_table[c];
    class->slabs = slabs;
    class->live = live;
    class->free_bytes = (slabs * row->slots - live) * row->object_bytes;
}

static void
find(void)
{
    xa_measures_find(&measures, &s);
}

static int
begin(void **state)
{
    (void)state;
    memset(&s, 0, sizeof s);
    xa_options_set_defaults(&xa_options);
    return 0;
}

static void
without_memory_there_is_no_advice(void **state)
{
    (void)state;
    find();
    assert_int_equal(measures.count, 0);
    /* 300 KiB are most of this process, and not worth a line. */
    s.active = s.dirty = s.places[XA_PLACE_DIRTY].bytes = 300 * 1024;
    find();
    assert_int_equal(measures.count, 0);
}

static void
a_hundredth_of_a_large_process_is_too_little(void **state)
{
    (void)state;
    s.active = (size_t)400 * MIB;
    s.dirty = s.places[XA_PLACE_DIRTY].bytes = 4 * MIB - 1;
    find();
    assert_int_equal(measures.count, 0);
    s.dirty = s.places[XA_PLACE_DIRTY].bytes = 4 * MIB;
    find();
    assert_int_equal(measures.count, 1);
}

static void
the_greatest_come_first_and_three_are_enough(void **state)
{
    (void)state;
    s.active = 100 * MIB;
    s.dirty = s.places[XA_PLACE_DIRTY].bytes = 3 * MIB;
    s.places[XA_PLACE_THREAD_CACHES].bytes = 4 * MIB;
    s.places[XA_PLACE_STOCK].bytes = 3 * MIB;
    s.places[XA_PLACE_DEPOTS].bytes = 2 * MIB;
    unsigned c = xa_size_class_of(1280);
    set_class(c, 40 * MIB / (xa_size_class_table[c].granules * (size_t)XA_GRANULE_BYTES), 100);
    s.classes[xa_size_class_of(4096)].rounding = 2 * MIB;
    s.classes[xa_size_class_of(100)].rounding = 600 * 1024;
    find();
    assert_int_equal(measures.count, 3);
    assert_string_equal(xa_measures_name(&measures.list[0]), "free_slots");
    assert_int_equal(measures.list[0].bytes, s.classes[c].free_bytes);
    assert_int_equal(measures.list[0].size_class, c);
    assert_string_equal(xa_measures_name(&measures.list[1]), "caches");
    assert_int_equal(measures.list[1].bytes, 9 * MIB);
    assert_string_equal(xa_measures_name(&measures.list[2]), "trim");
    assert_int_equal(measures.list[2].bytes, 3 * MIB);
}

static void
what_is_in_memory_counts_if_it_is_known(void **state)
{
    (void)state;
    s.active = s.resident = 100 * MIB;
    s.places[XA_PLACE_DIRTY] = (struct xa_place_statistics){50 * MIB, 2 * MIB};
    s.places[XA_PLACE_HUGE_KEPT] = (struct xa_place_statistics){50 * MIB, 3 * MIB};
    s.places[XA_PLACE_MUZZY] = (struct xa_place_statistics){50 * MIB, 0};
    set_class(10, 1000, 1);
    find();
    assert_int_equal(measures.count, 1);
    assert_int_equal(measures.list[0].bytes, 5 * MIB);
}

static void
sentences_name_the_call_and_the_option(void **state)
{
    (void)state;
    s.active = 100 * MIB;
    s.dirty = s.places[XA_PLACE_DIRTY].bytes = 9 * MIB;
    s.places[XA_PLACE_DEPOTS].bytes = 8 * MIB;
    find();
    assert_string_equal(sentence(0),
        "unused pages: malloc_trim(0) gives them back now, dirty_decay_ms:1000 with time");
    assert_string_equal(sentence(1),
        "caches: malloc_trim(0) empties idle threads'; bound: tcache_total_max (32.0 MiB)");
    xa_options.dirty_decay_ms = -1;
    assert_string_equal(
        sentence(0), "unused pages: malloc_trim(0) gives them back now, dirty_decay_ms:-1 never");
}

static void
sentences_name_the_class(void **state)
{
    unsigned c = xa_size_class_of(1280), largest = XA_SMALL_CLASSES;
    (void)state;
    s.active = 100 * MIB;
    set_class(c, 1000, 100);
    s.classes[largest].rounding = 2 * MIB;
    s.classes[largest].totals.sampled_requests = 10;
    s.classes[largest].totals.sampled_bytes = 614410;
    find();
    assert_int_equal(measures.count, 2);
    char expected[128];
    snprintf(expected, sizeof expected,
        "class 1280: %.1f %% of its slots are free; malloc_trim(0) gives back whole free pages",
        (double)((1000 * xa_size_class_table[c].slots - 100) * 1000 /
            (1000 * xa_size_class_table[c].slots)) /
            10);
    assert_string_equal(sentence(0), expected);
    assert_string_equal(
        sentence(1), "class 65536: requests average 61441 bytes: ask for 61440, or use all of it");
    /* The smallest has none below it. */
    s.classes[1].rounding = 9 * MIB;
    s.classes[1].totals.sampled_requests = 2;
    s.classes[1].totals.sampled_bytes = 3;
    find();
    assert_string_equal(xa_measures_name(&measures.list[1]), "rounding");
    assert_string_equal(sentence(1), "class 16: requests average 1 bytes: use all of it");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(without_memory_there_is_no_advice, begin),
        cmocka_unit_test_setup(a_hundredth_of_a_large_process_is_too_little, begin),
        cmocka_unit_test_setup(the_greatest_come_first_and_three_are_enough, begin),
        cmocka_unit_test_setup(what_is_in_memory_counts_if_it_is_known, begin),
        cmocka_unit_test_setup(sentences_name_the_call_and_the_option, begin),
        cmocka_unit_test_setup(sentences_name_the_class, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
