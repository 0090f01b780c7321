/* unpool.h: the gradient of the input of a ReLU from that of the 2x2 max pooling after it, a few
 * rows at a time, for a convolution that streams the two backward. */
#ifndef GC_LAYERS_UNPOOL_H
#define GC_LAYERS_UNPOOL_H

#include "layers/layer.h"

typedef struct gc_unpooling {
    gc_engine engine;
    gc_blocked shape, pooled;           /* of the ReLU's maps, and of the pooled ones */
    const float *dy;                    /* blocked, of the pooled maps */
    const uint8_t *bits, *positions;    /* the records of the ReLU and of the pooling */
    size_t recorded;                    /* gradient i belongs to image i % recorded of them */
    unsigned masks;                       /* of the ReLU */
    float *spare;                       /* gc_unpool_spare_floats: scratch memory */
} gc_unpooling;

/* Scratch memory for all workers: one row each. */
size_t gc_unpool_spare_floats(gc_shape shape, gc_engine engine);

/* Compute rows first .. first + count of gradient `number` into rows 0 .. count of `to`, whose
 * blocks have `rows` rows. Rows have the columns of gc_blocked, with the border. Values outside the
 * map, or in no window of the pooling, are zero. `first` may be -1. */
void gc_unpool_rows(const gc_unpooling *unpooling, size_t worker, size_t number, ptrdiff_t first,
                    size_t count, size_t rows, float *to);

#endif
