/*
 * pressure.c - see pressure.h.
 *
 * Waiting times come from $MEMORY_PRESSURE_WATCH, as systemd documents it; without it
 * from the group's memory.pressure, else /proc/pressure/memory.  They are read, and no
 * trigger is written, so no file stays open and a service that watches for itself is
 * not disturbed ($MEMORY_PRESSURE_WRITE is for those who write one).
 *
 * The group's memory counts without its file pages: those the kernel takes back by
 * itself, and a group that has read many files is always near its bound.
 *
 *   step   waited, some of 10 s      of memory.high or .max     decay time
 *    0     rises to 1 at 5 %          85 %                       as set
 *    1     to 2 at 20 %               92 %                       a quarter
 *    2     to 3 at 40 %               97 %                       a sixteenth
 *    3                                                           none
 *
 * A step is left downwards at half of its waiting time and 5 % less memory.
 *
 * Files may be missing, and may vanish with their group: then there is no reading, and
 * the next look is later.  Only a file that the user named is worth a line, once.
 *
 * Locking: none; after start-up everything is the purging thread's own.
 */
#include "thread/pressure.h"

#include "base/text.h"
#include "config/options.h"
#include "os/cgroup.h"
#include "os/message.h"
#include "os/os.h"

enum {
    LOOK_MS = 1000,
    LOOK_AGAIN_MS = 60 * 1000, /* where there was nothing to read */
    WATCH_BYTES = 512,
    LINE_BYTES = WATCH_BYTES + 256,
    NUMBER_BYTES = 32,
    STALL_BYTES = 256,
    STAT_BYTES = 4096, /* memory.stat has the figures for files at its beginning */
    USED_MARGIN_PERMILLE = 50,
    STALL_MARGIN_FACTOR = 2,
    PERMYRIAD_MAX = 100 * 100,
};

struct threshold {
    uint32_t used_permille;
    uint32_t stall_permyriad;
};

/* What raises to a step. */
static const struct threshold thresholds[XA_PRESSURE_STEPS] = {
    {0, 0}, {850, 500}, {920, 2000}, {970, 4000}};

static const uint32_t divisors[XA_PRESSURE_STEPS] = {1, 4, 16, 0};

static struct {
    char watch[WATCH_BYTES]; /* [c] "" if the user named none */
    bool is_off;             /* the user wants none of this */
    bool has_complained;
    bool has_looked;
    unsigned step;
    uint64_t next_ms;
} pressure;

/* True if the readings, with so much added, reach the step's thresholds. */
static bool
reaches(const struct xa_pressure_readings *readings, unsigned step, uint32_t margin_permille,
    uint32_t factor)
{
    const struct threshold *threshold = &thresholds[step];
    return (readings->has_group &&
               readings->used_permille + margin_permille >= threshold->used_permille) ||
        (readings->has_stall && readings->stall_permyriad * factor >= threshold->stall_permyriad);
}

unsigned
xa_pressure_next_step(unsigned step, const struct xa_pressure_readings *readings)
{
    for (unsigned higher = XA_PRESSURE_STEPS - 1; higher > step; higher--)
        if (reaches(readings, higher, 0, 1))
            return higher;
    bool stays = step == 0 || reaches(readings, step, USED_MARGIN_PERMILLE, STALL_MARGIN_FACTOR);
    return stays ? step : step - 1;
}

uint32_t
xa_pressure_divisor(unsigned step)
{
    return divisors[step < XA_PRESSURE_STEPS ? step : XA_PRESSURE_STEPS - 1];
}

/* The digits at *next, which moves behind them.  False if there are none, or too many. */
static bool
take_number(const char **next, const char *end, uint64_t *value)
{
    const char *start = *next;
    *value = 0;
    while (*next < end && **next >= '0' && **next <= '9' && *value < UINT64_MAX / 16)
        *value = *value * 10 + (uint64_t)(*(*next)++ - '0');
    return *next != start && !(*next < end && **next >= '0' && **next <= '9');
}

/* The place behind the first `label` at the beginning of a line, or NULL. */
static const char *
find_line(const char *text, const char *end, const char *label)
{
    size_t length = xa_text_string_length(label);
    while ((size_t)(end - text) >= length) {
        if (xa_text_equals(text, length, label))
            return text + length;
        while (text < end && *text != '\n')
            text++;
        text += text < end;
    }
    return NULL;
}

bool
xa_pressure_parse_stall(const char *text, size_t bytes, uint32_t *permyriad)
{
    const char *end = text + bytes, *next = find_line(text, end, "some avg10=");
    uint64_t whole, part;
    if (next == NULL || !take_number(&next, end, &whole) || next == end || *next++ != '.')
        return false;
    const char *digits = next;
    if (!take_number(&next, end, &part) || next - digits != 2 || whole > 100)
        return false;
    *permyriad = (uint32_t)(whole * 100 + part);
    return *permyriad <= PERMYRIAD_MAX && next < end && *next == ' ';
}

void
xa_pressure_set_watch(const char *path)
{
    struct xa_text text;
    pressure.is_off =
        path != NULL && xa_text_equals(path, xa_text_string_length(path), "/dev/null");
    xa_text_init(&text, pressure.watch, sizeof pressure.watch);
    if (path != NULL && !pressure.is_off)
        xa_text_put_string(&text, path);
}

static void
complain(void)
{
    char buffer[LINE_BYTES];
    struct xa_text line;
    if (pressure.has_complained)
        return;
    pressure.has_complained = true;
    xa_text_init(&line, buffer, sizeof buffer);
    xa_text_put_string(&line, "MEMORY_PRESSURE_WATCH: ");
    xa_text_put_quoted(
        &line, pressure.watch, xa_text_string_length(pressure.watch), sizeof pressure.watch);
    xa_text_put_string(&line,
        " cannot be read as a pressure file, ignored. Name one such as /proc/pressure/memory.");
    xa_message_pointer(NULL, NULL, buffer);
}

static void
read_stall(const struct xa_cgroup *group, struct xa_pressure_readings *readings)
{
    char text[STALL_BYTES];
    bool is_named = pressure.watch[0] != '\0';
    long bytes = is_named ? xa_os_read_file(pressure.watch, text, sizeof text)
                          : xa_cgroup_read(group, "memory.pressure", text, sizeof text);
    if (bytes <= 0 && !is_named)
        bytes = xa_os_read_file("/proc/pressure/memory", text, sizeof text);
    readings->has_stall =
        bytes > 0 && xa_pressure_parse_stall(text, (size_t)bytes, &readings->stall_permyriad);
    if (is_named && !readings->has_stall)
        complain();
}

/* The number in a file of the group; UINT64_MAX for "max", and for none. */
static uint64_t
read_bytes(const struct xa_cgroup *group, const char *name)
{
    char text[NUMBER_BYTES];
    uint64_t value;
    long bytes = xa_cgroup_read(group, name, text, sizeof text);
    const char *next = text;
    return bytes > 0 && take_number(&next, text + bytes, &value) ? value : UINT64_MAX;
}

/* Bytes of the group that hold files: the kernel takes them back by itself. */
static uint64_t
file_bytes(const struct xa_cgroup *group)
{
    static const char *const labels[] = {"inactive_file ", "active_file "};
    char text[STAT_BYTES];
    uint64_t sum = 0;
    long bytes = xa_cgroup_read(group, "memory.stat", text, sizeof text);
    for (unsigned i = 0; bytes > 0 && i < sizeof labels / sizeof *labels; i++) {
        uint64_t value;
        const char *next = find_line(text, text + bytes, labels[i]);
        if (next != NULL && take_number(&next, text + bytes, &value))
            sum += value;
    }
    return sum;
}

static void
read_group(const struct xa_cgroup *group, struct xa_pressure_readings *readings)
{
    uint64_t high = read_bytes(group, "memory.high"), max = read_bytes(group, "memory.max");
    uint64_t bound = high < max ? high : max;
    if (bound == UINT64_MAX)
        return;
    uint64_t used = read_bytes(group, "memory.current");
    if (used == UINT64_MAX)
        return;
    uint64_t files = file_bytes(group);
    used = used > files ? used - files : 0;
    readings->has_group = true;
    /* Rounded down a little, so that no bound divides by 0. */
    readings->used_permille = used >= bound ? 1000 : (uint32_t)(used / (bound / 1000 + 1));
}

unsigned
xa_pressure_look(uint64_t now_ms)
{
    struct xa_pressure_readings readings = {0};
    struct xa_cgroup group;
    if (xa_options.pressure == XA_PRESSURE_OFF || xa_options.strict_syscalls || pressure.is_off)
        return 0;
    if (pressure.has_looked && now_ms < pressure.next_ms)
        return pressure.step;
    pressure.has_looked = true;
    if (xa_cgroup_find(&group))
        read_group(&group, &readings);
    read_stall(&group, &readings);
    bool has_any = readings.has_group || readings.has_stall;
    pressure.next_ms = now_ms + (has_any ? LOOK_MS : LOOK_AGAIN_MS);
    pressure.step = has_any ? xa_pressure_next_step(pressure.step, &readings) : 0;
    return pressure.step;
}
