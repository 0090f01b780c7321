/* dispatch.c: the levels, and which of them is active.
 *
 * Each level brings a complete table. A level is there when it was compiled in
 * (GC_HAVE_...) and the processor, and its operating system, can run it. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#ifdef GC_HAVE_AVX2
#include <cpuid.h>
#endif

#include "base/status.h"
#include "kernels/kernels.h"

#define X(name, parameters)                                                                  \
    void gc_##name##_reference parameters;                                                   \
    void gc_##name##_baseline parameters;                                                    \
    void gc_##name##_avx2 parameters;                                                        \
    void gc_##name##_avx512 parameters;                                                      \
    void gc_##name##_neon parameters;
GC_KERNELS(X)
#undef X

#define X(name, parameters) .name = gc_##name##_reference,
static const gc_kernels reference_table = {.level = "reference", .width = 1, .tiles = 4, GC_KERNELS(X)};
#undef X
#define X(name, parameters) .name = gc_##name##_baseline,
static const gc_kernels baseline_table = {.level = "baseline", .width = 4, .tiles = 6, GC_KERNELS(X)};
#undef X

static int always(void)
{
    return 1;
}

#ifdef GC_HAVE_AVX2
#define X(name, parameters) .name = gc_##name##_avx2,
static const gc_kernels avx2_table = {.level = "avx2", .width = 8, .tiles = 6, GC_KERNELS(X)};
#undef X
static int runs_avx2(void)
{
    unsigned a, b, c, d;
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")
           && __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}
#endif

#ifdef GC_HAVE_AVX512
#define X(name, parameters) .name = gc_##name##_avx512,
static const gc_kernels avx512_table = {.level = "avx512", .width = 16, .tiles = 14, GC_KERNELS(X)};
#undef X
static int runs_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
           && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")
           && runs_avx2();
}
#endif

#ifdef GC_HAVE_NEON /* part of every arm64 */
#define X(name, parameters) .name = gc_##name##_neon,
static const gc_kernels neon_table = {.level = "neon", .width = 4, .tiles = 8, GC_KERNELS(X)};
#undef X
#endif

/* Slowest first. Every machine that runs a level runs those before it. */
static const struct {
    const gc_kernels *table;
    int (*runs)(void);
} levels[] = {
    {&reference_table, always},
    {&baseline_table, always},
#ifdef GC_HAVE_AVX2
    {&avx2_table, runs_avx2},
#endif
#ifdef GC_HAVE_AVX512
    {&avx512_table, runs_avx512},
#endif
#ifdef GC_HAVE_NEON
    {&neon_table, always},
#endif
};

size_t gc_level_count(void)
{
    size_t count = 0;
    while (count < sizeof levels / sizeof *levels && levels[count].runs())
        count++;
    return count;
}

const gc_kernels *gc_kernels_of_level(size_t index)
{
    return index < gc_level_count() ? levels[index].table : NULL;
}

const char *gc_level_name(size_t index)
{
    const gc_kernels *table = gc_kernels_of_level(index);
    return table == NULL ? NULL : table->level;
}

static const gc_kernels *find(const char *name)
{
    for (size_t i = 0; i < gc_level_count(); i++)
        if (strcmp(levels[i].table->level, name) == 0)
            return levels[i].table;
    return NULL;
}

static _Atomic(const gc_kernels *) active;

const gc_kernels *gc_kernels_active(void)
{
    const gc_kernels *table = atomic_load_explicit(&active, memory_order_acquire);
    if (table != NULL)
        return table;
    /* First use. Threads that race here find the same table. An unknown name in the
     * environment is reported by the Python module before it builds a network. */
    const char *wanted = getenv("GRADCAM_CPU_LEVEL");
    if (wanted != NULL)
        table = find(wanted);
    if (table == NULL)
        table = levels[gc_level_count() - 1].table;
    /* Unless a level was set meanwhile, which is then in `set`. */
    const gc_kernels *set = NULL;
    return atomic_compare_exchange_strong(&active, &set, table) ? table : set;
}

const char *gc_level_active(void)
{
    return gc_kernels_active()->level;
}

gc_status gc_level_find(const char *name, gc_error *error)
{
    if (find(name) != NULL)
        return GC_OK;
    char names[128] = "";
    for (size_t i = 0; i < gc_level_count(); i++) {
        strcat(names, i == 0 ? "" : ", ");
        strcat(names, levels[i].table->level);
    }
    return gc_fail(error, GC_BAD_ARGUMENT, "this machine has no kernel level '%.40s'; it has: %s",
                   name, names);
}

gc_status gc_level_set(const char *name, gc_error *error)
{
    const gc_status status = gc_level_find(name, error);
    if (status == GC_OK)
        atomic_store_explicit(&active, find(name), memory_order_release);
    return status;
}
