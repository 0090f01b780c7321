/* relu.c: y = min(max(x, 0), limit), and the three rules of its gradient (see gc_rule).
 *
 * It works on both layouts. Its record is one bit per value, 0 < x < limit: of plain maps in one row per
 * channel (a vector is one row), of blocked maps a mask for each position of a block. */
#include "base/threads.h"
#include "layers/blocked.h"

static gc_layouts relu_layouts(const gc_layer_query *query, gc_layout given)
{
    (void)query;
    return (gc_layouts){.reads = given, .writes = given};
}

static size_t relu_record_bytes(const gc_layer_query *query)
{
    return query->writes == GC_BLOCKED ? gc_record_mask_bytes(query->out, query->engine)
                                       : gc_bit_rows(query->out) * gc_bit_row_bytes(query->out);
}

/* The rows of a step, shared out among threads: plain rows, or those of blocked planes. */
typedef struct rows {
    const gc_kernels *kernels;
    gc_layout layout;
    gc_rule rule;
    float limit;
    gc_blocked shape; /* of blocked maps */
    size_t count;     /* of rows */
    size_t length;    /* of a row, in floats, in vectors */
    size_t bytes;     /* of its bits */
    size_t recorded;  /* row r belongs to row r % recorded of the record */
    const float *from;
    float *to;
    uint8_t *bits;    /* or NULL */
} rows;

enum { ROWS = 16 }; /* what one thread takes at a time */

static rows make_rows(gc_engine engine, gc_shape shape, gc_layout layout, size_t images,
                      size_t recorded)
{
    rows r = {.kernels = engine.kernels, .layout = layout};
    size_t rows_of_image = gc_bit_rows(shape);
    r.length = gc_bit_row_length(shape);
    r.bytes = gc_bit_row_bytes(shape);
    if (layout == GC_BLOCKED) {
        r.shape = gc_blocked_of(shape, engine);
        rows_of_image = r.shape.blocks * r.shape.height;
        r.length = r.shape.width;
        r.bytes = r.length * gc_mask_bytes(engine);
    }
    r.count = images * rows_of_image;
    r.recorded = recorded * rows_of_image;
    return r;
}

static size_t offset_of(const rows *r, size_t row)
{
    const gc_blocked *b = &r->shape;
    if (r->layout == GC_PLAIN)
        return row * r->length;
    return gc_blocked_offset(b, r->kernels->width, row / b->height, row % b->height, 0);
}

static size_t end_of_part(const rows *r, size_t part)
{
    return gc_min((part + 1) * ROWS, r->count);
}

static void some_forward(void *argument, size_t part, size_t worker)
{
    (void)worker;
    const rows *r = argument;
    for (size_t i = part * ROWS; i < end_of_part(r, part); i++) {
        const size_t offset = offset_of(r, i);
        uint8_t *bits = r->bits == NULL ? NULL : r->bits + i * r->bytes;
        if (r->layout == GC_PLAIN)
            r->kernels->relu_forward(r->length, r->limit, r->from + offset, r->to + offset, bits);
        else
            r->kernels->blocked_relu_forward(r->length, r->limit, r->from + offset,
                                             r->to + offset, bits);
    }
}

static void some_backward(void *argument, size_t part, size_t worker)
{
    (void)worker;
    const rows *r = argument;
    for (size_t i = part * ROWS; i < end_of_part(r, part); i++) {
        const size_t offset = offset_of(r, i);
        const uint8_t *bits = r->bits + i % r->recorded * r->bytes;
        if (r->layout == GC_PLAIN)
            r->kernels->relu_backward(r->length, r->rule, bits, r->from + offset, r->to + offset);
        else
            r->kernels->blocked_relu_backward(r->length, r->rule, bits, r->from + offset,
                                              r->to + offset);
    }
}

static void zero_borders(gc_engine engine, size_t count, const rows *r)
{
    if (r->layout == GC_BLOCKED && r->to != r->from)
        gc_zero_borders(engine, count, &r->shape, r->shape.height, r->shape.width, r->to);
}

static void relu_forward(const gc_layer *layer, const gc_forward_step *step)
{
    rows r = make_rows(step->engine, step->out, step->layouts.writes, step->count, step->count);
    r.from = step->x[0];
    r.to = step->y;
    r.limit = layer->limit;
    r.bits = step->record;
    zero_borders(step->engine, step->count, &r);
    gc_parallel(step->engine.workers, gc_divide_up(r.count, ROWS), some_forward, &r);
}

static void relu_backward(const gc_layer *layer, const gc_backward_step *step)
{
    (void)layer;
    rows r = make_rows(step->engine, step->out, step->layouts.writes, step->count, step->batch);
    r.rule = step->rule;
    r.from = step->dy;
    r.to = step->dx[0];
    r.bits = (uint8_t *)step->record;
    zero_borders(step->engine, step->count, &r);
    gc_parallel(step->engine.workers, gc_divide_up(r.count, ROWS), some_backward, &r);
}

const gc_layer_type gc_relu_layer = {
    .name = "relu",
    .backward_in_place = 1,
    .shape = gc_same_shape,
    .layouts = relu_layouts,
    .record_bytes = relu_record_bytes,
    .forward = relu_forward,
    .backward = relu_backward,
};
