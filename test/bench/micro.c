/*
 * micro.c - the three hot workloads, timed inside one process.
 *
 *   micro pair [SIZE]        malloc and free of one object, again and again (64 bytes)
 *   micro batch_fifo [N]     N objects (1,000) of mixed sizes, freed in the order of their birth
 *   micro batch_lifo [N]     the same, freed in the opposite order
 *   micro churn [N]          N live objects (200,000); a random one is freed and replaced
 *
 * Prints one line of TSV: workload, nanoseconds an operation, peak resident KiB, and the file
 * that malloc came from.  An operation is one malloc and one free.  Every object's first 16
 * bytes are written, as a program would: what is never touched flatters whoever delays work.
 *
 * A workload is a slice that is repeated: some slices to warm up, then the median of the timed
 * ones, so that a single interruption does not count.  The program contains no allocator
 * knowledge: preload one, or none for the C library's.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum {
    SLICE_OPERATIONS = 200000,
    WARM_UP_SLICES = 4,
    TIMED_SLICES = 25,
    BATCH_COUNT_MAX = 100000,
    LIVE_COUNT_MAX = 100000000,
    WRITTEN_BYTES = 16,
};

/* What a slice works on; the arrays are mapped, so that the allocator under test holds none. */
struct bench {
    size_t parameter; /* the number on the command line */
    void **objects;   /* `parameter` pointers, or one for `pair` */
    uint16_t *sizes;  /* sizes of a batch, drawn once */
    uint64_t random;  /* xorshift state; the same seed for every allocator */
};

struct workload {
    const char *name;
    size_t parameter_default;
    size_t parameter_max;
    void (*prepare)(struct bench *bench);
    size_t (*slice)(struct bench *bench); /* returns the number of operations */
};

static uint64_t
next_random(struct bench *bench)
{
    uint64_t state = bench->random;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    bench->random = state;
    return state;
}

/* A number below `bound`, without a division. */
static size_t
random_below(struct bench *bench, size_t bound)
{
    return (size_t)(((next_random(bench) >> 32) * (uint64_t)bound) >> 32);
}

static void *
map_bytes(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        perror("micro: mmap");
        exit(2);
    }
    return memory;
}

static void *
allocate_and_write(size_t size_bytes)
{
    char *object = malloc(size_bytes);
    if (object == NULL) {
        fputs("micro: malloc returned NULL\n", stderr);
        exit(2);
    }
    /* Volatile, or the compiler would drop stores to memory that is freed unread. */
    for (size_t i = 0; i < WRITTEN_BYTES && i + sizeof(long) <= size_bytes; i += sizeof(long))
        *(volatile long *)(object + i) = (long)size_bytes;
    return object;
}

static void
prepare_nothing(struct bench *bench)
{
    (void)bench;
}

static size_t
slice_pair(struct bench *bench)
{
    size_t size_bytes = bench->parameter;
    for (size_t i = 0; i < SLICE_OPERATIONS; i++)
        free(allocate_and_write(size_bytes));
    return SLICE_OPERATIONS;
}

static void
prepare_batch(struct bench *bench)
{
    for (size_t i = 0; i < bench->parameter; i++)
        bench->sizes[i] = (uint16_t)(16 + random_below(bench, 240));
}

static void
allocate_batch(struct bench *bench)
{
    for (size_t i = 0; i < bench->parameter; i++)
        bench->objects[i] = allocate_and_write(bench->sizes[i]);
}

static size_t
slice_batch_fifo(struct bench *bench)
{
    size_t rounds = 1 + SLICE_OPERATIONS / bench->parameter;
    for (size_t round = 0; round < rounds; round++) {
        allocate_batch(bench);
        for (size_t i = 0; i < bench->parameter; i++)
            free(bench->objects[i]);
    }
    return rounds * bench->parameter;
}

static size_t
slice_batch_lifo(struct bench *bench)
{
    size_t rounds = 1 + SLICE_OPERATIONS / bench->parameter;
    for (size_t round = 0; round < rounds; round++) {
        allocate_batch(bench);
        for (size_t i = bench->parameter; i-- > 0;)
            free(bench->objects[i]);
    }
    return rounds * bench->parameter;
}

static void
prepare_churn(struct bench *bench)
{
    for (size_t i = 0; i < bench->parameter; i++)
        bench->objects[i] = allocate_and_write(16 + random_below(bench, 496));
}

static size_t
slice_churn(struct bench *bench)
{
    for (size_t i = 0; i < SLICE_OPERATIONS; i++) {
        size_t victim = random_below(bench, bench->parameter);
        free(bench->objects[victim]);
        bench->objects[victim] = allocate_and_write(16 + random_below(bench, 496));
    }
    return SLICE_OPERATIONS;
}

static const struct workload workloads[] = {
    {"pair", 64, (size_t)1 << 30, prepare_nothing, slice_pair},
    {"batch_fifo", 1000, BATCH_COUNT_MAX, prepare_batch, slice_batch_fifo},
    {"batch_lifo", 1000, BATCH_COUNT_MAX, prepare_batch, slice_batch_lifo},
    {"churn", 200000, LIVE_COUNT_MAX, prepare_churn, slice_churn},
};

static double
now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static int
compare_doubles(const void *left, const void *right)
{
    double a = *(const double *)left;
    double b = *(const double *)right;
    return (a > b) - (a < b);
}

static double
median_ns_per_operation(const struct workload *workload, struct bench *bench)
{
    static double slices_ns[TIMED_SLICES];

    workload->prepare(bench);
    for (int i = 0; i < WARM_UP_SLICES; i++)
        workload->slice(bench);
    for (int i = 0; i < TIMED_SLICES; i++) {
        double start_ns = now_ns();
        size_t operations = workload->slice(bench);
        slices_ns[i] = (now_ns() - start_ns) / (double)operations;
    }
    qsort(slices_ns, TIMED_SLICES, sizeof slices_ns[0], compare_doubles);
    return slices_ns[TIMED_SLICES / 2];
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

static int
usage(void)
{
    fputs("usage: micro pair|batch_fifo|batch_lifo|churn [NUMBER]\n", stderr);
    return 2;
}

static const struct workload *
find_workload(const char *name)
{
    for (size_t i = 0; i < sizeof workloads / sizeof workloads[0]; i++) {
        if (strcmp(workloads[i].name, name) == 0)
            return &workloads[i];
    }
    return NULL;
}

int
main(int argument_count, char **arguments)
{
    if (argument_count < 2 || argument_count > 3)
        return usage();
    const struct workload *workload = find_workload(arguments[1]);
    if (workload == NULL)
        return usage();

    struct bench bench = {
        .parameter = workload->parameter_default, .random = UINT64_C(88172645463325252)};
    if (argument_count == 3) {
        char *end;
        bench.parameter = strtoul(arguments[2], &end, 10);
        if (*end != '\0' || bench.parameter == 0 || bench.parameter > workload->parameter_max)
            return usage();
    }
    if (workload->slice != slice_pair)
        bench.objects = map_bytes(bench.parameter * sizeof bench.objects[0]);
    if (workload->prepare == prepare_batch)
        bench.sizes = map_bytes(bench.parameter * sizeof bench.sizes[0]);

    double ns = median_ns_per_operation(workload, &bench);
    printf("%s\t%.3f\t%ld\t%s\n", workload->name, ns, peak_resident_kib(), file_of_malloc());
    return 0;
}
