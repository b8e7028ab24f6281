/*
 * fault.c - see fault.h.
 *
 * The handler reports and takes itself away: the instruction is run again, faults again, and
 * what was there before gets its signal with all that belongs to it: a handler, or the end of the
 * process and its core dump.  Faults elsewhere are none of ours, and are handed on the same way;
 * after that nothing is watched any more, since programs that live on after a SIGSEGV bring a
 * handler of their own, which they would install later than this one.
 *
 * It runs on the alternate signal stack if the thread has one.  libc's sigaction() is called, as
 * programs and libraries that chain handlers replace it.
 */
#include "check/fault.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>

#include "check/guard.h"
#include "os/call_stack.h"
#include "os/message.h"

static struct sigaction before;

static void
at_fault(int number, siginfo_t *info, void *interrupted)
{
    int saved = errno;
    uintptr_t address = (uintptr_t)info->si_addr;
    /* A positive code is the kernel's; else somebody sent the signal, and it has no address. */
    if (info->si_code > 0 && xa_guard_has(address)) {
        uintptr_t frames[XA_CALL_STACK_MAX];
        xa_guard_say_fault(address);
        xa_message_stack("accessed", frames,
            xa_call_stack_capture_interrupted(interrupted, frames, XA_CALL_STACK_MAX));
    }
    (void)sigaction(number, &before, NULL);
    /* What was sent does not come again by itself. */
    if (info->si_code <= 0)
        (void)raise(number);
    errno = saved;
}

void
xa_fault_watch(void)
{
    static _Atomic bool is_watched;
    if (atomic_exchange_explicit(&is_watched, true, memory_order_relaxed))
        return;
    int saved = errno;
    struct sigaction action = {.sa_sigaction = at_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    (void)sigaction(SIGSEGV, &action, &before);
    errno = saved;
}
