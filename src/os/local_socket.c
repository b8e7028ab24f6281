/*
 * local_socket.c - see local_socket.h.
 *
 * System calls go through syscall(2), as in os_linux.c: each of libc's functions would cost
 * every process a symbol more to look up when it starts.
 *
 * A table of one's own is what close_range(2) gives, at one go, since Linux 5.9; before,
 * unshare(2) copies the program's descriptors, which are then closed one by one.  In either
 * case the copies are gone at once: what the program closes is closed.
 *
 * Locking: none.
 */
#include "os/local_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/text.h"
#include "os/os.h"

/* Newer than the headers of some systems that have it. */
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
/* Of linux/sched.h, which not every C library brings along. */
#ifndef CLONE_FILES
#define CLONE_FILES 0x400
#endif
#ifndef CLOSE_RANGE_UNSHARE
#define CLOSE_RANGE_UNSHARE (1U << 1)
#endif

enum {
    FIRST_DESCRIPTOR = STDERR_FILENO + 1,
    BACKLOG = 4,
    USUAL_TABLE = 1024,
    MS_A_SECOND = 1000,
    NS_A_MS = 1000000,
};

static long
call(long number, long a, long b, long c, long d, long e)
{
    int saved = errno;
    long result = syscall(number, a, b, c, d, e, 0);
    if (result == -1)
        result = -(long)errno;
    errno = saved;
    return result;
}

/* The number behind a label in a file of a few lines, or `otherwise`. */
static unsigned
number_behind(const char *text, size_t bytes, const char *label, unsigned otherwise)
{
    size_t length = xa_text_string_length(label);
    for (size_t i = 0; i + length < bytes; i++) {
        if (!xa_text_equals(text + i, length, label))
            continue;
        unsigned number = 0;
        for (i += length; i < bytes && text[i] >= '0' && text[i] <= '9'; i++)
            number = number * 10 + (unsigned)(text[i] - '0');
        return number;
    }
    return otherwise;
}

/* How long this thread's table is. */
static unsigned
table_length(void)
{
    char text[2048];
    long bytes = xa_os_read_file("/proc/thread-self/status", text, sizeof text);
    return bytes <= 0 ? USUAL_TABLE : number_behind(text, (size_t)bytes, "FDSize:\t", USUAL_TABLE);
}

bool
xa_local_socket_own_table(void)
{
    if (call(SYS_close_range, FIRST_DESCRIPTOR, UINT_MAX, CLOSE_RANGE_UNSHARE, 0, 0) == 0)
        return true;
    if (call(SYS_unshare, CLONE_FILES, 0, 0, 0, 0) != 0)
        return false;
    unsigned end = table_length();
    for (unsigned i = FIRST_DESCRIPTOR; i < end; i++)
        (void)call(SYS_close, (long)i, 0, 0, 0, 0);
    return true;
}

/* True as soon as one of `events` is there. */
static bool
wait_for(int descriptor, short events, uint64_t milliseconds)
{
    struct pollfd one = {.fd = descriptor, .events = events};
    /* The call takes the host's own form of a time, whatever libc's is. */
    long time[2] = {
        (long)(milliseconds / MS_A_SECOND), (long)(milliseconds % MS_A_SECOND) * NS_A_MS};
    return call(SYS_ppoll, (long)&one, 1, (long)time, 0, 0) == 1;
}

int
xa_local_socket_listen(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = xa_text_string_length(name);
    /* A first byte of 0 makes it a name that is no file. */
    if (length > sizeof address.sun_path - 1)
        return XA_LOCAL_SOCKET_FAILED;
    for (size_t i = 0; i < length; i++)
        address.sun_path[i + 1] = name[i];
    long bytes = (long)(offsetof(struct sockaddr_un, sun_path) + 1 + length);
    long listener = call(SYS_socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, 0, 0);
    if (listener < 0)
        return XA_LOCAL_SOCKET_FAILED;
    if (call(SYS_bind, listener, (long)&address, bytes, 0, 0) != 0 ||
        call(SYS_listen, listener, BACKLOG, 0, 0, 0) != 0) {
        xa_local_socket_close((int)listener);
        return XA_LOCAL_SOCKET_FAILED;
    }
    for (long i = 0; i < FIRST_DESCRIPTOR; i++)
        (void)call(SYS_dup3, listener, i, O_CLOEXEC, 0, 0);
    return (int)listener;
}

int
xa_local_socket_accept(int listener, uint64_t milliseconds, unsigned *user)
{
    struct {
        int process;
        unsigned user;
        unsigned group;
    } peer = {0, UINT_MAX, 0};
    int bytes = sizeof peer;
    if (!wait_for(listener, POLLIN, milliseconds))
        return XA_LOCAL_SOCKET_LATE;
    long accepted = call(SYS_accept4, listener, 0, 0, SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (accepted < 0)
        return XA_LOCAL_SOCKET_FAILED;
    if (call(SYS_getsockopt, accepted, SOL_SOCKET, SO_PEERCRED, (long)&peer, (long)&bytes) != 0) {
        xa_local_socket_close((int)accepted);
        return XA_LOCAL_SOCKET_FAILED;
    }
    *user = peer.user;
    return (int)accepted;
}

long
xa_local_socket_receive(int peer, char *buffer, size_t capacity, uint64_t milliseconds)
{
    if (!wait_for(peer, POLLIN, milliseconds))
        return XA_LOCAL_SOCKET_LATE;
    long got = call(SYS_recvfrom, peer, (long)buffer, (long)capacity, MSG_DONTWAIT, 0);
    return got < 0 ? XA_LOCAL_SOCKET_FAILED : got;
}

bool
xa_local_socket_send(
    int peer, const char *text, size_t bytes, uint64_t milliseconds, uint64_t end_ms)
{
    while (bytes > 0) {
        if (xa_os_now_ms() >= end_ms || !wait_for(peer, POLLOUT, milliseconds))
            return false;
        long sent = call(SYS_sendto, peer, (long)text, (long)bytes, MSG_NOSIGNAL | MSG_DONTWAIT, 0);
        if (sent < 0 && sent != -EAGAIN)
            return false;
        if (sent > 0) {
            text += sent;
            bytes -= (size_t)sent;
        }
    }
    return true;
}

void
xa_local_socket_close(int descriptor)
{
    (void)call(SYS_close, descriptor, 0, 0, 0, 0);
}

unsigned
xa_local_socket_user(void)
{
    enum { AS_ITS_USER = 1 };
    /* As for a debugger: a process that has changed its user may know what that user may not. */
    if (call(SYS_prctl, PR_GET_DUMPABLE, 0, 0, 0, 0) != AS_ITS_USER)
        return XA_LOCAL_SOCKET_ROOT;
#ifdef SYS_geteuid32
    return (unsigned)call(SYS_geteuid32, 0, 0, 0, 0, 0);
#else
    return (unsigned)call(SYS_geteuid, 0, 0, 0, 0, 0);
#endif
}

/*
 * "number (name) state …": the first thread, once it has ended, stays as a zombie for as long as
 * there are others, and counts as one.
 */
bool
xa_local_socket_is_left_alone(void)
{
    enum { THREADS_FIELD = 20, STATE_FIELD = 3, THE_ZOMBIE_AND_US = 2 };
    char text[512];
    long bytes = xa_os_read_file("/proc/self/stat", text, sizeof text), i = bytes - 1;
    unsigned field = STATE_FIELD, threads = 0;
    /* The name may hold anything. */
    while (i > 0 && text[i] != ')')
        i--;
    if (i <= 0 || i + 2 >= bytes || text[i + 2] != 'Z')
        return false;
    for (i += 2; i < bytes && field <= THREADS_FIELD; i++) {
        if (text[i] == ' ')
            field++;
        else if (field == THREADS_FIELD)
            threads = threads * 10 + (unsigned)(text[i] - '0');
    }
    return threads == THE_ZOMBIE_AND_US;
}
