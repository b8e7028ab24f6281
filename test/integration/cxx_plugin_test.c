/*
 * cxx_plugin_test.c - a C program loads a C++ plugin with RTLD_LOCAL, row S22.
 *
 * The C++ run-time then comes with the plugin, and is not visible to the allocator by name: its
 * weak references to the new-handler and to the function that throws bad_alloc stay null.  The
 * plugin must get its handler and its exception all the same.
 *
 * The plugin is the path in XALLOC_TEST_PLUGIN, or cxx_plugin.so beside this program or in .libs.
 */
#define _GNU_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../support/child.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct xa_child_result child;

static const char *
plugin_path(void)
{
    static const char *const places[] = {"cxx_plugin.so", ".libs/cxx_plugin.so"};
    static char path[PATH_MAX + 32];
    const char *chosen = getenv("XALLOC_TEST_PLUGIN");
    const char *own = xa_child_own_path();
    int directory_length = (int)(strrchr(own, '/') - own);

    if (chosen != NULL)
        return chosen;
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        snprintf(path, sizeof(path), "%.*s/%s", directory_length, own, places[i]);
        if (access(path, R_OK) == 0)
            return path;
    }
    return NULL;
}

/* Runs in a child, where no C++ run-time has been loaded before and a failure may abort. */
static int
call_plugin(void *argument)
{
    void *plugin = dlopen(plugin_path(), RTLD_NOW | RTLD_LOCAL);
    int (*function)(void);

    if (plugin == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    *(void **)&function = dlsym(plugin, argument);
    XA_CHILD_CHECK(function != NULL);
    return function();
}

static void
expect_plugin_succeeds(const char *function)
{
    if (plugin_path() == NULL) {
        print_message("skipped: no cxx_plugin.so beside the program and no XALLOC_TEST_PLUGIN\n");
        skip();
    }
    xa_child_call(&child, 30, call_plugin, (void *)(uintptr_t)function);
    xa_child_assert_success(&child);
}

static void
s22_this_program_has_no_cxx_runtime_of_its_own(void **state)
{
    (void)state;
    /* If the allocator itself brings one, the rows below prove nothing, and row S21 is broken. */
    assert_null(dlopen("libstdc++.so.6", RTLD_NOW | RTLD_NOLOAD));
}

static void
s22_a_plugin_uses_containers(void **state)
{
    (void)state;
    expect_plugin_succeeds("plugin_uses_containers");
}

static void
s22_a_plugin_catches_bad_alloc(void **state)
{
    (void)state;
    expect_plugin_succeeds("plugin_catches_bad_alloc");
}

static void
s22_a_plugins_handler_is_called(void **state)
{
    (void)state;
    expect_plugin_succeeds("plugin_handler_is_called");
}

static void
s22_a_plugins_nothrow_new_survives_a_handler_that_throws(void **state)
{
    (void)state;
    expect_plugin_succeeds("plugin_nothrow_calls_a_handler_that_throws");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(s22_this_program_has_no_cxx_runtime_of_its_own),
        cmocka_unit_test(s22_a_plugin_uses_containers),
        cmocka_unit_test(s22_a_plugin_catches_bad_alloc),
        cmocka_unit_test(s22_a_plugins_handler_is_called),
        cmocka_unit_test(s22_a_plugins_nothrow_new_survives_a_handler_that_throws),
    };

    xa_child_start_watchdog(180);
    return cmocka_run_group_tests(tests, xa_child_check_allocator, NULL);
}
