/* processors.c: affinity and the limits of control groups, which Linux alone has. */
#if defined(__linux__)
#define _GNU_SOURCE /* sched_getaffinity */
#endif
#include "base/processors.h"

#include <limits.h>
#include <unistd.h>
#if defined(__linux__)
#include <sched.h>
#endif

#include "base/cgroup.h"

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
        sched_setaffinity(0, sizeof noted, &noted); /* may be refused */
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

/* The limit that one group sets itself: version 2 has one file, version 1 two. */
static uint64_t limit_of_group(const char *folder)
{
    int64_t limit[2], period[2];
    if (gc_cgroup_numbers(folder, "cpu.max", limit) == 2)
        period[0] = limit[1];
    else if (gc_cgroup_numbers(folder, "cpu.cfs_quota_us", limit) < 1
             || gc_cgroup_numbers(folder, "cpu.cfs_period_us", period) < 1)
        return GC_NO_LIMIT;
    if (limit[0] <= 0 || period[0] <= 0) /* -1: none */
        return GC_NO_LIMIT;
    return (uint64_t)((limit[0] - 1) / period[0] + 1);
}

int gc_cgroup_limit(const char *root)
{
    const uint64_t minimum = gc_cgroup_minimum(root, "cpu", limit_of_group);
    return minimum < INT_MAX ? (int)minimum : INT_MAX;
}
