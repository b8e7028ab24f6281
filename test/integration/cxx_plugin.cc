/*
 * cxx_plugin.cc - a C++ plugin that a C program loads, for cxx_plugin_test.c (row S22).
 *
 * Each function does one thing that needs the C++ run-time's help when memory runs out, and
 * returns 0 if it got it.  They are called from C, so nothing may be thrown out of them.
 */
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <string>
#include <vector>

namespace
{

/* Not constant, as compilers warn of it where they see it. */
volatile std::size_t impossible = SIZE_MAX / 2 + 1;
const auto alignment = static_cast<std::align_val_t>(64);
int handler_calls;

void
give_up()
{
    handler_calls++;
    std::set_new_handler(nullptr);
}

void
throw_bad_alloc()
{
    handler_calls++;
    throw std::bad_alloc();
}

} // namespace

extern "C" {

int
plugin_uses_containers()
{
    std::vector<std::string> strings;

    for (int i = 0; i < 1000; i++)
        strings.emplace_back(static_cast<std::size_t>(i), 'p');
    return strings.back().size() == 999 && strings.back().back() == 'p' ? 0 : 1;
}

int
plugin_catches_bad_alloc()
{
    int caught = 0;

    try {
        ::operator delete(::operator new(impossible));
    } catch (const std::bad_alloc &) {
        caught++;
    }
    try {
        ::operator delete[](::operator new[](impossible, alignment), alignment);
    } catch (const std::bad_alloc &) {
        caught++;
    }
    return caught == 2 ? 0 : 1;
}

int
plugin_handler_is_called()
{
    handler_calls = 0;
    std::set_new_handler(give_up);
    try {
        ::operator delete(::operator new(impossible));
    } catch (const std::bad_alloc &) {
        return handler_calls == 1 ? 0 : 2;
    }
    return 1;
}

int
plugin_nothrow_calls_a_handler_that_throws()
{
    handler_calls = 0;
    std::set_new_handler(throw_bad_alloc);
    void *block = ::operator new(impossible, std::nothrow);
    void *array = ::operator new[](impossible, alignment, std::nothrow);
    std::set_new_handler(nullptr);
    return block == nullptr && array == nullptr && handler_calls == 2 ? 0 : 1;
}

} // extern "C"
