/*
 * thread_exit.c - see thread_exit.h.
 */
#include "os/thread_exit.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

enum state {
    NOT_YET,
    WITHOUT_KEY, /* the process has none left */
    READY,
};

static pthread_key_t key;      /* [c] after state is READY */
static _Atomic unsigned state; /* [a] enum state */

bool
xa_thread_exit_init(void (*at_exit)(void *))
{
    int saved = errno;
    bool has_key = pthread_key_create(&key, at_exit) == 0;
    /* Release: whoever sees it finds the key. */
    atomic_store_explicit(&state, has_key ? READY : WITHOUT_KEY, memory_order_release);
    errno = saved;
    return has_key;
}

bool
xa_thread_exit_arm(void *argument)
{
    int saved = errno;
    /* Acquire: the key, which another thread may have made. */
    unsigned now = atomic_load_explicit(&state, memory_order_acquire);
    bool is_settled = now == READY ? pthread_setspecific(key, argument) == 0 : now == WITHOUT_KEY;
    errno = saved;
    return is_settled;
}
