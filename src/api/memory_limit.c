/*
 * memory_limit.c - the program's own hand on the memory limits.
 */
#include <errno.h>

#include "alloc/allocate.h"
#include "alloc/start.h"
#include "page/limit.h"
#include "xalloc/xalloc.h"

_Static_assert((int)XALLOC_LIMIT_SOFT == (int)XA_LIMIT_SOFT, "the numbers are the same");
_Static_assert((int)XALLOC_LIMIT_HARD == (int)XA_LIMIT_HARD, "the numbers are the same");

/* Call the program's function; the allocation that brought us here keeps its errno. */
static void
call(const struct xa_limit_callback *callback, enum xa_limit_event event, size_t bytes)
{
    int saved = errno;
    xalloc_limit_callback *function = (xalloc_limit_callback *)callback->function;
    function(callback->context, (enum xalloc_limit_event)event, bytes);
    errno = saved;
}

#pragma GCC visibility push(default)

int
xalloc_set_memory_limit(size_t soft, size_t hard)
{
    xa_start_process();
    if (!xa_limit_set(soft, hard))
        return EINVAL;
    if (xa_limit_has_news())
        xa_allocate_answer_limit();
    return 0;
}

void
xalloc_set_limit_callback(xalloc_limit_callback *callback, void *context)
{
    xa_start_process();
    xa_limit_set_callback((struct xa_limit_callback){
        callback == NULL ? NULL : call, (void (*)(void))callback, context});
}

#pragma GCC visibility pop
