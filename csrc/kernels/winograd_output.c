/* winograd_output.c: from M back to maps, y = A^T M A (see winograd.c), and what follows it.
 *
 * The sixteen outputs of a tile are in registers, or in the first cache. So the layers that follow
 * run here too, before the outputs are stored: forward the bias, the ReLU and the 2x2 max pooling,
 * whose input is then never stored; backward the gradient of the pooling and the ReLU's masks. Tiles
 * begin at even rows and columns, so each window is inside one tile. */
#include "kernels/blocked.h"
#include "kernels/level.h"
#include "kernels/product.h"
#include "kernels/winograd.h"

enum { SIDE = GC_WINOGRAD_SIDE, STEP = GC_WINOGRAD_STEP };

static const float A = (float)GC_WINOGRAD_A, B = (float)GC_WINOGRAD_B;
static const float A2 = 0.5f, B2 = 2.0f; /* their squares, and third powers */
static const float A3 = (float)(GC_WINOGRAD_A / 2), B3 = (float)(GC_WINOGRAD_B * 2);

typedef enum action { STORE, RELU, RELU_POOL, MASK, UNPOOL } action;

/* A tile that is being finished: its position in the maps of the convolution, and the size of the
 * part of it that is inside them. */
typedef struct tile {
    size_t image, block, y, x, height, width;
} tile;

/* o = A^T m: four values from six. */
GC_INLINE void transform(const gc_vec *m, size_t step, gc_vec *o)
{
    const gc_vec sum_a = m[step] + m[2 * step], difference_a = m[step] - m[2 * step];
    const gc_vec sum_b = m[3 * step] + m[4 * step], difference_b = m[3 * step] - m[4 * step];
    o[0] = m[0] + sum_a + sum_b;
    o[1] = A * difference_a + B * difference_b;
    o[2] = A2 * sum_a + B2 * sum_b;
    o[3] = A3 * difference_a + B3 * difference_b + m[5 * step];
}

/* Not inlined: a compiler may fuse A a + B b with either product first, and differently in each
 * copy, but the bits must not depend on what follows. */
static __attribute__((noinline)) void transform_tile(const float *m, gc_vec y[STEP][STEP])
{
    gc_vec half[SIDE][STEP];
    GC_UNROLL
    for (size_t x = 0; x < SIDE; x++) {
        gc_vec column[SIDE];
        GC_UNROLL
        for (size_t i = 0; i < SIDE; i++)
            column[i] = gc_load(m + (i * SIDE + x) * 2 * GC_WIDTH);
        transform(column, 1, half[x]);
    }
    GC_UNROLL
    for (size_t i = 0; i < STEP; i++)
        transform(&half[0][i], STEP, y[i]);
}

GC_INLINE void add_bias(gc_vec y[STEP][STEP], gc_vec bias)
{
    GC_UNROLL
    for (size_t i = 0; i < STEP; i++)
        GC_UNROLL
        for (size_t j = 0; j < STEP; j++)
            y[i][j] += bias;
}

/* The values of other maps at the same positions. */
GC_INLINE void add_maps(const gc_finish *f, tile t, gc_vec y[STEP][STEP])
{
    const float *other = f->add + gc_offset(&f->out, t.image, t.block, t.y, t.x);
    GC_UNROLL
    for (size_t i = 0; i < STEP; i++)
        GC_UNROLL
        for (size_t j = 0; j < STEP; j++)
            if (i < t.height && j < t.width)
                y[i][j] += gc_load(other + (i * f->out.columns + j) * GC_WIDTH);
}

GC_INLINE void store(const gc_finish *f, tile t, gc_vec y[STEP][STEP])
{
    float *out = f->maps + gc_offset(&f->out, t.image, t.block, t.y, t.x);
    GC_UNROLL
    for (size_t i = 0; i < STEP; i++)
        GC_UNROLL
        for (size_t j = 0; j < STEP; j++)
            if (i < t.height && j < t.width)
                gc_store(out + (i * f->out.columns + j) * GC_WIDTH, y[i][j]);
}

/* Rectified, in place; `height` and `width` are those of the convolution's maps. */
GC_INLINE void rectify_tile(const gc_finish *f, tile t, size_t height, size_t width,
                            gc_vec y[STEP][STEP])
{
    uint8_t *bits = f->bits;
    if (bits != NULL)
        bits += gc_record_index(f->out.blocks, height, width, t.image, t.block, t.y, t.x)
                * GC_BIT_BYTES;
    GC_UNROLL
    for (size_t i = 0; i < STEP; i++)
        GC_UNROLL
        for (size_t j = 0; j < STEP; j++)
            if (i < t.height && j < t.width)
                y[i][j] = gc_limited_relu(
                    y[i][j], f->limit,
                    bits == NULL ? NULL : bits + (i * width + j) * GC_BIT_BYTES);
}

GC_INLINE void pool(const gc_finish *f, tile t, gc_vec y[STEP][STEP])
{
    float *out = f->maps + gc_offset(&f->out, t.image, t.block, t.y / 2, t.x / 2);
    uint8_t *positions = f->positions;
    if (positions != NULL)
        positions += gc_record_index(f->out.blocks, f->out.height, f->out.width, t.image, t.block,
                                     t.y / 2, t.x / 2)
                     * 2 * GC_BIT_BYTES;
    GC_UNROLL
    for (size_t i = 0; i < STEP / 2; i++)
        GC_UNROLL
        for (size_t j = 0; j < STEP / 2; j++)
            if (i < t.height / 2 && j < t.width / 2)
                gc_store(out + (i * f->out.columns + j) * GC_WIDTH,
                         gc_largest(y[2 * i][2 * j], y[2 * i][2 * j + 1], y[2 * i + 1][2 * j],
                                    y[2 * i + 1][2 * j + 1],
                                    positions == NULL
                                        ? NULL
                                        : positions + (i * f->out.width + j) * 2 * GC_BIT_BYTES));
}

GC_INLINE void mask(const gc_finish *f, tile t, gc_vec y[STEP][STEP])
{
    const gc_blocked *o = &f->out;
    const uint8_t *bits = f->bits
                          + gc_record_index(o->blocks, o->height, o->width, t.image % f->recorded,
                                            t.block, t.y, t.x)
                                * GC_BIT_BYTES;
    float *out = f->maps + gc_offset(o, t.image, t.block, t.y, t.x);
    GC_UNROLL
    for (size_t i = 0; i < STEP; i++)
        GC_UNROLL
        for (size_t j = 0; j < STEP; j++)
            if (i < t.height && j < t.width)
                gc_store(out + (i * o->columns + j) * GC_WIDTH,
                         gc_relu_back(y[i][j], f->masks, bits + (i * o->width + j) * GC_BIT_BYTES));
}

/* One value: the gradients of the four values of its window, through the ReLU. */
GC_INLINE void unpool_one(const gc_finish *f, gc_vec value, const uint8_t *positions,
                          const uint8_t *bits, float *out)
{
    const size_t row = f->out.columns * GC_WIDTH, bit_row = f->out.width * GC_BIT_BYTES;
    gc_vec g[4];
    gc_place(value, positions, g);
    gc_store(out, gc_relu_back(g[0], f->masks, bits));
    gc_store(out + GC_WIDTH, gc_relu_back(g[1], f->masks, bits + GC_BIT_BYTES));
    gc_store(out + row, gc_relu_back(g[2], f->masks, bits + bit_row));
    gc_store(out + row + GC_WIDTH, gc_relu_back(g[3], f->masks, bits + bit_row + GC_BIT_BYTES));
}

/* `height` and `width` are those of the pooled maps. */
GC_INLINE void unpool(const gc_finish *f, tile t, size_t height, size_t width,
                      gc_vec y[STEP][STEP])
{
    const gc_blocked *o = &f->out;
    const size_t image = t.image % f->recorded;
    const uint8_t *bits =
        f->bits
        + gc_record_index(o->blocks, o->height, o->width, image, t.block, 2 * t.y, 2 * t.x)
              * GC_BIT_BYTES;
    const uint8_t *positions =
        f->positions
        + gc_record_index(o->blocks, height, width, image, t.block, t.y, t.x) * 2 * GC_BIT_BYTES;
    float *out = f->maps + gc_offset(o, t.image, t.block, 2 * t.y, 2 * t.x);
    GC_UNROLL
    for (size_t i = 0; i < STEP; i++)
        GC_UNROLL
        for (size_t j = 0; j < STEP; j++)
            if (i < t.height && j < t.width)
                unpool_one(f, y[i][j], positions + (i * width + j) * 2 * GC_BIT_BYTES,
                           bits + (2 * i * o->width + 2 * j) * GC_BIT_BYTES,
                           out + (2 * i * o->columns + 2 * j) * GC_WIDTH);
}

GC_INLINE void finish_tile(action act, const gc_winograd *w, const gc_finish *f, tile t,
                           gc_vec y[STEP][STEP], gc_vec bias)
{
    switch (act) {
    case STORE:
    case RELU:
        add_bias(y, bias);
        if (f->add != NULL)
            add_maps(f, t, y);
        if (act == RELU)
            rectify_tile(f, t, w->in.height, w->in.width, y);
        store(f, t, y);
        break;
    case RELU_POOL:
        add_bias(y, bias);
        rectify_tile(f, t, w->in.height, w->in.width, y);
        pool(f, t, y);
        break;
    case MASK:
        if (f->add != NULL)
            add_maps(f, t, y);
        mask(f, t, y);
        break;
    case UNPOOL:
        unpool(f, t, w->in.height, w->in.width, y);
        break;
    }
}

/* Into the first cache: the lines that the tile will be stored to. */
GC_INLINE void prefetch_output(action act, const gc_finish *f, tile t)
{
    const size_t side = act == UNPOOL ? 2 * STEP : act == RELU_POOL ? STEP / 2 : STEP;
    const float *out = f->maps
                       + gc_offset(&f->out, t.image, t.block, t.y / STEP * side,
                                   t.x / STEP * side);
    GC_UNROLL
    for (size_t i = 0; i < side; i++)
        GC_UNROLL
        for (size_t j = 0; j < side * GC_WIDTH; j += GC_LINE)
            __builtin_prefetch(out + i * f->out.columns * GC_WIDTH + j, 1, 3);
}

/* One tile and one vector of output channels. */
GC_INLINE void finish_half(action act, const gc_winograd *w, const gc_finish *f, tile t,
                           const float *m)
{
    const gc_vec bias = f->bias == NULL ? (gc_vec){0} : gc_load(f->bias + t.block * GC_WIDTH);
    gc_vec y[STEP][STEP];
    prefetch_output(act, f, t);
    transform_tile(m, y);
    if (t.height == STEP && t.width == STEP) {
        t.height = t.width = STEP; /* constants, for whole tiles' own code */
        finish_tile(act, w, f, t, y, bias);
    } else {
        finish_tile(act, w, f, t, y, bias);
    }
}

GC_INLINE void finish(action act, const gc_winograd *w, size_t first, size_t count, size_t pair,
                      const float *m, const gc_finish *f)
{
    const size_t of_image = w->tiles_down * w->tiles_across;
    for (size_t i = 0; i < count; i++, m += w->m_tile) {
        const size_t number = (first + i) % of_image;
        tile t = {.image = (first + i) / of_image,
                  .y = number / w->tiles_across * STEP,
                  .x = number % w->tiles_across * STEP};
        t.height = w->in.height - t.y < STEP ? w->in.height - t.y : STEP;
        t.width = w->in.width - t.x < STEP ? w->in.width - t.x : STEP;
        for (size_t half = 0; half < 2 && 2 * pair + half < f->out.blocks; half++) {
            t.block = 2 * pair + half;
            finish_half(act, w, f, t, m + half * GC_WIDTH);
        }
    }
}

#define FINISH(name, act)                                                                     \
    void GC_KERNEL(name)(const gc_winograd *winograd, size_t first, size_t count,             \
                         size_t pair, const float *m, const gc_finish *f)                     \
    {                                                                                         \
        finish(act, winograd, first, count, pair, m, f);                                      \
    }

FINISH(winograd_store, STORE)
FINISH(winograd_relu, RELU)
FINISH(winograd_relu_pool, RELU_POOL)
FINISH(winograd_mask, MASK)
FINISH(winograd_unpool, UNPOOL)
