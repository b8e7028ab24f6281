/*
 * assert.c - the end of a process whose allocator found itself inconsistent.
 */
#include "base/assert.h"

#include <stddef.h>

xa_assert_handler *xa_assert_report = NULL;

void
xa_assert_fail(const char *expression, const char *file, int line)
{
    if (xa_assert_report != NULL)
        xa_assert_report(expression, file, line);
    __builtin_trap();
}
