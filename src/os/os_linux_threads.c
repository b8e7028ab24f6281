/*
 * os_linux_threads.c - the part of os.h that is about threads, on Linux.
 *
 * What another thread does is read from files below /proc/self.
 */
#include "os/os_linux.h"

#include <time.h>

#include "base/bits.h"
#include "base/text.h"

/* Of linux/futex.h, which C libraries do not bring along. */
enum { FUTEX_WAIT_PRIVATE = 128, FUTEX_WAKE_PRIVATE = 129 };

/* False as soon as there is a second thread; absent before glibc 2.32. */
extern char __libc_single_threaded XA_WEAK;

unsigned
xa_os_affinity_count(void)
{
    /* 8192 processors; the kernel refuses a mask that is shorter than its own. */
    uint64_t mask[128];
    long bytes = xa_os_linux_call(SYS_sched_getaffinity, 0, sizeof mask, (long)mask, 0, 0, 0);
    unsigned count = 0;
    for (long i = 0; i < bytes / (long)sizeof mask[0]; i++)
        count += xa_bits_count(mask[i]);
    return count > 0 ? count : 1;
}

void
xa_os_wait(_Atomic uint32_t *word, uint32_t expected, uint64_t milliseconds)
{
    struct timespec time = {
        .tv_sec = (time_t)(milliseconds / 1000), .tv_nsec = (long)(milliseconds % 1000) * 1000000};
    xa_os_linux_call(SYS_futex, (long)word, FUTEX_WAIT_PRIVATE, (long)expected, (long)&time, 0, 0);
}

bool
xa_os_is_alone(void)
{
    return &__libc_single_threaded != NULL && __libc_single_threaded;
}

unsigned
xa_os_thread_number(void)
{
    /* The only thread that there is is the main one: no need to ask the kernel. */
    if (xa_os_is_alone())
        return XA_OS_MAIN_THREAD;
    return (unsigned)xa_os_linux_call(SYS_gettid, 0, 0, 0, 0, 0, 0);
}

/* The beginning of a thread's file NAME below /proc/self; the characters read, 0 if there are none. */
static size_t
read_of_thread(unsigned number, const char *name, char *buffer, size_t capacity)
{
    char path[64];
    struct xa_text text;
    xa_text_init(&text, path, sizeof path);
    xa_text_put_string(&text, "/proc/self");
    if (number != XA_OS_MAIN_THREAD) {
        xa_text_put_string(&text, "/task/");
        xa_text_put_unsigned(&text, number);
    }
    xa_text_put_string(&text, name);
    long bytes = xa_os_read_file(path, buffer, capacity);
    return bytes > 0 ? (size_t)bytes : 0;
}

/*
 * The number behind `label`, a line's beginning, at or after `*from`, to `base`; `*from` is
 * moved behind it.  False if it is not there.
 */
static bool
find_number(const char **from, const char *end, const char *label, unsigned base, uint64_t *value)
{
    size_t length = xa_text_string_length(label);
    for (const char *line = *from; line < end; line++) {
        if ((size_t)(end - line) > length && xa_text_equals(line, length, label)) {
            *value = 0;
            for (line += length; line < end && *line != '\n'; line++)
                *value = *value * base + (uint64_t)(*line <= '9' ? *line - '0' : *line - 'a' + 10);
            *from = line;
            return true;
        }
        while (line < end && *line != '\n')
            line++;
    }
    return false;
}

struct thread_status {
    uint64_t sleeps; /* times that the thread has fallen asleep */
    bool may_handle; /* it blocks a signal that the process handles */
};

static bool
read_status(unsigned number, struct thread_status *status)
{
    char text[4096];
    uint64_t blocked = 0, caught = 0;
    const char *from = text, *end = text + read_of_thread(number, "/status", text, sizeof text);
    bool is_whole = find_number(&from, end, "SigBlk:\t", 16, &blocked) &&
        find_number(&from, end, "SigCgt:\t", 16, &caught) &&
        find_number(&from, end, "voluntary_ctxt_switches:\t", 10, &status->sleeps);
    status->may_handle = (blocked & caught) != 0;
    return is_whole;
}

/* True if a thread in this call waits for a child that may run in its place (vfork). */
static bool
may_lend_its_memory(long call_number)
{
    switch (call_number) {
    case SYS_clone:
#ifdef SYS_clone3
    case SYS_clone3:
#endif
#ifdef SYS_vfork
    case SYS_vfork:
#endif
        return true;
    default: return false;
    }
}

/*
 * The file says "running", or "-1 …" where the thread waits for a page, or the call's number
 * and arguments.  To say so the kernel takes the lock of the queue that the thread will be
 * woken on, and so orders the thread's work before and after its sleep with ours.
 */
bool
xa_os_thread_rests(unsigned number)
{
    char text[8];
    long call_number = 0;
    size_t bytes = read_of_thread(number, "/syscall", text, sizeof text), i = 0;
    for (; i < bytes && text[i] >= '0' && text[i] <= '9'; i++)
        call_number = call_number * 10 + (text[i] - '0');
    return i > 0 && !may_lend_its_memory(call_number);
}

bool
xa_os_thread_sleeps(unsigned number)
{
    /*
     * Four looks, since no one tells all at the same moment.  If the thread is asleep at
     * the third and has not fallen asleep anew from the first to the last, then it has
     * slept since before the first, and the signals were read during that very sleep.
     */
    struct thread_status before = {0}, during = {0}, after = {0};
    return read_status(number, &before) && read_status(number, &during) && !during.may_handle &&
        xa_os_thread_rests(number) && read_status(number, &after) && before.sleeps == after.sleeps;
}

void
xa_os_wake_one(_Atomic uint32_t *word)
{
    xa_os_linux_call(SYS_futex, (long)word, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0);
}

void
xa_os_yield(void)
{
    xa_os_linux_call(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
}
