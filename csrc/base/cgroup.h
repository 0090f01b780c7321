/* cgroup.h: the control groups that Linux has put this process into. */
#ifndef GC_BASE_CGROUP_H
#define GC_BASE_CGROUP_H

#include <stdint.h>

#define GC_NO_LIMIT UINT64_MAX

/* What a group's files, in `folder`, allow; GC_NO_LIMIT if they state no limit. */
typedef uint64_t gc_cgroup_reader(const char *folder);

/* The minimum that `read` finds for the process's groups and those above them, in version 2 and in
 * version 1's groups of `controller`. `root` is a prefix of all paths that are read: "", except in
 * tests. */
uint64_t gc_cgroup_minimum(const char *root, const char *controller, gc_cgroup_reader *read);

/* Up to two numbers from the start of the file folder/name; how many were read. */
int gc_cgroup_numbers(const char *folder, const char *name, int64_t numbers[2]);

#endif
