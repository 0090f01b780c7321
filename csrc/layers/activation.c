/* activation.c: functions of each value by itself (gc_activation), except the ReLU.
 *
 * They work on both layouts. The record of a piecewise linear function is one bit for each value:
 * low < x < high for the clip, else x > 0. That of all others is the derivative of each value.
 *
 * Values are in blocks, and a block's in rows. Of blocked maps a row is one of the block's. Plain
 * maps and vectors have one block for an image, or for a channel if it has a slope of its own;
 * their rows are as long as one thread takes at a time. */
#include <string.h>

#include "base/status.h"
#include "base/watch.h"
#include "layers/blocked.h"
#include "layers/sequence.h"

typedef struct row row;
typedef struct rows rows;

struct rows {
    const gc_kernels *kernels;
    const gc_activation *activation;
    unsigned masks;
    gc_layout layout;
    gc_shape shape;
    gc_blocked blocked; /* of blocked maps */
    size_t blocks;      /* of an image */
    size_t block;       /* plain: values of a block */
    size_t height;      /* rows of a block */
    size_t length;      /* of a row, in values; of a plain block's last one: at most */
    size_t row_bytes;   /* of the record of a row, */
    size_t block_bytes; /* and of a block */
    size_t recorded;    /* block b belongs to block b % recorded of the record */
    void (*run)(const rows *r, const row *row);
    const float *from;
    float *to;
    uint8_t *record;    /* or NULL */
};

struct row {
    size_t block, first; /* plain: the number of its first value in the block */
    size_t count;
    const float *from;
    float *to;
    uint8_t *record;     /* or NULL */
};

enum { LENGTH = 1 << 14 }; /* of a row of plain values, at most */

static int is_leaky(const gc_activation *activation)
{
    return activation->kind == GC_LEAKY_RELU || activation->kind == GC_PRELU;
}

static int is_recorded_in_bits(const gc_activation *activation)
{
    return activation->kind == GC_CLIP || is_leaky(activation);
}

/* Whether each channel has a slope of its own. */
static int has_slopes(const gc_activation *activation)
{
    return activation->kind == GC_PRELU && activation->slope_count > 1;
}

/* Whether a value of zero becomes another one. */
static int moves_zero(const gc_activation *activation)
{
    return activation->kind == GC_SIGMOID || activation->kind == GC_HARD_SIGMOID
           || (activation->kind == GC_CLIP
               && !(activation->low <= 0.0f && activation->high >= 0.0f));
}

static size_t record_bytes(const gc_activation *activation, size_t values)
{
    return is_recorded_in_bits(activation) ? gc_divide_up(values, 8) : values * sizeof(float);
}

static rows make_rows(const gc_activation *activation, gc_engine engine, gc_shape shape,
                      gc_layout layout)
{
    rows r = {.kernels = engine.kernels, .activation = activation, .layout = layout,
              .shape = shape};
    if (layout == GC_BLOCKED) {
        r.blocked = gc_blocked_of(shape, engine);
        r.blocks = r.blocked.blocks;
        r.height = r.blocked.height;
        r.length = r.blocked.width * engine.kernels->width;
        r.row_bytes = record_bytes(activation, r.length);
        r.block_bytes = r.height * r.row_bytes;
        return r;
    }
    r.blocks = has_slopes(activation) && !shape.flat ? shape.channels : 1;
    r.block = gc_values(shape) / r.blocks;
    r.height = gc_divide_up(r.block, LENGTH);
    r.length = gc_min(r.block, LENGTH);
    r.row_bytes = record_bytes(activation, r.length);
    r.block_bytes = record_bytes(activation, r.block);
    return r;
}

static row row_of(const rows *r, size_t block, size_t number)
{
    row w = {.block = block, .count = r->length};
    size_t offset;
    if (r->layout == GC_BLOCKED) {
        offset = gc_blocked_offset(&r->blocked, r->kernels->width, block, number, 0);
    } else {
        w.first = number * r->length;
        w.count = gc_min(r->length, r->block - w.first);
        offset = block * r->block + w.first;
    }
    w.from = r->from + offset;
    w.to = r->to + offset;
    if (r->record != NULL)
        w.record = r->record + block % r->recorded * r->block_bytes + number * r->row_bytes;
    return w;
}

/* The slopes of a row: as leaky_forward wants them, or those of a block in `lanes`. */
static const float *slopes_of(const rows *r, const row *w, float *lanes, size_t *period)
{
    const gc_activation *a = r->activation;
    *period = 1;
    if (a->kind == GC_LEAKY_RELU)
        return &a->slope;
    if (a->slope_count == 1)
        return a->slopes;
    if (r->layout == GC_PLAIN && !r->shape.flat)
        return a->slopes + w->block % r->shape.channels;
    *period = r->shape.flat ? w->count : r->kernels->width;
    if (r->shape.flat)
        return a->slopes + w->first;
    const size_t first = w->block % r->blocks * *period;
    memcpy(lanes, a->slopes + first, gc_min(*period, a->slope_count - first) * sizeof *lanes);
    return lanes;
}

/* Write zeros into the channels that fill up the last block. */
static void zero_filling(const rows *r, const row *w)
{
    const size_t width = r->kernels->width, used = r->shape.channels % width;
    if (r->layout == GC_PLAIN || used == 0 || !moves_zero(r->activation)
        || w->block % r->blocks + 1 < r->blocks)
        return;
    for (size_t i = 0; i < w->count; i += width)
        memset(w->to + i + used, 0, (width - used) * sizeof(float));
}

static void forward_row(const rows *r, const row *w)
{
    const gc_activation *a = r->activation;
    if (is_leaky(a)) {
        float lanes[GC_MAX_WIDTH] = {0};
        size_t period;
        const float *slopes = slopes_of(r, w, lanes, &period);
        r->kernels->leaky_forward(w->count, slopes, period, w->from, w->to, w->record);
    } else if (a->kind == GC_CLIP) {
        r->kernels->clip_forward(w->count, a->low, a->high, w->from, w->to, w->record);
    } else {
        r->kernels->activation_forward(a, w->count, w->from, w->to, (float *)w->record);
    }
    zero_filling(r, w);
}

static void backward_row(const rows *r, const row *w)
{
    const gc_activation *a = r->activation;
    if (is_leaky(a)) {
        float lanes[GC_MAX_WIDTH] = {0};
        size_t period;
        const float *slopes = slopes_of(r, w, lanes, &period);
        r->kernels->leaky_backward(w->count, slopes, period, r->masks, w->record, w->from, w->to);
    } else if (a->kind == GC_CLIP) {
        r->kernels->relu_backward(w->count, GC_MASK_INPUT, w->record, w->from, w->to);
    } else {
        r->kernels->multiply(w->count, (const float *)w->record, w->from, w->to);
    }
}

static void some_rows(void *argument, gc_rows piece, size_t worker)
{
    (void)worker;
    const rows *r = argument;
    if (r->layout == GC_BLOCKED && r->to != r->from)
        gc_zero_around(&r->blocked, r->kernels->width, piece, r->to);
    for (size_t number = piece.row; number < piece.row + piece.rows; number++) {
        const row w = row_of(r, piece.block, number);
        r->run(r, &w);
    }
}

static void run_rows(gc_engine engine, size_t images, rows r)
{
    gc_parallel_rows(engine, images * r.blocks, r.height, r.length, some_rows, &r);
}

/* ---- The layer ---------------------------------------------------------------------------- */

static gc_status activation_shape(const gc_layer *layer, const gc_shape *in, gc_shape *out,
                                  gc_error *error)
{
    const gc_activation *a = &layer->activation;
    if (has_slopes(a) && a->slope_count != in->channels)
        return gc_fail(error, GC_BAD_ARGUMENT,
                       "there are %zu slopes, but the input has %zu channels: give 1 slope, or one "
                       "for each channel",
                       a->slope_count, in->channels);
    *out = *in;
    return GC_OK;
}

static size_t activation_record_bytes(const gc_layer_query *query)
{
    const rows r =
        make_rows(&query->layer->activation, query->engine, query->out, query->writes);
    return r.blocks * r.block_bytes;
}

static void activation_forward(const gc_layer *layer, const gc_forward_step *step)
{
    rows r = make_rows(&layer->activation, step->engine, step->out, step->layouts.writes);
    r.recorded = step->count * r.blocks;
    r.run = forward_row;
    r.from = step->x[0];
    r.to = step->y;
    r.record = step->record;
    run_rows(step->engine, step->count, r);
}

static void activation_backward(const gc_layer *layer, const gc_backward_step *step)
{
    rows r = make_rows(&layer->activation, step->engine, step->out, step->layouts.writes);
    r.recorded = step->batch * r.blocks;
    r.run = backward_row;
    r.masks = step->masks;
    r.from = step->dy;
    r.to = step->dx[0];
    r.record = (uint8_t *)step->record;
    run_rows(step->engine, step->count, r);
}

const gc_layer_type gc_activation_layer = {
    .name = "activation",
    .relevance = GC_PASSES,
    .backward_in_place = 1,
    .shape = activation_shape,
    .layouts = gc_as_given,
    .record_bytes = activation_record_bytes,
    .forward = activation_forward,
    .backward = activation_backward,
};

gc_status gc_activate(gc_activation_kind kind, size_t count, const float *x, float *y,
                      float *derivatives, gc_error *error)
{
    const gc_engine engine = gc_engine_now();
    const gc_activation activation = {.kind = kind};
    const gc_status status = gc_check_sizes("the input", &count, 1, error);
    if (status != GC_OK)
        return status;
    if (kind != GC_SIGMOID && kind != GC_TANH)
        return gc_fail(error, GC_BAD_ARGUMENT, "activation %d is no function of arrays", (int)kind);
    rows r = make_rows(&activation, engine, (gc_shape){count, 1, 1, 1}, GC_PLAIN);
    r.recorded = r.blocks;
    r.run = forward_row;
    r.from = x;
    r.to = y;
    r.record = (uint8_t *)derivatives;
    run_rows(engine, 1, r);
    return gc_stopped() ? gc_fail_interrupted(error) : GC_OK;
}
