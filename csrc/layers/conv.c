/* conv.c: convolution of any kernel, stride, padding, dilation and groups.
 *
 * The 3x3 convolutions that VGG is made of go to winograd.c. All others are a matrix product:
 *
 *     forward   y[k][p] = b[k] + sum_r w[k][r] columns[r][p]        columns = im2col(x)
 *     backward  columns = w^T dy,  dx = col2im(columns)
 *
 * for blocks of output positions p, so that the columns stay in the cache. Bias and, where a
 * ReLU follows, ReLU and its bits are applied to each block while it is there. A 1x1 kernel
 * of stride 1 without padding needs no columns: its map is the matrix already. */
#include <string.h>

#include "base/status.h"
#include "kernels/kernels.h"
#include "layers/layer.h"
#include "layers/sgemm.h"
#include "layers/winograd.h"

/* Floats of one block of columns, and the fewest positions in it: 8 MB keep the product
 * large enough for BLAS to reach its speed. Positions come in multiples of 8, so that blocks
 * begin at whole bytes of the ReLU's bits. */
enum { BLOCK_FLOATS = 2 << 20, BLOCK_POSITIONS = 64 };

static gc_window window_of_group(const gc_conv *c, gc_shape in, gc_shape out)
{
    return (gc_window){
        .channels = in.channels / c->groups,
        .height = in.height,
        .width = in.width,
        .kernel = {c->kernel[0], c->kernel[1]},
        .stride = {c->stride[0], c->stride[1]},
        .padding = {c->padding[0], c->padding[1]},
        .dilation = {c->dilation[0], c->dilation[1]},
        .out_height = out.height,
        .out_width = out.width,
    };
}

static size_t column_rows(const gc_conv *c)
{
    return c->in_channels / c->groups * c->kernel[0] * c->kernel[1];
}

static size_t block_positions(const gc_conv *c, gc_shape out)
{
    size_t block = BLOCK_FLOATS / column_rows(c) / BLOCK_POSITIONS * BLOCK_POSITIONS;
    if (block < BLOCK_POSITIONS)
        block = BLOCK_POSITIONS;
    return block < gc_positions(out) ? block : gc_positions(out);
}

static int is_pointwise(const gc_conv *c)
{
    for (int d = 0; d < 2; d++)
        if (c->kernel[d] != 1 || c->stride[d] != 1 || c->padding[d] != 0)
            return 0;
    return 1;
}

static gc_status conv_shape(const gc_layer *layer, const gc_shape *in, gc_shape *out,
                            gc_error *error)
{
    const gc_conv *c = &layer->conv;
    if (in->flat)
        return gc_fail(error, GC_BAD_ARGUMENT,
                       "a convolution needs a map, but its input is a vector");
    if (in->channels != c->in_channels)
        return gc_fail(error, GC_BAD_ARGUMENT,
                       "the weight expects %zu input channels, but the input has %zu",
                       c->in_channels, in->channels);
    size_t size[2] = {in->height, in->width};
    for (int d = 0; d < 2; d++) {
        const size_t covered = c->dilation[d] * (c->kernel[d] - 1) + 1;
        const size_t padded = size[d] + 2 * c->padding[d];
        if (padded < covered)
            return gc_fail(error, GC_BAD_ARGUMENT,
                           "the input of %zu x %zu is smaller than the kernel; the picture is "
                           "too small for this network",
                           in->height, in->width);
        size[d] = (padded - covered) / c->stride[d] + 1;
    }
    *out = (gc_shape){.channels = c->out_channels, .height = size[0], .width = size[1]};
    return GC_OK;
}

static int conv_prepare(const gc_layer *layer, gc_engine engine, int backward)
{
    return !gc_winograd_applies(&layer->conv, engine)
           || gc_winograd_prepare(layer->packs, &layer->conv, layer->weight, engine, backward);
}

static size_t conv_scratch_bytes(const gc_layer *layer, const gc_shape *in, gc_shape out,
                                 gc_engine engine)
{
    const gc_conv *c = &layer->conv;
    if (gc_winograd_applies(c, engine))
        return gc_winograd_scratch_bytes(c, in->height, in->width, engine);
    return is_pointwise(c) ? 0 : column_rows(c) * block_positions(c, out) * sizeof(float);
}

/* Bias, and ReLU with its bits where bits is not NULL, on positions first .. first + count
 * of `channels` planes of y. */
static void finish_block(const gc_kernels *kernels, size_t channels, size_t positions,
                         size_t first, size_t count, const float *bias, float *y,
                         uint8_t *bits, size_t row_bytes)
{
    for (size_t k = 0; k < channels; k++) {
        float *row = y + k * positions + first;
        if (bits != NULL)
            kernels->bias_relu(count, bias == NULL ? 0.0f : bias[k], row,
                               bits + k * row_bytes + first / 8);
        else if (bias != NULL)
            kernels->bias(count, bias[k], row);
    }
}

/* One group of one image. */
static void forward_group(const gc_layer *layer, gc_engine engine,
                          const gc_window *window, gc_shape out, const float *weight,
                          const float *bias, const float *x, float *y, uint8_t *bits,
                          float *columns)
{
    const gc_conv *c = &layer->conv;
    const size_t positions = gc_positions(out), rows = column_rows(c);
    const size_t channels = c->out_channels / c->groups;
    const size_t block = block_positions(c, out);
    for (size_t first = 0; first < positions; first += block) {
        const size_t count = positions - first < block ? positions - first : block;
        const float *matrix = x + first; /* of a pointwise convolution */
        size_t stride = positions;
        if (!is_pointwise(c)) {
            engine.kernels->im2col(window, x, first, count, columns);
            matrix = columns;
            stride = count;
        }
        gc_sgemm(engine, 0, 0, channels, count, rows, weight, rows, matrix, stride, y + first,
                 positions);
        finish_block(engine.kernels, channels, positions, first, count, bias, y, bits,
                     gc_bit_row_bytes(out));
    }
}

static void conv_forward(const gc_layer *layer, const gc_forward_step *step)
{
    const gc_conv *c = &layer->conv;
    if (gc_winograd_applies(c, step->engine)) {
        gc_winograd_run(layer->packs, c, step->engine, 0, step->count, step->in[0].height,
                        step->in[0].width, step->x[0], layer->bias, step->y, step->relu_bits,
                        step->scratch);
        return;
    }
    const gc_window window = window_of_group(c, step->in[0], step->out);
    const size_t channels = c->out_channels / c->groups;
    const size_t x_stride = window.channels * window.height * window.width;
    const size_t y_stride = channels * gc_positions(step->out);
    const size_t bits_stride = channels * gc_bit_row_bytes(step->out);
    for (size_t n = 0; n < step->count; n++)
        for (size_t g = 0; g < c->groups; g++) {
            const size_t group = n * c->groups + g;
            forward_group(layer, step->engine, &window, step->out,
                          layer->weight + g * channels * column_rows(c),
                          layer->bias == NULL ? NULL : layer->bias + g * channels,
                          step->x[0] + group * x_stride, step->y + group * y_stride,
                          step->relu_bits == NULL ? NULL
                                                  : step->relu_bits + group * bits_stride,
                          step->scratch);
        }
}

static void backward_group(const gc_layer *layer, gc_engine engine,
                           const gc_window *window, gc_shape out, const float *weight,
                           const float *dy, float *dx, float *columns)
{
    const gc_conv *c = &layer->conv;
    const size_t positions = gc_positions(out), rows = column_rows(c);
    const size_t channels = c->out_channels / c->groups;
    const size_t block = block_positions(c, out);
    if (is_pointwise(c)) {
        gc_sgemm(engine, 1, 0, rows, positions, channels, weight, rows, dy, positions, dx, positions);
        return;
    }
    memset(dx, 0, window->channels * window->height * window->width * sizeof *dx);
    for (size_t first = 0; first < positions; first += block) {
        const size_t count = positions - first < block ? positions - first : block;
        gc_sgemm(engine, 1, 0, rows, count, channels, weight, rows, dy + first, positions, columns,
                 count);
        engine.kernels->col2im(window, columns, first, count, dx);
    }
}

static void conv_backward(const gc_layer *layer, const gc_backward_step *step)
{
    const gc_conv *c = &layer->conv;
    if (gc_winograd_applies(c, step->engine)) {
        gc_winograd_run(layer->packs, c, step->engine, 1, step->count, step->in[0].height,
                        step->in[0].width, step->dy, NULL, step->dx[0], NULL, step->scratch);
        return;
    }
    const gc_window window = window_of_group(c, step->in[0], step->out);
    const size_t channels = c->out_channels / c->groups;
    const size_t dx_stride = window.channels * window.height * window.width;
    const size_t dy_stride = channels * gc_positions(step->out);
    for (size_t n = 0; n < step->count; n++)
        for (size_t g = 0; g < c->groups; g++) {
            const size_t group = n * c->groups + g;
            backward_group(layer, step->engine, &window, step->out,
                           layer->weight + g * channels * column_rows(c),
                           step->dy + group * dy_stride, step->dx[0] + group * dx_stride,
                           step->scratch);
        }
}

const gc_layer_type gc_conv_layer = {
    .name = "conv",
    .fuses_relu = 1,
    .shape = conv_shape,
    .record_bytes = gc_no_record,
    .scratch_bytes = conv_scratch_bytes,
    .prepare = conv_prepare,
    .forward = conv_forward,
    .backward = conv_backward,
};
