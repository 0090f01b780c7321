/* packed.c: convolution of blocked maps as a matrix product, in general over packed inputs.
 *
 *     y[k][p] = b[k] + sum over channels c and taps t of w[k][c][t] x[c][p + t]
 *
 * Positions are processed in groups that fill the registers. First the inputs of a group are copied
 * next to each other, in the order in which the product reads them; those in the padding are zero.
 * So one product serves every kernel, stride, padding and dilation, and the gradient of the input.
 * Where each position has one input and those of a row are side by side, as in a 1x1 convolution,
 * the product can read them from the maps.
 *
 * Layouts, W = GC_WIDTH:
 *     v  [c / W][tap][position][W], of a group; positions are GC_TILES apart
 *     w  [c / W][tap][W][2W], of one pair of vectors of output channels
 *
 * The sums of a group are finished while they are in the first cache: bias, other maps to be added,
 * ReLU and its bits; or, in the backward pass, the masks of the ReLU before the convolution. */
#include "kernels/blocked.h"
#include "kernels/level.h"
#include "kernels/product.h"

/* The vectors that one tap of a group reads in the first block of channels. Outside the map it is
 * the corner of the border, which is zero in every block. */
static void find_inputs(const gc_gather *g, size_t first, size_t count, size_t tap,
                        const float *map, const float *inputs[GC_TILES])
{
    size_t row = first / g->width, column = first % g->width;
    for (size_t p = 0; p < count; p++) {
        const ptrdiff_t y = (ptrdiff_t)(row * g->step[0]) + g->offsets[tap][0];
        const ptrdiff_t x = (ptrdiff_t)(column * g->step[1]) + g->offsets[tap][1];
        const int inside = y >= 0 && x >= 0 && (size_t)y < g->in.height && (size_t)x < g->in.width;
        inputs[p] = map
                    + (inside ? gc_blocked_offset(&g->in, GC_WIDTH, 0, (size_t)y, (size_t)x) : 0);
        if (++column == g->width) {
            column = 0;
            row++;
        }
    }
}

/* `count` is a constant where it is inlined. */
GC_INLINE void copy_inputs(size_t count, size_t blocks, size_t plane,
                           const float *inputs[GC_TILES], float *v, size_t step)
{
    for (size_t b = 0; b < blocks; b++, v += step) {
        GC_UNROLL
        for (size_t p = 0; p < count; p++)
            gc_store(v + p * GC_WIDTH, gc_load(inputs[p] + b * plane));
    }
}

void GC_KERNEL(pack_inputs)(const gc_gather *g, size_t first, size_t count, const float *map,
                            float *v)
{
    const size_t plane = gc_blocked_plane(&g->in, GC_WIDTH);
    const size_t tap_floats = GC_TILES * GC_WIDTH, step = g->taps * tap_floats;
    const float *inputs[GC_TILES];
    for (size_t tap = 0; tap < g->taps; tap++, v += tap_floats) {
        find_inputs(g, first, count, tap, map, inputs);
        if (count == GC_TILES)
            copy_inputs(GC_TILES, g->in.blocks, plane, inputs, v, step);
        else
            copy_inputs(count, g->in.blocks, plane, inputs, v, step);
    }
}

/* ---- The product ------------------------------------------------------------------------- */

/* What follows the sums of a pair of vectors. The first three cases are the most frequent ones, and
 * are finished in registers. */
typedef enum ending { STORE, RELU, RECORDED_RELU, OTHER } ending;

/* A pair of vectors of outputs: where it is in the maps and in the records, and its bias. */
typedef struct pair_of_blocks {
    ending ending;
    size_t count; /* blocks: 1 in the last pair, if their number is odd */
    float *maps[2];
    const float *add[2]; /* NULL: none */
    uint8_t *bits[2];    /* NULL: none */
    float bias[2 * GC_WIDTH];
} pair_of_blocks;

static ending ending_of(gc_after after, const gc_finish *f)
{
    if (f->add != NULL || after == GC_AFTER_MASK)
        return OTHER;
    return after == GC_AFTER_STORE ? STORE
           : f->bits == NULL       ? RELU
                                   : RECORDED_RELU;
}

static pair_of_blocks find_pair(const gc_packed *k, const gc_finish *f, size_t pair)
{
    const gc_blocked *out = &f->out;
    const size_t plane = gc_blocked_plane(out, GC_WIDTH);
    const size_t record = out->height * out->width * GC_BIT_BYTES;
    pair_of_blocks b = {.ending = ending_of(k->after, f)};
    for (size_t block = 2 * pair; block < 2 * pair + 2 && block < out->blocks; block++, b.count++) {
        const size_t map = (k->image * out->blocks + block) * plane;
        b.maps[b.count] = f->maps + map;
        b.add[b.count] = f->add == NULL ? NULL : f->add + map;
        b.bits[b.count] =
            f->bits == NULL ? NULL : f->bits + (k->record * out->blocks + block) * record;
        if (f->bias != NULL)
            gc_store(b.bias + b.count * GC_WIDTH, gc_load(f->bias + block * GC_WIDTH));
    }
    return b;
}

/* One vector of sums, in any case. */
GC_INLINE void finish_one(const gc_packed *k, const gc_finish *f, const pair_of_blocks *b,
                          size_t block, gc_position place, gc_vec y)
{
    uint8_t *bits = b->bits[block] == NULL ? NULL : b->bits[block] + place.record * GC_BIT_BYTES;
    y += gc_load(b->bias + block * GC_WIDTH);
    if (b->add[block] != NULL)
        y += gc_load(b->add[block] + place.map * GC_WIDTH);
    if (k->after == GC_AFTER_RELU)
        y = gc_limited_relu(y, f->limit, bits);
    else if (k->after == GC_AFTER_MASK)
        y = gc_relu_back(y, f->masks, bits);
    gc_store(b->maps[block] + place.map * GC_WIDTH, y);
}

/* A group of sums [position][2 W] in any case. */
static __attribute__((noinline)) void
finish_sums(const gc_packed *k, const gc_finish *f, const pair_of_blocks *b,
            const gc_position *places, size_t count, const float *sums)
{
    for (size_t block = 0; block < b->count; block++)
        for (size_t p = 0; p < count; p++)
            finish_one(k, f, b, block, places[p],
                       gc_load(sums + (2 * p + block) * GC_WIDTH));
}

/* The sums of one block of maps. `ending` and `count` are constants where this is inlined. */
GC_INLINE void finish_block(ending ending, size_t count, float limit, const pair_of_blocks *b,
                            size_t block, const gc_position *places, gc_vec sum[GC_TILES][2])
{
    const gc_vec bias = gc_load(b->bias + block * GC_WIDTH), limits = limit - (gc_vec){0};
    GC_UNROLL
    for (size_t p = 0; p < count; p++) {
        gc_vec y = sum[p][block] + bias;
        if (ending == RECORDED_RELU)
            y = gc_limited_relu(y, limit, b->bits[block] + places[p].record * GC_BIT_BYTES);
        else if (ending == RELU)
            y = gc_clamp(y, (gc_vec){0}, limits);
        gc_store(b->maps[block] + places[p].map * GC_WIDTH, y);
    }
}

GC_INLINE void finish_group(ending ending, size_t count, float limit, const pair_of_blocks *b,
                            const gc_position *places, gc_vec sum[GC_TILES][2])
{
    finish_block(ending, count, limit, b, 0, places, sum);
    if (b->count > 1)
        finish_block(ending, count, limit, b, 1, places, sum);
}

/* The outputs of one pair at the positions of a group. `count` is a constant where it is inlined.
 * `x` and `w` are what is multiplied; `lines` lines for each block, from `next` on, are prefetched. */
GC_INLINE void run_group(size_t count, const gc_packed *k, const gc_finish *f,
                         const pair_of_blocks *b, const gc_position *places, const float *x,
                         const float *w, const float *next, size_t lines)
{
    const gc_ahead ahead = {.next = next, .lines = lines, .blocks = GC_BLOCKS_AHEAD};
    gc_vec sum[GC_TILES][2];
    gc_clear_sums(count, sum);
    if (b->count == 1) /* the second vector of weights is zero */
        gc_product(count, 1, k->depth, k->x_block, x, w, ahead, sum);
    else
        gc_product(count, 2, k->depth, k->x_block, x, w, ahead, sum);
    if (b->ending == STORE)
        finish_group(STORE, count, INFINITY, b, places, sum);
    else if (b->ending == RELU)
        finish_group(RELU, count, f->limit, b, places, sum);
    else if (b->ending == RECORDED_RELU && f->limit == INFINITY)
        finish_group(RECORDED_RELU, count, INFINITY, b, places, sum);
    else if (b->ending == RECORDED_RELU)
        finish_group(RECORDED_RELU, count, f->limit, b, places, sum);
    else {
        float sums[GC_TILES * 2 * GC_WIDTH];
        GC_UNROLL
        for (size_t p = 0; p < count; p++) {
            gc_store(sums + 2 * p * GC_WIDTH, sum[p][0]);
            gc_store(sums + (2 * p + 1) * GC_WIDTH, sum[p][1]);
        }
        finish_sums(k, f, b, places, count, sums);
    }
}

/* Each number of positions has code of its own, so that sums stay in registers. */
static void run_groups(const gc_packed *k, const gc_finish *f, const pair_of_blocks *b,
                       gc_tiles positions, const float *x_row, const float *w)
{
    const float *next = k->next;
    size_t fetching = k->fetching;
    for (size_t row = 0; row < k->rows; row++, x_row += k->x_row)
        for (size_t g = positions.from; g < positions.to; g++) {
            const size_t start = gc_group_start(&positions, g);
            const gc_position *places = k->places + row * k->row + start;
            const float *x = x_row + (k->x_group == 0 ? start * GC_WIDTH : g * k->x_group);
            const size_t lines = fetching > 0 ? k->lines : 0;
#define CASE(n)                                                                               \
    case n:                                                                                   \
        if (n <= GC_TILES)                                                                    \
            run_group(n <= GC_TILES ? n : 1, k, f, b, places, x, w, next, lines);             \
        break
            switch (gc_group_size(&positions, g)) {
                GC_EACH_COUNT(CASE);
            default:
                break;
            }
#undef CASE
            next += lines * k->depth * GC_LINE;
            fetching -= fetching > 0;
        }
}

void GC_KERNEL(packed_product)(const gc_packed *k, gc_tiles positions, size_t pair,
                               const float *w, const float *x, const gc_finish *f)
{
    const pair_of_blocks b = find_pair(k, f, pair);
    run_groups(k, f, &b, positions, x + k->skip * k->x_block, w);
}
