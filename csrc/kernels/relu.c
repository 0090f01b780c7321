/* relu.c: y = min(max(x, 0), limit), with one bit per value for the backward pass, and the bias
 * before it.
 *
 * The backward pass multiplies the gradient dy by up to two masks (GC_MASK_...): [0 < x < limit],
 * for which it needs a record of x, and [dy > 0].
 *
 * Bit p % 8 of byte p / 8 is value p; the bits after the last value are zero. A NaN is not
 * positive: its bit is 0, but it is passed on forward. */
#include <math.h>
#include <string.h>

#include "kernels/level.h"
#include "kernels/vec.h"

static float rectify(float x, float limit)
{
    const float y = x < 0.0f ? 0.0f : x; /* keeps NaN, unlike x > 0 ? x : 0 */
    return y > limit ? limit : y;
}

/* Of up to eight values. */
static uint8_t some_bits(const float *x, size_t count, float limit)
{
    unsigned bits = 0;
    for (size_t i = 0; i < count; i++)
        bits |= (unsigned)(x[i] > 0.0f && (x[i] < limit || limit == INFINITY)) << i;
    return (uint8_t)bits;
}

void GC_KERNEL(bias)(size_t count, float bias, float *row)
{
    for (size_t i = 0; i < count; i++)
        row[i] += bias;
}

void GC_KERNEL(relu_forward)(size_t count, float limit, const float *x, float *y, uint8_t *bits)
{
    const size_t whole = bits == NULL ? 0 : count / 8 * 8;
    for (size_t i = 0; i < whole; i += 8)
        bits[i / 8] = limit < INFINITY ? some_bits(x + i, 8, limit) : gc_positive_bits(x + i);
    if (bits != NULL && whole < count)
        bits[whole / 8] = some_bits(x + whole, count - whole, limit);
    for (size_t i = 0; i < count; i++)
        y[i] = rectify(x[i], limit);
}

void GC_KERNEL(bias_relu)(size_t count, float bias, float limit, float *row, uint8_t *bits)
{
    GC_KERNEL(bias)(count, bias, row);
    GC_KERNEL(relu_forward)(count, limit, row, row, bits);
}

void GC_KERNEL(relu_backward)(size_t count, unsigned masks, const uint8_t *bits, const float *dy,
                              float *dx)
{
    if (masks & GC_MASK_GRADIENT) {
        for (size_t i = 0; i < count; i++)
            dx[i] = dy[i] > 0.0f ? dy[i] : 0.0f;
        dy = dx;
    }
    if (!(masks & GC_MASK_INPUT)) {
        if (dx != dy)
            memcpy(dx, dy, count * sizeof *dx);
        return;
    }
    const size_t whole = count / 8 * 8;
    for (size_t i = 0; i < whole; i += 8)
        gc_mask_by_bits(bits[i / 8], dy + i, dx + i);
    for (size_t i = whole; i < count; i++)
        dx[i] = bits[i / 8] >> (i % 8) & 1u ? dy[i] : 0.0f;
}
