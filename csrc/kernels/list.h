/* list.h: the list of all kernels, each with its parameters. The table (kernels.h), the prototypes
 * (level.h), the tests and the timings are made of it.
 *
 *     #define GC_KERNEL_ENTRY(name, parameters) ...
 *     #include "kernels/list.h"
 *
 * It may be included several times; each time it undefines GC_KERNEL_ENTRY at its end.
 *
 * A kernel is a pure function on float buffers: it never allocates, logs or fails, and its caller
 * has checked everything. W is the number of floats in a vector of the level. */

/* ---- Convolution as a matrix product -------------------------------------------------------- */

/* columns[(c, ky, kx)][p - first] = map[c][y][x], the pixel under kernel element (ky, kx) at output
 * position p = first .. first + count; 0 in the padding. */
GC_KERNEL_ENTRY(im2col, (const gc_window *window, const float *map, size_t first, size_t count,
                         float *columns))

/* The transpose: adds every entry of the columns to its pixel of map. */
GC_KERNEL_ENTRY(col2im, (const gc_window *window, const float *columns, size_t first, size_t count,
                         float *map))

/* row[p] += bias, p < count. */
GC_KERNEL_ENTRY(bias, (size_t count, float bias, float *row))

/* relu_forward of row[p] + bias. */
GC_KERNEL_ENTRY(bias_relu, (size_t count, float bias, float limit, float *row, uint8_t *bits))

/* ---- Layers on plain maps ------------------------------------------------------------------- */

/* y = min(max(x, 0), limit); bit i of bits = (0 < x[i] < limit), or (0 < x[i]) if the limit
 * is INFINITY. bits NULL: not recorded. y may be x. */
GC_KERNEL_ENTRY(relu_forward, (size_t count, float limit, const float *x, float *y,
                               uint8_t *bits))

/* dx from dy and the bits under GC_MASK_... dx may be dy. */
GC_KERNEL_ENTRY(relu_backward, (size_t count, unsigned masks, const uint8_t *bits, const float *dy,
                                float *dx))

/* One plane; position[i] (NULL: not recorded) is the offset of the maximum in the input plane: the
 * first of equal maxima; a NaN is larger than all numbers. */
GC_KERNEL_ENTRY(max_pool_forward, (const gc_pool_plane *plane, const float *x, float *y,
                                   uint32_t *position))

/* dx[position[i]] += dy[i] over `count` outputs. */
GC_KERNEL_ENTRY(max_pool_backward, (size_t count, const uint32_t *position, const float *dy,
                                    float *dx))

/* One plane. */
GC_KERNEL_ENTRY(average_pool_forward, (const gc_pool_plane *plane, const float *x, float *y))

/* One plane; adds to dx. If all divisors are the same, gradients are not divided by it. */
GC_KERNEL_ENTRY(average_pool_backward, (const gc_pool_plane *plane, const float *dy, float *dx))

/* y += x. */
GC_KERNEL_ENTRY(accumulate, (size_t count, const float *x, float *y))

/* y = a + b. */
GC_KERNEL_ENTRY(add, (size_t count, const float *a, const float *b, float *y))

/* y = a * b. y may be a or b. */
GC_KERNEL_ENTRY(multiply, (size_t count, const float *a, const float *b, float *y))

/* *sum = sum of a[i] * b[i], i < count. */
GC_KERNEL_ENTRY(dot, (size_t count, const float *a, const float *b, float *sum))

/* y = scale * x + shift. y may be x. */
GC_KERNEL_ENTRY(affine, (size_t count, float scale, float shift, const float *x, float *y))

/* The softmax of one vector, whose values are `stride` floats apart in each array. */
GC_KERNEL_ENTRY(softmax_forward, (size_t count, size_t stride, const float *x, float *y))

/* dx_i = y_i (dy_i - sum_j dy_j y_j), y the softmax of x. dx may be dy. */
GC_KERNEL_ENTRY(softmax_backward, (size_t count, size_t stride, const float *x, const float *dy,
                                   float *dx))

/* The logarithm of the softmax, likewise. */
GC_KERNEL_ENTRY(log_softmax_forward, (size_t count, size_t stride, const float *x, float *y))

/* dx_i = dy_i - p_i sum_j dy_j, p the softmax of x. dx may be dy. */
GC_KERNEL_ENTRY(log_softmax_backward, (size_t count, size_t stride, const float *x,
                                       const float *dy, float *dx))

/* ---- Activations, on values side by side ----------------------------------------------------- */

/* y = f(x), and derivatives = f'(x) (NULL: not recorded), of any kind from GC_ELU on. Errors are
 * up to about three units in the last place, and of the tail of GC_GELU_TANH up to 1e-8. */
GC_KERNEL_ENTRY(activation_forward, (const gc_activation *activation, size_t count, const float *x,
                                     float *y, float *derivatives))

/* One step of `count` cells of an LSTM. a[4][count] holds the sums of the recurrent terms of the
 * gates i, f, g and o; those of the inputs are added. s is the logistic function:
 *     a += inputs, c = s(a_f) before + s(a_i) tanh(a_g), h = s(a_o) tanh(c) */
GC_KERNEL_ENTRY(lstm_forward, (size_t count, const float *inputs, const float *before, float *a,
                               float *c, float *h))

/* Its gradient, from a and c as they are after the step. dh and later are the gradients by h from
 * above and from the next step; dc, that by c from the next step, becomes that by `before`. */
GC_KERNEL_ENTRY(lstm_backward, (size_t count, const float *a, const float *before, const float *c,
                                const float *dh, const float *later, float *dc, float *da))

/* y = min(max(x, low), high); bit i of bits = (low < x[i] < high). bits NULL: not recorded. */
GC_KERNEL_ENTRY(clip_forward, (size_t count, float low, float high, const float *x, float *y,
                               uint8_t *bits))

/* y[i] = x[i] > 0 ? x[i] : s x[i], s = slopes[i % period]; bit i of bits = (x[i] > 0). bits NULL:
 * not recorded. The period divides 16, or is `count` or more. */
GC_KERNEL_ENTRY(leaky_forward, (size_t count, const float *slopes, size_t period, const float *x,
                                float *y, uint8_t *bits))

/* dx from dy and the bits under GC_MASK_... dx may be dy. */
GC_KERNEL_ENTRY(leaky_backward, (size_t count, const float *slopes, size_t period, unsigned masks,
                                 const uint8_t *bits, const float *dy, float *dx))

/* ---- Relevance ------------------------------------------------------------------------------ */

/* y = a portion of x. y may be x. */
GC_KERNEL_ENTRY(portion, (size_t count, gc_portion portion, const float *x, float *y))

/* s = factor * r / d, d = z + epsilon where z >= 0, else z - epsilon; 0 where d is 0, and where the
 * gate times `sign` is not positive (gate NULL: nowhere). s may be r. */
GC_KERNEL_ENTRY(share, (size_t count, float factor, float epsilon, const float *z,
                        const float *gate, float sign, const float *r, float *s))

/* y += a * b. */
GC_KERNEL_ENTRY(multiply_add, (size_t count, const float *a, const float *b, float *y))

/* *signs: 1 if a value is positive, plus 2 if one is negative. */
GC_KERNEL_ENTRY(signs, (size_t count, const float *x, int *signs))

/* ---- Explanations --------------------------------------------------------------------------- */

/* out[i] = mean of maps[i][0 .. positions). */
GC_KERNEL_ENTRY(channel_mean, (size_t count, size_t positions, const float *maps, float *out))

/* out[p] = sum over channels of weights[c] * maps[c][p]. */
GC_KERNEL_ENTRY(weighted_sum, (size_t channels, size_t positions, const float *weights,
                               const float *maps, float *out))

/* Its gradient: dweights[c] = sum over p of dout[p] maps[c][p], dmaps[c][p] = weights[c] dout[p];
 * either may be NULL. */
GC_KERNEL_ENTRY(weighted_sum_backward, (size_t channels, size_t positions, const float *weights,
                                        const float *maps, const float *dout, float *dweights,
                                        float *dmaps))

/* One plane through the taps of its rows and columns; 0 where both weights of a tap are 0. */
GC_KERNEL_ENTRY(resize, (size_t width, size_t out_height, size_t out_width, const gc_tap *rows,
                         const gc_tap *columns, const float *map, float *out))

/* ---- Blocked maps --------------------------------------------------------------------------- */

/* Up to W planes, missing ones taken as 0, into the inside of one block of a blocked map. */
GC_KERNEL_ENTRY(block_map, (const gc_blocked *shape, size_t channels, const float *map,
                            float *block))

/* One block back to up to W planes. */
GC_KERNEL_ENTRY(unblock_map, (const gc_blocked *shape, size_t channels, const float *block,
                              float *map))

/* relu_forward over `count` vectors; a mask for each vector begins at a whole byte. */
GC_KERNEL_ENTRY(blocked_relu_forward, (size_t count, float limit, const float *x, float *y,
                                       uint8_t *bits))

/* relu_backward over `count` vectors. */
GC_KERNEL_ENTRY(blocked_relu_backward, (size_t count, unsigned masks, const uint8_t *bits,
                                        const float *dy, float *dx))

/* The maxima of `count` 2x2 windows side by side, and their positions (NULL: not recorded); the
 * same maximum as in max_pool_forward. */
GC_KERNEL_ENTRY(blocked_pool_forward, (size_t count, const float *upper, const float *lower,
                                       float *y, uint8_t *positions))

/* Writes all four values of each of `count` windows: dy at the position of the maximum, else 0. */
GC_KERNEL_ENTRY(blocked_pool_backward, (size_t count, const uint8_t *positions, const float *dy,
                                        float *upper, float *lower))

/* y = scale * x + shift, scale and shift [W], of the vectors of some rows. y may be x. */
GC_KERNEL_ENTRY(blocked_affine, (gc_row_sizes sizes, const float *scale, const float *shift,
                                 const float *x, float *y))

/* The same, and blocked_relu_forward of it; the bits of all rows follow each other. */
GC_KERNEL_ENTRY(blocked_affine_relu, (gc_row_sizes sizes, const float *scale, const float *shift,
                                      float limit, const float *x, float *y, uint8_t *bits))

/* sums[W] = sum over p of a[p] * b[p], of the vectors p < count. */
GC_KERNEL_ENTRY(blocked_dot, (size_t count, const float *a, const float *b, float *sums))

/* Vectors `first` .. first + count of a block, from those of other blocks lane by lane. */
GC_KERNEL_ENTRY(blocked_gather, (const gc_lanes *lanes, size_t first, size_t count, float *y))

/* ---- Normalisation over channels (kernels/norm.c) ------------------------------------------- */

/* Of `count` positions side by side of a blocked map. scratch: gc_lrn_scratch. */
GC_KERNEL_ENTRY(lrn_forward, (const gc_across *across, const gc_lrn_window *window, size_t count,
                              const float *x, float *y, float *scratch))

/* dx may be dy. */
GC_KERNEL_ENTRY(lrn_backward, (const gc_across *across, const gc_lrn_window *window, size_t count,
                               const float *x, const float *dy, float *dx, float *scratch))

/* Of one vector. bias NULL: 0. */
GC_KERNEL_ENTRY(layer_norm_forward, (size_t count, float eps, const float *weight,
                                     const float *bias, const float *x, float *y))

/* dx may be dy. */
GC_KERNEL_ENTRY(layer_norm_backward, (size_t count, float eps, const float *weight, const float *x,
                                      const float *dy, float *dx))

/* Of `count` positions side by side of a blocked map; weight and bias [blocks * W], 0 in the lanes
 * without a channel. */
GC_KERNEL_ENTRY(blocked_layer_norm_forward, (const gc_across *across, float eps,
                                             const float *weight, const float *bias, size_t count,
                                             const float *x, float *y))

/* dx may be dy. */
GC_KERNEL_ENTRY(blocked_layer_norm_backward, (const gc_across *across, float eps,
                                              const float *weight, size_t count, const float *x,
                                              const float *dy, float *dx))

/* The outputs in rows first .. first + count of max pooling of one block of a blocked map; x and y:
 * the vectors of position (0, 0). index[i][j][W] (NULL: not recorded), in p->index_bytes for each
 * value: the number of the maximum in its window, row by row; the same maximum as in
 * max_pool_forward. */
GC_KERNEL_ENTRY(blocked_max_forward, (const gc_pool_block *p, size_t first, size_t count,
                                      const float *x, float *y, void *index))

/* The gradients of the inputs in rows first .. first + count; each is written. */
GC_KERNEL_ENTRY(blocked_max_backward, (const gc_pool_block *p, size_t first, size_t count,
                                       const void *index, const float *dy, float *dx))

/* Average pooling, likewise; the same bits as on plain maps. */
GC_KERNEL_ENTRY(blocked_average_forward, (const gc_pool_block *p, size_t first, size_t count,
                                          const float *x, float *y))

GC_KERNEL_ENTRY(blocked_average_backward, (const gc_pool_block *p, size_t first, size_t count,
                                           const float *dy, float *dx))

/* ---- 3x3 convolution by Winograd's algorithm (kernels/winograd.c) --------------------------- */

/* V of some groups of tiles, from blocked maps. */
GC_KERNEL_ENTRY(winograd_input, (const gc_winograd *winograd, gc_tiles tiles, const float *maps,
                                 float *v))

/* M of some groups of tiles and one pair of output blocks. */
GC_KERNEL_ENTRY(winograd_product, (const gc_winograd *winograd, gc_tiles tiles, size_t pair,
                                   const float *u, const float *v, float *m))

/* From M to maps: with the bias and finish->add. */
GC_KERNEL_ENTRY(winograd_store, (const gc_winograd *winograd, size_t first, size_t count,
                                 size_t pair, const float *m, const gc_finish *finish))

/* From M to maps: with the bias, finish->add and a ReLU, and its bits. */
GC_KERNEL_ENTRY(winograd_relu, (const gc_winograd *winograd, size_t first, size_t count,
                                size_t pair, const float *m, const gc_finish *finish))

/* From M to maps: with the bias, a ReLU and its bits, and the maxima of 2x2 windows and their
 * positions. */
GC_KERNEL_ENTRY(winograd_relu_pool, (const gc_winograd *winograd, size_t first, size_t count,
                                     size_t pair, const float *m, const gc_finish *finish))

/* From M, the gradients of the output of a ReLU, with finish->add, to those of its input. */
GC_KERNEL_ENTRY(winograd_mask, (const gc_winograd *winograd, size_t first, size_t count,
                                size_t pair, const float *m, const gc_finish *finish))

/* From M, the gradients of the output of 2x2 max pooling after a ReLU, to those of the ReLU's
 * input. */
GC_KERNEL_ENTRY(winograd_unpool, (const gc_winograd *winograd, size_t first, size_t count,
                                  size_t pair, const float *m, const gc_finish *finish))

/* u[xi * plane + c * 2W + k], the transformed kernels of `channels` input channels and the outputs
 * k of a block; 0 if the block has no such output. u and its planes are aligned to a vector. */
GC_KERNEL_ENTRY(winograd_weights, (const gc_winograd_kernels *kernels, size_t channels,
                                   const float *weight, size_t plane, float *u))

/* ---- Convolution of blocked maps as a product (kernels/packed.c) ------------------------------- */

/* The inputs of a group of `count` positions of one image, from position `first` of the grid on:
 * v[block][tap][position][W], 0 for those outside the map. */
GC_KERNEL_ENTRY(pack_inputs, (const gc_gather *gather, size_t first, size_t count,
                              const float *map, float *v))

/* Some groups of each row and one pair of output blocks: the sums of w[depth][W][2W] times the
 * inputs x, with finish->bias and finish->add, and what follows them, to finish->maps. */
GC_KERNEL_ENTRY(packed_product, (const gc_packed *packed, gc_tiles positions, size_t pair,
                                 const float *w, const float *x, const gc_finish *finish))

/* ---- Convolution of few channels (kernels/direct.c) ----------------------------------------- */

/* `count` outputs side by side of one pair of output blocks: the first at y, the second at
 * y + second (0: there is no second); with or without a ReLU, its limit, and its bits (NULL: not
 * recorded). */
GC_KERNEL_ENTRY(direct_forward, (const gc_direct *direct, size_t count, const float *rows,
                                 const float *w, const float *bias, float *y, size_t second,
                                 int relu, float limit, uint8_t *bits, size_t second_bits))

/* taps[p][pair][2W] = sum over channels of w[pair][channel][2W] dy[p][channel] of `count` outputs
 * side by side, with channels in blocks that are `block` floats apart. */
GC_KERNEL_ENTRY(direct_backward, (size_t count, size_t blocks, size_t block, size_t pairs,
                                  const float *dy, const float *w, float *taps))

/* ---- Depthwise convolution (kernels/depthwise.c) -------------------------------------------- */

/* to[t][k] = weight[k][order[t]] of `channels` <= W channels k of a block; 0 for the others. */
GC_KERNEL_ENTRY(depthwise_weights, (size_t taps, const size_t *order, size_t channels,
                                    const float *weight, float *to))

/* Rows first .. end of one block's output, and the border beside, above and below them. The weights
 * w[t][W] of a phase follow those of the phases before: rows of phases, in each of them the columns.
 * With a ReLU, values are limited to 0 .. limit, and the bit is 0 < value < limit (any value > 0 if
 * the limit is infinite; bits of the block; NULL: not recorded). */
GC_KERNEL_ENTRY(depthwise_forward, (const gc_depthwise *depthwise, size_t first, size_t end,
                                    const float *w, const float *bias, const float *x, float *y,
                                    int relu, float limit, uint8_t *bits))

/* The gradient of the input, likewise: dy is read, dx written. With a ReLU before the convolution,
 * its masks are applied with its bits. */
GC_KERNEL_ENTRY(depthwise_backward, (const gc_depthwise *depthwise, size_t first, size_t end,
                                     const float *w, const float *dy, float *dx, int relu,
                                     unsigned masks, const uint8_t *bits))

/* ---- Linear layers -------------------------------------------------------------------------- */

/* y[n][r] = sum over c of w[r][c] x[n][c] of every vector n, for the rows r = first ..
 * first + rows. In both directions, w may be a portion of the weights. */
GC_KERNEL_ENTRY(dense_forward, (const gc_dense *dense, size_t first, size_t rows, const void *w,
                                const float *x, float *y))

/* dx[n][c] = sum over r of dy[n][r] w[r][c] of every vector n, for the columns c = first ..
 * first + columns; rows that are zero for a whole image need not be read. */
GC_KERNEL_ENTRY(dense_backward, (const gc_dense *dense, size_t first, size_t columns,
                                 const void *w, const float *dy, float *dx))

/* sums[i] = sum over p of w[i * positions + p], i < count, in double. */
GC_KERNEL_ENTRY(dense_sums, (gc_storage storage, size_t count, size_t positions, const void *w,
                             float *sums))

/* ---- The rest ------------------------------------------------------------------------------- */

/* *finite = 1 if no value is NaN or infinite, else 0; floats of any alignment. */
GC_KERNEL_ENTRY(all_finite, (size_t count, const void *values, int *finite))

/* values[i] = factor * values[i] + term, `rounds` times, i < GC_PEAK_VALUES. */
GC_KERNEL_ENTRY(peak, (size_t rounds, float factor, float term, float *values))

/* *sum = sum of values[i], i < count. */
GC_KERNEL_ENTRY(sum, (size_t count, const float *values, float *sum))

#undef GC_KERNEL_ENTRY
