/*
 * workload.c - runs a case of a workload program and prints its line; see workload.h.
 */
#define _GNU_SOURCE
#include "workload.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum {
    THREADS_MAX = 1024,
    WRITTEN_BYTES = 16,
    SEED_STEPS = 8,
    LINE_BYTES = 64,
};

/* What one slice took. */
struct slice_cost {
    double ns;
    double cpu_ns;
};

struct thread_start {
    pthread_t id;
    size_t number;
    void (*body)(size_t number, void *shared);
    void *shared;
};

void
workload_require(int condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "workload: %s failed\n", what);
    exit(2);
}

void *
workload_map(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    workload_require(memory != MAP_FAILED, "mmap");
    return memory;
}

struct workload_random
workload_seed(uint64_t number)
{
    struct workload_random random = {UINT64_C(88172645463325252) + number};
    /* Neighbouring seeds begin alike. */
    for (int i = 0; i < SEED_STEPS; i++)
        workload_next(&random);
    return random;
}

void *
workload_allocate(size_t size_bytes)
{
    char *object = malloc(size_bytes);
    workload_require(object != NULL, "malloc");
    /* Volatile, or the compiler would drop stores to memory that is freed unread. */
    for (size_t i = 0; i < WRITTEN_BYTES && i + sizeof(long) <= size_bytes; i += sizeof(long))
        *(volatile long *)(object + i) = (long)size_bytes;
    return object;
}

void
workload_touch_pages(void *object, size_t from_bytes, size_t size_bytes)
{
    char *bytes = object;
    size_t line = 0;
    for (size_t i = from_bytes; i + sizeof(long) <= size_bytes; i += WORKLOAD_PAGE_BYTES) {
        /* Each page in another line, or all the words would compete for one set of the cache. */
        size_t at = i + line;
        *(volatile long *)(bytes + (at + sizeof(long) <= size_bytes ? at : i)) = (long)i;
        line = (line + LINE_BYTES) % WORKLOAD_PAGE_BYTES;
    }
}

static void *
run_thread(void *argument)
{
    struct thread_start *start = argument;
    start->body(start->number, start->shared);
    return NULL;
}

void
workload_run_threads(size_t count, void (*body)(size_t number, void *shared), void *shared)
{
    static struct thread_start starts[THREADS_MAX];

    workload_require(count <= THREADS_MAX, "so many threads");
    for (size_t i = 0; i < count; i++) {
        starts[i] = (struct thread_start){.number = i, .body = body, .shared = shared};
        int result = pthread_create(&starts[i].id, NULL, run_thread, &starts[i]);
        workload_require(result == 0, "pthread_create");
    }
    for (size_t i = 0; i < count; i++)
        pthread_join(starts[i].id, NULL);
}

size_t
workload_scaled(const struct workload_run *run, size_t count)
{
    size_t scaled = count * run->percent / 100;
    return scaled > 0 ? scaled : 1;
}

static double
clock_ns(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

/* Of all threads, and of the children that were waited for. */
static double
processor_ns(void)
{
    struct rusage usage;
    getrusage(RUSAGE_CHILDREN, &usage);
    double seconds = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec);
    double microseconds = (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
    return clock_ns(CLOCK_PROCESS_CPUTIME_ID) + seconds * 1e9 + microseconds * 1e3;
}

static struct slice_cost
time_slice(const struct workload_case *workload, struct workload_run *run)
{
    double start_ns = clock_ns(CLOCK_MONOTONIC);
    double cpu_start_ns = processor_ns();
    size_t operations = workload->slice(run);
    struct slice_cost cost = {
        .cpu_ns = (processor_ns() - cpu_start_ns) / (double)operations,
        .ns = (clock_ns(CLOCK_MONOTONIC) - start_ns) / (double)operations,
    };
    if (workload->restore != NULL)
        workload->restore(run);
    return cost;
}

/* Sorts by time, in place: qsort may allocate. */
static struct slice_cost
median_cost(struct slice_cost *costs, int count)
{
    for (int i = 1; i < count; i++) {
        for (int j = i; j > 0 && costs[j - 1].ns > costs[j].ns; j--) {
            struct slice_cost other = costs[j];
            costs[j] = costs[j - 1];
            costs[j - 1] = other;
        }
    }
    return costs[count / 2];
}

static long
minor_faults(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_minflt;
}

/*
 * The peak of this address space.  Not getrusage: its figure survives exec, so a large parent
 * would show up in every child.  0 if the kernel does not tell.
 */
static long
peak_resident_kib(void)
{
    static char text[8192];
    int file = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return 0;
    ssize_t got = read(file, text, sizeof text - 1);
    close(file);
    const char *line = got > 0 ? strstr(text, "VmHWM:") : NULL;
    return line != NULL ? strtol(line + strlen("VmHWM:"), NULL, 10) : 0;
}

static const char *
file_of_malloc(void)
{
    Dl_info info;
    void *address = dlsym(RTLD_DEFAULT, "malloc");
    if (address == NULL || dladdr(address, &info) == 0 || info.dli_fname == NULL)
        return "?";
    return info.dli_fname;
}

static void
run_case(const struct workload_case *workload, struct workload_run *run)
{
    static struct slice_cost costs[WORKLOAD_SLICES_MAX];

    if (workload->prepare != NULL)
        workload->prepare(run);
    for (int i = 0; i < workload->warm_up_slices; i++)
        time_slice(workload, run);
    long faults_before = minor_faults();
    for (int i = 0; i < workload->timed_slices; i++)
        costs[i] = time_slice(workload, run);
    long faults = minor_faults() - faults_before;
    struct slice_cost cost = median_cost(costs, workload->timed_slices);
    /* The peak first: what printing needs is not the workload's. */
    long peak_kib = peak_resident_kib();
    printf("%.3f\t%.3f\t%ld\t%ld\t%s\n", cost.ns, cost.cpu_ns, faults, peak_kib, file_of_malloc());
}

static int
usage(const char *program, const struct workload_case *cases, size_t case_count)
{
    for (size_t i = 0; i < case_count; i++)
        fprintf(stderr, "usage: %s %s [PARAMETER [PERCENT]]\n", program, cases[i].name);
    return 2;
}

/* A number from 1 to `max`. */
static int
parse_number(const char *text, size_t max, size_t *number)
{
    char *end;
    *number = strtoul(text, &end, 10);
    return *end == '\0' && *number > 0 && *number <= max;
}

int
workload_main(
    int argument_count, char **arguments, const struct workload_case *cases, size_t case_count)
{
    const struct workload_case *found = NULL;
    for (size_t i = 0; argument_count >= 2 && i < case_count; i++) {
        if (strcmp(cases[i].name, arguments[1]) == 0)
            found = &cases[i];
    }
    if (found == NULL || argument_count > 4)
        return usage(arguments[0], cases, case_count);

    struct workload_run run = {
        .parameter = found->parameter_default, .percent = 100, .random = workload_seed(0)};
    if (argument_count > 2 && !parse_number(arguments[2], found->parameter_max, &run.parameter))
        return usage(arguments[0], cases, case_count);
    if (argument_count > 3 && !parse_number(arguments[3], 1000, &run.percent))
        return usage(arguments[0], cases, case_count);
    run_case(found, &run);
    return 0;
}
