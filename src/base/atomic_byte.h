/*
 * atomic_byte.h - exchange a byte where the processor can only exchange words.
 */
#ifndef XA_BASE_ATOMIC_BYTE_H
#define XA_BASE_ATOMIC_BYTE_H

#include <stdint.h>

#include "base/annotate.h"

/*
 * Store `value` and return what was there, sequentially consistent whatever `order` says.
 * Where compilers call a library's function for atomic_exchange of a byte, this is it.
 */
uint8_t xa_atomic_byte_exchange(
    volatile void *target, uint8_t value, int order) XA_COMPILER_EXCHANGES_BYTE;

#endif
