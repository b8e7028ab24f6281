/*
 * magazines.h - magazines made one by one; the library makes them by the handful.
 */
#ifndef XA_TEST_MAGAZINES_H
#define XA_TEST_MAGAZINES_H

#include "arena/magazine.h"

/* An empty magazine for `capacity` objects; NULL if memory ran out. */
struct xa_magazine *xa_magazines_make(unsigned capacity);

/* One as large as can be, which says that it holds `count` objects.  Fails the test without memory. */
struct xa_magazine *xa_magazines_make_with(unsigned count);

#endif
