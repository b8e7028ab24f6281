/*
 * edge_cases_test.c - the edge cases of the allocating functions, rows E1 to E24, one test a row.
 *
 * The rule where standards leave room is to do as the newest glibc does.  Every function is called
 * through a volatile pointer: a compiler may otherwise drop a malloc whose result is freed, or
 * judge a size at compile time.  errno is set to a value no call leaves behind, and checked
 * exactly.
 *
 * What could end or hang the process (limits, misuse, locked memory) runs in a child.
 */
#define _GNU_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../support/child.h"
#include "../support/seed.h"
#include "../support/shadow.h"
#include "../support/threads.h"
#include "support/words.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

/* Weak, so that the test can say what is missing; older C libraries have neither. */
extern void free_sized(void *ptr, size_t size) __attribute__((weak));
extern void free_aligned_sized(void *ptr, size_t alignment, size_t size) __attribute__((weak));

static void *(*volatile call_malloc)(size_t) = malloc;
static void *(*volatile call_calloc)(size_t, size_t) = calloc;
static void *(*volatile call_realloc)(void *, size_t) = realloc;
static void *(*volatile call_reallocarray)(void *, size_t, size_t) = reallocarray;
static void *(*volatile call_aligned_alloc)(size_t, size_t) = aligned_alloc;
static void *(*volatile call_memalign)(size_t, size_t) = memalign;
static int (*volatile call_posix_memalign)(void **, size_t, size_t) = posix_memalign;
static void *(*volatile call_valloc)(size_t) = valloc;
static void *(*volatile call_pvalloc)(size_t) = pvalloc;
static void (*volatile call_free)(void *) = free;
static size_t (*volatile call_usable)(void *) = malloc_usable_size;

enum {
    UNTOUCHED = 4711, /* no call sets errno to this */
    ABI_ALIGNMENT = 16,
    CHILD_SECONDS = 60
};

static const size_t half = SIZE_MAX / 2 + 1; /* the largest power of two */
static struct xa_child_result child;

/* Run this program anew in one of the modes main() knows, so that it starts with an unused heap. */
static void
expect_mode_succeeds(const char *mode)
{
    xa_child_run_mode(&child, CHILD_SECONDS, mode, NULL);
    xa_child_assert_success(&child);
}

/* Requests worth trying one by one: all small ones, then eight in each doubling. */
static size_t
next_size(size_t size)
{
    return size < 1024 ? size + 1 : size + size / 8 + 1;
}

static bool
is_aligned(const void *ptr, size_t alignment)
{
    return (uintptr_t)ptr % alignment == 0;
}

static int
compare_addresses(const void *left, const void *right)
{
    uintptr_t a = *(const uintptr_t *)left;
    uintptr_t b = *(const uintptr_t *)right;

    return (a > b) - (a < b);
}

/* A function that allocates, reduced to its size, so that rows can be tried on all of them. */
struct allocator {
    const char *name;
    void *(*take)(size_t size);
};

static void *
take_malloc(size_t size)
{
    return call_malloc(size);
}

static void *
take_calloc_objects(size_t size)
{
    return call_calloc(size, 1);
}

static void *
take_calloc_one(size_t size)
{
    return call_calloc(1, size);
}

static void *
take_realloc(size_t size)
{
    return call_realloc(NULL, size);
}

static void *
take_reallocarray(size_t size)
{
    return call_reallocarray(NULL, size, 1);
}

static void *
take_aligned_alloc(size_t size)
{
    return call_aligned_alloc(64, size);
}

static void *
take_memalign(size_t size)
{
    return call_memalign(64, size);
}

static void *
take_valloc(size_t size)
{
    return call_valloc(size);
}

static void *
take_pvalloc(size_t size)
{
    return call_pvalloc(size);
}

static const struct allocator allocators[] = {
    {"malloc(n)", take_malloc},
    {"calloc(n, 1)", take_calloc_objects},
    {"calloc(1, n)", take_calloc_one},
    {"realloc(NULL, n)", take_realloc},
    {"reallocarray(NULL, n, 1)", take_reallocarray},
    {"aligned_alloc(64, n)", take_aligned_alloc},
    {"memalign(64, n)", take_memalign},
    {"valloc(n)", take_valloc},
    {"pvalloc(n)", take_pvalloc},
};

enum { ALLOCATORS = sizeof(allocators) / sizeof(allocators[0]) };

static void
expect_aligned_and_free(const char *name, size_t size, void *const *blocks, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (blocks[i] == NULL || !is_aligned(blocks[i], ABI_ALIGNMENT))
            fail_msg("%s with n = %zu gave %p", name, size, blocks[i]);
        call_free(blocks[i]);
    }
}

static void
e01_every_result_is_aligned_to_16_bytes(void **state)
{
    enum { LIVE = 6 };
    void *blocks[LIVE];

    (void)state;
    /* Several live at once, as a single block is often aligned by luck. */
    for (int kind = 0; kind < ALLOCATORS; kind++) {
        for (size_t size = 0; size <= 4 << 20; size = next_size(size)) {
            for (int i = 0; i < LIVE; i++)
                blocks[i] = allocators[kind].take(size);
            expect_aligned_and_free(allocators[kind].name, size, blocks, LIVE);
        }
    }
    for (size_t size = 0; size <= 4096; size = next_size(size)) {
        for (int i = 0; i < LIVE; i++)
            assert_int_equal(call_posix_memalign(&blocks[i], sizeof(void *), size), 0);
        expect_aligned_and_free("posix_memalign(&p, 8, n)", size, blocks, LIVE);
        for (int i = 0; i < LIVE; i++)
            blocks[i] = call_aligned_alloc((size_t)1 << i % 4, size);
        expect_aligned_and_free("aligned_alloc(1 to 8, n)", size, blocks, LIVE);
        for (int i = 0; i < LIVE; i++)
            blocks[i] = call_realloc(call_malloc(100), size + 1);
        expect_aligned_and_free("realloc(p, n + 1)", size, blocks, LIVE);
    }
}

static void *
take_zero_bytes(int kind)
{
    switch (kind) {
    case 0: return call_malloc(0);
    case 1: return call_calloc(0, 1);
    case 2: return call_calloc(0, 1000000);
    case 3: return call_calloc(1, 0);
    case 4: return call_calloc(0, 0);
    case 5: return call_calloc(0, SIZE_MAX);
    case 6: return call_realloc(NULL, 0);
    case 7: return call_reallocarray(NULL, 0, 16);
    case 8: return call_reallocarray(NULL, 16, 0);
    default: return call_reallocarray(NULL, 0, 0);
    }
}

static void
e02_zero_bytes_give_unique_blocks(void **state)
{
    enum { KINDS = 10, EACH = 300, COUNT = KINDS * EACH };
    static void *blocks[COUNT];

    (void)state;
    for (int i = 0; i < COUNT; i++) {
        errno = UNTOUCHED;
        blocks[i] = take_zero_bytes(i % KINDS);
        assert_int_equal(errno, UNTOUCHED);
        assert_non_null(blocks[i]);
    }
    qsort(blocks, COUNT, sizeof(blocks[0]), compare_addresses);
    for (int i = 1; i < COUNT; i++)
        assert_ptr_not_equal(blocks[i - 1], blocks[i]);
    for (int i = 0; i < COUNT; i++) {
        errno = UNTOUCHED;
        call_free(blocks[i]);
        assert_int_equal(errno, UNTOUCHED);
    }
}

static void
check_success_leaves_errno(const char *name, const void *block, size_t size)
{
    if (block == NULL || errno != UNTOUCHED)
        fail_msg("%s with %zu: gave %p and errno %d", name, size, block, errno);
}

/* Succeeds for as long as memory lasts; every success must leave errno alone. */
static int
allocate_while_calls_of_the_allocator_fail(void)
{
    static void *blocks[4096];
    struct xa_seed_random random = xa_seed_start(1, 0);
    int failures = 0;

    XA_CHILD_CHECK(xa_child_limit(RLIMIT_AS, xa_child_virtual_bytes() + (96 << 20)));
    for (int i = 0; i < 200000 && failures < 1000; i++) {
        size_t slot = xa_seed_below(&random, 4096);
        size_t size = xa_seed_size(&random, 1, 8 << 20);
        void *fresh;

        errno = UNTOUCHED;
        fresh = i % 7 == 0 ? call_memalign((size_t)1 << (4 + i % 18), size) : call_malloc(size);
        XA_CHILD_CHECK(errno == (fresh != NULL ? UNTOUCHED : ENOMEM));
        failures += fresh == NULL;
        if (fresh == NULL)
            continue;
        errno = UNTOUCHED;
        call_free(blocks[slot]);
        XA_CHILD_CHECK(errno == UNTOUCHED);
        blocks[slot] = fresh;
    }
    /* Memory must have run out, or no call inside the allocator has failed. */
    XA_CHILD_CHECK(failures > 0);
    return 0;
}

static void
e03_success_leaves_errno_as_it_was(void **state)
{
    (void)state;
    for (int kind = 0; kind < ALLOCATORS; kind++) {
        for (size_t size = 0; size <= 64 << 20; size = next_size(size)) {
            void *block;

            errno = UNTOUCHED;
            block = allocators[kind].take(size);
            check_success_leaves_errno(allocators[kind].name, block, size);
            call_usable(block);
            check_success_leaves_errno("malloc_usable_size", block, size);
            block = call_realloc(block, size + 100);
            check_success_leaves_errno("realloc", block, size);
            call_free(block);
            assert_int_equal(errno, UNTOUCHED);
        }
    }
    const size_t most = (size_t)1 << (sizeof(size_t) == 8 ? 30 : 26);

    for (size_t alignment = 1; alignment <= most; alignment *= 2) {
        void *block;

        errno = UNTOUCHED;
        block = call_memalign(alignment, 100);
        check_success_leaves_errno("memalign(n, 100)", block, alignment);
        call_free(block);
        block = call_aligned_alloc(alignment, alignment);
        check_success_leaves_errno("aligned_alloc(n, n)", block, alignment);
        call_free(block);
        assert_int_equal(errno, UNTOUCHED);
    }
}

static void
e03_success_leaves_errno_even_if_system_calls_failed(void **state)
{
    (void)state;
    if (xa_child_is_instrumented()) {
        print_message(
            "skipped: an address space limit means nothing under a sanitizer or Valgrind\n");
        skip();
    }
    expect_mode_succeeds("errno");
}

static void
expect_no_memory(const char *name, size_t size, void *(*take)(size_t size))
{
    void *block;

    errno = UNTOUCHED;
    block = take(size);
    if (block != NULL || errno != ENOMEM)
        fail_msg(
            "%s with n = %#zx gave %p and errno %d, not NULL and ENOMEM", name, size, block, errno);
}

static void
e04_failure_gives_null_and_enomem(void **state)
{
    const size_t impossible[] = {(size_t)PTRDIFF_MAX + 1, (size_t)PTRDIFF_MAX + 2,
        (size_t)PTRDIFF_MAX + 4096, (size_t)PTRDIFF_MAX + 4097, PTRDIFF_MAX, PTRDIFF_MAX - 15,
        PTRDIFF_MAX - 4095, xa_words_power(62), xa_words_power(57), xa_words_power(48)};

    (void)state;
    for (int kind = 0; kind < ALLOCATORS; kind++) {
        const struct allocator *allocator = &allocators[kind];

        for (size_t i = 0; i < sizeof(impossible) / sizeof(impossible[0]); i++)
            expect_no_memory(allocator->name, impossible[i], allocator->take);
        for (size_t distance = 0; distance <= 70000; distance += distance < 5000 ? 1 : 997)
            expect_no_memory(allocator->name, SIZE_MAX - distance, allocator->take);
        for (size_t step = 0; step < 1024; step++)
            expect_no_memory(
                allocator->name, (size_t)PTRDIFF_MAX + 1 + step * (half / 1024), allocator->take);
    }
}

/* Take blocks until there are no more, each pointing to the one before; then free them all. */
static void
exhaust_memory_with(size_t size)
{
    void **last = NULL;
    void **block;

    errno = UNTOUCHED;
    while ((block = call_malloc(size)) != NULL) {
        *block = last;
        last = block;
    }
    XA_CHILD_CHECK(errno == ENOMEM);
    while (last != NULL) {
        block = *last;
        call_free(last);
        last = block;
    }
}

/*
 * Runs in a new process under a limit: really running out of memory is ENOMEM too, for every size.
 */
static int
exhaust_memory_with_each_size(void)
{
    XA_CHILD_CHECK(xa_child_limit(RLIMIT_AS, xa_child_virtual_bytes() + (64 << 20)));
    for (size_t size = 24; size <= 40 << 20; size = size * 5 + 3)
        exhaust_memory_with(size);
    return 0;
}

static void
e04_exhausted_memory_gives_null_and_enomem(void **state)
{
    (void)state;
    if (xa_child_is_instrumented()) {
        print_message(
            "skipped: an address space limit means nothing under a sanitizer or Valgrind\n");
        skip();
    }
    expect_mode_succeeds("exhaust");
}

static char
overcommit_mode(void)
{
    char mode = '?';
    int file = open("/proc/sys/vm/overcommit_memory", O_RDONLY | O_CLOEXEC);

    if (file >= 0) {
        if (read(file, &mode, 1) != 1)
            mode = '?';
        close(file);
    }
    return mode;
}

static void
e05_more_than_the_machine_has_is_refused(void **state)
{
    (void)state;
    if (overcommit_mode() != '0') {
        print_message("skipped: vm.overcommit_memory is not 0, the mode this row is about\n");
        skip();
    }
    errno = UNTOUCHED;
    assert_null(call_malloc(xa_words_power(46)));
    assert_int_equal(errno, ENOMEM);
    errno = UNTOUCHED;
    assert_null(call_calloc(xa_words_power(sizeof(size_t) == 8 ? 23 : 15), 1 << 23));
    assert_int_equal(errno, ENOMEM);
}

static void
e06_calloc_refuses_an_overflowing_product(void **state)
{
    const size_t root = xa_words_power(sizeof(size_t) * 4);
    const size_t pairs[][2] = {{half, 2}, {2, half}, {SIZE_MAX, 2}, {2, SIZE_MAX},
        {SIZE_MAX, SIZE_MAX}, {root, root}, {root + 1, root}, {SIZE_MAX / 16 + 1, 16},
        {SIZE_MAX / 16 + 2, 16}, {48, SIZE_MAX / 48 + 1}, {SIZE_MAX / 7 + 1, 7},
        {half + 1, half + 1}};

    (void)state;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        void *block;

        errno = UNTOUCHED;
        block = call_calloc(pairs[i][0], pairs[i][1]);
        if (block != NULL || errno != ENOMEM)
            fail_msg(
                "calloc(%#zx, %#zx) gave %p and errno %d", pairs[i][0], pairs[i][1], block, errno);
    }
}

static void
expect_zero(const unsigned char *block, size_t size)
{
    assert_non_null(block);
    /* Comparing the block with itself, one byte on, lets memcmp do the work. */
    if (size > 0 && (block[0] != 0 || memcmp(block, block + 1, size - 1) != 0))
        fail_msg("calloc gave %zu bytes at %p that are not all zero", size, (const void *)block);
}

static void
e07_calloc_gives_zeros_after_reuse(void **state)
{
    enum { LIVE = 32 };
    void *blocks[LIVE];
    size_t reused = 0;

    (void)state;
    for (size_t size = 1; size <= 12 << 20; size = next_size(size)) {
        size_t count = size < 65536 ? LIVE : 2;
        void *old[LIVE];

        for (size_t i = 0; i < count; i++) {
            blocks[i] = old[i] = call_malloc(size);
            assert_non_null(blocks[i]);
            memset(blocks[i], 0xa5, call_usable(blocks[i]));
        }
        for (size_t i = 0; i < count; i++)
            call_free(blocks[i]);
        for (size_t i = 0; i < count; i++) {
            blocks[i] = i % 2 == 0 ? call_calloc(size, 1) : call_calloc(1, size);
            expect_zero(blocks[i], size);
            for (size_t k = 0; k < count; k++)
                reused += blocks[i] == old[k];
        }
        for (size_t i = 0; i < count; i++)
            call_free(blocks[i]);
    }
    /* Otherwise nothing above was about reuse. */
    assert_true(reused > 0);
}

/* Free 64 KiB by asking for none, 20,000 times: 1.2 GiB if they are not freed.  Runs in a child. */
static int
resize_to_nothing(void *argument)
{
    enum { ROUNDS = 20000, BYTES = 65536 };
    size_t before;

    (void)argument;
    before = xa_child_resident_bytes();
    for (int i = 0; i < ROUNDS; i++) {
        void *block = call_malloc(BYTES);
        void *result;

        XA_CHILD_CHECK(block != NULL);
        memset(block, 1, BYTES);
        errno = UNTOUCHED;
        switch (i % 4) {
        case 0: result = call_realloc(block, 0); break;
        case 1: result = call_reallocarray(block, 0, 8); break;
        case 2: result = call_reallocarray(block, 8, 0); break;
        default: result = call_reallocarray(block, 0, 0); break;
        }
        XA_CHILD_CHECK(result == NULL);
        XA_CHILD_CHECK(errno == UNTOUCHED);
    }
    XA_CHILD_CHECK(xa_child_resident_bytes() < before + (64 << 20));
    return 0;
}

static void
e08_realloc_to_nothing_frees_and_gives_null(void **state)
{
    (void)state;
    xa_child_call(&child, CHILD_SECONDS, resize_to_nothing, NULL);
    xa_child_assert_success(&child);
}

static void
expect_failed_realloc_keeps(unsigned char *block, size_t size, size_t impossible)
{
    const size_t root = xa_words_power(sizeof(size_t) * 4 + 1);

    errno = UNTOUCHED;
    assert_null(call_realloc(block, impossible));
    assert_int_equal(errno, ENOMEM);
    errno = UNTOUCHED;
    assert_null(call_reallocarray(block, impossible, 1));
    assert_int_equal(errno, ENOMEM);
    errno = UNTOUCHED;
    assert_null(call_reallocarray(block, root, root));
    assert_int_equal(errno, ENOMEM);
    errno = UNTOUCHED;
    assert_null(call_reallocarray(block, SIZE_MAX / 16 + 2, 16));
    assert_int_equal(errno, ENOMEM);
    for (size_t i = 0; i < size; i++) {
        if (block[i] != (unsigned char)(i * 31 + size))
            fail_msg("byte %zu of %zu changed by a realloc that failed", i, size);
    }
}

static void
e09_failed_realloc_keeps_the_block(void **state)
{
    const size_t sizes[] = {0, 1, 16, 100, 4096, 16384, 32769, 262144, 3 << 20, 20 << 20};
    const size_t impossible[] = {SIZE_MAX, SIZE_MAX - 4096, half, PTRDIFF_MAX, xa_words_power(57)};

    (void)state;
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        unsigned char *block = call_malloc(sizes[s]);

        assert_non_null(block);
        for (size_t i = 0; i < sizes[s]; i++)
            block[i] = (unsigned char)(i * 31 + sizes[s]);
        for (size_t i = 0; i < sizeof(impossible) / sizeof(impossible[0]); i++)
            expect_failed_realloc_keeps(block, sizes[s], impossible[i]);
        call_free(block);
    }
}

static void
e10_posix_memalign_refuses_a_bad_alignment(void **state)
{
    const size_t bad[] = {
        0, 1, 2, 3, sizeof(void *) / 2, 5, 7, 12, 24, 48, 100, 4095, 4097, half + 8, SIZE_MAX};
    void *const marker = (void *)state;
    void *block = marker;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(call_posix_memalign(&block, bad[i], 100), EINVAL);
        assert_ptr_equal(block, marker);
        assert_int_equal(call_posix_memalign(&block, bad[i], 0), EINVAL);
        assert_ptr_equal(block, marker);
    }
    for (size_t alignment = sizeof(void *); alignment <= 1 << 24; alignment *= 2) {
        for (size_t size = 0; size <= 1 << 20; size = size * 9 + 1) {
            assert_int_equal(call_posix_memalign(&block, alignment, size), 0);
            assert_non_null(block);
            assert_true(is_aligned(block, alignment));
            call_free(block);
        }
    }
}

static void
e11_posix_memalign_without_memory_gives_enomem(void **state)
{
    const size_t requests[][2] = {{64, SIZE_MAX}, {4096, PTRDIFF_MAX}, {8, SIZE_MAX - 7},
        {4096, SIZE_MAX - 4095}, {half, sizeof(half) == 8 ? 8 : half}, {half, SIZE_MAX},
        {half, half}, {half / 2, half / 2}, {half / 2, SIZE_MAX - half / 2 + 1}, {16, half},
        {1 << 21, SIZE_MAX - (1 << 21)}};
    void *const marker = (void *)state;
    void *block = marker;

    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        int error = call_posix_memalign(&block, requests[i][0], requests[i][1]);

        if (error != ENOMEM || block != marker)
            fail_msg("posix_memalign(&p, %#zx, %#zx) returned %d, p is %s", requests[i][0],
                requests[i][1], error, block == marker ? "untouched" : "changed");
    }
}

static void
e12_aligned_alloc_refuses_a_bad_alignment(void **state)
{
    const size_t bad[] = {0, 3, 5, 6, 7, 12, 24, 48, 100, 4097, half + 1, SIZE_MAX};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        for (size_t size = 0; size <= 10000; size = size * 10 + 1) {
            void *block;

            errno = UNTOUCHED;
            block = call_aligned_alloc(bad[i], size);
            if (block != NULL || errno != EINVAL)
                fail_msg("aligned_alloc(%#zx, %zu) gave %p and errno %d, not NULL and EINVAL",
                    bad[i], size, block, errno);
        }
    }
}

static void
e13_aligned_alloc_takes_any_size(void **state)
{
    (void)state;
    for (size_t alignment = 1; alignment <= 1 << 16; alignment *= 2) {
        const size_t sizes[] = {0, 1, 8, 65, alignment - 1, alignment + 1, 3 * alignment / 2 + 1};

        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            unsigned char *block;

            errno = UNTOUCHED;
            block = call_aligned_alloc(alignment, sizes[i]);
            check_success_leaves_errno("aligned_alloc(…, n)", block, sizes[i]);
            assert_true(is_aligned(block, alignment));
            memset(block, 0x5a, sizes[i]);
            call_free(block);
        }
    }
}

static void
e14_an_alignment_of_4_gib_works(void **state)
{
    const size_t alignment = xa_words_power(sizeof(size_t) == 8 ? 32 : 26);
    unsigned char *blocks[2];
    struct rlimit limit;

    (void)state;
    getrlimit(RLIMIT_AS, &limit);
    if (limit.rlim_cur != RLIM_INFINITY || overcommit_mode() == '2') {
        print_message("skipped: address space is limited here\n");
        skip();
    }
    for (int i = 0; i < 2; i++) {
        blocks[i] = call_aligned_alloc(alignment, 1);
        assert_non_null(blocks[i]);
        assert_true(is_aligned(blocks[i], alignment));
        *blocks[i] = 1;
    }
    call_free(blocks[0]);
    call_free(blocks[1]);
}

static void
e15_memalign_rounds_a_bad_alignment_up(void **state)
{
    static const struct {
        size_t asked, given;
    } cases[] = {{0, 1}, {1, 1}, {3, 4}, {5, 8}, {24, 32}, {33, 64}, {48, 64}, {100, 128},
        {513, 1024}, {4097, 8192}, {20000, 32768}, {(1 << 20) + 1, 1 << 21}};
    enum { LIVE = 8 };
    void *blocks[LIVE];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (int k = 0; k < LIVE; k++) {
            errno = UNTOUCHED;
            blocks[k] = call_memalign(cases[i].asked, 10 + (size_t)k * 17);
            if (blocks[k] == NULL || !is_aligned(blocks[k], cases[i].given) || errno != UNTOUCHED)
                fail_msg("memalign(%zu, …) gave %p and errno %d, not a multiple of %zu",
                    cases[i].asked, blocks[k], errno, cases[i].given);
        }
        for (int k = 0; k < LIVE; k++)
            call_free(blocks[k]);
    }
}

static void
e16_memalign_refuses_an_alignment_that_cannot_be_rounded(void **state)
{
    const size_t bad[] = {half + 1, half + 2, half + 4096, SIZE_MAX - 1, SIZE_MAX};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        for (int large = 0; large < 2; large++) {
            errno = UNTOUCHED;
            assert_null(call_memalign(bad[i], large ? SIZE_MAX : 100));
            assert_int_equal(errno, EINVAL);
        }
    }
}

static void
e17_memalign_refuses_an_overflowing_sum(void **state)
{
    const size_t requests[][2] = {{half, half}, {half, SIZE_MAX}, {half, half - 1},
        {half, PTRDIFF_MAX}, {half, 1}, {4096, SIZE_MAX}, {4096, SIZE_MAX - 4095},
        {4096, SIZE_MAX - 4096}, {4096, SIZE_MAX - 8191}, {half / 2, half + half / 2},
        {64, SIZE_MAX - 63}, {1 << 21, SIZE_MAX - (1 << 21) + 1}, {half / 2, half - 1}};

    (void)state;
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        void *block;

        errno = UNTOUCHED;
        block = call_memalign(requests[i][0], requests[i][1]);
        if (block != NULL || errno != ENOMEM)
            fail_msg("memalign(%#zx, %#zx) gave %p and errno %d, not NULL and ENOMEM",
                requests[i][0], requests[i][1], block, errno);
    }
}

static void
e18_valloc_and_pvalloc_give_whole_pages(void **state)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    (void)state;
    for (size_t size = 0; size <= 1 << 20; size = size * 3 + 1) {
        void *block = call_valloc(size);
        size_t rounded = (size + page - 1) / page * page;

        assert_non_null(block);
        assert_true(is_aligned(block, page));
        call_free(block);
        block = call_pvalloc(size);
        assert_non_null(block);
        assert_true(is_aligned(block, page));
        assert_true(call_usable(block) >= rounded);
        memset(block, 1, rounded);
        call_free(block);
    }
}

static void
e19_valloc_and_pvalloc_refuse_an_overflow(void **state)
{
    (void)state;
    for (size_t distance = 0; distance <= 10000; distance++) {
        expect_no_memory("valloc(n)", SIZE_MAX - distance, take_valloc);
        expect_no_memory("pvalloc(n)", SIZE_MAX - distance, take_pvalloc);
    }
}

/* With memory locked, giving pages back fails inside the allocator.  Runs in a child. */
static int
free_locked_memory(void *argument)
{
    void *blocks[64];

    (void)argument;
    for (size_t size = 64; size <= 1 << 20; size *= 4) {
        for (int i = 0; i < 64; i++) {
            blocks[i] = call_malloc(size);
            XA_CHILD_CHECK(blocks[i] != NULL);
            memset(blocks[i], 1, size);
            /* Where locking is not allowed the loop below still is a test of free. */
            mlock(blocks[i], size);
        }
        for (int i = 0; i < 64; i++) {
            errno = UNTOUCHED;
            call_free(blocks[i]);
            XA_CHILD_CHECK(errno == UNTOUCHED);
        }
    }
    return 0;
}

static void
e20_free_leaves_errno_as_it_was(void **state)
{
    static const int values[] = {0, EINVAL, ENOMEM, UNTOUCHED};

    (void)state;
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        errno = values[i];
        call_free(NULL);
        assert_int_equal(errno, values[i]);
        for (size_t size = 0; size <= 64 << 20; size = next_size(size)) {
            void *block = call_malloc(size);

            assert_non_null(block);
            errno = values[i];
            call_free(block);
            assert_int_equal(errno, values[i]);
        }
    }
    xa_child_call(&child, CHILD_SECONDS, free_locked_memory, NULL);
    xa_child_assert_success(&child);
}

static void
e21_sized_frees_work_and_ignore_null(void **state)
{
    (void)state;
    if (free_sized == NULL || free_aligned_sized == NULL)
        fail_msg("free_sized or free_aligned_sized is not exported");
    errno = UNTOUCHED;
    free_sized(NULL, 0);
    free_sized(NULL, 100);
    free_sized(NULL, SIZE_MAX);
    free_aligned_sized(NULL, 0, 0);
    free_aligned_sized(NULL, 64, 100);
    free_aligned_sized(NULL, 3, SIZE_MAX);
    for (size_t size = 0; size <= 16 << 20; size = next_size(size)) {
        free_sized(call_malloc(size), size);
        free_sized(call_calloc(size, 1), size);
        free_sized(call_realloc(NULL, size), size);
        for (size_t alignment = 1; alignment <= 1 << 16; alignment *= 16)
            free_aligned_sized(call_aligned_alloc(alignment, size), alignment, size);
    }
    assert_int_equal(errno, UNTOUCHED);
}

static void
e21_sized_frees_really_free(void **state)
{
    size_t before = xa_child_resident_bytes();

    (void)state;
    if (free_sized == NULL || free_aligned_sized == NULL)
        fail_msg("free_sized or free_aligned_sized is not exported");
    for (int i = 0; i < 10000; i++) {
        void *block = call_malloc(50000);

        memset(block, 1, 50000);
        free_sized(block, 50000);
        block = call_aligned_alloc(128, 50000);
        memset(block, 1, 50000);
        free_aligned_sized(block, 128, 50000);
    }
    assert_true(xa_child_resident_bytes() < before + (64 << 20));
}

struct wrong_size {
    size_t real;
    size_t claimed;
    size_t alignment; /* 0 for free_sized */
};

enum { WRONG_BLOCKS_MAX = 256 };

static void
take_objects(struct xa_shadow_object *objects, size_t count, size_t size, size_t alignment)
{
    for (size_t i = 0; i < count; i++) {
        struct xa_shadow_object *object = &objects[i];

        object->address = alignment > 0 ? call_aligned_alloc(alignment, size) : call_malloc(size);
        XA_CHILD_CHECK(object->address != NULL);
        object->size_bytes = size;
        /*
         * What the allocator says is usable may be wrong after the misuse: trust the request only.
         */
        object->usable_bytes = size;
        object->alignment = ABI_ALIGNMENT;
        XA_CHILD_CHECK(xa_shadow_insert(object));
        xa_shadow_fill(object);
    }
}

/* Free every fourth object with the wrong size, then look whether any memory is given out twice. */
static int
free_with_wrong_size(void *argument)
{
    const struct wrong_size *wrong = argument;
    size_t larger = wrong->real > wrong->claimed ? wrong->real : wrong->claimed;
    size_t count = (size_t)(64 << 20) / larger < WRONG_BLOCKS_MAX ? (size_t)(64 << 20) / larger
                                                                  : WRONG_BLOCKS_MAX;
    static struct xa_shadow_object old[WRONG_BLOCKS_MAX];
    static struct xa_shadow_object fresh[2][WRONG_BLOCKS_MAX];

    XA_CHILD_CHECK(xa_shadow_init());
    take_objects(old, count, wrong->real, wrong->alignment);
    for (size_t i = 0; i < count; i += 4) {
        XA_CHILD_CHECK(xa_shadow_remove(&old[i]));
        if (wrong->alignment > 0)
            free_aligned_sized(old[i].address, wrong->alignment, wrong->claimed);
        else
            free_sized(old[i].address, wrong->claimed);
    }
    take_objects(fresh[0], count, wrong->claimed, wrong->alignment);
    take_objects(fresh[1], count, wrong->real, wrong->alignment);
    for (size_t i = 0; i < count; i++) {
        XA_CHILD_CHECK(i % 4 == 0 || xa_shadow_is_intact(&old[i]));
        XA_CHILD_CHECK(xa_shadow_is_intact(&fresh[0][i]));
        XA_CHILD_CHECK(xa_shadow_is_intact(&fresh[1][i]));
    }
    return 0;
}

static void
e22_sized_free_with_a_wrong_size_never_gives_memory_out_twice(void **state)
{
    static struct wrong_size cases[] = {{16, 1024, 0}, {1024, 16, 0}, {64, 65536, 0},
        {100000, 64, 0}, {64, 100000, 0}, {3 << 20, 64, 0}, {64, 3 << 20, 0}, {5 << 20, 9 << 20, 0},
        {9 << 20, 5 << 20, 0}, {100, 200, 64}, {200, 100, 4096}, {40000, 70000, 64},
        {70000, 40000, 8192}};

    (void)state;
    if (free_sized == NULL || free_aligned_sized == NULL)
        fail_msg("free_sized or free_aligned_sized is not exported");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bool reported;

        xa_child_call(&child, CHILD_SECONDS, free_with_wrong_size, &cases[i]);
        reported = child.signal == SIGABRT && strstr(child.errors, "xalloc: ") != NULL;
        if (reported || (!child.timed_out && child.exit_code == 0))
            continue;
        print_error("block of %zu bytes freed as %zu bytes, alignment %zu\n", cases[i].real,
            cases[i].claimed, cases[i].alignment);
        xa_child_assert_success(&child);
    }
}

static void
e23_usable_size_of_null_is_0(void **state)
{
    (void)state;
    errno = UNTOUCHED;
    assert_int_equal(call_usable(NULL), 0);
    assert_int_equal(errno, UNTOUCHED);
}

struct usable_watch {
    void *block;
    size_t usable;
    bool constant;
};

static void
look_at_usable_size(unsigned index, void *argument)
{
    struct usable_watch *watch = argument;

    (void)index;
    watch->constant = call_usable(watch->block) == watch->usable;
}

/* Three neighbours, all of the middle one written: its size stays, and its neighbours too. */
static void
expect_usable_size_holds(const struct allocator *allocator, size_t size)
{
    unsigned char *blocks[3];
    size_t usable[3];
    unsigned char *same;

    for (int i = 0; i < 3; i++) {
        blocks[i] = allocator->take(size);
        assert_non_null(blocks[i]);
        usable[i] = call_usable(blocks[i]);
        assert_true(usable[i] >= size);
        memset(blocks[i], i + 1, usable[i]);
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(call_usable(blocks[i]), usable[i]);
        for (size_t k = 0; k < usable[i]; k += k < 64 || usable[i] - k < 64 ? 1 : 61)
            assert_int_equal(blocks[i][k], i + 1);
    }
    if (usable[1] > 0) {
        same = call_realloc(blocks[1], usable[1]);
        if (same != blocks[1])
            fail_msg("%s of %zu: realloc to the usable %zu bytes moved it", allocator->name, size,
                usable[1]);
        assert_int_equal(call_usable(same), usable[1]);
    }
    for (int i = 0; i < 3; i++)
        call_free(blocks[i]);
}

static void
e24_all_of_the_usable_size_is_the_objects_own_for_life(void **state)
{
    struct usable_watch watch = {NULL, 0, false};

    (void)state;
    for (int kind = 0; kind < ALLOCATORS; kind++) {
        for (size_t size = 0; size <= 8 << 20;
             size = next_size(size) + (size >= 256 ? size / 16 : 0))
            expect_usable_size_holds(&allocators[kind], size);
    }
    for (size_t size = 1; size <= 8 << 20; size = size * 3 + 1) {
        watch.block = call_malloc(size);
        watch.usable = call_usable(watch.block);
        watch.constant = false;
        assert_true(xa_threads_run(1, look_at_usable_size, &watch, CHILD_SECONDS));
        assert_true(watch.constant);
        malloc_trim(0);
        assert_int_equal(call_usable(watch.block), watch.usable);
        call_free(watch.block);
    }
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(e01_every_result_is_aligned_to_16_bytes),
        cmocka_unit_test(e02_zero_bytes_give_unique_blocks),
        cmocka_unit_test(e03_success_leaves_errno_as_it_was),
        cmocka_unit_test(e03_success_leaves_errno_even_if_system_calls_failed),
        cmocka_unit_test(e04_failure_gives_null_and_enomem),
        cmocka_unit_test(e04_exhausted_memory_gives_null_and_enomem),
        cmocka_unit_test(e05_more_than_the_machine_has_is_refused),
        cmocka_unit_test(e06_calloc_refuses_an_overflowing_product),
        cmocka_unit_test(e07_calloc_gives_zeros_after_reuse),
        cmocka_unit_test(e08_realloc_to_nothing_frees_and_gives_null),
        cmocka_unit_test(e09_failed_realloc_keeps_the_block),
        cmocka_unit_test(e10_posix_memalign_refuses_a_bad_alignment),
        cmocka_unit_test(e11_posix_memalign_without_memory_gives_enomem),
        cmocka_unit_test(e12_aligned_alloc_refuses_a_bad_alignment),
        cmocka_unit_test(e13_aligned_alloc_takes_any_size),
        cmocka_unit_test(e14_an_alignment_of_4_gib_works),
        cmocka_unit_test(e15_memalign_rounds_a_bad_alignment_up),
        cmocka_unit_test(e16_memalign_refuses_an_alignment_that_cannot_be_rounded),
        cmocka_unit_test(e17_memalign_refuses_an_overflowing_sum),
        cmocka_unit_test(e18_valloc_and_pvalloc_give_whole_pages),
        cmocka_unit_test(e19_valloc_and_pvalloc_refuse_an_overflow),
        cmocka_unit_test(e20_free_leaves_errno_as_it_was),
        cmocka_unit_test(e21_sized_frees_work_and_ignore_null),
        cmocka_unit_test(e21_sized_frees_really_free),
        cmocka_unit_test(e22_sized_free_with_a_wrong_size_never_gives_memory_out_twice),
        cmocka_unit_test(e23_usable_size_of_null_is_0),
        cmocka_unit_test(e24_all_of_the_usable_size_is_the_objects_own_for_life),
    };

    if (argc == 2 && strcmp(argv[1], "errno") == 0)
        return allocate_while_calls_of_the_allocator_fail();
    if (argc == 2 && strcmp(argv[1], "exhaust") == 0)
        return exhaust_memory_with_each_size();
    xa_child_start_watchdog(180);
    return cmocka_run_group_tests(tests, xa_child_check_allocator, NULL);
}
