/*
 * memory_rows.c - processes that have given memory back and then call nothing.
 *
 *   memory_rows large [COUNT [MIB]]      COUNT blocks (400) of MIB (1), written and freed
 *   memory_rows threads COUNT KIB BYTES  COUNT threads fill KIB each with objects of 16 to BYTES
 *                                        bytes, free them all and stay; none waits for another
 *   memory_rows waves [COUNT [BYTES]]    COUNT objects (2,000,000) of BYTES (100) allocated, as
 *                                        many again, then the first ones freed
 *   memory_rows classes THREADS          THREADS threads, and the main one, each hold an object
 *                                        of each of the sizes 16, 32 .. 1024
 *
 * When the work is done, one line of TSV is written: "ready", the KiB of the mapping that holds
 * the threads' stacks, and the file that malloc came from.  From then on the process makes no
 * call at all: the main thread is in read(2) on standard input, the others in futex(2).  Whoever
 * started it looks at /proc/PID for as long as it likes and closes the pipe, which ends it.
 *
 * What the program needs for itself is mapped, not allocated, and no stream is used, so that
 * all the figures are the allocator's: the arrays of pointers are unmapped before the end,
 * except for `waves`, which really needs them and is known to (twice 8 bytes an object).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    /* Enough for any allocator's slow path; pages that are not touched cost nothing. */
    STACK_BYTES = 256 << 10,
    OBJECT_BYTES_MIN = 16,
    CLASS_BYTES_MAX = 1024,
    CLASS_STEP_BYTES = 16,
};

struct worker {
    pthread_t thread;
    uint64_t random; /* xorshift state; the same for every allocator */
    size_t budget_bytes;
    size_t object_bytes_max;
};

static _Atomic uint32_t workers_done;
static _Atomic uint32_t never_changes;
static size_t stacks_kib;

static _Noreturn void
die(const char *message)
{
    (void)!write(STDERR_FILENO, "memory_rows: ", 13);
    (void)!write(STDERR_FILENO, message, strlen(message));
    (void)!write(STDERR_FILENO, "\n", 1);
    _exit(2);
}

static void *
map_bytes(size_t bytes)
{
    void *memory = mmap(
        NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        die("cannot map memory");
    return memory;
}

static void *
allocate_and_write(size_t size_bytes)
{
    char *object = malloc(size_bytes);
    if (object == NULL)
        die("malloc returned NULL");
    memset(object, 1, size_bytes);
    /* The address escapes, or the compiler would drop the writes. */
    __asm__ volatile("" : : "r"(object) : "memory");
    return object;
}

static size_t
random_size_bytes(struct worker *worker)
{
    worker->random ^= worker->random << 13;
    worker->random ^= worker->random >> 7;
    worker->random ^= worker->random << 17;
    size_t span = worker->object_bytes_max - OBJECT_BYTES_MIN + 1;
    return OBJECT_BYTES_MIN + (size_t)(((worker->random >> 32) * span) >> 32);
}

static void
futex_wait(_Atomic uint32_t *word, uint32_t value)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

/* A worker that has finished, and stays for as long as the process does. */
static _Noreturn void
report_and_stay(void)
{
    atomic_fetch_add(&workers_done, 1);
    syscall(SYS_futex, &workers_done, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
    for (;;)
        futex_wait(&never_changes, 0);
}

static void
wait_for_workers(size_t count)
{
    for (;;) {
        uint32_t done = atomic_load(&workers_done);
        if (done == count)
            return;
        futex_wait(&workers_done, done);
    }
}

/* All stacks are one mapping of a known size, which the virtual size is counted without. */
static void
start_workers(const struct worker *like, size_t count, void *(*run)(void *))
{
    char *stacks = map_bytes(count * STACK_BYTES);
    struct worker *workers = map_bytes(count * sizeof *workers);
    pthread_attr_t attributes;

    stacks_kib = count * STACK_BYTES / 1024;
    pthread_attr_init(&attributes);
    for (size_t i = 0; i < count; i++) {
        workers[i] = *like;
        workers[i].random = UINT64_C(88172645463325252) + i * UINT64_C(0x9e3779b97f4a7c15);
        pthread_attr_setstack(&attributes, stacks + i * STACK_BYTES, STACK_BYTES);
        if (pthread_create(&workers[i].thread, &attributes, run, &workers[i]) != 0)
            die("cannot create a thread");
    }
    pthread_attr_destroy(&attributes);
}

static void
work_large(size_t count, size_t size_bytes)
{
    void **blocks = map_bytes(count * sizeof *blocks);
    for (size_t i = 0; i < count; i++)
        blocks[i] = allocate_and_write(size_bytes);
    for (size_t i = 0; i < count; i++)
        free(blocks[i]);
    munmap(blocks, count * sizeof *blocks);
}

static void *
fill_and_free(void *argument)
{
    struct worker *worker = argument;
    size_t count_max = worker->budget_bytes / OBJECT_BYTES_MIN;
    void **objects = map_bytes(count_max * sizeof *objects);
    size_t count = 0;

    for (size_t used_bytes = 0; used_bytes < worker->budget_bytes; count++) {
        size_t size_bytes = random_size_bytes(worker);
        objects[count] = allocate_and_write(size_bytes);
        used_bytes += size_bytes;
    }
    for (size_t i = 0; i < count; i++)
        free(objects[i]);
    munmap(objects, count_max * sizeof *objects);
    report_and_stay();
}

static void
work_threads(size_t count, const struct worker *like)
{
    start_workers(like, count, fill_and_free);
    wait_for_workers(count);
}

static void
work_waves(size_t count, size_t size_bytes)
{
    void **first = map_bytes(count * sizeof *first);
    void **second = map_bytes(count * sizeof *second);
    for (size_t i = 0; i < count; i++)
        first[i] = allocate_and_write(size_bytes);
    for (size_t i = 0; i < count; i++)
        second[i] = allocate_and_write(size_bytes);
    for (size_t i = 0; i < count; i++)
        free(first[i]);
}

static void
hold_each_class(void)
{
    for (size_t size_bytes = CLASS_STEP_BYTES; size_bytes <= CLASS_BYTES_MAX;
         size_bytes += CLASS_STEP_BYTES)
        allocate_and_write(size_bytes);
}

static void *
run_classes(void *argument)
{
    (void)argument;
    hold_each_class();
    report_and_stay();
}

static void
work_classes(size_t thread_count)
{
    hold_each_class();
    if (thread_count == 0)
        return;
    start_workers(&(struct worker){0}, thread_count, run_classes);
    wait_for_workers(thread_count);
}

static const char *
file_of_malloc(void)
{
    Dl_info info;
    if (dladdr(dlsym(RTLD_DEFAULT, "malloc"), &info) == 0 || info.dli_fname == NULL)
        return "?";
    return info.dli_fname;
}

static _Noreturn void
announce_and_wait(void)
{
    /* Numbers and strings are formatted without an allocation; a stream would have a buffer. */
    static char line[PATH_MAX + 64];
    char end;
    int length = snprintf(line, sizeof line, "ready\t%zu\t%s\n", stacks_kib, file_of_malloc());
    if (length < 0 || (size_t)length >= sizeof line ||
        write(STDOUT_FILENO, line, (size_t)length) != length)
        die("cannot report");
    while (read(STDIN_FILENO, &end, 1) > 0)
        ;
    _exit(0);
}

static size_t
argument_or(char **arguments, int position, int argument_count, size_t otherwise)
{
    if (position >= argument_count)
        return otherwise;
    char *end;
    unsigned long number = strtoul(arguments[position], &end, 10);
    if (*end != '\0' || end == arguments[position] || number > 1000000000)
        die("not a number that makes sense on the command line");
    return number;
}

int
main(int argument_count, char **arguments)
{
    const char *work = argument_count > 1 ? arguments[1] : "";

    if (strcmp(work, "large") == 0) {
        work_large(argument_or(arguments, 2, argument_count, 400),
            argument_or(arguments, 3, argument_count, 1) << 20);
    } else if (strcmp(work, "threads") == 0 && argument_count == 5) {
        struct worker like = {
            .budget_bytes = argument_or(arguments, 3, argument_count, 0) << 10,
            .object_bytes_max = argument_or(arguments, 4, argument_count, 0),
        };
        if (like.object_bytes_max < OBJECT_BYTES_MIN)
            die("the largest object has 16 bytes at least");
        work_threads(argument_or(arguments, 2, argument_count, 0), &like);
    } else if (strcmp(work, "waves") == 0) {
        work_waves(argument_or(arguments, 2, argument_count, 2000000),
            argument_or(arguments, 3, argument_count, 100));
    } else if (strcmp(work, "classes") == 0 && argument_count == 3) {
        work_classes(argument_or(arguments, 2, argument_count, 0));
    } else {
        die("usage: memory_rows large [COUNT [MIB]] | threads COUNT KIB BYTES | "
            "waves [COUNT [BYTES]] | classes THREADS");
    }
    announce_and_wait();
}
