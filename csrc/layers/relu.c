/* relu.c: y = min(max(x, 0), limit), and its gradient under the masks of a rule.
 *
 * It works on both layouts. Its record is one bit per value, 0 < x < limit: of plain maps in one
 * row per channel (a vector is one row), of blocked maps a mask for each position of a block. */
#include "layers/blocked.h"

static size_t relu_record_bytes(const gc_layer_query *query)
{
    return query->writes == GC_BLOCKED ? gc_record_mask_bytes(query->out, query->engine)
                                       : gc_bit_rows(query->out) * gc_bit_row_bytes(query->out);
}

/* The rows of a step: of plain maps those of an image, or those of a block. */
typedef struct rows rows;

struct rows {
    const gc_kernels *kernels;
    gc_layout layout;
    unsigned masks;
    float limit;
    gc_blocked shape; /* of blocked maps */
    size_t blocks;    /* of an image, */
    size_t height;    /* and their rows */
    size_t length;    /* of a row: floats, or vectors */
    size_t bytes;     /* of its bits */
    size_t recorded;  /* row r belongs to row r % recorded of the record */
    void (*run)(const rows *r, size_t offset, uint8_t *bits); /* one row */
    const float *from;
    float *to;
    uint8_t *bits;    /* or NULL */
};

static rows make_rows(gc_engine engine, gc_shape shape, gc_layout layout, size_t recorded)
{
    rows r = {.kernels = engine.kernels,
              .layout = layout,
              .blocks = 1,
              .height = gc_bit_rows(shape),
              .length = gc_bit_row_length(shape),
              .bytes = gc_bit_row_bytes(shape)};
    if (layout == GC_BLOCKED) {
        r.shape = gc_blocked_of(shape, engine);
        r.blocks = r.shape.blocks;
        r.height = r.shape.height;
        r.length = r.shape.width;
        r.bytes = r.length * gc_mask_bytes(engine);
    }
    r.recorded = recorded * r.blocks * r.height;
    return r;
}

static void forward_row(const rows *r, size_t offset, uint8_t *bits)
{
    const float *x = r->from + offset;
    if (r->layout == GC_PLAIN)
        r->kernels->relu_forward(r->length, r->limit, x, r->to + offset, bits);
    else
        r->kernels->blocked_relu_forward(r->length, r->limit, x, r->to + offset, bits);
}

static void backward_row(const rows *r, size_t offset, uint8_t *bits)
{
    const float *dy = r->from + offset;
    if (r->layout == GC_PLAIN)
        r->kernels->relu_backward(r->length, r->masks, bits, dy, r->to + offset);
    else
        r->kernels->blocked_relu_backward(r->length, r->masks, bits, dy, r->to + offset);
}

static void some_rows(void *argument, gc_rows piece, size_t worker)
{
    (void)worker;
    const rows *r = argument;
    const size_t lanes = r->kernels->width;
    if (r->layout == GC_BLOCKED && r->to != r->from)
        gc_zero_around(&r->shape, lanes, piece, r->to);
    for (size_t row = piece.row; row < piece.row + piece.rows; row++) {
        const size_t number = piece.block * r->height + row;
        const size_t offset =
            r->layout == GC_PLAIN ? number * r->length
                                  : gc_blocked_offset(&r->shape, lanes, piece.block, row, 0);
        r->run(r, offset, r->bits == NULL ? NULL : r->bits + number % r->recorded * r->bytes);
    }
}

static void run_rows(gc_engine engine, size_t images, rows r)
{
    const size_t lanes = r.layout == GC_PLAIN ? 1 : engine.kernels->width;
    gc_parallel_rows(engine, images * r.blocks, r.height, r.length * lanes, some_rows, &r);
}

static void relu_forward(const gc_layer *layer, const gc_forward_step *step)
{
    rows r = make_rows(step->engine, step->out, step->layouts.writes, step->count);
    r.run = forward_row;
    r.from = step->x[0];
    r.to = step->y;
    r.limit = layer->limit;
    r.bits = step->record;
    run_rows(step->engine, step->count, r);
}

static void relu_backward(const gc_layer *layer, const gc_backward_step *step)
{
    (void)layer;
    rows r = make_rows(step->engine, step->out, step->layouts.writes, step->batch);
    r.run = backward_row;
    r.masks = step->masks;
    r.from = step->dy;
    r.to = step->dx[0];
    r.bits = (uint8_t *)step->record;
    run_rows(step->engine, step->count, r);
}

const gc_layer_type gc_relu_layer = {
    .name = "relu",
    .relevance = GC_PASSES,
    .backward_in_place = 1,
    .shape = gc_same_shape,
    .layouts = gc_as_given,
    .record_bytes = relu_record_bytes,
    .forward = relu_forward,
    .backward = relu_backward,
};
