/* blocked.h: what the kernels on blocked maps share: offsets, and the ReLU and 2x2 max pooling of
 * the vectors of one position. */
#ifndef GC_KERNELS_BLOCKED_H
#define GC_KERNELS_BLOCKED_H

#include <math.h>

#include "kernels/kernels.h"
#include "kernels/vec.h"

/* Floats from the start of the maps to the vector of position (y, x). */
GC_INLINE size_t gc_offset(const gc_blocked *b, size_t image, size_t block, size_t y, size_t x)
{
    return gc_blocked_offset(b, GC_WIDTH, image * b->blocks + block, y, x);
}

/* max(x, 0), and whether x > 0 (bits NULL: not recorded). */
GC_INLINE gc_vec gc_relu(gc_vec x, uint8_t *bits)
{
    if (bits != NULL)
        gc_store_bits(bits, gc_greater(x, (gc_vec){0}));
    return gc_rectify(x);
}

/* min(max(x, 0), limit), and whether 0 < x < limit. INFINITY: no limit. */
GC_INLINE gc_vec gc_limited_relu(gc_vec x, float limit, uint8_t *bits)
{
    if (limit == INFINITY)
        return gc_relu(x, bits);
    const gc_vec limits = limit - (gc_vec){0}, y = gc_rectify(x);
    if (bits != NULL)
        gc_store_bits(bits, (gc_mask)(gc_greater(x, (gc_vec){0}) & gc_greater(limits, x)));
    return gc_select(gc_greater(y, limits), limits, y); /* keeps NaN */
}

/* The gradient that a ReLU passes on of g; see relu.c. */
GC_INLINE gc_vec gc_relu_back(gc_vec g, unsigned masks, const uint8_t *bits)
{
    if (masks & GC_MASK_GRADIENT)
        g = gc_keep(gc_greater(g, (gc_vec){0}), g);
    return masks & GC_MASK_INPUT ? gc_keep(gc_load_bits(bits), g) : g;
}

/* The maximum of a window of a and b above c and d, the first of equal ones; and its position in
 * two masks: whether it is on the right, and whether it is below (positions NULL: not recorded). */
GC_INLINE gc_vec gc_largest(gc_vec a, gc_vec b, gc_vec c, gc_vec d, uint8_t *positions)
{
    const gc_mask take_b = gc_takes(b, a);
    const gc_vec ab = gc_select(take_b, b, a);
    const gc_mask take_c = gc_takes(c, ab);
    const gc_vec abc = gc_select(take_c, c, ab);
    const gc_mask take_d = gc_takes(d, abc);
    if (positions != NULL) {
        gc_store_bits(positions, (gc_mask)((take_b & ~take_c) | take_d));
        gc_store_bits(positions + GC_BIT_BYTES, (gc_mask)(take_c | take_d));
    }
    return gc_select(take_d, d, abc);
}

/* The gradients of the four values of a window: `value` at the position of the maximum, else 0. */
GC_INLINE void gc_place(gc_vec value, const uint8_t *positions, gc_vec g[4])
{
    const gc_mask right = gc_load_bits(positions);
    const gc_mask below = gc_load_bits(positions + GC_BIT_BYTES);
    g[0] = gc_keep((gc_mask)(~right & ~below), value);
    g[1] = gc_keep((gc_mask)(right & ~below), value);
    g[2] = gc_keep((gc_mask)(~right & below), value);
    g[3] = gc_keep((gc_mask)(right & below), value);
}

#endif
