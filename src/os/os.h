/*
 * os.h - all that the host provides: the contract that each platform file keeps.
 *
 * No policy here.  Sizes and addresses are in bytes and multiples of the page
 * unless said otherwise.  Nothing here changes errno, allocates, or calls a libc
 * function that another preloaded library is likely to interpose, except where a
 * comment says so.  Failures are results: the callers go on without.
 */
#ifndef XA_OS_OS_H
#define XA_OS_OS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/annotate.h"

/* What the allocator has to know of the host; filled by xa_os_init(). */
struct xa_os_facts {
    size_t page_bytes; /* [c] a power of two */
    uint64_t seed;     /* [c] unpredictable from outside the process */
    bool is_secure;    /* [c] setuid and the like: the environment is not to be trusted */
};

extern struct xa_os_facts xa_os_facts;

/* Read the facts.  Called once, first. */
void xa_os_init(void);

enum xa_os_result {
    XA_OS_DONE,
    XA_OS_TAKEN,     /* something else is at that address, or it is outside the address space */
    XA_OS_NO_MEMORY, /* memory, address space or the number of mappings ran out */
};

/* Map zeroed private memory exactly at `address`, or nothing. */
XA_MUST_USE enum xa_os_result xa_os_map(uintptr_t address, size_t bytes);

/* Map zeroed private memory wherever the host likes; 0 if it fails. */
XA_MUST_USE uintptr_t xa_os_map_anywhere(size_t bytes);

/*
 * The same, but far from what the host and the program place, with unmapped pages on both sides,
 * where addresses are plenty; else wherever the host likes.  Callers take turns.
 */
XA_MUST_USE uintptr_t xa_os_map_apart(size_t bytes);

/* Find an address range that is free now and costs nothing to keep; 0 if there is none. */
XA_MUST_USE uintptr_t xa_os_find_free_range(size_t bytes);

/*
 * Make one mapping longer where it stands, with zeros.  False if something is behind
 * it or memory ran out; nothing has changed then.
 */
XA_MUST_USE bool xa_os_extend(uintptr_t address, size_t bytes, size_t new_bytes);

/* Give the range back.  False if the host could not (it may lack room for the split). */
bool xa_os_unmap(uintptr_t address, size_t bytes);

/* Drop the contents: the pages are zero at their next use.  False if they stay as they are. */
bool xa_os_purge(uintptr_t address, size_t bytes);

/*
 * Let the host take the pages when it runs short: until the next write they read as they
 * were or as zeros, and count as resident.  False if the host cannot; nothing has changed then.
 */
bool xa_os_purge_lazily(uintptr_t address, size_t bytes);

/*
 * Make pages inaccessible, and their contents gone; and accessible again, reading as zeros.
 * By marks in the page table, which no mapping is split for and which Linux has since 6.13,
 * or by the protection of mappings.  False if the host could not.
 */
enum xa_os_guard { XA_OS_GUARD_BY_MARK, XA_OS_GUARD_BY_PROTECTION };
XA_MUST_USE bool xa_os_guard(uintptr_t address, size_t bytes, enum xa_os_guard by);
XA_MUST_USE bool xa_os_unguard(uintptr_t address, size_t bytes, enum xa_os_guard by);

/* Let the range have huge pages, or keep them away.  False if the host has none. */
enum xa_os_huge_pages { XA_OS_HUGE_PAGES_AVOIDED, XA_OS_HUGE_PAGES_WANTED };
bool xa_os_advise_huge_pages(uintptr_t address, size_t bytes, enum xa_os_huge_pages wish);

/*
 * Move a mapping with its contents to `new_address`, where `new_bytes` are free,
 * growing it with zeros.  On failure everything is as before.
 */
XA_MUST_USE bool xa_os_move(
    uintptr_t address, size_t bytes, uintptr_t new_address, size_t new_bytes);

/* Bytes of the range that are in memory now: 0 where nothing is mapped, all if the host cannot tell. */
size_t xa_os_resident_bytes(uintptr_t address, size_t bytes);

/* Of `count` pages, say in present[] which are in memory now (1) and which not (0), as above. */
void xa_os_resident_pages(uintptr_t address, size_t count, unsigned char *present);

/* Where this library's own file is mapped.  False if it is part of the program. */
XA_MUST_USE bool xa_os_library_range(uintptr_t *start, size_t *bytes);

/*
 * Bytes of the range that this process has in memory, files' pages included; 0 if the host
 * does not tell.  Opens a file meanwhile.
 */
size_t xa_os_present_bytes(uintptr_t address, size_t bytes);

/* The page at `address` reads as zeros in every child process.  False if unsupported. */
bool xa_os_wipe_on_fork(uintptr_t address);

/* Milliseconds of a clock that never runs backwards; coarse. */
uint64_t xa_os_now_ms(void);

/* Processors that this thread may run on, at least 1. */
unsigned xa_os_affinity_count(void);

/* Read at most `capacity` bytes of a file; the count, or -1 if it cannot be read. */
long xa_os_read_file(const char *path, char *buffer, size_t capacity);

/*
 * Read a file to its end in pieces of at most `capacity` bytes, each handed to `take`.
 * False if it cannot be read.
 */
bool xa_os_read_pieces(const char *path, char *buffer, size_t capacity,
    void (*take)(void *context, const char *text, size_t bytes), void *context);

/* True once libc has set up the environment. */
bool xa_os_environment_is_ready(void);

/* The variable's value or NULL; always NULL in a secure process. */
const char *xa_os_environment(const char *name);

/*
 * Keep a copy of standard error for the report at exit: many programs close theirs
 * in their last breath.  The one descriptor that xalloc ever keeps, on request only.
 */
void xa_os_keep_error(void);

/* Write to standard error, or to the copy if it is closed; gives up on failure. */
void xa_os_write_error(const char *text, size_t bytes);

/*
 * Append to the file `path`.  A new one is made for its owner alone, and must not exist, not
 * even as a link.  False if it cannot be written.
 */
enum xa_os_file { XA_OS_FILE_NEW, XA_OS_FILE_EXISTING };
bool xa_os_append_file(const char *path, enum xa_os_file which, const char *text, size_t bytes);

/* The number of this process. */
unsigned xa_os_process_id(void);

/* True only if the calling thread certainly is the process's only one. */
bool xa_os_is_alone(void);

/*
 * The number of the calling thread among all of the host's, or XA_OS_MAIN_THREAD, which is
 * the process's main thread whatever number that has: it stays right in a child that it forks.
 */
enum { XA_OS_MAIN_THREAD = 0 };
unsigned xa_os_thread_number(void);

/*
 * True if that thread of this process is asleep in a system call at some moment of this
 * call.  What the caller wrote before the call is there for the thread when it wakes, and
 * what the thread wrote before it fell asleep is there for the caller.
 */
bool xa_os_thread_rests(unsigned number);

/*
 * True if that thread of this process is asleep in a system call at some moment of this
 * call, and in no signal handler: then it is in the middle of nothing of ours.  It may
 * be in a handler, which may have interrupted anything, if it blocks a signal that the
 * process handles.  False if it is not asleep, or if the host does not tell.
 */
bool xa_os_thread_sleeps(unsigned number);

/*
 * Sleep until the word is no longer `expected`, for some milliseconds at most, or less
 * for any other reason.
 */
void xa_os_wait(_Atomic uint32_t *word, uint32_t expected, uint64_t milliseconds);

/* Wake one sleeper. */
void xa_os_wake_one(_Atomic uint32_t *word);

/* Let another thread run. */
void xa_os_yield(void);

/* End the process so that a core dump shows the caller. */
XA_NORETURN void xa_os_abort(void);

/* A number that differs between living threads, never 0, the same in a forked child. */
static inline uintptr_t
xa_os_thread_id(void)
{
#if defined(__x86_64__) && !defined(__ILP32__)
    uintptr_t id;
    __asm__("mov %%fs:0, %0" : "=r"(id));
    return id;
#elif defined(__i386__)
    uintptr_t id;
    __asm__("mov %%gs:0, %0" : "=r"(id));
    return id;
#elif defined(__powerpc64__)
    /* Compilers before gcc 13 have no builtin for it. */
    uintptr_t id;
    __asm__("mr %0, 13" : "=r"(id));
    return id;
#else
    return (uintptr_t)__builtin_thread_pointer();
#endif
}

/* Tell the processor that this is a spin loop. */
static inline void
xa_os_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

#endif
