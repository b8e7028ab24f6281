/*
 * dialogue_test.c - every request is answered, and nothing else is done.
 */
#include "control/dialogue.h"

#include "support/os_fake.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "alloc/fast_path.h"
#include "alloc/start.h"
#include "control/controls.h"
#include "support/controls.h"

enum { ANSWER_BYTES = 256 * 1024 };

static char answer[ANSWER_BYTES];
static char problem_text[XA_DIALOGUE_PROBLEM_MAX + 1];

static void
collect(void *context, const char *text, size_t bytes)
{
    size_t length = strlen(answer);
    (void)context;
    assert_true(length + bytes < sizeof answer);
    memcpy(answer + length, text, bytes);
    answer[length + bytes] = '\0';
}

static int
ask_bytes(const char *line, size_t length)
{
    struct xa_text problem;
    answer[0] = '\0';
    xa_text_init(&problem, problem_text, sizeof problem_text);
    int error = xa_dialogue_answer(line, length, &problem, collect, NULL);
    /* Either an answer or a problem. */
    assert_true(error == 0 || answer[0] == '\0');
    assert_int_equal(error == 0, problem_text[0] == '\0');
    return error;
}

static int
ask(const char *line)
{
    return ask_bytes(line, strlen(line));
}

static void
begin(const char *settings)
{
    xa_os_fake_set_environment("XALLOC_CONF", settings);
    assert_non_null(xa_start_thread());
}

static void
values_of_every_type_are_read(void **state)
{
    static const struct {
        const char *line, *answer;
    } cases[] = {
        {"get opt.abort", "false\n"},
        {"get arenas.nbins", NULL},
        {"get opt.dirty_decay_ms", "-1\n"},
        {"get opt.stats_interval", "-1\n"},
        {"get opt.junk", "false\n"},
        {"get xalloc.opt.dirty_max", "1048576\n"},
        {"get xalloc.opt.stats_signal", "10\n"},
        {"get epoch", "1\n"},
        {"get opt.stats_print_opts", "\n"},
        {"  get   opt.zero_realloc", "free\n"},
    };
    (void)state;
    begin("dirty_decay_ms:-1,dirty_max:1M,stats_signal:10");
    xa_controls_refresh();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(ask(cases[i].line), 0);
        if (cases[i].answer != NULL)
            assert_string_equal(answer, cases[i].answer);
    }
}

static void
values_of_every_type_are_written(void **state)
{
    (void)state;
    begin("");
    assert_int_equal(ask("set arenas.dirty_decay_ms -1"), 0);
    assert_int_equal((int64_t)xa_controls_read("arenas.dirty_decay_ms"), -1);
    assert_int_equal(ask("set background_thread false"), 0);
    assert_int_equal(xa_controls_read("background_thread"), false);
    assert_int_equal(ask("set arena.0.retain_grow_limit 1M"), 0);
    assert_int_equal(xa_controls_read("arena.0.retain_grow_limit"), 1 << 20);
    uint64_t epoch = xa_controls_read("epoch");
    assert_int_equal(ask("set epoch 1"), 0);
    assert_int_equal(xa_controls_read("epoch"), epoch + 1);
}

static void
a_text_is_the_rest_of_the_line(void **state)
{
    (void)state;
    begin("");
    void *volatile object = xa_fast_malloc(100);
    assert_non_null(object);
    assert_int_equal(ask("set arena.0.name  of the  first"), 0);
    assert_int_equal(ask("get arena.0.name"), 0);
    assert_string_equal(answer, "of the  first\n");
}

static void
what_is_done_is_done_without_a_value(void **state)
{
    (void)state;
    begin("");
    assert_int_equal(ask("set arena.4096.purge"), 0);
    assert_string_equal(answer, "");
    assert_int_equal(ask("purge"), 0);
    assert_int_equal(ask("set arena.4096.purge 1"), EINVAL);
    assert_int_equal(ask("get arena.4096.purge"), EPERM);
}

static void
what_is_wrong_is_said_and_changes_nothing(void **state)
{
    static const struct {
        const char *line;
        int error;
    } cases[] = {
        {"", EINVAL},
        {"   ", EINVAL},
        {"get", EINVAL},
        {"set", EINVAL},
        {"gets version", EINVAL},
        {"list all", EINVAL},
        {"purge 3", EINVAL},
        {"stats J m", EINVAL},
        {"get version version", EINVAL},
        {"get nothing", ENOENT},
        {"get arena", ENOENT},
        {"get arena.99.name", ENOENT},
        {"get arena.x.name", ENOENT},
        {"get experimental.utilization.query", ENOENT},
        {"get experimental.batch_alloc", EPERM},
        {"set version 1", EPERM},
        {"set arenas.dirty_decay_ms", EINVAL},
        {"set arenas.dirty_decay_ms soon", EINVAL},
        {"set arenas.dirty_decay_ms -2", EFAULT},
        {"set arenas.dirty_decay_ms 99999999999999999999", EINVAL},
        {"set epoch -1", EINVAL},
        {"set background_thread 2", EINVAL},
        {"set arena.0.retain_grow_limit -1", EINVAL},
        {"set arena.0.dss secondary", EFAULT},
    };
    (void)state;
    begin("");
    void *volatile object = xa_fast_malloc(100);
    assert_non_null(object);
    uint64_t decay = xa_controls_read("arenas.dirty_decay_ms");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int error = ask(cases[i].line);
        /* Of values that cannot be, mallctl says EINVAL or EFAULT. */
        bool is_value = cases[i].error == EFAULT && error == EINVAL;
        if (error != cases[i].error && !is_value)
            fail_msg("\"%s\": %d, %s", cases[i].line, error, problem_text);
    }
    assert_int_equal(xa_controls_read("arenas.dirty_decay_ms"), decay);
    assert_int_equal(xa_controls_read("background_thread"), true);
}

static void
what_is_the_program_s_own_is_left_to_it(void **state)
{
    static const char *const lines[] = {"get thread.arena", "set thread.arena 0",
        "get tcache.create", "set tcache.flush 0", "get arenas.create", "get arenas.lookup",
        "set arena.0.reset", "set arena.0.destroy", "get arena.0.extent_hooks",
        "get thread.allocatedp"};
    (void)state;
    begin("");
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        assert_int_equal(ask(lines[i]), EPERM);
        assert_non_null(strstr(problem_text, "only the program itself"));
    }
}

/* Every readable one: what the list says of it holds. */
static void
the_list_holds_what_can_be_asked_for(void **state)
{
    static char all[ANSWER_BYTES];
    unsigned count = 0;
    (void)state;
    begin("");
    void *volatile object = xa_fast_malloc(100);
    assert_non_null(object);
    assert_int_equal(ask("list"), 0);
    memcpy(all, answer, sizeof all);
    for (char *line = strtok(all, "\n"); line != NULL; line = strtok(NULL, "\n"), count++) {
        char name[100], type[10], how[3], request[200];
        assert_int_equal(sscanf(line, "%99s %9s %2s", name, type, how), 3);
        (void)snprintf(request, sizeof request, "get %s", name);
        /* Indices: the first of each. */
        for (char *index; (index = strchr(request, '<')) != NULL;) {
            *index = '0';
            memmove(index + 1, index + 3, strlen(index + 3) + 1);
        }
        assert_int_equal(ask(request), how[0] == 'r' ? 0 : EPERM);
        assert_int_equal(strcmp(type, "none") == 0, how[0] == 'v');
        if (how[0] == 'r' && strcmp(type, "string") != 0)
            assert_true(strlen(answer) > 1);
    }
    assert_in_range(count, 400, XA_CONTROLS);
    assert_null(strstr(answer, "thread.arena"));
}

static void
statistics_come_in_every_form(void **state)
{
    (void)state;
    begin("");
    assert_int_equal(ask("stats"), 0);
    assert_non_null(strstr(answer, " on request (xalloc "));
    assert_int_equal(ask("stats Ja"), 0);
    assert_memory_equal(answer, "{\n\t\"xalloc\"", 11);
    assert_null(strstr(answer, "\"arenas\": [\n"));
    assert_int_equal(ask("stats O"), 0);
    assert_non_null(strstr(answer, "# EOF\n"));
}

static void
no_line_of_bytes_does_harm(void **state)
{
    char line[XA_DIALOGUE_LINE_MAX + 2];
    (void)state;
    begin("");
    /* As long as possible: one word, many words, and a value. */
    memset(line, 'x', sizeof line);
    assert_int_equal(ask_bytes(line, XA_DIALOGUE_LINE_MAX), EINVAL);
    assert_int_equal(ask_bytes(line, sizeof line), EINVAL);
    memcpy(line, "get ", 4);
    assert_int_equal(ask_bytes(line, XA_DIALOGUE_LINE_MAX), ENOENT);
    memcpy(line, "set epoch ", 10);
    assert_int_equal(ask_bytes(line, XA_DIALOGUE_LINE_MAX), EINVAL);
    for (size_t i = 0; i < sizeof line; i++)
        line[i] = (i & 1) != 0 ? ' ' : 'y';
    assert_int_equal(ask_bytes(line, XA_DIALOGUE_LINE_MAX), EINVAL);
    /* Characters that are none. */
    assert_int_equal(ask_bytes("get version\0", 12), EINVAL);
    assert_int_equal(ask("get\tversion"), EINVAL);
    assert_int_equal(ask("get version\r"), EINVAL);
    assert_int_equal(ask("get \xff\xfe"), ENOENT);
    assert_string_equal(problem_text, "\"?\?\": no such control; \"list\" gives their names.");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(values_of_every_type_are_read),
        XA_OS_FAKE_FRESH(values_of_every_type_are_written),
        XA_OS_FAKE_FRESH(a_text_is_the_rest_of_the_line),
        XA_OS_FAKE_FRESH(what_is_done_is_done_without_a_value),
        XA_OS_FAKE_FRESH(what_is_wrong_is_said_and_changes_nothing),
        XA_OS_FAKE_FRESH(what_is_the_program_s_own_is_left_to_it),
        XA_OS_FAKE_FRESH(the_list_holds_what_can_be_asked_for),
        XA_OS_FAKE_FRESH(statistics_come_in_every_form),
        XA_OS_FAKE_FRESH(no_line_of_bytes_does_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
