/*
 * os_linux.c - the contract of os.h on Linux.
 *
 * Memory, files and the environment; what is about threads is in os_linux_threads.c.
 *
 * Every call number used here belongs to the oldest kernels, so that a seccomp
 * filter meets nothing new after start.  Newer advice, such as MADV_WIPEONFORK, may be
 * refused, which is a result like any other.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* mremap() flags */
#endif
#include "os/os_linux.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/random.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#ifndef MADV_FREE
#define MADV_FREE 8
#endif
#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE 103
#endif

#ifdef SYS_mmap2
enum { MAP_CALL = SYS_mmap2 };
#else
enum { MAP_CALL = SYS_mmap };
#endif

struct xa_os_facts xa_os_facts;

enum { KEPT_ERROR_MIN = 200 };

/* A copy of standard error, or an error number. */
static long kept_error = -EBADF;

/* libc's environment; absent in a program that has none. */
extern char **environ XA_WEAK;

static long
map(uintptr_t address, size_t bytes, int protection, int flags)
{
    flags |= MAP_PRIVATE | MAP_ANONYMOUS;
#ifdef __s390x__
    /* This one call takes its arguments from memory. */
    long arguments[] = {(long)address, (long)bytes, protection, flags, -1, 0};
    return xa_os_linux_call(SYS_mmap, (long)arguments, 0, 0, 0, 0, 0);
#else
    return xa_os_linux_call(MAP_CALL, (long)address, (long)bytes, protection, flags, -1, 0);
#endif
}

void
xa_os_init(void)
{
    size_t page = getauxval(AT_PAGESZ);
    xa_os_facts.page_bytes = page != 0 ? page : 4096;
    xa_os_facts.is_secure = getauxval(AT_SECURE) != 0;
    /* The kernel's 16 random bytes also make libc's stack canary: mix, never show them. */
    const volatile unsigned char *random =
        (const volatile unsigned char *)(uintptr_t)getauxval(AT_RANDOM);
    uint64_t state = (uint64_t)(uintptr_t)&xa_os_facts;
    for (unsigned i = 0; random != NULL && i < 16; i++)
        state = state * 31 + random[i];
    uint64_t first = xa_random_next(&state);
    xa_os_facts.seed = xa_random_next(&state) ^ (first >> 7);
}

enum xa_os_result
xa_os_map(uintptr_t address, size_t bytes)
{
    long result = map(address, bytes, PROT_READ | PROT_WRITE, MAP_FIXED_NOREPLACE);
    if (result == -EEXIST || result == -EINVAL || result == -EPERM)
        return XA_OS_TAKEN;
    if (xa_os_linux_is_error(result))
        return XA_OS_NO_MEMORY;
    if ((uintptr_t)result == address)
        return XA_OS_DONE;
    /* A kernel before 4.17 takes the address as a hint only. */
    xa_os_unmap((uintptr_t)result, bytes);
    return XA_OS_TAKEN;
}

uintptr_t
xa_os_map_anywhere(size_t bytes)
{
    long result = map(0, bytes, PROT_READ | PROT_WRITE, 0);
    return xa_os_linux_is_error(result) ? 0 : (uintptr_t)result;
}

/*
 * Between the heap's window, which ends at 78 TiB (page/window.c), and programs, which begin at
 * 85 TiB; at random once, and then upwards.  Where that is no address, or taken, nothing is lost.
 */
uintptr_t
xa_os_map_apart(size_t bytes)
{
    enum { GAP_BYTES = 1024 * 1024 };
    static uintptr_t next;
    const uint64_t first = UINT64_C(79) << 40, span = UINT64_C(5) << 40;
    if (sizeof(uintptr_t) != 8 || XA_THREAD_SANITIZER)
        return xa_os_map_anywhere(bytes);
    if (next == 0) {
        uint64_t state = xa_os_facts.seed ^ first;
        next = (uintptr_t)(first + xa_random_next(&state) % span) & -(uintptr_t)GAP_BYTES;
    }
    uintptr_t start = next;
    if (xa_os_map(start, bytes) != XA_OS_DONE)
        return xa_os_map_anywhere(bytes);
    next = xa_bits_align_up(start + bytes, GAP_BYTES) + GAP_BYTES;
    return start;
}

uintptr_t
xa_os_find_free_range(size_t bytes)
{
    long result = map(0, bytes, PROT_NONE, MAP_NORESERVE);
    if (xa_os_linux_is_error(result))
        return 0;
    xa_os_unmap((uintptr_t)result, bytes);
    return (uintptr_t)result;
}

bool
xa_os_extend(uintptr_t address, size_t bytes, size_t new_bytes)
{
    /* Not by mapping more behind it: two mappings that were moved apart never become one again. */
    return !xa_os_linux_is_error(
        xa_os_linux_call(SYS_mremap, (long)address, (long)bytes, (long)new_bytes, 0, 0, 0));
}

bool
xa_os_unmap(uintptr_t address, size_t bytes)
{
    return !xa_os_linux_is_error(
        xa_os_linux_call(SYS_munmap, (long)address, (long)bytes, 0, 0, 0, 0));
}

bool
xa_os_purge(uintptr_t address, size_t bytes)
{
    return !xa_os_linux_is_error(
        xa_os_linux_call(SYS_madvise, (long)address, (long)bytes, MADV_DONTNEED, 0, 0, 0));
}

bool
xa_os_purge_lazily(uintptr_t address, size_t bytes)
{
    return !xa_os_linux_is_error(
        xa_os_linux_call(SYS_madvise, (long)address, (long)bytes, MADV_FREE, 0, 0, 0));
}

static bool
advise(uintptr_t address, size_t bytes, int advice)
{
    return !xa_os_linux_is_error(
        xa_os_linux_call(SYS_madvise, (long)address, (long)bytes, advice, 0, 0, 0));
}

static bool
protect(uintptr_t address, size_t bytes, int protection)
{
    return !xa_os_linux_is_error(
        xa_os_linux_call(SYS_mprotect, (long)address, (long)bytes, protection, 0, 0, 0));
}

bool
xa_os_guard(uintptr_t address, size_t bytes, enum xa_os_guard by)
{
    if (by == XA_OS_GUARD_BY_MARK)
        return advise(address, bytes, MADV_GUARD_INSTALL);
    return advise(address, bytes, MADV_DONTNEED) && protect(address, bytes, PROT_NONE);
}

bool
xa_os_unguard(uintptr_t address, size_t bytes, enum xa_os_guard by)
{
    if (by == XA_OS_GUARD_BY_MARK)
        return advise(address, bytes, MADV_GUARD_REMOVE);
    return protect(address, bytes, PROT_READ | PROT_WRITE);
}

bool
xa_os_advise_huge_pages(uintptr_t address, size_t bytes, enum xa_os_huge_pages wish)
{
    int advice = wish == XA_OS_HUGE_PAGES_WANTED ? MADV_HUGEPAGE : MADV_NOHUGEPAGE;
    return !xa_os_linux_is_error(
        xa_os_linux_call(SYS_madvise, (long)address, (long)bytes, advice, 0, 0, 0));
}

bool
xa_os_move(uintptr_t address, size_t bytes, uintptr_t new_address, size_t new_bytes)
{
    /* mremap() would replace whatever is there: hold the place first. */
    if (xa_os_linux_is_error(
            map(new_address, new_bytes, PROT_NONE, MAP_FIXED_NOREPLACE | MAP_NORESERVE)))
        return false;
    long result = xa_os_linux_call(SYS_mremap, (long)address, (long)bytes, (long)new_bytes,
        MREMAP_MAYMOVE | MREMAP_FIXED, (long)new_address, 0);
    if (!xa_os_linux_is_error(result))
        return true;
    xa_os_unmap(new_address, new_bytes);
    return false;
}

void
xa_os_resident_pages(uintptr_t address, size_t count, unsigned char *present)
{
    size_t page = xa_os_facts.page_bytes;
    while (count > 0) {
        size_t part = count;
        long result = xa_os_linux_call(
            SYS_mincore, (long)address, (long)(part * page), (long)present, 0, 0, 0);
        /* A hole somewhere: ask about less, down to the page that is not there. */
        while (result == -ENOMEM && part > 1) {
            part = xa_bits_divide_up(part, 2);
            result = xa_os_linux_call(
                SYS_mincore, (long)address, (long)(part * page), (long)present, 0, 0, 0);
        }
        for (size_t i = 0; i < part; i++)
            present[i] = xa_os_linux_is_error(result) ? result != -ENOMEM : present[i] & 1;
        address += part * page;
        present += part;
        count -= part;
    }
}

size_t
xa_os_resident_bytes(uintptr_t address, size_t bytes)
{
    unsigned char present[2048];
    size_t page = xa_os_facts.page_bytes, total = 0;
    for (size_t pages = bytes / page, part; pages > 0; pages -= part) {
        part = pages < sizeof present ? pages : sizeof present;
        xa_os_resident_pages(address, part, present);
        for (size_t i = 0; i < part; i++)
            total += present[i] * page;
        address += part * page;
    }
    return total;
}

/* The beginning of this library's file in memory, by the linker. */
extern const unsigned char __ehdr_start[] XA_HIDDEN XA_WEAK;

typedef ElfW(Ehdr) elf_header;
typedef ElfW(Phdr) program_header;

bool
xa_os_library_range(uintptr_t *start, size_t *bytes)
{
    const elf_header *header = (const void *)__ehdr_start;
    if (header == NULL)
        return false;
    const program_header *row = (const void *)(__ehdr_start + header->e_phoff);
    uintptr_t base = (uintptr_t)header, end = 0;
    /* The program's own: then what is linked to it is no library. */
    if (getauxval(AT_PHDR) == (uintptr_t)row)
        return false;
    for (unsigned i = 0; i < header->e_phnum; i++)
        if (row[i].p_type == PT_LOAD && row[i].p_vaddr + row[i].p_memsz > end)
            end = row[i].p_vaddr + row[i].p_memsz;
    *start = base;
    *bytes = xa_bits_align_up(end, xa_os_facts.page_bytes);
    return true;
}

/*
 * Unlike mincore(), which for a file tells of the system's cache, /proc/self/pagemap tells
 * of this process: eight bytes a page, their highest bit set if it is there.
 * Source: Linux Documentation/admin-guide/mm/pagemap.rst.
 */
size_t
xa_os_present_bytes(uintptr_t address, size_t bytes)
{
    uint64_t pages[64];
    size_t page = xa_os_facts.page_bytes, total = 0;
    long file = xa_os_linux_call(
        SYS_openat, AT_FDCWD, (long)"/proc/self/pagemap", O_RDONLY | O_CLOEXEC, 0, 0, 0);
    if (xa_os_linux_is_error(file))
        return 0;
    long got = xa_os_linux_call(
        SYS_lseek, file, (long)(address / page * sizeof pages[0]), SEEK_SET, 0, 0, 0);
    for (size_t left = bytes / page; left > 0 && got >= 0; left -= (size_t)got / sizeof pages[0]) {
        size_t part = left < 64 ? left : 64;
        got =
            xa_os_linux_call(SYS_read, file, (long)pages, (long)(part * sizeof pages[0]), 0, 0, 0);
        if (got < (long)sizeof pages[0])
            break;
        for (size_t i = 0; i < (size_t)got / sizeof pages[0]; i++)
            total += (size_t)(pages[i] >> 63) * page;
    }
    xa_os_linux_call(SYS_close, file, 0, 0, 0, 0, 0);
    return total;
}

bool
xa_os_wipe_on_fork(uintptr_t address)
{
    return !xa_os_linux_is_error(xa_os_linux_call(
        SYS_madvise, (long)address, (long)xa_os_facts.page_bytes, MADV_WIPEONFORK, 0, 0, 0));
}

uint64_t
xa_os_now_ms(void)
{
    /* Not libc's function: libraries that fake the time replace it, and allocate in it. */
    struct timespec now = {0};
    if (xa_os_linux_is_error(
            xa_os_linux_call(SYS_clock_gettime, CLOCK_MONOTONIC_COARSE, (long)&now, 0, 0, 0, 0)))
        return 0;
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static long
open_to_read(const char *path)
{
    /* A user may have named a pipe or a terminal: do not wait for one, nor be ruled by the other. */
    int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
    return xa_os_linux_call(SYS_openat, AT_FDCWD, (long)path, flags, 0, 0, 0);
}

bool
xa_os_read_pieces(const char *path, char *buffer, size_t capacity,
    void (*take)(void *context, const char *text, size_t bytes), void *context)
{
    long file = open_to_read(path), got = 1;
    if (xa_os_linux_is_error(file))
        return false;
    while (got > 0 || got == -EINTR) {
        got = xa_os_linux_call(SYS_read, file, (long)buffer, (long)capacity, 0, 0, 0);
        if (got > 0)
            take(context, buffer, (size_t)got);
    }
    xa_os_linux_call(SYS_close, file, 0, 0, 0, 0, 0);
    return got == 0;
}

long
xa_os_read_file(const char *path, char *buffer, size_t capacity)
{
    long file = open_to_read(path);
    if (xa_os_linux_is_error(file))
        return -1;
    size_t count = 0;
    long got = 1;
    while (count < capacity && got > 0) {
        got = xa_os_linux_call(
            SYS_read, file, (long)(buffer + count), (long)(capacity - count), 0, 0, 0);
        if (got == -EINTR)
            got = 1;
        else if (got > 0)
            count += (size_t)got;
    }
    xa_os_linux_call(SYS_close, file, 0, 0, 0, 0, 0);
    return xa_os_linux_is_error(got) ? -1 : (long)count;
}

bool
xa_os_environment_is_ready(void)
{
    return &environ != NULL && environ != NULL;
}

/* The text after "name=" if `entry` begins so, else NULL. */
static const char *
value_of(const char *entry, const char *name)
{
    while (*name != '\0' && *entry == *name)
        entry++, name++;
    return *name == '\0' && *entry == '=' ? entry + 1 : NULL;
}

const char *
xa_os_environment(const char *name)
{
    if (xa_os_facts.is_secure || !xa_os_environment_is_ready())
        return NULL;
    for (char **entry = environ; *entry != NULL; entry++) {
        const char *value = value_of(*entry, name);
        if (value != NULL)
            return value;
    }
    return NULL;
}

static bool
write_all(long file, const char *text, size_t bytes)
{
    while (bytes > 0) {
        long written = xa_os_linux_call(SYS_write, file, (long)text, (long)bytes, 0, 0, 0);
        if (written == -EINTR)
            continue;
        if (written <= 0)
            return false;
        text += written;
        bytes -= (size_t)written;
    }
    return true;
}

void
xa_os_keep_error(void)
{
    /* A high number, out of the way of programs that count on low ones. */
    kept_error =
        xa_os_linux_call(SYS_fcntl, STDERR_FILENO, F_DUPFD_CLOEXEC, KEPT_ERROR_MIN, 0, 0, 0);
}

void
xa_os_write_error(const char *text, size_t bytes)
{
    if (!write_all(STDERR_FILENO, text, bytes) && !xa_os_linux_is_error(kept_error))
        (void)write_all(kept_error, text, bytes);
}

bool
xa_os_append_file(const char *path, enum xa_os_file which, const char *text, size_t bytes)
{
    int flags = O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK;
    if (which == XA_OS_FILE_NEW)
        flags |= O_CREAT | O_EXCL;
    long file = xa_os_linux_call(SYS_openat, AT_FDCWD, (long)path, flags, 0600, 0, 0);
    if (xa_os_linux_is_error(file))
        return false;
    bool done = write_all(file, text, bytes);
    xa_os_linux_call(SYS_close, file, 0, 0, 0, 0, 0);
    return done;
}

unsigned
xa_os_process_id(void)
{
    return (unsigned)xa_os_linux_call(SYS_getpid, 0, 0, 0, 0, 0, 0);
}

void
xa_os_abort(void)
{
    abort();
}
