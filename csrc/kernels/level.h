/* level.h: the names of kernels in the level that is being compiled.
 *
 * The build compiles each kernel source once for each level of levels.h, with that level's flags
 * and with GC_LEVEL defined as its name: GC_KERNEL(resize) is gc_resize_avx2 in level avx2.
 * GC_LEVEL_WIDTH is the number of floats in a vector of the level. */
#ifndef GC_KERNELS_LEVEL_H
#define GC_KERNELS_LEVEL_H

#include "kernels/kernels.h"

#ifndef GC_LEVEL
#error "compile kernels with -DGC_LEVEL=<level>"
#endif

#define GC_JOIN_(prefix, name, level) prefix##name##_##level
#define GC_JOIN(prefix, name, level) GC_JOIN_(prefix, name, level)
#define GC_KERNEL(name) GC_JOIN(gc_, name, GC_LEVEL)

#define GC_KERNEL_ENTRY(name, parameters) void GC_KERNEL(name) parameters;
#include "kernels/list.h"

#endif
