/* memory.h: allocation and the arithmetic of sizes.
 *
 * Blocks are aligned to a cache line (64 bytes), which is also the widest vector. */
#ifndef GC_BASE_MEMORY_H
#define GC_BASE_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#define GC_ALIGNMENT 64

/* `bytes` of uninitialised memory, or NULL, also where the system would promise what it does not
 * have; 0 bytes give a block that may be freed. */
void *gc_alloc(size_t bytes);
/* The same, `count` blocks of `size` bytes in one, all zero. */
void *gc_alloc_zeroed(size_t count, size_t size);
void gc_free(void *block); /* NULL is fine */

/* Give back to the system what freed blocks are kept for reuse: at most 512 MB. */
void gc_release_memory(void);

/* Of a mapped file: ask the disk for these bytes, which are to be read soon. */
void gc_will_need(const void *start, size_t bytes);

/* Bytes that this process can still take, a small reserve left; UINT64_MAX where that cannot be
 * known. */
uint64_t gc_spare_memory(void);

/* Whether there are `bytes` to spare, if need be after gc_release_memory. Few bytes there always
 * are. For blocks that are not written one by one as they are allocated: only their sum tells. */
int gc_has_memory(size_t bytes);

/* *out = a * b; returns 0, leaving *out alone, where size_t cannot hold it. */
int gc_multiply(size_t a, size_t b, size_t *out);

/* For tests of what happens when memory runs out: let the next `successes` allocations of
 * this thread succeed and all later ones fail; a negative number ends that. */
void gc_alloc_fail_after(long successes);
/* As if no more than `bytes` were available, to all threads; UINT64_MAX ends that. */
void gc_pretend_memory(uint64_t bytes);
/* Blocks that are allocated and not yet freed, over all threads. */
long gc_alloc_live(void);

#endif
