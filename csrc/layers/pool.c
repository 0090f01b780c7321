/* pool.c: max, average and adaptive average pooling.
 *
 * Windows are the product of a span of rows and a span of columns, so each axis is worked
 * out once. Sizes follow PyTorch: with ceil_mode the last window may hang over the end, but
 * must not begin in the padding behind it.
 *
 * Max pooling records where each maximum was; average pooling records nothing. */
#include <string.h>

#include "base/status.h"
#include "base/threads.h"
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
        if (padded + up < p->kernel[d])
            return gc_fail(error, GC_BAD_ARGUMENT,
                           "the input of %zu x %zu is smaller than the pooling window; the "
                           "picture is too small for this network",
                           in->height, in->width);
        size_t windows = (padded + up - p->kernel[d]) / p->stride[d] + 1;
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

static size_t spans_bytes(const gc_layer *layer, const gc_shape *in, gc_shape out,
                          gc_engine engine)
{
    (void)layer;
    (void)in;
    (void)engine;
    return (out.height + out.width) * sizeof(gc_span);
}

static size_t max_record_bytes(const gc_layer *layer, const gc_shape *in, gc_shape out)
{
    (void)layer;
    (void)in;
    return gc_values(out) * sizeof(uint32_t);
}

/* The planes of a step, shared out among threads. */
typedef struct planes {
    gc_pool_plane plane;
    const gc_kernels *kernels;
    size_t count, recorded; /* plane i belongs to plane i % recorded of the record */
    const float *from;      /* x, or dy */
    float *to;              /* y, or dx */
    uint32_t *positions;    /* of max pooling */
} planes;

enum { PLANES = 8 }; /* what one thread takes at a time */

static planes forward_planes(const gc_layer *layer, const gc_forward_step *step)
{
    return (planes){.plane = make_plane(layer, step->in[0], step->out, step->scratch),
                    .kernels = step->engine.kernels,
                    .count = step->count * step->out.channels,
                    .from = step->x[0],
                    .to = step->y,
                    .positions = step->record};
}

static planes backward_planes(const gc_layer *layer, const gc_backward_step *step)
{
    return (planes){.plane = make_plane(layer, step->in[0], step->out, step->scratch),
                    .kernels = step->engine.kernels,
                    .count = step->count * step->out.channels,
                    .recorded = step->batch * step->out.channels,
                    .from = step->dy,
                    .to = step->dx[0],
                    .positions = (uint32_t *)step->record};
}

static size_t in_positions(const planes *p)
{
    return p->plane.height * p->plane.width;
}

static size_t out_positions(const planes *p)
{
    return p->plane.out_height * p->plane.out_width;
}

static size_t end_of_part(const planes *p, size_t part)
{
    return smaller((part + 1) * PLANES, p->count);
}

static void some_max_forward(void *argument, size_t part, size_t worker)
{
    (void)worker;
    const planes *p = argument;
    const size_t in = in_positions(p), out = out_positions(p);
    for (size_t i = part * PLANES; i < end_of_part(p, part); i++)
        p->kernels->max_pool_forward(&p->plane, p->from + i * in, p->to + i * out,
                                     p->positions + i * out);
}

static void some_max_backward(void *argument, size_t part, size_t worker)
{
    (void)worker;
    const planes *p = argument;
    const size_t in = in_positions(p), out = out_positions(p);
    for (size_t i = part * PLANES; i < end_of_part(p, part); i++) {
        memset(p->to + i * in, 0, in * sizeof(float));
        p->kernels->max_pool_backward(out, p->positions + i % p->recorded * out,
                                      p->from + i * out, p->to + i * in);
    }
}

static void some_average_forward(void *argument, size_t part, size_t worker)
{
    (void)worker;
    const planes *p = argument;
    const size_t in = in_positions(p), out = out_positions(p);
    for (size_t i = part * PLANES; i < end_of_part(p, part); i++)
        p->kernels->average_pool_forward(&p->plane, p->from + i * in, p->to + i * out);
}

static void some_average_backward(void *argument, size_t part, size_t worker)
{
    (void)worker;
    const planes *p = argument;
    const size_t in = in_positions(p), out = out_positions(p);
    for (size_t i = part * PLANES; i < end_of_part(p, part); i++) {
        memset(p->to + i * in, 0, in * sizeof(float));
        p->kernels->average_pool_backward(&p->plane, p->from + i * out, p->to + i * in);
    }
}

static void share_out(gc_engine engine, gc_part some, planes p)
{
    gc_parallel(engine.workers, (p.count + PLANES - 1) / PLANES, some, &p);
}

static void max_forward(const gc_layer *layer, const gc_forward_step *step)
{
    share_out(step->engine, some_max_forward, forward_planes(layer, step));
}

static void max_backward(const gc_layer *layer, const gc_backward_step *step)
{
    share_out(step->engine, some_max_backward, backward_planes(layer, step));
}

static void average_forward(const gc_layer *layer, const gc_forward_step *step)
{
    share_out(step->engine, some_average_forward, forward_planes(layer, step));
}

static void average_backward(const gc_layer *layer, const gc_backward_step *step)
{
    share_out(step->engine, some_average_backward, backward_planes(layer, step));
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
    .record_bytes = gc_no_record,
    .scratch_bytes = spans_bytes,
    .forward = average_forward,
    .backward = average_backward,
};

const gc_layer_type gc_adaptive_average_pool_layer = {
    .name = "adaptive_average_pool",
    .shape = adaptive_shape,
    .record_bytes = gc_no_record,
    .scratch_bytes = spans_bytes,
    .forward = average_forward,
    .backward = average_backward,
};
