/*
 * fork_test.c - fork and its relatives, rows F1 to F5, F10 and F11.
 *
 * Each test runs in a child process of its own under a deadline, as a deadlock inside fork()
 * cannot be left from within.  The children that a test forks are waited for with a deadline too,
 * and a late one is reported as hung.
 *
 * A child of a process with threads ends by _exit: other threads' streams may be half written in
 * it, which is the C library's affair and would hide what the allocator does.
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

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

/* Not in every C library. */
extern pid_t _Fork(void) __attribute__((weak));

static void *(*volatile call_malloc)(size_t) = malloc;
static void (*volatile call_free)(void *) = free;

enum {
    STDIO_FORKS = 2000,
    STDIO_THREADS = 4,
    SIGNAL_FORKS = 400,
    API_FORKS = 100,
    START_ROUNDS = 300,
    RAW_FORKS = 100,
    GRANDCHILD_SECONDS = 20,
    TEST_SECONDS = 120
};

static struct xa_child_result child;
static uint64_t seed;

static void
expect_success_of(int (*function)(void *))
{
    xa_child_call(&child, TEST_SECONDS, function, NULL);
    xa_child_assert_success(&child);
}

/* Wait for a forked child; end this process with a message if it hung or failed. */
static void
check_child_succeeds_within(pid_t pid, unsigned seconds)
{
    int status;

    XA_CHILD_CHECK(pid > 0);
    status = xa_child_wait(pid, seconds);
    if (status == -1)
        fprintf(stderr, "a forked child hung\n");
    else if (status != 0)
        fprintf(stderr, "a forked child ended with status 0x%x\n", (unsigned)status);
    XA_CHILD_CHECK(status == 0);
}

static void
check_child_succeeds(pid_t pid)
{
    check_child_succeeds_within(pid, GRANDCHILD_SECONDS);
}

/* Use sizes from 16 bytes to 1 MiB, check what was written, free in another order. */
static void
use_memory(uint64_t stream)
{
    enum { COUNT = 60 };
    struct xa_seed_random random = xa_seed_start(seed, stream);
    unsigned char *blocks[COUNT];
    size_t sizes[COUNT];

    for (int i = 0; i < COUNT; i++) {
        sizes[i] = xa_seed_size(&random, 16, 1 << 20);
        blocks[i] = call_malloc(sizes[i]);
        XA_CHILD_CHECK(blocks[i] != NULL);
        blocks[i][0] = blocks[i][sizes[i] - 1] = (unsigned char)i;
    }
    for (int i = 0; i < COUNT; i++) {
        int k = i * 7 % COUNT;

        /* 7 and COUNT share no factor, so that every block has its turn. */
        XA_CHILD_CHECK(
            blocks[k][0] == (unsigned char)k && blocks[k][sizes[k] - 1] == (unsigned char)k);
        call_free(blocks[k]);
    }
}

static void
use_streams(void)
{
    char *text = NULL;
    size_t length = 0;
    FILE *memory = open_memstream(&text, &length);
    FILE *null = fopen("/dev/null", "w");

    XA_CHILD_CHECK(memory != NULL && null != NULL);
    for (int i = 0; i < 100; i++) {
        XA_CHILD_CHECK(fprintf(memory, "%d %s\n", i, "some text that makes the buffer grow") > 0);
        XA_CHILD_CHECK(fprintf(null, "%d\n", i) > 0);
    }
    XA_CHILD_CHECK(fclose(memory) == 0 && fclose(null) == 0);
    XA_CHILD_CHECK(length > 3000 && text[0] == '0');
    free(text);
}

/*
 * What the threads of the stdio test do until they are told to stop.  The dangerous mix needs
 * three parties: a thread that holds a stream's lock and allocates past its cache, a thread in
 * fflush(NULL) that holds the list of all streams and waits for that stream, and fork, which waits
 * for the list.
 */
static atomic_bool stop;

static void
allocate_under_stream_lock(FILE *stream)
{
    flockfile(stream);
    for (size_t size = 100; size <= 4 << 20; size *= 3) {
        void *block = call_malloc(size);

        XA_CHILD_CHECK(block != NULL);
        putc_unlocked('x', stream);
        call_free(block);
    }
    fseek(stream, 0, SEEK_SET);
    funlockfile(stream);
}

static void
grow_memory_stream(void)
{
    char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);

    XA_CHILD_CHECK(stream != NULL);
    for (int i = 0; i < 200; i++)
        fprintf(stream, "%0*d", i * 10 + 1, i);
    fclose(stream);
    free(text);
}

/* getdelim allocates while it holds the stream's lock; the line grows up to 300 KiB. */
static void
read_long_line(void)
{
    static char text[300 * 1024];
    char *line = NULL;
    size_t capacity = 0;
    FILE *stream = fmemopen(text, sizeof(text), "r");

    XA_CHILD_CHECK(stream != NULL);
    while (getdelim(&line, &capacity, '\n', stream) > 0)
        continue;
    fclose(stream);
    free(line);
}

static void
use_stdio_until_stopped(unsigned index, void *argument)
{
    char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);

    (void)argument;
    XA_CHILD_CHECK(stream != NULL);
    while (!atomic_load(&stop)) {
        switch (index % STDIO_THREADS) {
        case 0: allocate_under_stream_lock(stream); break;
        case 1: fflush(NULL); break;
        case 2: read_long_line(); break;
        default: grow_memory_stream(); break;
        }
    }
    fclose(stream);
    free(text);
}

static int
fork_while_threads_use_stdio(void *argument)
{
    struct xa_threads team;

    (void)argument;
    XA_CHILD_CHECK(xa_threads_start(&team, STDIO_THREADS, use_stdio_until_stopped, NULL));
    for (int i = 0; i < STDIO_FORKS; i++) {
        pid_t pid = fork();

        if (pid == 0) {
            use_memory((uint64_t)i);
            use_streams();
            _exit(0);
        }
        check_child_succeeds(pid);
    }
    atomic_store(&stop, true);
    XA_CHILD_CHECK(xa_threads_join(&team, GRANDCHILD_SECONDS));
    return 0;
}

static void
f01_fork_while_threads_hold_stream_locks_never_hangs(void **state)
{
    (void)state;
    expect_success_of(fork_while_threads_use_stdio);
}

/* State of the test that forks from a signal handler; the child inherits it. */
static volatile sig_atomic_t forks_done;
static volatile sig_atomic_t unreaped;
static volatile sig_atomic_t is_forked_child;
static volatile pid_t forked_pid;

static void
fork_in_handler(int signal_number)
{
    int saved_errno = errno;
    pid_t pid;

    (void)signal_number;
    if (is_forked_child || unreaped)
        return;
    pid = fork();
    if (pid == 0) {
        is_forked_child = 1;
    } else {
        forked_pid = pid;
        unreaped = 1;
        forks_done++;
    }
    errno = saved_errno;
}

static void
arm_timer(struct xa_seed_random *random)
{
    const struct itimerval soon = {{0, 0}, {0, 50 + (suseconds_t)xa_seed_below(random, 1500)}};

    setitimer(ITIMER_REAL, &soon, NULL);
}

enum { CHURN_SLOTS = 400 };

struct churn {
    struct xa_seed_random random;
    unsigned char *blocks[CHURN_SLOTS];
    size_t sizes[CHURN_SLOTS];
};

/* One step of a random mix of malloc, realloc, memalign and free, with contents checked. */
static void
churn_once(struct churn *churn)
{
    size_t slot = xa_seed_below(&churn->random, CHURN_SLOTS);
    size_t size =
        xa_seed_size(&churn->random, 1, xa_seed_below(&churn->random, 50) == 0 ? 4 << 20 : 40000);
    unsigned char *block = churn->blocks[slot];

    if (block != NULL) {
        XA_CHILD_CHECK(block[0] == (unsigned char)slot);
        XA_CHILD_CHECK(block[churn->sizes[slot] - 1] == (unsigned char)slot);
    }
    switch (xa_seed_below(&churn->random, 4)) {
    case 0: block = realloc(block, size); break;
    case 1:
        call_free(block);
        block = memalign(256, size);
        break;
    default:
        call_free(block);
        block = call_malloc(size);
        break;
    }
    XA_CHILD_CHECK(block != NULL);
    block[0] = block[size - 1] = (unsigned char)slot;
    churn->blocks[slot] = block;
    churn->sizes[slot] = size;
}

static int
fork_from_a_handler(void *argument)
{
    static struct churn churn;
    struct sigaction action = {.sa_handler = fork_in_handler};

    (void)argument;
    churn.random = xa_seed_start(seed, 77);
    sigaction(SIGALRM, &action, NULL);
    while (forks_done < SIGNAL_FORKS) {
        arm_timer(&churn.random);
        while (!unreaped && !is_forked_child)
            churn_once(&churn);
        if (is_forked_child) {
            /* The interrupted call has been finished above; go on for a while. */
            for (int i = 0; i < 500; i++)
                churn_once(&churn);
            _exit(0);
        }
        for (int i = 0; i < 100; i++)
            churn_once(&churn);
        check_child_succeeds(forked_pid);
        unreaped = 0;
    }
    return 0;
}

static void
f02_fork_from_a_handler_that_interrupted_malloc_returns_in_both(void **state)
{
    (void)state;
    expect_success_of(fork_from_a_handler);
}

static void
hammer_until_stopped(unsigned index, void *argument)
{
    struct churn *churn = calloc(1, sizeof(*churn));

    (void)argument;
    XA_CHILD_CHECK(churn != NULL);
    churn->random = xa_seed_start(seed, 1000 + index);
    while (!atomic_load(&stop))
        churn_once(churn);
    for (int i = 0; i < CHURN_SLOTS; i++)
        call_free(churn->blocks[i]);
    free(churn);
}

static void
allocate_in_new_thread(unsigned index, void *argument)
{
    (void)argument;
    use_memory(5000 + index);
}

/* Everything the library exports, in the child of a process with threads. */
static void
use_whole_api(void)
{
    void *block = NULL;
    char *text = NULL;
    size_t length = 0;
    FILE *stream;
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    int old_stderr = dup(STDERR_FILENO);

    for (size_t size = 1; size <= 8 << 20; size *= 4) {
        XA_CHILD_CHECK((block = calloc(3, size)) != NULL);
        XA_CHILD_CHECK((block = realloc(block, size * 2)) != NULL);
        XA_CHILD_CHECK((block = reallocarray(block, size, 5)) != NULL);
        XA_CHILD_CHECK(malloc_usable_size(block) >= size * 5);
        call_free(block);
        XA_CHILD_CHECK(posix_memalign(&block, 64, size) == 0);
        call_free(block);
        call_free(aligned_alloc(4096, size));
        call_free(memalign(1 << 16, size));
        call_free(valloc(size));
    }
    malloc_trim(0);
    mallinfo2();
    mallopt(M_TRIM_THRESHOLD, 1 << 20);
    stream = open_memstream(&text, &length);
    XA_CHILD_CHECK(
        stream != NULL && malloc_info(0, stream) == 0 && fclose(stream) == 0 && length > 0);
    free(text);
    dup2(null, STDERR_FILENO);
    malloc_stats();
    dup2(old_stderr, STDERR_FILENO);
    close(old_stderr);
    close(null);
}

static int
fork_and_use_whole_api(void *argument)
{
    struct xa_threads team;

    (void)argument;
    XA_CHILD_CHECK(xa_threads_start(&team, 4, hammer_until_stopped, NULL));
    for (int i = 0; i < API_FORKS; i++) {
        pid_t pid = fork();

        if (pid == 0) {
            use_whole_api();
            use_memory((uint64_t)i);
            XA_CHILD_CHECK(xa_threads_run(3, allocate_in_new_thread, NULL, GRANDCHILD_SECONDS));
            pid = fork();
            if (pid == 0) {
                use_memory((uint64_t)i + 1);
                _exit(0);
            }
            check_child_succeeds(pid);
            _exit(0);
        }
        check_child_succeeds(pid);
    }
    atomic_store(&stop, true);
    XA_CHILD_CHECK(xa_threads_join(&team, GRANDCHILD_SECONDS));
    return 0;
}

static void
f03_the_child_of_a_process_with_threads_may_use_everything(void **state)
{
    (void)state;
    expect_success_of(fork_and_use_whole_api);
}

/* Start threads and fork while they make their first calls; delays differ from round to round. */
static void
fork_while_threads_start(unsigned round)
{
    struct xa_threads team;
    pid_t pids[3];

    XA_CHILD_CHECK(xa_threads_start(&team, 4, hammer_until_stopped, NULL));
    for (volatile unsigned spin = 0; spin < round * 37 % 5000; spin++)
        continue;
    for (int i = 0; i < 3; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            use_memory(round);
            _exit(0);
        }
    }
    for (int i = 0; i < 3; i++)
        check_child_succeeds(pids[i]);
    atomic_store(&stop, true);
    XA_CHILD_CHECK(xa_threads_join(&team, GRANDCHILD_SECONDS));
}

/* Each round is a process that never had a second thread before. */
static int
fork_at_the_first_threads(void *argument)
{
    (void)argument;
    for (unsigned round = 0; round < START_ROUNDS; round++) {
        pid_t pid = fork();

        if (pid == 0) {
            fork_while_threads_start(round);
            _exit(0);
        }
        /* It waits for children of its own, and is to say so itself if they hang. */
        check_child_succeeds_within(pid, 2 * GRANDCHILD_SECONDS);
    }
    return 0;
}

static void
f03_fork_is_safe_while_the_first_threads_start(void **state)
{
    (void)state;
    expect_success_of(fork_at_the_first_threads);
}

static int
fork_without_handlers(pid_t (*make_child)(void), int count)
{
    for (int i = 0; i < count; i++) {
        pid_t pid = make_child();

        if (pid == 0) {
            use_memory((uint64_t)i);
            use_memory((uint64_t)i + 1);
            _exit(0);
        }
        check_child_succeeds(pid);
        use_memory((uint64_t)i);
    }
    return 0;
}

static int
clone_raw(void *argument)
{
    (void)argument;
    use_memory(0);
    return fork_without_handlers(xa_child_fork_bare, RAW_FORKS);
}

static int
clone_raw_beside_threads(void *argument)
{
    struct xa_threads team;

    (void)argument;
    XA_CHILD_CHECK(xa_threads_start(&team, 4, hammer_until_stopped, NULL));
    fork_without_handlers(xa_child_fork_bare, RAW_FORKS);
    atomic_store(&stop, true);
    XA_CHILD_CHECK(xa_threads_join(&team, GRANDCHILD_SECONDS));
    return 0;
}

static void
f05_the_child_of_a_xa_child_fork_bare_allocates(void **state)
{
    (void)state;
    expect_success_of(clone_raw);
}

static void
f05_the_child_of_a_xa_child_fork_bare_beside_threads_allocates(void **state)
{
    (void)state;
    expect_success_of(clone_raw_beside_threads);
}

static int
call_underscore_fork(void *argument)
{
    (void)argument;
    use_memory(0);
    return fork_without_handlers(_Fork, RAW_FORKS);
}

static void
f05_the_child_of_underscore_fork_allocates(void **state)
{
    (void)state;
    if (_Fork == NULL) {
        print_message("skipped: this C library has no _Fork\n");
        skip();
    }
    expect_success_of(call_underscore_fork);
}

/* The child of a vfork shares our memory and our thread's caches; only it runs until it ends. */
static __attribute__((noinline)) void
vfork_once(int round)
{
    static void *volatile from_child;
    pid_t pid = vfork();

    if (pid == 0) {
        from_child = call_malloc((size_t)round * 97 + 1);
        memset(from_child, 0x5a, (size_t)round * 97 + 1);
        _exit(0);
    }
    check_child_succeeds(pid);
    /* Made by the child, in memory that is ours as well. */
    XA_CHILD_CHECK(from_child != NULL && *(unsigned char *)from_child == 0x5a);
    call_free(from_child);
}

static int
vfork_beside_threads(void *argument)
{
    struct xa_threads team;

    (void)argument;
    XA_CHILD_CHECK(xa_threads_start(&team, 3, hammer_until_stopped, NULL));
    for (int i = 0; i < RAW_FORKS; i++)
        vfork_once(i);
    atomic_store(&stop, true);
    XA_CHILD_CHECK(xa_threads_join(&team, GRANDCHILD_SECONDS));
    return 0;
}

static void
f05_the_child_of_vfork_allocates(void **state)
{
    (void)state;
    expect_success_of(vfork_beside_threads);
}

static int
spawn_beside_threads(void *argument)
{
    char mode[] = "allocate";
    char *const arguments[] = {(char *)(uintptr_t)xa_child_own_path(), mode, NULL};
    struct xa_threads team;

    (void)argument;
    XA_CHILD_CHECK(xa_threads_start(&team, 3, hammer_until_stopped, NULL));
    for (int i = 0; i < 50; i++) {
        pid_t pid;

        XA_CHILD_CHECK(posix_spawn(&pid, arguments[0], NULL, NULL, arguments, environ) == 0);
        check_child_succeeds(pid);
        if (i % 5 == 0)
            XA_CHILD_CHECK(system("exit 7") == 7 << 8);
    }
    atomic_store(&stop, true);
    XA_CHILD_CHECK(xa_threads_join(&team, GRANDCHILD_SECONDS));
    return 0;
}

static void
f05_a_spawned_program_allocates(void **state)
{
    (void)state;
    expect_success_of(spawn_beside_threads);
}

/* Write the heap's description to a memory stream, and drop it. */
static void
describe_heap(void)
{
    char *text = NULL;
    size_t length;
    FILE *stream = open_memstream(&text, &length);

    if (stream == NULL)
        return;
    malloc_info(0, stream);
    fclose(stream);
    free(text);
}

/* A thread that allocates for ever and may be cancelled wherever the C library allows it. */
static void *
allocate_until_cancelled(void *argument)
{
    static _Thread_local size_t size;

    for (size = 1;; size = size < (4 << 20) ? size * 3 : 1) {
        void *block = call_malloc(size);

        pthread_cleanup_push(free, block);
        describe_heap();
        pthread_testcancel();
        pthread_cleanup_pop(1);
        mallinfo2();
        malloc_trim(0);
    }
    return argument;
}

static int
cancel_threads(void *argument)
{
    (void)argument;
    for (int round = 0; round < 100; round++) {
        pthread_t threads[3];

        for (int i = 0; i < 3; i++)
            XA_CHILD_CHECK(pthread_create(&threads[i], NULL, allocate_until_cancelled, NULL) == 0);
        use_memory((uint64_t)round);
        for (int i = 0; i < 3; i++)
            XA_CHILD_CHECK(pthread_cancel(threads[i]) == 0);
        for (int i = 0; i < 3; i++)
            XA_CHILD_CHECK(xa_threads_join_one(threads[i], GRANDCHILD_SECONDS));
        use_whole_api();
    }
    return 0;
}

static void
f10_cancelled_threads_leave_no_lock(void **state)
{
    (void)state;
    expect_success_of(cancel_threads);
}

static jmp_buf out_of_the_writer;

static ssize_t
jump_out_of_writer(void *cookie, const char *text, size_t length)
{
    (void)cookie;
    (void)text;
    (void)length;
    longjmp(out_of_the_writer, 1);
}

/* malloc_info is left in the middle, through the stream it writes to. */
static __attribute__((noinline)) bool
is_jumped_out_of_malloc_info(void)
{
    const cookie_io_functions_t functions = {NULL, jump_out_of_writer, NULL, NULL};
    FILE *stream = fopencookie(NULL, "w", functions);

    XA_CHILD_CHECK(stream != NULL);
    setvbuf(stream, NULL, _IONBF, 0);
    if (setjmp(out_of_the_writer) != 0)
        return true;
    malloc_info(0, stream);
    return false;
}

static int
jump_out_of_callbacks(void *argument)
{
    struct xa_threads team;

    (void)argument;
    for (int i = 0; i < 10; i++)
        XA_CHILD_CHECK(is_jumped_out_of_malloc_info());
    XA_CHILD_CHECK(xa_threads_start(&team, 4, allocate_in_new_thread, NULL));
    XA_CHILD_CHECK(xa_threads_join(&team, GRANDCHILD_SECONDS));
    use_whole_api();
    /* The streams that were left hold their own locks for ever, so nothing may flush them. */
    _exit(0);
}

static void
f10_a_jump_out_of_malloc_infos_stream_leaves_no_lock(void **state)
{
    (void)state;
    expect_success_of(jump_out_of_callbacks);
}

enum { ISOLATED = 600 };
static struct xa_shadow_object isolated[ISOLATED];

static void
fill_isolated_objects(void)
{
    struct xa_seed_random random = xa_seed_start(seed, 5);

    XA_CHILD_CHECK(xa_shadow_init());
    for (int i = 0; i < ISOLATED; i++) {
        size_t size = xa_seed_size(&random, 16, 2 << 20);
        unsigned char *block = call_malloc(size);

        XA_CHILD_CHECK(block != NULL);
        isolated[i] = (struct xa_shadow_object){block, size, size, 16, 0};
        XA_CHILD_CHECK(xa_shadow_insert(&isolated[i]));
        xa_shadow_fill(&isolated[i]);
    }
}

static void
overwrite_everything(void)
{
    for (int i = 0; i < ISOLATED; i++)
        memset(isolated[i].address, 0xee, isolated[i].size_bytes);
    for (int i = 0; i < ISOLATED; i++)
        call_free(isolated[i].address);
    use_memory(99);
}

static int
write_in_child_and_in_parent(void *argument)
{
    int ready[2];
    char byte = 0;
    pid_t pid;

    (void)argument;
    fill_isolated_objects();
    pid = fork();
    if (pid == 0) {
        overwrite_everything();
        _exit(0);
    }
    check_child_succeeds(pid);
    for (int i = 0; i < ISOLATED; i++)
        XA_CHILD_CHECK(xa_shadow_is_intact(&isolated[i]));
    /* The other way round: the child looks only after the parent has written. */
    XA_CHILD_CHECK(pipe(ready) == 0);
    pid = fork();
    if (pid == 0) {
        XA_CHILD_CHECK(read(ready[0], &byte, 1) == 1);
        for (int i = 0; i < ISOLATED; i++)
            XA_CHILD_CHECK(xa_shadow_is_intact(&isolated[i]));
        _exit(0);
    }
    overwrite_everything();
    XA_CHILD_CHECK(write(ready[1], &byte, 1) == 1);
    check_child_succeeds(pid);
    return 0;
}

static void
f11_parent_and_child_do_not_see_each_others_writes(void **state)
{
    (void)state;
    expect_success_of(write_in_child_and_in_parent);
}

static void
f11_no_writable_memory_is_shared(void **state)
{
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "r");

    (void)state;
    assert_non_null(maps);
    use_memory(0);
    while (fgets(line, sizeof(line), maps) != NULL) {
        /* address perms offset dev inode path: the fourth letter is s for shared */
        const char *permissions = strchr(line, ' ') + 1;

        if (permissions[1] == 'w' && permissions[3] == 's')
            fail_msg("shared writable mapping: %s", line);
    }
    fclose(maps);
}

/* ---- F3: the thread that forks has never allocated, and the one other that has is at it ---- */

static atomic_bool stranger_is_done;

static int
allocate_as_child(void)
{
    for (size_t size = 1; size < 3000000; size = size * 3 + 1) {
        void *object = call_malloc(size);
        XA_CHILD_CHECK(object != NULL);
        call_free(object);
    }
    return 0;
}

static void *
fork_as_stranger(void *argument)
{
    (void)argument;
    for (unsigned i = 0; i < RAW_FORKS; i++) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(allocate_as_child());
        check_child_succeeds_within(pid, GRANDCHILD_SECONDS);
    }
    atomic_store(&stranger_is_done, true);
    return NULL;
}

static int
fork_beside_the_only_one_that_allocates(void *argument)
{
    pthread_t stranger;
    (void)argument;
    XA_CHILD_CHECK(pthread_create(&stranger, NULL, fork_as_stranger, NULL) == 0);
    /* Of sizes that go past every cache, so that locks are held most of the time. */
    while (!atomic_load(&stranger_is_done)) {
        void *objects[8];
        for (size_t i = 0; i < 8; i++)
            objects[i] = call_malloc((i + 1) * 150000);
        for (size_t i = 0; i < 8; i++)
            call_free(objects[i]);
    }
    XA_CHILD_CHECK(pthread_join(stranger, NULL) == 0);
    return 0;
}

static void
f03_a_thread_that_never_allocated_may_fork(void **state)
{
    (void)state;
    expect_success_of(fork_beside_the_only_one_that_allocates);
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(f01_fork_while_threads_hold_stream_locks_never_hangs),
        cmocka_unit_test(f02_fork_from_a_handler_that_interrupted_malloc_returns_in_both),
        cmocka_unit_test(f03_the_child_of_a_process_with_threads_may_use_everything),
        cmocka_unit_test(f03_fork_is_safe_while_the_first_threads_start),
        cmocka_unit_test(f05_the_child_of_a_xa_child_fork_bare_allocates),
        cmocka_unit_test(f05_the_child_of_a_xa_child_fork_bare_beside_threads_allocates),
        cmocka_unit_test(f05_the_child_of_underscore_fork_allocates),
        cmocka_unit_test(f05_the_child_of_vfork_allocates),
        cmocka_unit_test(f05_a_spawned_program_allocates),
        cmocka_unit_test(f10_cancelled_threads_leave_no_lock),
        cmocka_unit_test(f03_a_thread_that_never_allocated_may_fork),
        cmocka_unit_test(f10_a_jump_out_of_malloc_infos_stream_leaves_no_lock),
        cmocka_unit_test(f11_parent_and_child_do_not_see_each_others_writes),
        cmocka_unit_test(f11_no_writable_memory_is_shared),
    };

    if (argc == 2 && strcmp(argv[1], "allocate") == 0) {
        use_memory(3);
        return 0;
    }
    seed = xa_seed_choose(NULL);
    xa_child_start_watchdog(600);
    return cmocka_run_group_tests(tests, xa_child_check_allocator, NULL);
}
