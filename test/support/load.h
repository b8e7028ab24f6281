/*
 * load.h - what a thread does that keeps the allocator busy while a test looks at something else.
 */
#ifndef XA_TEST_LOAD_H
#define XA_TEST_LOAD_H

/*
 * For xa_threads_start(), in a child: take objects of up to 4 MiB and free them, by random numbers
 * of its own, until the atomic_bool behind `is_over` is true.  All of them are freed then.
 */
void xa_load_allocate(unsigned index, void *is_over);

#endif
