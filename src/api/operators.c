/*
 * operators.c - C++'s operator new and operator delete, written in C.
 *
 * C, because a C++ file would make every C program load the C++ runtime.  What
 * that costs is exceptions: they pass through the functions here (hence
 * -fexceptions), are thrown by the runtime if the program has one, and can never be
 * caught; see cxx_runtime_shared.c for the forms that would have to.
 *
 * Which form calls which is laid down by the C++ standard, so that a program that
 * replaces only operator new(size_t) and operator delete(void *) gets every object:
 *
 *   new[]                 → new              new[](align)                → new(align)
 *   delete(size)          → delete           delete(size, align)         → delete(align)
 *   delete[]              → delete           delete[](align)             → delete(align)
 *   delete[](size)        → delete[]         delete[](size, align)       → delete[](align)
 *   delete(nothrow)       → delete           delete(align, nothrow)      → delete(align)
 *   delete[](nothrow)     → delete[]         delete[](align, nothrow)    → delete[](align)
 *
 * An arrow is a jump to whichever definition has won.  Only the sized forms look
 * first, since a size makes freeing cheaper: if nobody replaced what they would
 * call, they need not call it.
 *
 * Locking: none.  Handlers and exceptions may leave at any call of theirs, and
 * nothing is held then.
 */
#include "api/operators.h"

#include "alloc/fast_path.h"
#include "base/bits.h"
#include "os/message.h"

enum { UNALIGNED = 0 };

static void delete_plain(void *ptr);
static void delete_array(void *ptr);
static void delete_sized(void *ptr, size_t size);
static void delete_array_sized(void *ptr, size_t size);
static void delete_nothrow(void *ptr, const void *tag);
static void delete_array_nothrow(void *ptr, const void *tag);
static void delete_aligned(void *ptr, size_t alignment);
static void delete_aligned_array(void *ptr, size_t alignment);
static void delete_aligned_sized(void *ptr, size_t size, size_t alignment);
static void delete_aligned_array_sized(void *ptr, size_t size, size_t alignment);
static void delete_aligned_nothrow(void *ptr, size_t alignment, const void *tag);
static void delete_aligned_array_nothrow(void *ptr, size_t alignment, const void *tag);

void *operator_new(size_t size) XA_OPERATOR("_Znw" XA_OPERATOR_SIZE, xa_operators_new);
void *operator_new_array(size_t size) XA_OPERATOR("_Zna" XA_OPERATOR_SIZE, xa_operators_new_array);
void *operator_new_aligned(size_t size, size_t alignment)
    XA_OPERATOR("_Znw" XA_OPERATOR_SIZE XA_OPERATOR_ALIGN, xa_operators_new_aligned);
void *operator_new_aligned_array(size_t size, size_t alignment)
    XA_OPERATOR("_Zna" XA_OPERATOR_SIZE XA_OPERATOR_ALIGN, xa_operators_new_aligned_array);

void operator_delete(void *ptr) XA_OPERATOR("_ZdlPv", delete_plain);
void operator_delete_array(void *ptr) XA_OPERATOR("_ZdaPv", delete_array);
void operator_delete_sized(void *ptr, size_t size)
    XA_OPERATOR("_ZdlPv" XA_OPERATOR_SIZE, delete_sized);
void operator_delete_array_sized(void *ptr, size_t size)
    XA_OPERATOR("_ZdaPv" XA_OPERATOR_SIZE, delete_array_sized);
void operator_delete_nothrow(void *ptr, const void *tag)
    XA_OPERATOR("_ZdlPv" XA_OPERATOR_NOTHROW, delete_nothrow);
void operator_delete_array_nothrow(void *ptr, const void *tag)
    XA_OPERATOR("_ZdaPv" XA_OPERATOR_NOTHROW, delete_array_nothrow);
void operator_delete_aligned(void *ptr, size_t alignment)
    XA_OPERATOR("_ZdlPv" XA_OPERATOR_ALIGN, delete_aligned);
void operator_delete_aligned_array(void *ptr, size_t alignment)
    XA_OPERATOR("_ZdaPv" XA_OPERATOR_ALIGN, delete_aligned_array);
void operator_delete_aligned_sized(void *ptr, size_t size, size_t alignment)
    XA_OPERATOR("_ZdlPv" XA_OPERATOR_SIZE XA_OPERATOR_ALIGN, delete_aligned_sized);
void operator_delete_aligned_array_sized(void *ptr, size_t size, size_t alignment)
    XA_OPERATOR("_ZdaPv" XA_OPERATOR_SIZE XA_OPERATOR_ALIGN, delete_aligned_array_sized);
void operator_delete_aligned_nothrow(void *ptr, size_t alignment, const void *tag)
    XA_OPERATOR("_ZdlPv" XA_OPERATOR_ALIGN XA_OPERATOR_NOTHROW, delete_aligned_nothrow);
void operator_delete_aligned_array_nothrow(void *ptr, size_t alignment, const void *tag)
    XA_OPERATOR("_ZdaPv" XA_OPERATOR_ALIGN XA_OPERATOR_NOTHROW, delete_aligned_array_nothrow);

/* Does not return if the runtime can throw, and not otherwise either. */
static XA_NORETURN XA_COLD void
throw_bad_alloc(void)
{
    xa_cxx_runtime_throw();
    xa_message_fatal(NULL, NULL,
        "operator new: out of memory, and no C++ runtime is loaded that could throw "
        "std::bad_alloc. Link the program with libstdc++ or libc++.");
}

/*
 * What the standard demands after a failure: call the program's handler, which may
 * free memory, throw, or end the program, and try again, until there is no handler.
 * The program may change the handler at each turn.
 */
static XA_COLD void *
new_after_failure(size_t size, size_t alignment)
{
    void *ptr = NULL;
    while (ptr == NULL) {
        xa_cxx_runtime_handler *handler = xa_cxx_runtime_new_handler();
        if (handler == NULL)
            throw_bad_alloc();
        handler();
        if (alignment == UNALIGNED)
            ptr = xa_fast_malloc(size);
        else
            ptr = xa_allocate_aligned(alignment, size);
    }
    return ptr;
}

/* Out of line, so that a hit need not save the size across the call. */
static XA_NOINLINE void *
new_after_miss(size_t size)
{
    void *ptr = xa_fast_take_larger(size);
    if (XA_LIKELY(ptr != NULL))
        return ptr;
    ptr = xa_allocate_beyond(size);
    return XA_LIKELY(ptr != NULL) ? ptr : new_after_failure(size, UNALIGNED);
}

void *
xa_operators_new(size_t size)
{
    void *ptr = xa_fast_take(size);
    if (XA_LIKELY(ptr != NULL))
        return ptr;
    return new_after_miss(size);
}

void *
xa_operators_new_array(size_t size)
{
    return operator_new(size);
}

void *
xa_operators_new_aligned(size_t size, size_t alignment)
{
    /* No handler could help; libstdc++ throws as well. */
    if (!xa_bits_is_power_of_two(alignment))
        throw_bad_alloc();
    void *ptr = xa_allocate_aligned(alignment, size);
    if (XA_LIKELY(ptr != NULL))
        return ptr;
    return new_after_failure(size, alignment);
}

void *
xa_operators_new_aligned_array(size_t size, size_t alignment)
{
    return operator_new_aligned(size, alignment);
}

static void
delete_plain(void *ptr)
{
    xa_fast_free(ptr);
}

static void
delete_array(void *ptr)
{
    operator_delete(ptr);
}

static void
delete_sized(void *ptr, size_t size)
{
    if (XA_LIKELY(operator_delete == delete_plain))
        xa_fast_free_sized(ptr, size, 1);
    else
        operator_delete(ptr);
}

static void
delete_array_sized(void *ptr, size_t size)
{
    if (XA_LIKELY(operator_delete_array == delete_array && operator_delete == delete_plain))
        xa_fast_free_sized(ptr, size, 1);
    else
        operator_delete_array(ptr);
}

static void
delete_nothrow(void *ptr, const void *tag)
{
    (void)tag;
    operator_delete(ptr);
}

static void
delete_array_nothrow(void *ptr, const void *tag)
{
    (void)tag;
    operator_delete_array(ptr);
}

static void
delete_aligned(void *ptr, size_t alignment)
{
    (void)alignment;
    xa_fast_free(ptr);
}

static void
delete_aligned_array(void *ptr, size_t alignment)
{
    operator_delete_aligned(ptr, alignment);
}

static void
delete_aligned_sized(void *ptr, size_t size, size_t alignment)
{
    if (XA_LIKELY(operator_delete_aligned == delete_aligned))
        xa_fast_free_sized(ptr, size, alignment);
    else
        operator_delete_aligned(ptr, alignment);
}

static void
delete_aligned_array_sized(void *ptr, size_t size, size_t alignment)
{
    if (XA_LIKELY(operator_delete_aligned_array == delete_aligned_array))
        delete_aligned_sized(ptr, size, alignment);
    else
        operator_delete_aligned_array(ptr, alignment);
}

static void
delete_aligned_nothrow(void *ptr, size_t alignment, const void *tag)
{
    (void)tag;
    operator_delete_aligned(ptr, alignment);
}

static void
delete_aligned_array_nothrow(void *ptr, size_t alignment, const void *tag)
{
    (void)tag;
    operator_delete_aligned_array(ptr, alignment);
}
