/*
 * trim_stress.c - malloc_trim of a large heap, and what other threads feel of it.
 *
 * A heap is filled and freed; while one thread calls malloc_trim until nothing comes
 * back any more, another allocates and measures each pair of calls.  A call of
 * malloc_trim must end in time, and the other thread's 99th percentile must stay
 * far from the time that a purge takes.  The bounds are wide, since test machines
 * are shared; a purge under a lock would miss them by orders of magnitude.  One interruption by
 * the scheduler is longer than a whole trim, so it is repeated until there are pairs enough for
 * a percentile.
 *
 *   XALLOC_TEST_TRIM_MIB   size of the heap, 512 unless set
 */
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    SAMPLES_MAX = 2000000,
    SAMPLES_MIN = 10000,
    ROUNDS_MAX = 30,
    LIVE = 64,
    TRIM_MS_MAX = 250,
    P99_US_MAX = 1000,
    CALLS_MAX = 1000,
};

static float samples_us[SAMPLES_MAX];
static _Atomic size_t sample_count;
static _Atomic bool is_measuring, is_over;

static double
now_us(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

static void *
allocate_and_measure(void *argument)
{
    void *live[LIVE] = {NULL};
    uint32_t random = 1;
    (void)argument;
    while (!is_over) {
        random = random * 1103515245 + 12345;
        unsigned i = (random >> 8) % LIVE;
        size_t bytes = (random >> 16) % ((random & 0x700) != 0 ? 2000 : 60000) + 1;
        double start = now_us();
        free(live[i]);
        live[i] = malloc(bytes);
        size_t count = sample_count;
        if (is_measuring && count < SAMPLES_MAX) {
            samples_us[count] = (float)(now_us() - start);
            sample_count = count + 1;
        }
    }
    for (unsigned i = 0; i < LIVE; i++)
        free(live[i]);
    return NULL;
}

static int
compare(const void *a, const void *b)
{
    float left = *(const float *)a, right = *(const float *)b;
    return left < right ? -1 : left > right;
}

/* Fill a heap of small and large objects, and free it. */
static void
fill_and_free(size_t bytes_wanted)
{
    size_t capacity = bytes_wanted / 1000, count = 0;
    void **objects = malloc(capacity * sizeof *objects);
    for (size_t bytes = 0; bytes < bytes_wanted && count < capacity; count++) {
        size_t size = count % 3 != 0 ? 1000 : 60000;
        objects[count] = malloc(size);
        memset(objects[count], 1, size);
        bytes += size;
    }
    for (size_t i = 0; i < count; i++)
        free(objects[i]);
    free(objects);
}

struct trims {
    double worst_ms; /* of one call */
    double whole_ms;
    int calls;
    int useful;
};

/* Trim until nothing comes back, while the other thread measures. */
static void
trim_all(struct trims *trims)
{
    double began = now_us();
    int gave_back = 1;
    is_measuring = true;
    for (int calls = 0; gave_back && calls < CALLS_MAX; calls++) {
        double start = now_us();
        gave_back = malloc_trim(0);
        double taken = (now_us() - start) / 1e3;
        trims->worst_ms = taken > trims->worst_ms ? taken : trims->worst_ms;
        trims->calls++;
        trims->useful += gave_back;
    }
    is_measuring = false;
    trims->whole_ms += (now_us() - began) / 1e3;
}

int
main(void)
{
    const char *wanted = getenv("XALLOC_TEST_TRIM_MIB");
    size_t mebibytes = wanted != NULL ? strtoul(wanted, NULL, 10) : 512;
    struct trims trims = {0};
    pthread_t other;
    int rounds = 0;

    if (pthread_create(&other, NULL, allocate_and_measure, NULL) != 0)
        return 1;
    for (; sample_count < SAMPLES_MIN && rounds < ROUNDS_MAX; rounds++) {
        fill_and_free(mebibytes << 20);
        trim_all(&trims);
    }
    is_over = true;
    pthread_join(other, NULL);

    size_t count = sample_count;
    qsort(samples_us, count, sizeof *samples_us, compare);
    double p99 = count > 0 ? (double)samples_us[count * 99 / 100] : 0;
    printf(
        "trim of %zu MiB, %d times: %d calls, %.1f ms in all, the longest %.1f ms; meanwhile %zu "
        "pairs of malloc and free, p50 %.2f us, p99 %.2f us\n",
        mebibytes, rounds, trims.calls, trims.whole_ms, trims.worst_ms, count,
        count > 0 ? (double)samples_us[count / 2] : 0, p99);
    if (trims.useful == 0) {
        puts("FAILED: malloc_trim gave nothing back");
        return 1;
    }
    if (count < SAMPLES_MIN) {
        puts("FAILED: the other thread hardly ran: no percentile");
        return 1;
    }
    if (trims.worst_ms > TRIM_MS_MAX || p99 > P99_US_MAX) {
        printf(
            "FAILED: a call may take %d ms, the 99th percentile %d us\n", TRIM_MS_MAX, P99_US_MAX);
        return 1;
    }
    return 0;
}
