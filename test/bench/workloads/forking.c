/*
 * forking.c - fork in a process with a heap and eight threads.
 *
 *   forking heap [MEGABYTES]    256 live; a child uses a little memory and exits
 *
 * The threads have memory of their own and sleep.  An operation is a fork, until the child is gone.
 * Most of it is the kernel's copying of page tables, the same for all whose heaps are of one size.
 */
#include "workload.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    THREADS = 8,
    SLICE_FORKS = 10,
    THREAD_OBJECTS = 1000,
    CHILD_OBJECTS = 100,
    SIZE_MIN = 16,
    SIZE_RANGE = 992,
    SIZE_MEAN = SIZE_MIN + SIZE_RANGE / 2,
};

static pthread_barrier_t all_have_memory;

static size_t
random_size(struct workload_random *random)
{
    return SIZE_MIN + workload_below(random, SIZE_RANGE);
}

static void *
sleep_with_memory(void *argument)
{
    struct workload_random random = workload_seed((uintptr_t)argument);
    void *objects[THREAD_OBJECTS];

    for (size_t i = 0; i < THREAD_OBJECTS; i++)
        objects[i] = workload_allocate(random_size(&random));
    for (size_t i = 0; i < THREAD_OBJECTS; i += 2)
        free(objects[i]);
    pthread_barrier_wait(&all_have_memory);
    for (;;)
        pause();
    return NULL;
}

static void
prepare(struct workload_run *run)
{
    size_t count = run->parameter * 1000000 / SIZE_MEAN;
    for (size_t i = 0; i < count; i++)
        workload_allocate(random_size(&run->random));

    pthread_barrier_init(&all_have_memory, NULL, THREADS + 1);
    for (uintptr_t i = 0; i < THREADS; i++) {
        pthread_t thread;
        int result = pthread_create(&thread, NULL, sleep_with_memory, (void *)(i + 1));
        workload_require(result == 0, "pthread_create");
    }
    pthread_barrier_wait(&all_have_memory);
}

static void
live_as_child(void)
{
    struct workload_random random = workload_seed(THREADS + 1);
    for (size_t i = 0; i < CHILD_OBJECTS; i++)
        free(workload_allocate(random_size(&random)));
    _exit(0);
}

static size_t
slice(struct workload_run *run)
{
    size_t forks = workload_scaled(run, SLICE_FORKS);
    for (size_t i = 0; i < forks; i++) {
        int status;
        pid_t child = fork();
        workload_require(child >= 0, "fork");
        if (child == 0)
            live_as_child();
        workload_require(waitpid(child, &status, 0) == child && status == 0, "the child");
    }
    return forks;
}

static const struct workload_case cases[] = {
    {"heap", 256, 10000, 1, 9, prepare, slice, NULL},
};

int
main(int argument_count, char **arguments)
{
    return workload_main(argument_count, arguments, cases, sizeof cases / sizeof cases[0]);
}
