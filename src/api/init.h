/*
 * init.h - what the library does when it is loaded and when the process ends.
 */
#ifndef XA_API_INIT_H
#define XA_API_INIT_H

/* Refer to it, and a static program has init.c's constructor and destructor. */
extern const char xa_init_is_linked;

#endif
