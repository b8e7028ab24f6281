/*
 * cxx_runtime.c - the C++ runtime as libxalloc.a has it: linked.
 *
 * A weak reference takes no member out of an archive, so with the weak ones of
 * cxx_runtime_shared.c a static program could end up without the function that
 * throws.  These are strong.  This member is linked for operators.c alone, hence
 * for C++ programs only; a C program never needs either.
 */
#include "api/operators.h"

xa_cxx_runtime_handler *get_new_handler(void) __asm__("_ZSt15get_new_handlerv");
void throw_bad_alloc(void) __asm__("_ZSt17__throw_bad_allocv");

xa_cxx_runtime_handler *
xa_cxx_runtime_new_handler(void)
{
    return get_new_handler();
}

void
xa_cxx_runtime_throw(void)
{
    throw_bad_alloc();
}
