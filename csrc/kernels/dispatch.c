/* dispatch.c: the levels, and which of them is active.
 *
 * A level can be used if the processor and its operating system can run it. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "base/status.h"
#include "kernels/kernels.h"
#include "kernels/reference/reference.h"

/* The entries of levels.h for this architecture expand to their last argument. */
#define NOTHING(...)
#define ITSELF(...) __VA_ARGS__
#define ON_x86_64 NOTHING
#define ON_arm64 NOTHING
#define ON_wasm32 NOTHING
#define ON_wasm32_relaxed NOTHING
#define ON_other NOTHING
#if defined(__x86_64__)
#undef ON_x86_64
#define ON_x86_64 ITSELF
#elif defined(__aarch64__)
#undef ON_arm64
#define ON_arm64 ITSELF
#elif defined(__wasm__)
#undef ON_wasm32
#define ON_wasm32 ITSELF
#if defined(__wasm_relaxed_simd__)
#undef ON_wasm32_relaxed
#define ON_wasm32_relaxed ITSELF
#endif
#else
#undef ON_other
#define ON_other ITSELF
#endif

#define GC_LEVEL_ENTRY(architecture, name, width, flags)                                      \
    ON_##architecture(extern const gc_kernels gc_kernels_##name;)
#include "kernels/levels.h"

/* On every machine. */
static int runs_anywhere(void)
{
    return 1;
}

#define runs_reference runs_anywhere
#define runs_baseline runs_anywhere

#if defined(__x86_64__)
static int runs_avx2(void)
{
    unsigned a, b, c, d;
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")
           && __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}

static int runs_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
           && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")
           && runs_avx2();
}
#elif defined(__aarch64__)
#define runs_neon runs_anywhere /* part of every arm64 */
#elif defined(__wasm__)         /* what a module contains, the machine that loads it can run */
#define runs_simd128 runs_anywhere
#define runs_relaxed runs_anywhere
#endif

/* Slowest first. */
static const struct {
    const gc_kernels *table;
    int (*runs)(void);
} levels[] = {
    {&gc_kernels_reference, runs_reference},
#define GC_LEVEL_ENTRY(architecture, name, width, flags)                                      \
    ON_##architecture({&gc_kernels_##name, runs_##name}, )
#include "kernels/levels.h"
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
    /* First use. If several threads come here at once, they find the same table. An unknown name in
     * the environment is reported by the Python module before it builds a network. */
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
