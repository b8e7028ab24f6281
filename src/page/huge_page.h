/*
 * huge_page.h - which memory the kernel may back by huge pages (2 MiB).
 *
 * Not to be confused with huge objects (huge.h), which have mappings of their own.
 */
#ifndef XA_PAGE_HUGE_PAGE_H
#define XA_PAGE_HUGE_PAGE_H

#include "extent/extent.h"

enum {
    XA_HUGE_PAGE_BYTES = 2 * 1024 * 1024,
    XA_HUGE_PAGE_GRANULES = XA_HUGE_PAGE_BYTES / XA_GRANULE_BYTES,
    /* With so much in use, a huge page that is partly filled is a 32nd of it at most. */
    XA_HUGE_PAGE_LARGE_BYTES = 32 * XA_HUGE_PAGE_BYTES,
};

enum xa_huge_page_advice {
    XA_HUGE_PAGE_LEAVE, /* nothing has been said: the kernel goes by its own setting */
    XA_HUGE_PAGE_AVOID, /* no huge pages, now or later */
    XA_HUGE_PAGE_WANT,
};

/*
 * What to say of new memory of a heap with so many bytes in use, or of a huge object in a
 * process with so many, its own included.
 */
enum xa_huge_page_advice xa_huge_page_choose(size_t used_bytes);

/*
 * What to say of a huge object that was to avoid huge pages and has so many bytes now.  No
 * advice takes that back so that the kernel's setting counts again: a large one may have them.
 */
enum xa_huge_page_advice xa_huge_page_choose_again(size_t bytes);

/* Say it of the whole pages of a range.  False if the kernel knows no huge pages. */
bool xa_huge_page_advise(uintptr_t address, size_t bytes, enum xa_huge_page_advice advice);

/* As many free granules are kept in memory for the sake of a huge page that is else in use. */
enum { XA_HUGE_PAGE_HELD_MAX = XA_HUGE_PAGE_GRANULES / 8 };

#endif
