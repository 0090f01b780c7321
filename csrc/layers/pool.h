/* pool.h: what the network asks about pooling layers. */
#ifndef GC_LAYERS_POOL_H
#define GC_LAYERS_POOL_H

#include "layers/layer.h"

/* Whether a layer is max pooling of 2x2 windows of stride 2, none of which extends beyond the end of
 * the input. On blocked maps other layers can run it, and its record is two masks for each position
 * of a block: whether the maximum is on the right, and whether it is below. */
int gc_pool_is_2x2(const gc_layer *layer, const gc_shape *in);

#endif
