/* available.c: the memory that is available on Linux. Linux overcommits memory and may kill a
 * process that touches it, so large allocations check this first. */
#include "base/available.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/cgroup.h"

/* The sum of the numbers after `count` names, each at the beginning of a line. Returns how many of
 * the names were found. */
static int sum_of_lines(const char *path, int count, const char *const *names, uint64_t *sum)
{
    char line[256], name[128];
    uint64_t number;
    int found = 0;
    FILE *file = fopen(path, "r");
    *sum = 0;
    while (file != NULL && found < count && fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "%127s %" SCNu64, name, &number) != 2)
            continue;
        for (int i = 0; i < count; i++)
            if (strcmp(name, names[i]) == 0) {
                *sum += number;
                found++;
            }
    }
    if (file != NULL)
        fclose(file);
    return found;
}

/* Version 1 states no limit as a number that no machine reaches. */
static const int64_t NONE_FROM = INT64_C(1) << 60;

/* The memory that one group's limit leaves. In version 1, other names include the groups below. */
static uint64_t left_in_group(const char *folder)
{
    static const char *const caches[2][2] = {{"inactive_file", "active_file"},
                                             {"total_inactive_file", "total_active_file"}};
    char path[3 * 4096];
    int64_t limit[2], used[2];
    const int is_version_1 = gc_cgroup_numbers(folder, "memory.max", limit) < 1;
    if (is_version_1 && gc_cgroup_numbers(folder, "memory.limit_in_bytes", limit) < 1)
        return GC_NO_LIMIT;
    if (limit[0] < 0 || limit[0] >= NONE_FROM
        || gc_cgroup_numbers(folder, is_version_1 ? "memory.usage_in_bytes" : "memory.current",
                             used) < 1
        || used[0] < 0)
        return GC_NO_LIMIT;
    uint64_t cached;
    snprintf(path, sizeof path, "%s/memory.stat", folder);
    sum_of_lines(path, 2, caches[is_version_1], &cached);
    const uint64_t maximum = (uint64_t)limit[0], taken = (uint64_t)used[0];
    const uint64_t fixed = taken > cached ? taken - cached : 0;
    return maximum > fixed ? maximum - fixed : 0;
}

uint64_t gc_available_memory(const char *root)
{
    static const char *const name = "MemAvailable:";
    char path[4096];
    uint64_t kilobytes;
    snprintf(path, sizeof path, "%s/proc/meminfo", root);
    const uint64_t machine =
        sum_of_lines(path, 1, &name, &kilobytes) ? kilobytes * 1024 : UINT64_MAX;
    const uint64_t groups = gc_cgroup_minimum(root, "memory", left_in_group);
    return groups < machine ? groups : machine;
}
