/* winograd_pack.h: the transformed weights of a 3x3 convolution. */
#ifndef GC_LAYERS_WINOGRAD_PACK_H
#define GC_LAYERS_WINOGRAD_PACK_H

#include "layers/layer.h"

typedef struct gc_winograd_packs gc_winograd_packs;

gc_winograd_packs *gc_winograd_packs_new(void); /* NULL: no memory */
void gc_winograd_packs_free(gc_winograd_packs *packs);

/* Make the pack of one direction for the engine's width, unless it is there. 0: no memory, or the
 * call is to end early. Several threads may call it at once. */
int gc_winograd_prepare(gc_winograd_packs *packs, const gc_conv *conv, const float *weight,
                        gc_engine engine, int backward);
/* The pack that was prepared: [k / 2W][xi][c][2W], c and k filled up with zeros. */
const float *gc_winograd_u(const gc_winograd_packs *packs, int backward, gc_engine engine);

/* Floats of a pack; make one in memory of the caller's, aligned to GC_ALIGNMENT. */
size_t gc_winograd_pack_floats(const gc_conv *conv, gc_engine engine, int backward);
void gc_winograd_pack(const gc_conv *conv, const float *weight, gc_engine engine, int backward,
                      float *u);
/* Whether u looks like the pack of these weights: a sample of it is made again. */
int gc_winograd_pack_fits(const gc_conv *conv, const float *weight, gc_engine engine,
                          int backward, const float *u);
/* Use the caller's pack, which must outlive `packs` then, where none is there yet; *taken: whether
 * it is used. 0: no memory, or the call is to end early. */
int gc_winograd_lend(gc_winograd_packs *packs, gc_engine engine, int backward, const float *u,
                     int *taken);

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
