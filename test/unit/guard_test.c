/*
 * guard_test.c - objects between inaccessible pages; each access beyond them is tried in a child.
 */
#include "check/guard.h"

#include "support/os_fake.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "config/options.h"
#include "page/limit.h"
#include "page/window.h"
#include "support/child.h"

enum { SECONDS = 60, MANY = 2000 };

static void
begin(void)
{
    xa_os_init();
}

static char *
take(size_t size)
{
    char *object = xa_guard_take(size, 16);
    assert_non_null(object);
    assert_true(xa_guard_has((uintptr_t)object));
    return object;
}

static struct xa_child_result result;

static int
touch(void *address)
{
    *(volatile char *)address = 1;
    return 0;
}

static bool
is_accessible(const char *address)
{
    xa_child_call(&result, SECONDS, touch, (void *)(uintptr_t)address);
    assert_false(result.timed_out);
    return result.signal != SIGSEGV;
}

static void
objects_are_as_long_as_asked_and_zeroed(void **state)
{
    (void)state;
    begin();
    for (size_t size = 1; size <= XA_GUARD_MAX_BYTES; size = size * 3 / 2 + 1) {
        char *object = take(size);
        assert_int_equal((uintptr_t)object % 16, 0);
        for (size_t i = 0; i < size; i++)
            assert_int_equal(object[i], 0);
        memset(object, 'x', size);
        assert_int_equal(xa_guard_bytes(object, "test"), size);
        xa_guard_return(object, "free");
    }
    assert_null(xa_guard_take(XA_GUARD_MAX_BYTES + 1, 16));
    assert_string_equal(xa_os_fake_errors(), "");
}

static void
alignments_up_to_a_page_are_kept(void **state)
{
    (void)state;
    begin();
    for (size_t alignment = 1; alignment <= 4096; alignment *= 2) {
        for (size_t size = 1; size <= 20000; size = 3 * size + 7) {
            char *object = xa_guard_take(size, alignment);
            assert_non_null(object);
            assert_int_equal((uintptr_t)object % alignment, 0);
            memset(object, 'x', size);
            xa_guard_return(object, "free");
        }
    }
    assert_null(xa_guard_take(100, 8192));
}

static void
check_surroundings(void)
{
    static const size_t sizes[] = {16, 4096, 8192, 16000};
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t page = xa_os_facts.page_bytes;
        char *object = take(sizes[i]);
        char *first = object - (uintptr_t)object % page;
        char *last = object + sizes[i] - 1;
        last += page - (uintptr_t)last % page;
        assert_true(is_accessible(object));
        assert_false(is_accessible(first - 1));
        assert_false(is_accessible(last));
        xa_guard_return(object, "free");
        assert_false(is_accessible(object));
        assert_false(is_accessible(object + sizes[i] - 1));
    }
}

static void
pages_around_and_after_are_inaccessible(void **state)
{
    (void)state;
    begin();
    check_surroundings();
}

static void
also_on_a_host_without_marks(void **state)
{
    (void)state;
    xa_os_fake_forbid_guard_marks();
    begin();
    check_surroundings();
}

static void
also_with_large_pages(void **state)
{
    (void)state;
    xa_os_fake_set_page_bytes(65536);
    begin();
    check_surroundings();
}

static void
live_objects_do_not_overlap_and_places_are_used_again(void **state)
{
    static char *objects[MANY];
    unsigned live = 0;
    (void)state;
    begin();
    for (unsigned i = 0; i < MANY; i++) {
        char *object = xa_guard_take(100, 16);
        if (object == NULL)
            break;
        memset(object, (int)i, 100);
        objects[live++] = object;
    }
    assert_int_equal(live, XA_CHUNK_GRANULES);
    assert_int_equal(xa_guard_live_objects(), live);
    assert_int_equal(xa_guard_live_bytes(), 100 * live);
    for (unsigned i = 0; i < live; i++) {
        for (unsigned k = 0; k < 100; k++)
            assert_int_equal((unsigned char)objects[i][k], i & 0xff);
        xa_guard_return(objects[i], "free");
    }
    assert_int_equal(xa_guard_live_objects(), 0);
    /* A freed place is the last to be used again. */
    for (unsigned i = 0; i < 2 * MANY; i++)
        xa_guard_return(take(i % 5000 + 1), "free");
    assert_string_equal(xa_os_fake_errors(), "");
}

static void
the_memory_of_freed_objects_is_given_back(void **state)
{
    (void)state;
    begin();
    xa_guard_return(take(1), "free");
    size_t before = xa_os_fake_resident_bytes(), used = xa_limit_used_bytes();
    for (unsigned i = 0; i < 100; i++) {
        char *object = take(8192);
        memset(object, 'x', 8192);
        xa_guard_return(object, "free");
    }
    /* Records stay. */
    assert_true(xa_os_fake_resident_bytes() <= before + 100 * 512);
    assert_int_equal(xa_limit_used_bytes(), used);
}

static void
free_it(void *pointer)
{
    xa_guard_return(pointer, "free");
}

static void
ask_for_bytes(void *pointer)
{
    (void)xa_guard_bytes(pointer, "realloc");
}

#define STACK "*xalloc:   allocated by thread *"

static void
misuse_is_fatal(void **state)
{
    (void)state;
    begin();
    char *object = take(40);
    xa_os_fake_assert_fatal(free_it, object + 16,
        "xalloc: free(0x*): not the beginning of an object of 40 bytes at 0x*. "
        "Free the pointer that malloc returned.\n" STACK);
    xa_guard_return(object, "free");
    xa_os_fake_assert_fatal(free_it, object,
        "xalloc: free(0x*): already free, an object of 40 bytes at 0x*, freed. "
        "Look for a second free of the same pointer.\n" STACK "freed by thread *");
    xa_os_fake_assert_fatal(ask_for_bytes, object, "xalloc: realloc(0x*): already free, *" STACK);
}

static void
writes_beside_the_object_are_found_at_its_free(void **state)
{
    (void)state;
    begin();
    for (unsigned i = 0; i < 20; i++) {
        char *object = take(41);
        object[41] = 0;
        /* Without room behind it, where it ends its page, there was no such byte. */
        xa_os_fake_assert_fatal(free_it, object,
            "xalloc: free(0x*): something was written behind an object of 41 bytes at 0x*. "
            "Look for an overflow.\n" STACK);
        if ((uintptr_t)object % 4096 == 0)
            continue;
        object = take(41);
        if ((uintptr_t)object % 4096 == 0)
            continue;
        object[-1] = 0;
        xa_os_fake_assert_fatal(free_it, object,
            "xalloc: free(0x*): something was written before an object of 41 bytes at 0x*. "
            "Look for an underflow.\n" STACK);
    }
}

static void
expect_fault(const char *address, const char *what)
{
    char expected[300];
    xa_os_fake_clear_errors();
    xa_guard_say_fault((uintptr_t)address);
    snprintf(expected, sizeof expected, "xalloc: access(0x%zx): %s", (size_t)address, what);
    xa_os_fake_assert_errors(expected);
}

static void
faults_are_explained(void **state)
{
    (void)state;
    begin();
    char *object = take(48);
    expect_fault(object + 48,
        "0 bytes behind the end of an object of 48 bytes at 0x*, which is live. *\n" STACK);
    expect_fault(
        object + 4096, "4048 bytes behind the end of an object of 48 bytes at 0x*\n" STACK);
    expect_fault(object - 5000, "5000 bytes before an object of 48 bytes at 0x*\n" STACK);
    expect_fault(object + 40000, "among guarded objects, but to none. *\n");
    xa_guard_return(object, "free");
    expect_fault(
        object, "after the free of an object of 48 bytes at 0x*\n" STACK "freed by thread *");
}

static void
what_the_host_refuses_leaves_no_object(void **state)
{
    (void)state;
    begin();
    assert_false(xa_guard_has(4096));
    xa_os_fake_fail(XA_OS_FAKE_GUARD, 1, XA_OS_FAKE_FROM_THEN_ON);
    assert_null(xa_guard_take(100, 16));
    xa_os_fake_stop_failing();
    size_t used = xa_limit_used_bytes();
    assert_null(xa_guard_take(100, 16));
    assert_int_equal(xa_limit_used_bytes(), used);
    assert_false(xa_guard_has(4096));
}

static void
a_page_that_cannot_be_opened_is_no_object(void **state)
{
    (void)state;
    begin();
    xa_guard_return(take(100), "free");
    size_t used = xa_limit_used_bytes();
    char *object = take(100);
    xa_os_fake_fail(XA_OS_FAKE_GUARD, 1, XA_OS_FAKE_ONCE);
    assert_null(xa_guard_take(100, 16));
    /* One that cannot be closed is emptied. */
    memset(object, 'x', 100);
    xa_os_fake_fail(XA_OS_FAKE_GUARD, 1, XA_OS_FAKE_ONCE);
    xa_guard_return(object, "free");
    assert_int_equal(object[0], 0);
    for (unsigned i = 0; i < MANY; i++)
        xa_guard_return(take(100), "free");
    assert_int_equal(xa_guard_live_objects(), 0);
    assert_int_equal(xa_limit_used_bytes(), used);
}

static void
a_limit_on_memory_holds_for_it_too(void **state)
{
    (void)state;
    begin();
    assert_true(xa_limit_set(0, 1 << 20));
    unsigned live = 0;
    while (live < MANY && xa_guard_take(4096, 16) != NULL)
        live++;
    assert_true(live > 200 && live <= 256);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(objects_are_as_long_as_asked_and_zeroed),
        XA_OS_FAKE_FRESH(alignments_up_to_a_page_are_kept),
        XA_OS_FAKE_FRESH(pages_around_and_after_are_inaccessible),
        XA_OS_FAKE_FRESH(also_on_a_host_without_marks),
        XA_OS_FAKE_FRESH(also_with_large_pages),
        XA_OS_FAKE_FRESH(live_objects_do_not_overlap_and_places_are_used_again),
        XA_OS_FAKE_FRESH(the_memory_of_freed_objects_is_given_back),
        XA_OS_FAKE_FRESH(misuse_is_fatal),
        XA_OS_FAKE_FRESH(writes_beside_the_object_are_found_at_its_free),
        XA_OS_FAKE_FRESH(faults_are_explained),
        XA_OS_FAKE_FRESH(what_the_host_refuses_leaves_no_object),
        XA_OS_FAKE_FRESH(a_page_that_cannot_be_opened_is_no_object),
        XA_OS_FAKE_FRESH(a_limit_on_memory_holds_for_it_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
