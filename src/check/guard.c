/*
 * guard.c - see guard.h.
 *
 * The places are runs of granules in one slot of the window, whose granules the page map calls
 * CHECKED.  A run is a guard page or more, the object's pages, a guard page.  Runs go out in
 * turn through the slot, and when no free one is left, those go whose objects were freed longest
 * ago: so a freed object stays inaccessible as long as can be.
 *
 * Pages become inaccessible by marks in the page table where the host has them (a system call
 * of half a microsecond, and no mapping is split), else by the protection of mappings, of which
 * there are then at most twice as many as places.  It is found out at the first object.
 *
 * What is left of the object's pages beside it is filled and looked at when it is freed.
 *
 * Locking: one lock.  Records are read without it by who answers a fault or counts.
 */
#include "check/guard.h"

#include <stdatomic.h>
#include <string.h>

#include "base/bitmap.h"
#include "base/random.h"
#include "config/options.h"
#include "extent/metadata.h"
#include "os/call_stack.h"
#include "os/lock.h"
#include "os/message.h"
#include "os/os.h"
#include "page/limit.h"
#include "page/window.h"

enum {
    PLACES = XA_CHUNK_GRANULES,
    FIRST_ONES_OUT_OF = 4, /* one object in so many begins at its page's start */
    LINE_BYTES = 400,
    PAD = 0xb7, /* fills what is left of the object's pages */
};

enum state { UNUSED, LIVE, FREED };

struct history {
    uint32_t thread;
    uint32_t count;
    uintptr_t frames[XA_CALL_STACK_MAX];
};

struct guarded {
    _Atomic uint8_t state; /* [g] enum state */
    uint8_t granules;      /* [g] of the run */
    uintptr_t address;     /* [g] of the object */
    size_t size;           /* [g] */
    uint64_t freed;        /* [g] when, as frees are counted */
    struct history taken;
    struct history returned;
};

static struct {
    struct xa_lock lock;
    _Atomic uintptr_t base;  /* [a] of the slot; 0: none yet */
    bool is_off;             /* [g] there is none, and will be none */
    enum xa_os_guard by;     /* [g] */
    unsigned unit;           /* [c] granules of a page, at least 1 */
    struct guarded *records; /* [c] by the first granule of the run */
    uint8_t heads[PLACES];   /* [g] of each granule in a run: where the run begins */
    struct xa_bitmap used;   /* [g] granules in a run */
    unsigned next;           /* [g] where the next run is looked for */
    uint64_t frees;          /* [g] */
    uint64_t random;         /* [g] */
    _Atomic size_t live_objects;
    _Atomic size_t live_bytes;
    _Atomic size_t active_bytes; /* pages of live objects */
} guard = {.lock.rank = XA_LOCK_RANK_GUARD};

static size_t
page_bytes(void)
{
    return xa_os_facts.page_bytes;
}

static uintptr_t
base(void)
{
    return atomic_load_explicit(&guard.base, memory_order_acquire);
}

bool
xa_guard_has(uintptr_t address)
{
    return base() != 0 && address - base() < XA_CHUNK_BYTES;
}

static bool
make_inaccessible(uintptr_t start)
{
    guard.by = XA_OS_GUARD_BY_MARK;
    if (!xa_options.strict_syscalls && xa_os_guard(start, XA_CHUNK_BYTES, guard.by))
        return true;
    guard.by = XA_OS_GUARD_BY_PROTECTION;
    return xa_os_guard(start, XA_CHUNK_BYTES, guard.by);
}

static bool
start(void) XA_REQUIRES(guard.lock)
{
    if (base() != 0 || guard.is_off)
        return !guard.is_off;
    guard.is_off = true;
    guard.records = xa_metadata_take_pages(PLACES * sizeof *guard.records);
    size_t slot = guard.records == NULL ? XA_WINDOW_NONE : xa_window_take(1, 1);
    if (slot == XA_WINDOW_NONE)
        return false;
    uintptr_t address = xa_window_address(slot);
    /* Where something foreign stands, or memory ran out, there are no guarded objects. */
    if (xa_os_map(address, XA_CHUNK_BYTES) != XA_OS_DONE)
        return false;
    if (!make_inaccessible(address)) {
        xa_os_unmap(address, XA_CHUNK_BYTES);
        return false;
    }
    guard.unit = page_bytes() > XA_GRANULE_BYTES ? (unsigned)(page_bytes() / XA_GRANULE_BYTES) : 1;
    guard.random = xa_os_facts.seed ^ address;
    xa_page_map_set_class(xa_page_map_granule_of(address), PLACES, XA_CLASS_CHECKED);
    /* Release: whoever finds it finds the records. */
    atomic_store_explicit(&guard.base, address, memory_order_release);
    guard.is_off = false;
    return true;
}

/* Pages that an object takes. */
static size_t
data_bytes(size_t size)
{
    return xa_bits_align_up(size, page_bytes());
}

static unsigned
granules_for(size_t size)
{
    unsigned granules =
        (unsigned)xa_bits_divide_up(data_bytes(size) + 2 * page_bytes(), XA_GRANULE_BYTES);
    return (granules + guard.unit - 1) / guard.unit * guard.unit;
}

/* A free run, or PLACES. */
static unsigned
find_run(unsigned granules) XA_REQUIRES(guard.lock)
{
    unsigned begin = guard.next;
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned at = begin; at + granules <= PLACES; at += guard.unit)
            if (xa_bitmap_count(&guard.used, at, granules) == 0)
                return at;
        begin = 0;
    }
    return PLACES;
}

/* The object that was freed longest ago leaves its place; false if there is none. */
static bool
drop_oldest(void) XA_REQUIRES(guard.lock)
{
    struct guarded *oldest = NULL;
    unsigned where = 0;
    for (unsigned i = 0; i < PLACES; i++) {
        struct guarded *record = &guard.records[i];
        if (record->state == FREED && (oldest == NULL || record->freed < oldest->freed)) {
            oldest = record;
            where = i;
        }
    }
    if (oldest == NULL)
        return false;
    atomic_store_explicit(&oldest->state, UNUSED, memory_order_relaxed);
    xa_bitmap_clear(&guard.used, where, oldest->granules);
    return true;
}

static unsigned
take_run(unsigned granules) XA_REQUIRES(guard.lock)
{
    unsigned run = find_run(granules);
    while (run == PLACES && drop_oldest())
        run = find_run(granules);
    if (run == PLACES)
        return run;
    xa_bitmap_set(&guard.used, run, granules);
    for (unsigned i = 0; i < granules; i++)
        guard.heads[run + i] = (uint8_t)run;
    guard.next = run + granules;
    return run;
}

/* Where the object's pages begin; the page behind them is the run's last. */
static uintptr_t
data_of(unsigned run)
{
    const struct guarded *record = &guard.records[run];
    uintptr_t end = base() + (uintptr_t)(run + record->granules) * XA_GRANULE_BYTES - page_bytes();
    return end - data_bytes(record->size);
}

/* Fill what is beside the object in its pages. */
static void
pad(const struct guarded *record, uintptr_t data)
{
    uintptr_t end = data + data_bytes(record->size);
    memset((void *)data, PAD, record->address - data);
    memset((void *)(record->address + record->size), PAD, end - record->address - record->size);
}

static void
place(unsigned run, unsigned granules, size_t size, size_t alignment) XA_REQUIRES(guard.lock)
{
    struct guarded *record = &guard.records[run];
    record->granules = (uint8_t)granules;
    record->size = size;
    uintptr_t data = data_of(run);
    bool is_first = xa_random_next(&guard.random) % FIRST_ONES_OUT_OF == 0;
    record->address = is_first ? data : (data + data_bytes(size) - size) & -(uintptr_t)alignment;
}

static void
add(_Atomic size_t *counter, size_t amount)
{
    /* Written under the lock only: a plain sum, atomic for those who read without it. */
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + amount,
        memory_order_relaxed);
}

size_t
xa_guard_live_objects(void)
{
    return atomic_load_explicit(&guard.live_objects, memory_order_relaxed);
}

size_t
xa_guard_live_bytes(void)
{
    return atomic_load_explicit(&guard.live_bytes, memory_order_relaxed);
}

size_t
xa_guard_active_bytes(void)
{
    return atomic_load_explicit(&guard.active_bytes, memory_order_relaxed);
}

size_t
xa_guard_mapped_bytes(void)
{
    return base() == 0 ? 0 : XA_CHUNK_BYTES;
}

/* The run's pages are accessible and its record is complete; false if the host could not. */
static bool
open_run(unsigned run, const struct history *taken) XA_REQUIRES(guard.lock)
{
    struct guarded *record = &guard.records[run];
    uintptr_t data = data_of(run);
    if (!xa_os_unguard(data, data_bytes(record->size), guard.by)) {
        xa_bitmap_clear(&guard.used, run, record->granules);
        return false;
    }
    pad(record, data);
    record->taken = *taken;
    record->returned.count = 0;
    atomic_store_explicit(&record->state, LIVE, memory_order_release);
    add(&guard.live_objects, 1);
    add(&guard.live_bytes, record->size);
    add(&guard.active_bytes, data_bytes(record->size));
    return true;
}

static void
remember(struct history *history)
{
    history->thread = xa_os_thread_number();
    history->count = xa_call_stack_capture(history->frames, XA_CALL_STACK_MAX);
}

void *
xa_guard_take(size_t size, size_t alignment)
{
    void *object = NULL;
    struct history taken;
    if (size > XA_GUARD_MAX_BYTES || alignment > page_bytes() || !xa_limit_take(data_bytes(size)))
        return NULL;
    remember(&taken);
    /* The least that malloc promises. */
    if (alignment < 16)
        alignment = 16;
    xa_lock_lock(&guard.lock);
    unsigned granules = start() ? granules_for(size) : 0;
    unsigned run = granules == 0 ? PLACES : take_run(granules);
    if (run != PLACES) {
        place(run, granules, size, alignment);
        if (open_run(run, &taken))
            object = (void *)guard.records[run].address;
    }
    xa_lock_unlock(&guard.lock);
    if (object == NULL)
        xa_limit_give(data_bytes(size));
    return object;
}

/* The record of the place that an address is in; NULL if it is in none. */
static struct guarded *
record_at(uintptr_t address)
{
    unsigned granule = (unsigned)((address - base()) / XA_GRANULE_BYTES);
    return xa_bitmap_has(&guard.used, granule) ? &guard.records[guard.heads[granule]] : NULL;
}

static void
put_object(struct xa_text *text, const struct guarded *record)
{
    xa_text_put_string(text, "an object of ");
    xa_text_put_unsigned(text, record->size);
    xa_text_put_string(text, " bytes at ");
    xa_text_put_hex(text, record->address);
}

static void
say_history(const char *what, const struct history *history)
{
    char line[64];
    struct xa_text text;
    xa_text_init(&text, line, sizeof line);
    xa_text_put_string(&text, what);
    xa_text_put_string(&text, " by thread ");
    xa_text_put_unsigned(&text, history->thread);
    xa_message_stack(line, history->frames, history->count);
}

static void
say_histories(const struct guarded *record)
{
    say_history("allocated", &record->taken);
    if (record->state == FREED)
        say_history("freed", &record->returned);
}

static XA_NORETURN XA_COLD void
end(const char *call, const void *pointer, const struct guarded *record, const char *what,
    const char *advice)
{
    char line[LINE_BYTES];
    struct xa_text text;
    xa_text_init(&text, line, sizeof line);
    xa_text_put_string(&text, what);
    put_object(&text, record);
    xa_text_put_string(&text, record->state == FREED ? ", freed. " : ". ");
    xa_text_put_string(&text, advice);
    xa_message_pointer(call, pointer, line);
    say_histories(record);
    xa_os_abort();
}

/* The record of the live object that begins there. */
static struct guarded *
live_one(const void *pointer, const char *call)
{
    struct guarded *record = record_at((uintptr_t)pointer);
    if (record == NULL)
        xa_message_fatal(call, pointer,
            "among guarded objects, but none is there. Look for a second free, long after the first.");
    if (record->state == FREED)
        end(call, pointer, record, "already free, ", "Look for a second free of the same pointer.");
    if (record->state != LIVE || record->address != (uintptr_t)pointer)
        end(call, pointer, record, "not the beginning of ",
            "Free the pointer that malloc returned.");
    return record;
}

size_t
xa_guard_bytes(const void *pointer, const char *call)
{
    return live_one(pointer, call)->size;
}

static bool
is_padding(uintptr_t from, uintptr_t to)
{
    for (const unsigned char *at = (const unsigned char *)from; at < (const unsigned char *)to;
         at++)
        if (*at != PAD)
            return false;
    return true;
}

static void
check_padding(const struct guarded *record, const char *call, uintptr_t data)
{
    const void *pointer = (const void *)record->address;
    if (!is_padding(data, record->address))
        end(call, pointer, record, "something was written before ", "Look for an underflow.");
    if (!is_padding(record->address + record->size, data + data_bytes(record->size)))
        end(call, pointer, record, "something was written behind ", "Look for an overflow.");
}

void
xa_guard_return(void *pointer, const char *call)
{
    struct history returned;
    remember(&returned);
    xa_lock_lock(&guard.lock);
    struct guarded *record = live_one(pointer, call);
    unsigned run = guard.heads[((uintptr_t)pointer - base()) / XA_GRANULE_BYTES];
    uintptr_t data = data_of(run);
    size_t bytes = data_bytes(record->size);
    check_padding(record, call, data);
    record->returned = returned;
    record->freed = ++guard.frees;
    atomic_store_explicit(&record->state, FREED, memory_order_release);
    add(&guard.live_objects, (size_t)-1);
    add(&guard.live_bytes, -record->size);
    add(&guard.active_bytes, -bytes);
    /* Where the host refuses, the object's memory stays as it is: a leak until its place is used. */
    if (!xa_os_guard(data, bytes, guard.by))
        (void)xa_os_purge(data, bytes);
    xa_lock_unlock(&guard.lock);
    xa_limit_give(bytes);
}

void
xa_guard_say_fault(uintptr_t address)
{
    char line[LINE_BYTES];
    struct xa_text text;
    const struct guarded *record = record_at(address);
    if (record == NULL) {
        xa_message_pointer("access", (const void *)address,
            "among guarded objects, but to none. Look for a pointer that is used long after a free.");
        return;
    }
    size_t before = record->address - address, behind = address - record->address - record->size;
    xa_text_init(&text, line, sizeof line);
    if (record->state == FREED) {
        xa_text_put_string(&text, "after the free of ");
    } else {
        bool is_before = address < record->address;
        xa_text_put_unsigned(&text, is_before ? before : behind);
        xa_text_put_string(&text, is_before ? " bytes before " : " bytes behind the end of ");
    }
    put_object(&text, record);
    xa_text_put_string(&text,
        record->state == FREED ? ". Look for a pointer that is used after a free."
                               : ", which is live. Look for an access beyond its bounds.");
    xa_message_pointer("access", (const void *)address, line);
    say_histories(record);
}

void
xa_guard_reset_in_child(void)
{
    if (xa_lock_reset_in_child(&guard.lock))
        guard.is_off = true;
}
