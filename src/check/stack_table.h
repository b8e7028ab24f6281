/*
 * stack_table.h - call stacks by number, each kept once.
 */
#ifndef XA_CHECK_STACK_TABLE_H
#define XA_CHECK_STACK_TABLE_H

#include <stdint.h>

#include "base/annotate.h"

/* The number of the calling function's stack; 0 if it cannot be known or there is no room. */
XA_MUST_USE uint32_t xa_stack_table_capture(void);

/* A message's lines for a stack by its number. */
XA_COLD void xa_stack_table_say(const char *heading, uint32_t number);

/* In a forked child: free the lock; if a thread that is gone held it, begin with an empty table. */
void xa_stack_table_reset_in_child(void);

#endif
