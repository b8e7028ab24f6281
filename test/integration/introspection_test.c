/*
 * introspection_test.c - glibc's calls that look at the heap and steer it, rows E25 to E30, as
 * tests.
 *
 * Programs and language run-times call these to report and to give memory back.  If the library
 * did not answer them they would reach the C library's own heap, which is empty, and be told
 * nonsense.
 *
 * Time bounds are measured several times and the best is taken: a busy machine is slow by chance,
 * an allocator that blocks is slow every time.
 */
#define _GNU_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../support/child.h"
#include "../support/threads.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void *(*volatile call_malloc)(size_t) = malloc;
static void (*volatile call_free)(void *) = free;
static int (*volatile call_trim)(size_t) = malloc_trim;
static struct mallinfo2 (*volatile call_mallinfo2)(void) = mallinfo2;
static int (*volatile call_malloc_info)(int, FILE *) = malloc_info;
static void (*volatile call_malloc_stats)(void) = malloc_stats;
static int (*volatile call_mallopt)(int, int) = mallopt;

enum { CHILD_SECONDS = 60, ATTEMPTS = 5, MIB = 1 << 20 };

static struct xa_child_result child;

static double
clock_seconds(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* Make `bytes` of touched memory in 64 KiB blocks and free it all, keeping one block at its end. */
static void *
make_free_memory(size_t bytes)
{
    enum { BLOCK = 65536, BLOCKS_MAX = 16384 };
    static void *blocks[BLOCKS_MAX];
    size_t count = bytes / BLOCK;
    void *last;

    assert_true(count <= BLOCKS_MAX);
    for (size_t i = 0; i < count; i++) {
        blocks[i] = call_malloc(BLOCK);
        assert_non_null(blocks[i]);
        memset(blocks[i], 1, BLOCK);
    }
    /* The last block stays, so that an allocator that only shrinks its top cannot pass. */
    last = blocks[count - 1];
    for (size_t i = 0; i + 1 < count; i++)
        call_free(blocks[i]);
    return last;
}

static void
e25_malloc_trim_gives_memory_back(void **state)
{
    size_t before = xa_child_resident_bytes();
    void *last = make_free_memory(256 * MIB);
    size_t dirty = xa_child_resident_bytes();
    int first = call_trim(0);

    (void)state;
    /* One call is bounded in time, so several may be needed. */
    for (int i = 0; i < 100 && xa_child_resident_bytes() > before + 16 * MIB; i++)
        call_trim(0);
    assert_true(xa_child_resident_bytes() <= before + 16 * MIB);
    /* The allocator may have given all of it back by itself, and then has nothing to report. */
    if (dirty > before + 64 * MIB)
        assert_int_equal(first, 1);
    call_free(last);
}

static void
e25_malloc_trim_returns_0_once_nothing_is_left(void **state)
{
    void *last = make_free_memory(64 * MIB);
    int result = 1;

    (void)state;
    for (int i = 0; i < 100 && result != 0; i++) {
        result = call_trim(0);
        assert_true(result == 0 || result == 1);
    }
    assert_int_equal(result, 0);
    call_free(last);
}

static void
e25_malloc_trim_takes_50_ms_at_most(void **state)
{
    double best = 1e9;

    (void)state;
    for (int attempt = 0; attempt < ATTEMPTS && best > 0.050; attempt++) {
        void *last = make_free_memory(512 * MIB);
        double longest = 0;

        for (int i = 0; i < 20; i++) {
            double start = clock_seconds(CLOCK_THREAD_CPUTIME_ID);
            double taken;

            call_trim(0);
            taken = clock_seconds(CLOCK_THREAD_CPUTIME_ID) - start;
            longest = taken > longest ? taken : longest;
        }
        best = longest < best ? longest : best;
        call_free(last);
    }
    if (best > 0.050)
        fail_msg("malloc_trim took %.1f ms of processor time in the best of %d attempts",
            best * 1e3, ATTEMPTS);
}

struct latency {
    atomic_bool stop;
    double longest;
};

static void
measure_latency(unsigned index, void *argument)
{
    struct latency *latency = argument;
    double last = clock_seconds(CLOCK_MONOTONIC);

    (void)index;
    for (size_t size = 16; !atomic_load(&latency->stop); size = size < 100000 ? size * 2 : 16) {
        double now;

        call_free(call_malloc(size));
        now = clock_seconds(CLOCK_MONOTONIC);
        latency->longest = now - last > latency->longest ? now - last : latency->longest;
        last = now;
    }
}

static void
e25_malloc_trim_blocks_no_other_thread(void **state)
{
    double best = 1e9;

    (void)state;
    for (int attempt = 0; attempt < ATTEMPTS && best > 0.1; attempt++) {
        struct latency latency = {false, 0};
        struct xa_threads team;
        void *last;

        last = make_free_memory(256 * MIB);
        assert_true(xa_threads_start(&team, 1, measure_latency, &latency));
        for (int i = 0; i < 20; i++)
            call_trim(0);
        atomic_store(&latency.stop, true);
        assert_true(xa_threads_join(&team, CHILD_SECONDS));
        best = latency.longest < best ? latency.longest : best;
        call_free(last);
    }
    if (best > 0.1)
        fail_msg(
            "malloc and free took %.0f ms while another thread was in malloc_trim", best * 1e3);
}

static void
e26_mallinfo2_sees_one_more_byte(void **state)
{
    struct mallinfo2 before;
    struct mallinfo2 after;
    void *block;

    (void)state;
    for (int i = 0; i < 100; i++) {
        before = call_mallinfo2();
        block = call_malloc(1);
        after = call_mallinfo2();
        assert_non_null(block);
        assert_int_not_equal(memcmp(&before, &after, sizeof(before)), 0);
    }
}

static void
e26_mallinfo2_counts_small_objects(void **state)
{
    enum { COUNT = 80000, BYTES = 100 };
    static void *blocks[COUNT];
    struct mallinfo2 live;
    struct mallinfo2 after;

    (void)state;
    for (int i = 0; i < COUNT; i++) {
        blocks[i] = call_malloc(BYTES);
        assert_non_null(blocks[i]);
    }
    live = call_mallinfo2();
    assert_true(live.uordblks >= (size_t)COUNT * BYTES);
    /* Statistics that only grow would pass the line above. */
    assert_true(live.uordblks <= (size_t)COUNT * BYTES * 3 + 64 * MIB);
    assert_int_equal(live.smblks, 0);
    for (int i = 0; i < COUNT; i++)
        call_free(blocks[i]);
    after = call_mallinfo2();
    assert_true(after.uordblks + (size_t)COUNT * BYTES / 2 <= live.uordblks);
}

static void
e26_mallinfo2_counts_large_objects(void **state)
{
    const size_t sizes[] = {(size_t)64 << 20, (size_t)2 << 30};

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        size_t before = call_mallinfo2().hblkhd;
        void *block = call_malloc(sizes[i]);

        if (block == NULL) {
            print_message("skipped: no address space for a block of %zu bytes\n", sizes[i]);
            skip();
        }
        assert_true(call_mallinfo2().hblkhd >= sizes[i]);
        call_free(block);
        assert_true(call_mallinfo2().hblkhd <= before + 32 * MIB);
    }
}

/* The compiler warns of mallinfo since it cannot count beyond int; that is what is tested. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
static struct mallinfo (*volatile call_mallinfo)(void) = mallinfo;
#pragma GCC diagnostic pop

static int
clamped(size_t value)
{
    return value > INT_MAX ? INT_MAX : (int)value;
}

static void
e26_mallinfo_is_mallinfo2_clamped_to_int(void **state)
{
    void *block = call_malloc(sizeof(size_t) == 8 ? (size_t)5 << 30 : SIZE_MAX);
    struct mallinfo2 wide = call_mallinfo2();
    struct mallinfo narrow = call_mallinfo();

    (void)state;
    if (block == NULL) {
        print_message("skipped: no address space for a block of 5 GiB\n");
        skip();
    }
    call_free(block);
    assert_int_equal(narrow.hblkhd, INT_MAX);
    assert_int_equal(narrow.arena, clamped(wide.arena));
    assert_int_equal(narrow.ordblks, clamped(wide.ordblks));
    assert_int_equal(narrow.smblks, 0);
    assert_int_equal(narrow.hblks, clamped(wide.hblks));
    assert_int_equal(narrow.uordblks, clamped(wide.uordblks));
    assert_int_equal(narrow.fordblks, clamped(wide.fordblks));
    assert_int_equal(narrow.keepcost, clamped(wide.keepcost));
}

/*
 * One element `<name key="value" …>` must be in the document: name and the beginning of its keys.
 */
static const char *
expect_element(const char *document, const char *beginning)
{
    const char *found = strstr(document, beginning);

    if (found == NULL)
        fail_msg("malloc_info wrote no %s in: %.3000s", beginning, document);
    return found;
}

/* The decimal number of key="…" in the element at `element`. */
static unsigned long long
number_of(const char *element, const char *key)
{
    char pattern[32];
    const char *end = strchr(element, '>');
    const char *found;

    snprintf(pattern, sizeof(pattern), " %s=\"", key);
    found = strstr(element, pattern);
    if (end == NULL || found == NULL || found > end ||
        !isdigit((unsigned char)found[strlen(pattern)]))
        fail_msg("malloc_info: no number %s in %.80s", key, element);
    return strtoull(found + strlen(pattern), NULL, 10);
}

/* Every tag that is opened is closed, in order. */
static void
expect_well_formed(const char *document)
{
    const char *open[16];
    size_t depth = 0;

    for (const char *tag = strchr(document, '<'); tag != NULL; tag = strchr(tag + 1, '<')) {
        const char *end = strchr(tag, '>');

        assert_non_null(end);
        if (tag[1] == '/') {
            size_t length = (size_t)(end - tag) - 2;

            assert_true(depth > 0);
            depth--;
            assert_memory_equal(open[depth] + 1, tag + 2, length);
            assert_false(isalnum((unsigned char)open[depth][length + 1]));
        } else if (end[-1] != '/' && tag[1] != '?') {
            assert_true(depth < 16);
            open[depth++] = tag;
        }
    }
    assert_int_equal(depth, 0);
}

static void
expect_malloc_info(const char *document)
{
    static const char *const totals[] = {"fast", "rest", "mmap"};
    static const char *const systems[] = {"current", "max"};
    static const char *const spaces[] = {"total", "mprotect"};
    char beginning[64];

    expect_well_formed(document);
    expect_element(document, "<malloc version=\"1\"");
    expect_element(document, "<heap nr=\"0\"");
    expect_element(document, "<sizes");
    expect_element(document, "</malloc>");
    for (int i = 0; i < 3; i++) {
        snprintf(beginning, sizeof(beginning), "<total type=\"%s\"", totals[i]);
        number_of(expect_element(document, beginning), "count");
        number_of(expect_element(document, beginning), "size");
    }
    for (int i = 0; i < 2; i++) {
        snprintf(beginning, sizeof(beginning), "<system type=\"%s\"", systems[i]);
        assert_true(number_of(expect_element(document, beginning), "size") > 0);
        snprintf(beginning, sizeof(beginning), "<aspace type=\"%s\"", spaces[i]);
        number_of(expect_element(document, beginning), "size");
    }
}

static void
e27_malloc_info_writes_glibcs_xml(void **state)
{
    char *document = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&document, &length);
    void *blocks[100];

    (void)state;
    for (int i = 0; i < 100; i++)
        blocks[i] = call_malloc((size_t)i * 100);
    assert_non_null(stream);
    assert_int_equal(call_malloc_info(0, stream), 0);
    assert_int_equal(fclose(stream), 0);
    expect_malloc_info(document);
    for (int i = 0; i < 100; i++)
        call_free(blocks[i]);
    free(document);
}

static void
e27_malloc_info_refuses_options(void **state)
{
    static const int bad[] = {1, 2, -1, INT_MAX, INT_MIN};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char *document = NULL;
        size_t length = 0;
        FILE *stream = open_memstream(&document, &length);

        assert_non_null(stream);
        assert_int_equal(call_malloc_info(bad[i], stream), EINVAL);
        assert_int_equal(fclose(stream), 0);
        assert_int_equal(length, 0);
        free(document);
    }
}

/* A stream whose writer waits until another thread has used the allocator. */
struct slow_stream {
    atomic_int asked;
    atomic_int answered;
    atomic_bool stop;
    size_t written;
};

static void
use_all_sizes(void)
{
    static const size_t sizes[] = {
        1, 16, 100, 1000, 5000, 20000, 100000, 600000, 3000000, 20000000};
    enum { COUNT = sizeof(sizes) / sizeof(sizes[0]) };
    void *blocks[COUNT];

    for (int i = 0; i < COUNT; i++) {
        blocks[i] = call_malloc(sizes[i]);
        XA_CHILD_CHECK(blocks[i] != NULL);
    }
    for (int i = 0; i < COUNT; i++)
        call_free(blocks[i]);
}

static ssize_t
write_slowly(void *cookie, const char *text, size_t length)
{
    struct slow_stream *stream = cookie;
    int wanted;

    (void)text;
    use_all_sizes();
    wanted = atomic_fetch_add(&stream->asked, 1) + 1;
    while (atomic_load(&stream->answered) < wanted)
        sched_yield();
    stream->written += length;
    return (ssize_t)length;
}

static void *
answer_with_allocations(void *argument)
{
    struct slow_stream *stream = argument;

    while (!atomic_load(&stream->stop)) {
        if (atomic_load(&stream->answered) == atomic_load(&stream->asked)) {
            sched_yield();
            continue;
        }
        use_all_sizes();
        malloc_trim(0);
        mallinfo2();
        atomic_fetch_add(&stream->answered, 1);
    }
    return NULL;
}

/* Runs in a child, since it hangs if malloc_info holds a lock while it writes. */
static int
write_info_to_a_stream_that_allocates(void *argument)
{
    static struct slow_stream shared;
    const cookie_io_functions_t functions = {NULL, write_slowly, NULL, NULL};
    FILE *stream = fopencookie(&shared, "w", functions);
    pthread_t thread;

    (void)argument;
    XA_CHILD_CHECK(stream != NULL);
    XA_CHILD_CHECK(pthread_create(&thread, NULL, answer_with_allocations, &shared) == 0);
    /* Unbuffered: every piece of text goes through the writer while malloc_info runs. */
    setvbuf(stream, NULL, _IONBF, 0);
    for (int i = 0; i < 3; i++)
        XA_CHILD_CHECK(call_malloc_info(0, stream) == 0);
    XA_CHILD_CHECK(fclose(stream) == 0);
    atomic_store(&shared.stop, true);
    XA_CHILD_CHECK(xa_threads_join_one(thread, 20));
    XA_CHILD_CHECK(shared.written > 100);
    return 0;
}

static void
e27_malloc_info_holds_no_lock_while_it_writes(void **state)
{
    (void)state;
    xa_child_call(&child, CHILD_SECONDS, write_info_to_a_stream_that_allocates, NULL);
    xa_child_assert_success(&child);
}

static int
print_statistics(void *argument)
{
    (void)argument;
    call_malloc_stats();
    return 0;
}

static void
e28_malloc_stats_writes_to_stderr(void **state)
{
    (void)state;
    xa_child_call(&child, CHILD_SECONDS, print_statistics, NULL);
    xa_child_assert_success(&child);
    assert_true(strlen(child.errors) > 20);
    assert_int_equal(strlen(child.output), 0);
}

static void *
call_statistics_in_thread(void *argument)
{
    atomic_store((atomic_bool *)argument, true);
    for (int i = 0; i < 3; i++)
        call_malloc_stats();
    return NULL;
}

struct drain {
    atomic_bool go;
    int read_end;
};

static void *
drain_pipe(void *argument)
{
    struct drain *drain = argument;
    char text[4096];

    while (!atomic_load(&drain->go))
        usleep(1000);
    while (read(drain->read_end, text, sizeof(text)) > 0)
        continue;
    return NULL;
}

static void *
wait_to_be_cancelled(void *argument)
{
    for (;;)
        pause();
    return argument;
}

static void
fill_pipe(int write_end)
{
    static const char text[4096];
    int flags = fcntl(write_end, F_GETFL);

    fcntl(write_end, F_SETFL, flags | O_NONBLOCK);
    while (write(write_end, text, sizeof(text)) > 0)
        continue;
    while (write(write_end, text, 1) > 0)
        continue;
    fcntl(write_end, F_SETFL, flags);
}

/*
 * stderr becomes a full pipe, so the thread stops inside malloc_stats; it is cancelled there.
 * Only then is the pipe read, for a library whose writing is no cancellation point.  glibc's own
 * version holds its heap's lock meanwhile, so whatever allocates is done before: the drain is
 * already running, and a first cancellation has made the C library load what it needs for that.
 * Runs in a child.
 */
static int
cancel_inside_statistics(void *argument)
{
    static atomic_bool started;
    static struct drain drain;
    int ends[2];
    int old_stderr = dup(STDERR_FILENO);
    pthread_t first;
    pthread_t thread;
    pthread_t drainer;

    (void)argument;
    XA_CHILD_CHECK(pthread_create(&first, NULL, wait_to_be_cancelled, NULL) == 0);
    XA_CHILD_CHECK(pthread_cancel(first) == 0 && xa_threads_join_one(first, 20));
    XA_CHILD_CHECK(pipe(ends) == 0 && dup2(ends[1], STDERR_FILENO) >= 0);
    drain.read_end = ends[0];
    XA_CHILD_CHECK(pthread_create(&drainer, NULL, drain_pipe, &drain) == 0);
    fill_pipe(ends[1]);
    XA_CHILD_CHECK(pthread_create(&thread, NULL, call_statistics_in_thread, &started) == 0);
    while (!atomic_load(&started))
        sched_yield();
    usleep(50000);
    pthread_cancel(thread);
    usleep(50000);
    atomic_store(&drain.go, true);
    XA_CHILD_CHECK(xa_threads_join_one(thread, 20));
    dup2(old_stderr, STDERR_FILENO);
    close(ends[1]);
    XA_CHILD_CHECK(xa_threads_join_one(drainer, 20));
    for (int i = 0; i < 100; i++)
        use_all_sizes();
    call_malloc_stats();
    call_trim(0);
    fprintf(stderr, "end\n");
    return 0;
}

static void
e28_a_thread_cancelled_in_malloc_stats_leaves_no_lock(void **state)
{
    (void)state;
    xa_child_call(&child, CHILD_SECONDS, cancel_inside_statistics, NULL);
    xa_child_assert_success(&child);
    assert_non_null(strstr(child.errors, "end\n"));
}

/* In a child, because the settings are the process' own and last. */
static int
set_known_parameters(void *argument)
{
    static const int settings[][2] = {{M_MXFAST, 64}, {M_MXFAST, 0},
        {M_MXFAST, 20 * sizeof(size_t)}, {M_TRIM_THRESHOLD, 128 * 1024}, {M_TRIM_THRESHOLD, -1},
        {M_TOP_PAD, 0}, {M_TOP_PAD, 4096}, {M_MMAP_THRESHOLD, 256 * 1024}, {M_MMAP_MAX, 65536},
        {M_MMAP_MAX, 0}, {M_CHECK_ACTION, 1}, {M_CHECK_ACTION, 3}, {M_PERTURB, 0x55},
        {M_PERTURB, 0}, {M_ARENA_TEST, 4}, {M_ARENA_MAX, 2}};
    static const int parameters[] = {1, -1, -2, -3, -4, -5, -6, -7, -8};

    (void)argument;
    XA_CHILD_CHECK(M_MXFAST == parameters[0] && M_TRIM_THRESHOLD == parameters[1]);
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        if (call_mallopt(settings[i][0], settings[i][1]) != 1) {
            fprintf(stderr, "mallopt(%d, %d) did not return 1\n", settings[i][0], settings[i][1]);
            return 1;
        }
        use_all_sizes();
    }
    return 0;
}

static void
e29_mallopt_accepts_every_known_parameter(void **state)
{
    (void)state;
    xa_child_call(&child, CHILD_SECONDS, set_known_parameters, NULL);
    xa_child_assert_success(&child);
}

static int
set_bad_and_unknown_parameters(void *argument)
{
    static const int unknown[] = {12345, 2, 3, 4, -9, -100, INT_MAX, INT_MIN};

    (void)argument;
    XA_CHILD_CHECK(call_mallopt(M_MXFAST, 100000) == 0);
    XA_CHILD_CHECK(call_mallopt(M_MXFAST, 161) == 0);
    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
        XA_CHILD_CHECK(call_mallopt(unknown[i], 1) == 1);
    use_all_sizes();
    return 0;
}

static void
e30_mallopt_refuses_a_bad_value_and_ignores_an_unknown_parameter(void **state)
{
    (void)state;
    xa_child_call(&child, CHILD_SECONDS, set_bad_and_unknown_parameters, NULL);
    xa_child_assert_success(&child);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(e25_malloc_trim_gives_memory_back),
        cmocka_unit_test(e25_malloc_trim_returns_0_once_nothing_is_left),
        cmocka_unit_test(e25_malloc_trim_takes_50_ms_at_most),
        cmocka_unit_test(e25_malloc_trim_blocks_no_other_thread),
        cmocka_unit_test(e26_mallinfo2_sees_one_more_byte),
        cmocka_unit_test(e26_mallinfo2_counts_small_objects),
        cmocka_unit_test(e26_mallinfo2_counts_large_objects),
        cmocka_unit_test(e26_mallinfo_is_mallinfo2_clamped_to_int),
        cmocka_unit_test(e27_malloc_info_writes_glibcs_xml),
        cmocka_unit_test(e27_malloc_info_refuses_options),
        cmocka_unit_test(e27_malloc_info_holds_no_lock_while_it_writes),
        cmocka_unit_test(e28_malloc_stats_writes_to_stderr),
        cmocka_unit_test(e28_a_thread_cancelled_in_malloc_stats_leaves_no_lock),
        cmocka_unit_test(e29_mallopt_accepts_every_known_parameter),
        cmocka_unit_test(e30_mallopt_refuses_a_bad_value_and_ignores_an_unknown_parameter),
    };

    xa_child_start_watchdog(180);
    return cmocka_run_group_tests(tests, xa_child_check_allocator, NULL);
}
