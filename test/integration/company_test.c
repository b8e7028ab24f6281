/*
 * company_test.c - what else may be in a process: rows C1, C3, C5 and L2.
 *
 *   RTLD_DEEPBIND       a plugin whose malloc is the C library's; its objects, freed by the program,
 *                       are foreign to xalloc: reported once, and left alone
 *   LD_AUDIT            a library that sees each object loaded and each symbol bound, and allocates
 *   closed descriptors  all of them, before and after the first report; then other files have their
 *                       numbers
 *   Valgrind            takes malloc's place, whatever is preloaded
 *
 * The plugin is company_plugin.so beside this program or in .libs.
 */
#define _GNU_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../support/child.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHILD_SECONDS = 120, DESCRIPTORS = 256, MIB = 1 << 20 };

static void *(*volatile call_malloc)(size_t) = malloc;
static void (*volatile call_free)(void *) = free;

static struct xa_child_result child;

static const char *
plugin_path(void)
{
    static const char *const places[] = {"company_plugin.so", ".libs/company_plugin.so"};
    static char path[PATH_MAX];
    const char *own = xa_child_own_path();
    int folder = (int)(strrchr(own, '/') - own);

    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        snprintf(path, sizeof(path), "%.*s/%s", folder, own, places[i]);
        if (access(path, R_OK) == 0)
            return path;
    }
    fail_msg("no company_plugin.so beside %s", own);
    return NULL;
}

static void
use_sizes(void)
{
    for (size_t size = 1; size < (size_t)8 * MIB; size = size * 3 / 2 + 1) {
        unsigned char *block = call_malloc(size);

        XA_CHILD_CHECK(block != NULL);
        memset(block, 1, size);
        block = realloc(block, size + 1000);
        XA_CHILD_CHECK(block != NULL && block[size - 1] == 1);
        call_free(block);
    }
}

static int
use_deeply_bound_plugin(void *argument)
{
    void *plugin = dlopen(argument, RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
    void *(*take)(size_t);
    void (*give)(void *);
    unsigned char *block, *other;

    if (plugin == NULL)
        fprintf(stderr, "%s\n", dlerror());
    XA_CHILD_CHECK(plugin != NULL);
    *(void **)&take = dlsym(plugin, "company_take");
    *(void **)&give = dlsym(plugin, "company_give");
    XA_CHILD_CHECK(take != NULL && give != NULL);
    for (size_t size = 1; size < 1000000; size *= 3)
        give(take(size));
    use_sizes();
    /* Crossed frees: ours is told of the first, and keeps its hands off both. */
    block = take(100);
    other = take(200000);
    errno = 4711;
    call_free(block);
    call_free(other);
    XA_CHILD_CHECK(errno == 4711);
    XA_CHILD_CHECK(block[0] == 0x6b && block[99] == 0x6b && other[199999] == 0x6b);
    give(block);
    give(other);
    use_sizes();
    return 0;
}

static void
c03_a_deeply_bound_plugins_objects_are_foreign_and_left_alone(void **state)
{
    const char *first;

    (void)state;
    if (xa_child_is_instrumented()) {
        print_message("skipped: another malloc is in the place of both\n");
        skip();
    }
    xa_child_call(&child, CHILD_SECONDS, use_deeply_bound_plugin, (void *)(uintptr_t)plugin_path());
    xa_child_assert_success(&child);
    first = strstr(child.errors, "xalloc: free(0x");
    assert_non_null(first);
    assert_null(strstr(first + 1, "xalloc: free(0x"));
}

static void
run_mode(const char *mode, const char *variable)
{
    const char *arguments[] = {NULL, mode, NULL};
    const char *environment[] = {"XALLOC_CONF=stats_print:true", variable, NULL};
    struct xa_child_command command = {.arguments = arguments, .environment = environment};

    xa_child_run(&child, CHILD_SECONDS, &command);
    xa_child_assert_success(&child);
}

static void
l02_an_auditor_may_allocate_before_everything(void **state)
{
    char variable[PATH_MAX + 16];

    (void)state;
    snprintf(variable, sizeof(variable), "LD_AUDIT=%s", plugin_path());
    run_mode("plain", variable);
    assert_string_equal(child.output, "done\n");
    if (!xa_child_is_instrumented())
        assert_non_null(strstr(child.errors, "xalloc"));
}

/* Close what is open, and let files of our own have the numbers: nothing is written there. */
static int
close_everything(bool uses_before)
{
    char path[] = "/tmp/xalloc-company-XXXXXX";
    int first = mkstemp(path), copies = 0;
    struct stat status;

    XA_CHILD_CHECK(first >= 0);
    if (uses_before)
        use_sizes();
    for (int file = 0; file < DESCRIPTORS; file++)
        if (file != first)
            close(file);
    for (int file = 0; file < DESCRIPTORS; file++)
        if (file != first && file != STDERR_FILENO && dup2(first, file) == file)
            copies++;
    use_sizes();
    malloc_stats();
    malloc_trim(0);
    call_free((void *)(uintptr_t)0x1230);
    use_sizes();
    XA_CHILD_CHECK(copies == DESCRIPTORS - 2 && unlink(path) == 0);
    return fstat(first, &status) == 0 && status.st_size == 0 ? 0 : 1;
}

static int
close_first(void *argument)
{
    return close_everything(argument != NULL);
}

static void
c05_a_program_may_close_every_descriptor(void **state)
{
    (void)state;
    if (xa_child_is_instrumented()) {
        print_message("skipped: the other malloc has files of its own\n");
        skip();
    }
    xa_child_call(&child, CHILD_SECONDS, close_first, NULL);
    xa_child_assert_success(&child);
    xa_child_call(&child, CHILD_SECONDS, close_first, &child);
    xa_child_assert_success(&child);
}

static void
c01_under_valgrind_its_malloc_is_used(void **state)
{
    const char *arguments[] = {"/usr/bin/valgrind", "--quiet", "--error-exitcode=9",
        "--leak-check=full", xa_child_own_path(), "small", NULL};
    struct xa_child_command command = {.arguments = arguments};

    (void)state;
    if (access(arguments[0], X_OK) != 0 || sizeof(void *) == 4 || xa_child_is_instrumented()) {
        print_message("skipped: there is no /usr/bin/valgrind for this program\n");
        skip();
    }
    xa_child_run(&child, CHILD_SECONDS, &command);
    xa_child_assert_success(&child);
    assert_string_equal(child.output, "done\n");
    /* And it does its work: one byte too many is found. */
    arguments[5] = "overrun";
    xa_child_run(&child, CHILD_SECONDS, &command);
    assert_int_equal(child.exit_code, 9);
    assert_non_null(strstr(child.errors, "Invalid write of size 1"));
}

static int
run_as_told(const char *mode)
{
    volatile char *block;

    if (strcmp(mode, "plain") == 0)
        use_sizes();
    for (size_t size = 1; size < 100000; size *= 3) {
        block = call_malloc(size);
        XA_CHILD_CHECK(block != NULL);
        block[size - 1] = 1;
        if (strcmp(mode, "overrun") == 0)
            block[size] = 1;
        call_free((void *)(uintptr_t)block);
    }
    puts("done");
    return 0;
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(c01_under_valgrind_its_malloc_is_used),
        cmocka_unit_test(c03_a_deeply_bound_plugins_objects_are_foreign_and_left_alone),
        cmocka_unit_test(c05_a_program_may_close_every_descriptor),
        cmocka_unit_test(l02_an_auditor_may_allocate_before_everything),
    };

    if (argc == 2)
        return run_as_told(argv[1]);
    xa_child_start_watchdog(300);
    return cmocka_run_group_tests(tests, xa_child_check_allocator, NULL);
}
