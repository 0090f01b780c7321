/* winograd_pack.h: the transformed weights of a 3x3 convolution. */
#ifndef GC_LAYERS_WINOGRAD_PACK_H
#define GC_LAYERS_WINOGRAD_PACK_H

#include "layers/layer.h"

/* Floats of a pack; and make one in u, aligned to GC_ALIGNMENT. */
size_t gc_winograd_pack_floats(const gc_conv *conv, gc_engine engine, int backward);
void gc_winograd_pack(const gc_conv *conv, const float *weight, gc_engine engine, int backward,
                      float *u);
/* Whether a sample of u has the bits of the pack of these weights. */
int gc_winograd_pack_fits(const gc_conv *conv, const float *weight, gc_engine engine,
                          int backward, const float *u);

/* The channels that a direction reads and writes. */
static inline size_t gc_winograd_inputs(const gc_conv *conv, int backward)
{
    return backward ? conv->out_channels : conv->in_channels;
}

static inline size_t gc_winograd_outputs(const gc_conv *conv, int backward)
{
    return backward ? conv->in_channels : conv->out_channels;
}

#endif
