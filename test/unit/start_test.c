/*
 * start_test.c - the first call: which settings hold, how many arenas, and what a thread gets.
 */
#include "alloc/start.h"

#include "support/os_fake.h"

#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc/allocate.h"
#include "alloc/extended.h"
#include "alloc/fast_path.h"
#include "arena/arena.h"
#include "config/options.h"
#include "extent/metadata.h"
#include "page/page_purge.h"
#include "support/child.h"
#include "support/threads.h"

enum { SECONDS = 60 };

#define FILE_PATH "/etc/xalloc.conf"

/* Stands for a program that has settings of its own. */
const char *xalloc_conf;

static const char *const no_errors = "";

static void
start(const char *own, const char *file, const char *environment)
{
    xalloc_conf = own;
    xa_os_fake_set_file(FILE_PATH, file);
    xa_os_fake_set_environment("XALLOC_CONF", environment);
    xa_start_process();
}

static void
without_settings_the_defaults_hold(void **state)
{
    (void)state;
    start(NULL, NULL, NULL);
    assert_memory_equal(&xa_options, &xa_options_defaults, sizeof xa_options);
    assert_int_equal(xa_start_cached_class_max, XA_SMALL_CLASSES);
    assert_string_equal(xa_os_fake_errors(), no_errors);
    /* Nobody has asked for the processors yet. */
    xa_os_fake_set_affinity(3);
    assert_non_null(xa_start_thread());
    assert_int_equal(xa_arena_limit(), 1);
    xa_thread_state_self = XA_THREAD_STATE_NONE;
    assert_non_null(xa_start_thread());
    assert_int_equal(xa_arena_limit(), 3);
}

static void
a_later_source_overrides_an_earlier_one(void **state)
{
    (void)state;
    start("narenas:3,dirty_max:1M,tcache_max:1K,stats_print:true",
        "narenas:4\ndirty_max:2M # not so much\n tcache_max:2K\n", "narenas:5,dirty_max:3M");
    assert_int_equal(xa_options.narenas, 5);
    assert_int_equal(xa_options.dirty_max_bytes, 3 << 20);
    assert_int_equal(xa_options.thread_cache_max_bytes, 2048);
    assert_true(xa_options.stats_print);
    assert_int_equal(xa_arena_limit(), 5);
    assert_string_equal(xa_os_fake_errors(), no_errors);
}

static void
a_secure_process_does_not_read_the_environment(void **state)
{
    (void)state;
    xa_os_fake_set_secure(true);
    xa_os_fake_set_environment("MALLOC_ARENA_MAX", "1");
    start("narenas:3", "dirty_max:2M", "narenas:5");
    assert_int_equal(xa_options.narenas, 3);
    assert_int_equal(xa_options.dirty_max_bytes, 2 << 20);
    assert_int_equal(xa_arena_limit(), 3);
}

static void
a_wrong_setting_is_named_and_the_others_hold(void **state)
{
    (void)state;
    start("narenas:many", "no_such_thing:1\nnarenas:2", "tcache:false,junk:sometimes");
    assert_string_equal(xa_os_fake_errors(),
        "xalloc: option \"narenas\" in xalloc_conf: \"many\" is not in 0..256, "
        "ignored (stays 0).\n"
        "xalloc: option \"no_such_thing\" in /etc/xalloc.conf: no such option, ignored. "
        "xalloc(3) lists the options.\n"
        "xalloc: option \"junk\" in XALLOC_CONF: \"sometimes\" is not one of "
        "false, true, alloc, free, ignored (stays false).\n");
    assert_int_equal(xa_options.narenas, 2);
    assert_int_equal(xa_start_cached_class_max, 0);
}

#define STOPPED                                                           \
    "xalloc: stopped because of a wrong option, as \"abort_conf\" asks. " \
    "Mend the option or leave \"abort_conf\" out.\n"

static void
start_now(void *argument)
{
    (void)argument;
    xa_start_process();
}

static void
a_wrong_setting_can_be_fatal(void **state)
{
    (void)state;
    xa_os_fake_set_environment("XALLOC_CONF", "abort_conf:true,narenas:x");
    xa_os_fake_assert_fatal(start_now, NULL,
        "xalloc: option \"narenas\" in XALLOC_CONF: \"x\" is not in 0..256, "
        "ignored (stays 0).\n" STOPPED);
    /* It is asked for anywhere before the end of the reading. */
    xa_os_fake_set_environment("XALLOC_CONF", NULL);
    xa_os_fake_set_environment("MALLOC_ARENA_MAX", "x");
    xalloc_conf = "abort_conf:true";
    xa_os_fake_assert_fatal(start_now, NULL,
        "xalloc: MALLOC_ARENA_MAX: \"x\" is not a number of arenas, ignored.\n" STOPPED);
    xa_os_fake_set_environment("MALLOC_ARENA_MAX", NULL);
    xalloc_conf = "narenas:x";
    xa_os_fake_set_file(FILE_PATH, "abort_conf:true");
    xa_os_fake_assert_fatal(start_now, NULL,
        "xalloc: option \"narenas\" in xalloc_conf: \"x\" is not in 0..256, "
        "ignored (stays 0).\n" STOPPED);
    xalloc_conf = NULL;
    xa_start_process();
    assert_string_equal(xa_os_fake_errors(), no_errors);
}

static void
a_file_that_is_too_long_is_read_as_far_as_it_goes(void **state)
{
    static char text[10000];
    (void)state;
    memset(text, ' ', sizeof text - 1);
    memcpy(text, "narenas:7,", 10);
    memcpy(text + 9000, "narenas:8", 9);
    start(NULL, text, NULL);
    assert_int_equal(xa_options.narenas, 7);
}

static unsigned
arenas_for(unsigned processors, const char *environment, const char *cap)
{
    int ends[2];
    unsigned count = 0;
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    if (pid == 0) {
        xa_os_fake_set_affinity(processors);
        xa_os_fake_set_environment("MALLOC_ARENA_MAX", cap);
        start(NULL, NULL, environment);
        /* A first thread, and a second one. */
        for (int i = 0; i < 2; i++) {
            xa_thread_state_self = XA_THREAD_STATE_NONE;
            (void)xa_start_thread();
        }
        count = xa_arena_limit();
        _exit(write(ends[1], &count, sizeof count) == sizeof count ? 0 : 1);
    }
    assert_int_equal(read(ends[0], &count, sizeof count), sizeof count);
    close(ends[0]);
    close(ends[1]);
    return count;
}

static void
arenas_follow_the_processors(void **state)
{
    (void)state;
    assert_int_equal(arenas_for(1, NULL, NULL), 1);
    assert_int_equal(arenas_for(2, NULL, NULL), 1);
    assert_int_equal(arenas_for(3, NULL, NULL), 3);
    assert_int_equal(arenas_for(4, NULL, NULL), 4);
    assert_int_equal(arenas_for(5, NULL, NULL), 4);
    assert_int_equal(arenas_for(12, NULL, NULL), 5);
    assert_int_equal(arenas_for(64, NULL, NULL), 11);
    assert_int_equal(arenas_for(65535, NULL, NULL), XA_ARENAS_MAX);
    xa_os_fake_set_file("/proc/self/cgroup", "0::/\n");
    xa_os_fake_set_file("/sys/fs/cgroup/cpu.max", "300000 100000\n");
    assert_int_equal(arenas_for(64, NULL, NULL), 3);
}

static void
the_number_of_arenas_can_be_set_and_capped(void **state)
{
    (void)state;
    assert_int_equal(arenas_for(4, "narenas:17", NULL), 17);
    assert_int_equal(arenas_for(4, "narenas:17", "3"), 3);
    assert_int_equal(arenas_for(4, NULL, "3"), 3);
    assert_int_equal(arenas_for(3, NULL, "7"), 3);
    assert_int_equal(arenas_for(4, NULL, "0"), 4);
    assert_int_equal(arenas_for(4, "narenas:256", "1000"), 256);
}

static void
caches_keep_what_the_options_allow(void **state)
{
    (void)state;
    start(NULL, NULL, "tcache_max:1024");
    assert_int_equal(xa_start_cached_class_max, xa_size_class_of(1024));
}

static void
filling_options_switch_caches_off(void **state)
{
    (void)state;
    start(NULL, NULL, "junk:free");
    assert_int_equal(xa_start_cached_class_max, 0);
}

static void
starting_again_does_nothing(void **state)
{
    (void)state;
    start(NULL, "narenas:3", NULL);
    unsigned long calls = xa_os_fake_count(XA_OS_FAKE_ANY);
    xa_os_fake_set_file(FILE_PATH, "narenas:4");
    xa_start_process();
    xa_start_read_environment();
    assert_int_equal(xa_options.narenas, 3);
    assert_int_equal(xa_os_fake_count(XA_OS_FAKE_ANY), calls);
}

static void
an_environment_that_comes_late_is_read_then_and_once(void **state)
{
    (void)state;
    xa_os_fake_set_environment_ready(false);
    start("narenas:3", NULL, "narenas:5,tcache:false,dirty_decay_ms:0,dirty_max:5M");
    void *early = xa_fast_malloc(100);
    assert_non_null(early);
    assert_int_equal(xa_options.narenas, 3);
    assert_int_equal(xa_start_cached_class_max, XA_SMALL_CLASSES);
    xa_os_fake_set_environment_ready(true);
    xa_start_read_environment();
    assert_int_equal(xa_options.narenas, 5);
    assert_int_equal(xa_arena_limit(), 5);
    assert_int_equal(xa_start_cached_class_max, 0);
    assert_int_equal(xa_page_purge_dirty_max_bytes, 5 << 20);
    /* The heap that exists already keeps to it too. */
    char *large = xa_fast_malloc(1 << 20);
    assert_non_null(large);
    large[0] = 1;
    xa_fast_free(large);
    assert_int_equal(atomic_load(&xa_arena_at(0)->heap.counters.dirty_bytes), 0);
    xa_os_fake_set_environment("XALLOC_CONF", "narenas:6");
    xa_start_read_environment();
    assert_int_equal(xa_options.narenas, 5);
    /* The cache is really off. */
    xa_fast_free(early);
    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++)
        assert_int_equal(xa_thread_state_objects(xa_thread_state_self, c), 0);
}

static void
the_options_in_force_can_be_printed(void **state)
{
    (void)state;
    start(NULL, NULL, "confirm_conf:true,narenas:3");
    xa_start_read_environment();
    const char *errors = xa_os_fake_errors();
    assert_non_null(strstr(errors, "xalloc: option confirm_conf:true\n"));
    assert_non_null(strstr(errors, "xalloc: option narenas:3\n"));
    size_t lines = 0;
    for (const char *at = errors; *at != '\0'; at++)
        lines += *at == '\n';
    assert_int_equal(lines, xa_options_row_count);
}

/* ---- Threads ---- */

static struct xa_thread_state *seen;

static void
use_a_state(unsigned index, void *argument)
{
    (void)index;
    (void)argument;
    seen = xa_start_thread();
    void *objects[100];
    for (int i = 0; i < 100; i++)
        objects[i] = xa_fast_malloc(64);
    for (int i = 0; i < 100; i++)
        xa_fast_free(objects[i]);
}

static void
a_thread_gets_a_state_and_leaves_it_empty(void **state)
{
    (void)state;
    start(NULL, NULL, "narenas:2");
    struct xa_thread_state *own = xa_start_thread();
    assert_non_null(own);
    assert_ptr_equal(xa_start_thread(), own);
    assert_ptr_equal(xa_thread_state_self, own);
    assert_int_equal(own->arena->index, 0);
    assert_true(xa_threads_run(1, use_a_state, NULL, SECONDS));
    struct xa_thread_state *first = seen;
    assert_non_null(first);
    assert_ptr_not_equal(first, own);
    assert_false(atomic_load(&first->is_used));
    assert_int_equal(atomic_load(&xa_arena_at(1)->threads), 0);
    assert_int_equal(atomic_load(&xa_arena_at(0)->threads), 1);
    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++)
        assert_int_equal(xa_thread_state_objects(first, c), 0);
    /* The next thread takes it over. */
    assert_true(xa_threads_run(1, use_a_state, NULL, SECONDS));
    assert_ptr_equal(seen, first);
    size_t used = xa_metadata_used_bytes();
    for (int i = 0; i < 300; i++)
        assert_true(xa_threads_run(1, use_a_state, NULL, SECONDS));
    assert_int_equal(xa_metadata_used_bytes(), used);
}

static void
without_memory_for_a_state_there_is_none(void **state)
{
    (void)state;
    start(NULL, NULL, NULL);
    while (xa_metadata_used_bytes() < 65536)
        assert_non_null(xa_metadata_take(64));
    xa_os_fake_fail(XA_OS_FAKE_ANY, 1, XA_OS_FAKE_FROM_THEN_ON);
    assert_null(xa_start_thread());
    assert_null(xa_fast_malloc(64));
    xa_os_fake_stop_failing();
    assert_non_null(xa_start_thread());
}

/* Keys of the program, made before and after ours: their destructors allocate. */
enum {
    KEYS = 4,
    /* In the last round ThreadSanitizer has given the thread up already. */
    ROUNDS = PTHREAD_DESTRUCTOR_ITERATIONS - XA_THREAD_SANITIZER,
};
static pthread_key_t keys[KEYS];
static _Atomic unsigned calls, faults;

static void
allocate_at_the_end(void *argument)
{
    struct {
        size_t rounds;
        size_t key;
    } *rest = argument;
    void *objects[40];
    atomic_fetch_add(&calls, 1);
    for (size_t i = 0; i < 40; i++) {
        objects[i] = xa_fast_malloc(16 + 100 * i);
        if (objects[i] == NULL)
            atomic_fetch_add(&faults, 1);
    }
    for (size_t i = 0; i < 40; i++)
        xa_fast_free(objects[i]);
    if (--rest->rounds > 0)
        pthread_setspecific(keys[rest->key], rest);
    else
        xa_fast_free(rest);
}

static void
end_with_destructors(unsigned index, void *argument)
{
    (void)index;
    (void)argument;
    for (size_t i = 0; i < KEYS; i++) {
        size_t *rest = xa_fast_malloc(2 * sizeof *rest);
        rest[0] = ROUNDS;
        rest[1] = i;
        pthread_setspecific(keys[i], rest);
    }
}

static void
destructors_may_allocate_to_the_very_end(void **state)
{
    (void)state;
    xa_os_fake_set_environment("XALLOC_CONF", "narenas:2");
    for (int i = 0; i < KEYS / 2; i++)
        assert_int_equal(pthread_key_create(&keys[i], allocate_at_the_end), 0);
    assert_non_null(xa_start_thread());
    for (int i = KEYS / 2; i < KEYS; i++)
        assert_int_equal(pthread_key_create(&keys[i], allocate_at_the_end), 0);
    for (int i = 0; i < 20; i++)
        assert_true(xa_threads_run(1, end_with_destructors, NULL, SECONDS));
    assert_int_equal(calls, 20 * KEYS * ROUNDS);
    assert_int_equal(faults, 0);
    xa_thread_state_all();
    size_t states = 0, taken = 0;
    for (struct xa_thread_state *at = xa_thread_state_all(); at != NULL; at = at->next)
        states++;
    assert_int_equal(states, 2);
    /* What was freed after the thread's cache was gone went back to its slab. */
    (void)xa_arena_trim(0);
    for (unsigned i = 0; i < 2; i++)
        for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++)
            taken += xa_bin_taken_slots(&xa_arena_at(i)->bins[c].counters);
    assert_int_equal(taken, 0);
}

/* First calls of all kinds, which meet the start that one of them makes. */
static void
make_a_first_call(unsigned index, void *argument)
{
    (void)argument;
    void *object = NULL;
    switch (index) {
    case 0: object = xa_fast_malloc(100); break;
    case 1: object = xa_fast_malloc(3000); break;
    case 2: object = xa_fast_malloc(100000); break;
    case 3: object = xa_fast_malloc(XA_LARGE_MAX_BYTES + 1); break;
    case 4: object = xa_allocate_zeroed(50); break;
    case 5: object = xa_allocate_aligned(4096, 200000); break;
    case 6: object = xa_allocate_growing(70000); break;
    case 7: xa_fast_free(NULL); return;
    default: object = xa_extended_allocate(90000, 0); break;
    }
    if (object == NULL)
        atomic_fetch_add(&faults, 1);
    xa_fast_free(object);
}

static int
begin_with_nine_threads(void *argument)
{
    (void)argument;
    return xa_threads_run(9, make_a_first_call, NULL, SECONDS) && faults == 0 ? 0 : 1;
}

static void
nine_threads_may_make_the_first_call(void **state)
{
    (void)state;
    static struct xa_child_result result;
    for (int i = 0; i < 20; i++) {
        xa_child_call(&result, SECONDS, begin_with_nine_threads, NULL);
        if (result.timed_out || result.signal != 0 || result.exit_code != 0)
            fail_msg("exit code %d, signal %d: %s", result.exit_code, result.signal, result.errors);
    }
}

static void
a_thread_that_has_ended_works_without_a_cache(void **state)
{
    (void)state;
    start(NULL, NULL, NULL);
    struct xa_thread_state *own = xa_start_thread();
    xa_thread_state_self = XA_THREAD_STATE_ENDED;
    assert_null(xa_start_thread());
    void *object = xa_fast_malloc(100);
    assert_non_null(object);
    memset(object, 1, 100);
    xa_fast_free(object);
    unsigned c = xa_size_class_of(100);
    assert_int_equal(xa_bin_taken_slots(&xa_arena_at(0)->bins[c].counters), 0);
    xa_thread_state_self = own;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(without_settings_the_defaults_hold),
        XA_OS_FAKE_FRESH(a_later_source_overrides_an_earlier_one),
        XA_OS_FAKE_FRESH(a_secure_process_does_not_read_the_environment),
        XA_OS_FAKE_FRESH(a_wrong_setting_is_named_and_the_others_hold),
        XA_OS_FAKE_FRESH(a_wrong_setting_can_be_fatal),
        XA_OS_FAKE_FRESH(a_file_that_is_too_long_is_read_as_far_as_it_goes),
        XA_OS_FAKE_FRESH(arenas_follow_the_processors),
        XA_OS_FAKE_FRESH(the_number_of_arenas_can_be_set_and_capped),
        XA_OS_FAKE_FRESH(caches_keep_what_the_options_allow),
        XA_OS_FAKE_FRESH(filling_options_switch_caches_off),
        XA_OS_FAKE_FRESH(starting_again_does_nothing),
        XA_OS_FAKE_FRESH(an_environment_that_comes_late_is_read_then_and_once),
        XA_OS_FAKE_FRESH(the_options_in_force_can_be_printed),
        XA_OS_FAKE_FRESH(a_thread_gets_a_state_and_leaves_it_empty),
        XA_OS_FAKE_FRESH(without_memory_for_a_state_there_is_none),
        XA_OS_FAKE_FRESH(destructors_may_allocate_to_the_very_end),
        cmocka_unit_test(nine_threads_may_make_the_first_call),
        XA_OS_FAKE_FRESH(a_thread_that_has_ended_works_without_a_cache),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
