/* available.h: the memory that this process can still take. */
#ifndef GC_BASE_AVAILABLE_H
#define GC_BASE_AVAILABLE_H

#include <stdint.h>

/* Bytes that the machine has available without swapping and that the limits of control groups
 * leave, files that the system has cached counted as free; UINT64_MAX where that cannot be known.
 * `root` is a prefix of all paths that are read: "", except in tests. */
uint64_t gc_available_memory(const char *root);

#endif
