/* direct.h: convolution of a picture's few channels by kernels/direct.c, from plain maps to blocked
 * ones. */
#ifndef GC_LAYERS_DIRECT_H
#define GC_LAYERS_DIRECT_H

#include "layers/layer.h"

/* Whether the level has the kernels and the convolution has too few channels for winograd.c. */
int gc_direct_applies(const gc_conv *conv, gc_engine engine);

size_t gc_direct_scratch_bytes(const gc_conv *conv, int backward, gc_shape in, gc_shape out,
                               gc_engine engine);

/* y = convolution of x, and the ReLU where step->fused has one. */
void gc_direct_forward(const gc_layer *layer, const gc_forward_step *step);
void gc_direct_backward(const gc_layer *layer, const gc_backward_step *step);

/* ---- Streamed by another layer, which reads the output of the ReLU a few rows at a time ---- */

typedef struct gc_direct_source gc_direct_source;

/* The maximum number of rows that are computed at a time. */
enum { GC_STREAMED_ROWS = 6 };

size_t gc_direct_source_bytes(const gc_conv *conv, gc_shape in, gc_shape out, gc_engine engine);

/* Made in `memory` of that many bytes, and valid as long as this. */
gc_direct_source *gc_direct_stream(const gc_streamed *streamed, gc_shape out, const float *x,
                                   gc_engine engine, void *memory);

/* Compute rows first .. first + count of one image's output into rows 0 .. count of `to`, whose
 * blocks have `rows` rows. Rows have the columns of gc_blocked, with the border; values outside the
 * map are zero. `first` may be -1. The ReLU's bits of rows bits_from .. bits_to are recorded. */
void gc_direct_rows(const gc_direct_source *source, size_t worker, size_t image, ptrdiff_t first,
                    size_t count, size_t bits_from, size_t bits_to, size_t rows, float *to);

#endif
