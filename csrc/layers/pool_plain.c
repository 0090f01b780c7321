/* pool_plain.c: pooling of plain maps, some planes at a time. */
#include <string.h>

#include "base/threads.h"
#include "base/watch.h"
#include "layers/pool.h"

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

/* All rows, unless windows are so large that a plane takes long. */
static size_t rows_at_a_time(const gc_pool_plane *p)
{
    enum { SMALL = 16, MAX_READS = 1 << 24 };
    const size_t window =
        gc_pool_largest_window(p->rows, p->out_height, p->columns, p->out_width);
    const size_t rows = MAX_READS / window / p->out_width;
    return window <= SMALL ? p->out_height : rows == 0 ? 1 : rows;
}

static planes make_planes(const gc_layer *layer, gc_engine engine, gc_shape in, gc_shape out,
                          size_t images, void *scratch)
{
    const gc_pool_plane plane = gc_pool_plane_of(layer, in, out, scratch);
    return (planes){.plane = plane,
                    .kernels = engine.kernels,
                    .count = images * out.channels,
                    .band = rows_at_a_time(&plane)};
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
    if (p->plane.divisor != 0 && row + rows.out_height == p->plane.out_height)
        p->kernels->affine(in, 1.0f / (float)p->plane.divisor, 0.0f, p->to + plane * in,
                           p->to + plane * in);
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

void gc_pool_forward_plain(const gc_layer *layer, const gc_forward_step *step)
{
    planes p = make_planes(layer, step->engine, step->in[0], step->out, step->count,
                           step->scratch);
    p.from = step->x[0];
    p.to = step->y;
    p.positions = step->record;
    gc_parallel(step->engine.workers, gc_divide_up(p.count, PLANES),
                gc_pool_is_max(layer) ? some_max_forward : some_average_forward, &p);
}

void gc_pool_backward_plain(const gc_layer *layer, const gc_backward_step *step)
{
    planes p = make_planes(layer, step->engine, step->in[0], step->out, step->count,
                           step->scratch);
    p.recorded = step->batch * step->out.channels;
    p.from = step->dy;
    p.to = step->dx[0];
    p.positions = (uint32_t *)step->record;
    gc_parallel(step->engine.workers, gc_divide_up(p.count, PLANES),
                gc_pool_is_max(layer) ? some_max_backward : some_average_backward, &p);
}
