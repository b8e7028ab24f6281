/*
 * assert.h - checks of our own logic, in debug builds only.
 *
 * A failed check is a defect of xalloc, never of the program: those are reported
 * by os/message.  The handler is a pointer, so that this bottom layer knows no
 * output; before anybody sets it a failure traps.
 */
#ifndef XA_BASE_ASSERT_H
#define XA_BASE_ASSERT_H

#include "base/annotate.h"

typedef void xa_assert_handler(const char *expression, const char *file, int line);

/* Called by a failed check; does not return. */
extern xa_assert_handler *xa_assert_report;

XA_NORETURN XA_COLD void xa_assert_fail(const char *expression, const char *file, int line);

/* The expression is always compiled, and evaluated in debug builds only. */
#define xa_assert(expression) \
    ((void)(!XA_DEBUG || (expression) || (xa_assert_fail(#expression, __FILE__, __LINE__), 0)))

#endif
