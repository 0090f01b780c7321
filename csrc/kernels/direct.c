/* direct.c: convolution of a picture's few channels, by its definition:
 *
 *     y[k][p] = b[k] + sum over the taps t = (c, ky, kx) of w[k][t] x[t][p]
 *
 * The vector runs over output channels k; one value of x multiplies two vectors of weights.
 * The sums of GC_TILES outputs side by side stay in registers, as in winograd.c.
 *
 * Backward, the gradient of each output is computed for each of its taps,
 *
 *     taps[p][t] = sum over k of w[k][t] dy[k][p]
 *
 * the vector running over taps; layers/direct.c adds up those of each pixel. */
#include "kernels/blocked.h"
#include "kernels/level.h"
#include "kernels/product.h"

/* y of `count` outputs; `count` and `stride` are constants where it is inlined. */
GC_INLINE void forward(size_t count, size_t stride, const gc_direct *d, const float *rows,
                       const float *w, const float *bias, gc_vec sum[GC_TILES][2])
{
    GC_UNROLL
    for (size_t p = 0; p < count; p++) {
        sum[p][0] = gc_load(bias);
        sum[p][1] = gc_load(bias + GC_WIDTH);
    }
    for (size_t t = 0; t < d->taps; t++, w += 2 * GC_WIDTH) {
        const gc_vec w0 = gc_load(w), w1 = gc_load(w + GC_WIDTH);
        const float *x = rows + d->offsets[t];
        GC_UNROLL
        for (size_t p = 0; p < count; p++) {
            const gc_vec value = gc_broadcast(x[p * stride]);
            gc_add_product(&sum[p][0], w0, value);
            gc_add_product(&sum[p][1], w1, value);
        }
    }
}

GC_INLINE void store(size_t count, gc_vec sum[GC_TILES][2], size_t half, float *y, int relu,
                     float limit, uint8_t *bits)
{
    GC_UNROLL
    for (size_t p = 0; p < count; p++)
        gc_store(y + p * GC_WIDTH,
                 relu ? gc_limited_relu(sum[p][half], limit,
                                        bits == NULL ? NULL : bits + p * GC_BIT_BYTES)
                      : sum[p][half]);
}

/* One row of outputs: the arguments of direct_forward. */
typedef struct row {
    const gc_direct *direct;
    const float *rows, *w, *bias;
    float *y;
    size_t second;
    int relu;
    float limit;
    uint8_t *bits;
    size_t second_bits;
} row;

/* `count` outputs from output `p` on; `count` and `stride` are constants where it is inlined. */
GC_INLINE void outputs(size_t count, size_t stride, const row *r, size_t p)
{
    gc_vec sum[GC_TILES][2];
    float *y = r->y + p * GC_WIDTH;
    uint8_t *bits = r->bits == NULL ? NULL : r->bits + p * GC_BIT_BYTES;
    forward(count, stride, r->direct, r->rows + p * stride, r->w, r->bias, sum);
    store(count, sum, 0, y, r->relu, r->limit, bits);
    if (r->second != 0)
        store(count, sum, 1, y + r->second, r->relu, r->limit,
              bits == NULL ? NULL : bits + r->second_bits);
}

/* The last group overlaps the one before it, unless the outputs are fewer than a group. */
GC_INLINE void all_outputs(size_t count, size_t stride, const row *r)
{
    size_t p = 0;
    for (; p + GC_TILES <= count; p += GC_TILES)
        outputs(GC_TILES, stride, r, p);
    if (p < count && count >= GC_TILES) {
        outputs(GC_TILES, stride, r, count - GC_TILES);
        return;
    }
    for (; p < count; p++)
        outputs(1, stride, r, p);
}

void GC_KERNEL(direct_forward)(const gc_direct *d, size_t count, const float *rows,
                               const float *w, const float *bias, float *y, size_t second,
                               int relu, float limit, uint8_t *bits, size_t second_bits)
{
    const row r = {d, rows, w, bias, y, second, relu, limit, bits, second_bits};
    if (d->stride == 1)
        all_outputs(count, 1, &r);
    else if (d->stride == 2)
        all_outputs(count, 2, &r);
    else
        all_outputs(count, d->stride, &r);
}

/* The taps of `count` outputs (a constant where it is inlined), two vectors of them. */
GC_INLINE void backward(size_t count, size_t blocks, size_t block, size_t pairs, const float *dy,
                        const float *w, float *taps)
{
    gc_vec sum[GC_TILES][2];
    gc_clear_sums(count, sum);
    gc_product(count, 2, blocks, block, dy, w, (gc_ahead){0}, sum);
    GC_UNROLL
    for (size_t p = 0; p < count; p++) {
        gc_store(taps + p * pairs * 2 * GC_WIDTH, sum[p][0]);
        gc_store(taps + (p * pairs * 2 + 1) * GC_WIDTH, sum[p][1]);
    }
}

void GC_KERNEL(direct_backward)(size_t count, size_t blocks, size_t block, size_t pairs,
                                const float *dy, const float *w, float *taps)
{
    for (size_t pair = 0; pair < pairs; pair++) {
        const float *u = w + pair * blocks * GC_WIDTH * 2 * GC_WIDTH;
        float *out = taps + pair * 2 * GC_WIDTH;
        size_t p = 0;
        for (; p + GC_TILES <= count; p += GC_TILES)
            backward(GC_TILES, blocks, block, pairs, dy + p * GC_WIDTH, u,
                     out + p * pairs * 2 * GC_WIDTH);
        for (; p < count; p++)
            backward(1, blocks, block, pairs, dy + p * GC_WIDTH, u,
                     out + p * pairs * 2 * GC_WIDTH);
    }
}
