/*
 * synchronisation_counter.c - counts what the threads of a process do to each other in xalloc.
 *
 * The library is compiled with -fsanitize=thread and linked with this file in place of the
 * sanitizer's runtime.  So the compiler calls one of the functions below before each load and
 * store of the library, and in place of each atomic operation; nothing of it is in the sources or
 * in a library that is built as usual.  The linker's --wrap leads the calls of lock.h here.
 *
 *   cache lines   For each line that the library touches, the set of threads that have a copy: a
 *                 reader joins it, a writer becomes the only one.  A thread that has no copy, or
 *                 writes a line of which others have one, waits for a transfer: that is counted.
 *                 This is a processor for each thread, with a cache without end: what is counted
 *                 is sharing, true or false, and nothing else.
 *   left out      Stacks and thread-local variables, which are nobody else's, and memset and
 *                 memcpy, which the library calls for the program's objects and fresh records.
 *   turns         After an atomic operation outside of locks the processor goes to another thread.
 *                 Few processors would otherwise run one thread for milliseconds, in which a line
 *                 that all of them want moves once.  XALLOC_COUNT_TURNS=0 leaves that to the kernel.
 *
 * Threads are told apart by a number, the lowest that is free; a successor inherits it, and with
 * it the lines, as if it ran on the processor of the thread before it.
 *
 * At the process's end lines of "kind name value" go to the file that XALLOC_COUNT_FILE names.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "os/lock.h"

enum {
    THREADS_MAX = 256,
    WORD_BITS = 64,
    HOLDER_WORDS = THREADS_MAX / WORD_BITS,
    LINE_SHIFT = 6,
    TABLE_BITS = 21,
    TABLE_LINES = 1 << TABLE_BITS,
    SITES_BITS = 12,
    SITES_MAX = 1 << SITES_BITS,
    MAIN_STACK_BYTES = 8 << 20,
    THREAD_STACK_BYTES_MAX = 64 << 20,
    PAGE_BYTES = 4096,
};

/* What is known of one cache line. */
struct line {
    _Atomic uintptr_t number; /* address / 64; 0 is nobody's */
    _Atomic bool is_busy;     /* being changed */
    _Atomic bool is_written;
    _Atomic uint32_t transfers;
    _Atomic uint64_t holders[HOLDER_WORDS];
};

struct counters {
#define COUNTER(name, text) uint64_t name;
#include "synchronisation_counters.def"
#undef COUNTER
    uint64_t locks_of_rank[XA_LOCK_RANKS];
    uint64_t failures_of_rank[XA_LOCK_RANKS];
} __attribute__((aligned(128)));

/* Where in the library transfers happen. */
struct site {
    _Atomic uintptr_t pc;
    _Atomic uint64_t transfers;
};

static struct counters counters[THREADS_MAX]; /* written by the number's thread only */
static _Atomic uint64_t numbers_taken[HOLDER_WORDS];
static struct line *lines; /* TABLE_LINES of them, an open hash table */
static struct site sites[SITES_MAX];
static pthread_key_t end_key;
static bool gives_turns;

static _Thread_local struct {
    unsigned number; /* 0: none yet */
    unsigned locks_held;
    unsigned ends;  /* rounds of destructors */
    bool is_inside; /* what is called here may lead here again */
} self __attribute__((tls_model("initial-exec")));

static void
die(const char *text)
{
    dprintf(STDERR_FILENO, "synchronisation_counter: %s\n", text);
    abort();
}

/*
 * The thread ends.  Other destructors, the library's among them, may follow: the number goes in the
 * last round of them.  What the thread does after that, as it frees its last few objects, is not
 * counted.
 */
static void
leave(void *number)
{
    unsigned i = (unsigned)(uintptr_t)number;
    if (++self.ends < PTHREAD_DESTRUCTOR_ITERATIONS) {
        pthread_setspecific(end_key, number);
        return;
    }
    self.number = 0;
    atomic_fetch_and(&numbers_taken[i / WORD_BITS], ~(UINT64_C(1) << i % WORD_BITS));
}

static void
start(void)
{
    lines = mmap(NULL, TABLE_LINES * sizeof lines[0], PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (lines == MAP_FAILED || pthread_key_create(&end_key, leave) != 0)
        die("no memory for the table of lines, or no key");
    const char *turns = getenv("XALLOC_COUNT_TURNS");
    gives_turns = turns == NULL || *turns != '0';
}

static unsigned
take_number(void)
{
    for (unsigned i = 1; i < THREADS_MAX; i++) {
        uint64_t bit = UINT64_C(1) << i % WORD_BITS;
        _Atomic uint64_t *word = &numbers_taken[i / WORD_BITS];
        if ((atomic_load(word) & bit) == 0 && (atomic_fetch_or(word, bit) & bit) == 0)
            return i;
    }
    die("too many threads");
    return 0;
}

/* Of a thread that has left: those of number 0, which nobody reads. */
static struct counters *
own(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    if (self.number == 0 && self.ends == 0) {
        pthread_once(&once, start);
        self.number = take_number();
        pthread_setspecific(end_key, (void *)(uintptr_t)self.number);
    }
    return &counters[self.number];
}

/* A thread's stack has its thread-local variables at the end; the first thread's are elsewhere. */
static bool
is_own_stack(uintptr_t address)
{
    uintptr_t frame = (uintptr_t)__builtin_frame_address(0);
    uintptr_t end = (uintptr_t)&self + PAGE_BYTES;
    if (address >= end - 2 * (uintptr_t)PAGE_BYTES && address < end)
        return true;
    if (end < frame || end - frame > THREAD_STACK_BYTES_MAX)
        end = frame + MAIN_STACK_BYTES;
    return address >= frame && address < end;
}

static struct line *
find(uintptr_t number)
{
    uint64_t i = number * UINT64_C(0x9e3779b97f4a7c15) >> (64 - TABLE_BITS);
    for (unsigned tries = 0; tries < TABLE_LINES; tries++, i = (i + 1) % TABLE_LINES) {
        uintptr_t there = atomic_load_explicit(&lines[i].number, memory_order_relaxed);
        if (there == number)
            return &lines[i];
        if (there == 0 &&
            (atomic_compare_exchange_strong(&lines[i].number, &there, number) || there == number))
            return &lines[i];
    }
    die("more lines than the table has room for");
    return NULL;
}

static void
note_site(void *pc)
{
    uint64_t i = (uintptr_t)pc * UINT64_C(0x9e3779b97f4a7c15) >> (64 - SITES_BITS);
    for (unsigned tries = 0; tries < SITES_MAX; tries++, i = (i + 1) % SITES_MAX) {
        uintptr_t there = atomic_load_explicit(&sites[i].pc, memory_order_relaxed);
        if (there == (uintptr_t)pc ||
            (there == 0 &&
                (atomic_compare_exchange_strong(&sites[i].pc, &there, (uintptr_t)pc) ||
                    there == (uintptr_t)pc))) {
            atomic_fetch_add_explicit(&sites[i].transfers, 1, memory_order_relaxed);
            return;
        }
    }
}

/* True if threads other than `me` have a copy. */
static bool
is_held_by_others(const struct line *line, unsigned me)
{
    for (unsigned i = 0; i < HOLDER_WORDS; i++) {
        uint64_t mine = i == me / WORD_BITS ? UINT64_C(1) << me % WORD_BITS : 0;
        if ((atomic_load_explicit(&line->holders[i], memory_order_relaxed) & ~mine) != 0)
            return true;
    }
    return false;
}

static bool
is_held_by(const struct line *line, unsigned me)
{
    uint64_t holders = atomic_load_explicit(&line->holders[me / WORD_BITS], memory_order_relaxed);
    return (holders >> me % WORD_BITS & 1) != 0;
}

/* True if the line has to come from another processor, or be taken from it. */
static bool
move_line(struct line *line, unsigned me, bool is_write)
{
    bool is_held = is_held_by(line, me);
    bool is_shared = is_held_by_others(line, me);
    if (is_held && (!is_write || !is_shared))
        return false;
    bool moves = is_shared && (is_write || line->is_written);
    for (unsigned i = 0; is_write && i < HOLDER_WORDS; i++)
        atomic_store_explicit(&line->holders[i], 0, memory_order_relaxed);
    atomic_fetch_or(&line->holders[me / WORD_BITS], UINT64_C(1) << me % WORD_BITS);
    if (is_write)
        line->is_written = true;
    return moves;
}

static void
touch(const volatile void *pointer, bool is_write, void *pc)
{
    uintptr_t address = (uintptr_t)pointer;
    if (self.is_inside || is_own_stack(address))
        return;
    self.is_inside = true;
    struct counters *mine = own();
    if (self.number == 0) {
        self.is_inside = false;
        return;
    }
    struct line *line = find(address >> LINE_SHIFT);
    /* Nearly always it is the thread's own already. */
    bool is_hit = is_held_by(line, self.number) &&
        (is_write ? line->is_written && !is_held_by_others(line, self.number) : true);
    if (!is_hit) {
        while (atomic_exchange_explicit(&line->is_busy, true, memory_order_acquire))
            sched_yield();
        if (move_line(line, self.number, is_write)) {
            *(is_write ? &mine->lines_written : &mine->lines_read) += 1;
            note_site(pc);
            line->transfers++;
        }
        atomic_store_explicit(&line->is_busy, false, memory_order_release);
    }
    self.is_inside = false;
}

static void
after_atomic(bool has_failed)
{
    struct counters *mine = own();
    mine->atomics++;
    mine->failed_swaps += has_failed;
    if (gives_turns && self.locks_held == 0)
        sched_yield();
}

/* ---- What the compiler calls ---- */

#define CALLER __builtin_return_address(0)

#define PLAIN(read, write)              \
    void __tsan_##read(void *address);  \
    void __tsan_##write(void *address); \
    void __tsan_##read(void *address)   \
    {                                   \
        touch(address, false, CALLER);  \
    }                                   \
    void __tsan_##write(void *address)  \
    {                                   \
        touch(address, true, CALLER);   \
    }
PLAIN(read1, write1)
PLAIN(read2, write2)
PLAIN(read4, write4)
PLAIN(read8, write8)
PLAIN(read16, write16)
PLAIN(unaligned_read2, unaligned_write2)
PLAIN(unaligned_read4, unaligned_write4)
PLAIN(unaligned_read8, unaligned_write8)
PLAIN(unaligned_read16, unaligned_write16)

static void
touch_range(uintptr_t address, size_t bytes, bool is_write, void *pc)
{
    uintptr_t end = address + bytes;
    for (; address < end; address = (address | ((1 << LINE_SHIFT) - 1)) + 1)
        touch((void *)address, is_write, pc);
}

void __tsan_read_range(void *address, size_t bytes);
void
__tsan_read_range(void *address, size_t bytes)
{
    touch_range((uintptr_t)address, bytes, false, CALLER);
}

void __tsan_write_range(void *address, size_t bytes);
void
__tsan_write_range(void *address, size_t bytes)
{
    touch_range((uintptr_t)address, bytes, true, CALLER);
}

/* The orders asked for are weaker at times; sequential consistency is right for all of them. */
#define FETCH(bits, what)                                             \
    uint##bits##_t __tsan_atomic##bits##_fetch_##what(                \
        _Atomic uint##bits##_t *at, uint##bits##_t value, int order); \
    uint##bits##_t __tsan_atomic##bits##_fetch_##what(                \
        _Atomic uint##bits##_t *at, uint##bits##_t value, int order)  \
    {                                                                 \
        (void)order;                                                  \
        touch(at, true, CALLER);                                      \
        uint##bits##_t before = atomic_fetch_##what(at, value);       \
        after_atomic(false);                                          \
        return before;                                                \
    }

#define SWAP(bits, strength)                                                           \
    bool __tsan_atomic##bits##_compare_exchange_##strength(_Atomic uint##bits##_t *at, \
        uint##bits##_t *expected, uint##bits##_t value, int order, int order_failed);  \
    bool __tsan_atomic##bits##_compare_exchange_##strength(_Atomic uint##bits##_t *at, \
        uint##bits##_t *expected, uint##bits##_t value, int order, int order_failed)   \
    {                                                                                  \
        (void)order, (void)order_failed;                                               \
        touch(at, true, CALLER);                                                       \
        bool is_done = atomic_compare_exchange_strong(at, expected, value);            \
        after_atomic(!is_done);                                                        \
        return is_done;                                                                \
    }

#define ATOMICS(bits)                                                                              \
    uint##bits##_t __tsan_atomic##bits##_load(const _Atomic uint##bits##_t *at, int order);        \
    uint##bits##_t __tsan_atomic##bits##_load(const _Atomic uint##bits##_t *at, int order)         \
    {                                                                                              \
        (void)order;                                                                               \
        touch(at, false, CALLER);                                                                  \
        return atomic_load(at);                                                                    \
    }                                                                                              \
    void __tsan_atomic##bits##_store(_Atomic uint##bits##_t *at, uint##bits##_t value, int order); \
    void __tsan_atomic##bits##_store(_Atomic uint##bits##_t *at, uint##bits##_t value, int order)  \
    {                                                                                              \
        (void)order;                                                                               \
        touch(at, true, CALLER);                                                                   \
        atomic_store(at, value);                                                                   \
    }                                                                                              \
    uint##bits##_t __tsan_atomic##bits##_exchange(                                                 \
        _Atomic uint##bits##_t *at, uint##bits##_t value, int order);                              \
    uint##bits##_t __tsan_atomic##bits##_exchange(                                                 \
        _Atomic uint##bits##_t *at, uint##bits##_t value, int order)                               \
    {                                                                                              \
        (void)order;                                                                               \
        touch(at, true, CALLER);                                                                   \
        uint##bits##_t before = atomic_exchange(at, value);                                        \
        after_atomic(false);                                                                       \
        return before;                                                                             \
    }                                                                                              \
    FETCH(bits, add)                                                                               \
    FETCH(bits, sub)                                                                               \
    FETCH(bits, and)                                                                               \
    FETCH(bits, or)                                                                                \
    SWAP(bits, strong)                                                                             \
    SWAP(bits, weak)
ATOMICS(8)
ATOMICS(16)
ATOMICS(32)
ATOMICS(64)

void __tsan_init(void);
void
__tsan_init(void)
{
}

void __tsan_atomic_thread_fence(int order);
void
__tsan_atomic_thread_fence(int order)
{
    (void)order;
    atomic_thread_fence(memory_order_seq_cst);
}

void __tsan_atomic_signal_fence(int order);
void
__tsan_atomic_signal_fence(int order)
{
    (void)order;
    atomic_signal_fence(memory_order_seq_cst);
}

void __tsan_func_entry(void *pc);
void
__tsan_func_entry(void *pc)
{
    (void)pc;
}

void __tsan_func_exit(void);
void
__tsan_func_exit(void)
{
}

/* Only src/api is compiled with -finstrument-functions. */
void __cyg_profile_func_enter(void *function, void *from);
void
__cyg_profile_func_enter(void *function, void *from)
{
    (void)from;
    if (function == (void *)free)
        own()->frees++;
}

void __cyg_profile_func_exit(void *function, void *from);
void
__cyg_profile_func_exit(void *function, void *from)
{
    (void)function, (void)from;
}

/* ---- What the linker leads here ---- */

bool __real_xa_lock_try(struct xa_lock *lock);
void __real_xa_lock_lock(struct xa_lock *lock);
void __real_xa_lock_unlock(struct xa_lock *lock);
bool __wrap_xa_lock_try(struct xa_lock *lock);
void __wrap_xa_lock_lock(struct xa_lock *lock);
void __wrap_xa_lock_unlock(struct xa_lock *lock);

bool
__wrap_xa_lock_try(struct xa_lock *lock)
{
    struct counters *mine = own();
    /* Held from before it is taken: no turn is given in between. */
    self.locks_held++;
    if (__real_xa_lock_try(lock)) {
        mine->locks++;
        mine->locks_of_rank[lock->rank]++;
        return true;
    }
    self.locks_held--;
    mine->failed_tries++;
    mine->failures_of_rank[lock->rank]++;
    return false;
}

void
__wrap_xa_lock_lock(struct xa_lock *lock)
{
    struct counters *mine = own();
    self.locks_held++;
    mine->locks++;
    mine->locks_of_rank[lock->rank]++;
    if (__real_xa_lock_try(lock))
        return;
    mine->waits++;
    mine->failures_of_rank[lock->rank]++;
    __real_xa_lock_lock(lock);
}

void
__wrap_xa_lock_unlock(struct xa_lock *lock)
{
    __real_xa_lock_unlock(lock);
    self.locks_held--;
}

/* ---- The end ---- */

static void
add(struct counters *sum, const struct counters *part)
{
#define COUNTER(name, text) sum->name += part->name;
#include "synchronisation_counters.def"
#undef COUNTER
    for (unsigned i = 0; i < XA_LOCK_RANKS; i++) {
        sum->locks_of_rank[i] += part->locks_of_rank[i];
        sum->failures_of_rank[i] += part->failures_of_rank[i];
    }
}

/* Places by their distance from where the library is; its variables' lines likewise. */
static void
write_places(int file)
{
    Dl_info own_file, info;
    if (dladdr((void *)counters, &own_file) == 0)
        return;
    uintptr_t base = (uintptr_t)own_file.dli_fbase;
    for (unsigned i = 0; i < SITES_MAX; i++)
        if (sites[i].pc != 0)
            dprintf(file, "site %#zx %zu\n", sites[i].pc - base, (size_t)sites[i].transfers);
    for (unsigned i = 0; lines != NULL && i < TABLE_LINES; i++) {
        uintptr_t start = lines[i].number << LINE_SHIFT;
        if (lines[i].transfers != 0 && dladdr((void *)start, &info) != 0 &&
            info.dli_fbase == own_file.dli_fbase)
            dprintf(file, "line %#zx %u\n", start - base, lines[i].transfers);
    }
}

static __attribute__((destructor)) void
write_counters(void)
{
    static const char *const ranks[] = {
#define LOCK_RANK(name, purpose) #name,
#include "config/lock_ranks.def"
#undef LOCK_RANK
    };
    const char *path = getenv("XALLOC_COUNT_FILE");
    int file = path == NULL ? -1 : open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (file < 0)
        return;
    static struct counters sum;
    for (unsigned i = 1; i < THREADS_MAX; i++)
        add(&sum, &counters[i]);
#define COUNTER(name, text) dprintf(file, "count %s %zu\n", #name, (size_t)sum.name);
#include "synchronisation_counters.def"
#undef COUNTER
    for (unsigned i = 0; i < XA_LOCK_RANKS; i++) {
        dprintf(file, "locks %s %zu\n", ranks[i], (size_t)sum.locks_of_rank[i]);
        dprintf(file, "failures %s %zu\n", ranks[i], (size_t)sum.failures_of_rank[i]);
    }
    write_places(file);
    close(file);
}
