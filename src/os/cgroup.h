/*
 * cgroup.h - files of the control groups that the process is in.
 */
#ifndef XA_OS_CGROUP_H
#define XA_OS_CGROUP_H

#include <stdbool.h>
#include <stddef.h>

#include "base/annotate.h"

enum {
    XA_CGROUP_DIRECTORY_MAX = 544,
    XA_CGROUP_LIST_MAX = 4096, /* a container's list of version 1 has 13 lines of 130 bytes */
};

/* The hierarchies of groups that somebody asks for. */
enum xa_cgroup_hierarchy {
    XA_CGROUP_VERSION_2, /* where it is alone */
    XA_CGROUP_HYBRID,    /* version 2 where it stands beside version 1 */
    XA_CGROUP_MEMORY_1,  /* the memory controller's of version 1 */
};

/* What the host says of all hierarchies. */
struct xa_cgroup_list {
    char text[XA_CGROUP_LIST_MAX];
    size_t bytes; /* 0 if the host does not tell */
};

/* A group's directory, without a slash at the end; "" if there is none. */
struct xa_cgroup {
    char directory[XA_CGROUP_DIRECTORY_MAX];
    size_t mount_bytes; /* of the directory: where the hierarchy is mounted */
};

void xa_cgroup_read_list(struct xa_cgroup_list *list);

/*
 * The process's group in a hierarchy.  False if the list has none; that there is a
 * directory does not follow, since a container may see others than the list names.
 */
XA_MUST_USE bool xa_cgroup_find(
    struct xa_cgroup *group, const struct xa_cgroup_list *list, enum xa_cgroup_hierarchy hierarchy);

/* Go to the parent group.  False, and nothing has changed, where the hierarchy is mounted. */
XA_MUST_USE bool xa_cgroup_ascend(struct xa_cgroup *group);

/* Read a file of the group, by its name; as xa_os_read_file(). */
long xa_cgroup_read(const struct xa_cgroup *group, const char *name, char *buffer, size_t capacity);

#endif
