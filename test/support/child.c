/*
 * child.c - run something in a child under a deadline, and look at our own process.
 *
 * A child gets its own process group, so that its descendants can be killed with it, and it dies
 * with its parent.  The parent reads both pipes until they are closed or the child has ended,
 * whichever comes first: a descendant that keeps a pipe open must not hold up the test.
 */
#define _GNU_SOURCE

#include "child.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"

struct capture {
    int descriptor;
    char *text;
    size_t length;
};

static void
sleep_microseconds(long microseconds)
{
    const struct timespec pause = {0, microseconds * 1000};

    nanosleep(&pause, NULL);
}

static void
write_text(const char *text)
{
    size_t length = strlen(text);

    /* There is nobody to tell if stderr itself is gone. */
    if (write(STDERR_FILENO, text, length) < 0)
        return;
}

/* Read what is there.  Returns false once the other side has been closed. */
static bool
read_available(struct capture *capture)
{
    char dropped[4096];

    for (;;) {
        size_t room = XA_CHILD_CAPTURE_BYTES - 1 - capture->length;
        char *target = room > 0 ? capture->text + capture->length : dropped;
        ssize_t count = read(capture->descriptor, target, room > 0 ? room : sizeof(dropped));

        if (count == 0)
            return false;
        if (count < 0)
            return errno == EAGAIN || errno == EINTR;
        if (room > 0)
            capture->length += (size_t)count;
        capture->text[capture->length] = '\0';
    }
}

static void
read_until(struct capture captures[2], pid_t pid, double deadline, int *status, bool *ended)
{
    bool open[2] = {true, true};

    while (!*ended && xa_clock_seconds() < deadline) {
        struct pollfd files[2] = {
            {open[0] ? captures[0].descriptor : -1, POLLIN, 0},
            {open[1] ? captures[1].descriptor : -1, POLLIN, 0},
        };

        poll(files, 2, open[0] || open[1] ? 20 : 1);
        for (int i = 0; i < 2; i++) {
            if (open[i])
                open[i] = read_available(&captures[i]);
        }
        *ended = waitpid(pid, status, WNOHANG) == pid;
    }
    for (int i = 0; i < 2; i++)
        read_available(&captures[i]);
}

static void
finish(struct xa_child_result *result, pid_t pid, const int pipes[2], unsigned seconds)
{
    struct capture captures[2] = {{pipes[0], result->output, 0}, {pipes[1], result->errors, 0}};
    int status = 0;
    bool ended = false;

    result->output[0] = result->errors[0] = '\0';
    read_until(captures, pid, xa_clock_seconds() + seconds, &status, &ended);
    result->timed_out = !ended;
    kill(-pid, SIGKILL);
    if (!ended)
        waitpid(pid, &status, 0);
    close(pipes[0]);
    close(pipes[1]);
    result->exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    result->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void
become_child(const int output[2], const int errors[2])
{
    static const int cmocka_signals[] = {SIGFPE, SIGILL, SIGSEGV, SIGBUS, SIGSYS, SIGALRM};

    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(output[1], STDOUT_FILENO);
    dup2(errors[1], STDERR_FILENO);
    close(output[0]);
    close(output[1]);
    close(errors[0]);
    close(errors[1]);
    /* cmocka's handlers would go on with the next test, in the child. */
    for (size_t i = 0; i < sizeof(cmocka_signals) / sizeof(cmocka_signals[0]); i++)
        signal(cmocka_signals[i], SIG_DFL);
}

/* Fork with both pipes in place.  Returns 0 in the child; fills `read_ends` in the parent. */
static pid_t
fork_with_pipes(int read_ends[2])
{
    int output[2];
    int errors[2];
    pid_t pid;

    if (pipe2(output, O_CLOEXEC) != 0 || pipe2(errors, O_CLOEXEC) != 0)
        fail_msg("pipe: %s", strerror(errno));
    fflush(stdout);
    fflush(stderr);
    pid = fork();
    if (pid < 0)
        fail_msg("fork: %s", strerror(errno));
    if (pid == 0) {
        become_child(output, errors);
        return 0;
    }
    /* Both sides do it, so that the group exists whoever comes first. */
    setpgid(pid, pid);
    close(output[1]);
    close(errors[1]);
    fcntl(output[0], F_SETFL, O_NONBLOCK);
    fcntl(errors[0], F_SETFL, O_NONBLOCK);
    read_ends[0] = output[0];
    read_ends[1] = errors[0];
    return pid;
}

void
xa_child_call(
    struct xa_child_result *result, unsigned seconds, int (*function)(void *), void *argument)
{
    int read_ends[2];
    pid_t pid = fork_with_pipes(read_ends);

    if (pid == 0) {
        int code = function(argument);

        /* stdout belongs to the child alone here, and holds what the function printed. */
        fflush(stdout);
        _exit(code);
    }
    finish(result, pid, read_ends, seconds);
}

static bool
names_same_variable(const char *entry, const char *change)
{
    size_t length = strcspn(change, "=");

    return strncmp(entry, change, length) == 0 && entry[length] == '=';
}

/* Our environment with `changes` applied, in `entries`, which has room for `count_max` pointers. */
static void
build_environment(const char **entries, size_t count_max, const char *const *changes)
{
    size_t count = 0;

    for (char **entry = environ; *entry != NULL && count < count_max - 1; entry++) {
        bool changed = false;

        for (const char *const *change = changes; *change != NULL; change++)
            changed = changed || names_same_variable(*entry, *change);
        if (!changed)
            entries[count++] = *entry;
    }
    for (const char *const *change = changes; *change != NULL && count < count_max - 1; change++) {
        if (strchr(*change, '=') != NULL)
            entries[count++] = *change;
    }
    entries[count] = NULL;
}

bool
xa_child_is_emulated(void)
{
    return getenv("XALLOC_EMULATOR") != NULL;
}

void
xa_child_skip_if_emulated(const char *reason)
{
    if (!xa_child_is_emulated())
        return;
    print_message("skipped: %s\n", reason);
    skip();
}

/* The emulator that runs programs of this processor, if we are in one and `path` is such a program. */
static const char *
emulator_of(const char *path)
{
    enum { MACHINE = 18, HEADER = 20 }; /* in the header of an ELF file */
    const char *files[] = {xa_child_own_path(), path};
    char headers[2][HEADER];

    for (int i = 0; i < 2; i++) {
        int file = open(files[i], O_RDONLY | O_CLOEXEC);
        bool is_read = file >= 0 && read(file, headers[i], HEADER) == HEADER;

        if (file >= 0)
            close(file);
        if (!is_read)
            return NULL;
    }
    return memcmp(headers[0] + MACHINE, headers[1] + MACHINE, 2) == 0 ? getenv("XALLOC_EMULATOR")
                                                                      : NULL;
}

void
xa_child_run(
    struct xa_child_result *result, unsigned seconds, const struct xa_child_command *command)
{
    enum { ENTRIES_MAX = 1024, ARGUMENTS_MAX = 32 };
    static const char *const no_changes[] = {NULL};
    const char *entries[ENTRIES_MAX];
    const char *arguments[ARGUMENTS_MAX];
    const char *path = command->arguments[0] != NULL ? command->arguments[0] : xa_child_own_path();
    const char *emulator = xa_child_is_emulated() ? emulator_of(path) : NULL;
    int read_ends[2];
    size_t count = 0;
    pid_t pid;

    if (emulator != NULL)
        arguments[count++] = emulator;
    arguments[count++] = path;
    for (size_t i = 1; command->arguments[i] != NULL && count < ARGUMENTS_MAX - 1; i++)
        arguments[count++] = command->arguments[i];
    arguments[count] = NULL;
    if (emulator != NULL)
        path = emulator;
    build_environment(
        entries, ENTRIES_MAX, command->environment != NULL ? command->environment : no_changes);
    pid = fork_with_pipes(read_ends);
    if (pid == 0) {
        if (command->before_exec != NULL)
            command->before_exec();
        execve(path, (char **)arguments, (char **)entries);
        _exit(XA_CHILD_CANNOT_RUN);
    }
    finish(result, pid, read_ends, seconds);
}

void
xa_child_run_mode(
    struct xa_child_result *result, unsigned seconds, const char *mode, const char *change)
{
    const char *const arguments[] = {NULL, mode, NULL};
    const char *const environment[] = {change, NULL};
    const struct xa_child_command command = {arguments, environment, NULL};

    xa_child_run(result, seconds, &command);
}

void
xa_child_assert_success(const struct xa_child_result *result)
{
    if (!result->timed_out && result->exit_code == 0)
        return;
    fail_msg("the child %s (exit code %d, signal %d %s); stdout: %s; stderr: %s",
        result->timed_out ? "hung and was killed" : "failed", result->exit_code, result->signal,
        result->signal != 0 ? strsignal(result->signal) : "", result->output, result->errors);
}

pid_t
xa_child_fork_bare(void)
{
    /* The kernel's own order of arguments; nothing is shared with the child. */
#if defined(__s390__)
    return (pid_t)syscall(SYS_clone, 0, SIGCHLD, 0, 0, 0);
#else
    return (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
#endif
}

int
xa_child_wait(pid_t pid, unsigned seconds)
{
    double deadline = xa_clock_seconds() + seconds;
    long pause_us = 50;
    int status;

    for (;;) {
        pid_t got = waitpid(pid, &status, WNOHANG);

        if (got == pid)
            return status;
        if (got < 0 && errno != EINTR)
            return -1;
        if (xa_clock_seconds() > deadline)
            break;
        sleep_microseconds(pause_us);
        if (pause_us < 5000)
            pause_us += pause_us / 4;
    }
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    return -1;
}

void
xa_child_check(bool holds, const char *file, int line, const char *text)
{
    char number[16];
    size_t position = sizeof(number) - 1;

    if (holds)
        return;
    /* No stdio: the process may be a fork of one whose stream locks were held. */
    number[position] = '\0';
    do {
        number[--position] = (char)('0' + line % 10);
        line /= 10;
    } while (line > 0);
    write_text(file);
    write_text(":");
    write_text(number + position);
    write_text(": does not hold: ");
    write_text(text);
    write_text("\n");
    _exit(XA_CHILD_CHECK_FAILED);
}

static void
report_hang(int signal_number)
{
    (void)signal_number;
    write_text("watchdog: the test program hangs, or is far too slow; ended\n");
    _exit(124);
}

void
xa_child_start_watchdog(unsigned seconds)
{
    signal(SIGALRM, report_hang);
    alarm(seconds);
}

bool
xa_child_limit(int resource, size_t bytes)
{
    struct rlimit limit;

    if (getrlimit(resource, &limit) != 0)
        return false;
    limit.rlim_cur = bytes > limit.rlim_max ? limit.rlim_max : bytes;
    return setrlimit(resource, &limit) == 0;
}

const char *
xa_child_own_path(void)
{
    static char path[PATH_MAX];

    if (path[0] == '\0') {
        ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);

        if (length <= 0)
            fail_msg("readlink /proc/self/exe: %s", strerror(errno));
    }
    return path;
}

static const char *
path_of_malloc(void)
{
    /*
     * Through a volatile pointer, since an address constant could be a PLT entry of this program.
     */
    void *address = dlsym(RTLD_DEFAULT, "malloc");
    Dl_info info;

    if (address == NULL)
        address = (void *)(uintptr_t)malloc;
    if (dladdr(address, &info) == 0 || info.dli_fname == NULL)
        return "unknown";
    return info.dli_fname;
}

void
xa_child_print_allocator(void)
{
    printf("# malloc is from %s\n", path_of_malloc());
    fflush(stdout);
}

int
xa_child_check_allocator(void **state)
{
    const char *wanted = getenv("XALLOC_LIBRARY");
    char wanted_path[PATH_MAX];
    char actual_path[PATH_MAX];

    (void)state;
    xa_child_print_allocator();
    if (wanted == NULL || realpath(wanted, wanted_path) == NULL)
        return 0;
    if (realpath(path_of_malloc(), actual_path) == NULL)
        return 0;
    if (strcmp(wanted_path, actual_path) == 0 || strcmp(actual_path, xa_child_own_path()) == 0)
        return 0;
    print_error("malloc is from %s, not from XALLOC_LIBRARY=%s\n", actual_path, wanted_path);
    return -1;
}

bool
xa_child_is_instrumented(void)
{
    const char *preload = getenv("LD_PRELOAD");

    if (xa_child_is_emulated())
        return true;
    if (dlsym(RTLD_DEFAULT, "__asan_init") != NULL || dlsym(RTLD_DEFAULT, "__tsan_init") != NULL)
        return true;
    return preload != NULL && strstr(preload, "vgpreload") != NULL;
}

unsigned
xa_child_threads(void)
{
    DIR *directory = opendir("/proc/self/task");
    unsigned count = 0;

    XA_CHILD_CHECK(directory != NULL);
    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    /* Without the folder and its parent, and the thread that an emulator has of its own. */
    return count - 2 - (xa_child_is_emulated() ? 1 : 0);
}

/* Field `index` of /proc/self/statm, in bytes. */
static size_t
statm_bytes(int index)
{
    char text[256];
    char *cursor = text;
    int file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t length = file < 0 ? -1 : read(file, text, sizeof(text) - 1);
    size_t pages = 0;

    if (file >= 0)
        close(file);
    if (length <= 0)
        return 0;
    text[length] = '\0';
    for (int i = 0; i <= index; i++)
        pages = strtoul(cursor, &cursor, 10);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

size_t
xa_child_resident_bytes(void)
{
    return statm_bytes(1);
}

size_t
xa_child_virtual_bytes(void)
{
    return statm_bytes(0);
}
