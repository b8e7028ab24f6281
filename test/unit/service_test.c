/*
 * service_test.c - the thread that answers: when it is there, its frames, and when it goes.
 *
 * The thread and its socket are real; the process's number is the fake host's, so only one such
 * test may run on a machine at a time.
 */
#define _GNU_SOURCE

#include "control/service.h"

#include "support/os_fake.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "alloc/start.h"

enum { TRIES = 3000, ANSWER_BYTES = 1 << 18 };

static char answer[ANSWER_BYTES];

static int
make_socket(const char *name, int (*act)(int, const struct sockaddr *, socklen_t))
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int made = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    memcpy(address.sun_path + 1, name, strlen(name));
    size_t bytes = offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name);
    if (made >= 0 && act(made, (struct sockaddr *)&address, (socklen_t)bytes) == 0)
        return made;
    close(made);
    return -1;
}

static int
try_bind(int made, const struct sockaddr *address, socklen_t bytes)
{
    return bind(made, address, bytes);
}

static int
try_connect(int made, const struct sockaddr *address, socklen_t bytes)
{
    return connect(made, address, bytes);
}

static void
pause_shortly(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
}

/* Held until this process ends. */
static void
wait_for_others(void)
{
    for (int i = 0; make_socket("xalloc-test/service", try_bind) < 0; i++) {
        assert_true(i < TRIES);
        pause_shortly();
    }
}

/* A host may let a socket linger that a thread or a process has just closed. */
static void
check_nobody_listens(void)
{
    int peer;
    for (int i = 0; (peer = make_socket("xalloc-ctl/4711", try_connect)) >= 0; i++) {
        close(peer);
        assert_true(i < TRIES);
        pause_shortly();
    }
}

static int
connect_to_it(void)
{
    int peer = -1;
    for (int i = 0; peer < 0; i++) {
        assert_true(i < TRIES);
        peer = make_socket("xalloc-ctl/4711", try_connect);
        if (peer < 0)
            pause_shortly();
    }
    return peer;
}

static void
begin(const char *settings)
{
    wait_for_others();
    xa_os_fake_set_environment("XALLOC_CONF", settings);
    xa_start_process();
}

/* What it says to these bytes, until it has said `end`. */
static const char *
ask(int peer, const char *request, const char *end)
{
    size_t length = 0;
    assert_int_equal(write(peer, request, strlen(request)), strlen(request));
    do {
        ssize_t got = read(peer, answer + length, sizeof answer - 1 - length);
        assert_true(got > 0);
        length += (size_t)got;
        answer[length] = '\0';
    } while (length < strlen(end) || strcmp(answer + length - strlen(end), end) != 0);
    return answer;
}

static void
it_answers_in_frames(void **state)
{
    (void)state;
    begin("ctl_socket:true");
    xa_service_start(XA_SERVICE_AT_ONCE);
    assert_int_equal(xa_service_state(), XA_SERVICE_OPEN);
    int peer = connect_to_it();
    assert_string_equal(ask(peer, "get opt.abort\n", "\n0\n"), "ok\n6\nfalse\n0\n");
    assert_string_equal(ask(peer, "set epoch 1\n", "0\n"), "ok\n0\n");
    assert_string_equal(ask(peer, "nonsense\n", "\n"), "error 22 no such request.\n");
    /* Several at a time, and one in pieces. */
    assert_string_equal(
        ask(peer, "get opt.abort\nset epoch 1\nget o", "0\nok\n0\n"), "ok\n6\nfalse\n0\nok\n0\n");
    assert_string_equal(ask(peer, "pt.abort\n", "\n0\n"), "ok\n6\nfalse\n0\n");
    assert_memory_equal(ask(peer, "list\n", "\n0\n"), "ok\n", 3);
    assert_string_equal(xa_os_fake_errors(), "");
}

static void
a_line_without_an_end_ends_the_talk(void **state)
{
    char much[2048];
    (void)state;
    begin("ctl_socket:true");
    xa_service_start(XA_SERVICE_AT_ONCE);
    int peer = connect_to_it();
    memset(much, 'x', sizeof much - 1);
    much[sizeof much - 1] = '\0';
    (void)ask(peer, much, "too long for a request.\n");
    /* Cut off; what is left unread may make it an error. */
    assert_true(read(peer, much, sizeof much) <= 0);
    assert_string_equal(ask(connect_to_it(), "get opt.abort\n", "\n0\n"), "ok\n6\nfalse\n0\n");
}

static void
on_demand_nothing_is_open_before(void **state)
{
    (void)state;
    begin("ctl_signal:USR1");
    xa_service_open();
    assert_int_equal(xa_service_state(), XA_SERVICE_ABSENT);
    xa_service_start(XA_SERVICE_ON_DEMAND);
    assert_int_equal(xa_service_state(), XA_SERVICE_CLOSED);
    pause_shortly();
    check_nobody_listens();
    xa_service_open();
    xa_service_open();
    assert_string_equal(ask(connect_to_it(), "get opt.abort\n", "\n0\n"), "ok\n6\nfalse\n0\n");
    assert_int_equal(xa_service_state(), XA_SERVICE_OPEN);
}

static void
a_secure_process_has_none(void **state)
{
    (void)state;
    xa_os_fake_set_secure(true);
    begin("");
    xa_service_start(XA_SERVICE_AT_ONCE);
    assert_int_equal(xa_service_state(), XA_SERVICE_ABSENT);
    assert_string_equal(xa_os_fake_errors(), "");
}

static void
strict_calls_forbid_it(void **state)
{
    (void)state;
    begin("ctl_socket:true,strict_syscalls:true");
    xa_service_start(XA_SERVICE_AT_ONCE);
    assert_int_equal(xa_service_state(), XA_SERVICE_ABSENT);
    assert_string_equal(xa_os_fake_errors(),
        "xalloc: option \"ctl_socket\": no control socket: \"strict_syscalls\" forbids what it "
        "needs. Leave one of the two out.\n");
}

static void
a_name_that_is_taken_is_reported(void **state)
{
    (void)state;
    begin("ctl_signal:USR1");
    assert_true(make_socket("xalloc-ctl/4711", try_bind) >= 0);
    xa_service_start(XA_SERVICE_ON_DEMAND);
    xa_service_open();
    for (int i = 0; xa_service_state() != XA_SERVICE_ABSENT; i++) {
        assert_true(i < TRIES);
        pause_shortly();
    }
    assert_string_equal(xa_os_fake_errors(),
        "xalloc: option \"ctl_signal\": no control socket: another process has its name, or the "
        "system refuses it.\n");
}

static void
it_goes_when_the_program_s_threads_have_ended(void **state)
{
    (void)state;
    begin("ctl_socket:true");
    xa_os_fake_set_file(
        "/proc/self/stat", "7 (sh) Z 1 7 7 0 -1 4194304 0 0 0 0 0 0 0 0 20 0 2 0 99 0\n");
    xa_service_start(XA_SERVICE_AT_ONCE);
    for (int i = 0; xa_service_state() != XA_SERVICE_ABSENT; i++) {
        assert_true(i < TRIES);
        pause_shortly();
    }
    check_nobody_listens();
}

/* The state in a forked child. */
static enum xa_service_state
state_in_child(void)
{
    int status;
    pid_t pid = fork();
    if (pid == 0)
        _exit((int)xa_service_state());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return (enum xa_service_state)WEXITSTATUS(status);
}

static void
a_forked_child_has_none(void **state)
{
    (void)state;
    begin("ctl_socket:true");
    xa_service_start(XA_SERVICE_AT_ONCE);
    assert_int_equal(state_in_child(), XA_SERVICE_ABSENT);
    assert_int_equal(xa_service_state(), XA_SERVICE_OPEN);
}

static void
unless_an_option_says_so(void **state)
{
    (void)state;
    if (XA_THREAD_SANITIZER) {
        print_message("skipped: the sanitizer allows no new threads in the child\n");
        skip();
    }
    begin("ctl_signal:USR1,ctl_forks:true");
    xa_service_start(XA_SERVICE_ON_DEMAND);
    assert_int_equal(state_in_child(), XA_SERVICE_CLOSED);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(it_answers_in_frames),
        XA_OS_FAKE_FRESH(a_line_without_an_end_ends_the_talk),
        XA_OS_FAKE_FRESH(on_demand_nothing_is_open_before),
        XA_OS_FAKE_FRESH(a_secure_process_has_none),
        XA_OS_FAKE_FRESH(strict_calls_forbid_it),
        XA_OS_FAKE_FRESH(a_name_that_is_taken_is_reported),
        XA_OS_FAKE_FRESH(it_goes_when_the_program_s_threads_have_ended),
        XA_OS_FAKE_FRESH(a_forked_child_has_none),
        XA_OS_FAKE_FRESH(unless_an_option_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
