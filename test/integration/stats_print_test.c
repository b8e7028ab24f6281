/*
 * stats_print_test.c - malloc_stats_print(), malloc_message and the options of statistics.
 *
 * What comes out is read by real parsers: Python's for JSON, that of Debian's
 * python3-prometheus-client for OpenMetrics (test/support/parse_statistics.py).  The summary is
 * compared with what the kernel says of this process, while its threads hold still.
 */
#define _GNU_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../support/child.h"
#include "../support/load.h"
#include "../support/seed.h"
#include "../support/threads.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "xalloc/jemalloc.h"

/* The program's own, which the library finds in place of its. */
void (*malloc_message)(void *, const char *);

static void *(*volatile call_malloc)(size_t) = malloc;
static void (*volatile call_free)(void *) = free;
static void (*print)(void (*)(void *, const char *), void *, const char *);

enum {
    CHILD_SECONDS = 60,
    TEXT_MAX = 1 << 20,
    THREADS = 6,
    OBJECTS = 4000,
    ROUNDS = 60000,
};

static struct xa_child_result child;

/* What a callback received. */
struct text {
    size_t length;
    unsigned pieces;
    char chars[TEXT_MAX];
};
static struct text text;

static void
collect(void *argument, const char *piece)
{
    struct text *to = argument;
    size_t bytes = strlen(piece);

    XA_CHILD_CHECK(to->length + bytes < TEXT_MAX);
    memcpy(to->chars + to->length, piece, bytes + 1);
    to->length += bytes;
    to->pieces++;
}

static const char *
get(const char *letters)
{
    text.length = text.pieces = 0;
    text.chars[0] = '\0';
    print(collect, &text, letters);
    return text.chars;
}

/* ---- Parsers ---- */

static char folder[] = "/tmp/stats_print_test.XXXXXX";
static char python[128];

static int
run_python(const char *arguments)
{
    static char command[1024];
    const char *source = getenv("top_srcdir");

    snprintf(command, sizeof command, "LD_PRELOAD= %s %s/test/support/parse_statistics.py %s",
        python, source != NULL ? source : ".", arguments);
    return system(command);
}

/* A Python that has the parsers; Debian's has, which need not be the first on the path. */
static bool
find_python(void)
{
    static const char *const names[] = {"python3", "/usr/bin/python3"};

    for (unsigned i = 0; i < 2; i++) {
        snprintf(python, sizeof python, "%s", names[i]);
        if (run_python("probe 2>/dev/null") == 0)
            return true;
    }
    return false;
}

static void
need_python(void)
{
    if (python[0] == '\0' && !find_python()) {
        print_message("skipped: no parser (Debian packages python3, python3-prometheus-client)\n");
        python[0] = '\0';
        skip();
    }
}

static void
parse(const char *form, const char *chars, size_t length)
{
    char path[128], arguments[256];

    snprintf(path, sizeof path, "%s/statistics", folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(chars, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
    snprintf(arguments, sizeof arguments, "%s %s", form, path);
    if (run_python(arguments) != 0)
        fail_msg("%.*s", 3000, chars);
    unlink(path);
}

static void
run_mode_with(const char *mode, const char *conf)
{
    xa_child_run_mode(&child, CHILD_SECONDS, mode, conf);
    xa_child_assert_success(&child);
}

static unsigned
count(const char *in, const char *word)
{
    unsigned found = 0;

    for (; (in = strstr(in, word)) != NULL; in++)
        found++;
    return found;
}

/* ---- What malloc_stats_print gives ---- */

static void
json_is_json(void **state)
{
    static const char *const letters[] = {
        "J", "Jg", "Jm", "Ja", "Jb", "Jl", "Je", "Jh", "Jr", "Jd", "Jx", "Jgmdablxehr", "gmaJ"};

    (void)state;
    need_python();
    for (unsigned i = 0; i < sizeof letters / sizeof *letters; i++) {
        get(letters[i]);
        assert_true(text.pieces >= 1);
        parse("json", text.chars, text.length);
    }
}

static void
openmetrics_is_openmetrics(void **state)
{
    static const char *const letters[] = {
        "O", "Og", "Om", "Oa", "Ob", "Ol", "Oe", "Oh", "Or", "Ogmdablxehr"};

    (void)state;
    need_python();
    for (unsigned i = 0; i < sizeof letters / sizeof *letters; i++) {
        get(letters[i]);
        parse("openmetrics", text.chars, text.length);
    }
}

/* In each of the forms; the text is looked at in test/unit/report_test.c. */
static void
letters_leave_parts_out(void **state)
{
    static const struct {
        char letter;
        const char *json;
        const char *metrics;
    } parts[] = {
        {'g', "\"opt\": {", "xalloc_info"},
        {'m', "\"merged\": {", "xalloc_class_live_objects"},
        {'a', "\"0\": {", "xalloc_arena_active_bytes"},
        {'b', "\"curregs\"", "xalloc_class_live_objects"},
        {'l', "\"huge_objects\"", "xalloc_huge_objects"},
        {'e', "\"free_runs\"", "xalloc_free_runs"},
        {'h', "\"huge_pages\"", "xalloc_huge_pages_bytes"},
        {'r', "\"resident\"", "xalloc_resident_bytes"},
    };

    (void)state;
    for (unsigned i = 0; i < sizeof parts / sizeof *parts; i++) {
        char json[] = {'J', parts[i].letter, '\0'}, metrics[] = {'O', parts[i].letter, '\0'};

        assert_non_null(strstr(get("J"), parts[i].json));
        assert_null(strstr(get(json), parts[i].json));
        assert_non_null(strstr(get("O"), parts[i].metrics));
        assert_null(strstr(get(metrics), parts[i].metrics));
    }
}

static void *kept;

/* Allocates, frees, and asks for statistics itself. */
static void
collect_and_allocate(void *argument, const char *piece)
{
    static bool is_inside;

    call_free(kept);
    kept = call_malloc(strlen(piece) + 1);
    XA_CHILD_CHECK(kept != NULL);
    strcpy(kept, piece);
    collect(argument, kept);
    if (!is_inside) {
        static struct text inner;

        is_inside = true;
        inner.length = 0;
        print(collect, &inner, "J");
        XA_CHILD_CHECK(inner.length > 1000 && inner.chars[inner.length - 2] == '}');
        is_inside = false;
    }
}

static void
the_callback_may_allocate_and_ask_again(void **state)
{
    (void)state;
    need_python();
    text.length = 0;
    errno = 1234;
    print(collect_and_allocate, &text, "J");
    assert_int_equal(errno, 1234);
    parse("json", text.chars, text.length);
}

static void
take_message(void *argument, const char *piece)
{
    XA_CHILD_CHECK(argument == NULL);
    collect(&text, piece);
}

static void
without_a_callback_malloc_message_gets_it(void **state)
{
    (void)state;
    if (dlsym(RTLD_DEFAULT, "malloc_message") != (void *)&malloc_message) {
        print_message("skipped: the linker has not exported this program's malloc_message\n");
        skip();
    }
    text.length = 0;
    malloc_message = take_message;
    print(NULL, &text, NULL);
    malloc_message = NULL;
    assert_memory_equal(text.chars, "xalloc: statistics of process ", 30);
}

static void
without_that_standard_error_gets_it(void **state)
{
    (void)state;
    run_mode_with("print", "XALLOC_CONF");
    assert_memory_equal(child.errors, "xalloc: statistics of process ", 30);
    assert_non_null(strstr(child.errors, "\n  metadata"));
    assert_non_null(strstr(child.errors, "\nArenas\n"));
    assert_string_equal(child.output, "");
}

static int
print_to_error(void)
{
    call_free(call_malloc(100));
    print(NULL, NULL, "");
    return 0;
}

/* ---- The sum rule ---- */

/* What the kernel says is in memory of mappings without a file, and of the library's file. */
static size_t
kernel_resident(void)
{
    static char line[512];
    FILE *maps = fopen("/proc/self/smaps", "r");
    bool counts = false;
    size_t total = 0;

    XA_CHILD_CHECK(maps != NULL);
    while (fgets(line, sizeof line, maps) != NULL) {
        unsigned long start, end, offset, device_major, device_minor, inode;
        char permissions[8], name[256] = "";
        size_t kib;

        if (sscanf(line, "%lx-%lx %7s %lx %lx:%lx %lu %255s", &start, &end, permissions, &offset,
                &device_major, &device_minor, &inode, name) >= 7)
            counts = (inode == 0 && (name[0] == '\0' || strncmp(name, "[anon", 5) == 0)) ||
                strstr(name, "libxalloc") != NULL;
        else if (counts && sscanf(line, "Rss: %zu kB", &kib) == 1)
            total += kib * 1024;
    }
    fclose(maps);
    return total;
}

/* The sum of one key's numbers in the list of places. */
static size_t
sum_of_places(const char *json, const char *key)
{
    const char *at = strstr(json, "\"places\": ["), *end = strchr(at, ']');
    size_t sum = 0;

    for (; (at = strstr(at, key)) != NULL && at < end; at++)
        sum += strtoull(at + strlen(key), NULL, 10);
    return sum;
}

static pthread_barrier_t barrier;
static _Atomic bool is_over;

static void
work_and_rest(unsigned index, void *argument)
{
    static void *objects[THREADS][OBJECTS];
    struct xa_seed_random random = xa_seed_start(11, index);

    (void)argument;
    for (int i = 0; i < ROUNDS; i++) {
        void **object = &objects[index][xa_seed_below(&random, OBJECTS)];
        size_t size = xa_seed_size(&random, 1, xa_seed_below(&random, 400) ? 30000 : 6 << 20);

        call_free(*object);
        *object = call_malloc(size);
        XA_CHILD_CHECK(*object != NULL);
        memset(*object, 1, size);
    }
    /* Much of it is free again, in caches, slabs and runs. */
    for (int i = 0; i < OBJECTS; i++) {
        if (xa_seed_below(&random, 10) < 4) {
            call_free(objects[index][i]);
            objects[index][i] = NULL;
        }
    }
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
}

static int
compare_with_kernel(void)
{
    struct xa_threads team;

    pthread_barrier_init(&barrier, NULL, THREADS + 1);
    XA_CHILD_CHECK(xa_threads_start(&team, THREADS, work_and_rest, NULL));
    pthread_barrier_wait(&barrier);
    /* Twice: the figure may change by itself, with huge pages by several MiB. */
    size_t before = kernel_resident();
    get("Jh");
    size_t after = kernel_resident(), ours = sum_of_places(text.chars, "\"resident\": ");
    pthread_barrier_wait(&barrier);
    XA_CHILD_CHECK(xa_threads_join(&team, 20));
    printf("%zu %zu %zu\n", before < after ? before : after, before < after ? after : before, ours);
    return 0;
}

static void
the_places_are_what_the_kernel_says_within_2_percent(void **state)
{
    static const char *const settings[] = {
        "XALLOC_CONF=background_thread:false",
        "XALLOC_CONF=background_thread:false,narenas:3,muzzy_decay_ms:-1,dirty_decay_ms:0",
        "XALLOC_CONF=background_thread:false,thp:always,dirty_decay_ms:-1",
        "XALLOC_CONF=tcache:false,pressure:off",
    };

    (void)state;
    xa_child_skip_if_emulated("the kernel's figure is that of the emulator");
    for (unsigned i = 0; i < sizeof settings / sizeof *settings; i++) {
        size_t least, most, ours;

        run_mode_with("compare", settings[i]);
        assert_int_equal(sscanf(child.output, "%zu %zu %zu", &least, &most, &ours), 3);
        if (least < 30000000 || ours < least - least / 50 || ours > most + most / 50)
            fail_msg("%s: %zu bytes, the kernel says %zu to %zu", settings[i], ours, least, most);
        print_message(
            "# %s: %zu bytes, the kernel says %zu to %zu\n", settings[i], ours, least, most);
    }
}

/* ---- In odd moments ---- */

static _Atomic unsigned printed;

static void
write_out(void *argument, const char *piece)
{
    (void)argument;
    for (size_t done = 0, length = strlen(piece); done < length;) {
        ssize_t written = write(STDOUT_FILENO, piece + done, length - done);
        XA_CHILD_CHECK(written > 0);
        done += (size_t)written;
    }
}

static void
print_in_handler(int number)
{
    static _Atomic int is_busy; /* no bool: not every processor exchanges bytes */

    (void)number;
    if (atomic_exchange(&is_busy, 1))
        return;
    print(write_out, NULL, "Jabger");
    atomic_fetch_add(&printed, 1);
    atomic_store(&is_busy, false);
}

static int
print_at_signals(void)
{
    struct xa_threads team;
    const struct sigaction action = {.sa_handler = print_in_handler, .sa_flags = SA_RESTART};

    sigaction(SIGUSR1, &action, NULL);
    XA_CHILD_CHECK(xa_threads_start(&team, 3, xa_load_allocate, &is_over));
    for (int i = 0; i < 2000 && atomic_load(&printed) < 15; i++) {
        pthread_kill(team.members[i % 3].thread, SIGUSR1);
        usleep(500);
    }
    atomic_store(&is_over, true);
    XA_CHILD_CHECK(xa_threads_join(&team, 20));
    XA_CHILD_CHECK(atomic_load(&printed) >= 5);
    return 0;
}

static void
a_signal_handler_may_print_while_threads_allocate(void **state)
{
    (void)state;
    need_python();
    run_mode_with("signals", "XALLOC_CONF");
    parse("json", child.output, strlen(child.output));
    assert_true(count(child.output, "\"jemalloc\": {") >= 5);
}

static int
print_in_children(void)
{
    struct xa_threads team;

    XA_CHILD_CHECK(xa_threads_start(&team, 3, xa_load_allocate, &is_over));
    for (int i = 0; i < 10; i++) {
        pid_t pid = fork();

        if (pid == 0) {
            print(write_out, NULL, "Jabg");
            _exit(0);
        }
        XA_CHILD_CHECK(xa_child_wait(pid, 20) == 0);
    }
    atomic_store(&is_over, true);
    XA_CHILD_CHECK(xa_threads_join(&team, 20));
    return 0;
}

static void
a_forked_child_may_print(void **state)
{
    (void)state;
    need_python();
    run_mode_with("children", "XALLOC_CONF");
    parse("json", child.output, strlen(child.output));
    assert_int_equal(count(child.output, "\"jemalloc\": {"), 10);
}

static void
print_often(unsigned index, void *argument)
{
    static struct text texts[THREADS];

    (void)argument;
    for (int i = 0; i < 20; i++) {
        texts[index].length = 0;
        print(collect, &texts[index], "Jahe");
        XA_CHILD_CHECK(texts[index].length > 1000);
        XA_CHILD_CHECK(strcmp(texts[index].chars + texts[index].length - 3, "\n}\n") == 0);
    }
}

static void
more_threads_than_can_print_at_a_time_wait_for_each_other(void **state)
{
    (void)state;
    assert_true(xa_threads_run(THREADS, print_often, NULL, CHILD_SECONDS));
}

/* ---- Options ---- */

static void
letters_of_the_option_hold_at_exit(void **state)
{
    (void)state;
    need_python();
    run_mode_with("nothing", "XALLOC_CONF=stats_print:true,stats_print_opts:Ja");
    parse("json", child.errors, strlen(child.errors));
    assert_null(strstr(child.errors, "\"0\": {"));
    run_mode_with("nothing", "XALLOC_CONF=stats_print:true,stats_print_opts:O");
    parse("openmetrics", child.errors, strlen(child.errors));
}

static int
do_nothing(void)
{
    call_free(call_malloc(1000));
    return 0;
}

/* The one file in the folder; its name, and what is in it in `text`. */
static const char *
read_only_file(void)
{
    static char path[400];
    static char name[256];
    DIR *directory = opendir(folder);
    unsigned files = 0;

    assert_non_null(directory);
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(name, sizeof name, "%s", entry->d_name);
        files++;
    }
    closedir(directory);
    assert_int_equal(files, 1);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    text.length = fread(text.chars, 1, TEXT_MAX - 1, file);
    text.chars[text.length] = '\0';
    fclose(file);
    unlink(path);
    return name;
}

static void
a_file_is_made_for_each_process(void **state)
{
    char conf[256];
    const char *name;

    (void)state;
    need_python();
    snprintf(conf, sizeof conf,
        "XALLOC_CONF=stats_print:true,stats_print_opts:J,stats_file:%s/of-%%p.json", folder);
    run_mode_with("nothing", conf);
    assert_string_equal(child.errors, "");
    name = read_only_file();
    assert_int_equal(strncmp(name, "of-", 3), 0);
    assert_string_equal(name + 3 + strspn(name + 3, "0123456789"), ".json");
    parse("json", text.chars, text.length);
}

static void
a_link_that_waits_at_the_place_is_not_followed(void **state)
{
    char conf[256], own[64];

    (void)state;
    /* The child's number is not known beforehand: it makes the link itself. */
    snprintf(own, sizeof own, "%s/target", folder);
    setenv("XA_TEST_LINK", folder, 1);
    snprintf(conf, sizeof conf, "XALLOC_CONF=stats_print:true,stats_file:%s/link", folder);
    run_mode_with("link", conf);
    assert_non_null(strstr(child.errors, "option \"stats_file\": cannot make "));
    assert_non_null(strstr(child.errors, " at exit (xalloc "));
    assert_int_equal(access(own, F_OK), -1);
    assert_int_equal(strncmp(child.output, folder, strlen(folder)), 0);
    child.output[strcspn(child.output, "\n")] = '\0';
    assert_int_equal(unlink(child.output), 0);
}

static int
make_link(void)
{
    char from[128], to[128];

    snprintf(to, sizeof to, "%s/target", getenv("XA_TEST_LINK"));
    snprintf(from, sizeof from, "%s/link.%d", getenv("XA_TEST_LINK"), (int)getpid());
    XA_CHILD_CHECK(symlink(to, from) == 0);
    puts(from);
    return 0;
}

static int
allocate_ten_million(void)
{
    for (int i = 0; i < 10000; i++)
        XA_CHILD_CHECK(call_malloc(1000) != NULL);
    return 0;
}

static void
statistics_come_at_intervals_of_allocation(void **state)
{
    (void)state;
    need_python();
    run_mode_with("allocate", "XALLOC_CONF=stats_interval:1M,stats_interval_opts:Jagr");
    /* 1024 bytes each: 9.8 MiB, and what the program allocates besides. */
    if (count(child.errors, "\"jemalloc\": {") < 8 || count(child.errors, "\"jemalloc\": {") > 12)
        fail_msg("%u reports", count(child.errors, "\"jemalloc\": {"));
    parse("json", child.errors, strlen(child.errors));
    run_mode_with("allocate", "XALLOC_CONF=stats_interval:-1");
    assert_string_equal(child.errors, "");
}

static int
run_mode(const char *mode)
{
    if (strcmp(mode, "nothing") == 0)
        return do_nothing();
    if (strcmp(mode, "print") == 0)
        return print_to_error();
    if (strcmp(mode, "compare") == 0)
        return compare_with_kernel();
    if (strcmp(mode, "signals") == 0)
        return print_at_signals();
    if (strcmp(mode, "children") == 0)
        return print_in_children();
    if (strcmp(mode, "link") == 0)
        return make_link();
    if (strcmp(mode, "allocate") == 0)
        return allocate_ten_million();
    return 2;
}

static int
begin(void **state)
{
    return mkdtemp(folder) != NULL ? xa_child_check_allocator(state) : -1;
}

static int
end(void **state)
{
    (void)state;
    return rmdir(folder);
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_is_json),
        cmocka_unit_test(openmetrics_is_openmetrics),
        cmocka_unit_test(letters_leave_parts_out),
        cmocka_unit_test(the_callback_may_allocate_and_ask_again),
        cmocka_unit_test(without_a_callback_malloc_message_gets_it),
        cmocka_unit_test(without_that_standard_error_gets_it),
        cmocka_unit_test(the_places_are_what_the_kernel_says_within_2_percent),
        cmocka_unit_test(a_signal_handler_may_print_while_threads_allocate),
        cmocka_unit_test(a_forked_child_may_print),
        cmocka_unit_test(more_threads_than_can_print_at_a_time_wait_for_each_other),
        cmocka_unit_test(letters_of_the_option_hold_at_exit),
        cmocka_unit_test(a_file_is_made_for_each_process),
        cmocka_unit_test(a_link_that_waits_at_the_place_is_not_followed),
        cmocka_unit_test(statistics_come_at_intervals_of_allocation),
    };

    *(void **)&print = dlsym(RTLD_DEFAULT, "malloc_stats_print");
    if (print == NULL) {
        fputs("stats_print_test: no malloc_stats_print in this process\n", stderr);
        return 1;
    }
    if (argc == 2)
        return run_mode(argv[1]);
    xa_child_start_watchdog(240);
    return cmocka_run_group_tests(tests, begin, end);
}
