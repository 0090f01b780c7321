/* linear.h: what a linear layer offers besides gc_linear_layer: its gradient on other weights, and
 * its weights summed over the positions of a map. */
#ifndef GC_LAYERS_LINEAR_H
#define GC_LAYERS_LINEAR_H

#include "layers/layer.h"

/* dx = W^T dy of every vector, threads sharing out the columns. */
void gc_dense_gradient(gc_engine engine, const gc_dense *dense, const void *weight,
                       const float *dy, float *dx);

/* For a linear layer that reads maps of `positions` positions: S[j][k], the sum over positions of
 * weight [j][(k, position)]. The layer keeps them, for each number of positions. */
typedef struct gc_weight_sums gc_weight_sums;

gc_weight_sums *gc_weight_sums_new(void); /* NULL: no memory */
void gc_weight_sums_free(gc_weight_sums *sums);

/* S [out][in / positions], made at its first use; NULL: no memory, or the call is to end early.
 * `positions` divides the
 * layer's inputs. Several threads may call it at once. */
const float *gc_weight_sums_of(const gc_layer *layer, size_t positions, gc_engine engine);

#endif
