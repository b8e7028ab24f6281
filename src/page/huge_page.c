/*
 * huge_page.c - see huge_page.h; the reasons and figures are in doc/design/huge-pages.md.
 *
 * The kernel's own setting is not read: threads that allocate open no files, since a
 * sandbox may end them for it, and the advice is right for each of its values.  Where
 * the setting is "never" all advice is without effect, and where it is "madvise" so is
 * the one to avoid huge pages.
 *
 * A kernel that refuses has no huge pages, and is not asked again.  Where pages are not
 * of 4 KiB a huge page is larger than a chunk: then none are asked for.
 */
#include "page/huge_page.h"

#include <stdatomic.h>

#include "config/options.h"
#include "os/os.h"

enum { PAGE_BYTES_KNOWN = 4096 };

static _Atomic bool is_refused;

/* Nothing is said of huge pages at all. */
static bool
is_off(void)
{
    return xa_options.strict_syscalls || atomic_load_explicit(&is_refused, memory_order_relaxed);
}

enum xa_huge_page_advice
xa_huge_page_choose(size_t used_bytes)
{
    if (is_off())
        return XA_HUGE_PAGE_LEAVE;
    if (xa_options.thp == XA_THP_NEVER || xa_os_facts.page_bytes != PAGE_BYTES_KNOWN)
        return XA_HUGE_PAGE_AVOID;
    if (xa_options.thp == XA_THP_ALWAYS)
        return XA_HUGE_PAGE_WANT;
    return used_bytes < XA_HUGE_PAGE_LARGE_BYTES ? XA_HUGE_PAGE_AVOID : XA_HUGE_PAGE_LEAVE;
}

enum xa_huge_page_advice
xa_huge_page_choose_again(size_t bytes)
{
    enum xa_huge_page_advice advice = xa_huge_page_choose(bytes);
    return advice == XA_HUGE_PAGE_LEAVE && !is_off() ? XA_HUGE_PAGE_WANT : advice;
}

bool
xa_huge_page_advise(uintptr_t address, size_t bytes, enum xa_huge_page_advice advice)
{
    if (advice == XA_HUGE_PAGE_LEAVE)
        return true;
    bool done = xa_os_advise_huge_pages(address, bytes,
        advice == XA_HUGE_PAGE_WANT ? XA_OS_HUGE_PAGES_WANTED : XA_OS_HUGE_PAGES_AVOIDED);
    if (!done)
        atomic_store_explicit(&is_refused, true, memory_order_relaxed);
    return done;
}
