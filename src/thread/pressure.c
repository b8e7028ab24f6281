/*
 * pressure.c - see pressure.h.
 *
 * Waiting times come from $MEMORY_PRESSURE_WATCH, as systemd documents it; without it
 * from the group's memory.pressure, else /proc/pressure/memory.  They are read, and no
 * trigger is written, so no file stays open and a service that watches for itself is
 * not disturbed ($MEMORY_PRESSURE_WRITE is for those who write one).
 *
 * How full a group is: its memory (all that is in it and in the groups below) without
 * its file pages, as a share of its own bound.  File pages the kernel takes back by itself,
 * and a group that has read many files is always near its bound.  The fullest counts of
 * the process's group and all above it up to where the hierarchy is mounted, since any of
 * them can fail or be made to wait.  Version 1 has one bound in each group, and in the
 * figures of each the lowest bound above it, which matters in a container that cannot see
 * those groups.  A group above counts nothing below it if its use_hierarchy is 0 (before
 * Linux 5.11): there the way up ends.
 *
 *   step   waited, some of 10 s      of the group's bound       decay time
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
    SHOWN_MAX = 256, /* characters of its name in a message, which has to end with what to do */
    LINE_BYTES = SHOWN_MAX + 256,
    NUMBER_BYTES = 32,
    STALL_BYTES = 256,
    STAT_BYTES = 4096, /* the figures for files are in its first half */
    LEVELS_MAX = 32,   /* groups that are looked at, on the way up */
    USED_MARGIN_PERMILLE = 50,
    STALL_MARGIN_FACTOR = 2,
    PERMYRIAD_MAX = 100 * 100,
};

struct threshold {
    uint32_t used_permille;
    uint32_t stall_permyriad;
};

/* No bound: "max" in version 2, and in version 1 the highest number of whole pages. */
#define NO_BOUND ((uint64_t)1 << 62)

/* The names of what is looked at, which differ between the versions. */
struct group_files {
    const char *bounds[2];
    const char *used;
    const char *stat_bound;    /* in memory.stat: the lowest bound of this group and all above */
    const char *stat_files[2]; /* in memory.stat: bytes of files, groups below included */
};

static const struct group_files version_2 = {
    {"memory.high", "memory.max"}, "memory.current", NULL, {"inactive_file ", "active_file "}};
static const struct group_files version_1 = {{"memory.limit_in_bytes", NULL},
    "memory.usage_in_bytes", "hierarchical_memory_limit ",
    {"total_inactive_file ", "total_active_file "}};

/* The lowest of the bounds above is in the figures of the group that was looked at first. */
static const struct group_files version_1_above = {{"memory.limit_in_bytes", NULL},
    "memory.usage_in_bytes", NULL, {"total_inactive_file ", "total_active_file "}};

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
    xa_text_put_quoted(&line, pressure.watch, xa_text_string_length(pressure.watch), SHOWN_MAX);
    xa_text_put_string(&line,
        " cannot be read as a pressure file, ignored. Name one such as /proc/pressure/memory.");
    xa_message_pointer(NULL, NULL, buffer);
}

/* The nearest of the group and those above that tells; what xa_os_read_file() returns. */
static long
read_groups_stall(const struct xa_cgroup_list *list, enum xa_cgroup_hierarchy hierarchy, char *text)
{
    struct xa_cgroup group;
    long bytes = -1;
    bool has_group = xa_cgroup_find(&group, list, hierarchy);
    for (unsigned level = 0; has_group && bytes <= 0 && level < LEVELS_MAX; level++) {
        bytes = xa_cgroup_read(&group, "memory.pressure", text, STALL_BYTES);
        has_group = xa_cgroup_ascend(&group);
    }
    return bytes;
}

static void
read_stall(const struct xa_cgroup_list *list, struct xa_pressure_readings *readings)
{
    char text[STALL_BYTES];
    long bytes = -1;
    bool is_named = pressure.watch[0] != '\0';
    if (is_named)
        bytes = xa_os_read_file(pressure.watch, text, sizeof text);
    else
        bytes = read_groups_stall(list, XA_CGROUP_VERSION_2, text);
    if (bytes <= 0 && !is_named)
        bytes = read_groups_stall(list, XA_CGROUP_HYBRID, text);
    if (bytes <= 0 && !is_named)
        bytes = xa_os_read_file("/proc/pressure/memory", text, sizeof text);
    readings->has_stall =
        bytes > 0 && xa_pressure_parse_stall(text, (size_t)bytes, &readings->stall_permyriad);
    if (is_named && !readings->has_stall)
        complain();
}

/* The number in a file of the group; NO_BOUND for "max" and the like.  False without the file. */
static bool
read_bytes(const struct xa_cgroup *group, const char *name, uint64_t *value)
{
    char text[NUMBER_BYTES];
    long bytes = xa_cgroup_read(group, name, text, sizeof text);
    const char *next = text;
    if (bytes <= 0)
        return false;
    if (!take_number(&next, text + bytes, value) || *value > NO_BOUND)
        *value = NO_BOUND;
    return true;
}

/* What memory.stat says behind a label, or `otherwise`. */
static uint64_t
find_bytes(const char *stat, const char *end, const char *label, uint64_t otherwise)
{
    uint64_t value;
    const char *next = label == NULL ? NULL : find_line(stat, end, label);
    return next != NULL && take_number(&next, end, &value) ? value : otherwise;
}

/* Rounded down a little, so that no bound divides by 0. */
static uint32_t
share_permille(uint64_t used, uint64_t bound)
{
    return used >= bound ? 1000 : (uint32_t)(used / (bound / 1000 + 1));
}

/* Take how full one group is into the readings, if it is the fullest so far. */
static void
read_share(const struct xa_cgroup *group, const struct group_files *files, uint64_t bound,
    struct xa_pressure_readings *readings)
{
    char stat[STAT_BYTES];
    uint64_t used, lower;
    if (!read_bytes(group, files->used, &used) || used == NO_BOUND)
        return;
    /* memory.stat costs the kernel a walk over all groups below: not for nothing. */
    if (files->stat_bound == NULL && readings->has_group &&
        share_permille(used, bound) <= readings->used_permille)
        return;
    long bytes = xa_cgroup_read(group, "memory.stat", stat, sizeof stat);
    const char *end = stat + (bytes > 0 ? bytes : 0);
    lower = find_bytes(stat, end, files->stat_bound, NO_BOUND);
    bound = lower < bound ? lower : bound;
    if (bound >= NO_BOUND)
        return;
    for (unsigned i = 0; i < 2; i++) {
        uint64_t cached = find_bytes(stat, end, files->stat_files[i], 0);
        used = used > cached ? used - cached : 0;
    }
    uint32_t permille = share_permille(used, bound);
    if (!readings->has_group || permille > readings->used_permille)
        readings->used_permille = permille;
    readings->has_group = true;
}

/*
 * Look at one group.  False if none of its files is there; if it has no bound, tells
 * garbage, or vanishes halfway, there is only no reading.
 */
static bool
read_group(const struct xa_cgroup *group, const struct group_files *files,
    struct xa_pressure_readings *readings)
{
    uint64_t bound = NO_BOUND, value;
    bool is_there = false;
    for (unsigned i = 0; i < 2 && files->bounds[i] != NULL; i++) {
        if (!read_bytes(group, files->bounds[i], &value))
            continue;
        is_there = true;
        bound = value < bound ? value : bound;
    }
    if (is_there && (bound < NO_BOUND || files->stat_bound != NULL))
        read_share(group, files, bound, readings);
    return is_there;
}

/* Look at the process's group and all above.  False if no file of any is there. */
static bool
read_groups(const struct xa_cgroup_list *list, enum xa_cgroup_hierarchy hierarchy,
    struct xa_pressure_readings *readings)
{
    const struct group_files *files = hierarchy == XA_CGROUP_MEMORY_1 ? &version_1 : &version_2;
    struct xa_cgroup group;
    bool has_any = false, has_group = xa_cgroup_find(&group, list, hierarchy);
    for (unsigned level = 0; has_group && level < LEVELS_MAX; level++) {
        uint64_t counts_below;
        if (level != 0 && files != &version_2 &&
            read_bytes(&group, "memory.use_hierarchy", &counts_below) && counts_below == 0)
            break;
        has_any |= read_group(&group, files, readings);
        if (has_any && files == &version_1)
            files = &version_1_above;
        has_group = xa_cgroup_ascend(&group);
    }
    return has_any;
}

unsigned
xa_pressure_look(uint64_t now_ms)
{
    struct xa_pressure_readings readings = {0};
    struct xa_cgroup_list list;
    if (xa_options.pressure == XA_PRESSURE_OFF || xa_options.strict_syscalls || pressure.is_off)
        return 0;
    if (pressure.has_looked && now_ms < pressure.next_ms)
        return pressure.step;
    pressure.has_looked = true;
    xa_cgroup_read_list(&list);
    if (!read_groups(&list, XA_CGROUP_MEMORY_1, &readings) &&
        !read_groups(&list, XA_CGROUP_VERSION_2, &readings))
        (void)read_groups(&list, XA_CGROUP_HYBRID, &readings);
    read_stall(&list, &readings);
    bool has_any = readings.has_group || readings.has_stall;
    pressure.next_ms = now_ms + (has_any ? LOOK_MS : LOOK_AGAIN_MS);
    pressure.step = has_any ? xa_pressure_next_step(pressure.step, &readings) : 0;
    return pressure.step;
}
