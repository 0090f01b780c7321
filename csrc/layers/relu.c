/* relu.c: y = max(x, 0), and the three rules of what it passes back (see gc_rule).
 *
 * Its record is one bit a unit: x > 0. */
#include "kernels/kernels.h"
#include "layers/layer.h"

static size_t relu_record_bytes(const gc_layer *layer, const gc_shape *in, gc_shape out)
{
    (void)layer;
    (void)in;
    return gc_bit_rows(out) * gc_bit_row_bytes(out);
}

static void relu_forward(const gc_layer *layer, const gc_forward_step *step)
{
    (void)layer;
    const size_t rows = step->count * gc_bit_rows(step->out);
    const size_t length = gc_bit_row_length(step->out);
    const size_t bytes = gc_bit_row_bytes(step->out);
    for (size_t r = 0; r < rows; r++)
        gc_kernels_active()->relu_forward(length, step->x[0] + r * length,
                                          step->y + r * length,
                                          (uint8_t *)step->record + r * bytes);
}

static void relu_backward(const gc_layer *layer, const gc_backward_step *step)
{
    (void)layer;
    const size_t rows = step->count * gc_bit_rows(step->out);
    const size_t recorded = step->batch * gc_bit_rows(step->out);
    const size_t length = gc_bit_row_length(step->out);
    const size_t bytes = gc_bit_row_bytes(step->out);
    for (size_t r = 0; r < rows; r++)
        gc_kernels_active()->relu_backward(
            length, step->rule, (const uint8_t *)step->record + r % recorded * bytes,
            step->dy + r * length, step->dx[0] + r * length);
}

const gc_layer_type gc_relu_layer = {
    .name = "relu",
    .backward_in_place = 1,
    .shape = gc_same_shape,
    .record_bytes = relu_record_bytes,
    .scratch_bytes = gc_no_bytes,
    .forward = relu_forward,
    .backward = relu_backward,
};
