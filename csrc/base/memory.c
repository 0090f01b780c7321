/* memory.c: allocation, with a cache of large freed blocks.
 *
 * A pass allocates the same few large blocks as the one before it. The system zeroes each new page
 * at its first use, which for VGG-16 takes a large part of a forward pass. So blocks of LARGE bytes
 * and more are cached when they are freed, up to CACHE_BYTES in all.
 *
 * Linux overcommits memory and may kill a process that touches it. So before a block of ASK_FROM
 * bytes or more is taken from the system, the available memory is checked. */
#define _POSIX_C_SOURCE 200112L /* posix_memalign: aligned_alloc needs a newer macOS */
#if defined(__linux__)
#define _DEFAULT_SOURCE /* madvise */
#endif
#include "base/memory.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#if !defined(__wasm__) /* which has no files to map */
#include <sys/mman.h>
#include <unistd.h>
#endif
#if defined(__GLIBC__)
#include <malloc.h> /* malloc_trim */
#endif

#include "base/available.h"
#include "base/threads.h"

enum { LARGE = 1 << 18, HUGE_PAGE = 1 << 21, CACHE_PLACES = 64 };
static const size_t CACHE_BYTES = (size_t)512 << 20;
static const size_t ASK_FROM = (size_t)32 << 20;
static const size_t RESERVE = (size_t)32 << 20; /* for other processes and small blocks */

/* Before every block; as long as the alignment, so that the block is aligned too. */
typedef union header {
    size_t bytes; /* of the block */
    char padding[GC_ALIGNMENT];
} header;

static _Thread_local long successes_left = -1;
static atomic_long live_blocks;
static _Atomic uint64_t pretended = UINT64_MAX;

/* Guarded by GC_LOCK_MEMORY. */
static struct {
    header *blocks[CACHE_PLACES]; /* the oldest first */
    size_t count, bytes;
} cache;

/* The smallest block in the cache that holds `bytes` and wastes at most a quarter; or NULL. */
static header *take_from_cache(size_t bytes)
{
    size_t best = CACHE_PLACES;
    gc_lock(GC_LOCK_MEMORY);
    for (size_t i = 0; i < cache.count; i++) {
        const size_t size = cache.blocks[i]->bytes;
        if (size >= bytes && size - bytes <= size / 4
            && (best == CACHE_PLACES || size < cache.blocks[best]->bytes))
            best = i;
    }
    header *found = NULL;
    if (best < CACHE_PLACES) {
        found = cache.blocks[best];
        cache.bytes -= found->bytes;
        cache.count--;
        memmove(cache.blocks + best, cache.blocks + best + 1,
                (cache.count - best) * sizeof *cache.blocks);
    }
    gc_unlock(GC_LOCK_MEMORY);
    return found;
}

/* Put a block in the cache, and free the oldest ones if necessary; 0 if it is too large. */
static int put_in_cache(header *block)
{
    if (block->bytes > CACHE_BYTES)
        return 0;
    gc_lock(GC_LOCK_MEMORY);
    while (cache.count == CACHE_PLACES || cache.bytes + block->bytes > CACHE_BYTES) {
        cache.bytes -= cache.blocks[0]->bytes;
        free(cache.blocks[0]);
        memmove(cache.blocks, cache.blocks + 1, --cache.count * sizeof *cache.blocks);
    }
    cache.blocks[cache.count++] = block;
    cache.bytes += block->bytes;
    gc_unlock(GC_LOCK_MEMORY);
    return 1;
}

void gc_release_memory(void)
{
    gc_lock(GC_LOCK_MEMORY);
    for (size_t i = 0; i < cache.count; i++)
        free(cache.blocks[i]);
    cache.count = cache.bytes = 0;
    gc_unlock(GC_LOCK_MEMORY);
#if defined(__GLIBC__)
    malloc_trim(0); /* glibc caches freed blocks too */
#endif
}

uint64_t gc_spare_memory(void)
{
    const uint64_t available = gc_available_memory(""), pretence = atomic_load(&pretended);
    const uint64_t spare = available < pretence ? available : pretence;
    return spare == UINT64_MAX ? spare : spare > RESERVE ? spare - RESERVE : 0;
}

int gc_has_memory(size_t bytes)
{
    if (bytes < ASK_FROM || bytes <= gc_spare_memory())
        return 1;
    gc_release_memory();
    return bytes <= gc_spare_memory();
}

/* Large blocks use huge pages if the system has them: fewer page faults at the first touch, and
 * fewer misses of the translation buffer when weights are read. */
static void *from_system(size_t bytes)
{
    void *block;
#ifdef MADV_HUGEPAGE
    const size_t alignment = bytes >= HUGE_PAGE ? HUGE_PAGE : GC_ALIGNMENT;
#else
    const size_t alignment = GC_ALIGNMENT;
#endif
    if (posix_memalign(&block, alignment, bytes) != 0)
        return NULL;
#ifdef MADV_HUGEPAGE
    if (alignment == HUGE_PAGE)
        (void)madvise(block, bytes / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
#endif
    return block;
}

void *gc_alloc(size_t bytes)
{
    if (successes_left == 0 || bytes > SIZE_MAX - sizeof(header))
        return NULL;
    void *block = bytes >= LARGE ? take_from_cache(bytes) : NULL;
    if (block == NULL && gc_has_memory(bytes)) {
        block = from_system(sizeof(header) + bytes);
        if (block != NULL)
            ((header *)block)->bytes = bytes;
    }
    if (block == NULL)
        return NULL;
    atomic_fetch_add_explicit(&live_blocks, 1, memory_order_relaxed);
    if (successes_left > 0)
        successes_left--;
    return (header *)block + 1;
}

void *gc_alloc_zeroed(size_t count, size_t size)
{
    size_t bytes;
    void *block = gc_multiply(count, size, &bytes) ? gc_alloc(bytes) : NULL;
    if (block != NULL)
        memset(block, 0, bytes);
    return block;
}

void gc_free(void *memory)
{
    if (memory == NULL)
        return;
    header *block = (header *)memory - 1;
    atomic_fetch_sub_explicit(&live_blocks, 1, memory_order_relaxed);
    if (block->bytes < LARGE || !put_in_cache(block))
        free(block);
}

void gc_will_need(const void *start, size_t bytes)
{
#if defined(__wasm__)
    (void)start, (void)bytes;
#else
    const size_t before = (uintptr_t)start % (size_t)sysconf(_SC_PAGESIZE);
    (void)posix_madvise((char *)start - before, bytes + before, POSIX_MADV_WILLNEED);
#endif
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

void gc_pretend_memory(uint64_t bytes)
{
    atomic_store(&pretended, bytes);
}

long gc_alloc_live(void)
{
    return atomic_load_explicit(&live_blocks, memory_order_relaxed);
}
