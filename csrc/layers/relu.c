/* relu.c: y = max(x, 0), and the three rules of what it passes back (see gc_rule).
 *
 * Its record is one bit a unit: x > 0. */
#include "base/threads.h"
#include "layers/layer.h"

static size_t relu_record_bytes(const gc_layer *layer, const gc_shape *in, gc_shape out)
{
    (void)layer;
    (void)in;
    return gc_bit_rows(out) * gc_bit_row_bytes(out);
}

/* The rows of a step, shared out among threads. */
typedef struct rows {
    const gc_kernels *kernels;
    gc_rule rule;
    size_t count, length, bytes;
    size_t recorded; /* row r belongs to row r % recorded of the record */
    const float *from;
    float *to;
    uint8_t *bits;
} rows;

enum { ROWS = 8 }; /* what one thread takes at a time */

static size_t end_of_part(const rows *r, size_t part)
{
    return (part + 1) * ROWS < r->count ? (part + 1) * ROWS : r->count;
}

static void some_forward(void *argument, size_t part, size_t worker)
{
    (void)worker;
    const rows *r = argument;
    for (size_t i = part * ROWS; i < end_of_part(r, part); i++)
        r->kernels->relu_forward(r->length, r->from + i * r->length, r->to + i * r->length,
                                 r->bits + i * r->bytes);
}

static void some_backward(void *argument, size_t part, size_t worker)
{
    (void)worker;
    const rows *r = argument;
    for (size_t i = part * ROWS; i < end_of_part(r, part); i++)
        r->kernels->relu_backward(r->length, r->rule, r->bits + i % r->recorded * r->bytes,
                                  r->from + i * r->length, r->to + i * r->length);
}

static void relu_forward(const gc_layer *layer, const gc_forward_step *step)
{
    (void)layer;
    rows r = {.kernels = step->engine.kernels,
              .count = step->count * gc_bit_rows(step->out),
              .length = gc_bit_row_length(step->out),
              .bytes = gc_bit_row_bytes(step->out),
              .from = step->x[0],
              .to = step->y,
              .bits = step->record};
    gc_parallel(step->engine.workers, (r.count + ROWS - 1) / ROWS, some_forward, &r);
}

static void relu_backward(const gc_layer *layer, const gc_backward_step *step)
{
    (void)layer;
    rows r = {.kernels = step->engine.kernels,
              .rule = step->rule,
              .count = step->count * gc_bit_rows(step->out),
              .length = gc_bit_row_length(step->out),
              .bytes = gc_bit_row_bytes(step->out),
              .recorded = step->batch * gc_bit_rows(step->out),
              .from = step->dy,
              .to = step->dx[0],
              .bits = (uint8_t *)step->record};
    gc_parallel(step->engine.workers, (r.count + ROWS - 1) / ROWS, some_backward, &r);
}

const gc_layer_type gc_relu_layer = {
    .name = "relu",
    .backward_in_place = 1,
    .shape = gc_same_shape,
    .record_bytes = relu_record_bytes,
    .scratch_bytes = gc_no_scratch,
    .forward = relu_forward,
    .backward = relu_backward,
};
