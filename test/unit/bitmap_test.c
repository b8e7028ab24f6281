/*
 * bitmap_test.c - sets of 256 numbers against an array of bools.
 *
 * The words are random with runs of every length; each question is asked of both.
 */
#include "base/bitmap.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <string.h>

#include "support/seed.h"

enum { BITS = XA_BITMAP_BITS, ROUNDS = 2000 };

static struct xa_bitmap map;
static bool model[BITS];
static uint64_t seed;
static struct xa_seed_random numbers;

static void
check_bits(void)
{
    for (unsigned i = 0; i < BITS; i++)
        assert_int_equal(xa_bitmap_has(&map, i), model[i]);
}

static void
set_range(unsigned first, unsigned count, bool value)
{
    if (value)
        xa_bitmap_set(&map, first, count);
    else
        xa_bitmap_clear(&map, first, count);
    for (unsigned i = first; i < first + count; i++)
        model[i] = value;
}

/* A map of runs, most of them short in some rounds and long in others. */
static void
fill_randomly(void)
{
    memset(&map, 0, sizeof map);
    memset(model, 0, sizeof model);
    size_t longest = (size_t)1 << xa_seed_below(&numbers, 9);
    bool value = xa_seed_below(&numbers, 2) != 0;
    for (unsigned at = 0; at < BITS; value = !value) {
        unsigned length = 1 + (unsigned)xa_seed_below(&numbers, longest);
        if (length > BITS - at)
            length = BITS - at;
        set_range(at, length, value);
        at += length;
    }
}

static unsigned
run_at(unsigned bit)
{
    unsigned length = 0;
    while (bit + length < BITS && model[bit + length])
        length++;
    return length;
}

static int
begin(void **state)
{
    (void)state;
    numbers = xa_seed_start(seed, 0);
    memset(&map, 0, sizeof map);
    memset(model, 0, sizeof model);
    return 0;
}

static void
every_range_sets_and_clears_its_bits_only(void **state)
{
    (void)state;
    for (unsigned first = 0; first < BITS; first += 5) {
        for (unsigned count = 0; first + count <= BITS; count += 7) {
            set_range(first, count, true);
            check_bits();
            assert_int_equal(xa_bitmap_count(&map, 0, BITS), count);
            assert_int_equal(xa_bitmap_count(&map, first, count), count);
            set_range(first, count / 2, false);
            check_bits();
            set_range(first, count, false);
        }
    }
    set_range(0, BITS, true);
    check_bits();
    assert_int_equal(xa_bitmap_longest_run(&map), BITS);
}

static void
counting_agrees_for_every_range(void **state)
{
    (void)state;
    for (int round = 0; round < 20; round++) {
        fill_randomly();
        for (unsigned first = 0; first < BITS; first++) {
            unsigned sum = 0;
            for (unsigned end = first; end <= BITS; end++) {
                assert_int_equal(xa_bitmap_count(&map, first, end - first), sum);
                sum += end < BITS && model[end];
            }
        }
    }
}

static void
finding_agrees_from_every_bit(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        fill_randomly();
        unsigned next_set = BITS, next_clear = BITS;
        for (unsigned from = BITS + 1; from-- > 0;) {
            if (from < BITS && model[from])
                next_set = from;
            if (from < BITS && !model[from])
                next_clear = from;
            assert_int_equal(xa_bitmap_find(&map, from), next_set);
            assert_int_equal(xa_bitmap_find_clear(&map, from), next_clear);
        }
    }
}

static void
the_run_around_a_bit_is_the_one_it_lies_in(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        fill_randomly();
        for (unsigned bit = 0; bit < BITS; bit++) {
            unsigned start = bit;
            while (start > 0 && model[bit] && model[start - 1])
                start--;
            assert_int_equal(xa_bitmap_run_around(&map, bit), model[bit] ? run_at(start) : 0);
        }
    }
}

static void
the_longest_run_is_as_long_as_the_longest(void **state)
{
    (void)state;
    assert_int_equal(xa_bitmap_longest_run(&map), 0);
    for (int round = 0; round < ROUNDS; round++) {
        fill_randomly();
        unsigned longest = 0;
        for (unsigned bit = 0; bit < BITS; bit++)
            longest = run_at(bit) > longest ? run_at(bit) : longest;
        assert_int_equal(xa_bitmap_longest_run(&map), longest);
    }
}

static unsigned
first_run(unsigned count, unsigned alignment)
{
    for (unsigned bit = 0; bit + count <= BITS; bit += alignment)
        if (run_at(bit) >= count)
            return bit;
    return XA_BITMAP_NOT_FOUND;
}

static void
the_lowest_aligned_run_that_is_long_enough_is_found(void **state)
{
    (void)state;
    for (int round = 0; round < 100; round++) {
        fill_randomly();
        for (unsigned count = 1; count <= BITS; count += count < 20 ? 1 : 9)
            for (unsigned alignment = 1; alignment <= BITS; alignment *= 2)
                assert_int_equal(
                    xa_bitmap_find_run(&map, count, alignment), first_run(count, alignment));
    }
}

static void
two_maps_have_what_both_have(void **state)
{
    (void)state;
    fill_randomly();
    struct xa_bitmap other = map;
    bool other_model[BITS];
    memcpy(other_model, model, sizeof model);
    fill_randomly();
    struct xa_bitmap both = xa_bitmap_and(&map, &other);
    for (unsigned i = 0; i < BITS; i++)
        assert_int_equal(xa_bitmap_has(&both, i), model[i] && other_model[i]);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(every_range_sets_and_clears_its_bits_only, begin),
        cmocka_unit_test_setup(counting_agrees_for_every_range, begin),
        cmocka_unit_test_setup(finding_agrees_from_every_bit, begin),
        cmocka_unit_test_setup(the_run_around_a_bit_is_the_one_it_lies_in, begin),
        cmocka_unit_test_setup(the_longest_run_is_as_long_as_the_longest, begin),
        cmocka_unit_test_setup(the_lowest_aligned_run_that_is_long_enough_is_found, begin),
        cmocka_unit_test_setup(two_maps_have_what_both_have, begin),
    };
    seed = xa_seed_choose(NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
