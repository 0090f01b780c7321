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

/* One image's map in blocks of W channels, W the floats in a vector of the level:
 * [blocks][rows][columns][W]. The map lies inside a border of zeros, 1 wide above and on the left,
 * and to whole tiles of 4 x 4 and 1 more below and on the right. Channels that only fill up the
 * last block are zero. */
typedef struct gc_blocked {
    size_t blocks, height, width; /* of the map */
    size_t rows, columns;         /* with its border */
} gc_blocked;

/* A 3x3 convolution of stride 1 and padding 1, as kernels/winograd.c runs it. */
typedef struct gc_winograd {
    gc_blocked in;
    size_t out_pairs;                /* blocks of two vectors of output channels */
    size_t tiles_down, tiles_across; /* of one image */
    size_t group;                    /* tiles of a group, at most: gc_kernels.tiles */
    size_t v_plane, m_tile;          /* floats of V from one xi to the next, of M from one tile */
} gc_winograd;

/* Some groups of a block of tiles. The block begins with tile `first` of all images. Its groups
 * have `share` tiles, the first `larger` of them one more. Groups from .. to take part. */
typedef struct gc_tiles {
    size_t first, share, larger, from, to;
} gc_tiles;

/* All of a block of `count` tiles, in groups of at most `group`. */
static inline gc_tiles gc_tiles_of(size_t first, size_t count, size_t group)
{
    const size_t groups = (count + group - 1) / group;
    return (gc_tiles){.first = first,
                      .share = groups == 0 ? 0 : count / groups,
                      .larger = groups == 0 ? 0 : count % groups,
                      .to = groups};
}

/* The first tile of a group, counted from the block's first; and its number of tiles. */
static inline size_t gc_group_start(const gc_tiles *t, size_t group)
{
    return group * t->share + (group < t->larger ? group : t->larger);
}

static inline size_t gc_group_size(const gc_tiles *t, size_t group)
{
    return t->share + (group < t->larger);
}

/* What becomes of a convolution's tiles, forward or backward: where they go, and the records of
 * the ReLU and pooling layers that run in the same step. Bits lie [image][block][y][x], each
 * vector's from a whole byte on; positions [image][block][y][x][right, below], likewise. */
typedef struct gc_finish {
    gc_blocked out;
    float *maps;
    const float *bias;  /* forward: [2 W out_pairs] */
    uint8_t *bits;      /* of the ReLU: forward written, or NULL; backward read */
    uint8_t *positions; /* of the maxima among the 2x2 windows; likewise */
    size_t recorded;    /* backward: image i belongs to image i % recorded of the records */
    gc_rule rule;       /* backward: of the ReLU */
} gc_finish;

/* A convolution of few input channels, as kernels/direct.c runs it: one row of its output. */
typedef struct gc_direct {
    size_t taps;           /* input channels * kernel height * kernel width */
    size_t stride;         /* horizontal */
    const size_t *offsets; /* [taps] of the first output's inputs in the padded rows */
} gc_direct;

/* A fully connected layer: w [out][in] in its storage, x and dx [sets][batch][in], y and dy
 * [sets][batch][out]. The vectors of one image, a set apart, tend to share their zeros. */
typedef struct gc_dense {
    gc_storage storage;
    size_t in, out, sets, batch;
    size_t stride; /* backward: vectors from a set to the next, of which `batch` take part */
} gc_dense;

/* What the kernel `peak` works on: a multiple of what each level holds in its registers. */
enum { GC_PEAK_VALUES = 768 };

/* Where the 3x3 kernels of one block of output channels lie, in a layer's weights. */
typedef struct gc_winograd_kernels {
    size_t outputs;                   /* of the block: up to two vectors */
    size_t output_step, channel_step; /* floats from a kernel to the next output's, channel's */
    int turned;                       /* each by half a turn: the way back */
} gc_winograd_kernels;

/* im2col: columns[(c, ky, kx)][p - first] = map[c][y][x], the pixel that kernel element
 *   (ky, kx) meets at output position p = first .. first + count; 0 in the padding.
 * col2im: the transpose; adds every column entry to its pixel of map.
 * bias: rows[p] += bias, p < count.
 * bias_relu: rows[p] = max(rows[p] + bias, 0); bit p of bits = (rows[p] + bias > 0).
 * relu_forward: y = max(x, 0), and its bits (here and elsewhere NULL: to nowhere); y may be x.
 * relu_backward: dx from dy and the bits under a rule; dx may be dy.
 * max_pool_forward: one plane; position[i] (NULL: to nowhere) is the winner's offset in the input
 *   plane: the first of equal maxima; a NaN wins.
 * max_pool_backward: dx[position[i]] += dy[i] over `count` outputs.
 * average_pool_forward, average_pool_backward: one plane; the latter adds to dx.
 * accumulate: y += x.
 * affine: y = scale * x + shift; y may be x.
 * softmax_forward, softmax_backward: over one vector; dx_i = y_i (dy_i - sum_j dy_j y_j), y from x;
 *   dx may be dy.
 * sigmoid_forward, sigmoid_backward: y = 1 / (1 + exp(-x)); dx = dy y (1 - y), y from x; dx may be
 *   dy.
 * channel_mean: out[i] = mean of maps[i][0 .. positions).
 * weighted_sum: out[p] = sum over channels of weights[c] * maps[c][p].
 * resize: one plane through the taps of its rows and columns; 0 where both weights of a tap are.
 * block_map: one vector of channels (fewer are filled up with 0) into the inside of one block of
 *   a blocked map. unblock_map: back.
 * blocked_relu_forward, blocked_relu_backward: relu_... over `count` vectors.
 * blocked_pool_forward: the maxima of `count` 2x2 windows side by side, and their positions; the
 *   winner as in max_pool_forward. blocked_pool_backward: writes all four values of each window.
 * winograd_input: V of some groups of tiles, from blocked maps.
 * winograd_product: M of these groups and one pair of output blocks.
 * winograd_store, _relu, _relu_pool: from M to maps: with the bias; and rectified, with bits; and
 *   the maxima of 2x2 windows, with positions.
 * winograd_mask, winograd_unpool: from M, gradients of the output of a ReLU, or of 2x2 pooling
 *   behind a ReLU, to those of the ReLU's input.
 * direct_forward: `count` outputs side by side of one pair of output blocks: y, and at y + second
 *   the other (0: there is none); with the ReLU or without, and its bits (NULL: to nowhere).
 * direct_backward: taps[p][pair][2W] = sum over channels of w[pair][channel][2W] dy[p][channel]
 *   of `count` outputs side by side, channels in blocks `block` apart.
 * winograd_weights: u[xi * plane + c * 2W + k] of the kernels of `channels` input channels and the
 *   outputs k of a block, W the level's width; 0 where the block has no such output. u and
 *   its planes are aligned to a vector.
 * dense_forward: y[n][r] = sum over c of w[r][c] x[n][c] of every vector n, for the rows r =
 *   first .. first + rows.
 * dense_backward: dx[n][c] = sum over r of dy[n][r] w[r][c] of every vector n, for the columns c
 *   = first .. first + columns; rows that are zero for a whole image need not be read.
 * dense_sums: sums[i] = sum over p of w[i * positions + p], i < count, in double.
 * all_finite: *finite = 1 if no value is NaN or infinite, else 0; floats, aligned to nothing.
 * peak: values[i] = factor * values[i] + term, `rounds` times, i < GC_PEAK_VALUES.
 * sum: *sum = sum of values[i], i < count. */
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
    X(softmax_backward, (size_t count, const float *x, const float *dy, float *dx))           \
    X(sigmoid_forward, (size_t count, const float *x, float *y))                              \
    X(sigmoid_backward, (size_t count, const float *x, const float *dy, float *dx))           \
    X(channel_mean, (size_t count, size_t positions, const float *maps, float *out))          \
    X(weighted_sum, (size_t channels, size_t positions, const float *weights,                 \
                     const float *maps, float *out))                                          \
    X(resize, (size_t width, size_t out_height, size_t out_width, const gc_tap *rows,         \
               const gc_tap *columns, const float *map, float *out))                          \
    X(block_map, (const gc_blocked *shape, size_t channels, const float *map,                 \
                  float *block))                                                              \
    X(unblock_map, (const gc_blocked *shape, size_t channels, const float *block,             \
                    float *map))                                                              \
    X(blocked_relu_forward, (size_t count, const float *x, float *y, uint8_t *bits))          \
    X(blocked_relu_backward, (size_t count, gc_rule rule, const uint8_t *bits,                \
                              const float *dy, float *dx))                                    \
    X(blocked_pool_forward, (size_t count, const float *upper, const float *lower, float *y,  \
                             uint8_t *positions))                                             \
    X(blocked_pool_backward, (size_t count, const uint8_t *positions, const float *dy,        \
                              float *upper, float *lower))                                    \
    X(winograd_input, (const gc_winograd *winograd, gc_tiles tiles, const float *maps,        \
                       float *v))                                                             \
    X(winograd_product, (const gc_winograd *winograd, gc_tiles tiles, size_t pair,            \
                         const float *u, const float *v, float *m))                           \
    X(winograd_store, (const gc_winograd *winograd, size_t first, size_t count, size_t pair,  \
                       const float *m, const gc_finish *finish))                              \
    X(winograd_relu, (const gc_winograd *winograd, size_t first, size_t count, size_t pair,   \
                      const float *m, const gc_finish *finish))                               \
    X(winograd_relu_pool, (const gc_winograd *winograd, size_t first, size_t count,           \
                           size_t pair, const float *m, const gc_finish *finish))             \
    X(winograd_mask, (const gc_winograd *winograd, size_t first, size_t count, size_t pair,   \
                      const float *m, const gc_finish *finish))                               \
    X(winograd_unpool, (const gc_winograd *winograd, size_t first, size_t count, size_t pair, \
                        const float *m, const gc_finish *finish))                             \
    X(direct_forward, (const gc_direct *direct, size_t count, const float *rows,              \
                       const float *w, const float *bias, float *y, size_t second, int relu,  \
                       uint8_t *bits, size_t second_bits))                                    \
    X(direct_backward, (size_t count, size_t blocks, size_t block, size_t pairs,              \
                        const float *dy, const float *w, float *taps))                        \
    X(winograd_weights, (const gc_winograd_kernels *kernels, size_t channels,                 \
                         const float *weight, size_t plane, float *u))                        \
    X(dense_forward, (const gc_dense *dense, size_t first, size_t rows, const void *w,        \
                      const float *x, float *y))                                              \
    X(dense_backward, (const gc_dense *dense, size_t first, size_t columns, const void *w,    \
                       const float *dy, float *dx))                                           \
    X(dense_sums, (gc_storage storage, size_t count, size_t positions, const void *w,         \
                   float *sums))                                                              \
    X(all_finite, (size_t count, const void *values, int *finite))                            \
    X(peak, (size_t rounds, float factor, float term, float *values))                         \
    X(sum, (size_t count, const float *values, float *sum))

typedef struct gc_kernels {
    const char *level;
    size_t width; /* floats in a vector */
    size_t tiles; /* of Winograd convolutions that the registers hold at a time */
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
