/*
 * startup_interpose_test.c - somebody else's functions stand in front of ours and of the C
 * library's, row L1.
 *
 * Profilers and sandboxes interpose calloc and malloc through dlsym, and functions such as mmap,
 * open and getenv, and their versions allocate.  Here the program itself interposes them, which
 * puts them first in the order of look-up, before any preload.  An allocator that calls any of
 * them while it starts, or while it gets memory, comes back to itself: without end, or to a lock
 * it holds.
 *
 * This program cannot be linked with the static library, which defines the same functions.
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
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { DEPTH_MAX = 40, BOOTSTRAP_BYTES = 65536 };

static _Alignas(16) char bootstrap[BOOTSTRAP_BYTES];
static size_t bootstrap_used;
static atomic_bool resolving;
static atomic_uint calloc_calls;

static __thread int depth;

/* A hook that calls itself through the allocator would otherwise end as a stack overflow. */
static void
enter_hook(const char *name)
{
    static const char text[] = ": called by the allocator, which the call came from\n";

    if (++depth < DEPTH_MAX)
        return;
    if (write(STDERR_FILENO, name, strlen(name)) > 0 &&
        write(STDERR_FILENO, text, sizeof(text) - 1) > 0)
        _exit(96);
    _exit(95);
}

static void
leave_hook(void)
{
    depth--;
}

/* The usual way to write a calloc hook: what dlsym itself asks for comes from a static area. */
static void *
bootstrap_take(size_t size)
{
    void *block = bootstrap + bootstrap_used;

    bootstrap_used += (size + 15) / 16 * 16;
    if (bootstrap_used > BOOTSTRAP_BYTES)
        _exit(94);
    return block;
}

static void *
next_function(const char *name)
{
    void *function;

    atomic_store(&resolving, true);
    function = dlsym(RTLD_NEXT, name);
    atomic_store(&resolving, false);
    if (function == NULL)
        _exit(93);
    return function;
}

void *
malloc(size_t size)
{
    static void *(*next)(size_t);

    if (next == NULL) {
        if (atomic_load(&resolving))
            return bootstrap_take(size);
        *(void **)&next = next_function("malloc");
    }
    return next(size);
}

void *
calloc(size_t count, size_t size)
{
    static void *(*next)(size_t, size_t);

    atomic_fetch_add(&calloc_calls, 1);
    if (next == NULL) {
        if (atomic_load(&resolving))
            return bootstrap_take(count * size);
        *(void **)&next = next_function("calloc");
    }
    return next(count, size);
}

void
free(void *block)
{
    static void (*next)(void *);
    char *address = block;

    if (address >= bootstrap && address < bootstrap + BOOTSTRAP_BYTES)
        return;
    if (next == NULL)
        *(void **)&next = next_function("free");
    next(block);
}

/* The hooks on system calls allocate first, then do the work themselves. */
static void
allocate_in_hook(const char *name)
{
    void *(*volatile take)(size_t) = malloc;
    void *(*volatile take_zeroed)(size_t, size_t) = calloc;

    enter_hook(name);
    free(take(100));
    free(take_zeroed(1, 100000));
    leave_hook();
}

void *
mmap(void *address, size_t length, int protection, int flags, int file, off_t offset)
{
    allocate_in_hook("mmap");
    return (void *)syscall(SYS_mmap, address, length, protection, flags, file, offset);
}

int
munmap(void *address, size_t length)
{
    allocate_in_hook("munmap");
    return (int)syscall(SYS_munmap, address, length);
}

int
madvise(void *address, size_t length, int advice)
{
    allocate_in_hook("madvise");
    return (int)syscall(SYS_madvise, address, length, advice);
}

int
mprotect(void *address, size_t length, int protection)
{
    allocate_in_hook("mprotect");
    return (int)syscall(SYS_mprotect, address, length, protection);
}

int
open(const char *path, int flags, ...)
{
    va_list arguments;
    int mode;

    va_start(arguments, flags);
    mode = (flags & O_CREAT) != 0 ? va_arg(arguments, int) : 0;
    va_end(arguments);
    allocate_in_hook("open");
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

ssize_t
read(int file, void *buffer, size_t length)
{
    allocate_in_hook("read");
    return (ssize_t)syscall(SYS_read, file, buffer, length);
}

char *
getenv(const char *name)
{
    size_t length = strlen(name);

    allocate_in_hook("getenv");
    for (char **entry = environ; entry != NULL && *entry != NULL; entry++) {
        if (strncmp(*entry, name, length) == 0 && (*entry)[length] == '=')
            return *entry + length + 1;
    }
    return NULL;
}

char *
secure_getenv(const char *name)
{
    return getenv(name);
}

long
sysconf(int name)
{
    static long (*next)(int);

    if (next == NULL)
        *(void **)&next = next_function("sysconf");
    allocate_in_hook("sysconf");
    return next(name);
}

int
dl_iterate_phdr(int (*callback)(struct dl_phdr_info *, size_t, void *), void *data)
{
    static int (*next)(int (*)(struct dl_phdr_info *, size_t, void *), void *);

    if (next == NULL)
        *(void **)&next = next_function("dl_iterate_phdr");
    allocate_in_hook("dl_iterate_phdr");
    return next(callback, data);
}

/* An allocator that hangs does so before main, so the clock starts before any constructor runs. */
static void
start_clock(void)
{
    alarm(60);
}

static __attribute__((section(".preinit_array"), used)) void (*preinit)(void) = start_clock;

static void *(*volatile call_malloc)(size_t) = malloc;
static void *(*volatile call_calloc)(size_t, size_t) = calloc;

static void
use_allocator(unsigned index, void *argument)
{
    (void)argument;
    for (size_t size = 1 + index; size < 40 << 20; size *= 2) {
        unsigned char *block = call_malloc(size);
        unsigned char *zeroed = call_calloc(1, size);

        if (block == NULL || zeroed == NULL || zeroed[size - 1] != 0)
            abort();
        block[0] = block[size - 1] = 1;
        free(block);
        free(zeroed);
    }
}

/* A preload that was not loaded would leave the C library's malloc behind the hooks. */
static void
l01_the_allocator_is_behind_the_hooks(void **state)
{
    const char *wanted = getenv("XALLOC_LIBRARY");
    char wanted_path[PATH_MAX];
    char actual_path[PATH_MAX];
    Dl_info home;

    (void)state;
    assert_true(dladdr(dlsym(RTLD_NEXT, "malloc"), &home) != 0);
    if (wanted == NULL || realpath(wanted, wanted_path) == NULL) {
        print_message("skipped: XALLOC_LIBRARY does not say which library to expect\n");
        skip();
    }
    assert_non_null(realpath(home.dli_fname, actual_path));
    assert_string_equal(actual_path, wanted_path);
}

static void
l01_hooks_that_allocate_do_not_recurse(void **state)
{
    (void)state;
    use_allocator(0, NULL);
    assert_true(xa_threads_run(4, use_allocator, NULL, 60));
    assert_true(atomic_load(&calloc_calls) > 0);
    assert_int_equal(depth, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(l01_the_allocator_is_behind_the_hooks),
        cmocka_unit_test(l01_hooks_that_allocate_do_not_recurse),
    };

    xa_child_start_watchdog(60);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
