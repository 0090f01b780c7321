/* activation.c: functions of each value by itself (gc_activation), except the ReLU.
 *
 * They work on both layouts. The record of a piecewise linear function is one bit for each value:
 * low < x < high for the clip, else x > 0. That of all others is the derivative of each value. It is
 * in rows, which are what lies side by side in memory: of blocked maps a row of a block; of plain
 * maps and vectors an image, or a channel if it has a slope of its own. */
#include <string.h>

#include "base/status.h"
#include "base/threads.h"
#include "layers/blocked.h"

typedef struct rows {
    const gc_kernels *kernels;
    const gc_activation *activation;
    gc_rule rule;
    gc_layout layout;
    gc_shape shape;
    gc_blocked blocked; /* of blocked maps */
    size_t of_image;    /* rows of an image */
    size_t length;      /* of a row, in floats */
    size_t bytes;       /* of a row's record */
    size_t pieces;      /* of a row */
    size_t count;       /* of pieces of all rows */
    size_t share;       /* pieces of a part */
    size_t recorded;    /* row r belongs to row r % recorded of the record */
    const float *from;
    float *to;
    uint8_t *record;    /* or NULL */
} rows;

enum { PIECE = 1 << 14 }; /* values that one thread takes at a time, about */

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

static rows make_rows(const gc_activation *activation, gc_engine engine, gc_shape shape,
                      gc_layout layout)
{
    rows r = {.kernels = engine.kernels,
              .activation = activation,
              .layout = layout,
              .shape = shape,
              .of_image = 1,
              .length = gc_values(shape)};
    if (layout == GC_BLOCKED) {
        r.blocked = gc_blocked_of(shape, engine);
        r.of_image = r.blocked.blocks * r.blocked.height;
        r.length = r.blocked.width * engine.kernels->width;
    } else if (has_slopes(activation) && !shape.flat) {
        r.of_image = shape.channels;
        r.length = gc_positions(shape);
    }
    r.bytes =
        is_recorded_in_bits(activation) ? gc_divide_up(r.length, 8) : r.length * sizeof(float);
    return r;
}

static void share_out(gc_engine engine, size_t images, size_t recorded, gc_part some, rows r)
{
    r.pieces = gc_divide_up(r.length, PIECE);
    r.count = images * r.of_image * r.pieces;
    r.share = r.length < PIECE ? PIECE / r.length : 1;
    r.recorded = recorded * r.of_image;
    if (r.layout == GC_BLOCKED && r.to != r.from)
        gc_zero_borders(engine, images, &r.blocked, r.blocked.height, r.blocked.width, r.to);
    gc_parallel(engine.workers, gc_divide_up(r.count, r.share), some, &r);
}

/* A piece of a row: where it is in the maps and in the record. */
typedef struct piece {
    size_t row, first, count;
    size_t offset;
    uint8_t *record; /* or NULL */
} piece;

static piece piece_of(const rows *r, size_t number)
{
    piece p = {.row = number / r->pieces, .first = number % r->pieces * PIECE};
    p.count = gc_min(r->length - p.first, PIECE);
    p.offset = p.row * r->length + p.first;
    if (r->layout == GC_BLOCKED)
        p.offset = gc_blocked_offset(&r->blocked, r->kernels->width, p.row / r->blocked.height,
                                     p.row % r->blocked.height, 0)
                   + p.first;
    if (r->record != NULL)
        p.record = r->record + p.row % r->recorded * r->bytes
                   + (is_recorded_in_bits(r->activation) ? p.first / 8 : p.first * sizeof(float));
    return p;
}

static size_t end_of_part(const rows *r, size_t part)
{
    return gc_min((part + 1) * r->share, r->count);
}

/* The slopes of a piece: as leaky_forward wants them, or those of a block in `lanes`. */
static const float *slopes_of(const rows *r, const piece *p, float *lanes, size_t *period)
{
    const gc_activation *a = r->activation;
    *period = 1;
    if (a->kind == GC_LEAKY_RELU)
        return &a->slope;
    if (a->slope_count == 1)
        return a->slopes;
    if (r->layout == GC_PLAIN && !r->shape.flat)
        return a->slopes + p->row % r->shape.channels;
    *period = r->shape.flat ? p->count : r->kernels->width;
    if (r->shape.flat)
        return a->slopes + p->first;
    const size_t first = p->row / r->blocked.height % r->blocked.blocks * *period;
    memcpy(lanes, a->slopes + first, gc_min(*period, a->slope_count - first) * sizeof *lanes);
    return lanes;
}

/* Write zeros into the channels that fill up the last block. */
static void zero_filling(const rows *r, const piece *p)
{
    const size_t width = r->kernels->width, used = r->shape.channels % width;
    if (r->layout == GC_PLAIN || used == 0 || !moves_zero(r->activation)
        || p->row / r->blocked.height % r->blocked.blocks + 1 < r->blocked.blocks)
        return;
    for (size_t i = 0; i < p->count; i += width)
        memset(r->to + p->offset + i + used, 0, (width - used) * sizeof(float));
}

static void some_forward(void *argument, size_t part, size_t worker)
{
    (void)worker;
    const rows *r = argument;
    const gc_activation *a = r->activation;
    for (size_t i = part * r->share; i < end_of_part(r, part); i++) {
        const piece p = piece_of(r, i);
        const float *x = r->from + p.offset;
        float *y = r->to + p.offset;
        if (is_leaky(a)) {
            float lanes[GC_MAX_WIDTH] = {0};
            size_t period;
            const float *slopes = slopes_of(r, &p, lanes, &period);
            r->kernels->leaky_forward(p.count, slopes, period, x, y, p.record);
        } else if (a->kind == GC_CLIP) {
            r->kernels->clip_forward(p.count, a->low, a->high, x, y, p.record);
        } else {
            r->kernels->activation_forward(a, p.count, x, y, (float *)p.record);
        }
        zero_filling(r, &p);
    }
}

static void some_backward(void *argument, size_t part, size_t worker)
{
    (void)worker;
    const rows *r = argument;
    const gc_activation *a = r->activation;
    for (size_t i = part * r->share; i < end_of_part(r, part); i++) {
        const piece p = piece_of(r, i);
        const float *dy = r->from + p.offset;
        float *dx = r->to + p.offset;
        if (is_leaky(a)) {
            float lanes[GC_MAX_WIDTH] = {0};
            size_t period;
            const float *slopes = slopes_of(r, &p, lanes, &period);
            r->kernels->leaky_backward(p.count, slopes, period, r->rule, p.record, dy, dx);
        } else if (a->kind == GC_CLIP) {
            r->kernels->relu_backward(p.count, GC_GRADIENT, p.record, dy, dx);
        } else {
            r->kernels->multiply(p.count, (const float *)p.record, dy, dx);
        }
    }
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

static gc_layouts activation_layouts(const gc_layer_query *query, gc_layout given)
{
    (void)query;
    return (gc_layouts){.reads = given, .writes = given};
}

static size_t activation_record_bytes(const gc_layer_query *query)
{
    const rows r =
        make_rows(&query->layer->activation, query->engine, query->out, query->writes);
    return r.of_image * r.bytes;
}

static void activation_forward(const gc_layer *layer, const gc_forward_step *step)
{
    rows r = make_rows(&layer->activation, step->engine, step->out, step->layouts.writes);
    r.from = step->x[0];
    r.to = step->y;
    r.record = step->record;
    share_out(step->engine, step->count, step->count, some_forward, r);
}

static void activation_backward(const gc_layer *layer, const gc_backward_step *step)
{
    rows r = make_rows(&layer->activation, step->engine, step->out, step->layouts.writes);
    r.rule = step->rule;
    r.from = step->dy;
    r.to = step->dx[0];
    r.record = (uint8_t *)step->record;
    share_out(step->engine, step->count, step->batch, some_backward, r);
}

const gc_layer_type gc_activation_layer = {
    .name = "activation",
    .backward_in_place = 1,
    .shape = activation_shape,
    .layouts = activation_layouts,
    .record_bytes = activation_record_bytes,
    .forward = activation_forward,
    .backward = activation_backward,
};
