/*
 * cxx_runtime_shared.c - the C++ runtime as libxalloc.so finds it, and the forms of
 * new that need it most.
 *
 * The library does not depend on a C++ runtime, yet uses the one that is there:
 *
 *   - through weak references, which the loader sets if a runtime is among the
 *     libraries that the program was started with;
 *   - else, once memory has run out, by asking the loader for a runtime that came
 *     later and is visible to a plugin only (RTLD_LOCAL).
 *
 * new(nothrow) has to return NULL if the new-handler throws, so it must catch.  C
 * cannot; but the runtime's own new(nothrow), which ours hides, calls operator new
 * and catches.  So ours tries once by itself and leaves failures to the runtime's.
 * The same call is right if the program replaced operator new, in which case ours
 * may not even try.
 *
 * libxalloc.a has no new(nothrow) at all: there the runtime's own are linked.
 *
 * Locking: none.  What was found is kept in atomics; to find it twice is harmless.
 */
#define _GNU_SOURCE 1 /* RTLD_NEXT */

#include "api/operators.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "alloc/fast_path.h"
#include "base/bits.h"

typedef void any_function(void);
typedef xa_cxx_runtime_handler *get_handler_function(void);
typedef void throw_function(void);
typedef void *new_nothrow_function(size_t size, const void *tag);
typedef void *new_aligned_nothrow_function(size_t size, size_t alignment, const void *tag);

#define GET_HANDLER "_ZSt15get_new_handlerv"
#define THROW_BAD_ALLOC "_ZSt17__throw_bad_allocv"
#define NEW_NOTHROW "_Znw" XA_OPERATOR_SIZE XA_OPERATOR_NOTHROW
#define NEW_ARRAY_NOTHROW "_Zna" XA_OPERATOR_SIZE XA_OPERATOR_NOTHROW
#define NEW_ALIGNED_NOTHROW "_Znw" XA_OPERATOR_SIZE XA_OPERATOR_ALIGN XA_OPERATOR_NOTHROW
#define NEW_ALIGNED_ARRAY_NOTHROW "_Zna" XA_OPERATOR_SIZE XA_OPERATOR_ALIGN XA_OPERATOR_NOTHROW

xa_cxx_runtime_handler *linked_get_handler(void) __asm__(GET_HANDLER) XA_EXPORT XA_WEAK;
void linked_throw_bad_alloc(void) __asm__(THROW_BAD_ALLOC) XA_EXPORT XA_WEAK;

void *operator_new(size_t size) XA_OPERATOR_NAME("_Znw" XA_OPERATOR_SIZE);
void *operator_new_array(size_t size) XA_OPERATOR_NAME("_Zna" XA_OPERATOR_SIZE);
void *operator_new_aligned(size_t size, size_t alignment)
    XA_OPERATOR_NAME("_Znw" XA_OPERATOR_SIZE XA_OPERATOR_ALIGN);
void *operator_new_aligned_array(size_t size, size_t alignment)
    XA_OPERATOR_NAME("_Zna" XA_OPERATOR_SIZE XA_OPERATOR_ALIGN);

static void *new_nothrow(size_t size, const void *tag);
static void *new_array_nothrow(size_t size, const void *tag);
static void *new_aligned_nothrow(size_t size, size_t alignment, const void *tag);
static void *new_aligned_array_nothrow(size_t size, size_t alignment, const void *tag);

void *operator_new_nothrow(size_t size, const void *tag) XA_OPERATOR(NEW_NOTHROW, new_nothrow);
void *operator_new_array_nothrow(size_t size, const void *tag)
    XA_OPERATOR(NEW_ARRAY_NOTHROW, new_array_nothrow);
void *operator_new_aligned_nothrow(size_t size, size_t alignment, const void *tag)
    XA_OPERATOR(NEW_ALIGNED_NOTHROW, new_aligned_nothrow);
void *operator_new_aligned_array_nothrow(size_t size, size_t alignment, const void *tag)
    XA_OPERATOR(NEW_ALIGNED_ARRAY_NOTHROW, new_aligned_array_nothrow);

/*
 * The loader's handle of a C++ runtime that is in the process; NULL if none is.
 * Having asked for it keeps it there, so that what was found in it stays valid.
 */
static void *
loaded_runtime(void)
{
    static const char *const names[] = {"libstdc++.so.6", "libc++.so.1", "libc++abi.so.1"};
    static _Atomic(void *) known;
    void *handle = atomic_load_explicit(&known, memory_order_relaxed);
    for (size_t i = 0; handle == NULL && i < sizeof names / sizeof names[0]; i++)
        handle = dlopen(names[i], RTLD_LAZY | RTLD_NOLOAD);
    atomic_store_explicit(&known, handle, memory_order_relaxed);
    return handle;
}

/* dlsym() for functions, which C keeps apart from objects. */
static any_function *
look_up(void *library, const char *symbol)
{
    union {
        void *object;
        any_function *function;
    } found;
    found.object = dlsym(library, symbol);
    return found.function;
}

/*
 * A function of the runtime, NULL if there is none; kept in *known.  Calls nothing
 * last, since RTLD_NEXT means "behind the object that the call returns to".
 */
static XA_COLD any_function *
find(const char *symbol, _Atomic(any_function *) *known)
{
    any_function *function = atomic_load_explicit(known, memory_order_relaxed);
    if (function != NULL)
        return function;
    void *runtime = loaded_runtime();
    if (runtime != NULL)
        function = look_up(runtime, symbol);
    /* Whatever other runtime stands behind us; asked last, for it may be another allocator. */
    if (function == NULL)
        function = look_up(RTLD_NEXT, symbol);
    atomic_store_explicit(known, function, memory_order_relaxed);
    return function;
}

xa_cxx_runtime_handler *
xa_cxx_runtime_new_handler(void)
{
    static _Atomic(any_function *) known;
    if (linked_get_handler != NULL)
        return linked_get_handler();
    get_handler_function *found = (get_handler_function *)find(GET_HANDLER, &known);
    return found != NULL ? found() : NULL;
}

void
xa_cxx_runtime_throw(void)
{
    static _Atomic(any_function *) known;
    if (linked_throw_bad_alloc != NULL)
        linked_throw_bad_alloc();
    throw_function *found = (throw_function *)find(THROW_BAD_ALLOC, &known);
    if (found != NULL)
        found();
}

/* True if new[] ends up in our own new(size_t). */
static bool
is_array_ours(void)
{
    return operator_new_array == xa_operators_new_array && operator_new == xa_operators_new;
}

static bool
is_aligned_array_ours(void)
{
    return operator_new_aligned_array == xa_operators_new_aligned_array &&
        operator_new_aligned == xa_operators_new_aligned;
}

/*
 * Four times the same, for four forms: ours if nobody replaced what the standard
 * says it calls; then the runtime's; and without a runtime, where nothing can
 * throw, the program's own.
 */
static void *
new_nothrow(size_t size, const void *tag)
{
    static _Atomic(any_function *) known;
    bool is_ours = operator_new == xa_operators_new;
    void *ptr = XA_LIKELY(is_ours) ? xa_fast_malloc(size) : NULL;
    if (XA_LIKELY(ptr != NULL))
        return ptr;
    new_nothrow_function *form = (new_nothrow_function *)find(NEW_NOTHROW, &known);
    if (form != NULL)
        return form(size, tag);
    return is_ours ? NULL : operator_new(size);
}

static void *
new_array_nothrow(size_t size, const void *tag)
{
    static _Atomic(any_function *) known;
    bool is_ours = is_array_ours();
    void *ptr = XA_LIKELY(is_ours) ? xa_fast_malloc(size) : NULL;
    if (XA_LIKELY(ptr != NULL))
        return ptr;
    new_nothrow_function *form = (new_nothrow_function *)find(NEW_ARRAY_NOTHROW, &known);
    if (form != NULL)
        return form(size, tag);
    return is_ours ? NULL : operator_new_array(size);
}

/* No alignment but a power of two can be served; the runtime's form agrees, by catching. */
static void *
new_aligned_nothrow(size_t size, size_t alignment, const void *tag)
{
    static _Atomic(any_function *) known;
    bool is_ours = operator_new_aligned == xa_operators_new_aligned;
    void *ptr = NULL;
    if (XA_LIKELY(is_ours && xa_bits_is_power_of_two(alignment)))
        ptr = xa_allocate_aligned(alignment, size);
    if (XA_LIKELY(ptr != NULL))
        return ptr;
    new_aligned_nothrow_function *form =
        (new_aligned_nothrow_function *)find(NEW_ALIGNED_NOTHROW, &known);
    if (form != NULL)
        return form(size, alignment, tag);
    return is_ours ? NULL : operator_new_aligned(size, alignment);
}

static void *
new_aligned_array_nothrow(size_t size, size_t alignment, const void *tag)
{
    static _Atomic(any_function *) known;
    bool is_ours = is_aligned_array_ours();
    void *ptr = NULL;
    if (XA_LIKELY(is_ours && xa_bits_is_power_of_two(alignment)))
        ptr = xa_allocate_aligned(alignment, size);
    if (XA_LIKELY(ptr != NULL))
        return ptr;
    new_aligned_nothrow_function *form =
        (new_aligned_nothrow_function *)find(NEW_ALIGNED_ARRAY_NOTHROW, &known);
    if (form != NULL)
        return form(size, alignment, tag);
    return is_ours ? NULL : operator_new_aligned_array(size, alignment);
}
