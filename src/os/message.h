/*
 * message.h - lines that xalloc writes for a person: errors and reports.
 *
 * Safe in a signal handler and at any moment of a process's life: no stdio, no
 * allocation, no lock.
 */
#ifndef XA_OS_MESSAGE_H
#define XA_OS_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/annotate.h"

/*
 * A program may have xalloc's lines for itself, as with jemalloc: `text` ends in NUL; the
 * other argument is NULL.  It is called at any moment and must not allocate.  NULL: they go
 * to standard error.
 */
extern void (*malloc_message)(void *context, const char *text);

/* Receives whole lines; `text` is valid during the call. */
typedef void xa_message_writer(void *context, const char *text, size_t bytes);

/* Write to standard error. */
void xa_message_write(const char *text, size_t bytes);

/* "xalloc: call(0x…): what"; `call` may be NULL for messages without a pointer. */
XA_COLD void xa_message_pointer(const char *call, const void *pointer, const char *what);

/* A heading, then a line for each return address: where a stack was. */
XA_COLD void xa_message_stack(const char *heading, const uintptr_t *frames, unsigned count);

/* A check of our own failed: say so and end the process. */
XA_NORETURN XA_COLD void xa_message_assert(const char *expression, const char *file, int line);

/* The same, then end the process: the heap can no longer be trusted. */
XA_NORETURN XA_COLD void xa_message_fatal(const char *call, const void *pointer, const char *what);

#endif
