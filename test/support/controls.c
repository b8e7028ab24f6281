/*
 * controls.c - see controls.h.
 */
#include "control/controls.h"

#include "support/os_fake.h"

#include <stdio.h>
#include <string.h>

#include "control/mallctl.h"
#include "support/controls.h"

enum { NAME_BYTES = 128 };

static unsigned
row_of(const char *name)
{
    struct xa_controls_place place;
    return xa_controls_find(name, &place) ? place.row : XA_CONTROLS;
}

static int
read_bytes(const char *name, void *value)
{
    unsigned row = row_of(name);
    size_t bytes = row == XA_CONTROLS ? 0 : xa_controls_bytes(row), before = bytes;
    int error = xa_mallctl(name, value, &bytes, NULL, 0);
    if (error == 0)
        assert_int_equal(bytes, before);
    return error;
}

uint64_t
xa_controls_read(const char *name)
{
    unsigned char bytes[8] = {0};
    uint64_t value;
    uint32_t small;
    int error = read_bytes(name, bytes);
    unsigned row = row_of(name);
    if (error != 0)
        fail_msg("%s: error %d", name, error);
    switch (xa_controls_bytes(row)) {
    case 1: return bytes[0];
    case 4:
        memcpy(&small, bytes, sizeof small);
        return xa_controls_rows[row].type == XA_CONTROL_TYPE_ssize ? (uint64_t)(int32_t)small
                                                                   : small;
    default: memcpy(&value, bytes, sizeof value); return value;
    }
}

uint64_t
xa_controls_read_at(const char *pattern, unsigned first, unsigned second)
{
    char name[NAME_BYTES];
    size_t length = 0;
    unsigned numbers[] = {first, second}, used = 0;
    for (; *pattern != '\0'; pattern++) {
        if (pattern[0] == '%' && pattern[1] == 'u') {
            length += (size_t)snprintf(name + length, sizeof name - length, "%u", numbers[used++]);
            pattern++;
        } else {
            name[length++] = *pattern;
        }
    }
    name[length] = '\0';
    return xa_controls_read(name);
}

const char *
xa_controls_read_text(const char *name)
{
    return (const char *)(uintptr_t)xa_controls_read(name);
}

int
xa_controls_error(const char *name)
{
    unsigned char bytes[8];
    return read_bytes(name, bytes);
}

int
xa_controls_write(const char *name, uint64_t value)
{
    unsigned row = row_of(name);
    assert_true(row < XA_CONTROLS);
    size_t bytes = xa_controls_bytes(row);
    bool flag = value != 0;
    uint32_t small = (uint32_t)value;
    const void *from = bytes == 1 ? (const void *)&flag
        : bytes == 4              ? (const void *)&small
                                  : (const void *)&value;
    return xa_mallctl(name, NULL, NULL, from, bytes);
}

int
xa_controls_do(const char *name)
{
    return xa_mallctl(name, NULL, NULL, NULL, 0);
}

void
xa_controls_refresh(void)
{
    assert_int_equal(xa_controls_write("epoch", 1), 0);
}
