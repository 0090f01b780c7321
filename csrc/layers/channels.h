/* channels.h: maps whose channels are channels of other maps, in any order. */
#ifndef GC_LAYERS_CHANNELS_H
#define GC_LAYERS_CHANNELS_H

#include "layers/blocked.h"

/* Where a channel comes from: a channel of map number `map`; GC_NO_MAP: it is zero. */
typedef struct gc_origin {
    size_t map, channel;
} gc_origin;

#define GC_NO_MAP SIZE_MAX

typedef struct gc_selection gc_selection;

/* The origin of channel `channel` of the maps that are written. */
typedef gc_origin (*gc_origin_of)(const gc_selection *selection, size_t channel);

/* Maps of one height and width for each of `count` images, and the maps that are written. */
struct gc_selection {
    const gc_layer *layer;
    size_t input; /* backward: whose gradient is written */
    const size_t *starts; /* of a concatenation: the first channel of each input, and the end */
    gc_origin_of origin;
    size_t count;
    gc_layout layout;     /* of all maps */
    const gc_shape *in;   /* [layer->input_count] shapes of the layer's inputs */
    const gc_shape *from; /* shapes of the maps that are read, */
    const float *const *maps; /* NULL: `to` has this map already, as whole blocks */
    gc_shape shape;       /* and of those written */
    float *to;
    size_t stride;        /* floats from one image written to the next; 0: without gaps */
};

/* The name of the algorithm of the layers that select channels. */
const char *gc_selecting_algorithm(const gc_layer_query *query);

void gc_select_channels(gc_engine engine, const gc_selection *selection);

#endif
