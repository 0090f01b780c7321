/* packed.c: convolution of blocked maps as a matrix product over packed inputs.
 *
 *     y[k][p] = b[k] + sum over channels c and taps t of w[k][c][t] x[c][p + t]
 *
 * Positions are processed in groups that fill the registers. First the inputs of a group are copied
 * next to each other, in the order in which the product reads them; those in the padding are zero.
 * So one product serves every kernel, stride, padding and dilation, and the gradient of the input.
 *
 * Layouts, W = GC_WIDTH:
 *     v  [c / W][tap][position][W], of a group; positions are GC_TILES apart
 *     w  [c / W][tap][W][2W], of one pair of vectors of output channels
 *
 * The sums of a group are finished while they are in the first cache: bias, other maps to be added,
 * ReLU and its bits; or, in the backward pass, the rule of the ReLU before the convolution. */
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

/* The vectors of a group in one block of maps, and their bits; NULL if there are none. */
typedef struct target {
    float *maps;
    const float *add;
    uint8_t *bits;
} target;

/* One vector of sums with its bias. Whether maps are added, bits written and values limited are
 * constants where this is inlined. */
GC_INLINE void finish_one(gc_after after, int adds, int records, float limit, const gc_finish *f,
                          const target *t, gc_position place, gc_vec y)
{
    if (adds)
        y += gc_load(t->add + place.map * GC_WIDTH);
    if (after == GC_AFTER_RELU)
        y = gc_limited_relu(y, limit, records ? t->bits + place.record * GC_BIT_BYTES : NULL);
    else if (after == GC_AFTER_MASK)
        y = gc_relu_back(y, f->rule, t->bits + place.record * GC_BIT_BYTES);
    gc_store(t->maps + place.map * GC_WIDTH, y);
}

GC_INLINE void finish_block(gc_after after, int adds, int records, float limit,
                            const gc_finish *f, const target *t, const gc_position *places,
                            size_t count, gc_vec bias, const float *m)
{
    for (size_t p = 0; p < count; p++)
        finish_one(after, adds, records, limit, f, t, places[p],
                   gc_load(m + 2 * p * GC_WIDTH) + bias);
}

/* With code of its own for each case, so that nothing is decided for each vector. */
GC_INLINE void finish_case(gc_after after, const gc_finish *f, const target *t,
                           const gc_position *places, size_t count, gc_vec bias, const float *m)
{
    const int limited = after == GC_AFTER_RELU && f->limit < INFINITY;
    if (f->add != NULL)
        finish_block(after, 1, f->bits != NULL, f->limit, f, t, places, count, bias, m);
    else if (limited && f->bits != NULL)
        finish_block(after, 0, 1, f->limit, f, t, places, count, bias, m);
    else if (limited)
        finish_block(after, 0, 0, f->limit, f, t, places, count, bias, m);
    else if (f->bits != NULL)
        finish_block(after, 0, 1, INFINITY, f, t, places, count, bias, m);
    else
        finish_block(after, 0, 0, INFINITY, f, t, places, count, bias, m);
}

static void finish_group(const gc_packed *k, const gc_position *places, size_t count, size_t pair,
                         const float *m, const gc_finish *f)
{
    const gc_blocked *out = &f->out;
    const size_t plane = gc_blocked_plane(out, GC_WIDTH);
    const size_t record = out->height * out->width * GC_BIT_BYTES;
    for (size_t block = 2 * pair; block < 2 * pair + 2 && block < out->blocks; block++) {
        const size_t map = (k->image * out->blocks + block) * plane;
        const gc_vec bias = f->bias == NULL ? (gc_vec){0} : gc_load(f->bias + block * GC_WIDTH);
        const target t = {.maps = f->maps + map,
                          .add = f->add == NULL ? NULL : f->add + map,
                          .bits = f->bits == NULL
                                      ? NULL
                                      : f->bits + (k->record * out->blocks + block) * record};
        const float *sums = m + block % 2 * GC_WIDTH;
        if (k->after == GC_AFTER_RELU)
            finish_case(GC_AFTER_RELU, f, &t, places, count, bias, sums);
        else if (k->after == GC_AFTER_MASK)
            finish_case(GC_AFTER_MASK, f, &t, places, count, bias, sums);
        else
            finish_case(GC_AFTER_STORE, f, &t, places, count, bias, sums);
    }
}

void GC_KERNEL(packed_product)(const gc_packed *k, gc_tiles positions, size_t pair,
                               const float *w, const float *v, const gc_finish *f)
{
    float m[GC_TILES * 2 * GC_WIDTH];
    const float *next = k->next;
    v += k->skip * GC_TILES * GC_WIDTH;
    for (size_t g = positions.from; g < positions.to; g++) {
        const size_t count = gc_group_size(&positions, g);
        const gc_position *places = k->places + gc_group_start(&positions, g);
        gc_multiply(count, k->depth, v + g * k->group, w, next, k->lines, m, 2 * GC_WIDTH);
        next += k->lines * k->depth * GC_LINE;
        finish_group(k, places, count, pair, m, f);
    }
}
