/*
 * init.c - what happens when the library is loaded and when the process ends.
 *
 * Nothing here is needed for malloc to work: the first call of it starts
 * everything (alloc/start.c).  This is what has to wait until libc is up.
 */
#include "api/init.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>

#include "alloc/allocate.h"
#include "alloc/start.h"
#include "check/check.h"
#include "config/options.h"
#include "control/outlet.h"
#include "control/service.h"
#include "os/os.h"

const char xa_init_is_linked = 1;

static void
at_signal(int number)
{
    (void)number;
    int saved = errno;
    xa_outlet_report(" at a signal", xa_options.stats_print_opts);
    errno = saved;
}

static void
note_allocated(size_t bytes)
{
    int saved = errno;
    xa_outlet_note_allocated(bytes);
    errno = saved;
}

static void
at_control_signal(int number)
{
    (void)number;
    int saved = errno;
    xa_service_open();
    errno = saved;
}

static void
install_signal(int number, void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    (void)sigaction(number, &action, NULL);
}

static XA_COLD XA_NOINLINE void
start_service(void)
{
    xa_service_start(xa_options.ctl_socket ? XA_SERVICE_AT_ONCE : XA_SERVICE_ON_DEMAND);
    if (xa_options.ctl_signal != 0 && xa_service_state() != XA_SERVICE_ABSENT)
        install_signal(xa_options.ctl_signal, at_control_signal);
}

__attribute__((constructor)) static void
at_load(void)
{
    int saved = errno;
    xa_start_read_environment();
    if (xa_options.stats_signal != 0)
        install_signal(xa_options.stats_signal, at_signal);
    if (xa_options.ctl_socket || xa_options.ctl_signal != 0)
        start_service();
    if (xa_options.stats_interval != SIZE_MAX)
        atomic_store_explicit(&xa_allocate_note, note_allocated, memory_order_relaxed);
    if (xa_options.stats_print && xa_options.stats_file[0] == '\0')
        xa_os_keep_error();
    errno = saved;
}

__attribute__((destructor)) static void
at_end(void)
{
    struct xa_thread_state *state;
    /* What was written to after its free, and would not be found any more. */
    if (xa_check_is_on() && xa_start_enter(&state)) {
        (void)xa_check_empty_quarantine();
        xa_start_leave(state);
    }
    if (xa_options.stats_print)
        xa_outlet_report(" at exit", xa_options.stats_print_opts);
}
