/*
 * adopt_stress.c - in a forked child, caches are adopted while purgers are at them.
 *
 *   XALLOC_TEST_SECONDS   how long, 3 unless set
 *
 * The parent has hundreds of threads with filled caches, asleep for good.  It forks again and
 * again.  In the child those caches are orphans, which new threads adopt, one a miss, while the
 * purging thread and one that calls malloc_trim without a pause take the caches of idle threads.
 * A purger that put an orphan's tops aside in the middle of its adoption would make the adopter
 * believe what the magazine said of itself when it was put on: objects that the orphan had handed
 * out since then would be handed out again.
 *
 * So every object holds the mark of whoever has it: the threads' new ones, which are checked
 * before they are freed, and those that the child has inherited, which are checked at its end.
 * An object with the mark of a freed one shows that orphans' caches have been adopted.
 *
 * In the parent the sleeping threads block a signal that the process handles, so the purger
 * leaves their caches alone (doc/design/idle-caches.md), and they last for all children.
 *
 * Two things keep purgers away: a state that is being adopted is of no generation, and the
 * thread that it names does not rest in this process.  Each alone is enough: with one of them
 * taken out no child of 888 and of 360 failed; with both, 47 of 472, some in each of five runs
 * of three seconds.  For that the sleepers' last magazines have to be used up by more than has
 * come back to them.
 */
#define _GNU_SOURCE

#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "support/child.h"

/* A purging thread that works all the time; what the environment says counts more. */
extern const char *xalloc_conf;
const char *xalloc_conf = "dirty_decay_ms:1";

enum {
    SLEEPERS = 300,
    TAKEN = 150, /* objects of each size that a sleeper takes, */
    FREED = 10,  /* and frees: its cache has them */
    WORKERS = 6,
    ROUNDS = 3,
    HELD = 400, /* objects of each size that a worker has at a time */
    STACK_BYTES = 256 * 1024,
    CHILD_SECONDS = 20,
};

/* What went wrong in the child: its exit code. */
enum fault { NO_MEMORY = 20, INHERITED_DAMAGED, OWN_DAMAGED, NO_THREAD };

static const size_t sizes[] = {16, 32, 48, 64, 80, 96, 112, 128, 160, 192};
enum { SIZES = sizeof sizes / sizeof *sizes };

#define FREE_MARK UINT64_C(0xf4eef4eef4eef4ee)

static uint64_t *inherited[SLEEPERS][SIZES][TAKEN - FREED];
static pthread_barrier_t are_filled;
static pthread_attr_t attributes;

/* Shared with the children. */
static struct {
    _Atomic unsigned long adopted; /* objects from orphans' caches */
    _Atomic unsigned long taken;   /* objects in all */
    _Atomic unsigned long trims;
} * counters;

static void
mark(uint64_t *object, size_t size, uint64_t value)
{
    object[0] = value;
    object[size / sizeof *object - 1] = value;
}

static bool
is_marked(const uint64_t *object, size_t size, uint64_t value)
{
    return object[0] == value && object[size / sizeof *object - 1] == value;
}

static uint64_t
mark_of(unsigned owner, unsigned size_index, unsigned number)
{
    return (uint64_t)owner << 40 | (uint64_t)size_index << 32 | (number + 1);
}

static uint64_t *
take(size_t size)
{
    uint64_t *object = malloc(size);
    if (object == NULL)
        _exit(NO_MEMORY);
    return object;
}

static void *
fill_and_sleep(void *argument)
{
    unsigned index = (unsigned)(uintptr_t)argument;
    for (unsigned s = 0; s < SIZES; s++) {
        uint64_t *objects[TAKEN];
        for (unsigned i = 0; i < TAKEN; i++) {
            objects[i] = take(sizes[s]);
            mark(objects[i], sizes[s], mark_of(index, s, i));
        }
        for (unsigned i = 0; i < TAKEN - FREED; i++)
            inherited[index][s][i] = objects[i];
        for (unsigned i = TAKEN - FREED; i < TAKEN; i++) {
            mark(objects[i], sizes[s], FREE_MARK);
            free(objects[i]);
        }
    }
    pthread_barrier_wait(&are_filled);
    for (;;)
        pause();
    return NULL;
}

/* In the child. */
static void *
work(void *argument)
{
    unsigned index = SLEEPERS + (unsigned)(uintptr_t)argument;
    static _Thread_local uint64_t *objects[SIZES][HELD];
    unsigned long adopted = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < HELD; i++)
            for (unsigned s = 0; s < SIZES; s++) {
                objects[s][i] = take(sizes[s]);
                adopted += objects[s][i][0] == FREE_MARK;
                mark(objects[s][i], sizes[s], mark_of(index, s, i));
            }
        for (unsigned i = 0; i < HELD; i++)
            for (unsigned s = 0; s < SIZES; s++) {
                if (!is_marked(objects[s][i], sizes[s], mark_of(index, s, i)))
                    _exit(OWN_DAMAGED);
                mark(objects[s][i], sizes[s], 0);
                free(objects[s][i]);
            }
    }
    atomic_fetch_add(&counters->adopted, adopted);
    atomic_fetch_add(&counters->taken, (unsigned long)ROUNDS * HELD * SIZES);
    return NULL;
}

static atomic_bool is_over;

static void *
trim(void *argument)
{
    while (!atomic_load(&is_over)) {
        (void)malloc_trim(0);
        atomic_fetch_add(&counters->trims, 1);
    }
    return argument;
}

static void
start(pthread_t *thread, void *(*function)(void *), unsigned index)
{
    if (pthread_create(thread, &attributes, function, (void *)(uintptr_t)index) != 0)
        _exit(NO_THREAD);
}

static int
run_child(void)
{
    pthread_t trimmer, workers[WORKERS];
    start(&trimmer, trim, 0);
    for (unsigned i = 0; i < WORKERS; i++)
        start(&workers[i], work, i);
    for (unsigned i = 0; i < WORKERS; i++)
        (void)pthread_join(workers[i], NULL);
    atomic_store(&is_over, true);
    (void)pthread_join(trimmer, NULL);
    for (unsigned index = 0; index < SLEEPERS; index++)
        for (unsigned s = 0; s < SIZES; s++)
            for (unsigned i = 0; i < TAKEN - FREED; i++)
                if (!is_marked(inherited[index][s][i], sizes[s], mark_of(index, s, i)))
                    return INHERITED_DAMAGED;
    return 0;
}

static void
do_nothing(int signal_number)
{
    (void)signal_number;
}

static bool
start_sleepers(void)
{
    sigset_t handled;
    (void)sigemptyset(&handled);
    (void)sigaddset(&handled, SIGUSR1);
    if (signal(SIGUSR1, do_nothing) == SIG_ERR || pthread_sigmask(SIG_BLOCK, &handled, NULL) != 0 ||
        pthread_attr_setstacksize(&attributes, STACK_BYTES) != 0 ||
        pthread_barrier_init(&are_filled, NULL, SLEEPERS + 1) != 0)
        return false;
    for (unsigned i = 0; i < SLEEPERS; i++) {
        pthread_t thread;
        if (pthread_create(&thread, &attributes, fill_and_sleep, (void *)(uintptr_t)i) != 0)
            return false;
    }
    pthread_barrier_wait(&are_filled);
    /* The child's threads are to be idle ones, whose caches may be taken. */
    return pthread_sigmask(SIG_UNBLOCK, &handled, NULL) == 0;
}

static const char *
fault_of(int status)
{
    if (status == -1)
        return "hung";
    if (!WIFEXITED(status))
        return "was ended by a signal";
    switch (WEXITSTATUS(status)) {
    case 0: return NULL;
    case NO_MEMORY: return "ran out of memory";
    case INHERITED_DAMAGED: return "handed out an inherited object again";
    case OWN_DAMAGED: return "handed out an object twice";
    case NO_THREAD: return "could start no thread";
    default: return "failed";
    }
}

int
main(void)
{
    const char *text = getenv("XALLOC_TEST_SECONDS");
    time_t seconds = text != NULL ? strtol(text, NULL, 10) : 3;
    unsigned forks = 0, failures = 0;
    counters =
        mmap(NULL, sizeof *counters, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (counters == MAP_FAILED || pthread_attr_init(&attributes) != 0 || !start_sleepers()) {
        puts("FAILED: could not start the threads");
        return 1;
    }
    for (time_t end = time(NULL) + seconds; time(NULL) < end; forks++) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(run_child());
        const char *fault =
            pid < 0 ? "could not be made" : fault_of(xa_child_wait(pid, CHILD_SECONDS));
        if (fault != NULL)
            printf("FAILED: child %u %s\n", forks, fault);
        failures += fault != NULL;
    }
    printf("adopt: %u children, %u failed; %lu of %lu objects from orphans' caches, %lu trims\n",
        forks, failures, counters->adopted, counters->taken, counters->trims);
    if (counters->adopted == 0) {
        puts("FAILED: no cache was adopted");
        return 1;
    }
    return failures != 0;
}
