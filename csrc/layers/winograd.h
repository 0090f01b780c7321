/* winograd.h: 3x3 convolution by kernels/winograd.c: when it applies, and its run. */
#ifndef GC_LAYERS_WINOGRAD_H
#define GC_LAYERS_WINOGRAD_H

#include "layers/winograd_pack.h"

/* Whether the level has the kernels and the convolution the shape: 3x3, stride,
 * dilation and groups 1, padding 1, and channels enough for whole vectors. */
int gc_winograd_applies(const gc_conv *conv, gc_engine engine);

/* Scratch of a run over any number of maps of `height` x `width`. */
size_t gc_winograd_scratch_bytes(const gc_conv *conv, size_t height, size_t width,
                                 gc_engine engine);

/* forward: y[count][out] = convolution of x[count][in], then bias and, where bits is not NULL,
 * ReLU with its bits. backward: `x` is the gradient [count][out], `y` that of the input
 * [count][in]; bias and bits are NULL. Prepared for that direction. */
void gc_winograd_run(const gc_winograd_packs *packs, const gc_conv *conv, gc_engine engine,
                     int backward, size_t count, size_t height, size_t width, const float *x,
                     const float *bias, float *y, uint8_t *bits, void *scratch);

#endif
