/*
 * outlet_test.c - reports that nobody called for go where the options say.
 */
#include "control/outlet.h"

#include "support/os_fake.h"

#include <string.h>

#include "alloc/fast_path.h"
#include "config/options.h"
#include "os/message.h"
#include "os/os.h"

/* Settings, and an object. */
static void
begin(const char *settings)
{
    xa_os_fake_set_environment("XALLOC_CONF", settings);
    assert_non_null(xa_fast_malloc(100));
}

static unsigned
count(const char *text, const char *word)
{
    unsigned found = 0;
    for (; (text = strstr(text, word)) != NULL; text++)
        found++;
    return found;
}

static void
without_a_file_reports_go_where_messages_go(void **state)
{
    (void)state;
    begin("");
    xa_outlet_report(" at exit", "");
    assert_non_null(strstr(xa_os_fake_errors(), " at exit (xalloc "));
    assert_non_null(strstr(xa_os_fake_errors(), " at exit (xalloc "));
    xa_os_fake_clear_errors();
    xa_outlet_report(" at a signal", "J");
    assert_memory_equal(xa_os_fake_errors(), "{\n\t\"xalloc\"", 11);
}

static void
the_file_has_the_process_s_number_and_all_its_reports(void **state)
{
    (void)state;
    begin("stats_file:/tmp/stats");
    xa_outlet_report(" at exit", "");
    assert_string_equal(xa_os_fake_errors(), "");
    const char *written = xa_os_fake_appended("/tmp/stats.4711");
    assert_non_null(written);
    assert_memory_equal(written, "xalloc: statistics of process 4711 at exit", 42);
    assert_non_null(strstr(written, "\nArenas\n"));
    xa_outlet_report(" once more", "");
    assert_int_equal(count(xa_os_fake_appended("/tmp/stats.4711"), "xalloc: statistics"), 2);
    assert_string_equal(xa_os_fake_errors(), "");
}

static void
the_number_can_stand_anywhere(void **state)
{
    (void)state;
    begin("stats_file:/tmp/%p/100%%/%q.%p.json");
    xa_outlet_report(" at exit", "J");
    assert_non_null(xa_os_fake_appended("/tmp/4711/100%%/%q.4711.json"));
}

static void
a_file_that_cannot_be_written_is_standard_error(void **state)
{
    (void)state;
    begin("stats_file:/tmp/stats");
    xa_os_fake_fail(XA_OS_FAKE_APPEND_FILE, 1, XA_OS_FAKE_FROM_THEN_ON);
    xa_outlet_report(" at exit", "");
    assert_null(xa_os_fake_appended("/tmp/stats.4711"));
    assert_non_null(strstr(xa_os_fake_errors(), " at exit (xalloc "));
    assert_non_null(strstr(xa_os_fake_errors(), "\nArenas\n"));
    assert_int_equal(count(xa_os_fake_errors(),
                         "xalloc: option \"stats_file\": cannot make \"/tmp/stats.4711\": "
                         "statistics follow here. "),
        1);
}

static void
a_file_that_is_there_already_is_not_touched(void **state)
{
    (void)state;
    xa_os_fake_set_file("/tmp/stats.4711", "precious");
    begin("stats_file:/tmp/stats");
    xa_outlet_report(" at exit", "");
    assert_null(xa_os_fake_appended("/tmp/stats.4711"));
    assert_non_null(strstr(xa_os_fake_errors(), "cannot make \"/tmp/stats.4711\""));
    assert_non_null(strstr(xa_os_fake_errors(), " at exit (xalloc "));
}

static void
a_process_with_more_rights_than_its_caller_writes_no_file(void **state)
{
    (void)state;
    /* Not the environment's wish, which is not read there, but the program's own. */
    xa_os_fake_set_secure(true);
    begin("");
    memcpy(xa_options.stats_file, "/tmp/stats", sizeof "/tmp/stats");
    xa_outlet_report(" at exit", "");
    assert_null(xa_os_fake_appended("/tmp/stats.4711"));
    assert_non_null(strstr(xa_os_fake_errors(), " at exit (xalloc "));
}

static void
a_report_is_written_whenever_so_much_has_been_allocated(void **state)
{
    (void)state;
    begin("stats_interval:1M,stats_interval_opts:gmablehr");
    for (int i = 0; i < 100; i++)
        xa_outlet_note_allocated(100000);
    /* 10 million bytes. */
    assert_int_equal(count(xa_os_fake_errors(), " at an interval (xalloc "), 9);
    assert_null(strstr(xa_os_fake_errors(), "Arenas"));
    xa_outlet_note_allocated(5 << 20);
    assert_int_equal(count(xa_os_fake_errors(), " at an interval (xalloc "), 10);
}

static void
note_again(void *context, const char *text)
{
    assert_null(context);
    xa_os_write_error(text, strlen(text));
    xa_outlet_note_allocated(100 << 20);
}

static void
a_program_that_allocates_for_a_report_gets_no_other(void **state)
{
    (void)state;
    begin("stats_interval:1M");
    malloc_message = note_again;
    xa_outlet_note_allocated(2 << 20);
    assert_int_equal(count(xa_os_fake_errors(), " at an interval (xalloc "), 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(without_a_file_reports_go_where_messages_go),
        XA_OS_FAKE_FRESH(the_file_has_the_process_s_number_and_all_its_reports),
        XA_OS_FAKE_FRESH(the_number_can_stand_anywhere),
        XA_OS_FAKE_FRESH(a_file_that_cannot_be_written_is_standard_error),
        XA_OS_FAKE_FRESH(a_file_that_is_there_already_is_not_touched),
        XA_OS_FAKE_FRESH(a_process_with_more_rights_than_its_caller_writes_no_file),
        XA_OS_FAKE_FRESH(a_report_is_written_whenever_so_much_has_been_allocated),
        XA_OS_FAKE_FRESH(a_program_that_allocates_for_a_report_gets_no_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
