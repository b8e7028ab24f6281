/*
 * service.c - see service.h.
 *
 * The thread begins when the library is loaded, if an option asks for it, and lives as long as
 * the process.  Its socket has an abstract name, "xalloc-ctl/" and the process's number, which
 * goes away with the process however that ends; and it is in a descriptor table that only this
 * thread has (os/local_socket.h).  So the program neither sees nor closes nor inherits it, and it
 * keeps nothing of the program's open.  Until the socket is opened there is no such table, and
 * nothing open.
 *
 * Who may talk: root, and the process's user; of a process that has changed its user, or may
 * not be looked into for another reason, only root.  The host says who the peer is.
 *
 * What a peer can do to us is bounded.  One is heard at a time, for TALK_MS at most, and for
 * WAIT_MS at most while it does nothing.  A request is one line of at most XA_DIALOGUE_LINE_MAX
 * characters; an answer is
 *
 *   ok            then pieces of it, each behind a line with its number of bytes; then 0
 *   error N what  instead; N is an error number
 *
 * An answer without its 0 at the end is one that was cut off.  Nothing is kept for a peer: a
 * report goes out from the buffer in which it is made.
 *
 * A process whose first thread has ended by pthread_exit() lives until its last thread ends.
 * This one must not be that: it looks from time to time, and goes.
 *
 * Locking: none.  `state` changes: ABSENT → CLOSED or OPEN by whoever starts the thread, CLOSED →
 * OPEN by whoever asks, to ABSENT by the thread, and in a forked child.
 */
#include "control/service.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "alloc/start.h"
#include "base/text.h"
#include "config/options.h"
#include "control/dialogue.h"
#include "os/fork_watch.h"
#include "os/local_socket.h"
#include "os/message.h"
#include "os/os.h"
#include "os/thread.h"

enum {
    LOOK_MS = 2000, /* whether anybody else is left */
    WAIT_MS = 5000,
    TALK_MS = 30000,
    REFUSED_MS = 100, /* after the host refused a peer, for want of memory, say */
    NAME_BYTES = 32,
    PREFIX_BYTES = 32, /* of a line of an answer */
};

static _Atomic uint32_t state;
static enum xa_service_start wanted; /* [c] how it was started */

/* A peer, and how much of what it gets has been sent. */
struct talk {
    int peer;
    uint64_t end_ms;
    bool has_begun; /* the answer */
    bool is_over;   /* the peer takes nothing more */
};

static void
complain(const char *why)
{
    char line[256];
    struct xa_text text;
    xa_text_init(&text, line, sizeof line);
    xa_text_put_string(&text, "option \"ctl_");
    xa_text_put_string(&text, wanted == XA_SERVICE_AT_ONCE ? "socket" : "signal");
    xa_text_put_string(&text, "\": no control socket: ");
    xa_text_put_string(&text, why);
    xa_message_pointer(NULL, NULL, line);
}

/* ---- Answers ---- */

static void
send_bytes(struct talk *talk, const char *text, size_t bytes)
{
    if (!talk->is_over)
        talk->is_over = !xa_local_socket_send(talk->peer, text, bytes, WAIT_MS, talk->end_ms);
}

static void
send_text(struct talk *talk, const struct xa_text *text)
{
    send_bytes(talk, text->start, xa_text_length(text));
}

static void
begin_answer(struct talk *talk)
{
    if (!talk->has_begun)
        send_bytes(talk, "ok\n", 3);
    talk->has_begun = true;
}

/* A piece of an answer. */
static void
send_piece(void *context, const char *piece, size_t bytes)
{
    struct talk *talk = context;
    char line[PREFIX_BYTES];
    struct xa_text text;
    if (bytes == 0)
        return;
    begin_answer(talk);
    xa_text_init(&text, line, sizeof line);
    xa_text_put_unsigned(&text, bytes);
    xa_text_put_char(&text, '\n');
    send_text(talk, &text);
    send_bytes(talk, piece, bytes);
}

static void
send_error(struct talk *talk, int error, const char *what)
{
    char line[PREFIX_BYTES + XA_DIALOGUE_PROBLEM_MAX + 1];
    struct xa_text text;
    xa_text_init(&text, line, sizeof line);
    xa_text_put_string(&text, "error ");
    xa_text_put_signed(&text, error);
    xa_text_put_char(&text, ' ');
    xa_text_put_string(&text, what);
    xa_text_put_char(&text, '\n');
    send_text(talk, &text);
}

static void
answer(struct talk *talk, const char *line, size_t length)
{
    char buffer[XA_DIALOGUE_PROBLEM_MAX + 1];
    struct xa_text problem;
    xa_text_init(&problem, buffer, sizeof buffer);
    talk->has_begun = false;
    int error = xa_dialogue_answer(line, length, &problem, send_piece, talk);
    if (error != 0) {
        send_error(talk, error, buffer);
        return;
    }
    begin_answer(talk);
    send_bytes(talk, "0\n", 2);
}

/* ---- Peers ---- */

/* Answer the whole lines among the bytes; how many bytes these were. */
static size_t
answer_lines(struct talk *talk, const char *bytes, size_t count)
{
    size_t start = 0;
    for (size_t i = 0; i < count && !talk->is_over; i++) {
        if (bytes[i] != '\n')
            continue;
        answer(talk, bytes + start, i - start);
        start = i + 1;
    }
    return start;
}

static void
listen_to(struct talk *talk)
{
    char bytes[XA_DIALOGUE_LINE_MAX + 1];
    size_t count = 0;
    while (!talk->is_over && xa_os_now_ms() < talk->end_ms) {
        long got =
            xa_local_socket_receive(talk->peer, bytes + count, sizeof bytes - count, WAIT_MS);
        if (got <= 0)
            return;
        count += (size_t)got;
        size_t done = answer_lines(talk, bytes, count);
        for (size_t i = done; i < count; i++)
            bytes[i - done] = bytes[i];
        count -= done;
        if (count == sizeof bytes) {
            send_error(talk, EINVAL, "this line is too long for a request.");
            return;
        }
    }
}

static void
receive_peer(int peer, unsigned user)
{
    struct talk talk = {.peer = peer, .end_ms = xa_os_now_ms() + TALK_MS};
    if (user == XA_LOCAL_SOCKET_ROOT || user == xa_local_socket_user())
        listen_to(&talk);
    else
        send_error(&talk, EPERM, "only its user may control this process, or only root.");
    xa_local_socket_close(peer);
}

/* Until the process has no other thread. */
static void
receive_peers(int listener)
{
    for (;;) {
        unsigned user;
        int peer = xa_local_socket_accept(listener, LOOK_MS, &user);
        if (peer >= 0)
            receive_peer(peer, user);
        else if (peer != XA_LOCAL_SOCKET_LATE)
            xa_os_wait(&state, XA_SERVICE_OPEN, REFUSED_MS);
        if (peer == XA_LOCAL_SOCKET_LATE && xa_local_socket_is_left_alone())
            return;
    }
}

/* ---- The thread ---- */

static void
put_name(struct xa_text *name)
{
    xa_text_put_string(name, "xalloc-ctl/");
    xa_text_put_unsigned(name, xa_os_process_id());
}

static void
serve(void)
{
    char buffer[NAME_BYTES];
    struct xa_text name;
    xa_text_init(&name, buffer, sizeof buffer);
    put_name(&name);
    if (!xa_local_socket_own_table()) {
        complain("the system allows no thread a descriptor table of its own.");
        return;
    }
    int listener = xa_local_socket_listen(buffer);
    if (listener < 0) {
        complain("another process has its name, or the system refuses it.");
        return;
    }
    receive_peers(listener);
    xa_local_socket_close(listener);
}

static void
run(void)
{
    bool is_alone = false;
    while (atomic_load_explicit(&state, memory_order_acquire) == XA_SERVICE_CLOSED && !is_alone) {
        xa_os_wait(&state, XA_SERVICE_CLOSED, LOOK_MS);
        is_alone = xa_local_socket_is_left_alone();
    }
    if (!is_alone)
        serve();
    atomic_store_explicit(&state, XA_SERVICE_ABSENT, memory_order_release);
}

static bool
start_thread(void)
{
    uint32_t first = wanted == XA_SERVICE_AT_ONCE ? XA_SERVICE_OPEN : XA_SERVICE_CLOSED;
    /* The caller is to have its state first: the first one is the process's main thread's. */
    (void)xa_start_thread();
    /* The new thread will hold locks. */
    xa_fork_watch_begin();
    atomic_store_explicit(&state, first, memory_order_release);
    if (xa_thread_start("xalloc-ctl", run))
        return true;
    atomic_store_explicit(&state, XA_SERVICE_ABSENT, memory_order_release);
    return false;
}

/* The thread did not come along. */
static void
in_child(void)
{
    uint32_t before = atomic_exchange_explicit(&state, XA_SERVICE_ABSENT, memory_order_acq_rel);
    if (before != XA_SERVICE_ABSENT && xa_options.ctl_forks)
        (void)start_thread();
}

void
xa_service_start(enum xa_service_start when)
{
    int saved = errno;
    wanted = when;
    if (xa_os_facts.is_secure)
        return;
    if (xa_options.strict_syscalls) {
        complain("\"strict_syscalls\" forbids what it needs. Leave one of the two out.");
        return;
    }
    /* In this order: the heap is repaired in a child before anything is started there. */
    xa_fork_watch_register();
    if (pthread_atfork(NULL, NULL, in_child) != 0 || !start_thread())
        complain("the system refuses a thread.");
    errno = saved;
}

void
xa_service_open(void)
{
    uint32_t closed = XA_SERVICE_CLOSED;
    if (atomic_compare_exchange_strong_explicit(
            &state, &closed, XA_SERVICE_OPEN, memory_order_acq_rel, memory_order_relaxed))
        xa_os_wake_one(&state);
}

enum xa_service_state
xa_service_state(void)
{
    return (enum xa_service_state)atomic_load_explicit(&state, memory_order_acquire);
}
