/* relevance.c: parts of values by their signs, and relevance divided by a denominator: see
 * layers/rules.h. */
#include "kernels/level.h"

void GC_KERNEL(portion)(size_t count, gc_portion portion, const float *x, float *y)
{
    for (size_t i = 0; i < count; i++)
        y[i] = (x[i] > 0.0f ? portion.positive : portion.negative) * x[i] + portion.constant;
}

static float divide(float r, float z, float epsilon)
{
    const float d = z < 0.0f ? z - epsilon : z + epsilon;
    return d == 0.0f ? 0.0f : r / d;
}

void GC_KERNEL(share)(size_t count, float factor, float epsilon, const float *z, const float *gate,
                      float sign, const float *r, float *s)
{
    if (gate == NULL)
        for (size_t i = 0; i < count; i++)
            s[i] = divide(factor * r[i], z[i], epsilon);
    else
        for (size_t i = 0; i < count; i++)
            s[i] = gate[i] * sign > 0.0f ? divide(factor * r[i], z[i], epsilon) : 0.0f;
}

void GC_KERNEL(multiply_add)(size_t count, const float *a, const float *b, float *y)
{
    for (size_t i = 0; i < count; i++)
        y[i] += a[i] * b[i];
}

void GC_KERNEL(signs)(size_t count, const float *x, int *signs)
{
    int positive = 0, negative = 0;
    for (size_t i = 0; i < count; i++) {
        positive |= x[i] > 0.0f;
        negative |= x[i] < 0.0f;
    }
    *signs = positive + 2 * negative;
}
