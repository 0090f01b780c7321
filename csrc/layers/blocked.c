/* blocked.c: sizes of blocked maps, their borders, and copies between the two layouts. */
#include "layers/blocked.h"

#include <string.h>

#include "base/threads.h"
#include "kernels/winograd.h"
#include "layers/copy.h"

enum { TILE = GC_WINOGRAD_STEP }; /* maps extend to whole tiles of the convolutions on them */

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
    return b.blocks * gc_blocked_plane(&b, engine.kernels->width);
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

typedef struct blocked_maps {
    gc_engine engine;
    gc_blocked shape;
    size_t channels, height, width; /* height, width: of what is inside the border */
    size_t planes, share;           /* share: rows of a part */
    const float *from;
    float *to;
} blocked_maps;

static size_t floats_of_plane(const blocked_maps *w)
{
    return gc_blocked_plane(&w->shape, w->engine.kernels->width);
}

void gc_zero_outside(const gc_blocked *shape, size_t lanes, size_t row, size_t height, size_t width,
                     float *to)
{
    const size_t floats = shape->columns * lanes, right = (width + 1) * lanes;
    if (row == 0 || row > height) {
        memset(to, 0, floats * sizeof *to);
        return;
    }
    memset(to, 0, lanes * sizeof *to);
    memset(to + right, 0, (floats - right) * sizeof *to);
}

/* The zeros in a row of a plane: the border, and what is outside the map. */
static void zero_row(const blocked_maps *w, size_t row, float *to)
{
    gc_zero_outside(&w->shape, w->engine.kernels->width, row, w->height, w->width, to);
}

static void zero_border(const blocked_maps *w, float *plane)
{
    for (size_t row = 0; row < w->shape.rows; row++)
        zero_row(w, row, plane + row * w->shape.columns * w->engine.kernels->width);
}

/* Some rows of all planes. */
static void zero_part(void *argument, size_t part, size_t worker)
{
    (void)worker;
    const blocked_maps *w = argument;
    const size_t end = gc_min((part + 1) * w->share, w->planes * w->shape.rows);
    for (size_t row = part * w->share; row < end; row++)
        zero_row(w, row % w->shape.rows,
                 w->to + row * w->shape.columns * w->engine.kernels->width);
}

/* Floats of a part, about. The first write to new memory waits until its pages are cleared, so the
 * threads share this out. */
enum { PART = 1 << 20 };

void gc_zero_borders(gc_engine engine, size_t count, const gc_blocked *shape, size_t height,
                     size_t width, float *maps)
{
    blocked_maps w = {.engine = engine,
                      .shape = *shape,
                      .height = height,
                      .width = width,
                      .planes = count * shape->blocks,
                      .share = PART / (shape->columns * engine.kernels->width) + 1,
                      .to = maps};
    gc_parallel(engine.workers, gc_divide_up(w.planes * shape->rows, w.share), zero_part, &w);
}

/* Floats to the planes of a block in plain maps; *channels: their number. */
static size_t plain_offset(const blocked_maps *w, size_t part, size_t *channels)
{
    const size_t width = w->engine.kernels->width;
    const size_t image = part / w->shape.blocks, first = part % w->shape.blocks * width;
    *channels = gc_min(w->channels - first, width);
    return (image * w->channels + first) * w->shape.height * w->shape.width;
}

static void block_part(void *argument, size_t part, size_t worker)
{
    (void)worker;
    const blocked_maps *w = argument;
    size_t channels;
    const float *from = w->from + plain_offset(w, part, &channels);
    float *to = w->to + part * floats_of_plane(w);
    zero_border(w, to);
    w->engine.kernels->block_map(&w->shape, channels, from, to);
}

static void unblock_part(void *argument, size_t part, size_t worker)
{
    (void)worker;
    const blocked_maps *w = argument;
    size_t channels;
    float *to = w->to + plain_offset(w, part, &channels);
    w->engine.kernels->unblock_map(&w->shape, channels, w->from + part * floats_of_plane(w), to);
}

void gc_copy_maps(gc_engine engine, size_t count, gc_shape shape, gc_layout from,
                  const float *source, gc_layout to, float *target)
{
    if (from == to) {
        gc_copy_floats(engine, count * gc_map_floats(shape, from, engine), source, target);
        return;
    }
    blocked_maps w = {.engine = engine,
                      .shape = gc_blocked_of(shape, engine),
                      .channels = shape.channels,
                      .height = shape.height,
                      .width = shape.width,
                      .from = source,
                      .to = target};
    gc_parallel(engine.workers, count * w.shape.blocks,
                from == GC_PLAIN ? block_part : unblock_part, &w);
}

/* ---- Pieces ------------------------------------------------------------------------------- */

enum { PIECE = 1 << 14 }; /* floats of a part, about: several maps of this size fit in the caches */

typedef struct pieces {
    size_t count, height;
    size_t rows;      /* of a piece, at most */
    size_t per_block; /* pieces */
    size_t share;     /* pieces of a part */
    gc_rows_part run;
    void *work;
} pieces;

static void some_pieces(void *argument, size_t part, size_t worker)
{
    const pieces *p = argument;
    for (size_t i = part * p->share; i < gc_min((part + 1) * p->share, p->count); i++) {
        const size_t row = i % p->per_block * p->rows;
        const gc_rows piece = {.block = i / p->per_block,
                                .row = row,
                                .rows = gc_min(p->rows, p->height - row)};
        p->run(p->work, piece, worker);
    }
}

void gc_parallel_rows(gc_engine engine, size_t blocks, size_t height, size_t floats,
                      gc_rows_part run, void *work)
{
    pieces p = {.height = height, .run = run, .work = work};
    p.rows = gc_even_share(height, floats < PIECE ? PIECE / floats : 1);
    p.per_block = gc_divide_up(height, p.rows);
    p.count = blocks * p.per_block;
    p.share = p.rows * floats < PIECE ? PIECE / (p.rows * floats) : 1;
    gc_parallel(engine.workers, gc_divide_up(p.count, p.share), some_pieces, &p);
}

void gc_zero_around(const gc_blocked *shape, size_t lanes, gc_rows piece, float *maps)
{
    const size_t floats = shape->columns * lanes;
    float *block = maps + piece.block * gc_blocked_plane(shape, lanes);
    const size_t first = piece.row == 0 ? 0 : piece.row + 1;
    const int is_last = piece.row + piece.rows == shape->height;
    const size_t end = is_last ? shape->rows : piece.row + piece.rows + 1;
    for (size_t row = first; row < end; row++)
        gc_zero_outside(shape, lanes, row, shape->height, shape->width, block + row * floats);
}
