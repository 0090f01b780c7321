/* cgroup.c: the minimum of any limit over the control groups of this process. */
#include "base/cgroup.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { PATH_SIZE = 4096 };

int gc_cgroup_numbers(const char *folder, const char *name, int64_t numbers[2])
{
    char path[3 * PATH_SIZE];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return 0;
    const int count = fscanf(file, "%" SCNd64 " %" SCNd64, &numbers[0], &numbers[1]);
    fclose(file);
    return count > 0 ? count : 0; /* "max": none */
}

/* The minimum of a group and those above it. In a container the path may be the host's, which
 * does not exist; the group that is mounted at the top is then the container's own. */
static uint64_t minimum_of_branch(const char *root, const char *mount, char *group,
                                  gc_cgroup_reader *read)
{
    char folder[2 * PATH_SIZE];
    uint64_t minimum = GC_NO_LIMIT;
    for (;;) {
        snprintf(folder, sizeof folder, "%s%s%s", root, mount, group);
        const uint64_t limit = read(folder);
        minimum = limit < minimum ? limit : minimum;
        char *parent = strrchr(group, '/');
        if (parent == NULL)
            return minimum;
        *parent = '\0';
    }
}

/* Whether `name` is among names with commas between them. */
static int is_among(const char *name, const char *names)
{
    for (;;) {
        const size_t length = strcspn(names, ",");
        if (length == strlen(name) && strncmp(names, name, length) == 0)
            return 1;
        if (names[length] == '\0')
            return 0;
        names += length + 1;
    }
}

uint64_t gc_cgroup_minimum(const char *root, const char *controller, gc_cgroup_reader *read)
{
    char line[PATH_SIZE], path[PATH_SIZE], mount[64] = "/sys/fs/cgroup";
    const size_t top = strlen(mount);
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *file = fopen(path, "r");
    uint64_t minimum = GC_NO_LIMIT;
    /* A line is number:controllers:path; version 2 has one, 0::path. */
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        char *names = strchr(line, ':');
        char *group = names == NULL ? NULL : strchr(names + 1, ':');
        if (group == NULL)
            continue;
        *group++ = '\0';
        const int is_version_2 = names[1] == '\0';
        if (!is_version_2 && !is_among(controller, names + 1))
            continue;
        snprintf(mount + top, sizeof mount - top, "%s%s", is_version_2 ? "" : "/",
                 is_version_2 ? "" : controller);
        const uint64_t limit = minimum_of_branch(root, mount, group, read);
        minimum = limit < minimum ? limit : minimum;
    }
    if (file != NULL)
        fclose(file);
    return minimum;
}
