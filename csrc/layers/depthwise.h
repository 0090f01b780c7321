/* depthwise.h: convolution of each channel with a kernel of its own, by kernels/depthwise.c, on
 * blocked maps. */
#ifndef GC_LAYERS_DEPTHWISE_H
#define GC_LAYERS_DEPTHWISE_H

#include "layers/layer.h"

/* Whether the level has the kernels and each of several groups has one channel and one output. */
int gc_depthwise_applies(const gc_conv *conv, gc_engine engine);

size_t gc_depthwise_scratch_bytes(const gc_conv *conv, int backward, gc_shape in, gc_shape out,
                                  gc_engine engine);

/* Scratch memory that it needs in addition to stream a convolution that packed.c computes from maps
 * of shape `from`; 0: it gains nothing, because the map between them is small or its rows are
 * long. */
size_t gc_depthwise_streaming_bytes(const gc_conv *conv, const gc_conv *streamed, gc_shape from,
                                    gc_shape in, gc_shape out, gc_engine engine);

/* y = convolution of x, and the ReLU after it where step->fused has one. If a layer is streamed,
 * `streamed_w` are its weights for packed.c. */
void gc_depthwise_forward(const gc_layer *layer, const gc_forward_step *step,
                          const float *streamed_w);

/* dx from dy, and through the ReLU before the convolution where step->fused has one. */
void gc_depthwise_backward(const gc_layer *layer, const gc_backward_step *step);

#endif
