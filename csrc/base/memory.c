#define _POSIX_C_SOURCE 200112L /* posix_memalign: aligned_alloc needs a newer macOS */
#include "base/memory.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

static _Thread_local long successes_left = -1;
static atomic_long live_blocks;

void *gc_alloc(size_t bytes)
{
    if (successes_left == 0)
        return NULL;
    if (bytes > SIZE_MAX - GC_ALIGNMENT)
        return NULL;
    void *block;
    if (posix_memalign(&block, GC_ALIGNMENT, bytes == 0 ? GC_ALIGNMENT : bytes) != 0)
        return NULL;
    atomic_fetch_add_explicit(&live_blocks, 1, memory_order_relaxed);
    if (successes_left > 0)
        successes_left--;
    return block;
}

void gc_free(void *block)
{
    if (block == NULL)
        return;
    atomic_fetch_sub_explicit(&live_blocks, 1, memory_order_relaxed);
    free(block);
}

int gc_multiply(size_t a, size_t b, size_t *out)
{
    if (b != 0 && a > SIZE_MAX / b)
        return 0;
    *out = a * b;
    return 1;
}

void gc_alloc_fail_after(long successes)
{
    successes_left = successes;
}

long gc_alloc_live(void)
{
    return atomic_load_explicit(&live_blocks, memory_order_relaxed);
}
