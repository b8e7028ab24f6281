/*
 * mallctl_test.c - names, MIBs, sizes and errors; and every control of the list read once.
 */
#include "control/mallctl.h"

#include "support/os_fake.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/fast_path.h"
#include "alloc/start.h"
#include "config/options.h"
#include "control/snapshot.h"
#include "extent/metadata.h"
#include "support/controls.h"
#include "support/threads.h"

/* As a program's own settings. */
extern const char *xalloc_conf;
const char *xalloc_conf = "background_thread:false,narenas:2";

enum { NAME_BYTES = 128, CANARY = 0xc5, SECONDS = 60, THREADS = 4, ROUNDS = 2000 };

static unsigned char old[16], canary[16];

static void
begin(void)
{
    memset(old, CANARY, sizeof old);
    memset(canary, CANARY, sizeof canary);
    assert_non_null(xa_start_thread());
}

static void
assert_untouched(void)
{
    assert_memory_equal(old, canary, sizeof old);
}

static void
a_name_that_does_not_exist_is_enoent_and_nothing_is_written(void **state)
{
    static const char *const names[] = {"", "nothing", "stats", "stats.arenas", "arenas.bin.0",
        "arenas.bin.72.size", "arenas.lextent.124.size", "arena.9999.purge", "arena.4095.purge",
        "stats.arenas.0.bins.72.curregs", "stats.arenas.0.extents.199.ndirty", "prof.dump",
        "experimental.utilization.batch_query", "thread.tcache.ncached_max.write"};
    (void)state;
    begin();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t bytes = sizeof(size_t);
        assert_int_equal(xa_mallctl(names[i], old, &bytes, NULL, 0), ENOENT);
        assert_int_equal(bytes, sizeof(size_t));
        assert_untouched();
    }
    assert_int_equal(xa_mallctl(NULL, NULL, NULL, NULL, 0), ENOENT);
}

static void
a_wrong_length_gives_what_fits_and_writes_nothing(void **state)
{
    (void)state;
    begin();
    size_t page = xa_os_facts.page_bytes, bytes = 2;
    assert_int_equal(xa_mallctl("arenas.page", old, &bytes, NULL, 0), EINVAL);
    assert_int_equal(bytes, 2);
    assert_memory_equal(old, &page, 2);
    assert_memory_equal(old + 2, canary, sizeof old - 2);
    bytes = sizeof old;
    assert_int_equal(xa_mallctl("arenas.page", old, &bytes, NULL, 0), EINVAL);
    assert_int_equal(bytes, sizeof page);
    assert_memory_equal(old, &page, sizeof page);
    bytes = 0;
    assert_int_equal(xa_mallctl("arenas.page", old, &bytes, NULL, 0), EINVAL);
    /* The new value was fine, the old one's length was not. */
    ssize_t time = 77;
    bytes = sizeof time - 1;
    assert_int_equal(xa_mallctl("arenas.dirty_decay_ms", old, &bytes, &time, sizeof time), EINVAL);
    assert_int_equal(xa_controls_read("arenas.dirty_decay_ms"), 1000);
    memset(old, CANARY, sizeof old);
    /* And the other way round. */
    bytes = sizeof time;
    assert_int_equal(
        xa_mallctl("arenas.dirty_decay_ms", old, &bytes, &time, sizeof time - 1), EINVAL);
    assert_untouched();
    assert_int_equal(xa_controls_read("arenas.dirty_decay_ms"), 1000);
}

static void
what_access_does_not_allow_is_eperm(void **state)
{
    size_t number = 1, bytes = sizeof number;
    (void)state;
    begin();
    assert_int_equal(xa_mallctl("arenas.page", NULL, NULL, &number, sizeof number), EPERM);
    assert_int_equal(xa_mallctl("arenas.page", NULL, NULL, NULL, 8), EPERM);
    assert_int_equal(xa_mallctl("arenas.page", old, &bytes, &number, sizeof number), EPERM);
    assert_int_equal(xa_mallctl("thread.idle", old, &bytes, NULL, 0), EPERM);
    assert_int_equal(xa_mallctl("thread.idle", NULL, NULL, &number, sizeof number), EPERM);
    assert_int_equal(xa_mallctl("tcache.flush", old, &bytes, NULL, 0), EPERM);
    assert_untouched();
}

static void
asking_for_nothing_is_fine(void **state)
{
    size_t bytes = 3;
    (void)state;
    begin();
    assert_int_equal(xa_mallctl("arenas.page", NULL, NULL, NULL, 0), 0);
    assert_int_equal(xa_mallctl("arenas.page", NULL, &bytes, NULL, 0), 0);
    assert_int_equal(xa_mallctl("arenas.page", old, NULL, NULL, 0), 0);
    assert_int_equal(bytes, 3);
    assert_untouched();
}

static void
an_old_value_may_stand_at_any_address(void **state)
{
    size_t bytes = sizeof(size_t), page;
    (void)state;
    begin();
    assert_int_equal(xa_mallctl("arenas.page", old + 1, &bytes, NULL, 0), 0);
    memcpy(&page, old + 1, sizeof page);
    assert_int_equal(page, xa_os_facts.page_bytes);
}

static void
a_mib_is_as_long_as_its_name_or_as_there_is_room(void **state)
{
    size_t mib[10] = {0}, length = 10;
    (void)state;
    begin();
    mib[3] = 42;
    assert_int_equal(xa_mallctl_to_mib("stats.arenas.0", mib, &length), 0);
    assert_int_equal(length, 3);
    assert_int_equal(mib[2], 0);
    assert_int_equal(mib[3], 42);
    mib[2] = 42;
    length = 2;
    assert_int_equal(xa_mallctl_to_mib("stats.arenas.0.bins.0.nmalloc", mib, &length), 0);
    assert_int_equal(length, 2);
    assert_int_equal(mib[2], 42);
    length = 0;
    assert_int_equal(xa_mallctl_to_mib("stats", mib, &length), 0);
    length = 10;
    assert_int_equal(xa_mallctl_to_mib("no.such", mib, &length), ENOENT);
    assert_int_equal(xa_mallctl_to_mib("arenas.bin.72.size", mib, &length), ENOENT);
    assert_int_equal(xa_mallctl_to_mib("prof.dump", mib, &length), ENOENT);
    assert_int_equal(length, 10);
}

static void
the_manual_s_loop_over_the_bins_works(void **state)
{
    size_t mib[4], length = 4, bytes;
    (void)state;
    begin();
    uint64_t bins = xa_controls_read("arenas.nbins");
    assert_int_equal(xa_mallctl_to_mib("arenas.bin.0.size", mib, &length), 0);
    for (unsigned i = 0; i < bins; i++) {
        size_t size;
        mib[2] = i;
        bytes = sizeof size;
        assert_int_equal(xa_mallctl_by_mib(mib, length, &size, &bytes, NULL, 0), 0);
        assert_int_equal(size, xa_size_class_table[i + 1].object_bytes);
    }
    mib[2] = bins;
    bytes = sizeof(size_t);
    assert_int_equal(xa_mallctl_by_mib(mib, length, old, &bytes, NULL, 0), ENOENT);
    assert_int_equal(xa_mallctl_by_mib(mib, 3, old, &bytes, NULL, 0), ENOENT);
    assert_int_equal(xa_mallctl_by_mib(mib, 0, old, &bytes, NULL, 0), ENOENT);
    assert_int_equal(xa_mallctl_by_mib(NULL, 2, old, &bytes, NULL, 0), ENOENT);
    assert_untouched();
}

/* The row's name with numbers that exist for its indices. */
static void
spell(unsigned row, char *name)
{
    for (const char *from = xa_controls_name(row); *from != '\0'; from++) {
        if (*from == '<') {
            *name++ = from[1] == 'i' ? '0' : '1';
            from += 2;
        } else {
            *name++ = *from;
        }
    }
    *name = '\0';
}

/* What a number that is no cache's or private arena's is answered with, and a pointer that is no object. */
static int
expected_error(unsigned row)
{
    switch (row) {
    case XA_CONTROL_tcache_flush:
    case XA_CONTROL_tcache_destroy:
    case XA_CONTROL_arena_i_reset:
    case XA_CONTROL_arena_i_destroy: return EFAULT;
    case XA_CONTROL_arenas_lookup: return EINVAL;
    default: return 0;
    }
}

/* What each type can be, and what a name promises. */
static void
check_value(unsigned row, const unsigned char *value)
{
    const char *name = xa_controls_name(row);
    uint64_t number;
    memcpy(&number, value, sizeof number);
    switch (xa_controls_rows[row].type) {
    case XA_CONTROL_TYPE_flag: assert_true(value[0] <= 1); break;
    case XA_CONTROL_TYPE_ssize: assert_true((int64_t)number >= -1); break;
    case XA_CONTROL_TYPE_text:
        if (strncmp(name, "opt.malloc_conf.", 16) != 0)
            assert_true(strlen((const char *)(uintptr_t)number) < XA_OPTION_TEXT_MAX);
        break;
    case XA_CONTROL_TYPE_pointer: assert_int_not_equal(number, 0); break;
    default: break;
    }
    if (xa_controls_rows[row].answer == XA_CONTROL_ANSWER_fixed && strstr(name, ".mutex") != NULL &&
        strncmp(name, "stats.", 6) == 0)
        assert_int_equal(number & UINT32_MAX, 0);
    /* Nothing here is larger than the address space of the fake host's few mappings. */
    if (strncmp(name, "stats.arenas.", 13) == 0 && xa_controls_bytes(row) == sizeof(size_t) &&
        strstr(name, "decay") == NULL && strcmp(name, "stats.arenas.<i>.dss") != 0)
        assert_true(number < UINT64_C(1) << 50);
}

static void
every_control_answers_as_the_list_says(void **state)
{
    (void)state;
    begin();
    for (unsigned row = 0; row < XA_CONTROLS; row++) {
        const struct xa_controls_row *control = &xa_controls_rows[row];
        char name[NAME_BYTES], kept[XA_OPTION_TEXT_MAX + 1], *buffer = kept;
        unsigned char value[16] = {0};
        size_t bytes = xa_controls_bytes(row), size = bytes;
        spell(row, name);
        if (row == XA_CONTROL_arena_i_name)
            memcpy(value, &buffer, sizeof buffer);
        bool is_read =
            control->access != XA_CONTROL_ACCESS_w && control->access != XA_CONTROL_ACCESS_v;
        bool is_given =
            control->access == XA_CONTROL_ACCESS_w || control->access == XA_CONTROL_ACCESS_x;
        /* An address that is no object's; a batch of no objects; a cache of a large number. */
        const void *given_bytes[4] = {row == XA_CONTROL_experimental_batch_alloc ? NULL : &bytes};
        size_t given = row == XA_CONTROL_experimental_batch_alloc ? sizeof(struct xa_mallctl_batch)
            : control->access == XA_CONTROL_ACCESS_x              ? sizeof(void *)
                                                                  : bytes;
        int error = xa_mallctl(name, is_read ? value : NULL, is_read ? &size : NULL,
            is_given ? (const void *)given_bytes : NULL, is_given ? given : 0);
        int expected = control->answer == XA_CONTROL_ANSWER_absent ? ENOENT : expected_error(row);
        if (error != expected)
            fail_msg("%s: error %d instead of %d", name, error, expected);
        if (error == 0 && is_read) {
            assert_int_equal(size, bytes);
            check_value(row, value);
        }
        for (size_t i = bytes; i < sizeof value; i++)
            assert_int_equal(value[i], 0);
    }
}

/* Every size but the right one is EINVAL, and never more is written than there is room for. */
static void
no_control_writes_beyond_its_room(void **state)
{
    (void)state;
    begin();
    for (unsigned row = 0; row < XA_CONTROLS; row++) {
        char name[NAME_BYTES];
        size_t bytes = xa_controls_bytes(row);
        spell(row, name);
        /* Here the room is said to hold the address of other room. */
        if (row == XA_CONTROL_arena_i_name)
            continue;
        for (size_t room = 0; room <= sizeof old; room++) {
            size_t size = room;
            memset(old, CANARY, sizeof old);
            int error = xa_mallctl(name, old, &size, NULL, 0);
            assert_true(error != 0 || room == bytes);
            assert_true(size <= room);
            assert_memory_equal(old + size, canary, sizeof old - size);
        }
    }
}

static void
what_is_written_but_not_allowed_is_not_taken(void **state)
{
    (void)state;
    begin();
    for (unsigned row = 0; row < XA_CONTROLS; row++) {
        enum xa_controls_access access = xa_controls_rows[row].access;
        char name[NAME_BYTES];
        spell(row, name);
        if (xa_controls_rows[row].answer == XA_CONTROL_ANSWER_absent)
            continue;
        int expected =
            access == XA_CONTROL_ACCESS_r || access == XA_CONTROL_ACCESS_v ? EPERM : EINVAL;
        for (size_t bytes = 0; bytes <= sizeof old; bytes++) {
            /* Some take what their answer is not made of. */
            bool is_right = bytes == xa_controls_bytes(row) || bytes == sizeof(void *) ||
                row == XA_CONTROL_experimental_arenas_create_ext;
            if (expected == EINVAL && is_right)
                continue;
            assert_int_equal(xa_mallctl(name, NULL, NULL, old, bytes), expected);
        }
    }
}

static void
ask_all_the_time(unsigned index, void *argument)
{
    (void)argument;
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t epoch = 1;
        size_t bytes = sizeof epoch, allocated = 0, active = 0;
        if (index == 0)
            (void)!xa_mallctl("epoch", &epoch, &bytes, &epoch, sizeof epoch);
        bytes = sizeof allocated;
        (void)!xa_mallctl("stats.allocated", &allocated, &bytes, NULL, 0);
        (void)!xa_mallctl("stats.active", &active, &bytes, NULL, 0);
        if (active == 0 || allocated > SIZE_MAX / 2)
            abort();
    }
}

static void
threads_may_ask_at_the_same_time(void **state)
{
    (void)state;
    begin();
    void *object = xa_fast_malloc(100);
    assert_non_null(object);
    assert_true(xa_threads_run(THREADS, ask_all_the_time, NULL, SECONDS));
    assert_true(xa_controls_read("epoch") >= ROUNDS);
}

static void
a_handler_that_interrupts_a_look_gets_eagain(void **state)
{
    size_t bytes = sizeof(size_t);
    (void)state;
    begin();
    assert_true(xa_mallctl_lock());
    assert_int_equal(xa_mallctl("stats.allocated", old, &bytes, NULL, 0), EAGAIN);
    assert_int_equal(xa_mallctl("xalloc.stats.small", old, &bytes, NULL, 0), EAGAIN);
    assert_int_equal(xa_mallctl("epoch", old, &bytes, NULL, 0), EAGAIN);
    assert_untouched();
    xa_mallctl_unlock();
    /* In the middle of an allocation, too. */
    struct xa_thread_state *self;
    assert_true(xa_start_enter(&self));
    assert_int_equal(xa_mallctl("epoch", old, &bytes, NULL, 0), EAGAIN);
    xa_start_leave(self);
    assert_untouched();
    assert_int_equal(xa_mallctl("stats.allocated", old, &bytes, NULL, 0), 0);
}

static void
without_memory_for_the_figures_it_is_eagain(void **state)
{
    size_t bytes = sizeof(size_t);
    (void)state;
    begin();
    /* What is left of the metadata that the library brings with it goes first. */
    xa_os_fake_fail(XA_OS_FAKE_ANY, 1, XA_OS_FAKE_FROM_THEN_ON);
    while (xa_metadata_take(1024) != NULL) {
    }
    assert_int_equal(xa_mallctl("stats.allocated", old, &bytes, NULL, 0), EAGAIN);
    assert_untouched();
    xa_os_fake_stop_failing();
    assert_int_equal(xa_mallctl("stats.allocated", old, &bytes, NULL, 0), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(a_name_that_does_not_exist_is_enoent_and_nothing_is_written),
        XA_OS_FAKE_FRESH(a_wrong_length_gives_what_fits_and_writes_nothing),
        XA_OS_FAKE_FRESH(what_access_does_not_allow_is_eperm),
        XA_OS_FAKE_FRESH(asking_for_nothing_is_fine),
        XA_OS_FAKE_FRESH(an_old_value_may_stand_at_any_address),
        XA_OS_FAKE_FRESH(a_mib_is_as_long_as_its_name_or_as_there_is_room),
        XA_OS_FAKE_FRESH(the_manual_s_loop_over_the_bins_works),
        XA_OS_FAKE_FRESH(every_control_answers_as_the_list_says),
        XA_OS_FAKE_FRESH(no_control_writes_beyond_its_room),
        XA_OS_FAKE_FRESH(what_is_written_but_not_allowed_is_not_taken),
        XA_OS_FAKE_FRESH(threads_may_ask_at_the_same_time),
        XA_OS_FAKE_FRESH(a_handler_that_interrupts_a_look_gets_eagain),
        XA_OS_FAKE_FRESH(without_memory_for_the_figures_it_is_eagain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
