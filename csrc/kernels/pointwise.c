/* pointwise.c: sums, per-channel affine maps, the softmax, the sigmoid, and the test for finite
 * values. */
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

/* dx_i = y_i (dy_i - sum_j dy_j y_j). If one y_k is close to 1, dy_k and the sum are nearly equal,
 * and y_k may be rounded to 1. So dy_k is subtracted from every dy first, which changes no dx_i;
 * the sum then consists of the small terms alone, and y is computed from x in double. */
void GC_KERNEL(softmax_backward)(size_t count, const float *x, const float *dy, float *dx)
{
    size_t top = 0;
    for (size_t i = 1; i < count; i++)
        top = x[i] > x[top] ? i : top;
    const double maximum = x[top], shift = dy[top];
    double sum = 0.0, dot = 0.0;
    for (size_t i = 0; i < count; i++) {
        const double e = exp(x[i] - maximum);
        sum += e;
        dot += e * (dy[i] - shift);
    }
    const double mean = dot / sum;
    for (size_t i = 0; i < count; i++)
        dx[i] = (float)(exp(x[i] - maximum) / sum * (dy[i] - shift - mean));
}

/* y = 1 / (1 + exp(-x)), with an exponential that cannot overflow: of -|x|. */
void GC_KERNEL(sigmoid_forward)(size_t count, const float *x, float *y)
{
    for (size_t i = 0; i < count; i++) {
        const double e = exp(-fabs((double)x[i]));
        y[i] = (float)((x[i] < 0.0f ? e : 1.0) / (1.0 + e));
    }
}

/* dx = dy y (1 - y) = dy e / (1 + e)^2, e = exp(-|x|), where nothing is subtracted. */
void GC_KERNEL(sigmoid_backward)(size_t count, const float *x, const float *dy, float *dx)
{
    for (size_t i = 0; i < count; i++) {
        const double e = exp(-fabs((double)x[i]));
        dx[i] = (float)(dy[i] * (e / ((1.0 + e) * (1.0 + e))));
    }
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
