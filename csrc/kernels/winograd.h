/* winograd.h: the constants of 3x3 convolution by Winograd's minimal filtering F(4x4, 3x3), for the
 * kernels and the layers that prepare their work. kernels/winograd.c describes the algorithm. */
#ifndef GC_KERNELS_WINOGRAD_H
#define GC_KERNELS_WINOGRAD_H

enum {
    GC_WINOGRAD_STEP = 4, /* side of a tile of the output; from a tile of the input to the next */
    GC_WINOGRAD_SIDE = 6, /* side of a tile of the input, and of a transformed kernel */
    GC_WINOGRAD_PRODUCTS = GC_WINOGRAD_SIDE * GC_WINOGRAD_SIDE,
    GC_WINOGRAD_TAPS = 9 /* weights of a kernel */
};

/* The points of interpolation are 0, +-A, +-B and infinity, A = sqrt(1/2) and B = sqrt(2). */
#define GC_WINOGRAD_A 0.70710678118654752440
#define GC_WINOGRAD_B 1.41421356237309504880

#endif
