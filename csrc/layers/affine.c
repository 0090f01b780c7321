/* affine.c: y = scale[c] x + shift[c]: batch normalisation at inference, on both layouts, and the
 * ReLU after it. */
#include <string.h>

#include "base/status.h"
#include "base/threads.h"
#include "layers/affine.h"

/* Planes, in one of the layouts, with a scale and a shift for each; shared out among threads. */
typedef struct planes {
    const gc_kernels *kernels;
    gc_scaling scaling;
    gc_blocked shape;   /* of blocked maps */
    size_t mask_bytes;  /* of a vector */
    size_t from_stride; /* floats from one image to the next */
    size_t length;      /* of a piece of a plain plane, at most; whole bytes of bits */
} planes;

enum { PIECE = 1 << 14 }; /* values of a piece of a plain plane, at most */

/* Where the scales and shifts of an image begin. */
static const float *of_image(const float *values, size_t stride, size_t images, size_t image)
{
    return values == NULL ? NULL : values + image % images * stride;
}

static void plain_piece(void *argument, gc_rows piece, size_t worker)
{
    (void)worker;
    const planes *p = argument;
    const gc_scaling *s = &p->scaling;
    const size_t channel = piece.block % s->shape.channels;
    const float *scale = of_image(s->scale, s->stride, s->images, piece.block / s->shape.channels);
    const size_t first = piece.row * p->length;
    const size_t count = gc_min(piece.rows * p->length, gc_positions(s->shape) - first);
    const size_t offset = piece.block * gc_positions(s->shape) + first;
    p->kernels->affine(count, scale[channel], s->shift == NULL ? 0.0f : s->shift[channel],
                       s->from + offset, s->to + offset);
    if (s->relu) {
        const size_t bytes = piece.block * gc_bit_row_bytes(s->shape) + first / 8;
        p->kernels->relu_forward(count, s->limit, s->to + offset, s->to + offset,
                                 s->bits == NULL ? NULL : s->bits + bytes);
    }
}

/* A vector of a block's values, 0 in the lanes without a channel. */
static void load_lanes(const float *values, size_t first, size_t channels, float *lanes)
{
    memset(lanes, 0, GC_MAX_WIDTH * sizeof *lanes);
    for (size_t l = 0; values != NULL && first + l < channels && l < GC_MAX_WIDTH; l++)
        lanes[l] = values[first + l];
}

static void blocked_piece(void *argument, gc_rows piece, size_t worker)
{
    (void)worker;
    const planes *p = argument;
    const gc_scaling *s = &p->scaling;
    const size_t width = p->kernels->width;
    const size_t image = piece.block / p->shape.blocks;
    const size_t block = piece.block % p->shape.blocks, first = block * width;
    const size_t offset = gc_blocked_offset(&p->shape, width, piece.block, piece.row, 0);
    const float *from = s->from + image * p->from_stride
                        + gc_blocked_offset(&p->shape, width, block, piece.row, 0);
    float scale[GC_MAX_WIDTH], shift[GC_MAX_WIDTH];
    load_lanes(of_image(s->scale, s->stride, s->images, image), first, s->shape.channels, scale);
    load_lanes(s->shift, first, s->shape.channels, shift);
    gc_zero_around(&p->shape, width, piece, s->to);
    const gc_row_sizes sizes = {.rows = piece.rows,
                                .count = p->shape.width,
                                .stride = p->shape.columns * width};
    const size_t bytes = (piece.block * p->shape.height + piece.row) * p->shape.width
                         * p->mask_bytes;
    if (s->relu)
        p->kernels->blocked_affine_relu(sizes, scale, shift, s->limit, from, s->to + offset,
                                        s->bits == NULL ? NULL : s->bits + bytes);
    else
        p->kernels->blocked_affine(sizes, scale, shift, from, s->to + offset);
}

void gc_scale_maps(gc_engine engine, gc_scaling scaling)
{
    planes p = {.kernels = engine.kernels,
                .scaling = scaling,
                .mask_bytes = gc_mask_bytes(engine)};
    if (scaling.layout == GC_BLOCKED) {
        p.shape = gc_blocked_of(scaling.shape, engine);
        p.from_stride = scaling.from_stride != 0
                            ? scaling.from_stride
                            : gc_map_floats(scaling.shape, GC_BLOCKED, engine);
        gc_parallel_rows(engine, scaling.count * p.shape.blocks, p.shape.height,
                         p.shape.width * engine.kernels->width, blocked_piece, &p);
        return;
    }
    const size_t positions = gc_positions(scaling.shape);
    p.length = gc_divide_up(gc_even_share(positions, PIECE), 8) * 8;
    gc_parallel_rows(engine, scaling.count * scaling.shape.channels,
                     gc_divide_up(positions, p.length), p.length, plain_piece, &p);
}

static gc_status affine_shape(const gc_layer *layer, const gc_shape *in, gc_shape *out,
                              gc_error *error)
{
    if (in->channels != layer->channels)
        return gc_fail(error, GC_BAD_ARGUMENT,
                       "scale and shift are for %zu channels, but the input has %zu",
                       layer->channels, in->channels);
    *out = *in;
    return GC_OK;
}

/* Forward, of maps: the bits of a vector's ReLU are not in rows of a channel each. */
static unsigned affine_fuses(const gc_layer_query *query)
{
    return query->backward || query->out.flat ? 0 : GC_FUSES_RELU;
}

static void affine_forward(const gc_layer *layer, const gc_forward_step *step)
{
    gc_scale_maps(step->engine, (gc_scaling){.count = step->count,
                                             .shape = step->out,
                                             .layout = step->layouts.writes,
                                             .scale = layer->weight,
                                             .shift = layer->bias,
                                             .images = 1,
                                             .from = step->x[0],
                                             .from_stride = step->x_stride,
                                             .to = step->y,
                                             .relu = step->fused.relu,
                                             .limit = step->fused.limit,
                                             .bits = step->fused.bits});
}

static void affine_backward(const gc_layer *layer, const gc_backward_step *step)
{
    gc_scale_maps(step->engine, (gc_scaling){.count = step->count,
                                             .shape = step->out,
                                             .layout = step->layouts.writes,
                                             .scale = layer->weight,
                                             .images = 1,
                                             .from = step->dy,
                                             .to = step->dx[0]});
}

const gc_layer_type gc_affine_layer = {
    .name = "affine",
    .relevance = GC_PASSES,
    .backward_in_place = 1,
    .strided = 1,
    .shape = affine_shape,
    .layouts = gc_as_given,
    .fuses = affine_fuses,
    .forward = affine_forward,
    .backward = affine_backward,
};
