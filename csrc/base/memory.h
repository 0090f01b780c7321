/* memory.h: allocation and the arithmetic of sizes.
 *
 * Blocks are aligned to a cache line (64 bytes), which is also the widest vector. */
#ifndef GC_BASE_MEMORY_H
#define GC_BASE_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#define GC_ALIGNMENT 64

/* `bytes`, rounded up to whole cache lines: where the next aligned block begins. */
static inline size_t gc_aligned(size_t bytes)
{
    return (bytes + GC_ALIGNMENT - 1) / GC_ALIGNMENT * GC_ALIGNMENT;
}

/* `bytes` of uninitialised memory; NULL if there is too little, even if the system would
 * overcommit. A block of 0 bytes can be freed too. */
void *gc_alloc(size_t bytes);
/* The same, `count` blocks of `size` bytes in one, all zero. */
void *gc_alloc_zeroed(size_t count, size_t size);
void gc_free(void *block); /* NULL is fine */

/* Free the cache of freed blocks, at most 512 MB. */
void gc_release_memory(void);

/* These bytes of a mapped file will be read soon: ask the disk for them. */
void gc_will_need(const void *start, size_t bytes);

/* Bytes that this process can still take, less a small reserve; UINT64_MAX if unknown. */
uint64_t gc_spare_memory(void);

/* Whether `bytes` can be taken, if necessary after gc_release_memory; always true for few bytes.
 * For several blocks that are allocated before any is written, ask for their sum. */
int gc_has_memory(size_t bytes);

/* *out = a * b; returns 0, leaving *out unchanged, if size_t cannot hold it. */
int gc_multiply(size_t a, size_t b, size_t *out);

/* For tests of what happens when memory runs out: let the next `successes` allocations of
 * this thread succeed and all later ones fail; a negative number ends that. */
void gc_alloc_fail_after(long successes);
/* For tests: as if no more than `bytes` were available, in all threads; UINT64_MAX ends that. */
void gc_pretend_memory(uint64_t bytes);
/* Blocks that are allocated and not yet freed, over all threads. */
long gc_alloc_live(void);

#endif
