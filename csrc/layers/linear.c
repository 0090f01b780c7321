/* linear.c: the fully connected layer, y = W x + b and dx = W^T dy.
 *
 * W [out][in] is read where the caller has it, be that a memory-mapped file: for one image
 * the product runs at the speed of memory, and a copy would double it. */
#include "base/status.h"
#include "kernels/kernels.h"
#include "layers/layer.h"
#include "layers/sgemm.h"

static gc_status linear_shape(const gc_layer *layer, const gc_shape *in, gc_shape *out,
                              gc_error *error)
{
    if (!in->flat)
        return gc_fail(error, GC_BAD_ARGUMENT,
                       "a linear layer needs a vector, but its input is a map of "
                       "%zu x %zu x %zu; flatten it first",
                       in->channels, in->height, in->width);
    if (in->channels != layer->linear.in)
        return gc_fail(error, GC_BAD_ARGUMENT,
                       "the weight expects %zu inputs, but the input has %zu",
                       layer->linear.in, in->channels);
    *out = (gc_shape){.channels = layer->linear.out, .height = 1, .width = 1, .flat = 1};
    return GC_OK;
}

static void linear_forward(const gc_layer *layer, const gc_forward_step *step)
{
    const gc_kernels *kernels = gc_kernels_active();
    const size_t in = layer->linear.in, out = layer->linear.out;
    gc_sgemm(0, 1, step->count, out, in, step->x[0], in, layer->weight, in, step->y, out);
    for (size_t n = 0; n < step->count; n++) {
        float *y = step->y + n * out;
        if (layer->bias != NULL)
            kernels->accumulate(out, layer->bias, y);
        if (step->relu_bits != NULL)
            kernels->relu_forward(out, y, y,
                                  step->relu_bits + n * gc_bit_row_bytes(step->out));
    }
}

static void linear_backward(const gc_layer *layer, const gc_backward_step *step)
{
    const size_t in = layer->linear.in, out = layer->linear.out;
    gc_sgemm(0, 0, step->count, in, out, step->dy, out, layer->weight, in, step->dx[0], in);
}

const gc_layer_type gc_linear_layer = {
    .name = "linear",
    .fuses_relu = 1,
    .shape = linear_shape,
    .record_bytes = gc_no_bytes,
    .scratch_bytes = gc_no_bytes,
    .forward = linear_forward,
    .backward = linear_backward,
};
