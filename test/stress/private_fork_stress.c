/*
 * private_fork_stress.c - forks in the middle of private arenas' work.
 *
 *   XALLOC_TEST_SECONDS   how long, 1 unless set
 *
 * Workers take and free objects of one private arena, through a cache with a number as well, and
 * are bound to it now and then; the main thread forks all the time.  Each child uses that arena,
 * frees what the main thread had, purges, resets, makes and destroys an arena of its own, and
 * starts a thread; none may hang or crash, wherever the fork has cut the workers.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "alloc/extended.h"
#include "alloc/fast_path.h"
#include "arena/private_arena.h"
#include "support/seed.h"
#include "support/threads.h"

enum {
    WORKERS = 3,
    OBJECTS = 100,
    KEPT = 50, /* of the main thread, for its children to free */
    FORKS_LEAST = 6,
    CHILD_SECONDS = 30,
    SECONDS_TO_END = 60,
};

extern const char *xalloc_conf;
const char *xalloc_conf = "dirty_decay_ms:1,background_thread:false";

static uint64_t seed;
static unsigned arena, cache;
static atomic_bool is_over;

static _Noreturn void
give_up(const char *text)
{
    (void)fprintf(stderr, "private_fork_stress: %s\n", text);
    _exit(1);
}

static void
check(bool holds, const char *text)
{
    if (!holds)
        give_up(text);
}

static void
work(unsigned index, void *argument)
{
    struct xa_seed_random random = xa_seed_start(seed, index);
    unsigned char *objects[OBJECTS] = {NULL};
    (void)argument;
    for (unsigned round = 0; !atomic_load(&is_over); round++) {
        size_t i = xa_seed_below(&random, OBJECTS);
        int flags = MALLOCX_ARENA((int)arena);
        if (xa_seed_below(&random, 2))
            flags |= MALLOCX_TCACHE((int)cache);
        if (objects[i] != NULL) {
            check(objects[i][0] == (unsigned char)index, "an object has changed");
            xa_extended_release(objects[i], flags);
            objects[i] = NULL;
            continue;
        }
        size_t size = xa_seed_size(&random, 1, xa_seed_below(&random, 20) ? 4000 : 3000000);
        objects[i] = xa_extended_allocate(size, flags);
        check(objects[i] != NULL, "no memory");
        objects[i][0] = (unsigned char)index;
        if (round % 1000 == 0)
            check(xa_extended_bind_thread(arena), "cannot be bound");
        if (round % 1000 == 500)
            check(xa_extended_bind_thread(0), "cannot be unbound");
    }
    for (unsigned i = 0; i < OBJECTS; i++)
        xa_fast_free(objects[i]);
    check(xa_extended_bind_thread(0), "cannot be unbound");
}

static void *
use_the_arena(void *argument)
{
    (void)argument;
    for (size_t size = 1; size < 400000; size *= 3) {
        unsigned char *object =
            xa_extended_allocate(size, MALLOCX_ARENA((int)arena) | MALLOCX_ZERO);
        check(object != NULL && object[0] == 0 && object[size - 1] == 0, "no zeroed memory");
        memset(object, 1, size);
        xa_fast_free(object);
        void *cached =
            xa_extended_allocate(size, MALLOCX_ARENA((int)arena) | MALLOCX_TCACHE((int)cache));
        check(cached != NULL, "no memory through a cache");
        xa_extended_release(cached, MALLOCX_TCACHE((int)cache));
    }
    return NULL;
}

static _Noreturn void
be_a_child(void **kept)
{
    (void)alarm(CHILD_SECONDS);
    (void)use_the_arena(NULL);
    for (unsigned i = 0; i < KEPT; i++)
        xa_fast_free(kept[i]);
    check(xa_threads_run_in_child(use_the_arena, NULL), "no thread");
    unsigned own = xa_extended_create_arena(NULL);
    check(own != XA_EXTENDED_NONE, "no arena");
    check(xa_extended_bind_thread(own), "cannot be bound");
    void *object = xa_fast_malloc(1000);
    check(xa_extended_arena_of(object) == own, "not from the arena that it is bound to");
    check(xa_extended_bind_thread(0), "cannot be unbound");
    check(xa_private_arena_destroy(own), "cannot be destroyed");
    check(xa_private_arena_purge(arena), "cannot be purged");
    check(xa_private_arena_reset(arena), "cannot be reset");
    (void)use_the_arena(NULL);
    check(xa_private_arena_destroy(arena), "cannot be destroyed");
    _exit(0);
}

static void
fork_once(void)
{
    void *kept[KEPT];
    int status;
    for (unsigned i = 0; i < KEPT; i++) {
        kept[i] = xa_extended_allocate((i + 1) * 700, MALLOCX_ARENA((int)arena));
        check(kept[i] != NULL, "no memory");
    }
    pid_t pid = fork();
    check(pid >= 0, "no child");
    if (pid == 0)
        be_a_child(kept);
    check(waitpid(pid, &status, 0) == pid, "no status");
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        give_up("a child hangs");
    check(WIFEXITED(status) && WEXITSTATUS(status) == 0, "a child failed");
    for (unsigned i = 0; i < KEPT; i++)
        xa_fast_free(kept[i]);
}

static double
now(void)
{
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

int
main(int argc, char **argv)
{
    static struct xa_threads team;
    const char *text = getenv("XALLOC_TEST_SECONDS");
    double end = now() + (text == NULL ? 1.0 : strtod(text, NULL));
    unsigned forks = 0;
    if (XA_THREAD_SANITIZER) {
        (void)printf("skipped: the thread sanitizer does not follow a fork of several threads\n");
        return 77;
    }
    seed = xa_seed_choose(argc > 1 ? argv[1] : NULL);
    xa_fast_free(xa_fast_malloc(1));
    arena = xa_extended_create_arena(NULL);
    cache = xa_extended_create_cache();
    check(arena != XA_EXTENDED_NONE && cache != XA_EXTENDED_NONE, "no arena");
    check(xa_threads_start(&team, WORKERS, work, NULL), "no threads");
    /* On a busy machine it takes longer than was asked for. */
    for (; now() < end || forks < FORKS_LEAST; forks++)
        fork_once();
    atomic_store(&is_over, true);
    check(xa_threads_join(&team, SECONDS_TO_END), "threads hang");
    check(xa_extended_destroy_cache(cache), "a cache cannot be destroyed");
    check(xa_private_arena_destroy(arena), "an arena cannot be destroyed");
    (void)printf("%u forks\n", forks);
    return 0;
}
