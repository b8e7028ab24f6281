/*
 * cgroup.c - see cgroup.h.
 *
 * /proc/self/cgroup has a line for each hierarchy, "number:controllers:/path".  That of
 * version 2 is "0::/path".  A controller is in one hierarchy only: where the line of one
 * of version 1 names "memory", version 2 does not know of memory.  Directories are
 *
 *   /sys/fs/cgroup/path           version 2
 *   /sys/fs/cgroup/unified/path   version 2 beside version 1
 *   /sys/fs/cgroup/memory/path    version 1
 *
 * which is where systemd and the container runtimes mount them; the table of mounts,
 * which may be as long as it likes, is not read.
 *
 * Inside a cgroup namespace the path is "/", or begins with "/.." if the process is in a
 * group outside of it.  A container without one has the host's path in its list, but its
 * own files where the hierarchy is mounted.  So directories on the way up may be missing,
 * and the last of them may be the process's own.  A group that was removed has
 * " (deleted)" behind its path, which leads nowhere, but to its parents.
 * Source: Linux Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/memory.rst.
 */
#include "os/cgroup.h"

#include "base/text.h"
#include "os/os.h"

enum { NAME_BYTES_MAX = 32 };

static const char mounts[][24] = {
    [XA_CGROUP_VERSION_2] = "/sys/fs/cgroup",
    [XA_CGROUP_HYBRID] = "/sys/fs/cgroup/unified",
    [XA_CGROUP_MEMORY_1] = "/sys/fs/cgroup/memory",
};

/* A piece of the list. */
struct piece {
    const char *chars;
    size_t length;
};

/* What is at *next up to `delimiter` or the end; *next moves behind both. */
static struct piece
take_piece(const char **next, const char *end, char delimiter)
{
    struct piece piece = {*next, 0};
    while (*next < end && **next != delimiter)
        (*next)++;
    piece.length = (size_t)(*next - piece.chars);
    *next += *next < end;
    return piece;
}

/* True if "a,b,c" has the controller. */
static bool
has_controller(struct piece controllers, const char *name)
{
    const char *next = controllers.chars, *end = next + controllers.length;
    while (next < end) {
        struct piece controller = take_piece(&next, end, ',');
        if (xa_text_equals(controller.chars, controller.length, name))
            return true;
    }
    return false;
}

/* The path of the process's group in the hierarchy.  False if there is no such line. */
static bool
find_path(const struct xa_cgroup_list *list, enum xa_cgroup_hierarchy hierarchy, struct piece *path)
{
    const char *next = list->text, *end = next + list->bytes;
    while (next < end) {
        struct piece line = take_piece(&next, end, '\n');
        const char *rest = line.chars, *line_end = rest + line.length;
        struct piece number = take_piece(&rest, line_end, ':');
        struct piece controllers = take_piece(&rest, line_end, ':');
        if (rest == line_end)
            continue; /* cut off, or no such line */
        bool is_wanted = hierarchy == XA_CGROUP_MEMORY_1
            ? has_controller(controllers, "memory")
            : controllers.length == 0 && xa_text_equals(number.chars, number.length, "0");
        if (is_wanted) {
            *path = (struct piece){rest, (size_t)(line_end - rest)};
            return true;
        }
    }
    return false;
}

void
xa_cgroup_read_list(struct xa_cgroup_list *list)
{
    long bytes = xa_os_read_file("/proc/self/cgroup", list->text, sizeof list->text);
    list->bytes = bytes > 0 ? (size_t)bytes : 0;
}

/* Drop the directory's last part. */
static void
cut(struct xa_cgroup *group)
{
    size_t length = xa_text_string_length(group->directory);
    while (length > group->mount_bytes && group->directory[--length] != '/')
        continue;
    group->directory[length] = '\0';
}

bool
xa_cgroup_find(
    struct xa_cgroup *group, const struct xa_cgroup_list *list, enum xa_cgroup_hierarchy hierarchy)
{
    struct xa_text directory;
    struct piece path;
    group->directory[0] = '\0';
    group->mount_bytes = 0;
    if (!find_path(list, hierarchy, &path))
        return false;
    xa_text_init(&directory, group->directory, sizeof group->directory);
    xa_text_put_string(&directory, mounts[hierarchy]);
    group->mount_bytes = xa_text_length(&directory);
    bool is_outside = path.length >= 3 && xa_text_equals(path.chars, 3, "/..") &&
        (path.length == 3 || path.chars[3] == '/');
    if (path.length > 1 && path.chars[0] == '/' && !is_outside)
        xa_text_put_chars(&directory, path.chars, path.length);
    /* A part that is cut off could be another group's name. */
    if (xa_text_is_full(&directory) || path.chars + path.length == list->text + sizeof list->text)
        cut(group);
    return true;
}

bool
xa_cgroup_ascend(struct xa_cgroup *group)
{
    if (group->directory[group->mount_bytes] == '\0')
        return false;
    cut(group);
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
