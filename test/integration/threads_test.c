/*
 * threads_test.c - threads that come, go, and free each other's memory; rows F7 and L9.
 *
 * Bounds on growth are stated beside the loop they belong to.  They allow for what a cache may
 * keep, and are far below what a leak of one object a round would reach.
 */
#define _GNU_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../support/child.h"
#include "../support/seed.h"
#include "../support/shadow.h"
#include "../support/threads.h"

#include <limits.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <threads.h>
#include <unistd.h>

static void *(*volatile call_malloc)(size_t) = malloc;
static void *(*volatile call_calloc)(size_t, size_t) = calloc;
static void (*volatile call_free)(void *) = free;

enum { MIB = 1 << 20, JOIN_SECONDS = 60, CHILD_SECONDS = 60 };

static struct xa_child_result child;
static uint64_t seed;

static void *
allocate_a_little(void *argument)
{
    void *blocks[24];

    for (size_t i = 0; i < 24; i++) {
        blocks[i] = call_malloc((size_t)16 << i % 12);
        memset(blocks[i], 1, 16);
    }
    for (size_t i = 0; i < 24; i++)
        call_free(blocks[i]);
    return argument;
}

static void
run_threads_one_after_another(int count)
{
    for (int i = 0; i < count; i++) {
        pthread_t thread;

        assert_int_equal(pthread_create(&thread, NULL, allocate_a_little, NULL), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
    }
}

static void
a_hundred_thousand_threads_leave_nothing_behind(void **state)
{
    /* 2 MiB are 20 bytes a thread: less than the smallest record one could leave behind. */
    const size_t resident_growth_max = 2 * MIB;
    const size_t virtual_growth_max = 16 * MIB;
    size_t resident;
    size_t virtual;

    (void)state;
    if (xa_child_is_instrumented()) {
        print_message(
            "skipped: a sanitizer or Valgrind keeps records of its own for each thread\n");
        skip();
    }
    run_threads_one_after_another(1000);
    resident = xa_child_resident_bytes();
    virtual = xa_child_virtual_bytes();
    run_threads_one_after_another(100000);
    if (xa_child_resident_bytes() > resident + resident_growth_max ||
        xa_child_virtual_bytes() > virtual + virtual_growth_max)
        fail_msg("100,000 threads: resident %zu -> %zu, virtual %zu -> %zu bytes", resident,
            xa_child_resident_bytes(), virtual, xa_child_virtual_bytes());
}

/* A ring of pointers from producers to consumers. */
enum { RING = 1024 };

struct ring {
    _Atomic(void *) slots[RING];
    atomic_size_t taken; /* objects consumed so far */
    size_t wanted;       /* objects each producer makes */
    unsigned producers;
    atomic_uint damaged;
};

static void
produce(struct ring *ring, unsigned index)
{
    struct xa_seed_random random = xa_seed_start(seed, index);

    for (size_t i = 0; i < ring->wanted; i++) {
        size_t size = xa_seed_size(&random, 64, 4096);
        unsigned char *block = call_malloc(size);
        size_t slot = xa_seed_below(&random, RING);

        block[0] = block[size - 1] = 0xd7;
        memcpy(block + 8, &size, sizeof(size));
        for (void *empty = NULL; !atomic_compare_exchange_weak(&ring->slots[slot], &empty, block);
             empty = NULL) {
            slot = (slot + 1) % RING;
            if (slot == 0)
                sched_yield();
        }
    }
}

static void
consume(struct ring *ring)
{
    size_t total = ring->wanted * ring->producers;

    for (size_t slot = 0; atomic_load(&ring->taken) < total; slot = (slot + 1) % RING) {
        unsigned char *block = atomic_exchange(&ring->slots[slot], NULL);
        size_t size;

        if (slot == 0)
            sched_yield();
        if (block == NULL)
            continue;
        memcpy(&size, block + 8, sizeof(size));
        if (block[0] != 0xd7 || block[size - 1] != 0xd7)
            atomic_fetch_add(&ring->damaged, 1);
        call_free(block);
        atomic_fetch_add(&ring->taken, 1);
    }
}

static void
produce_or_consume(unsigned index, void *argument)
{
    struct ring *ring = argument;

    if (index < ring->producers)
        produce(ring, index);
    else
        consume(ring);
}

static void
expect_bounded_hand_over(unsigned producers, unsigned consumers)
{
    static struct ring ring;
    /*
     * At most 4 MiB wait in the ring; the rest is what caches and stacks of empty objects may
     * keep.
     */
    const size_t growth_max = 48 * MIB;
    size_t before = xa_child_resident_bytes();

    memset(&ring, 0, sizeof(ring));
    ring.producers = producers;
    ring.wanted = 1000000 / producers;
    assert_true(xa_threads_run(producers + consumers, produce_or_consume, &ring, JOIN_SECONDS));
    assert_int_equal(atomic_load(&ring.damaged), 0);
    if (!xa_child_is_instrumented() && xa_child_resident_bytes() > before + growth_max)
        fail_msg("%u producers, %u consumers: resident %zu -> %zu bytes", producers, consumers,
            before, xa_child_resident_bytes());
}

static void
handing_objects_to_other_threads_does_not_grow(void **state)
{
    (void)state;
    expect_bounded_hand_over(1, 1);
    expect_bounded_hand_over(4, 4);
    expect_bounded_hand_over(3, 1);
    expect_bounded_hand_over(1, 3);
}

/* Objects made by one thread for others to free. */
enum { GIVEN = 20000 };
static void *given[GIVEN];

static void
free_given(unsigned index, void *argument)
{
    unsigned step = *(unsigned *)argument;

    for (unsigned i = index; i < GIVEN; i += step)
        call_free(given[i]);
}

static void
f07_threads_that_only_free_give_memory_back(void **state)
{
    unsigned counts[] = {1, 2, 5};
    size_t after_first_rounds = 0;

    (void)state;
    for (int round = 0; round < 300; round++) {
        unsigned *count = &counts[round % 3];

        for (int i = 0; i < GIVEN; i++) {
            given[i] = call_malloc(64 + (size_t)i % 700);
            assert_non_null(given[i]);
        }
        /*
         * They are new threads each time: what stays in their caches is lost unless it is flushed.
         */
        assert_true(xa_threads_run(*count, free_given, count, JOIN_SECONDS));
        if (round == 20)
            after_first_rounds = xa_child_resident_bytes();
    }
    /* 8 MiB a round pass through; 16 MiB are what 280 rounds may add. */
    if (!xa_child_is_instrumented())
        assert_true(xa_child_resident_bytes() <= after_first_rounds + 16 * MIB);
}

static void
use_every_size(unsigned index, void *argument)
{
    struct xa_shadow_object objects[128];
    atomic_uint *failures = argument;
    struct xa_seed_random random = xa_seed_start(seed, 100 + index);
    unsigned bad = 0;

    memset(objects, 0, sizeof(objects));
    for (size_t size = 1; size <= 2 * MIB; size += size < 2048 ? 1 : size / 32) {
        struct xa_shadow_object *object = &objects[xa_seed_below(&random, 128)];

        if (object->address != NULL) {
            bad += !xa_shadow_is_intact(object);
            bad += !xa_shadow_remove(object);
            call_free(object->address);
        }
        object->address = call_malloc(size);
        object->size_bytes = size;
        object->usable_bytes = malloc_usable_size(object->address);
        object->alignment = 16;
        bad += object->address == NULL || !xa_shadow_insert(object);
        xa_shadow_fill(object);
    }
    for (int i = 0; i < 128; i++) {
        if (objects[i].address == NULL)
            continue;
        bad += !xa_shadow_is_intact(&objects[i]) + !xa_shadow_remove(&objects[i]);
        call_free(objects[i].address);
    }
    atomic_fetch_add(failures, bad);
}

static void
many_threads_keep_every_size_intact(void **state)
{
    atomic_uint failures = 0;

    (void)state;
    assert_true(xa_shadow_init());
    for (int round = 0; round < 2; round++) {
        assert_true(xa_threads_run(20, use_every_size, &failures, JOIN_SECONDS));
        assert_int_equal(atomic_load(&failures), 0);
    }
}

/* One thread publishes objects and ends, while another frees them as they come. */
enum { PUBLISHED = 4000 };

struct publication {
    _Atomic(void *) objects[PUBLISHED];
    atomic_uint damaged;
};

static void
publish_or_free(unsigned index, void *argument)
{
    struct publication *publication = argument;

    for (int i = 0; i < PUBLISHED; i++) {
        size_t size = 16 + (size_t)i % 500;
        unsigned char *object;

        if (index == 0) {
            object = call_malloc(size);
            memset(object, i & 0xff, size);
            atomic_store(&publication->objects[i], object);
            continue;
        }
        while ((object = atomic_exchange(&publication->objects[i], NULL)) == NULL)
            sched_yield();
        if (object[0] != (i & 0xff) || object[size - 1] != (i & 0xff))
            atomic_fetch_add(&publication->damaged, 1);
        call_free(object);
    }
}

static void
a_thread_may_end_while_others_free_its_objects(void **state)
{
    static struct publication publication;
    size_t before = 0;

    (void)state;
    for (int round = 0; round < 500; round++) {
        assert_true(xa_threads_run(2, publish_or_free, &publication, JOIN_SECONDS));
        assert_int_equal(atomic_load(&publication.damaged), 0);
        if (round == 50)
            before = xa_child_resident_bytes();
    }
    if (!xa_child_is_instrumented())
        assert_true(xa_child_resident_bytes() <= before + 16 * MIB);
}

/* Objects of threads that have ended; later threads get recycled stacks, caches and records. */
enum { KEPT = 40, GENERATIONS = 300 };
static struct xa_shadow_object kept[GENERATIONS][KEPT];

static void *
live_one_generation(void *argument)
{
    struct xa_shadow_object *mine = argument;
    uintptr_t bad = 0;

    for (int i = 0; i < KEPT; i++) {
        size_t size = (size_t)16 << i % 10;
        void *dropped = call_malloc(size);

        memset(dropped, 0xff, size);
        call_free(dropped);
        mine[i].address = call_calloc(1, size);
        for (size_t k = 0; k < size; k++)
            bad += mine[i].address[k] != 0;
        mine[i].size_bytes = size;
        mine[i].usable_bytes = malloc_usable_size(mine[i].address);
        mine[i].alignment = 16;
        bad += !xa_shadow_insert(&mine[i]);
        xa_shadow_fill(&mine[i]);
    }
    return (void *)bad;
}

static void
a_recycled_thread_disturbs_no_object_of_its_forerunners(void **state)
{
    (void)state;
    assert_true(xa_shadow_init());
    for (int generation = 0; generation < GENERATIONS; generation++) {
        pthread_t thread;
        void *bad;

        assert_int_equal(pthread_create(&thread, NULL, live_one_generation, kept[generation]), 0);
        assert_int_equal(pthread_join(thread, &bad), 0);
        assert_null(bad);
    }
    for (int generation = 0; generation < GENERATIONS; generation++) {
        for (int i = 0; i < KEPT; i++) {
            assert_true(xa_shadow_is_intact(&kept[generation][i]));
            assert_true(xa_shadow_remove(&kept[generation][i]));
            call_free(kept[generation][i].address);
        }
    }
}

static void
detached_threads_end_in_peace(void **state)
{
    pthread_attr_t attributes;

    (void)state;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    for (int i = 0; i < 2000; i++) {
        pthread_t thread;

        /* Creating outruns ending, so there may be too many for a moment. */
        for (int tries = 0; pthread_create(&thread, &attributes, allocate_a_little, NULL) != 0;
             tries++) {
            assert_true(tries < 5000);
            usleep(1000);
        }
    }
    pthread_attr_destroy(&attributes);
}

/*
 * Keys whose destructors allocate, free what earlier rounds made, and ask for another round for as
 * long as there are rounds.  Some keys are older than the allocator's own, if it has one, and some
 * younger.
 */
enum { KEYS = 12 };
static pthread_key_t keys[KEYS];
static tss_t c11_key;
static atomic_uint destructor_calls;
static atomic_uint destructor_failures;

struct key_value {
    unsigned key;
    unsigned round;
    unsigned char *block;
    size_t size;
};

static struct key_value *
make_value(unsigned key, unsigned round)
{
    struct key_value *value = call_malloc(sizeof(*value));

    value->key = key;
    value->round = round;
    value->size = ((size_t)1 << (4 + (key * 3 + round * 5) % 14)) + key;
    value->block = call_calloc(1, value->size);
    if (value->block == NULL || value->block[0] != 0 || value->block[value->size - 1] != 0)
        atomic_fetch_add(&destructor_failures, 1);
    else
        value->block[0] = value->block[value->size - 1] = (unsigned char)key;
    return value;
}

static void
drop_value(struct key_value *value)
{
    if (value->block[0] != value->key || value->block[value->size - 1] != value->key)
        atomic_fetch_add(&destructor_failures, 1);
    call_free(value->block);
    call_free(value);
}

static void
destroy_value(void *argument)
{
    struct key_value *value = argument;
    unsigned key = value->key;
    unsigned round = value->round;

    atomic_fetch_add(&destructor_calls, 1);
    allocate_a_little(NULL);
    drop_value(value);
    /* The last round must not leave a value: nobody would free it. */
    if (round + 1 < PTHREAD_DESTRUCTOR_ITERATIONS)
        pthread_setspecific(keys[key], make_value(key, round + 1));
}

static void
destroy_c11_value(void *argument)
{
    atomic_fetch_add(&destructor_calls, 1);
    allocate_a_little(NULL);
    call_free(argument);
}

static int
set_all_keys(void *argument)
{
    for (unsigned i = 0; i < KEYS; i++)
        pthread_setspecific(keys[i], make_value(i, 0));
    tss_set(c11_key, call_malloc(3000));
    allocate_a_little(NULL);
    return argument != NULL;
}

static void
f07_destructors_may_allocate_after_the_cache_is_gone(void **state)
{
    enum { THREADS = 1500 };
    size_t before = 0;

    (void)state;
    for (unsigned i = 0; i < KEYS; i++)
        assert_int_equal(pthread_key_create(&keys[i], destroy_value), 0);
    assert_int_equal(tss_create(&c11_key, destroy_c11_value), thrd_success);
    for (int i = 0; i < THREADS; i++) {
        thrd_t thread;

        assert_int_equal(thrd_create(&thread, set_all_keys, NULL), thrd_success);
        assert_int_equal(thrd_join(thread, NULL), thrd_success);
        if (i == 200)
            before = xa_child_resident_bytes();
    }
    assert_int_equal(atomic_load(&destructor_failures), 0);
    assert_int_equal(
        atomic_load(&destructor_calls), THREADS * (KEYS * PTHREAD_DESTRUCTOR_ITERATIONS + 1));
    /* Losing the smallest object at every call of a destructor would be 16 MiB. */
    if (!xa_child_is_instrumented())
        assert_true(xa_child_resident_bytes() <= before + 8 * MIB);
    for (unsigned i = 0; i < KEYS; i++)
        pthread_key_delete(keys[i]);
    tss_delete(c11_key);
}

static atomic_bool exiting;

static void
allocate_for_ever(unsigned index, void *argument)
{
    (void)argument;
    for (size_t size = 1 + index;; size = size * 7 % 300007) {
        unsigned char *block = call_malloc(size);

        if (block == NULL)
            abort();
        memset(block, 0x33, size);
        call_free(block);
        atomic_load(&exiting);
    }
}

static void *kept_for_exit;

static void
allocate_at_exit(void)
{
    static const char text[] = "allocated at exit\n";

    atomic_store(&exiting, true);
    call_free(kept_for_exit);
    for (int i = 0; i < 1000; i++)
        allocate_a_little(NULL);
    if (write(STDOUT_FILENO, text, sizeof(text) - 1) < 0)
        abort();
}

static __attribute__((destructor)) void
allocate_in_destructor(void)
{
    /* Runs in every process of this program, after the functions given to atexit. */
    for (int i = 0; i < 100; i++)
        allocate_a_little(NULL);
}

/* In a mode of its own, since it ends by exit() while its threads still run. */
static int
exit_with_running_threads(void)
{
    static struct xa_threads team;

    atexit(allocate_at_exit);
    kept_for_exit = call_malloc(12345);
    XA_CHILD_CHECK(xa_threads_start(&team, 4, allocate_for_ever, NULL));
    usleep(10000);
    return 0;
}

static void
f07_threads_may_still_run_at_exit(void **state)
{
    const char *const arguments[] = {NULL, "exit", NULL};
    const struct xa_child_command command = {arguments, NULL, NULL};

    (void)state;
    for (int i = 0; i < 20; i++) {
        xa_child_run(&child, CHILD_SECONDS, &command);
        xa_child_assert_success(&child);
        assert_non_null(strstr(child.output, "allocated at exit\n"));
    }
}

/* The main thread may end first, and the process then lives in another thread. */
static void *
outlive_main(void *argument)
{
    pthread_join(*(pthread_t *)argument, NULL);
    for (int i = 0; i < 1000; i++)
        allocate_a_little(NULL);
    exit(0);
}

static int
end_main_thread_first(void)
{
    static pthread_t main_thread;
    pthread_t thread;

    main_thread = pthread_self();
    XA_CHILD_CHECK(pthread_create(&thread, NULL, outlive_main, &main_thread) == 0);
    kept_for_exit = call_malloc(100);
    pthread_exit(NULL);
}

static void
f07_the_main_thread_may_end_first(void **state)
{
    const char *const arguments[] = {NULL, "main-first", NULL};
    const struct xa_child_command command = {arguments, NULL, NULL};

    (void)state;
    xa_child_run(&child, CHILD_SECONDS, &command);
    xa_child_assert_success(&child);
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hundred_thousand_threads_leave_nothing_behind),
        cmocka_unit_test(handing_objects_to_other_threads_does_not_grow),
        cmocka_unit_test(f07_threads_that_only_free_give_memory_back),
        cmocka_unit_test(many_threads_keep_every_size_intact),
        cmocka_unit_test(a_thread_may_end_while_others_free_its_objects),
        cmocka_unit_test(a_recycled_thread_disturbs_no_object_of_its_forerunners),
        cmocka_unit_test(detached_threads_end_in_peace),
        cmocka_unit_test(f07_destructors_may_allocate_after_the_cache_is_gone),
        cmocka_unit_test(f07_threads_may_still_run_at_exit),
        cmocka_unit_test(f07_the_main_thread_may_end_first),
    };

    if (argc == 2 && strcmp(argv[1], "exit") == 0)
        return exit_with_running_threads();
    if (argc == 2 && strcmp(argv[1], "main-first") == 0)
        return end_main_thread_first();
    seed = xa_seed_choose(NULL);
    xa_child_start_watchdog(400);
    return cmocka_run_group_tests(tests, xa_child_check_allocator, NULL);
}
