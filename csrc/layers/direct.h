/* direct.h: convolution of a picture's few channels by kernels/direct.c: from plain maps to
 * blocked ones, and back. */
#ifndef GC_LAYERS_DIRECT_H
#define GC_LAYERS_DIRECT_H

#include "layers/layer.h"

/* Whether the level has the kernels, and the convolution too few channels for winograd.c. */
int gc_direct_applies(const gc_conv *conv, gc_engine engine);

size_t gc_direct_scratch_bytes(const gc_conv *conv, int backward, gc_shape in, gc_shape out,
                               gc_engine engine);

/* y = convolution of x, and the ReLU where step->fused has one. */
void gc_direct_forward(const gc_layer *layer, const gc_forward_step *step);
void gc_direct_backward(const gc_layer *layer, const gc_backward_step *step);

#endif
