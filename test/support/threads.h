/*
 * threads.h - start a team of threads, let them begin together, and join them under a deadline.
 *
 * Joining has a deadline because a thread stuck in the allocator is a failure with a message, not a
 * test that never ends.  The team lives in the caller's memory: nothing here allocates, apart from
 * what pthread_create itself does.
 */
#ifndef XA_TEST_THREADS_H
#define XA_TEST_THREADS_H

#include <pthread.h>
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { XA_THREADS_MAX = 128 };

struct xa_threads;

struct xa_threads_member {
    pthread_t thread;
    struct xa_threads *team;
    unsigned index;
};

struct xa_threads {
    unsigned count;
    void (*function)(unsigned index, void *argument);
    void *argument;
    pthread_barrier_t start;
    struct xa_threads_member members[XA_THREADS_MAX];
};

/* Start `count` threads that run function(index, argument), all beginning at the same moment. */
bool xa_threads_start(struct xa_threads *team, unsigned count,
    void (*function)(unsigned index, void *argument), void *argument);

/* Join all threads within `seconds`.  Returns false, naming the first late one on stderr. */
bool xa_threads_join(struct xa_threads *team, unsigned seconds);

/* Start a team and join it. */
bool xa_threads_run(unsigned count, void (*function)(unsigned index, void *argument),
    void *argument, unsigned seconds);

/* Join one thread within `seconds`; false if it is late. */
bool xa_threads_join_one(pthread_t thread, unsigned seconds);

/*
 * Run the function in a thread of its own, in a child that was forked beside other threads.  With
 * AddressSanitizer it is called: a new thread waits there for locks of the sanitizer's allocator,
 * which a thread may have held that did not come along.  False if there is no thread.
 */
bool xa_threads_run_in_child(void *(*function)(void *), void *argument);

#ifdef __cplusplus
}
#endif

#endif
