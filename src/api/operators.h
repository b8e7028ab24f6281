/*
 * operators.h - what the files that define C++'s new and delete share.
 *
 *   operators.c            every form but new(nothrow), in both libraries
 *   cxx_runtime_shared.c   libxalloc.so only: finds the C++ runtime in the process,
 *                          and new(nothrow), which cannot do without one
 *   cxx_runtime.c          libxalloc.a only: links the C++ runtime
 *
 * The forms have C names here and their mangled ones in the object file.  Each is
 * a weak alias of a function that has no other name: so the address of the exported
 * name differs from the function's exactly if the program has replaced that form,
 * in a static link as well as in a dynamic one, and no compiler may assume
 * otherwise.
 */
#ifndef XA_API_OPERATORS_H
#define XA_API_OPERATORS_H

#include <stddef.h>

#include "base/annotate.h"

/* The mangled name of size_t: unsigned long where it has 8 bytes, else unsigned int. */
#define XA_OPERATOR_SIZE_8 "m"
#define XA_OPERATOR_SIZE_4 "j"
#define XA_OPERATOR_SIZE_OF(bytes) XA_OPERATOR_SIZE_##bytes
#define XA_OPERATOR_SIZE_NAME(bytes) XA_OPERATOR_SIZE_OF(bytes)
#define XA_OPERATOR_SIZE XA_OPERATOR_SIZE_NAME(__SIZEOF_SIZE_T__)

#define XA_OPERATOR_ALIGN "St11align_val_t"
#define XA_OPERATOR_NOTHROW "RKSt9nothrow_t"

/* Exports `implementation`, a function of the same file, under a mangled name. */
#define XA_OPERATOR(mangled, implementation) \
    __asm__(mangled) XA_EXPORT XA_WEAK XA_ALIAS(implementation)

/* Refers to a form of another file.  Weak: compilers hold two strong names for two functions. */
#define XA_OPERATOR_NAME(mangled) __asm__(mangled) XA_EXPORT XA_WEAK

typedef void xa_cxx_runtime_handler(void);

/* The four throwing forms of new as xalloc implements them. */
void *xa_operators_new(size_t size);
void *xa_operators_new_array(size_t size);
void *xa_operators_new_aligned(size_t size, size_t alignment);
void *xa_operators_new_aligned_array(size_t size, size_t alignment);

/* What std::get_new_handler() returns; NULL also if there is no C++ runtime. */
xa_cxx_runtime_handler *xa_cxx_runtime_new_handler(void);

/* Throw std::bad_alloc.  Returns only if there is no C++ runtime that could. */
void xa_cxx_runtime_throw(void);

#endif
