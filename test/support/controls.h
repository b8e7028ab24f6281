/*
 * controls.h - short forms for tests of the control tree: read, write and do, by name.
 *
 * For unit tests, over the core.  Each fails the test if the answer is not what was asked for.
 */
#ifndef XA_TEST_CONTROLS_H
#define XA_TEST_CONTROLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The value of a control of any type but text, whatever its size. */
uint64_t xa_controls_read(const char *name);

/* The same with numbers in place of %u, at most two. */
uint64_t xa_controls_read_at(const char *pattern, unsigned first, unsigned second);

const char *xa_controls_read_text(const char *name);

/* The error that reading gives, with the right size. */
int xa_controls_error(const char *name);

/* Write a value of the control's type; the error. */
int xa_controls_write(const char *name, uint64_t value);

/* Have it done; the error. */
int xa_controls_do(const char *name);

/* Take the figures anew. */
void xa_controls_refresh(void);

#endif
