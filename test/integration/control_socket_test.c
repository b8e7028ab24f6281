/*
 * control_socket_test.c - the socket that xallocctl talks to, in processes that do all they may.
 *
 * This program starts itself again with ctl_socket or ctl_signal, and the child talks to itself:
 * after it has closed every descriptor, in its own forked children, having changed its user, while
 * its threads allocate.  At the default there is no thread, no descriptor and no socket.
 */
#define _GNU_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../support/child.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    CHILD_SECONDS = 60,
    TRIES = 3000,
    PAUSE_NS = 10000000,
    ANSWER_BYTES = 1 << 18,
    DESCRIPTORS = 1024,
    NOBODY = 65534,
    EXIT_SKIPPED = 77,
};

static void *(*volatile call_malloc)(size_t) = malloc;
static void (*volatile call_free)(void *) = free;

static struct xa_child_result child;

/* ---- In the child ---- */

static void
pause_shortly(void)
{
    nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
}

/* A connection to the process, or -1. */
static int
try_connect(pid_t pid)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int length =
        snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "xalloc-ctl/%d", (int)pid);
    int peer = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    XA_CHILD_CHECK(peer >= 0);
    if (connect(peer, (struct sockaddr *)&address,
            (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length)) == 0)
        return peer;
    close(peer);
    return -1;
}

/* It opens its socket in a thread, soon after it has begun. */
static int
connect_to(pid_t pid)
{
    int peer;

    for (int i = 0; (peer = try_connect(pid)) < 0; i++) {
        XA_CHILD_CHECK(i < TRIES);
        pause_shortly();
    }
    return peer;
}

/* What is sent until it ends so; NULL if it is cut off. */
static const char *
ask(int peer, const char *request, const char *end)
{
    static char answer[ANSWER_BYTES];
    size_t length = 0;

    if (write(peer, request, strlen(request)) != (ssize_t)strlen(request))
        return NULL;
    do {
        ssize_t got = read(peer, answer + length, sizeof(answer) - 1 - length);

        if (got <= 0)
            return NULL;
        length += (size_t)got;
        answer[length] = '\0';
    } while (length < strlen(end) || strcmp(answer + length - strlen(end), end) != 0);
    return answer;
}

static bool
answers(pid_t pid)
{
    int peer = connect_to(pid);
    const char *answer = ask(peer, "get opt.abort\n", "\n");
    bool is_right = answer != NULL && strncmp(answer, "ok\n", 3) == 0;

    close(peer);
    return is_right;
}

static bool
refuses(pid_t pid)
{
    int peer = connect_to(pid);
    char answer[100] = "";

    XA_CHILD_CHECK(read(peer, answer, sizeof(answer) - 1) > 0);
    close(peer);
    return strncmp(answer, "error 1 ", 8) == 0;
}

static unsigned
sockets(void)
{
    unsigned count = 0;
    struct stat status;

    for (int i = 0; i < DESCRIPTORS; i++)
        count += fstat(i, &status) == 0 && S_ISSOCK(status.st_mode);
    return count;
}

static void
wait_for(pid_t pid)
{
    int status = xa_child_wait(pid, CHILD_SECONDS);

    XA_CHILD_CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static int
be_off(void)
{
    call_free(call_malloc(100));
    XA_CHILD_CHECK(xa_child_threads() == 1 && sockets() == 0);
    for (int i = 0; i < 10; i++) {
        XA_CHILD_CHECK(try_connect(getpid()) < 0);
        pause_shortly();
    }
    return 0;
}

static int
talk(void)
{
    XA_CHILD_CHECK(answers(getpid()));
    XA_CHILD_CHECK(xa_child_threads() == 2 && sockets() == 0);
    XA_CHILD_CHECK(ask(connect_to(getpid()), "stats J\n", "\n0\n") != NULL);
    return 0;
}

static int
close_all(void)
{
    int files[DESCRIPTORS];

    for (int i = 0; i < DESCRIPTORS; i++)
        close(i);
    XA_CHILD_CHECK(answers(getpid()));
    /* Others take the numbers. */
    for (int i = 0; i < DESCRIPTORS / 2; i++)
        files[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
    XA_CHILD_CHECK(answers(getpid()));
    for (int i = 0; i < DESCRIPTORS / 2; i++)
        XA_CHILD_CHECK(files[i] < 0 || close(files[i]) == 0);
    return 0;
}

static int
fork_without(void)
{
    pid_t pid;

    XA_CHILD_CHECK(answers(getpid()));
    pid = fork();
    if (pid == 0)
        _exit(be_off());
    wait_for(pid);
    XA_CHILD_CHECK(answers(getpid()));
    return 0;
}

static int
fork_with(void)
{
    pid_t pid;

    XA_CHILD_CHECK(answers(getpid()));
    pid = fork();
    if (pid == 0) {
        XA_CHILD_CHECK(answers(getpid()) && answers(getppid()));
        pid = fork();
        if (pid == 0)
            _exit(!answers(getpid()));
        wait_for(pid);
        _exit(0);
    }
    wait_for(pid);
    return 0;
}

static int
signal_opens(void)
{
    XA_CHILD_CHECK(xa_child_threads() == 2);
    for (int i = 0; i < 10; i++) {
        XA_CHILD_CHECK(try_connect(getpid()) < 0);
        pause_shortly();
    }
    XA_CHILD_CHECK(raise(SIGUSR2) == 0 && raise(SIGUSR2) == 0);
    XA_CHILD_CHECK(answers(getpid()));
    return 0;
}

static void *
end_later(void *argument)
{
    for (int i = 0; i < 10; i++)
        pause_shortly();
    return argument;
}

static int
leave_by_threads_ends(void)
{
    pthread_t thread;

    XA_CHILD_CHECK(answers(getpid()));
    XA_CHILD_CHECK(pthread_create(&thread, NULL, end_later, NULL) == 0);
    pthread_exit(NULL);
}

static int
change_user(void)
{
    int ends[2];
    char byte;
    pid_t root;

    if (geteuid() != 0)
        return EXIT_SKIPPED;
    XA_CHILD_CHECK(pipe(ends) == 0);
    root = fork();
    if (root == 0) {
        close(ends[1]);
        XA_CHILD_CHECK(read(ends[0], &byte, 1) == 0);
        _exit(!answers(getppid()));
    }
    pid_t stranger = fork();
    if (stranger == 0) {
        if (setresuid(NOBODY, NOBODY, NOBODY) != 0)
            _exit(EXIT_SKIPPED);
        _exit(!refuses(getppid()));
    }
    int status = xa_child_wait(stranger, CHILD_SECONDS);
    if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SKIPPED)
        return EXIT_SKIPPED;
    XA_CHILD_CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    XA_CHILD_CHECK(setresuid(NOBODY, NOBODY, NOBODY) == 0);
    /* What it was before may still be in its memory: this user is not to reach it. */
    XA_CHILD_CHECK(refuses(getpid()));
    close(ends[1]);
    wait_for(root);
    XA_CHILD_CHECK(prctl(PR_SET_DUMPABLE, 1) == 0 && answers(getpid()));
    return 0;
}

static atomic_bool is_over;

static void *
allocate(void *argument)
{
    while (!atomic_load(&is_over))
        for (size_t i = 1; i < 3000; i += 7)
            call_free(call_malloc(i * (i % 50 + 1)));
    return argument;
}

static void *
ask_much(void *argument)
{
    static const char requests[] = "stats J\nset epoch 1\nget stats.allocated\npurge\nlist\n";

    while (!atomic_load(&is_over)) {
        int peer = try_connect(getpid());

        if (peer < 0)
            continue;
        XA_CHILD_CHECK(ask(peer, requests, "xalloc.stats.external_fragmentation size r\n0\n"));
        close(peer);
    }
    return argument;
}

/* Children that are forked at any moment of an answer can go on. */
static int
fork_while_it_answers(void)
{
    enum { FORKS = 100 };
    pthread_t workers[2];

    XA_CHILD_CHECK(pthread_create(&workers[0], NULL, allocate, NULL) == 0);
    XA_CHILD_CHECK(pthread_create(&workers[1], NULL, ask_much, NULL) == 0);
    for (int i = 0; i < FORKS; i++) {
        pid_t pid = fork();

        if (pid == 0) {
            for (size_t size = 1; size < 5000; size += 100)
                call_free(call_malloc(size * 100));
            _exit(i % 10 == 0 && !answers(getpid()));
        }
        wait_for(pid);
    }
    atomic_store(&is_over, true);
    for (int i = 0; i < 2; i++)
        XA_CHILD_CHECK(pthread_join(workers[i], NULL) == 0);
    return 0;
}

/* ---- In the test ---- */

static void
run_mode(const char *mode, const char *conf)
{
    xa_child_run_mode(&child, CHILD_SECONDS, mode, conf);
    if (child.exit_code == EXIT_SKIPPED) {
        print_message("skipped: only root can become another user\n");
        skip();
    }
    xa_child_assert_success(&child);
    assert_string_equal(child.errors, "");
}

static void
off_means_no_thread_no_descriptor_no_socket(void **state)
{
    (void)state;
    run_mode("off", "XALLOC_CONF");
    run_mode("off", "XALLOC_CONF=ctl_forks:true");
}

static void
the_program_sees_nothing_of_it(void **state)
{
    (void)state;
    run_mode("talk", "XALLOC_CONF=ctl_socket:true");
}

static void
a_program_that_closes_all_descriptors_is_still_answered_for(void **state)
{
    (void)state;
    run_mode("close", "XALLOC_CONF=ctl_socket:true");
}

static void
forked_children_have_it_only_if_asked_for(void **state)
{
    (void)state;
    run_mode("fork-without", "XALLOC_CONF=ctl_socket:true");
    run_mode("fork-with", "XALLOC_CONF=ctl_socket:true,ctl_forks:true");
}

static void
a_signal_opens_it(void **state)
{
    (void)state;
    run_mode("signal", "XALLOC_CONF=ctl_signal:USR2");
}

static void
a_process_ends_with_its_own_threads(void **state)
{
    (void)state;
    xa_child_skip_if_emulated("the emulator's own thread is left when the program's have ended");
    run_mode("end", "XALLOC_CONF=ctl_socket:true");
    run_mode("end-closed", "XALLOC_CONF=ctl_signal:USR2");
}

static void
only_the_user_and_root_are_let_in(void **state)
{
    (void)state;
    run_mode("user", "XALLOC_CONF=ctl_socket:true");
}

static void
it_may_be_forked_at_any_moment(void **state)
{
    (void)state;
    xa_child_skip_if_emulated("the emulator's own locks stay taken in children of threads");
    run_mode("hammer", "XALLOC_CONF=ctl_socket:true,ctl_forks:true");
}

static int
run_child(const char *mode)
{
    static const struct {
        const char *name;
        int (*body)(void);
    } modes[] = {
        {"off", be_off},
        {"talk", talk},
        {"close", close_all},
        {"fork-without", fork_without},
        {"fork-with", fork_with},
        {"signal", signal_opens},
        {"end", leave_by_threads_ends},
        {"user", change_user},
        {"hammer", fork_while_it_answers},
    };

    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        if (strcmp(mode, modes[i].name) == 0)
            return modes[i].body();
    }
    if (strcmp(mode, "end-closed") == 0)
        pthread_exit(NULL);
    return 1;
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(off_means_no_thread_no_descriptor_no_socket),
        cmocka_unit_test(the_program_sees_nothing_of_it),
        cmocka_unit_test(a_program_that_closes_all_descriptors_is_still_answered_for),
        cmocka_unit_test(forked_children_have_it_only_if_asked_for),
        cmocka_unit_test(a_signal_opens_it),
        cmocka_unit_test(a_process_ends_with_its_own_threads),
        cmocka_unit_test(only_the_user_and_root_are_let_in),
        cmocka_unit_test(it_may_be_forked_at_any_moment),
    };

    if (argc == 2)
        return run_child(argv[1]);
    xa_child_start_watchdog(300);
    return cmocka_run_group_tests(tests, xa_child_check_allocator, NULL);
}
