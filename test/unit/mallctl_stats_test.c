/*
 * mallctl_stats_test.c - the figures add up, and are those of the program.
 */
#include "control/mallctl.h"

#include "support/os_fake.h"

#include <errno.h>
#include <stdlib.h>

#include "alloc/fast_path.h"
#include "alloc/resize.h"
#include "alloc/start.h"
#include "support/controls.h"
#include "support/seed.h"
#include "support/threads.h"

/* As a program's own settings. */
extern const char *xalloc_conf;
const char *xalloc_conf = "background_thread:false,narenas:3";

enum { MIB = 1 << 20, OBJECTS = 500, ROUNDS = 5000, THREADS = 4, SECONDS = 60, ARENAS = 3 };

static uint64_t seed;
static void *objects[THREADS][OBJECTS];
static size_t sizes[THREADS][OBJECTS];

static void
change(unsigned index, struct xa_seed_random *numbers)
{
    size_t i = xa_seed_below(numbers, OBJECTS);
    xa_fast_free(objects[index][i]);
    objects[index][i] = xa_fast_malloc(xa_seed_size(numbers, 1, 3 * MIB));
    sizes[index][i] = xa_release_usable_bytes(objects[index][i], "test");
}

static void
work(unsigned index, void *argument)
{
    struct xa_seed_random numbers = xa_seed_start(seed, index);
    (void)argument;
    for (int i = 0; i < ROUNDS; i++)
        change(index, &numbers);
}

static uint64_t
sum_of_arenas(const char *pattern)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < ARENAS; i++)
        if (xa_controls_read_at("arena.%u.initialized", i, 0))
            sum += xa_controls_read_at(pattern, i, 0);
    return sum;
}

static uint64_t
sum_of_bins(const char *pattern, unsigned arena)
{
    uint64_t sum = 0, bins = xa_controls_read("arenas.nbins");
    for (unsigned i = 0; i < bins; i++)
        sum += xa_controls_read_at(pattern, arena, i);
    return sum;
}

static void
check_bins(unsigned arena)
{
    uint64_t bytes = 0, bins = xa_controls_read("arenas.nbins");
    for (unsigned i = 0; i < bins; i++) {
        uint64_t out = xa_controls_read_at("stats.arenas.%u.bins.%u.curregs", arena, i);
        uint64_t slabs = xa_controls_read_at("stats.arenas.%u.bins.%u.curslabs", arena, i);
        uint64_t slots = slabs * xa_controls_read_at("arenas.bin.%u.nregs", i, 0);
        bytes += out * xa_controls_read_at("arenas.bin.%u.size", i, 0);
        assert_int_equal(out,
            xa_controls_read_at("stats.arenas.%u.bins.%u.nmalloc", arena, i) -
                xa_controls_read_at("stats.arenas.%u.bins.%u.ndalloc", arena, i));
        assert_true(out <= slots);
        assert_true(
            xa_controls_read_at("stats.arenas.%u.bins.%u.nonfull_slabs", arena, i) <= slabs);
        assert_true(xa_controls_read_at("stats.arenas.%u.bins.%u.nslabs", arena, i) >= slabs);
    }
    assert_int_equal(xa_controls_read_at("stats.arenas.%u.small.allocated", arena, 0), bytes);
    assert_int_equal(xa_controls_read_at("stats.arenas.%u.small.nmalloc", arena, 0),
        sum_of_bins("stats.arenas.%u.bins.%u.nmalloc", arena));
    assert_int_equal(xa_controls_read_at("stats.arenas.%u.small.ndalloc", arena, 0),
        sum_of_bins("stats.arenas.%u.bins.%u.ndalloc", arena));
}

static const char *const summed[] = {
    "stats.arenas.%u.pactive",
    "stats.arenas.%u.pdirty",
    "stats.arenas.%u.mapped",
    "stats.arenas.%u.retained",
    "stats.arenas.%u.resident",
    "stats.arenas.%u.base",
    "stats.arenas.%u.tcache_bytes",
    "stats.arenas.%u.small.allocated",
    "stats.arenas.%u.small.nmalloc",
    "stats.arenas.%u.large.allocated",
    "stats.arenas.%u.large.nmalloc",
    "stats.arenas.%u.large.ndalloc",
    "stats.arenas.%u.nthreads",
};

/* What the manual promises of a process at rest. */
static void
check_sums(void)
{
    uint64_t allocated = xa_controls_read("stats.allocated");
    uint64_t active = xa_controls_read("stats.active");
    uint64_t resident = xa_controls_read("stats.resident");
    assert_true(allocated <= active && active <= resident);
    assert_true(resident <= xa_controls_read("stats.mapped"));
    for (size_t i = 0; i < sizeof summed / sizeof *summed; i++) {
        uint64_t sum = sum_of_arenas(summed[i]);
        assert_int_equal(xa_controls_read_at(summed[i], 4096, 0), sum);
        assert_int_equal(xa_controls_read_at(summed[i], ARENAS, 0), sum);
    }
    for (unsigned i = 0; i < ARENAS; i++)
        if (xa_controls_read_at("arena.%u.initialized", i, 0))
            check_bins(i);
    check_bins(4096);
    assert_int_equal(
        xa_controls_read("stats.arenas.4096.pactive") * xa_os_facts.page_bytes, active);
    assert_int_equal(xa_controls_read("approximate_stats.active"), active);
    assert_int_equal(xa_controls_read("stats.arenas.4096.small.allocated") +
            xa_controls_read("stats.arenas.4096.large.allocated"),
        allocated + xa_controls_read("stats.arenas.4096.tcache_bytes"));
    assert_int_equal(
        allocated, xa_controls_read("xalloc.stats.small") + xa_controls_read("xalloc.stats.large"));
}

static size_t
program_bytes(void)
{
    size_t sum = 0;
    for (unsigned t = 0; t < THREADS; t++)
        for (unsigned i = 0; i < OBJECTS; i++)
            sum += sizes[t][i];
    return sum;
}

static void
one_thread_s_figures_add_up(void **state)
{
    (void)state;
    work(0, NULL);
    xa_controls_refresh();
    check_sums();
    /* An object that a thread had kept may be larger than what is asked for now. */
    assert_in_range(xa_controls_read("stats.allocated"), program_bytes(),
        program_bytes() + program_bytes() / 8);
}

static void
many_threads_figures_add_up_when_they_rest(void **state)
{
    (void)state;
    assert_true(xa_threads_run(THREADS, work, NULL, SECONDS));
    xa_controls_refresh();
    check_sums();
    /* An object that a thread had kept may be larger than what is asked for now. */
    assert_in_range(xa_controls_read("stats.allocated"), program_bytes(),
        program_bytes() + program_bytes() / 8);
}

static void
figures_change_with_the_epoch_only(void **state)
{
    (void)state;
    assert_non_null(xa_start_thread());
    uint64_t before = xa_controls_read("stats.allocated");
    void *object = xa_fast_malloc(5 * MIB);
    assert_int_equal(xa_controls_read("stats.allocated"), before);
    assert_true(xa_controls_read("approximate_stats.active") > before + 4 * MIB);
    xa_controls_refresh();
    assert_int_equal(xa_controls_read("stats.allocated"), before + 5 * MIB);
    xa_fast_free(object);
}

static void
arenas_that_are_not_there_have_no_figures(void **state)
{
    (void)state;
    assert_non_null(xa_start_thread());
    assert_int_equal(xa_controls_error("stats.arenas.0.pactive"), 0);
    assert_int_equal(xa_controls_error("stats.arenas.1.pactive"), ENOENT);
    assert_int_equal(xa_controls_error("stats.arenas.4097.pactive"), ENOENT);
    assert_int_equal(xa_controls_error("stats.arenas.77.pactive"), ENOENT);
    assert_int_equal(xa_controls_error("stats.arenas.4096.pactive"), 0);
    /* One that comes is there with the next epoch. */
    assert_int_equal(xa_controls_write("thread.arena", 1), 0);
    assert_int_equal(xa_controls_error("stats.arenas.1.pactive"), ENOENT);
    xa_controls_refresh();
    assert_int_equal(xa_controls_error("stats.arenas.1.pactive"), 0);
}

static void
time_and_purges_are_counted(void **state)
{
    (void)state;
    xa_os_fake_set_clock(1000);
    assert_non_null(xa_start_thread());
    xa_controls_refresh();
    void *object = xa_fast_malloc(MIB), *other = xa_fast_malloc(MIB);
    ((char *)object)[0] = 1;
    xa_fast_free(object);
    assert_int_equal(xa_controls_do("thread.tcache.flush"), 0);
    assert_int_equal(xa_controls_do("arena.0.purge"), 0);
    xa_os_fake_set_clock(4000);
    xa_controls_refresh();
    assert_int_equal(xa_controls_read("stats.arenas.0.uptime"), UINT64_C(3000000000));
    assert_int_equal(xa_controls_read("stats.arenas.4096.uptime"), UINT64_C(3000000000));
    assert_int_not_equal(xa_controls_read("stats.arenas.0.dirty_npurge"), 0);
    assert_true(xa_controls_read("stats.arenas.0.dirty_purged") >= MIB / xa_os_facts.page_bytes);
    xa_resize_to_zero = 7;
    xa_controls_refresh();
    assert_int_equal(xa_controls_read("stats.zero_reallocs"), 7);
    xa_fast_free(other);
}

/* In a process, pages of slabs in use that were given back are retained, and not active. */
static void
purged_slabs_are_not_active(void **state)
{
    (void)state;
    enum { COUNT = 4000, KEPT_OF = 40 };
    static void *held[COUNT];
    for (unsigned i = 0; i < COUNT; i++)
        held[i] = memset(xa_fast_malloc(512), 1, 512);
    for (unsigned i = 0; i < COUNT; i++)
        if (i % KEPT_OF != 0)
            xa_fast_free(held[i]);
    xa_controls_refresh();
    uint64_t active = xa_controls_read("stats.active");
    uint64_t retained = xa_controls_read("stats.retained");
    assert_int_equal(xa_controls_read("xalloc.stats.slab_purged"), 0);
    assert_int_equal(xa_controls_do("xalloc.trim"), 0);
    xa_controls_refresh();
    uint64_t purged = xa_controls_read("xalloc.stats.slab_purged");
    uint64_t in_arenas = sum_of_arenas("stats.arenas.%u.pactive") * xa_os_facts.page_bytes;
    assert_true(purged >= MIB);
    assert_true(xa_controls_read("stats.active") <= active - purged);
    assert_int_equal(xa_controls_read("stats.active"), in_arenas - purged);
    assert_int_equal(xa_controls_read("approximate_stats.active"), in_arenas - purged);
    assert_true(xa_controls_read("stats.retained") >= retained + purged);
    assert_true(xa_controls_read("stats.active") >= xa_controls_read("stats.allocated"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(one_thread_s_figures_add_up),
        XA_OS_FAKE_FRESH(many_threads_figures_add_up_when_they_rest),
        XA_OS_FAKE_FRESH(figures_change_with_the_epoch_only),
        XA_OS_FAKE_FRESH(arenas_that_are_not_there_have_no_figures),
        XA_OS_FAKE_FRESH(time_and_purges_are_counted),
        XA_OS_FAKE_FRESH(purged_slabs_are_not_active),
    };
    seed = xa_seed_choose(NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
