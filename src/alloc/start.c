/*
 * start.c - see start.h.
 *
 * The first call may come from the loader, before libc is up and before any
 * constructor ran, and what it calls may be another library's, preloaded like us,
 * that allocates in turn.  So everything here works on data that is valid from the
 * start.  Of libc it calls two things: it reads the auxiliary vector, and, once
 * malloc works, it makes the key that tells of a thread's end.
 *
 * Settings come from five places; a later one overrides an earlier one: what is
 * built in, the program's own `malloc_conf` and then `xalloc_conf`, /etc/xalloc.conf, the
 * environment.  There glibc's variables come first, and then XALLOC_CONF, or without it
 * MALLOC_CONF.
 */
#include "alloc/start.h"

#include "alloc/fork.h"
#include "arena/arena.h"
#include "arena/private_arena.h"
#include "base/assert.h"
#include "check/check.h"
#include "config/glibc_settings.h"
#include "config/jemalloc_settings.h"
#include "config/options.h"
#include "extent/metadata.h"
#include "os/cpu_count.h"
#include "os/fork_watch.h"
#include "os/lock.h"
#include "os/message.h"
#include "os/os.h"
#include "os/thread_exit.h"
#include "page/limit.h"
#include "page/page_purge.h"
#include "thread/background.h"
#include "thread/cache_purge.h"
#include "thread/huge_stock.h"
#include "thread/pressure.h"
#include "thread/thread_cache.h"

enum {
    CPUS_FOR_ONE = 2,     /* processors that one arena is enough for; */
    ARENAS_ONE_A_CPU = 4, /* up to here an arena for each processor, */
    CPUS_AN_ARENA = 8,    /* beyond it one for so many */
    CONFIG_FILE_BYTES = 4096,
    EXIT_ROUNDS = 2, /* calls at a thread's end until its state is given up */
};

#define CONFIG_FILE "/etc/xalloc.conf"

/* A program may define its own. */
XA_EXPORT XA_WEAK const char *xalloc_conf = NULL;

/* The same for jemalloc. */
XA_EXPORT XA_WEAK const char *malloc_conf = NULL;
XA_EXPORT XA_WEAK const char *malloc_conf_2_conf_harder = NULL;

const char *xa_start_malloc_conf;

unsigned xa_start_cached_class_max;

static struct {
    struct xa_lock lock;
    _Atomic bool is_ready;
    bool has_environment;     /* [i] it has been read */
    _Atomic bool has_key;     /* [a] the notice of threads' ends is asked for */
    _Atomic bool has_first;   /* [a] a thread has come */
    _Atomic bool has_threads; /* [a] a second thread has come */
} start = {.lock.rank = XA_LOCK_RANK_INIT};

/* The settings' file; not on the stack, of which a small program would touch a page more for it. */
XA_BULKY char xa_start_file[CONFIG_FILE_BYTES];

static void
report_option(void *context, const char *line)
{
    (void)context;
    xa_message_pointer(NULL, NULL, line + sizeof "xalloc: " - 1);
}

static bool
read_file(void)
{
    long bytes = xa_os_read_file(CONFIG_FILE, xa_start_file, sizeof xa_start_file - 1);
    if (bytes < 0)
        return true;
    xa_start_file[bytes] = '\0';
    return xa_options_parse(&xa_options, xa_start_file, CONFIG_FILE, report_option, NULL);
}

/* The program's own settings, and the machine's. */
static bool
read_built_in(void)
{
    bool all_right = xa_options_parse(&xa_options, xalloc_conf, "xalloc_conf", report_option, NULL);
    all_right &= read_file();
    if (!xa_options.malloc_conf || (malloc_conf == NULL && malloc_conf_2_conf_harder == NULL))
        return all_right;
    /* These come first, but the others decide whether they count. */
    xa_options_set_defaults(&xa_options);
    xa_jemalloc_settings_apply(&xa_options, malloc_conf);
    xa_jemalloc_settings_apply(&xa_options, malloc_conf_2_conf_harder);
    (void)xa_options_parse(&xa_options, xalloc_conf, "", NULL, NULL);
    (void)xa_options_parse(&xa_options, xa_start_file, "", NULL, NULL);
    return all_right;
}

static void
stop_if_wrong(bool all_right)
{
    if (!all_right && xa_options.abort_conf)
        xa_message_fatal(NULL, NULL,
            "stopped because of a wrong option, as \"abort_conf\" asks. "
            "Mend the option or leave \"abort_conf\" out.");
}

static void
read_environment(void)
{
    if (start.has_environment || !xa_os_environment_is_ready())
        return;
    start.has_environment = true;
    bool all_right = xa_glibc_settings_apply(&xa_options, xa_os_environment, report_option, NULL);
    const char *own = xa_os_environment("XALLOC_CONF");
    if (own == NULL && xa_options.malloc_conf) {
        const char *other = xa_os_environment("MALLOC_CONF");
        /* Else neither its code nor the variable's page need be touched. */
        if (other != NULL) {
            xa_start_malloc_conf = other;
            xa_jemalloc_settings_apply(&xa_options, other);
        }
    }
    all_right &= xa_options_parse(&xa_options, own, "XALLOC_CONF", report_option, NULL);
    all_right &= xa_options_settle(&xa_options, report_option, NULL);
    /* A copy: the program may change its environment while the purging thread reads it. */
    xa_pressure_set_watch(xa_os_environment("MEMORY_PRESSURE_WATCH"));
    stop_if_wrong(all_right);
}

unsigned
xa_start_arena_count(void)
{
    unsigned count = xa_options.narenas;
    if (count == 0) {
        count = xa_cpu_count_usable(2);
        if (count <= CPUS_FOR_ONE)
            count = 1;
        else if (count > ARENAS_ONE_A_CPU)
            count = ARENAS_ONE_A_CPU + (count - ARENAS_ONE_A_CPU) / CPUS_AN_ARENA;
    }
    if (xa_options.arena_cap != 0 && count > xa_options.arena_cap)
        count = xa_options.arena_cap;
    return count < XA_ARENAS_MAX ? count : XA_ARENAS_MAX;
}

/* What follows from the options. */
static void
apply_options(void)
{
    atomic_store_explicit(
        &xa_page_purge_dirty_max_bytes, xa_options.dirty_max_bytes, memory_order_relaxed);
    atomic_store_explicit(
        &xa_thread_cache_budget.bytes, xa_options.thread_caches_max_bytes, memory_order_relaxed);
    /* What is impossible is left out until all is read, and then reported. */
    (void)!xa_limit_set(xa_options.memory_limit_soft, xa_options.memory_limit_hard);
    bool is_plain = !xa_options.zero && xa_options.junk == XA_JUNK_NONE && !xa_check_start();
    xa_start_cached_class_max = 0;
    if (xa_options.thread_cache && is_plain)
        for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++)
            if (xa_size_class_table[c].object_bytes <= xa_options.thread_cache_max_bytes)
                xa_start_cached_class_max = c;
    /* Large objects that are fenced are looked at when they are freed, whatever their size. */
    bool has_fences = xa_check_is_on() && xa_options.check != XA_CHECK_SAMPLE;
    bool has_stock = xa_start_cached_class_max == XA_SMALL_CLASSES && !has_fences;
    xa_large_stock_max_bytes = has_stock ? xa_options.thread_cache_max_bytes : 0;
    /* Else it waits for a second thread, unless the environment came later than that. */
    if (xa_options.narenas != 0 || atomic_load_explicit(&start.has_threads, memory_order_relaxed))
        xa_arena_set_limit(xa_start_arena_count());
}

static void
at_thread_exit(void *argument)
{
    struct xa_thread_state *state = argument, *entered;
    /* The purger, if it is at the caches just now, is done with them in microseconds. */
    while (xa_start_enter(&entered) && entered == NULL)
        xa_os_yield();
    xa_thread_cache_flush(state);
    xa_start_leave(state);
    /*
     * Destructors of other keys may still free and allocate: stay for one more round.
     * Not for all, since a thread may come here late, by its first call in one of them.
     */
    if (++state->exit_round < EXIT_ROUNDS) {
        /* Refused for want of memory only: then it was its last round. */
        if (xa_thread_exit_arm(state))
            return;
    }
    if (state->bound_arena != 0)
        xa_private_arena_unbind(state->bound_arena);
    xa_thread_state_self = XA_THREAD_STATE_ENDED;
    xa_arena_leave(state->arena);
    xa_thread_state_return(state);
}

static void
in_child(void)
{
    bool had_purger = xa_background_is_there();
    xa_background_reset_in_child();
    xa_cache_purge_reset_in_child();
    /* The process's only thread forked: nobody else can have held a lock. */
    const struct xa_thread_state *self = xa_thread_state_self;
    bool was_alone = !atomic_load_explicit(&start.has_threads, memory_order_relaxed);
    if (was_alone && !had_purger && xa_thread_state_is_real(self) && self->is_unarmed) {
        xa_thread_state_renumber(xa_thread_state_self);
        return;
    }
    xa_fork_in_child();
}

/*
 * Ask for notice of a thread's end; at its next slow path again if another thread is still making
 * the key.  First as if it were done: what libc does for it may allocate.
 */
static void
arm(struct xa_thread_state *state)
{
    state->is_unarmed = false;
    state->is_unarmed = !xa_thread_exit_arm(state);
}

/*
 * The process's first thread lives as long as the process, as a rule.  With the
 * second one begins what only threads need; should the first end early all the same,
 * it will have asked for notice at its next slow path.
 */
static void
begin_thread(struct xa_thread_state *state, bool is_first)
{
    state->is_unarmed = is_first;
    if (is_first)
        return;
    arm(state);
    xa_fork_watch_register();
}

/* A second thread is about to begin. */
static void
expect_threads(void)
{
    xa_fork_watch_begin();
    if (atomic_exchange_explicit(&start.has_threads, true, memory_order_seq_cst))
        return;
    /* For one thread an arena is enough, and nobody need ask for the processors. */
    xa_arena_set_limit(xa_start_arena_count());
}

void
xa_start_process(void)
{
    /* Acquire: whoever finds it ready finds all that it stands for. */
    if (XA_LIKELY(atomic_load_explicit(&start.is_ready, memory_order_acquire)))
        return;
    xa_lock_lock(&start.lock);
    if (!atomic_load_explicit(&start.is_ready, memory_order_relaxed)) {
        xa_os_init();
        xa_assert_report = xa_message_assert;
        xa_size_class_init(xa_os_facts.page_bytes);
        stop_if_wrong(read_built_in());
        read_environment();
        xa_arena_init();
        apply_options();
        xa_fork_watch_init(in_child);
        atomic_store_explicit(&start.is_ready, true, memory_order_release);
    }
    xa_lock_unlock(&start.lock);
    /* libc's part comes last and without the lock: it may be interposed, and allocate. */
    if (!atomic_exchange_explicit(&start.has_key, true, memory_order_relaxed))
        xa_thread_exit_init(at_thread_exit);
}

static void
print_options(void)
{
    for (size_t i = 0; i < xa_options_row_count; i++) {
        char line[2 * XA_OPTION_TEXT_MAX];
        struct xa_text text;
        xa_text_init(&text, line, sizeof line);
        xa_text_put_string(&text, "option ");
        xa_text_put_string(&text, xa_options_rows[i].name);
        xa_text_put_char(&text, ':');
        xa_options_put_value(&xa_options, &xa_options_rows[i], &text);
        xa_message_pointer(NULL, NULL, line);
    }
}

/* What was cached before the options were known may be more than they allow. */
static XA_COLD void
flush_late(void)
{
    struct xa_thread_state *state;
    if (!xa_thread_state_is_real(xa_thread_state_self) || !xa_start_enter(&state))
        return;
    if (state != NULL)
        xa_thread_cache_flush(state);
    xa_start_leave(state);
    /* Other threads ask again before they keep something large. */
    for (struct xa_thread_state *at = xa_thread_state_all(); at != NULL; at = at->next) {
        atomic_store_explicit(&at->stock_hot_max, 0, memory_order_relaxed);
        (void)xa_huge_stock_empty(at, XA_LARGE_STOCK_ALL);
    }
}

void
xa_start_read_environment(void)
{
    xa_start_process();
    xa_lock_lock(&start.lock);
    bool is_late = !start.has_environment;
    read_environment();
    if (is_late)
        apply_options();
    xa_lock_unlock(&start.lock);
    if (is_late)
        flush_late();
    if (xa_options.confirm_conf)
        print_options();
}

struct xa_thread_state *
xa_start_thread(void)
{
    struct xa_thread_state *state = xa_thread_state_self;
    xa_fork_watch_check();
    if (XA_LIKELY(xa_thread_state_is_real(state))) {
        xa_fork_watch_expect();
        if (state->is_unarmed &&
            XA_UNLIKELY(atomic_load_explicit(&start.has_threads, memory_order_relaxed)))
            arm(state);
        return state;
    }
    xa_start_process();
    xa_fork_watch_expect();
    if (state == XA_THREAD_STATE_ENDED)
        return NULL;
    /* Before this thread takes its first lock: a child has to know that there may be two. */
    bool is_first = !atomic_exchange_explicit(&start.has_first, true, memory_order_relaxed);
    if (!is_first)
        expect_threads();
    state = xa_thread_state_take();
    if (state == NULL)
        return NULL;
    state->arena = xa_arena_assign();
    /* From here on the thread can allocate: what follows may do so. */
    xa_thread_state_self = state;
    xa_thread_state_claim(state);
    begin_thread(state, is_first);
    return state;
}

bool
xa_start_enter(struct xa_thread_state **state)
{
    *state = xa_start_thread();
    if (*state == NULL)
        return true;
    if (atomic_load_explicit(&(*state)->is_inside, memory_order_relaxed))
        return false;
    /*
     * Before the look at the purger, also for a signal handler of ours.  The processor may
     * turn the two round: see cache_purge.c for why that does no harm.
     */
    atomic_store_explicit(&(*state)->is_inside, true, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
    if (XA_LIKELY(xa_cache_purge_settle(*state)))
        return true;
    xa_start_leave(*state);
    *state = NULL;
    return true;
}

void
xa_start_leave(struct xa_thread_state *state)
{
    /* Release: the purger finds the caches whole. */
    if (state != NULL)
        atomic_store_explicit(&state->is_inside, false, memory_order_release);
    xa_background_poke();
}
