/*
 * pressure_test.c - memory pressure as a program meets it: files that are none, that may not be
 * read, that vanish, and a control group that is nearly full; issue 3 and row N10.
 *
 * This program starts itself again in one of the modes below, with a file named by
 * MEMORY_PRESSURE_WATCH.  Whatever is wrong with it is one line on stderr, and then the program's
 * memory is given back as ever.
 */
#define _GNU_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../support/child.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    UNTOUCHED = 4711,
    MIB = 1 << 20,
    CHILD_SECONDS = 60,
    PURGE_SECONDS = 20,
    EXIT_SKIPPED = 77,
    NOBODY = 64321,
    PATH_BYTES = 4096,
};

#define QUIET "some avg10=0.00 avg60=0.00 avg300=0.00 total=5\n"
#define SETTINGS "XALLOC_CONF=dirty_decay_ms:200"
#define WATCH "MEMORY_PRESSURE_WATCH"

static void *(*volatile call_malloc)(size_t) = malloc;
static void (*volatile call_free)(void *) = free;

static char folder[] = "/tmp/xalloc-pressure-XXXXXX";

static void
sleep_ms(long milliseconds)
{
    nanosleep(
        &(struct timespec){.tv_sec = milliseconds / 1000, .tv_nsec = milliseconds % 1000 * 1000000},
        NULL);
}

/* Resident before the first burst. */
static size_t base;

/* Take, fill, check and free 32 MiB, which is enough for the purging thread to come. */
static void
burst(void)
{
    enum { COUNT = 320, SIZE = 100000 };
    static unsigned char *blocks[COUNT];

    if (base == 0)
        base = xa_child_resident_bytes();
    for (unsigned i = 0; i < COUNT; i++) {
        errno = UNTOUCHED;
        blocks[i] = call_malloc(SIZE);
        XA_CHILD_CHECK(blocks[i] != NULL && errno == UNTOUCHED);
        memset(blocks[i], (int)(i & 0xff), SIZE);
    }
    XA_CHILD_CHECK(xa_child_resident_bytes() >= base + 28 * MIB);
    for (unsigned i = 0; i < COUNT; i++) {
        XA_CHILD_CHECK(blocks[i][0] == (i & 0xff) && blocks[i][SIZE - 1] == (i & 0xff));
        errno = UNTOUCHED;
        call_free(blocks[i]);
        XA_CHILD_CHECK(errno == UNTOUCHED);
    }
}

/* After a burst everything goes back, though the program does nothing. */
static void
check_that_memory_goes_back(void)
{
    for (int i = 0; i < PURGE_SECONDS * 20; i++) {
        if (xa_child_resident_bytes() <= base + 6 * MIB)
            return;
        sleep_ms(50);
    }
    XA_CHILD_CHECK(!"memory goes back");
}

static int
work(void)
{
    burst();
    check_that_memory_goes_back();
    burst();
    check_that_memory_goes_back();
    return 0;
}

static int
work_as_nobody(void)
{
    if (geteuid() == 0 && setresuid(NOBODY, NOBODY, NOBODY) != 0)
        return EXIT_SKIPPED;
    return work();
}

/* The file is there at the first look, and gone at the later ones. */
static int
lose_file(void)
{
    burst();
    sleep_ms(500);
    XA_CHILD_CHECK(unlink(getenv(WATCH)) == 0);
    for (int i = 0; i < 25; i++) {
        burst();
        sleep_ms(100);
    }
    return work();
}

static void
run(const char *mode, const char *watch, const char *settings, struct xa_child_result *result)
{
    char variable[PATH_BYTES + sizeof(WATCH) + 1];
    const char *arguments[] = {NULL, mode, NULL};
    const char *environment[] = {settings, variable, NULL};
    struct xa_child_command command = {.arguments = arguments, .environment = environment};

    if (xa_child_is_instrumented()) {
        print_message("skipped: an instrumented malloc has no purging thread\n");
        skip();
    }
    snprintf(variable, sizeof(variable), watch != NULL ? "%s=%s" : "%s", WATCH, watch);
    xa_child_run(result, CHILD_SECONDS, &command);
    if (result->exit_code == EXIT_SKIPPED) {
        print_message("skipped: this needs to become another user, or a mount of its own\n");
        skip();
    }
    xa_child_assert_success(result);
}

static void
expect_line(const char *mode, const char *watch, const char *shown)
{
    static struct xa_child_result result;
    char line[2 * PATH_BYTES];

    snprintf(line, sizeof(line),
        "xalloc: " WATCH ": %s cannot be read as a pressure file, ignored. "
        "Name one such as /proc/pressure/memory.\n",
        shown);
    run(mode, watch, SETTINGS, &result);
    assert_string_equal(result.errors, line);
}

static void
make_file(const char *name, const char *text, mode_t mode)
{
    char path[PATH_BYTES];
    int file;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(file >= 0);
    assert_int_equal(write(file, text, strlen(text)), strlen(text));
    /* The mask of new files is not to matter. */
    assert_int_equal(fchmod(file, mode), 0);
    close(file);
}

static void
expect_line_of(const char *mode, const char *name)
{
    char shown[PATH_BYTES];
    char path[PATH_BYTES];

    snprintf(shown, sizeof(shown), "\"%s/%s\"", folder, name);
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    expect_line(mode, path, shown);
}

static void
what_is_no_pressure_file_is_one_line(void **state)
{
    char path[PATH_BYTES];

    (void)state;
    expect_line("work", "/nowhere/at/all", "\"/nowhere/at/all\"");
    expect_line("work", "/", "\"/\"");
    expect_line("work", "/proc/self/status", "\"/proc/self/status\"");
    make_file("empty", "", 0644);
    expect_line_of("work", "empty");
    make_file("binary",
        "\x7f"
        "ELF\x02\x01\x01",
        0644);
    expect_line_of("work", "binary");
    make_file("garbage", "some avg10=much avg60=more\n", 0644);
    expect_line_of("work", "garbage");
    /* Nobody writes into it: reading must not wait for that. */
    snprintf(path, sizeof(path), "%s/pipe", folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    expect_line_of("work", "pipe");
}

static void
a_file_that_may_not_be_read_is_one_line(void **state)
{
    (void)state;
    make_file("secret", QUIET, 0);
    expect_line_of("work-as-nobody", "secret");
}

static void
a_file_that_may_be_read_is_no_line(void **state)
{
    static struct xa_child_result result;
    char path[PATH_BYTES];

    (void)state;
    make_file("readable", QUIET, 0644);
    snprintf(path, sizeof(path), "%s/readable", folder);
    run("work", path, SETTINGS, &result);
    assert_string_equal(result.errors, "");
    run("work", NULL, SETTINGS, &result);
    assert_string_equal(result.errors, "");
    run("work", "/dev/null", SETTINGS, &result);
    assert_string_equal(result.errors, "");
}

static void
a_strange_name_stays_one_line(void **state)
{
    static struct xa_child_result result;
    char path[PATH_BYTES];
    const char *end;

    (void)state;
    expect_line("work", "/no\nwhere\x1b[31m\x07", "\"/no?where?[31m?\"");
    memset(path, 'x', sizeof(path) - 1);
    path[0] = '/';
    path[sizeof(path) - 1] = '\0';
    run("work", path, SETTINGS, &result);
    end = strchr(result.errors, '\n');
    assert_non_null(end);
    assert_string_equal(end, "\n");
    assert_memory_equal(result.errors, "xalloc: " WATCH ": \"/xxx", 36);
    assert_non_null(strstr(result.errors, "ignored"));
}

/* As when a service's group is removed after it has moved to another one. */
static void
a_file_that_vanishes_is_one_line(void **state)
{
    (void)state;
    make_file("vanishing", QUIET, 0644);
    expect_line_of("lose-file", "vanishing");
}

/* The files of the process's group, as they are called in both versions, and in a container. */
static const struct {
    const char *path;
    const char *text;
} group_files[] = {
    {"/sys/fs/cgroup/memory.max", "1000000000\n"},
    {"/sys/fs/cgroup/memory.current", "990000000\n"},
    {"/sys/fs/cgroup/memory/memory.limit_in_bytes", "1000000000\n"},
    {"/sys/fs/cgroup/memory/memory.usage_in_bytes", "990000000\n"},
};

/*
 * In a name space of its own the process mounts a nearly full group in place of the real ones.  The
 * decay time is an hour, so that only pressure explains what is given back.
 */
static int
fill_and_lose_group(void)
{
    size_t count = sizeof(group_files) / sizeof(group_files[0]);

    if ((unshare(CLONE_NEWNS) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) ||
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", "/sys/fs/cgroup", "tmpfs", 0, NULL) != 0 ||
        mkdir("/sys/fs/cgroup/memory", 0755) != 0)
        return EXIT_SKIPPED;
    for (size_t i = 0; i < count; i++) {
        FILE *file = fopen(group_files[i].path, "w");

        XA_CHILD_CHECK(file != NULL && fputs(group_files[i].text, file) >= 0 && fclose(file) == 0);
    }
    burst();
    check_that_memory_goes_back();
    for (size_t i = 0; i < count; i++)
        XA_CHILD_CHECK(unlink(group_files[i].path) == 0);
    for (int i = 0; i < 25; i++) {
        burst();
        sleep_ms(100);
    }
    return 0;
}

static void
a_full_group_is_heeded_and_may_vanish(void **state)
{
    static struct xa_child_result result;

    (void)state;
    run("lose-group", NULL, "XALLOC_CONF=dirty_decay_ms:1h", &result);
    assert_string_equal(result.errors, "");
}

static int
run_mode(const char *mode)
{
    static const struct {
        const char *name;
        int (*function)(void);
    } modes[] = {{"work", work}, {"work-as-nobody", work_as_nobody}, {"lose-file", lose_file},
        {"lose-group", fill_and_lose_group}};

    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        if (strcmp(mode, modes[i].name) == 0)
            return modes[i].function();
    }
    return 2;
}

static int
make_folder(void **state)
{
    if (mkdtemp(folder) == NULL || chmod(folder, 0755) != 0)
        return -1;
    return xa_child_check_allocator(state);
}

static int
remove_folder(void **state)
{
    static const char *const names[] = {
        "empty", "binary", "garbage", "pipe", "secret", "readable", "vanishing"};

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char path[PATH_BYTES];

        /* Not every test has made its file. */
        snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        (void)unlink(path);
    }
    return rmdir(folder);
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_no_pressure_file_is_one_line),
        cmocka_unit_test(a_file_that_may_not_be_read_is_one_line),
        cmocka_unit_test(a_file_that_may_be_read_is_no_line),
        cmocka_unit_test(a_strange_name_stays_one_line),
        cmocka_unit_test(a_file_that_vanishes_is_one_line),
        cmocka_unit_test(a_full_group_is_heeded_and_may_vanish),
    };

    if (argc == 2)
        return run_mode(argv[1]);
    xa_child_start_watchdog(240);
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
