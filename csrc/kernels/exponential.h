/* exponential.h: exp of a vector of numbers that are not positive, without a call for each.
 *
 * Every activation needs exp of such numbers alone (-|x| for a sigmoid), so nothing overflows. */
#ifndef GC_KERNELS_EXPONENTIAL_H
#define GC_KERNELS_EXPONENTIAL_H

#include "kernels/vec.h"

/* exp(x), and exp(x) - 1 without cancellation. */
typedef struct gc_exponential {
    gc_vec value, less_one;
} gc_exponential;

/* The minimum of two numbers; a NaN in `x` stays one. */
GC_INLINE gc_vec gc_at_most(gc_vec x, float limit)
{
    const gc_vec limits = limit - (gc_vec){0};
    return gc_select(gc_greater(x, limits), limits, x);
}

/* The maximum, likewise. */
GC_INLINE gc_vec gc_at_least(gc_vec x, float limit)
{
    const gc_vec limits = limit - (gc_vec){0};
    return gc_select(gc_greater(limits, x), limits, x);
}

/* Of x = high + low, high <= 0, |low| <= 0.06, to about one unit in the last place. Results below
 * the smallest normal float are rounded as floats are, to 0 in the end; a NaN stays one.
 *
 * x = r - m ln 2 with an integer m >= 0 and |r| <= ln 2 / 2, so that exp(x) = 2^-m exp(r). exp(r) - 1
 * is a polynomial with a relative error below 1e-9. 2^-m is made of two factors, because it
 * may be no normal float. ln 2 is split in two, so that m times the first is exact. */
GC_INLINE gc_exponential gc_exp(gc_vec high, gc_vec low)
{
    const float shift = 12582912.0f; /* 1.5 * 2^23: what is added to it is rounded to integers */
    high = gc_at_least(high, -104.0f); /* exp is 0 from there on */
    const gc_vec shifted = shift - high * 1.44269504f, m = shifted - shift;
    const gc_vec r = ((high + m * 0.693359375f) - m * 2.12194440e-4f) + low;
    gc_vec q = 1.98458744e-4f * r + 1.39406277e-3f;
    q = q * r + 8.33338965e-3f;
    q = q * r + 4.16663624e-2f;
    q = q * r + 1.66666657e-1f;
    q = q * r + 0.5f;
    const gc_vec p = r * r * q + r; /* exp(r) - 1 */
    const gc_uvec all = (gc_uvec)shifted - 0x4b400000u, half = all >> 1; /* m; shift's bits */
    const gc_vec first = (gc_vec)((127u - half) << 23);
    const gc_vec second = (gc_vec)((127u - (all - half)) << 23);
    const gc_vec scale = first * second;
    return (gc_exponential){.value = (first * p + first) * second,
                            .less_one = scale * p + (scale - 1.0f)};
}

GC_INLINE gc_vec gc_absolute(gc_vec x)
{
    return (gc_vec)((gc_uvec)x & 0x7fffffffu);
}

/* |size| with the sign of x. */
GC_INLINE gc_vec gc_with_sign(gc_vec size, gc_vec x)
{
    return (gc_vec)(((gc_uvec)size & 0x7fffffffu) | ((gc_uvec)x & 0x80000000u));
}

#endif
