/*
 * decay_test.c - how much may be kept as time goes by: less and less, smoothly, then nothing.
 */
#include "page/decay.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>

#include <cmocka.h>

#include "support/seed.h"

enum {
    TIME_MS = 3200,
    EPOCH_MS = TIME_MS / XA_DECAY_EPOCHS,
    START_MS = 1000,
    AMOUNT = 1 << 30,
};

static uint64_t seed;

/* What is left of `amount` at a time, as a caller keeps it that always obeys. */
static size_t
obey(struct xa_decay *decay, uint64_t now_ms, size_t amount)
{
    size_t limit = xa_decay_limit(decay, now_ms, amount);
    return amount < limit ? amount : limit;
}

static void
nothing_kept_stays_nothing(void **state)
{
    struct xa_decay decay;
    (void)state;
    xa_decay_init(&decay, TIME_MS, START_MS);
    for (uint64_t now = START_MS; now < START_MS + 3 * TIME_MS; now += 17)
        assert_int_equal(obey(&decay, now, 0), 0);
}

static void
what_is_kept_falls_and_never_rises(void **state)
{
    struct xa_decay decay;
    size_t kept = AMOUNT;
    (void)state;
    xa_decay_init(&decay, TIME_MS, START_MS);
    for (uint64_t now = START_MS; now <= START_MS + 2 * TIME_MS; now += 7) {
        size_t left = obey(&decay, now, kept);
        assert_true(left <= kept);
        kept = left;
    }
    assert_int_equal(kept, 0);
}

static void
nothing_is_left_after_the_time(void **state)
{
    static const int64_t times[] = {1, 31, 32, 33, 1000, 10000, INT64_C(31536000000)};
    (void)state;
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        struct xa_decay decay;
        xa_decay_init(&decay, times[i], START_MS);
        uint64_t epoch = (uint64_t)times[i] / XA_DECAY_EPOCHS + 1;
        size_t kept = AMOUNT;
        /* Looked at in every epoch; what came in one epoch is judged at its end. */
        for (unsigned step = 0; step <= XA_DECAY_EPOCHS + 2; step++)
            kept = obey(&decay, START_MS + step * epoch, kept);
        assert_int_equal(kept, 0);
    }
}

static void
a_long_sleep_is_as_good_as_many_looks(void **state)
{
    struct xa_decay decay;
    (void)state;
    xa_decay_init(&decay, TIME_MS, START_MS);
    size_t kept = obey(&decay, START_MS + EPOCH_MS, AMOUNT);
    assert_true(kept > AMOUNT / 2);
    assert_int_equal(obey(&decay, START_MS + 100 * TIME_MS, kept), 0);
}

static void
the_fall_is_smooth(void **state)
{
    struct xa_decay decay;
    size_t kept = AMOUNT, largest_step = 0;
    (void)state;
    xa_decay_init(&decay, TIME_MS, START_MS);
    kept = obey(&decay, START_MS + EPOCH_MS, kept);
    /* Flat at the beginning and at the end, steepest in the middle. */
    assert_true(kept > AMOUNT - AMOUNT / 100);
    for (unsigned epoch = 2; epoch <= XA_DECAY_EPOCHS + 1; epoch++) {
        size_t left = obey(&decay, START_MS + epoch * EPOCH_MS, kept);
        if (kept - left > largest_step)
            largest_step = kept - left;
        if (epoch == XA_DECAY_EPOCHS / 2 + 1)
            assert_in_range(left, AMOUNT / 3, AMOUNT * 2u / 3);
        if (epoch == XA_DECAY_EPOCHS)
            assert_true(left < AMOUNT / 100);
        kept = left;
    }
    assert_true(largest_step < AMOUNT / 12);
}

static void
within_an_epoch_everything_may_be_kept(void **state)
{
    struct xa_decay decay;
    (void)state;
    xa_decay_init(&decay, TIME_MS, START_MS);
    for (uint64_t now = START_MS; now < START_MS + EPOCH_MS; now++) {
        assert_true(xa_decay_limit(&decay, now, AMOUNT) >= AMOUNT);
        assert_int_equal(xa_decay_deadline_ms(&decay), START_MS + EPOCH_MS);
    }
    (void)xa_decay_limit(&decay, START_MS + EPOCH_MS, AMOUNT);
    assert_int_equal(xa_decay_deadline_ms(&decay), START_MS + 2 * EPOCH_MS);
}

static void
what_comes_later_goes_later(void **state)
{
    struct xa_decay decay;
    (void)state;
    xa_decay_init(&decay, TIME_MS, START_MS);
    size_t kept = obey(&decay, START_MS + EPOCH_MS, AMOUNT);
    /* Half a time later as much again is added. */
    uint64_t now = START_MS + EPOCH_MS + TIME_MS / 2;
    kept = obey(&decay, now, kept) + AMOUNT;
    for (now += EPOCH_MS; now <= START_MS + 2 * EPOCH_MS + TIME_MS; now += EPOCH_MS)
        kept = obey(&decay, now, kept);
    /* The first amount is gone, the second half way. */
    assert_in_range(kept, AMOUNT / 4, AMOUNT * 3u / 4);
}

static void
never_means_never_and_at_once_means_at_once(void **state)
{
    struct xa_decay decay;
    (void)state;
    xa_decay_init(&decay, -1, START_MS);
    assert_int_equal(xa_decay_limit(&decay, UINT64_MAX / 2, AMOUNT), SIZE_MAX);
    assert_int_equal(xa_decay_deadline_ms(&decay), UINT64_MAX);
    xa_decay_init(&decay, 0, START_MS);
    assert_int_equal(xa_decay_limit(&decay, START_MS, AMOUNT), 0);
    assert_true(xa_decay_deadline_ms(&decay) <= START_MS);
}

static void
huge_amounts_do_not_overflow(void **state)
{
    struct xa_decay decay;
    size_t kept = SIZE_MAX / 2;
    (void)state;
    xa_decay_init(&decay, TIME_MS, START_MS);
    for (unsigned epoch = 1; epoch <= XA_DECAY_EPOCHS + 1; epoch++) {
        size_t left = obey(&decay, START_MS + epoch * EPOCH_MS, kept);
        assert_true(left <= kept);
        kept = left;
    }
    assert_int_equal(kept, 0);
}

/*
 * Whatever comes and goes: nothing is kept longer than the time and the epoch in
 * which it came, so what is kept is at most what came in that span.
 */
static void
nothing_outlives_the_time_under_random_traffic(void **state)
{
    enum { ROUNDS = 20000, SPAN = TIME_MS + 2 * EPOCH_MS, HISTORY = 2 * SPAN };
    static size_t added[HISTORY];
    struct xa_seed_random numbers = xa_seed_start(seed, 0);
    struct xa_decay decay;
    size_t kept = 0;
    (void)state;
    xa_decay_init(&decay, TIME_MS, 0);
    for (uint64_t now = 0; now < ROUNDS; now++) {
        added[now % HISTORY] = 0;
        if (xa_seed_below(&numbers, 20) == 0) {
            size_t amount = xa_seed_below(&numbers, 1000);
            kept += amount;
            added[now % HISTORY] = amount;
        }
        if (xa_seed_below(&numbers, 30) == 0)
            kept -= xa_seed_below(&numbers, kept + 1);
        kept = obey(&decay, now, kept);
        size_t recent = 0;
        for (unsigned age = 0; age <= SPAN && age <= now; age++)
            recent += added[(now - age) % HISTORY];
        assert_true(kept <= recent);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_kept_stays_nothing),
        cmocka_unit_test(what_is_kept_falls_and_never_rises),
        cmocka_unit_test(nothing_is_left_after_the_time),
        cmocka_unit_test(a_long_sleep_is_as_good_as_many_looks),
        cmocka_unit_test(the_fall_is_smooth),
        cmocka_unit_test(within_an_epoch_everything_may_be_kept),
        cmocka_unit_test(what_comes_later_goes_later),
        cmocka_unit_test(never_means_never_and_at_once_means_at_once),
        cmocka_unit_test(huge_amounts_do_not_overflow),
        cmocka_unit_test(nothing_outlives_the_time_under_random_traffic),
    };
    seed = xa_seed_choose(NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
