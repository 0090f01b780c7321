/* processors.c: affinity and the limits of control groups, which Linux alone has. */
#if defined(__linux__)
#define _GNU_SOURCE /* sched_getaffinity */
#endif
#include "base/processors.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#if defined(__linux__)
#include <sched.h>
#endif

/* ---- Affinity --------------------------------------------------------------------------- */

#if defined(__linux__)

static cpu_set_t noted;
static int is_noted;

void gc_note_processors(void)
{
    if (!is_noted)
        is_noted = sched_getaffinity(getpid(), sizeof noted, &noted) == 0;
}

void gc_forget_processors(void)
{
    is_noted = 0;
}

void gc_spread_thread(void)
{
    if (is_noted)
        sched_setaffinity(0, sizeof noted, &noted); /* if refused, it stays where it is */
}

static int count_noted(void)
{
    return is_noted ? CPU_COUNT(&noted) : 0;
}

#else

void gc_note_processors(void)
{
}

void gc_forget_processors(void)
{
}

void gc_spread_thread(void)
{
}

static int count_noted(void)
{
    return 0;
}

#endif

int gc_processors(void)
{
    const long count = count_noted() > 0 ? count_noted() : sysconf(_SC_NPROCESSORS_ONLN);
    const int limit = gc_cgroup_limit("");
    return count < 1 ? 1 : count < limit ? (int)count : limit;
}

/* ---- Control groups --------------------------------------------------------------------- */

enum { PATH_ROOM = 4096 };

/* Up to two numbers from the file root/mount/group/name; how many were read. */
static int read_numbers(const char *root, const char *mount, const char *group,
                        const char *name, long numbers[2])
{
    char path[2 * PATH_ROOM];
    snprintf(path, sizeof path, "%s%s%s/%s", root, mount, group, name);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return 0;
    const int count = fscanf(file, "%ld %ld", &numbers[0], &numbers[1]); /* "max": none */
    fclose(file);
    return count;
}

/* The limit that one group sets itself: version 2 has one file, version 1 two. */
static int limit_of_group(const char *root, const char *mount, const char *group)
{
    long limit[2], period[2];
    if (read_numbers(root, mount, group, "cpu.max", limit) == 2)
        period[0] = limit[1];
    else if (read_numbers(root, mount, group, "cpu.cfs_quota_us", limit) < 1
             || read_numbers(root, mount, group, "cpu.cfs_period_us", period) < 1)
        return INT_MAX;
    if (limit[0] <= 0 || period[0] <= 0) /* -1: none */
        return INT_MAX;
    const long whole = (limit[0] - 1) / period[0] + 1;
    return whole < INT_MAX ? (int)whole : INT_MAX;
}

/* The least limit of a group and those above it. In a container the path may be the host's, whose
 * files are not there; what is mounted at the top is then the container's own group. */
static int limit_of_branch(const char *root, const char *mount, char *group)
{
    int least = INT_MAX;
    for (;;) {
        const int limit = limit_of_group(root, mount, group);
        least = limit < least ? limit : least;
        char *parent = strrchr(group, '/');
        if (parent == NULL)
            return least;
        *parent = '\0';
    }
}

/* Whether "cpu" is among names with commas between them. */
static int names_cpu(const char *names)
{
    for (;;) {
        const size_t length = strcspn(names, ",");
        if (length == 3 && strncmp(names, "cpu", 3) == 0)
            return 1;
        if (names[length] == '\0')
            return 0;
        names += length + 1;
    }
}

int gc_cgroup_limit(const char *root)
{
    char line[PATH_ROOM], path[PATH_ROOM];
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *file = fopen(path, "r");
    int least = INT_MAX;
    /* A line is number:controllers:path; version 2 has one, 0::path. */
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        char *names = strchr(line, ':');
        char *group = names == NULL ? NULL : strchr(names + 1, ':');
        if (group == NULL)
            continue;
        *group++ = '\0';
        const char *mount = names[1] == '\0'        ? "/sys/fs/cgroup"
                            : names_cpu(names + 1) ? "/sys/fs/cgroup/cpu"
                                                   : NULL;
        const int limit = mount == NULL ? INT_MAX : limit_of_branch(root, mount, group);
        least = limit < least ? limit : least;
    }
    if (file != NULL)
        fclose(file);
    return least;
}
