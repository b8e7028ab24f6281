/*
 * os_fake.c - see os_fake.h.
 *
 * Memory is real memory of this process, mapped where the core wants it: so it is
 * zero when it should be, its contents survive a move, and touching what was unmapped
 * faults.  Beside it a sorted list of ranges says what is mapped, and every call is
 * checked against the list before it is done.  Neighbouring ranges are merged, as in
 * a kernel.  A page larger than the machine's is as many of its pages.
 *
 * Locking: one mutex around everything but the settings, which a test changes while
 * it has one thread, and waiting for a word.
 */
#define _GNU_SOURCE

#include "support/os_fake.h"

#include <errno.h>
#include <fnmatch.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "support/child.h"
#include "support/words.h"

enum {
    RANGES_MAX = 16384,
    WISHES_MAX = 16384,
    FOREIGN_MAX = 1024,
    NAMES_MAX = 32,
    APPENDED_MAX = 64 * 1024,
    ERRORS_MAX = 64 * 1024,
    CHILD_SECONDS = 120,
};

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

struct range {
    uintptr_t start;
    uintptr_t end;
};

struct named {
    const char *name;
    const char *value;
};

/* What was said of huge pages in a range. */
struct wish {
    struct range range;
    int wish;
};

/* One call of a kind, or any, that is to fail. */
struct failure {
    enum xa_os_fake_call call;
    unsigned long countdown; /* 0: nothing is to fail */
    enum xa_os_fake_mode mode;
};

struct xa_os_facts xa_os_facts;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static struct {
    struct range ranges[RANGES_MAX]; /* sorted, neither overlapping nor touching */
    size_t range_count;
    size_t mapped_bytes;
    struct range foreign[FOREIGN_MAX];
    size_t foreign_count;
    struct wish wishes[WISHES_MAX]; /* in the order of the calls; what is unmapped is forgotten */
    size_t wish_count;
    struct failure failure;
    unsigned long failures;
    unsigned long counts[XA_OS_FAKE_CALLS];
    char errors[ERRORS_MAX];
    size_t errors_length;
    char appended_path[PATH_MAX];
    char appended[APPENDED_MAX];
    size_t appended_length;
} host;

static struct {
    struct xa_os_facts facts;
    enum xa_os_result map_failure;
    bool may_be_taken;
    void (*_Atomic guest)(void); /* in purges */
    size_t mapped_max;
    uintptr_t address_end;
    uint64_t now_ms;
    unsigned processors;
    bool has_no_guard_marks;
    uint64_t signal_mask;
    unsigned asleep_number; /* 0: none */
    uint64_t asleep_mask;
    uintptr_t library_start;
    size_t library_bytes; /* 0: part of the program */
    bool environment_is_ready;
    struct named environment[NAMES_MAX];
    struct named files[NAMES_MAX];
} settings = {
    .facts = {.page_bytes = 4096, .seed = UINT64_C(0x5eed0f7e575)},
    .map_failure = XA_OS_NO_MEMORY,
    .mapped_max = SIZE_MAX,
    .address_end = UINTPTR_MAX,
    .processors = 2,
    .environment_is_ready = true,
};

/* The core broke the contract. */
static _Noreturn void
misuse(const char *what, uintptr_t address, size_t bytes)
{
    fprintf(stderr, "os_fake: %s: 0x%zx, %zu bytes\n", what, (size_t)address, bytes);
    abort();
}

/* ---- Ranges ---- */

/* The first range that ends behind `address`. */
static size_t
find_range(uintptr_t address)
{
    size_t low = 0, high = host.range_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (host.ranges[middle].end > address)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static bool
covers(uintptr_t address, size_t bytes)
{
    size_t index = find_range(address);
    return index < host.range_count && host.ranges[index].start <= address &&
        address + bytes <= host.ranges[index].end;
}

static bool
is_clear_of(uintptr_t address, size_t bytes)
{
    size_t index = find_range(address);
    return index == host.range_count || host.ranges[index].start >= address + bytes;
}

static void
replace_ranges(size_t index, size_t removed, const struct range *added, size_t added_count)
{
    if (host.range_count - removed + added_count > RANGES_MAX)
        misuse("too many mappings for os_fake.c", 0, host.range_count);
    memmove(&host.ranges[index + added_count], &host.ranges[index + removed],
        (host.range_count - index - removed) * sizeof *host.ranges);
    memcpy(&host.ranges[index], added, added_count * sizeof *added);
    host.range_count = host.range_count - removed + added_count;
}

static void
add_range(uintptr_t address, size_t bytes)
{
    size_t index = find_range(address), removed = 0;
    struct range added = {address, address + bytes};
    if (index > 0 && host.ranges[index - 1].end == address) {
        added.start = host.ranges[--index].start;
        removed++;
    }
    if (index + removed < host.range_count && host.ranges[index + removed].start == added.end)
        added.end = host.ranges[index + removed++].end;
    replace_ranges(index, removed, &added, 1);
    host.mapped_bytes += bytes;
}

static void
remove_range(uintptr_t address, size_t bytes)
{
    size_t index = find_range(address), left_count = 0;
    struct range whole = host.ranges[index], left[2];
    if (whole.start < address)
        left[left_count++] = (struct range){whole.start, address};
    if (address + bytes < whole.end)
        left[left_count++] = (struct range){address + bytes, whole.end};
    replace_ranges(index, 1, left, left_count);
    host.mapped_bytes -= bytes;
}

static bool
is_foreign(uintptr_t address, size_t bytes)
{
    if (address + bytes > settings.address_end || address + bytes < address)
        return true;
    for (size_t i = 0; i < host.foreign_count; i++)
        if (address < host.foreign[i].end && host.foreign[i].start < address + bytes)
            return true;
    return false;
}

static void
check_multiple(const char *what, uintptr_t address, size_t bytes)
{
    size_t page = xa_os_facts.page_bytes;
    if (page == 0)
        misuse("a call before xa_os_init()", address, bytes);
    if (bytes == 0 || (address | bytes) % page != 0)
        misuse(what, address, bytes);
}

/* ---- Failing ---- */

/* Count the call; true if it is to fail. */
static bool
is_to_fail(enum xa_os_fake_call call)
{
    struct failure *failure = &host.failure;
    host.counts[call]++;
    if (failure->countdown == 0 || (failure->call != XA_OS_FAKE_ANY && failure->call != call))
        return false;
    if (failure->countdown > 1) {
        failure->countdown--;
        return false;
    }
    if (failure->mode == XA_OS_FAKE_ONCE)
        failure->countdown = 0;
    host.failures++;
    return true;
}

static bool
is_to_fail_locked(enum xa_os_fake_call call)
{
    pthread_mutex_lock(&mutex);
    bool fails = is_to_fail(call);
    pthread_mutex_unlock(&mutex);
    return fails;
}

/* ---- The machine's memory ---- */

static void
add_wish(uintptr_t address, size_t bytes, int wish)
{
    if (host.wish_count == WISHES_MAX)
        misuse("too many wishes for os_fake.c", address, bytes);
    host.wishes[host.wish_count++] = (struct wish){{address, address + bytes}, wish};
}

static int
find_wish(uintptr_t address)
{
    for (size_t i = host.wish_count; i-- > 0;)
        if (host.wishes[i].range.start <= address && address < host.wishes[i].range.end)
            return host.wishes[i].wish;
    return XA_OS_FAKE_NO_WISH;
}

/* The range is unmapped: what was said of any part of it no longer holds. */
static void
forget_wishes(uintptr_t address, size_t bytes)
{
    if (host.wish_count > 0)
        add_wish(address, bytes, XA_OS_FAKE_NO_WISH);
}

/* A mapping got longer or moved: what was said of it holds for all of it. */
static void
carry_wish(int wish, uintptr_t address, size_t bytes)
{
    if (wish != XA_OS_FAKE_NO_WISH)
        add_wish(address, bytes, wish);
}

/* Real memory, exactly there or (address 0) at any multiple of the page; 0 if none is free. */
static uintptr_t
map_really(uintptr_t address, size_t bytes)
{
    size_t page = xa_os_facts.page_bytes, slack = address == 0 ? page : 0;
    void *result = mmap((void *)address, bytes + slack, PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (address != 0 ? MAP_FIXED_NOREPLACE : 0), -1,
        0);
    if (result == MAP_FAILED)
        return 0;
    uintptr_t start = (uintptr_t)result, aligned = (start + page - 1) & ~(page - 1);
    if (address != 0)
        aligned = start;
    if (aligned > start)
        munmap(result, aligned - start);
    if (slack != 0 && aligned + bytes < start + bytes + slack)
        munmap((void *)(aligned + bytes), start + slack - aligned);
    /* What is resident shall be what was touched. */
    madvise((void *)aligned, bytes, MADV_NOHUGEPAGE);
    return aligned;
}

/* Which of the machine's pages are in memory; what is not mapped is not. */
static void
look_at_pages(uintptr_t address, size_t count, unsigned char *present)
{
    size_t machine_page = (size_t)sysconf(_SC_PAGESIZE);
    if (mincore((void *)address, count * machine_page, present) == 0)
        return;
    for (size_t i = 0; i < count; i++)
        if (mincore((void *)(address + i * machine_page), machine_page, &present[i]) != 0)
            present[i] = 0;
}

/* Bytes of the range's pages, mapped or not, that are in memory. */
static size_t
count_resident(uintptr_t address, size_t bytes)
{
    enum { BLOCK = 4096 };
    unsigned char present[BLOCK];
    size_t machine_page = (size_t)sysconf(_SC_PAGESIZE), page = xa_os_facts.page_bytes, total = 0;
    for (size_t done = 0, count; done < bytes; done += count * machine_page) {
        count = (bytes - done) / machine_page < BLOCK ? (bytes - done) / machine_page : BLOCK;
        look_at_pages(address + done, count, present);
        for (size_t first = 0; first < count; first += page / machine_page) {
            bool any = false;
            for (size_t i = first; i < first + page / machine_page; i++)
                any = any || (present[i] & 1) != 0;
            total += any ? page : 0;
        }
    }
    return total;
}

/* ---- The contract ---- */

void
xa_os_init(void)
{
    xa_os_facts = settings.facts;
}

static enum xa_os_result
map_locked(uintptr_t address, size_t bytes)
{
    if (is_to_fail(XA_OS_FAKE_MAP))
        return settings.map_failure;
    if (is_foreign(address, bytes))
        return XA_OS_TAKEN;
    if (!is_clear_of(address, bytes)) {
        if (!settings.may_be_taken)
            misuse("mapped over a mapping", address, bytes);
        return XA_OS_TAKEN;
    }
    if (bytes > settings.mapped_max || host.mapped_bytes > settings.mapped_max - bytes)
        return XA_OS_NO_MEMORY;
    if (map_really(address, bytes) != address)
        return XA_OS_TAKEN;
    add_range(address, bytes);
    return XA_OS_DONE;
}

enum xa_os_result
xa_os_map(uintptr_t address, size_t bytes)
{
    check_multiple("mapped by something else than pages", address, bytes);
    pthread_mutex_lock(&mutex);
    enum xa_os_result result = map_locked(address, bytes);
    pthread_mutex_unlock(&mutex);
    return result;
}

uintptr_t
xa_os_map_anywhere(size_t bytes)
{
    uintptr_t address = 0;
    check_multiple("mapped by something else than pages", 0, bytes);
    pthread_mutex_lock(&mutex);
    if (!is_to_fail(XA_OS_FAKE_MAP_ANYWHERE) && bytes <= settings.mapped_max &&
        host.mapped_bytes <= settings.mapped_max - bytes)
        address = map_really(0, bytes);
    if (address != 0)
        add_range(address, bytes);
    pthread_mutex_unlock(&mutex);
    return address;
}

uintptr_t
xa_os_map_apart(size_t bytes)
{
    return xa_os_map_anywhere(bytes);
}

/* A range of the machine's address space that is free, and allowed by the settings. */
static uintptr_t
find_free_range(size_t bytes)
{
    const uintptr_t step = (uintptr_t)1 << (sizeof(uintptr_t) == 8 ? 30 : 24);
    size_t page = xa_os_facts.page_bytes;
    uintptr_t end = settings.address_end;
    /* ThreadSanitizer ends a program that maps elsewhere than here (or far above). */
    if (XA_THREAD_SANITIZER && end > xa_words_power(39))
        end = xa_words_power(39);
    if (bytes > end)
        return 0;
    /* Above what sanitizers keep for themselves at the bottom. */
    for (uintptr_t at = 4 * step; at < end - bytes && at + step > at; at += step) {
        if (!is_clear_of(at, bytes) || is_foreign(at, bytes))
            continue;
        void *result = mmap((void *)at, bytes, PROT_NONE,
            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
        if (result == MAP_FAILED && errno == ENOMEM)
            return 0;
        if (result == MAP_FAILED)
            continue;
        munmap(result, bytes);
        return (at + page - 1) & ~(page - 1);
    }
    return 0;
}

uintptr_t
xa_os_find_free_range(size_t bytes)
{
    check_multiple("asked for something else than pages", 0, bytes);
    pthread_mutex_lock(&mutex);
    uintptr_t address = is_to_fail(XA_OS_FAKE_FIND_FREE_RANGE) ? 0 : find_free_range(bytes);
    pthread_mutex_unlock(&mutex);
    return address;
}

static bool
extend_locked(uintptr_t address, size_t bytes, size_t new_bytes)
{
    bool fails = is_to_fail(XA_OS_FAKE_EXTEND);
    size_t more = new_bytes - bytes;
    if (!covers(address, bytes) || new_bytes <= bytes)
        misuse("extended what is not mapped", address, bytes);
    if (!is_clear_of(address + bytes, more))
        misuse("extended over a mapping", address + bytes, more);
    if (fails || is_foreign(address + bytes, more) ||
        more > settings.mapped_max - host.mapped_bytes)
        return false;
    if (mremap((void *)address, bytes, new_bytes, 0) == MAP_FAILED)
        return false;
    add_range(address + bytes, more);
    carry_wish(find_wish(address), address, new_bytes);
    return true;
}

bool
xa_os_extend(uintptr_t address, size_t bytes, size_t new_bytes)
{
    check_multiple("extended something else than pages", address, bytes);
    check_multiple("extended to something else than pages", address, new_bytes);
    pthread_mutex_lock(&mutex);
    bool done = extend_locked(address, bytes, new_bytes);
    pthread_mutex_unlock(&mutex);
    return done;
}

bool
xa_os_unmap(uintptr_t address, size_t bytes)
{
    check_multiple("unmapped by something else than pages", address, bytes);
    pthread_mutex_lock(&mutex);
    bool fails = is_to_fail(XA_OS_FAKE_UNMAP);
    if (!covers(address, bytes))
        misuse("unmapped what is not mapped", address, bytes);
    if (!fails) {
        if (munmap((void *)address, bytes) != 0)
            misuse("munmap() really failed", address, bytes);
        remove_range(address, bytes);
        forget_wishes(address, bytes);
    }
    pthread_mutex_unlock(&mutex);
    return !fails;
}

bool
xa_os_purge(uintptr_t address, size_t bytes)
{
    check_multiple("purged something else than pages", address, bytes);
    void (*guest)(void) = settings.guest;
    if (guest != NULL)
        guest();
    pthread_mutex_lock(&mutex);
    bool fails = is_to_fail(XA_OS_FAKE_PURGE);
    if (!covers(address, bytes))
        misuse("purged what is not mapped", address, bytes);
    if (!fails && madvise((void *)address, bytes, MADV_DONTNEED) != 0)
        misuse("madvise() really failed", address, bytes);
    pthread_mutex_unlock(&mutex);
    return !fails;
}

/* As a host that never runs short: nothing is lost. */
bool
xa_os_purge_lazily(uintptr_t address, size_t bytes)
{
    check_multiple("offered something else than pages", address, bytes);
    pthread_mutex_lock(&mutex);
    bool fails = is_to_fail(XA_OS_FAKE_PURGE_LAZILY);
    if (!covers(address, bytes))
        misuse("offered what is not mapped", address, bytes);
    pthread_mutex_unlock(&mutex);
    return !fails;
}

/* By either way: what tests see of it is the same. */
static bool
change_access(uintptr_t address, size_t bytes, enum xa_os_guard by, int protection)
{
    check_multiple("guarded something else than pages", address, bytes);
    pthread_mutex_lock(&mutex);
    bool fails =
        is_to_fail(XA_OS_FAKE_GUARD) || (by == XA_OS_GUARD_BY_MARK && settings.has_no_guard_marks);
    if (!covers(address, bytes))
        misuse("guarded what is not mapped", address, bytes);
    if (!fails && protection == PROT_NONE && madvise((void *)address, bytes, MADV_DONTNEED) != 0)
        misuse("madvise() really failed", address, bytes);
    if (!fails && mprotect((void *)address, bytes, protection) != 0)
        misuse("mprotect() really failed", address, bytes);
    pthread_mutex_unlock(&mutex);
    return !fails;
}

bool
xa_os_guard(uintptr_t address, size_t bytes, enum xa_os_guard by)
{
    return change_access(address, bytes, by, PROT_NONE);
}

bool
xa_os_unguard(uintptr_t address, size_t bytes, enum xa_os_guard by)
{
    return change_access(address, bytes, by, PROT_READ | PROT_WRITE);
}

bool
xa_os_advise_huge_pages(uintptr_t address, size_t bytes, enum xa_os_huge_pages wish)
{
    check_multiple("advised something else than pages", address, bytes);
    pthread_mutex_lock(&mutex);
    bool fails = is_to_fail(XA_OS_FAKE_ADVISE_HUGE_PAGES);
    if (!covers(address, bytes))
        misuse("advised what is not mapped", address, bytes);
    if (!fails)
        add_wish(address, bytes, (int)wish);
    pthread_mutex_unlock(&mutex);
    return !fails;
}

/* The checks of a move; false if the host refuses it. */
static bool
may_move(uintptr_t address, size_t bytes, uintptr_t new_address, size_t new_bytes)
{
    bool fails = is_to_fail(XA_OS_FAKE_MOVE);
    if (!covers(address, bytes))
        misuse("moved what is not mapped", address, bytes);
    if (!is_clear_of(new_address, new_bytes))
        misuse("moved over a mapping", new_address, new_bytes);
    if (fails || is_foreign(new_address, new_bytes))
        return false;
    return new_bytes <= bytes || new_bytes - bytes <= settings.mapped_max - host.mapped_bytes;
}

static bool
move_really(uintptr_t address, size_t bytes, uintptr_t new_address, size_t new_bytes)
{
    if (map_really(new_address, new_bytes) == 0)
        return false;
    if (mremap((void *)address, bytes, new_bytes, MREMAP_MAYMOVE | MREMAP_FIXED,
            (void *)new_address) == MAP_FAILED) {
        munmap((void *)new_address, new_bytes);
        return false;
    }
    return true;
}

bool
xa_os_move(uintptr_t address, size_t bytes, uintptr_t new_address, size_t new_bytes)
{
    check_multiple("moved something else than pages", address, bytes);
    check_multiple("moved to something else than pages", new_address, new_bytes);
    pthread_mutex_lock(&mutex);
    bool done = may_move(address, bytes, new_address, new_bytes) &&
        move_really(address, bytes, new_address, new_bytes);
    if (done) {
        remove_range(address, bytes);
        add_range(new_address, new_bytes);
        carry_wish(find_wish(address), new_address, new_bytes);
        forget_wishes(address, bytes);
    }
    pthread_mutex_unlock(&mutex);
    return done;
}

size_t
xa_os_resident_bytes(uintptr_t address, size_t bytes)
{
    if (bytes == 0)
        return 0;
    /* Static memory of the core may lie across the large pages of some settings. */
    size_t page = xa_os_facts.page_bytes, before = address % page;
    size_t total = count_resident(address - before, (bytes + before + page - 1) & ~(page - 1));
    return total < bytes ? total : bytes;
}

void
xa_os_resident_pages(uintptr_t address, size_t count, unsigned char *present)
{
    size_t page = xa_os_facts.page_bytes;
    if (page == (size_t)sysconf(_SC_PAGESIZE))
        look_at_pages(address, count, present);
    for (size_t i = 0; i < count; i++)
        present[i] = page == (size_t)sysconf(_SC_PAGESIZE)
            ? present[i] & 1
            : count_resident(address + i * page, page) != 0;
}

bool
xa_os_library_range(uintptr_t *start, size_t *bytes)
{
    *start = settings.library_start;
    *bytes = settings.library_bytes;
    return settings.library_bytes != 0;
}

size_t
xa_os_present_bytes(uintptr_t address, size_t bytes)
{
    (void)address;
    return bytes / 2;
}

bool
xa_os_wipe_on_fork(uintptr_t address)
{
    if (is_to_fail_locked(XA_OS_FAKE_WIPE_ON_FORK))
        return false;
    return madvise((void *)address, xa_os_facts.page_bytes, MADV_WIPEONFORK) == 0;
}

uint64_t
xa_os_now_ms(void)
{
    return __atomic_load_n(&settings.now_ms, __ATOMIC_RELAXED);
}

unsigned
xa_os_affinity_count(void)
{
    return settings.processors;
}

static struct named *
find_named(struct named *list, const char *name)
{
    for (size_t i = 0; i < NAMES_MAX; i++)
        if (list[i].name != NULL && strcmp(list[i].name, name) == 0)
            return &list[i];
    return NULL;
}

long
xa_os_read_file(const char *path, char *buffer, size_t capacity)
{
    bool fails = is_to_fail_locked(XA_OS_FAKE_READ_FILE);
    const struct named *file = find_named(settings.files, path);
    if (fails || file == NULL || file->value == NULL)
        return -1;
    size_t length = strlen(file->value), bytes = length < capacity ? length : capacity;
    memcpy(buffer, file->value, bytes);
    return (long)bytes;
}

bool
xa_os_read_pieces(const char *path, char *buffer, size_t capacity,
    void (*take)(void *context, const char *text, size_t bytes), void *context)
{
    bool fails = is_to_fail_locked(XA_OS_FAKE_READ_FILE);
    const struct named *file = find_named(settings.files, path);
    if (fails || file == NULL || file->value == NULL)
        return false;
    size_t length = strlen(file->value);
    for (size_t done = 0, bytes; done < length; done += bytes) {
        bytes = length - done < capacity ? length - done : capacity;
        memcpy(buffer, file->value + done, bytes);
        take(context, buffer, bytes);
    }
    return true;
}

bool
xa_os_environment_is_ready(void)
{
    return settings.environment_is_ready;
}

const char *
xa_os_environment(const char *name)
{
    if (xa_os_facts.is_secure || !settings.environment_is_ready)
        return NULL;
    const struct named *variable = find_named(settings.environment, name);
    return variable != NULL ? variable->value : NULL;
}

/* Add to the text; its end is kept if it gets too long. */
static void
append(char *text, size_t *length, size_t capacity, const char *more, size_t bytes)
{
    if (bytes >= capacity) {
        more += bytes - (capacity - 1);
        bytes = capacity - 1;
    }
    size_t excess = *length + bytes < capacity ? 0 : *length + bytes - (capacity - 1);
    memmove(text, text + excess, *length - excess);
    *length -= excess;
    memcpy(text + *length, more, bytes);
    *length += bytes;
    text[*length] = '\0';
}

void
xa_os_keep_error(void)
{
    /* What is written stays in memory, whatever the program closes. */
}

void
xa_os_write_error(const char *text, size_t bytes)
{
    pthread_mutex_lock(&mutex);
    append(host.errors, &host.errors_length, ERRORS_MAX, text, bytes);
    pthread_mutex_unlock(&mutex);
}

bool
xa_os_append_file(const char *path, enum xa_os_file which, const char *text, size_t bytes)
{
    bool fails = is_to_fail_locked(XA_OS_FAKE_APPEND_FILE);
    bool exists = strcmp(host.appended_path, path) == 0 || find_named(settings.files, path) != NULL;
    if (fails || exists != (which == XA_OS_FILE_EXISTING))
        return false;
    pthread_mutex_lock(&mutex);
    if (which == XA_OS_FILE_NEW)
        host.appended_length = 0;
    snprintf(host.appended_path, sizeof host.appended_path, "%s", path);
    append(host.appended, &host.appended_length, APPENDED_MAX, text, bytes);
    pthread_mutex_unlock(&mutex);
    return true;
}

unsigned
xa_os_process_id(void)
{
    return 4711;
}

bool
xa_os_is_alone(void)
{
    return false;
}

unsigned
xa_os_thread_number(void)
{
    return (unsigned)syscall(SYS_gettid);
}

bool
xa_os_thread_rests(unsigned number)
{
    pthread_mutex_lock(&mutex);
    bool rests = number != 0 && number == settings.asleep_number;
    pthread_mutex_unlock(&mutex);
    return rests;
}

bool
xa_os_thread_sleeps(unsigned number)
{
    pthread_mutex_lock(&mutex);
    bool sleeps = number != 0 && number == settings.asleep_number &&
        settings.signal_mask == settings.asleep_mask;
    pthread_mutex_unlock(&mutex);
    return sleeps;
}

void
xa_os_wait(_Atomic uint32_t *word, uint32_t expected, uint64_t milliseconds)
{
    const struct timespec time = {
        .tv_sec = (time_t)(milliseconds / 1000), .tv_nsec = (long)(milliseconds % 1000) * 1000000};
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, &time, NULL, 0);
}

void
xa_os_wake_one(_Atomic uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

void
xa_os_yield(void)
{
    sched_yield();
}

void
xa_os_abort(void)
{
    /* For xa_os_fake_assert_fatal(), or for a person who reads why a test ended. */
    fflush(stdout);
    if (write(STDERR_FILENO, host.errors, host.errors_length) < 0)
        _exit(XA_CHILD_CHECK_FAILED);
    _exit(XA_OS_FAKE_ABORT_CODE);
}

/* ---- For the tests ---- */

void
xa_os_fake_set_page_bytes(size_t page_bytes)
{
    settings.facts.page_bytes = page_bytes;
}

void
xa_os_fake_set_seed(uint64_t seed)
{
    settings.facts.seed = seed;
}

void
xa_os_fake_set_secure(bool is_secure)
{
    settings.facts.is_secure = is_secure;
}

void
xa_os_fake_set_clock(uint64_t now_ms)
{
    __atomic_store_n(&settings.now_ms, now_ms, __ATOMIC_RELAXED);
}

void
xa_os_fake_set_affinity(unsigned processors)
{
    settings.processors = processors;
}

void
xa_os_fake_set_library(uintptr_t start, size_t bytes)
{
    settings.library_start = start;
    settings.library_bytes = bytes;
}

void
xa_os_fake_forbid_guard_marks(void)
{
    settings.has_no_guard_marks = true;
}

void
xa_os_fake_set_signal_mask(uint64_t signal_mask)
{
    __atomic_store_n(&settings.signal_mask, signal_mask, __ATOMIC_RELAXED);
}

void
xa_os_fake_set_asleep(unsigned thread_number, uint64_t signal_mask)
{
    pthread_mutex_lock(&mutex);
    settings.asleep_number = thread_number;
    settings.asleep_mask = signal_mask;
    pthread_mutex_unlock(&mutex);
}

void
xa_os_fake_set_awake(void)
{
    xa_os_fake_set_asleep(0, 0);
}

static void
set_named(struct named *list, const char *name, const char *value)
{
    struct named *row = find_named(list, name);
    for (size_t i = 0; row == NULL && i < NAMES_MAX; i++)
        if (list[i].name == NULL)
            row = &list[i];
    if (row == NULL)
        misuse("too many names for os_fake.c", 0, NAMES_MAX);
    *row = (struct named){name, value};
}

void
xa_os_fake_set_environment(const char *name, const char *value)
{
    set_named(settings.environment, name, value);
}

void
xa_os_fake_configure(const char *text)
{
    xa_os_fake_set_environment("XALLOC_CONF", text);
}

void
xa_os_fake_set_environment_ready(bool is_ready)
{
    settings.environment_is_ready = is_ready;
}

void
xa_os_fake_set_file(const char *path, const char *text)
{
    set_named(settings.files, path, text);
}

const char *
xa_os_fake_appended(const char *path)
{
    return strcmp(host.appended_path, path) == 0 ? host.appended : NULL;
}

void
xa_os_fake_fail(enum xa_os_fake_call call, unsigned long nth, enum xa_os_fake_mode mode)
{
    pthread_mutex_lock(&mutex);
    host.failure = (struct failure){call, nth, mode};
    host.failures = 0;
    pthread_mutex_unlock(&mutex);
}

void
xa_os_fake_set_map_failure(enum xa_os_result result)
{
    settings.map_failure = result;
}

void
xa_os_fake_set_guest(void (*guest)(void))
{
    settings.guest = guest;
}

void
xa_os_fake_let_be_taken(void)
{
    settings.may_be_taken = true;
}

void
xa_os_fake_stop_failing(void)
{
    pthread_mutex_lock(&mutex);
    host.failure.countdown = 0;
    pthread_mutex_unlock(&mutex);
}

unsigned long
xa_os_fake_failures(void)
{
    pthread_mutex_lock(&mutex);
    unsigned long failures = host.failures;
    pthread_mutex_unlock(&mutex);
    return failures;
}

unsigned long
xa_os_fake_count(enum xa_os_fake_call call)
{
    unsigned long sum = 0;
    pthread_mutex_lock(&mutex);
    for (unsigned i = 0; i < XA_OS_FAKE_CALLS; i++)
        if (call == XA_OS_FAKE_ANY || call == i)
            sum += host.counts[i];
    pthread_mutex_unlock(&mutex);
    return sum;
}

void
xa_os_fake_set_mapped_max(size_t bytes)
{
    settings.mapped_max = bytes;
}

void
xa_os_fake_set_address_end(uintptr_t end)
{
    settings.address_end = end;
}

uintptr_t
xa_os_fake_shorten_addresses(void)
{
    /* Sanitizers have the bottom for themselves: begin where something is free. */
    const size_t bytes = xa_words_power(sizeof(size_t) == 8 ? 35 : 30);
    xa_os_init();
    uintptr_t start = find_free_range(bytes);
    if (start == 0)
        misuse("no free range at the bottom of the address space", 0, bytes);
    return settings.address_end = start + bytes;
}

void
xa_os_fake_skip_unless_64_bits(void)
{
    if (sizeof(uintptr_t) == 8)
        return;
    print_message("skipped: this is about an address space of more than 4 GiB\n");
    skip();
}

void
xa_os_fake_add_foreign(uintptr_t address, size_t bytes)
{
    if (host.foreign_count == FOREIGN_MAX)
        misuse("too many foreign ranges for os_fake.c", address, bytes);
    host.foreign[host.foreign_count++] = (struct range){address, address + bytes};
}

void
xa_os_fake_remove_foreign(void)
{
    host.foreign_count = 0;
}

size_t
xa_os_fake_mapped_bytes(void)
{
    pthread_mutex_lock(&mutex);
    size_t bytes = host.mapped_bytes;
    pthread_mutex_unlock(&mutex);
    return bytes;
}

size_t
xa_os_fake_resident_bytes(void)
{
    size_t bytes = 0;
    pthread_mutex_lock(&mutex);
    for (size_t i = 0; i < host.range_count; i++)
        bytes += count_resident(host.ranges[i].start, host.ranges[i].end - host.ranges[i].start);
    pthread_mutex_unlock(&mutex);
    return bytes;
}

bool
xa_os_fake_is_mapped(uintptr_t address, size_t bytes)
{
    pthread_mutex_lock(&mutex);
    bool is_mapped = covers(address, bytes);
    pthread_mutex_unlock(&mutex);
    return is_mapped;
}

bool
xa_os_fake_is_unmapped(uintptr_t address, size_t bytes)
{
    pthread_mutex_lock(&mutex);
    bool is_unmapped = is_clear_of(address, bytes);
    pthread_mutex_unlock(&mutex);
    return is_unmapped;
}

int
xa_os_fake_huge_page_wish(uintptr_t address)
{
    pthread_mutex_lock(&mutex);
    int wish = find_wish(address);
    pthread_mutex_unlock(&mutex);
    return wish;
}

const char *
xa_os_fake_errors(void)
{
    return host.errors;
}

void
xa_os_fake_clear_errors(void)
{
    host.errors_length = 0;
    host.errors[0] = '\0';
}

struct fatal_call {
    void (*function)(void *);
    void *argument;
};

static int
call_fatal(void *argument)
{
    const struct fatal_call *call = argument;
    xa_os_fake_clear_errors();
    call->function(call->argument);
    return 0;
}

/* Large, and needed by one test at a time. */
static struct xa_child_result child_result;

void
xa_os_fake_assert_fatal(void (*function)(void *), void *argument, const char *errors)
{
    struct fatal_call call = {function, argument};
    xa_child_call(&child_result, CHILD_SECONDS, call_fatal, &call);
    if (child_result.timed_out || child_result.exit_code != XA_OS_FAKE_ABORT_CODE)
        fail_msg("exit code %d, signal %d instead of a fatal message; stderr: %s",
            child_result.exit_code, child_result.signal, child_result.errors);
    if (fnmatch(errors, child_result.errors, 0) != 0)
        assert_string_equal(child_result.errors, errors);
}

void
xa_os_fake_assert_errors(const char *errors)
{
    if (fnmatch(errors, xa_os_fake_errors(), 0) != 0)
        assert_string_equal(xa_os_fake_errors(), errors);
}

static int
run_alone(void *argument)
{
    /* The outer run of cmocka belongs to the parent: begin another one, of this test alone. */
    const struct CMUnitTest tests[] = {
        {"in a process of its own", *(CMUnitTestFunction *)argument, NULL, NULL, NULL},
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

void
xa_os_fake_run_fresh(void **state)
{
    xa_child_call(&child_result, CHILD_SECONDS, run_alone, *state);
    xa_child_assert_success(&child_result);
    if (strstr(child_result.output, "[  SKIPPED ]") == NULL)
        return;
    print_message("%s", child_result.output);
    skip();
}
