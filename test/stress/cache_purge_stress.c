/*
 * cache_purge_stress.c - owners work and doze while their caches are taken from them.
 *
 *   XALLOC_TEST_SECONDS   how long, 5 unless set
 *
 * Each owner alternates between bursts of allocating and freeing, and sleeps of up to
 * four milliseconds; objects go round between owners as well.  Every millisecond one
 * purger takes the caches of all that sleep, and a second one those of the idle.
 * Signals strike the owners anywhere, and their handler sleeps: an owner that does so
 * has been interrupted, perhaps in the middle of an operation, and must be left alone.
 *
 * An object that two owners have is seen by what it holds, which is checked when it is
 * freed; at the end every slot of every slab must be free.  And caches must have been
 * taken, or nothing was tested: an owner counts those that are gone when it wakes up.
 *
 * The runtime of ThreadSanitizer sleeps in the middle of whatever it checks, and knows
 * of no order between a thread that sleeps and one that was told so by the kernel.  With
 * it an owner shows its number only while it dozes, by an atomic store; at other times
 * it counts as awake, in a handler too.
 */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "alloc/fast_path.h"
#include "alloc/start.h"
#include "os/os.h"
#include "support/seed.h"
#include "support/threads.h"
#include "thread/cache_purge.h"
#include "thread/thread_cache.h"

enum {
    OWNERS = 8,
    OBJECTS = 500, /* that an owner holds at most */
    RING = 64,     /* objects that go round */
    BURST_MIN = 200,
    BURST_MORE = 2000,
    BYTES_MAX = 3000,
    BYTES_MAX_OFTEN = 200,
    DOZE_NS_MAX = 4000000,
    PURGE_NS = 1000000,
    SIGNAL_NS = 3000000,
    HANDLER_NS = 2000000,
    SECONDS_TO_END = 60,
    EXIT_SKIPPED = 77,
};

/* The test's own purgers are to be the only ones. */
extern const char *xalloc_conf;
const char *xalloc_conf = "background_thread:false";

/* What an object begins with; the rest of it is filled with `mark`. */
struct head {
    uint32_t bytes;
    unsigned char mark;
};

static uint64_t seed;
static pthread_t threads[OWNERS];
static _Atomic(struct head *) ring[RING];
static atomic_bool is_over;
static _Atomic unsigned long operations, taken_caches, taken_bytes, handled, started;

static void
sleep_ns(long nanoseconds)
{
    const struct timespec time = {.tv_nsec = nanoseconds};
    (void)nanosleep(&time, NULL);
}

static _Noreturn void
fail(const char *what)
{
    fprintf(stderr, "cache_purge_stress: %s; repeat with XALLOC_TEST_SEED=0x%llx\n", what,
        (unsigned long long)seed);
    abort();
}

static struct head *
make(struct xa_seed_random *numbers)
{
    size_t max = xa_seed_below(numbers, 4) == 0 ? BYTES_MAX : BYTES_MAX_OFTEN;
    size_t bytes = sizeof(struct head) + xa_seed_below(numbers, max);
    struct head *object = xa_fast_malloc(bytes);
    if (object == NULL)
        fail("no memory");
    memset(object, 0, sizeof *object);
    object->bytes = (uint32_t)bytes;
    object->mark = (unsigned char)xa_seed_next(numbers);
    memset(object + 1, object->mark, bytes - sizeof *object);
    return object;
}

static void
unmake(struct head *object)
{
    const unsigned char *body = (const unsigned char *)(object + 1);
    if (object == NULL)
        return;
    for (size_t i = 0; i < object->bytes - sizeof *object; i++)
        if (body[i] != object->mark)
            fail("an object was somebody else's as well");
    xa_fast_free(object);
}

static void
work(struct head **objects, struct xa_seed_random *numbers)
{
    struct head **slot = &objects[xa_seed_below(numbers, OBJECTS)];
    if (*slot == NULL) {
        *slot = make(numbers);
    } else if (xa_seed_below(numbers, 8) == 0) {
        *slot = atomic_exchange(&ring[xa_seed_below(numbers, RING)], *slot);
    } else {
        unmake(*slot);
        *slot = NULL;
    }
}

static bool
has_caches(void)
{
    struct xa_thread_state *self = xa_thread_state_self;
    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++)
        if (atomic_load(&self->actives[c]) != NULL)
            return true;
    return false;
}

enum { NO_THREAD = INT_MAX };

static void
show_number(unsigned number)
{
    if (XA_THREAD_SANITIZER)
        atomic_store(&xa_thread_state_self->thread_number, number);
}

static void
doze(long nanoseconds)
{
    bool had_caches = has_caches();
    show_number(xa_os_thread_number());
    sleep_ns(nanoseconds);
    show_number(NO_THREAD);
    if (had_caches && !has_caches())
        atomic_fetch_add(&taken_caches, 1);
}

static void
own(unsigned index, void *argument)
{
    struct head *objects[OBJECTS] = {NULL};
    struct xa_seed_random numbers = xa_seed_start(seed, index);
    (void)argument;
    threads[index] = pthread_self();
    if (xa_start_thread() == NULL)
        fail("no memory");
    show_number(NO_THREAD);
    atomic_fetch_add(&started, 1);
    while (!atomic_load(&is_over)) {
        size_t burst = BURST_MIN + xa_seed_below(&numbers, BURST_MORE);
        for (size_t i = 0; i < burst; i++)
            work(objects, &numbers);
        atomic_fetch_add(&operations, burst);
        doze((long)xa_seed_below(&numbers, DOZE_NS_MAX));
    }
    for (int i = 0; i < OBJECTS; i++)
        unmake(objects[i]);
}

static void *
purge(void *argument)
{
    const enum xa_cache_purge *which = argument;
    bool left;
    while (!atomic_load(&is_over)) {
        atomic_fetch_add(&taken_bytes, xa_cache_purge_run(*which, &left));
        sleep_ns(PURGE_NS);
    }
    return NULL;
}

static void
handle(int number)
{
    int saved = errno;
    (void)number;
    atomic_fetch_add(&handled, 1);
    sleep_ns(HANDLER_NS);
    errno = saved;
}

static void
send_signals(double seconds)
{
    struct xa_seed_random numbers = xa_seed_start(seed, OWNERS);
    struct timespec begin, now;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    do {
        sleep_ns(SIGNAL_NS);
        if (atomic_load(&started) == OWNERS)
            (void)pthread_kill(threads[xa_seed_below(&numbers, OWNERS)], SIGUSR1);
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((double)(now.tv_sec - begin.tv_sec) + (double)(now.tv_nsec - begin.tv_nsec) / 1e9 <
        seconds);
}

static void
check_that_all_is_free(void)
{
    for (int i = 0; i < RING; i++)
        unmake(atomic_load(&ring[i]));
    if (xa_thread_state_is_real(xa_thread_state_self))
        xa_thread_cache_flush(xa_thread_state_self);
    (void)xa_arena_trim(0);
    for (unsigned i = 0; i < xa_arena_limit(); i++)
        for (unsigned c = 1; xa_arena_at(i) != NULL && c <= XA_SMALL_CLASSES; c++)
            if (xa_bin_taken_slots(&xa_arena_at(i)->bins[c].counters) != 0)
                fail("an object was lost: its slot is taken, and nobody has it");
    if (atomic_load(&xa_thread_cache_budget.used_bytes) != 0)
        fail("caches that are empty still have a part of the budget");
}

/* Without this file xalloc takes no cache, and need not. */
static bool
host_tells_who_sleeps(void)
{
    FILE *file = fopen("/proc/self/syscall", "r");
    bool tells = file != NULL && fgetc(file) != EOF;
    if (file != NULL)
        fclose(file);
    return tells;
}

int
main(void)
{
    static enum xa_cache_purge whiches[] = {XA_CACHE_PURGE_ALL, XA_CACHE_PURGE_IDLE};
    const char *text = getenv("XALLOC_TEST_SECONDS");
    double seconds = text != NULL ? strtod(text, NULL) : 5;
    struct sigaction action = {.sa_handler = handle, .sa_flags = SA_RESTART};
    struct xa_threads team;
    pthread_t purgers[2];

    xa_start_process();
    if (!host_tells_who_sleeps()) {
        puts("cache_purge_stress: skipped: /proc/self/syscall cannot be read here");
        return EXIT_SKIPPED;
    }
    seed = xa_seed_choose(NULL);
    sigaction(SIGUSR1, &action, NULL);
    if (!xa_threads_start(&team, OWNERS, own, NULL))
        fail("no threads");
    for (int i = 0; i < 2; i++)
        if (pthread_create(&purgers[i], NULL, purge, &whiches[i]) != 0)
            fail("no threads");
    send_signals(seconds);
    atomic_store(&is_over, true);
    if (!xa_threads_join(&team, SECONDS_TO_END))
        fail("an owner hangs");
    for (int i = 0; i < 2; i++)
        if (!xa_threads_join_one(purgers[i], SECONDS_TO_END))
            fail("a purger hangs");
    check_that_all_is_free();
    printf("# %lu operations, %lu signals; caches were taken %lu times, with %lu KiB\n",
        atomic_load(&operations), atomic_load(&handled), atomic_load(&taken_caches),
        atomic_load(&taken_bytes) / 1024);
    if (atomic_load(&taken_caches) == 0)
        fail("no cache was taken");
    return 0;
}
