/*
 * background.c - see background.h.
 *
 * The thread starts with the first slow path that ends while more than START_BYTES
 * are dirty in the process (fewer in a process that has threads anyway), outside all
 * locks, and not before libc is up.  A small program therefore never gets one, and
 * one that must stay single-threaded (to enter a user namespace, say) is small.
 * Without the thread, because it is switched off or refused, memory is given back on
 * slow paths: page_heap.c purges when it frees.
 *
 * It wakes a few times in a decay period as long as something is dirty; looks for
 * idle threads' caches and depots three times in one; and sleeps when a look found nothing
 * left to do, until a slow path wakes it.  If none does for some seconds it ends, and is
 * started anew when it is wanted: a program at rest has only its own threads.  A forked
 * child starts one only when it has made enough to give back itself.
 *
 * Under memory pressure (pressure.h) the decay time is shorter, and its periods with it.
 * Beyond the soft limit (page/limit.h) it gives back at once all that is unused, caches
 * of sleeping threads included: when the limit is passed, and then at most once a
 * second, since a program whose live memory is beyond the limit gains nothing by more.
 *
 * Locking: none of its own.  `state` changes: ABSENT → AWAKE by whoever starts it,
 * AWAKE → ASLEEP by itself, ASLEEP → AWAKE by whoever wakes it.
 */
#include "thread/background.h"

#include "arena/arena.h"
#include "arena/private_arena.h"
#include "arena/slab_purge.h"
#include "config/options.h"
#include "os/fork_watch.h"
#include "os/os.h"
#include "os/thread.h"
#include "page/huge.h"
#include "page/limit.h"
#include "page/page_purge.h"
#include "thread/cache_purge.h"
#include "thread/huge_stock.h"
#include "thread/pressure.h"
#include "thread/thread_cache.h"

enum {
    START_BYTES_ALONE = 4 * 1024 * 1024,
    START_BYTES_WITH_THREADS = 512 * 1024,
    WAKES_PER_DECAY = 16,
    LOOKS_PER_DECAY = 3,
    WAKE_MS_MIN = 10,
    WAKE_MS_MAX = 1000, /* with signals to look at, which come without a call */
    LOOK_MS_MIN = 100,
    URGENT_MS = 1000,
    RETRY_MS = 10000, /* after the host refused a thread */
    LINGER_MS = 5000, /* with nothing to do, until it ends */
    END_MS = 5000,    /* for which its end is waited */
};

_Atomic uint32_t xa_background_state;
_Atomic uint64_t xa_background_runs;

/* What xa_background_allow() said, over the option. */
enum { UNSAID, ALLOWED, FORBIDDEN };
static _Atomic uint32_t said;

static _Atomic bool trim_is_wanted;
static _Atomic bool is_urged; /* the soft limit was passed */

static _Atomic uint64_t retry_ms; /* not before this, after a refusal */
static size_t inherited_bytes;    /* [c] what waited for a purger when this child was forked */

static size_t
dirty_bytes(void)
{
    size_t sum = 0;
    if (xa_page_purge_time_ms(NULL, XA_PAGE_PURGE_DIRTY) >= 0)
        sum = atomic_load_explicit(&xa_huge_counters.kept_dirty_bytes, memory_order_relaxed);
    for (unsigned i = 0; i < xa_arena_limit(); i++) {
        const struct xa_arena *arena = xa_arena_at(i);
        if (arena != NULL && xa_page_purge_time_ms(&arena->heap, XA_PAGE_PURGE_DIRTY) >= 0)
            sum += xa_page_purge_waiting_bytes(&arena->heap);
    }
    return sum + xa_private_arena_dirty_bytes();
}

/* What is muzzy and will be given back; what is offered for ever needs nobody to wait for it. */
static size_t
muzzy_bytes(void)
{
    size_t sum = 0;
    for (unsigned i = 0; i < xa_arena_limit(); i++) {
        const struct xa_arena *arena = xa_arena_at(i);
        if (arena != NULL && xa_page_purge_time_ms(&arena->heap, XA_PAGE_PURGE_MUZZY) > 0)
            sum += xa_page_heap_counter(&arena->heap.counters.muzzy_bytes);
    }
    return sum;
}

static bool
has_threads(void)
{
    const struct xa_thread_state *first = xa_thread_state_all();
    return first != NULL && first->next != NULL;
}

void
xa_background_finish_trim(void)
{
    atomic_store_explicit(&trim_is_wanted, true, memory_order_relaxed);
}

enum left { LEFT_NOTHING, LEFT_MUZZY, LEFT_DIRTY };

static enum left
what_is_left(void)
{
    if (dirty_bytes() != 0)
        return LEFT_DIRTY;
    return muzzy_bytes() != 0 ? LEFT_MUZZY : LEFT_NOTHING;
}

/* Purge what is due everywhere. */
static void
purge(void)
{
    if (atomic_exchange_explicit(&trim_is_wanted, false, memory_order_relaxed))
        (void)xa_arena_trim(0);
    for (unsigned i = 0; i < xa_arena_limit(); i++) {
        struct xa_arena *arena = xa_arena_at(i);
        if (arena != NULL)
            xa_page_purge_decay(&arena->heap, xa_os_now_ms());
    }
    (void)xa_huge_purge(XA_HUGE_DECAYED);
    xa_private_arena_decay_all();
}

static uint64_t
period_ms(int64_t decay, unsigned parts)
{
    uint64_t period = decay > 0 ? (uint64_t)decay / parts : WAKE_MS_MIN;
    return period > WAKE_MS_MIN ? period : WAKE_MS_MIN;
}

static uint64_t
wake_ms(bool only_muzzy)
{
    int64_t decay = only_muzzy ? xa_page_purge_muzzy_ms() : xa_page_purge_decay_ms();
    uint64_t period = period_ms(decay, WAKES_PER_DECAY);
    return period < WAKE_MS_MAX ? period : WAKE_MS_MAX;
}

static uint64_t
look_ms(void)
{
    uint64_t period = period_ms(xa_page_purge_decay_ms(), LOOKS_PER_DECAY);
    return period > LOOK_MS_MIN ? period : LOOK_MS_MIN;
}

/* Let the decay time follow the pressure. */
static void
follow_pressure(void)
{
    uint32_t divisor = xa_pressure_divisor(xa_pressure_look(xa_os_now_ms()));
    /* A hint for how long to keep, ordered with nothing. */
    atomic_store_explicit(&xa_page_purge_decay_divisor, divisor, memory_order_relaxed);
}

/* Beyond the soft limit: everything that is unused goes now. */
static void
give_all(void)
{
    bool left;
    (void)xa_cache_purge_run(XA_CACHE_PURGE_ALL, &left);
    (void)xa_arena_trim(0);
    (void)xa_huge_purge(XA_HUGE_ALL);
}

static bool
change(uint32_t from, uint32_t to)
{
    return atomic_compare_exchange_strong_explicit(
        &xa_background_state, &from, to, memory_order_seq_cst, memory_order_relaxed);
}

/* There is nothing to do: sleep until somebody wakes us.  False if nobody did for long. */
static bool
sleep_long(void)
{
    uint64_t end = xa_os_now_ms() + LINGER_MS, now;
    (void)change(XA_BACKGROUND_AWAKE, XA_BACKGROUND_ASLEEP);
    while (
        atomic_load_explicit(&xa_background_state, memory_order_acquire) == XA_BACKGROUND_ASLEEP &&
        (now = xa_os_now_ms()) < end)
        xa_os_wait(&xa_background_state, XA_BACKGROUND_ASLEEP, end - now);
    return atomic_load_explicit(&xa_background_state, memory_order_acquire) != XA_BACKGROUND_ASLEEP;
}

/* False if somebody woke us at this very moment. */
static bool
may_end(void)
{
    /* Before the state: who finds it ABSENT may start another thread, which sets this. */
    atomic_store_explicit(&xa_page_purge_has_thread, false, memory_order_relaxed);
    if (change(XA_BACKGROUND_ASLEEP, XA_BACKGROUND_ABSENT))
        return true;
    atomic_store_explicit(&xa_page_purge_has_thread, true, memory_order_relaxed);
    return false;
}

bool
xa_background_is_allowed(void)
{
    uint32_t now = atomic_load_explicit(&said, memory_order_seq_cst);
    return now == UNSAID ? xa_options.background_thread : now == ALLOWED;
}

static void
refuse(void)
{
    atomic_store_explicit(&retry_ms, UINT64_MAX, memory_order_relaxed);
    atomic_store_explicit(&xa_background_state, XA_BACKGROUND_REFUSED, memory_order_seq_cst);
}

/* It may be there again. */
static void
stop_refusing(void)
{
    atomic_store_explicit(&retry_ms, 0, memory_order_relaxed);
    (void)change(XA_BACKGROUND_REFUSED, XA_BACKGROUND_ABSENT);
}

/* It is no longer allowed to be there. */
static void
end(void)
{
    atomic_store_explicit(&is_urged, false, memory_order_relaxed);
    atomic_store_explicit(&xa_page_purge_has_thread, false, memory_order_relaxed);
    refuse();
    /* It may have been allowed at this very moment, and was found to be there still. */
    if (xa_background_is_allowed())
        stop_refusing();
}

static void
run(void)
{
    atomic_store_explicit(&xa_page_purge_has_thread, true, memory_order_relaxed);
    uint64_t next_look = xa_os_now_ms() + look_ms(), next_urgent = 0;
    bool only_muzzy = false;
    for (;;) {
        if (!atomic_load_explicit(&is_urged, memory_order_relaxed))
            xa_os_wait(&xa_background_state, XA_BACKGROUND_AWAKE, wake_ms(only_muzzy));
        if (!xa_background_is_allowed()) {
            end();
            return;
        }
        atomic_fetch_add_explicit(&xa_background_runs, 1, memory_order_relaxed);
        follow_pressure();
        bool is_new = atomic_exchange_explicit(&is_urged, false, memory_order_relaxed);
        if (is_new || (xa_limit_is_over_soft() && xa_os_now_ms() >= next_urgent)) {
            give_all();
            next_urgent = xa_os_now_ms() + URGENT_MS;
        }
        purge();
        bool is_cached = true;
        if (xa_os_now_ms() >= next_look) {
            bool is_idle = xa_arena_empty_idle();
            is_idle &= !xa_slab_purge_sweep();
            (void)xa_cache_purge_run(XA_CACHE_PURGE_IDLE, &is_cached);
            is_cached |= !is_idle;
            next_look = xa_os_now_ms() + look_ms();
        }
        /* Only now: what was taken out of caches is dirty. */
        enum left left = what_is_left();
        only_muzzy = left == LEFT_MUZZY && !is_cached;
        if (left == LEFT_NOTHING && !is_cached && !sleep_long() && may_end())
            return;
    }
}

/* What waits for it in caches: all of it once threads are idle; of a single one large objects. */
static size_t
cached_bytes(void)
{
    const struct xa_thread_state *first = xa_thread_state_all();
    size_t bytes = 0;
    if (has_threads())
        return atomic_load_explicit(&xa_thread_cache_budget.used_bytes, memory_order_relaxed) +
            atomic_load_explicit(&xa_huge_counters.promised_bytes, memory_order_relaxed);
    if (first == NULL)
        return 0;
    (void)xa_large_stock_objects(first, &bytes);
    return bytes + xa_huge_stock_bytes(first);
}

static void
start(void)
{
    uint32_t absent = XA_BACKGROUND_ABSENT;
    size_t least = has_threads() ? START_BYTES_WITH_THREADS : START_BYTES_ALONE;
    /* A forked child shares what it inherited with its parent: that alone is not worth a thread. */
    if (dirty_bytes() + muzzy_bytes() + cached_bytes() < inherited_bytes + least)
        return;
    if (!xa_background_is_allowed() || xa_options.strict_syscalls ||
        xa_page_purge_time_ms(NULL, XA_PAGE_PURGE_DIRTY) < 0) {
        refuse();
        return;
    }
    /* One thread starts it; what it calls may come here again, and goes away. */
    if (!atomic_compare_exchange_strong_explicit(&xa_background_state, &absent, XA_BACKGROUND_AWAKE,
            memory_order_acq_rel, memory_order_relaxed))
        return;
    /* The new thread will hold locks. */
    xa_fork_watch_begin();
    if (xa_thread_start("xalloc-purge", run))
        return;
    atomic_store_explicit(&retry_ms, xa_os_now_ms() + RETRY_MS, memory_order_relaxed);
    atomic_store_explicit(&xa_background_state, XA_BACKGROUND_REFUSED, memory_order_relaxed);
}

/* After a refusal: try again some time, if the refusal was not ours. */
static void
reconsider(void)
{
    static _Atomic uint32_t calls;
    enum { CALLS_PER_LOOK = 1024 };
    uint64_t not_before = atomic_load_explicit(&retry_ms, memory_order_relaxed);
    uint32_t call = atomic_load_explicit(&calls, memory_order_relaxed);
    atomic_store_explicit(&calls, call + 1, memory_order_relaxed);
    if (not_before == UINT64_MAX || call % CALLS_PER_LOOK != 0 || xa_os_now_ms() < not_before)
        return;
    uint32_t refused = XA_BACKGROUND_REFUSED;
    (void)atomic_compare_exchange_strong_explicit(&xa_background_state, &refused,
        XA_BACKGROUND_ABSENT, memory_order_relaxed, memory_order_relaxed);
}

void
xa_background_look(void)
{
    uint32_t state = atomic_load_explicit(&xa_background_state, memory_order_relaxed);
    if (state == XA_BACKGROUND_ABSENT) {
        /* Early slow paths come before libc is up. */
        if (atomic_load_explicit(&xa_page_purge_has_news, memory_order_relaxed) &&
            xa_os_environment_is_ready()) {
            atomic_store_explicit(&xa_page_purge_has_news, false, memory_order_relaxed);
            start();
        }
    } else if (state == XA_BACKGROUND_ASLEEP) {
        if (atomic_compare_exchange_strong_explicit(&xa_background_state, &state,
                XA_BACKGROUND_AWAKE, memory_order_acq_rel, memory_order_relaxed))
            xa_os_wake_one(&xa_background_state);
    } else if (state == XA_BACKGROUND_REFUSED) {
        reconsider();
    }
}

bool
xa_background_urge(void)
{
    if (!xa_background_is_there())
        return false;
    atomic_store_explicit(&is_urged, true, memory_order_relaxed);
    xa_background_look();
    /* Asleep until a deadline it is AWAKE: the word does not change, only the sleeper. */
    xa_os_wake_one(&xa_background_state);
    /* It may have ended at this very moment. */
    return xa_background_is_there();
}

void
xa_background_allow(bool is_allowed)
{
    atomic_store_explicit(&said, is_allowed ? ALLOWED : FORBIDDEN, memory_order_seq_cst);
    if (is_allowed) {
        stop_refusing();
        xa_page_purge_note_news();
        xa_background_look();
        return;
    }
    uint64_t deadline = xa_os_now_ms() + END_MS;
    while (xa_background_urge() && xa_os_now_ms() < deadline)
        xa_os_wait(&xa_background_state, XA_BACKGROUND_AWAKE, 1);
}

void
xa_background_reset_in_child(void)
{
    atomic_store_explicit(&is_urged, false, memory_order_relaxed);
    atomic_store_explicit(&xa_page_purge_decay_divisor, 1, memory_order_relaxed);
    atomic_store_explicit(&xa_page_purge_has_news, false, memory_order_relaxed);
    inherited_bytes = dirty_bytes() + muzzy_bytes() + cached_bytes();
    uint32_t state = atomic_load_explicit(&xa_background_state, memory_order_relaxed);
    atomic_store_explicit(&xa_page_purge_has_thread, false, memory_order_relaxed);
    if (state != XA_BACKGROUND_REFUSED)
        atomic_store_explicit(&xa_background_state, XA_BACKGROUND_ABSENT, memory_order_relaxed);
}
