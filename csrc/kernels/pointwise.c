/* pointwise.c: sums, per-channel affine maps, the softmax and its logarithm, and the test for
 * finite values. */
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

static size_t largest(size_t count, size_t stride, const float *x)
{
    size_t top = 0;
    for (size_t i = 1; i < count; i++)
        top = x[i * stride] > x[top * stride] ? i : top;
    return top;
}

/* y_i = exp(x_i - max x) / sum_j exp(x_j - max x): the maximum keeps exp within range. */
void GC_KERNEL(softmax_forward)(size_t count, size_t stride, const float *x, float *y)
{
    const float maximum = x[largest(count, stride, x) * stride];
    double sum = 0.0;
    for (size_t i = 0; i < count; i++) {
        y[i * stride] = expf(x[i * stride] - maximum);
        sum += y[i * stride];
    }
    const float scale = (float)(1.0 / sum);
    for (size_t i = 0; i < count; i++)
        y[i * stride] *= scale;
}

/* dx_i = y_i (dy_i - sum_j dy_j y_j). If one y_k is close to 1, dy_k and the sum are nearly equal,
 * and y_k may be rounded to 1. So dy_k is subtracted from every dy first, which changes no dx_i;
 * the sum then consists of the small terms alone, and y is computed from x in double. */
void GC_KERNEL(softmax_backward)(size_t count, size_t stride, const float *x, const float *dy,
                                 float *dx)
{
    const size_t top = largest(count, stride, x) * stride;
    const double maximum = x[top], shift = dy[top];
    double sum = 0.0, dot = 0.0;
    for (size_t i = 0; i < count; i++) {
        const double e = exp(x[i * stride] - maximum);
        sum += e;
        dot += e * (dy[i * stride] - shift);
    }
    const double mean = dot / sum;
    for (size_t i = 0; i < count; i++)
        dx[i * stride] =
            (float)(exp(x[i * stride] - maximum) / sum * (dy[i * stride] - shift - mean));
}

/* y_i = x_i - max x - log(1 + rest), rest the sum over all others than the maximum. */
void GC_KERNEL(log_softmax_forward)(size_t count, size_t stride, const float *x, float *y)
{
    const size_t top = largest(count, stride, x);
    const double maximum = x[top * stride];
    double rest = 0.0;
    for (size_t i = 0; i < count; i++)
        if (i != top)
            rest += exp(x[i * stride] - maximum);
    const double logarithm = log1p(rest);
    for (size_t i = 0; i < count; i++)
        y[i * stride] = (float)(x[i * stride] - maximum - logarithm);
}

/* dx_i = dy_i - p_i sum_j dy_j. Where p_k may be rounded to 1, 1 - p_k is rest / (1 + rest). */
void GC_KERNEL(log_softmax_backward)(size_t count, size_t stride, const float *x, const float *dy,
                                     float *dx)
{
    const size_t top = largest(count, stride, x);
    const double maximum = x[top * stride], of_top = dy[top * stride];
    double rest = 0.0, others = 0.0;
    for (size_t i = 0; i < count; i++)
        if (i != top) {
            rest += exp(x[i * stride] - maximum);
            others += dy[i * stride];
        }
    const double share = (of_top + others) / (1.0 + rest);
    for (size_t i = 0; i < count; i++)
        dx[i * stride] = (float)(dy[i * stride] - exp(x[i * stride] - maximum) * share);
    dx[top * stride] = (float)((of_top * rest - others) / (1.0 + rest));
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
