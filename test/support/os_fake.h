/*
 * os_fake.h - a host in memory, for tests of the core.
 *
 * It keeps the contract of os/os.h and is linked instead of os_linux.c.  A test can
 * set everything that the core asks the host for (page size, clock, environment,
 * files, processors), forbid parts of the address space, and make any call fail.
 * What the core does wrongly towards its host ends the test program with a message:
 * unmapping or purging what is not mapped, mapping over a mapping, an address or a
 * length that is no multiple of the page.
 *
 * The core is made of singletons, and a test needs them as they are at the start of
 * a process: a test listed with XA_OS_FAKE_FRESH runs in a child process of its own,
 * where cmocka's assertions work as usual.  Everything here is set up anew there.
 */
#ifndef XA_TEST_OS_FAKE_H
#define XA_TEST_OS_FAKE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "os/os.h"

enum { XA_OS_FAKE_ABORT_CODE = 70 /* exit code after xa_os_abort() */ };

/* The calls that can fail. */
enum xa_os_fake_call {
    XA_OS_FAKE_MAP,
    XA_OS_FAKE_MAP_ANYWHERE,
    XA_OS_FAKE_FIND_FREE_RANGE,
    XA_OS_FAKE_EXTEND,
    XA_OS_FAKE_UNMAP,
    XA_OS_FAKE_PURGE,
    XA_OS_FAKE_PURGE_LAZILY,
    XA_OS_FAKE_GUARD,
    XA_OS_FAKE_ADVISE_HUGE_PAGES,
    XA_OS_FAKE_MOVE,
    XA_OS_FAKE_WIPE_ON_FORK,
    XA_OS_FAKE_READ_FILE,
    XA_OS_FAKE_APPEND_FILE,
    XA_OS_FAKE_CALLS,
    XA_OS_FAKE_ANY = XA_OS_FAKE_CALLS,
};

enum xa_os_fake_mode { XA_OS_FAKE_ONCE, XA_OS_FAKE_FROM_THEN_ON };

/* What xa_os_init() will say; before it, 4 KiB pages, a constant seed, not secure. */
void xa_os_fake_set_page_bytes(size_t page_bytes);
void xa_os_fake_set_seed(uint64_t seed);
void xa_os_fake_set_secure(bool is_secure);

/* Milliseconds; the clock stands still otherwise. */
void xa_os_fake_set_clock(uint64_t now_ms);

void xa_os_fake_set_affinity(unsigned processors);

/* Where the library's file is mapped, of which half is there; of 0 bytes, as at first: nowhere. */
void xa_os_fake_set_library(uintptr_t start, size_t bytes);
/* The host has no marks for guard pages. */
void xa_os_fake_forbid_guard_marks(void);

/* What threads' masks of blocked signals are outside handlers. */
void xa_os_fake_set_signal_mask(uint64_t signal_mask);

/* That thread is asleep with these signals blocked, until it is said to be awake. */
void xa_os_fake_set_asleep(unsigned thread_number, uint64_t signal_mask);
void xa_os_fake_set_awake(void);

/* "" is a value; NULL removes the variable.  The strings must stay. */
void xa_os_fake_set_environment(const char *name, const char *value);
void xa_os_fake_set_environment_ready(bool is_ready);

/* Settings in XALLOC_CONF, before the process's first call.  The text must stay. */
void xa_os_fake_configure(const char *text);

/* NULL removes the file.  The text must stay. */
void xa_os_fake_set_file(const char *path, const char *text);

/* What has been appended to the file, or NULL if nothing was. */
const char *xa_os_fake_appended(const char *path);

/* Make the `nth` call from now on of this kind, 1 for the next, fail: once or for ever. */
void xa_os_fake_fail(enum xa_os_fake_call call, unsigned long nth, enum xa_os_fake_mode mode);

/* Mapping over a mapping is no misuse any more, but TAKEN. */
void xa_os_fake_let_be_taken(void);

/* What failing calls of xa_os_map() return from now on; NO_MEMORY at first. */
void xa_os_fake_set_map_failure(enum xa_os_result result);

/* Called within each purge, before it, without any lock of this host's; NULL: nothing is. */
void xa_os_fake_set_guest(void (*guest)(void));

/* Let nothing fail any more. */
void xa_os_fake_stop_failing(void);

/* How many calls were made to fail; how many there were of a kind or in all. */
unsigned long xa_os_fake_failures(void);
unsigned long xa_os_fake_count(enum xa_os_fake_call call);

/* Let calls that map memory fail if they would bring the sum beyond this. */
void xa_os_fake_set_mapped_max(size_t bytes);

/* Nothing can be mapped at or above this address. */
void xa_os_fake_set_address_end(uintptr_t end);

/* Let the address space end before the core's random places; returns where. */
uintptr_t xa_os_fake_shorten_addresses(void);

/* Something else stands in this range (nothing really does): it is TAKEN. */
void xa_os_fake_add_foreign(uintptr_t address, size_t bytes);
void xa_os_fake_remove_foreign(void);

/* Skip the current test, printing why, where a window of 1 TiB is more than a word addresses. */
void xa_os_fake_skip_unless_64_bits(void);

/* What is mapped now; and how much of it is in memory. */
size_t xa_os_fake_mapped_bytes(void);
size_t xa_os_fake_resident_bytes(void);

/* True if the whole range is mapped; if none of it is. */
bool xa_os_fake_is_mapped(uintptr_t address, size_t bytes);
bool xa_os_fake_is_unmapped(uintptr_t address, size_t bytes);

/*
 * The last wish for huge pages in this page: XA_OS_HUGE_PAGES_WANTED or _AVOIDED, or
 * XA_OS_FAKE_NO_WISH if there was none since it was mapped.
 */
enum { XA_OS_FAKE_NO_WISH = -1 };
int xa_os_fake_huge_page_wish(uintptr_t address);

/* What has been written to standard error, or its end; and forget it. */
const char *xa_os_fake_errors(void);
void xa_os_fake_clear_errors(void);

/*
 * Fail the test unless function(argument), run in a child, calls xa_os_abort() having
 * written exactly `errors` to standard error; a '*' there stands for any text.
 */
void xa_os_fake_assert_fatal(void (*function)(void *), void *argument, const char *errors);

/* The same of what has been written so far. */
void xa_os_fake_assert_errors(const char *errors);

/* A cmocka test that runs the function at *state, in a child. */
void xa_os_fake_run_fresh(void **state);

/* A row of a cmocka test list; `test` has the signature of any cmocka test. */
#define XA_OS_FAKE_FRESH(test)                                         \
    {                                                                  \
#test, xa_os_fake_run_fresh, NULL, NULL, &(CMUnitTestFunction) \
        {                                                              \
            test                                                       \
        }                                                              \
    }

#endif
