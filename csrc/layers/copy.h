/* copy.h: copies, zeros, sums and products of large arrays, by all threads. */
#ifndef GC_LAYERS_COPY_H
#define GC_LAYERS_COPY_H

#include "layers/layer.h"

void gc_copy_floats(gc_engine engine, size_t count, const float *from, float *to);
void gc_zero_floats(gc_engine engine, size_t count, float *to);
/* y += x. */
void gc_accumulate_floats(gc_engine engine, size_t count, const float *x, float *y);
/* y = sum of inputs[i], i < input_count, in this order. */
void gc_add_floats(gc_engine engine, size_t count, size_t input_count,
                   const float *const *inputs, float *y);
/* y = a * b. */
void gc_multiply_floats(gc_engine engine, size_t count, const float *a, const float *b, float *y);

#endif
