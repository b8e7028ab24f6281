/*
 * thread.c - see thread.h.
 */
#include "os/thread.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>

enum { STACK_BYTES = 128 * 1024 };

static void (*thread_body)(void);
static const char *thread_name;

static void *
run(void *argument)
{
    (void)argument;
    (void)prctl(PR_SET_NAME, (unsigned long)thread_name, 0, 0, 0);
    thread_body();
    return NULL;
}

bool
xa_thread_start(const char *name, void (*body)(void))
{
    int saved = errno;
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t all, before;
    thread_body = body;
    thread_name = name;
    if (pthread_attr_init(&attributes) != 0)
        return false;
    /* The new thread inherits the mask: there is no moment when a signal could reach it. */
    sigfillset(&all);
    bool started = pthread_attr_setstacksize(&attributes, STACK_BYTES) == 0 &&
        pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED) == 0 &&
        pthread_sigmask(SIG_SETMASK, &all, &before) == 0;
    if (started) {
        started = pthread_create(&thread, &attributes, run, NULL) == 0;
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    (void)pthread_attr_destroy(&attributes);
    errno = saved;
    return started;
}
