/*
 * misuse.h - saying what a program did wrong with a pointer, and finding it early.
 */
#ifndef XA_ARENA_MISUSE_H
#define XA_ARENA_MISUSE_H

#include <stdint.h>

#include "base/annotate.h"
#include "base/text.h"

/* Wrong in any case, whatever else the program does: the heap can no longer be trusted. */
enum xa_misuse {
    XA_MISUSE_INSIDE,       /* not where an object begins */
    XA_MISUSE_ALREADY_FREE, /* found at the second free */
    XA_MISUSE_FOUND_LATE,   /* the same, found when a cache gave the object to its slab */
};

/* One line: the call, the pointer, what is wrong, the object and its size, what to do. */
XA_COLD void xa_misuse_say(const char *call, const void *pointer, enum xa_misuse misuse);

/* The same, then end the process. */
XA_NORETURN XA_COLD void xa_misuse_end(
    const char *call, const void *pointer, enum xa_misuse misuse);

/*
 * End the process with a message if an object is twice among these, which a cache of the class
 * holds; at most XA_MAGAZINE_OBJECTS_MAX.  Looks at the pointers only.
 */
void xa_misuse_check_distinct(void *const *objects, unsigned count);

#endif
