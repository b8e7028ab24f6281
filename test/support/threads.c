/*
 * threads.c - a team of threads that begins together and is joined under a deadline.
 */
#define _GNU_SOURCE

#include "threads.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* Of AddressSanitizer, if it is there. */
extern void __asan_init(void) __attribute__((weak));

static void *
run_member(void *argument)
{
    struct xa_threads_member *member = argument;

    pthread_barrier_wait(&member->team->start);
    member->team->function(member->index, member->team->argument);
    return NULL;
}

bool
xa_threads_start(struct xa_threads *team, unsigned count,
    void (*function)(unsigned index, void *argument), void *argument)
{
    if (count == 0 || count > XA_THREADS_MAX)
        return false;
    team->count = count;
    team->function = function;
    team->argument = argument;
    if (pthread_barrier_init(&team->start, NULL, count) != 0)
        return false;
    for (unsigned i = 0; i < count; i++) {
        struct xa_threads_member *member = &team->members[i];
        int error;

        member->team = team;
        member->index = i;
        error = pthread_create(&member->thread, NULL, run_member, member);
        if (error != 0) {
            fprintf(stderr, "pthread_create of thread %u of %u: %s\n", i, count, strerror(error));
            return false;
        }
    }
    return true;
}

static bool
join_until(pthread_t thread, const struct timespec *deadline)
{
    return pthread_timedjoin_np(thread, NULL, deadline) == 0;
}

bool
xa_threads_join(struct xa_threads *team, unsigned seconds)
{
    struct timespec deadline;

    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += seconds;
    for (unsigned i = 0; i < team->count; i++) {
        if (!join_until(team->members[i].thread, &deadline)) {
            fprintf(
                stderr, "thread %u of %u did not end within %u seconds\n", i, team->count, seconds);
            return false;
        }
    }
    pthread_barrier_destroy(&team->start);
    return true;
}

bool
xa_threads_run(unsigned count, void (*function)(unsigned index, void *argument), void *argument,
    unsigned seconds)
{
    /* The calling thread waits for the team, so that its stack frame outlives every member. */
    struct xa_threads team;

    return xa_threads_start(&team, count, function, argument) && xa_threads_join(&team, seconds);
}

bool
xa_threads_join_one(pthread_t thread, unsigned seconds)
{
    struct timespec deadline;

    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += seconds;
    return join_until(thread, &deadline);
}

bool
xa_threads_run_in_child(void *(*function)(void *), void *argument)
{
    pthread_t thread;

    if (__asan_init != NULL) {
        (void)function(argument);
        return true;
    }
    return pthread_create(&thread, NULL, function, argument) == 0 &&
        pthread_join(thread, NULL) == 0;
}
