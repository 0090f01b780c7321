/* affine.h: maps whose channels are scaled and shifted, with or without a ReLU. */
#ifndef GC_LAYERS_AFFINE_H
#define GC_LAYERS_AFFINE_H

#include "layers/blocked.h"

/* to = scale[c] from + shift[c], c the channel, of the maps of `count` images. `to` may be `from`.
 * Image i uses the scales of image i % images. */
typedef struct gc_scaling {
    size_t count;
    gc_shape shape;
    gc_layout layout;
    const float *scale; /* [images], `stride` floats apart, of [channels] */
    size_t images, stride;
    const float *shift; /* [channels], or NULL: 0 */
    const float *from;
    size_t from_stride; /* blocked: floats from one image to the next; 0: without gaps */
    float *to;
    int relu;           /* whether a ReLU follows, not of vectors: */
    float limit;
    uint8_t *bits;      /* its record, or NULL */
} gc_scaling;

void gc_scale_maps(gc_engine engine, gc_scaling scaling);

#endif
