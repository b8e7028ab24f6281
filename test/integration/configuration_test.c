/*
 * configuration_test.c - XALLOC_CONF and MALLOC_ARENA_MAX as a program meets them; rows N3 to N5
 * and E8.
 *
 * This program starts itself again with the environment under test, in one of the modes at the end
 * of the file, and looks at what the child wrote to stderr and how it ended.
 */
#define _GNU_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../support/child.h"
#include "../support/seed.h"
#include "../support/threads.h"

#include <ctype.h>
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *(*volatile call_malloc)(size_t) = malloc;
static void *(*volatile call_realloc)(void *, size_t) = realloc;
static void (*volatile call_free)(void *) = free;

enum { CHILD_SECONDS = 30, CONF_BYTES = 8192, UNTOUCHED = 4711 };

static struct xa_child_result child;

/*
 * Run a mode of this program with XALLOC_CONF set to `conf` and one more change of the
 * environment.
 */
static void
run_mode_with(const char *mode, const char *conf, const char *change)
{
    char variable[CONF_BYTES];
    const char *const arguments[] = {NULL, mode, NULL};
    const char *const environment[] = {conf != NULL ? variable : "XALLOC_CONF",
        change != NULL ? change : "MALLOC_ARENA_MAX", NULL};
    const struct xa_child_command command = {arguments, environment, NULL};

    snprintf(variable, sizeof(variable), "XALLOC_CONF=%s", conf != NULL ? conf : "");
    xa_child_run(&child, CHILD_SECONDS, &command);
}

/* Lines of the child's stderr that begin as our messages do. */
static unsigned
count_messages(void)
{
    unsigned count = 0;

    for (const char *line = child.errors; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        count += strncmp(line, "xalloc: ", 8) == 0;
    }
    return count;
}

/* The message that holds `word`, in a buffer that the next call reuses. */
static const char *
message_with(const char *word)
{
    static char message[1024];

    for (const char *line = child.errors; line != NULL && *line != '\0';
         line = strchr(line, '\n')) {
        size_t length;

        line += *line == '\n';
        length = strcspn(line, "\n");
        if (strncmp(line, "xalloc: ", 8) != 0 || length >= sizeof(message))
            continue;
        memcpy(message, line, length);
        message[length] = '\0';
        if (strstr(message, word) != NULL)
            return message;
    }
    fail_msg("no message with %s in: %s", word, child.errors);
    return "";
}

static void
expect_ran_with_messages(const char *conf, unsigned count)
{
    run_mode_with("work", conf, NULL);
    xa_child_assert_success(&child);
    assert_string_equal(child.output, "worked\n");
    if (count_messages() != count)
        fail_msg("XALLOC_CONF=%s: %u messages instead of %u: %s", conf, count_messages(), count,
            child.errors);
}

static void
expect_one_message(const char *conf, const char *name, const char *hint)
{
    expect_ran_with_messages(conf, 1);
    if (strstr(message_with(name), hint) == NULL)
        fail_msg("XALLOC_CONF=%s: the message does not say %s: %s", conf, hint, child.errors);
}

static void
good_options_are_taken_in_silence(void **state)
{
    (void)state;
    expect_ran_with_messages(NULL, 0);
    expect_ran_with_messages("", 0);
    expect_ran_with_messages("dirty_decay_ms:100,narenas:2", 0);
    expect_ran_with_messages("zero_realloc:free", 0);
    expect_ran_with_messages("abort_conf:true,tcache:false,junk:true,stats_print:false", 0);
}

static void
n04_each_bad_option_has_a_message_and_the_program_runs(void **state)
{
    (void)state;
    expect_ran_with_messages("no_such:1,dirty_decay:5,narenas:-3", 3);
    message_with("no_such");
    message_with("narenas");
    assert_non_null(strstr(message_with("\"dirty_decay\""), "dirty_decay_ms"));
}

static void
n04_an_unknown_option_is_answered_with_the_nearest(void **state)
{
    (void)state;
    expect_one_message("stats_prin:true", "stats_prin", "stats_print\"");
    expect_one_message("narena:2", "narena", "narenas\"");
    expect_one_message("dirty_decay_sm:2", "dirty_decay_sm", "dirty_decay_ms\"");
    /* No prefix of a name is the name. */
    expect_one_message("d:1", "\"d\"", "no such option");
    expect_one_message("stats:true", "\"stats\"", "no such option");
    expect_one_message("Stats_Print:true", "Stats_Print", "stats_print");
}

/* How many numbers a text holds. */
static unsigned
count_numbers(const char *text)
{
    unsigned count = 0;

    for (; *text != '\0'; text++) {
        if (isdigit((unsigned char)*text) && !isdigit((unsigned char)text[1]))
            count++;
    }
    return count;
}

static void
n04_a_bad_value_is_answered_with_what_is_accepted(void **state)
{
    (void)state;
    expect_one_message("narenas:-3", "narenas", "-3");
    /* The value and both ends of the range. */
    assert_true(count_numbers(message_with("narenas")) >= 3);
    expect_one_message(
        "narenas:99999999999999999999999999", "narenas", "99999999999999999999999999");
    expect_one_message("narenas:2x", "narenas", "2x");
    expect_one_message("dirty_decay_ms:-2", "dirty_decay_ms", "-1");
    expect_one_message("stats_print:maybe", "stats_print", "true");
    expect_one_message("stats_print:TRUE", "stats_print", "false");
    expect_one_message("zero_realloc:sometimes", "zero_realloc", "alloc");
    assert_non_null(strstr(message_with("zero_realloc"), "abort"));
    expect_one_message("stats_signal:NOSUCH", "stats_signal", "NOSUCH");
    expect_one_message("ctl_signal:USR1,stats_signal:USR1", "ctl_signal", "stats_signal");
    expect_one_message("narenas:", "narenas", "narenas");
    expect_one_message("narenas", "narenas", "narenas");
}

static void
n04_the_other_options_still_apply(void **state)
{
    (void)state;
    run_mode_with("work", "no_such:1,stats_print:true,narenas:-3", NULL);
    xa_child_assert_success(&child);
    message_with("no_such");
    message_with("narenas");
    assert_non_null(strstr(child.errors, "allocated"));
}

static void
n04_no_text_keeps_a_program_from_running(void **state)
{
    struct xa_seed_random random = xa_seed_start(xa_seed_choose(NULL), 0);
    static const char alphabet[] = "abcdefnstruy_:,:,.-0123456789 \t\"'%\x01\x7f\xc3\xa9";
    char conf[CONF_BYTES / 2];

    (void)state;
    for (int round = 0; round < 60; round++) {
        size_t length = xa_seed_size(&random, 1, sizeof(conf) - 2);

        for (size_t i = 0; i < length; i++)
            conf[i] = alphabet[xa_seed_below(&random, sizeof(alphabet) - 1)];
        conf[length] = '\0';
        /*
         * A random text may hold the real name of the option that makes it fatal; not in 60
         * rounds.
         */
        run_mode_with("work", conf, NULL);
        if (child.timed_out || child.exit_code != 0)
            print_error("XALLOC_CONF=%s\n", conf);
        xa_child_assert_success(&child);
        for (const char *byte = child.errors; *byte != '\0'; byte++)
            assert_true((unsigned char)*byte >= ' ' || *byte == '\n');
    }
}

static void
n04_abort_conf_makes_a_bad_option_fatal(void **state)
{
    (void)state;
    run_mode_with("work", "abort_conf:true,no_such:1", NULL);
    assert_int_equal(child.signal, SIGABRT);
    message_with("no_such");
    run_mode_with("work", "narenas:-3,abort_conf:true", NULL);
    assert_int_equal(child.signal, SIGABRT);
    message_with("narenas");
    run_mode_with("work", "abort_conf:true", NULL);
    xa_child_assert_success(&child);
}

static void
e08_zero_realloc_chooses_what_realloc_to_nothing_does(void **state)
{
    (void)state;
    run_mode_with("zero-realloc", NULL, NULL);
    xa_child_assert_success(&child);
    assert_string_equal(child.output, "NULL\n");
    run_mode_with("zero-realloc", "zero_realloc:free", NULL);
    xa_child_assert_success(&child);
    assert_string_equal(child.output, "NULL\n");
    run_mode_with("zero-realloc", "zero_realloc:alloc", NULL);
    xa_child_assert_success(&child);
    assert_string_equal(child.output, "object\n");
    run_mode_with("zero-realloc", "zero_realloc:abort", NULL);
    assert_int_equal(child.signal, SIGABRT);
    message_with("realloc");
}

/* Rows of the table of arenas in the report of a program with 16 threads. */
static unsigned
count_arenas(const char *conf, const char *change)
{
    const char *row;
    unsigned count = 0;

    run_mode_with("threads", conf, change);
    xa_child_assert_success(&child);
    row = strstr(child.errors, "\nArenas\n");
    if (row == NULL)
        fail_msg("no table of arenas in the report: %s", child.errors);
    /* Past the empty rest of the line before, the title and the columns' names. */
    for (int lines = 0; lines < 3 && row != NULL; lines++)
        row = strchr(row, '\n') + 1;
    for (; row != NULL && *row == ' '; row = strchr(row, '\n') + 1)
        count += isdigit((unsigned char)row[strspn(row, " ")]) != 0;
    return count;
}

static void
n05_malloc_arena_max_caps_the_arenas(void **state)
{
    (void)state;
    /* Without this the lines below would hold for an allocator that has one arena anyway. */
    assert_int_equal(count_arenas("stats_print:true,narenas:4", NULL), 4);
    assert_int_equal(count_arenas("stats_print:true", "MALLOC_ARENA_MAX=1"), 1);
    assert_true(count_arenas("stats_print:true", "MALLOC_ARENA_MAX=2") <= 2);
}

static void
n05_a_bad_malloc_arena_max_does_no_harm(void **state)
{
    static const char *const bad[] = {"MALLOC_ARENA_MAX=", "MALLOC_ARENA_MAX=0",
        "MALLOC_ARENA_MAX=-1", "MALLOC_ARENA_MAX=many", "MALLOC_ARENA_MAX=99999999999999999999"};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        run_mode_with("work", NULL, bad[i]);
        xa_child_assert_success(&child);
    }
}

/* The modes in which this program is started again. */

static int
work(void)
{
    for (size_t size = 0; size < 30 << 20; size = size * 3 + 1) {
        void *block = call_malloc(size);

        XA_CHILD_CHECK(block != NULL);
        memset(block, 1, size);
        call_free(block);
    }
    puts("worked");
    return 0;
}

static int
resize_to_nothing(void)
{
    void *block = call_malloc(100);
    void *result;

    errno = UNTOUCHED;
    result = call_realloc(block, 0);
    XA_CHILD_CHECK(errno == UNTOUCHED);
    puts(result == NULL ? "NULL" : "object");
    call_free(result);
    return 0;
}

static pthread_barrier_t all_have_allocated;

static void
hold_memory(unsigned index, void *argument)
{
    void *blocks[50];

    (void)argument;
    for (size_t i = 0; i < 50; i++)
        blocks[i] = call_malloc(index + i * 1000 + 1);
    pthread_barrier_wait(&all_have_allocated);
    pthread_barrier_wait(&all_have_allocated);
    for (int i = 0; i < 50; i++)
        call_free(blocks[i]);
}

static int
allocate_in_threads(void)
{
    enum { THREADS = 16 };
    struct xa_threads team;

    pthread_barrier_init(&all_have_allocated, NULL, THREADS + 1);
    XA_CHILD_CHECK(xa_threads_start(&team, THREADS, hold_memory, NULL));
    pthread_barrier_wait(&all_have_allocated);
    pthread_barrier_wait(&all_have_allocated);
    XA_CHILD_CHECK(xa_threads_join(&team, 20));
    return 0;
}

static int
run_mode(const char *mode)
{
    if (strcmp(mode, "work") == 0)
        return work();
    if (strcmp(mode, "zero-realloc") == 0)
        return resize_to_nothing();
    if (strcmp(mode, "threads") == 0)
        return allocate_in_threads();
    return 2;
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_options_are_taken_in_silence),
        cmocka_unit_test(n04_each_bad_option_has_a_message_and_the_program_runs),
        cmocka_unit_test(n04_an_unknown_option_is_answered_with_the_nearest),
        cmocka_unit_test(n04_a_bad_value_is_answered_with_what_is_accepted),
        cmocka_unit_test(n04_the_other_options_still_apply),
        cmocka_unit_test(n04_no_text_keeps_a_program_from_running),
        cmocka_unit_test(n04_abort_conf_makes_a_bad_option_fatal),
        cmocka_unit_test(e08_zero_realloc_chooses_what_realloc_to_nothing_does),
        cmocka_unit_test(n05_malloc_arena_max_caps_the_arenas),
        cmocka_unit_test(n05_a_bad_malloc_arena_max_does_no_harm),
    };

    if (argc == 2)
        return run_mode(argv[1]);
    xa_child_start_watchdog(180);
    return cmocka_run_group_tests(tests, xa_child_check_allocator, NULL);
}
