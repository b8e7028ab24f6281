/*
 * cache_purge.c - see cache_purge.h.
 *
 * A thread that sleeps keeps what it has cached, for ever if nobody takes it.  The
 * owner's fast path has no atomic read-modify-write, no flag and no fence, so another
 * thread cannot lock it out; but two facts suffice.
 *
 *   1. A cache is one word to the fast path: tops[c], which it loads once, and stores
 *      once at the end.  If the purger exchanges it for `nothing`, every operation
 *      that begins later misses, into a slow path.  An operation under way may still
 *      store its own top over that: then it has won, and the purger sees it.
 *   2. A thread that sleeps in a system call is in no operation.  A signal handler
 *      may sleep, having interrupted one; but in it the thread blocks the signal that
 *      it handles.  So a thread that blocks a signal which the process handles is
 *      left alone, whether it is in a handler or not.  (A handler installed with
 *      SA_NODEFER or SA_RESETHAND that sleeps, having interrupted malloc or free, would
 *      be taken for the thread itself.)  Nor is a thread at rest that waits for a child
 *      of vfork, which uses its state meanwhile.
 *
 * So the purger puts the tops aside, and then asks the host whether the owner sleeps.
 * If it does, no operation is under way, and what tops[c] shows as `nothing` can only
 * be changed by the owner's slow path.  With that it competes for `revocation`:
 *
 *        purger                               owner, at the door of a slow path
 *   NONE ──► WANTED                           is_inside = true, then look:
 *        does the owner rest? is_inside?        NONE      go on
 *   WANTED ──► SWAPPING  by compare-and-swap    WANTED ──► NONE, by compare-and-swap: go on
 *        put the tops into saved[]              SWAPPING, TAKING   do without a cache
 *   SWAPPING ──► PREPARED                       PREPARED ──► NONE  by compare-and-swap:
 *        does the owner sleep?                       put the tops back, go on
 *   PREPARED ──► TAKING  by compare-and-swap
 *        take magazines whose tops are off
 *   TAKING ──► NONE
 *
 * The door has no fence, although the owner stores there and then loads: the kernel's
 * answer takes its place.  The purger writes WANTED and is told that the owner rests, at
 * a moment M.  A slow path whose door came before M is either over, or the owner rests in
 * the middle of it: then the purger finds is_inside, which was written before M.  A door
 * after M finds WANTED, or what came after it; and of two compare-and-swaps from WANTED
 * one succeeds.  A thread that takes the state over meanwhile writes its number and then
 * reads `revocation`, before its first door; the purger writes WANTED and then reads the
 * number; all four sequentially consistent, so the thread finds WANTED or the purger the
 * number.
 *
 * If the owner does not sleep when asked the second time, the tops stay aside: its next
 * miss puts them back, or the purger finds it asleep later.  Nobody waits.
 *
 * Where every instruction may turn into a call of somebody's run time that sleeps
 * (ThreadSanitizer's, with this library itself instrumented) the second fact does not
 * hold; such a test has to keep the purger from owners that are not at rest.
 *
 * An idle thread is one whose tops and spares are what they were at the last look.
 * The large object that a thread freed last is a word of the same kind as the tops.  The others that
 * it keeps (large_stock.c, huge_stock.c) are taken without all this.
 */
#include "thread/cache_purge.h"

#include "os/os.h"
#include "thread/huge_stock.h"
#include "thread/thread_cache.h"
#include "thread/thread_count.h"

/* A number that changes when the owner uses its caches; 0 if they are empty. */
static size_t
look(struct xa_thread_state *state)
{
    size_t sum = (size_t)(xa_large_stock_hot(state) * 3);
    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++) {
        uintptr_t top = (uintptr_t)xa_thread_state_top(state, c);
        uintptr_t spare = (uintptr_t)atomic_load_explicit(&state->spares[c], memory_order_relaxed);
        bool is_off = top == (uintptr_t)&xa_thread_state_nothing;
        sum += (is_off ? 0 : top * (2 * c + 1)) + spare * (2 * c + 255);
    }
    return sum;
}

static bool
change(struct xa_thread_state *state, uint32_t from, uint32_t to)
{
    return atomic_compare_exchange_strong_explicit(
        &state->revocation, &from, to, memory_order_seq_cst, memory_order_relaxed);
}

static uint32_t
number_of(struct xa_thread_state *state)
{
    /* Sequentially consistent, after WANTED: see above. */
    return atomic_load_explicit(&state->thread_number, memory_order_seq_cst);
}

/* From NONE to SWAPPING; false if the owner is awake, or rests in a slow path. */
static bool
shut_door(struct xa_thread_state *state)
{
    uint32_t number = number_of(state);
    if (!change(state, XA_REVOCATION_NONE, XA_REVOCATION_WANTED))
        return false;
    if (xa_os_thread_rests(number) &&
        /* Acquire: what the owner's last slow path left behind. */
        !atomic_load_explicit(&state->is_inside, memory_order_acquire) &&
        number == number_of(state))
        return change(state, XA_REVOCATION_WANTED, XA_REVOCATION_SWAPPING);
    (void)change(state, XA_REVOCATION_WANTED, XA_REVOCATION_NONE);
    return false;
}

/* Put the tops aside.  False if the owner is awake, or in a slow path. */
static bool
put_tops_aside(struct xa_thread_state *state)
{
    if (!shut_door(state))
        return false;
    xa_slot *nothing = (xa_slot *)(uintptr_t)&xa_thread_state_nothing;
    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++) {
        if (atomic_load_explicit(&state->actives[c], memory_order_acquire) == NULL)
            continue;
        xa_slot *top = atomic_load_explicit(&state->tops[c], memory_order_acquire);
        if (top == nothing)
            continue;
        /* Written first, for a child that is forked between the two. */
        atomic_store_explicit(&state->saved[c], top, memory_order_relaxed);
        if (!atomic_compare_exchange_strong_explicit(
                &state->tops[c], &top, nothing, memory_order_acq_rel, memory_order_relaxed))
            /* The owner is using it: leave it alone this time. */
            atomic_store_explicit(&state->saved[c], NULL, memory_order_relaxed);
    }
    xa_large_stock_put_aside(state);
    atomic_store_explicit(&state->revocation, XA_REVOCATION_PREPARED, memory_order_release);
    return true;
}

static void
push(struct xa_magazine **list, struct xa_magazine *magazine)
{
    if (magazine == NULL)
        return;
    magazine->next = *list;
    *list = magazine;
}

/* Take what the class has, if its top is off. */
static struct xa_magazine *
take_class(struct xa_thread_state *state, unsigned c)
{
    struct xa_magazine *list = NULL;
    xa_slot *saved = atomic_load_explicit(&state->saved[c], memory_order_relaxed);
    bool is_off =
        atomic_load_explicit(&state->tops[c], memory_order_acquire) == &xa_thread_state_nothing;
    if (saved != NULL && is_off) {
        struct xa_magazine *active = atomic_load_explicit(&state->actives[c], memory_order_relaxed);
        atomic_store_explicit(
            &active->count, (uint16_t)(xa_magazine_end(active) - saved), memory_order_relaxed);
        atomic_store_explicit(&state->actives[c], NULL, memory_order_release);
        push(&list, active);
    }
    atomic_store_explicit(&state->saved[c], NULL, memory_order_relaxed);
    push(&list, atomic_exchange_explicit(&state->spares[c], NULL, memory_order_acq_rel));
    return list;
}

/* Free the objects in a list of magazines; their bytes. */
static size_t
drain(unsigned c, struct xa_magazine *list)
{
    size_t bytes = 0;
    while (list != NULL) {
        struct xa_magazine *magazine = list;
        list = magazine->next;
        unsigned count = atomic_load_explicit(&magazine->count, memory_order_relaxed);
        bytes += (size_t)count * xa_size_class_table[c].object_bytes;
        if (count != 0)
            (void)xa_arena_return(c, xa_magazine_end(magazine) - count, count, XA_ARENA_WAIT);
        xa_magazine_discard(magazine);
    }
    return bytes;
}

/* The owner sleeps, and has been shut out: everything it cached is ours. */
static size_t
take_all(struct xa_thread_state *state)
{
    struct xa_magazine *lists[XA_SMALL_CLASSES + 1];
    size_t bytes = 0;
    if (state->count != NULL)
        xa_thread_count_settle(state);
    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++)
        lists[c] = take_class(state, c);
    uint64_t large = xa_large_stock_seize(state);
    struct xa_magazine *empties = state->empties;
    state->empties = NULL;
    state->empty_count = 0;
    xa_thread_cache_rest(state);
    if (state->count != NULL)
        xa_thread_count_note(state);
    /* Release: the owner finds its caches as they are left here. */
    atomic_store_explicit(&state->revocation, XA_REVOCATION_NONE, memory_order_release);

    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++)
        bytes += drain(c, lists[c]);
    bytes += xa_large_stock_give_seized(large);
    while (empties != NULL) {
        struct xa_magazine *magazine = empties;
        empties = magazine->next;
        xa_magazine_discard(magazine);
    }
    return bytes;
}

static size_t
take_back(struct xa_thread_state *state)
{
    uint32_t now = atomic_load_explicit(&state->revocation, memory_order_relaxed);
    if (now != XA_REVOCATION_PREPARED && !put_tops_aside(state))
        return 0;
    uint32_t number = number_of(state);
    if (!xa_os_thread_sleeps(number))
        return 0;
    /* The state may have changed hands meanwhile, and the number as well. */
    if (number != number_of(state) || !change(state, XA_REVOCATION_PREPARED, XA_REVOCATION_TAKING))
        return 0;
    return take_all(state);
}

static atomic_flag is_busy = ATOMIC_FLAG_INIT;

void
xa_cache_purge_reset_in_child(void)
{
    /* A purger that was at work did not come along. */
    atomic_flag_clear_explicit(&is_busy, memory_order_relaxed);
}

size_t
xa_cache_purge_run(enum xa_cache_purge which, bool *left)
{
    size_t bytes = 0;
    *left = false;
    /* One purger at a time: `seen` is its own. */
    if (atomic_flag_test_and_set_explicit(&is_busy, memory_order_acquire))
        return 0;
    for (struct xa_thread_state *state = xa_thread_state_all(); state != NULL;
         state = state->next) {
        /* In a forked child, whoever adopts an orphan's caches has them to itself. */
        if (state == xa_thread_state_self ||
            !atomic_load_explicit(&state->is_used, memory_order_acquire) ||
            !xa_thread_state_is_current(state))
            continue;
        enum xa_large_stock_empty objects =
            which == XA_CACHE_PURGE_ALL ? XA_LARGE_STOCK_ALL : XA_LARGE_STOCK_IDLE;
        size_t stocked;
        bytes += xa_large_stock_empty(state, objects) + xa_huge_stock_empty(state, objects);
        *left |= xa_large_stock_objects(state, &stocked) != 0 || xa_huge_stock_bytes(state) != 0;
        /* What its owner has taken just now, and will keep again without telling anybody. */
        *left |= atomic_load_explicit(&state->stock_is_paid, memory_order_relaxed) ||
            atomic_load_explicit(&state->huge_paid_bytes, memory_order_relaxed) != 0;
        size_t seen = look(state);
        size_t seen_before = atomic_load_explicit(&state->seen, memory_order_relaxed);
        bool is_idle = seen == seen_before || which == XA_CACHE_PURGE_ALL;
        atomic_store_explicit(&state->seen, seen, memory_order_relaxed);
        if (seen == 0)
            continue;
        size_t taken = is_idle ? take_back(state) : 0;
        bytes += taken;
        *left |= taken == 0 || look(state) != 0;
    }
    atomic_flag_clear_explicit(&is_busy, memory_order_release);
    return bytes;
}

bool
xa_cache_purge_settle(struct xa_thread_state *state)
{
    /* Acquire: what a purger that is done has left. */
    uint32_t now = atomic_load_explicit(&state->revocation, memory_order_acquire);
    if (XA_LIKELY(now == XA_REVOCATION_NONE) ||
        (now == XA_REVOCATION_WANTED && change(state, XA_REVOCATION_WANTED, XA_REVOCATION_NONE)))
        return true;
    /* If it was WANTED, it is SWAPPING now, or the purger has given up; a later call will see. */
    if (now != XA_REVOCATION_PREPARED ||
        !change(state, XA_REVOCATION_PREPARED, XA_REVOCATION_SWAPPING))
        return false;
    xa_thread_cache_restore(state);
    return true;
}
