/*
 * depot_test.c - exchanging magazines: seven slots, a stack, and nothing lost between threads.
 */
#include "arena/depot.h"

#include "support/os_fake.h"

#include <string.h>

#include "support/magazines.h"
#include "support/seed.h"
#include "support/threads.h"

enum {
    THREADS = 4,
    MAGAZINES = 200,
    ROUNDS = 30000,
    SECONDS = 120,
};

static struct xa_depot depot;
static uint64_t seed;

static void
an_empty_depot_has_nothing(void **state)
{
    (void)state;
    assert_null(xa_depot_take(&depot));
    assert_null(xa_depot_take_stack(&depot));
    assert_false(xa_depot_has_stack(&depot));
    assert_int_equal(xa_depot_objects(&depot), 0);
    assert_int_equal(sizeof depot, 64);
}

static void
the_first_seven_go_to_slots(void **state)
{
    struct xa_magazine *magazines[XA_DEPOT_SLOTS];
    (void)state;
    xa_os_init();
    for (unsigned i = 0; i < XA_DEPOT_SLOTS; i++) {
        magazines[i] = xa_magazines_make_with(i + 1);
        assert_int_equal(xa_depot_put(&depot, magazines[i], XA_DEPOT_SLOTS), 0);
    }
    assert_false(xa_depot_has_stack(&depot));
    assert_int_equal(xa_depot_objects(&depot), 28);
    unsigned sum = 0;
    for (unsigned i = 0; i < XA_DEPOT_SLOTS; i++) {
        struct xa_magazine *magazine = xa_depot_take(&depot);
        assert_non_null(magazine);
        sum += atomic_load(&magazine->count);
        atomic_store(&magazine->count, 0);
    }
    assert_int_equal(sum, 28);
    assert_null(xa_depot_take(&depot));
    assert_int_equal(xa_depot_objects(&depot), 0);
}

static void
further_ones_are_stacked_with_their_number(void **state)
{
    (void)state;
    xa_os_init();
    for (unsigned i = 0; i < XA_DEPOT_SLOTS; i++)
        assert_int_equal(xa_depot_put(&depot, xa_magazines_make_with(1), XA_DEPOT_SLOTS), 0);
    struct xa_magazine *first = xa_magazines_make_with(10), *second = xa_magazines_make_with(3);
    assert_int_equal(xa_depot_put(&depot, first, XA_DEPOT_SLOTS), 10);
    assert_int_equal(xa_depot_put(&depot, second, XA_DEPOT_SLOTS), 13);
    assert_true(xa_depot_has_stack(&depot));
    assert_int_equal(xa_depot_objects(&depot), 20);
    struct xa_magazine *stack = xa_depot_take_stack(&depot);
    assert_ptr_equal(stack, second);
    assert_ptr_equal(stack->next, first);
    assert_null(first->next);
    assert_null(xa_depot_take_stack(&depot));
    assert_int_equal(xa_depot_objects(&depot), 7);
    /* The number begins anew. */
    assert_int_equal(xa_depot_put(&depot, first, XA_DEPOT_SLOTS), 10);
}

static void
a_look_tells_whether_anything_came_or_went(void **state)
{
    size_t seen[XA_DEPOT_SLOTS + 4];
    (void)state;
    xa_os_init();
    seen[0] = xa_depot_look(&depot);
    assert_int_equal(seen[0], 0);
    for (unsigned i = 1; i < XA_DEPOT_SLOTS + 4; i++) {
        (void)xa_depot_put(&depot, xa_magazines_make_with(13), XA_DEPOT_SLOTS);
        seen[i] = xa_depot_look(&depot);
        assert_int_equal(xa_depot_look(&depot), seen[i]);
        for (unsigned j = 0; j < i; j++)
            assert_int_not_equal(seen[i], seen[j]);
    }
    /* The same magazine in another slot is a change as well. */
    struct xa_magazine *first = xa_depot_take(&depot), *second = xa_depot_take(&depot);
    (void)xa_depot_put(&depot, second, XA_DEPOT_SLOTS);
    (void)xa_depot_put(&depot, first, XA_DEPOT_SLOTS);
    assert_int_not_equal(xa_depot_look(&depot), seen[XA_DEPOT_SLOTS + 3]);
}

static void
a_free_slot_is_preferred_to_the_stack(void **state)
{
    (void)state;
    xa_os_init();
    for (unsigned i = 0; i <= XA_DEPOT_SLOTS; i++)
        (void)xa_depot_put(&depot, xa_magazines_make_with(1), XA_DEPOT_SLOTS);
    assert_non_null(xa_depot_take(&depot));
    assert_int_equal(xa_depot_put(&depot, xa_magazines_make_with(1), XA_DEPOT_SLOTS), 0);
    assert_int_equal(xa_depot_put(&depot, xa_magazines_make_with(1), XA_DEPOT_SLOTS), 2);
}

static void
the_number_on_the_stack_stops_at_what_it_can_say(void **state)
{
    (void)state;
    xa_os_init();
    for (unsigned i = 0; i < XA_DEPOT_SLOTS; i++)
        (void)xa_depot_put(&depot, xa_magazines_make_with(1), XA_DEPOT_SLOTS);
    size_t number = 0;
    struct xa_magazine *last = NULL;
    for (unsigned i = 0; i < 5100; i++)
        number = xa_depot_put(&depot, last = xa_magazines_make_with(13), XA_DEPOT_SLOTS);
    assert_int_equal(number, 65535);
    assert_ptr_equal(xa_depot_take_stack(&depot), last);
}

/* Magazines 0 … MAGAZINES-1, told apart by their kind of mark: who holds each now. */
struct traffic {
    struct xa_magazine *magazines[MAGAZINES];
    _Atomic int holders[MAGAZINES]; /* 0: in the depot */
    _Atomic unsigned faults;
};

static unsigned
number_of(const struct traffic *traffic, const struct xa_magazine *magazine)
{
    for (unsigned i = 0; i < MAGAZINES; i++)
        if (traffic->magazines[i] == magazine)
            return i;
    return MAGAZINES;
}

static void
receive(struct traffic *traffic, struct xa_magazine **held, unsigned *count,
    struct xa_magazine *magazine)
{
    unsigned number = number_of(traffic, magazine);
    if (number == MAGAZINES || atomic_exchange(&traffic->holders[number], 1) != 0) {
        atomic_fetch_add(&traffic->faults, 1);
        return;
    }
    /* The contents came along: written by whoever put it, not atomically. */
    if (magazine->slots[0] != (void *)magazine->slots[1])
        atomic_fetch_add(&traffic->faults, 1);
    held[(*count)++] = magazine;
}

static void
exchange(unsigned index, void *argument)
{
    struct traffic *traffic = argument;
    struct xa_seed_random numbers = xa_seed_start(seed, index);
    struct xa_magazine *held[MAGAZINES];
    unsigned count = 0;
    for (unsigned i = index; i < MAGAZINES; i += THREADS)
        held[count++] = traffic->magazines[i];
    for (int round = 0; round < ROUNDS; round++) {
        if (xa_seed_below(&numbers, 2) && count > 0) {
            struct xa_magazine *magazine = held[--count];
            magazine->slots[0] = magazine->slots[1] = (void *)(uintptr_t)xa_seed_next(&numbers);
            atomic_store(&traffic->holders[number_of(traffic, magazine)], 0);
            (void)xa_depot_put(&depot, magazine, XA_DEPOT_SLOTS);
        } else if (xa_seed_below(&numbers, 50) == 0) {
            struct xa_magazine *next, *list = xa_depot_take_stack(&depot);
            for (; list != NULL; list = next) {
                next = list->next;
                receive(traffic, held, &count, list);
            }
        } else {
            struct xa_magazine *magazine = xa_depot_take(&depot);
            if (magazine != NULL)
                receive(traffic, held, &count, magazine);
        }
    }
    while (count > 0) {
        atomic_store(&traffic->holders[number_of(traffic, held[--count])], 0);
        (void)xa_depot_put(&depot, held[count], XA_DEPOT_SLOTS);
    }
}

static void
threads_lose_and_double_no_magazine(void **state)
{
    static struct traffic traffic;
    (void)state;
    xa_os_init();
    for (unsigned i = 0; i < MAGAZINES; i++) {
        traffic.magazines[i] = xa_magazines_make_with(3);
        atomic_store(&traffic.holders[i], 1);
    }
    assert_true(xa_threads_run(THREADS, exchange, &traffic, SECONDS));
    assert_int_equal(traffic.faults, 0);
    assert_int_equal(xa_depot_objects(&depot), 3 * MAGAZINES);
    unsigned found = 0;
    while (xa_depot_take(&depot) != NULL)
        found++;
    for (struct xa_magazine *list = xa_depot_take_stack(&depot); list != NULL; list = list->next)
        found++;
    assert_int_equal(found, MAGAZINES);
    for (unsigned i = 0; i < MAGAZINES; i++)
        assert_int_equal(traffic.holders[i], 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(an_empty_depot_has_nothing),
        XA_OS_FAKE_FRESH(the_first_seven_go_to_slots),
        XA_OS_FAKE_FRESH(further_ones_are_stacked_with_their_number),
        XA_OS_FAKE_FRESH(a_look_tells_whether_anything_came_or_went),
        XA_OS_FAKE_FRESH(a_free_slot_is_preferred_to_the_stack),
        XA_OS_FAKE_FRESH(the_number_on_the_stack_stops_at_what_it_can_say),
        XA_OS_FAKE_FRESH(threads_lose_and_double_no_magazine),
    };
    seed = xa_seed_choose(NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
