/* linear.h: what a linear layer offers besides gc_linear_layer: its gradient on other weights, and
 * its transformed weights. */
#ifndef GC_LAYERS_LINEAR_H
#define GC_LAYERS_LINEAR_H

#include "layers/pack.h"

/* dx = W^T dy of every vector, threads sharing out the columns. */
void gc_dense_gradient(gc_engine engine, const gc_dense *dense, const void *weight,
                       const float *dy, float *dx);

void gc_linear_backward(const gc_layer *layer, const gc_backward_step *step);

/* Whether input-major weights are used for an image of which so many inputs are not zero. */
int gc_uses_input_major(const gc_layer *layer, size_t active);

/* Bytes of a layer's record of one image: a bit for each input, set if that is not zero. */
static inline size_t gc_active_bytes(size_t in)
{
    return (in + 7) / 8;
}

static inline int gc_is_active(const uint8_t *active, size_t input)
{
    return active[input / 8] >> input % 8 & 1;
}

/* For a linear layer that reads maps of `positions` positions: S[j][k], the sum over positions of
 * weight [j][(k, position)]; [out][in / positions], made at its first use. NULL: no memory, or the
 * call is to end early. `positions` divides the layer's inputs. Several threads may call it at
 * once. */
const float *gc_weight_sums_of(const gc_layer *layer, size_t positions, gc_engine engine);

/* Whether the rows of input-major weights that these vectors need are as they were made: those of
 * the active inputs, from the layer's records of `images` images; vector v is of image v % images.
 * Each row is compared with its fingerprint at its first use; if one is wrong, the pack is marked
 * as damaged. The result means nothing if the call is to end early. Several threads may call it at
 * once. */
int gc_input_major_is_good(const gc_layer *layer, gc_pack *pack, gc_engine engine,
                           const uint8_t *active, size_t images, const size_t *vectors,
                           size_t count);

/* A fingerprint of a sample of the weights. */
uint64_t gc_linear_sample(const gc_layer *layer, uint64_t start);

/* As pack_bytes, make_pack and pack_fits of gc_layer_type. */
size_t gc_linear_pack_bytes(const gc_layer *layer, gc_pack_id id, gc_engine engine);
void gc_linear_make_pack(const gc_layer *layer, gc_pack_id id, gc_engine engine, void *pack);
int gc_linear_pack_fits(const gc_layer *layer, gc_pack_id id, gc_engine engine, const void *pack);

static inline size_t gc_storage_bytes(gc_storage storage)
{
    return storage == GC_FLOAT32 ? 4 : 2;
}

#endif
