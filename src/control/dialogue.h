/*
 * dialogue.h - the requests that xallocctl makes, and their answers.
 */
#ifndef XA_CONTROL_DIALOGUE_H
#define XA_CONTROL_DIALOGUE_H

#include <stddef.h>

#include "base/text.h"
#include "os/message.h"

enum {
    XA_DIALOGUE_LINE_MAX = 511,    /* of a request, without its end */
    XA_DIALOGUE_PROBLEM_MAX = 255, /* of what is said when it cannot be done */
};

/*
 * Do what a line of `length` characters asks for.  What there is to say goes to `writer`, in
 * pieces of whole lines.  0; or an error number, then `problem` says what is wrong, and nothing
 * has been written.
 *
 *   list               a line for each control: its name, type, and access as in controls.def
 *   get NAME           its value
 *   set NAME [VALUE]   no value: do it, if it is one that is done
 *   stats [LETTERS]    a report, the letters as for malloc_stats_print()
 *   purge              give back all that is unused
 */
int xa_dialogue_answer(const char *line, size_t length, struct xa_text *problem,
    xa_message_writer *writer, void *context);

#endif
