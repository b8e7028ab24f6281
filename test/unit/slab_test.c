/*
 * slab_test.c - which slots of a slab are free, for every size class.
 */
#include "arena/slab.h"

#include "support/os_fake.h"

#include <string.h>

#include "config/options.h"
#include "extent/metadata.h"
#include "page/page_heap.h"
#include "support/seed.h"

enum { SLOTS_MAX = 4096, ARENA = 5, GENERATION = 3, ROUNDS = 2000 };

static struct xa_page_heap heap;
static void *objects[SLOTS_MAX + 1];
static uint64_t seed;

static void
begin(void)
{
    xa_os_init();
    xa_size_class_init(xa_os_facts.page_bytes);
    xa_options.dirty_decay_ms = -1;
    xa_page_heap_init(&heap, ARENA);
}

static const struct xa_size_class *
row(unsigned size_class)
{
    return &xa_size_class_table[size_class];
}

static void
give(uint32_t granule, unsigned slot)
{
    struct xa_slab_view view;
    uintptr_t start = xa_page_map_address_of(granule);
    xa_slab_view(&view, start);
    uintptr_t address = start + (uintptr_t)slot * view.class->object_bytes;
    assert_int_equal(view.granule, granule);
    assert_true(xa_slab_view_has(&view, address));
    void *objects_here[] = {(void *)address, (void *)(address + 1), (void *)(start - 16)};
    enum xa_slab_verdict verdict;
    assert_int_equal(xa_slab_return(&view, objects_here, 1, &verdict), 1);
    assert_int_equal(verdict, XA_SLAB_TAKEN);
    assert_int_equal(xa_slab_return(&view, objects_here, 1, &verdict), 0);
    assert_int_equal(verdict, XA_SLAB_FREE);
    assert_int_equal(xa_slab_return(&view, objects_here + 1, 1, &verdict), 0);
    assert_int_equal(verdict, XA_SLAB_INSIDE);
    /* What lies elsewhere ends the run, and is nothing wrong. */
    assert_int_equal(xa_slab_return(&view, objects_here + 2, 1, &verdict), 0);
    assert_int_equal(verdict, XA_SLAB_TAKEN);
}

static uint32_t
make(unsigned size_class)
{
    bool is_zeroed;
    uint32_t granule =
        xa_page_heap_take(&heap, XA_RUN_FOR_SLAB, row(size_class)->granules, 1, &is_zeroed);
    assert_int_not_equal(granule, XA_GRANULE_NONE);
    assert_true(xa_slab_init(granule, size_class, ARENA, GENERATION));
    return granule;
}

static void
finish(uint32_t granule, unsigned size_class)
{
    xa_slab_finish(granule);
    xa_page_heap_return(
        &heap, XA_RUN_FOR_SLAB, granule, row(size_class)->granules, row(size_class)->granules);
}

static struct xa_slab *
slab_at(uint32_t granule)
{
    return &xa_page_map_record(granule)->as.slab;
}

static void
check_published(uint32_t granule, unsigned size_class)
{
    const struct xa_extent *record = xa_page_map_record(granule);
    assert_int_equal(record->kind, XA_EXTENT_SLAB);
    assert_int_equal(record->size_class, size_class);
    assert_int_equal(record->arena, ARENA);
    assert_int_equal(record->granules, row(size_class)->granules);
    assert_int_equal(record->as.slab.generation, GENERATION);
    for (uint32_t i = 0; i < row(size_class)->granules; i++) {
        uintptr_t address = xa_page_map_address_of(granule + i);
        assert_int_equal(xa_page_map_class(address), size_class);
        assert_int_equal(xa_page_map_class(address + XA_GRANULE_BYTES - 1), size_class);
        assert_int_equal(xa_slab_of(address), granule);
        assert_int_equal(xa_slab_of(address + 100), granule);
    }
}

static void
check_class(unsigned size_class)
{
    unsigned slots = row(size_class)->slots;
    uint32_t granule = make(size_class);
    uintptr_t start = xa_page_map_address_of(granule);
    assert_true(slots <= SLOTS_MAX);
    check_published(granule, size_class);
    assert_int_equal(slab_at(granule)->free_slots, slots);
    assert_int_equal(xa_slab_touched_granules(granule), 0);
    /* All of them come out, lowest first, and no more. */
    assert_int_equal(xa_slab_take(granule, objects, slots + 1), slots);
    assert_int_equal(xa_slab_take(granule, objects, 1), 0);
    for (unsigned i = 0; i < slots; i++) {
        assert_int_equal(
            (uintptr_t)objects[i], start + (uintptr_t)i * row(size_class)->object_bytes);
        assert_int_equal(xa_slab_look((uintptr_t)objects[i]), XA_SLAB_TAKEN);
    }
    assert_int_equal(slab_at(granule)->free_slots, 0);
    size_t bytes = (size_t)slots * row(size_class)->object_bytes;
    assert_int_equal(
        xa_slab_touched_granules(granule), (bytes + XA_GRANULE_BYTES - 1) / XA_GRANULE_BYTES);
    for (unsigned i = 0; i < slots; i++) {
        give(granule, i);
        assert_int_equal(xa_slab_look((uintptr_t)objects[i]), XA_SLAB_FREE);
        assert_int_equal(slab_at(granule)->free_slots, i + 1);
    }
    xa_slab_finish(granule);
    for (uint32_t i = 0; i < row(size_class)->granules; i++)
        assert_int_equal(xa_page_map_class(xa_page_map_address_of(granule + i)), XA_CLASS_NONE);
    xa_page_heap_return(
        &heap, XA_RUN_FOR_SLAB, granule, row(size_class)->granules, row(size_class)->granules);
}

static void
every_class_gives_each_slot_once_and_takes_it_back(void **state)
{
    (void)state;
    begin();
    for (unsigned size_class = 1; size_class <= XA_SMALL_CLASSES; size_class++)
        check_class(size_class);
}

static void
the_same_holds_on_64_kib_pages(void **state)
{
    (void)state;
    xa_os_fake_set_page_bytes(65536);
    begin();
    for (unsigned size_class = 1; size_class <= XA_SMALL_CLASSES; size_class++)
        check_class(size_class);
}

static void
only_the_beginning_of_a_slot_is_an_object(void **state)
{
    (void)state;
    begin();
    for (unsigned size_class = 1; size_class <= XA_SMALL_CLASSES; size_class++) {
        uint32_t granule = make(size_class);
        uintptr_t start = xa_page_map_address_of(granule);
        size_t slab_bytes = (size_t)row(size_class)->granules * XA_GRANULE_BYTES;
        size_t bytes = row(size_class)->object_bytes;
        assert_int_equal(
            xa_slab_take(granule, objects, row(size_class)->slots), row(size_class)->slots);
        for (size_t offset = 0; offset < slab_bytes; offset++) {
            bool is_slot = offset % bytes == 0 && offset / bytes < row(size_class)->slots;
            assert_int_equal(
                xa_slab_look(start + offset), is_slot ? XA_SLAB_TAKEN : XA_SLAB_INSIDE);
        }
        finish(granule, size_class);
    }
}

static void
free_memory_is_never_touched(void **state)
{
    (void)state;
    begin();
    uint32_t granule = make(1);
    char *start = (char *)xa_page_map_address_of(granule);
    size_t resident = xa_os_resident_bytes((uintptr_t)start, XA_GRANULE_BYTES);
    assert_int_equal(resident, 0);
    assert_int_equal(xa_slab_take(granule, objects, 1000), 1000);
    for (unsigned i = 0; i < 1000; i += 2)
        give(granule, i);
    assert_int_equal(xa_os_resident_bytes((uintptr_t)start, XA_GRANULE_BYTES), 0);
}

static void
only_slots_that_were_out_count_as_touched(void **state)
{
    (void)state;
    begin();
    unsigned size_class = xa_size_class_of(9216);
    assert_int_equal(row(size_class)->granules, 3);
    uint32_t granule = make(size_class);
    assert_int_equal(xa_slab_take(granule, objects, 1), 1);
    assert_int_equal(xa_slab_touched_granules(granule), 1);
    assert_int_equal(xa_slab_take(granule, objects, 1), 1);
    assert_int_equal(xa_slab_touched_granules(granule), 2);
    give(granule, 0);
    give(granule, 1);
    assert_int_equal(xa_slab_touched_granules(granule), 2);
    /* The lowest goes out again before a new one does. */
    assert_int_equal(xa_slab_take(granule, objects, 1), 1);
    assert_int_equal(xa_slab_touched_granules(granule), 2);
}

static void
random_traffic_agrees_with_an_array(void **state)
{
    static bool taken[SLOTS_MAX];
    struct xa_seed_random numbers = xa_seed_start(seed, 0);
    (void)state;
    begin();
    for (unsigned size_class = 1; size_class <= XA_SMALL_CLASSES; size_class += 5) {
        uint32_t granule = make(size_class);
        uintptr_t start = xa_page_map_address_of(granule);
        unsigned slots = row(size_class)->slots;
        memset(taken, 0, sizeof taken);
        for (int round = 0; round < ROUNDS; round++) {
            unsigned count = 1 + (unsigned)xa_seed_below(&numbers, slots / 4 + 1), next = 0;
            unsigned given = xa_seed_below(&numbers, 2) ? xa_slab_take(granule, objects, count) : 0;
            for (unsigned i = 0; i < given; i++) {
                while (taken[next])
                    next++;
                assert_int_equal(
                    (uintptr_t)objects[i], start + (uintptr_t)next * row(size_class)->object_bytes);
                taken[next] = true;
            }
            unsigned slot = (unsigned)xa_seed_below(&numbers, slots);
            if (taken[slot])
                give(granule, slot);
            taken[slot] = false;
            unsigned free_slots = 0;
            for (unsigned i = 0; i < slots; i++)
                free_slots += !taken[i];
            assert_int_equal(slab_at(granule)->free_slots, free_slots);
        }
        finish(granule, size_class);
    }
}

static void
a_slab_without_memory_for_its_map_is_not_made(void **state)
{
    bool is_zeroed;
    (void)state;
    begin();
    /* Slabs of few slots have their map in the record, and need none. */
    uint32_t granule = xa_page_heap_take(&heap, XA_RUN_FOR_SLAB, 1, 1, &is_zeroed);
    xa_os_fake_fail(XA_OS_FAKE_MAP_ANYWHERE, 1, XA_OS_FAKE_FROM_THEN_ON);
    while (xa_metadata_take(64) != NULL)
        continue;
    assert_false(xa_slab_init(granule, 1, ARENA, GENERATION));
    assert_int_equal(xa_page_map_class(xa_page_map_address_of(granule)), XA_CLASS_NONE);
    assert_true(xa_slab_init(granule, 4, ARENA, GENERATION));
}

static void
maps_are_given_back_with_their_slabs(void **state)
{
    (void)state;
    begin();
    finish(make(1), 1);
    size_t used = xa_metadata_used_bytes();
    for (int i = 0; i < 1000; i++)
        finish(make(1), 1);
    assert_int_equal(xa_metadata_used_bytes(), used);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(every_class_gives_each_slot_once_and_takes_it_back),
        XA_OS_FAKE_FRESH(the_same_holds_on_64_kib_pages),
        XA_OS_FAKE_FRESH(only_the_beginning_of_a_slot_is_an_object),
        XA_OS_FAKE_FRESH(free_memory_is_never_touched),
        XA_OS_FAKE_FRESH(only_slots_that_were_out_count_as_touched),
        XA_OS_FAKE_FRESH(random_traffic_agrees_with_an_array),
        XA_OS_FAKE_FRESH(a_slab_without_memory_for_its_map_is_not_made),
        XA_OS_FAKE_FRESH(maps_are_given_back_with_their_slabs),
    };
    seed = xa_seed_choose(NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
