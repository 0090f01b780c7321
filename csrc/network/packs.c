/* packs.c: transformed weights that the caller stores: see gradcam.h. */
#include "base/fingerprint.h"
#include "base/status.h"
#include "base/watch.h"
#include "kernels/winograd.h"
#include "layers/linear.h"
#include "layers/winograd.h"
#include "network/network.h"

enum { LAYOUT = 2 }; /* the version of the layout and the bits of transformed weights */

/* Channels of a layer's map, if they are the same for all sizes of pictures and no linear layer is
 * between the map and the last convolution or the input; else 0. */
static size_t channels_before(const gc_network *network, size_t number)
{
    while (number != 0 && network->layers[number].input_count == 1) {
        const gc_layer *layer = &network->layers[number];
        if (layer->type == &gc_conv_layer)
            return layer->conv.out_channels;
        if (layer->type == &gc_linear_layer)
            return 0;
        number = layer->inputs[0];
    }
    return number == 0 ? network->channels : 0;
}

static size_t variant_of(const gc_network *network, const gc_layer *layer, gc_pack_kind kind,
                         gc_engine engine)
{
    if (layer->type == &gc_conv_layer)
        return engine.kernels->width;
    if (kind != GC_PACK_SUMS)
        return 0;
    const size_t channels = channels_before(network, layer->inputs[0]), in = layer->linear.in;
    return channels > 0 && channels < in && in % channels == 0 ? in / channels : 0;
}

/* A layer's transformed weights of one kind. */
typedef struct place {
    const gc_layer *layer;
    gc_engine engine;
    gc_pack_id id;
    size_t bytes; /* 0: it has none */
} place;

static place find_place(const gc_network *network, size_t number, gc_pack_kind kind)
{
    place p = {.engine = gc_engine_now()};
    if (number >= network->count || network->layers[number].packs == NULL)
        return p;
    p.layer = &network->layers[number];
    p.id = (gc_pack_id){.kind = kind, .variant = variant_of(network, p.layer, kind, p.engine)};
    /* Those of other convolutions are only a rearrangement, and quickly made. */
    if (p.layer->type != &gc_conv_layer || gc_winograd_applies(&p.layer->conv, p.engine))
        p.bytes = p.layer->type->pack_bytes(p.layer, p.id, p.engine);
    return p;
}

size_t gc_network_pack_bytes(const gc_network *network, size_t layer, gc_pack_kind kind)
{
    return find_place(network, layer, kind).bytes;
}

uint64_t gc_network_pack_key(const gc_network *network, size_t layer, gc_pack_kind kind)
{
    const place p = find_place(network, layer, kind);
    if (p.bytes == 0)
        return 0;
    const int conv = p.layer->type == &gc_conv_layer;
    const uint64_t shape[] = {LAYOUT,
                              (uint64_t)kind,
                              p.id.variant,
                              kind == GC_PACK_INPUT_MAJOR ? 0 : p.engine.kernels->width,
                              conv ? p.layer->conv.in_channels : p.layer->linear.in,
                              conv ? p.layer->conv.out_channels : p.layer->linear.out,
                              conv ? 0 : (uint64_t)p.layer->linear.storage};
    const uint64_t start = gc_fingerprint(shape, sizeof shape, 0);
    if (!conv)
        return gc_linear_sample(p.layer, start);
    const gc_conv *c = &p.layer->conv;
    return gc_fingerprint(p.layer->weight,
                          c->in_channels * c->out_channels * GC_WINOGRAD_TAPS
                              * sizeof *p.layer->weight,
                          start);
}

/* *p, if the layer has transformed weights of this kind and of so many bytes; else an error. */
static gc_status check_place(const gc_network *network, size_t layer, gc_pack_kind kind,
                             size_t bytes, place *p, gc_error *error)
{
    *p = find_place(network, layer, kind);
    if (p->bytes == 0 || p->bytes != bytes)
        return gc_fail(error, GC_BAD_ARGUMENT,
                       "layer %zu has no transformed weights of this kind of %zu bytes", layer,
                       bytes);
    return GC_OK;
}

gc_status gc_network_pack(const gc_network *network, size_t layer, gc_pack_kind kind,
                          size_t bytes, void *pack, gc_error *error)
{
    place p;
    const gc_status status = check_place(network, layer, kind, bytes, &p, error);
    if (status != GC_OK)
        return status;
    p.layer->type->make_pack(p.layer, p.id, p.engine, pack);
    return gc_stopped() ? gc_fail_interrupted(error) : GC_OK;
}

gc_status gc_network_lend_pack(const gc_network *network, size_t layer, gc_pack_kind kind,
                               size_t bytes, const void *pack, int *taken, gc_error *error)
{
    place p;
    *taken = 0;
    const gc_status status = check_place(network, layer, kind, bytes, &p, error);
    if (status != GC_OK)
        return status;
    if (!p.layer->type->pack_fits(p.layer, p.id, p.engine, pack))
        return gc_fail(error, GC_BAD_ARGUMENT,
                       "these are not the transformed weights of layer %zu", layer);
    if (!gc_pack_lend(p.layer, p.id, pack, taken))
        return gc_stopped() ? gc_fail_interrupted(error)
                            : gc_fail(error, GC_NO_MEMORY, "no memory for transformed weights");
    return GC_OK;
}

int gc_network_pack_damaged(const gc_network *network, size_t layer)
{
    const place p = find_place(network, layer, GC_PACK_INPUT_MAJOR);
    gc_pack *pack = p.bytes == 0 ? NULL : gc_pack_find(p.layer, p.id);
    return pack != NULL && atomic_load_explicit(&pack->damaged, memory_order_relaxed) != 0;
}
