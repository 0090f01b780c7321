/* product.h: the product that all convolutions come down to, one piece of it in registers: the sums
 * over all channels of a few positions and two vectors of outputs,
 *
 *     sum[p][k] = sum over c of x[c][p] w[c][k]
 *
 * x in blocks of channels, [c / W][p][W], w in rows of two vectors, [c][2W]. A weight is loaded
 * once for all positions; a position's channels come as one vector, of which each is spread in
 * turn. */
#ifndef GC_KERNELS_PRODUCT_H
#define GC_KERNELS_PRODUCT_H

#include "kernels/vec.h"

/* What is needed next and fetched meanwhile: `step` floats for every channel from `next` on, NULL
 * where that is nothing. */
typedef struct gc_ahead {
    const float *next;
    size_t step;
} gc_ahead;

/* `count` is a constant where this is inlined, so that the sums stay in registers. */
GC_INLINE void gc_product(size_t count, size_t blocks, size_t block, const float *x,
                          const float *w, gc_ahead ahead, gc_vec sum[GC_TILES][2])
{
    GC_UNROLL
    for (size_t p = 0; p < count; p++)
        sum[p][0] = sum[p][1] = (gc_vec){0};
    for (size_t b = 0; b < blocks; b++, x += block) {
        gc_factors factors[GC_TILES];
        GC_UNROLL
        for (size_t p = 0; p < count; p++)
            factors[p] = gc_load_factors(x + p * GC_WIDTH);
#pragma GCC unroll 4
        for (size_t lane = 0; lane < GC_WIDTH; lane++, w += 2 * GC_WIDTH) {
            const gc_vec w0 = gc_load(w), w1 = gc_load(w + GC_WIDTH);
            if (ahead.next != NULL) {
                __builtin_prefetch(ahead.next, 0, 2);
                if (GC_WIDTH == 16)
                    __builtin_prefetch(ahead.next + 16, 0, 2);
                ahead.next += ahead.step;
            }
            GC_UNROLL
            for (size_t p = 0; p < count; p++) {
                const gc_factor value = gc_factor_of(factors[p], lane);
                sum[p][0] += w0 * value;
                sum[p][1] += w1 * value;
            }
        }
    }
}

#endif
