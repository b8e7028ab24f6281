/*
 * fork_test.c - what a child finds when other threads were in the middle of things.
 *
 * The other threads stand still at a known place while the process forks; children
 * are made by fork() and by a bare system call, of which libc knows nothing.  What
 * happens at unknown places is the business of test/integration/fork_test.c.
 */
#define _GNU_SOURCE

#include "alloc/fork.h"

#include "support/os_fake.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "alloc/fast_path.h"
#include "alloc/resize.h"
#include "alloc/start.h"
#include "arena/slab.h"
#include "arena/slab_purge.h"
#include "config/options.h"
#include "control/outlet.h"
#include "control/report.h"
#include "control/statistics.h"
#include "os/fork_watch.h"
#include "os/message.h"
#include "page/huge.h"
#include "support/child.h"
#include "support/threads.h"
#include "thread/thread_cache.h"

/* As a program's own settings: what is dirty stays so until a test says otherwise. */
extern const char *xalloc_conf;
const char *xalloc_conf = "background_thread:false";

enum {
    MIB = 1 << 20,
    OBJECTS = 200,
    SIZE = 64,
    SECONDS = 60,
};

/* A thread that has done something and waits. */
struct bystander {
    void (*prepare)(void);
    void (*undo)(void); /* before it goes on; may be NULL */
    pthread_barrier_t ready;
    pthread_barrier_t over;
    pthread_t thread;
};

static struct bystander bystander;
static void *left[OBJECTS]; /* objects that the bystander keeps live */
static size_t cached;       /* objects in its cache */

static void
stand_by(void)
{
    pthread_barrier_wait(&bystander.ready);
    pthread_barrier_wait(&bystander.over);
}

static void *
prepare_and_stand_by(void *argument)
{
    (void)argument;
    bystander.prepare();
    stand_by();
    if (bystander.undo != NULL)
        bystander.undo();
    return NULL;
}

static void
begin_process(void)
{
    xa_os_fake_set_environment("XALLOC_CONF", "narenas:1,dirty_decay_ms:-1");
    assert_non_null(xa_fast_malloc(SIZE));
}

/* A thread whose body stands by somewhere. */
static void
begin_standing_by(void *(*body)(void *))
{
    pthread_barrier_init(&bystander.ready, NULL, 2);
    pthread_barrier_init(&bystander.over, NULL, 2);
    assert_int_equal(pthread_create(&bystander.thread, NULL, body, NULL), 0);
    pthread_barrier_wait(&bystander.ready);
}

static void
begin_bystander(void (*prepare)(void), void (*undo)(void))
{
    bystander.prepare = prepare;
    bystander.undo = undo;
    begin_standing_by(prepare_and_stand_by);
}

static void
begin(void (*prepare)(void), void (*undo)(void))
{
    begin_process();
    begin_bystander(prepare, undo);
}

/* The child's exit code is what `function` returns. */
static void
expect_of_children(int (*function)(void))
{
    pid_t (*const ways[])(void) = {fork, xa_child_fork_bare};
    for (unsigned i = 0; i < 2; i++) {
        pid_t pid = ways[i]();
        if (pid == 0)
            _exit(function());
        int status = xa_child_wait(pid, SECONDS);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
}

static void
end(void)
{
    pthread_barrier_wait(&bystander.over);
    assert_true(xa_threads_join_one(bystander.thread, SECONDS));
    /* The parent noticed nothing. */
    void *object = xa_fast_malloc(SIZE);
    assert_non_null(object);
    xa_fast_free(object);
}

static void
fill_a_cache(void)
{
    static void *objects[OBJECTS];
    for (int i = 0; i < OBJECTS; i++) {
        objects[i] = xa_fast_malloc(SIZE);
        left[i] = xa_fast_malloc(SIZE);
        memset(left[i], i, SIZE);
    }
    for (int i = 0; i < OBJECTS; i++)
        xa_fast_free(objects[i]);
    cached = xa_thread_state_objects(xa_thread_state_self, xa_size_class_of(SIZE));
}

/* Use every kind of memory; nothing may hang, and nothing comes twice. */
static int
use_everything(void)
{
    for (size_t size = 1; size <= 9 * MIB; size = size * 3 / 2 + 1) {
        unsigned char *object = xa_fast_malloc(size), *zeroed = xa_allocate_zeroed(size);
        XA_CHILD_CHECK(object != NULL && zeroed != NULL && object != zeroed);
        memset(object, 1, size);
        XA_CHILD_CHECK(zeroed[size - 1] == 0);
        object = xa_resize(object, 2 * size);
        XA_CHILD_CHECK(object != NULL && object[size - 1] == 1);
        xa_fast_free(object);
        xa_fast_free(zeroed);
    }
    (void)xa_arena_trim(0);
    (void)xa_huge_purge(XA_HUGE_ALL);
    return 0;
}

static int
use_what_was_cached(void)
{
    static struct xa_statistics before, after;
    unsigned c = xa_size_class_of(SIZE);
    xa_statistics_gather(&before, XA_STATISTICS_QUICK);
    XA_CHILD_CHECK(before.threads == 2);
    /* The next miss is one of those that adopt: also where slow paths see the fork first. */
    xa_thread_state_self->misses = 255;
    /* The dead thread's objects are handed out before slabs are asked for more. */
    for (size_t i = 0; i < before.classes[c].cached; i++) {
        unsigned char *object = xa_fast_malloc(SIZE);
        XA_CHILD_CHECK(object != NULL);
        for (int j = 0; j < OBJECTS; j++)
            XA_CHILD_CHECK(object != left[j]);
        memset(object, 0xff, SIZE);
    }
    xa_statistics_gather(&after, XA_STATISTICS_QUICK);
    XA_CHILD_CHECK(after.classes[c].cached == 0);
    XA_CHILD_CHECK(after.classes[c].totals.allocations == before.classes[c].totals.allocations);
    XA_CHILD_CHECK(after.threads == 1);
    XA_CHILD_CHECK(after.lost == 0);
    for (int j = 0; j < OBJECTS; j++) {
        XA_CHILD_CHECK(*(unsigned char *)left[j] == (unsigned char)j);
        xa_fast_free(left[j]);
    }
    return use_everything();
}

static void
the_cache_of_a_thread_that_is_gone_is_used_up(void **state)
{
    (void)state;
    begin(fill_a_cache, NULL);
    assert_true(cached > 0);
    expect_of_children(use_what_was_cached);
    end();
}

static unsigned char *held_large, *held_huge;

/* In the middle of everything: all bins and the page heap are locked. */
static void
hold_all_locks(void)
{
    struct xa_arena *arena = xa_arena_at(0);
    fill_a_cache();
    held_large = xa_fast_malloc(MIB);
    held_huge = xa_fast_malloc(9 * MIB);
    memset(held_large, 7, MIB);
    memset(held_huge, 8, 9 * MIB);
    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++)
        if (atomic_load(&arena->bins[c].is_ready))
            while (!xa_lock_try(&arena->bins[c].lock))
                xa_os_yield();
    while (!xa_lock_try(&arena->heap.lock))
        xa_os_yield();
}

static void
release_all_locks(void)
{
    struct xa_arena *arena = xa_arena_at(0);
    xa_lock_unlock(&arena->heap.lock);
    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++)
        if (atomic_load(&arena->bins[c].is_ready))
            xa_lock_unlock(&arena->bins[c].lock);
}

static int
use_what_was_locked(void)
{
    static struct xa_statistics s;
    XA_CHILD_CHECK(use_everything() == 0);
    /* What was live stays valid, and can be freed. */
    for (int j = 0; j < OBJECTS; j++) {
        XA_CHILD_CHECK(((unsigned char *)left[j])[SIZE - 1] == (unsigned char)j);
        xa_fast_free(left[j]);
    }
    XA_CHILD_CHECK(held_large[MIB - 1] == 7 && held_huge[9 * MIB - 1] == 8);
    held_large = xa_resize(held_large, 2 * MIB);
    XA_CHILD_CHECK(held_large != NULL && held_large[MIB - 1] == 7);
    xa_fast_free(held_large);
    xa_fast_free(held_huge);
    XA_CHILD_CHECK(use_everything() == 0);
    xa_thread_cache_flush(xa_start_thread());
    (void)xa_arena_trim(0);
    xa_statistics_gather(&s, XA_STATISTICS_QUICK);
    XA_CHILD_CHECK(s.lost > 0);
    XA_CHILD_CHECK(xa_os_fake_errors()[0] == '\0');
    return 0;
}

static void
locks_of_a_thread_that_is_gone_hold_nobody_up(void **state)
{
    (void)state;
    begin(hold_all_locks, release_all_locks);
    expect_of_children(use_what_was_locked);
    end();
}

/* A class with one slab, and in this one object. */
static unsigned swept_class;
static unsigned char *survivor;

static void
leave_one_object_in_a_slab(void)
{
    void *objects[64];
    swept_class = xa_size_class_of_aligned(1024, 1);
    unsigned count = xa_size_class_table[swept_class].slots;
    assert_int_equal(xa_arena_take(xa_arena_at(0), swept_class, objects, count), count);
    survivor = objects[0];
    memset(survivor, 1, 1024);
    assert_int_equal(
        xa_arena_return(swept_class, objects + 1, count - 1, XA_ARENA_WAIT), count - 1);
}

/* Take all that fits into the slab: nothing of it is lost, and nothing comes twice. */
static int
use_what_was_swept(void)
{
    struct xa_arena *arena = xa_arena_at(0);
    unsigned slots = xa_size_class_table[swept_class].slots;
    void *objects[64];
    /* As every slow path does first. */
    xa_fork_watch_check();
    XA_CHILD_CHECK(survivor[0] == 1 && survivor[1023] == 1);
    XA_CHILD_CHECK(arena->bins[swept_class].counters.slabs == 1);
    XA_CHILD_CHECK(xa_arena_take(arena, swept_class, objects, slots - 1) == slots - 1);
    XA_CHILD_CHECK(arena->bins[swept_class].counters.slabs == 1);
    for (unsigned i = 0; i < slots - 1; i++) {
        XA_CHILD_CHECK(objects[i] != survivor);
        memset(objects[i], 2, 1024);
    }
    XA_CHILD_CHECK(survivor[0] == 1 && survivor[1023] == 1);
    (void)xa_arena_return(swept_class, objects, slots - 1, XA_ARENA_WAIT);
    return use_everything();
}

static void
stand_by_in_a_sweep(void)
{
    xa_os_fake_set_guest(NULL);
    stand_by();
}

static void *
sweep(void *argument)
{
    (void)argument;
    xa_fast_free(xa_fast_malloc(SIZE));
    xa_os_fake_set_guest(stand_by_in_a_sweep);
    (void)xa_slab_purge_all(UINT64_MAX);
    return NULL;
}

static void
a_slab_that_a_thread_that_is_gone_was_purging_is_used_again(void **state)
{
    (void)state;
    begin_process();
    leave_one_object_in_a_slab();
    begin_standing_by(sweep);
    expect_of_children(use_what_was_swept);
    end();
    assert_int_equal(use_what_was_swept(), 0);
}

static pid_t pid_of_handler;

/* As a signal handler that interrupts the sweep would. */
static void
fork_in_a_sweep(void)
{
    xa_os_fake_set_guest(NULL);
    pid_of_handler = xa_child_fork_bare();
}

static void
expect_of_handler_s_child(void (*handler)(void), int (*function)(void))
{
    xa_os_fake_set_guest(handler);
    (void)xa_slab_purge_all(UINT64_MAX);
    if (pid_of_handler == 0)
        _exit(function());
    int status = xa_child_wait(pid_of_handler, SECONDS);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(use_what_was_swept(), 0);
}

static void
a_sweep_goes_on_in_the_child_of_its_own_thread(void **state)
{
    (void)state;
    begin_process();
    leave_one_object_in_a_slab();
    expect_of_handler_s_child(fork_in_a_sweep, use_what_was_swept);
}

static void
hold_the_bin(void)
{
    /* The first slow path with two threads: from now on children are noticed. */
    xa_fast_free(xa_fast_malloc(SIZE));
    xa_lock_lock(&xa_arena_at(0)->bins[swept_class].lock);
}

static void
release_the_bin(void)
{
    xa_lock_unlock(&xa_arena_at(0)->bins[swept_class].lock);
}

static void
fork_while_another_thread_has_the_bin(void)
{
    begin_bystander(hold_the_bin, release_the_bin);
    fork_in_a_sweep();
    if (pid_of_handler != 0)
        end();
}

static int
leave_the_slab_alone(void)
{
    struct xa_arena *arena = xa_arena_at(0);
    void *objects[64];
    XA_CHILD_CHECK(survivor[0] == 1 && survivor[1023] == 1);
    unsigned count = xa_arena_take(arena, swept_class, objects, 64);
    XA_CHILD_CHECK(count != 0);
    for (unsigned i = 0; i < count; i++)
        XA_CHILD_CHECK(xa_slab_of((uintptr_t)objects[i]) != xa_slab_of((uintptr_t)survivor));
    return use_everything();
}

static void
a_sweep_brings_nothing_back_to_a_bin_that_was_set_aside(void **state)
{
    (void)state;
    begin_process();
    leave_one_object_in_a_slab();
    expect_of_handler_s_child(fork_while_another_thread_has_the_bin, leave_the_slab_alone);
}

/* Within a report at an interval, others are begun until no more can be: then it stands by. */
static void
report_and_stand_by(void *context, const char *piece, size_t bytes)
{
    static bool has_stood;
    const struct xa_report_wish wish = {XA_EMITTER_TEXT, 0};
    (void)context;
    (void)piece;
    (void)bytes;
    if (has_stood || xa_report_write("", &wish, report_and_stand_by, NULL) || has_stood)
        return;
    has_stood = true;
    stand_by();
}

static void
report_for_long(void *context, const char *text)
{
    (void)context;
    (void)text;
    report_and_stand_by(NULL, NULL, 0);
}

static void *
report(void *argument)
{
    (void)argument;
    xa_fast_free(xa_fast_malloc(SIZE));
    malloc_message = report_for_long;
    xa_outlet_note_allocated(MIB);
    return NULL;
}

static void
ignore(void *context, const char *piece, size_t bytes)
{
    (void)context;
    (void)piece;
    (void)bytes;
}

static int
report_as_ever(void)
{
    const struct xa_report_wish wish = {XA_EMITTER_TEXT, XA_REPORT_ALL};
    malloc_message = NULL;
    xa_fork_watch_check();
    XA_CHILD_CHECK(xa_report_write("", &wish, ignore, NULL));
    XA_CHILD_CHECK(xa_os_fake_errors()[0] == '\0');
    xa_outlet_note_allocated(MIB);
    XA_CHILD_CHECK(strstr(xa_os_fake_errors(), " at an interval") != NULL);
    return 0;
}

static void
reports_of_a_thread_that_is_gone_hold_nobody_up(void **state)
{
    const struct xa_report_wish wish = {XA_EMITTER_TEXT, 0};
    (void)state;
    begin_process();
    xa_options.stats_interval = MIB;
    begin_standing_by(report);
    assert_false(xa_report_write("", &wish, ignore, NULL));
    expect_of_children(report_as_ever);
    end();
    assert_true(xa_report_write("", &wish, ignore, NULL));
}

static int
fork_again(void)
{
    if (use_what_was_locked() != 0)
        return 1;
    pid_t pid = xa_child_fork_bare();
    if (pid == 0)
        _exit(use_everything());
    int status = xa_child_wait(pid, SECONDS);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static void
a_child_may_fork_in_turn(void **state)
{
    (void)state;
    begin(hold_all_locks, release_all_locks);
    expect_of_children(fork_again);
    end();
}

static void
use_a_little(unsigned index, void *argument)
{
    _Atomic unsigned *faults = argument;
    (void)index;
    for (size_t size = 1; size < 3 * MIB; size *= 2) {
        void *object = xa_fast_malloc(size);
        if (object == NULL)
            atomic_fetch_add(faults, 1);
        xa_fast_free(object);
    }
}

static int
start_threads(void)
{
    _Atomic unsigned faults = 0;
    XA_CHILD_CHECK(xa_threads_run(4, use_a_little, &faults, SECONDS));
    XA_CHILD_CHECK(faults == 0);
    return use_everything();
}

static void
a_child_may_start_threads(void **state)
{
    (void)state;
    if (XA_THREAD_SANITIZER) {
        print_message(
            "skipped: ThreadSanitizer allows no threads in the child of a process with threads\n");
        skip();
    }
    begin(hold_all_locks, release_all_locks);
    pid_t pid = fork();
    if (pid == 0)
        _exit(start_threads());
    int status = xa_child_wait(pid, SECONDS);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    end();
}

static int
find_one_thread(void)
{
    static struct xa_statistics s;
    XA_CHILD_CHECK(use_everything() == 0);
    XA_CHILD_CHECK(atomic_load(&xa_arena_at(0)->threads) == 1);
    xa_statistics_gather(&s, XA_STATISTICS_QUICK);
    XA_CHILD_CHECK(s.threads == 1);
    return 0;
}

static void
a_process_with_one_thread_forks_as_ever(void **state)
{
    (void)state;
    xa_os_fake_set_environment("XALLOC_CONF", "narenas:1");
    assert_non_null(xa_fast_malloc(SIZE));
    expect_of_children(find_one_thread);
    expect_of_children(use_everything);
}

static void
nothing_has_to_be_done_before_the_first_call(void **state)
{
    (void)state;
    xa_fork_in_child();
    assert_int_equal(use_everything(), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(the_cache_of_a_thread_that_is_gone_is_used_up),
        XA_OS_FAKE_FRESH(locks_of_a_thread_that_is_gone_hold_nobody_up),
        XA_OS_FAKE_FRESH(a_slab_that_a_thread_that_is_gone_was_purging_is_used_again),
        XA_OS_FAKE_FRESH(a_sweep_goes_on_in_the_child_of_its_own_thread),
        XA_OS_FAKE_FRESH(a_sweep_brings_nothing_back_to_a_bin_that_was_set_aside),
        XA_OS_FAKE_FRESH(reports_of_a_thread_that_is_gone_hold_nobody_up),
        XA_OS_FAKE_FRESH(a_child_may_fork_in_turn),
        XA_OS_FAKE_FRESH(a_child_may_start_threads),
        XA_OS_FAKE_FRESH(a_process_with_one_thread_forks_as_ever),
        XA_OS_FAKE_FRESH(nothing_has_to_be_done_before_the_first_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
