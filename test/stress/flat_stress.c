/*
 * flat_stress.c - two servers' patterns stay flat for 30 simulated minutes.
 *
 *   rails   5 to 16 threads; a request makes some thousand strings, most of which it frees; a
 *           session lives for one to four minutes, a cache is bounded, and some strings live for
 *           ever unless they are replaced at random
 *   mail    300 threads; connections come in bursts, with buffers and small objects; a body of
 *           100 KiB to 5 MiB is freed by another thread than made it; long idle times
 *
 * A simulated minute is one wave: work that is fixed, and idle time for the rest.  Time is
 * compressed, and so is the decay: a minute that takes a second has the allocator's own decay
 * time divided by 60.  Waves of five heights follow each other, so that five minutes are alike
 * with the next five.
 *
 * Two figures are taken each minute: the ratio of resident to live bytes at the end of its idle
 * time, and the resident bytes at its peak.  (At a peak what is live changes too fast to be looked
 * at; but the waves are alike.)  The medians of minutes 25 to 29 must not be above those of 5 to 9
 * by more than GROWTH_PERCENT_MAX.  Before that the process warms up: by then most of what was made
 * at the start has been replaced.
 *
 * In a short run, whose minutes are below half a second, there is less work, and less is kept.
 * Idle times are then shorter than what it takes to find a thread idle, and what else the machine
 * does shows: the bounds are wider, and peaks are only printed.
 *
 * With another allocator, or none, preloaded, the figures are printed and nothing is judged:
 *
 *   XALLOC_TEST_SECONDS=60 LD_PRELOAD=… test/stress/flat_stress
 *
 *   XALLOC_TEST_SECONDS   for both patterns together, 8 unless set; 3600 is uncompressed
 *   XALLOC_TEST_TSV       a file for one line a simulated minute
 *   XALLOC_TEST_SEED      as everywhere; the fixed one of the other runs unless set
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "stress/flat.h"
#include "support/child.h"
#include "support/clock.h"

enum {
    MINUTES = 30,
    PERIOD = 5, /* minutes after which the waves repeat */
    EARLY = 5,
    LATE = MINUTES - PERIOD,
    GROWTH_PERCENT_MAX = 5,
    SHORT_GROWTH_PERCENT_MAX = 30,
    SECONDS_DEFAULT = 8,
    DECAY_MS = 1000, /* xalloc's own default, and jemalloc's */
    JEMALLOC_DECAY_MS = 10000,
    DECAY_MS_MIN = 16, /* the purging thread does not wake much more often */
    SAMPLE_US = 1000,
    STACK_BYTES = 256 << 10,
};

struct minute {
    int64_t idle_live, idle_resident;
    int64_t peak_live, peak_resident;
};

static const unsigned wave_percent[PERIOD] = {100, 160, 70, 130, 40};

static const struct xa_flat_pattern *pattern;
static struct xa_flat_worker workers[XA_FLAT_THREADS_MAX];
static struct minute minutes[MINUTES];

/* A wave is a job; workers sleep until there is another one. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned job; /* 1 prepares, the others are waves */
    bool ends;
    _Atomic unsigned running; /* workers that have not finished it */
    _Atomic int left;         /* units of work */
} schedule = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void
do_job(struct xa_flat_worker *worker)
{
    if (schedule.job == 1) {
        pattern->prepare(worker);
        return;
    }
    if (pattern->begin_minute != NULL && worker->number == 0)
        pattern->begin_minute(worker);
    unsigned percent = wave_percent[xa_flat_minute % PERIOD];
    while (pattern->is_active(worker, percent) && atomic_fetch_sub(&schedule.left, 1) > 0)
        pattern->do_unit(worker);
}

static void *
run_worker(void *argument)
{
    struct xa_flat_worker *worker = argument;
    unsigned seen = 0;
    for (;;) {
        pthread_mutex_lock(&schedule.lock);
        while (schedule.job == seen && !schedule.ends)
            pthread_cond_wait(&schedule.changed, &schedule.lock);
        seen = schedule.job;
        bool ends = schedule.ends;
        pthread_mutex_unlock(&schedule.lock);
        if (ends)
            return NULL;
        do_job(worker);
        atomic_fetch_sub(&schedule.running, 1);
    }
}

static int64_t
live_bytes(void)
{
    int64_t sum = 0;
    for (unsigned i = 0; i < pattern->thread_count; i++)
        sum += atomic_load_explicit(&workers[i].live_bytes, memory_order_relaxed);
    return sum;
}

/* Let all workers do a job, and look at the process meanwhile. */
static void
run_job(int units, struct minute *minute)
{
    pthread_mutex_lock(&schedule.lock);
    atomic_store(&schedule.left, units);
    atomic_store(&schedule.running, pattern->thread_count);
    schedule.job++;
    pthread_cond_broadcast(&schedule.changed);
    pthread_mutex_unlock(&schedule.lock);
    while (atomic_load(&schedule.running) > 0) {
        int64_t live = live_bytes(), resident = (int64_t)xa_child_resident_bytes();
        if (live > minute->peak_live)
            minute->peak_live = live;
        if (resident > minute->peak_resident)
            minute->peak_resident = resident;
        xa_clock_sleep_until(xa_clock_seconds() + SAMPLE_US / 1e6);
    }
}

static bool
start_workers(uint64_t seed)
{
    pthread_attr_t attributes;
    bool all_right = true;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    for (unsigned i = 0; i < pattern->thread_count && all_right; i++) {
        workers[i].number = i;
        workers[i].random = xa_seed_start(seed, i);
        all_right = pthread_create(&workers[i].thread, &attributes, run_worker, &workers[i]) == 0;
    }
    pthread_attr_destroy(&attributes);
    if (!all_right)
        fputs("flat_stress: cannot create a thread\n", stderr);
    return all_right;
}

static void
stop_workers(void)
{
    pthread_mutex_lock(&schedule.lock);
    schedule.ends = true;
    pthread_cond_broadcast(&schedule.changed);
    pthread_mutex_unlock(&schedule.lock);
    for (unsigned i = 0; i < pattern->thread_count; i++)
        pthread_join(workers[i].thread, NULL);
}

/* The seconds of all waves that were not over in time. */
static double
run_minutes(double seconds)
{
    struct minute unused = {0};
    double minute_seconds = seconds / MINUTES, late = 0;
    /* What half a second has room for on a small machine; less in a shorter minute. */
    xa_flat_load = minute_seconds < 0.5 ? minute_seconds * 2 : 1;
    run_job(0, &unused);
    double start = xa_clock_seconds();
    for (unsigned i = 0; i < MINUTES; i++) {
        xa_flat_minute = i;
        run_job((int)xa_flat_scaled(pattern->work * wave_percent[i % PERIOD] / 100), &minutes[i]);
        double due = start + minute_seconds * (i + 1), now = xa_clock_seconds();
        /* Half of a minute is the least to be idle for. */
        if (due - now < minute_seconds / 2) {
            late += now + minute_seconds / 2 - due;
            start += now + minute_seconds / 2 - due;
            due = now + minute_seconds / 2;
        }
        xa_clock_sleep_until(due);
        minutes[i].idle_live = live_bytes();
        minutes[i].idle_resident = (int64_t)xa_child_resident_bytes();
    }
    return late;
}

static double
idle_ratio(const struct minute *minute)
{
    return (double)minute->idle_resident / (double)minute->idle_live;
}

static double
peak_mib(const struct minute *minute)
{
    return (double)minute->peak_resident / 1048576;
}

static int
compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return left < right ? -1 : left > right;
}

/* Of the five minutes from `first` on. */
static double
median(unsigned first, double (*figure)(const struct minute *minute))
{
    double figures[PERIOD];
    for (unsigned i = 0; i < PERIOD; i++)
        figures[i] = figure(&minutes[first + i]);
    qsort(figures, PERIOD, sizeof *figures, compare);
    return figures[PERIOD / 2];
}

static void
write_minutes(const char *path)
{
    FILE *file = path == NULL ? NULL : fopen(path, "a");
    if (path != NULL && file == NULL)
        perror(path);
    if (file == NULL)
        return;
    for (unsigned i = 0; i < MINUTES; i++)
        fprintf(file, "%s\t%u\t%lld\t%lld\t%lld\t%lld\n", pattern->name, i,
            (long long)minutes[i].idle_live, (long long)minutes[i].idle_resident,
            (long long)minutes[i].peak_live, (long long)minutes[i].peak_resident);
    fclose(file);
}

/* Print a figure of early and late minutes; false if it grew by more than some percent. */
static bool
is_flat(const char *what, double (*figure)(const struct minute *minute), int percent_max)
{
    double early = median(EARLY, figure), late = median(LATE, figure);
    double growth_percent = (late / early - 1) * 100;
    printf("  %s %.3f in minutes %d to %d, %.3f in %d to %d: %+.1f %%\n", what, early, EARLY,
        EARLY + PERIOD - 1, late, LATE, MINUTES - 1, growth_percent);
    if (growth_percent <= percent_max)
        return true;
    printf("FAILED: it may grow by %d %%\n", percent_max);
    return false;
}

/* Only xalloc is judged. */
static bool
is_xalloc(void)
{
    return dlsym(RTLD_DEFAULT, "xalloc_set_memory_limit") != NULL;
}

static bool
report(double seconds, double late_seconds)
{
    bool is_short = xa_flat_load < 1, all_right = true;
    double idle_max = is_short ? pattern->short_idle_ratio_max : pattern->idle_ratio_max;
    int growth_max = is_short ? SHORT_GROWTH_PERCENT_MAX : GROWTH_PERCENT_MAX;
    if (!is_xalloc()) {
        growth_max = INT_MAX;
        idle_max = INFINITY;
    }
    printf("%s, %u threads, %.3f s a minute, %.1f s late: %.1f MiB live at the end\n",
        pattern->name, pattern->thread_count, seconds / MINUTES, late_seconds,
        (double)minutes[MINUTES - 1].idle_live / 1048576);
    all_right &= is_flat("idle, resident / live", idle_ratio, growth_max);
    all_right &= is_flat("peak, resident MiB", peak_mib, is_short ? INT_MAX : growth_max);
    if (median(LATE, idle_ratio) > idle_max) {
        printf("FAILED: resident / live when idle may be %.2f\n", idle_max);
        all_right = false;
    }
    return all_right;
}

static const struct xa_flat_pattern *const patterns[] = {&xa_flat_rails, &xa_flat_mail};
enum { PATTERNS = sizeof patterns / sizeof patterns[0] };

static double
seconds_of_a_pattern(void)
{
    const char *text = getenv("XALLOC_TEST_SECONDS");
    double seconds = text == NULL ? SECONDS_DEFAULT : strtod(text, NULL);
    return (seconds > 0 ? seconds : SECONDS_DEFAULT) / PATTERNS;
}

static int
run_pattern(const struct xa_flat_pattern *chosen)
{
    enum { SEED = 1 };
    double seconds = seconds_of_a_pattern();
    pattern = chosen;
    if (!start_workers(getenv("XALLOC_TEST_SEED") != NULL ? xa_seed_choose(NULL) : (uint64_t)SEED))
        return 2;
    double late_seconds = run_minutes(seconds);
    stop_workers();
    write_minutes(getenv("XALLOC_TEST_TSV"));
    return report(seconds, late_seconds) ? 0 : 1;
}

/* An allocator's own decay time, compressed like all times. */
static void
set_decay(const char *variable, int decay_ms)
{
    char text[48];
    double scaled_ms = decay_ms * seconds_of_a_pattern() / (MINUTES * 60);
    if (scaled_ms < DECAY_MS_MIN)
        scaled_ms = DECAY_MS_MIN;
    (void)snprintf(text, sizeof text, "dirty_decay_ms:%d", (int)scaled_ms);
    setenv(variable, text, 0);
}

/* In a process of its own, since settings are read at the start. */
static bool
run_in_child(const char *name)
{
    char *arguments[] = {(char *)(uintptr_t) "flat_stress", (char *)(uintptr_t)name, NULL};
    pid_t pid;
    int status = 0;
    if (posix_spawn(&pid, "/proc/self/exe", NULL, NULL, arguments, environ) != 0) {
        fputs("flat_stress: cannot start itself again\n", stderr);
        return false;
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (WIFSIGNALED(status))
        printf("FAILED: %s was ended by signal %d\n", name, WTERMSIG(status));
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

int
main(int argument_count, char **arguments)
{
    for (size_t i = 0; argument_count == 2 && i < PATTERNS; i++)
        if (strcmp(arguments[1], patterns[i]->name) == 0)
            return run_pattern(patterns[i]);
    if (getenv("XALLOC_LIBRARY") != NULL && !is_xalloc()) {
        puts("FAILED: xalloc was to be preloaded, and is not");
        return 1;
    }
    const char *path = getenv("XALLOC_TEST_TSV");
    FILE *file = path == NULL ? NULL : fopen(path, "w");
    if (file != NULL) {
        fputs("pattern\tminute\tidle_live\tidle_resident\tpeak_live\tpeak_resident\n", file);
        fclose(file);
    }
    set_decay("XALLOC_CONF", DECAY_MS);
    set_decay("MALLOC_CONF", JEMALLOC_DECAY_MS);
    bool all_right = true;
    for (size_t i = 0; i < PATTERNS; i++)
        all_right &= run_in_child(patterns[i]->name);
    return all_right ? 0 : 1;
}
