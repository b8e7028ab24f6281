/*
 * cxx_operators_test.cc - the 20 C++ operators, rows S10 to S15 and S20 to S26.
 *
 * The operators are called as functions, ::operator new(…): a compiler may leave out a
 * new-expression, and may choose which form of delete it calls.  In this program nothing is
 * replaced, so every form must come from the allocator; cxx_replace_test.cc and
 * cxx_replace_array_test.cc are about replacing some.
 *
 * What must run out of memory does so under a limit, in a child.
 */
#include <csetjmp>
#include <cstdarg>
#include <cstddef>
#include <cstdint>

extern "C" {
#include <cmocka.h>
}

#include "../support/child.h"
#include "../support/shadow.h"
#include "../support/threads.h"

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <functional>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <sys/resource.h>
#include <thread>
#include <vector>

namespace
{

enum { CHILD_SECONDS = 60, LIVE = 8 };

struct xa_child_result child;

const char *const operator_names[] = {"_Znwm", "_Znam", "_ZdlPv", "_ZdaPv", "_ZnwmRKSt9nothrow_t",
    "_ZnamRKSt9nothrow_t", "_ZdlPvRKSt9nothrow_t", "_ZdaPvRKSt9nothrow_t", "_ZdlPvm", "_ZdaPvm",
    "_ZnwmSt11align_val_t", "_ZnamSt11align_val_t", "_ZdlPvSt11align_val_t",
    "_ZdaPvSt11align_val_t", "_ZnwmSt11align_val_tRKSt9nothrow_t",
    "_ZnamSt11align_val_tRKSt9nothrow_t", "_ZdlPvSt11align_val_tRKSt9nothrow_t",
    "_ZdaPvSt11align_val_tRKSt9nothrow_t", "_ZdlPvmSt11align_val_t", "_ZdaPvmSt11align_val_t"};

/*
 * One way to allocate, `aligned` if it takes an alignment, with every way to free that belongs to
 * it.
 */
struct form {
    const char *name;
    bool aligned;
    bool throws;
    void *(*allocate)(std::size_t size, std::align_val_t alignment);
    void (*release[4])(void *ptr, std::size_t size, std::align_val_t alignment);
};

const form forms[] = {
    {"new", false, true, [](std::size_t n, std::align_val_t) { return ::operator new(n); },
        {[](void *p, std::size_t, std::align_val_t) { ::operator delete(p); },
            [](void *p, std::size_t n, std::align_val_t) { ::operator delete(p, n); },
            [](void *p, std::size_t, std::align_val_t) { ::operator delete(p, std::nothrow); },
            nullptr}},
    {"new nothrow", false, false,
        [](std::size_t n, std::align_val_t) { return ::operator new(n, std::nothrow); },
        {[](void *p, std::size_t, std::align_val_t) { ::operator delete(p); },
            [](void *p, std::size_t n, std::align_val_t) { ::operator delete(p, n); },
            [](void *p, std::size_t, std::align_val_t) { ::operator delete(p, std::nothrow); },
            nullptr}},
    {"new[]", false, true, [](std::size_t n, std::align_val_t) { return ::operator new[](n); },
        {[](void *p, std::size_t, std::align_val_t) { ::operator delete[](p); },
            [](void *p, std::size_t n, std::align_val_t) { ::operator delete[](p, n); },
            [](void *p, std::size_t, std::align_val_t) { ::operator delete[](p, std::nothrow); },
            nullptr}},
    {"new[] nothrow", false, false,
        [](std::size_t n, std::align_val_t) { return ::operator new[](n, std::nothrow); },
        {[](void *p, std::size_t, std::align_val_t) { ::operator delete[](p); },
            [](void *p, std::size_t n, std::align_val_t) { ::operator delete[](p, n); },
            [](void *p, std::size_t, std::align_val_t) { ::operator delete[](p, std::nothrow); },
            nullptr}},
    {"aligned new", true, true,
        [](std::size_t n, std::align_val_t a) { return ::operator new(n, a); },
        {[](void *p, std::size_t, std::align_val_t a) { ::operator delete(p, a); },
            [](void *p, std::size_t n, std::align_val_t a) { ::operator delete(p, n, a); },
            [](void *p, std::size_t, std::align_val_t a) { ::operator delete(p, a, std::nothrow); },
            nullptr}},
    {"aligned new nothrow", true, false,
        [](std::size_t n, std::align_val_t a) { return ::operator new(n, a, std::nothrow); },
        {[](void *p, std::size_t, std::align_val_t a) { ::operator delete(p, a); },
            [](void *p, std::size_t n, std::align_val_t a) { ::operator delete(p, n, a); },
            [](void *p, std::size_t, std::align_val_t a) { ::operator delete(p, a, std::nothrow); },
            nullptr}},
    {"aligned new[]", true, true,
        [](std::size_t n, std::align_val_t a) { return ::operator new[](n, a); },
        {[](void *p, std::size_t, std::align_val_t a) { ::operator delete[](p, a); },
            [](void *p, std::size_t n, std::align_val_t a) { ::operator delete[](p, n, a); },
            [](void *p, std::size_t, std::align_val_t a) {
                ::operator delete[](p, a, std::nothrow);
            },
            nullptr}},
    {"aligned new[] nothrow", true, false,
        [](std::size_t n, std::align_val_t a) { return ::operator new[](n, a, std::nothrow); },
        {[](void *p, std::size_t, std::align_val_t a) { ::operator delete[](p, a); },
            [](void *p, std::size_t n, std::align_val_t a) { ::operator delete[](p, n, a); },
            [](void *p, std::size_t, std::align_val_t a) {
                ::operator delete[](p, a, std::nothrow);
            },
            nullptr}},
};

const std::size_t impossible_sizes[] = {SIZE_MAX, SIZE_MAX - 15, SIZE_MAX / 2 + 1,
    SIZE_MAX / 128 * 127,
    /* The most that a size may be; 2 GiB may be there where addresses have 32 bits. */
    sizeof(void *) > 4 ? SIZE_MAX / 2 : SIZE_MAX / 2 + 2};

/* A size is an unsigned long above, `m`, and an unsigned int, `j`, where words have 32 bits. */
std::string
own_name(std::string name)
{
    std::size_t place = name[2] == 'n' ? 4 : 6;

    if (sizeof(std::size_t) == sizeof(unsigned) && place < name.size() && name[place] == 'm')
        name[place] = 'j';
    return name;
}

void
s10_to_s15_every_form_comes_from_the_allocator(void **)
{
    Dl_info malloc_home;

    assert_true(dladdr(dlsym(RTLD_DEFAULT, "malloc"), &malloc_home) != 0);
    for (const char *name : operator_names) {
        Dl_info home;
        void *address = dlsym(RTLD_DEFAULT, own_name(name).c_str());

        assert_non_null(address);
        assert_true(dladdr(address, &home) != 0);
        if (std::strcmp(home.dli_fname, malloc_home.dli_fname) != 0)
            fail_msg("%s is from %s, malloc from %s", name, home.dli_fname, malloc_home.dli_fname);
    }
}

void
try_form(const form &form, std::size_t size, std::size_t alignment)
{
    void *blocks[LIVE];
    auto wanted = static_cast<std::align_val_t>(alignment);
    int way = 0;

    for (void *&block : blocks) {
        block = form.allocate(size, wanted);
        if (block == nullptr || reinterpret_cast<std::uintptr_t>(block) % alignment != 0)
            fail_msg("%s of %zu bytes, alignment %zu, gave %p", form.name, size, alignment, block);
        std::memset(block, 0x5a, size);
    }
    for (void *block : blocks) {
        form.release[way](block, size, wanted);
        way = form.release[way + 1] != nullptr ? way + 1 : 0;
    }
}

void
s10_to_s15_every_form_allocates_and_frees(void **)
{
    for (const form &form : forms) {
        for (std::size_t size = 0; size <= 4 << 20; size += size / 6 + 1) {
            if (!form.aligned)
                try_form(form, size, 16);
            for (std::size_t alignment = 1; form.aligned && alignment <= 65536; alignment *= 16)
                try_form(form, size, alignment);
        }
    }
}

void
s23_an_impossible_size_throws_bad_alloc_or_gives_null(void **)
{
    for (const form &form : forms) {
        for (std::size_t size : impossible_sizes) {
            void *block = nullptr;
            bool thrown = false;

            try {
                block = form.allocate(size, static_cast<std::align_val_t>(64));
            } catch (const std::bad_alloc &) {
                thrown = true;
            }
            if (block != nullptr || thrown != form.throws)
                fail_msg("%s of %#zx: gave %p, thrown %d", form.name, size, block, thrown);
        }
    }
}

int handler_calls;

void
count_then_give_up()
{
    if (++handler_calls == 3)
        std::set_new_handler(nullptr);
}

void
s23_the_handler_is_called_until_there_is_none(void **)
{
    for (const form &form : forms) {
        bool thrown = false;

        handler_calls = 0;
        std::set_new_handler(count_then_give_up);
        try {
            assert_null(form.allocate(SIZE_MAX / 2 + 1, static_cast<std::align_val_t>(64)));
        } catch (const std::bad_alloc &) {
            thrown = true;
        }
        std::set_new_handler(nullptr);
        if (handler_calls != 3 || thrown != form.throws)
            fail_msg("%s: %d calls of the handler, thrown %d", form.name, handler_calls, thrown);
    }
}

struct out_of_patience : std::bad_alloc {
    int depth = 0;
};

void
throw_own_exception()
{
    out_of_patience exception;

    exception.depth = 42;
    throw exception;
}

void
install_a_handler_that_throws()
{
    handler_calls++;
    std::set_new_handler(throw_own_exception);
}

void
s23_the_handler_is_read_again_on_every_turn(void **)
{
    for (const form &form : forms) {
        int depth = 0;

        handler_calls = 0;
        std::set_new_handler(install_a_handler_that_throws);
        try {
            assert_null(form.allocate(SIZE_MAX / 2 + 1, static_cast<std::align_val_t>(64)));
        } catch (const out_of_patience &exception) {
            depth = exception.depth;
        }
        std::set_new_handler(nullptr);
        /* The throwing forms let it through; the others turn it into a null pointer. */
        if (handler_calls != 1 || depth != (form.throws ? 42 : 0))
            fail_msg("%s: %d calls of the handler, caught %d", form.name, handler_calls, depth);
    }
}

struct witness {
    bool *destroyed;

    ~witness()
    {
        *destroyed = true;
    }
};

__attribute__((noinline)) void
allocate_with_a_witness(const form &form, bool *destroyed)
{
    witness on_stack = {destroyed};

    form.allocate(SIZE_MAX / 2 + 1, static_cast<std::align_val_t>(4096));
}

void
s20_an_exception_passes_through_and_runs_destructors(void **)
{
    for (const form &form : forms) {
        bool destroyed = false;
        bool caught = false;

        try {
            allocate_with_a_witness(form, &destroyed);
        } catch (const std::bad_alloc &) {
            caught = true;
        }
        assert_true(destroyed);
        assert_int_equal(caught, form.throws);
    }
}

void *reserve;

void
free_the_reserve()
{
    handler_calls++;
    std::free(reserve);
    reserve = nullptr;
    std::set_new_handler(nullptr);
}

/*
 * The handler frees memory and the very same call then succeeds.  Runs in a child, under a limit.
 */
int
succeed_after_the_handler_freed_memory(void *)
{
    void *blocks[100];

    for (const form &form : forms) {
        int count = 0;

        handler_calls = 0;
        reserve = std::malloc(48 << 20);
        XA_CHILD_CHECK(reserve != nullptr);
        XA_CHILD_CHECK(xa_child_limit(RLIMIT_AS, xa_child_virtual_bytes() + (64 << 20)));
        while (count < 100 && (blocks[count] = std::malloc(4 << 20)) != nullptr)
            count++;
        XA_CHILD_CHECK(count < 100);
        std::set_new_handler(free_the_reserve);
        blocks[count] = form.allocate(16 << 20, static_cast<std::align_val_t>(64));
        XA_CHILD_CHECK(blocks[count] != nullptr && handler_calls == 1 && reserve == nullptr);
        form.release[0](blocks[count], 16 << 20, static_cast<std::align_val_t>(64));
        while (count > 0)
            std::free(blocks[--count]);
        XA_CHILD_CHECK(xa_child_limit(RLIMIT_AS, SIZE_MAX));
    }
    return 0;
}

void
s23_allocation_succeeds_once_the_handler_has_freed_memory(void **)
{
    if (xa_child_is_instrumented()) {
        print_message(
            "skipped: an address space limit means nothing under a sanitizer or Valgrind\n");
        skip();
    }
    xa_child_call(&child, CHILD_SECONDS, succeed_after_the_handler_freed_memory, nullptr);
    xa_child_assert_success(&child);
}

std::jmp_buf after_the_handler;

void
jump_out()
{
    std::longjmp(after_the_handler, 1);
}

void
allocate_in_thread(unsigned, void *)
{
    for (std::size_t size = 1; size <= 32 << 20; size *= 2)
        ::operator delete(::operator new(size));
}

/* A function of its own, so that no variable lives across the jump. */
__attribute__((noinline)) bool
is_jumped_out_of(const form &form)
{
    if (setjmp(after_the_handler) != 0)
        return true;
    std::set_new_handler(jump_out);
    form.allocate(SIZE_MAX / 2 + 1, static_cast<std::align_val_t>(64));
    return false;
}

int
jump_out_of_the_handler(void *)
{
    for (const form &form : forms) {
        XA_CHILD_CHECK(is_jumped_out_of(form));
        std::set_new_handler(nullptr);
        allocate_in_thread(0, nullptr);
    }
    XA_CHILD_CHECK(xa_threads_run(4, allocate_in_thread, nullptr, 20));
    return 0;
}

void
f10_a_jump_out_of_the_handler_leaves_no_lock(void **)
{
    xa_child_call(&child, CHILD_SECONDS, jump_out_of_the_handler, nullptr);
    xa_child_assert_success(&child);
}

void
s26_new_of_0_bytes_is_unique(void **)
{
    for (const form &form : forms) {
        std::vector<void *> blocks(200);

        for (void *&block : blocks) {
            block = form.allocate(0, static_cast<std::align_val_t>(32));
            assert_non_null(block);
        }
        std::sort(blocks.begin(), blocks.end(), std::less<void *>());
        assert_true(std::adjacent_find(blocks.begin(), blocks.end()) == blocks.end());
        for (void *block : blocks)
            form.release[1](block, 0, static_cast<std::align_val_t>(32));
    }
}

void
s26_delete_of_a_null_pointer_does_nothing(void **)
{
    const auto alignment = static_cast<std::align_val_t>(64);

    ::operator delete(nullptr);
    ::operator delete[](nullptr);
    ::operator delete(nullptr, std::nothrow);
    ::operator delete[](nullptr, std::nothrow);
    ::operator delete(nullptr, static_cast<std::size_t>(100));
    ::operator delete[](nullptr, static_cast<std::size_t>(100));
    ::operator delete(nullptr, alignment);
    ::operator delete[](nullptr, alignment);
    ::operator delete(nullptr, alignment, std::nothrow);
    ::operator delete[](nullptr, alignment, std::nothrow);
    ::operator delete(nullptr, static_cast<std::size_t>(100), alignment);
    ::operator delete[](nullptr, static_cast<std::size_t>(100), alignment);
}

struct wrong_size {
    std::size_t real;
    std::size_t claimed;
};

void
take_objects(xa_shadow_object *objects, int count, std::size_t size)
{
    for (int i = 0; i < count; i++) {
        objects[i].address = static_cast<unsigned char *>(::operator new(size));
        objects[i].size_bytes = objects[i].usable_bytes = size;
        objects[i].alignment = 16;
        XA_CHILD_CHECK(xa_shadow_insert(&objects[i]));
        xa_shadow_fill(&objects[i]);
    }
}

int
delete_with_a_wrong_size(void *argument)
{
    enum { COUNT = 128 };
    static xa_shadow_object old[COUNT], fresh[2][COUNT];
    const auto *wrong = static_cast<const wrong_size *>(argument);

    XA_CHILD_CHECK(xa_shadow_init());
    take_objects(old, COUNT, wrong->real);
    for (int i = 0; i < COUNT; i += 4) {
        XA_CHILD_CHECK(xa_shadow_remove(&old[i]));
        ::operator delete(static_cast<void *>(old[i].address), wrong->claimed);
    }
    take_objects(fresh[0], COUNT, wrong->claimed);
    take_objects(fresh[1], COUNT, wrong->real);
    for (int i = 0; i < COUNT; i++) {
        XA_CHILD_CHECK(i % 4 == 0 || xa_shadow_is_intact(&old[i]));
        XA_CHILD_CHECK(xa_shadow_is_intact(&fresh[0][i]) && xa_shadow_is_intact(&fresh[1][i]));
    }
    return 0;
}

void
e22_delete_with_a_wrong_size_never_gives_memory_out_twice(void **)
{
    static wrong_size cases[] = {{16, 1024}, {1024, 16}, {64, 65536}, {100000, 64}, {64, 100000},
        {400000, 64}, {64, 400000}};

    for (wrong_size &wrong : cases) {
        xa_child_call(&child, CHILD_SECONDS, delete_with_a_wrong_size, &wrong);
        if (child.signal == SIGABRT && std::strstr(child.errors, "xalloc: ") != nullptr)
            continue;
        if (child.exit_code != 0)
            print_error("object of %zu bytes deleted as %zu bytes\n", wrong.real, wrong.claimed);
        xa_child_assert_success(&child);
    }
}

struct alignas(256) wide {
    char bytes[300];
};

thread_local std::string of_thread;

void
use_containers(unsigned index, void *argument)
{
    std::map<int, std::string> names;
    std::vector<std::unique_ptr<wide>> wides;
    auto *failures = static_cast<std::atomic<int> *>(argument);

    for (int i = 0; i < 5000; i++)
        names[i % 500] =
            std::string(static_cast<std::size_t>(i % 300), static_cast<char>('a' + index));
    for (int i = 0; i < 200; i++) {
        wides.push_back(std::make_unique<wide>());
        if (reinterpret_cast<std::uintptr_t>(wides.back().get()) % 256 != 0)
            ++*failures;
    }
    for (const auto &entry : names) {
        if (entry.second.find_first_not_of(entry.second[0]) != std::string::npos)
            ++*failures;
    }
    /* Freed by the destructor that runs while the thread is ending. */
    of_thread.assign(10000, 'x');
}

void
containers_and_threads_work(void **)
{
    std::atomic<int> failures(0);
    std::vector<std::thread> threads;

    assert_true(xa_threads_run(8, use_containers, &failures, CHILD_SECONDS));
    for (int i = 0; i < 50; i++)
        threads.emplace_back([&failures] { use_containers(1, &failures); });
    for (std::thread &thread : threads)
        thread.join();
    assert_int_equal(failures.load(), 0);
}

} // namespace

int
main()
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(s10_to_s15_every_form_comes_from_the_allocator),
        cmocka_unit_test(s10_to_s15_every_form_allocates_and_frees),
        cmocka_unit_test(s23_an_impossible_size_throws_bad_alloc_or_gives_null),
        cmocka_unit_test(s23_the_handler_is_called_until_there_is_none),
        cmocka_unit_test(s23_the_handler_is_read_again_on_every_turn),
        cmocka_unit_test(s20_an_exception_passes_through_and_runs_destructors),
        cmocka_unit_test(s23_allocation_succeeds_once_the_handler_has_freed_memory),
        cmocka_unit_test(f10_a_jump_out_of_the_handler_leaves_no_lock),
        cmocka_unit_test(s26_new_of_0_bytes_is_unique),
        cmocka_unit_test(s26_delete_of_a_null_pointer_does_nothing),
        cmocka_unit_test(e22_delete_with_a_wrong_size_never_gives_memory_out_twice),
        cmocka_unit_test(containers_and_threads_work),
    };

    xa_child_start_watchdog(180);
    return cmocka_run_group_tests(tests, xa_child_check_allocator, nullptr);
}
