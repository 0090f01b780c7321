/* reference.h: the plain twins of all kernels, and the level that consists of them. */
#ifndef GC_KERNELS_REFERENCE_H
#define GC_KERNELS_REFERENCE_H

#include "kernels/kernels.h"

#define GC_KERNEL_ENTRY(name, parameters) void gc_##name##_reference parameters;
#include "kernels/list.h"

extern const gc_kernels gc_kernels_reference;

#endif
