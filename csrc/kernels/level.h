/* level.h: the name that a kernel gets in the level being compiled.
 *
 * The build compiles each kernel source once per level with that level's flags and with
 * GC_LEVEL defined as baseline, avx2, avx512 or neon; GC_KERNEL(resize) is then gc_resize_avx2.
 * GC_LEVEL_WIDTH is the floats in a vector of that level. */
#ifndef GC_KERNELS_LEVEL_H
#define GC_KERNELS_LEVEL_H

#include "kernels/kernels.h"

#ifndef GC_LEVEL
#error "compile kernels with -DGC_LEVEL=<level>"
#endif

#define GC_JOIN_(prefix, name, level) prefix##name##_##level
#define GC_JOIN(prefix, name, level) GC_JOIN_(prefix, name, level)
#define GC_KERNEL(name) GC_JOIN(gc_, name, GC_LEVEL)

#define X(name, parameters) void GC_KERNEL(name) parameters;
GC_KERNELS(X)
#undef X

#endif
