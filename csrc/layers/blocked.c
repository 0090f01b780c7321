/* blocked.c: what blocked maps need besides the kernels that work on them. */
#include "layers/blocked.h"

#include <string.h>

#include "base/threads.h"

enum { TILE = 4, PLANES = 16 }; /* side of a tile; planes that a thread zeroes at a time */

gc_blocked gc_blocked_of(gc_shape shape, gc_engine engine)
{
    return (gc_blocked){.blocks = gc_divide_up(shape.channels, engine.kernels->width),
                        .height = shape.height,
                        .width = shape.width,
                        .rows = gc_divide_up(shape.height, TILE) * TILE + 2,
                        .columns = gc_divide_up(shape.width, TILE) * TILE + 2};
}

size_t gc_map_floats(gc_shape shape, gc_layout layout, gc_engine engine)
{
    if (layout == GC_PLAIN)
        return gc_values(shape);
    const gc_blocked b = gc_blocked_of(shape, engine);
    return b.blocks * b.rows * b.columns * engine.kernels->width;
}

size_t gc_mask_bytes(gc_engine engine)
{
    return gc_divide_up(engine.kernels->width, 8);
}

size_t gc_record_mask_bytes(gc_shape shape, gc_engine engine)
{
    return gc_divide_up(shape.channels, engine.kernels->width) * gc_positions(shape)
           * gc_mask_bytes(engine);
}

typedef struct work {
    gc_engine engine;
    gc_blocked shape;
    size_t channels, height, width; /* height, width: of what lies inside the border */
    size_t planes;
    const float *from;
    float *to;
} work;

static size_t floats_of_plane(const work *w)
{
    return w->shape.rows * w->shape.columns * w->engine.kernels->width;
}

static void zero_border(const work *w, float *plane)
{
    const size_t lanes = w->engine.kernels->width, row = w->shape.columns * lanes;
    const size_t right = (w->width + 1) * lanes;
    memset(plane, 0, row * sizeof *plane);
    for (size_t y = 1; y <= w->height; y++) {
        memset(plane + y * row, 0, lanes * sizeof *plane);
        memset(plane + y * row + right, 0, (row - right) * sizeof *plane);
    }
    memset(plane + (w->height + 1) * row, 0,
           (w->shape.rows - w->height - 1) * row * sizeof *plane);
}

static void zero_part(void *argument, size_t part, size_t worker)
{
    (void)worker;
    const work *w = argument;
    for (size_t i = part * PLANES; i < (part + 1) * PLANES && i < w->planes; i++)
        zero_border(w, w->to + i * floats_of_plane(w));
}

void gc_zero_borders(gc_engine engine, size_t count, const gc_blocked *shape, size_t height,
                     size_t width, float *maps)
{
    work w = {.engine = engine,
              .shape = *shape,
              .height = height,
              .width = width,
              .planes = count * shape->blocks,
              .to = maps};
    gc_parallel(engine.workers, gc_divide_up(w.planes, PLANES), zero_part, &w);
}

/* Where a block's planes lie in plain maps, and how many there are. */
static size_t plain_offset(const work *w, size_t part, size_t *channels)
{
    const size_t width = w->engine.kernels->width;
    const size_t image = part / w->shape.blocks, first = part % w->shape.blocks * width;
    *channels = gc_least(w->channels - first, width);
    return (image * w->channels + first) * w->shape.height * w->shape.width;
}

static void block_part(void *argument, size_t part, size_t worker)
{
    (void)worker;
    const work *w = argument;
    size_t channels;
    const float *from = w->from + plain_offset(w, part, &channels);
    float *to = w->to + part * floats_of_plane(w);
    zero_border(w, to);
    w->engine.kernels->block_map(&w->shape, channels, from, to);
}

static void unblock_part(void *argument, size_t part, size_t worker)
{
    (void)worker;
    const work *w = argument;
    size_t channels;
    float *to = w->to + plain_offset(w, part, &channels);
    w->engine.kernels->unblock_map(&w->shape, channels, w->from + part * floats_of_plane(w), to);
}

void gc_convert_maps(gc_engine engine, size_t count, gc_shape shape, gc_layout from,
                     const float *source, float *target)
{
    work w = {.engine = engine,
              .shape = gc_blocked_of(shape, engine),
              .channels = shape.channels,
              .height = shape.height,
              .width = shape.width,
              .from = source,
              .to = target};
    gc_parallel(engine.workers, count * w.shape.blocks,
                from == GC_PLAIN ? block_part : unblock_part, &w);
}
