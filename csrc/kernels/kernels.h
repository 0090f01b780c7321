/* kernels.h: the list of all kernels, and the table through which they are called.
 *
 * A kernel is a pure function on float buffers: it never allocates, logs or fails, and its
 * caller has checked everything. Each is written once and compiled once per level (see
 * level.h), and each has a twin under reference/ in plain double-precision loops.
 *
 * GC_KERNELS below is the one place that names them: the declarations, the tables, the
 * tests and the levels all expand this list. X(name, parameters). */
#ifndef GC_KERNELS_H
#define GC_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "gradcam.h"

/* A sliding window over [channels][height][width]; index 0 is vertical. */
typedef struct gc_window {
    size_t channels, height, width;
    size_t kernel[2], stride[2], padding[2], dilation[2];
    size_t out_height, out_width;
} gc_window;

/* The input rows (or columns) [begin, end) that one output row (or column) of a pooling
 * layer covers, and that axis's part of the divisor of the average. */
typedef struct gc_span {
    size_t begin, end, divisor;
} gc_span;

typedef struct gc_pool_plane {
    size_t height, width, out_height, out_width;
    const gc_span *rows, *columns; /* [out_height], [out_width] */
} gc_pool_plane;

/* One output row (or column) of a resize: low_weight * in[low] + high_weight * in[high]. */
typedef struct gc_tap {
    size_t low, high;
    float low_weight, high_weight;
} gc_tap;

/* A 3x3 convolution by winograd.c over `images` images; `channels` in whole vectors. */
typedef struct gc_winograd {
    size_t in_blocks, out_blocks;        /* of one and of two vectors of channels */
    size_t height, width;                /* of a map */
    size_t rows, columns;                /* of a blocked input map, with its border */
    size_t tiles_down, tiles_across;     /* of one image */
    size_t tile_room;                    /* tiles that V and M have room for */
    size_t v_plane, m_plane;             /* floats from one xi to the next */
} gc_winograd;

/* im2col: columns[(c, ky, kx)][p - first] = map[c][y][x], the pixel that kernel element
 *   (ky, kx) meets at output position p = first .. first + count; 0 in the padding.
 * col2im: the transpose; adds every column entry to its pixel of map.
 * bias: rows[p] += bias, p < count.
 * bias_relu: rows[p] = max(rows[p] + bias, 0); bit p of bits = (rows[p] + bias > 0).
 * relu_forward: y = max(x, 0), and its bits; y may be x.
 * relu_backward: dx from dy and the bits under a rule; dx may be dy.
 * max_pool_forward: one plane; position[i] is the winner's offset in the input plane: the
 *   first of equal maxima; a NaN wins.
 * max_pool_backward: dx[position[i]] += dy[i] over `count` outputs.
 * average_pool_forward, average_pool_backward: one plane; the latter adds to dx.
 * accumulate: y += x.
 * affine: y = scale * x + shift; y may be x.
 * softmax_forward, softmax_backward: over one vector; dx_i = y_i (dy_i - sum_j dy_j y_j).
 * channel_mean: out[i] = mean of maps[i][0 .. positions).
 * weighted_sum: out[p] = sum over channels of weights[c] * maps[c][p].
 * resize: one plane through the taps of its rows and columns; 0 where both weights of a tap are.
 * block_map: one vector of channels (fewer are filled up with 0) into the inside of a blocked
 *   map of `columns` columns. unblock_map: back, of a blocked map without border.
 * winograd_input: V of tiles first .. first + count, from blocked maps.
 * winograd_output: the products of those tiles with output block `block`, through M, to blocked
 *   maps without border.
 * dense_forward: y[r] = sum over c of w[r][c] x[c], r < rows.
 * dense_backward: dx[c] = sum over r of g[r] w[r][c], c < columns, rows `stride` apart.
 * all_finite: *finite = 1 if no value is NaN or infinite, else 0. */
#define GC_KERNELS(X)                                                                         \
    X(im2col, (const gc_window *window, const float *map, size_t first, size_t count,         \
               float *columns))                                                               \
    X(col2im, (const gc_window *window, const float *columns, size_t first, size_t count,     \
               float *map))                                                                   \
    X(bias, (size_t count, float bias, float *row))                                           \
    X(bias_relu, (size_t count, float bias, float *row, uint8_t *bits))                       \
    X(relu_forward, (size_t count, const float *x, float *y, uint8_t *bits))                  \
    X(relu_backward, (size_t count, gc_rule rule, const uint8_t *bits, const float *dy,       \
                      float *dx))                                                             \
    X(max_pool_forward, (const gc_pool_plane *plane, const float *x, float *y,                \
                         uint32_t *position))                                                 \
    X(max_pool_backward, (size_t count, const uint32_t *position, const float *dy,            \
                          float *dx))                                                         \
    X(average_pool_forward, (const gc_pool_plane *plane, const float *x, float *y))           \
    X(average_pool_backward, (const gc_pool_plane *plane, const float *dy, float *dx))        \
    X(accumulate, (size_t count, const float *x, float *y))                                   \
    X(affine, (size_t count, float scale, float shift, const float *x, float *y))             \
    X(softmax_forward, (size_t count, const float *x, float *y))                              \
    X(softmax_backward, (size_t count, const float *y, const float *dy, float *dx))           \
    X(channel_mean, (size_t count, size_t positions, const float *maps, float *out))          \
    X(weighted_sum, (size_t channels, size_t positions, const float *weights,                 \
                     const float *maps, float *out))                                          \
    X(resize, (size_t width, size_t out_height, size_t out_width, const gc_tap *rows,         \
               const gc_tap *columns, const float *map, float *out))                          \
    X(block_map, (size_t channels, size_t height, size_t width, size_t columns,               \
                  const float *map, float *blocked))                                          \
    X(unblock_map, (size_t channels, size_t positions, const float *blocked, float *map))     \
    X(winograd_input, (const gc_winograd *winograd, size_t first, size_t count,               \
                       const float *maps, float *v))                                          \
    X(winograd_output, (const gc_winograd *winograd, size_t first, size_t count,              \
                        size_t block, const float *u, const float *v, float *m, float *maps)) \
    X(dense_forward, (size_t rows, size_t columns, const float *w, const float *x, float *y)) \
    X(dense_backward, (size_t rows, size_t columns, size_t stride, const float *w,            \
                       const float *g, float *dx))                                            \
    X(all_finite, (size_t count, const float *values, int *finite))

typedef struct gc_kernels {
    const char *level;
    size_t width; /* floats in a vector */
#define X(name, parameters) void(*name) parameters;
    GC_KERNELS(X)
#undef X
} gc_kernels;

/* The table of the active level: complete, never NULL. */
const gc_kernels *gc_kernels_active(void);

/* The table of the level with this index (see gc_level_name), for tests; NULL past the end. */
const gc_kernels *gc_kernels_of_level(size_t index);

/* C[m][n] = A[m][k] B[k][n] in plain loops, each element summed in double: the twin of
 * sgemm. transpose_a: A is stored [k][m]; transpose_b: B is stored [n][k]. ld*: row strides.
 * The reference level computes its matrix products with this. */
void gc_gemm_reference(int transpose_a, int transpose_b, size_t m, size_t n, size_t k,
                       const float *a, size_t lda, const float *b, size_t ldb, float *c,
                       size_t ldc);

#endif
