/*
 * report_test.c - the statistics that a program prints when it exits, and on a signal.
 *
 * This program starts itself again with stats_print or stats_signal and reads what the child wrote
 * to stderr.  The figures are checked against what the child knows it holds, against each other,
 * and against the kernel's.
 */
#define _GNU_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../support/child.h"
#include "../support/load.h"
#include "../support/threads.h"

#include <malloc.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *(*volatile call_malloc)(size_t) = malloc;
static void (*volatile call_free)(void *) = free;

enum {
    CHILD_SECONDS = 60,
    SMALL_OBJECTS = 100000,
    SMALL_BYTES = 200,
    LARGE_OBJECTS = 20,
    LARGE_BYTES = 5 << 20,
    COLUMNS = 100,
    SIGNALS = 100
};

static struct xa_child_result child;

static void
run_mode_with(const char *mode, const char *conf)
{
    xa_child_run_mode(&child, CHILD_SECONDS, mode, conf);
}

/*
 * The first number behind a word that begins a line of the child's report.  Numbers are plain
 * digits.
 */
static size_t
figure(const char *label)
{
    size_t length = strlen(label);

    for (const char *line = child.errors; line != NULL && *line != '\0';
         line = strchr(line, '\n')) {
        line += strspn(line, "\n ");
        if (strncmp(line, label, length) == 0 && (line[length] == ' ' || line[length] == ':'))
            return strtoull(line + length + strspn(line + length, " :"), NULL, 10);
    }
    fail_msg("no figure \"%s\" in the report: %.3000s", label, child.errors);
    return 0;
}

static void
nothing_is_printed_unless_asked_for(void **state)
{
    (void)state;
    run_mode_with("hold", "XALLOC_CONF");
    xa_child_assert_success(&child);
    assert_string_equal(child.errors, "");
    run_mode_with("hold", "XALLOC_CONF=stats_print:false");
    assert_string_equal(child.errors, "");
}

static void
statistics_are_printed_to_stderr_at_exit(void **state)
{
    (void)state;
    run_mode_with("hold", "XALLOC_CONF=stats_print:true");
    xa_child_assert_success(&child);
    assert_null(strstr(child.output, "allocated"));
    assert_non_null(strstr(child.errors, "xalloc"));
    assert_non_null(strstr(child.errors, "internal frag"));
    assert_non_null(strstr(child.errors, "external frag"));
}

static void
no_line_is_longer_than_100_columns(void **state)
{
    (void)state;
    run_mode_with("hold", "XALLOC_CONF=stats_print:true");
    for (const char *line = child.errors; line != NULL && *line != '\0';
         line = strchr(line, '\n')) {
        size_t length;

        line += *line == '\n';
        length = strcspn(line, "\n");
        if (length > COLUMNS)
            fail_msg("%zu columns: %.*s", length, (int)length, line);
    }
}

static void
figures_hold_what_the_program_holds(void **state)
{
    const size_t live = (size_t)SMALL_OBJECTS * SMALL_BYTES + (size_t)LARGE_OBJECTS * LARGE_BYTES;
    size_t allocated;

    (void)state;
    run_mode_with("hold", "XALLOC_CONF=stats_print:true");
    allocated = figure("allocated");
    if (allocated < live || allocated > live + live / 4 + (1 << 20))
        fail_msg("allocated %zu, but %zu bytes are live", allocated, live);
    assert_true(figure("active") >= allocated);
    assert_true(figure("mapped") >= figure("active"));
    assert_true(figure("mapped") >= figure("resident"));
    assert_true(figure("resident") >= live);
    assert_true(figure("metadata") > 0);
}

static void
totals_agree_with_each_other(void **state)
{
    (void)state;
    run_mode_with("hold", "XALLOC_CONF=stats_print:true");
    assert_int_equal(figure("mapped"),
        figure("active") + figure("dirty") + figure("muzzy") + figure("retained") +
            figure("metadata"));
}

static void
freed_memory_is_no_longer_allocated(void **state)
{
    (void)state;
    run_mode_with("release", "XALLOC_CONF=stats_print:true");
    xa_child_assert_success(&child);
    assert_true(figure("allocated") < 4 << 20);
}

/* The child prints the kernel's figure to stdout just before it exits. */
static void
resident_is_within_2_percent_of_the_kernels_figure(void **state)
{
    double kernel;
    double ours;

    (void)state;
    xa_child_skip_if_emulated("the kernel's figure is that of the emulator");
    run_mode_with("resident", "XALLOC_CONF=stats_print:true");
    xa_child_assert_success(&child);
    kernel = strtod(child.output, NULL);
    ours = (double)figure("resident");
    if (kernel < 100e6 || ours < kernel * 0.98 || ours > kernel * 1.02)
        fail_msg("resident %.0f, the kernel says %.0f", ours, kernel);
}

static unsigned
count_reports(void)
{
    unsigned count = 0;

    for (const char *report = child.errors; (report = strstr(report, "\n  allocated")) != NULL;
         report++)
        count++;
    return count;
}

static void
a_signal_prints_statistics_and_the_program_goes_on(void **state)
{
    (void)state;
    run_mode_with("signal-once", "XALLOC_CONF=stats_signal:USR1");
    xa_child_assert_success(&child);
    assert_int_equal(count_reports(), 1);
    assert_string_equal(child.output, "went on\n");
}

static void
signals_in_the_middle_of_allocations_do_no_harm(void **state)
{
    (void)state;
    run_mode_with("signal-often", "XALLOC_CONF=stats_signal:USR2");
    xa_child_assert_success(&child);
    assert_true(count_reports() > 0);
    assert_string_equal(child.output, "went on\n");
}

static void
without_the_option_the_signal_is_left_alone(void **state)
{
    (void)state;
    run_mode_with("signal-once", "XALLOC_CONF");
    assert_int_equal(child.signal, SIGUSR1);
}

static void
a_program_that_closed_stderr_still_exits_in_order(void **state)
{
    (void)state;
    run_mode_with("closed", "XALLOC_CONF=stats_print:true");
    xa_child_assert_success(&child);
    assert_string_equal(child.output, "");
}

static void
each_process_of_a_fork_prints_its_own(void **state)
{
    (void)state;
    run_mode_with("fork", "XALLOC_CONF=stats_print:true");
    xa_child_assert_success(&child);
    assert_int_equal(count_reports(), 2);
}

/* The modes in which this program is started again. */

static void *held[SMALL_OBJECTS + LARGE_OBJECTS];

static int
hold(void)
{
    for (int i = 0; i < SMALL_OBJECTS + LARGE_OBJECTS; i++) {
        size_t size = i < SMALL_OBJECTS ? SMALL_BYTES : LARGE_BYTES;

        held[i] = call_malloc(size);
        XA_CHILD_CHECK(held[i] != NULL);
        memset(held[i], 1, size);
    }
    return 0;
}

static int
release(void)
{
    hold();
    for (int i = 0; i < SMALL_OBJECTS + LARGE_OBJECTS; i++)
        call_free(held[i]);
    return 0;
}

/* Resident bytes of private memory that has no file, the stack's and the old heap's aside. */
static size_t
anonymous_resident_bytes(void)
{
    static char line[512];
    FILE *maps = fopen("/proc/self/smaps", "r");
    bool counts = false;
    size_t total = 0;

    XA_CHILD_CHECK(maps != NULL);
    while (fgets(line, sizeof(line), maps) != NULL) {
        unsigned long start, end, offset, device_major, device_minor, inode;
        char permissions[8];
        char name[64] = "";
        size_t kib;

        if (sscanf(line, "%lx-%lx %7s %lx %lx:%lx %lu %63s", &start, &end, permissions, &offset,
                &device_major, &device_minor, &inode, name) >= 7)
            counts = inode == 0 && (name[0] == '\0' || strncmp(name, "[anon", 5) == 0);
        else if (counts && sscanf(line, "Rss: %zu kB", &kib) == 1)
            total += kib * 1024;
    }
    fclose(maps);
    return total;
}

static int
hold_and_print_resident(void)
{
    hold();
    printf("%zu\n", anonymous_resident_bytes());
    return 0;
}

static int
raise_once(void)
{
    call_free(call_malloc(100));
    raise(SIGUSR1);
    call_free(call_malloc(100));
    puts("went on");
    return 0;
}

static atomic_bool stop;

static int
raise_often(void)
{
    struct xa_threads team;

    XA_CHILD_CHECK(xa_threads_start(&team, 3, xa_load_allocate, &stop));
    for (int i = 0; i < SIGNALS; i++) {
        pthread_kill(team.members[i % 3].thread, SIGUSR2);
        usleep(500);
    }
    atomic_store(&stop, true);
    XA_CHILD_CHECK(xa_threads_join(&team, 20));
    puts("went on");
    return 0;
}

static int
fork_once(void)
{
    pid_t pid;

    hold();
    fflush(stdout);
    pid = fork();
    if (pid == 0)
        exit(0);
    XA_CHILD_CHECK(xa_child_wait(pid, 20) == 0);
    return 0;
}

static int
run_mode(const char *mode)
{
    if (strcmp(mode, "hold") == 0)
        return hold();
    if (strcmp(mode, "release") == 0)
        return release();
    if (strcmp(mode, "resident") == 0)
        return hold_and_print_resident();
    if (strcmp(mode, "signal-once") == 0)
        return raise_once();
    if (strcmp(mode, "signal-often") == 0)
        return raise_often();
    if (strcmp(mode, "closed") == 0)
        return close(STDERR_FILENO);
    if (strcmp(mode, "fork") == 0)
        return fork_once();
    return 2;
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_printed_unless_asked_for),
        cmocka_unit_test(statistics_are_printed_to_stderr_at_exit),
        cmocka_unit_test(no_line_is_longer_than_100_columns),
        cmocka_unit_test(figures_hold_what_the_program_holds),
        cmocka_unit_test(totals_agree_with_each_other),
        cmocka_unit_test(freed_memory_is_no_longer_allocated),
        cmocka_unit_test(resident_is_within_2_percent_of_the_kernels_figure),
        cmocka_unit_test(a_signal_prints_statistics_and_the_program_goes_on),
        cmocka_unit_test(signals_in_the_middle_of_allocations_do_no_harm),
        cmocka_unit_test(without_the_option_the_signal_is_left_alone),
        cmocka_unit_test(a_program_that_closed_stderr_still_exits_in_order),
        cmocka_unit_test(each_process_of_a_fork_prints_its_own),
    };

    if (argc == 2)
        return run_mode(argv[1]);
    xa_child_start_watchdog(180);
    return cmocka_run_group_tests(tests, xa_child_check_allocator, NULL);
}
