/* pointwise.c: sums, per-channel affine maps, the softmax, and the test for finite values. */
#include <math.h>
#include <string.h>

#include "kernels/level.h"

void GC_KERNEL(accumulate)(size_t count, const float *x, float *y)
{
    for (size_t i = 0; i < count; i++)
        y[i] += x[i];
}

void GC_KERNEL(affine)(size_t count, float scale, float shift, const float *x, float *y)
{
    for (size_t i = 0; i < count; i++)
        y[i] = scale * x[i] + shift;
}

/* y_i = exp(x_i - max x) / sum_j exp(x_j - max x): the maximum keeps exp within range. */
void GC_KERNEL(softmax_forward)(size_t count, const float *x, float *y)
{
    float maximum = x[0];
    for (size_t i = 1; i < count; i++)
        maximum = x[i] > maximum ? x[i] : maximum;
    double sum = 0.0;
    for (size_t i = 0; i < count; i++) {
        y[i] = expf(x[i] - maximum);
        sum += y[i];
    }
    const float scale = (float)(1.0 / sum);
    for (size_t i = 0; i < count; i++)
        y[i] *= scale;
}

/* dx_i = y_i (dy_i - sum_j dy_j y_j). */
void GC_KERNEL(softmax_backward)(size_t count, const float *y, const float *dy, float *dx)
{
    double dot = 0.0;
    for (size_t i = 0; i < count; i++)
        dot += (double)y[i] * dy[i];
    for (size_t i = 0; i < count; i++)
        dx[i] = (float)(y[i] * (dy[i] - dot));
}

/* A float is NaN or infinite when all its exponent bits are set. */
void GC_KERNEL(all_finite)(size_t count, const void *values, int *finite)
{
    const uint32_t exponent = 0x7f800000u;
    const size_t block = 4096; /* so that a bad value ends the search early */
    *finite = 1;
    for (size_t first = 0; first < count && *finite; first += block) {
        const size_t end = count - first < block ? count : first + block;
        uint32_t bad = 0;
        for (size_t i = first; i < end; i++) {
            uint32_t bits;
            memcpy(&bits, (const char *)values + i * sizeof bits, sizeof bits);
            bad |= (bits & exponent) == exponent;
        }
        *finite = !bad;
    }
}
