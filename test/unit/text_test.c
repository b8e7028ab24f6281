/*
 * text_test.c - writing and reading short texts.
 *
 * Each writer is checked by the exact characters, and with every buffer that is
 * too small: the text is then cut off, ends in NUL, and nothing behind the buffer
 * is touched.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

enum {
    BUFFER_BYTES = 128,
    GUARD = 0x5a,
};

static char buffer[BUFFER_BYTES];
static struct xa_text text;

static int
begin(void **state)
{
    (void)state;
    memset(buffer, GUARD, sizeof buffer);
    xa_text_init(&text, buffer, sizeof buffer);
    return 0;
}

/* The text so far is `expected`; then it is emptied. */
static void
expect(const char *expected)
{
    assert_string_equal(buffer, expected);
    assert_int_equal(xa_text_length(&text), strlen(expected));
    xa_text_clear(&text);
    assert_string_equal(buffer, "");
}

static void
strings_and_characters_follow_each_other(void **state)
{
    (void)state;
    xa_text_put_string(&text, "ab");
    xa_text_put_char(&text, ':');
    xa_text_put_chars(&text, "cdef", 2);
    xa_text_put_string(&text, "");
    xa_text_put_repeated(&text, '-', 3);
    xa_text_put_repeated(&text, '+', 0);
    expect("ab:cd---");
}

static void
unsigned_numbers_are_plain_digits(void **state)
{
    (void)state;
    xa_text_put_unsigned(&text, 0);
    expect("0");
    xa_text_put_unsigned(&text, 1234567890);
    expect("1234567890");
    xa_text_put_unsigned(&text, UINT64_MAX);
    expect("18446744073709551615");
}

static void
signed_numbers_reach_both_ends(void **state)
{
    (void)state;
    xa_text_put_signed(&text, 0);
    expect("0");
    xa_text_put_signed(&text, -7);
    expect("-7");
    xa_text_put_signed(&text, INT64_MAX);
    expect("9223372036854775807");
    xa_text_put_signed(&text, INT64_MIN);
    expect("-9223372036854775808");
}

static void
hexadecimal_numbers_and_pointers_have_a_prefix(void **state)
{
    (void)state;
    xa_text_put_hex(&text, 0);
    expect("0x0");
    xa_text_put_hex(&text, UINT64_C(0xdeadbeef012345));
    expect("0xdeadbeef012345");
    xa_text_put_hex(&text, UINT64_MAX);
    expect("0xffffffffffffffff");
    xa_text_put_pointer(&text, (const void *)(uintptr_t)0x7f12a400u);
    expect("0x7f12a400");
    xa_text_put_pointer(&text, NULL);
    expect("0x0");
}

static void
numbers_are_those_that_printf_writes(void **state)
{
    (void)state;
    char expected[64];
    uint64_t value = 1;
    for (int i = 0; i < 2000; i++) {
        value = value * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        uint64_t number = value >> (i % 64);
        snprintf(expected, sizeof expected, "%llu %lld 0x%llx", (unsigned long long)number,
            (long long)number, (unsigned long long)number);
        xa_text_put_unsigned(&text, number);
        xa_text_put_char(&text, ' ');
        xa_text_put_signed(&text, (int64_t)number);
        xa_text_put_char(&text, ' ');
        xa_text_put_hex(&text, number);
        expect(expected);
    }
}

static void
expect_size(uint64_t bytes, const char *expected)
{
    xa_text_put_size(&text, bytes);
    expect(expected);
}

static void
sizes_take_the_largest_fitting_unit(void **state)
{
    (void)state;
    expect_size(0, "0 B");
    expect_size(512, "512 B");
    expect_size(1023, "1023 B");
    expect_size(1024, "1.0 KiB");
    expect_size(1536, "1.5 KiB");
    expect_size(12897484, "12.3 MiB");
    expect_size(UINT64_C(5) << 30, "5.0 GiB");
    expect_size(UINT64_C(3) << 40, "3.0 TiB");
    expect_size(UINT64_C(7) << 50, "7.0 PiB");
    expect_size(UINT64_MAX, "16.0 EiB");
}

static void
sizes_never_round_up_to_a_thousand_and_twenty_four(void **state)
{
    (void)state;
    expect_size(1024 * 1024 - 52, "1023.9 KiB");
    expect_size(1024 * 1024 - 51, "1.0 MiB");
    expect_size(1024 * 1024 - 1, "1.0 MiB");
    for (uint64_t unit = 1024; unit != 0 && unit <= UINT64_C(1) << 60; unit <<= 10) {
        for (uint64_t below = 1; below < 200 && below < unit; below++) {
            xa_text_put_size(&text, unit - below);
            assert_null(strstr(buffer, "1024"));
            xa_text_clear(&text);
        }
    }
}

static void
percentages_show_tenths(void **state)
{
    (void)state;
    xa_text_put_percent(&text, 0);
    expect("0.0 %");
    xa_text_put_percent(&text, 123);
    expect("12.3 %");
    xa_text_put_percent(&text, 1000);
    expect("100.0 %");
}

static void
durations_take_the_largest_fitting_unit(void **state)
{
    (void)state;
    static const struct {
        uint64_t milliseconds;
        const char *expected;
    } cases[] = {
        {0, "0 ms"},
        {999, "999 ms"},
        {1000, "1.0 s"},
        {12345, "12.3 s"},
        {59949, "59.9 s"},
        {59950, "1.0 min"},
        {270000, "4.5 min"},
        {11520000, "3.2 h"},
        {86400000, "1.0 d"},
        {1036800000, "12.0 d"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        xa_text_put_duration(&text, cases[i].milliseconds);
        expect(cases[i].expected);
    }
}

static void
quoted_text_is_one_printable_line(void **state)
{
    (void)state;
    xa_text_put_quoted(&text, "plain", 5, 10);
    expect("\"plain\"");
    xa_text_put_quoted(&text, "", 0, 10);
    expect("\"\"");
    xa_text_put_quoted(&text, "0123456789", 10, 10);
    expect("\"0123456789\"");
    xa_text_put_quoted(&text, "0123456789a", 11, 10);
    expect("\"0123456789...\"");
    xa_text_put_quoted(&text, "a\x1b[31m\n\t\x7f\xff z", 12, 20);
    expect("\"a?[31m???? z\"");
}

static void
padding_fills_the_column_on_the_other_side(void **state)
{
    (void)state;
    xa_text_put_padded(&text, "name", 8, XA_TEXT_LEFT);
    xa_text_put_char(&text, '|');
    xa_text_put_padded(&text, "17", 5, XA_TEXT_RIGHT);
    xa_text_put_char(&text, '|');
    expect("name    |   17|");
}

static void
padding_leaves_wide_texts_alone(void **state)
{
    (void)state;
    xa_text_put_padded(&text, "exactly", 7, XA_TEXT_RIGHT);
    xa_text_put_padded(&text, "wider", 3, XA_TEXT_RIGHT);
    xa_text_put_padded(&text, "", 0, XA_TEXT_LEFT);
    expect("exactlywider");
}

static void
padding_applies_to_whatever_was_written_since(void **state)
{
    (void)state;
    xa_text_put_string(&text, "size ");
    size_t column = xa_text_length(&text);
    xa_text_put_size(&text, 2048);
    xa_text_pad(&text, column, 12, XA_TEXT_RIGHT);
    expect("size      2.0 KiB");
}

/* One of everything that writes. */
static void
put_all(struct xa_text *target)
{
    xa_text_put_string(target, "text ");
    xa_text_put_signed(target, -12345);
    xa_text_put_char(target, ' ');
    xa_text_put_pointer(target, buffer);
    xa_text_put_padded(target, "right", 9, XA_TEXT_RIGHT);
    xa_text_put_padded(target, "left", 9, XA_TEXT_LEFT);
    xa_text_put_size(target, 123456);
    xa_text_put_percent(target, 7);
    xa_text_put_duration(target, 7);
    xa_text_put_quoted(target, "quoted", 6, 3);
    xa_text_put_repeated(target, '=', 5);
}

static void
text_that_does_not_fit_is_cut_off(void **state)
{
    (void)state;
    put_all(&text);
    size_t whole = xa_text_length(&text);
    assert_false(xa_text_is_full(&text));
    for (size_t bytes = 1; bytes <= whole + 2; bytes++) {
        char small[BUFFER_BYTES];
        struct xa_text cut;
        memset(small, GUARD, sizeof small);
        xa_text_init(&cut, small, bytes);
        put_all(&cut);
        assert_int_equal(strlen(small), bytes <= whole ? bytes - 1 : whole);
        assert_int_equal(xa_text_is_full(&cut), bytes <= whole + 1);
        for (size_t i = bytes; i < sizeof small; i++)
            assert_int_equal(small[i], GUARD);
    }
}

static void
text_before_a_cut_column_stays(void **state)
{
    (void)state;
    char small[9];
    struct xa_text cut;
    xa_text_init(&cut, small, sizeof small);
    xa_text_put_string(&cut, "abc");
    xa_text_put_padded(&cut, "12", 10, XA_TEXT_RIGHT);
    assert_string_equal(small, "abc   12");
}

static void
equality_is_exact(void **state)
{
    (void)state;
    assert_true(xa_text_equals("true,", 4, "true"));
    assert_true(xa_text_equals("", 0, ""));
    assert_false(xa_text_equals("true", 3, "true"));
    assert_false(xa_text_equals("true", 4, "tru"));
    assert_false(xa_text_equals("True", 4, "true"));
    assert_false(xa_text_equals("ab\0", 3, "ab"));
    assert_int_equal(xa_text_string_length(""), 0);
    assert_int_equal(xa_text_string_length("four"), 4);
}

static void
spaces_are_blanks_and_line_ends(void **state)
{
    (void)state;
    for (int character = CHAR_MIN; character <= CHAR_MAX; character++) {
        bool expected = character != 0 && memchr(" \t\n\v\f\r", character, 6) != NULL;
        assert_int_equal(xa_text_is_space((char)character), expected);
    }
}

typedef bool parser(const char *chars, size_t length, int64_t *value);

static void
expect_number(parser *parse, const char *chars, int64_t expected)
{
    int64_t value = 4711;
    if (!parse(chars, strlen(chars), &value))
        fail_msg("\"%s\" was refused", chars);
    assert_int_equal(value, expected);
}

static void
expect_refusal(parser *parse, const char *chars)
{
    int64_t value = 4711;
    if (parse(chars, strlen(chars), &value))
        fail_msg("\"%s\" was taken for %lld", chars, (long long)value);
    assert_int_equal(value, 4711);
}

static void
signed_numbers_are_read_whole_or_not_at_all(void **state)
{
    (void)state;
    expect_number(xa_text_parse_signed, "0", 0);
    expect_number(xa_text_parse_signed, "-1", -1);
    expect_number(xa_text_parse_signed, "007", 7);
    expect_number(xa_text_parse_signed, "9223372036854775807", INT64_MAX);
    expect_number(xa_text_parse_signed, "-9223372036854775808", INT64_MIN);
    static const char *const refused[] = {"", "-", "--1", "+1", " 1", "1 ", "1x", "x1", "1-",
        "0x10", "1.5", "9223372036854775808", "-9223372036854775809", "99999999999999999999999"};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        expect_refusal(xa_text_parse_signed, refused[i]);
}

static void
numbers_end_where_their_length_says(void **state)
{
    (void)state;
    int64_t value = 0;
    assert_true(xa_text_parse_signed("12345", 3, &value));
    assert_int_equal(value, 123);
    assert_false(xa_text_parse_signed("12345", 0, &value));
}

static void
bytes_take_binary_suffixes(void **state)
{
    (void)state;
    expect_number(xa_text_parse_bytes, "512", 512);
    expect_number(xa_text_parse_bytes, "64K", 65536);
    expect_number(xa_text_parse_bytes, "64k", 65536);
    expect_number(xa_text_parse_bytes, "64Ki", 65536);
    expect_number(xa_text_parse_bytes, "64KiB", 65536);
    expect_number(xa_text_parse_bytes, "3M", 3 << 20);
    expect_number(xa_text_parse_bytes, "2GiB", INT64_C(2) << 30);
    expect_number(xa_text_parse_bytes, "1t", INT64_C(1) << 40);
    expect_number(xa_text_parse_bytes, "8388607T", INT64_C(8388607) << 40);
    expect_number(xa_text_parse_bytes, "-1", -1);
    static const char *const refused[] = {
        "", "K", "-K", "1KB", "1Kib", "1KiBs", "1 K", "1P", "1i", "1B", "8388608T", "1.5K", "K1"};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        expect_refusal(xa_text_parse_bytes, refused[i]);
}

static void
durations_take_units_of_time(void **state)
{
    (void)state;
    expect_number(xa_text_parse_duration, "0", 0);
    expect_number(xa_text_parse_duration, "-1", -1);
    expect_number(xa_text_parse_duration, "250ms", 250);
    expect_number(xa_text_parse_duration, "10s", 10000);
    expect_number(xa_text_parse_duration, "2m", 120000);
    expect_number(xa_text_parse_duration, "2min", 120000);
    expect_number(xa_text_parse_duration, "3h", 10800000);
    static const char *const refused[] = {
        "", "s", "1d", "1S", "1sec", "1 s", "1mss", "9223372036854775807s"};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        expect_refusal(xa_text_parse_duration, refused[i]);
}

static void
flags_are_true_or_false_and_nothing_else(void **state)
{
    (void)state;
    bool flag = false;
    assert_true(xa_text_parse_flag("true", 4, &flag));
    assert_true(flag);
    assert_true(xa_text_parse_flag("false", 5, &flag));
    assert_false(flag);
    static const char *const refused[] = {
        "", "1", "0", "yes", "True", "TRUE", "tru", "truee", " true", "t"};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        assert_false(xa_text_parse_flag(refused[i], strlen(refused[i]), &flag));
    assert_false(flag);
}

static size_t
distance(const char *a, const char *b)
{
    size_t there = xa_text_distance(a, strlen(a), b, strlen(b));
    assert_int_equal(xa_text_distance(b, strlen(b), a, strlen(a)), there);
    return there;
}

static void
distance_counts_single_character_edits(void **state)
{
    (void)state;
    assert_int_equal(distance("", ""), 0);
    assert_int_equal(distance("", "abc"), 3);
    assert_int_equal(distance("same", "same"), 0);
    assert_int_equal(distance("kitten", "sitting"), 3);
    assert_int_equal(distance("flaw", "lawn"), 2);
    assert_int_equal(distance("dirty_decay", "dirty_decay_ms"), 3);
    assert_int_equal(distance("abc", "xyz"), 3);
}

static void
distance_of_overlong_words_is_unbounded(void **state)
{
    (void)state;
    char word[XA_TEXT_DISTANCE_MAX + 1];
    memset(word, 'a', sizeof word);
    assert_int_equal(xa_text_distance(word, sizeof word - 1, "", 0), XA_TEXT_DISTANCE_MAX);
    assert_int_equal(xa_text_distance(word, sizeof word - 1, word, sizeof word - 1), 0);
    assert_true(xa_text_distance(word, sizeof word, "a", 1) == SIZE_MAX);
    assert_true(xa_text_distance("a", 1, word, sizeof word) == SIZE_MAX);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(strings_and_characters_follow_each_other, begin),
        cmocka_unit_test_setup(unsigned_numbers_are_plain_digits, begin),
        cmocka_unit_test_setup(signed_numbers_reach_both_ends, begin),
        cmocka_unit_test_setup(hexadecimal_numbers_and_pointers_have_a_prefix, begin),
        cmocka_unit_test_setup(numbers_are_those_that_printf_writes, begin),
        cmocka_unit_test_setup(sizes_take_the_largest_fitting_unit, begin),
        cmocka_unit_test_setup(sizes_never_round_up_to_a_thousand_and_twenty_four, begin),
        cmocka_unit_test_setup(percentages_show_tenths, begin),
        cmocka_unit_test_setup(durations_take_the_largest_fitting_unit, begin),
        cmocka_unit_test_setup(quoted_text_is_one_printable_line, begin),
        cmocka_unit_test_setup(padding_fills_the_column_on_the_other_side, begin),
        cmocka_unit_test_setup(padding_leaves_wide_texts_alone, begin),
        cmocka_unit_test_setup(padding_applies_to_whatever_was_written_since, begin),
        cmocka_unit_test_setup(text_that_does_not_fit_is_cut_off, begin),
        cmocka_unit_test_setup(text_before_a_cut_column_stays, begin),
        cmocka_unit_test(equality_is_exact),
        cmocka_unit_test(spaces_are_blanks_and_line_ends),
        cmocka_unit_test(signed_numbers_are_read_whole_or_not_at_all),
        cmocka_unit_test(numbers_end_where_their_length_says),
        cmocka_unit_test(bytes_take_binary_suffixes),
        cmocka_unit_test(durations_take_units_of_time),
        cmocka_unit_test(flags_are_true_or_false_and_nothing_else),
        cmocka_unit_test(distance_counts_single_character_edits),
        cmocka_unit_test(distance_of_overlong_words_is_unbounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
