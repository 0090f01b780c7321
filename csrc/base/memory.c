/* memory.c: allocation. Large blocks are kept when they are freed, and given out again.
 *
 * A pass allocates the same few large blocks as the one before it. From the system they come as
 * fresh pages, each zeroed at its first touch, which for VGG-16 costs a good part of a
 * forward pass. So blocks of LARGE bytes and more go to a shelf when they are freed, as long as all
 * that lies there is at most SHELF_BYTES.
 *
 * Linux gives more memory than there is, and kills who writes to it; so before a block of ASK_FROM
 * bytes or more comes from the system, the system is asked what it has. */
#define _POSIX_C_SOURCE 200112L /* posix_memalign: aligned_alloc needs a newer macOS */
#if defined(__linux__)
#define _DEFAULT_SOURCE /* madvise */
#endif
#include "base/memory.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#if defined(__GLIBC__)
#include <malloc.h> /* malloc_trim */
#endif

#include "base/available.h"
#include "base/threads.h"

enum { LARGE = 1 << 18, HUGE_PAGE = 1 << 21, SHELF_PLACES = 64 };
static const size_t SHELF_BYTES = (size_t)512 << 20;
static const size_t ASK_FROM = (size_t)32 << 20;
static const size_t RESERVE = (size_t)32 << 20; /* that is left to others, and to small blocks */

/* Before every block, an alignment long, so that the block is aligned as well. */
typedef union header {
    size_t bytes; /* of the block behind it */
    char room[GC_ALIGNMENT];
} header;

static _Thread_local long successes_left = -1;
static atomic_long live_blocks;
static _Atomic uint64_t pretended = UINT64_MAX;

/* Guarded by GC_LOCK_MEMORY. */
static struct {
    header *blocks[SHELF_PLACES]; /* the oldest first */
    size_t count, bytes;
} shelf;

/* The smallest block on the shelf that holds `bytes` and wastes at most a quarter; or NULL. */
static header *take_from_shelf(size_t bytes)
{
    size_t best = SHELF_PLACES;
    gc_lock(GC_LOCK_MEMORY);
    for (size_t i = 0; i < shelf.count; i++) {
        const size_t size = shelf.blocks[i]->bytes;
        if (size >= bytes && size - bytes <= size / 4
            && (best == SHELF_PLACES || size < shelf.blocks[best]->bytes))
            best = i;
    }
    header *found = NULL;
    if (best < SHELF_PLACES) {
        found = shelf.blocks[best];
        shelf.bytes -= found->bytes;
        shelf.count--;
        memmove(shelf.blocks + best, shelf.blocks + best + 1,
                (shelf.count - best) * sizeof *shelf.blocks);
    }
    gc_unlock(GC_LOCK_MEMORY);
    return found;
}

/* Put a block on the shelf, in place of the oldest ones if need be; 0 if it is too large. */
static int put_on_shelf(header *block)
{
    if (block->bytes > SHELF_BYTES)
        return 0;
    gc_lock(GC_LOCK_MEMORY);
    while (shelf.count == SHELF_PLACES || shelf.bytes + block->bytes > SHELF_BYTES) {
        shelf.bytes -= shelf.blocks[0]->bytes;
        free(shelf.blocks[0]);
        memmove(shelf.blocks, shelf.blocks + 1, --shelf.count * sizeof *shelf.blocks);
    }
    shelf.blocks[shelf.count++] = block;
    shelf.bytes += block->bytes;
    gc_unlock(GC_LOCK_MEMORY);
    return 1;
}

void gc_release_memory(void)
{
    gc_lock(GC_LOCK_MEMORY);
    for (size_t i = 0; i < shelf.count; i++)
        free(shelf.blocks[i]);
    shelf.count = shelf.bytes = 0;
    gc_unlock(GC_LOCK_MEMORY);
#if defined(__GLIBC__)
    malloc_trim(0); /* it has a shelf of its own */
#endif
}

uint64_t gc_spare_memory(void)
{
    const uint64_t available = gc_available_memory(""), most = atomic_load(&pretended);
    const uint64_t least = available < most ? available : most;
    return least == UINT64_MAX ? least : least > RESERVE ? least - RESERVE : 0;
}

int gc_has_memory(size_t bytes)
{
    if (bytes < ASK_FROM || bytes <= gc_spare_memory())
        return 1;
    gc_release_memory();
    return bytes <= gc_spare_memory();
}

/* A large block on huge pages, where the system has them: fewer faults at its first touch, and
 * fewer misses of the table of pages when weights stream through. */
static void *from_system(size_t bytes)
{
    void *block;
    const size_t alignment = bytes >= HUGE_PAGE ? HUGE_PAGE : GC_ALIGNMENT;
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
    void *block = bytes >= LARGE ? take_from_shelf(bytes) : NULL;
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
    if (block->bytes < LARGE || !put_on_shelf(block))
        free(block);
}

void gc_will_need(const void *start, size_t bytes)
{
    const size_t before = (uintptr_t)start % (size_t)sysconf(_SC_PAGESIZE);
    (void)posix_madvise((char *)start - before, bytes + before, POSIX_MADV_WILLNEED);
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
