/*
 * call_stack.h - who called: return addresses, and what they are called outside of the process.
 */
#ifndef XA_OS_CALL_STACK_H
#define XA_OS_CALL_STACK_H

#include <stddef.h>
#include <stdint.h>

#include "base/annotate.h"
#include "base/text.h"

enum { XA_CALL_STACK_MAX = 16 };

/*
 * Fill `frames` with the return addresses of the calling function's callers, the innermost first,
 * but for those in xalloc's own shared library; how many, at most `capacity`, and none where the
 * host cannot tell.  Takes no lock, allocates
 * nothing, and makes no system call.
 */
unsigned xa_call_stack_capture(uintptr_t *frames, unsigned capacity);

/*
 * The same of what a signal interrupted, by the third argument of its handler: its own place
 * comes first.
 */
unsigned xa_call_stack_capture_interrupted(
    const void *interrupted, uintptr_t *frames, unsigned capacity);

/*
 * Put "/usr/lib/libx.so+0x1234" for an address in code, so that `addr2line -e FILE OFFSET` names
 * its line; nothing for an address in no loaded file.
 */
void xa_call_stack_put_place(uintptr_t address, struct xa_text *text);

#endif
