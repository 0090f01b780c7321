/* pool_blocked.c: pooling of blocked maps. A part is some rows, of the output forward, of the input
 * backward; 2x2 max pooling has kernels of its own, and a part is one plane of a block. */
#include <string.h>

#include "base/threads.h"
#include "layers/blocked.h"
#include "layers/pool.h"

/* ---- 2x2 max pooling ------------------------------------------------------------------------- */

typedef struct windows_2x2 {
    const gc_kernels *kernels;
    gc_blocked in, out;
    size_t recorded; /* plane i belongs to plane i % recorded of the record */
    size_t row_bytes;
    const float *from;
    float *to;
    uint8_t *positions;
} windows_2x2;

static windows_2x2 make_2x2(gc_engine engine, gc_shape in, gc_shape out, size_t recorded)
{
    windows_2x2 p = {.kernels = engine.kernels,
                     .in = gc_blocked_of(in, engine),
                     .out = gc_blocked_of(out, engine)};
    p.recorded = recorded * p.out.blocks;
    p.row_bytes = 2 * p.out.width * gc_mask_bytes(engine);
    return p;
}

/* Floats to the beginning of row y inside a plane. */
static size_t row_offset(const windows_2x2 *p, const gc_blocked *shape, size_t plane, size_t y)
{
    return gc_blocked_offset(shape, p->kernels->width, plane, y, 0);
}

static void forward_2x2(void *argument, size_t plane, size_t worker)
{
    (void)worker;
    const windows_2x2 *p = argument;
    for (size_t y = 0; y < p->out.height; y++)
        p->kernels->blocked_pool_forward(
            p->out.width, p->from + row_offset(p, &p->in, plane, 2 * y),
            p->from + row_offset(p, &p->in, plane, 2 * y + 1),
            p->to + row_offset(p, &p->out, plane, y),
            p->positions == NULL ? NULL
                                 : p->positions + (plane * p->out.height + y) * p->row_bytes);
}

static void backward_2x2(void *argument, size_t plane, size_t worker)
{
    (void)worker;
    const windows_2x2 *p = argument;
    const size_t recorded = plane % p->recorded;
    for (size_t y = 0; y < p->out.height; y++)
        p->kernels->blocked_pool_backward(
            p->out.width, p->positions + (recorded * p->out.height + y) * p->row_bytes,
            p->from + row_offset(p, &p->out, plane, y),
            p->to + row_offset(p, &p->in, plane, 2 * y),
            p->to + row_offset(p, &p->in, plane, 2 * y + 1));
}

static void forward_2x2_maps(const gc_forward_step *step)
{
    windows_2x2 p = make_2x2(step->engine, step->in[0], step->out, step->count);
    p.from = step->x[0];
    p.to = step->y;
    p.positions = step->record;
    gc_zero_borders(step->engine, step->count, &p.out, p.out.height, p.out.width, p.to);
    gc_parallel(step->engine.workers, step->count * p.out.blocks, forward_2x2, &p);
}

static void backward_2x2_maps(const gc_backward_step *step)
{
    windows_2x2 p = make_2x2(step->engine, step->in[0], step->out, step->batch);
    p.from = step->dy;
    p.to = step->dx[0];
    p.positions = (uint8_t *)step->record;
    /* A last row or column that no window covers counts as border. */
    gc_zero_borders(step->engine, step->count, &p.in, 2 * p.out.height, 2 * p.out.width, p.to);
    gc_parallel(step->engine.workers, step->count * p.out.blocks, backward_2x2, &p);
}

/* ---- Any windows ----------------------------------------------------------------------------- */

typedef struct pooling {
    const gc_kernels *kernels;
    gc_pool_block block;
    gc_blocked in, out;
    size_t channels;
    int is_max, is_plain; /* is_plain: the output, of one position for each channel */
    size_t recorded;      /* image i belongs to image i % recorded of the record */
    const float *from;    /* x, or dy */
    float *to;            /* y, or dx */
    uint8_t *index;       /* of max pooling, or NULL */
} pooling;

/* The output rows, or columns, whose spans contain each input row, or column. Spans begin and end
 * in ascending order. */
static void find_readers(size_t size, size_t count, const gc_span *spans, gc_span *readers)
{
    size_t begin = 0, end = 0;
    for (size_t i = 0; i < size; i++) {
        while (begin < count && spans[begin].end <= i)
            begin++;
        while (end < count && spans[end].begin <= i)
            end++;
        readers[i] = (gc_span){.begin = begin, .end = end < begin ? begin : end};
    }
}

/* The windows from both sides, laid out in scratch. */
static void add_readers(gc_pool_block *b, void *scratch)
{
    gc_span *rows = (gc_span *)scratch + b->out_height + b->out_width, *columns = rows + b->height;
    find_readers(b->height, b->out_height, b->rows, rows);
    find_readers(b->width, b->out_width, b->columns, columns);
    b->row_readers = rows;
    b->column_readers = columns;
}

static pooling make_pooling(const gc_layer *layer, gc_engine engine, gc_shape in, gc_shape out,
                            gc_layouts layouts, void *scratch)
{
    const gc_pool_plane plane = gc_pool_plane_of(layer, in, out, scratch);
    const int slides = gc_pool_slides(layer);
    pooling p = {.kernels = engine.kernels,
                 .in = gc_blocked_of(in, engine),
                 .out = gc_blocked_of(out, engine),
                 .channels = in.channels,
                 .is_max = gc_pool_is_max(layer),
                 .is_plain = layouts.writes == GC_PLAIN};
    p.block = (gc_pool_block){.height = in.height,
                              .width = in.width,
                              .out_height = out.height,
                              .out_width = out.width,
                              .in_row = p.in.columns,
                              .out_row = p.out.columns,
                              .index_bytes = gc_pool_index_bytes(layer, in),
                              .stride = slides ? layer->pool.stride[1] : 0,
                              .window = slides ? layer->pool.kernel[1] : 0,
                              .divisor = plane.divisor,
                              .rows = plane.rows,
                              .columns = plane.columns};
    return p;
}

/* Floats to position (0, 0) of a plane. */
static size_t plane_offset(const pooling *p, const gc_blocked *shape, size_t plane)
{
    return gc_blocked_offset(shape, p->kernels->width, plane, 0, 0);
}

/* The channels of a plane: its first one in plain maps of one position, and how many there are. */
static size_t plain_channels(const pooling *p, size_t plane, size_t images, size_t *count)
{
    const size_t lanes = p->kernels->width, first = plane % p->in.blocks * lanes;
    *count = gc_min(p->channels - first, lanes);
    return plane / p->in.blocks % images * p->channels + first;
}

static uint8_t *index_of(const pooling *p, size_t plane)
{
    if (p->index == NULL)
        return NULL;
    return p->index
           + plane % (p->recorded * p->in.blocks) * p->block.out_height * p->block.out_width
                 * p->kernels->width * p->block.index_bytes;
}

static void forward_rows(const pooling *p, gc_rows s, float *y, void *index)
{
    const float *x = p->from + plane_offset(p, &p->in, s.block);
    if (p->is_max)
        p->kernels->blocked_max_forward(&p->block, s.row, s.rows, x, y, index);
    else
        p->kernels->blocked_average_forward(&p->block, s.row, s.rows, x, y);
}

static void backward_rows(const pooling *p, gc_rows s, const float *dy, const void *index)
{
    float *dx = p->to + plane_offset(p, &p->in, s.block);
    if (p->is_max)
        p->kernels->blocked_max_backward(&p->block, s.row, s.rows, index, dy, dx);
    else
        p->kernels->blocked_average_backward(&p->block, s.row, s.rows, dy, dx);
}

/* Of an output of one position, written as a plain map. */
static void forward_to_plain(const pooling *p, gc_rows s)
{
    float y[GC_MAX_WIDTH];
    uint32_t index[GC_MAX_WIDTH];
    size_t count;
    const size_t first = plain_channels(p, s.block, p->recorded, &count);
    forward_rows(p, s, y, p->index == NULL ? NULL : index);
    memcpy(p->to + first, y, count * sizeof *y);
    if (p->index != NULL)
        memcpy((uint32_t *)p->index + first, index, count * sizeof *index);
}

static void backward_from_plain(const pooling *p, gc_rows s)
{
    float dy[GC_MAX_WIDTH] = {0};
    uint32_t index[GC_MAX_WIDTH] = {0};
    size_t count;
    const size_t first = plain_channels(p, s.block, SIZE_MAX, &count);
    memcpy(dy, p->from + first, count * sizeof *dy);
    if (p->index != NULL)
        memcpy(index, (uint32_t *)p->index + plain_channels(p, s.block, p->recorded, &count),
               count * sizeof *index);
    backward_rows(p, s, dy, index);
}

static void forward_piece(void *argument, gc_rows piece, size_t worker)
{
    (void)worker;
    const pooling *p = argument;
    if (p->is_plain) {
        forward_to_plain(p, piece);
        return;
    }
    gc_zero_around(&p->out, p->kernels->width, piece, p->to);
    forward_rows(p, piece, p->to + plane_offset(p, &p->out, piece.block),
                 index_of(p, piece.block));
}

static void backward_piece(void *argument, gc_rows piece, size_t worker)
{
    (void)worker;
    const pooling *p = argument;
    gc_zero_around(&p->in, p->kernels->width, piece, p->to);
    if (p->is_plain)
        backward_from_plain(p, piece);
    else
        backward_rows(p, piece, p->from + plane_offset(p, &p->out, piece.block),
                      index_of(p, piece.block));
}

void gc_pool_forward_blocked(const gc_layer *layer, const gc_forward_step *step)
{
    if (gc_pool_is_2x2(layer, &step->in[0])) {
        forward_2x2_maps(step);
        return;
    }
    pooling p = make_pooling(layer, step->engine, step->in[0], step->out, step->layouts,
                             step->scratch);
    const gc_pool_block *b = &p.block;
    p.recorded = step->count;
    p.from = step->x[0];
    p.to = step->y;
    p.index = step->record;
    const size_t window =
        gc_pool_largest_window(b->rows, b->out_height, b->columns, b->out_width);
    gc_parallel_rows(step->engine, step->count * p.in.blocks, b->out_height,
                     b->out_width * window, forward_piece, &p);
}

void gc_pool_backward_blocked(const gc_layer *layer, const gc_backward_step *step)
{
    if (gc_pool_is_2x2(layer, &step->in[0])) {
        backward_2x2_maps(step);
        return;
    }
    pooling p = make_pooling(layer, step->engine, step->in[0], step->out, step->layouts,
                             step->scratch);
    gc_pool_block *b = &p.block;
    add_readers(b, step->scratch);
    p.recorded = step->batch;
    p.from = step->dy;
    p.to = step->dx[0];
    p.index = (uint8_t *)step->record;
    const size_t readers =
        gc_pool_largest_window(b->row_readers, b->height, b->column_readers, b->width);
    gc_parallel_rows(step->engine, step->count * p.in.blocks, b->height, b->width * readers,
                     backward_piece, &p);
}
