/*
 * thread_exit.c - see thread_exit.h.
 */
#include "os/thread_exit.h"

#include <errno.h>
#include <pthread.h>

static pthread_key_t key;
static bool has_key; /* [c] after xa_thread_exit_init() */

bool
xa_thread_exit_init(void (*at_exit)(void *))
{
    int saved = errno;
    has_key = pthread_key_create(&key, at_exit) == 0;
    errno = saved;
    return has_key;
}

void
xa_thread_exit_arm(void *argument)
{
    int saved = errno;
    if (has_key)
        (void)pthread_setspecific(key, argument);
    errno = saved;
}
