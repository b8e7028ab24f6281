/*
 * atomic_byte_test.c - the exchange of a byte by way of the word around it.
 *
 * Each byte of a word is exchanged for each value: the result is what was there, and the
 * neighbours stay.  Then threads exchange bytes of one word: none loses what another wrote.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/atomic_byte.h"

enum { BYTES = 8, ROUNDS = 20000 };

static _Alignas(uint64_t) _Atomic uint8_t bytes[BYTES];

static void
a_byte_is_exchanged_and_its_neighbours_stay(void **state)
{
    (void)state;
    for (unsigned i = 0; i < BYTES; i++)
        for (unsigned value = 0; value < 256; value++) {
            for (unsigned j = 0; j < BYTES; j++)
                bytes[j] = (uint8_t)(0xa0 + j);
            uint8_t before =
                xa_atomic_byte_exchange(&bytes[i], (uint8_t)value, memory_order_seq_cst);
            assert_int_equal(before, 0xa0 + i);
            for (unsigned j = 0; j < BYTES; j++)
                assert_int_equal(bytes[j], j == i ? value : 0xa0 + j);
        }
}

/* Count up in a byte of its own; the number of times that it was not as this thread left it. */
static void *
count_up(void *byte)
{
    uintptr_t surprises = 0;
    for (unsigned i = 1; i <= ROUNDS; i++)
        if (xa_atomic_byte_exchange(byte, (uint8_t)i, memory_order_relaxed) != (uint8_t)(i - 1))
            surprises++;
    return (void *)surprises;
}

static void
threads_that_exchange_neighbours_lose_nothing(void **state)
{
    (void)state;
    pthread_t threads[4];
    for (unsigned i = 0; i < 4; i++)
        bytes[i] = 0;
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_up, (void *)&bytes[i]), 0);
    for (unsigned i = 0; i < 4; i++) {
        void *surprises;
        assert_int_equal(pthread_join(threads[i], &surprises), 0);
        assert_ptr_equal(surprises, NULL);
        assert_int_equal(bytes[i], (uint8_t)ROUNDS);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_byte_is_exchanged_and_its_neighbours_stay),
        cmocka_unit_test(threads_that_exchange_neighbours_lose_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
