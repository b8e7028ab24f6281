/*
 * bin_test.c - slabs of one class: the fullest first, empty ones go, wrong frees are named.
 */
#include "arena/bin.h"

#include "support/os_fake.h"

#include <stdio.h>
#include <string.h>

#include "arena/slab.h"
#include "config/options.h"
#include "page/page_heap.h"
#include "support/magazines.h"
#include "support/seed.h"
#include "support/threads.h"

enum {
    ARENA = 2,
    CLASS = 32, /* 1 KiB: 16 slots in a slab */
    SLOTS = 16,
    SLABS = 12,
    ROUNDS = 20000,
    SECONDS = 60,
};

static struct xa_page_heap heap;
static struct xa_bin bin;
static struct xa_bin_released released;
static uint64_t seed;

static void
begin(void)
{
    xa_os_init();
    xa_options.dirty_decay_ms = -1;
    xa_page_heap_init(&heap, ARENA);
    xa_bin_init(&bin, ARENA, CLASS);
    assert_int_equal(xa_size_class_table[CLASS].object_bytes, 1024);
    assert_int_equal(xa_size_class_table[CLASS].slots, SLOTS);
    xa_lock_lock(&bin.lock);
}

static uint32_t
add_slab(uint16_t arena)
{
    bool is_zeroed;
    uint32_t granule = xa_page_heap_take(&heap, XA_RUN_FOR_SLAB, 1, 1, &is_zeroed);
    assert_int_not_equal(granule, XA_GRANULE_NONE);
    assert_true(xa_slab_init(granule, CLASS, arena, bin.generation));
    xa_bin_add_slab(&bin, granule);
    return granule;
}

static void *
object_at(uint32_t granule, unsigned slot)
{
    return (void *)(xa_page_map_address_of(granule) + slot * 1024u);
}

static void
take(void **objects, unsigned count)
{
    assert_int_equal(xa_bin_take(&bin, objects, count), count);
}

static unsigned
give(void **objects, unsigned count)
{
    released.count = 0;
    return xa_bin_return(&bin, objects, count, &released);
}

static void
an_empty_bin_has_nothing(void **state)
{
    void *object;
    (void)state;
    begin();
    assert_int_equal(xa_bin_take(&bin, &object, 1), 0);
    assert_false(xa_bin_has_magazine(&bin));
    assert_null(xa_bin_take_magazine(&bin));
    assert_null(xa_bin_trim_reserve(&bin, 0));
    assert_true(bin.is_ready);
}

static void
a_batch_goes_on_from_slab_to_slab(void **state)
{
    void *objects[3 * SLOTS];
    (void)state;
    begin();
    add_slab(ARENA);
    add_slab(ARENA);
    assert_int_equal(xa_bin_take(&bin, objects, 3 * SLOTS), 2 * SLOTS);
    for (unsigned i = 0; i < 2 * SLOTS; i++)
        for (unsigned j = 0; j < i; j++)
            assert_ptr_not_equal(objects[i], objects[j]);
    assert_int_equal(xa_bin_taken_slots(&bin.counters), 2 * SLOTS);
    assert_int_equal(atomic_load(&bin.counters.allocations), 2 * SLOTS);
    assert_int_equal(atomic_load(&bin.counters.slabs), 2);
    assert_int_equal(atomic_load(&bin.counters.slabs_made), 2);
}

static void
the_fullest_slab_is_used_first(void **state)
{
    static const unsigned free_slots[] = {9, 2, 13, 5};
    uint32_t slabs[4];
    void *objects[4 * SLOTS];
    (void)state;
    begin();
    for (unsigned i = 0; i < 4; i++) {
        slabs[i] = add_slab(ARENA);
        take(objects, SLOTS);
    }
    for (unsigned i = 0; i < 4; i++)
        for (unsigned slot = 0; slot < free_slots[i]; slot++) {
            void *object = object_at(slabs[i], slot);
            assert_int_equal(give(&object, 1), 1);
        }
    take(objects, 2 + 5 + 9 + 13);
    unsigned next = 0;
    static const unsigned order[] = {1, 3, 0, 2};
    for (unsigned i = 0; i < 4; i++)
        for (unsigned slot = 0; slot < free_slots[order[i]]; slot++)
            assert_ptr_equal(objects[next++], object_at(slabs[order[i]], slot));
}

static void
an_empty_slab_is_released_unless_it_is_the_only_one_with_room(void **state)
{
    void *objects[3 * SLOTS];
    (void)state;
    begin();
    uint32_t first = add_slab(ARENA), second = add_slab(ARENA);
    take(objects, 2 * SLOTS);
    bool is_swapped = xa_slab_of((uintptr_t)objects[0]) == second;
    /* The first to be empty is the only one with free slots: the next take will want it. */
    assert_int_equal(give(objects, SLOTS), SLOTS);
    assert_int_equal(released.count, 0);
    assert_int_equal(atomic_load(&bin.counters.slabs), 2);
    /* The other one is not. */
    assert_int_equal(give(objects + SLOTS, SLOTS), SLOTS);
    assert_int_equal(released.count, 1);
    assert_int_equal(released.granules[0], is_swapped ? first : second);
    assert_int_equal(atomic_load(&bin.counters.slabs), 1);
    assert_int_equal(xa_bin_taken_slots(&bin.counters), 0);
    assert_int_equal(atomic_load(&bin.counters.frees), 2 * SLOTS);
    assert_int_equal(xa_bin_take(&bin, objects, 3 * SLOTS), SLOTS);
}

static void
objects_of_another_arena_end_the_batch(void **state)
{
    void *objects[SLOTS + 1];
    (void)state;
    begin();
    add_slab(ARENA);
    take(objects, 4);
    void *batch[3] = {objects[0], NULL, objects[1]};
    bool is_zeroed;
    uint32_t other = xa_page_heap_take(&heap, XA_RUN_FOR_SLAB, 1, 1, &is_zeroed);
    assert_true(xa_slab_init(other, CLASS, ARENA + 1, 0));
    assert_int_equal(xa_slab_take(other, &batch[1], 1), 1);
    assert_int_equal(give(batch, 3), 1);
    assert_int_equal(give(batch + 1, 2), 0);
    assert_int_equal(xa_bin_taken_slots(&bin.counters), 3);
}

static void
free_one(void *object)
{
    give(&object, 1);
}

static void
freeing_the_inside_of_an_object_is_fatal(void **state)
{
    void *objects[SLOTS];
    char expected[200];
    (void)state;
    begin();
    add_slab(ARENA);
    take(objects, 2);
    for (unsigned offset = 1; offset < 1024; offset += 341) {
        char *inside = (char *)objects[1] + offset;
        snprintf(expected, sizeof expected,
            "xalloc: free(0x%zx): inside an object of 1024 bytes at 0x*, "
            "live or in a cache. Free the pointer that malloc returned.\n",
            (size_t)inside);
        xa_os_fake_assert_fatal(free_one, inside, expected);
    }
}

static void
freeing_a_free_slot_is_fatal(void **state)
{
    void *objects[SLOTS];
    char expected[200];
    (void)state;
    begin();
    uint32_t granule = add_slab(ARENA);
    take(objects, 3);
    assert_int_equal(give(&objects[1], 1), 1);
    void *never = object_at(granule, 10);
    void *const wrong[] = {objects[1], never};
    for (unsigned i = 0; i < 2; i++) {
        snprintf(expected, sizeof expected,
            "xalloc: free(0x%zx): already free, found when it reached its slab, an object of * bytes*. "
            "Look for a second free of the same pointer.\n",
            (size_t)wrong[i]);
        xa_os_fake_assert_fatal(free_one, wrong[i], expected);
    }
}

/* An object that was in two caches, whose slab has gone back to the page heap meanwhile. */
static void
freeing_into_a_slab_that_is_gone_is_fatal(void **state)
{
    static const unsigned classes[] = {CLASS, 1};
    char expected[200];
    (void)state;
    begin();
    for (unsigned i = 0; i < 2; i++) {
        void *object;
        bool is_zeroed;
        bin.size_class = (uint8_t)classes[i];
        uint32_t granule = xa_page_heap_take(&heap, XA_RUN_FOR_SLAB, 1, 1, &is_zeroed);
        assert_true(xa_slab_init(granule, classes[i], ARENA, 0));
        assert_int_equal(xa_slab_take(granule, &object, 1), 1);
        struct xa_slab_view view;
        xa_slab_view(&view, (uintptr_t)object);
        enum xa_slab_verdict verdict;
        assert_int_equal(xa_slab_return(&view, &object, 1, &verdict), 1);
        xa_slab_finish(granule);
        snprintf(expected, sizeof expected,
            "xalloc: free(0x%zx): already free, found when it reached its slab, an object of * bytes*. "
            "Look for a second free of the same pointer.\n",
            (size_t)object);
        xa_os_fake_assert_fatal(free_one, object, expected);
    }
}

static void
the_depot_s_stack_becomes_the_reserve(void **state)
{
    struct xa_magazine *magazines[XA_DEPOT_SLOTS + 3];
    (void)state;
    begin();
    for (unsigned i = 0; i < XA_DEPOT_SLOTS + 3; i++) {
        magazines[i] = xa_magazines_make_with(10 + i);
        (void)xa_depot_put(&bin.depot, magazines[i], XA_DEPOT_SLOTS);
    }
    assert_true(xa_bin_has_magazine(&bin));
    assert_int_equal(bin.reserve_objects, 0);
    struct xa_magazine *first = xa_bin_take_magazine(&bin);
    assert_non_null(first);
    assert_false(xa_depot_has_stack(&bin.depot));
    assert_int_equal(bin.reserve_objects, 17 + 18 + 19 - first->count);
    struct xa_magazine *second = xa_bin_take_magazine(&bin), *third = xa_bin_take_magazine(&bin);
    assert_non_null(second);
    assert_non_null(third);
    assert_int_equal(first->count + second->count + third->count, 17 + 18 + 19);
    assert_int_equal(bin.reserve_objects, 0);
    assert_false(xa_bin_has_magazine(&bin));
    assert_null(xa_bin_take_magazine(&bin));
    assert_int_equal(xa_depot_objects(&bin.depot), 10 + 11 + 12 + 13 + 14 + 15 + 16);
}

static void
a_reserve_is_trimmed_to_a_bound(void **state)
{
    (void)state;
    begin();
    for (unsigned i = 0; i < XA_DEPOT_SLOTS + 10; i++)
        (void)xa_depot_put(&bin.depot, xa_magazines_make_with(13), XA_DEPOT_SLOTS);
    struct xa_magazine *list = xa_bin_trim_reserve(&bin, 40);
    unsigned count = 0;
    for (; list != NULL; list = list->next)
        count++;
    assert_int_equal(count, 7);
    assert_int_equal(bin.reserve_objects, 39);
    assert_true(xa_bin_has_magazine(&bin));
    assert_null(xa_bin_trim_reserve(&bin, 39));
    assert_non_null(xa_bin_trim_reserve(&bin, 0));
    assert_int_equal(bin.reserve_objects, 0);
}

/* ---- A fork ---- */

static void
lock_and_vanish(unsigned index, void *argument)
{
    (void)index;
    xa_lock_lock(argument);
}

static void
a_bin_cut_by_a_fork_sets_its_slabs_aside(void **state)
{
    void *objects[SLOTS], *fresh[SLOTS];
    (void)state;
    begin();
    uint32_t old = add_slab(ARENA);
    take(objects, 3);
    xa_lock_unlock(&bin.lock);
    xa_bin_reset_in_child(&bin);
    assert_int_equal(bin.generation, 0);
    assert_true(xa_threads_run(1, lock_and_vanish, &bin.lock, SECONDS));
    xa_bin_reset_in_child(&bin);
    assert_int_equal(bin.generation, 1);
    xa_lock_lock(&bin.lock);
    assert_int_equal(xa_bin_take(&bin, fresh, 1), 0);
    /* Frees of the old objects are accepted, and counted as lost. */
    assert_int_equal(give(objects, 3), 3);
    assert_int_equal(released.count, 0);
    assert_int_equal(atomic_load(&bin.counters.lost_objects), 3);
    assert_int_equal(xa_bin_take(&bin, fresh, 1), 0);
    uint32_t slab = add_slab(ARENA);
    take(fresh, SLOTS);
    for (unsigned i = 0; i < SLOTS; i++)
        assert_int_equal(xa_slab_of((uintptr_t)fresh[i]), slab);
    assert_int_not_equal(slab, old);
}

/* ---- Random operations ---- */

struct model {
    void *live[SLABS * SLOTS];
    unsigned live_count;
    unsigned slabs;
};

static void
check(const struct model *model)
{
    size_t free_slots = 0, listed = 0;
    for (unsigned i = 0; i < XA_BIN_LISTS; i++)
        for (uint32_t granule = bin.lists[i]; granule != XA_GRANULE_NONE; listed++) {
            const struct xa_slab *slab = &xa_page_map_record(granule)->as.slab;
            assert_int_equal(slab->list, i);
            /* An eighth more of free slots a list. */
            assert_int_equal((slab->free_slots * 8u - 1) / SLOTS, i);
            free_slots += slab->free_slots;
            granule = slab->next;
        }
    assert_int_equal(xa_bin_taken_slots(&bin.counters), model->live_count);
    assert_int_equal(atomic_load(&bin.counters.slabs), model->slabs);
    assert_int_equal(free_slots, model->slabs * SLOTS - model->live_count);
    assert_true(listed <= model->slabs);
}

static void
take_randomly(struct xa_seed_random *numbers, struct model *model)
{
    unsigned count = 1 + (unsigned)xa_seed_below(numbers, 20);
    if (model->live_count + count > SLABS * SLOTS)
        return;
    unsigned taken = xa_bin_take(&bin, model->live + model->live_count, count);
    for (unsigned i = 0; i < taken; i++)
        for (unsigned j = 0; j < model->live_count + i; j++)
            assert_ptr_not_equal(model->live[model->live_count + i], model->live[j]);
    model->live_count += taken;
    if (taken < count && model->slabs < SLABS) {
        add_slab(ARENA);
        model->slabs++;
    }
}

static void
give_randomly(struct xa_seed_random *numbers, struct model *model)
{
    void *batch[20];
    unsigned count = 1 + (unsigned)xa_seed_below(numbers, 20);
    if (count > model->live_count)
        count = model->live_count;
    for (unsigned i = 0; i < count; i++) {
        unsigned index = (unsigned)xa_seed_below(numbers, model->live_count);
        batch[i] = model->live[index];
        model->live[index] = model->live[--model->live_count];
    }
    assert_int_equal(give(batch, count), count);
    for (unsigned i = 0; i < released.count; i++) {
        assert_int_equal(xa_page_map_record(released.granules[i])->as.slab.free_slots, SLOTS);
        xa_slab_finish(released.granules[i]);
        xa_page_heap_return(&heap, XA_RUN_FOR_SLAB, released.granules[i], 1, 1);
        model->slabs--;
    }
}

static void
random_traffic_keeps_the_lists_and_the_books(void **state)
{
    static struct model model;
    struct xa_seed_random numbers = xa_seed_start(seed, 0);
    (void)state;
    begin();
    for (int round = 0; round < ROUNDS; round++) {
        /* Tides: the bin fills, then empties. */
        bool is_rising = round / 500 % 2 == 0;
        if (xa_seed_below(&numbers, 5) < (is_rising ? 3u : 2u))
            take_randomly(&numbers, &model);
        else
            give_randomly(&numbers, &model);
        check(&model);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(an_empty_bin_has_nothing),
        XA_OS_FAKE_FRESH(a_batch_goes_on_from_slab_to_slab),
        XA_OS_FAKE_FRESH(the_fullest_slab_is_used_first),
        XA_OS_FAKE_FRESH(an_empty_slab_is_released_unless_it_is_the_only_one_with_room),
        XA_OS_FAKE_FRESH(objects_of_another_arena_end_the_batch),
        XA_OS_FAKE_FRESH(freeing_the_inside_of_an_object_is_fatal),
        XA_OS_FAKE_FRESH(freeing_a_free_slot_is_fatal),
        XA_OS_FAKE_FRESH(freeing_into_a_slab_that_is_gone_is_fatal),
        XA_OS_FAKE_FRESH(the_depot_s_stack_becomes_the_reserve),
        XA_OS_FAKE_FRESH(a_reserve_is_trimmed_to_a_bound),
        XA_OS_FAKE_FRESH(a_bin_cut_by_a_fork_sets_its_slabs_aside),
        XA_OS_FAKE_FRESH(random_traffic_keeps_the_lists_and_the_books),
    };
    seed = xa_seed_choose(NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
