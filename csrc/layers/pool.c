/* pool.c: max, average and adaptive average pooling, global max pooling: sizes, windows, layouts.
 *
 * Windows are the product of a span of rows and a span of columns, so the spans of each axis are
 * computed once. Sizes are those of PyTorch: with ceil_mode the last window may extend beyond the
 * end, but must not begin in the padding after it.
 *
 * Max pooling records the position of each maximum: see pool.h. Average pooling records nothing. */
#include "layers/pool.h"

#include "base/status.h"
#include "layers/blocked.h"

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
        const size_t padded = size[d] + p->padding[d][0] + p->padding[d][1];
        const size_t up = p->ceil_mode ? p->stride[d] - 1 : 0;
        if (padded + up < p->kernel[d])
            return gc_fail(error, GC_BAD_ARGUMENT,
                           "the input of %zu x %zu is smaller than the pooling window; the "
                           "picture is too small for this network",
                           in->height, in->width);
        size_t windows = (padded + up - p->kernel[d]) / p->stride[d] + 1;
        if (p->ceil_mode && (windows - 1) * p->stride[d] >= size[d] + p->padding[d][0])
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
        const size_t start = i * p->stride[axis], padding = p->padding[axis][0];
        const size_t end = gc_min(start + p->kernel[axis], size + padding + p->padding[axis][1]);
        spans[i].begin = start > padding ? start - padding : 0;
        spans[i].end = gc_min(end > padding ? end - padding : 0, size);
        if (p->divisor != 0)
            spans[i].divisor = axis == 0 ? p->divisor : 1;
        else
            spans[i].divisor = p->include_pad ? end - start : spans[i].end - spans[i].begin;
    }
}

static void adaptive_spans(size_t size, size_t count, gc_span *spans)
{
    for (size_t i = 0; i < count; i++) {
        spans[i].begin = i * size / count;
        spans[i].end = gc_divide_up((i + 1) * size, count);
        spans[i].divisor = spans[i].end - spans[i].begin;
    }
}

int gc_pool_slides(const gc_layer *layer)
{
    return layer->type == &gc_max_pool_layer || layer->type == &gc_average_pool_layer;
}

static void spans_of_axis(const gc_layer *layer, int axis, size_t size, size_t count,
                          gc_span *spans)
{
    if (gc_pool_slides(layer))
        window_spans(&layer->pool, axis, size, count, spans);
    else
        adaptive_spans(size, count, spans);
}

/* The divisor of all spans of an axis; or 0: they differ. */
static size_t same_divisor(size_t count, const gc_span *spans)
{
    for (size_t i = 1; i < count; i++)
        if (spans[i].divisor != spans[0].divisor)
            return 0;
    return spans[0].divisor;
}

gc_pool_plane gc_pool_plane_of(const gc_layer *layer, gc_shape in, gc_shape out, void *scratch)
{
    gc_span *rows = scratch, *columns = rows + out.height;
    spans_of_axis(layer, 0, in.height, out.height, rows);
    spans_of_axis(layer, 1, in.width, out.width, columns);
    return (gc_pool_plane){.height = in.height,
                           .width = in.width,
                           .out_height = out.height,
                           .out_width = out.width,
                           .rows = rows,
                           .columns = columns,
                           .divisor = same_divisor(out.height, rows)
                                      * same_divisor(out.width, columns)};
}

static size_t longest_span(const gc_span *spans, size_t count)
{
    size_t longest = 1;
    for (size_t i = 0; i < count; i++)
        if (spans[i].end - spans[i].begin > longest)
            longest = spans[i].end - spans[i].begin;
    return longest;
}

size_t gc_pool_largest_window(const gc_span *rows, size_t row_count, const gc_span *columns,
                              size_t column_count)
{
    return longest_span(rows, row_count) * longest_span(columns, column_count);
}

static size_t scratch_bytes(const gc_layer_query *query)
{
    const size_t out = query->out.height + query->out.width;
    const size_t in = query->in->height + query->in->width;
    return (out + (query->backward ? in : 0)) * sizeof(gc_span);
}

int gc_pool_is_2x2(const gc_layer *layer, const gc_shape *in)
{
    const gc_pool *p = &layer->pool;
    if (layer->type != &gc_max_pool_layer)
        return 0;
    for (int d = 0; d < 2; d++)
        if (p->kernel[d] != 2 || p->stride[d] != 2)
            return 0;
    return !gc_is_padded(p->padding)
           && (!p->ceil_mode || (in->height % 2 == 0 && in->width % 2 == 0));
}

size_t gc_pool_index_bytes(const gc_layer *layer, gc_shape in)
{
    if (!gc_pool_slides(layer))
        return sizeof(uint32_t);
    const size_t window = gc_min(layer->pool.kernel[0], in.height)
                          * gc_min(layer->pool.kernel[1], in.width);
    return window <= 1u << 8 ? 1 : window <= 1u << 16 ? 2 : 4;
}

int gc_pool_is_max(const gc_layer *layer)
{
    return layer->type == &gc_max_pool_layer || layer->type == &gc_global_max_pool_layer;
}

/* Blocked maps come out as such, except that a map of one position is written as a plain one, for
 * the flattening that usually follows. */
static gc_layouts pool_layouts(const gc_layer_query *query, gc_layout given)
{
    const int is_plain = query->layer->type != &gc_max_pool_layer && gc_positions(query->out) == 1;
    return (gc_layouts){.reads = given, .writes = is_plain ? GC_PLAIN : given};
}

static size_t record_bytes(const gc_layer_query *query)
{
    const size_t lanes = query->engine.kernels->width;
    if (query->writes == GC_PLAIN)
        return gc_values(query->out) * sizeof(uint32_t);
    if (gc_pool_is_2x2(query->layer, query->in))
        return 2 * gc_record_mask_bytes(query->out, query->engine);
    return gc_divide_up(query->out.channels, lanes) * lanes * gc_positions(query->out)
           * gc_pool_index_bytes(query->layer, *query->in);
}

static void forward(const gc_layer *layer, const gc_forward_step *step)
{
    if (step->layouts.reads == GC_PLAIN)
        gc_pool_forward_plain(layer, step);
    else
        gc_pool_forward_blocked(layer, step);
}

static void backward(const gc_layer *layer, const gc_backward_step *step)
{
    if (step->layouts.reads == GC_PLAIN)
        gc_pool_backward_plain(layer, step);
    else
        gc_pool_backward_blocked(layer, step);
}

const gc_layer_type gc_max_pool_layer = {
    .name = "max_pool",
    .shape = pool_shape,
    .layouts = pool_layouts,
    .record_bytes = record_bytes,
    .scratch_bytes = scratch_bytes,
    .forward = forward,
    .backward = backward,
};

const gc_layer_type gc_global_max_pool_layer = {
    .name = "global_max_pool",
    .shape = adaptive_shape,
    .layouts = pool_layouts,
    .record_bytes = record_bytes,
    .scratch_bytes = scratch_bytes,
    .forward = forward,
    .backward = backward,
};

const gc_layer_type gc_average_pool_layer = {
    .name = "average_pool",
    .relevance = GC_SHARES,
    .shape = pool_shape,
    .layouts = pool_layouts,
    .scratch_bytes = scratch_bytes,
    .forward = forward,
    .backward = backward,
};

const gc_layer_type gc_adaptive_average_pool_layer = {
    .name = "adaptive_average_pool",
    .relevance = GC_SHARES,
    .shape = adaptive_shape,
    .layouts = pool_layouts,
    .scratch_bytes = scratch_bytes,
    .forward = forward,
    .backward = backward,
};
