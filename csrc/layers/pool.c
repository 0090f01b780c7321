/* pool.c: max, average and adaptive average pooling.
 *
 * Windows are the product of a span of rows and a span of columns, so each axis is worked
 * out once. Sizes follow PyTorch: with ceil_mode the last window may hang over the end, but
 * must not begin in the padding behind it.
 *
 * Max pooling records where each maximum was; average pooling records nothing. */
#include <string.h>

#include "base/status.h"
#include "kernels/kernels.h"
#include "layers/layer.h"

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static gc_status needs_map(const gc_shape *in, gc_error *error)
{
    if (in->flat)
        return gc_fail(error, GC_BAD_ARGUMENT, "pooling needs a map, but its input is a vector");
    return GC_OK;
}

static gc_status pool_shape(const gc_layer *layer, const gc_shape *in, gc_shape *out,
                            gc_error *error)
{
    const gc_pool *p = &layer->pool;
    const gc_status status = needs_map(in, error);
    if (status != GC_OK)
        return status;
    size_t size[2] = {in->height, in->width};
    for (int d = 0; d < 2; d++) {
        const size_t padded = size[d] + 2 * p->padding[d];
        const size_t up = p->ceil_mode ? p->stride[d] - 1 : 0;
        if (padded < p->kernel[d])
            return gc_fail(error, GC_BAD_ARGUMENT,
                           "the input of %zu x %zu is smaller than the pooling window; the "
                           "picture is too small for this network",
                           in->height, in->width);
        size_t windows = (padded - p->kernel[d] + up) / p->stride[d] + 1;
        if (p->ceil_mode && (windows - 1) * p->stride[d] >= size[d] + p->padding[d])
            windows--;
        size[d] = windows;
    }
    *out = (gc_shape){.channels = in->channels, .height = size[0], .width = size[1]};
    return GC_OK;
}

static gc_status adaptive_shape(const gc_layer *layer, const gc_shape *in, gc_shape *out,
                                gc_error *error)
{
    const gc_status status = needs_map(in, error);
    if (status != GC_OK)
        return status;
    *out = (gc_shape){.channels = in->channels,
                      .height = layer->out_size[0],
                      .width = layer->out_size[1]};
    return GC_OK;
}

/* Spans of one axis of a sliding window, clipped to the input. */
static void window_spans(const gc_pool *p, int axis, size_t size, size_t count, gc_span *spans)
{
    for (size_t i = 0; i < count; i++) {
        const size_t start = i * p->stride[axis], padding = p->padding[axis];
        const size_t end = smaller(start + p->kernel[axis], size + 2 * padding);
        spans[i].begin = start > padding ? start - padding : 0;
        spans[i].end = smaller(end > padding ? end - padding : 0, size);
        spans[i].divisor = p->include_pad ? end - start : spans[i].end - spans[i].begin;
    }
}

static void adaptive_spans(size_t size, size_t count, gc_span *spans)
{
    for (size_t i = 0; i < count; i++) {
        spans[i].begin = i * size / count;
        spans[i].end = ((i + 1) * size + count - 1) / count;
        spans[i].divisor = spans[i].end - spans[i].begin;
    }
}

/* The plane's geometry, its spans laid out in scratch. */
static gc_pool_plane make_plane(const gc_layer *layer, gc_shape in, gc_shape out,
                                void *scratch)
{
    gc_span *rows = scratch, *columns = rows + out.height;
    if (layer->type == &gc_adaptive_average_pool_layer) {
        adaptive_spans(in.height, out.height, rows);
        adaptive_spans(in.width, out.width, columns);
    } else {
        window_spans(&layer->pool, 0, in.height, out.height, rows);
        window_spans(&layer->pool, 1, in.width, out.width, columns);
    }
    return (gc_pool_plane){.height = in.height,
                           .width = in.width,
                           .out_height = out.height,
                           .out_width = out.width,
                           .rows = rows,
                           .columns = columns};
}

static size_t spans_bytes(const gc_layer *layer, const gc_shape *in, gc_shape out)
{
    (void)layer;
    (void)in;
    return (out.height + out.width) * sizeof(gc_span);
}

static size_t max_record_bytes(const gc_layer *layer, const gc_shape *in, gc_shape out)
{
    (void)layer;
    (void)in;
    return gc_values(out) * sizeof(uint32_t);
}

static void max_forward(const gc_layer *layer, const gc_forward_step *step)
{
    const gc_pool_plane plane = make_plane(layer, step->in[0], step->out, step->scratch);
    const size_t in = gc_positions(step->in[0]), out = gc_positions(step->out);
    for (size_t i = 0; i < step->count * step->out.channels; i++)
        gc_kernels_active()->max_pool_forward(&plane, step->x[0] + i * in, step->y + i * out,
                                              (uint32_t *)step->record + i * out);
}

static void max_backward(const gc_layer *layer, const gc_backward_step *step)
{
    (void)layer;
    const size_t in = gc_positions(step->in[0]), out = gc_positions(step->out);
    const size_t recorded = step->batch * step->out.channels;
    memset(step->dx[0], 0, step->count * gc_values(step->in[0]) * sizeof(float));
    for (size_t i = 0; i < step->count * step->out.channels; i++)
        gc_kernels_active()->max_pool_backward(
            out, (const uint32_t *)step->record + i % recorded * out, step->dy + i * out,
            step->dx[0] + i * in);
}

static void average_forward(const gc_layer *layer, const gc_forward_step *step)
{
    const gc_pool_plane plane = make_plane(layer, step->in[0], step->out, step->scratch);
    const size_t in = gc_positions(step->in[0]), out = gc_positions(step->out);
    for (size_t i = 0; i < step->count * step->out.channels; i++)
        gc_kernels_active()->average_pool_forward(&plane, step->x[0] + i * in,
                                                  step->y + i * out);
}

static void average_backward(const gc_layer *layer, const gc_backward_step *step)
{
    const gc_pool_plane plane = make_plane(layer, step->in[0], step->out, step->scratch);
    const size_t in = gc_positions(step->in[0]), out = gc_positions(step->out);
    memset(step->dx[0], 0, step->count * gc_values(step->in[0]) * sizeof(float));
    for (size_t i = 0; i < step->count * step->out.channels; i++)
        gc_kernels_active()->average_pool_backward(&plane, step->dy + i * out,
                                                   step->dx[0] + i * in);
}

const gc_layer_type gc_max_pool_layer = {
    .name = "max_pool",
    .shape = pool_shape,
    .record_bytes = max_record_bytes,
    .scratch_bytes = spans_bytes,
    .forward = max_forward,
    .backward = max_backward,
};

const gc_layer_type gc_average_pool_layer = {
    .name = "average_pool",
    .shape = pool_shape,
    .record_bytes = gc_no_bytes,
    .scratch_bytes = spans_bytes,
    .forward = average_forward,
    .backward = average_backward,
};

const gc_layer_type gc_adaptive_average_pool_layer = {
    .name = "adaptive_average_pool",
    .shape = adaptive_shape,
    .record_bytes = gc_no_bytes,
    .scratch_bytes = spans_bytes,
    .forward = average_forward,
    .backward = average_backward,
};
