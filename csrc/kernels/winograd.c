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
 *     maps  [c / W][rows][columns][W]     input: inside a border of zeros, 1 wide above and on
 *                                         the left, to whole tiles below and on the right
 *     V     [xi][c / W][tile][W]
 *     U     [k / 2W][xi][c][2W]
 *     M     [xi][tile][2W]
 * U is made in layers/winograd.c, in double, and rounded once. */
#include <string.h>

#include "kernels/level.h"
#include "kernels/vec.h"

enum { SIDE = 6, STEP = 4, PRODUCTS = SIDE * SIDE };

static const float A = 0.70710678118654752f, B = 1.41421356237309505f;
static const float A2 = 0.5f, B2 = 2.0f, A3 = 0.35355339059327376f, B3 = 2.82842712474619010f;

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

/* o = A^T m: four values from six. */
GC_INLINE void transform_output(const gc_vec *m, size_t step, gc_vec *o, size_t out_step)
{
    const gc_vec sum_a = m[step] + m[2 * step], difference_a = m[step] - m[2 * step];
    const gc_vec sum_b = m[3 * step] + m[4 * step], difference_b = m[3 * step] - m[4 * step];
    o[0] = m[0] + sum_a + sum_b;
    o[out_step] = A * difference_a + B * difference_b;
    o[2 * out_step] = A2 * sum_a + B2 * sum_b;
    o[3 * out_step] = A3 * difference_a + B3 * difference_b + m[5 * step];
}

/* Where tile number `tile` of the images in a row lies. */
typedef struct place {
    size_t image, down, across;
} place;

static place place_of(const gc_winograd *w, size_t tile)
{
    const size_t of_image = tile % (w->tiles_down * w->tiles_across);
    return (place){.image = tile / (w->tiles_down * w->tiles_across),
                   .down = of_image / w->tiles_across,
                   .across = of_image % w->tiles_across};
}

static void input_tile(const float *in, size_t row, float *v, size_t plane)
{
    gc_vec half[PRODUCTS];
#pragma GCC unroll 6
    for (size_t x = 0; x < SIDE; x++) {
        gc_vec d[SIDE];
#pragma GCC unroll 6
        for (size_t y = 0; y < SIDE; y++)
            d[y] = gc_load(in + y * row + x * GC_WIDTH);
        transform_input(d, 1, half + x, SIDE);
    }
#pragma GCC unroll 6
    for (size_t y = 0; y < SIDE; y++) {
        gc_vec o[SIDE];
        transform_input(half + y * SIDE, 1, o, 1);
#pragma GCC unroll 6
        for (size_t x = 0; x < SIDE; x++)
            gc_store(v + (y * SIDE + x) * plane, o[x]);
    }
}

void GC_KERNEL(winograd_input)(const gc_winograd *w, size_t first, size_t count,
                               const float *maps, float *v)
{
    const size_t row = w->columns * GC_WIDTH, block = w->rows * row;
    for (size_t c = 0; c < w->in_blocks; c++)
        for (size_t t = 0; t < count; t++) {
            const place p = place_of(w, first + t);
            input_tile(maps + (p.image * w->in_blocks + c) * block + p.down * STEP * row
                           + p.across * STEP * GC_WIDTH,
                       row, v + (c * w->tile_room + t) * GC_WIDTH, w->v_plane);
        }
}

/* M for `tiles` tiles (a constant where it is inlined) and two vectors of outputs. */
GC_INLINE void multiply(size_t tiles, size_t in_blocks, size_t v_block, const float *v,
                        const float *u, float *m)
{
    gc_vec sum[GC_TILES][2];
#pragma GCC unroll 14
    for (size_t t = 0; t < tiles; t++)
        sum[t][0] = sum[t][1] = (gc_vec){0};
    for (size_t c = 0; c < in_blocks; c++, v += v_block)
#pragma GCC unroll 4
        for (size_t lane = 0; lane < GC_WIDTH; lane++, u += 2 * GC_WIDTH) {
            const gc_vec u0 = gc_load(u), u1 = gc_load(u + GC_WIDTH);
            /* 16 KB ahead: U streams from memory once a tile block. */
            __builtin_prefetch(u + 4096, 0, 3);
            if (GC_WIDTH == 16)
                __builtin_prefetch(u + 4096 + 16, 0, 3);
#pragma GCC unroll 14
            for (size_t t = 0; t < tiles; t++) {
                const gc_vec value = gc_broadcast(v[t * GC_WIDTH + lane]);
                sum[t][0] += u0 * value;
                sum[t][1] += u1 * value;
            }
        }
#pragma GCC unroll 14
    for (size_t t = 0; t < tiles; t++) {
        gc_store(m + 2 * t * GC_WIDTH, sum[t][0]);
        gc_store(m + (2 * t + 1) * GC_WIDTH, sum[t][1]);
    }
}

/* Up to GC_TILES tiles: each number has code of its own, so that sums stay in registers. */
static void multiply_some(size_t tiles, size_t in_blocks, size_t v_block, const float *v,
                          const float *u, float *m)
{
#define CASE(n)                                                                               \
    case n:                                                                                   \
        if (n <= GC_TILES)                                                                    \
            multiply(n <= GC_TILES ? n : 1, in_blocks, v_block, v, u, m);                     \
        break
    switch (tiles) {
        CASE(1);
        CASE(2);
        CASE(3);
        CASE(4);
        CASE(5);
        CASE(6);
        CASE(7);
        CASE(8);
        CASE(9);
        CASE(10);
        CASE(11);
        CASE(12);
        CASE(13);
        CASE(14);
    default:
        break;
    }
#undef CASE
}

static void output_tile(const float *m, size_t plane, float *out, size_t row, size_t height,
                        size_t width)
{
    gc_vec half[STEP * SIDE];
#pragma GCC unroll 6
    for (size_t x = 0; x < SIDE; x++) {
        gc_vec d[SIDE];
#pragma GCC unroll 6
        for (size_t y = 0; y < SIDE; y++)
            d[y] = gc_load(m + (y * SIDE + x) * plane);
        transform_output(d, 1, half + x, SIDE);
    }
    for (size_t y = 0; y < height; y++) {
        gc_vec o[STEP];
        transform_output(half + y * SIDE, 1, o, 1);
        for (size_t x = 0; x < width; x++)
            gc_store(out + y * row + x * GC_WIDTH, o[x]);
    }
}

static void output_tiles(const gc_winograd *w, size_t first, size_t count, size_t block,
                         const float *m, float *maps)
{
    const size_t row = w->width * GC_WIDTH, size = w->height * row;
    for (size_t half = 0; half < 2; half++)
        for (size_t t = 0; t < count; t++) {
            const place p = place_of(w, first + t);
            const size_t y = p.down * STEP, x = p.across * STEP;
            const size_t height = w->height - y < STEP ? w->height - y : STEP;
            const size_t width = w->width - x < STEP ? w->width - x : STEP;
            float *out = maps + (p.image * 2 * w->out_blocks + 2 * block + half) * size
                         + y * row + x * GC_WIDTH;
            output_tile(m + (2 * t + half) * GC_WIDTH, w->m_plane, out, row, height, width);
        }
}

void GC_KERNEL(winograd_output)(const gc_winograd *w, size_t first, size_t count, size_t block,
                                const float *u, const float *v, float *m, float *maps)
{
    const size_t groups = (count + GC_TILES - 1) / GC_TILES;
    const size_t channels = w->in_blocks * GC_WIDTH;
    u += block * PRODUCTS * channels * 2 * GC_WIDTH;
    for (size_t xi = 0; xi < PRODUCTS; xi++, u += channels * 2 * GC_WIDTH)
        for (size_t g = 0, t = 0; g < groups; g++) {
            const size_t tiles = (count - t + groups - g - 1) / (groups - g); /* even shares */
            multiply_some(tiles, w->in_blocks, w->tile_room * GC_WIDTH,
                          v + xi * w->v_plane + t * GC_WIDTH, u,
                          m + xi * w->m_plane + 2 * t * GC_WIDTH);
            t += tiles;
        }
    output_tiles(w, first, count, block, m, maps);
}

/* W planes to vectors and back, in squares that stay in the first cache. */
void GC_KERNEL(block_map)(size_t channels, size_t height, size_t width, size_t columns,
                          const float *map, float *blocked)
{
    const size_t plane = height * width;
    for (size_t y = 0; y < height; y++) {
        float *out = blocked + ((y + 1) * columns + 1) * GC_WIDTH;
        for (size_t x = 0; x < width; x += GC_WIDTH) {
            const size_t count = width - x < GC_WIDTH ? width - x : GC_WIDTH;
            float square[GC_WIDTH][GC_WIDTH];
            for (size_t c = 0; c < GC_WIDTH; c++)
                for (size_t i = 0; i < GC_WIDTH; i++)
                    square[c][i] = c < channels && i < count ? map[c * plane + y * width + x + i]
                                                             : 0.0f;
            for (size_t i = 0; i < count; i++)
                for (size_t c = 0; c < GC_WIDTH; c++)
                    out[(x + i) * GC_WIDTH + c] = square[c][i];
        }
    }
}

void GC_KERNEL(unblock_map)(size_t channels, size_t positions, const float *blocked,
                            float *map)
{
    for (size_t p = 0; p < positions; p += GC_WIDTH) {
        const size_t count = positions - p < GC_WIDTH ? positions - p : GC_WIDTH;
        for (size_t c = 0; c < channels; c++)
            for (size_t i = 0; i < count; i++)
                map[c * positions + p + i] = blocked[(p + i) * GC_WIDTH + c];
    }
}
