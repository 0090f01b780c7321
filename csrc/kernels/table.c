/* table.c: the table of the kernels of the level that is being compiled. */
#include "kernels/level.h"
#include "kernels/vec.h"

#define GC_TEXT_(word) #word
#define GC_TEXT(word) GC_TEXT_(word)

const gc_kernels GC_KERNEL(kernels) = {
    .level = GC_TEXT(GC_LEVEL),
    .width = GC_WIDTH,
    .tiles = GC_TILES,
#define GC_KERNEL_ENTRY(name, parameters) .name = GC_KERNEL(name),
#include "kernels/list.h"
};
