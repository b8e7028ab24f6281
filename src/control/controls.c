/*
 * controls.c - see controls.h.
 *
 * Names stand one behind another in a structure with a field for each, so that a row can
 * say by a small number where its name is.  Rows that begin with the same words stand
 * together.  Looking a name up therefore narrows a range of rows, word by word, and in
 * that range only the next word has to be compared: it begins at the same place in all.
 *
 * Locking: none; all is constant.
 */
#include "control/controls.h"

#include "arena/magazine.h"
#include "base/text.h"
#include "thread/thread_state.h"

struct names {
#define CONTROL(key, name, type, access, answer, from, source, value, help) char key[sizeof(name)];
#include "control/controls.def"
#undef CONTROL
};

static const struct names names = {
#define CONTROL(key, name, type, access, answer, from, source, value, help) name,
#include "control/controls.def"
#undef CONTROL
};

const struct xa_controls_row xa_controls_rows[XA_CONTROLS] = {
#define CONTROL(key, text, kind, how, what, whose, where, constant, help) \
    {                                                                     \
        .name = offsetof(struct names, key),                              \
        .type = XA_CONTROL_TYPE_##kind,                                   \
        .access = XA_CONTROL_ACCESS_##how,                                \
        .answer = XA_CONTROL_ANSWER_##what,                               \
        .from = XA_CONTROL_FROM_##whose,                                  \
        .source = XA_CONTROL_SOURCE_##where,                              \
        .value = (constant),                                              \
    },
#include "control/controls.def"
#undef CONTROL
};
_Static_assert(sizeof(struct names) < UINT16_MAX, "a row has 16 bits for the place of its name");

const char *
xa_controls_name(unsigned row)
{
    return (const char *)&names + xa_controls_rows[row].name;
}

size_t
xa_controls_bytes(unsigned row)
{
    switch (xa_controls_rows[row].type) {
    case XA_CONTROL_TYPE_flag: return sizeof(bool);
    case XA_CONTROL_TYPE_uint: return sizeof(unsigned);
    case XA_CONTROL_TYPE_u32: return sizeof(uint32_t);
    case XA_CONTROL_TYPE_u64: return sizeof(uint64_t);
    case XA_CONTROL_TYPE_i64: return sizeof(int64_t);
    case XA_CONTROL_TYPE_size: return sizeof(size_t);
    case XA_CONTROL_TYPE_ssize: return sizeof(ptrdiff_t);
    case XA_CONTROL_TYPE_text: return sizeof(const char *);
    case XA_CONTROL_TYPE_pointer: return sizeof(void *);
    default: return 0;
    }
}

static size_t
word_length(const char *word)
{
    size_t length = 0;
    while (word[length] != '\0' && word[length] != '.')
        length++;
    return length;
}

/* The word behind this one; NULL if it is the last. */
static const char *
next_word(const char *word)
{
    word += word_length(word);
    return *word == '.' ? word + 1 : NULL;
}

unsigned
xa_controls_words(unsigned row)
{
    unsigned words = 0;
    for (const char *word = xa_controls_name(row); word != NULL; word = next_word(word))
        words++;
    return words;
}

static bool
are_equal(const char *a, const char *b, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (a[i] != b[i])
            return false;
    return true;
}

static bool
is_index(const char *word)
{
    return word[0] == '<';
}

/* Digits only, up to a dot or the end. */
static bool
parse_index(const char *word, size_t length, size_t *index)
{
    size_t value = 0;
    if (length == 0)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (word[i] < '0' || word[i] > '9' || value > (SIZE_MAX - 9) / 10)
            return false;
        value = value * 10 + (size_t)(word[i] - '0');
    }
    *index = value;
    return true;
}

/* What the number behind a word counts: "arena.", "arenas.", "bin.", "lextents." and so on. */
static enum xa_controls_index
kind_behind(const char *word)
{
    size_t length = word_length(word);
    if (xa_text_equals(word, length, "arena") || xa_text_equals(word, length, "arenas"))
        return XA_CONTROL_INDEX_ARENA;
    if (xa_text_equals(word, length, "bin") || xa_text_equals(word, length, "bins"))
        return XA_CONTROL_INDEX_BIN;
    if (xa_text_equals(word, length, "lextent") || xa_text_equals(word, length, "lextents"))
        return XA_CONTROL_INDEX_LARGE;
    return XA_CONTROL_INDEX_PAGES;
}

/* One more word is known; `before` is the one in front of it. */
static void
note_word(struct xa_controls_place *place, const char *pattern, const char *before, size_t number)
{
    place->mib[place->words++] = number;
    if (!is_index(pattern))
        return;
    place->kinds[place->index_count] = (uint8_t)kind_behind(before);
    place->indices[place->index_count++] = number;
}

/* True if the row's name begins with these characters, and a word ends there. */
static bool
begins_with(unsigned row, const char *chars, size_t length)
{
    const char *name = xa_controls_name(row);
    /* There is no NUL among the characters: the comparison stops at the name's. */
    return are_equal(name, chars, length) && (name[length] == '.' || name[length] == '\0');
}

/* The first row from `row` on whose name begins with these characters and then has this word. */
static unsigned
find_row(unsigned row, size_t offset, const char *word, size_t length)
{
    const char *first = xa_controls_name(row);
    for (; row < XA_CONTROLS; row++) {
        const char *name = xa_controls_name(row);
        if (!are_equal(name, first, offset))
            break;
        const char *pattern = name + offset;
        if (is_index(pattern) ||
            (word_length(pattern) == length && are_equal(pattern, word, length)))
            return row;
    }
    return XA_CONTROLS;
}

bool
xa_controls_find(const char *name, struct xa_controls_place *place)
{
    *place = (struct xa_controls_place){0};
    size_t offset = 0, before = 0;
    for (const char *word = name; word != NULL; word = next_word(word)) {
        size_t length = word_length(word), number;
        /* The last word found was a row's last one, and there are more. */
        if (place->words == XA_CONTROLS_WORDS_MAX ||
            (place->words > 0 && xa_controls_name(place->row)[offset - 1] == '\0'))
            return false;
        place->row = find_row(place->row, offset, word, length);
        if (place->row == XA_CONTROLS)
            return false;
        const char *pattern = xa_controls_name(place->row);
        number = place->row;
        if (is_index(pattern + offset) && !parse_index(word, length, &number))
            return false;
        note_word(place, pattern + offset, pattern + before, number);
        before = offset;
        offset += word_length(pattern + offset) + 1;
    }
    return true;
}

bool
xa_controls_find_mib(const size_t *mib, size_t length, struct xa_controls_place *place)
{
    *place = (struct xa_controls_place){0};
    if (length == 0 || length > XA_CONTROLS_WORDS_MAX || mib[length - 1] >= XA_CONTROLS)
        return false;
    unsigned row = (unsigned)mib[length - 1];
    if (xa_controls_words(row) != length)
        return false;
    const char *name = xa_controls_name(row), *before = name;
    for (const char *word = name; word != NULL; word = next_word(word)) {
        size_t number = mib[place->words], end = (size_t)(word - name) + word_length(word);
        /* The first row that begins with the same words: it does, and the one before it does not. */
        if (!is_index(word) &&
            (number > row || !begins_with((unsigned)number, name, end) ||
                (number > 0 && begins_with((unsigned)number - 1, name, end))))
            return false;
        note_word(place, word, before, number);
        before = word;
    }
    place->row = row;
    return true;
}

bool
xa_controls_is_leaf(const struct xa_controls_place *place)
{
    return xa_controls_words(place->row) == place->words &&
        xa_controls_rows[place->row].answer != XA_CONTROL_ANSWER_absent;
}
