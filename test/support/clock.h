/*
 * clock.h - the time that passes, in seconds.
 *
 * A header alone, since programs include it that are built from one file (test/stress/scenarios).
 * Include it after _GNU_SOURCE is defined.
 */
#ifndef XA_TEST_CLOCK_H
#define XA_TEST_CLOCK_H

#include <errno.h>
#include <time.h>

static inline double
xa_clock_seconds(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Returns at once if it is that late already. */
static inline void
xa_clock_sleep_until(double seconds)
{
    struct timespec time = {.tv_sec = (time_t)seconds};
    time.tv_nsec = (long)((seconds - (double)time.tv_sec) * 1e9);
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL) == EINTR)
        ;
}

#endif
