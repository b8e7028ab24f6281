/*
 * cgroup.c - see cgroup.h.
 *
 * The process's group is in /proc/self/cgroup as "0::/path"; its files are in
 * /sys/fs/cgroup/path.  Inside a cgroup namespace the path is "/", and the container's
 * own files stand in /sys/fs/cgroup.
 * Source: Linux Documentation/admin-guide/cgroup-v2.rst.
 */
#include "os/cgroup.h"

#include "base/text.h"
#include "os/os.h"

enum {
    LIST_BYTES = 512, /* a path that is cut off names no group, and is harmless */
    NAME_BYTES_MAX = 32,
};

/* The path behind "0::" in /proc/self/cgroup, NUL-terminated in `text`; NULL if none. */
static const char *
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

bool
xa_cgroup_find(struct xa_cgroup *group)
{
    char list[LIST_BYTES];
    struct xa_text directory;
    group->directory[0] = '\0';
    const char *path = group_path(list, sizeof list);
    if (path == NULL)
        return false;
    xa_text_init(&directory, group->directory, sizeof group->directory);
    xa_text_put_string(&directory, "/sys/fs/cgroup");
    if (path[0] == '/' && path[1] != '\0')
        xa_text_put_string(&directory, path);
    return true;
}

long
xa_cgroup_read(const struct xa_cgroup *group, const char *name, char *buffer, size_t capacity)
{
    char path[XA_CGROUP_DIRECTORY_MAX + NAME_BYTES_MAX];
    struct xa_text text;
    if (group->directory[0] == '\0')
        return -1;
    xa_text_init(&text, path, sizeof path);
    xa_text_put_string(&text, group->directory);
    xa_text_put_char(&text, '/');
    xa_text_put_string(&text, name);
    return xa_os_read_file(path, buffer, capacity);
}
