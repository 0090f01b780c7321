/* packs.c: the transformed weights of convolutions in memory of the caller's: see gradcam.h.
 *
 * A pack is known by its key: a fingerprint of the weights that it is made of, of their shape and
 * of the width of the level's vectors. */
#include "base/fingerprint.h"
#include "base/status.h"
#include "base/watch.h"
#include "kernels/winograd.h"
#include "layers/winograd.h"
#include "network/network.h"

enum { LAYOUT = 1 }; /* counts changes of what a pack holds */

/* The convolution that has a pack; or NULL. */
static const gc_layer *packed_layer(const gc_network *network, size_t number, gc_engine engine)
{
    if (number >= network->count || network->layers[number].type != &gc_conv_layer
        || !gc_winograd_applies(&network->layers[number].conv, engine))
        return NULL;
    return &network->layers[number];
}

size_t gc_network_pack_floats(const gc_network *network, size_t layer)
{
    const gc_engine engine = gc_engine_now();
    const gc_layer *packed = packed_layer(network, layer, engine);
    return packed == NULL ? 0 : gc_winograd_pack_floats(&packed->conv, engine, 0);
}

uint64_t gc_network_pack_key(const gc_network *network, size_t layer)
{
    const gc_engine engine = gc_engine_now();
    const gc_layer *packed = packed_layer(network, layer, engine);
    if (packed == NULL)
        return 0;
    const gc_conv *c = &packed->conv;
    const uint64_t shape[4] = {LAYOUT, engine.kernels->width, c->in_channels, c->out_channels};
    const uint64_t start = gc_fingerprint(shape, sizeof shape, 0);
    return gc_fingerprint(packed->weight,
                          c->in_channels * c->out_channels * GC_WINOGRAD_TAPS
                              * sizeof *packed->weight,
                          start);
}

/* The layer, where it has a pack of so many floats; NULL and the error where it has not. */
static const gc_layer *checked_layer(const gc_network *network, size_t number, gc_engine engine,
                                     size_t floats, gc_error *error)
{
    const gc_layer *packed = packed_layer(network, number, engine);
    if (packed == NULL || gc_winograd_pack_floats(&packed->conv, engine, 0) != floats) {
        gc_fail(error, GC_BAD_ARGUMENT, "layer %zu has no transformed weights of %zu values",
                number, floats);
        return NULL;
    }
    return packed;
}

gc_status gc_network_pack(const gc_network *network, size_t layer, size_t floats, float *pack,
                          gc_error *error)
{
    const gc_engine engine = gc_engine_now();
    const gc_layer *packed = checked_layer(network, layer, engine, floats, error);
    if (packed == NULL)
        return GC_BAD_ARGUMENT;
    gc_winograd_pack(&packed->conv, packed->weight, engine, 0, pack);
    return gc_stopped() ? gc_fail_interrupted(error) : GC_OK;
}

gc_status gc_network_lend_pack(const gc_network *network, size_t layer, size_t floats,
                               const float *pack, int *taken, gc_error *error)
{
    *taken = 0;
    const gc_engine engine = gc_engine_now();
    const gc_layer *packed = checked_layer(network, layer, engine, floats, error);
    if (packed == NULL)
        return GC_BAD_ARGUMENT;
    if (!gc_winograd_pack_fits(&packed->conv, packed->weight, engine, 0, pack))
        return gc_fail(error, GC_BAD_ARGUMENT,
                       "these are not the transformed weights of layer %zu", layer);
    if (!gc_winograd_lend(packed->packs, engine, 0, pack, taken))
        return gc_stopped() ? gc_fail_interrupted(error)
                            : gc_fail(error, GC_NO_MEMORY, "no memory for another pack");
    return GC_OK;
}
