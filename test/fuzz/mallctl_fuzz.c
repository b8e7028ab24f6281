/*
 * mallctl_fuzz.c - any name, MIB and length, one call after another: for libFuzzer.
 *
 * The input is a program: each step is a byte that says what to do, and what it takes from the
 * bytes that follow.  Names are written out, or made from the list and then changed.  What a
 * program would promise is kept: a text that is written is a text, a pointer leads somewhere.
 *
 * A call must answer with one of its errors, write nothing beyond *old_bytes, and nothing at
 * all unless it succeeds or the length was wrong.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/fast_path.h"
#include "alloc/start.h"
#include "config/options.h"
#include "control/mallctl.h"

/* As a program's own settings: a thread that starts and ends with each step takes too long. */
extern const char *xalloc_conf;
const char *xalloc_conf = "narenas:3,background_thread:false";

enum {
    NAME_BYTES = 96,
    ROOM = 40,
    CANARY = 0xc5,
    MIB_MAX = 9,
    OBJECTS = 32,
    OBJECT_BYTES_MAX = 300000,
    STEPS_MAX = 64,
    ARENAS_MAX = 8,
    CACHES_MAX = 8,
    BATCH_MAX = 20,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

struct input {
    const uint8_t *next;
    size_t left;
};

static void *objects[OBJECTS];
static void *batch[BATCH_MAX];
static unsigned arenas_made, caches_made;

static uint8_t
take_byte(struct input *input)
{
    if (input->left == 0)
        return 0;
    input->left--;
    return *input->next++;
}

static size_t
take_number(struct input *input)
{
    uint64_t number = 0;
    unsigned length = take_byte(input) % 9;
    for (unsigned i = 0; i < length; i++)
        number = number << 8 | take_byte(input);
    return (size_t)number;
}

/* A name as it stands in the input, up to a zero. */
static void
take_name(struct input *input, char *name)
{
    size_t length = 0;
    for (char c; length < NAME_BYTES - 1 && (c = (char)take_byte(input)) != '\0';)
        name[length++] = c;
    name[length] = '\0';
}

/* The name of some row, with numbers for its indices. */
static void
spell(struct input *input, char *name)
{
    const char *from = xa_controls_name((unsigned)(take_number(input) % XA_CONTROLS));
    char *end = name + NAME_BYTES - 12;
    for (; *from != '\0' && name < end; from++) {
        if (*from != '<') {
            *name++ = *from;
            continue;
        }
        static const char *const numbers[] = {"0", "1", "2", "3", "4096", "4097", "71", "72", "123",
            "198", "256", "257", "4095", "18446744073709551615"};
        const char *number = numbers[take_byte(input) % (sizeof numbers / sizeof *numbers)];
        while (*number != '\0' && name < end)
            *name++ = *number++;
        from += 2;
    }
    *name = '\0';
}

static void
require(bool holds)
{
    if (!holds)
        abort();
}

static bool
is_known(int error)
{
    return error == 0 || error == ENOENT || error == EPERM || error == EINVAL || error == EAGAIN ||
        error == EFAULT;
}

/* What a call hands over. */
struct call {
    unsigned char room[ROOM];
    unsigned char given[ROOM];
    size_t old_bytes;
    size_t new_bytes;
    bool has_old;
    bool has_old_bytes;
    bool has_new;
};

static char text[] = "some text";
static char copied[64];

static bool
is_made_anew(unsigned row)
{
    bool is_arena =
        row == XA_CONTROL_arenas_create || row == XA_CONTROL_experimental_arenas_create_ext;
    return (is_arena && ++arenas_made > ARENAS_MAX) ||
        (row == XA_CONTROL_tcache_create && ++caches_made > CACHES_MAX);
}

/* Lengths, and bytes, or what the type has to be. */
static void
prepare(struct input *input, unsigned row, struct call *call)
{
    uint8_t how = take_byte(input);
    size_t bytes = row < XA_CONTROLS ? xa_controls_bytes(row) : 8;
    memset(call, 0, sizeof *call);
    memset(call->room, CANARY, sizeof call->room);
    call->has_old = (how & 1) != 0;
    call->has_old_bytes = (how & 2) != 0;
    call->has_new = (how & 4) != 0;
    call->old_bytes = (how & 8) != 0 ? take_byte(input) % (ROOM + 1) : bytes;
    call->new_bytes = (how & 16) != 0 ? take_byte(input) % (ROOM + 1) : call->has_new ? bytes : 0;
    size_t number = take_number(input);
    memcpy(call->given, &number, sizeof number);
    if (row == XA_CONTROL_arena_i_name) {
        char *buffer = copied;
        memcpy(call->room, &buffer, sizeof buffer);
    }
    if (row >= XA_CONTROLS)
        return;
    const void *pointer = number % 3 == 0 ? NULL : text;
    /* Hooks have to be hooks. */
    if (row == XA_CONTROL_arenas_create || row == XA_CONTROL_arena_i_extent_hooks ||
        row == XA_CONTROL_experimental_arenas_create_ext)
        pointer = NULL;
    if (row == XA_CONTROL_arenas_lookup)
        pointer = number % 2 == 0 ? objects[number / 2 % OBJECTS] : (const void *)number;
    if (xa_controls_rows[row].type == XA_CONTROL_TYPE_text ||
        xa_controls_rows[row].type == XA_CONTROL_TYPE_pointer ||
        xa_controls_rows[row].access == XA_CONTROL_ACCESS_c || row == XA_CONTROL_arenas_lookup)
        memcpy(call->given, &pointer, sizeof pointer);
    if (row == XA_CONTROL_experimental_batch_alloc) {
        struct xa_mallctl_batch given = {
            batch, number % BATCH_MAX, take_number(input), (int)take_number(input)};
        memcpy(call->given, &given, sizeof given);
        if ((how & 16) == 0)
            call->new_bytes = call->has_new ? sizeof given : 0;
    } else if (xa_controls_rows[row].access == XA_CONTROL_ACCESS_c ||
        xa_controls_rows[row].access == XA_CONTROL_ACCESS_x) {
        if ((how & 16) == 0)
            call->new_bytes = call->has_new ? sizeof pointer : 0;
    }
}

static void
check(unsigned row, const struct call *call, const struct call *before, int error)
{
    require(is_known(error));
    require(memcmp(call->given, before->given, ROOM) == 0);
    if (row == XA_CONTROL_arena_i_name) {
        require(memcmp(call->room, before->room, ROOM) == 0);
        return;
    }
    size_t written = error == 0 || error == EINVAL ? call->old_bytes : 0;
    if (!call->has_old || !call->has_old_bytes)
        written = 0;
    require(call->old_bytes <= before->old_bytes);
    require(memcmp(call->room + written, before->room + written, ROOM - written) == 0);
}

/* An arena's objects are gone with it: let none be known. */
static void
forget_objects(unsigned row)
{
    if (row != XA_CONTROL_arena_i_reset && row != XA_CONTROL_arena_i_destroy)
        return;
    for (unsigned i = 0; i < OBJECTS; i++) {
        xa_fast_free(objects[i]);
        objects[i] = NULL;
    }
}

static void
free_batch(unsigned row, const struct call *call, int error)
{
    size_t filled;
    if (row != XA_CONTROL_experimental_batch_alloc || error != 0)
        return;
    memcpy(&filled, call->room, sizeof filled);
    require(filled <= BATCH_MAX);
    for (size_t i = 0; i < filled; i++)
        xa_fast_free(batch[i]);
}

static void
run(struct input *input, const char *name, const size_t *mib, size_t length)
{
    struct xa_controls_place place;
    struct call call, before;
    bool is_found =
        name != NULL ? xa_controls_find(name, &place) : xa_controls_find_mib(mib, length, &place);
    unsigned row = is_found ? place.row : XA_CONTROLS;
    prepare(input, row, &call);
    if (is_made_anew(row))
        return;
    before = call;
    forget_objects(row);
    void *old = call.has_old ? call.room : NULL;
    size_t *old_bytes = call.has_old_bytes ? &call.old_bytes : NULL;
    const void *new = call.has_new ? call.given : NULL;
    int error = name != NULL ? xa_mallctl(name, old, old_bytes, new, call.new_bytes)
                             : xa_mallctl_by_mib(mib, length, old, old_bytes, new, call.new_bytes);
    check(row, &call, &before, error);
    free_batch(row, &call, error);
}

/* A name's MIB, with some of its numbers changed. */
static void
run_mib(struct input *input)
{
    size_t mib[MIB_MAX], length = take_byte(input) % (MIB_MAX + 1);
    size_t asked = length;
    char name[NAME_BYTES];
    memset(mib, CANARY, sizeof mib);
    spell(input, name);
    if (xa_mallctl_to_mib(name, mib, &length) != 0)
        require(length == asked);
    else
        require(length <= asked);
    uint8_t changes = take_byte(input) % 4;
    for (uint8_t i = 0; i < changes; i++) {
        uint8_t at = take_byte(input) % MIB_MAX;
        mib[at] = take_number(input);
    }
    if (take_byte(input) % 4 == 0)
        length = take_byte(input) % (MIB_MAX + 1);
    run(input, NULL, mib, length);
}

/* Something for the figures to show. */
static void
allocate(struct input *input)
{
    unsigned at = take_byte(input) % OBJECTS;
    xa_fast_free(objects[at]);
    objects[at] = xa_fast_malloc(take_number(input) % OBJECT_BYTES_MAX);
}

static void
step(struct input *input)
{
    char name[NAME_BYTES];
    switch (take_byte(input) % 6) {
    case 0:
        take_name(input, name);
        run(input, name, NULL, 0);
        break;
    case 1: run_mib(input); break;
    case 2: allocate(input); break;
    case 3:
        /* A name with one character changed. */
        spell(input, name);
        name[take_byte(input) % (strlen(name) + 1)] = (char)take_byte(input);
        run(input, name, NULL, 0);
        break;
    default:
        spell(input, name);
        run(input, name, NULL, 0);
        break;
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct input input = {data, bytes};
    (void)!xa_start_thread();
    for (int i = 0; i < STEPS_MAX && input.left > 0; i++)
        step(&input);
    return 0;
}
