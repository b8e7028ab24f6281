/*
 * cgroup.h - files of the control group (version 2) that the process is in.
 */
#ifndef XA_OS_CGROUP_H
#define XA_OS_CGROUP_H

#include <stdbool.h>
#include <stddef.h>

#include "base/annotate.h"

enum { XA_CGROUP_DIRECTORY_MAX = 544 };

/* The group's directory, without a slash at the end; "" if there is none. */
struct xa_cgroup {
    char directory[XA_CGROUP_DIRECTORY_MAX];
};

/* Look up the process's group.  False if the host has no version 2, or does not tell. */
XA_MUST_USE bool xa_cgroup_find(struct xa_cgroup *group);

/* Read a file of the group, by its name; as xa_os_read_file(). */
long xa_cgroup_read(const struct xa_cgroup *group, const char *name, char *buffer, size_t capacity);

#endif
