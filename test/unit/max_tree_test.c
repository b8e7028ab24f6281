/*
 * max_tree_test.c - the first and last leaf of at least a value, against a linear search.
 */
#include "base/max_tree.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <string.h>

#include "support/seed.h"

enum { LEAVES_MAX = 1024, ROUNDS = 20000 };

static uint8_t memory[2][2 * LEAVES_MAX];
static uint8_t model[LEAVES_MAX];
static struct xa_max_tree tree;
static uint64_t seed;
static struct xa_seed_random numbers;

static int
begin(void **state)
{
    (void)state;
    memset(memory, 0xee, sizeof memory);
    memset(model, 0, sizeof model);
    tree = (struct xa_max_tree){0};
    numbers = xa_seed_start(seed, 0);
    return 0;
}

static void
grow(size_t capacity)
{
    uint8_t *target = tree.nodes == memory[0] ? memory[1] : memory[0];
    assert_true(xa_max_tree_bytes(capacity) <= sizeof memory[0]);
    xa_max_tree_grow(&tree, target, capacity);
}

static size_t
first_from(size_t from, uint8_t value)
{
    for (size_t i = from; i < tree.capacity; i++)
        if (model[i] >= value)
            return i;
    return XA_MAX_TREE_NOT_FOUND;
}

static size_t
last_before(size_t end, uint8_t value)
{
    for (size_t i = end < tree.capacity ? end : tree.capacity; i-- > 0;)
        if (model[i] >= value)
            return i;
    return XA_MAX_TREE_NOT_FOUND;
}

static void
compare(void)
{
    for (unsigned value = 1; value <= 255; value += value < 8 ? 1 : 31) {
        assert_int_equal(xa_max_tree_find_last(&tree, SIZE_MAX, (uint8_t)value),
            last_before(SIZE_MAX, (uint8_t)value));
        for (size_t from = 0; from <= tree.capacity; from++) {
            assert_int_equal(
                xa_max_tree_find(&tree, from, (uint8_t)value), first_from(from, (uint8_t)value));
            assert_int_equal(xa_max_tree_find_last(&tree, from, (uint8_t)value),
                last_before(from, (uint8_t)value));
        }
    }
}

static void
an_empty_tree_finds_nothing(void **state)
{
    (void)state;
    assert_int_equal(xa_max_tree_find(&tree, 0, 1), XA_MAX_TREE_NOT_FOUND);
    assert_int_equal(xa_max_tree_find_last(&tree, SIZE_MAX, 1), XA_MAX_TREE_NOT_FOUND);
    assert_int_equal(xa_max_tree_get(&tree, 0), 0);
    grow(1);
    compare();
    xa_max_tree_set(&tree, 0, model[0] = 9);
    compare();
}

static void
every_answer_is_that_of_a_linear_search(void **state)
{
    (void)state;
    for (size_t capacity = 1; capacity <= 64; capacity *= 2) {
        grow(capacity);
        for (int round = 0; round < 200; round++) {
            size_t index = xa_seed_below(&numbers, capacity);
            /* Small values often, so that many leaves are equal. */
            size_t bound = xa_seed_below(&numbers, 2) ? 256 : 4;
            model[index] = (uint8_t)xa_seed_below(&numbers, bound);
            xa_max_tree_set(&tree, index, model[index]);
            assert_int_equal(xa_max_tree_get(&tree, index), model[index]);
            compare();
        }
    }
}

static void
growing_keeps_every_leaf(void **state)
{
    (void)state;
    for (size_t capacity = 1; capacity <= LEAVES_MAX; capacity *= 2) {
        grow(capacity);
        for (size_t i = 0; i < capacity; i++)
            assert_int_equal(xa_max_tree_get(&tree, i), model[i]);
        assert_int_equal(xa_max_tree_get(&tree, capacity), 0);
        for (int i = 0; i < 20; i++) {
            size_t index = xa_seed_below(&numbers, capacity);
            model[index] = (uint8_t)xa_seed_below(&numbers, 256);
            xa_max_tree_set(&tree, index, model[index]);
        }
    }
    compare();
}

static void
random_changes_of_a_large_tree_agree(void **state)
{
    (void)state;
    grow(LEAVES_MAX);
    for (int round = 0; round < ROUNDS; round++) {
        size_t index = xa_seed_below(&numbers, LEAVES_MAX);
        model[index] = xa_seed_below(&numbers, 8) ? 0 : (uint8_t)xa_seed_below(&numbers, 256);
        xa_max_tree_set(&tree, index, model[index]);
        size_t from = xa_seed_below(&numbers, LEAVES_MAX);
        uint8_t value = (uint8_t)(1 + xa_seed_below(&numbers, 255));
        assert_int_equal(xa_max_tree_find(&tree, from, value), first_from(from, value));
        assert_int_equal(xa_max_tree_find_last(&tree, from, value), last_before(from, value));
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(an_empty_tree_finds_nothing, begin),
        cmocka_unit_test_setup(every_answer_is_that_of_a_linear_search, begin),
        cmocka_unit_test_setup(growing_keeps_every_leaf, begin),
        cmocka_unit_test_setup(random_changes_of_a_large_tree_agree, begin),
    };
    seed = xa_seed_choose(NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
