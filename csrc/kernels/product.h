/* product.h: the product that all convolutions use, one piece of it in registers: the sums over
 * channels of a few positions and two vectors of outputs,
 *
 *     sum[p][k] += sum over c of x[c][p] w[c][k]
 *
 * x in blocks of channels, [c / W][p][W], w in rows of two vectors, [c][2W]. A weight is loaded
 * once for all positions; each value of a position is broadcast and multiplies both vectors. */
#ifndef GC_KERNELS_PRODUCT_H
#define GC_KERNELS_PRODUCT_H

#include "kernels/vec.h"

/* What to prefetch during a product: into the second cache `lines` cache lines for each block of
 * channels, from `next` on; into the first cache x of `blocks` blocks later. Zeros: nothing. */
typedef struct gc_ahead {
    const float *next;
    size_t lines, blocks;
} gc_ahead;

enum {
    GC_BLOCKS_AHEAD = 8,                       /* of x, that are prefetched into the first cache */
    GC_LINE = 16,                              /* floats of a cache line */
    GC_BLOCK_WEIGHTS = GC_WIDTH * 2 * GC_WIDTH /* floats of w of one block of channels */
};

GC_INLINE void gc_clear_sums(size_t count, gc_vec sum[GC_TILES][2])
{
    GC_UNROLL
    for (size_t p = 0; p < count; p++)
        sum[p][0] = sum[p][1] = (gc_vec){0};
}

/* Adds to the sums of both vectors; if `vectors` is 1, to those of the first alone. `count` and
 * `vectors` are constants where this is inlined, so that the sums stay in registers; all lanes of a
 * block are unrolled, so that offsets are constants in the loads. */
GC_INLINE void gc_product(size_t count, size_t vectors, size_t blocks, size_t block,
                          const float *x, const float *w, gc_ahead ahead,
                          gc_vec sum[GC_TILES][2])
{
    const float *later = x + ahead.blocks * block;
    for (size_t b = 0; b < blocks; b++, x += block, later += block, w += GC_BLOCK_WEIGHTS) {
        for (size_t i = 0; i < ahead.lines; i++, ahead.next += GC_LINE)
            __builtin_prefetch(ahead.next, 0, 2);
        const size_t x_floats = ahead.blocks > 0 ? count * GC_WIDTH : 0;
        GC_UNROLL
        for (size_t i = 0; i < x_floats; i += GC_LINE)
            __builtin_prefetch(later + i, 0, 3);
        gc_factors factors[GC_TILES];
        GC_UNROLL
        for (size_t p = 0; p < count; p++)
            factors[p] = gc_load_factors(x + p * GC_WIDTH);
        GC_UNROLL
        for (size_t lane = 0; lane < GC_WIDTH; lane++) {
            const gc_vec w0 = gc_load(w + 2 * lane * GC_WIDTH);
            const gc_vec w1 = gc_load(w + (2 * lane + 1) * GC_WIDTH);
            GC_UNROLL
            for (size_t p = 0; p < count; p++) {
                const gc_factor value = gc_factor_of(factors[p], lane);
                gc_add_scaled(&sum[p][0], w0, value);
                if (vectors > 1)
                    gc_add_scaled(&sum[p][1], w1, value);
            }
        }
    }
}

/* The sums of `count` positions (a constant where it is inlined), `m_step` floats apart, while
 * `lines` cache lines for each block of channels are fetched from `next` on. x is packed: a block of
 * it has GC_TILES positions. */
GC_INLINE void gc_multiply_exactly(size_t count, size_t blocks, const float *x, const float *w,
                                   const float *next, size_t lines, float *m, size_t m_step)
{
    const gc_ahead ahead = {.next = next, .lines = lines, .blocks = GC_BLOCKS_AHEAD};
    gc_vec sum[GC_TILES][2];
    GC_UNROLL
    for (size_t p = 0; p < count; p++)
        __builtin_prefetch(m + p * m_step, 1, 3);
    gc_clear_sums(count, sum);
    gc_product(count, 2, blocks, GC_TILES * GC_WIDTH, x, w, ahead, sum);
    GC_UNROLL
    for (size_t p = 0; p < count; p++) {
        gc_store(m + p * m_step, sum[p][0]);
        gc_store(m + p * m_step + GC_WIDTH, sum[p][1]);
    }
}

/* CASE(n); for each number of positions that a level may have at a time. */
#define GC_EACH_COUNT(CASE)                                                                   \
    CASE(1);                                                                                  \
    CASE(2);                                                                                  \
    CASE(3);                                                                                  \
    CASE(4);                                                                                  \
    CASE(5);                                                                                  \
    CASE(6);                                                                                  \
    CASE(7);                                                                                  \
    CASE(8);                                                                                  \
    CASE(9);                                                                                  \
    CASE(10);                                                                                 \
    CASE(11);                                                                                 \
    CASE(12);                                                                                 \
    CASE(13);                                                                                 \
    CASE(14)

/* Up to GC_TILES positions: each number has code of its own, so that sums stay in registers. The
 * arguments are scalars, because a struct that is passed on the stack right after its members were
 * written stalls the call. */
static __attribute__((noinline, unused)) void
gc_multiply(size_t count, size_t blocks, const float *x, const float *w, const float *next,
            size_t lines, float *m, size_t m_step)
{
#define CASE(n)                                                                               \
    case n:                                                                                   \
        if (n <= GC_TILES)                                                                    \
            gc_multiply_exactly(n <= GC_TILES ? n : 1, blocks, x, w, next, lines, m, m_step); \
        break
    switch (count) {
        GC_EACH_COUNT(CASE);
    default:
        break;
    }
#undef CASE
}

#endif
