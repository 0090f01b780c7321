/* pool.h: pooling layers.
 *
 * The record of max pooling has one of three forms. Of plain output: the offset of each maximum in
 * its plane, uint32_t [channels][height][width]. Of blocked output of 2x2 windows: two masks for
 * each position of a block, whether the maximum is on the right, and whether it is below. Of other
 * blocked output: the number of each maximum in its window, row by row,
 * [blocks][height][width][W]. */
#ifndef GC_LAYERS_POOL_H
#define GC_LAYERS_POOL_H

#include "layers/layer.h"

/* Whether a layer is max pooling of 2x2 windows of stride 2, none of which extends beyond the end
 * of the input. On blocked maps other layers can run it. */
int gc_pool_is_2x2(const gc_layer *layer, const gc_shape *in);

/* Whether it takes maxima; else averages. */
int gc_pool_is_max(const gc_layer *layer);

/* Whether its windows slide by a stride; else the size of the output decides. */
int gc_pool_slides(const gc_layer *layer);

/* Bytes for the number of a value in its window: 1, 2 or 4. */
size_t gc_pool_index_bytes(const gc_layer *layer, gc_shape in);

/* The windows, their spans laid out at the beginning of scratch. */
gc_pool_plane gc_pool_plane_of(const gc_layer *layer, gc_shape in, gc_shape out, void *scratch);

/* The number of values of the largest window. */
size_t gc_pool_largest_window(const gc_span *rows, size_t row_count, const gc_span *columns,
                              size_t column_count);

/* From plain maps to plain ones; from blocked maps to those of the layer's layout; and back. */
void gc_pool_forward_plain(const gc_layer *layer, const gc_forward_step *step);
void gc_pool_backward_plain(const gc_layer *layer, const gc_backward_step *step);
void gc_pool_forward_blocked(const gc_layer *layer, const gc_forward_step *step);
void gc_pool_backward_blocked(const gc_layer *layer, const gc_backward_step *step);

#endif
