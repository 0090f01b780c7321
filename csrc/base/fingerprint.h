/* fingerprint.h: a number that changes with the content of some memory. */
#ifndef GC_BASE_FINGERPRINT_H
#define GC_BASE_FINGERPRINT_H

#include <stddef.h>
#include <stdint.h>

/* 64 bits of `bytes` bytes at `data`, of their number and of `start`: as the same contents always
 * give it on machines of one byte order. It guards against accidents, not against intent. */
uint64_t gc_fingerprint(const void *data, size_t bytes, uint64_t start);

#endif
