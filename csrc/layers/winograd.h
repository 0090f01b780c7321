/* winograd.h: 3x3 convolution by kernels/winograd.c: when it applies, and its run. */
#ifndef GC_LAYERS_WINOGRAD_H
#define GC_LAYERS_WINOGRAD_H

#include "layers/layer.h"

/* Whether it can run the convolution: 3x3 of stride, dilation, groups and padding 1, with channels
 * for whole vectors, not exact; and not on the reference level. */
int gc_winograd_applies(const gc_conv *conv, gc_engine engine);

/* Whether it can read maps of this shape that are computed one row of tiles at a time; and the
 * bytes of scratch memory for these rows. */
int gc_winograd_streams(const gc_conv *conv, int backward, gc_shape in, gc_engine engine);
size_t gc_winograd_strip_bytes(const gc_conv *conv, int backward, gc_shape in, gc_engine engine);

size_t gc_winograd_scratch_bytes(const gc_conv *conv, int backward, gc_shape in, size_t count,
                                 gc_engine engine);

/* A convolution, or its gradient, over blocked maps. */
typedef struct gc_winograd_step {
    gc_engine engine;
    int backward;
    const float *u;     /* the transformed weights of the direction */
    size_t count;       /* images, or gradients */
    size_t recorded;    /* backward: images of the records */
    gc_shape in, out;   /* of the maps that are read (x, or dy) and written (y, or dx) */
    const float *from;  /* what is read; if a layer is streamed, what that reads */
    float *to;
    const float *bias;  /* [out channels] or NULL */
    gc_fused fused;
    unsigned masks;       /* backward: of ReLUs */
    void *scratch;
} gc_winograd_step;

void gc_winograd_run(const gc_conv *conv, const gc_winograd_step *step);

#endif
