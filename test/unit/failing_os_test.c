/*
 * failing_os_test.c - a program on a host where one call after another fails.
 *
 * A scenario that uses every way of getting, resizing and freeing memory runs once
 * undisturbed, and then again and again in new processes: with the first call of the
 * host failing, with the second, and so on, until a run ends before its call comes;
 * then the same with all calls failing from that one on.  A request may get NULL, and
 * that is all: no crash, no message, nothing overwritten.  When everything is freed
 * and trimmed, no more is mapped than after the undisturbed run, and the allocator
 * works as if nothing had been.
 *
 * Two things may differ, and are bounded here:
 *   - metadata is never given back to the host, and after a failure it may come in
 *     other regions than else;
 *   - where the host does not unmap a chunk or a freed mapping at once, it is emptied
 *     and kept as address space: it counts as retained, not as resident.
 */
#include "support/os_fake.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "alloc/allocate.h"
#include "alloc/fast_path.h"
#include "alloc/resize.h"
#include "alloc/start.h"
#include "control/statistics.h"
#include "extent/metadata.h"
#include "page/huge.h"
#include "support/child.h"
#include "support/threads.h"
#include "thread/thread_cache.h"

/* As a program's own settings: what is dirty stays so until a test says otherwise. */
extern const char *xalloc_conf;
const char *xalloc_conf = "background_thread:false";

enum {
    MIB = 1 << 20,
    OBJECTS = 800,
    STATIC_BYTES = 64 * 1024, /* metadata that is part of the library, see metadata.c */
    SECONDS = 120,
    RUNS_MAX = 3000,
    /* Races do not depend on which call it is; and ThreadSanitizer would take minutes for each. */
    STEP = XA_THREAD_SANITIZER ? 5 : 1,
    /* The threads of two runs never meet quite alike. */
    METADATA_SLACK = MIB / 2 + MIB / 16, /* a region more, and what begins it */
    USED_SLACK = MIB / 2,
    RETAINED_SLACK = 16 * MIB,
};

/* What a run leaves behind; in memory that parent and child share. */
struct outcome {
    unsigned long calls;
    unsigned long failures;
    unsigned long nulls;  /* requests that got NULL */
    unsigned long faults; /* objects that were not what they should be */
    size_t heap_bytes;    /* mapped for chunks and huge mappings, in the end */
    size_t used_bytes;    /* of these active or dirty */
    size_t metadata_bytes;
    bool is_finished;
    bool works_again;
};

struct run {
    enum xa_os_fake_call call;
    unsigned long nth; /* 0: nothing fails */
    enum xa_os_fake_mode mode;
    enum xa_os_result map_failure;
    size_t page_bytes;
};

static struct outcome *outcome;
static struct xa_child_result result;

struct object {
    unsigned char *start;
    size_t size;
};

static struct object objects[OBJECTS];

static unsigned char
mark_of(const struct object *object)
{
    return (unsigned char)(1 + (object - objects) % 255);
}

/* The ends of the object get its mark. */
static void
note(struct object *object, void *start, size_t size)
{
    if (start == NULL) {
        __atomic_add_fetch(&outcome->nulls, 1, __ATOMIC_RELAXED);
        return;
    }
    *object = (struct object){start, size};
    object->start[0] = object->start[size / 2] = object->start[size - 1] = mark_of(object);
}

static void
check(const struct object *object)
{
    if (object->start[0] != mark_of(object) || object->start[object->size / 2] != mark_of(object) ||
        object->start[object->size - 1] != mark_of(object))
        __atomic_add_fetch(&outcome->faults, 1, __ATOMIC_RELAXED);
}

static void
release(struct object *object)
{
    if (object->start == NULL)
        return;
    check(object);
    xa_fast_free(object->start);
    object->start = NULL;
}

static void
resize(struct object *object, size_t size)
{
    if (object->start == NULL)
        return;
    check(object);
    unsigned char *start = xa_resize(object->start, size);
    if (start == NULL) {
        __atomic_add_fetch(&outcome->nulls, 1, __ATOMIC_RELAXED);
        check(object);
        return;
    }
    if (start[0] != mark_of(object))
        __atomic_add_fetch(&outcome->faults, 1, __ATOMIC_RELAXED);
    note(object, start, size);
}

static void
take_zeroed(struct object *object, size_t size)
{
    unsigned char *start = xa_allocate_zeroed(size);
    for (size_t i = 0; start != NULL && i < size; i += 64)
        if (start[i] != 0)
            __atomic_add_fetch(&outcome->faults, 1, __ATOMIC_RELAXED);
    note(object, start, size);
}

static void
take_aligned(struct object *object, size_t alignment, size_t size)
{
    void *start = xa_allocate_aligned(alignment, size);
    if ((uintptr_t)start % alignment != 0)
        __atomic_add_fetch(&outcome->faults, 1, __ATOMIC_RELAXED);
    note(object, start, size);
}

/* Objects of all classes, in the rows [first, first + 100) of the table. */
static void
use_small_objects(unsigned first)
{
    for (unsigned i = 0; i < 100; i++)
        note(&objects[first + i], xa_fast_malloc(1 + i * i * 6), 1 + i * i * 6);
    for (unsigned i = 0; i < 100; i += 2)
        release(&objects[first + i]);
    for (unsigned i = 0; i < 100; i += 4)
        take_zeroed(&objects[first + i], 1 + i * 300);
    for (unsigned i = 1; i < 100; i += 4)
        resize(&objects[first + i], 1 + i * 600);
    for (unsigned i = 2; i < 100; i += 4)
        take_aligned(&objects[first + i], 64u << (i % 9), 1 + i * 100);
}

static void
use_threads(unsigned index, void *argument)
{
    (void)argument;
    use_small_objects(100 * index);
    for (unsigned i = 0; i < 100; i += 1 + index)
        release(&objects[100 * index + i]);
}

static void
use_large_objects(unsigned first)
{
    for (unsigned i = 0; i < 20; i++)
        note(&objects[first + i], xa_fast_malloc(70000 + i * 90000), 70000 + i * 90000);
    for (unsigned i = 0; i < 20; i += 3)
        resize(&objects[first + i], 80000 + i * 50000);
    for (unsigned i = 0; i < 20; i += 2)
        release(&objects[first + i]);
    take_aligned(&objects[first], MIB, 300000);
    take_zeroed(&objects[first + 2], 500000);
}

static void
use_huge_objects(unsigned first)
{
    note(&objects[first], xa_fast_malloc(3 * MIB), 3 * MIB);
    note(&objects[first + 1], xa_fast_malloc(9 * MIB), 9 * MIB);
    resize(&objects[first], 7 * MIB);
    resize(&objects[first], 20 * MIB);
    resize(&objects[first + 1], 5 * MIB);
    release(&objects[first + 1]);
    take_zeroed(&objects[first + 1], 5 * MIB);
    take_aligned(&objects[first + 2], 16 * MIB, 5 * MIB);
    release(&objects[first]);
    resize(&objects[first + 1], 100000);
    resize(&objects[first + 2], 50);
    (void)xa_huge_purge(XA_HUGE_ALL);
    note(&objects[first], xa_fast_malloc(5 * MIB), 5 * MIB);
}

/* A second thread begins in the middle, and some objects outlive the threads. */
static void
play(void)
{
    use_small_objects(400);
    use_large_objects(500);
    use_huge_objects(600);
    (void)xa_threads_run(4, use_threads, NULL, SECONDS);
    use_large_objects(530);
    (void)xa_arena_trim(0);
    use_small_objects(700);
}

static void
free_and_trim(void)
{
    for (unsigned i = 0; i < OBJECTS; i++)
        release(&objects[i]);
    struct xa_thread_state *own = xa_start_thread();
    if (own != NULL)
        xa_thread_cache_flush(own);
    (void)xa_arena_trim(0);
    (void)xa_huge_purge(XA_HUGE_ALL);
}

static bool
works(void)
{
    static const size_t sizes[] = {1, 100, 5000, 60000, 100000, 1500000, 5 * MIB, 30 * MIB};
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        unsigned char *object = xa_fast_malloc(sizes[i]);
        if (object == NULL)
            return false;
        memset(object, 1, sizes[i]);
        object = xa_resize(object, 2 * sizes[i]);
        if (object == NULL || object[sizes[i] - 1] != 1)
            return false;
        xa_fast_free(object);
    }
    return true;
}

static int
run_scenario(void *argument)
{
    static struct xa_statistics s;
    const struct run *run = argument;
    if (run->page_bytes != 0)
        xa_os_fake_set_page_bytes(run->page_bytes);
    xa_os_fake_set_environment("XALLOC_CONF", "narenas:2");
    xa_os_fake_set_map_failure(run->map_failure);
    if (run->nth != 0)
        xa_os_fake_fail(run->call, run->nth, run->mode);
    play();
    outcome->failures = xa_os_fake_failures();
    /* What was freed while the host refused everything can only go when it no longer does. */
    xa_os_fake_stop_failing();
    free_and_trim();
    xa_statistics_gather(&s, XA_STATISTICS_WITH_RESIDENT);
    outcome->calls = xa_os_fake_count(XA_OS_FAKE_ANY);
    outcome->metadata_bytes = s.metadata;
    outcome->heap_bytes = s.mapped - s.metadata;
    outcome->used_bytes = s.active + s.dirty;
    outcome->faults += s.dirty != 0 || s.resident > xa_os_fake_resident_bytes() + STATIC_BYTES;
    outcome->faults += s.allocated != 0 || s.cached != 0 || s.live_objects != 0;
    outcome->faults += xa_os_fake_errors()[0] != '\0';
    outcome->works_again = works();
    outcome->is_finished = true;
    return 0;
}

static void
run_in_a_child(const struct run *run)
{
    *outcome = (struct outcome){0};
    xa_child_call(&result, SECONDS, run_scenario, (void *)(uintptr_t)run);
    if (result.timed_out || result.exit_code != 0 || !outcome->is_finished || outcome->faults != 0)
        fail_msg(
            "call %lu failing %s (kind %d, result %d): %s, exit code %d, signal %d, %lu faults; "
            "stderr: %s",
            run->nth, run->mode == XA_OS_FAKE_ONCE ? "once" : "from then on", (int)run->call,
            (int)run->map_failure, result.timed_out ? "hung" : "ended", result.exit_code,
            result.signal, outcome->faults, result.errors);
    if (!outcome->works_again)
        fail_msg("after call %lu failed %s nothing works again", run->nth,
            run->mode == XA_OS_FAKE_ONCE ? "once" : "from then on");
}

/* Let each call of a kind, or each of STEP, fail in turn. */
static void
fail_in_turn(struct run run)
{
    struct run undisturbed = {.map_failure = run.map_failure, .page_bytes = run.page_bytes};
    run_in_a_child(&undisturbed);
    struct outcome expected = *outcome;
    assert_int_equal(expected.nulls, 0);
    assert_true(expected.calls > 50);
    for (run.nth = 1;; run.nth += STEP) {
        assert_true(run.nth < RUNS_MAX);
        run_in_a_child(&run);
        if (outcome->failures == 0)
            break;
        if (outcome->metadata_bytes > expected.metadata_bytes + METADATA_SLACK)
            fail_msg("call %lu: %zu bytes of metadata instead of %zu", run.nth,
                outcome->metadata_bytes, expected.metadata_bytes);
        if (outcome->used_bytes > expected.used_bytes + USED_SLACK)
            fail_msg("call %lu: %zu bytes active and dirty instead of %zu", run.nth,
                outcome->used_bytes, expected.used_bytes);
        if (outcome->heap_bytes > expected.heap_bytes + RETAINED_SLACK)
            fail_msg("call %lu: %zu bytes mapped instead of %zu", run.nth, outcome->heap_bytes,
                expected.heap_bytes);
    }
    /* The last runs failed late: the count of calls is nearly that of the undisturbed run. */
    assert_true(run.nth > 20);
}

static int
begin(void **state)
{
    (void)state;
    outcome =
        mmap(NULL, sizeof *outcome, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return outcome == MAP_FAILED ? -1 : 0;
}

static void
every_call_fails_once(void **state)
{
    (void)state;
    fail_in_turn((struct run){.call = XA_OS_FAKE_ANY, .map_failure = XA_OS_NO_MEMORY});
}

static void
every_call_fails_from_then_on(void **state)
{
    (void)state;
    fail_in_turn((struct run){
        .call = XA_OS_FAKE_ANY, .mode = XA_OS_FAKE_FROM_THEN_ON, .map_failure = XA_OS_NO_MEMORY});
}

static void
every_mapping_meets_something_foreign_once(void **state)
{
    (void)state;
    fail_in_turn((struct run){.call = XA_OS_FAKE_MAP, .map_failure = XA_OS_TAKEN});
}

static void
every_mapping_meets_something_foreign_from_then_on(void **state)
{
    (void)state;
    xa_child_skip_if_emulated("it takes the emulator minutes to find no place in a window");
    xa_os_fake_skip_unless_64_bits();
    fail_in_turn((struct run){
        .call = XA_OS_FAKE_MAP, .mode = XA_OS_FAKE_FROM_THEN_ON, .map_failure = XA_OS_TAKEN});
}

static void
every_call_fails_once_on_64_kib_pages(void **state)
{
    (void)state;
    fail_in_turn(
        (struct run){.call = XA_OS_FAKE_ANY, .map_failure = XA_OS_NO_MEMORY, .page_bytes = 65536});
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_call_fails_once),
        cmocka_unit_test(every_call_fails_from_then_on),
        cmocka_unit_test(every_mapping_meets_something_foreign_once),
        cmocka_unit_test(every_mapping_meets_something_foreign_from_then_on),
        cmocka_unit_test(every_call_fails_once_on_64_kib_pages),
    };
    return cmocka_run_group_tests(tests, begin, NULL);
}
