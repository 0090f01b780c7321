/* pool.c: max, average and adaptive average pooling.
 *
 * Windows are the product of a span of rows and a span of columns, so the spans of each axis are
 * computed once. Sizes are those of PyTorch: with ceil_mode the last window may extend beyond the
 * end, but must not begin in the padding after it.
 *
 * Max pooling records the position of each maximum: of plain maps its offset in the plane; of
 * blocked maps, which 2x2 pooling of stride 2 reads, two masks for each position of a block.
 * Average pooling records nothing. */
#include "layers/pool.h"

#include <string.h>

#include "base/status.h"
#include "base/threads.h"
#include "base/watch.h"
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

static size_t spans_bytes(const gc_layer_query *query)
{
    return (query->out.height + query->out.width) * sizeof(gc_span);
}

int gc_pool_is_2x2(const gc_layer *layer, const gc_shape *in)
{
    const gc_pool *p = &layer->pool;
    if (layer->type != &gc_max_pool_layer)
        return 0;
    for (int d = 0; d < 2; d++)
        if (p->kernel[d] != 2 || p->stride[d] != 2)
            return 0;
    return !gc_is_padded(p->padding) && (!p->ceil_mode || (in->height % 2 == 0 && in->width % 2 == 0));
}

static gc_layouts max_layouts(const gc_layer_query *query, gc_layout given)
{
    const gc_layout layout = gc_pool_is_2x2(query->layer, query->in) ? given : GC_PLAIN;
    return (gc_layouts){.reads = layout, .writes = layout};
}

static size_t max_record_bytes(const gc_layer_query *query)
{
    return query->writes == GC_BLOCKED ? 2 * gc_record_mask_bytes(query->out, query->engine)
                                       : gc_values(query->out) * sizeof(uint32_t);
}

/* The planes of a step, shared out among threads. */
typedef struct planes {
    gc_pool_plane plane;
    const gc_kernels *kernels;
    size_t count, recorded; /* plane i belongs to plane i % recorded of the record */
    size_t band;            /* output rows between two calls of gc_should_stop */
    const float *from;      /* x, or dy */
    float *to;              /* y, or dx */
    uint32_t *positions;    /* of max pooling, or NULL */
} planes;

enum { PLANES = 8 }; /* what one thread takes at a time */

static size_t longest_span(const gc_span *spans, size_t count)
{
    size_t longest = 1;
    for (size_t i = 0; i < count; i++)
        if (spans[i].end - spans[i].begin > longest)
            longest = spans[i].end - spans[i].begin;
    return longest;
}

/* All rows, unless windows are so large that a plane takes long. */
static size_t rows_at_a_time(const gc_pool_plane *p)
{
    enum { SMALL = 16, MAX_READS = 1 << 24 };
    const size_t window = longest_span(p->rows, p->out_height)
                          * longest_span(p->columns, p->out_width);
    const size_t rows = MAX_READS / window / p->out_width;
    return window <= SMALL ? p->out_height : rows == 0 ? 1 : rows;
}

static planes forward_planes(const gc_layer *layer, const gc_forward_step *step)
{
    const gc_pool_plane plane = make_plane(layer, step->in[0], step->out, step->scratch);
    return (planes){.plane = plane,
                    .kernels = step->engine.kernels,
                    .count = step->count * step->out.channels,
                    .band = rows_at_a_time(&plane),
                    .from = step->x[0],
                    .to = step->y,
                    .positions = step->record};
}

static planes backward_planes(const gc_layer *layer, const gc_backward_step *step)
{
    const gc_pool_plane plane = make_plane(layer, step->in[0], step->out, step->scratch);
    return (planes){.plane = plane,
                    .kernels = step->engine.kernels,
                    .count = step->count * step->out.channels,
                    .recorded = step->batch * step->out.channels,
                    .band = rows_at_a_time(&plane),
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
    return gc_min((part + 1) * PLANES, p->count);
}

/* Some output rows of a plane, from row `first` on. */
static gc_pool_plane rows_of_plane(const planes *p, size_t first)
{
    gc_pool_plane rows = p->plane;
    rows.rows += first;
    rows.out_height = gc_min(rows.out_height - first, p->band);
    return rows;
}

/* The planes of a part, and their rows a band at a time. */
static void some_planes(const planes *p, size_t part,
                        void (*pool_rows)(const planes *p, size_t plane, size_t row))
{
    for (size_t i = part * PLANES; i < end_of_part(p, part); i++)
        for (size_t row = 0; row < p->plane.out_height; row += p->band) {
            if (gc_should_stop())
                return;
            pool_rows(p, i, row);
        }
}

static void max_forward_rows(const planes *p, size_t plane, size_t row)
{
    const gc_pool_plane rows = rows_of_plane(p, row);
    const size_t offset = plane * out_positions(p) + row * p->plane.out_width;
    p->kernels->max_pool_forward(&rows, p->from + plane * in_positions(p), p->to + offset,
                                 p->positions == NULL ? NULL : p->positions + offset);
}

static void average_forward_rows(const planes *p, size_t plane, size_t row)
{
    const gc_pool_plane rows = rows_of_plane(p, row);
    p->kernels->average_pool_forward(
        &rows, p->from + plane * in_positions(p),
        p->to + plane * out_positions(p) + row * p->plane.out_width);
}

static void average_backward_rows(const planes *p, size_t plane, size_t row)
{
    const gc_pool_plane rows = rows_of_plane(p, row);
    const size_t in = in_positions(p);
    if (row == 0)
        memset(p->to + plane * in, 0, in * sizeof(float));
    p->kernels->average_pool_backward(
        &rows, p->from + plane * out_positions(p) + row * p->plane.out_width, p->to + plane * in);
}

static void some_max_forward(void *argument, size_t part, size_t worker)
{
    (void)worker;
    some_planes(argument, part, max_forward_rows);
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
    some_planes(argument, part, average_forward_rows);
}

static void some_average_backward(void *argument, size_t part, size_t worker)
{
    (void)worker;
    some_planes(argument, part, average_backward_rows);
}

static void share_out(gc_engine engine, gc_part some, planes p)
{
    gc_parallel(engine.workers, gc_divide_up(p.count, PLANES), some, &p);
}

/* ---- Max pooling of blocked maps: a part is one plane of a block ---------------------------- */

typedef struct blocked_planes {
    const gc_kernels *kernels;
    gc_blocked in, out;
    size_t recorded; /* plane i belongs to plane i % recorded of the record */
    size_t row_bytes;
    const float *from;
    float *to;
    uint8_t *positions;
} blocked_planes;

static blocked_planes make_blocked(gc_engine engine, gc_shape in, gc_shape out, size_t recorded)
{
    blocked_planes p = {.kernels = engine.kernels,
                        .in = gc_blocked_of(in, engine),
                        .out = gc_blocked_of(out, engine)};
    p.recorded = recorded * p.out.blocks;
    p.row_bytes = 2 * p.out.width * gc_mask_bytes(engine);
    return p;
}

/* Floats to the beginning of row y inside a plane. */
static size_t row_offset(const blocked_planes *p, const gc_blocked *shape, size_t plane, size_t y)
{
    return gc_blocked_offset(shape, p->kernels->width, plane, y, 0);
}

static void blocked_max_forward(void *argument, size_t plane, size_t worker)
{
    (void)worker;
    const blocked_planes *p = argument;
    for (size_t y = 0; y < p->out.height; y++)
        p->kernels->blocked_pool_forward(
            p->out.width, p->from + row_offset(p, &p->in, plane, 2 * y),
            p->from + row_offset(p, &p->in, plane, 2 * y + 1),
            p->to + row_offset(p, &p->out, plane, y),
            p->positions == NULL ? NULL
                                 : p->positions + (plane * p->out.height + y) * p->row_bytes);
}

static void blocked_max_backward(void *argument, size_t plane, size_t worker)
{
    (void)worker;
    const blocked_planes *p = argument;
    const size_t recorded = plane % p->recorded;
    for (size_t y = 0; y < p->out.height; y++)
        p->kernels->blocked_pool_backward(
            p->out.width, p->positions + (recorded * p->out.height + y) * p->row_bytes,
            p->from + row_offset(p, &p->out, plane, y),
            p->to + row_offset(p, &p->in, plane, 2 * y),
            p->to + row_offset(p, &p->in, plane, 2 * y + 1));
}

static void max_forward(const gc_layer *layer, const gc_forward_step *step)
{
    if (step->layouts.writes == GC_PLAIN) {
        share_out(step->engine, some_max_forward, forward_planes(layer, step));
        return;
    }
    blocked_planes p = make_blocked(step->engine, step->in[0], step->out, step->count);
    p.from = step->x[0];
    p.to = step->y;
    p.positions = step->record;
    gc_zero_borders(step->engine, step->count, &p.out, p.out.height, p.out.width, p.to);
    gc_parallel(step->engine.workers, step->count * p.out.blocks, blocked_max_forward, &p);
}

static void max_backward(const gc_layer *layer, const gc_backward_step *step)
{
    if (step->layouts.writes == GC_PLAIN) {
        share_out(step->engine, some_max_backward, backward_planes(layer, step));
        return;
    }
    blocked_planes p = make_blocked(step->engine, step->in[0], step->out, step->batch);
    p.from = step->dy;
    p.to = step->dx[0];
    p.positions = (uint8_t *)step->record;
    /* A last row or column that no window covers counts as border. */
    gc_zero_borders(step->engine, step->count, &p.in, 2 * p.out.height, 2 * p.out.width, p.to);
    gc_parallel(step->engine.workers, step->count * p.out.blocks, blocked_max_backward, &p);
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
    .layouts = max_layouts,
    .record_bytes = max_record_bytes,
    .scratch_bytes = spans_bytes,
    .forward = max_forward,
    .backward = max_backward,
};

const gc_layer_type gc_average_pool_layer = {
    .name = "average_pool",
    .shape = pool_shape,
    .scratch_bytes = spans_bytes,
    .forward = average_forward,
    .backward = average_backward,
};

const gc_layer_type gc_adaptive_average_pool_layer = {
    .name = "adaptive_average_pool",
    .shape = adaptive_shape,
    .scratch_bytes = spans_bytes,
    .forward = average_forward,
    .backward = average_backward,
};
