/*
 * configuration_symbol_test.c - options that a program carries in itself, row N3.
 *
 * A program linked with the library may define xalloc_conf, a string of options.  The environment
 * is later in precedence and wins, option by option.
 */
#define _GNU_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../support/child.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const char *xalloc_conf;
const char *xalloc_conf = "stats_print:true,no_such_in_program:1";

static struct xa_child_result child;

/*
 * The shared library makes the linker export our symbol, which otherwise stays in this program; the
 * static one brings its malloc with it.
 */
static bool
is_linked_with_library(void)
{
    Dl_info home_of_malloc;
    Dl_info home_of_symbol;

    if (dlsym(RTLD_DEFAULT, "xalloc_conf") == (void *)&xalloc_conf)
        return true;
    return dladdr(dlsym(RTLD_DEFAULT, "malloc"), &home_of_malloc) != 0 &&
        dladdr((void *)&xalloc_conf, &home_of_symbol) != 0 &&
        home_of_malloc.dli_fbase == home_of_symbol.dli_fbase;
}

static void
run_with(const char *variable)
{
    if (!is_linked_with_library()) {
        print_message("skipped: this program is not linked with the library\n");
        skip();
    }
    xa_child_run_mode(&child, 30, "work", variable);
    xa_child_assert_success(&child);
}

static void
n03_the_programs_own_options_apply(void **state)
{
    (void)state;
    run_with("XALLOC_CONF");
    assert_non_null(strstr(child.errors, "allocated"));
    /* Whose mistake it is must be clear as well. */
    assert_non_null(strstr(child.errors, "no_such_in_program"));
}

static void
n03_the_environment_wins_over_the_programs_own_options(void **state)
{
    (void)state;
    run_with("XALLOC_CONF=stats_print:false");
    assert_null(strstr(child.errors, "allocated"));
    run_with("XALLOC_CONF=narenas:1");
    assert_non_null(strstr(child.errors, "allocated"));
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(n03_the_programs_own_options_apply),
        cmocka_unit_test(n03_the_environment_wins_over_the_programs_own_options),
    };

    if (argc == 2 && strcmp(argv[1], "work") == 0) {
        free(malloc(100));
        return 0;
    }
    xa_child_start_watchdog(60);
    return cmocka_run_group_tests(tests, xa_child_check_allocator, NULL);
}
