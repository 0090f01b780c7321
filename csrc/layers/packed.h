/* packed.h: convolution of blocked maps by kernels/packed.c: when it applies, and its run. */
#ifndef GC_LAYERS_PACKED_H
#define GC_LAYERS_PACKED_H

#include "layers/layer.h"

/* Whether it can run the convolution: with channels that fill vectors, and not on the reference
 * level. */
int gc_packed_applies(const gc_conv *conv, gc_engine engine);

size_t gc_packed_scratch_bytes(const gc_conv *conv, int backward, gc_shape in, gc_shape out,
                               size_t count, gc_engine engine);

/* The weights of a direction in the order of its products: their number of floats; make them in w,
 * aligned to GC_ALIGNMENT. */
size_t gc_packed_floats(const gc_conv *conv, int backward, gc_engine engine);
void gc_packed_weights(const gc_conv *conv, const float *weight, int backward, gc_engine engine,
                       float *w);

void gc_packed_forward(const gc_layer *layer, const gc_forward_step *step, const float *w);
void gc_packed_backward(const gc_layer *layer, const gc_backward_step *step, const float *w);

#endif
