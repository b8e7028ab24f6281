/*
 * cxx_replace_test.cc - a program replaces only operator new(size_t) and operator delete(void *),
 * row S25.
 *
 * The standard lets a program do that, and promises that every other form of the pair then goes
 * through the replacement.  The replacement here puts 16 bytes in front of each object, so that an
 * object freed past it is an interior pointer to the allocator, and an object made past it has no
 * mark.  Aligned forms are a pair of their own, and must not go through it.
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
#include <string>
#include <vector>

/* Leaving the sized forms out is the point of this program. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wsized-deallocation"
#endif

namespace
{

const std::uint64_t mark = 0x7265706c61636564;

int made;
int freed;

bool
is_marked(const void *ptr)
{
    std::uint64_t found;

    std::memcpy(&found, static_cast<const char *>(ptr) - 16, sizeof(found));
    return found == mark;
}

} // namespace

void *
operator new(std::size_t size)
{
    char *block = size > SIZE_MAX - 16 ? nullptr : static_cast<char *>(std::malloc(size + 16));

    if (block == nullptr)
        throw std::bad_alloc();
    std::memcpy(block, &mark, sizeof(mark));
    made++;
    return block + 16;
}

void
operator delete(void *ptr) noexcept
{
    if (ptr == nullptr)
        return;
    if (!is_marked(ptr))
        std::abort();
    std::memset(static_cast<char *>(ptr) - 16, 0, 16);
    freed++;
    std::free(static_cast<char *>(ptr) - 16);
}

namespace
{

using allocate_function = void *(*)(std::size_t);
using release_function = void (*)(void *, std::size_t);

const struct {
    const char *name;
    allocate_function allocate;
} makers[] = {
    {"new", [](std::size_t n) { return ::operator new(n); }},
    {"new nothrow", [](std::size_t n) { return ::operator new(n, std::nothrow); }},
    {"new[]", [](std::size_t n) { return ::operator new[](n); }},
    {"new[] nothrow", [](std::size_t n) { return ::operator new[](n, std::nothrow); }},
};

const struct {
    const char *name;
    release_function release;
} releasers[] = {
    {"delete", [](void *p, std::size_t) { ::operator delete(p); }},
    {"delete nothrow", [](void *p, std::size_t) { ::operator delete(p, std::nothrow); }},
    {"delete sized", [](void *p, std::size_t n) { ::operator delete(p, n); }},
    {"delete[]", [](void *p, std::size_t) { ::operator delete[](p); }},
    {"delete[] nothrow", [](void *p, std::size_t) { ::operator delete[](p, std::nothrow); }},
    {"delete[] sized", [](void *p, std::size_t n) { ::operator delete[](p, n); }},
};

int
make_with_every_form(void *)
{
    for (const auto &maker : makers) {
        for (std::size_t size = 0; size < 100000; size = size * 3 + 1) {
            int before = made;
            void *block = maker.allocate(size);

            if (made != before + 1 || !is_marked(block)) {
                std::fprintf(
                    stderr, "operator %s does not call the program's operator new\n", maker.name);
                return 1;
            }
            ::operator delete(block);
        }
    }
    return 0;
}

int
free_with_every_form(void *)
{
    for (const auto &releaser : releasers) {
        for (std::size_t size = 0; size < 100000; size = size * 3 + 1) {
            void *block = ::operator new(size);
            int before = freed;

            releaser.release(block, size);
            if (freed != before + 1) {
                std::fprintf(stderr, "operator %s does not call the program's operator delete\n",
                    releaser.name);
                return 1;
            }
        }
    }
    return 0;
}

int
use_aligned_forms(void *)
{
    const auto alignment = static_cast<std::align_val_t>(128);
    int made_before = made;
    int freed_before = freed;

    for (std::size_t size = 0; size < 100000; size = size * 3 + 1) {
        ::operator delete(::operator new(size, alignment), alignment);
        ::operator delete(::operator new(size, alignment, std::nothrow), size, alignment);
        ::operator delete[](::operator new[](size, alignment), size, alignment);
        ::operator delete[](
            ::operator new[](size, alignment, std::nothrow), alignment, std::nothrow);
    }
    XA_CHILD_CHECK(made == made_before && freed == freed_before);
    return 0;
}

int
use_the_library(void *)
{
    int live = made - freed;

    {
        std::vector<std::string> strings;

        for (int i = 0; i < 1000; i++)
            strings.emplace_back(static_cast<std::size_t>(i), 'x');
        XA_CHILD_CHECK(made - freed >= live + 900);
    }
    XA_CHILD_CHECK(made - freed == live);
    return 0;
}

struct xa_child_result child;

/*
 * In children: a form that misses the replacement hands the allocator a bad pointer, which may
 * abort.
 */
void
expect_success(int (*function)(void *))
{
    xa_child_call(&child, 30, function, nullptr);
    xa_child_assert_success(&child);
}

void
s25_every_plain_new_reaches_the_programs_own(void **)
{
    expect_success(make_with_every_form);
}

void
s25_every_plain_delete_reaches_the_programs_own(void **)
{
    expect_success(free_with_every_form);
}

void
s25_aligned_forms_do_not_reach_the_programs_plain_pair(void **)
{
    expect_success(use_aligned_forms);
}

void
s25_the_standard_library_works_with_the_programs_own(void **)
{
    expect_success(use_the_library);
}

} // namespace

int
main()
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(s25_every_plain_new_reaches_the_programs_own),
        cmocka_unit_test(s25_every_plain_delete_reaches_the_programs_own),
        cmocka_unit_test(s25_aligned_forms_do_not_reach_the_programs_plain_pair),
        cmocka_unit_test(s25_the_standard_library_works_with_the_programs_own),
    };

    xa_child_start_watchdog(120);
    return cmocka_run_group_tests(tests, xa_child_check_allocator, nullptr);
}
