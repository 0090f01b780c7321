/* norm.c: normalisation over channels: local response normalisation, and layer normalisation, of
 * the channels of each position or of a vector.
 *
 * They work on blocked maps, where the channels of a position are a few vectors; vectors and maps
 * of one position are plain. Their record is their input. */
#include <string.h>

#include "base/status.h"
#include "base/threads.h"
#include "layers/blocked.h"
#include "layers/copy.h"

static size_t input_record_bytes(const gc_layer_query *query)
{
    return gc_map_floats(query->out, query->writes, query->engine) * sizeof(float);
}

static void record_input(const gc_forward_step *step)
{
    if (step->record != NULL)
        gc_copy_floats(step->engine,
                       step->count * gc_map_floats(step->out, step->layouts.writes, step->engine),
                       step->x[0], step->record);
}

/* Blocked maps, some rows of an image at a time. */
typedef struct norm norm;

struct norm {
    const gc_kernels *kernels;
    const gc_layer *layer;
    gc_blocked shape;
    gc_across across;
    gc_lrn_window window;
    size_t image;              /* floats */
    size_t batch;              /* of x: image i belongs to image i % batch */
    const float *weight, *bias; /* of layer normalisation, in whole vectors */
    /* One row, whose floats begin at `at` in dy and `to`. */
    void (*run)(const norm *n, const float *x, size_t at, size_t worker);
    const float *x, *dy;
    float *to;
    float *scratch;            /* of local response normalisation, */
    size_t share;              /* and the floats of each worker */
};

static norm make_norm(const gc_layer *layer, gc_engine engine, gc_shape shape)
{
    norm n = {.kernels = engine.kernels, .layer = layer, .shape = gc_blocked_of(shape, engine)};
    const size_t plane = gc_blocked_plane(&n.shape, engine.kernels->width);
    n.across = (gc_across){.channels = shape.channels, .blocks = n.shape.blocks, .plane = plane};
    n.image = n.shape.blocks * plane;
    return n;
}

/* Some rows of one image. */
static void some_rows(void *argument, gc_rows rows, size_t worker)
{
    const norm *n = argument;
    const size_t lanes = n->kernels->width, image = rows.block;
    for (size_t b = 0; b < n->shape.blocks; b++) {
        const gc_rows around = {
            .block = image * n->shape.blocks + b, .row = rows.row, .rows = rows.rows};
        gc_zero_around(&n->shape, lanes, around, n->to);
    }
    for (size_t r = rows.row; r < rows.row + rows.rows; r++) {
        const size_t at = gc_blocked_offset(&n->shape, lanes, 0, r, 0);
        n->run(n, n->x + image % n->batch * n->image + at, image * n->image + at, worker);
    }
}

static void run_rows(gc_engine engine, size_t count, norm *n)
{
    gc_parallel_rows(engine, count, n->shape.height,
                     n->shape.blocks * n->shape.width * engine.kernels->width, some_rows, n);
}

/* ---- Local response normalisation --------------------------------------------------------- */

static gc_status lrn_shape(const gc_layer *layer, const gc_shape *in, gc_shape *out,
                           gc_error *error)
{
    if (in->flat)
        return gc_fail(error, GC_BAD_ARGUMENT,
                       "local response normalisation needs a map, but its input is a vector");
    return gc_same_shape(layer, in, out, error);
}

static gc_layouts always_blocked(const gc_layer_query *query, gc_layout given)
{
    (void)query;
    (void)given;
    return (gc_layouts){.reads = GC_BLOCKED, .writes = GC_BLOCKED};
}

/* Windows need not reach beyond all channels. */
static gc_lrn_window window_of(const gc_lrn *lrn, size_t channels)
{
    return (gc_lrn_window){.before = gc_min(lrn->size / 2, channels - 1),
                           .after = gc_min((lrn->size - 1) / 2, channels - 1),
                           .scale = lrn->alpha / (float)lrn->size,
                           .beta = lrn->beta,
                           .k = lrn->k};
}

static size_t lrn_scratch_floats(const gc_layer *layer, gc_engine engine, gc_shape shape)
{
    const norm n = make_norm(layer, engine, shape);
    const gc_lrn_window window = window_of(&layer->lrn, shape.channels);
    return gc_lrn_scratch(&n.across, &window, engine.kernels->width);
}

static size_t lrn_scratch_bytes(const gc_layer_query *query)
{
    return query->engine.workers * sizeof(float)
           * lrn_scratch_floats(query->layer, query->engine, query->out);
}

static norm make_lrn(const gc_layer *layer, gc_engine engine, gc_shape shape, void *scratch)
{
    norm n = make_norm(layer, engine, shape);
    n.window = window_of(&layer->lrn, shape.channels);
    n.scratch = scratch;
    n.share = lrn_scratch_floats(layer, engine, shape);
    return n;
}

static void lrn_forward_row(const norm *n, const float *x, size_t at, size_t worker)
{
    n->kernels->lrn_forward(&n->across, &n->window, n->shape.width, x, n->to + at,
                            n->scratch + worker * n->share);
}

static void lrn_backward_row(const norm *n, const float *x, size_t at, size_t worker)
{
    n->kernels->lrn_backward(&n->across, &n->window, n->shape.width, x, n->dy + at, n->to + at,
                             n->scratch + worker * n->share);
}

static void lrn_forward(const gc_layer *layer, const gc_forward_step *step)
{
    norm n = make_lrn(layer, step->engine, step->out, step->scratch);
    n.batch = step->count;
    n.run = lrn_forward_row;
    n.x = step->x[0];
    n.to = step->y;
    run_rows(step->engine, step->count, &n);
    record_input(step);
}

static void lrn_backward(const gc_layer *layer, const gc_backward_step *step)
{
    norm n = make_lrn(layer, step->engine, step->out, step->scratch);
    n.batch = step->batch;
    n.run = lrn_backward_row;
    n.x = step->record;
    n.dy = step->dy;
    n.to = step->dx[0];
    run_rows(step->engine, step->count, &n);
}

const gc_layer_type gc_lrn_layer = {
    .name = "local_response_norm",
    .relevance = GC_PASSES,
    .backward_in_place = 1,
    .shape = lrn_shape,
    .layouts = always_blocked,
    .record_bytes = input_record_bytes,
    .scratch_bytes = lrn_scratch_bytes,
    .forward = lrn_forward,
    .backward = lrn_backward,
};

/* ---- Layer normalisation ------------------------------------------------------------------ */

static gc_status layer_norm_shape(const gc_layer *layer, const gc_shape *in, gc_shape *out,
                                  gc_error *error)
{
    if (in->channels != layer->layer_norm.channels)
        return gc_fail(error, GC_BAD_ARGUMENT,
                       "the weight is for %zu channels, but the input has %zu",
                       layer->layer_norm.channels, in->channels);
    *out = *in;
    return GC_OK;
}

static gc_layouts blocked_maps(const gc_layer_query *query, gc_layout given)
{
    (void)given;
    const gc_layout layout = gc_positions(query->out) == 1 ? GC_PLAIN : GC_BLOCKED;
    return (gc_layouts){.reads = layout, .writes = layout};
}

/* Weight and bias in whole vectors. */
static size_t layer_norm_scratch_bytes(const gc_layer_query *query)
{
    return 2 * gc_divide_up(query->out.channels, query->engine.kernels->width)
           * query->engine.kernels->width * sizeof(float);
}

static norm make_layer_norm(const gc_layer *layer, gc_engine engine, gc_shape shape, float *scratch)
{
    norm n = make_norm(layer, engine, shape);
    const size_t padded = n.shape.blocks * engine.kernels->width;
    memset(scratch, 0, 2 * padded * sizeof *scratch);
    memcpy(scratch, layer->weight, shape.channels * sizeof *scratch);
    if (layer->bias != NULL)
        memcpy(scratch + padded, layer->bias, shape.channels * sizeof *scratch);
    n.weight = scratch;
    n.bias = scratch + padded;
    return n;
}

static void forward_row(const norm *n, const float *x, size_t at, size_t worker)
{
    (void)worker;
    n->kernels->blocked_layer_norm_forward(&n->across, n->layer->layer_norm.eps, n->weight,
                                           n->bias, n->shape.width, x, n->to + at);
}

static void backward_row(const norm *n, const float *x, size_t at, size_t worker)
{
    (void)worker;
    n->kernels->blocked_layer_norm_backward(&n->across, n->layer->layer_norm.eps, n->weight,
                                            n->shape.width, x, n->dy + at, n->to + at);
}

/* One plain vector, of image number `part`. */
static void one_forward(void *argument, size_t part, size_t worker)
{
    (void)worker;
    const norm *n = argument;
    const size_t at = part * n->across.channels;
    n->kernels->layer_norm_forward(n->across.channels, n->layer->layer_norm.eps, n->layer->weight,
                                   n->layer->bias, n->x + at, n->to + at);
}

static void one_backward(void *argument, size_t part, size_t worker)
{
    (void)worker;
    const norm *n = argument;
    const size_t channels = n->across.channels, at = part * channels;
    n->kernels->layer_norm_backward(channels, n->layer->layer_norm.eps, n->layer->weight,
                                    n->x + part % n->batch * channels, n->dy + at, n->to + at);
}

static void layer_norm_forward(const gc_layer *layer, const gc_forward_step *step)
{
    norm n = make_layer_norm(layer, step->engine, step->out, step->scratch);
    n.batch = step->count;
    n.run = forward_row;
    n.x = step->x[0];
    n.to = step->y;
    if (step->layouts.writes == GC_PLAIN)
        gc_parallel(step->engine.workers, step->count, one_forward, &n);
    else
        run_rows(step->engine, step->count, &n);
    record_input(step);
}

static void layer_norm_backward(const gc_layer *layer, const gc_backward_step *step)
{
    norm n = make_layer_norm(layer, step->engine, step->out, step->scratch);
    n.batch = step->batch;
    n.run = backward_row;
    n.x = step->record;
    n.dy = step->dy;
    n.to = step->dx[0];
    if (step->layouts.writes == GC_PLAIN)
        gc_parallel(step->engine.workers, step->count, one_backward, &n);
    else
        run_rows(step->engine, step->count, &n);
}

const gc_layer_type gc_layer_norm_layer = {
    .name = "layer_norm",
    .relevance = GC_PASSES,
    .backward_in_place = 1,
    .shape = layer_norm_shape,
    .layouts = blocked_maps,
    .record_bytes = input_record_bytes,
    .scratch_bytes = layer_norm_scratch_bytes,
    .forward = layer_norm_forward,
    .backward = layer_norm_backward,
};
