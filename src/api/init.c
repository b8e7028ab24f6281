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
install_signal(void)
{
    if (xa_options.stats_signal == 0)
        return;
    struct sigaction action = {.sa_handler = at_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    (void)sigaction(xa_options.stats_signal, &action, NULL);
}

__attribute__((constructor)) static void
at_load(void)
{
    int saved = errno;
    xa_start_read_environment();
    install_signal();
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
