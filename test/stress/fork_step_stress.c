/*
 * fork_step_stress.c - a fork at every place where another thread may be in the library.
 *
 *   XALLOC_TEST_SECONDS   how long, 40 unless set
 *
 * One thread steps through malloc, free and the like an instruction at a time: the
 * processor's trap flag raises SIGTRAP after each, and the handler counts those inside
 * the library.  At every n-th a second thread forks while the first stands still.  In
 * the child that thread is gone, just there; the child must neither hang nor find an
 * object damaged or given out twice, with everything that it then does.
 *
 * Rounds over all steps go on until the time is up, at other instructions each.  A
 * failure names the step and the place in the library; the same seed repeats it.  It
 * needs an x86-64 processor, whose flag it sets.
 */
#define _GNU_SOURCE

#include <stdio.h>

#if defined(__x86_64__) && !defined(__ILP32__)

#include <link.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "support/seed.h"

enum {
    STRIDE = 61,          /* instructions from fork to fork, */
    STRIDE_OF_LONG = 997, /* and in steps that take long */
    LIVE = 3000,          /* objects that the child inherits */
    WORKED = 1000,        /* objects of the thread that steps */
    EACH = 300,           /* objects of a size that the child makes, */
    EACH_OF_LARGE = 20,   /* and of a large one */
    LARGE_BYTES = 4000,
    THREAD_OBJECTS = 70,
    THREADS = 2,
    MARKED_BYTES = 64, /* at an object's beginning */
    CHILD_SECONDS = 20,
    FAILURES_MAX = 5, /* then the rest is left out: a child that hangs takes its time */
};

/* What went wrong in the child: its exit code. */
enum fault { NO_MEMORY = 20, INHERITED_DAMAGED, OWN_DAMAGED, NO_THREAD, LATE_DAMAGED };

/* All but the last few are the sizes of inherited objects as well. */
static const size_t sizes[] = {
    16, 16, 48, 64, 100, 256, 1000, 2000, 5000, 16384, 40000, 65536, 70000, 300000};
enum { SIZES = sizeof sizes / sizeof *sizes, INHERITED_SIZES = 11, STEPPED_BYTES = 64 };

/* The thread that it would start were stepped as well, with SIGTRAP blocked: that is deadly. */
extern const char *xalloc_conf;
const char *xalloc_conf = "background_thread:false";

static uintptr_t code_start, code_end;
static unsigned char *live[LIVE];
static void *worked[WORKED];

/* From the thread that steps to the one that forks, and back. */
static atomic_bool is_wanted, is_done, is_over;

/* The two take turns: each reads what the other wrote before it said so. */
static long steps, forks, failures, stride, offset;
static uintptr_t place;
static const char *step_name;
static uint64_t seed;

/* ---- Objects that can be checked ---- */

static void
mark(unsigned char *object, size_t bytes, unsigned number)
{
    unsigned char value = (unsigned char)(number * 37 + 11);
    memset(object, value, bytes < MARKED_BYTES ? bytes : MARKED_BYTES);
    object[bytes - 1] = value;
}

static bool
is_marked(const unsigned char *object, size_t bytes, unsigned number)
{
    unsigned char value = (unsigned char)(number * 37 + 11);
    for (size_t i = 0; i < bytes && i < MARKED_BYTES; i++)
        if (object[i] != value)
            return false;
    return object[bytes - 1] == value;
}

/* ---- The child ---- */

static void
require(bool holds, enum fault fault)
{
    if (!holds)
        _exit(fault);
}

static unsigned
count_of(unsigned size)
{
    return sizes[size] > LARGE_BYTES ? EACH_OF_LARGE : EACH;
}

static void *
work_a_little(void *argument)
{
    (void)argument;
    for (unsigned size = 0; size < SIZES; size++) {
        char *objects[THREAD_OBJECTS];
        unsigned count = sizes[size] > LARGE_BYTES ? EACH_OF_LARGE : THREAD_OBJECTS;
        for (unsigned i = 0; i < count; i++) {
            objects[i] = malloc(sizes[size]);
            require(objects[i] != NULL, NO_MEMORY);
            objects[i][0] = 1;
        }
        for (unsigned i = 0; i < count; i++)
            free(objects[i]);
    }
    return NULL;
}

static void
check_inherited(unsigned first, unsigned every, enum fault fault)
{
    for (unsigned i = first; i < LIVE; i += every)
        require(is_marked(live[i], sizes[i % INHERITED_SIZES], i), fault);
}

static void
make_and_check_objects(void)
{
    static unsigned char *objects[SIZES][EACH];
    unsigned number = 7;
    for (unsigned size = 0; size < SIZES; size++)
        for (unsigned i = 0; i < count_of(size); i++) {
            objects[size][i] = malloc(sizes[size]);
            require(objects[size][i] != NULL, NO_MEMORY);
            mark(objects[size][i], sizes[size], number++);
        }
    check_inherited(0, 1, INHERITED_DAMAGED);
    number = 7;
    for (unsigned size = 0; size < SIZES; size++)
        for (unsigned i = 0; i < count_of(size); i++)
            require(is_marked(objects[size][i], sizes[size], number++), OWN_DAMAGED);
    for (unsigned i = 0; i < LIVE; i += 2)
        free(live[i]);
    for (unsigned size = 0; size < SIZES; size++)
        for (unsigned i = 0; i < count_of(size); i++)
            free(objects[size][i]);
}

static _Noreturn void
be_the_child(void)
{
    pthread_t threads[THREADS];
    alarm(CHILD_SECONDS);
    make_and_check_objects();
    for (unsigned i = 0; i < THREADS; i++)
        require(pthread_create(&threads[i], NULL, work_a_little, NULL) == 0, NO_THREAD);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    malloc_trim(0);
    (void)work_a_little(NULL);
    check_inherited(1, 2, LATE_DAMAGED);
    _exit(0);
}

/* ---- The thread that forks ---- */

static void
fork_once(void)
{
    int status = 0;
    forks++;
    pid_t child = fork();
    if (child == 0)
        be_the_child();
    if (child < 0 || waitpid(child, &status, 0) != child) {
        fputs("fork_step_stress: no child\n", stderr);
        abort();
    }
    if (status == 0)
        return;
    failures++;
    fprintf(stderr, "fork_step_stress: %s, cut at libxalloc+0x%zx: the child ended with %s %d\n",
        step_name, (size_t)place, WIFEXITED(status) ? "code" : "signal",
        WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
}

static void *
fork_when_wanted(void *argument)
{
    (void)argument;
    /* It has a cache of its own, as any thread. */
    free(malloc(STEPPED_BYTES));
    while (!atomic_load(&is_over)) {
        if (atomic_exchange(&is_wanted, false)) {
            fork_once();
            atomic_store(&is_done, true);
        }
        sched_yield();
    }
    return NULL;
}

/* ---- The thread that steps ---- */

static void
trap(int number, siginfo_t *information, void *context)
{
    const ucontext_t *interrupted = context;
    uintptr_t at = (uintptr_t)interrupted->uc_mcontext.gregs[REG_RIP];
    (void)number;
    (void)information;
    if (at < code_start || at >= code_end || steps++ % stride != offset % stride ||
        failures >= FAILURES_MAX)
        return;
    place = at - code_start;
    atomic_store(&is_wanted, true);
    while (!atomic_exchange(&is_done, false))
        sched_yield();
}

static inline void
step(bool by_step)
{
    /* Below the red zone: pushfq would write there. */
    if (by_step)
        __asm__ volatile("sub $128, %%rsp; pushfq; orq $0x100, (%%rsp); popfq; add $128, %%rsp" ::
                             : "memory", "cc");
    else
        __asm__ volatile("sub $128, %%rsp; pushfq; andq $~0x100, (%%rsp); popfq; add $128, %%rsp" ::
                             : "memory", "cc");
}

static void
take(unsigned first, unsigned end, size_t bytes)
{
    for (unsigned i = first; i < end; i++)
        worked[i] = malloc(bytes);
}

static void
give(unsigned first, unsigned end)
{
    for (unsigned i = first; i < end; i++)
        free(worked[i]);
}

static void
first_objects(void)
{
    take(0, 4, STEPPED_BYTES);
}

static void
many_objects(void)
{
    take(4, WORKED, STEPPED_BYTES);
}

static void
full_caches(void)
{
    give(0, 170);
}

static void
caches_used_again(void)
{
    take(0, 170, STEPPED_BYTES);
}

static void
a_large_object(void)
{
    void *object = malloc(100000), *longer = realloc(object, 300000);
    void *shorter = realloc(longer, 90000);
    free(shorter);
}

static void
a_huge_object(void)
{
    void *object = malloc(5000000), *longer = realloc(object, 30000000);
    free(longer);
}

static void
another_class(void)
{
    void *objects[8];
    for (int i = 0; i < 8; i++)
        objects[i] = malloc(48);
    for (int i = 0; i < 8; i++)
        free(objects[i]);
}

static void
trim(void)
{
    malloc_trim(0);
}

static void
slabs_that_go(void)
{
    give(0, 300);
}

static void
run_step(const char *name, long every, void (*body)(void))
{
    step_name = name;
    stride = every;
    step(true);
    body();
    step(false);
}

static void *
run_all_steps(void *argument)
{
    (void)argument;
    run_step("a thread's first objects", STRIDE, first_objects);
    run_step("many objects", STRIDE_OF_LONG, many_objects);
    run_step("full caches", STRIDE, full_caches);
    run_step("caches used again", STRIDE, caches_used_again);
    run_step("a large object", STRIDE, a_large_object);
    run_step("a huge object", STRIDE, a_huge_object);
    run_step("another class", STRIDE, another_class);
    run_step("trim", STRIDE_OF_LONG, trim);
    give(0, WORKED);
    take(0, WORKED, 3000);
    run_step("slabs that go", STRIDE_OF_LONG, slabs_that_go);
    give(300, WORKED);
    run_step("trim of empty slabs", STRIDE_OF_LONG, trim);
    return NULL;
}

/* ---- The program ---- */

static int
find_code(struct dl_phdr_info *object, size_t size, void *context)
{
    (void)size;
    (void)context;
    if (strstr(object->dlpi_name, "libxalloc") == NULL)
        return 0;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];
        if (part->p_type == PT_LOAD && (part->p_flags & PF_X) != 0) {
            code_start = object->dlpi_addr + part->p_vaddr;
            code_end = code_start + part->p_memsz;
        }
    }
    return 1;
}

static void
run_round(struct xa_seed_random *numbers)
{
    pthread_t thread;
    steps = 0;
    offset = (long)xa_seed_below(numbers, (size_t)STRIDE * STRIDE_OF_LONG);
    if (pthread_create(&thread, NULL, run_all_steps, NULL) != 0) {
        fputs("fork_step_stress: no thread\n", stderr);
        exit(1);
    }
    pthread_join(thread, NULL);
}

int
main(void)
{
    const char *text = getenv("XALLOC_TEST_SECONDS");
    time_t end = time(NULL) + (text != NULL ? atoi(text) : 40);
    struct sigaction action = {.sa_sigaction = trap, .sa_flags = SA_SIGINFO};
    pthread_t forker;
    unsigned rounds = 0;

    if (dl_iterate_phdr(find_code, NULL) == 0) {
        fputs("fork_step_stress: libxalloc is not preloaded\n", stderr);
        return 1;
    }
    seed = xa_seed_choose(NULL);
    struct xa_seed_random numbers = xa_seed_start(seed, 0);
    sigaction(SIGTRAP, &action, NULL);
    for (unsigned i = 0; i < LIVE; i++) {
        live[i] = malloc(sizes[i % INHERITED_SIZES]);
        mark(live[i], sizes[i % INHERITED_SIZES], i);
    }
    if (pthread_create(&forker, NULL, fork_when_wanted, NULL) != 0)
        return 1;
    do {
        run_round(&numbers);
        rounds++;
    } while (time(NULL) < end && failures == 0);
    atomic_store(&is_over, true);
    pthread_join(forker, NULL);
    printf("# %u rounds, %ld instructions in the last one, %ld forks, %ld children failed\n",
        rounds, steps, forks, failures);
    return failures != 0 || forks == 0;
}

#else

int
main(void)
{
    puts("fork_step_stress: skipped: it steps by a flag of x86-64 processors");
    return 77;
}

#endif
