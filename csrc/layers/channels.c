/* channels.c: the layers that move whole channels: slices and the channel shuffle. Concatenation is
 * in join.c.
 *
 * Plain channels are copied; of blocked maps, whole blocks are copied if they stay together, and
 * others are put together lane by lane. The network does not run a layer whose output needs no copy
 * (network/places.h). The border is copied, too: it is zero in all maps. */
#include "layers/channels.h"

#include <string.h>

#include "base/status.h"
#include "base/threads.h"

/* ---- Any selection ------------------------------------------------------------------------ */

typedef struct selecting {
    gc_engine engine;
    const gc_selection *s;
    size_t blocks, plane; /* of the maps written: blocks of an image, floats of a block; plain: */
    size_t length;        /* channels and positions; floats of a piece, at most */
    size_t stride;        /* floats from one image written to the next */
} selecting;

enum { PIECE = 1 << 14 }; /* floats of a piece, at most */

/* The memory of a channel, or of a block, of a map that is read. */
static const float *source_of(const selecting *w, size_t image, size_t map, size_t block)
{
    const gc_shape from = w->s->from[map];
    const size_t blocks = w->s->layout == GC_PLAIN
                              ? from.channels
                              : gc_divide_up(from.channels, w->engine.kernels->width);
    return w->s->maps[map] + (image * blocks + block) * w->plane;
}

/* Floats first .. first + count of one plain channel. */
static void select_plain(const selecting *w, size_t plane, size_t first, size_t count)
{
    const gc_origin origin = w->s->origin(w->s, plane % w->blocks);
    float *to = w->s->to + plane / w->blocks * w->stride + plane % w->blocks * w->plane + first;
    if (origin.map == GC_NO_MAP)
        memset(to, 0, count * sizeof *to);
    else
        memcpy(to, source_of(w, plane / w->blocks, origin.map, origin.channel) + first,
               count * sizeof *to);
}

/* The origins of the lanes of a block; those that fill up the last block have none. */
static void find_origins(const selecting *w, size_t plane, gc_origin *origins)
{
    const size_t width = w->engine.kernels->width, first = plane % w->blocks * width;
    for (size_t l = 0; l < width; l++)
        origins[l] = first + l < w->s->shape.channels ? w->s->origin(w->s, first + l)
                                                      : (gc_origin){.map = GC_NO_MAP};
}

/* Whether the lanes are those of one block in their places, also the ones that are zero. */
static int is_whole_block(const selecting *w, const gc_origin *origins)
{
    const size_t width = w->engine.kernels->width, map = origins[0].map;
    if (map == GC_NO_MAP || origins[0].channel % width != 0)
        return 0;
    for (size_t l = 1; l < width; l++) {
        const size_t channel = origins[0].channel + l;
        if (origins[l].map == GC_NO_MAP ? channel < w->s->from[map].channels
                                        : origins[l].map != map || origins[l].channel != channel)
            return 0;
    }
    return 1;
}

static gc_lanes lanes_of(const selecting *w, size_t image, const gc_origin *origins)
{
    const size_t width = w->engine.kernels->width;
    gc_lanes lanes = {.source_count = 0};
    for (size_t l = 0; l < width; l++) {
        lanes.from[l] = GC_NO_SOURCE;
        if (origins[l].map == GC_NO_MAP)
            continue;
        const float *source = source_of(w, image, origins[l].map, origins[l].channel / width);
        size_t i = 0;
        while (i < lanes.source_count && lanes.sources[i] != source)
            i++;
        if (i == lanes.source_count)
            lanes.sources[lanes.source_count++] = source;
        lanes.from[l] = (uint8_t)i;
        lanes.from_lane[l] = (uint8_t)(origins[l].channel % width);
    }
    return lanes;
}

/* Whether a block needs no copy: a map that is there already is whole blocks. */
static int is_there(const selecting *w, size_t plane)
{
    const gc_origin origin =
        w->s->origin(w->s, plane % w->blocks * w->engine.kernels->width);
    return origin.map != GC_NO_MAP && w->s->maps[origin.map] == NULL;
}

/* Floats first .. first + count of one block. */
static void select_blocked(const selecting *w, size_t plane, size_t first, size_t count)
{
    const size_t width = w->engine.kernels->width, image = plane / w->blocks;
    gc_origin origins[GC_MAX_WIDTH] = {{0}};
    float *to = w->s->to + image * w->stride + plane % w->blocks * w->plane;
    if (is_there(w, plane))
        return;
    find_origins(w, plane, origins);
    if (is_whole_block(w, origins)) {
        const float *from = source_of(w, image, origins[0].map, origins[0].channel / width);
        memcpy(to + first, from + first, count * sizeof *to);
        return;
    }
    const gc_lanes lanes = lanes_of(w, image, origins);
    w->engine.kernels->blocked_gather(&lanes, first / width, count / width, to);
}

static void select_piece(void *argument, gc_rows piece, size_t worker)
{
    (void)worker;
    const selecting *w = argument;
    const size_t first = piece.row * w->length;
    const size_t count = gc_min(piece.rows * w->length, w->plane - first);
    if (w->s->layout == GC_PLAIN)
        select_plain(w, piece.block, first, count);
    else
        select_blocked(w, piece.block, first, count);
}

const char *gc_selecting_algorithm(const gc_layer_query *query)
{
    return query->copied == 0                           ? "channels in place"
           : query->copied == query->layer->input_count ? "channels copied"
                                                        : "some channels copied";
}

void gc_select_channels(gc_engine engine, const gc_selection *selection)
{
    const size_t width = selection->layout == GC_PLAIN ? 1 : engine.kernels->width;
    selecting w = {.engine = engine,
                   .s = selection,
                   .blocks = gc_divide_up(selection->shape.channels, width)};
    w.plane = gc_map_floats(selection->shape, selection->layout, engine) / w.blocks;
    w.length = gc_even_share(w.plane / width, PIECE / width) * width;
    w.stride = selection->stride == 0 ? w.blocks * w.plane : selection->stride;
    gc_parallel_rows(engine, selection->count * w.blocks, gc_divide_up(w.plane, w.length),
                     w.length, select_piece, &w);
}

/* ---- Layers of one input ------------------------------------------------------------------ */

static void select_forward(const gc_layer *layer, const gc_forward_step *step, gc_origin_of origin)
{
    const gc_selection s = {.layer = layer,
                            .origin = origin,
                            .count = step->count,
                            .layout = step->layouts.writes,
                            .in = step->in,
                            .from = step->in,
                            .maps = step->x,
                            .shape = step->out,
                            .to = step->y};
    gc_select_channels(step->engine, &s);
}

static void select_backward(const gc_layer *layer, const gc_backward_step *step,
                            gc_origin_of origin)
{
    const gc_selection s = {.layer = layer,
                            .origin = origin,
                            .count = step->count,
                            .layout = step->layouts.writes,
                            .in = step->in,
                            .from = &step->out,
                            .maps = &step->dy,
                            .shape = step->in[0],
                            .to = step->dx[0]};
    gc_select_channels(step->engine, &s);
}

/* ---- Slice -------------------------------------------------------------------------------- */

static gc_status slice_shape(const gc_layer *layer, const gc_shape *in, gc_shape *out,
                             gc_error *error)
{
    if (layer->range[1] > in->channels)
        return gc_fail(error, GC_BAD_ARGUMENT,
                       "a slice of the channels %zu to %zu needs %zu channels, but the input has "
                       "%zu",
                       layer->range[0], layer->range[1] - 1, layer->range[1], in->channels);
    *out = *in;
    out->channels = layer->range[1] - layer->range[0];
    return GC_OK;
}

static gc_origin slice_origin(const gc_selection *s, size_t channel)
{
    return (gc_origin){.channel = s->layer->range[0] + channel};
}

static gc_origin slice_back(const gc_selection *s, size_t channel)
{
    const size_t *range = s->layer->range;
    if (channel < range[0] || channel >= range[1])
        return (gc_origin){.map = GC_NO_MAP};
    return (gc_origin){.channel = channel - range[0]};
}

static void slice_forward(const gc_layer *layer, const gc_forward_step *step)
{
    select_forward(layer, step, slice_origin);
}

static void slice_backward(const gc_layer *layer, const gc_backward_step *step)
{
    select_backward(layer, step, slice_back);
}

const gc_layer_type gc_slice_layer = {
    .name = "slice",
    .shape = slice_shape,
    .layouts = gc_as_given,
    .algorithm = gc_selecting_algorithm,
    .forward = slice_forward,
    .backward = slice_backward,
};

/* ---- Channel shuffle ---------------------------------------------------------------------- */

static gc_status shuffle_shape(const gc_layer *layer, const gc_shape *in, gc_shape *out,
                               gc_error *error)
{
    if (in->channels % layer->groups != 0)
        return gc_fail(error, GC_BAD_ARGUMENT, "%zu groups do not divide the %zu channels of the "
                       "input", layer->groups, in->channels);
    *out = *in;
    return GC_OK;
}

/* The channels as a matrix of `rows` rows, transposed. */
static gc_origin transposed(size_t channels, size_t rows, size_t channel)
{
    return (gc_origin){.channel = channel % rows * (channels / rows) + channel / rows};
}

static gc_origin shuffle_origin(const gc_selection *s, size_t channel)
{
    return transposed(s->shape.channels, s->layer->groups, channel);
}

static gc_origin shuffle_back(const gc_selection *s, size_t channel)
{
    return transposed(s->shape.channels, s->shape.channels / s->layer->groups, channel);
}

static void shuffle_forward(const gc_layer *layer, const gc_forward_step *step)
{
    select_forward(layer, step, shuffle_origin);
}

static void shuffle_backward(const gc_layer *layer, const gc_backward_step *step)
{
    select_backward(layer, step, shuffle_back);
}

const gc_layer_type gc_shuffle_layer = {
    .name = "channel_shuffle",
    .shape = shuffle_shape,
    .layouts = gc_as_given,
    .forward = shuffle_forward,
    .backward = shuffle_backward,
};
