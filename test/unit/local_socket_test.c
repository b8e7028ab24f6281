/*
 * local_socket_test.c - a socket in a table of its own, its peers, and its time limits.
 *
 * The sockets are real; only files and the clock are the fake host's.
 */
#define _GNU_SOURCE

#include "os/local_socket.h"

#include "support/os_fake.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

enum { WAIT_MS = 20000, SHORT_MS = 20, FIRST_FREE = 3, LAST_FREE = 64, OTHER_USER = 12345 };

static char name[64];

static int
connect_to_it(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int peer = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(peer >= 0);
    memcpy(address.sun_path + 1, name, strlen(name));
    assert_int_equal(connect(peer, (struct sockaddr *)&address,
                         (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name))),
        0);
    return peer;
}

/* A name that nobody else has. */
static int
listen_here(void)
{
    (void)snprintf(name, sizeof name, "xalloc-test/%ld", (long)getpid());
    return xa_local_socket_listen(name);
}

static bool
is_open(int descriptor)
{
    return fcntl(descriptor, F_GETFD) >= 0;
}

/* What the thread with its own table has found. */
static struct {
    bool has_table;
    unsigned open_before, open_after;
    int listener, second;
    bool are_standard_ones_taken;
} seen;

static void *
in_own_table(void *argument)
{
    char byte = 'x';
    (void)argument;
    seen.has_table = xa_local_socket_own_table();
    for (int i = FIRST_FREE; i < LAST_FREE; i++)
        seen.open_before += is_open(i);
    seen.listener = listen_here();
    seen.second = xa_local_socket_listen(name);
    for (int i = 0; i < LAST_FREE; i++)
        seen.open_after += is_open(i);
    /* Nothing can be written there. */
    seen.are_standard_ones_taken =
        write(STDOUT_FILENO, &byte, 1) == -1 && write(STDERR_FILENO, &byte, 1) == -1;
    return NULL;
}

static void
the_program_s_descriptors_stay_as_they_are(void **state)
{
    pthread_t thread;
    int ends[2];
    char byte;
    (void)state;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(pthread_create(&thread, NULL, in_own_table, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(seen.has_table);
    assert_int_equal(seen.open_before, 0);
    assert_true(seen.listener >= FIRST_FREE);
    /* The name is taken. */
    assert_true(seen.second < 0);
    assert_int_equal(seen.open_after, 4);
    assert_true(seen.are_standard_ones_taken);
    /* Its socket is not here, ours are, and what we close is closed for good. */
    assert_true(is_open(STDOUT_FILENO) && is_open(STDERR_FILENO));
    assert_true(is_open(ends[0]) && is_open(ends[1]));
    close(ends[1]);
    assert_int_equal(read(ends[0], &byte, 1), 0);
}

/* A kernel before 5.9, or a filter that lets neither call pass.  False if there are no filters. */
static bool
forbid(long one, long other)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)one, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)other, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
    };
    struct sock_fprog program = {sizeof filter / sizeof filter[0], filter};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static void
an_older_kernel_will_do(void **state)
{
    if (!forbid(SYS_close_range, SYS_close_range)) {
        print_message("skipped: the kernel refuses a seccomp filter\n");
        skip();
    }
    xa_os_fake_set_file("/proc/thread-self/status", "Name:\tsh\nFDSize:\t256\nGroups:\t0\n");
    the_program_s_descriptors_stay_as_they_are(state);
}

static void
without_a_table_nothing_is_touched(void **state)
{
    (void)state;
    if (!forbid(SYS_close_range, SYS_unshare)) {
        print_message("skipped: the kernel refuses a seccomp filter\n");
        skip();
    }
    assert_false(xa_local_socket_own_table());
    assert_true(is_open(STDOUT_FILENO) && is_open(STDERR_FILENO));
}

static void
a_peer_is_known_heard_and_answered(void **state)
{
    char buffer[16];
    unsigned user = OTHER_USER;
    int listener = listen_here();
    (void)state;
    assert_true(listener >= 0);
    assert_int_equal(xa_local_socket_accept(listener, 0, &user), XA_LOCAL_SOCKET_LATE);
    int there = connect_to_it(), peer = xa_local_socket_accept(listener, WAIT_MS, &user);
    assert_true(peer >= 0);
    assert_int_equal(user, geteuid());
    assert_int_equal(fcntl(peer, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_int_equal(
        xa_local_socket_receive(peer, buffer, sizeof buffer, SHORT_MS), XA_LOCAL_SOCKET_LATE);
    assert_int_equal(write(there, "abc", 3), 3);
    assert_int_equal(xa_local_socket_receive(peer, buffer, 2, WAIT_MS), 2);
    assert_int_equal(xa_local_socket_receive(peer, buffer, sizeof buffer, WAIT_MS), 1);
    assert_true(xa_local_socket_send(peer, "defg", 4, WAIT_MS, WAIT_MS));
    assert_int_equal(read(there, buffer, sizeof buffer), 4);
    assert_memory_equal(buffer, "defg", 4);
    close(there);
    assert_int_equal(xa_local_socket_receive(peer, buffer, sizeof buffer, WAIT_MS), 0);
    /* No signal ends us. */
    assert_false(xa_local_socket_send(peer, "h", 1, WAIT_MS, WAIT_MS));
    xa_local_socket_close(peer);
    assert_false(is_open(peer));
}

static void
who_takes_nothing_is_given_up(void **state)
{
    static char much[1 << 20];
    unsigned user;
    int listener = listen_here();
    (void)state;
    assert_true(listener >= 0);
    (void)connect_to_it();
    int peer = xa_local_socket_accept(listener, WAIT_MS, &user);
    assert_true(peer >= 0);
    assert_false(xa_local_socket_send(peer, much, sizeof much, SHORT_MS, WAIT_MS));
    /* And nobody is sent anything beyond the end of all patience. */
    (void)connect_to_it();
    peer = xa_local_socket_accept(listener, WAIT_MS, &user);
    xa_os_fake_set_clock(WAIT_MS);
    assert_false(xa_local_socket_send(peer, "x", 1, WAIT_MS, WAIT_MS));
    assert_true(xa_local_socket_send(peer, "x", 1, WAIT_MS, WAIT_MS + 1));
}

static void
a_name_that_is_too_long_is_refused(void **state)
{
    char long_name[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];
    (void)state;
    memset(long_name, 'x', sizeof long_name);
    long_name[sizeof long_name - 1] = '\0';
    assert_true(xa_local_socket_listen(long_name) < 0);
    assert_true(is_open(STDOUT_FILENO));
}

static void
who_may_not_be_looked_into_is_root_s(void **state)
{
    (void)state;
    assert_int_equal(xa_local_socket_user(), geteuid());
    assert_int_equal(prctl(PR_SET_DUMPABLE, 0), 0);
    assert_int_equal(xa_local_socket_user(), XA_LOCAL_SOCKET_ROOT);
}

static void
the_last_thread_knows_that_it_is_the_last(void **state)
{
    static const struct {
        const char *text;
        bool is_alone;
    } cases[] = {
        {"7 (sh) Z 1 7 7 0 -1 4194304 0 0 0 0 0 0 0 0 20 0 2 0 99 0\n", true},
        {"7 (sh) Z 1 7 7 0 -1 4194304 0 0 0 0 0 0 0 0 20 0 3 0 99 0\n", false},
        {"7 (sh) Z 1 7 7 0 -1 4194304 0 0 0 0 0 0 0 0 20 0 22 0 99 0\n", false},
        {"7 (sh) S 1 7 7 0 -1 4194304 0 0 0 0 0 0 0 0 20 0 2 0 99 0\n", false},
        {"7 (a) Z 1 2 (b) S 1 7 7 0 -1 4194304 0 0 0 0 0 0 0 0 20 0 2 0 99 0\n", false},
        {"7 (a) S 1 (b) Z 1 7 7 0 -1 4194304 0 0 0 0 0 0 0 0 20 0 2 0 99 0\n", true},
        {"7 (sh)", false},
        {"", false},
        {NULL, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        xa_os_fake_set_file("/proc/self/stat", cases[i].text);
        assert_int_equal(xa_local_socket_is_left_alone(), cases[i].is_alone);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(the_program_s_descriptors_stay_as_they_are),
        XA_OS_FAKE_FRESH(an_older_kernel_will_do),
        XA_OS_FAKE_FRESH(without_a_table_nothing_is_touched),
        XA_OS_FAKE_FRESH(a_peer_is_known_heard_and_answered),
        XA_OS_FAKE_FRESH(who_takes_nothing_is_given_up),
        XA_OS_FAKE_FRESH(a_name_that_is_too_long_is_refused),
        XA_OS_FAKE_FRESH(who_may_not_be_looked_into_is_root_s),
        XA_OS_FAKE_FRESH(the_last_thread_knows_that_it_is_the_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
