/*
 * cpu_count.c - the cgroup's share of the machine; see cpu_count.h.
 *
 * Under cgroup v2 the process's group is in /proc/self/cgroup as "0::/path"; its
 * limit is /sys/fs/cgroup/path/cpu.max.  Inside a cgroup namespace the path is
 * "/" and the container's own limit stands in /sys/fs/cgroup/cpu.max.  Under v1
 * a container sees its quota in /sys/fs/cgroup/cpu.  Missing files mean no limit.
 * Source: Linux Documentation/admin-guide/cgroup-v2.rst, scheduler/sched-bwc.rst.
 */
#include "os/cpu_count.h"

#include "os/os.h"

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The number at *next, which moves behind it; 0 if there is none. */
static uint64_t
take_number(const char **next, const char *end)
{
    uint64_t value = 0;
    while (*next < end && is_digit(**next) && value < UINT64_MAX / 16)
        value = value * 10 + (uint64_t)(*(*next)++ - '0');
    return value;
}

static unsigned
processors(uint64_t quota, uint64_t period)
{
    if (quota == 0 || period == 0)
        return 0;
    uint64_t count = quota / period + (quota % period != 0);
    return count < 65536 ? (unsigned)count : 0;
}

unsigned
xa_cpu_count_from_quota(const char *text, unsigned long bytes)
{
    const char *next = text, *end = text + bytes;
    uint64_t quota = take_number(&next, end);
    if (next == text || next == end || *next != ' ')
        return 0;
    next++;
    return processors(quota, take_number(&next, end));
}

static unsigned
quota_at(const char *path)
{
    char text[64];
    long bytes = xa_os_read_file(path, text, sizeof text);
    return bytes > 0 ? xa_cpu_count_from_quota(text, (unsigned long)bytes) : 0;
}

/* cgroup v1 keeps quota and period in two files. */
static unsigned
quota_of_version_1(void)
{
    char text[32];
    long bytes = xa_os_read_file("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", text, sizeof text);
    if (bytes <= 0)
        return 0;
    const char *next = text;
    uint64_t quota = take_number(&next, text + bytes);
    bytes = xa_os_read_file("/sys/fs/cgroup/cpu/cpu.cfs_period_us", text, sizeof text);
    next = text;
    return bytes <= 0 ? 0 : processors(quota, take_number(&next, text + bytes));
}

/* The path behind "0::" in /proc/self/cgroup, NUL-terminated in `text`; NULL if none. */
static char *
group_path(char *text, size_t capacity)
{
    long bytes = xa_os_read_file("/proc/self/cgroup", text, capacity - 1);
    if (bytes <= 0)
        return NULL;
    text[bytes] = '\0';
    char *line = text;
    while (*line != '\0' && !(line[0] == '0' && line[1] == ':' && line[2] == ':')) {
        while (*line != '\0' && *line != '\n')
            line++;
        line += *line == '\n';
    }
    if (*line == '\0')
        return NULL;
    char *end = line += 3;
    while (*end != '\0' && *end != '\n')
        end++;
    *end = '\0';
    return line;
}

static unsigned
quota_of_version_2(void)
{
    static const char root[] = "/sys/fs/cgroup", file[] = "/cpu.max";
    char text[512], path[sizeof root + sizeof text + sizeof file];
    const char *group = group_path(text, sizeof text);
    if (group == NULL)
        return 0;
    size_t length = 0;
    for (const char *c = root; *c != '\0'; c++)
        path[length++] = *c;
    if (group[0] == '/' && group[1] != '\0')
        for (const char *c = group; *c != '\0'; c++)
            path[length++] = *c;
    for (const char *c = file; *c != '\0'; c++)
        path[length++] = *c;
    path[length] = '\0';
    return quota_at(path);
}

unsigned
xa_cpu_count_usable(unsigned enough)
{
    unsigned count = xa_os_affinity_count();
    if (count <= enough)
        return count;
    unsigned quota = quota_of_version_2();
    if (quota == 0)
        quota = quota_of_version_1();
    return quota != 0 && quota < count ? quota : count;
}
