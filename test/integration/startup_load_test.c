/*
 * startup_load_test.c - loading the library when the program already runs; rows L4 and L7.
 *
 * The library is the path in XALLOC_LIBRARY.  This program must not be linked with it, and drops
 * the preload when it starts itself again.  There are then two allocators in the process: the C
 * library's for the program, and ours for whoever asks the loaded library for its functions.
 */
#define _GNU_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../support/child.h"
#include "../support/threads.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHILD_SECONDS = 60, ALREADY_LOADED = 77 };

static struct xa_child_result child;

typedef void *(*malloc_function)(size_t);
typedef void (*free_function)(void *);

struct late_library {
    malloc_function malloc;
    free_function free;
};

static void *
use_late_library(void *argument)
{
    const struct late_library *library = argument;
    void *blocks[100];

    for (size_t i = 0; i < 100; i++) {
        blocks[i] = library->malloc(i * i * 10 + 1);
        XA_CHILD_CHECK(blocks[i] != NULL);
        memset(blocks[i], 1, i * i * 10 + 1);
    }
    for (int i = 0; i < 100; i++)
        library->free(blocks[i]);
    return NULL;
}

/* Load the library, use it in old and new threads, unload it, let a thread end after that. */
static int
load_library(const char *path)
{
    struct late_library library;
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    pthread_t thread;

    if (handle == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    *(void **)&library.malloc = dlsym(handle, "malloc");
    *(void **)&library.free = dlsym(handle, "free");
    XA_CHILD_CHECK(library.malloc != NULL && library.free != NULL);
    if ((void *)library.malloc == dlsym(RTLD_DEFAULT, "malloc"))
        return ALREADY_LOADED;
    use_late_library(&library);
    XA_CHILD_CHECK(pthread_create(&thread, NULL, use_late_library, &library) == 0);
    XA_CHILD_CHECK(xa_threads_join_one(thread, 20));
    XA_CHILD_CHECK(dlclose(handle) == 0);
    /* Row L7: the thread below uses the library and ends after dlclose, as -z nodelete allows. */
    XA_CHILD_CHECK(pthread_create(&thread, NULL, use_late_library, &library) == 0);
    XA_CHILD_CHECK(xa_threads_join_one(thread, 20));
    return 0;
}

static void
expect_loads(const char *tunables)
{
    const char *path = getenv("XALLOC_LIBRARY");
    const char *const arguments[] = {NULL, "load", path, NULL};
    const char *const environment[] = {"LD_PRELOAD", tunables, NULL};
    const struct xa_child_command command = {arguments, environment, NULL};

    if (path == NULL) {
        print_message("skipped: XALLOC_LIBRARY does not name the library to load\n");
        skip();
    }
    xa_child_run(&child, CHILD_SECONDS, &command);
    if (child.exit_code == ALREADY_LOADED) {
        print_message(
            "skipped: this program is linked with the library, and has it from the start\n");
        skip();
    }
    xa_child_assert_success(&child);
}

static void
l04_the_library_can_be_loaded_late_and_unloaded(void **state)
{
    (void)state;
    expect_loads("GLIBC_TUNABLES");
}

static void
l04_the_library_can_be_loaded_when_little_static_tls_is_left(void **state)
{
    (void)state;
    /* Leaves 144 bytes in reserve instead of 1664. */
    expect_loads("GLIBC_TUNABLES=glibc.rtld.nns=1:glibc.rtld.optional_static_tls=0");
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(l04_the_library_can_be_loaded_late_and_unloaded),
        cmocka_unit_test(l04_the_library_can_be_loaded_when_little_static_tls_is_left),
    };

    if (argc == 3 && strcmp(argv[1], "load") == 0)
        return load_library(argv[2]);
    xa_child_start_watchdog(180);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
