/* winograd.c: 3x3 convolution of stride 1 by minimal filtering, F(4x4, 3x3).
 *
 * A 4x4 tile y of the output depends on a 6x6 tile d of the input and the 3x3 kernel g
 * (Winograd 1980; Lavin & Gray 2016):
 *
 *     y = A^T [ (G g G^T) . (B^T d B) ] A          . element by element
 *
 * 36 products for a tile and a pair of channels, instead of 144. Summed over the input
 * channels c the element-wise products become 36 matrix products, one for each position xi of
 * the 6x6 tile:
 *
 *     M[xi][tile][k] = sum over c of V[xi][c][tile] U[xi][k][c],   V = B^T d B, U = G g G^T
 *
 * The matrices follow from five points of interpolation: 0, +-a, +-b and infinity. Here
 * a = sqrt(1/2), b = sqrt(2): with a b = 1 the rounding error, chained through the thirteen
 * layers of VGG-16, is half that of the textbook's 1 and 2.
 *
 *     B^T d  row 0:  d0 - (a^2 + b^2) d2 + d4                          (a^2 b^2 = 1)
 *            rows:   (d4 - b^2 d2) +- (a d3 - b d1)                    for +-a
 *                    (d4 - a^2 d2) +- (b d3 - a d1)                    for +-b
 *            row 5:  d1 - (a^2 + b^2) d3 + d5
 *     A^T m  row i:  a^i (m1 +- m2) + b^i (m3 +- m4), + m0 in row 0, + m5 in row 3
 *
 * The vector runs over channels. Layouts, W = GC_WIDTH:
 *     maps  gc_blocked, whose border of zeros is the convolution's padding
 *     V     [xi][group][c / W][tile of the group][W]
 *     U     [k / 2W][xi][c][2W]
 *     M     [tile][xi][2W], of one pair of vectors of output channels k
 * A block's tiles are multiplied in groups that fill the registers. V is contiguous for each group,
 * in the order in which the product reads it. Groups are GC_TILES tiles apart in V, also where they
 * are smaller. U is made by winograd_weights.c. This file goes from maps to M;
 * kernels/winograd_output.c from M to maps. */
#include "kernels/level.h"
#include "kernels/product.h"
#include "kernels/winograd.h"

enum {
    SIDE = GC_WINOGRAD_SIDE,
    STEP = GC_WINOGRAD_STEP,
    PRODUCTS = GC_WINOGRAD_PRODUCTS
};

static const float A = (float)GC_WINOGRAD_A, B = (float)GC_WINOGRAD_B;
static const float A2 = 0.5f, B2 = 2.0f; /* their squares */

/* o = B^T d for six values `step` apart. */
GC_INLINE void transform_input(const gc_vec *d, size_t step, gc_vec *o, size_t out_step)
{
    const gc_vec d0 = d[0], d1 = d[step], d2 = d[2 * step], d3 = d[3 * step], d4 = d[4 * step],
                 d5 = d[5 * step];
    const gc_vec even_a = d4 - B2 * d2, odd_a = A * d3 - B * d1;
    const gc_vec even_b = d4 - A2 * d2, odd_b = B * d3 - A * d1;
    o[0] = d0 - (A2 + B2) * d2 + d4;
    o[out_step] = even_a + odd_a;
    o[2 * out_step] = even_a - odd_a;
    o[3 * out_step] = even_b + odd_b;
    o[4 * out_step] = even_b - odd_b;
    o[5 * out_step] = d1 - (A2 + B2) * d3 + d5;
}

static void input_tile(const float *in, size_t row, float *v, size_t plane)
{
    gc_vec half[PRODUCTS];
    GC_UNROLL
    for (size_t x = 0; x < SIDE; x++) {
        gc_vec d[SIDE];
        GC_UNROLL
        for (size_t y = 0; y < SIDE; y++)
            d[y] = gc_load(in + y * row + x * GC_WIDTH);
        transform_input(d, 1, half + x, SIDE);
    }
    GC_UNROLL
    for (size_t y = 0; y < SIDE; y++) {
        gc_vec o[SIDE];
        transform_input(half + y * SIDE, 1, o, 1);
        GC_UNROLL
        for (size_t x = 0; x < SIDE; x++)
            gc_store(v + (y * SIDE + x) * plane, o[x]);
    }
}

/* Into the first cache: the map rows of the next block of channels. The first columns are in lines
 * that the tile on the left shares. */
GC_INLINE void prefetch_tile(const float *in, size_t row)
{
    GC_UNROLL
    for (size_t y = 0; y < SIDE; y++)
        GC_UNROLL
        for (size_t x = 2 * GC_WIDTH; x < SIDE * GC_WIDTH; x += GC_LINE)
            __builtin_prefetch(in + y * row + x, 0, 3);
}

/* One group; `maps` is the first block of channels of the first image. */
static void input_group(const gc_winograd *w, size_t first, size_t count, const float *maps,
                        float *v)
{
    const gc_blocked *in = &w->in;
    const size_t row = in->columns * GC_WIDTH, block = in->rows * row;
    const size_t of_image = w->tiles_down * w->tiles_across;
    const float *tiles[GC_TILES];
    for (size_t t = 0; t < count; t++) {
        const size_t image = (first + t) / of_image, tile = (first + t) % of_image;
        tiles[t] = maps + image * in->blocks * block + tile / w->tiles_across * STEP * row
                   + tile % w->tiles_across * STEP * GC_WIDTH;
    }
    for (size_t c = 0; c < in->blocks; c++, v += GC_TILES * GC_WIDTH)
        for (size_t t = 0; t < count; t++) {
            if (c + 1 < in->blocks)
                prefetch_tile(tiles[t] + block, row);
            input_tile(tiles[t], row, v + t * GC_WIDTH, w->v_plane);
            tiles[t] += block;
        }
}

void GC_KERNEL(winograd_input)(const gc_winograd *w, gc_tiles tiles, const float *maps, float *v)
{
    for (size_t g = tiles.from; g < tiles.to; g++) {
        input_group(w, tiles.first + gc_group_start(&tiles, g), gc_group_size(&tiles, g), maps,
                    v + g * w->in.blocks * GC_TILES * GC_WIDTH);
    }
}

void GC_KERNEL(winograd_product)(const gc_winograd *w, gc_tiles tiles, size_t pair,
                                 const float *u, const float *v, float *m)
{
    const size_t blocks = w->in.blocks, groups = tiles.to - tiles.from;
    const size_t panel = blocks * GC_BLOCK_WEIGHTS; /* U of one xi */
    /* While one panel of U is multiplied, the next one is fetched from memory: for each block of
     * channels some of its lines by the first group, the next ones by the second, and so on. */
    const size_t block_lines = GC_BLOCK_WEIGHTS / GC_LINE;
    const size_t lines = (block_lines + groups - 1) / groups;
    const size_t group = blocks * GC_TILES * GC_WIDTH; /* floats of V of one xi */
    u += pair * PRODUCTS * panel;
    v += tiles.from * group;
    for (size_t xi = 0; xi < PRODUCTS; xi++, u += panel, v += w->v_plane, m += 2 * GC_WIDTH) {
        const float *v_group = v, *next = u + panel;
        float *m_group = m;
        for (size_t g = tiles.from; g < tiles.to; g++) {
            const size_t count = gc_group_size(&tiles, g);
            const size_t fetched = next < u + 2 * panel ? lines : 0;
            gc_multiply(count, blocks, v_group, u, next, fetched, m_group, w->m_tile);
            v_group += group;
            m_group += count * w->m_tile;
            next += lines * blocks * GC_LINE;
        }
    }
}
