/*
 * cpu_count.c - the cgroup's share of the machine; see cpu_count.h.
 *
 * Under cgroup v2 the limit is the file cpu.max of the process's group.  Under v1
 * a container sees its quota in /sys/fs/cgroup/cpu.  Missing files mean no limit.
 * Source: Linux Documentation/admin-guide/cgroup-v2.rst, scheduler/sched-bwc.rst.
 */
#include "os/cpu_count.h"

#include "os/cgroup.h"
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

static unsigned
quota_of_version_2(void)
{
    struct xa_cgroup_list list;
    struct xa_cgroup group;
    char text[64];
    xa_cgroup_read_list(&list);
    if (!xa_cgroup_find(&group, &list, XA_CGROUP_VERSION_2))
        return 0;
    long bytes = xa_cgroup_read(&group, "cpu.max", text, sizeof text);
    return bytes > 0 ? xa_cpu_count_from_quota(text, (unsigned long)bytes) : 0;
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
