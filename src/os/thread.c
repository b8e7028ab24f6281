/*
 * thread.c - see thread.h.
 *
 * What a new thread is to do waits for it in one of a few places, since two may be started at
 * a time, and nothing here can ask for memory.
 */
#include "os/thread.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>

enum { STACK_BYTES = 128 * 1024, PLACES = 4 };

static struct place {
    atomic_bool is_taken;
    void (*body)(void);
    const char *name;
} places[PLACES];

static struct place *
take_place(void)
{
    for (unsigned i = 0; i < PLACES; i++)
        if (!atomic_exchange_explicit(&places[i].is_taken, true, memory_order_acquire))
            return &places[i];
    return NULL;
}

static void
return_place(struct place *place)
{
    atomic_store_explicit(&place->is_taken, false, memory_order_release);
}

static void *
run(void *argument)
{
    struct place *place = argument;
    void (*body)(void) = place->body;
    (void)prctl(PR_SET_NAME, (unsigned long)place->name, 0, 0, 0);
    return_place(place);
    body();
    return NULL;
}

/* All signals are blocked in the caller, and so in the new thread. */
static bool
create(const pthread_attr_t *attributes, const char *name, void (*body)(void))
{
    pthread_t thread;
    struct place *place = take_place();
    if (place == NULL)
        return false;
    place->name = name;
    place->body = body;
    if (pthread_create(&thread, attributes, run, place) == 0)
        return true;
    return_place(place);
    return false;
}

bool
xa_thread_start(const char *name, void (*body)(void))
{
    int saved = errno;
    pthread_attr_t attributes;
    sigset_t all, before;
    if (pthread_attr_init(&attributes) != 0)
        return false;
    /* The new thread inherits the mask: there is no moment when a signal could reach it. */
    sigfillset(&all);
    bool started = pthread_attr_setstacksize(&attributes, STACK_BYTES) == 0 &&
        pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED) == 0 &&
        pthread_sigmask(SIG_SETMASK, &all, &before) == 0;
    if (started) {
        started = create(&attributes, name, body);
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    (void)pthread_attr_destroy(&attributes);
    errno = saved;
    return started;
}
