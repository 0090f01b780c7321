/* join.c: the layers of several inputs: the sum of maps, their product, and their concatenation
 * along the channels. All work on both layouts. */
#include <string.h>

#include "base/status.h"
#include "base/threads.h"
#include "layers/affine.h"
#include "layers/channels.h"
#include "layers/copy.h"

static int same_shape(gc_shape a, gc_shape b)
{
    return a.channels == b.channels && a.height == b.height && a.width == b.width
           && a.flat == b.flat;
}

/* ---- Sum ---------------------------------------------------------------------------------- */

static gc_status sum_shape(const gc_layer *layer, const gc_shape *in, gc_shape *out,
                           gc_error *error)
{
    for (size_t i = 1; i < layer->input_count; i++)
        if (!same_shape(in[i], in[0]))
            return gc_fail(error, GC_BAD_ARGUMENT,
                           "the inputs of a sum must have one shape, but they have "
                           "%zu x %zu x %zu and %zu x %zu x %zu",
                           in[0].channels, in[0].height, in[0].width, in[i].channels,
                           in[i].height, in[i].width);
    *out = in[0];
    return GC_OK;
}

/* The zeros around blocked maps are added, too. */
static void sum_forward(const gc_layer *layer, const gc_forward_step *step)
{
    gc_add_floats(step->engine,
                  step->count * gc_map_floats(step->out, step->layouts.writes, step->engine),
                  layer->input_count, step->x, step->y);
}

const gc_layer_type gc_sum_layer = {
    .name = "add",
    .relevance = GC_SHARES,
    .shape = sum_shape,
    .layouts = gc_as_given,
    .forward = sum_forward,
};

/* ---- Concatenation ------------------------------------------------------------------------ */

static gc_status concatenation_shape(const gc_layer *layer, const gc_shape *in, gc_shape *out,
                                     gc_error *error)
{
    *out = in[0];
    for (size_t i = 1; i < layer->input_count; i++) {
        if (in[i].height != in[0].height || in[i].width != in[0].width
            || in[i].flat != in[0].flat)
            return gc_fail(error, GC_BAD_ARGUMENT,
                           "the inputs of a concatenation must have one height and width, "
                           "but they have %zu x %zu and %zu x %zu",
                           in[0].height, in[0].width, in[i].height, in[i].width);
        out->channels += in[i].channels;
    }
    return GC_OK;
}

static size_t concatenation_scratch_bytes(const gc_layer_query *query)
{
    return (query->layer->input_count + 1) * sizeof(size_t);
}

/* The first channel of each input in the output, and the number of all, in scratch memory. */
static const size_t *find_starts(const gc_layer *layer, const gc_shape *in, void *scratch)
{
    size_t *starts = scratch;
    starts[0] = 0;
    for (size_t i = 0; i < layer->input_count; i++)
        starts[i + 1] = starts[i] + in[i].channels;
    return starts;
}

/* By bisection: starts[low] <= channel < starts[high]. */
static gc_origin concatenation_origin(const gc_selection *s, size_t channel)
{
    size_t low = 0, high = s->layer->input_count;
    while (high - low > 1) {
        const size_t middle = low + (high - low) / 2;
        if (s->starts[middle] <= channel)
            low = middle;
        else
            high = middle;
    }
    return (gc_origin){.map = low, .channel = channel - s->starts[low]};
}

static gc_origin concatenation_back(const gc_selection *s, size_t channel)
{
    return (gc_origin){.channel = s->starts[s->input] + channel};
}

static void concatenation_forward(const gc_layer *layer, const gc_forward_step *step)
{
    const gc_selection s = {.layer = layer,
                            .origin = concatenation_origin,
                            .starts = find_starts(layer, step->in, step->scratch),
                            .count = step->count,
                            .layout = step->layouts.writes,
                            .in = step->in,
                            .from = step->in,
                            .maps = step->x,
                            .shape = step->out,
                            .to = step->y,
                            .stride = step->y_stride};
    gc_select_channels(step->engine, &s);
}

static void concatenation_backward(const gc_layer *layer, const gc_backward_step *step)
{
    gc_selection s = {.layer = layer,
                      .origin = concatenation_back,
                      .starts = find_starts(layer, step->in, step->scratch),
                      .count = step->count,
                      .layout = step->layouts.writes,
                      .in = step->in,
                      .from = &step->out,
                      .maps = &step->dy};
    for (s.input = 0; s.input < layer->input_count; s.input++) {
        if (step->dx[s.input] == NULL)
            continue;
        s.shape = step->in[s.input];
        s.to = step->dx[s.input];
        gc_select_channels(step->engine, &s);
    }
}

const gc_layer_type gc_concatenation_layer = {
    .name = "concatenate",
    .shape = concatenation_shape,
    .layouts = gc_as_given,
    .algorithm = gc_selecting_algorithm,
    .scratch_bytes = concatenation_scratch_bytes,
    .forward = concatenation_forward,
    .backward = concatenation_backward,
};

/* ---- Product ------------------------------------------------------------------------------ */

/* Its record is both inputs of each image. If one input has one position and the other has more,
 * it scales the other's channels, and is always plain: the factors. */

/* The number of the factors among the inputs; 2: none, both have one shape. */
static size_t factors_of(const gc_shape *in)
{
    return gc_positions(in[0]) == gc_positions(in[1]) ? 2 : gc_positions(in[0]) == 1 ? 0 : 1;
}

static gc_status product_shape(const gc_layer *layer, const gc_shape *in, gc_shape *out,
                               gc_error *error)
{
    (void)layer;
    const int fits = in[0].channels == in[1].channels
                     && (gc_positions(in[0]) == 1 || gc_positions(in[1]) == 1
                         || same_shape(in[0], in[1]));
    if (!fits)
        return gc_fail(error, GC_BAD_ARGUMENT,
                       "the inputs of a product must have one shape, or one of them one value for "
                       "each channel of the other, but they have %zu x %zu x %zu and "
                       "%zu x %zu x %zu",
                       in[0].channels, in[0].height, in[0].width, in[1].channels, in[1].height,
                       in[1].width);
    *out = gc_positions(in[0]) > 1 || !in[0].flat ? in[0] : in[1];
    if (gc_positions(in[1]) > 1)
        *out = in[1];
    return GC_OK;
}

static gc_layouts product_layouts(const gc_layer_query *query, gc_layout given)
{
    const gc_layout layout = gc_positions(query->out) == 1 ? GC_PLAIN : given;
    return (gc_layouts){.reads = layout, .writes = layout};
}

static size_t product_record_bytes(const gc_layer_query *query)
{
    const size_t map = gc_map_floats(query->out, query->writes, query->engine);
    const size_t other = factors_of(query->in) == 2 ? map : query->out.channels;
    return (map + other) * sizeof(float);
}

/* What both directions work on. */
typedef struct product {
    gc_engine engine;
    gc_shape shape;
    gc_layout layout;
    size_t factors;           /* as above */
    size_t floats[2];         /* of one image's inputs */
    size_t blocks;            /* backward: planes, or blocks, of one image's map */
    size_t batch;             /* images of the record */
    const float *record;
    const float *dy;
    float *dx;
} product;

static product make_product(gc_engine engine, const gc_shape *in, gc_shape out, gc_layout layout)
{
    product p = {.engine = engine, .shape = out, .layout = layout, .factors = factors_of(in)};
    for (size_t k = 0; k < 2; k++)
        p.floats[k] = k == p.factors ? out.channels : gc_map_floats(out, layout, engine);
    return p;
}

/* One recorded input of an image. */
static const float *recorded(const product *p, size_t image, size_t input)
{
    const size_t floats = p->floats[0] + p->floats[1];
    return p->record + image % p->batch * floats + (input == 0 ? 0 : p->floats[0]);
}

static void product_forward(const gc_layer *layer, const gc_forward_step *step)
{
    (void)layer;
    const product p = make_product(step->engine, step->in, step->out, step->layouts.writes);
    if (p.factors == 2)
        gc_multiply_floats(step->engine, step->count * p.floats[0], step->x[0], step->x[1],
                           step->y);
    else
        gc_scale_maps(step->engine, (gc_scaling){.count = step->count,
                                                 .shape = step->out,
                                                 .layout = step->layouts.writes,
                                                 .scale = step->x[p.factors],
                                                 .images = step->count,
                                                 .stride = step->out.channels,
                                                 .from = step->x[1 - p.factors],
                                                 .to = step->y});
    float *record = step->record;
    for (size_t n = 0; record != NULL && n < step->count; n++)
        for (size_t k = 0; k < 2; k++, record += p.floats[k - 1])
            gc_copy_floats(step->engine, p.floats[k], step->x[k] + n * p.floats[k], record);
}

/* The gradient of the factors of some planes, or blocks. */
static void some_factors(void *argument, gc_rows piece, size_t worker)
{
    (void)worker;
    const product *p = argument;
    const size_t image = piece.block / p->blocks, block = piece.block % p->blocks;
    const size_t plane = p->floats[1 - p->factors] / p->blocks;
    const float *x = recorded(p, image, 1 - p->factors) + block * plane;
    const float *dy = p->dy + piece.block * plane;
    float *dx = p->dx + image * p->shape.channels;
    if (p->layout == GC_PLAIN) {
        p->engine.kernels->dot(plane, x, dy, dx + block);
        return;
    }
    const size_t width = p->engine.kernels->width, first = block * width;
    float sums[GC_MAX_WIDTH];
    p->engine.kernels->blocked_dot(plane / width, x, dy, sums);
    memcpy(dx + first, sums, gc_min(width, p->shape.channels - first) * sizeof *sums);
}

/* The gradient of one input is that of the output times the other input. */
static void product_backward(const gc_layer *layer, const gc_backward_step *step)
{
    (void)layer;
    product p = make_product(step->engine, step->in, step->out, step->layouts.writes);
    p.blocks = p.layout == GC_PLAIN ? p.shape.channels
                                    : gc_blocked_of(p.shape, p.engine).blocks;
    p.batch = step->batch;
    p.record = step->record;
    p.dy = step->dy;
    for (size_t k = 0; k < 2; k++) {
        p.dx = step->dx[k];
        if (p.dx == NULL)
            continue;
        if (k == p.factors)
            gc_parallel_rows(p.engine, step->count * p.blocks, 1, p.floats[1 - k] / p.blocks,
                             some_factors, &p);
        else if (p.factors == 2)
            for (size_t n = 0; n < step->count; n++)
                gc_multiply_floats(p.engine, p.floats[k], p.dy + n * p.floats[k],
                                   recorded(&p, n, 1 - k), p.dx + n * p.floats[k]);
        else
            gc_scale_maps(p.engine, (gc_scaling){.count = step->count,
                                                 .shape = p.shape,
                                                 .layout = p.layout,
                                                 .scale = recorded(&p, 0, 1 - k),
                                                 .images = step->batch,
                                                 .stride = p.floats[0] + p.floats[1],
                                                 .from = p.dy,
                                                 .to = p.dx});
    }
}

const gc_layer_type gc_product_layer = {
    .name = "multiply",
    .relevance = GC_SELECTS,
    .plain_vectors = 1,
    .shape = product_shape,
    .layouts = product_layouts,
    .record_bytes = product_record_bytes,
    .forward = product_forward,
    .backward = product_backward,
};
