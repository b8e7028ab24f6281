/*
 * cxx_replace_array_test.cc - a program replaces the plain array pair and the aligned pair, row
 * S25.
 *
 * The other half of cxx_replace_test.cc.  Forms that must go through the replacements: array
 * nothrow and array sized through the array pair; aligned arrays, aligned nothrow and aligned
 * sized through the aligned pair.  The plain pair is not replaced and must not be touched by this.
 */
#include <csetjmp>
#include <cstdarg>
#include <cstddef>
#include <cstdint>

extern "C" {
#include <cmocka.h>
}

#include "../support/child.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

/* Leaving the sized forms out is the point of this program. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wsized-deallocation"
#endif

namespace
{

struct calls {
    int array_new, array_delete, aligned_new, aligned_delete;
};

calls seen;

/*
 * A block that begins `offset` bytes into what malloc gave, with the start kept just in front of
 * it.
 */
void *
shifted(std::size_t size, std::size_t offset)
{
    void *start = nullptr;

    if (posix_memalign(&start, offset, size + offset) != 0)
        throw std::bad_alloc();
    std::memcpy(static_cast<char *>(start) + offset - sizeof(start), &start, sizeof(start));
    return static_cast<char *>(start) + offset;
}

void
free_shifted(void *ptr)
{
    void *start;

    std::memcpy(&start, static_cast<char *>(ptr) - sizeof(start), sizeof(start));
    std::free(start);
}

} // namespace

void *
operator new[](std::size_t size)
{
    seen.array_new++;
    return shifted(size, 16);
}

void
operator delete[](void *ptr) noexcept
{
    if (ptr == nullptr)
        return;
    seen.array_delete++;
    free_shifted(ptr);
}

void *
operator new(std::size_t size, std::align_val_t alignment)
{
    seen.aligned_new++;
    return shifted(size, static_cast<std::size_t>(alignment));
}

void
operator delete(void *ptr, std::align_val_t) noexcept
{
    if (ptr == nullptr)
        return;
    seen.aligned_delete++;
    free_shifted(ptr);
}

namespace
{

const std::size_t size = 1000;
const auto alignment = static_cast<std::align_val_t>(64);

/*
 * Names the form that did not reach the replacement; the child's exit code says that one did not.
 */
bool
expect_one_more(int now, int before, const char *form)
{
    if (now == before + 1)
        return true;
    std::fprintf(
        stderr, "operator %s: %d calls of the program's own operator\n", form, now - before);
    return false;
}

int
use_array_forms(void *)
{
    void *blocks[3] = {::operator new[](size)};
    bool good = expect_one_more(seen.array_new, 0, "new[]");

    blocks[1] = ::operator new[](size, std::nothrow);
    good = expect_one_more(seen.array_new, 1, "new[] nothrow") && good;
    if (!good)
        return 1;
    blocks[2] = ::operator new[](size);
    ::operator delete[](blocks[0], size);
    good = expect_one_more(seen.array_delete, 0, "delete[] sized") && good;
    ::operator delete[](blocks[1], std::nothrow);
    good = expect_one_more(seen.array_delete, 1, "delete[] nothrow") && good;
    ::operator delete[](blocks[2]);
    return good && seen.array_delete == 3 && seen.aligned_new == 0 ? 0 : 1;
}

int
use_aligned_forms(void *)
{
    void *blocks[4] = {::operator new(size, alignment)};
    bool good = expect_one_more(seen.aligned_new, 0, "new aligned");

    blocks[1] = ::operator new(size, alignment, std::nothrow);
    good = expect_one_more(seen.aligned_new, 1, "new aligned nothrow") && good;
    blocks[2] = ::operator new[](size, alignment);
    good = expect_one_more(seen.aligned_new, 2, "new[] aligned") && good;
    blocks[3] = ::operator new[](size, alignment, std::nothrow);
    good = expect_one_more(seen.aligned_new, 3, "new[] aligned nothrow") && good;
    if (!good)
        return 1;
    ::operator delete(blocks[0], size, alignment);
    good = expect_one_more(seen.aligned_delete, 0, "delete aligned sized") && good;
    ::operator delete(blocks[1], alignment, std::nothrow);
    good = expect_one_more(seen.aligned_delete, 1, "delete aligned nothrow") && good;
    ::operator delete[](blocks[2], size, alignment);
    good = expect_one_more(seen.aligned_delete, 2, "delete[] aligned sized") && good;
    ::operator delete[](blocks[3], alignment, std::nothrow);
    good = expect_one_more(seen.aligned_delete, 3, "delete[] aligned nothrow") && good;
    return good && seen.array_new == 0 ? 0 : 1;
}

int
use_plain_forms(void *)
{
    ::operator delete(::operator new(size));
    ::operator delete(::operator new(size, std::nothrow), size);
    ::operator delete(::operator new(size), std::nothrow);
    return seen.array_new + seen.array_delete + seen.aligned_new + seen.aligned_delete == 0 ? 0 : 1;
}

struct xa_child_result child;

void
expect_success(int (*function)(void *))
{
    xa_child_call(&child, 30, function, nullptr);
    xa_child_assert_success(&child);
}

void
s25_array_forms_reach_the_programs_array_pair(void **)
{
    expect_success(use_array_forms);
}

void
s25_aligned_forms_reach_the_programs_aligned_pair(void **)
{
    expect_success(use_aligned_forms);
}

void
s25_plain_forms_reach_neither(void **)
{
    expect_success(use_plain_forms);
}

} // namespace

int
main()
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(s25_array_forms_reach_the_programs_array_pair),
        cmocka_unit_test(s25_aligned_forms_reach_the_programs_aligned_pair),
        cmocka_unit_test(s25_plain_forms_reach_neither),
    };

    xa_child_start_watchdog(120);
    return cmocka_run_group_tests(tests, xa_child_check_allocator, nullptr);
}
